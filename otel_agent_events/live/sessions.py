"""A whole session as a trace of its own, recorded while it happens, by the process that owns it from start to end.

The caller hands on records and goes on; a thread reads them and makes the spans that a replay makes, and another one
delivers these (`outbox`).
"""

from __future__ import annotations

import atexit
import math
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Self, TypeAlias
from weakref import WeakMethod

from opentelemetry import trace

from otel_agent_events.conventions import plugins_of
from otel_agent_events.conversion import MOST, Conversion
from otel_agent_events.converting import options_of
from otel_agent_events.errors import UsageError
from otel_agent_events.events import Session
from otel_agent_events.live import FLUSH
from otel_agent_events.live.losses import LOGGER, PROCESS, Losses, after_fork, words_of
from otel_agent_events.live.outbox import PAUSES, Exporting, Flush, Outbox
from otel_agent_events.live.records import Reading, facts_of, is_time, parsed, reference_of, snapshot, told_of
from otel_agent_events.otlp import connect, tls
from otel_agent_events.otlp.encode import Encoder
from otel_agent_events.reference import Reference
from otel_agent_events.settings import Settings
from otel_agent_events.sources import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from opentelemetry.sdk.trace.export import SpanExporter

    from otel_agent_events.content import Content
    from otel_agent_events.fetchers import Item
    from otel_agent_events.live.records import Record, Snapshot
    from otel_agent_events.otlp import Aside, Destination, Endpoint
    from otel_agent_events.scrub import Scrubber

QUEUED_RECORDS = 50_000
QUEUED_BYTES = 32_000_000
"""Records that wait to be read, and bytes of them; and bytes of spans that wait to be delivered."""
DEADLINE = 300.0
"""Seconds for which a batch is tried, also when the destination never answered: a service outlives its collectors."""
AT_EXIT = 5_000
"""Milliseconds that an interpreter waits for us when it ends and nobody shut the recorder down."""

_LONGEST = 24 * 60 * 60 * 1_000
"""Milliseconds that anybody waits: Python cannot wait for ever by a clock."""
_GRACE = 1.0
"""Seconds that are waited beyond what was asked, for what is almost there."""
_PAUSE = 0.1
"""Seconds that the thread lets records gather: to be woken for each would take the interpreter from the host."""
_MANY = 256
"""Records after which it does not wait for more."""
_MOST_AT_ONCE = 1_000
"""Records after which the spans that are final are let go, though more records wait."""
_BREATH = 0.0005
"""Seconds of work after which it lets others have the interpreter."""


class SessionRecorder:
    """Record sessions, each as a trace of its own, for a process that owns them from their start to their end.

    What is recorded complete, as the platform stores it, becomes the trace that a replay makes, under the same view:
    the same ids and spans, with `otel_agent_events.origin=live` in the resource. One recorder serves all threads and
    tasks of a process, and the processes that are forked from it. Nothing in it raises once it is made, and nothing
    waits but `force_flush`, `shutdown` and the end of the interpreter. A recorder that nobody shuts down lives until
    then, and is shut down by it.

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
        pauses: seconds after which a destination that takes nothing more (wrong credentials, another server) is tried
            anew: the first time, the second, and so on; the last one from then on.
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
        pauses: Sequence[float] = PAUSES,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        settings = Settings.here() if environ is None else Settings(environ)
        _check(revision=revision, queued_records=queued_records, queued_bytes=queued_bytes)
        _check_seconds(deadline=deadline, pauses=pauses)
        _check_exporter(exporter, also=endpoint or protocol or headers)
        if spill is not None and os.path.isdir(spill):  # noqa: PTH112 - whatever it is, it is only looked at
            raise UsageError(f"the spill file {os.fspath(spill)!r} is a folder; give the path of a file")
        options = options_of(
            settings,
            content=settings.live_content(content),
            max_value=max_value,
            scrubber=scrubber,
            conventions=conventions,
            turns=turns,
            namespace=namespace,
            revision=revision,
            service_name=service_name,
            traceparent=None,
            links=(),
            shift_to=None,
            max_trace_bytes=None,
        )
        self._options = replace(options, origin="live")
        self._plugins = plugins_of(conventions)
        self._stamp = stamp
        self._follow_sampling = follow_sampling
        self._disabled = settings.disabled
        self._losses = Losses("SessionRecorder")

        def made(aside: Aside | None) -> Destination:
            if exporter is not None:
                return Exporting(exporter, aside)
            return connect(target, deadline=deadline, aside=aside)

        self._patience = 0.0  # seconds that an answer which is on its way may still take
        if exporter is None:
            target, notes = settings.endpoint(url=endpoint, protocol=protocol, headers=headers, timeout=timeout)
            for note in notes:
                LOGGER.info("%s", note)
            self._patience = target.timeout + _GRACE
            _check_endpoint(target)
        self._outbox = Outbox(
            made, self._losses, most_bytes=queued_bytes, spill=spill, at_exit=self._at_exit, pauses=pauses
        )
        self._desk = _Desk(
            self._outbox,
            self._losses,
            lambda job: Conversion(
                Source(reference=job.reference, fetcher=job.reading.readable, answers=()),
                self._options,
                self._plugins,
                encoder=self._desk.encoder,
                spans=exporter is not None,
            ),
            most_records=queued_records,
            most_bytes=queued_bytes,
        )
        self._lost_before = 0
        self._ended = False
        self._shut_down: bool | None = None
        self._ending = threading.RLock()  # a signal's handler may come while it is held
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
            reference = reference_of(session)
            given = told_of(agent_name=agent, user=user, model=model)
            if self._ended:
                self._losses.count(1, "sessions after the recorder was shut down")
            elif not self._disabled and not (self._follow_sampling and _is_sampled_out()):
                reading = Reading(reference, in_order=False, stamp=self._stamp)
                job = _Job(reference, reading, given, self._options.identity.trace_id(reference).hex())
                if self._desk.open(job, facts_of(reference)):
                    return LiveSession(reference, self._desk, self._losses, job)
            return LiveSession(reference, self._desk, self._losses, None)
        except Exception as error:  # noqa: BLE001 - the host asked for a recording, and gets no exception
            self._losses.count(1, f"sessions: {words_of(error)}")
            return LiveSession(Reference("", ()), self._desk, self._losses, None)

    # --- the end --------------------------------------------------------------------------------------

    def force_flush(self, timeout_millis: int = FLUSH) -> bool:
        """Wait until all that was recorded by now, as far as its spans are final, is delivered.

        It waits: on asyncio, call it in a thread.

        Returns:
            Whether the destination has taken all of it, in time, and nothing was lost or spilled since the last call.
        """
        if self._shut_down is not None:
            return self._shut_down
        until, before = _until(timeout_millis), self._lost_before
        delivered = self._desk.flush(until) and self._outbox.flush(until)
        return self._all_was_kept(before) and delivered

    def shutdown(self, timeout_millis: int = FLUSH) -> bool:
        """Close the sessions that are open, as not complete, deliver everything, and end.

        It waits: on asyncio, call it in a thread.

        Returns:
            Whether the destination has taken everything, in time, and nothing was lost or spilled since the last flush.
            What it has not taken is in the spill file, if there is one. A second call gives the same answer.
        """
        with self._ending:
            if self._shut_down is None:
                self._ended = True
                until, before = _until(timeout_millis), self._lost_before
                read = self._desk.close(until)
                delivered = self._outbox.close(until)
                self._shut_down = self._all_was_kept(before) and read and delivered
                self._losses.tell()
                atexit.unregister(self._at_exit)
            return self._shut_down

    def _all_was_kept(self, before: int) -> bool:
        """Say whether nothing was lost or spilled since there were so many of that."""
        now = self._losses.total + self._outbox.spilled
        self._lost_before = max(now, self._lost_before)
        return now == before

    def _at_exit(self) -> None:
        if not self.shutdown(AT_EXIT):
            self._outbox.wait(self._patience)

    def _in_child(self) -> None:
        self._ending = threading.RLock()
        self._lost_before = 0
        self._ended = self._shut_down is not None
        self._desk.forget(over=self._ended)
        self._outbox.forget(over=self._ended)


class LiveSession:
    """A session that is being recorded. Made by `SessionRecorder.session`; none of its methods raises or waits.

    It is of the process that began it: a child that is forked meanwhile records nothing into it.

    Attributes:
        reference: which one it is.
        trace_id: of its trace, 32 hex digits; None when it is not recorded.
    """

    def __init__(self, reference: Reference, desk: _Desk, losses: Losses, job: _Job | None) -> None:
        self.reference = reference
        self.trace_id = None if job is None else job.trace_id
        self._desk = desk
        self._losses = losses
        self._job = job
        self._process = PROCESS.number

    @property
    def recording(self) -> bool:
        """Whether it is open, and recorded."""
        return self._job is not None and self._process == PROCESS.number

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
        if job is None or self._process != PROCESS.number:
            if self.trace_id is not None:
                self._losses.count(1, "records of a session that is not open here")
            return
        try:
            arrived = at if is_time(at) else time.time_ns()
            self._desk.put(job, snapshot(record), arrived, label)
        except Exception as error:  # noqa: BLE001 - nothing of ours may hurt the host
            job.complete = False
            self._losses.count(1, f"records: {words_of(error, job.reference)}")

    def close(self, *, complete: bool = True) -> None:
        """End the session: its root is made, and nothing more is recorded. A second call does nothing.

        Args:
            complete: False when the rest of it will not be recorded.
        """
        job, self._job = self._job, None
        if job is not None and self._process == PROCESS.number:
            self._desk.end(job, complete=complete)

    def __del__(self) -> None:
        # Nobody can end it any more. This may run anywhere, so it does no more than put something into a queue.
        with suppress(Exception):
            self.close(complete=False)

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
    """A session as the thread knows it.

    Attributes:
        conversion: made by the thread with the first record, and gone with the root.
    """

    reference: Reference
    reading: Reading
    given: Mapping[str, Any]
    trace_id: str
    conversion: Conversion | None = None
    complete: bool = True
    ended: bool = False


@dataclass(frozen=True, slots=True)
class _End:
    """Stands for the end of a session among its records."""

    complete: bool


class _Flush(Flush):
    """Stands among the records behind those that are to be read."""

    def __init__(self, *, last: bool) -> None:
        super().__init__()
        self.last = last


_Put: TypeAlias = "tuple[_Job | None, Snapshot | Session | _End | _Flush, int, str | None]"


class _Desk:
    """Records wait here to be read by a thread.

    The thread takes no lock that a caller holds: so one that is interrupted by a signal's handler, which asks for the
    end, can wait for that.

    Args:
        outbox: takes the spans.
        losses: counts what cannot be read.
        converting: makes what makes the spans of a session.
        most_records, most_bytes: that may wait.
    """

    def __init__(
        self,
        outbox: Outbox,
        losses: Losses,
        converting: Callable[[_Job], Conversion],
        *,
        most_records: int,
        most_bytes: int,
    ) -> None:
        self._outbox = outbox
        self._losses = losses
        self._converting = converting
        self._most_records = most_records
        self._most_bytes = most_bytes
        self._over = False
        self._reset()
        for dead in [hold for hold in list(_DESKS) if hold() is None]:
            _DESKS.pop(dead, None)
        _DESKS[WeakMethod(self.hold)] = WeakMethod(self.let_go)

    def _reset(self) -> None:
        self.encoder = Encoder()
        self._lock = threading.RLock()
        self._queue: SimpleQueue[_Put] = SimpleQueue()
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._put_bytes = 0  # by callers, under the lock
        self._read_bytes = 0  # by the thread
        self._open: dict[_Job, None] = {}  # of the thread
        self._at_work = threading.Lock()  # held by the thread while it works, and by whoever forks
        self._is_held = False  # by who forks
        self._thread: threading.Thread | None = None
        self._through = False

    # --- for callers ----------------------------------------------------------------------------------

    def open(self, job: _Job, facts: Session) -> bool:
        """Begin a session; say whether there is room for one.

        Raises:
            RuntimeError: there can be no more threads.
        """
        with self._lock:
            if self._thread is None and not self._over:
                self._outbox.start()
                thread = threading.Thread(target=self._run, name="read live records", daemon=True)
                thread.start()
                self._thread = thread
        if self._over or self._queue.qsize() >= self._most_records:
            self._losses.count(1, f"sessions {_LATE if self._over else _FULL}")
            return False
        self._put((job, facts, 0, None))
        return True

    def put(self, job: _Job, record: Snapshot, arrived: int, label: str | None) -> None:
        """Let a record wait to be read. One that does not fit is lost."""
        size = _size(record)
        waiting = self._queue.qsize()
        with self._lock:
            fits = waiting < self._most_records and self._put_bytes - self._read_bytes + size <= self._most_bytes
            if fits:
                self._put_bytes += size
        if not fits:
            job.complete = False
            self._losses.count(1, f"records {_LATE if self._over else _FULL}")
            return
        self._put((job, record, arrived, label))
        if waiting >= _MANY and self._wakes.empty():
            self._wakes.put(None)

    def end(self, job: _Job, *, complete: bool) -> None:
        """End a session."""
        self._put((job, _End(complete), 0, None))

    def flush(self, until: float) -> bool:
        """Wait until all that was put before is read; say whether it was in time."""
        return self._thread is None or self._flush(until, last=False)

    def close(self, until: float) -> bool:
        """End all sessions, read everything, and end the thread."""
        with self._lock:
            thread = self._thread
            if thread is None:
                self._over = True
                return True
        if self._flush(until, last=True):
            return True
        # What was not read in time is given up; the sessions of it still get their roots.
        self._over = True
        self._refuse_rest("that were not read in time")
        self._queue.put((None, _Flush(last=True), 0, None))
        self._wakes.put(None)
        return False

    def hold(self) -> None:
        """Let the thread pause between two records while the process forks.

        What it uses keeps locks in native code, which nobody would ever give back in the child.
        """
        self._is_held = self._at_work.acquire(timeout=_GRACE)

    def let_go(self) -> None:
        """Let the thread go on after a fork."""
        if self._is_held:
            self._is_held = False
            self._at_work.release()

    def forget(self, *, over: bool) -> None:
        """In a child that was forked: nothing of what waits is of this process."""
        self._over = over
        self._reset()

    def _flush(self, until: float, *, last: bool) -> bool:
        flush = _Flush(last=last)
        self._put((None, flush, 0, None))
        self._wakes.put(None)
        return flush.wait(until)

    def _put(self, put: _Put) -> None:
        self._queue.put(put)
        if self._over:
            self._refuse_rest(_LATE)

    def _refuse_rest(self, why: str) -> None:
        """Count what nobody reads any more; whoever calls this at the same time has some of it."""
        last: _Put | None = None
        with suppress(Empty):
            while True:
                put = self._queue.get_nowait()
                job, record, _, _ = put
                if isinstance(record, _Flush):
                    record.set()
                    last = put if record.last else last
                elif job is not None and not isinstance(record, _End):
                    job.complete = False
                    self._losses.count(1, f"{'sessions' if isinstance(record, Session) else 'records'} {why}")
        if last is not None and not self._through:
            self._queue.put(last)  # the thread is still to come to its end

    # --- the thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        over = False
        while not over:
            put = self._queue.get()
            # What comes in the meantime is read together with it.
            with suppress(Empty):
                self._wakes.get(timeout=_PAUSE)
                while True:
                    self._wakes.get_nowait()
            over = self._read_all(put)

    def _read_all(self, put: _Put | None) -> bool:
        """Read what waits; say whether that was the end."""
        touched: dict[_Job, None] = {}
        breath, count = time.monotonic(), 0
        while put is not None:
            count += 1
            with self._at_work:
                self._read(put, touched, hand_on=count % _MOST_AT_ONCE == 0)
            if isinstance(put[1], _Flush) and self._reached(put[1]):
                return True
            if time.monotonic() - breath > _BREATH:
                time.sleep(0)
                breath = time.monotonic()
            try:
                put = self._queue.get_nowait()
            except Empty:
                put = None
        with self._at_work:
            self._hand_on(touched)
        return False

    def _reached(self, flush: _Flush) -> bool:
        """Say that all before it is read; say whether that was the end."""
        if flush.last:
            self._over = self._through = True
            self._refuse_rest(_LATE)
        flush.set()
        return flush.last

    def _read(self, put: _Put, touched: dict[_Job, None], *, hand_on: bool) -> None:
        job, record, arrived, label = put
        if isinstance(record, _Flush):
            hand_on = True
            if record.last:
                self._end_all()
        elif job is not None:
            self._read_one(job, record, arrived, label)
            touched[job] = None
        if hand_on:
            self._hand_on(touched)

    def _read_one(self, job: _Job, record: Snapshot | Session | _End, arrived: int, label: str | None) -> None:
        try:
            if isinstance(record, _End):
                job.complete = job.complete and record.complete
                self._end(job)
            elif isinstance(record, Session):
                job.conversion = self._converting(job)
                self._open[job] = None
                self._take(job, (record,))
            else:
                self._read_bytes += _size(record)
                if job.conversion is None:
                    self._losses.count(1, "records of a session that is not open")
                    return
                told = parsed(record) if isinstance(record, bytes) else record
                self._take(job, job.reading.take(told, arrived, label))
        except Exception as error:  # noqa: BLE001 - one bad record must cost no other
            job.complete = False
            self._losses.count(1, f"records: {words_of(error, job.reference)}")

    def _take(self, job: _Job, items: Iterable[Item]) -> None:
        told = [replace(item, **job.given) if job.given and isinstance(item, Session) else item for item in items]
        if told and job.conversion is not None:
            for part in job.conversion.take(told):
                self._outbox.put(part)

    def _hand_on(self, touched: dict[_Job, None]) -> None:
        """Let go of the spans that are final."""
        for job in touched:
            try:
                gathered = None if job.conversion is None else job.conversion.gathered()
                if gathered is not None:
                    self._outbox.put(gathered)
            except Exception as error:  # noqa: BLE001 - one bad session must cost no other
                job.complete = False
                self._losses.count(1, f"spans of a session: {words_of(error, job.reference)}")
        touched.clear()

    def _end(self, job: _Job) -> None:
        self._open.pop(job, None)
        if job.conversion is None:
            return
        try:
            try:
                self._take(job, job.reading.close())
            except Exception as error:  # noqa: BLE001 - what else there is of it is told
                job.complete = False
                self._losses.count(1, f"records: {words_of(error, job.reference)}")
            for encoded in job.conversion.close(MOST, complete=job.complete):
                self._outbox.put(encoded)
        finally:
            job.conversion = None

    def _end_all(self) -> None:
        for job in list(self._open):
            job.complete = False
            try:
                self._end(job)
            except Exception as error:  # noqa: BLE001 - one bad session must cost no other
                self._losses.count(1, f"sessions: {words_of(error, job.reference)}")


_DESKS: dict[WeakMethod[Callable[[], None]], WeakMethod[Callable[[], None]]] = {}
"""Of all recorders, what is called before a fork, and what in the parent after it."""


def _before_fork() -> None:
    for kept in list(_DESKS):
        hold = kept()
        if hold is not None:
            hold()


def _after_fork_in_parent() -> None:
    for kept in list(_DESKS.values()):
        let_go = kept()
        if let_go is not None:
            let_go()


if hasattr(os, "register_at_fork"):  # where anything forks
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent)

_FULL = "that did not fit into the queue (queued_records, queued_bytes)"
_LATE = "after the recorder was shut down"

_SIZE_OF_EVENT = 500
"""Bytes that an event of ours counts for at least: it is not written yet, and nobody knows."""


def _size(record: Snapshot) -> int:
    if isinstance(record, bytes):
        return len(record)
    told = (getattr(record, name, None) for name in record.__struct_fields__)
    return _SIZE_OF_EVENT + sum(len(text) for text in told if isinstance(text, (str, bytes)))


def _until(timeout_millis: float) -> float:
    return time.monotonic() + min(max(timeout_millis, 0), _LONGEST) / 1000


def _check(**numbers: int) -> None:
    for name, number in numbers.items():
        if type(number) is not int or number < 1:
            raise UsageError(f"{name} is {number!r}; it is a number from 1")


def _check_seconds(*, deadline: float, pauses: Sequence[float]) -> None:
    if not 0 < deadline < math.inf:
        raise UsageError(f"the deadline is {deadline!r}; it is a number of seconds above 0")
    if not pauses or not all(0 <= pause < math.inf for pause in pauses):
        raise UsageError(f"the pauses are {pauses!r}; they are seconds, such as (1, 5, 30)")


def _check_exporter(exporter: object, *, also: object) -> None:
    if exporter is not None and also:
        raise UsageError("spans go to the exporter or to the endpoint: give one of the two")
    if exporter is not None and not callable(getattr(exporter, "export", None)):
        raise UsageError(f"{type(exporter).__qualname__} is no SpanExporter: it has no method export")


def _check_endpoint(target: Endpoint) -> None:
    """Say now, to who makes a recorder, what is wrong with an endpoint.

    No channel of gRPC is made for that: processes that are forked later could use none of their own.
    """
    if target.protocol != "grpc":
        connect(target).abandon()
    elif not target.plaintext:
        tls.read(target)


def _is_sampled_out() -> bool:
    context = trace.get_current_span().get_span_context()
    return context.is_valid and not context.trace_flags.sampled
