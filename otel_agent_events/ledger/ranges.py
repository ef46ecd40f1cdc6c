"""Which spans of a session were acknowledged: ranges of their places, in order and apart from one another."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""Each `(first, end)` holds the places first, first + 1, ... end - 1. They rise, and no two touch."""


def with_range(ranges: Ranges, first: int, count: int) -> Ranges:
    """Add the places `first` to `first + count - 1`; some of them may be there already."""
    if count <= 0:
        return ranges
    end = first + count
    if not ranges:
        return ((first, end),)
    if ranges[-1][1] == first:
        # Batches come back in the order in which they were made, nearly always.
        return (*ranges[:-1], (ranges[-1][0], end))
    left = bisect_left(ranges, first, key=lambda each: each[1])
    right = bisect_right(ranges, end, key=lambda each: each[0])
    if left < right:
        first, end = min(first, ranges[left][0]), max(end, ranges[right - 1][1])
    return (*ranges[:left], (first, end), *ranges[right:])


def size(ranges: Ranges) -> int:
    """Count the places."""
    return sum(end - first for first, end in ranges)


def holds(ranges: Ranges, place: int) -> bool:
    """Tell whether a place is in one of the ranges."""
    index = bisect_right(ranges, place, key=lambda each: each[0]) - 1
    return index >= 0 and place < ranges[index][1]


def gaps(ranges: Ranges, total: int) -> Iterator[tuple[int, int]]:
    """Give what is missing of the places 0 to `total - 1`, as `(first, end)`."""
    place = 0
    for first, end in ranges:
        if first >= total:
            break
        if place < first:
            yield place, first
        place = end
    if place < total:
        yield place, total


def written(ranges: Ranges) -> str:
    """Give ranges as text, such as `0-50,60-75`."""
    return ",".join(f"{first}-{end}" for first, end in ranges)


def read(text: str) -> Ranges:
    """Read what `written` gave."""
    pairs = (each.split("-") for each in text.split(",") if each)
    return tuple((int(first), int(end)) for first, end in pairs)
