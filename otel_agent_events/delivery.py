"""Several destinations at once: each gets every span, and what becomes of it is counted for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from otel_agent_events.errors import DestinationError, UnreachableError
from otel_agent_events.report import Counts, DestinationReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_agent_events.otlp import Destination, Outcome
    from otel_agent_events.spans import Span


class Delivery:
    """Hand spans to every destination, and count what became of them, session by session.

    Used as a context manager: what was not closed when the block ends is abandoned.
    """

    def __init__(self, destinations: Sequence[Destination]) -> None:
        self._destinations = destinations
        self._counted = [Counts()] * len(destinations)
        self._messages: list[dict[str, None]] = [{} for _ in destinations]
        self._answered: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for destination in self._destinations:
            destination.abandon()

    def is_over(self) -> bool:
        """Whether no destination takes anything more."""
        return all(destination.failure is not None for destination in self._destinations)

    @property
    def unreachable(self) -> tuple[str, ...]:
        """The destinations that never answered at all."""
        return tuple(
            destination.name
            for destination in self._destinations
            if isinstance(destination.failure, UnreachableError) and destination.name not in self._answered
        )

    def submit(self, spans: Sequence[Span]) -> None:
        """Hand spans to every destination; this may wait."""
        for destination in self._destinations:
            destination.submit(spans)
        self._count()

    def settle(self) -> tuple[DestinationReport, ...]:
        """Wait until everything submitted has its outcome; give the counts since the last time."""
        for destination in self._destinations:
            destination.flush()
        self._count()
        reports = tuple(
            DestinationReport(**counts.model_dump(), destination=destination.name, messages=tuple(messages))
            for destination, counts, messages in zip(self._destinations, self._counted, self._messages, strict=True)
        )
        self._counted = [Counts()] * len(self._destinations)
        self._messages = [{} for _ in self._destinations]
        return reports

    def close(self) -> dict[str, str]:
        """Finish at every destination; give what could not be put in place after all, and why, by destination."""
        unplaced: dict[str, str] = {}
        for destination in self._destinations:
            try:
                destination.close()
            except DestinationError as error:
                unplaced[destination.name] = str(error)
        return unplaced

    def _count(self) -> None:
        # Outcomes name every span; of a long session they are not kept until it ends.
        for number, destination in enumerate(self._destinations):
            for outcome in destination.outcomes():
                self._counted[number] += _counts(outcome)
                if outcome.acknowledged or outcome.rejected:
                    self._answered.add(destination.name)
                if outcome.message:
                    self._messages[number][outcome.message] = None


def _counts(outcome: Outcome) -> Counts:
    return Counts(
        made=len(outcome.spans),
        acknowledged=outcome.acknowledged,
        rejected=outcome.rejected,
        lost=outcome.lost,
    )
