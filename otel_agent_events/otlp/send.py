"""Batches to a collector: capped, sent by threads behind a bounded queue, answered, tried again.

A transport (`http.py`, `grpc.py`) turns the answer to one request into a `Verdict` (`verdicts.py`); what follows from
it is the same for every protocol and is decided here. What goes into a request, and how large it may be, is
decided in `packing.py`; `batches.py` knows its bytes.
"""

from __future__ import annotations

import atexit
import random
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, assert_never

from otel_agent_events.errors import DestinationError, RefusedError, UnreachableError
from otel_agent_events.otlp import Outcome
from otel_agent_events.otlp import batches as b
from otel_agent_events.otlp.batches import Share
from otel_agent_events.otlp.packing import Batch, Cap, Filling, Incoming
from otel_agent_events.otlp.silence import leave_uninstrumented
from otel_agent_events.otlp.verdicts import (
    Acknowledged,
    DestinationRefused,
    Malformed,
    Refused,
    Retry,
    TooLarge,
    Unreachable,
)
from otel_agent_events.retry import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from otel_agent_events.otlp import Aside, Encoded, Head
    from otel_agent_events.otlp.verdicts import Verdict

MOST_BYTES_GRPC = 3_500_000
"""Of one request before compression. A gRPC server takes 4 MiB when nothing is configured."""
MOST_BYTES_HTTP = 2_000_000
"""The same; half of it is below the 1 MiB that an nginx takes when nothing is configured."""
MOST_SPANS = 5_000
DEADLINE = 300.0
"""Seconds for which a batch is tried when nothing is said, once the destination has answered anything."""
DEADLINE_UNKNOWN = 15.0
"""The same as long as it never answered: then a mistake in the address is likelier than an outage."""
BACKOFF = Backoff(tries=None, most=10.0, total=DEADLINE)

MOST_ALONE = 16
"""Spans that are refused one by one, none taken in between, before the server is believed to refuse everything."""
SHORTEST = 4_096
"""Bytes of a span that is not shortened any further."""

_QUEUED = 3  # full batches that wait for a sender
_OLD = 1.0  # seconds after which a batch goes out though it is not full
_SOON = 0.1  # seconds that are waited at least, though a server asks for less
_SLICE = 0.05  # seconds after which somebody who waits looks up: a signal's handler may not wake him
_IDLE = 0.25
_FAR = 0.03  # seconds that an answer of a collector takes that is far away
_PATIENCE = 0.02  # seconds that a full queue is borne before another sender is started


class Transport(Protocol):
    """One way to make one request."""

    def send(self, body: bytes) -> Verdict:
        """Send an `ExportTraceServiceRequest` once and say what the answer means.

        Raises nothing for any answer. For several threads.
        """
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class Sender:
    """A collector as a destination: threads send full batches, those that grow old, and the rest on `flush`.

    `submit` waits while the queue is full. Batches hold the spans of any owners. For several threads.

    Args:
        transport: makes the requests; `close` and `abandon` close it.
        name: of the destination.
        most_bytes: the cap of a request before compression. A single span above it is sent alone all the same.
        most_spans: the cap of the spans in a request.
        deadline: seconds for which a batch is tried, from its first try. When nothing is said, `DEADLINE`, or
            `DEADLINE_UNKNOWN` as long as there was never any answer.
        aside: keeps what is not taken; without it that is lost.
        backoff: the waits between the tries of a batch. Neither its number of tries nor its total counts here.
        senders: the most threads. Another one is started when all of them wait for answers, and the queue is full or
            answers take long.
        sleep: the waiting between tries; what is interrupted by `stop` when nothing is said.
        clock, draw: the seconds that pass, and the random numbers in [0, 1).

    Attributes:
        failure: why nothing is sent any more, once that is so.
        heard: is told of the outcomes of each answer at once, by the thread that has them, which asks for nothing more
            in the meantime. It must not raise.
        wants_spans: bytes are enough.
    """

    wants_spans = False

    def __init__(
        self,
        transport: Transport,
        *,
        name: str,
        most_bytes: int = MOST_BYTES_HTTP,
        most_spans: int = MOST_SPANS,
        deadline: float | None = None,
        aside: Aside | None = None,
        backoff: Backoff = BACKOFF,
        senders: int = 8,
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.heard: Callable[[Sequence[Outcome]], None] | None = None
        self.failure: DestinationError | None = None
        self._transport = transport
        self._deadline = deadline
        self._aside = aside
        self._backoff = backoff
        self._senders = senders
        # It is only set, never waited for, by a thread that a signal may interrupt: so setting it cannot deadlock.
        self._halt = threading.Event()
        self._sleep = self._halt.wait if sleep is None else sleep
        self._clock = clock
        self._draw = draw

        lock = threading.Lock()
        self._work = threading.Condition(lock)  # there is something to take
        self._room = threading.Condition(lock)  # something was taken, or has its outcome
        # All of these are changed under the lock only.
        self._cap = Cap(most_bytes)
        self._filling = Filling(cap=self._cap, most_spans=most_spans)
        self._since = 0.0  # by the clock, when the first span that is filling came
        self._queue: deque[Batch] = deque()
        self._numbers = 0
        self._open: set[int] = set()  # the numbers of batches without outcome
        self._outcomes: list[Outcome] = []
        self._threads: list[threading.Thread] = []
        self._asking = 0  # threads that wait for an answer
        self._is_far = False  # whether the last answer took long: then several requests go out at once
        self._alone = 0  # spans refused alone since one was taken
        self._answered = False  # whether there was any answer that is one of a collector, or of what stands before it
        self._acknowledged: float | None = None  # by the clock, when something was taken last
        self._ending = False
        self._stopped = False
        self._closed = False

    @property
    def keeps(self) -> bool:
        """Whether what is not taken is set aside, so that it is worth while to go on."""
        return self._aside is not None

    @property
    def answered(self) -> bool:
        """Whether there was any answer, also one that refuses: then somebody is there."""
        return self._answered

    # --- for whoever makes the spans ------------------------------------------------------------------

    def submit(self, encoded: Encoded) -> None:
        """Take spans; this waits while the queue is full."""
        self.put(encoded.head, encoded.bodies, owner=encoded.owner, first=encoded.first)

    def begin(self) -> None:
        """Start the first thread already now, for an owner who calls `abandon` himself before the interpreter ends.

        Else it is started with the first spans, and `abandon` called by the interpreter. By then there can be no new
        thread any more.

        Raises:
            RuntimeError: there can be no more threads now.
        """
        with self._work:
            if not self._threads:
                self._start()

    def put(self, head: Head, bodies: Sequence[bytes], *, owner: Hashable = None, first: int = 0) -> None:
        """Take the bodies of spans; this waits while the queue is full.

        Args:
            head: what stands around them in a request.
            bodies: of each span the field `spans` of a `ScopeSpans`, with its tag and length.
            owner: whose they are.
            first: the place of the first of them among the owner's spans.

        Raises:
            ValueError: the destination was closed.
        """
        if self._ending and self.failure is None:
            raise ValueError(f"nothing can be sent to {self.name} any more: it was closed")
        incoming = Incoming(Share(head, bodies, owner, first))
        with self._work:
            while incoming.left and self.failure is None:
                self._start_first()
                if not self._filling:
                    self._since = self._clock()
                self._filling.fill(incoming)
                if incoming.left or self._filling.is_full:
                    self._enqueue()
        if incoming.left:
            self._settle([self._kept(incoming.rest(), str(self.failure))])

    def outcomes(self) -> list[Outcome]:
        """Give the outcomes since the last call."""
        with self._room:
            outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def flush(self) -> None:
        """Wait until everything submitted so far has its outcome."""
        with self._room:
            if self._filling:
                self._start_first()
                self._cut()
            last = self._numbers
            while self._open and min(self._open) <= last:
                self._room.wait(_SLICE)

    def stop(self) -> None:
        """Try nothing again from now on: what is not taken at its next answer is set aside, or lost.

        It takes no lock, so that a signal's handler may call it at any time.
        """
        if self._stopped:
            return
        self._stopped = True
        if self.failure is None:
            self.failure = DestinationError(f"nothing more is sent to {self.name}: the run was stopped")
        self._halt.set()

    def close(self) -> None:
        """Flush, end the threads, and let go of the connection."""
        if self._closed:
            return
        self.flush()
        self._end()

    def abandon(self) -> None:
        """Send nothing more: wait for the answers to what is under way, and set aside the rest."""
        if self._closed:
            return
        self.stop()
        self._end()

    def _end(self) -> None:
        with self._work:
            self._ending = True
            self._work.notify_all()
        for thread in self._threads:
            while thread.is_alive():
                thread.join(_SLICE)
        # Where no thread could be started, this one sets aside what there is.
        self._run()
        self._transport.close()
        self._closed = True
        atexit.unregister(self.abandon)

    # --- the queue, under the lock --------------------------------------------------------------------

    def _enqueue(self) -> None:
        """Put what is filling into the queue, when there is room in it.

        Until then it stays where it is: who is interrupted here has lost nothing.
        """
        patience = _PATIENCE
        while self._filling and len(self._queue) >= _QUEUED and self.failure is None:
            taken = self._room.wait(patience)
            if not taken and self._asking == len(self._threads) and self._acknowledged is not None:
                self._start_another()
            patience = _SLICE
        if self._filling:
            self._cut()

    def _cut(self) -> None:
        """Put what is filling into the queue."""
        self._numbers += 1
        self._open.add(self._numbers)
        self._queue.append(Batch(self._numbers, [self._filling.cut()]))
        if self._is_far and self._asking == len(self._threads):
            self._start_another()
        self._work.notify()

    def _start_first(self) -> None:
        if not self._threads:
            # Without this, what nobody flushes would be gone with the interpreter.
            atexit.register(self.abandon)
            self._start()

    def _start_another(self) -> None:
        if len(self._threads) < self._senders:
            with suppress(RuntimeError):  # there can be no more threads, and those that there are go on
                self._start()

    def _start(self) -> None:
        # A thread of somebody who never closes must not keep the interpreter from its end.
        thread = threading.Thread(target=self._run_alone, name=f"send to {self.name}", daemon=True)
        thread.start()
        self._threads.append(thread)

    # --- the sender threads ---------------------------------------------------------------------------

    def _run_alone(self) -> None:
        leave_uninstrumented()
        self._run()

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            try:
                while batch.left:
                    self._deliver(batch)
                    self._learn(batch)
                self._judge(batch)
            except BaseException as error:  # noqa: BLE001 - whatever it is, who waits for outcomes must get them
                self._rescue(batch, error)
            finally:
                with self._room:
                    self._open.discard(batch.number)
                    self._room.notify_all()

    def _next(self) -> Batch | None:
        """Wait for a batch; None at the end."""
        with self._work:
            while True:
                if not self._queue and self._filling and self._is_due():
                    self._cut()
                if self._queue:
                    batch = self._queue.popleft()
                    self._room.notify_all()
                    return batch
                if self._ending:
                    return None
                self._work.wait(_IDLE)

    def _is_due(self) -> bool:
        return self._ending or self.failure is not None or self._clock() - self._since >= _OLD

    def _deliver(self, batch: Batch) -> None:
        """Send the next piece of a batch: then it has its outcome, or lies there in two halves."""
        piece = batch.left[-1]
        if self.failure is not None:
            self._set_aside(batch, str(self.failure))
            return
        body = b.whole(piece)
        several = b.count(piece) > 1
        # The cap may be smaller than it was when the batch was filled.
        if several and len(body) > self._cap.now:
            batch.cut(self._cap.now)
            return
        verdict = self._ask(body)
        match verdict:
            case Acknowledged():
                with self._room:
                    self._cap.take(len(body))
                self._take(batch, verdict)
            case TooLarge() if several:
                batch.halve_for_size(len(body))
            case TooLarge():
                batch.excuse()
                self._send_shortened(batch, verdict)
            case Malformed() if several:
                batch.halve(by_bytes=False)
            case _:
                self._refuse(batch, verdict)

    def _learn(self, batch: Batch) -> None:
        """Let later batches be smaller than those that were too large."""
        with self._room:
            for size in batch.sizes_refused():
                self._cap.refuse(size)

    def _send_shortened(self, batch: Batch, verdict: TooLarge) -> None:
        """Send a span that is too large, half as long, a quarter, and so on, until it is taken."""
        (share,) = batch.left[-1]
        (body,) = share.bodies
        most = tried = len(body)
        while most >= SHORTEST and not self._is_over():
            most //= 2
            shorter = b.shorten(body, max(most, SHORTEST))
            if shorter is None or len(shorter) >= tried:
                continue
            tried = len(shorter)
            answer = self._ask(b.request([(share.head, [shorter])]))
            match answer:
                case TooLarge():
                    verdict = answer
                case Acknowledged():
                    told = f"{verdict.message}. It took the span shortened from {len(body)} to {len(shorter)} bytes"
                    heard = replace(answer, message=told if answer.message is None else f"{told}; {answer.message}")
                    self._take(batch, heard)
                    return
                case _:
                    self._refuse(batch, answer)
                    return
        if self._is_over():
            self._set_aside(batch, verdict.message)
        else:
            self._refuse(batch, verdict)

    def _refuse(
        self, batch: Batch, verdict: TooLarge | Malformed | Refused | DestinationRefused | Retry | Unreachable
    ) -> None:
        """Do what follows when the next piece of a batch is not taken."""
        match verdict:
            case Malformed():
                batch.suspect(verdict.message)
                if self._is_believed(verdict.message):
                    batch.clear_suspects()
            case TooLarge():
                self._is_believed(verdict.message)
                self._set_aside(batch, f"{verdict.message}, and to a span that was shortened as far as it can be")
            case DestinationRefused():
                self._fail(RefusedError(verdict.message))
                self._set_aside(batch, verdict.message)
            case Refused() | Retry() | Unreachable():
                self._set_aside(batch, verdict.message)
            case _:
                assert_never(verdict)

    def _is_believed(self, message: str) -> bool:
        """Count a span that was refused alone. Whether the server refuses everything."""
        with self._room:
            self._alone += 1
            believed = self._alone >= MOST_ALONE
        if believed:
            self._fail(RefusedError(f"{message}. {MOST_ALONE} spans were refused one by one, and none was taken"))
        return believed

    def _fail(self, error: DestinationError) -> None:
        with self._room:
            if self.failure is None:
                self.failure = error
            self._work.notify_all()
            self._room.notify_all()
        self._halt.set()

    # --- asking until there is an answer --------------------------------------------------------------

    def _ask(self, body: bytes) -> Verdict:
        """Send a request until it is answered for good, or the deadline has passed, or there is no more sense in it."""
        begun, attempt = self._clock(), 0
        while True:
            with self._waiting_for_an_answer():
                verdict = self._transport.send(body)
            if not isinstance(verdict, Unreachable):
                self._answered = True
            if not isinstance(verdict, Retry | Unreachable):
                self._is_far = not attempt and self._clock() - begun > _FAR
                return verdict
            if self._is_over():
                return replace(verdict, message=f"{verdict.message}; then it was not tried again")
            asked = None
            if isinstance(verdict, Retry) and verdict.after is not None:
                asked = max(verdict.after, _SOON)
            waited = self._clock() - begun
            total = self._patience_with(verdict)
            backoff = replace(self._backoff, tries=None, total=total)
            wait = backoff.wait(attempt, asked=asked, waited=waited, draw=self._draw())
            attempt += 1
            if wait is None:
                verdict = replace(verdict, message=verdict.message + _given_up(attempt, waited, asked, total))
                self._give_up(verdict, begun)
                return verdict
            self._sleep(wait)
            if self._is_over():
                return replace(verdict, message=f"{verdict.message}; then it was not tried again")

    def _is_over(self) -> bool:
        return self.failure is not None

    def _patience_with(self, verdict: Retry | Unreachable) -> float:
        if self._deadline is not None:
            return self._deadline
        if self._answered:
            return DEADLINE
        return 0.0 if isinstance(verdict, Unreachable) and verdict.mistaken else DEADLINE_UNKNOWN

    def _give_up(self, verdict: Retry | Unreachable, begun: float) -> None:
        """Take it for a failure of the destination, unless it took something else in the meantime."""
        if self._acknowledged is not None and self._acknowledged > begun:
            return
        failure = UnreachableError if isinstance(verdict, Unreachable) else RefusedError
        self._fail(failure(verdict.message))

    @contextmanager
    def _waiting_for_an_answer(self) -> Iterator[None]:
        with self._room:
            self._asking += 1
        try:
            yield
        finally:
            with self._room:
                self._asking -= 1

    # --- outcomes -------------------------------------------------------------------------------------

    def _take(self, batch: Batch, verdict: Acknowledged) -> None:
        """Note what the server took of the next piece of a batch."""
        piece = batch.left[-1]
        sizes = [len(share.bodies) for share in piece]
        rejected = b.shared_out(verdict.rejected, sizes)
        with self._room:
            if sum(rejected) < sum(sizes):
                self._acknowledged = self._clock()
                self._alone = 0
        self._settle(
            [
                self._outcome(
                    share,
                    acknowledged=size - less,
                    rejected=less,
                    message=verdict.message,
                    doubtful=verdict.rejected > 0,
                )
                for share, size, less in zip(piece, sizes, rejected, strict=True)
            ]
        )
        batch.left.pop()
        self._judge(batch)

    def _judge(self, batch: Batch) -> None:
        """Note what became of the spans that were refused alone.

        A server that takes others refuses these for what they are. One that never took any may as well be no receiver.
        """
        while batch.suspects:
            (share,), message = batch.suspects[-1]
            if self._acknowledged is None:
                told = f"{message}. {self.name} has not taken a single span, so it may be no fault of those it refused"
                outcome = self._kept(share, told)
            else:
                told = f"{message} (span {b.span_id(share.bodies[0]).hex()})"
                outcome = self._outcome(share, rejected=1, message=told)
            self._settle([outcome])
            batch.suspects.pop()

    def _set_aside(self, batch: Batch, message: str) -> None:
        """Keep the next piece of a batch."""
        self._settle([self._kept(share, message) for share in batch.left[-1]])
        batch.left.pop()

    def _kept(self, share: Share, message: str) -> Outcome:
        size = len(share.bodies)
        if self._aside is None:
            return self._outcome(share, lost=size, message=message)
        try:
            self._aside.put(share.head, share.bodies)
        except Exception as error:  # noqa: BLE001 - whatever it is, these are not known to be kept
            words = (isinstance(error, OSError) and error.strerror) or repr(error)
            told = f"{message}; it could not be set aside in {self._aside.name}: {words}"
            return self._outcome(share, lost=size, message=told)
        return self._outcome(share, set_aside=size, message=message)

    def _outcome(
        self,
        share: Share,
        *,
        acknowledged: int = 0,
        rejected: int = 0,
        set_aside: int = 0,
        lost: int = 0,
        message: str | None = None,
        doubtful: bool = False,
    ) -> Outcome:
        return Outcome(
            destination=self.name,
            owner=share.owner,
            first=share.first,
            acknowledged=acknowledged,
            rejected=rejected,
            set_aside=set_aside,
            lost=lost,
            message=message,
            doubtful=doubtful,
        )

    def _settle(self, outcomes: list[Outcome]) -> None:
        if self.heard is not None:
            self.heard(outcomes)
        with self._room:
            self._outcomes += outcomes

    def _rescue(self, batch: Batch, error: BaseException) -> None:
        """Keep what is left of a batch over which a thread has stumbled; whatever happens, it has outcomes."""
        message = f"sending to {self.name} failed: {error!r}"
        batch.clear_suspects()
        for piece in batch.left:
            for share in piece:
                try:
                    outcome = self._kept(share, message)
                except BaseException:  # noqa: BLE001 - what keeps them is somebody else's, and may even exit
                    outcome = self._outcome(share, lost=len(share.bodies), message=message)
                self._settle([outcome])
        batch.left = []


def _given_up(tries: int, waited: float, asked: float | None, total: float) -> str:
    after = "1 try" if tries == 1 else f"{tries} tries"
    if asked is not None and waited < total:
        wish = f"it asked to wait another {asked:g} s"
        return f"; given up after {after}: {wish}, and a batch is tried for {total:g} s (--deadline gives it longer)"
    return "" if tries == 1 else f"; given up after {after} in {waited:.0f} s (--deadline gives it longer)"
