"""Events to nodes: calls paired with results, turns numbered, times inferred. Pure, total and incremental.

A *node* is what becomes one span. The assembler is a fold over the events in the platform's order: feeding one by
one, page by page or all at once gives the same nodes. A node leaves as soon as it can no longer change. What must
wait, and why:

- an undated event before the first known time, when the session's start is not known either;
- a call without its result, and a result that came before its call;
- a turn, until the next one begins and its calls are answered;
- the root, until the session ends.

The rules are those of mapping.md, sections 2 and 3.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, assert_never, cast

from msgspec import Struct
from msgspec.structs import replace

from otel_agent_events.events import (
    AgentMessage,
    Event,
    Note,
    Session,
    Thinking,
    ToolCall,
    ToolResult,
    UserMessage,
    kind_of,
    parsed,
    value,
)
from otel_agent_events.times import LATEST, MICROSECOND, MILLISECOND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Timing: TypeAlias = Literal["recorded", "inferred", "synthetic"]
"""Where a time comes from: the record, a rule of the contract, or nowhere."""

NodeKind: TypeAlias = Literal["session", "turn", "user_message", "thinking", "tool", "agent_message", "note"]
"""What a node is of; what its span carries besides is constant in a session for each of these."""

Outcome: TypeAlias = Literal["ok", "error", "orphan_output", "missing_output", "unfinished"]


_RANK: dict[Timing, int] = {"recorded": 0, "inferred": 1, "synthetic": 2}

TIMINGS: tuple[Timing, ...] = tuple(_RANK)


def weaker(begun: Timing, ended: Timing) -> Timing:
    """Give the less certain of two."""
    return begun if _RANK[begun] > _RANK[ended] else ended


class Moment(Struct, frozen=True, gc=False):
    """A nanosecond and where it comes from."""

    at: int
    timing: Timing


@value()
class Failure:
    """Why a span has failed.

    Attributes:
        type: goes to `error.type`.
        description: goes to the status, if there is something to say.
    """

    type: str
    description: str | None = None


class _Node(Struct, gc=False):
    """What every node has. Nodes are structs, as events are, and nothing in this package changes one."""

    start: Moment
    end: Moment

    @property
    def timing(self) -> Timing:
        """The weaker of the two: a span is `recorded` only when both its times are."""
        return weaker(self.start.timing, self.end.timing)


class EventNode(_Node, gc=False):
    """A message, a thought or a note.

    Attributes:
        index: of the event in the session, from 1.
        turn: from 1; 0 before the first user message.
        clamped: the record's end lay before its start; both times are its start.
    """

    event: UserMessage | Thinking | AgentMessage | Note
    index: int
    turn: int
    clamped: bool = False

    @property
    def kind(self) -> NodeKind:
        """That of its event."""
        return self.event.kind


class ToolNode(_Node, gc=False):
    """A call with its result, or one of the two alone.

    Attributes:
        call, result: at least one of them is there.
        index: of the call, or of the result when it is alone.
        result_index: of the result, when there is one beside the call.
        turn: in which the call was made.
        cancelled: the turn was interrupted while the call was open.
        clamped: the result's time lay before the call's; the span has the call's time only.
    """

    kind: ClassVar[NodeKind] = "tool"
    call: ToolCall | None
    result: ToolResult | None
    index: int
    result_index: int | None
    turn: int
    outcome: Outcome
    cancelled: bool = False
    clamped: bool = False

    @property
    def either(self) -> ToolCall | ToolResult:
        """The call, or the result when it is alone: the event whose id and place the node has."""
        half = self.call or self.result
        assert half is not None  # noqa: S101 - at least one of them is there
        return half


class TurnNode(_Node, gc=False):
    """A turn: from a user message to the next one that follows something else."""

    kind: ClassVar[NodeKind] = "turn"
    number: int
    first: UserMessage | None
    last: AgentMessage | None
    failure: Failure | None


class SessionNode(_Node, gc=False):
    """The session as a whole: the root.

    Attributes:
        first: the first user message.
        last: the last agent message.
        complete: no call is open, and the records were not cut short.
    """

    kind: ClassVar[NodeKind] = "session"
    session: Session
    first: UserMessage | None
    last: AgentMessage | None
    failure: Failure | None
    event_count: int
    turn_count: int
    tool_call_count: int
    tool_error_count: int
    missing_output_count: int
    complete: bool


Node: TypeAlias = EventNode | ToolNode | TurnNode | SessionNode


def with_values(node: Node) -> Node:
    """Give a node with values where its events hold written JSON, as conventions see it."""
    match node:
        case EventNode(event=event):
            told = parsed(event)
            return node if told is event else replace(node, event=told)
        case ToolNode(call=call, result=result):
            asked = None if call is None else parsed(call)
            answered = None if result is None else parsed(result)
            return node if asked is call and answered is result else replace(node, call=asked, result=answered)
        case SessionNode(first=first, last=last) | TurnNode(first=first, last=last):
            begun = None if first is None else parsed(first)
            ended = None if last is None else parsed(last)
            return node if begun is first and ended is last else replace(node, first=begun, last=ended)
        case _:
            assert_never(node)


class Extent:
    """The earliest start and the latest end among nodes; at a tie the better known time wins."""

    __slots__ = ("end", "start")

    def __init__(self) -> None:
        self.start: Moment | None = None
        self.end: Moment | None = None

    def span(self) -> tuple[Moment, Moment]:
        """Give start and end; there is at least one event wherever this is asked."""
        assert self.start is not None  # noqa: S101
        assert self.end is not None  # noqa: S101
        return self.start, self.end

    def add(self, other: Extent) -> None:
        """Cover all that another one covers."""
        if other.start is not None and other.end is not None:
            self.cover(other.start, other.end)

    def cover(self, start: Moment, end: Moment) -> None:
        """Cover what lies between two moments as well."""
        earliest, latest = self.start, self.end
        if earliest is None or latest is None:
            self.start, self.end = start, end
            return
        begun, ended = start.at, end.at
        if begun > earliest.at and ended > latest.at:  # most often
            self.end = end
            return
        if begun <= earliest.at and (begun < earliest.at or _RANK[start.timing] < _RANK[earliest.timing]):
            self.start = start
        if ended >= latest.at and (ended > latest.at or _RANK[end.timing] < _RANK[latest.timing]):
            self.end = end


class _Turn:
    """A turn while something of it may still change."""

    __slots__ = ("extent", "failure", "first", "interrupted", "last", "number", "open")

    def __init__(self, number: int) -> None:
        self.number = number
        self.extent = Extent()
        self.first: UserMessage | None = None
        self.last: AgentMessage | None = None
        self.failure: Failure | None = None
        self.interrupted = 0  # index of the last interrupt
        self.open = 0  # calls without a result, and results without a call, that wait


class _Waiting:
    """One half of a pair, a `ToolCall` or a `ToolResult`, placed in time, waiting for the other."""

    __slots__ = ("clamped", "end", "event", "index", "start", "turn")

    def __init__(  # noqa: PLR0917 - by their order, which takes half of the time
        self,
        event: Any,
        start: Moment,
        end: Moment,
        clamped: bool,  # noqa: FBT001
        index: int,
        turn: _Turn,
    ) -> None:
        self.event = event
        self.start = start
        self.end = end
        self.clamped = clamped
        self.index = index
        self.turn = turn


_Queues: TypeAlias = "dict[str, _Waiting | deque[_Waiting]]"
"""By call id, what waits under it. Most ids occur once, and need no queue of their own."""


class Assembler:
    """Fold the events of one session into nodes.

    Args:
        session: what is known before the first event.
        turns: whether turns become nodes of their own. They are numbered either way.
    """

    def __init__(self, session: Session, *, turns: bool = False) -> None:
        self._session = session
        self._turns = turns
        self._closed: list[Node] = []
        self._known: int | None = None  # the previous known time
        self._steps = 0  # undated events since
        self._step = MICROSECOND
        self._held: list[Event] = []
        self._turn = _Turn(0)
        self._said = False  # whether the previous event was a user message
        self._latest: int | None = None  # the greatest recorded time of the turn, notes apart
        self._calls: _Queues = {}
        self._early: _Queues = {}
        self._extent = Extent()
        self._first: UserMessage | None = None
        self._last: AgentMessage | None = None
        self._settled = 0  # index of the last agent message, interrupt or limit
        self._events = self._tool_calls = self._tool_errors = self._missing = 0

    @property
    def undated(self) -> bool:
        """Whether nothing in the session has a time, so that all its times are invented from 1970 on."""
        return self._step == MILLISECOND

    def learn(self, session: Session) -> None:
        """Take what is known of the session now; the root will have the latest."""
        self._session = session

    def feed(self, *events: Event) -> Sequence[Node]:
        """Take the next event, or several; give the nodes that are closed by them.

        Total: every event lands on exactly one node, here or in `close`.
        """
        take = self._take
        for event in events if self._known is not None else self._after_first_known(events):
            take(event)
        return self._drain() if self._closed else ()

    def close(self) -> list[Node]:
        """End the session: give what still waits, then the root, which comes last."""
        if self._held:
            self._known, self._step = 0, MILLISECOND
            self._take_held()
        self._close_orphans()
        unfinished = self._close_unanswered()
        if self._turns and self._turn.number:
            self._close_turn(self._turn)
        self._close_root(complete=self._session.complete and not unfinished)
        return self._drain()

    def _drain(self) -> list[Node]:
        closed, self._closed = self._closed, []
        return closed

    # --- time -----------------------------------------------------------------------------------------

    def _after_first_known(self, events: Iterable[Event]) -> Iterator[Event]:
        """Hold undated events until there is a known time; give the others."""
        for event in events:
            if self._known is None:
                first_known = event.end if event.start is None else event.start
                if first_known is None and self._session.started is None:
                    self._held.append(event)
                    continue
                self._release(first_known)
            yield event

    def _release(self, first_known: int | None) -> None:
        """Let the leading undated events go: on from the session's start, or back from the first known time."""
        back = (len(self._held) + 1) * MICROSECOND
        self._known = max(0, (first_known or 0) - back) if self._session.started is None else self._session.started
        self._take_held()

    def _take_held(self) -> None:
        for event in self._held:
            self._take(event)
        self._held = []

    def _place(self, event: Event, kind: type[Event]) -> tuple[Moment, Moment, bool]:
        """Give an event that is no point in time its start and end, and whether its end had to be clamped."""
        start, end = event.start, event.end
        if end is None:
            end = start
            if end is None:
                self._steps += 1
                at = min((self._known or 0) + self._steps * self._step, LATEST)
                moment = Moment(at=at, timing="synthetic")
                return moment, moment, False
        latest = self._latest
        begin = (
            Moment(end if latest is None or latest > end else latest, "inferred")
            if start is None
            else Moment(start, "recorded")
        )
        clamped = end < begin.at
        at = begin.at if clamped else end
        finish = Moment(at, "recorded")
        self._reach(at, kind)
        return begin, finish, clamped

    def _reach(self, at: int, kind: type[Event]) -> None:
        """Note that a time is known, and that the turn lasts until then; what a note tells may be of any time."""
        self._known, self._steps = at, 0
        if (self._latest is None or at > self._latest) and kind is not Note:
            self._latest = at

    # --- one event ------------------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        # A session has many events, so what is done for nearly all of them is done here.
        kind, told = kind_of(event), cast("Any", event)
        self._events = index = self._events + 1
        said = kind is UserMessage
        if said and not self._said:
            self._begin_turn()
        self._said = said
        end = event.end
        if end is not None and event.start == end:  # a point in time
            begin = finish = Moment(end, "recorded")
            clamped = False
            self._reach(end, kind)
        else:
            begin, finish, clamped = self._place(event, kind)
        turn = self._turn
        # Tools come first, since most events are of them.
        if kind is ToolCall:
            self._take_call(_Waiting(event, begin, finish, clamped, index, turn))
            return
        if kind is ToolResult:
            self._take_result(_Waiting(event, begin, finish, clamped, index, turn))
            return
        if kind is UserMessage:
            self._first = self._first or told
            turn.first = turn.first or told
        elif kind is AgentMessage:
            self._last = turn.last = told
            self._settled = index
            turn.failure = None
        elif kind is Note:
            self._note_failure(told, index)
        turn.extent.cover(begin, finish)
        self._closed.append(EventNode(begin, finish, told, index, turn.number, clamped))

    def _note_failure(self, note: Note, index: int) -> None:
        """An interrupt or a limit fails its turn, unless the agent says something after it."""
        if note.failure is None:
            return
        self._settled = index
        self._turn.failure = Failure(type=note.type or note.name)
        if note.failure == "interrupt":
            self._turn.interrupted = index

    def _take_call(self, call: _Waiting) -> None:
        self._tool_calls += 1
        turn = call.turn
        turn.extent.cover(call.start, call.end)  # it is made in the present turn
        early = _oldest(self._early, call.event.call_id) if self._early else None
        if early is not None:
            self._close_pair(call, early)
            early.turn.open -= 1
            self._close_turn_if_over(early.turn)
            return
        turn.open += 1
        _put(self._calls, call.event.call_id or "", call)

    def _take_result(self, result: _Waiting) -> None:
        event = result.event
        self._tool_errors += event.failed is True
        if not event.call_id:
            self._close_orphan(result)
            return
        call = _oldest(self._calls, event.call_id)
        if call is not None:
            self._close_pair(call, result)
            call.turn.open -= 1
            if self._turns:
                self._close_turn_if_over(call.turn)
            return
        result.turn.open += 1
        _put(self._early, event.call_id, result)

    def _close_pair(self, call: _Waiting, result: _Waiting) -> None:
        """Make one node of a call and its result; a result that lies before its call is clamped to it."""
        start, end = call.start, result.end
        clamped = end.at < start.at
        if clamped:
            end = start
        if start.timing == "synthetic" or result.end.timing == "synthetic":
            start, end = Moment(start.at, "synthetic"), Moment(end.at, "synthetic")
        self._cover(call.turn, start, end)
        asked, answered = call.event, result.event
        self._closed.append(
            ToolNode(
                start,
                end,
                asked,
                answered,
                call.index,
                result.index,
                call.turn.number,
                "error" if answered.failed else "ok",
                False,  # noqa: FBT003 - fields are filled by their order, which takes half of the time
                clamped or call.clamped or result.clamped,
            )
        )

    def _close_orphan(self, result: _Waiting) -> None:
        self._cover(result.turn, result.end, result.end)
        self._closed.append(
            ToolNode(
                start=result.end,
                end=result.end,
                call=None,
                result=result.event,
                index=result.index,
                result_index=None,
                turn=result.turn.number,
                outcome="orphan_output",
                clamped=result.clamped,
            )
        )

    # --- turns ----------------------------------------------------------------------------------------

    def _begin_turn(self) -> None:
        over = self._turn
        self._extent.add(over.extent)
        self._turn = _Turn(over.number + 1)
        self._latest = None
        self._close_turn_if_over(over)

    def _close_turn_if_over(self, turn: _Turn) -> None:
        if self._turns and turn.number and turn is not self._turn and not turn.open:
            self._close_turn(turn)

    def _close_turn(self, turn: _Turn) -> None:
        start, end = turn.extent.span()
        self._closed.append(
            TurnNode(
                start=start,
                end=end,
                number=turn.number,
                first=turn.first,
                last=turn.last,
                failure=turn.failure,
            )
        )

    def _cover(self, turn: _Turn, start: Moment, end: Moment) -> None:
        turn.extent.cover(start, end)
        if turn is not self._turn:  # what the present turn covers is added when it is over
            self._extent.cover(start, end)

    # --- the end --------------------------------------------------------------------------------------

    def _close_orphans(self) -> None:
        """Close the results whose call never came, in their order."""
        for result in sorted(_all(self._early), key=_by_index):
            self._close_orphan(result)
            result.turn.open -= 1
            self._close_turn_if_over(result.turn)

    def _close_unanswered(self) -> int:
        """Close the calls whose result never came, in their order; return how many may yet be answered."""
        unfinished = 0
        for call in sorted(_all(self._calls), key=_by_index):
            missing = self._settled > call.index
            self._missing += missing
            unfinished += not missing
            self._closed.append(
                ToolNode(
                    start=call.start,
                    end=_end_of_unanswered(call),
                    call=call.event,
                    result=None,
                    index=call.index,
                    result_index=None,
                    turn=call.turn.number,
                    outcome="missing_output" if missing else "unfinished",
                    cancelled=missing and call.turn.interrupted > call.index,
                    clamped=call.clamped,
                )
            )
            call.turn.open -= 1
            self._close_turn_if_over(call.turn)
        return unfinished

    def _close_root(self, *, complete: bool) -> None:
        self._extent.add(self._turn.extent)
        if self._events:
            start, end = self._extent.span()
        else:
            started = self._session.started
            start = end = (
                Moment(at=MILLISECOND, timing="synthetic") if started is None else Moment(at=started, timing="recorded")
            )
        self._closed.append(
            SessionNode(
                start=start,
                end=end,
                session=self._session,
                first=self._first,
                last=self._last,
                failure=self._turn.failure,
                event_count=self._events,
                turn_count=self._turn.number,
                tool_call_count=self._tool_calls,
                tool_error_count=self._tool_errors,
                missing_output_count=self._missing,
                complete=complete,
            )
        )


def assemble(session: Session, events: Iterable[Event], *, turns: bool = False) -> list[Node]:
    """Fold a whole session at once: the nodes in the order in which they close, the root last."""
    assembler = Assembler(session, turns=turns)
    return [*assembler.feed(*events), *assembler.close()]


def _end_of_unanswered(call: _Waiting) -> Moment:
    """An unanswered call ends where its turn ends, unless the platform recorded its end."""
    if call.end.at > call.start.at:
        return call.end
    _, end = call.turn.extent.span()
    return Moment(at=end.at, timing="synthetic" if call.start.timing == "synthetic" else "inferred")


def _put(queues: _Queues, call_id: str, waiting: _Waiting) -> None:
    """Let one half of a pair wait, behind those that wait under the same call id."""
    there = queues.setdefault(call_id, waiting)
    if there is waiting:
        return
    if isinstance(there, deque):
        there.append(waiting)
    else:
        queues[call_id] = deque((there, waiting))


def _oldest(queues: _Queues, call_id: str | None) -> _Waiting | None:
    """Take the oldest of those that wait under a call id, and forget the id when it was the last."""
    there = queues.pop(call_id, None) if call_id else None
    if there.__class__ is not deque:
        return there  # type: ignore[return-value]
    oldest: _Waiting = there.popleft()
    if there:
        queues[call_id or ""] = there
    return oldest


def _all(queues: _Queues) -> Iterator[_Waiting]:
    """Give all that waits, under whatever id."""
    for there in queues.values():
        if isinstance(there, deque):
            yield from there
        else:
            yield there


def _by_index(waiting: _Waiting) -> int:
    return waiting.index
