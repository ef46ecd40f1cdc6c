"""A collector on loopback, in a process of its own: it takes OTLP over HTTP and gRPC, and counts what it took.

While spans come in it only keeps the bodies, because there are two processors for both sides; it takes them apart
when it is asked for the count.
"""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Self

import grpc

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

PATH = "/v1/traces"
_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"
_THREADS = 64


@dataclass(frozen=True, slots=True)
class Count:
    """What a collector took since it was last asked to forget.

    Attributes:
        spans: all of them.
        distinct: with ids of their own, by trace and span.
        attributes: of all spans.
        bytes: of the requests, as they were encoded before any compression.
        requests: how many there were.
    """

    spans: int
    distinct: int
    attributes: int
    bytes: int
    requests: int


class Collector:
    """Run a collector as long as the `with` block lasts.

    Attributes:
        http: URL for spans over HTTP.
        grpc: URL for spans over gRPC.
    """

    def __init__(self) -> None:
        self.http = ""
        self.grpc = ""
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.collector"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        http, over_grpc = json.loads(pipe(self._process.stdout).readline())
        self.http = f"http://127.0.0.1:{http}{PATH}"
        self.grpc = f"http://127.0.0.1:{over_grpc}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None:
            pipe(self._process.stdin).close()  # which it takes as the sign to end
            self._process.wait()
            pipe(self._process.stdout).close()

    def forget(self, *, delay: float = 0.0) -> None:
        """Start the count anew, and answer after so many seconds from now on."""
        self._ask(delay)

    def count(self) -> Count:
        """Say what it took."""
        return Count(**json.loads(self._ask(None)))

    def _ask(self, delay: float | None) -> str:
        if self._process is None:
            raise RuntimeError("the collector runs inside its with block only")
        asking = pipe(self._process.stdin)
        asking.write(json.dumps(delay) + "\n")
        asking.flush()
        return pipe(self._process.stdout).readline()


class _Kept:
    """What came in, to be counted when there is time."""

    def __init__(self) -> None:
        self.bodies: deque[bytes | bytearray] = deque()  # taken from and put into by several threads
        self.delay = 0.0
        self._ids: set[bytes] = set()
        self._spans = self._attributes = self._bytes = self._requests = 0

    def take(self, body: bytes | bytearray) -> None:
        self.bodies.append(body)
        if self.delay:
            time.sleep(self.delay)

    def forget(self, delay: float) -> None:
        self.__init__()  # type: ignore[misc]
        self.delay = delay

    def count(self) -> Count:
        while self.bodies:
            each = self.bodies.popleft()
            body = gzip.decompress(each) if each.startswith(b"\x1f\x8b") else bytes(each)
            self._requests += 1
            self._bytes += len(body)
            for span in _spans(body):
                self._spans += 1
                trace_id = span_id = b""
                for number, field in _fields(span):
                    if number == 1:
                        trace_id = field
                    elif number == 2:
                        span_id = field
                    elif number == 9:
                        self._attributes += 1
                self._ids.add(trace_id + span_id)
        return Count(
            spans=self._spans,
            distinct=len(self._ids),
            attributes=self._attributes,
            bytes=self._bytes,
            requests=self._requests,
        )


def _spans(request: bytes) -> Iterator[bytes]:
    """Give the spans of an `ExportTraceServiceRequest`: field 1, in it field 2, in it field 2."""
    for number, resource_spans in _fields(request):
        if number != 1:
            raise ValueError(f"a request has a field {number}")
        for within, scope_spans in _fields(resource_spans):
            if within == 2:
                for innermost, span in _fields(scope_spans):
                    if innermost == 2:
                        yield span


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Give the fields of a protobuf message that have a length, and pass over the others."""
    place, end = 0, len(message)
    while place < end:
        tag, place = _varint(message, place)
        match tag & 7:
            case 0:
                _, place = _varint(message, place)
            case 1:
                place += 8
            case 5:
                place += 4
            case 2:
                length, place = _varint(message, place)
                yield tag >> 3, message[place : place + length]
                place += length
            case wire_type:
                raise ValueError(f"there is no wire type {wire_type}")
    if place != end:
        raise ValueError("a message is cut off")


def _varint(message: bytes, place: int) -> tuple[int, int]:
    byte = message[place]
    place += 1
    if byte < 0x80:
        return byte, place
    number, shift = byte & 0x7F, 7
    while True:
        byte = message[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
        shift += 7


def _serve_http(kept: _Kept) -> int:
    """Serve on a free port, a thread a connection; give the port."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)

    def accept() -> None:
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=_connection, args=(connection, kept), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    port: int = listening.getsockname()[1]
    return port


def _connection(connection: socket.socket, kept: _Kept) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection:
        try:
            while True:
                body = _body(connection)
                if body is None:
                    return
                kept.take(body)
                connection.sendall(_ANSWER)
        except ConnectionError:
            return


def _body(connection: socket.socket) -> bytearray | None:
    """Read one request; None when there is none any more. Nobody here sends the next before the answer."""
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0:
        more = connection.recv(65_536)
        if not more:
            return None
        received += more
    head = received[:end].lower()
    told = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
    body = bytearray(int(told))
    filled = len(received) - end - 4
    body[:filled] = received[end + 4 :]
    view = memoryview(body)
    while filled < len(body):
        read = connection.recv_into(view[filled:])
        if not read:
            return None
        filled += read
    return body


def _serve_grpc(kept: _Kept) -> tuple[grpc.Server, int]:
    """Serve on a free port, bytes in and bytes out; give the server, which ends with its last name, and the port."""

    def export(body: bytes, _: grpc.ServicerContext) -> bytes:
        kept.take(body)
        return b""

    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(export)
    service, method = _METHOD.strip("/").split("/")
    # Of big contents the usual script sends more at once than the 4 MiB that a server takes by itself, and loses them.
    server = grpc.server(ThreadPoolExecutor(_THREADS), options=(("grpc.max_receive_message_length", -1),))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def main() -> None:
    """Serve until nobody asks any more. A number starts the count anew with that delay, null asks for the count."""
    kept = _Kept()
    server, port = _serve_grpc(kept)
    print(json.dumps([_serve_http(kept), port]), flush=True)
    for line in sys.stdin:
        delay = json.loads(line)
        if delay is None:
            print(json.dumps(asdict(kept.count())), flush=True)
        else:
            kept.forget(delay)
            print(flush=True)
    server.stop(None)


def pipe(end: IO[str] | None) -> IO[str]:
    """Give a pipe of a process that was started with it.

    Raises:
        RuntimeError: it was not.
    """
    if end is None:
        raise RuntimeError("the process has no such pipe")
    return end


if __name__ == "__main__":
    main()
