"""The time that one request over HTTP may take as a whole.

httpx counts its time-out anew for every piece that it reads or writes: a server that sends a byte now and then, or
takes one, keeps a request open for ever. Here each read and write has what is left of the request's time.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SLOWEST = 20_000
"""Bytes a second that a line carries at least; a request has so much more time as it takes to write it at that."""

_PIECE = 1_048_576  # bytes that are written between two looks at the clock: more pieces cost more than the copies do


class Bounds:
    """Hold the connections of a client to the time of the request for which they are used. For several threads.

    A request has the time for which it is written, and from then on the time for which an answer is waited for.

    Args:
        seconds: that an answer may take, up to its last byte.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._request = _Request()

    @contextmanager
    def of(self, size: int) -> Iterator[None]:
        """Bound the request of so many bytes that this thread makes within."""
        self._request.writing = self._seconds + size / SLOWEST
        self._request.until = time.monotonic() + self._request.writing
        try:
            yield
        finally:
            self._request.until = self._request.head = None

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Hear how far a request is: httpx calls its extension `trace`, in the thread of the request."""
        name = event.partition(".")[2]
        if name in {"connect_tcp.complete", "start_tls.complete"}:
            self._bind(info["return_value"])
        elif name == "send_request_headers.started":
            self._request.until = time.monotonic() + self._request.writing
            # A request that only asks a proxy for a way through has no more than a head.
            one_by_one = event.startswith("http11.")  # one request at a time on a connection
            self._request.head = b"" if one_by_one and info["request"].method == b"POST" else None
        elif name == "send_request_headers.complete" and self._request.head == b"":
            self._request.head = None
        elif name == "receive_response_headers.started":
            self._request.until = time.monotonic() + self._seconds

    def _bind(self, stream: Any) -> None:
        """Let a new connection read and write in what time is left."""
        read: Callable[[int, float | None], bytes] = stream.read
        write: Callable[[Any, float | None], None] = stream.write

        def read_in_time(most: int, timeout: float | None = None) -> bytes:
            return read(most, self._left(timeout))

        def write_in_time(content: bytes, timeout: float | None = None) -> None:
            if self._request.until is not None and self._request.head == b"":
                self._request.head = content  # goes out with what follows
                return
            head, self._request.head = self._request.head or b"", None
            if not head and not content:
                return  # the end of a request, which is nothing
            rest = memoryview(content)
            written = _write_at_once(stream, head, rest)
            if written < len(head):
                write(head[written:], self._left(timeout))
            rest = rest[max(written - len(head), 0) :]
            # Of bytes, httpcore would copy what is left after every part that the system takes.
            while rest:
                write(rest[:_PIECE], self._left(timeout))
                rest = rest[_PIECE:]

        stream.read, stream.write = read_in_time, write_in_time

    def _left(self, timeout: float | None) -> float | None:
        until = self._request.until
        if until is None:  # a client that was handed in makes other requests as well, on the same connections
            return timeout
        left = until - time.monotonic()
        if left <= 0:
            raise httpx.ReadTimeout("the answer did not end")
        return left


def _write_at_once(stream: Any, head: bytes, content: memoryview) -> int:
    """Write what the system takes without waiting, if it is no matter of TLS; give how many bytes that were.

    Most often that is all. To wait for the system first, and to write a head alone, has Python change from thread to
    thread each time, which may take 5 ms where another one works. What goes wrong here goes wrong again, and is told,
    when httpcore writes the rest.
    """
    connection = stream.get_extra_info("socket")
    if type(connection) is not socket.socket or not hasattr(connection, "sendmsg"):
        return 0
    try:
        connection.settimeout(0)
        return connection.sendmsg([head, content])
    except OSError:
        return 0


class _Request(threading.local):
    """The request that a thread makes: the seconds for writing it, and until when it may go on as it does now.

    Attributes:
        head: what was written of it and is held back until more follows; b"" when that is to come, None when not.
    """

    head: bytes | None = None
    writing = 0.0
    until: float | None = None
