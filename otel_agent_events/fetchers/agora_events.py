"""The events of an Agora call: of an entry and its turn, of a turn that has no entry, of an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_agent_events import times
from otel_agent_events.events import AgentMessage, Event, Note, Part, Structured, Text, UserMessage
from otel_agent_events.fetchers.agora_turns import FIRST_EPOCH_MS, take_measurement, take_name
from otel_agent_events.fetchers.fields import Fields
from otel_agent_events.keys import shallow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_agent_events.events import JSON
    from otel_agent_events.fetchers.agora_turns import Turn
    from otel_agent_events.fetchers.agora_windows import Entry


def entry_event(
    entry: Entry, key: str, turn: Turn | None, *, shared: bool, started: int | None, arrived: int | None = None
) -> Event:
    """Make the event of an entry.

    Args:
        entry: of the history.
        key: the event's.
        turn: which it is of, if that is known.
        shared: the turn has another entry, which carries all but its id and its start.
        started: nanosecond at which the call started, if known.
        arrived: nanosecond at which it came by itself: the time of an entry of which nothing else is known.
    """
    record = shallow(entry.record)
    if not isinstance(record, dict):
        return Note(key=key, remainder=record)
    fields = Fields(record)
    role = fields.name("role")
    if role not in {"user", "assistant"}:
        return Note(key=key, type=role, start=arrived, end=arrived, remainder=fields.rest())
    said = fields.value("content")
    start, end = _times_of_turn(turn, role)
    stated = {start, end if start is None or end is None else max(start, end)}
    if start is None:
        stated = set()
        start, end = _spoken(fields, record, started)
        if start is None and end is None:
            start = end = arrived
    measurements = {} if turn is None or shared else dict(turn.measurements)
    take_measurement(fields, record, "speech_algorithmic_delay", measurements)
    names = {} if turn is None else turn.names
    beside: dict[str, JSON] = {"earlier": list(entry.earlier)} if entry.earlier else {}
    left = None if turn is None or shared else turn.remainder(stated)
    if left is not None:
        beside["turn"] = left
    common: dict[str, Any] = {
        "key": key,
        "type": role,
        "start": start,
        "end": end,
        "measurements": measurements,
        "details": {name: each for name, each in names.items() if not shared or name == "turn_id"},
        "parts": () if said is None else (_part(said),),
        "remainder": _beside(fields.rest(), beside),
    }
    return UserMessage(**common) if role == "user" else AgentMessage(**common)


def _spoken(fields: Fields, record: Mapping[str, JSON], started: int | None) -> tuple[int | None, int | None]:
    """Take start and end of speech; a number that the span does not state exactly stays in the remainder."""
    told = {name: _moment(record.get(name), started) for name in ("speech_start_ms", "speech_end_ms")}
    known = [stamp.nanoseconds for stamp in told.values() if stamp is not None]
    if not known:
        return None, None
    start, end = known[0], known[-1]
    for name, stamp in told.items():
        if stamp is not None and stamp.exact and stamp.nanoseconds in {start, max(start, end)}:
            fields.drop(name, record[name])
    return start, end


def _moment(number: JSON, started: int | None) -> times.Stamp | None:
    """Read milliseconds since 1970, or since the call's start: the documents say the one, the SDK the other."""
    stamp = times.epoch(number, times.MILLISECOND)
    if stamp is None or number >= FIRST_EPOCH_MS:
        return stamp
    if started is None or started + stamp.nanoseconds > times.LATEST:
        return None
    return times.Stamp(started + stamp.nanoseconds, exact=False)


def _times_of_turn(turn: Turn | None, role: str) -> tuple[int | None, int | None]:
    """Say when an entry was said: the user's is a point, where the turn starts; the agent's runs to its end."""
    if turn is None:
        return None, None
    return (turn.start, turn.start) if role == "user" else turn.interval


def turn_note(turn: Turn, key: str, arrived: int | None = None) -> Note:
    """Make a note of a turn that has no entry; when it came is its time if it tells none."""
    if not isinstance(turn.record, dict):
        return Note(key=key, remainder=turn.left)
    start, end = turn.interval
    stated = set() if start is None or end is None else {start, max(start, end)}
    if start is None and end is None:
        start = end = arrived
    return Note(
        key=key,
        name="agora_turn",
        start=start,
        end=end,
        attributes=turn.names,
        measurements=turn.measurements,
        remainder=turn.remainder(stated),
    )


def error_note(error: JSON, key: str) -> Note:
    """Make a note of an error that a notification tells; it has no time of its own."""
    record = shallow(error)
    if not isinstance(record, dict):
        return Note(key=key, remainder=record)
    fields = Fields(record)
    names: dict[str, str | bool | int] = {}
    for name in ("module", "code", "turn_id"):
        take_name(fields, record, name, names)
    message = fields.text("message")
    content = {} if message is None else {"message": message}
    return Note(key=key, name="agora_error", attributes=names, content=content, remainder=fields.rest())


def unknown_note(notification: JSON, key: str, notice: str | None) -> Note:
    """Make a note of a notification of which nothing is known; it is kept whole."""
    event = notification.get("eventType")
    type_ = str(event) if isinstance(event, (int, str)) and not isinstance(event, bool) else None
    return Note(key=key, type=type_, id=notice, remainder=shallow(notification))


def _part(said: JSON) -> Part:
    return Text(text=said) if isinstance(said, str) else Structured(content=said)


def _beside(rest: JSON, beside: Mapping[str, JSON]) -> JSON:
    """Put what we add to a remainder beside the members of the record, none of which may be hidden by it."""
    if rest is None or not beside:
        return rest if not beside else dict(beside)
    return {**rest, **beside} if rest.keys().isdisjoint(beside) else {"record": rest, **beside}
