"""Agora Conversational AI: the history and the turns of one call, `agora:APPID/AGENT`.

Facts and their sources are those of Agora's REST pages, its `agora-agents` SDK 2.12.0 and its notifications, which
contradict each other; where they do, every spelling is read. The history has words and no times, the turns have
times and no words: `agora_turns` lays one on the other. Everything is held until all of it is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, assert_never

from otel_agent_events import times
from otel_agent_events.errors import ReadError, UsageError
from otel_agent_events.events import Caution, Event, Session, value
from otel_agent_events.fetchers import Answer, Connection, Request
from otel_agent_events.fetchers.agora_events import entry_event, error_note, turn_note, unknown_note
from otel_agent_events.fetchers.agora_turns import (
    Place,
    Turn,
    counts_pages,
    current,
    in_order,
    is_number,
    lay,
    names_further,
    read_turn,
)
from otel_agent_events.fetchers.agora_windows import Entry, Windows
from otel_agent_events.fetchers.auth import ApiKey, Basic, Credentials
from otel_agent_events.fetchers.client import checked_base_url
from otel_agent_events.keys import Keys, key_of, shallow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from otel_agent_events.events import JSON
    from otel_agent_events.fetchers import Asking, Item
    from otel_agent_events.reference import Reference

BASE_URL = "https://api.agora.io/api/conversational-ai-agent"
PRODUCT = 17
"""The `productId` of notifications about agents; other products use the same event types for other things."""

PAGE_SIZE = "50"
"""Turns on one page: Agora's default; the most that it would give is not documented."""

_NOT_FOUND = 404
_GONE = (
    "a history exists only while the agent runs, turns are kept for 7 days, and the words of a finished call are "
    "only in a stored history notification (event 103)"
)
_MOST_PAGES = 1_000
"""Pages of turns that are asked for: a call of 50 000 turns."""

_MOST_BARREN = 3
"""Pages in a row without a turn that is new, after which no further one is asked for although it is counted."""

_Kind: TypeAlias = Literal["contents", "turns", "errors"]
_NOTIFIED: Mapping[float, _Kind | None] = {101: None, 102: None, 103: "contents", 110: "errors", 112: "turns"}
"""Which list each notification holds; 101 and 102 tell only facts about the call."""


class Agora:
    """Fetch the history of one call, and its turns."""

    name = "agora"
    path = ("APPID", "AGENT")
    labels = ("history", "turns", "notification")
    secrets = ()
    variables = ("AGORA_CUSTOMER_ID", "AGORA_CUSTOMER_SECRET", "AGORA_TOKEN", "AGORA_BASE_URL")

    def connect(self, environ: Mapping[str, str], base_url: str | None) -> Connection:
        """Take a token, or customer id and secret; the token wins.

        Raises:
            UsageError: neither is set.
        """
        origin = "--base-url" if base_url else "AGORA_BASE_URL"
        return Connection(
            base_url=checked_base_url(base_url or environ.get("AGORA_BASE_URL") or BASE_URL, origin),
            credentials=_credentials(environ),
            advice={
                401: "Set AGORA_CUSTOMER_ID and AGORA_CUSTOMER_SECRET to a customer's id and secret that are valid "
                "here, or AGORA_TOKEN to a token that has not expired",
                403: "This customer may not read agents of this project; check the App ID, and that the service is "
                "enabled for it",
                404: f"Check App ID and agent id; {_GONE}",
            },
        )

    def ask(self, reference: Reference) -> Asking:
        """Ask for the history, then page through the turns; turns alone do when the agent has left."""
        app, agent = self._parts(reference)
        path = ("v2", "projects", app, "agents", agent)
        history = yield Request(label="history", path=(*path, "history"), may_fail=True)
        gone = history.failure
        if gone is not None and gone.status != _NOT_FOUND:
            raise gone
        known: set[str] = set()
        page, barren = 1, 0
        while True:
            query = {"page_index": str(page), "page_size": PAGE_SIZE}
            answer = yield Request(label="turns", path=(*path, "turns"), query=query, may_fail=True)
            turns = _listed(answer.body, "turns")
            if gone is not None and page == 1 and not turns:
                raise gone
            new = {_turn_id(turn) for turn in turns} - known
            barren = 0 if new else barren + 1
            most = _MOST_BARREN if counts_pages(answer.body) else 1
            if barren == most or page == _MOST_PAGES or not names_further(answer.body, page):
                return
            known |= new
            page += 1

    def reader(self, reference: Reference) -> AgoraReader:
        """Make a reader for the answers of one call."""
        return AgoraReader(reference)

    def recognise(self, body: JSON) -> str | None:
        """Tell a history, a page of turns and a notification by their members."""
        match body:
            case {"productId": product, "eventType": _, "payload": _} if is_number(product):
                return "notification"
            case {"contents": list(), **rest} if not rest.keys().isdisjoint({"agent_id", "start_ts", "status"}):
                return "history"
            case {"turns": list()}:
                return "turns"
            case _:
                return None

    def identify(self, answers: Sequence[Answer]) -> tuple[str, ...]:
        """Take the agent from any answer; none of them tells the App ID."""
        for answer in answers:
            match answer.body:
                case {"productId": product} if product != PRODUCT:
                    pass
                case {"agent_id": str(agent)} | {"payload": {"agent_id": str(agent)}} if agent:
                    return "", agent
                case _:
                    pass
        return "", ""

    def _parts(self, reference: Reference) -> tuple[str, str]:
        match reference.path:
            case (app, agent) if app and agent:
                return app, agent
            case _:
                raise UsageError(f"{reference} names no Agora call; write agora:APPID/AGENT")


@value()
class _Batch:
    """The records of one answer, until all its pieces are there.

    Attributes:
        notice: the id of the notification that holds them.
    """

    kind: _Kind
    records: list[JSON]
    notice: str | None = None


class AgoraReader:
    """Read histories, pages of turns and notifications; the events come when everything has been read."""

    at_once = False
    takes_dicts = False

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._agent = (*reference.path, "", "")[1]
        self._started: int | None = None
        self._facts: dict[str, dict[str, JSON]] = {}  # by name, each value once, by its key
        self._windows = Windows()
        self._turns: list[JSON] = []
        self._errors: list[JSON] = []
        self._others: list[JSON] = []  # notifications that nothing is known of
        self._batch: _Batch | None = None
        self._single_entries: list[Entry] = []  # what came one by one
        self._single_turns: list[tuple[JSON, int | None]] = []  # the same, with the nanosecond at which it came
        self._histories = 0
        self._noticed: set[tuple[str, ...]] = set()
        self._settled = 0  # answers of which all records were taken
        self._repeated = 0  # notifications that came again
        self._keys = Keys()
        self._turn_keys = Keys()  # which turns are met again; events have their keys from the other one
        self._pages: list[JSON] = []  # answers with turns
        self._failures: list[Answer] = []
        self._unread: list[str] = []  # pages of turns without turns, by source
        self._strangers = 0  # answers that name another agent
        self._foreign = 0  # notifications of other products

    @property
    def duplicates(self) -> int:
        """How many records were met again, and gave no event."""
        return self._windows.duplicates + self._turn_keys.duplicates + self._repeated

    def feed(self, answer: Answer) -> Iterable[Item]:
        """Read one answer.

        Raises:
            ReadError: it has no list of entries or turns where one must be.
        """
        body = answer.body
        if answer.failure is not None:
            self._failures.append(answer)
        elif answer.label == "turns" and self._histories and not _may_hold(body, "turns"):
            self._unread.append(answer.source)  # the history is good without them
            self._learn("turns", body)
        elif answer.label == "notification" and isinstance(body, dict):
            self._take_notification(answer, body)
        else:
            kind: _Kind = "turns" if answer.label == "turns" else "contents"
            if answer.label == "notification" or not _may_hold(body, kind):
                raise ReadError(f"{self._reference}: {answer.source} holds no list of {kind}")
            self._take_answer(answer, body, kind)
        return ()

    def take(self, record: JSON, arrived: int | None, *, anyhow: bool = False) -> Sequence[Item] | None:
        """Read an entry of the history, or a turn."""
        match record:
            case {"turn_id": _}:
                self._single_turns.append((record, arrived))
            case _ if anyhow or (isinstance(record, dict) and "role" in record):
                self._histories = self._histories or 1
                self._single_entries.append(Entry(record=record, key=key_of(record), arrived=arrived))
            case _:
                return None
        return ()

    def close(self) -> Iterator[Item]:
        """Lay the turns on the entries; give the session and all its events."""
        self._settle()
        self._windows.add_entries(self._single_entries)
        came = {id(turn): arrived for turn, arrived in self._single_turns}
        self._turns += [turn for turn, _ in self._single_turns if self._turn_keys.claim(turn, listing="")]
        turns = in_order(read_turn(record, self._agent) for record in self._turns)
        roles = [_role(entry.record) for entry in self._windows.entries]
        places = {} if self._lacks_turns() else lay(roles, turns, whole_from=self._windows.whole_from)
        yield self._session()
        yield from self._cautions(turns, places)
        yield from self._entries(turns, places)
        for position, turn in enumerate(turns):
            if position not in places:
                yield turn_note(turn, self._key(turn.record), came.get(id(turn.record)))
        for error in self._errors:
            yield error_note(error, self._key(error))
        for notification in self._others:
            notice = _notice(notification)
            key = self._keys.claim(notification, notice) or key_of(notification)
            yield unknown_note(notification, key, notice)

    # --- answers --------------------------------------------------------------------------------------

    def _take_answer(self, answer: Answer, body: Mapping[str, JSON], kind: _Kind) -> None:
        if kind == "contents":
            self._histories += 1
        elif not answer.continues:
            self._pages.append(answer.body)
        self._take_facts(body, kind, continues=answer.continues)
        self._take_records(_listed(body, kind), kind, continues=answer.continues)

    def _take_notification(self, answer: Answer, body: Mapping[str, JSON]) -> None:
        product = body.get("productId")
        if is_number(product) and product != PRODUCT:
            self._foreign += not answer.continues
            return
        notice = _notice(body)
        event, payload = body.get("eventType"), body.get("payload")
        known = _NOTIFIED if product == PRODUCT else {}
        kind = known.get(event) if is_number(event) else None
        if (
            not is_number(event)
            or event not in known
            or not isinstance(payload, dict)
            or (kind is not None and not _may_hold(payload, kind))
        ):
            if self._is_new(notice, key_of(event), key_of(payload)):
                self._others.append(body)
            else:
                self._learn("notifications", _without(body, "payload"))
            return
        self._learn("notifications", _without(body, "payload"))
        self._take_facts(payload, kind, continues=answer.continues)
        if kind is None:
            self._is_new(notice, key_of(event), key_of(payload))
        else:
            self._take_records(_listed(payload, kind), kind, notice=notice, continues=answer.continues)

    def _take_facts(self, body: Mapping[str, JSON], kind: _Kind | None, *, continues: bool) -> None:
        """Take what an answer says beside its records."""
        for name, told in body.items():
            if name == "agent_id" and told == self._agent:
                continue
            if name != kind or told is None:
                self._learn(name, told)
        agent = body.get("agent_id")
        self._strangers += not continues and isinstance(agent, str) and agent != self._agent

    def _learn(self, name: str, told: JSON) -> None:
        self._facts.setdefault(name, {}).setdefault(key_of(told), shallow(told))

    def _take_records(
        self, records: list[JSON], kind: _Kind, *, notice: str | None = None, continues: bool = False
    ) -> None:
        """Hold the records until the answer is known to be over."""
        if continues and self._batch is not None and self._batch.kind == kind:
            self._batch.records.extend(records)
            return
        self._settle()
        self._batch = _Batch(kind=kind, records=list(records), notice=notice)

    def _settle(self) -> None:
        """Take the records of an answer that is over."""
        batch, self._batch = self._batch, None
        if batch is None or not self._is_new(batch.notice, batch.kind, *map(key_of, batch.records)):
            return
        self._settled += 1
        match batch.kind:
            case "contents":
                self._windows.add(batch.records)
            case "turns":
                listing = str(self._settled)
                self._turns += [each for each in batch.records if self._turn_keys.claim(each, listing=listing)]
            case "errors":
                self._errors += batch.records
            case _:
                assert_never(batch.kind)

    def _is_new(self, notice: str | None, *keys: str) -> bool:
        """Say whether a notification was not met before; when it is sent again, only its `notifyMs` is another."""
        if notice is None:
            return True
        if (notice, *keys) in self._noticed:
            self._repeated += 1
            return False
        self._noticed.add((notice, *keys))
        return True

    # --- the session ----------------------------------------------------------------------------------

    def _session(self) -> Session:
        name = self._fact("name", lambda told: isinstance(told, str) and told != "")
        started, stopped = self._fact("start_ts", _is_time), self._fact("stop_ts", _is_time)
        stamp = times.epoch_by_size(started)
        self._started = None if stamp is None else stamp.nanoseconds
        described = {each: self._fact(each, lambda told: told is not None) for each in ("channel", "labels")}
        left = {each: list(told.values()) for each, told in self._facts.items() if told}
        return Session(
            reference=self._reference,
            id=self._agent or None,
            agent_name=name,
            started=self._started,
            created_at=None if started is None else str(started),
            closed_at=None if stopped is None else str(stopped),
            complete=not self._cut_short(),
            content={each: told for each, told in described.items() if told is not None},
            remainder={each: told[0] if len(told) == 1 else told for each, told in left.items()} or None,
        )

    def _fact(self, name: str, accept: Callable[[JSON], bool]) -> JSON:
        """Take the first value of a fact that can be used; the others are kept beside."""
        told = self._facts.get(name, {})
        key = next((key for key, each in told.items() if accept(each)), None)
        return None if key is None else told.pop(key)

    def _cut_short(self) -> bool:
        """Say whether turns are known to be missing: no page that is here says that it is the last."""
        named = [names_further(body, number) for number, body in enumerate(self._pages, 1)]
        return (bool(named) and all(named)) or key_of(True) in self._facts.get("is_truncated", {})  # noqa: FBT003

    def _lacks_turns(self) -> bool:
        """Say whether the last turn of the call may be missing, from which on turns are laid."""
        return self._cut_short() or any(answer.label == "turns" for answer in self._failures)

    def _cautions(self, turns: Sequence[Turn], places: Mapping[int, object]) -> Iterator[Caution]:
        for answer in self._failures:
            yield Caution(message=self._what_is_missing(answer))
        for source in self._unread:
            yield Caution(message=f"{source} holds no list of turns; the trace lacks the times of the turns")
        if self._strangers:
            yield Caution(message=f"of these answers, {self._strangers} name another agent than {self._agent!r}")
        if self._foreign:
            yield Caution(
                message=f"{self._foreign} of the notifications are of other products (productId is not {PRODUCT}), and "
                "were not read"
            )
        if self._windows.gaps:
            yield Caution(
                message=f"{self._windows.gaps} of the histories had no entry in common with those before it: entries "
                "may have been lost between the two; ask more often, or raise llm.max_history"
            )
        wanted = len(current(turns))
        if len(places) < wanted and self._windows.entries:
            why = ": the last one may be missing" if self._lacks_turns() else ""
            yield Caution(
                message=f"of {wanted} turns, {len(places)} could be laid on entries of the history{why}; the others "
                "are notes at its end"
            )
        if not self._windows.entries and turns and not self._failures:
            yield Caution(message=f"there is no history: the trace has turns and no words; {_GONE}")
        if self._cut_short() and not any(answer.label == "turns" for answer in self._failures):
            yield Caution(
                message="the platform says that there are more turns than these, and did not give them: the trace "
                "lacks some"
            )

    def _what_is_missing(self, answer: Answer) -> str:
        failure = answer.failure
        if answer.label == "turns" and self._pages:
            return f"{failure}; the trace lacks the turns of this page and of those after it"
        if answer.label == "turns":
            return f"{failure}; the trace lacks the times of the turns, which is usual while a call runs"
        gone = failure is not None and failure.status == _NOT_FOUND and _GONE not in str(failure)
        return f"{failure}; the trace has turns at best, and no words{f': {_GONE}' if gone else ''}"

    # --- events ---------------------------------------------------------------------------------------

    def _key(self, record: JSON) -> str:
        """Claim a key by content; equal records that come this far are several, and are numbered."""
        return self._keys.claim(record) or key_of(record)

    def _entries(self, turns: Sequence[Turn], places: Mapping[int, Place]) -> Iterator[Event]:
        """Give the entries of the history, each with what its turn says of it."""
        whole = {place.carrier: turns[number] for number, place in places.items()}
        first = {place.user: turns[number] for number, place in places.items() if place.user != place.carrier}
        for position, entry in enumerate(self._windows.entries):
            turn = whole.get(position) or first.get(position)
            yield entry_event(
                entry,
                self._key(entry.record),
                turn,
                shared=position in first,
                started=self._started,
                arrived=entry.arrived,
            )


def _role(record: JSON) -> str | None:
    role = record.get("role") if isinstance(record, dict) else None
    return role if isinstance(role, str) else None


def _is_time(number: JSON) -> bool:
    """A zero is a number that nobody has set."""
    return is_number(number) and number > 0 and times.epoch_by_size(number) is not None


# --- answers ------------------------------------------------------------------------------------------


def _credentials(environ: Mapping[str, str]) -> Credentials:
    token = environ.get("AGORA_TOKEN")
    if token:
        return ApiKey("Authorization", token, variable="AGORA_TOKEN", scheme="agora token=")
    customer, secret = environ.get("AGORA_CUSTOMER_ID"), environ.get("AGORA_CUSTOMER_SECRET")
    if customer and secret:
        return Basic(customer, secret, variables="AGORA_CUSTOMER_ID and AGORA_CUSTOMER_SECRET")
    raise UsageError(
        "Agora wants credentials: set AGORA_CUSTOMER_ID and AGORA_CUSTOMER_SECRET (of the RESTful API), or AGORA_TOKEN"
    )


def _may_hold(body: JSON, name: str) -> bool:
    """Say whether it is an object with such a list; a list that is absent is an empty one."""
    return isinstance(body, dict) and isinstance(body.get(name), list | None)


def _listed(body: JSON, name: str) -> list[JSON]:
    listed = body.get(name) if isinstance(body, dict) else None
    return listed if isinstance(listed, list) else []


def _notice(notification: Mapping[str, JSON]) -> str | None:
    notice = notification.get("noticeId")
    return notice if isinstance(notice, str) and notice else None


def _without(body: Mapping[str, JSON], name: str) -> dict[str, JSON]:
    return {other: told for other, told in body.items() if other != name}


def _turn_id(turn: JSON) -> str:
    """Give what tells a turn from others: its id, or else all of it."""
    return key_of(turn.get("turn_id", turn)) if isinstance(turn, dict) else key_of(turn)
