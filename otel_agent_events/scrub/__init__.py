r"""Take secrets out of texts and JSON values, and keep the words.

What is taken, and replaced by `[scrubbed]`:

- **By value**, wherever it stands: keys and tokens of well-known forms, credentials after `Bearer` and `Basic`,
  JWTs, private keys in PEM, passwords in URLs, card numbers of a known issuer that pass Luhn.
- **By name**, as a JSON key at any depth: the whole value under `password`, `api_key`, `refreshToken` and their
  like (`_says_secret`). None, booleans and empty values stay, for they tell nothing.
- **By name, inside a text**:
  - `"password": "hunter2"`, with any value that JSON has, and as JSON within JSON has it, up to six strings deep;
  - `password=hunter2`, `?access_token=abc&x=1`, `<password>hunter2</password>`: whatever stands there, unless it
    is a reference (`$TOKEN`, `${{ secrets.X }}`, `os.environ[...]`), a call (`token = login()`), the name itself
    or a word such as `None`, `str`, `required`;
  - `password: hunter2`, `Authorization: Bearer abc`: the same, but a plain word that more words follow is prose
    and stays ("password: must be 8 characters long"). Of cookies, and of credentials that have parameters, the
    rest of the line;
  - `--password hunter2`, and in a list of arguments the one after `--password`;
  - "the password is hunter2": only what mixes letters with digits or signs; "token 4f9c1a7be2d0936b", without a
    verb: only what looks random. "The token expired" stays.

A text that is valid JSON is valid JSON afterwards, scrubbing twice is scrubbing once, and every search takes time
in proportion to the text, whatever it is made of.
"""

from __future__ import annotations

import functools
import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING

from otel_agent_events.errors import UsageError
from otel_agent_events.scrub.cards import LARGEST_CARD, SMALLEST_CARD, find_cards
from otel_agent_events.scrub.fingerprint import fingerprint
from otel_agent_events.scrub.forms import find_forms
from otel_agent_events.scrub.found import LONGEST_NAME, SCRUBBED, Place, find
from otel_agent_events.scrub.glance import find_suspicious, may_hold
from otel_agent_events.scrub.named import find_named
from otel_agent_events.scrub.names import says_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_agent_events.events import JSON

__all__ = ["SCRUBBED", "Scrubber"]

_ROUNDS = 8
"""How often a text is searched, at most. Ours were never seen to need more than four; a user's may need any number."""

_SHALLOW = 20
"""Levels of nesting; a value that holds itself has no end of them."""

_SHORTEST = 5
"""A shorter text has no room for a name and a secret."""


_LONG = 120
"""To ask first whether there may be a name or a number takes too long for a shorter text."""


class Scrubber:
    """Takes out the secrets that we know of, and those that a user describes.

    A user's pattern sees the text that ours see, before anything has been taken out of it. A match is replaced; if
    the pattern has a group named `secret`, only that group. It is also shown the numbers of JSON values. What takes
    quotes or brackets away can leave a text that is JSON no more.

    Args:
        patterns: regular expressions, as `re` spells them.
        also: is given every text last of all, and its answer goes out. The same text must get the same answer.

    Attributes:
        fingerprint: tells scrubbers with other patterns or another callable apart, on any machine; empty when there are
            none. See `fingerprint.py` for what counts of a callable.

    Raises:
        UsageError: a pattern does not compile.
    """

    def __init__(self, patterns: Sequence[str] = (), also: Callable[[str], str] | None = None) -> None:
        self._patterns = tuple(_compiled(pattern) for pattern in patterns)
        self._also = also
        self.fingerprint = fingerprint(patterns, also)
        # The same few keys come with every record.
        self._remembered = functools.lru_cache(maxsize=4096)(self.text)

    def text(self, text: str) -> str:
        """Return the text without its secrets; the same object if it has none."""
        scrubbed = self._scrub(text)
        if self._also is not None:
            scrubbed = self._also(scrubbed)
        return text if scrubbed == text else scrubbed

    def value(self, value: JSON) -> JSON:
        """Return the value without its secrets, at any depth; the same object if it has none."""
        if isinstance(value, str):
            return self.text(value)
        if self._is_clean(value, 1):
            return value
        return _Walk(self.text, self._key, self._number).through(value)

    def suspicious(self, written: bytes) -> Sequence[int] | None:
        r"""Say where, in a run of JSON texts, something may stand that would be taken out.

        A text in whose bytes no place lies comes back from `value`, and if it is a string from `text`, as the same
        object. That holds for what `pydantic_core.to_json` writes, and `json.dumps` without spaces and without escapes
        for letters: UTF-8, `/` as it is. See `glance.py`.

        Args:
            written: JSON texts, each with a newline after it and none within it.

        Returns:
            Offsets, in order; None if nothing can be said, for there are patterns or a callable of a user.
        """
        return None if self._patterns or self._also is not None else find_suspicious(written)

    def _is_clean(self, value: JSON, level: int) -> bool:
        """Whether a value is shallow, and nothing in it is taken out: most are, and this takes a third of the time."""
        if isinstance(value, str):
            return self.text(value) is value
        if isinstance(value, dict):
            if level > _SHALLOW:
                return False
            for key, child in value.items():
                if self._key(key) is not key or (_tells(child) and says_secret(key[-LONGEST_NAME:])):
                    return False
                if not self._is_clean(child, level + 1):
                    return False
            return True
        if isinstance(value, list):
            if level > _SHALLOW or any(map(_is_flag, value)):
                return False
            return all(self._is_clean(child, level + 1) for child in value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return self._number(value) is value
        return True

    def _key(self, key: str) -> str:
        return self._remembered(key) if len(key) <= LONGEST_NAME else self.text(key)

    def _number(self, number: float) -> float | str:
        if not self._patterns and number < SMALLEST_CARD:
            return number
        if not -LARGEST_CARD < number < LARGEST_CARD:
            return number
        written = repr(number)
        found = self._asked_for(written)
        find_cards(written, found)
        return SCRUBBED if found else number

    def _scrub(self, text: str) -> str:
        # What is left is searched again, so that scrubbing it once more finds nothing.
        for _ in range(_ROUNDS):
            scrubbed = self._once(text)
            if scrubbed == text:
                break
            text = scrubbed
        return text

    def _once(self, text: str) -> str:
        found = self._asked_for(text)
        if len(text) >= _SHORTEST:
            find_forms(text, found)
            named, card = may_hold(text) if len(text) >= _LONG else (True, True)
            if named:
                find_named(text, found)
            if card:
                find_cards(text, found)
        if not found:
            return text
        scrubbed = _replaced(text, found)
        return text if scrubbed == text else self._still_json(text, scrubbed)

    def _asked_for(self, text: str) -> list[Place]:
        found: list[Place] = []
        for pattern in self._patterns:
            find(pattern, text, found)
        return found

    def _still_json(self, text: str, scrubbed: str) -> str:
        """Return the scrubbed text; if it no longer is the JSON that it was, another that is."""
        try:
            value = json.loads(text)
            if _is_json(scrubbed):
                return scrubbed
            # What we took for one value was the end of one and the beginning of the next. Each by itself:
            apart = _Walk(self._scrub, self._scrub, self._number).through(value)
            words, escaped = json.dumps(apart, ensure_ascii=False), json.dumps(apart)
        except (ValueError, RecursionError):
            return scrubbed
        # If a user's pattern wants what no value holds alone, the secret weighs more than the bracket.
        asked = self._asked_for(words)
        return scrubbed if asked and _replaced(words, asked) != words else escaped


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(f"The scrubbing pattern {pattern!r} is not a regular expression: {error}.") from error


# --- values -------------------------------------------------------------------------------------------


class _Walk:
    """Goes through one value, without recursion: values may be nested as deep as they like.

    Args:
        text, key, number: scrub what they are named for.
    """

    def __init__(
        self,
        text: Callable[[str], str],
        key: Callable[[str], str],
        number: Callable[[float], float | str],
    ) -> None:
        self._text = text
        self._key = key
        self._number = number
        self._done: dict[int, JSON] = {}

    def through(self, value: JSON) -> JSON:
        """Return the value without its secrets; the same object if it has none."""
        seen: set[int] = set()
        stack = [(value, False)]
        while stack:
            node, ready = stack.pop()
            if ready:
                self._done[id(node)] = self._object(node) if isinstance(node, dict) else self._list(node)
            elif isinstance(node, (dict, list)) and id(node) not in seen:
                seen.add(id(node))
                stack.append((node, True))
                children = node.values() if isinstance(node, dict) else node
                stack.extend((child, False) for child in children if isinstance(child, (dict, list)))
        return self._child(value)

    def _child(self, child: JSON) -> JSON:
        if isinstance(child, str):
            return self._text(child)
        if isinstance(child, (dict, list)):
            # What holds itself is not JSON. Where it comes again it stays as it is.
            return self._done.get(id(child), child)
        if isinstance(child, (int, float)) and not isinstance(child, bool):
            return self._number(child)
        return child

    def _object(self, node: dict[str, JSON]) -> dict[str, JSON]:
        new: dict[str, JSON] = {}
        numbers: dict[str, int] = {}
        changed = False
        for key, child in node.items():
            name = self._key(key)
            kept = SCRUBBED if _tells(child) and says_secret(key[-LONGEST_NAME:]) else self._child(child)
            changed = changed or name != key or kept is not child
            # Two keys that were secrets must not become one.
            new_key = name
            while new_key != key and (new_key in node or new_key in new):
                numbers[name] = numbers.get(name, 1) + 1
                new_key = f"{name} ({numbers[name]})"
            new[new_key] = kept
        return new if changed else node

    def _list(self, node: list[JSON]) -> list[JSON]:
        new = [self._child(child) for child in node]
        for index, (flag, argument) in enumerate(pairwise(node), start=1):
            if _is_flag(flag) and isinstance(argument, str) and _tells(argument) and argument[0] != "-":
                new[index] = SCRUBBED
        return new if any(kept is not child for kept, child in zip(new, node, strict=True)) else node


def _tells(value: JSON) -> bool:
    """Whether the value under a secret's name can be a secret that has not been taken out yet."""
    if isinstance(value, (str, dict, list)):
        return bool(value) and value != SCRUBBED
    return value is not None and not isinstance(value, bool)


def _is_flag(argument: JSON) -> bool:
    return isinstance(argument, str) and argument[:1] == "-" and says_secret(argument[-LONGEST_NAME:])


# --- replacing ----------------------------------------------------------------------------------------

# A value after a key in quotes, itself without quotes: a number, an object, a list.
_BARE = re.compile(r"(?P<quote>(?<!\\)\\{0,63}[\"'])[ \t\r\n]{0,8}:[ \t\r\n]{0,8}\Z")
_BEFORE_BARE = 96


def _replaced(text: str, found: list[Place]) -> str:
    parts: list[str] = []
    at = 0
    for start, end in _merged(text, found):
        if text[start:end] != SCRUBBED:
            bare = _BARE.search(text, max(at, start - _BEFORE_BARE), start)
            quote = bare["quote"] if bare else ""
            parts += (text[at:start], quote, SCRUBBED, quote)
            at = end
    return "".join((*parts, text[at:]))


def _merged(text: str, found: list[Place]) -> list[Place]:
    """Return the spans in order, those that meet as one; what is scrubbed already counts as a span."""
    merged: list[Place] = []
    for start, end in sorted([*found, *(match.span() for match in _MARK.finditer(text))]):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


_MARK = re.compile(re.escape(SCRUBBED))
