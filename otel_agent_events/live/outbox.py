"""Spans on their way from a live recorder: a bounded queue, a thread that delivers, a file for what does not fit."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol, TypeAlias

from otel_agent_events.errors import DestinationError
from otel_agent_events.live.losses import LOGGER
from otel_agent_events.otlp import Outcome
from otel_agent_events.otlp.aside import AsideFile
from otel_agent_events.otlp.readable import to_readables
from otel_agent_events.otlp.silence import leave_uninstrumented

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.trace.export import SpanExporter

    from otel_agent_events.live.losses import Losses
    from otel_agent_events.otlp import Aside, Destination, Encoded

PAUSES = (1.0, 5.0, 30.0)
"""Seconds after which a destination that has failed is made anew: the first time, the second, and from then on."""
MOST_EXPORTED = 512
"""Spans that a `SpanExporter` is handed at once: as many as the SDK's own processor hands it."""

_LOOK = 0.5  # seconds between two looks at what became of spans that are on their way
_SLICE = 0.05
_GRACE = 1.0  # seconds that an answer which is on its way is waited for beyond what was asked
_QUIET = 60.0  # seconds between two lines in the log


class Making(Protocol):
    """Makes the destination; made anew after one has failed, and in each process."""

    def __call__(self, aside: Aside | None, /) -> Destination:
        """Make it.

        Args:
            aside: keeps what the destination does not take.
        """
        ...


class Outbox:
    """Take spans without ever waiting, and deliver them.

    What callers and the threads share are queues that need no lock: who asks for a flush in a signal's handler, or
    forks, may come at any time.

    Args:
        make: the destination.
        losses: counts what is not delivered.
        most_bytes: of the spans that wait.
        spill: path of the file for what does not fit, and what the destination does not take; else that is lost.
        at_exit: ends it with the interpreter.
        pauses: seconds, as `PAUSES`.

    Attributes:
        acknowledged: spans that the destination has taken, as it says.
        spilled: spans that are in the spill file.
    """

    def __init__(
        self,
        make: Making,
        losses: Losses,
        *,
        most_bytes: int,
        spill: str | os.PathLike[str] | None = None,
        at_exit: Callable[[], object],
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self._make = make
        self._losses = losses
        self._most_bytes = most_bytes
        self._spill_at = spill
        self._at_exit = at_exit
        self._pauses = pauses
        self._over = False
        self._reset()

    def _reset(self) -> None:
        self._spill = None if self._spill_at is None else AsideFile(self._spill_at)
        self._queue: SimpleQueue[_Item] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._taken = 0  # bytes, by the thread that makes spans
        self._done = 0  # bytes, by the thread that delivers them
        self._destination: Destination | None = None
        self._in_hand: deque[Encoded] = deque()  # one at most: whoever takes it out says what became of it
        self._under_way = 0  # spans that the destination has taken over, without outcome
        self._failures, self._try_at, self._tried_at_the_end = 0, 0.0, False
        self._closing = self._hurrying = False
        self._counting = threading.Lock()
        self._told_at: float | None = None
        self._untold = 0
        self.acknowledged = self.spilled = 0

    # --- for the thread that makes the spans ----------------------------------------------------------

    def start(self) -> None:
        """Start the thread. One caller at a time.

        Raises:
            RuntimeError: there can be no more threads.
        """
        if self._thread is None and not self._over:
            thread = threading.Thread(target=self._run, name="deliver live spans", daemon=True)
            thread.start()
            self._thread = thread
            _end_with_worker(self._at_exit)

    def put(self, encoded: Encoded) -> None:
        """Take spans. What does not fit goes to the spill file, or is lost: nobody waits for room."""
        size = _size(encoded)
        waiting = self._taken - self._done
        if waiting and waiting + size > self._most_bytes:
            self._keep(encoded, "spans that did not fit into the queue (queued_bytes)")
            return
        self._taken += size
        self._queue.put(encoded)
        if self._over:
            self._keep_rest()

    # --- for callers ----------------------------------------------------------------------------------

    def flush(self, until: float) -> bool:
        """Wait until all that was put before has its outcome; say whether that was in time.

        Args:
            until: by the monotonic clock.
        """
        if self._thread is None:
            return True
        flush = Flush()
        self._queue.put(flush)
        if self._over:
            self._keep_rest()
        return flush.wait(until) and not flush.failed

    def close(self, until: float) -> bool:
        """Deliver what there is, and end; what is not delivered in time is spilled, or lost."""
        self._closing = True
        delivered = self.flush(until)
        thread = self._thread
        if thread is None:
            self._over = True
            return delivered
        if not delivered:
            self._hurrying = True
            destination = self._destination
            if destination is not None:
                destination.stop()
        self._queue.put(None)
        # Its last answer may be on the way.
        thread.join(max(_GRACE, until - time.monotonic()))
        if thread.is_alive():
            delivered = False
            self._leave_it()
        self._tell_spilled(last=True)
        return delivered

    def wait(self, seconds: float) -> None:
        """Wait for the answers that are under way after a `close`: what is not taken is in the spill file then."""
        if self._thread is not None:
            self._thread.join(seconds)

    def forget(self, *, over: bool) -> None:
        """In a child that was forked: nothing of what waits is of this process."""
        if self._destination is not None:
            # Its connection and its threads are the parent's; it is held on to, so that nothing of it is closed here.
            _OF_PARENTS.append(self._destination)
        self._over = over
        self._reset()

    def _leave_it(self) -> None:
        """Keep what the thread has not come to, as it waits for somebody who does not answer."""
        self._over = True
        self._keep_rest()
        self._queue.put(None)
        if getattr(self._destination, "reports_only", False):  # a sender has outcomes for all, if only later
            self._keep_in_hand("the exporter did not answer in time")

    # --- the thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        leave_uninstrumented()
        with suppress(Exception):  # which is tried again with the first spans
            self._connect()  # as no thread can be started any more when the interpreter ends
        while (following := self._next()) is not None:
            try:
                if isinstance(following, Flush):
                    self._flush(following)
                else:
                    self._deliver(following)
            except BaseException as error:  # noqa: BLE001 - of somebody else's exporter, and it may even exit
                self._recover(error)
            finally:
                if isinstance(following, Flush):
                    following.set()
                else:
                    self._done += _size(following)
        self._end()
        self._over = True
        self._keep_rest()

    def _next(self) -> Encoded | Flush | None:
        """Wait for what is to be done, and note meanwhile what became of spans; None at the end."""
        while not self._over:
            try:
                return self._queue.get(timeout=_LOOK if self._under_way else None)
            except Empty:
                try:
                    self._collect()
                except Exception as error:  # noqa: BLE001 - of somebody else's exporter
                    self._recover(error)
        return None

    def _flush(self, flush: Flush) -> None:
        destination = self._destination
        if destination is None:
            return
        flush.failed = True
        destination.flush()
        self._collect()
        flush.failed = False

    def _deliver(self, encoded: Encoded) -> None:
        while encoded.bodies:
            self._in_hand.append(encoded)
            destination = self._connected()
            if destination is None:
                self._keep_in_hand()
                return
            some, rest = _cut(encoded, MOST_EXPORTED if _wants_spans(destination) else len(encoded.bodies))
            destination.submit(some)
            try:
                self._in_hand.pop()
            except IndexError:
                return  # who could not wait for it any longer has kept it
            self._under_way += len(some.bodies)
            self._collect()
            encoded = rest

    def _recover(self, error: BaseException) -> None:
        """Keep what was in hand, and let go of the destination."""
        self._keep_in_hand(type(error).__qualname__)
        self._let_go()

    def _keep_in_hand(self, said: str = "") -> None:
        with suppress(IndexError):
            self._keep(self._in_hand.pop(), "spans that could not be delivered", said)

    # --- the destination ------------------------------------------------------------------------------

    def _connected(self) -> Destination | None:
        """Give the destination; after a failure it is made anew when a while has passed, or None given when it ends."""
        if self._destination is not None and self._destination.failure is not None:
            self._let_go()
        while self._destination is None:
            while not self._hurrying and (left := self._try_at - time.monotonic()) > 0:
                if self._closing:
                    if self._tried_at_the_end:
                        return None
                    self._tried_at_the_end = True  # the pause is not borne, and it gets one more try
                    break
                time.sleep(min(left, _SLICE))
            if self._hurrying:
                return None
            try:
                self._connect()
            except Exception:  # noqa: BLE001 - a certificate that cannot be read now, or no room for a thread
                self._let_go()
        return self._destination

    def _connect(self) -> None:
        destination = self._make(self._spill)
        begin = getattr(destination, "begin", None)
        if begin is not None:
            begin()
        self._destination = destination
        if self._hurrying:
            destination.stop()

    def _collect(self) -> None:
        """Note what became of spans; let go of a destination that takes nothing more."""
        destination = self._destination
        if destination is None:
            return
        self._note(destination.outcomes())
        if destination.failure is not None:
            self._let_go()

    def _let_go(self) -> None:
        """Let go of a destination that takes nothing more; another one is made when a while has passed."""
        destination = self._destination
        if destination is not None:
            with suppress(Exception):
                destination.abandon()
            self._note(destination.outcomes())
            self._destination = None
        self._under_way = 0
        self._try_at = time.monotonic() + self._pauses[min(self._failures, len(self._pauses) - 1)]
        self._failures += 1

    def _end(self) -> None:
        destination = self._destination
        if destination is None:
            return
        try:
            if self._hurrying:
                destination.abandon()
            else:
                destination.close()
        except Exception as error:  # noqa: BLE001 - a destination of somebody else's
            self._losses.count(1, f"destinations that did not end well: {type(error).__qualname__}")
        self._note(destination.outcomes())
        self._destination = None

    # --- what became of spans -------------------------------------------------------------------------

    def _note(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            self._under_way -= len(outcome.spans)
            self.acknowledged += outcome.acknowledged
            if outcome.acknowledged:
                self._failures = 0
            said = outcome.message or ""
            self._losses.count(outcome.rejected, "spans that the destination rejected", said)
            self._losses.count(outcome.lost, "spans that could not be delivered", said)
            if outcome.set_aside:
                self._note_spilled(outcome.set_aside)

    def _keep(self, encoded: Encoded, why: str, said: str = "") -> None:
        """Spill spans, or lose them."""
        count = len(encoded.bodies)
        if self._spill is not None:
            try:
                self._spill.put(encoded.head, encoded.bodies)
            except Exception as error:  # noqa: BLE001 - whatever it is, they are not known to be kept
                said = "; ".join([*([said] if said else []), _unkept(self._spill, error)])
            else:
                self._note_spilled(count)
                return
        self._losses.count(count, why, said)

    def _keep_rest(self) -> None:
        """Keep what nobody comes to any more; whoever calls this at the same time has some of it."""
        with suppress(Empty):
            while True:
                left = self._queue.get_nowait()
                if isinstance(left, Flush):
                    left.set()
                elif left is not None:
                    self._keep(left, "spans that could not be delivered before the end")

    def _note_spilled(self, count: int) -> None:
        with self._counting:
            self.spilled += count
            self._untold += count
        self._tell_spilled()

    def _tell_spilled(self, *, last: bool = False) -> None:
        now = time.monotonic()
        with self._counting:
            untold = self._untold
            if not untold or (not last and self._told_at is not None and now - self._told_at < _QUIET):
                return
            self._untold, self._told_at = 0, now
        with suppress(Exception):  # a handler or a filter of the host's
            LOGGER.warning(
                "SessionRecorder put %d spans that were not delivered into %s; otel-agent-events send delivers them",
                untold,
                self._spill_at,
            )


_OF_PARENTS: list[Destination] = []
"""Destinations of the process from which this one was forked."""


class Flush:
    """Stands in a queue behind what is to be done, and is waited for.

    Not by an event of `threading`: whoever waits for one, and is interrupted by a signal, may hold the lock that is
    needed to set it.

    Attributes:
        failed: whether something did not go well.
    """

    def __init__(self) -> None:
        self.failed = False
        self._done: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """Say that it is done."""
        self._done.put(None)

    def wait(self, until: float) -> bool:
        """Wait until it is done; say whether that was in time, by the monotonic clock."""
        try:
            self._done.get(timeout=max(0.0, until - time.monotonic()))
        except Empty:
            return False
        return True


_Item: TypeAlias = "Encoded | Flush | None"


def _size(encoded: Encoded) -> int:
    return sum(map(len, encoded.bodies))


def _wants_spans(destination: Destination) -> bool:
    """Say whether a destination takes the spans themselves, and not their bytes."""
    return bool(getattr(destination, "wants_spans", True))


def _cut(encoded: Encoded, most: int) -> tuple[Encoded, Encoded]:
    """Give the first spans, and the others."""
    bodies, spans = encoded.bodies, encoded.spans
    return (
        replace(encoded, bodies=bodies[:most], spans=spans[:most]),
        replace(encoded, bodies=bodies[most:], spans=spans[most:], first=encoded.first + len(bodies[:most])),
    )


def _unkept(aside: Aside, error: Exception) -> str:
    words = (isinstance(error, OSError) and error.strerror) or type(error).__qualname__
    return f"they cannot be written to {aside.name} either: {words}"


def _end_with_worker(at_exit: Callable[[], object]) -> None:
    """Let a worker of multiprocessing end us: it calls nothing that is registered with `atexit`."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        from multiprocessing.util import Finalize  # noqa: PLC0415 - it is there already

        Finalize(None, at_exit, exitpriority=0)


class Exporting:
    """A `SpanExporter` that was handed in, as a destination that goes on after a failure.

    What it does not take is kept, or lost. It is its owner's: it is not shut down.

    Args:
        exporter: takes spans as the SDK has them.
        aside: where spans go that it did not take.
    """

    wants_spans = True
    reports_only = True

    def __init__(self, exporter: SpanExporter, aside: Aside | None) -> None:
        self.name = f"exporter:{type(exporter).__name__}"
        self.failure: DestinationError | None = None
        self._exporter = exporter
        self._aside = aside
        self._outcomes: list[Outcome] = []

    def submit(self, encoded: Encoded) -> None:
        """Export spans."""
        from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: PLC0415 - who sends by OTLP needs no SDK

        count = len(encoded.spans)
        try:
            result = self._exporter.export(to_readables(encoded.spans))
        except Exception as error:  # noqa: BLE001 - an exporter of somebody else's
            said = f"{self.name} raised {type(error).__qualname__}"
        else:
            if result is SpanExportResult.SUCCESS:
                self._outcomes.append(Outcome(destination=self.name, acknowledged=count))
                return
            said = f"{self.name} reports a failure; what it logs may tell why"
        kept = False
        if self._aside is not None:
            try:
                self._aside.put(encoded.head, encoded.bodies)
                kept = True
            except Exception as error:  # noqa: BLE001 - whatever it is, they are not known to be kept
                said = f"{said}; {_unkept(self._aside, error)}"
        outcome = Outcome(
            destination=self.name, set_aside=count if kept else 0, lost=0 if kept else count, message=said
        )
        self._outcomes.append(outcome)

    def outcomes(self) -> list[Outcome]:
        """Give the outcomes since the last call."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def flush(self) -> None:
        """Let the exporter finish what it holds back.

        Raises:
            DestinationError: it says that it did not.
        """
        flush = getattr(self._exporter, "force_flush", None)
        if flush is not None and flush() is False:
            raise DestinationError(f"{self.name} was not flushed")

    def stop(self) -> None:
        """Nothing is tried again anyway."""

    def close(self) -> None:
        """The exporter is its owner's, and was flushed."""

    def abandon(self) -> None:
        """Leave the exporter as it is."""
