"""The connections of an HTTP client, so that a thread that waits for an answer can be told that there will be none."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Mapping

_OPENED = (".connect_tcp.complete", ".start_tls.complete")


class Connections:
    """Those that are open. For several threads.

    An answer that is waited for in one thread cannot be called off by another one, but the connection can be ended that
    it would come over: whoever waits is told that the platform has hung up.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: WeakSet[socket.socket] = WeakSet()
        self._over = False

    def note(self, name: str, info: Mapping[str, Any]) -> None:
        """Take note of what the client does: it is its extension `trace`."""
        if not name.endswith(_OPENED):
            return
        opened = info["return_value"].get_extra_info("socket")
        if isinstance(opened, socket.socket):
            with self._lock:
                self._open.add(opened)
                if self._over:
                    _end(opened)

    def hang_up(self) -> None:
        """End those that are open, and from now on each that is opened."""
        with self._lock:
            self._over = True
            for opened in self._open:
                _end(opened)


def _end(opened: socket.socket) -> None:
    with suppress(OSError):  # it is closed already, or encryption has taken it over
        # Not the method of a connection that is encrypted: that one changes what the other thread is using.
        socket.socket.shutdown(opened, socket.SHUT_RDWR)
