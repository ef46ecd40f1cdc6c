"""To stop a run cleanly: from a signal, or from another thread."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import FrameType

T = TypeVar("T")

GRACE = 5.0
"""Seconds that a run which was asked to stop waits for answers before it sets aside what is on its way."""

_SIGNALS = tuple(number for name in ("SIGINT", "SIGTERM") if (number := getattr(signal, name, None)) is not None)
_SLICE = 0.05  # seconds after which who waits looks up
_END = object()
_STOP, _OVER = "stop", "over"


class Stopped(BaseException):
    """Ends a wait for a platform, since the run was asked to stop."""


class Stop:
    """Asks a run to stop: it reads no further, and finishes or sets aside what is on its way.

    A signal's handler interrupts the main thread anywhere, also while that thread holds a lock; so asking takes none.

    Attributes:
        signal: the number of the first signal that asked, if one did.
        asked: whether the run was asked to stop.
        hurries: whether it waits for no answer any more.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.asked = False
        self.hurries = False
        self._reading = False
        self._requests: SimpleQueue[str] = SimpleQueue()  # one for each time that somebody asked, and one at the end

    def ask(self) -> None:
        """Ask the run to stop; asked again, it waits for no answer any more. From any thread, or a signal's handler."""
        self.asked = True
        self._requests.put(_STOP)

    def wait(self, seconds: float) -> bool:
        """Wait, unless the run is asked to stop; say whether it is."""
        until = time.monotonic() + seconds
        while not self.asked and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE))
        return self.asked

    def sleep(self, seconds: float) -> None:
        """Wait.

        Raises:
            Stopped: the run was asked to stop.
        """
        if self.wait(seconds):
            raise Stopped

    @contextmanager
    def hurrying(
        self, hurry: Callable[[], None], *, read_no_further: Callable[[], None] | None = None
    ) -> Iterator[None]:
        """Name what ends all waiting, from a thread of its own.

        Args:
            hurry: is called a while after the run was asked to stop, or when it is asked again.
            read_no_further: is called as soon as it is asked. A signal ends the wait of the main thread for a platform;
                the wait of any other thread ends only when there is nothing left to wait for.
        """
        thread = threading.Thread(target=self._hurry, args=(hurry, read_no_further), name="stop", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._requests.put(_OVER)
            thread.join()

    def _hurry(self, hurry: Callable[[], None], read_no_further: Callable[[], None] | None) -> None:
        if self._requests.get() == _OVER:
            return
        if read_no_further is not None:
            read_no_further()
        try:
            over = self._requests.get(timeout=GRACE) == _OVER
        except Empty:
            over = False
        if not over:
            self.hurries = True
            hurry()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let a signal end what is done in this block.

        Raises:
            Stopped: the run was asked to stop.
        """
        try:
            self._reading = True
            if self.asked:
                raise Stopped
            yield
        finally:
            self._reading = False

    def reading(self, answers: Iterable[T]) -> Iterator[T]:
        """Pass answers on as they come; a signal ends the wait for the next one.

        Raises:
            Stopped: the run was asked to stop.
        """
        iterator = iter(answers)
        while True:
            with self.interruptible():
                answer = next(iterator, _END)
            if answer is _END:
                return
            yield answer  # type: ignore[misc]

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM ask; the third one ends the process at once. Only the main thread is told of them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._signalled) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _signalled(self, number: int, _: FrameType | None) -> None:
        if self.signal is None:
            self.signal = number
        elif self.asked:
            # Whatever still waits now, such as for a server that is silent, ends with the next signal.
            for each in _SIGNALS:
                signal.signal(each, signal.SIG_DFL)
        self.ask()
        if self._reading:
            raise Stopped
