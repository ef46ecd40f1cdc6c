"""Neutral events: JSON lines in our own words, for any source that there is no fetcher for (mapping.md section 10).

The first line names the session, `{"session": {"id": ..., "platform": ...}}`, and each line after it is one event,
`{"kind": ..., ...}`. Several sessions may follow one another. The format of a line is in `neutral_lines.py`.
"""

from __future__ import annotations

import re
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING

from pydantic import ValidationError

from otel_agent_events import times
from otel_agent_events.errors import ReadError
from otel_agent_events.events import JSON, AgentMessage, Caution, Session, Thinking, stamped
from otel_agent_events.fetchers import Answer
from otel_agent_events.fetchers.client import parse_json
from otel_agent_events.fetchers.lines import LargeFile
from otel_agent_events.fetchers.neutral_lines import EVENT_LINE, KINDS, SESSION_LINE, SessionLine, event_of
from otel_agent_events.fetchers.saved import Saved, first_error, utf8
from otel_agent_events.keys import Keys, shallow
from otel_agent_events.messages import first_of
from otel_agent_events.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_agent_events.fetchers import Item

_SESSION = "session"
_SESSION_MEMBER = re.compile(rb'"session"')
_EVENT = "event"
_LOOKED_AT = 20
"""So many lines are looked at to see whether a file is one of neutral events: the first ones may be broken."""

_OF_A_SERVER = " where JSON was expected; is the base URL right?"

# --- a file -------------------------------------------------------------------------------------------


def is_neutral(content: bytes | LargeFile) -> bool:
    """Say whether one of the first lines begins a session of neutral events."""
    lines: Iterator[bytes | memoryview] = (
        (line for line, _ in content.lines()) if isinstance(content, LargeFile) else iter(BytesIO(utf8(content)))
    )
    for line in islice(lines, _LOOKED_AT):
        if _SESSION_MEMBER.search(line) is None:
            continue  # most files are one long line of something else, and are parsed once
        body = _parsed(bytes(line))
        if _begins_session(body) and isinstance(body[_SESSION], dict):
            return True
    return False


def load_neutral(content: bytes, name: str) -> list[Saved]:
    """Split a file into its sessions. A session that is begun again goes on.

    Args:
        content: JSON lines in UTF-8; empty ones count, and say nothing.
        name: of the file, for messages.

    Returns:
        The sessions in the order in which they begin; each with what could not be read since the one before.

    Raises:
        ReadError: no line begins a session.
    """
    answers: dict[Reference, list[Answer]] = {}
    flaws: dict[Reference, list[str]] = {}
    unplaced: list[str] = []  # before the first session
    current: Reference | None = None
    for number, line in enumerate(utf8(content).split(b"\n"), 1):
        if not line.strip():
            continue
        source = f"line {number} of {name}"
        flaw = None
        try:
            body = parse_json(line)
        except ValueError as error:
            flaw = f"{source} is {str(error).removesuffix(_OF_A_SERVER)}; it was skipped"
        else:
            if _begins_session(body):
                current, flaw = _begun(body, source)
                if current is None:
                    unplaced.append(flaw or "")
                    continue
                answers.setdefault(current, []).append(Answer(label=_SESSION, body=body, source=source))
                flaws.setdefault(current, []).extend(unplaced)
                unplaced = []
            elif current is None:
                flaw = f"{source} is of no session: a line with the session comes first; it was skipped"
            else:
                answers[current].append(Answer(label=_EVENT, body=body, source=source))
        if flaw is not None:
            (unplaced if current is None else flaws[current]).append(flaw)
    if not answers:
        raise ReadError("; ".join(first_of(unplaced)))
    last = list(answers)[-1]
    flaws[last].extend(unplaced)
    return [
        Saved(reference=each, fetcher=Neutral(), answers=tuple(answers[each]), flaws=tuple(flaws[each]))
        for each in answers
    ]


class Neutral:
    """The format as such: there is nothing to fetch."""

    name = "neutral"

    def reader(self, reference: Reference) -> NeutralReader:
        """Make a reader for the lines of one session."""
        return NeutralReader(reference)


class NeutralReader:
    """Read the lines of one session, each as an answer of its own."""

    at_once = True
    takes_dicts = False

    def __init__(self, reference: Reference) -> None:
        self._session = Session(reference=reference)
        self._keys = Keys()

    @property
    def duplicates(self) -> int:
        """How many records were met again, and gave no event."""
        return self._keys.duplicates

    def feed(self, answer: Answer) -> Iterator[Item]:
        """Read one line.

        Raises:
            ReadError: it is no event; says where it differs.
        """
        if answer.label == _SESSION:
            self._session = _session(SESSION_LINE.validate_python(answer.body), self._session)
            yield self._session
            return
        record = shallow(answer.body)
        try:
            line = EVENT_LINE.validate_python(record)
        except ValidationError as error:
            raise ReadError(f"{answer.source} is no event: {_why(error)}; it was skipped") from None
        key = self._keys.claim(answer.body, line.id or None)
        if key is not None:
            yield event_of(line, key)

    def take(self, record: JSON, arrived: int | None, *, anyhow: bool = False) -> Sequence[Item] | None:
        """Read one line.

        Raises:
            ReadError: it is no event; says where it differs.
        """
        is_line = isinstance(record, dict) and ("kind" in record or _begins_session(record))
        if not is_line and not anyhow:
            return None
        label = _SESSION if _begins_session(record) else _EVENT
        try:
            items = list(self.feed(Answer(label=label, body=record, source="a record")))
        except ValidationError as error:
            raise ReadError(f"a record begins no session: {_why(error)}") from None
        return items if arrived is None else [_stamped(item, arrived) for item in items]

    def close(self) -> Iterator[Item]:
        """Say nothing more."""
        yield from ()


def _begun(body: JSON, source: str) -> tuple[Reference | None, str | None]:
    try:
        session = SESSION_LINE.validate_python(body).session
    except ValidationError as error:
        return None, f"{source} begins no session: {_why(error)}; its events were skipped"
    return Reference(session.platform, tuple(session.path or (session.id,))), None


def _stamped(item: Item, arrived: int) -> Item:
    """Give an undated event the time at which it came; the agent's own words took some time until then."""
    if isinstance(item, Session | Caution):
        return item
    return stamped(item, arrived, finished=isinstance(item, Thinking | AgentMessage))


def _begins_session(body: JSON) -> bool:
    """An event may have a field of this name as well."""
    return isinstance(body, dict) and _SESSION in body and body.get("kind") not in KINDS


def _why(error: ValidationError) -> str:
    """Say what is wrong with a line, without quoting what was there."""
    first = error.errors(include_url=False, include_input=False)[0]
    kind = next((each for each in KINDS if first["loc"] == (each,)), None)
    match first["type"]:
        case "union_tag_not_found":
            return "it has no kind"
        case "union_tag_invalid":
            return f"its kind is none of {', '.join(KINDS)}"
        case "model_attributes_type":
            return "it is no JSON object"
        case _:
            # Of a line as a whole it is said where by its number.
            return first_error(error).removeprefix("Value error, ").removesuffix(f" at {kind}")


def _session(line: SessionLine, known: Session) -> Session:
    """Give what is known of the session by now: a line that lets it go on may leave out what was said before."""
    told = line.session
    stamp = times.parse(told.started)
    rest = {**(known.remainder or {}), **(line.model_extra or {}), **(told.model_extra or {})}
    if stamp is not None:
        rest.pop("started", None)
        if not stamp.exact:
            rest["started"] = told.started
    return Session(
        reference=known.reference,
        id=told.id,
        agent_name=known.agent_name if told.agent is None else told.agent,
        user=known.user if told.user is None else told.user,
        model=known.model if told.model is None else told.model,
        started=known.started if stamp is None else stamp.nanoseconds,
        created_at=known.created_at if told.started is None else told.started,
        remainder=shallow(rest) or None,
    )


def _parsed(line: bytes) -> JSON:
    try:
        return parse_json(line)
    except ValueError:
        return None
