"""What was not recorded: counted, and said in the log once a minute at most."""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import WeakMethod

from otel_agent_events.errors import AgentEventsError
from otel_agent_events.messages import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_agent_events.reference import Reference

LOGGER = logging.getLogger("otel_agent_events")
PAUSE = 60.0
"""Seconds between two lines in the log."""
_MOST_REASONS = 50
_OTHER = "for other reasons"


class Losses:
    """Count what was lost. For several threads, and after a fork for those of the child, which counts anew.

    Args:
        recorder: who has lost it, for the log.
        clock: seconds that pass.
    """

    def __init__(self, recorder: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._recorder = recorder
        self._clock = clock
        # It may be asked again by the thread that holds it: in a signal handler, or when garbage is collected.
        self._lock = threading.RLock()
        self._counts: dict[str, int] = {}
        self._untold: dict[str, int] = {}
        self._said: dict[str, str] = {}
        self._told_at: float | None = None
        after_fork(self._in_child)

    @property
    def counts(self) -> dict[str, int]:
        """How much was lost so far, by the reason."""
        with self._lock:
            return dict(self._counts)

    @property
    def total(self) -> int:
        """How much was lost so far."""
        return sum(self.counts.values())

    def count(self, number: int, why: str, said: str = "") -> None:
        """Count so many records or spans as lost.

        Args:
            number: how many.
            why: by which they are counted: always the same words.
            said: what else the log is to say of the latest of them, such as the answer of a server.
        """
        if not number:
            return
        with self._lock:
            why = why if why in self._counts or len(self._counts) < _MOST_REASONS else _OTHER
            self._counts[why] = self._counts.get(why, 0) + number
            self._untold[why] = self._untold.get(why, 0) + number
            if said:
                self._said[why] = said
            if self._told_at is not None and self._clock() - self._told_at < PAUSE:
                return
            line = self._line()
        _log(line)

    def tell(self) -> None:
        """Say what was not said yet: at the end there is no later line."""
        with self._lock:
            line = self._line() if self._untold else None
        if line is not None:
            _log(line)

    def _line(self) -> str:
        told = "; ".join(
            f"{number} {why}" + (f" ({self._said[why]})" if why in self._said else "")
            for why, number in self._untold.items()
        )
        self._untold, self._said = {}, {}
        self._told_at = self._clock()
        return f"{self._recorder} could not record everything. Not recorded: {told}"

    def _in_child(self) -> None:
        self._lock = threading.RLock()
        self._counts, self._untold, self._said, self._told_at = {}, {}, {}, None


def _log(line: str) -> None:
    with suppress(Exception):  # a handler or a filter of the host's
        LOGGER.warning("%s", line)


def type_of(error: BaseException) -> str:
    """Name an exception by its type, and its module if that is not Python's own."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def words_of(error: Exception, reference: Reference | None = None) -> str:
    """Name what went wrong within us, as a reason; the words of others may hold contents.

    Args:
        error: what was raised.
        reference: of the session. It is left out: there is only room for so many reasons, and all sessions share one.
    """
    if not isinstance(error, AgentEventsError):
        return type_of(error)
    return one_line(str(error).removeprefix(f"{reference}: "))


_AFTER_FORK: list[WeakMethod[Callable[[], None]]] = []
"""What is called in a child, in this order. One hook serves all recorders: a hook cannot be taken back."""


def after_fork(method: Callable[[], None]) -> None:
    """Call a method of an object in every child that is forked, as long as the object lives."""
    _AFTER_FORK.append(WeakMethod(method))
    # Those that are dead leave here: a weak reference that calls back would do so when the interpreter ends as well.
    for dead in [kept for kept in _AFTER_FORK if kept() is None]:
        with suppress(ValueError):  # another thread was quicker
            _AFTER_FORK.remove(dead)


class _Process:
    """Which process this is: to ask the system for each record would take as long as to count one.

    Attributes:
        number: the id that the system knows it by.
    """

    number = os.getpid()


PROCESS = _Process()


def _in_child() -> None:
    PROCESS.number = os.getpid()
    for kept in _AFTER_FORK:
        method = kept()
        if method is not None:
            method()


if hasattr(os, "register_at_fork"):  # where anything forks
    os.register_at_fork(after_in_child=_in_child)
