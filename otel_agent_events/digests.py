"""A digest of all that was given so far, made beside the work."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from typing import TYPE_CHECKING

from otel_agent_events.pieces import joined

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_WORTH = 500_000
"""Bytes of which it is worth the while to let another thread take the digest."""

_AT_ONCE = 50
"""Pieces that are put together for a digest in this thread: a large piece of memory is not had for nothing."""


class RunningDigest:
    """SHA-256 of one run of bytes after the other, in pieces that nobody changes any more.

    Of much it takes as long as to make the bytes, and Python lets other threads run meanwhile: so it is taken in a
    thread, and whoever wants to know it waits as long as it needs.
    """

    def __init__(self) -> None:
        self._digest = sha256()
        self._latest: Future[str] | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._can_have_one = True

    def update(self, pieces: Sequence[bytes]) -> Callable[[], str]:
        """Take some more; give what tells the hex digest of all up to here, and may be asked later."""
        if sum(map(len, pieces)) >= _WORTH and (told := self._in_thread(pieces)) is not None:
            return told.result
        self._wait()
        for begin in range(0, len(pieces), _AT_ONCE):
            self._digest.update(b"".join(pieces[begin : begin + _AT_ONCE]))
        return self._digest.copy().hexdigest

    def hexdigest(self) -> str:
        """Give the hex digest of all that was taken so far."""
        self._wait()
        return self._digest.hexdigest()

    def _in_thread(self, pieces: Sequence[bytes]) -> Future[str] | None:
        if not self._can_have_one:
            return None
        self._thread = self._thread or ThreadPoolExecutor(1, thread_name_prefix="digest")
        try:
            self._latest = self._thread.submit(self._updated, pieces)
        except RuntimeError:  # there can be no more threads; what was submitted is never done
            self._can_have_one = False
            return None
        return self._latest

    def _updated(self, pieces: Sequence[bytes]) -> str:
        self._digest.update(joined(pieces))
        return self._digest.hexdigest()

    def _wait(self) -> None:
        if self._latest is not None:
            self._latest.result()
            self._latest = None
