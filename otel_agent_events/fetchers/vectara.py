"""Vectara: the events of an agent's session, `vectara:AGENT/SESSION`.

Facts and their sources are those of Vectara's OpenAPI document, guides and Python SDK 0.4.3, which contradict each
other; where they do, every spelling is read. Events come in the order in which they happened, one stamp each.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING

from msgspec.structs import replace as renamed

from otel_agent_events import times
from otel_agent_events.errors import ReadError, UsageError
from otel_agent_events.events import Caution, ContextUsage, Event, Note, Session
from otel_agent_events.fetchers import Answer, Connection, Found, Request
from otel_agent_events.fetchers.auth import ApiKey, ClientCredentials, Credentials
from otel_agent_events.fetchers.client import checked_base_url
from otel_agent_events.fetchers.fields import Fields
from otel_agent_events.fetchers.saved import values_one_by_one
from otel_agent_events.fetchers.vectara_events import event_of
from otel_agent_events.fetchers.vectara_pages import UsualPage, json_of, read_stored, read_usual, usual_digest
from otel_agent_events.fetchers.vectara_stream import BREAKS, STREAMED, USAGE, Joined, Moments, Stream
from otel_agent_events.keys import Keys, shallow
from otel_agent_events.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from msgspec import Raw

    from otel_agent_events.events import JSON
    from otel_agent_events.fetchers import Asking, Finding, Item

BASE_URL = "https://api.vectara.io"
TOKEN_URL = "https://auth.vectara.io/oauth2/token"  # noqa: S105 - an address, not a secret
PAGE = "100"
"""The most events that Vectara gives on one page; its default is 10 or 20, as its documents differ."""

MOST_AGENTS = 500
"""Agents in which a session is looked for when its agent is not named: each costs a request."""

_STORED = frozenset({"thinking", "tool_input", "tool_output", "agent_output"})
"""The types of which most records are, and which end nothing of a stream."""

_REFUSED_PARAMETER = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}


class Vectara:
    """Fetch the events of one session, and look its agent and the session itself up."""

    name = "vectara"
    path = ("AGENT", "SESSION")
    labels = ("agent", "session", "events")
    secrets = ()
    variables = (
        "VECTARA_API_KEY",
        "VECTARA_CLIENT_ID",
        "VECTARA_CLIENT_SECRET",
        "VECTARA_TOKEN_URL",
        "VECTARA_BASE_URL",
    )

    def connect(self, environ: Mapping[str, str], base_url: str | None) -> Connection:
        """Take an API key, or OAuth2 client credentials; an API key wins.

        Raises:
            UsageError: neither is set.
        """
        origin = "--base-url" if base_url else "VECTARA_BASE_URL"
        return Connection(
            base_url=checked_base_url(base_url or environ.get("VECTARA_BASE_URL") or BASE_URL, origin),
            credentials=_credentials(environ),
            advice={
                401: "Set VECTARA_API_KEY to a key that is valid on this host, or VECTARA_CLIENT_ID and "
                "VECTARA_CLIENT_SECRET to OAuth2 client credentials",
                403: "This key may not read agent sessions; a Personal API key may",
                404: "Check agent key and session key; an idle session is deleted when its time to live is over",
            },
        )

    def ask(self, reference: Reference) -> Asking:
        """Look up agent and session, then page through the events until a page names no further one."""
        agent, session = self._parts(reference)
        yield Request(label="agent", path=("v2", "agents", agent), may_fail=True, shared=True)
        path = ("v2", "agents", agent, "sessions", session)
        yield Request(label="session", path=path, may_fail=True)
        query = {"limit": PAGE, "include_hidden": "true"}
        asked_for: set[str] = set()
        while True:
            answer = yield Request(label="events", path=(*path, "events"), query=query, may_fail=True)
            if answer.failure is not None:
                if "include_hidden" not in query or answer.failure.status not in _REFUSED_PARAMETER:
                    raise answer.failure
                query = {name: told for name, told in query.items() if name != "include_hidden"}
                continue
            body = answer.body
            page_key = _page_key(body.around if isinstance(body, UsualPage) else body)
            if not page_key or page_key in asked_for:
                return
            asked_for.add(page_key)
            query = {**query, "page_key": page_key}

    def find(self, reference: Reference) -> Finding:
        """Look for the session in every agent that the key can list, since session keys repeat across agents."""
        session = reference.path[-1]
        found: list[Reference] = []
        searched = refused = 0
        query = {"limit": PAGE}
        met: set[str] = set()
        asked_for = {""}
        while True:
            page = yield Request(label="agents", path=("v2", "agents"), query=query)
            agents = _agent_keys(page.body)
            if agents is None:
                raise ReadError(f"{reference}: {page.source} holds no list of agents; is the base URL right?")
            for agent in agents:
                if agent in met:
                    continue
                met.add(agent)
                if searched == MOST_AGENTS:
                    return Found(references=tuple(found), searched=_searched(searched, refused, more=True))
                path = ("v2", "agents", agent, "sessions", session)
                answer = yield Request(label="session", path=path, may_fail=True)
                searched += 1
                if answer.failure is None:
                    found.append(Reference(self.name, (agent, session)))
                elif answer.failure.status == HTTPStatus.FORBIDDEN:
                    refused += 1
                elif answer.failure.status != HTTPStatus.NOT_FOUND:
                    raise answer.failure
            page_key = _page_key(page.body)
            if not page_key or page_key in asked_for:
                return Found(references=tuple(found), searched=_searched(searched, refused, more=bool(page_key)))
            asked_for.add(page_key)
            query = {**query, "page_key": page_key}

    def reader(self, reference: Reference) -> VectaraReader:
        """Make a reader for the answers of one session."""
        return VectaraReader(reference)

    def usual(
        self, content: bytes | memoryview, label: str | None = None, again: Callable[[], memoryview] | None = None
    ) -> UsualPage | None:
        """Take a page of events as it is written, if it can be read so."""
        return UsualPage.of(content, again) if label in {None, "events"} else None

    def recognise(self, body: JSON) -> str | None:
        """Tell a page of events, a session and an agent by their members."""
        match body:
            case UsualPage():
                return "events"
            case {"events": _}:
                return "events"
            case {"agent_key": str()}:
                return "session"
            case {"key": str(), "first_step": _} | {"key": str(), "tool_configurations": _}:
                return "agent"
            case _:
                return None

    def identify(self, answers: Sequence[Answer]) -> tuple[str, ...]:
        """Take the agent from a saved agent or session, and the session from there or from its events."""
        agent = session = ""
        for answer in answers:
            match answer:
                case Answer(label="agent", body={"key": str(key)}):
                    agent = agent or key
                case Answer(label="session", body={"agent_key": str(agent_key)} as body):
                    agent = agent or agent_key
                    session = session or _first_text(body, "key", "id")
                case Answer(label="events", body=UsualPage() as page):
                    session = session or page.session
                case Answer(label="events", body={"events": list(records)}):
                    named = (_first_text(record, "session_key") for record in records if isinstance(record, dict))
                    session = session or next(filter(None, named), "")
                case _:
                    pass
        return agent, session

    def _parts(self, reference: Reference) -> tuple[str, str]:
        match reference.path:
            case (agent, session) if agent and session:
                return agent, session
            case _:
                raise UsageError(f"{reference} names no Vectara session; write vectara:AGENT/SESSION")


class VectaraReader:
    """Read pages of events, single events and chunks of a stream, and what the look-ups of agent and session gave."""

    at_once = True
    takes_dicts = True

    def __init__(self, reference: Reference) -> None:
        agent, session = (*reference.path, "", "")[:2]
        self._agent = agent
        self._session = Session(
            reference=reference,
            id=session or None,
            service=agent or None,
            agent_name=agent or None,
            agent_id=agent or None,
        )
        self._subagents: dict[str, str] = {}  # by the name of the tool configuration, the agent that it runs
        self._keys = Keys()
        self._told = False
        self._page_keys: list[str | None] = []
        self._strangers = 0  # records that name another session
        self._stream = Stream(session or None)
        self._streamed: Counter[tuple[str | None, int]] = Counter()  # what was told in a stream and may come again

    @property
    def duplicates(self) -> int:
        """How many records were met again, and gave no event."""
        return self._keys.duplicates

    def feed(self, answer: Answer) -> Iterable[Item]:
        """Read one answer.

        Raises:
            ReadError: a page has no list of events.
        """
        if answer.failure is not None:
            return [Caution(message=_what_is_missing(answer))]
        match answer.label:
            case "agent":
                return self._take_agent(answer)
            case "session":
                return self._take_session(answer)
            case _:
                return self._take_page(answer)

    def take(self, record: JSON, arrived: int | None, *, anyhow: bool = False) -> list[Item] | None:
        """Read one event as it is stored, or what is in streams only."""
        type_ = record.get("type") if isinstance(record, dict) else None
        if self._told and type(type_) is str and type_ in _STORED and arrived is not None:
            # Most often, and while a request waits.
            self._stream.note(arrived)
            event = self._read_stored(record, arrived)
            return [] if event is None else [event]
        if not isinstance(type_, str):
            if not anyhow:
                return None
            event = self._read(record, arrived)
            items: list[Item] = [] if event is None else [event]
        elif type_ in STREAMED:
            items = self._take_streamed(record, type_, arrived)
        else:
            told = None if arrived is not None else times.parse(record.get("created_at"))
            items = self._broken_off() if type_ in BREAKS else []
            self._stream.note(arrived, None if told is None else told.nanoseconds)
            event = self._read_stored(record, arrived)
            if event is not None:
                items.append(event)
        if self._told:
            return items
        self._told = True
        return [self._session, *items]

    def close(self) -> Iterator[Item]:
        """Say when records are of another session, or when the last page names a further one."""
        if not self._told:
            yield self._session
        yield from self._broken_off()
        if self._strangers:
            yield Caution(message=f"of these records, {self._strangers} name another session than {self._session.id!r}")
        last = self._page_keys[-1] if self._page_keys else ""
        if last == "":
            return
        self._session = replace(self._session, complete=False)
        yield self._session
        if last is None:
            yield Caution(message="the page key of the last page is not a text: there may be more events than these")
        elif self._page_keys.count(last) > 1:
            yield Caution(message="Vectara gave the same page key twice: there may be more events than these")
        else:
            yield Caution(
                message="the last page names a further one that is not here: there are more events than these"
            )

    # --- facts about the session ----------------------------------------------------------------------

    def _take_agent(self, answer: Answer) -> Iterator[Item]:
        if not isinstance(answer.body, dict):
            yield Caution(message=f"{answer.source} is no agent; its name and model are missing")
            return
        body = shallow(answer.body)
        key = _first_text(body, "key")
        self._agent = self._agent or key
        model = body.get("model")
        configurations = body.get("tool_configurations")
        if isinstance(configurations, dict):
            for name, configuration in configurations.items():
                match configuration:
                    case {"sub_agent_configuration": {"agent_key": str(agent_key)}} if agent_key:
                        self._subagents[name] = agent_key
                    case _:
                        pass
        self._session = replace(
            self._session,
            service=self._session.service or key or None,
            agent_id=self._session.agent_id or key or None,
            agent_name=_first_text(body, "name") or self._session.agent_name or key or None,
            model=(_first_text(model, "name") or None) if isinstance(model, dict) else None,
        )
        self._told = True
        yield self._session

    def _take_session(self, answer: Answer) -> Iterator[Item]:
        if not isinstance(answer.body, dict):
            yield Caution(message=f"{answer.source} is no session; its name and context usage are missing")
            return
        fields = Fields(shallow(answer.body))
        fields.drop("key", self._session.id)
        fields.drop("id", self._session.id)
        fields.drop("agent_key", self._agent)
        stamp = times.parse(answer.body.get("created_at"))
        created_at = None if stamp is None else fields.text("created_at")
        usage = answer.body.get("session_context_usage")
        context = _context(usage)
        if context is not None:
            fields.drop("session_context_usage", _told_by(context))
        described = {name: fields.value(name) for name in ("name", "description", "metadata")}
        self._session = replace(
            self._session,
            created_at=created_at,
            started=None if stamp is None else stamp.nanoseconds,
            context=context,
            content={name: told for name, told in described.items() if told is not None},
            remainder=fields.rest(),
        )
        self._told = True
        yield self._session

    # --- events ---------------------------------------------------------------------------------------

    def _take_page(self, answer: Answer) -> Iterable[Item]:
        read: Iterable[Event]
        match answer.body:
            case UsualPage() as page if not page.look():
                return self._take_values(page, answer)
            case UsualPage() as page:
                around, read = page.around, self._read_usual(page, answer.source)
            case {"events": list(records)} as around:
                read = filter(None, map(self._read, records))
            case _:
                raise ReadError(f"{self._session.reference}: {answer.source} holds no list of events")
        if answer.continues and self._page_keys:
            self._page_keys.pop()  # of the same page
        self._page_keys.append(_page_key(around))
        if self._told:
            return read
        self._told = True
        return chain((self._session,), read)

    def _take_values(self, page: UsualPage, answer: Answer) -> Iterator[Item]:
        """Take what is no page after all: of a large file only the beginning of a line was looked at."""
        values, flaws = values_one_by_one(page.text, answer.source)
        for each in values:
            yield from self._take_page(replace(answer, body=each))
        if flaws:
            raise ReadError(f"{self._session.reference}: {'; '.join(flaws)}")

    def _read_usual(self, page: UsualPage, source: str) -> Iterable[Event]:
        usual = page.read(self._session.id, self._subagents)
        if usual is not None:
            events, digests = usual
            if self._keys.claim_new([event.key for event in events], digests):
                return events
        try:
            return [event for event in map(self._read_one, page.records) if event is not None]
        except (ValueError, RecursionError):  # a record that Python reads at the top of its stack, and not from here
            raise ReadError(f"{self._session.reference}: {source} is nested too deeply to be read") from None

    def _read_one(self, record: Raw) -> Event | None:
        usual = read_usual(record, self._session.id, self._subagents)
        if usual is None:
            return self._read(json_of(record))
        event, digest = usual
        key = self._keys.claim_told(event.key, digest, lambda: self._keys.digest(json_of(record)))
        return None if key is None else event if key == event.key else renamed(event, key=key)

    def _take_streamed(self, record: Mapping[str, JSON], type_: str, arrived: int | None) -> list[Item]:
        """Read what is in streams only: most of it is a chunk, and tells nothing yet."""
        items: list[Item] = []
        stamp = times.parse(record.get("created_at"))
        moments = Moments(told=None if stamp is None else stamp.nanoseconds, arrived=arrived)
        for each in self._stream.take(record, moments):
            if type_ == USAGE:
                context = _context(record.get("session_context_usage"))
                if context is not None and context != ContextUsage():
                    self._session = replace(self._session, context=context)
                    items.append(self._session)
            if isinstance(each, Joined):
                items += self._joined(each) if each.whole else self._broken(each)
            elif (key := self._keys.claim(record, each.id)) is not None:
                items.append(renamed(each, key=key))
        return items

    def _broken_off(self) -> list[Item]:
        """Give what the stream has left unfinished."""
        return [item for joined in self._stream.close() for item in self._broken(joined)]

    def _broken(self, joined: Joined) -> list[Item]:
        self._session = replace(self._session, complete=False)
        return [self._session, *self._joined(joined)]

    def _joined(self, joined: Joined) -> list[Event]:
        """Give what chunks are together, under the key that the stored record has, where the stream names it."""
        key = self._keys.claim(joined.stored, joined.id)
        if key is None:
            return []
        self._streamed[_streamed(joined.stored, joined.id)] += 1
        return [joined.event(key)]

    def _was_streamed(self, record: Mapping[str, JSON]) -> bool:
        """Say whether a record is the stored form of what a stream has told; it is told once.

        Of a thought no stream says under which id it is stored: it is known by its words.
        """
        identifier = record.get("id")
        named = _streamed(record, identifier if isinstance(identifier, str) else None)
        if not self._streamed[named]:
            nameless = _streamed(record, None)
            if not self._streamed[nameless]:
                return False
            self._streamed[nameless] -= 1
            self._streamed[named] += 1
        self._keys.duplicates += 1
        return True

    def _read_stored(self, record: Mapping[str, JSON], arrived: int | None) -> Event | None:
        """Read a record that came by itself; None when it was met before."""
        if self._streamed and self._was_streamed(record):
            return None
        try:
            usual = read_stored(record, self._session.id, self._subagents)
        except Exception:  # noqa: BLE001 - what is no JSON is found out by each writer in its own way
            usual = None
        if usual is None:
            return self._read(record, arrived)
        event, digest = usual
        key = self._keys.claim_told(event.key, digest, lambda: self._keys.digest(record))
        return None if key is None else event if key == event.key else renamed(event, key=key)

    def _read(self, record: JSON, arrived: int | None = None) -> Event | None:
        """Read a record; None when it was met before."""
        identifier = record.get("id") if isinstance(record, dict) else None
        key = self._keys.claim(
            record,
            identifier if isinstance(identifier, str) and identifier else None,
            otherwise=lambda: usual_digest(record, self._session.id),
        )
        if key is None:
            return None
        if self._keys.may_be_deep:
            record = shallow(record)
        if not isinstance(record, dict):
            return Note(key=key, remainder=record)
        fields = Fields(record)
        at = fields.nanoseconds("created_at")
        if at is None:
            at = arrived
        fields.drop("session_key", self._session.id)
        self._strangers += isinstance(record.get("session_key"), str) and record["session_key"] != self._session.id
        return event_of(key, fields, at, self._subagents)


def _credentials(environ: Mapping[str, str]) -> Credentials:
    key = environ.get("VECTARA_API_KEY")
    if key:
        return ApiKey("x-api-key", key, variable="VECTARA_API_KEY")
    client_id, client_secret = environ.get("VECTARA_CLIENT_ID"), environ.get("VECTARA_CLIENT_SECRET")
    if client_id and client_secret:
        return ClientCredentials(
            environ.get("VECTARA_TOKEN_URL") or TOKEN_URL,
            client_id,
            client_secret,
            variables="VECTARA_CLIENT_ID, VECTARA_CLIENT_SECRET and VECTARA_TOKEN_URL",
        )
    raise UsageError(
        "Vectara wants credentials: set VECTARA_API_KEY (a Personal API key), "
        "or VECTARA_CLIENT_ID and VECTARA_CLIENT_SECRET"
    )


def _agent_keys(body: JSON) -> list[str] | None:
    match body:
        case {"agents": list(agents)}:
            return [key for agent in agents if isinstance(agent, dict) and (key := _first_text(agent, "key"))]
        case _:
            return None


def _searched(agents: int, refused: int, *, more: bool) -> str:
    told = f"{'the first ' if more else ''}{agents} agent{'' if agents == 1 else 's'} that this key can list"
    return f"{told} ({refused} of them refused to tell)" if refused else told


def _page_key(body: JSON) -> str | None:
    """Give the key of the next page: "" on the last one, None when what is there is no page key."""
    match body:
        case {"metadata": {"page_key": str(page_key)}}:
            return page_key
        case {"metadata": {"page_key": other}} if other is not None:
            return None
        case {"metadata": other} if other is not None and not isinstance(other, dict):
            return None
        case _:
            return ""


def _context(usage: JSON) -> ContextUsage | None:
    if not isinstance(usage, dict):
        return None
    read, written = (usage.get(name) for name in ("input_tokens", "output_tokens"))
    return ContextUsage(
        input_tokens=_count(read, "count"),
        output_tokens=_count(written, "count"),
        reasoning_tokens=_count(written, "reasoning_tokens"),
        total_tokens=_count(usage, "total_tokens"),
        window=_count(usage, "model_context_window"),
    )


def _told_by(context: ContextUsage) -> JSON:
    """Spell a usage as Vectara does; when that is all that the record says, nothing of it need be kept beside."""
    read = {"count": context.input_tokens}
    written = {"count": context.output_tokens, "reasoning_tokens": context.reasoning_tokens}
    told: dict[str, JSON] = {
        "input_tokens": {name: count for name, count in read.items() if count is not None},
        "output_tokens": {name: count for name, count in written.items() if count is not None},
        "total_tokens": context.total_tokens,
        "model_context_window": context.window,
    }
    return {name: count for name, count in told.items() if count not in (None, {})}


def _count(counts: JSON, name: str) -> int | None:
    count = counts.get(name) if isinstance(counts, dict) else None
    return count if isinstance(count, int) and not isinstance(count, bool) else None


def _streamed(record: Mapping[str, JSON], identifier: str | None) -> tuple[str | None, int]:
    """Name what was streamed by its id, if that is known, and by its words, of which only a digest is kept."""
    content = record.get("content")
    return identifier, hash((record.get("type"), content if isinstance(content, str) else None))


def _first_text(record: Mapping[str, JSON], *names: str) -> str:
    return next((told for told in map(record.get, names) if isinstance(told, str) and told), "")


def _what_is_missing(answer: Answer) -> str:
    match answer.label:
        case "agent":
            missing = "the trace lacks the agent's name, its model and the links to sub-agents"
        case "session":
            missing = "the trace lacks the session's name, start and context usage"
        case _:
            missing = "asked again without include_hidden: events that compaction has hidden are missing"
    return f"{answer.failure}; {missing}"
