"""Which records are new, and the key of each (mapping.md section 4).

Every reader of every platform asks here, so that a record that comes twice is one event wherever it comes from.
"""

from __future__ import annotations

from array import array
from collections import Counter
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from otel_agent_events.ids import canonical, content_key

if TYPE_CHECKING:
    from otel_agent_events.events import JSON

DEEPEST = 100
"""Levels of nesting that a record may have; what lies deeper is kept as its JSON text."""


class Keys:
    """The keys given so far in one session.

    Attributes:
        duplicates: how many records were met again and give no event.
    """

    def __init__(self) -> None:
        self.duplicates = 0
        self._taken = _Hashes()
        self._records = _Hashes()
        self._last_number: dict[str, int] = {}  # of the keys that were wanted more than once
        self._met: Counter[str] = Counter()
        self._met_in_listing: Counter[tuple[str, str]] = Counter()

    def claim(self, record: JSON, identifier: str | None = None, *, listing: str = "") -> str | None:
        """Give the key of a record, or None when this very record was met before.

        Args:
            record: as the platform gave it, before any content policy.
            identifier: the platform's id of the record, if it has one.
            listing: names the list in which the record was met. Pages of one list bear one name; when the same
                records are met in several lists, the n-th equal record of one list is the n-th of the others.
        """
        key = key_of(record)
        if identifier is None:
            return self._claim_by_content(key, listing)
        if not self._records.add(f"{identifier}\0{key}"):
            self.duplicates += 1
            return None
        return self._next_free(identifier)

    def _claim_by_content(self, key: str, listing: str) -> str | None:
        self._met_in_listing[listing, key] += 1
        if self._met_in_listing[listing, key] <= self._met[key]:
            self.duplicates += 1
            return None
        self._met[key] += 1
        return self._next_free(key)

    def _next_free(self, key: str) -> str:
        if self._taken.add(key):
            return key
        number = self._last_number.get(key, 1) + 1
        while not self._taken.add(f"{key}#{number}"):
            number += 1
        self._last_number[key] = number
        return f"{key}#{number}"


class _Hashes:
    """A set of texts, of which 8 bytes each are kept: a session may have millions of records.

    Two of a million texts are taken for one another once in some 40 million sessions.
    """

    _FULLEST = 0.6

    def __init__(self) -> None:
        self._table = array("Q", bytes(8 * 64))
        self._count = 0

    def add(self, text: str) -> bool:
        """Add a text; False when it is there already."""
        digest = sha256(text.encode("utf-8", "surrogatepass")).digest()
        place = self._place(int.from_bytes(digest[:8], "big") or 1)  # zero is an empty place
        if place is None:
            return False
        self._count += 1
        if self._count > self._FULLEST * len(self._table):
            self._grow()
        return True

    def _place(self, digest: int) -> int | None:
        """Put a hash into the first free place from its own on; None when it is met on the way."""
        table, mask = self._table, len(self._table) - 1
        place = digest & mask
        while table[place]:
            if table[place] == digest:
                return None
            place = (place + 1) & mask
        table[place] = digest
        return place

    def _grow(self) -> None:
        old, self._table = self._table, array("Q", bytes(2 * 8 * len(self._table)))
        for digest in old:
            if digest:
                self._place(digest)


class Changed:
    """A record from which something was taken out when it was recorded: it keeps its original key.

    Attributes:
        original: the key of the record by its content, as the platform gave it.
    """

    original: str


class _ChangedObject(dict[str, Any], Changed):
    __slots__ = ("original",)


class _ChangedList(list[Any], Changed):
    __slots__ = ("original",)


class _ChangedText(str, Changed):
    __slots__ = ("__dict__",)  # a text has no room for others


def changed(record: JSON, original: str) -> JSON:
    """Give a record with the key that it had before something was taken out of it.

    A number, true, false or null is given as it is: nothing can be taken out of one.
    """
    kept: Changed
    match record:
        case dict():
            kept = _ChangedObject(record)
        case list():
            kept = _ChangedList(record)
        case str():
            kept = _ChangedText(record)
        case _:
            return record
    kept.original = original
    return kept


def key_of(record: JSON) -> str:
    """Give the key of a record by its content: `c:` and 16 hex digits (mapping.md section 4)."""
    return record.original if isinstance(record, Changed) else content_key(_spelling(record))


class _Written(str):
    """JSON that is written already."""

    __slots__ = ()


def _spelling(record: JSON) -> str:
    """Spell a record canonically, however deep it is."""
    try:
        return canonical(record)
    except RecursionError:
        return _canonical_of_deep(record)


def _canonical_of_deep(record: JSON) -> str:
    """Write what `canonical` writes, without recursion, which has its limit at a thousand levels."""
    written: list[str] = []
    pending: list[JSON] = [record]
    while pending:
        part = pending.pop()
        if isinstance(part, _Written):
            written.append(part)
        elif isinstance(part, dict):
            members = [
                each
                for number, (name, inner) in enumerate(sorted(part.items()))
                for each in (_Written(f"{',' if number else ''}{canonical(name)}:"), inner)
            ]
            pending.extend((_Written("}"), *reversed(members), _Written("{")))
        elif isinstance(part, list):
            items = [each for inner in part for each in (_Written(","), inner)][1:]
            pending.extend((_Written("]"), *reversed(items), _Written("[")))
        else:
            written.append(canonical(part))
    return "".join(written)


def shallow(record: JSON) -> JSON:
    """Give the record with all that lies deeper than `DEEPEST` levels replaced by its JSON text.

    Nothing is lost by that, and every later stage may recurse. A record that is not so deep is returned as it is.
    """
    pending = [(record, 1)]
    while pending:
        part, level = pending.pop()
        if level > DEEPEST:
            return _flattened(record, 1)
        if isinstance(part, dict):
            pending.extend((inner, level + 1) for inner in part.values() if isinstance(inner, (dict, list)))
        elif isinstance(part, list):
            pending.extend((inner, level + 1) for inner in part if isinstance(inner, (dict, list)))
    return record


def _flattened(part: JSON, level: int) -> JSON:
    if not isinstance(part, (dict, list)):
        return part
    if level > DEEPEST:
        return _canonical_of_deep(part)
    if isinstance(part, dict):
        return {name: _flattened(inner, level + 1) for name, inner in part.items()}
    return [_flattened(inner, level + 1) for inner in part]
