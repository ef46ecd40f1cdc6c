"""Several lists of records of one session, merged by time (mapping.md section 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from otel_agent_events.events import value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

T = TypeVar("T")

_BEFORE_ALL = (-1, 0)


@value()
class Placed(Generic[T]):
    """A record and its place.

    Attributes:
        at: nanoseconds since 1970; None for an undated record, which stays behind the one before it in its list.
        rank: of two records at the same time, the one of the lower rank comes first.
    """

    at: int | None
    record: T
    rank: int = 0


def merged(lists: Iterable[Sequence[Placed[T]]]) -> list[T]:
    """Merge lists by time. What is equal in time and rank keeps its order, and the order of the lists.

    An undated record comes right behind the one before it in its list; at the beginning of its list, before all.
    """
    placed: list[tuple[tuple[int, int], T]] = []
    for each in lists:
        place = _BEFORE_ALL
        for record in each:
            if record.at is not None:
                place = (record.at, record.rank)
            placed.append((place, record.record))
    return [record for _, record in sorted(placed, key=lambda pair: pair[0])]
