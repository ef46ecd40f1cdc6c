"""Wait for what happens, and not for a time."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def until(happened: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until something is so; fail when it is not after a while."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def own_threads() -> list[str]:
    """Name the threads of recorders that are alive."""
    names = ("read live records", "deliver live spans", "send to ")
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(names)]
