"""A whole session as a trace of its own, recorded while it happens, by the process that owns it from start to end.

The caller hands on records and goes on; a thread reads them and makes the spans that a replay makes, and another one
delivers these (`outbox`).
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from opentelemetry import trace

from otel_agent_events.content import Policy
from otel_agent_events.conventions import CONVENTIONS
from otel_agent_events.conversion import MOST, Conversion, Options
from otel_agent_events.errors import AgentEventsError, UsageError
from otel_agent_events.events import Session
from otel_agent_events.fetchers.client import parse_json
from otel_agent_events.live.losses import Losses, after_fork
from otel_agent_events.live.outbox import Exporting, Outbox
from otel_agent_events.live.records import Reading, facts_of, snapshot
from otel_agent_events.otlp import connect
from otel_agent_events.otlp.aside import AsideFile
from otel_agent_events.otlp.encode import Encoder
from otel_agent_events.reference import Reference
from otel_agent_events.scrub import Scrubber
from otel_agent_events.settings import Settings
from otel_agent_events.sources import Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

    from opentelemetry.sdk.trace.export import SpanExporter

    from otel_agent_events.content import Content
    from otel_agent_events.fetchers import Item
    from otel_agent_events.live.records import Record, Snapshot
    from otel_agent_events.otlp import Destination, Encoded

QUEUED_RECORDS = 50_000
QUEUED_BYTES = 32_000_000
"""Records that wait to be read, and bytes of them; and bytes of spans that wait to be delivered."""
DEADLINE = 300.0
"""Seconds for which a batch is tried, also when the destination never answered: a service outlives its collectors."""
FLUSH = 30_000
"""Milliseconds that a flush may take when nothing is said: the SDK's own default."""
AT_EXIT = 5_000
"""Milliseconds that an interpreter waits for us when it ends and nobody shut the recorder down."""

_PAUSE = 0.1
"""Seconds that the thread lets records gather: to be woken for each would take the interpreter from the host."""
_MANY = 256
"""Records after which it does not wait for more."""
_BREATH = 0.0005
"""Seconds of work after which it lets others have the interpreter."""


class SessionRecorder:
    """Record sessions, each as a trace of its own, for a process that owns them from their start to their end.

    What is recorded complete, as the platform stores it, becomes the trace that a replay makes, under the same view:
    the same ids and spans, with `otel_agent_events.origin=live` in the resource. One recorder serves all threads and
    tasks of a process, and the processes that are forked from it. Nothing in it raises once it is made, and nothing
    waits but `force_flush`, `shutdown` and the end of the interpreter.

    Args:
        exporter: takes the spans: any `SpanExporter` of OpenTelemetry's, which stays its owner's to shut down.
            Without it they go to an OTLP endpoint.
        endpoint, protocol, headers, timeout: of the endpoint, as for `replay`; the variables `OTEL_EXPORTER_OTLP_*`
            hold without them.
        deadline: seconds for which a batch is tried.
        content: `none` (the default of live instrumentation), `scrubbed` or `full`; without it what
            `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` says.
        max_value, scrubber, namespace, revision, turns, conventions, service_name: as for `replay`. They are part of
            the ids, but for the last one.
        stamp: a record without a time gets that of its arrival. False leaves it without, as a replay does.
        follow_sampling: record a session only when the request in which it is begun is sampled.
        queued_records, queued_bytes: how much may wait.
        spill: the file for spans that did not fit into the queue, or were not taken; `otel-agent-events send` delivers
            it. Without one they are lost, and counted.
        environ: instead of the environment of this process.

    Raises:
        UsageError: the endpoint, a convention, a value or a variable cannot be used.
    """

    def __init__(
        self,
        *,
        exporter: SpanExporter | None = None,
        endpoint: str | None = None,
        protocol: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        deadline: float = DEADLINE,
        content: Content | None = None,
        max_value: int | None = None,
        scrubber: Scrubber | None = None,
        namespace: str = "",
        revision: int = 1,
        turns: bool = False,
        conventions: Sequence[str] = ("gen_ai",),
        service_name: str | None = None,
        stamp: bool = True,
        follow_sampling: bool = False,
        queued_records: int = QUEUED_RECORDS,
        queued_bytes: int = QUEUED_BYTES,
        spill: str | os.PathLike[str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        settings = Settings.here() if environ is None else Settings(environ)
        if revision < 1:
            raise UsageError(f"the revision is {revision}; revisions are counted from 1")
        if exporter is not None and (endpoint or protocol or headers):
            raise UsageError("spans go to the exporter or to the endpoint: give one of the two")
        self._options = Options(
            policy=Policy(
                content=settings.live_content(content),
                max_value=settings.max_value(max_value),
                scrubber=scrubber or Scrubber(),
            ),
            conventions=tuple(conventions),
            turns=turns,
            namespace=namespace,
            revision=revision,
            service_name=service_name,
            attributes=settings.resource_attributes(),
            origin="live",
        )
        self._plugins = [CONVENTIONS.get(name) for name in conventions]
        self._stamp = stamp
        self._follow_sampling = follow_sampling
        self._disabled = settings.disabled
        self._losses = Losses("SessionRecorder")
        aside = None if spill is None else AsideFile(spill)

        def made() -> Destination:
            if exporter is not None:
                return Exporting(exporter, lambda encoded: _kept(aside, encoded))
            return connect(target, deadline=deadline, aside=aside)

        if exporter is None:
            target, _ = settings.endpoint(url=endpoint, protocol=protocol, headers=headers, timeout=timeout)
            connect(target).abandon()  # what is wrong with it is said now, to who made the recorder
        self._outbox = Outbox(made, self._losses, most_bytes=queued_bytes, spill=aside, at_exit=self._at_exit)
        self._desk = _Desk(self._outbox, self._losses, most_records=queued_records, most_bytes=queued_bytes)
        self._wants_spans = exporter is not None
        self._shut_down: bool | None = None
        self._ending = threading.Lock()
        after_fork(self._in_child)
        atexit.register(self._at_exit)

    # --- what was done --------------------------------------------------------------------------------

    @property
    def lost(self) -> Mapping[str, int]:
        """How many records and spans were lost so far, by the reason."""
        return self._losses.counts

    @property
    def acknowledged(self) -> int:
        """How many spans the destination has taken so far, as it says itself."""
        return self._outbox.acknowledged

    @property
    def spilled(self) -> int:
        """How many spans are in the spill file."""
        return self._outbox.spilled

    # --- sessions -------------------------------------------------------------------------------------

    def session(
        self, session: str | Reference, *, agent: str | None = None, user: str | None = None, model: str | None = None
    ) -> LiveSession:
        """Begin a session: `with recorder.session(...) as session:`, or `async with`, or `close` it yourself.

        Args:
            session: `PLATFORM:PATH`, as in a replay: `vectara:AGENT/SESSION`.
            agent: what the agent is called; else what the reference and the records tell.
            user: the id of the user, if it may be recorded.
            model: the one model that the agent is configured with.
        """
        try:
            reference = session if isinstance(session, Reference) else Reference.parse(session)
            given = {"agent_name": agent, "user": user, "model": model}
            if self._shut_down is not None:
                self._losses.count(1, "sessions after the recorder was shut down")
            elif not self._disabled and not (self._follow_sampling and _is_sampled_out()):
                job = _Job(reference, self._conversion(reference), self._reading(reference), _known(given))
                return LiveSession(reference, self._desk, self._losses, job)
            return LiveSession(reference, self._desk, self._losses, None)
        except Exception as error:  # noqa: BLE001 - the host asked for a recording, and gets no exception
            self._losses.count(1, f"sessions: {_words(error)}")
            return LiveSession(Reference("", ()), self._desk, self._losses, None)

    def _conversion(self, reference: Reference) -> Conversion:
        source = Source(reference=reference, fetcher=self._reading(reference).readable, answers=())
        return Conversion(source, self._options, self._plugins, encoder=self._desk.encoder, spans=self._wants_spans)

    def _reading(self, reference: Reference) -> Reading:
        return Reading(reference, in_order=False, stamp=self._stamp)

    # --- the end --------------------------------------------------------------------------------------

    def force_flush(self, timeout_millis: int = FLUSH) -> bool:
        """Wait until the spans that are closed by now are delivered.

        Returns:
            Whether the destination has taken all of them, in time, and nothing was lost or spilled since the last call.
        """
        until = time.monotonic() + timeout_millis / 1000
        return self._desk.flush(until) and self._outbox.flush(until)

    def shutdown(self, timeout_millis: int = FLUSH) -> bool:
        """Close the sessions that are open, as not complete, deliver everything, and end.

        Returns:
            Whether the destination has taken everything in time. What it did not is in the spill file, if there is one.
        """
        with self._ending:
            if self._shut_down is None:
                until = time.monotonic() + timeout_millis / 1000
                read = self._desk.close(until)
                delivered = self._outbox.close(until)
                self._shut_down = read and delivered
                self._losses.tell()
                atexit.unregister(self._at_exit)
            return self._shut_down

    def _at_exit(self) -> None:
        self.shutdown(AT_EXIT)

    def _in_child(self) -> None:
        self._ending = threading.Lock()
        self._desk.forget()
        self._outbox.forget()


class LiveSession:
    """A session that is being recorded. Made by `SessionRecorder.session`; none of its methods raises or waits.

    It is of the process that began it: a child that is forked meanwhile records nothing into it.

    Attributes:
        reference: which one it is.
        trace_id: of its trace, 32 hex digits; None when it is not recorded.
    """

    def __init__(self, reference: Reference, desk: _Desk, losses: Losses, job: _Job | None) -> None:
        self.reference = reference
        self.trace_id = None if job is None else job.conversion.trace_ids[0].hex()
        self._desk = desk
        self._losses = losses
        self._job = job
        self._process = os.getpid()
        if job is not None:
            desk.open(job)
            desk.put(job, facts_of(reference))

    @property
    def recording(self) -> bool:
        """Whether it is open, and recorded."""
        return self._job is not None

    def record(self, record: Record, *, at: int | None = None, label: str | None = None) -> None:
        """Record what happened.

        Args:
            record: the platform's own (a dict, JSON as text or bytes, what the vendor's SDK makes of it), a neutral
                event as a dict, or an event of `otel_agent_events.events`. It may be changed afterwards.
            at: nanoseconds since 1970 at which it came: the time of a record that tells none. Now, if nothing is said.
            label: what a whole answer of the platform is, in the words of its fetcher (`history`, `turns`), where that
                is not seen from the answer itself. A single record needs none.
        """
        job = self._job
        if job is None or self._process != os.getpid():
            if self.trace_id is not None:
                self._losses.count(1, "records of a session that is not open here")
            return
        try:
            self._desk.put(job, snapshot(record), time.time_ns() if at is None else at, label)
        except Exception as error:  # noqa: BLE001 - nothing of ours may hurt the host
            self._losses.count(1, f"records: {_words(error)}")

    def close(self, *, complete: bool = True) -> None:
        """End the session: its root is made, and nothing more is recorded. A second call does nothing.

        Args:
            complete: False when the rest of it will not be recorded.
        """
        job, self._job = self._job, None
        if job is not None and self._process == os.getpid():
            self._desk.end(job, complete=complete)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(complete=error is None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(complete=error is None)


# --- the thread that makes spans ----------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Job:
    """A session as the thread knows it."""

    reference: Reference
    conversion: Conversion
    reading: Reading
    given: Mapping[str, Any]
    complete: bool = True
    ended: bool = False


@dataclass(frozen=True, slots=True)
class _End:
    """Stands for the end of a session among its records."""

    complete: bool


class _Flush:
    """Stands among the records behind those that are to be read."""

    def __init__(self, *, last: bool) -> None:
        self.done = threading.Event()
        self.last = last


_Put: TypeAlias = "tuple[_Job | None, Snapshot | Session | _End | _Flush, int, str | None]"


class _Desk:
    """Records wait here to be read by a thread.

    Args:
        outbox: takes the spans.
        losses: counts what cannot be read.
        most_records, most_bytes: that may wait.
    """

    def __init__(self, outbox: Outbox, losses: Losses, *, most_records: int, most_bytes: int) -> None:
        self.encoder = Encoder()
        self._outbox = outbox
        self._losses = losses
        self._most_records = most_records
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._queue: SimpleQueue[_Put] = SimpleQueue()
        self._bytes = 0
        self._woken = threading.Event()
        self._open: dict[_Job, None] = {}
        self._thread: threading.Thread | None = None
        self._over = False

    # --- for callers ----------------------------------------------------------------------------------

    def open(self, job: _Job) -> None:
        """Begin a session."""
        with self._lock:
            self._open[job] = None
            if self._thread is None and not self._over:
                self._thread = threading.Thread(target=self._run, name="read live records", daemon=True)
                self._thread.start()

    def put(self, job: _Job, record: Snapshot | Session, arrived: int = 0, label: str | None = None) -> None:
        """Let a record wait to be read. One that does not fit is lost."""
        size = len(record) if type(record) is bytes else _SIZE_OF_EVENT
        waiting = self._queue.qsize()
        with self._lock:
            fits = not self._over and waiting < self._most_records and self._bytes + size <= self._most_bytes
            if fits:
                self._bytes += size
        if not fits:
            job.complete = False
            self._losses.count(1, "records that did not fit into the queue")
            return
        self._queue.put((job, record, arrived, label))
        if waiting >= _MANY:
            self._woken.set()

    def end(self, job: _Job, *, complete: bool) -> None:
        """End a session."""
        self._queue.put((job, _End(complete), 0, None))

    def flush(self, until: float) -> bool:
        """Wait until all that was put before is read; say whether it was in time."""
        return self._flush(until, last=False)

    def close(self, until: float) -> bool:
        """End all sessions, read everything, and end the thread."""
        done = self._flush(until, last=True)
        with self._lock:
            self._over = True
        return done

    def forget(self) -> None:
        """In a child that was forked: nothing of what waits is of this process."""
        self._lock = threading.Lock()
        self._queue = SimpleQueue()
        self._woken = threading.Event()
        self._bytes = 0
        self._open = {}
        self._thread = None
        self.encoder = Encoder()

    def _flush(self, until: float, *, last: bool) -> bool:
        if self._thread is None:
            return True
        flush = _Flush(last=last)
        self._queue.put((None, flush, 0, None))
        self._woken.set()
        return flush.done.wait(max(0.0, until - time.monotonic()))

    # --- the thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        over = False
        while not over:
            put = self._queue.get()
            # What comes in the meantime is read together with it.
            self._woken.wait(_PAUSE)
            self._woken.clear()
            over = self._read_all(put)

    def _read_all(self, put: _Put | None) -> bool:
        """Read what waits; say whether that was the end."""
        touched: dict[_Job, None] = {}
        breath = time.monotonic()
        while put is not None:
            job, record, arrived, label = put
            if isinstance(record, _Flush):
                if record.last:
                    self._end_all()
                self._hand_on(touched)
                record.done.set()
                if record.last:
                    return True
            elif job is not None:
                self._read(job, record, arrived, label)
                touched[job] = None
            if time.monotonic() - breath > _BREATH:
                time.sleep(0)
                breath = time.monotonic()
            try:
                put = self._queue.get_nowait()
            except Empty:
                put = None
        self._hand_on(touched)
        return False

    def _read(self, job: _Job, record: Snapshot | Session | _End, arrived: int, label: str | None) -> None:
        size = len(record) if type(record) is bytes else 0 if isinstance(record, _End) else _SIZE_OF_EVENT
        with self._lock:
            self._bytes -= size
        try:
            if isinstance(record, _End):
                job.complete = job.complete and record.complete
                self._end(job)
            elif job.ended:
                self._losses.count(1, "records of a session that is not open")
            elif isinstance(record, Session):
                self._take(job, (record,))
            else:
                self._take(job, job.reading.take(_told(record), arrived, label))
        except Exception as error:  # noqa: BLE001 - one bad record must cost no other
            job.complete = False
            self._losses.count(1, f"records: {_words(error)}")

    def _take(self, job: _Job, items: Iterable[Item]) -> None:
        told = [replace(item, **job.given) if job.given and isinstance(item, Session) else item for item in items]
        if told:
            for part in job.conversion.take(told):
                self._outbox.put(part)

    def _hand_on(self, touched: Iterable[_Job]) -> None:
        for job in touched:
            gathered = None if job.ended else job.conversion.gathered()
            if gathered is not None:
                self._outbox.put(gathered)

    def _end(self, job: _Job) -> None:
        if job.ended:
            return
        job.ended = True
        with self._lock:
            self._open.pop(job, None)
        self._take(job, job.reading.close())
        for encoded in job.conversion.close(MOST, complete=job.complete):
            self._outbox.put(encoded)

    def _end_all(self) -> None:
        for job in list(self._open):
            job.complete = False
            try:
                self._end(job)
            except Exception as error:  # noqa: BLE001 - one bad session must cost no other
                self._losses.count(1, f"sessions: {_words(error)}")


_SIZE_OF_EVENT = 500
"""Bytes that an event of ours counts for: it is not written yet, and nobody knows."""


def _told(record: Snapshot) -> Any:
    if not isinstance(record, bytes):
        return record
    try:
        return parse_json(record)
    except (ValueError, RecursionError):
        raise AgentEventsError("a record is a text that is not JSON") from None


def _kept(aside: AsideFile | None, encoded: Encoded) -> bool:
    if aside is None:
        return False
    try:
        aside.put(encoded.head, encoded.bodies)
    except OSError:
        return False
    return True


def _known(given: Mapping[str, str | None]) -> dict[str, str]:
    return {name: told for name, told in given.items() if told is not None}


def _is_sampled_out() -> bool:
    context = trace.get_current_span().get_span_context()
    return context.is_valid and not context.trace_flags.sampled


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, AgentEventsError) else type(error).__qualname__
