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
    from otel_agent_events.otlp import Head
    from otel_agent_events.otlp.batches import Piece


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
        most_bytes: of a request. A single span above it is a batch of its own.
        most_spans: of a request.

    Attributes:
        most_bytes: the same; it may change at any time.
    """

    def __init__(self, *, most_bytes: int, most_spans: int) -> None:
        self.most_bytes = most_bytes
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
        return self._spans >= self._most_spans or self._size >= self.most_bytes

    def fill(self, incoming: Incoming) -> None:
        """Take as many as there is room for; into an empty one goes one span at least."""
        around = self._added_by(incoming.head)
        room = self.most_bytes - self._size - around
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
