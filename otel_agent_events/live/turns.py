"""One turn in one request: what the agent did for it, as spans of the service's own tracer.

A session spans many requests, workers and processes, so its root is nobody's here. Each turn is an `invoke_agent` span
under the request that caused it; the session's trace, which a replay makes, is named by it and linked.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from opentelemetry import context as contexts
from opentelemetry import trace

from otel_agent_events.assemble import Assembler, SessionNode, TurnNode
from otel_agent_events.content import Policy
from otel_agent_events.conventions import CONVENTIONS
from otel_agent_events.errors import AgentEventsError
from otel_agent_events.events import Caution, Session
from otel_agent_events.live.labels import INDEX, RESULT_INDEX, TURN, Labels
from otel_agent_events.live.losses import Losses, after_fork
from otel_agent_events.live.records import Reading, facts_of, taken
from otel_agent_events.otlp import SCHEMA_URL
from otel_agent_events.own import context_attributes
from otel_agent_events.reference import Reference
from otel_agent_events.scrub import Scrubber
from otel_agent_events.settings import Settings
from otel_agent_events.spans import SCOPE_NAME, SCOPE_VERSION, Identity, Resource, SpanBuilder, View

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextvars import Token
    from types import TracebackType

    from opentelemetry.context import Context

    from otel_agent_events.assemble import Node
    from otel_agent_events.content import Content
    from otel_agent_events.events import Event
    from otel_agent_events.fetchers import Item
    from otel_agent_events.live.records import Record
    from otel_agent_events.spans import Link

REFERENCE = "otel_agent_events.session.reference"
TRACE_ID = "otel_agent_events.session.trace_id"
COMPLETE = "otel_agent_events.turn.complete"

FLUSH = 30_000
"""Milliseconds that a flush may take when nothing is said: the SDK's own default."""

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
            reference = session if isinstance(session, Reference) else Reference.parse(session)
            return Turn(self._making, reference, losses, agent=agent, user=user, number=number, first_index=first_index)
        except Exception as error:  # noqa: BLE001 - the host asked for a span, and gets no exception
            losses.count(1, f"turns: {_words(error)}")
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
            self._losses.count(1, f"flushes: {_words(error)}")
            return False

    def shutdown(self, timeout_millis: int = FLUSH) -> bool:
        """Record no further turn, and flush. The tracer provider is the service's, and goes on."""
        self._shut_down = True
        self._losses.tell()
        return self.force_flush(timeout_millis)


class _Making:
    """How turns become spans: what all turns of a recorder share."""

    def __init__(
        self, *, tracer: trace.Tracer, policy: Policy, conventions: tuple[str, ...], replayed: Identity
    ) -> None:
        self.tracer = tracer
        self.policy = policy
        self._plugins = [CONVENTIONS.get(name) for name in conventions]
        self._replayed = replayed
        view = View(content=policy.content, max_value=policy.max_value, conventions=conventions)
        self._identity = replace(replayed, view=view)
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[object, ...], Labels] = OrderedDict()
        after_fork(self._in_child)

    def root_of(self, reference: Reference) -> Link:
        """Derive a link to the root that a replay of the session has."""
        return self._replayed.root_of(reference)

    def labels(self, session: Session) -> Labels:
        """Give what labels the events of a session of which so much is known."""
        known = (session.reference, session.id, session.agent_name, session.user)
        with self._lock:
            labels = self._known.get(known)
            if labels is None:
                builder = SpanBuilder(
                    session,
                    identity=self._identity,
                    conventions=self._plugins,
                    resource=Resource({}),
                    linked=self._replayed,
                )
                labels = self._known[known] = Labels(builder, self.policy)
                if len(self._known) > _MOST_SESSIONS:
                    self._known.popitem(last=False)
            else:
                self._known.move_to_end(known)
        return labels

    def _in_child(self) -> None:
        self._lock = threading.Lock()


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
        self._given = {name: told for name, told in (("agent_name", agent), ("user", user)) if told is not None}
        self._number = number
        self._first_index = first_index
        self._lock = threading.Lock()
        self._process = 0
        self._begun = self._ended = False
        self._context: Context | None = None
        self._token: Token[Context] | None = None
        self._reading: Reading | None = None
        self._assembler: Assembler | None = None
        self._labels: Labels | None = None
        self._session: Session | None = None

    # --- open and close -------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        if self._context is not None:
            self._token = contexts.attach(self._context)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # A generator may be left in another task than it was entered in: there is nothing of ours to undo there then.
        if self._token is not None and trace.get_current_span() is self.span:
            contexts.detach(self._token)
        self._token = None
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
                self._process = os.getpid()
                self._open(self._making, self._reference)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the turn's span the current one in this block."""
        token = None if self._context is None else contexts.attach(self._context)
        try:
            yield
        finally:
            if token is not None and trace.get_current_span() is self.span:
                contexts.detach(token)

    def end(self, error: BaseException | None = None, *, error_type: str | None = None, complete: bool = True) -> None:
        """End the turn; what is told only at the end is recorded. A second call does nothing.

        Args:
            error: why it failed. Its type is recorded, and none of its words.
            error_type: why it failed, when that is no exception: such as the status of an answer.
            complete: False when the rest of the turn never came.
        """
        if isinstance(error, GeneratorExit):  # whoever consumes it wants no more
            error, complete = None, False
        with self._counting("turns"), self._lock:
            if self._ended or not self._begun or self._process != os.getpid():
                return
            self._ended = True
            try:
                if self.recording:
                    self._finish(_type_of(error) if error is not None else error_type, complete=complete)
            finally:
                self.recording = False
                self.span.end()
                self._assembler = self._reading = None

    # --- records --------------------------------------------------------------------------------------

    def record(self, record: Record, *, at: int | None = None) -> None:
        """Record what the agent did: its span is made as soon as it is closed.

        Args:
            record: the platform's own (a dict, JSON as text or bytes, what the vendor's SDK makes of it), a neutral
                event as a dict, or an event of `otel_agent_events.events`.
            at: nanoseconds since 1970 at which it came: the time of a record that tells none. Now, if nothing is said.
        """
        if not self.recording:
            if self._ended or not self._begun:
                self._losses.count(1, "records of a turn that is not open")
            return
        try:
            arrived = time.time_ns() if at is None else at
            with self._lock:
                reading = self._reading
                if reading is None or self._making is None or self._process != os.getpid():
                    self._losses.count(1, "records of a turn that is not open here")
                    return
                told = record if type(record) is dict else taken(record)
                self._take(self._making, reading.take(told, arrived))
        except AgentEventsError as error:
            self._losses.count(1, f"records: {error}")
        except Exception as error:  # noqa: BLE001 - nothing of ours may hurt the host
            self._losses.count(1, f"records: {_words(error)}")

    # --- how ------------------------------------------------------------------------------------------

    @contextmanager
    def _counting(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - nothing of ours may hurt the host
            self._losses.count(1, f"{what}: {_words(error)}")

    def _open(self, making: _Making, reference: Reference) -> None:
        session = self._with_given(facts_of(reference))
        self._session = making.policy.session(session)
        self._labels = labels = making.labels(self._session)
        root = making.root_of(reference)
        link = trace.Link(_context_of(root), dict(root.attributes))
        named = {REFERENCE: str(reference), TRACE_ID: root.trace_id.hex()}
        host = trace.get_current_span()
        if host.is_recording():
            _mark(host, named, link)
        attributes = {
            **labels.builder.constants("turn"),
            **named,
            "gen_ai.provider.name": reference.platform,
            "otel_agent_events.timing": "recorded",
        }
        if session.agent_id is not None:
            attributes["gen_ai.agent.id"] = session.agent_id
        if self._number is not None:
            attributes[TURN] = self._number
        name = f"invoke_agent {session.agent_name}" if session.agent_name else "invoke_agent"
        self.span = making.tracer.start_span(name, attributes=attributes, links=[link])
        self._context = trace.set_span_in_context(self.span)
        if self.span.is_recording():
            self._reading = Reading(reference, in_order=True)
            self.recording = True

    def _with_given(self, session: Session) -> Session:
        return replace(session, **self._given) if self._given else session  # type: ignore[arg-type]

    def _take(self, making: _Making, items: Iterable[Item]) -> None:
        events: list[Event] = []
        for item in items:
            if isinstance(item, Session):
                session = making.policy.session(self._with_given(item))
                if session != self._session:
                    self._session = session
                    self._labels = making.labels(session)
                    if self._assembler is not None:
                        self._assembler.learn(session)
            elif not isinstance(item, Caution):
                events.append(item)
        if events:
            assembler = self._assembler
            if assembler is None:
                assert self._session is not None  # noqa: S101 - it is known since it was opened
                assembler = self._assembler = Assembler(self._session)
            for node in assembler.feed(*events):
                self._emit(making, node)

    def _emit(self, making: _Making, node: Node) -> None:
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
            links=[trace.Link(_context_of(link), dict(link.attributes)) for link in label.links]
            if label.links
            else None,
            start_time=node.start.at,
        )
        if label.failed:
            span.set_status(trace.Status(trace.StatusCode.ERROR, label.description))
        span.end(node.end.at)

    def _finish(self, error_type: str | None, *, complete: bool) -> None:
        making, reading = self._making, self._reading
        if making is None or reading is None:
            return
        self._take(making, reading.close())
        if self._assembler is not None:
            for node in self._assembler.close():
                if isinstance(node, SessionNode):
                    complete = complete and node.complete
                    error_type = error_type or (None if node.failure is None else node.failure.type)
                    self._tell(node)
                else:
                    self._emit(making, node)
        self.span.set_attribute(COMPLETE, complete)
        if self._session is not None and self._session.context is not None:
            usage = context_attributes(self._session.context)
            self.span.set_attributes({name: told for name, told in usage.items() if told is not None})
        if error_type is not None:
            self.span.set_attribute("error.type", error_type)
            self.span.set_status(trace.Status(trace.StatusCode.ERROR))

    def _tell(self, root: SessionNode) -> None:
        """Say on the turn's span what was asked and answered, as a replay says it of a turn."""
        assert self._labels is not None  # noqa: S101 - it is there since it was opened
        node = TurnNode(root.start, root.end, self._number or 0, root.first, root.last, None)
        attributes = self._labels.of(node).attributes
        attributes.pop("otel_agent_events.timing", None)
        self.span.set_attributes(attributes)


def _mark(host: trace.Span, named: Mapping[str, str], link: trace.Link) -> None:
    """Name the session on the span of the host, and link its root once."""
    host.set_attributes(dict(named))
    linked = getattr(host, "links", None) or ()
    if all(each.context.span_id != link.context.span_id for each in linked):
        host.add_link(link.context, link.attributes)


def _context_of(link: Link) -> trace.SpanContext:
    return trace.SpanContext(
        int.from_bytes(link.trace_id, "big"),
        int.from_bytes(link.span_id, "big"),
        is_remote=True,
        trace_flags=trace.TraceFlags(link.trace_flags),
    )


def _type_of(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _words(error: Exception) -> str:
    """Name what went wrong within us; its words may hold contents."""
    return str(error) if isinstance(error, AgentEventsError) else _type_of(error)
