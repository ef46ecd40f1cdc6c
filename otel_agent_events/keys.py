"""Which records are new, and the key of each (mapping.md section 4).

Every reader of every platform asks here, so that a record that comes twice is one event wherever it comes from.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from otel_agent_events.claims import new_claims
from otel_agent_events.ids import canonical, content_key

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from otel_agent_events.events import JSON

DEEPEST = 100
"""Levels of nesting that a record may have; what lies deeper is kept as its JSON text."""


def _in_no_other_way() -> None:
    """A record is told in one way only."""


class Keys:
    """The keys given so far in one session.

    Attributes:
        duplicates: how many records were met again and give no event.
        may_be_deep: False when the record that was claimed last lies within `DEEPEST` levels for certain, so that
            `shallow` would return it as it is.
    """

    def __init__(self) -> None:
        self.duplicates = 0
        self.may_be_deep = True
        self._taken = new_claims()
        self._others = new_claims()  # records that did not get their own id for a key, with that id
        self._last_number: dict[str, int] = {}  # of the keys that were wanted more than once
        self._met: Counter[str] = Counter()
        self._met_in_listing: Counter[tuple[str, str]] = Counter()

    def claim(
        self,
        record: JSON,
        identifier: str | None = None,
        *,
        listing: str = "",
        otherwise: Callable[[], int | None] = _in_no_other_way,
    ) -> str | None:
        """Give the key of a record, or None when this very record was met before.

        Args:
            record: as the platform gave it, before any content policy.
            identifier: the platform's id of the record, if it has one.
            listing: names the list in which the record was met. Pages of one list bear one name; when the same
                records are met in several lists, the n-th equal record of one list is the n-th of the others.
            otherwise: as `claim_told` takes it.
        """
        self.may_be_deep = True
        if identifier is None:
            return self._claim_by_content(key_of(record), listing)
        return self.claim_told(identifier, self.digest(record), otherwise)

    def claim_new(self, identifiers: Sequence[str], digests: Sequence[int]) -> bool:
        """Claim several records at once: each gets its id for its key. False, and nothing is done, when one is not new.

        Args:
            identifiers: the platform's ids of the records.
            digests: of the records: equal for equal ones, and not zero.
        """
        return self._taken.add_new(identifiers, digests)

    def claim_told(self, identifier: str, digest: int, otherwise: Callable[[], int | None]) -> str | None:
        """Give the key of a record that is known by a digest, or None when this very record was met before.

        Args:
            identifier: the platform's id of the record.
            digest: equal for equal records that are told in this way, and not zero.
            otherwise: gives the digest of the same record told in another way, if there is one: the one that was met
                before may have been told so. It is only asked when the id was met before.
        """
        holder = self._taken.add(hash(identifier), digest)
        if holder is None:
            return identifier
        other = digest if holder == digest else otherwise()
        if holder in (digest, other) or self._was_met(identifier, digest, other):
            self.duplicates += 1
            return None
        return self._next_free(identifier)

    def _was_met(self, identifier: str, digest: int, other: int | None) -> bool:
        """Note a record that does not get its own id for a key; say whether it was noted before, in either way."""
        met = self._others.add(hash((identifier, digest)), digest) is not None
        return met or (other is not None and self._others.add(hash((identifier, other)), other) is not None)

    def _claim_by_content(self, key: str, listing: str) -> str | None:
        self._met_in_listing[listing, key] += 1
        if self._met_in_listing[listing, key] <= self._met[key]:
            self.duplicates += 1
            return None
        self._met[key] += 1
        return self._next_free(key)

    def _next_free(self, key: str) -> str:
        if self._taken.add(hash(key), _NOBODY) is None:
            return key
        number = self._last_number.get(key, 1) + 1
        while self._taken.add(hash(f"{key}#{number}"), _NOBODY) is not None:
            number += 1
        self._last_number[key] = number
        return f"{key}#{number}"

    def digest(self, record: JSON) -> int:
        """Give a number by which an equal record is known again in this process; it is not zero."""
        if isinstance(record, Changed):
            return hash(record.original) or 1
        try:
            digest = hash(_typed(record, 1))
        except _TooDeepError:
            return hash(_canonical_of_deep(record)) or 1
        self.may_be_deep = False
        return digest or 1


_NOBODY = 0
"""Stands for the record of a key that no record has as its own id."""


class _TooDeepError(Exception):
    """A record has more than `DEEPEST` levels."""


def digest_of(value: JSON) -> int:
    """Give a number that is equal for equal JSON in this process, whatever the order of members.

    Args:
        value: has at most `DEEPEST` levels.
    """
    return hash(_typed(value, 1))


def _typed(part: JSON, level: int) -> Hashable:
    """Give a value that is equal for equal JSON and for nothing else, whatever the order of members.

    Python holds 1, 1.0 and true to be equal, and JSON does not. The built-in `hash` is used, since it goes through a
    text once at the speed of C: that it differs from process to process does not show in any result.

    Raises:
        _TooDeepError: there are more than `DEEPEST` levels in it.
    """
    if isinstance(part, dict):
        if level > DEEPEST:
            raise _TooDeepError
        members: dict[str, Hashable] = part
        for name, inner in part.items():
            if inner.__class__ is not str:  # most are, and stand for themselves
                if members is part:
                    members = dict(part)
                members[name] = _typed(inner, level + 1)
        return frozenset(members.items())
    if isinstance(part, list):
        if level > DEEPEST:
            raise _TooDeepError
        return tuple([inner if inner.__class__ is str else _typed(inner, level + 1) for inner in part])
    if part is None or part is True or part is False:
        return (part,)
    if isinstance(part, str):
        return part
    # Some numbers have one hash: -1 and -2, those that are far apart, and 1 and 1.0.
    small = part.__class__ is int and 0 <= part < _SMALL
    return (int, part) if small else (part.__class__, repr(part))


_SMALL = 1 << 32


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
    parts = [record] if isinstance(record, (dict, list)) else []
    for _ in range(DEEPEST):
        deeper: list[JSON] = []
        for part in parts:
            for inner in part.values() if isinstance(part, dict) else part:
                if inner.__class__ is not str and isinstance(inner, (dict, list)):
                    deeper.append(inner)  # noqa: PERF401 - twice as quick as a comprehension for each part
        if not deeper:
            return record
        parts = deeper
    return _flattened(record, 1)


def _flattened(part: JSON, level: int) -> JSON:
    if not isinstance(part, (dict, list)):
        return part
    if level > DEEPEST:
        return _canonical_of_deep(part)
    if isinstance(part, dict):
        return {name: _flattened(inner, level + 1) for name, inner in part.items()}
    return [_flattened(inner, level + 1) for inner in part]
