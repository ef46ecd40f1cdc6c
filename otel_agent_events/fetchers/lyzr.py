"""Lyzr: the activities of a session and its messages, `lyzr:USER/SESSION`.

Facts and their sources are those of the documents of Lyzr's Agent API (2024), its Python client 0.1.0, and what the
Studio's front end reads, which contradict each other; where they do, every spelling is read. What the agent thought is
in one list, what was said in another: both are held until they are read, and merged by time.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias

from otel_agent_events import times
from otel_agent_events.errors import ReadError, UsageError
from otel_agent_events.events import (
    AgentMessage,
    Caution,
    Event,
    Note,
    Part,
    Session,
    Structured,
    Text,
    Thinking,
    ToolResult,
    UserMessage,
    value,
)
from otel_agent_events.fetchers import Answer, Connection, Found, Request
from otel_agent_events.fetchers.auth import ApiKey
from otel_agent_events.fetchers.client import checked_base_url
from otel_agent_events.fetchers.fields import Fields
from otel_agent_events.fetchers.lyzr_text import Section, sections
from otel_agent_events.fetchers.merged import Placed, merged
from otel_agent_events.keys import Keys, key_of, shallow
from otel_agent_events.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otel_agent_events.events import JSON
    from otel_agent_events.fetchers import Asking, Finding, Item

BASE_URL = "https://agent.api.lyzr.app"

_ACTIVITIES = "activities"
_HISTORY = "history"
_LACKS = {
    _ACTIVITIES: "what the agent thought, observed and summed up",
    _HISTORY: "what the user and the agent said to each other",
}
"""By label, what a trace lacks without that answer."""

_PREFIX = "FeatureType."
"""Stands before the names of modules: Lyzr writes the members of a Python enum so."""

_RANKS = {"user": 0, "assistant": 2}
"""By role, the place of a message among records of the same time; an activity has the one between."""

_AMIDST = 1
_OBJECT_ID = re.compile(r"([0-9a-f]{8})(?:[0-9a-fx]{16}|[0-9a-f]{0,15}x{1,16})", re.ASCII | re.IGNORECASE)
"""An id that MongoDB made; its first 8 digits are seconds since 1970. Documented ones end in `x`, and are shorter."""

_FIRST_OBJECT_ID = 1_230_768_000
"""Seconds since 1970: MongoDB is of 2009, so what looks like an earlier id of it is none."""

_DIGITS = re.compile(r"\d{1,20}", re.ASCII)
_MOST_MILLISECONDS = 10**14
"""A larger number than that is one of microseconds or nanoseconds."""


class Lyzr:
    """Fetch the activities of one session and its messages."""

    name = "lyzr"
    path = ("USER", "SESSION")
    labels = (_ACTIVITIES, _HISTORY)
    secrets = ()
    variables = ("LYZR_API_KEY", "LYZR_BASE_URL")

    def connect(self, environ: Mapping[str, str], base_url: str | None) -> Connection:
        """Take an API key.

        Raises:
            UsageError: there is none.
        """
        origin = "--base-url" if base_url else "LYZR_BASE_URL"
        key = environ.get("LYZR_API_KEY")
        if not key:
            raise UsageError("Lyzr wants credentials: set LYZR_API_KEY")
        return Connection(
            base_url=checked_base_url(base_url or environ.get("LYZR_BASE_URL") or BASE_URL, origin),
            credentials=ApiKey("x-api-key", key, variable="LYZR_API_KEY"),
            advice={
                401: "Set LYZR_API_KEY to a key that is valid on this host",
                403: "This key may not read the sessions of this user; set LYZR_API_KEY to one of their account",
                404: "Check user id, session id and the host in LYZR_BASE_URL; that of the Studio has no activities",
                422: "Check user id and session id",
            },
        )

    def ask(self, reference: Reference) -> Asking:
        """Ask for the activities, then for the messages; a host that has no activities may still have messages."""
        match reference.path:
            case (user, session) if user and session:
                pass
            case _:
                raise UsageError(f"{reference} names no Lyzr session; write lyzr:USER/SESSION")
        query = {"user_id": user, "session_id": session}
        activities = yield Request(label=_ACTIVITIES, path=("v2", "activities"), query=query, may_fail=True)
        refused = activities.failure
        if refused is not None and refused.status != HTTPStatus.NOT_FOUND:
            raise refused
        path = ("v1", "sessions", session, "history")
        history = yield Request(label=_HISTORY, path=path, query={"unix": "false"}, may_fail=True)
        if refused is not None and history.failure is not None:
            raise refused

    def find(self, reference: Reference) -> Finding:
        """Ask for the session itself, which tells its user."""
        session = reference.path[-1]
        path = ("v1", "sessions", session)
        answer = yield Request(label="session", path=path, query={"timeout": "30"}, may_fail=True)
        if answer.failure is not None and answer.failure.status != HTTPStatus.NOT_FOUND:
            raise answer.failure
        found: tuple[Reference, ...] = ()
        match answer.body:
            case {"user_id": str(user)} if user:
                found = (Reference(self.name, (user, session)),)
            case dict():
                pass
            case _ if answer.failure is None:
                raise ReadError(f"{reference}: {answer.source} is no session; is the base URL right?")
        return Found(references=found, searched="the sessions of this host that tell their user")

    def reader(self, reference: Reference) -> LyzrReader:
        """Make a reader for the answers of one session."""
        return LyzrReader(reference)

    def recognise(self, body: JSON) -> str | None:
        """Tell a list of activities and one of messages by the members of their records."""
        match body:
            case list(records) | {"activities": list(records)}:
                return next(filter(None, map(_label_of, records)), None)
            case {"history": list(records)}:
                return next(filter(None, map(_label_of, records)), _HISTORY)
            case _:
                return None

    def identify(self, answers: Sequence[Answer]) -> tuple[str, ...]:
        """Take user and session from activities; messages name neither."""
        user = session = ""
        for answer in answers:
            if answer.label != _ACTIVITIES:
                continue
            for record in _records_and_rest(answer)[0] or ():
                if isinstance(record, dict):
                    user = user or _text_of(record, "user_id")
                    session = session or _text_of(record, "session_id")
        return user, session


@value()
class _Met:
    """A record as it stands in an answer.

    Attributes:
        label: that of the answer.
        listing: how many answers of this label there were up to this one.
        arrived: nanosecond at which it came, when it came by itself: the time of one that tells none.
    """

    record: JSON
    label: str
    listing: str
    arrived: int | None = None


class LyzrReader:
    """Read lists of activities and of messages; what they hold is told when all are read."""

    at_once = False
    takes_dicts = False

    def __init__(self, reference: Reference) -> None:
        user, session = (*reference.path, "", "")[:2]
        self._session = Session(reference=reference, id=session or None, user=user or None)
        self._rests: dict[str, JSON] = {}  # of what the answers hold besides their records, each once
        self._lists: list[list[Placed[_Met]]] = []
        self._singles: dict[str, list[Placed[_Met]]] = {}  # by label, the list of what comes one by one
        self._answers: Counter[str] = Counter()  # by label
        self._keys = Keys()
        self._strangers = 0  # records that name another session or user

    @property
    def duplicates(self) -> int:
        """How many records were met again, and gave no event."""
        return self._keys.duplicates

    def feed(self, answer: Answer) -> Iterator[Item]:
        """Read one answer.

        Raises:
            ReadError: it has no list of records, and there is no other one that has.
        """
        if answer.failure is not None:
            yield from self._miss(answer)
            return
        records, rest = _records_and_rest(answer)
        if rest is not None:
            rest = shallow(rest)
            self._rests.setdefault(key_of(rest), rest)
        if records is None:
            if answer.label == _ACTIVITIES or not self._lists:
                raise ReadError(f"{self._session.reference}: {answer.source} holds no list of {_of_label(answer)}")
            yield self._caution(f"{answer.source} holds no list of messages", answer)
            return
        if not (answer.continues and self._answers[answer.label]):
            self._lists.append([])
            self._answers[answer.label] += 1
        # Equal records of activities and history are two, so that the first answers of both are one listing.
        listing = str(self._answers[answer.label])
        for record in records:
            self._lists[-1].append(_placed(_Met(record=record, label=answer.label, listing=listing)))

    def take(self, record: JSON, arrived: int | None, *, anyhow: bool = False) -> Sequence[Item] | None:
        """Read an activity, or a message of the history."""
        label = _label_of(record) or (_ACTIVITIES if anyhow else None)
        if label is None:
            return None
        singles = self._singles.get(label)
        if singles is None:
            singles = self._singles[label] = []
            self._lists.append(singles)
            self._answers[label] += 1
        singles.append(_placed(_Met(record=record, label=label, listing=str(self._answers[label]), arrived=arrived)))
        return ()

    def close(self) -> Iterator[Item]:
        """Give all records in the order of their times."""
        rests = tuple(self._rests.values())
        self._session = replace(self._session, remainder=list(rests) if len(rests) > 1 else next(iter(rests), None))
        yield self._session
        for met in merged(self._lists):
            identifier = _text_of(met.record, "_id") if met.label == _ACTIVITIES else ""
            key = self._keys.claim(met.record, identifier or None, listing=met.listing)
            if key is not None:
                yield from self._read(key, met)
        if self._strangers:
            yield Caution(
                message=f"of these records, {self._strangers} name another session or user than "
                f"{self._session.reference}"
            )

    def _miss(self, answer: Answer) -> Iterator[Item]:
        """Say what the trace lacks; Lyzr may answer that there is no history where nothing was said."""
        missing = answer.failure is not None and answer.failure.status == HTTPStatus.NOT_FOUND
        if missing and answer.label == _HISTORY:
            return
        if missing:
            yield Caution(message=f"{answer.failure}; the trace lacks {_LACKS[_ACTIVITIES]}")
        else:
            yield self._caution(f"{answer.failure}", answer)

    def _caution(self, said: str, answer: Answer) -> Caution:
        self._session = replace(self._session, complete=False)
        return Caution(message=f"{said}; the trace lacks {_LACKS.get(answer.label, _LACKS[_HISTORY])}")

    # --- records --------------------------------------------------------------------------------------

    def _read(self, key: str, met: _Met) -> Iterator[Event]:
        record = shallow(met.record)
        if not isinstance(record, dict):
            yield Note(key=key, remainder=record)
        elif met.label == _ACTIVITIES:
            yield from self._activity(key, record, met.arrived)
        else:
            yield _message(key, record, met.arrived)

    def _activity(self, key: str, record: Mapping[str, JSON], arrived: int | None) -> Iterator[Event]:
        fields = Fields(record)
        strange = False
        for name, known in (("session_id", self._session.id), ("user_id", self._session.user)):
            if known is not None:
                fields.drop(name, known)
                strange = strange or _text_of(record, name) not in {"", known}
        self._strangers += strange
        at = fields.nanoseconds("time_stamp", read=_stamp)
        identifier = fields.name("_id")
        for other in (_object_time(identifier), arrived):
            at = other if at is None else at
        common: _Common = {"id": identifier, "end": at}
        log_data = record.get("log_data")
        if not isinstance(log_data, dict) or not log_data:
            yield Note(**common, key=key, start=common["end"], remainder=fields.rest())
            return
        fields.value("log_data")
        yield from _events_of(key, fields, log_data, common)


_Common: TypeAlias = dict[str, Any]
"""The fields that every event of a record has, ready to be handed on: id, type, details, and the stamp as `end`."""


def _events_of(key: str, fields: Fields, log_data: Mapping[str, JSON], common: _Common) -> Iterator[Event]:
    """Give the events that an activity is; what of the record none of them says stays on the first one.

    Args:
        key: of the record.
        fields: of the record, without `log_data`.
        log_data: what the module has logged.
        common: to all events.
    """
    log = Fields(log_data)
    module = log.name("module")
    name = (module or "").removeprefix(_PREFIX)
    common = {**common, "type": module, "details": {"module": name} if name else {}}
    content = log_data.get("content")
    if not isinstance(content, str) or not content:
        told = {} if content in (None, "") else {"content": content}
        if told:
            log.drop("content", content)
        note = "unknown_event" if content is None else "text"
        yield Note(**common, key=key, start=common["end"], name=note, content=told, remainder=_rest_of(fields, log))
        return
    found = sections(content)
    if [section.text for section in found] == [content]:
        log.drop("content", content)
    remainder = _rest_of(fields, log)
    for number, section in enumerate(found, 1):
        yield _section(f"{key}/{number}" if len(found) > 1 else key, section, common, remainder)
        remainder = None


def _section(key: str, section: Section, common: _Common, remainder: JSON) -> Event:
    """Give a section as an event. A thought and a summary took time, and are stamped when they are finished."""
    details = common["details"] | ({"execution_complete": True} if section.complete else {})
    common = {**common, "key": key, "details": details, "remainder": remainder}
    text, at = section.text, common["end"]
    match section.label:
        case "THOUGHT":
            return Thinking(**common, text=text or None)
        case "OBSERVATION":
            return ToolResult(**common, start=at, result=text or None)
        case "Summary":
            return AgentMessage(**common, parts=(Text(text=text),) if text else ())
        case "NEXT_ACTION":
            return Note(**common, start=at, name="next_action", content={"text": text} if text else {})
        case _:
            return Note(**common, start=at, name="text", content={"text": text})


def _message(key: str, record: Mapping[str, JSON], arrived: int | None) -> Event:
    """Give a message as an event: it is stamped when it is stored, so that it tells nothing of how long it took."""
    fields = Fields(record)
    at = fields.nanoseconds("created_at", read=_stamp)
    at = arrived if at is None else at
    role = fields.name("role")
    common: _Common = {"key": key, "type": role, "start": at, "end": at}
    if role not in _RANKS:
        return Note(**common, remainder=fields.rest())
    content = record.get("content")
    parts: tuple[Part, ...] = ()
    if isinstance(content, str):
        parts = (Text(text=content),)
    elif isinstance(content, (dict, list)):
        parts = (Structured(content=content),)
    if parts:
        fields.drop("content", content)
    if role == "user":
        return UserMessage(**common, parts=parts, remainder=fields.rest())
    return AgentMessage(**common, parts=parts, remainder=fields.rest())


# --- what a record is, and when -----------------------------------------------------------------------


def _label_of(record: JSON) -> str | None:
    match record:
        case {"log_data": _}:
            return _ACTIVITIES
        case {"role": _, "content": _, "created_at": _}:
            return _HISTORY
        case _:
            return None


def _records_and_rest(answer: Answer) -> tuple[list[JSON] | None, JSON]:
    """Give the records of an answer, None when it holds no list of them, and what else it holds."""
    match answer.body:
        case list(records):
            return records, None
        case dict(body):
            for name in (answer.label, _ACTIVITIES, _HISTORY):
                listed = body.get(name)
                if isinstance(listed, list):
                    return listed, {other: told for other, told in body.items() if other != name} or None
            return None, body
        case other:
            return None, other


def _of_label(answer: Answer) -> str:
    return "activities" if answer.label == _ACTIVITIES else "messages"


def _text_of(record: JSON, name: str) -> str:
    told = record.get(name) if isinstance(record, dict) else None
    return told if isinstance(told, str) else ""


def _rank_of(met: _Met) -> int:
    return _AMIDST if met.label == _ACTIVITIES else _RANKS.get(_text_of(met.record, "role"), _AMIDST)


def _rest_of(fields: Fields, log: Fields) -> JSON:
    """Put what is left of `log_data` back into its place."""
    rest = dict(fields.rest() or {})
    if log.rest() is not None:
        rest["log_data"] = log.rest()
    return rest or None


def _placed(met: _Met) -> Placed[_Met]:
    return Placed(at=_time_of(met), record=met, rank=_rank_of(met))


def _time_of(met: _Met) -> int | None:
    if not isinstance(met.record, dict):
        return None
    if met.label != _ACTIVITIES:
        stamp = _stamp(met.record.get("created_at"))
        return None if stamp is None else stamp.nanoseconds
    stamp = _stamp(met.record.get("time_stamp"))
    return _object_time(_text_of(met.record, "_id")) if stamp is None else stamp.nanoseconds


def _stamp(told: JSON) -> times.Stamp | None:
    """Read a time: documented as an object, shown as a text without a zone, which the ids prove to be UTC.

    One that no span can be seen to tell is not exact, and so is kept beside.
    """
    match told:
        case str() if _DIGITS.fullmatch(told):
            stamp = times.epoch_by_size(int(told))
            return None if stamp is None else times.Stamp(stamp.nanoseconds, exact=False)
        case str():
            return times.parse(told)
        case {"$date": {"$numberLong": str(digits)}} if _DIGITS.fullmatch(digits):
            stamp = times.epoch(int(digits), times.MILLISECOND)
            return None if stamp is None else times.Stamp(stamp.nanoseconds, exact=False)
        case {"$date": inner, **more}:
            stamp = times.parse(inner) or times.epoch(inner, times.MILLISECOND)
            return None if stamp is None else times.Stamp(stamp.nanoseconds, exact=stamp.exact and not more)
        case _:
            stamp = times.epoch_by_size(told)
            small = stamp is not None and abs(told) < _MOST_MILLISECONDS
            return None if stamp is None else times.Stamp(stamp.nanoseconds, exact=stamp.exact and small)


def _object_time(identifier: str | None) -> int | None:
    """Read the seconds at which MongoDB made an id, if it made it."""
    found = _OBJECT_ID.fullmatch(identifier or "")
    seconds = int(found[1], 16) if found else 0
    return seconds * times.SECOND if seconds >= _FIRST_OBJECT_ID else None
