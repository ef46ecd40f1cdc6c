"""The connections of an HTTP client, so that a thread that waits for an answer can be told that there will be none."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import ref

if TYPE_CHECKING:
    from collections.abc import Mapping

_OPENED = (".connect_tcp.complete", ".start_tls.complete")


class Connections:
    """Those that are open. For several threads.

    An answer that is waited for in one thread cannot be called off by another one, but the connection can be ended that
    it would come over: whoever waits is told that the platform has hung up.

    There is no lock: a signal's handler, which ends what the main thread does, may come while it is held.
    """

    def __init__(self) -> None:
        self._open: set[ref[socket.socket]] = set()
        self._over = False

    def note(self, name: str, info: Mapping[str, Any]) -> None:
        """Take note of what the client does: it is its extension `trace`."""
        if not name.endswith(_OPENED):
            return
        opened = info["return_value"].get_extra_info("socket")
        if isinstance(opened, socket.socket):
            self._open.add(ref(opened, self._open.discard))
            if self._over:  # it is asked only now, so that either this ends it or `hang_up` does
                _end(opened)

    def hang_up(self) -> None:
        """End those that are open, and from now on each that is opened."""
        self._over = True
        for each in list(self._open):
            opened = each()
            if opened is not None:
                _end(opened)


def _end(opened: socket.socket) -> None:
    with suppress(OSError):  # it is closed already, or encryption has taken it over
        # Not the method of a connection that is encrypted: that one changes what the other thread is using.
        socket.socket.shutdown(opened, socket.SHUT_RDWR)
