"""What a service hands on, as the readers of platforms take it: parsed JSON, or an event of ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from types import GeneratorType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, cast

from msgspec import Struct
from msgspec.structs import replace
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from otel_agent_events import times
from otel_agent_events.errors import ReadError, UsageError
from otel_agent_events.events import KINDS, AgentMessage, Caution, Event, Session, Thinking, stamped
from otel_agent_events.fetchers import FETCHERS, Answer, LiveReader
from otel_agent_events.fetchers.client import parse_json
from otel_agent_events.fetchers.neutral import Neutral, NeutralReader
from otel_agent_events.fetchers.neutral_lines import KINDS as KINDS_OF_LINES
from otel_agent_events.keys import Keys
from otel_agent_events.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otel_agent_events.events import JSON
    from otel_agent_events.fetchers import Item, Readable, Reader

Record: TypeAlias = Any
"""A platform's own record (a dict, JSON as text or bytes, or what a vendor's SDK makes of it), or an event of ours."""

Snapshot: TypeAlias = bytes | Event
"""A record that nobody changes any more: as JSON, or an event."""


def taken(record: Record) -> JSON | Event:
    """Give a record as parsed JSON that is nobody else's, or the event that it is.

    Raises:
        ReadError: it is neither, nor can it be made so.
    """
    if _is_event(record):
        event: Event = record
        return _checked(event)
    if isinstance(record, (str, bytes, bytearray, memoryview)):
        return parsed(record)
    return _dumped(record)


def snapshot(record: Record) -> Snapshot:
    """Give a record in a form that its owner cannot change any more.

    Raises:
        ReadError: as `taken` does.
    """
    kind = type(record)
    if kind is dict:
        try:
            return to_json(record, inf_nan_mode="constants")
        except (PydanticSerializationError, ValueError):
            return _written(_dumped(record))  # an unpaired surrogate, a value that is no JSON, or one that is deep
    if _is_event(record):
        event: Event = record
        return _checked(event)
    if isinstance(record, str):
        return record.encode("utf-8", "surrogatepass")
    if isinstance(record, (bytes, bytearray, memoryview)):
        return bytes(record)
    return _written(_dumped(record))


def _written(told: JSON) -> bytes:
    try:
        return to_json(told, inf_nan_mode="constants")
    except (PydanticSerializationError, ValueError):  # an unpaired surrogate, or it is deep
        return json.dumps(told).encode()


def _is_event(record: Record) -> bool:
    return isinstance(record, Struct) and not KINDS.isdisjoint(type(record).__mro__)


def parsed(text: str | bytes | bytearray | memoryview) -> JSON:
    """Parse a record that is a text.

    Raises:
        ReadError: it is not JSON. It is not quoted.
    """
    try:
        return parse_json(text.encode() if isinstance(text, str) else bytes(text))
    except (ValueError, RecursionError):
        raise ReadError("a record is a text that is not JSON") from None


def _checked(event: Event) -> Event:
    """Give an event without times that no span can have: they would cost the events after it as well."""
    start, end = (told if is_time(told) else None for told in (event.start, event.end))
    return event if start is event.start and end is event.end else replace(event, start=start, end=end)


def is_time(told: object) -> TypeGuard[int]:
    """Say whether this is a time in nanoseconds since 1970 that a span can have."""
    return type(told) is int and 0 <= told <= times.LATEST


def _dumped(record: Record) -> JSON:
    """Give what a vendor's SDK made of a record as JSON again; what was not set is left out."""
    if isinstance(record, GeneratorType):
        raise ReadError("a record is a generator, which is left to its owner")
    if isinstance(record, Mapping) and not isinstance(record, dict):
        record = dict(record)
    if type(record) is not dict and not isinstance(record, type):
        for name, options in (
            ("model_dump", {"mode": "json", "by_alias": True}),
            ("dict", {"by_alias": True}),
        ):
            dump = getattr(record, name, None)
            if callable(dump):
                try:
                    return _jsonable(dump(**options, **_LEFT_OUT[_is_made_by_hand(record)]))
                except Exception:  # noqa: BLE001, S112 - it is somebody else's method, and may be of another kind
                    continue
    return _jsonable(record)


_LEFT_OUT = {False: {"exclude_unset": True}, True: {"exclude_none": True}}
"""By whether an object was made by hand, what of it is no part of the record."""


def _is_made_by_hand(record: Record) -> bool:
    """Say whether a model was made by somebody who left it its type, and not parsed from what a platform sent."""
    told = getattr(record, "model_fields_set", None)
    return isinstance(told, set) and "type" not in told and isinstance(getattr(record, "type", None), str)


def _jsonable(record: Record) -> JSON:
    try:
        return to_jsonable_python(record, inf_nan_mode="constants")
    except (PydanticSerializationError, ValueError, TypeError, RecursionError):
        pass
    if isinstance(record, (dict, list, tuple)):
        try:
            return to_jsonable_python(record, serialize_unknown=True, inf_nan_mode="constants")
        except (PydanticSerializationError, ValueError, TypeError, RecursionError):
            pass
        try:  # it goes deeper than the other one does
            return json.loads(json.dumps(record, default=str))
        except (ValueError, TypeError, RecursionError):
            pass
    raise ReadError(f"a record is of a type that is no JSON: {type(record).__name__}")


def reference_of(session: object) -> Reference:
    """Give the session that a service names.

    Raises:
        UsageError: it names none. The words are always the same, and quote nothing: what is named may be of a user.
    """
    if isinstance(session, Reference):
        return session
    with suppress(UsageError):
        if isinstance(session, str):
            return Reference.parse(session)
    raise UsageError("a session's name is none: write FETCHER:PATH, such as vectara:AGENT/SESSION")


def told_of(**told: object) -> dict[str, str]:
    """Give what a service told of a session. What is empty, or no text, was not told."""
    return {name: each for name, each in told.items() if isinstance(each, str) and each}


class Reading:
    """The records of one session as events, one by one.

    Args:
        reference: of the session. Of a platform for which there is no fetcher only neutral events can be read.
        in_order: records come in the order in which they happened, so that those of a platform whose answers are
            otherwise sorted and merged are told at once.
        stamp: a record without a time gets that of its arrival.

    Attributes:
        readable: what the records are read with.
        at_once: reads a dict that is a record of the platform, when each of them is read at once and gets the time of
            its arrival; it gives None for any other one, for `take`.
        takes_dicts: whether a dict is read as it is, whatever is in it, and of what is in it only scalars are kept
            when no contents leave; else it is to be made JSON first.
    """

    def __init__(self, reference: Reference, *, in_order: bool, stamp: bool = True) -> None:
        self._reference = reference
        self.readable = readable_of(reference.platform)
        self._reader = self.readable.reader(reference)
        live = _live(self._reader)
        at_once = live is not None and live.at_once
        self._take = None if live is None else live.take
        self.at_once = self._take if at_once and stamp and not isinstance(self._reader, NeutralReader) else None
        self.takes_dicts = live is not None and live.takes_dicts
        self._stamp = stamp
        self._keys = Keys() if in_order and not at_once else None
        self._neutral = self._reader if isinstance(self._reader, NeutralReader) else None

    @property
    def duplicates(self) -> int:
        """How many records were met again, and gave no event."""
        return self._reader.duplicates if self._keys is None else self._keys.duplicates

    def take(self, record: JSON | Event, arrived: int, label: str | None = None) -> Iterable[Item]:
        """Give what a record tells.

        Args:
            record: as `taken` gives it.
            arrived: nanoseconds since 1970 at which it came.
            label: that of the answer which this is, when it is a whole one.

        Raises:
            ReadError: it is no record of this platform.
        """
        at = arrived if self._stamp else None
        if label is not None:
            return self._reader.feed(Answer(label=label, body=record, source="an answer"))
        if type(record) is not dict and isinstance(record, Struct):  # to ask for an instance takes long
            event = cast("Event", record)
            return (event if at is None else stamped(event, at, finished=type(event) in _TAKE_TIME),)
        if isinstance(record, dict) and record.get("kind") in KINDS_OF_LINES:  # it may have a type as well
            if self._neutral is None:  # few sessions have such records, and there is one of these for each turn
                self._neutral = NeutralReader(self._reference)
            return [item for item in self._neutral.take(record, at) or () if isinstance(item, Struct)]
        if self._keys is None:
            items = self._take(record, at) if self._take is not None else None
            return self._otherwise(self._reader, record, at) if items is None else items
        return self._alone(self._keys, record, at)

    def close(self) -> Iterable[Item]:
        """Give what is told only when everything has been read."""
        return self._reader.close() if self._keys is None else ()

    def _alone(self, keys: Keys, record: JSON, at: int | None) -> Sequence[Item]:
        """Read a record by itself: what its reader holds until the end is told now."""
        reader = self.readable.reader(self._reference)
        live = _live(reader)
        items = None if live is None else live.take(record, at)
        if items is None:
            items = self._otherwise(reader, record, at)
        # What such a reader knows of the session without this record takes nothing away that others have told.
        bare = facts_of(self._reference)
        told = [item for item in (*items, *reader.close()) if not isinstance(item, Caution) and item != bare]
        identifier = next((item.id for item in told if not isinstance(item, (Session, Caution))), None)
        if identifier is not None and keys.claim(record, identifier) is None:
            return ()
        return told

    def _otherwise(self, reader: Reader, record: JSON, at: int | None) -> Iterable[Item]:
        """Read what is not known for a single record of the platform: an answer, or an odd record."""
        recognise = getattr(self.readable, "recognise", None)
        label = None if recognise is None else recognise(record)
        if label is not None:
            return reader.feed(Answer(label=label, body=record, source="a record"))
        live = _live(reader)
        items = None if live is None else live.take(record, at, anyhow=True)
        if items is None:
            raise ReadError(
                f"the fetcher of {self._reference.platform} reads no single records: hand on neutral events"
            )
        return items


def _live(reader: Reader) -> LiveReader | None:
    """Give a reader as one of single records, if it is one. That takes long, so it is found out once a type."""
    kind = type(reader)
    if kind not in _LIVE:
        _LIVE[kind] = isinstance(reader, LiveReader)
    return cast("LiveReader", reader) if _LIVE[kind] else None


_LIVE: dict[type, bool] = {}
"""By the type of a reader, whether it reads single records."""

_TAKE_TIME = frozenset({Thinking, AgentMessage})
"""What is stamped when it is finished."""


@lru_cache(maxsize=100)
def readable_of(platform: str) -> Readable:
    """Give what reads the records of a platform: its fetcher, or neutral events where there is none."""
    return FETCHERS.get(platform) if platform in FETCHERS.names() else Neutral()


@lru_cache(maxsize=256)
def facts_of(reference: Reference) -> Session:
    """Give what the reference alone tells of a session."""
    told = readable_of(reference.platform).reader(reference).close()
    session = next((item for item in told if isinstance(item, Session)), None)
    return session or Session(reference=reference, id=reference.path[-1] or None)
