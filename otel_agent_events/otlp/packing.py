"""Spans on their way into requests: packed up to the caps, and cut in halves where they are refused.

Nothing in here waits, sends or asks for the time; `send.py` does, and asks here what goes into the next request.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

from otel_agent_events.otlp import batches as b
from otel_agent_events.otlp.batches import Share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_agent_events.otlp import Head
    from otel_agent_events.otlp.batches import Piece


GROWS_AFTER = 4
"""Full batches that are taken before a larger one is tried."""
DOUBTS_AFTER = 32
"""The same before a size is tried again that was refused; from time to time twice as many."""

_WORTH = 8  # a step of less than one in so many is not worth a batch that may be refused


class Cap:
    """How many bytes a request may have: what is configured, or less where the server finds that too large.

    What was refused for its size may have been refused by a whim, so this grows again: up to twice as large, but only
    half of the way to the smallest size that was refused. Near that one it stays for a long while before it tries it.

    Args:
        most: what is configured.

    Attributes:
        now: what holds now.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.now = most
        self._proven = 0  # the size at which full batches were taken before this grew
        self._refused: int | None = None  # the smallest size that was too large
        self._taken = 0  # full batches since this changed
        self._patience = DOUBTS_AFTER

    def take(self, size: int) -> None:
        """Learn that a request of so many bytes was taken."""
        if self._refused is not None and size >= self._refused:
            self._refused = None  # so it was not for its size
        if self.now >= self._most or size <= (self._proven + self.now) // 2:
            return  # it says little of requests that are as large as they may be
        self._taken += 1
        if self._taken >= GROWS_AFTER:
            self._grow()

    def refuse(self, size: int) -> None:
        """Learn that a request of so many bytes was too large, and its parts were not."""
        if self._refused is None or size < self._refused:
            self._refused = size
        if size <= self.now:
            self.now = self._proven if 0 < self._proven < size else max(size // 2, 1)
            self._proven = self._taken = 0

    def _grow(self) -> None:
        if self._refused is not None and self._refused < self.now:
            self._refused = None
        larger = min(2 * self.now, self._most)
        if self._refused is not None:
            half_way = (self.now + self._refused) // 2
            if half_way - self.now > self.now // _WORTH:
                larger = min(larger, half_way)
            elif self._taken < self._patience:
                return
            else:
                larger = min(larger, self._refused + self._refused // _WORTH)
                self._patience *= 2
        self._proven, self.now, self._taken = self.now, larger, 0


class Incoming:
    """Spans of one owner that are taken into one request after the other.

    Attributes:
        left: how many are not in one yet.
    """

    def __init__(self, share: Share) -> None:
        self._share = share
        # There is little time for each span: the usual case looks at none of them alone.
        self._size = sum(map(len, share.bodies))
        self._done = 0
        self._ends: list[int] = []
        self.left = len(share.bodies)

    @property
    def head(self) -> Head:
        """What stands around them in a request."""
        return self._share.head

    def fitting(self, spans: int, size: int) -> int:
        """Say how many of those that are left have at most so many bytes together, and are at most so many."""
        if not self._done and self.left <= spans and self._size <= size:
            return self.left
        if not self._ends:
            self._ends = [0, *accumulate(map(len, self._share.bodies))]
        fitting = bisect_right(self._ends, self._ends[self._done] + size, self._done) - 1 - self._done
        return max(min(fitting, spans), 0)

    def take(self, count: int) -> tuple[Share, int]:
        """Take the next ones; say how many bytes they have."""
        share, done, end = self._share, self._done, self._done + count
        size = self._ends[end] - self._ends[done] if self._ends else self._size
        self._done = end
        self.left -= count
        return Share(share.head, share.bodies[done:end], share.owner, share.first + done), size

    def rest(self) -> Share:
        """Take all that are left."""
        return self.take(self.left)[0]


class Filling:
    """The batch that is being filled, with spans of any owners.

    Args:
        cap: of the bytes of a request; it may change at any time. A single span above it is a batch of its own.
        most_spans: of a request.
    """

    def __init__(self, *, cap: Cap, most_spans: int) -> None:
        self._cap = cap
        self._most_spans = most_spans
        self._shares: list[Share] = []
        self._size = 0  # the most bytes of a request that holds it
        self._spans = 0

    def __len__(self) -> int:
        """The spans that are in it."""
        return self._spans

    @property
    def is_full(self) -> bool:
        """Whether nothing more goes into it."""
        return self._spans >= self._most_spans or self._size >= self._cap.now

    def fill(self, incoming: Incoming) -> None:
        """Take as many as there is room for; into an empty one goes one span at least."""
        around = self._added_by(incoming.head)
        room = self._cap.now - self._size - around
        count = incoming.fitting(self._most_spans - self._spans, room) or (0 if self._shares else 1)
        if not count:
            return
        share, size = incoming.take(count)
        self._size += around + size
        self._spans += count
        last = self._shares[-1] if self._shares else None
        if last is None or not last.goes_on_with(share):
            self._shares.append(share)
        elif isinstance(last.bodies, list):
            last.bodies += share.bodies
        else:
            last.bodies = [*last.bodies, *share.bodies]

    def cut(self) -> Piece:
        """Give what is in it, and begin anew."""
        piece, self._shares, self._size, self._spans = self._shares, [], 0, 0
        return piece

    def _added_by(self, head: Head) -> int:
        if self._shares and (self._shares[-1].head is head or self._shares[-1].head == head):
            return 0
        return b.around(head)


@dataclass(slots=True)
class Batch:
    """What a sender thread takes at once.

    Attributes:
        number: counts the batches.
        left: the pieces without outcome, the next one last.
        suspects: spans that were refused alone, and with what words. They have no outcome yet: when the server refuses
            everything, it is not their fault.
    """

    number: int
    left: list[Piece]
    suspects: list[tuple[Piece, str]] = field(default_factory=list)
    _too_large: list[tuple[int, int]] = field(default_factory=list)

    def halve_for_size(self, size: int) -> None:
        """Cut the next piece, a request of so many bytes that was too large, in two."""
        self._too_large.append((len(self.left), size))
        self.halve(by_bytes=True)

    def excuse(self) -> None:
        """The next piece is a span that is too large: all pieces of which it was a part were refused for that."""
        self._too_large.clear()

    def sizes_refused(self) -> Iterator[int]:
        """Give the sizes that were too large, of all pieces whose parts have come to their end since the last call.

        Which of them was the reason is known only then: the size of the whole, or one span in it.
        """
        # What is left of a piece lies above the pieces that lay below it.
        while self._too_large and len(self.left) < self._too_large[-1][0]:
            yield self._too_large.pop()[1]

    def cut(self, most_bytes: int) -> None:
        """Cut from the next piece what has at most so many bytes, or one span."""
        before, after = b.parted(self.left[-1], b.fitting(self.left[-1], most_bytes))
        self.left[-1:] = (after, before)

    def halve(self, *, by_bytes: bool) -> None:
        """Cut the next piece in two, about equal in bytes or in spans."""
        before, after = b.halves(self.left[-1], by_bytes=by_bytes)
        self.left[-1:] = (after, before)

    def suspect(self, message: str) -> None:
        """Put the next piece, a span that was refused alone, among the suspects."""
        self.suspects.append((self.left.pop(), message))

    def clear_suspects(self) -> None:
        """It was not the fault of these: they stand where the others do."""
        self.left += [piece for piece, _ in self.suspects]
        self.suspects = []
