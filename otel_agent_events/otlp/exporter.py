"""Any `SpanExporter` of OpenTelemetry's as a destination.

It says whether it exported a batch, and not what the server said: what it took is reported, and not acknowledged.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from opentelemetry.sdk.trace.export import SpanExportResult

from otel_agent_events.errors import DestinationError, UsageError
from otel_agent_events.messages import MOST_READ, one_line
from otel_agent_events.otlp import Outcome
from otel_agent_events.otlp.readable import to_readables
from otel_agent_events.plugins import Plugins
from otel_agent_events.scrub import Scrubber

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

    from opentelemetry.sdk.trace.export import SpanExporter

    from otel_agent_events.otlp import Encoded
    from otel_agent_events.spans import Span

EXPORTERS: Plugins[SpanExporter] = Plugins("opentelemetry_traces_exporter", "exporter")
"""The exporters that are installed: the entry points that OTEL_TRACES_EXPORTER chooses from."""

MOST_SPANS = 512
"""Of one batch: what the SDK's own batch processor gives an exporter."""
MOST_BYTES = 3_500_000
"""Of one batch as OTLP. An exporter over gRPC loses a batch above 4 MiB."""
MOST_FAILED = 3
"""Batches in a row that fail before the exporter is given up."""
FLUSH = 30_000
"""Milliseconds that an exporter has to finish what it holds back."""


class _Waiting(NamedTuple):
    """A span that was not exported yet, its size as OTLP, its owner and its place there."""

    span: Span
    size: int
    owner: Hashable
    place: int


def exporter(name: str) -> ExporterDestination:
    """Make the exporter of that name, with what it reads from the environment itself.

    Raises:
        UsageError: there is none of that name, it cannot be made, or it is no exporter.
    """
    made = EXPORTERS.get(name)
    for method in ("export", "shutdown"):
        if not callable(getattr(made, method, None)):
            raise UsageError(f"the exporter {name!r} is of no use: {type(made).__name__} has no method `{method}`")
    return ExporterDestination(made, name=f"exporter:{name}")


class ExporterDestination:
    """An exporter as a destination: a batch is exported as soon as it is full, and the rest on `flush`.

    `submit` waits as long as the exporter does. A batch that it does not take is lost, and the next one tried; after
    three of them in a row it is given up. What is interrupted or comes too late is told as lost. For several threads,
    of which one at a time has the exporter; `outcomes` and `stop` never wait for it.

    Args:
        exporter: belongs to the destination from now on, which shuts it down.
        name: of the destination.

    Attributes:
        reports_only: what is counted as acknowledged is only what the exporter reports.
    """

    reports_only = True

    def __init__(self, exporter: SpanExporter, *, name: str) -> None:
        self.name = name
        self.failure: DestinationError | None = None
        self._exporter = exporter
        self._turn = threading.Lock()  # of who has the exporter, and changes what waits for it
        self._waiting: list[_Waiting] = []
        self._failed = 0  # batches in a row
        self._most_failed = MOST_FAILED
        self._unflushed = False  # whether anything was exported since the exporter was last flushed
        self._not_flushed: str | None = None  # why the last flush did not succeed
        self._finished = False
        self._told = threading.Lock()  # for a moment, to change the outcomes
        self._outcomes: list[Outcome] = []

    def submit(self, encoded: Encoded) -> None:
        """Take spans, and export every batch that becomes full."""
        owner, first = encoded.owner, encoded.first
        with self._turn:
            # All of them at once, so that what is interrupted below still waits, and `abandon` tells that it is lost.
            self._waiting += [
                _Waiting(span, len(body), owner, place)
                for place, (span, body) in enumerate(zip(encoded.spans, encoded.bodies, strict=True), first)
            ]
            self._export(only_full=True)

    def outcomes(self) -> list[Outcome]:
        """Give the outcomes since the last call."""
        with self._told:
            outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def flush(self) -> None:
        """Export what waits, and let the exporter finish what it holds back."""
        with self._turn:
            self._flush()

    def _flush(self) -> None:
        self._export()
        if self._unflushed:
            self._unflushed = False
            self._not_flushed = self._complaint(self._force_flush)

    def stop(self) -> None:
        """Give the exporter up after the next batch that it does not take."""
        self._most_failed = 1

    def close(self) -> None:
        """Export what waits, and shut the exporter down.

        Raises:
            DestinationError: the exporter could not finish, so that what it has reported may not have arrived.
        """
        with self._turn:
            if self._finished:
                return
            self._flush()
            self._finished = True
            not_shut_down = self._complaint(self._exporter.shutdown)
            problem = self._not_flushed or not_shut_down
            if problem is not None:
                error = DestinationError(
                    f"{self.name} did not finish, so what it has reported may not have arrived: {problem}"
                )
                self.failure = self.failure or error
                raise error

    def abandon(self) -> None:
        """Export nothing more, and shut the exporter down."""
        with self._turn:
            self._tell(len(self._waiting), "it was not exported: the run was broken off")
            if not self._finished:
                self._finished = True
                self._complaint(self._exporter.shutdown)

    def _export(self, *, only_full: bool = False) -> None:
        """Export what waits, batch by batch, or lose it once there is a failure."""
        while self._waiting:
            if self._finished or self.failure is not None:
                late = "it was not exported: it came after the end"
                self._tell(len(self._waiting), late if self.failure is None else str(self.failure))
                return
            count = self._full()
            if only_full and not count:
                return
            self._export_batch(count or len(self._waiting))

    def _full(self) -> int:
        """Say how many of the first that wait make a full batch; 0 when there are not enough."""
        size = 0
        for count, each in enumerate(self._waiting):
            size += each.size
            if count >= MOST_SPANS or (count and size > MOST_BYTES):
                return count
        return len(self._waiting) if len(self._waiting) >= MOST_SPANS else 0

    def _export_batch(self, count: int) -> None:
        spans = [each.span for each in self._waiting[:count]]
        self._unflushed = True
        problem = self._complaint(lambda: _taken(self._exporter.export(to_readables(spans))))
        # Only now, so that what is interrupted above still waits.
        if problem is None:
            self._failed = 0
            self._tell(count)
            return
        self._failed += 1
        if self._failed >= self._most_failed:
            batches = "a batch" if self._failed == 1 else f"{self._failed} batches in a row"
            self.failure = DestinationError(f"{self.name} did not take {batches}, and is given up: {problem}")
        self._tell(count, f"{self.name} did not take a batch of {count}: {problem}")

    def _tell(self, count: int, lost: str | None = None) -> None:
        """Give the first that wait their outcome: they were taken, or are lost for that reason."""
        outcomes = [
            Outcome(
                destination=self.name,
                owner=owner,
                first=first,
                acknowledged=size if lost is None else 0,
                lost=0 if lost is None else size,
                message=lost,
            )
            for owner, first, size in _shares(self._waiting[:count])
        ]
        left = self._waiting[count:]
        with self._told:
            # In one statement: an interrupt in between would tell of them twice, or never.
            self._waiting, self._outcomes = left, self._outcomes + outcomes

    def _force_flush(self) -> None:
        flush: Callable[..., object] | None = getattr(self._exporter, "force_flush", None)
        if flush is None:  # the oldest exporters have none, and hold nothing back
            return
        try:
            flushed = flush(FLUSH)
        except TypeError:  # of a method that takes no time
            flushed = flush()
        if flushed is False:
            raise _NotTakenError(f"it was not flushed within {FLUSH / 1000:g} s")

    @staticmethod
    def _complaint(call: Callable[[], object]) -> str | None:
        """Call the exporter; say in a line what went wrong, or None when nothing did."""
        try:
            call()
        except _NotTakenError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - it is somebody else's code, and may raise anything
            words = one_line(_scrub(str(error)[:MOST_READ]))
            return f"it raised {type(error).__name__}" + (f": {words}" if words else "")
        return None


class _NotTakenError(Exception):
    """The exporter says that it did not succeed."""


_scrub = Scrubber().text


def _taken(result: object) -> None:
    if result is SpanExportResult.FAILURE:
        raise _NotTakenError("it reports a failure; what it logs may tell why")
    if result is not SpanExportResult.SUCCESS:
        raise _NotTakenError(f"it returned {one_line(repr(result))} instead of SpanExportResult.SUCCESS")


def _shares(waiting: Iterable[_Waiting]) -> Iterator[tuple[Hashable, int, int]]:
    """Divide a batch into what belongs to one owner and stands together there: the owner, the first place, how many."""
    owner: Hashable = None
    first = size = 0
    for each in waiting:
        if size and (each.owner != owner or each.place != first + size):
            yield owner, first, size
            size = 0
        if not size:
            owner, first = each.owner, each.place
        size += 1
    if size:
        yield owner, first, size
