"""Spans on their way from a live recorder: a bounded queue, a thread that delivers, a file for what does not fit."""

from __future__ import annotations

import atexit
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from otel_agent_events.otlp import Outcome
from otel_agent_events.otlp.readable import to_readables

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.trace.export import SpanExporter

    from otel_agent_events.errors import DestinationError
    from otel_agent_events.live.losses import Losses
    from otel_agent_events.otlp import Aside, Destination, Encoded

PAUSES = (1.0, 5.0, 30.0)
"""Seconds after which a destination that has failed is tried again: the first time, the second, and from then on."""
_SLICE = 0.05


class Making(Protocol):
    """Makes the destination; made anew after one has failed, and in each process."""

    def __call__(self) -> Destination:
        """Make it."""
        ...


class Outbox:
    """Take spans without ever waiting, and deliver them.

    Args:
        make: the destination.
        losses: counts what is not delivered.
        most_bytes: of the spans that wait.
        spill: takes what does not fit, and what the destination does not take; without it that is lost.
        at_exit: what is registered to end it with the interpreter.

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
        spill: Aside | None = None,
        at_exit: Callable[[], object],
    ) -> None:
        self._make = make
        self._at_exit = at_exit
        self._is_new = False
        self._losses = losses
        self._most_bytes = most_bytes
        self._spill = spill
        self._lock = threading.Condition()
        self._queue: deque[Encoded | _Flush] = deque()
        self._bytes = 0
        self._thread: threading.Thread | None = None
        self._destination: Destination | None = None
        self._failures = 0
        self._try_at = 0.0
        self._ending = False
        self._hurrying = False
        self.acknowledged = 0
        self.spilled = 0

    # --- for the thread that makes the spans ----------------------------------------------------------

    def put(self, encoded: Encoded) -> None:
        """Take spans. What does not fit goes to the spill file, or is lost: nobody waits for room."""
        size = sum(map(len, encoded.bodies))
        with self._lock:
            fits = not self._ending and (not self._bytes or self._bytes + size <= self._most_bytes)
            if fits:
                self._bytes += size
                self._queue.append(encoded)
                self._start()
                self._lock.notify()
        if not fits:
            self._keep(encoded, "spans that did not fit into the queue")

    def flush(self, until: float) -> bool:
        """Wait until all that was put before has its outcome; say whether all of it was acknowledged in time.

        Args:
            until: by the monotonic clock.
        """
        flush = _Flush()
        with self._lock:
            if self._thread is None:
                return True
            self._queue.append(flush)
            self._lock.notify()
        return flush.done.wait(max(0.0, until - time.monotonic())) and flush.delivered

    def close(self, until: float) -> bool:
        """Deliver what there is, and end; what is not delivered in time is spilled, or lost."""
        delivered = self.flush(until)
        with self._lock:
            self._ending = True
            self._hurrying = not delivered
            self._lock.notify()
            thread, destination = self._thread, self._destination
        if self._hurrying and destination is not None:
            destination.stop()
        if thread is not None:
            # Its last answer may be on the way: it is waited for a moment longer than was asked.
            thread.join(max(1.0, until - time.monotonic()))
            if thread.is_alive():
                self._losses.count(1, "threads that did not end in time, and what they had taken")
        return delivered

    def forget(self) -> None:
        """In a child that was forked: nothing of what waits is of this process."""
        abandoned = self._destination
        if abandoned is not None:
            # Its connection and its threads are the parent's; it is held on to, so that nothing of it is closed here.
            _OF_PARENTS.append(abandoned)
            atexit.unregister(abandoned.abandon)
        self._lock = threading.Condition()
        self._queue.clear()
        self._bytes = 0
        self._thread = self._destination = None
        self._failures, self._try_at = 0, 0.0
        self.acknowledged = self.spilled = 0

    # --- the thread -----------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="deliver live spans", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        lost_before = self._lost
        while True:
            with self._lock:
                while not self._queue and not self._ending:
                    self._lock.wait()
                if not self._queue:
                    break
                following = self._queue.popleft()
            try:
                if isinstance(following, _Flush):
                    self._flush()
                    following.delivered = self._lost == lost_before
                    lost_before = self._lost
                    following.done.set()
                else:
                    self._deliver(following)
            except Exception as error:  # noqa: BLE001 - a destination of somebody else's
                if isinstance(following, _Flush):
                    following.done.set()
                else:
                    self._keep(following, f"spans, as the destination failed: {type(error).__qualname__}")
                    self._fail()
            finally:
                if not isinstance(following, _Flush):
                    with self._lock:
                        self._bytes -= sum(map(len, following.bodies))
        self._end()

    @property
    def _lost(self) -> int:
        return self._losses.total + self.spilled

    def _deliver(self, encoded: Encoded) -> None:
        destination = self._connected()
        if destination is None:
            self._keep(encoded, "spans, as nothing could be delivered")
            return
        destination.submit(encoded)
        if self._is_new:
            # A sender ends with the interpreter, as we do: who registers last is called first, and we are to be.
            self._is_new = False
            atexit.unregister(self._at_exit)
            atexit.register(self._at_exit)
        self._note(destination.outcomes())
        if destination.failure is not None:
            self._fail()

    def _connected(self) -> Destination | None:
        """Give the destination. After a failure it is made anew, when a while has passed."""
        if self._destination is None:
            while not self._hurrying and (left := self._try_at - time.monotonic()) > 0:
                if self._waits_in_vain():
                    return None
                time.sleep(min(left, _SLICE))
            if self._hurrying:
                return None
            self._destination = self._make()
            self._is_new = True
        return self._destination

    def _waits_in_vain(self) -> bool:
        """Say whether somebody waits for an end, so that there is no time for another try."""
        with self._lock:
            return self._ending

    def _flush(self) -> None:
        if self._destination is not None:
            self._destination.flush()
            self._note(self._destination.outcomes())
            if self._destination.failure is not None:
                self._fail()

    def _fail(self) -> None:
        """Let go of a destination that takes nothing more; another one is made when a while has passed."""
        destination, self._destination = self._destination, None
        if destination is not None:
            destination.abandon()
            self._note(destination.outcomes())
        pause = PAUSES[min(self._failures, len(PAUSES) - 1)]
        self._failures += 1
        self._try_at = time.monotonic() + pause

    def _note(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            self.acknowledged += outcome.acknowledged
            self.spilled += outcome.set_aside
            if outcome.acknowledged:
                self._failures = 0
            self._losses.count(outcome.rejected, "spans that the destination rejected")
            self._losses.count(outcome.lost, "spans that could not be delivered")

    def _keep(self, encoded: Encoded, why: str) -> None:
        count = len(encoded.bodies)
        if self._spill is not None:
            try:
                self._spill.put(encoded.head, encoded.bodies)
            except Exception as error:  # noqa: BLE001 - whatever it is, they are not known to be kept
                why = f"{why}; nor could they be spilled: {type(error).__qualname__}"
            else:
                self.spilled += count
                return
        self._losses.count(count, why)

    def _end(self) -> None:
        destination, self._destination = self._destination, None
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


_OF_PARENTS: list[Destination] = []
"""Destinations of the process from which this one was forked."""


class _Flush:
    """Stands in the queue behind what is to be flushed."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.delivered = False


class Exporting:
    """A `SpanExporter` that was handed in, as a destination that goes on after a failure.

    What it does not take is kept, or lost. It is its owner's: it is not shut down.

    Args:
        exporter: takes spans as the SDK has them.
        keep: where spans go that it did not take; it says how many were kept.
    """

    wants_spans = True

    def __init__(self, exporter: SpanExporter, keep: Callable[[Encoded], bool]) -> None:
        self.name = f"exporter:{type(exporter).__name__}"
        self.failure: DestinationError | None = None
        self._exporter = exporter
        self._keep = keep
        self._outcomes: list[Outcome] = []

    def submit(self, encoded: Encoded) -> None:
        """Export spans."""
        from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: PLC0415 - who sends by OTLP needs no SDK

        count = len(encoded.spans)
        try:
            taken = self._exporter.export(to_readables(encoded.spans)) is SpanExportResult.SUCCESS
        except Exception:  # noqa: BLE001 - an exporter of somebody else's
            taken = False
        kept = not taken and self._keep(encoded)
        self._outcomes.append(
            Outcome(
                destination=self.name,
                acknowledged=count if taken else 0,
                set_aside=count if kept else 0,
                lost=0 if taken or kept else count,
            )
        )

    def outcomes(self) -> list[Outcome]:
        """Give the outcomes since the last call."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def flush(self) -> None:
        """Let the exporter finish what it holds back."""
        flush = getattr(self._exporter, "force_flush", None)
        if flush is not None:
            flush()

    def stop(self) -> None:
        """Nothing is tried again anyway."""

    def close(self) -> None:
        """Flush."""
        self.flush()

    def abandon(self) -> None:
        """Leave the exporter as it is."""
