"""Several destinations at once: each gets every span, and what becomes of it is counted for each, session by session.

Spans of several sessions are on their way at the same time; a session is settled when each of its spans has an outcome
everywhere. One destination may be under a ledger, which is told what was acknowledged there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Self

from otel_agent_events.errors import DestinationError, UnreachableError
from otel_agent_events.report import DestinationReport

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_agent_events.ledger import Lease, Ranges
    from otel_agent_events.otlp import Destination, Encoded, Outcome
    from otel_agent_events.otlp.send import Sender

_MOST_MESSAGES = 20


class _Fate:
    """What became of one session's spans at one destination."""

    __slots__ = ("acknowledged", "had", "lost", "made", "messages", "rejected", "reported", "set_aside")

    def __init__(self) -> None:
        self.made = self.acknowledged = self.reported = self.rejected = self.set_aside = self.lost = self.had = 0
        self.messages: dict[str, None] = {}

    @property
    def open(self) -> int:
        """How many spans have no outcome yet."""
        return self.made - self.acknowledged - self.reported - self.rejected - self.set_aside - self.lost


class Shipment:
    """One session on its way to all destinations.

    Attributes:
        lease: of the session in the ledger, for the destination that is under it.
        had: the places of the spans that this destination has from an earlier run: they are not sent again.
        withheld: this destination has the session as it is, and gets nothing.
        doubtful: a batch with spans of this session was taken but for some spans, and nobody knows which.
    """

    def __init__(self, fates: Sequence[_Fate]) -> None:
        self._fates = fates
        self.lease: Lease | None = None
        self.had: Ranges = ()
        self.withheld = False
        self.doubtful = False

    @property
    def settled(self) -> bool:
        """Whether each span that was submitted has an outcome everywhere."""
        return not any(fate.open for fate in self._fates)

    def fate(self, number: int) -> _Fate:
        """What became of it at one destination."""
        return self._fates[number]


class Delivery:
    """Hand spans to every destination, and count what became of them.

    Used as a context manager: what was not closed when the block ends is abandoned.

    Args:
        destinations: where everything goes.
        ledgered: the one of them that is under a ledger.
    """

    def __init__(self, destinations: Sequence[Destination], ledgered: Sender | None = None) -> None:
        self._destinations = destinations
        self._ledgered = None if ledgered is None else list(destinations).index(ledgered)
        if ledgered is not None:
            ledgered.heard = _remember
        self._answered: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for destination in self._destinations:
            destination.abandon()

    def is_over(self) -> bool:
        """Whether no destination takes anything more, not even to set it aside."""
        return all(
            destination.failure is not None and not getattr(destination, "keeps", False)
            for destination in self._destinations
        )

    @property
    def has_only_the_ledgered(self) -> bool:
        """Whether the destination under the ledger is the only one."""
        return self._ledgered is not None and len(self._destinations) == 1

    @property
    def unreachable(self) -> tuple[str, ...]:
        """The destinations that never answered at all; who is busy and then goes away has answered."""
        return tuple(
            destination.name
            for destination in self._destinations
            if isinstance(destination.failure, UnreachableError)
            and not getattr(destination, "answered", False)
            and destination.name not in self._answered
        )

    def shipment(self) -> Shipment:
        """Begin with a session; it owns the spans that are submitted for it."""
        return Shipment([_Fate() for _ in self._destinations])

    def submit(self, encoded: Encoded) -> None:
        """Hand spans, which a shipment owns, to every destination that lacks them; this may wait."""
        shipment = encoded.owner
        assert isinstance(shipment, Shipment)  # noqa: S101 - the pipeline makes it the owner
        for number, destination in enumerate(self._destinations):
            fate = shipment.fate(number)
            for some in _lacking(encoded, shipment) if number == self._ledgered else (encoded,):
                fate.made += len(some.bodies)
                destination.submit(some)
            if number == self._ledgered:
                fate.had += len(encoded.bodies)
        self.collect()

    def collect(self) -> None:
        """Count the outcomes that have come in."""
        for number, destination in enumerate(self._destinations):
            for outcome in destination.outcomes():
                self._count(number, destination, outcome)

    def flush(self) -> None:
        """Wait until everything submitted has its outcome."""
        for destination in self._destinations:
            destination.flush()
        self.collect()

    def give_up(self) -> None:
        """Set aside what has no answer yet, and whatever comes."""
        for destination in self._destinations:
            destination.stop()

    def reports(self, shipment: Shipment) -> tuple[DestinationReport, ...]:
        """Say what became of a session at each destination."""
        reports = []
        for number, destination in enumerate(self._destinations):
            fate = shipment.fate(number)
            reports.append(
                DestinationReport.of(
                    destination=destination.name,
                    made=fate.made,
                    acknowledged=fate.acknowledged,
                    reported=fate.reported,
                    rejected=fate.rejected,
                    set_aside=fate.set_aside,
                    lost=fate.lost,
                    had=max(fate.had - fate.made, 0),
                    messages=tuple(fate.messages),
                )
            )
        return tuple(reports)

    def under_ledger(self, shipment: Shipment) -> _Fate | None:
        """Say what became of a session at the destination that is under the ledger."""
        return None if self._ledgered is None else shipment.fate(self._ledgered)

    def close(self) -> dict[str, str]:
        """Finish at every destination; give what could not be put in place after all, and why, by destination."""
        unplaced: dict[str, str] = {}
        for destination in self._destinations:
            try:
                destination.close()
            except DestinationError as error:
                unplaced[destination.name] = str(error)
        self.collect()
        return unplaced

    def _count(self, number: int, destination: Destination, outcome: Outcome) -> None:
        shipment = outcome.owner
        assert isinstance(shipment, Shipment)  # noqa: S101 - it is what was submitted
        fate = shipment.fate(number)
        if getattr(destination, "reports_only", False):
            fate.reported += outcome.acknowledged
        else:
            fate.acknowledged += outcome.acknowledged
        fate.rejected += outcome.rejected
        fate.set_aside += outcome.set_aside
        fate.lost += outcome.lost
        if outcome.acknowledged or outcome.rejected:
            self._answered.add(destination.name)
        if outcome.message and len(fate.messages) < _MOST_MESSAGES:
            fate.messages[outcome.message] = None
        if number == self._ledgered and outcome.doubtful:
            shipment.doubtful = True


def _remember(outcomes: Sequence[Outcome]) -> None:
    """Tell the ledger what was acknowledged, at once: what it does not know is sent again when the process dies."""
    told: Lease | None = None
    for outcome in outcomes:
        shipment = outcome.owner
        if (
            isinstance(shipment, Shipment)
            and shipment.lease is not None
            and outcome.acknowledged == len(outcome.spans)
            and not outcome.doubtful
        ):
            told = shipment.lease
            told.acknowledged(outcome.first, outcome.acknowledged)
    if told is not None:
        told.keep_up()


def _lacking(encoded: Encoded, shipment: Shipment) -> Iterator[Encoded]:
    """Give what the destination under the ledger does not have yet."""
    if shipment.withheld:
        return
    begin, end = encoded.first, encoded.first + len(encoded.bodies)
    for first, last in (*shipment.had, (end, end)):
        if begin < min(first, end):
            low, high = begin - encoded.first, min(first, end) - encoded.first
            yield replace(encoded, spans=encoded.spans[low:high], bodies=encoded.bodies[low:high], first=begin)
        begin = max(begin, last)
        if begin >= end:
            return
