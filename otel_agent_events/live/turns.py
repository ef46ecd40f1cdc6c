"""One turn in one request: what the agent did for it, as spans of the service's own tracer.

A session spans many requests, workers and processes, so its root is nobody's here. Each turn is an `invoke_agent` span
under the request that caused it; the session's trace, which a replay makes, is named by it and linked.
"""

from __future__ import annotations

import atexit
import threading
import time
from _thread import start_new_thread
from collections import OrderedDict
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Self
from weakref import ReferenceType, ref

from opentelemetry import context as contexts
from opentelemetry import trace

from otel_agent_events.assemble import Assembler, SessionNode, TurnNode
from otel_agent_events.attributes import Finisher
from otel_agent_events.content import Policy
from otel_agent_events.conventions import plugins_of
from otel_agent_events.conventions.gen_ai import GenAI
from otel_agent_events.events import KINDS, Caution, Session
from otel_agent_events.live import FLUSH
from otel_agent_events.live.labels import INDEX, RESULT_INDEX, TURN, Labeller
from otel_agent_events.live.losses import PROCESS, Losses, after_fork, type_of, words_of
from otel_agent_events.live.records import Reading, facts_of, is_time, reference_of, taken, told_of
from otel_agent_events.otlp import SCHEMA_URL
from otel_agent_events.own import context_attributes
from otel_agent_events.scrub import Scrubber
from otel_agent_events.settings import Settings
from otel_agent_events.spans import SCOPE_NAME, SCOPE_VERSION, Identity, Resource, SpanBuilder, View

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from opentelemetry.context import Context

    from otel_agent_events.assemble import Node
    from otel_agent_events.attributes import Attribute, Final
    from otel_agent_events.content import Content
    from otel_agent_events.events import JSON, Event
    from otel_agent_events.fetchers import Item
    from otel_agent_events.live.labels import Template
    from otel_agent_events.live.records import Record
    from otel_agent_events.reference import Reference
    from otel_agent_events.spans import Link

REFERENCE = "otel_agent_events.session.reference"
TRACE_ID = "otel_agent_events.session.trace_id"
COMPLETE = "otel_agent_events.turn.complete"
WARNINGS = "otel_agent_events.turn.warnings"

_MOST_SESSIONS = 256
"""Sessions of which it is remembered what is constant in their spans."""

_KINDS = {"internal": trace.SpanKind.INTERNAL, "client": trace.SpanKind.CLIENT}


class TurnRecorder:
    """Record turns of agents as spans of the service's own tracer.

    Its sampler, resource, processors and exporters stay in charge; nothing is sent from here. One recorder serves a
    whole process, all its threads and tasks, and the processes that are forked from it. Nothing in it raises once it is
    made, and nothing waits.

    Args:
        tracer_provider: whose tracer is used; the global one when nothing is said, also when it is set later.
        content: `none` (the default of live instrumentation in the GenAI conventions), `scrubbed` or `full`. Without it
            what `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` says.
        max_value: the most bytes of UTF-8 in one attribute value.
        scrubber: takes out secrets by your own patterns too, when content is `scrubbed`.
        namespace: an account or environment; part of the id of the session's trace, as in a replay.
        conventions: by name; the first one names the spans.
        environ: instead of the environment of this process.

    Raises:
        UsageError: a convention is not installed, or a value or a variable cannot be understood.
    """

    def __init__(
        self,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        content: Content | None = None,
        max_value: int | None = None,
        scrubber: Scrubber | None = None,
        namespace: str = "",
        conventions: Sequence[str] = ("gen_ai",),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        settings = Settings.here() if environ is None else Settings(environ)
        policy = Policy(
            content=settings.live_content(content),
            max_value=settings.max_value(max_value),
            scrubber=scrubber or Scrubber(),
        )
        self._provider = tracer_provider
        self._shut_down = False
        self._losses = Losses("TurnRecorder")
        self._making = _Making(
            tracer=trace.get_tracer(SCOPE_NAME, SCOPE_VERSION, tracer_provider, SCHEMA_URL),
            policy=policy,
            conventions=tuple(conventions),
            replayed=Identity(namespace=namespace),
        )

    @property
    def lost(self) -> Mapping[str, int]:
        """How many records were not recorded so far, by the reason."""
        return self._losses.counts

    def turn(
        self,
        session: str | Reference,
        *,
        agent: str | None = None,
        user: str | None = None,
        number: int | None = None,
        first_index: int | None = None,
    ) -> Turn:
        """Give a turn to be opened: `with recorder.turn(...) as turn:`, or `async with`.

        Args:
            session: whose turn it is, `PLATFORM:PATH` as in a replay, such as `vectara:AGENT/SESSION`.
            agent: what the agent is called; else what the reference and the records tell.
            user: the id of the user, if it may be recorded.
            number: which turn of the session it is, from 1, where that is known.
            first_index: the place of its first event among all of the session, from 1, where that is known.
        """
        losses = self._losses
        if self._shut_down:
            losses.count(1, "turns after the recorder was shut down")
            return Turn(None, None, losses)
        try:
            reference = reference_of(session)
            return Turn(self._making, reference, losses, agent=agent, user=user, number=number, first_index=first_index)
        except Exception as error:  # noqa: BLE001 - the host asked for a span, and gets no exception
            losses.count(1, f"turns: {words_of(error)}")
            return Turn(None, None, losses)

    def lose(self, number: int, why: str) -> None:
        """Count so many records as not recorded, for the reason that these words give."""
        self._losses.count(number, why)

    def force_flush(self, timeout_millis: int = FLUSH) -> bool:
        """Let the tracer provider send what it holds; say whether it did in time. Nothing is held back here."""
        provider = self._provider or trace.get_tracer_provider()
        flush = getattr(provider, "force_flush", None)
        try:
            return True if flush is None else bool(flush(timeout_millis))
        except Exception as error:  # noqa: BLE001 - a processor of the host's
            self._losses.count(1, f"flushes: {words_of(error)}")
            return False

    def shutdown(self, timeout_millis: int = FLUSH) -> bool:
        """Record no further turn, and flush. The tracer provider is the service's, and goes on."""
        self._shut_down = True
        self._losses.tell()
        return self.force_flush(timeout_millis)


class _Known(NamedTuple):
    """What is the same in all turns of a session.

    Attributes:
        named: what names the session on spans.
        attributes: of the span of a turn, when it is opened.
    """

    labels: Labeller
    name: str
    named: Mapping[str, Final]
    attributes: Mapping[str, Final]
    link: trace.Link


class _Making:
    """How turns become spans: what all turns of a recorder share."""

    def __init__(
        self,
        *,
        tracer: trace.Tracer,
        policy: Policy,
        conventions: tuple[str, ...],
        replayed: Identity,
    ) -> None:
        self.tracer = tracer
        self.policy = policy
        self.finisher = Finisher(policy.max_value)
        self._plugins = plugins_of(conventions)
        self._by_templates = policy.content == "none" and all(type(each) is GenAI for each in self._plugins)
        self._templates: dict[Hashable, Template] = {}
        self._replayed = replayed
        view = View(content=policy.content, max_value=policy.max_value, conventions=conventions)
        self._identity = replace(replayed, view=view)
        self._lock = threading.RLock()
        self._known: OrderedDict[tuple[object, ...], _Known] = OrderedDict()
        after_fork(self._in_child)

    def known(self, session: Session) -> _Known:
        """Give what is the same in all turns of a session of which so much is known."""
        facts = (
            session.reference,
            session.id,
            session.agent_name,
            session.agent_id,
            session.user,
            session.model,
            session.service,
        )
        with self._lock:
            known = self._known.get(facts)
            if known is None:
                known = self._known[facts] = self._learn(session)
                if len(self._known) > _MOST_SESSIONS:
                    self._known.popitem(last=False)
            else:
                self._known.move_to_end(facts)
        return known

    def _learn(self, session: Session) -> _Known:
        builder = SpanBuilder(
            session,
            identity=self._identity,
            conventions=self._plugins,
            resource=Resource({}),
            linked=self._replayed,
        )
        # What an event points to within its session is in the session's own trace.
        builder.trace_id = builder.own_trace_id = self._replayed.trace_id(session.reference)
        labels = Labeller(builder, self.policy, by_templates=self._by_templates, templates=self._templates)
        finished = self.finisher.attributes
        root = self._replayed.root_of(session.reference)
        named = finished({REFERENCE: str(session.reference), TRACE_ID: root.trace_id.hex()})
        told = {
            "gen_ai.provider.name": session.reference.platform,
            "gen_ai.agent.id": session.agent_id,
            "otel_agent_events.timing": "recorded",
        }
        name = f"invoke_agent {session.agent_name}" if session.agent_name else "invoke_agent"
        return _Known(
            labels=labels,
            name=self.finisher.text(name)[0],
            named=named,
            attributes={**builder.constants("turn"), **named, **finished(told)},
            link=_linked(root, finished(root.attributes)),
        )

    def _in_child(self) -> None:
        self._lock = threading.RLock()


class Turn:
    """One turn. Made by `TurnRecorder.turn`; none of its methods raises, and each may be called from any thread.

    A turn is of the process that opened it: a child that is forked meanwhile records nothing into it.

    Attributes:
        span: of the turn, once it was opened; the invalid span before, and when nothing is recorded.
        recording: whether there is anything to record: False when it is sampled out, and while it is not open.
    """

    def __init__(
        self,
        making: _Making | None,
        reference: Reference | None,
        losses: Losses,
        *,
        agent: str | None = None,
        user: str | None = None,
        number: int | None = None,
        first_index: int | None = None,
    ) -> None:
        self.span: trace.Span = trace.INVALID_SPAN
        self.recording = False
        self._making = making
        self._reference = reference
        self._losses = losses
        self._given = told_of(agent_name=agent, user=user)
        self._number = _whole(number)
        self._first_index = _whole(first_index)
        # The thread that holds it may ask for it again: what is closed when garbage is collected may be a turn.
        self._lock = threading.RLock()
        self._process = 0
        self._begun = self._ended = self._is_sampled_out = self._takes_dicts = False
        self._context: Context | None = None
        self._entered: list[_Entered | None] = []
        self._reading: Reading | None = None
        self._read_at_once: Callable[[JSON, int], Iterable[Item] | None] | None = None
        self._assembler: Assembler | None = None
        self._labels: Labeller | None = None
        self._session: Session | None = None
        self._warnings: list[str] = []

    def __del__(self) -> None:
        # Whoever opened it has dropped it. What the collector interrupts may hold a lock that ending it needs, so that
        # a thread does it; this way to start one waits for nothing.
        if self.__dict__.get("_begun") and not self._ended:
            with suppress(RuntimeError):  # there are no more threads when the interpreter ends
                start_new_thread(_end_dropped, (self,))

    # --- open and close -------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        self._entered.append(self._enter())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        entered = self._entered.pop() if self._entered else None
        if entered is not None:
            entered.leave()
        if not self._entered:
            self.end(error, complete=error is None)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def start(self) -> None:
        """Open the turn's span as a child of the current one. It does not become the current one by this."""
        with self._counting("turns"):
            if not self._begun and self._making is not None and self._reference is not None:
                self._begun = True
                self._process = PROCESS.number
                self._open(self._making, self._reference)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the turn's span the current one in this block."""
        entered = self._enter()
        try:
            yield
        finally:
            if entered is not None:
                entered.leave()

    def _enter(self) -> _Entered | None:
        return None if self._context is None or self._ended else _Entered(self.span, self._reference)

    def end(self, error: BaseException | None = None, *, error_type: str | None = None, complete: bool = True) -> None:
        """End the turn; what is told only at the end is recorded. A second call does nothing.

        Args:
            error: why it failed. Its type is recorded, and none of its words.
            error_type: why it failed, when that is no exception: such as the status of an answer.
            complete: False when the rest of the turn never came.
        """
        making = self._making
        if making is None or not self._begun or self._process != PROCESS.number:
            return
        if isinstance(error, GeneratorExit):  # whoever consumes it wants no more
            error, complete = None, False
        nodes: Sequence[Node] = ()
        with self._lock:
            if self._ended:
                return
            self._ended = True
            recording, self.recording = self.recording, False
        with self._counting("turns"), self._lock:
            if recording:
                nodes = self._rest(making)
        _OPEN.pop(id(self), None)
        if recording:
            for node in nodes:
                if isinstance(node, SessionNode):
                    with self._counting("turns"):
                        complete = complete and node.complete
                        error_type = error_type or (None if node.failure is None else node.failure.type)
                        self._tell(making, node)
                else:
                    self._emit(making, node)
            with self._counting("turns"):
                told = type_of(error) if error is not None else error_type
                self._sum_up(making, told, complete=complete and (self._session is None or self._session.complete))
        with self._counting("turns"):
            self.span.end()

    # --- records --------------------------------------------------------------------------------------

    def record(self, record: Record, *, at: int | None = None) -> None:
        """Record what the agent did: its span is made as soon as it is closed.

        Args:
            record: the platform's own (a dict, JSON as text or bytes, what the vendor's SDK makes of it), a neutral
                event as a dict, or an event of `otel_agent_events.events`.
            at: nanoseconds since 1970 at which it came: the time of a record that tells none. Now, if nothing is said.
        """
        if not self.recording:
            if not self._is_sampled_out:
                self._losses.count(1, "records of a turn that is not open")
            return
        making = self._making
        if making is None or self._process != PROCESS.number:  # asked before the lock, which nobody gives back here
            self._losses.count(1, "records of a turn that another process has opened")
            return
        try:
            arrived = at if at is not None and is_time(at) else time.time_ns()
            as_is = self._takes_dicts and type(record) is dict and type(record.get("created_at", "")) is str
            told = record if as_is else taken(record)
            with self._lock:
                if self._reading is None:
                    self._losses.count(1, "records of a turn that is not open")
                    return
                items = None
                if as_is and self._read_at_once is not None and "kind" not in record:  # as a neutral event has one
                    items = self._read_at_once(told, arrived)
                if items is None:
                    items = self._reading.take(told, arrived)
                nodes = self._take(making, items)
        except Exception as error:  # noqa: BLE001 - nothing of ours may hurt the host
            self._lose("records", error)
            return
        for node in nodes:
            self._emit(making, node)

    # --- how ------------------------------------------------------------------------------------------

    @contextmanager
    def _counting(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - nothing of ours may hurt the host
            self._lose(what, error)

    def _lose(self, what: str, error: Exception) -> None:
        self._losses.count(1, f"{what}: {words_of(error, self._reference)}")

    def _open(self, making: _Making, reference: Reference) -> None:
        session = making.policy.session(self._with_given(facts_of(reference)))
        known = making.known(session)
        host = trace.get_current_span()
        if host.is_recording():
            with self._counting("names on the span of a host"):
                _mark(host, known.named, known.link)
        attributes = dict(known.attributes)
        if self._number is not None:
            attributes[TURN] = self._number
        self.span = making.tracer.start_span(known.name, attributes=attributes, links=[known.link])
        self._context = trace.set_span_in_context(self.span)
        self._is_sampled_out = not self.span.is_recording()
        if not self._is_sampled_out:
            self._session, self._labels = session, known.labels
            self._reading = Reading(reference, in_order=True)
            self._takes_dicts = self._reading.takes_dicts and making.policy.content == "none"
            self._read_at_once = self._reading.at_once
            self.recording = True
            _remember(self)

    def _with_given(self, session: Session) -> Session:
        return replace(session, **self._given) if self._given else session  # type: ignore[arg-type]

    def _take(self, making: _Making, items: Iterable[Item]) -> Sequence[Node]:
        """Give the nodes that are closed by what was read."""
        nodes: list[Node] = []
        try:
            for item in items:
                try:
                    if type(item) in KINDS and self._assembler is not None:  # most often
                        nodes += self._assembler.feed(item)  # type: ignore[arg-type]
                    elif isinstance(item, Session):
                        self._learn(making, item)
                    elif isinstance(item, Caution):
                        self._warnings.append(item.message)
                    else:
                        nodes += self._assembled(item)
                except Exception as error:  # noqa: BLE001 - one bad event must cost no other
                    self._lose("events", error)
        except Exception as error:  # noqa: BLE001 - what was read before it counts
            self._lose("records", error)
        return nodes

    def _learn(self, making: _Making, session: Session) -> None:
        session = making.policy.session(self._with_given(session))
        if session == self._session:
            return
        self._session = session
        if self._assembler is None:  # what events say of their session is fixed at the first one
            self._labels = making.known(session).labels
        else:
            self._assembler.learn(session)

    def _assembled(self, *events: Event) -> Sequence[Node]:
        if self._assembler is None:
            assert self._session is not None  # noqa: S101 - it is known since it was opened
            self._assembler = Assembler(self._session)
        return self._assembler.feed(*events)

    def _rest(self, making: _Making) -> Sequence[Node]:
        """Give the nodes that are closed by the end, the root last if there was any event."""
        reading, self._reading = self._reading, None
        nodes = [] if reading is None else list(self._take(making, reading.close()))
        assembler, self._assembler = self._assembler, None
        return nodes if assembler is None else [*nodes, *assembler.close()]

    def _emit(self, making: _Making, node: Node) -> None:
        try:
            assert self._labels is not None  # noqa: S101 - it is there since it was opened
            label = self._labels.of(node)
            attributes = label.attributes
            if self._number is not None:
                attributes[TURN] = self._number
            if self._first_index is not None:
                attributes[INDEX] = self._first_index + getattr(node, "index", 1) - 1
                result_index = getattr(node, "result_index", None)
                if result_index is not None:
                    attributes[RESULT_INDEX] = self._first_index + result_index - 1
            span = making.tracer.start_span(
                label.name,
                context=self._context,
                kind=_KINDS[label.kind],
                attributes=attributes,
                links=[_linked(link, link.attributes) for link in label.links] if label.links else None,
                start_time=node.start.at,
            )
            if label.failed:
                span.set_status(trace.Status(trace.StatusCode.ERROR, label.description))
            span.end(node.end.at)
        except Exception as error:  # noqa: BLE001 - one bad span must cost no other, and not hurt the host
            self._lose("spans", error)

    def _tell(self, making: _Making, root: SessionNode) -> None:
        """Say on the turn's span what was asked and answered, as a replay says it of a turn."""
        node = TurnNode(root.start, root.end, self._number or 0, root.first, root.last, None)
        known = making.known(root.session)
        attributes = known.labels.of(node).attributes
        attributes.pop("otel_agent_events.timing", None)
        self.span.set_attributes(attributes)
        self.span.update_name(known.name)  # the agent's name may have become known since

    def _sum_up(self, making: _Making, error_type: str | None, *, complete: bool) -> None:
        """Say on the turn's span how it ended."""
        told: dict[str, Attribute | None] = {
            COMPLETE: complete,
            "error.type": error_type,
            WARNINGS: tuple(self._warnings) or None,
        }
        if self._session is not None and self._session.context is not None:
            told.update(context_attributes(self._session.context))
        self.span.set_attributes(making.finisher.attributes(told))
        if error_type is not None:
            self.span.set_status(trace.Status(trace.StatusCode.ERROR))


def _end_dropped(turn: Turn) -> None:
    turn.end(complete=False)


class _Entered:
    """A block in which a span is the current one.

    A generator is left when it is closed: maybe in another task or thread than it was begun in, and maybe after another
    one that was begun within it.
    """

    __slots__ = ("_below", "_here", "_is_left", "_outer", "_token", "reference")

    def __init__(self, span: trace.Span, reference: Reference | None) -> None:
        self.reference = reference
        self._outer = contexts.get_current()
        self._below = _HERE.get()
        self._is_left = False
        self._here = _HERE.set(self)
        self._token = contexts.attach(trace.set_span_in_context(span))

    def leave(self) -> None:
        """Let the span be current that was so before."""
        self._is_left = True
        try:
            _HERE.reset(self._here)
        except ValueError:  # it is another context, in which there is nothing of ours to undo
            return
        contexts.detach(self._token)
        below = self._below
        while below is not None and below._is_left:  # noqa: SLF001 - one of our own
            contexts.attach(below._outer)  # noqa: SLF001
            below = below._below  # noqa: SLF001
            _HERE.set(below)


_HERE: ContextVar[_Entered | None] = ContextVar("otel_agent_events.turn", default=None)
"""The block that was entered last here. A token of it tells whether that was in this very context."""


def is_entered(reference: Reference) -> bool:
    """Say whether this runs in a block of a turn of the session: then that turn is recorded by whoever opened it."""
    entered = _HERE.get()
    while entered is not None:
        if entered.reference == reference and not entered._is_left:  # noqa: SLF001 - one of our own
            return True
        entered = entered._below  # noqa: SLF001
    return False


_OPEN: dict[int, ReferenceType[Turn]] = {}
"""Turns that are open, by their `id`."""


def _remember(turn: Turn) -> None:
    if not _OPEN:
        # What is registered last is called first: so a tracer provider that is there by now still takes spans then.
        atexit.unregister(_end_all)
        atexit.register(_end_all)
    _OPEN[id(turn)] = ref(turn)


def _end_all() -> None:
    for kept in list(_OPEN.values()):
        turn = kept()
        if turn is not None:
            turn.end(complete=False)


def _mark(host: trace.Span, named: Mapping[str, Final], link: trace.Link) -> None:
    """Name the session on the span of the host, and link its root once. The first session that it serves names it."""
    if REFERENCE not in (getattr(host, "attributes", None) or ()):
        host.set_attributes(dict(named))
    linked = getattr(host, "links", None) or ()
    if len(linked) < _MOST_LINKS and all(each.context.span_id != link.context.span_id for each in linked):
        host.add_link(link.context, link.attributes)


_MOST_LINKS = 32
"""Links that the span of a host may have before ours: it has room for 128, and gives up its oldest for another one."""


def _linked(link: Link, attributes: Mapping[str, Final]) -> trace.Link:
    context = trace.SpanContext(
        int.from_bytes(link.trace_id, "big"),
        int.from_bytes(link.span_id, "big"),
        is_remote=True,
        trace_flags=trace.TraceFlags(link.trace_flags),
    )
    return trace.Link(context, dict(attributes))


def _whole(told: object) -> int | None:
    """Give a number as a span can have it; a caller may have handed on anything."""
    return told if type(told) is int and -_MOST_WHOLE <= told < _MOST_WHOLE else None


_MOST_WHOLE = 2**62
