"""Loopback OTLP receivers for tests: they answer as they are told to, and keep what they were sent.

with http_collector(HttpReply(status=503)) as collector:      # the first request; all others are acknowledged
    connect(Endpoint(url=collector.url))
    ...
assert collector.ids == [(trace_id, span_id)]
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import os
import socket
import ssl
import subprocess
import threading
import time
from collections import deque
from concurrent import futures
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from io import BufferedIOBase
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from otel_agent_events.testing import LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from opentelemetry.proto.trace.v1 import trace_pb2

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files: an authority, and what it has signed for 127.0.0.1 and for a client."""

    authority: str
    server: str
    server_key: str
    client: str
    client_key: str


@dataclass(frozen=True, kw_only=True)
class Received:
    """One request: what it was sent with, and its spans."""

    path: str
    headers: Mapping[str, str]
    size: int
    request: ExportTraceServiceRequest

    @property
    def numbers(self) -> list[int]:
        """The span ids, as numbers."""
        return [int.from_bytes(span.span_id, "big") for span in self.spans]

    @property
    def spans(self) -> list[trace_pb2.Span]:
        return [
            span for resource in self.request.resource_spans for scope in resource.scope_spans for span in scope.spans
        ]


@dataclass(kw_only=True)
class Collector:
    """What a collector was sent: every request, and which of them it took."""

    url: str
    requests: list[Received] = field(default_factory=list)
    taken: list[Received] = field(default_factory=list)
    asking: int = 0
    most_asking: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def numbers(self) -> list[int]:
        """The ids of the spans that were taken, as numbers, sorted."""
        return sorted(number for received in self.taken for number in received.numbers)

    @contextlib.contextmanager
    def asked(self) -> Iterator[None]:
        """Count how many requests there are at once."""
        with self.lock:
            self.asking += 1
            self.most_asking = max(self.most_asking, self.asking)
        try:
            yield
        finally:
            with self.lock:
                self.asking -= 1

    @property
    def spans(self) -> list[trace_pb2.Span]:
        """The spans of the requests that were answered with success."""
        return [span for received in self.taken for span in received.spans]

    @property
    def ids(self) -> list[tuple[bytes, bytes]]:
        """The trace and span ids of these spans."""
        return [(span.trace_id, span.span_id) for span in self.spans]


def partial(rejected: int, message: str = "") -> bytes:
    """Return the response that rejects some of the spans."""
    told = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
    return ExportTraceServiceResponse(partial_success=told).SerializeToString()


# --- HTTP ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class HttpReply:
    """What to answer to one request.

    Attributes:
        body: in pieces when it is a tuple, with `pause` seconds before each.
        delay: seconds before anything is answered.
        drop: close the connection without a word.
        cut: take the spans, and close the connection in the middle of the answer.
        drip: seconds before each byte of the answer, from the first one of its headers.
    """

    status: int = 200
    body: bytes | tuple[bytes, ...] = b""
    content_type: str = "application/x-protobuf"
    headers: Mapping[str, str] = field(default_factory=dict)
    pause: float = 0.0
    delay: float = 0.0
    drop: bool = False
    cut: bool = False
    drip: float = 0.0


@contextlib.contextmanager
def http_collector(
    *replies: HttpReply,
    answer: Callable[[Received], HttpReply | None] = lambda _: None,
    certificates: Certificates | None = None,
    client_certificate: bool = False,
    port: int = 0,
    reads: float = 0.0,
) -> Iterator[Collector]:
    """Run an OTLP/HTTP receiver that gives these replies, one to each request, and then only acknowledges.

    Without a port it takes a free one. What `answer` says of a request goes before the replies, unless it is None. It
    waits for some seconds before each 64 KiB that it `reads` of a request.
    """
    context = None
    if certificates is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.server, certificates.server_key)
        if client_certificate:
            context.load_verify_locations(certificates.authority)
            context.verify_mode = ssl.CERT_REQUIRED
    server = _HttpServer(deque(replies), answer, context, port, reads)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.collector
    finally:
        server.shutdown()
        thread.join()
        server.hang_up()
        server.server_close()


class _HttpServer(LoopbackServer):
    def __init__(
        self,
        replies: deque[HttpReply],
        answer: Callable[[Received], HttpReply | None],
        context: ssl.SSLContext | None,
        port: int,
        reads: float,
    ) -> None:
        super().__init__(("127.0.0.1", port), _HttpHandler)
        self.reads = reads
        scheme = "http" if context is None else "https"
        self.collector = Collector(url=f"{scheme}://127.0.0.1:{self.server_port}/v1/traces")
        self.replies = replies
        self.answer = answer
        self.context = context

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self.context is not None:
            # Shaking hands in the handler's thread, so that a client that hangs up does not stop the server.
            connection = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            self.connections[-1] = connection
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the test."""


class _HttpHandler(BaseHTTPRequestHandler):
    server: _HttpServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        sent = self._read(int(self.headers["content-length"]))
        body = gzip.decompress(sent) if self.headers.get("content-encoding") == "gzip" else sent
        collector = self.server.collector
        received = Received(
            path=self.path,
            headers={name.lower(): text for name, text in self.headers.items()},
            size=len(body),
            request=ExportTraceServiceRequest.FromString(body),
        )
        with collector.asked():
            reply = self._reply(received)
            time.sleep(reply.delay)
            if 200 <= reply.status < 300 and not reply.drop:
                collector.taken.append(received)
        self._answer(reply)

    def _read(self, size: int) -> bytes:
        if not self.server.reads:
            return self.rfile.read(size)
        pieces = []
        for at in range(0, size, 65_536):
            time.sleep(self.server.reads)
            pieces.append(self.rfile.read(min(65_536, size - at)))
        return b"".join(pieces)

    def _reply(self, received: Received) -> HttpReply:
        collector, replies = self.server.collector, self.server.replies
        with collector.lock:
            collector.requests.append(received)
            reply = self.server.answer(received)
            if reply is None:
                reply = replies.popleft() if replies else HttpReply()
        return reply

    def _answer(self, reply: HttpReply) -> None:
        if reply.drop:
            self.close_connection = True
            return
        if reply.drip:
            self.wfile = _Dripping(self.wfile, reply.drip)
        pieces = reply.body if isinstance(reply.body, tuple) else (reply.body,)
        self.send_response(reply.status)
        self.send_header("content-length", str(sum(map(len, pieces)) + reply.cut))
        self.send_header("content-type", reply.content_type)
        for name, text in reply.headers.items():
            self.send_header(name, text)
        self.end_headers()
        for piece in pieces:
            time.sleep(reply.pause)
            self.wfile.write(piece)
        self.close_connection |= reply.cut

    def log_message(self, *_: Any) -> None:
        """Say nothing on the console."""


class _Dripping(BufferedIOBase):
    """A way to a client on which each byte takes some seconds."""

    def __init__(self, file: BinaryIO | BufferedIOBase, seconds: float) -> None:
        self._file = file
        self._seconds = seconds

    def write(self, content: Any) -> int:
        for at in range(len(content)):
            time.sleep(self._seconds)
            self._file.write(content[at : at + 1])
        return len(content)


@contextlib.contextmanager
def http_proxy() -> Iterator[tuple[str, list[str]]]:
    """Run a proxy on the way to any server; give its address, and the first line of each connection.

    It knows one request a connection, and tunnels.
    """
    lines: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threads: list[threading.Thread] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    thread = threading.Thread(target=_pass_on, args=(listening.accept()[0], lines))
                    thread.start()
                    threads.append(thread)

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", lines
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread in threads:
                thread.join()


def _pass_on(asking: socket.socket, lines: list[str]) -> None:
    with asking:
        begun = b""
        while b"\r\n\r\n" not in begun:
            begun += asking.recv(65_536)
        line, _, rest = begun.partition(b"\r\n")
        lines.append(line.decode())
        method, target, version = lines[-1].split(" ")
        parts = urlsplit(target if "://" in target else f"//{target}")
        with socket.create_connection((parts.hostname, parts.port)) as asked:
            if method == "CONNECT":
                asking.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                path = parts.path + (f"?{parts.query}" if parts.query else "")
                asked.sendall(f"{method} {path} {version}\r\n".encode() + rest)
            back = threading.Thread(target=_pour, args=(asked, asking))
            back.start()
            _pour(asking, asked)
            back.join()


def _pour(source: socket.socket, into: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while some := source.recv(65_536):
            into.sendall(some)
        into.shutdown(socket.SHUT_WR)


# --- gRPC ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class GrpcReply:
    """What to answer to one call.

    Attributes:
        code: the name of a status code.
        details: goes to `grpc-status-details-bin`.
        pause: seconds before the answer.
    """

    code: str = "OK"
    words: str = ""
    details: bytes | None = None
    body: bytes = b""
    pause: float = 0.0


@contextlib.contextmanager
def grpc_collector(
    *replies: GrpcReply,
    answer: Callable[[Received], GrpcReply | None] = lambda _: None,
    certificates: Certificates | None = None,
    client_certificate: bool = False,
    method: str = METHOD,
    port: int = 0,
) -> Iterator[Collector]:
    """Run an OTLP/gRPC receiver that gives these replies, one to each call, and then only acknowledges.

    Without a port it takes a free one. What `answer` says of a request goes before the replies, unless it is None.
    """
    collector = Collector(url="")
    pool = futures.ThreadPoolExecutor(max_workers=8)
    server = grpc.server(pool, handlers=[_GrpcHandler(method, collector, deque(replies), answer)])
    if certificates is None:
        port = server.add_insecure_port(f"127.0.0.1:{port}")
    else:
        pair = (_read(certificates.server_key), _read(certificates.server))
        authority = _read(certificates.authority) if client_certificate else None
        credentials = grpc.ssl_server_credentials([pair], authority, client_certificate)
        port = server.add_secure_port(f"127.0.0.1:{port}", credentials)
    collector.url = f"{'http' if certificates is None else 'https'}://127.0.0.1:{port}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(grace=None).wait()
        pool.shutdown()


class _GrpcHandler(grpc.GenericRpcHandler):
    def __init__(
        self,
        method: str,
        collector: Collector,
        replies: deque[GrpcReply],
        answer: Callable[[Received], GrpcReply | None],
    ) -> None:
        self._method = method
        self._collector = collector
        self._replies = replies
        self._answer = answer

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        if handler_call_details.method != self._method:
            return None
        return grpc.unary_unary_rpc_method_handler(self._export)

    def _export(self, body: bytes, context: grpc.ServicerContext) -> bytes:
        received = Received(
            path=self._method,
            headers={name: str(text) for name, text in context.invocation_metadata()},
            size=len(body),
            request=ExportTraceServiceRequest.FromString(body),
        )
        with self._collector.lock:
            self._collector.requests.append(received)
            reply = self._answer(received)
            if reply is None:
                reply = self._replies.popleft() if self._replies else GrpcReply()
        with self._collector.asked():
            time.sleep(reply.pause)
        if reply.details is not None:
            context.set_trailing_metadata((("grpc-status-details-bin", reply.details),))
        if reply.code != "OK":
            context.abort(grpc.StatusCode[reply.code], reply.words)
        self._collector.taken.append(received)
        return reply.body


# --- certificates -------------------------------------------------------------------------------------


def make_certificates(folder: Path) -> Certificates:
    """Make an authority, and certificates of it for a server at 127.0.0.1 and for a client."""
    _openssl(
        folder,
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=test authority"),
        *("-keyout", "authority.key", "-out", "authority.pem"),
    )
    for name in ("server", "client"):
        (folder / f"{name}.cnf").write_text("subjectAltName = IP:127.0.0.1, DNS:localhost\n", encoding="utf-8")
        _openssl(
            folder,
            *("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}"),
            *("-keyout", f"{name}.key", "-out", f"{name}.csr"),
        )
        _openssl(
            folder,
            *("x509", "-req", "-in", f"{name}.csr", "-days", "1", "-extfile", f"{name}.cnf"),
            *("-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial", "-out", f"{name}.pem"),
        )
    return Certificates(
        authority=str(folder / "authority.pem"),
        server=str(folder / "server.pem"),
        server_key=str(folder / "server.key"),
        client=str(folder / "client.pem"),
        client_key=str(folder / "client.key"),
    )


# Where to look next: another place in each of the processes that run at the same time.
_places = itertools.count(997 * os.getpid())


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens, and which nobody gets who asks the system for any port."""
    while True:
        # The ports that a system gives away itself begin above these; one of those might be taken meanwhile.
        port = 10_000 + next(_places) % 20_000
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)  # noqa: S607


def _read(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - the path is a text, as Endpoint has it
        return file.read()
