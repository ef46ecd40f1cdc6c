"""To stop a run cleanly: from a signal, or from another thread."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import FrameType

T = TypeVar("T")

_SIGNALS = tuple(
    number for name in ("SIGINT", "SIGTERM") if (number := getattr(signal, name, None)) is not None
)


class Stopped(BaseException):  # noqa: N818 - like KeyboardInterrupt, it is no error
    """Ends a wait for a platform, since the run was asked to stop."""


class Stop:
    """Asks a run to stop: it reads no further, and finishes or sets aside what is on its way.

    Attributes:
        signal: the number of the signal that asked, if one did.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._asked = threading.Event()
        self._reading = False
        self._hurry: Callable[[], None] | None = None
        self._patience: threading.Timer | None = None

    @property
    def asked(self) -> bool:
        """Whether the run was asked to stop."""
        return self._asked.is_set()

    def ask(self) -> None:
        """Ask the run to stop; asked again, it waits for no answer any more."""
        again = self._asked.is_set()
        self._asked.set()
        if again and self._hurry is not None:
            self._hurry()
        elif self._hurry is not None and self._patience is None:
            self._patience = threading.Timer(GRACE, self._hurry)
            self._patience.daemon = True
            self._patience.start()

    def wait(self, seconds: float) -> bool:
        """Wait, unless the run is asked to stop; say whether it is."""
        return self._asked.wait(seconds)

    @contextmanager
    def hurrying(self, hurry: Callable[[], None]) -> Iterator[None]:
        """Name what ends all waiting at once. It is called a while after the run was asked to stop."""
        self._hurry = hurry
        try:
            yield
        finally:
            self._hurry = None
            if self._patience is not None:
                self._patience.cancel()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let a signal end what is done in this block.

        Raises:
            Stopped: the run was asked to stop.
        """
        self._reading = True
        try:
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
        """Let Ctrl-C and SIGTERM ask. Only the main thread is told of signals."""
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
        self.signal = number
        self.ask()
        if self._reading:
            raise Stopped


GRACE = 5.0
"""Seconds that a run which was asked to stop waits for answers before it sets aside what is on its way."""

_END = object()
