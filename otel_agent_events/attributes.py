"""Attribute values in their final form: valid UTF-8, valid JSON, no longer than allowed.

OTLP cannot hold everything that a JSON parser can give. One bad value must cost no other span, so every value is
brought into form once, here, and what had to be changed is counted.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from pydantic_core import PydanticSerializationError, to_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_agent_events.events import JSON

OWN = "otel_agent_events."
"""The prefix of the names that are our own."""


class Json(NamedTuple):
    """A structured value; it goes out as its JSON text, since every back end reads that."""

    value: JSON


Attribute: TypeAlias = str | bool | int | float | Sequence[str] | Json
"""What a convention may give as the value of an attribute."""

Final: TypeAlias = str | bool | int | float | tuple[str, ...]
"""What a span holds: nothing in it can fail to be encoded."""

_LEAST, _MOST = -(2**63), 2**63 - 1
_CUT_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*(\\(?:u[0-9a-fA-F]{0,3})?)$")


class Finisher:
    """Bring values into their final form.

    Args:
        max_value: the most bytes of UTF-8 that one text may have.

    Attributes:
        changed: how many values OTLP could not hold as they were: unpaired surrogates, integers beyond 64 bits, NaN.
    """

    def __init__(self, max_value: int) -> None:
        self.max_value = max_value
        self.changed = 0
        self._names: dict[str, str] = {}

    def attributes(self, raw: Mapping[str, Attribute | None]) -> dict[str, Final]:
        """Bring attributes into final form and leave out what is None: absent is not zero.

        A text that had to be cut is followed by `<attribute>.original_length`, in bytes of UTF-8.
        """
        final: dict[str, Final] = {}
        names, most = self._names, self.max_value
        for raw_name, value in raw.items():
            if value is None:
                continue
            name = names.get(raw_name) or self._name(raw_name)
            # Every attribute of every span comes through here, so the frequent cases stand first, and plainly.
            kind = type(value)
            if (
                (kind is str and len(value) <= most and value.isascii())  # type: ignore[arg-type, union-attr]
                or kind is bool
                or (kind is int and _LEAST <= value <= _MOST)  # type: ignore[operator]
            ):
                final[name] = value  # type: ignore[assignment]
            else:
                self._take(final, name, value)
        return final

    def _take(self, final: dict[str, Final], name: str, value: Attribute) -> None:
        match value:
            case bool():
                final[name] = value
            case str() | Json():
                final[name], length = self.text(value) if isinstance(value, str) else self.json(value.value)
                if length is not None:
                    final[f"{name}.original_length"] = length
            case int() | float():
                final[name] = self._number(value)
            case _:
                final[name] = tuple(self.text(each)[0] for each in value)

    def text(self, value: str) -> tuple[str, int | None]:
        """Give a text that is valid UTF-8 and short enough, and its original length when it had to be cut.

        A text that is JSON is JSON afterwards.
        """
        if len(value) <= self.max_value and value.isascii():
            return value, None
        encoded = self._utf8(value)
        if len(encoded) <= self.max_value:
            return (value if len(value) == len(encoded) else encoded.decode()), None
        if value[:1] in {"{", "["}:
            with suppress(ValueError, RecursionError):  # then it is a text like any other
                return beginning(json.loads(value), self.max_value), len(encoded)
        return encoded[: self.max_value].decode("utf-8", "ignore"), len(encoded)

    def json(self, value: JSON) -> tuple[str, int | None]:
        """Give the JSON text of a value, cut where the limit falls with its brackets closed, so that it is valid."""
        try:
            text = json_text(value)
        except ValueError:  # NaN and infinity are numbers to Python, and nothing to JSON
            self.changed += 1
            value = _without_nan(value)
            text = json_text(value)
        if len(text) <= self.max_value and text.isascii():
            return text, None
        encoded = self._utf8(text)
        if len(encoded) <= self.max_value:
            return encoded.decode(), None
        return beginning(value, self.max_value), len(encoded)

    def _utf8(self, text: str) -> bytes:
        try:
            return text.encode()
        except UnicodeEncodeError:
            # A backslash escape is readable in a text, and in JSON text it is the very character.
            self.changed += 1
            return text.encode("utf-8", "backslashreplace")

    def _number(self, value: float) -> Final:
        if isinstance(value, int):
            if _LEAST <= value <= _MOST:
                return value
        elif math.isfinite(value):
            return value
        self.changed += 1
        return self.text(str(value))[0]

    def _name(self, name: str) -> str:
        """Bring the name of an attribute into form; the names of a session are few, and come again."""
        final = self._names[name] = self.text(name)[0]
        return final


def beginning(value: JSON, room: int) -> str:
    """Write as much of a value as fits into so many bytes of UTF-8, as valid JSON: the open brackets are closed."""
    cutter = _Cutter(room)
    cutter.write(value)
    return b"".join(cutter.written).decode() or "null"


def json_text(value: JSON) -> str:
    """Write a value as JSON, without spaces and with all characters as they are.

    Raises:
        ValueError: there is a NaN or an infinity in it.
    """
    try:
        return json_bytes(value).decode()
    except PydanticSerializationError:  # unpaired surrogates; Python's own writer leaves them for the caller
        return _encode(value)


def json_bytes(value: JSON) -> bytes:
    """Write a value as JSON in UTF-8, without spaces and with all characters as they are.

    Raises:
        PydanticSerializationError: there is an unpaired surrogate in it.
        ValueError: there is a NaN, an infinity or an unpaired surrogate in it.
    """
    written = to_json(value)
    # The quick writer gives the same text as Python's own, but for NaN and for floats that have an exponent. To look
    # for what those are spelled with is quicker than to look at every value; words that have it are looked at.
    if _has_exponents and not (
        b"e-" in written or b"e+" in written or b"0.0000" in written or b"NaN" in written or b"Infinity" in written
    ):
        return written
    return written if type(value) is str or _is_spelled_alike(value) else _encode(value).encode()


_has_exponents = to_json(1e22) == b"1e+22"
"""Whether an exponent is always signed; older releases of pydantic-core leave the plus out."""


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def _is_spelled_alike(value: JSON) -> bool:
    """Say whether a value holds nothing that the two writers spell differently, or that only one of them takes."""
    pending = [value]
    for part in pending:
        kind = type(part)
        if kind is dict:
            pending.extend(part.values())
        elif kind is list:
            pending.extend(part)
        elif kind is float:
            if not (_LEAST_PLAIN <= part < _MOST_PLAIN or -_MOST_PLAIN < part <= -_LEAST_PLAIN):
                return False
        elif kind is not str and kind is not int and kind is not bool and part is not None:
            return False
    return True


_LEAST_PLAIN, _MOST_PLAIN = 1e-4, 1e16
"""Between these Python writes a float without an exponent."""


def _without_nan(value: JSON) -> JSON:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _without_nan(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(inner) for inner in value]
    return value


class _Cutter:
    """Write the beginning of a value as valid JSON in at most `room` bytes, stopping at what does not fit."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.full = False
        self.written: list[bytes] = []

    def write(self, value: JSON) -> bool:
        """Write as much of a value as there is room for; False when there is none even for a bit of it."""
        if isinstance(value, Mapping):
            return self._all(b"{", ((_bytes(name) + b":", inner) for name, inner in value.items()), b"}")
        if isinstance(value, (list, tuple)):
            return self._all(b"[", ((b"", inner) for inner in value), b"]")
        if isinstance(value, str) and len(value) + 2 > self.room:
            return self._beginning(value)
        text = _bytes(value)
        if len(text) <= self.room:
            self._put(text)
            return True
        if isinstance(value, str):
            return self._beginning(value)
        self.full = True
        return False

    def _put(self, text: bytes) -> None:
        self.written.append(text)
        self.room -= len(text)

    def _all(self, opening: bytes, items: Iterable[tuple[bytes, JSON]], closing: bytes) -> bool:
        if self.room < len(opening) + len(closing):
            self.full = True
            return False
        self._put(opening)
        self.room -= len(closing)
        comma = b""
        for name, inner in items:
            if len(comma) + len(name) > self.room:
                self.full = True
                break
            self._put(comma + name)
            if not self.write(inner):
                self.written.pop()
                break
            if self.full:
                break
            comma = b","
        self.written.append(closing)
        return True

    def _beginning(self, value: str) -> bool:
        self.full = True
        quotes = 2
        if self.room < quotes:
            return False
        beginning = _bytes(value[: self.room])[1:-1][: self.room - quotes]
        whole = _CUT_ESCAPE.sub(_without_escape, beginning.decode("utf-8", "ignore"))
        self._put(f'"{whole}"'.encode())
        return True


def _bytes(value: JSON) -> bytes:
    if isinstance(value, float):
        value = _without_nan(value)
    return json_text(value).encode("utf-8", "backslashreplace")


def _without_escape(found: re.Match[str]) -> str:
    """Leave out an escape that was cut in the middle, and keep the whole ones before it."""
    return found[0][: found.start(1) - found.start(0)]
