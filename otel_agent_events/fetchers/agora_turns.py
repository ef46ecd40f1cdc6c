"""The turns of an Agora call: one turn read, and turns laid on the entries of the history.

Turns have times and no words, the history has words and no times, and no documented key joins them. Both are in the
order in which they happened, and the history is a window that holds the last entries: so turns are laid from the
last one backwards, and the first that does not fit ends it.
"""

from __future__ import annotations

import math
import re
from dataclasses import field
from typing import TYPE_CHECKING, TypeGuard

from otel_agent_events import times
from otel_agent_events.events import value
from otel_agent_events.fetchers.fields import Fields
from otel_agent_events.keys import shallow

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from otel_agent_events.events import JSON

FIRST_EPOCH_MS = 10**12
"""Milliseconds since 1970 from which on a number is a time (it is in 2001); a smaller one counts from elsewhere."""

_SAID_BY_AGENT = {"greeting", "silence_timeout", "api_speak"}
_CUT_SHORT = {"interrupted", "error"}
_METRIC = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_DURATIONS = {"start": ("speech_duration_ms", "interrupt_duration_ms"), "end": ("playback_duration_ms",)}
_NAMES = {"start": ("action", "transport", "greeting_nth"), "end": ("caused_by", "transport", "reason")}


@value()
class Turn:
    """What the platform recorded of one turn.

    Attributes:
        record: as it stands in the answer.
        number: its `turn_id`, when that is a number.
        started_by: the platform's word for how it began: `voice_input`, `greeting`.
        ended_by: its word for how it ended: `ok`, `interrupted`.
        start, end: nanoseconds since 1970.
        names: names, ids and flags, by the platform's names, dotted for nesting.
        measurements: in milliseconds, by the platform's names.
        left: what is held by none of these, and the times as they were written.
    """

    record: JSON
    number: float | None = None
    started_by: str | None = None
    ended_by: str | None = None
    start: int | None = None
    end: int | None = None
    names: Mapping[str, str | bool | int] = field(default_factory=dict)
    measurements: Mapping[str, float] = field(default_factory=dict)
    left: JSON = None

    @property
    def ignored(self) -> bool:
        """Whether the agent paid no heed to what was said; then it takes no entry."""
        return self.ended_by == "ignored"

    @property
    def interval(self) -> tuple[int | None, int | None]:
        """Its recorded start and end; twice the same when only one of them is known."""
        return (self.end if self.start is None else self.start), (self.start if self.end is None else self.end)

    def remainder(self, told: Collection[int | None]) -> JSON:
        """Give what is left of the turn beside these nanoseconds, which a span states."""
        if not isinstance(self.left, dict):
            return self.left
        left = dict(self.left)
        for section, name in (("start", "start_at"), ("end", "end_at")):
            stamp = moment(_inner(left, section).get(name))
            if stamp is not None and stamp.exact and stamp.nanoseconds in told:
                kept = {other: each for other, each in left[section].items() if other != name}
                left = {**left, section: kept}
        return {name: each for name, each in left.items() if each != {}} or None


@value()
class Place:
    """The positions of the entries that a turn takes: at least one of them is there."""

    user: int | None = None
    agent: int | None = None

    @property
    def carrier(self) -> int | None:
        """The entry that carries what was recorded of the turn: the agent's, if there is one."""
        return self.user if self.agent is None else self.agent


# --- one turn -----------------------------------------------------------------------------------------


def read_turn(as_it_stands: JSON, agent: str) -> Turn:
    """Read one turn of `/turns`, or of a notification. Anything is a turn, if only one that fits nowhere.

    Args:
        as_it_stands: the record in the answer.
        agent: whose turn it is; a turn that names this one need not say so.
    """
    record = shallow(as_it_stands)
    if not isinstance(record, dict):
        return Turn(record=as_it_stands, left=record)
    names: dict[str, str | bool | int] = {}
    measurements: dict[str, float] = {}
    fields = Fields(record)
    fields.drop("agent_id", agent)
    take_name(fields, record, "turn_id", names)
    sections: dict[str, JSON] = {}
    for section in ("start", "end"):
        inner = _inner(record, section)
        metadata = _inner(inner, "metadata")
        left, left_beside = Fields(inner), Fields(metadata)
        take_name(left, inner, "type", names, f"{section}.")
        for name in _NAMES[section]:
            take_name(left_beside, metadata, name, names, f"{section}.metadata.")
        for name in _DURATIONS[section]:
            take_measurement(left_beside, metadata, name, measurements)
        sections[section] = _left(left, metadata=left_beside.rest())
    sections["metrics"] = _take_metrics(_inner(record, "metrics"), measurements)
    number = record.get("turn_id")
    began, ended = moment(_inner(record, "start").get("start_at")), moment(_inner(record, "end").get("end_at"))
    return Turn(
        record=as_it_stands,
        number=number if is_number(number) else None,
        started_by=_word(_inner(record, "start").get("type")),
        ended_by=_word(_inner(record, "end").get("type")),
        start=None if began is None else began.nanoseconds,
        end=None if ended is None else ended.nanoseconds,
        names=names,
        measurements=measurements,
        left=_left(fields, **sections),
    )


def moment(number: JSON) -> times.Stamp | None:
    """Read milliseconds since 1970; None for what is none, or so small that it counts from elsewhere."""
    return times.epoch(number, times.MILLISECOND) if is_number(number) and number >= FIRST_EPOCH_MS else None


def is_number(told: JSON) -> TypeGuard[float]:
    """Say whether it is a finite number; true and false are none."""
    match told:
        case bool():
            return False
        case int():
            return True
        case float():
            return math.isfinite(told)
        case _:
            return False


def take_measurement(fields: Fields, record: Mapping[str, JSON], name: str, measurements: dict[str, float]) -> None:
    """Move a field that is a number to the measurements.

    Args:
        fields: what is left of the record; the number is taken out of it.
        record: the record itself.
        name: of the field.
        measurements: by name; one that is there already stays.
    """
    if name not in measurements and is_number(record.get(name)):
        measurements[name] = record[name]
        fields.drop(name, record[name])


def take_name(
    fields: Fields, record: Mapping[str, JSON], name: str, names: dict[str, str | bool | int], prefix: str = ""
) -> None:
    """Move a field that is a name or an id to the names; a number that came as a float stays beside, as it was.

    Args:
        fields: what is left of the record; the name is taken out of it.
        record: the record itself.
        name: of the field.
        names: by the name of the field, with the prefix before it.
        prefix: where in the whole record it is.
    """
    match record.get(name):
        case "" | None:
            pass
        case str() | bool() | int() as told:
            names[prefix + name] = told
            fields.drop(name, told)
        case float() as number if number.is_integer():
            names[prefix + name] = int(number)
        case _:
            pass


def _take_metrics(metrics: Mapping[str, JSON], measurements: dict[str, float]) -> JSON:
    """Move latencies to the measurements; give what is left."""
    fields = Fields(metrics)
    take_measurement(fields, metrics, "e2e_latency_ms", measurements)
    segments = fields.listed("segmented_latency_ms")
    if segments is None:
        return fields.rest()
    left = [_take_segment(each, measurements) for each in segments]
    return {**(fields.rest() or {}), "segmented_latency_ms": left} if left else fields.rest()


def _take_segment(segment: JSON, measurements: dict[str, float]) -> JSON:
    """Move the latency of a segment to the measurements; its name is left, and tells the order of the segments."""
    match segment:
        case {"name": str(name), "latency": latency, **rest} if (
            is_number(latency) and name not in measurements and _METRIC.fullmatch(name)
        ):
            measurements[name] = latency
            return {"name": name, **rest}
        case _:
            return segment


def _inner(record: Mapping[str, JSON], name: str) -> dict[str, JSON]:
    """Give an object inside an object; an empty one when it is none."""
    inner = record.get(name)
    return inner if isinstance(inner, dict) else {}


def _left(fields: Fields, **inner: JSON) -> JSON:
    """Give what is left of an object, and of the objects inside it; what is no object there is left as it is."""
    left = dict(fields.rest() or {})
    for name, rest in inner.items():
        if isinstance(left.get(name), dict):
            del left[name]
            if rest is not None:
                left[name] = rest
    return left or None


def _word(told: JSON) -> str | None:
    return told if isinstance(told, str) else None


# --- all turns ----------------------------------------------------------------------------------------


def in_order(turns: Iterable[Turn]) -> list[Turn]:
    """Sort turns by number when each has one; else the platform's order is all there is."""
    listed = list(turns)
    numbers = [turn.number for turn in listed if turn.number is not None]
    if len(numbers) < len(listed):
        return listed
    return [turn for _, turn in sorted(zip(numbers, listed, strict=True), key=lambda pair: pair[0])]


def current(turns: Sequence[Turn]) -> list[int]:
    """Give the positions of the turns that may take entries: of several states of one turn, only the last."""
    seen: set[float] = set()
    found: list[int] = []
    for position in reversed(range(len(turns))):
        turn = turns[position]
        if turn.number is not None and turn.number in seen:
            continue
        if turn.number is not None:
            seen.add(turn.number)
        if not turn.ignored:
            found.append(position)
    return found[::-1]


def lay(roles: Sequence[str | None], turns: Sequence[Turn], *, whole_from: int = 0) -> dict[int, Place]:
    """Lay turns on entries, from the last backwards.

    Args:
        roles: of the entries; what is neither `user` nor `assistant` belongs to no turn, and is passed over.
        turns: in order. The last one is the last of the call: else nobody knows where to begin.
        whole_from: the position before which entries are known to be missing; nothing is laid there.

    Returns:
        By the position of a turn, that of its entries. A turn that is missing here fits nowhere, or takes none.
    """
    spoken = [
        (position, role)
        for position, role in enumerate(roles)
        if position >= whole_from and role in {"user", "assistant"}
    ]
    waiting = current(turns)
    if spoken and waiting and spoken[-1][1] == "user" and turns[waiting[-1]].ended_by == "ok":
        spoken.pop()  # the beginning of a turn that has not ended yet
    places: dict[int, Place] = {}
    for position in reversed(waiting):
        turn = turns[position]
        match [role for _, role in spoken[-2:]]:
            case [*_, "assistant"] if turn.started_by in _SAID_BY_AGENT:
                places[position] = Place(agent=spoken.pop()[0])
            case ["user", "assistant"] if turn.started_by == "voice_input":
                agent, user = spoken.pop()[0], spoken.pop()[0]
                places[position] = Place(user=user, agent=agent)
            case [*_, "user"] if turn.started_by == "voice_input" and turn.ended_by in _CUT_SHORT:
                places[position] = Place(user=spoken.pop()[0])
            case _:
                break
    return places


# --- pages --------------------------------------------------------------------------------------------


def counts_pages(page: JSON) -> bool:
    """Say whether a page tells how many there are."""
    return is_number(_pagination_of(page).get("total_pages"))


def names_further(page: JSON, number: int) -> bool:
    """Say whether a page names a further one. Agora tells in two ways; a page that tells in none is the last.

    Args:
        page: the answer.
        number: its own, as far as we know; what the page says of it counts more.
    """
    pagination = _pagination_of(page)
    index, total = pagination.get("page_index"), pagination.get("total_pages")
    last = pagination.get("is_last_page")
    if last is True:
        return False
    if is_number(total):
        return (index if is_number(index) else number) < total
    return last is False


def _pagination_of(page: JSON) -> dict[str, JSON]:
    """Give what a page of turns says of pages; nothing when it does not."""
    return _inner(page, "pagination") if isinstance(page, dict) else {}
