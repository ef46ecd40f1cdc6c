"""A digest of all that was given so far, made beside the work."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from hashlib import sha256
from threading import Thread
from typing import TYPE_CHECKING

from otel_agent_events.pieces import joined

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_WORTH = 500_000
"""Bytes of which it is worth the while to let another thread take the digest."""

_AT_ONCE = 2_000
"""Pieces that are put together before they are taken: to take each alone would need longer."""


class RunningDigest:
    """SHA-256 of one run of bytes after the other, in pieces that nobody changes any more.

    Of much it takes as long as to make the bytes, and Python lets other threads run meanwhile: so it is taken in a
    thread, and whoever wants to know it, or has more, waits as long as it needs.
    """

    def __init__(self) -> None:
        self._digest = sha256()
        self._thread: Thread | None = None  # which takes the latest
        self._told: list[str] = []  # by that thread

    def update(self, pieces: Sequence[bytes]) -> Callable[[], str]:
        """Take some more; give what tells the hex digest of all up to here, and may be asked later."""
        self._wait()
        told: list[str] = []
        if sum(map(len, pieces)) >= _WORTH:
            # A thread for each run is had in no time, beside what it does, and none is left behind.
            thread = Thread(target=self._updated, args=(pieces, told), name="digest", daemon=True)
            with suppress(RuntimeError):  # there can be no more threads
                thread.start()
                self._thread, self._told = thread, told
                return partial(_when_over, thread, told)
        self._updated(pieces, told)
        return lambda: told[0]

    def hexdigest(self) -> str:
        """Give the hex digest of all that was taken so far."""
        self._wait()
        return self._digest.hexdigest()

    def _updated(self, pieces: Sequence[bytes], told: list[str]) -> None:
        for begin in range(0, len(pieces), _AT_ONCE):
            self._digest.update(joined(pieces[begin : begin + _AT_ONCE]))
        told.append(self._digest.hexdigest())

    def _wait(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            if not self._told:
                raise MemoryError("there was no memory for a digest")


def _when_over(thread: Thread, told: list[str]) -> str:
    thread.join()
    return told[0]
