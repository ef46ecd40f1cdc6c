"""JSON that is only passed on, in our own spelling: equal values give equal bytes, however a platform spells them."""

from __future__ import annotations

import re
from itertools import repeat
from typing import TYPE_CHECKING

from msgspec.json import format as spaced
from pydantic_core import from_json

from otel_agent_events.attributes import json_bytes
from otel_agent_events.keys import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typing_extensions import Buffer

    from otel_agent_events.events import Written


def written(texts: Sequence[bytes], deepest: int) -> Sequence[Written]:
    """Spell JSON values as `attributes.json_bytes` does; most are spelled so already, and stay as they are.

    Args:
        texts: valid JSON, of which the encoding has not been looked at. An object that has a member twice keeps both.
        deepest: levels of nesting that one of them may have.

    Raises:
        ValueError: something in them is no text in UTF-8, or half a character, or nested too deeply.
    """
    if are_ours(texts, deepest):
        return texts
    return list(map(respelled, texts, repeat(deepest)))


def respelled(text: bytes, deepest: int) -> Written:
    """Spell a JSON value as `attributes.json_bytes` does, however it is spelled; as `written` otherwise."""
    ours = json_bytes(from_json(text))
    if may_be_deeper(ours, deepest):
        raise ValueError("it may be nested too deeply")
    return ours


def may_be_deeper(text: bytes, deepest: int) -> bool:
    """Say whether a text may have more levels than these, each of which takes a bracket."""
    return text.count(b"{") + text.count(b"[") > deepest


def decodes(text: Buffer) -> bool:
    """Say whether it is text in UTF-8."""
    try:
        bytes(text).decode()
    except UnicodeDecodeError:
        return False
    return True


def are_ours(texts: Sequence[bytes], deepest: int) -> bool:
    """Say whether valid JSON texts are in our own spelling; what stands in a string may raise a false alarm.

    One that has more levels than `deepest` is not.

    Raises:
        ValueError: something in them is no text in UTF-8.
    """
    together = b"[" + b",".join(texts) + b"]"
    if _STRANGE_ESCAPE.search(together) or spaced(together, indent=-1) != together:
        return False
    for numbers in _NUMBERS:
        for number in numbers(together):
            if repr(float(number)).encode() != number:
                return False
    for text in texts:
        if not text.isascii():
            text.decode()
        if may_be_deeper(text, deepest):
            return False
    return True


def digests(texts: Sequence[Written]) -> Sequence[int]:
    """Give for each JSON value a number, equal for equal values in this process, whatever the order of members."""
    return [digest_of(from_json(text)) for text in texts]


# JSON that has none of these is in our spelling, spaces apart: half a character, a letter or a slash that need not be
# escaped; and a number that is no integer, or too long for one.
_STRANGE_ESCAPE = re.compile(rb'\\[^"nrtbf\\]')
_NUMBER = rb"(-?[0-9]+[.eE][-+.0-9eE]*|-0(?![0-9])|-?[0-9]{4000})"
# Each begins with one byte, since a pattern that begins with a choice takes ten times as long.
_NUMBERS = tuple(re.compile(before + _NUMBER).findall for before in (rb':(?<=":)', rb",", rb"\["))


is_utf8: Callable[[Buffer], bool]
try:
    from otel_agent_events._native import is_utf8 as compiled_is_utf8
except ImportError:  # it was installed without a C compiler
    is_utf8 = decodes
else:
    is_utf8 = compiled_is_utf8
