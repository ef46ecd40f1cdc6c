"""A loopback platform: it plays recordings over real HTTP, for tests and for the demo."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from types import TracebackType

    from otel_agent_events.fetchers.saved import Recording


@dataclass(frozen=True, slots=True)
class Reply:
    """What a platform answers, to the letter.

    Attributes:
        cut: the connection is closed in the middle of the body.
        drop: the connection is closed without a word.
        delay: seconds until it is given.
    """

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    cut: bool = False
    drop: bool = False
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Received:
    """What a platform was asked, to the letter.

    Attributes:
        target: path and query, as they were encoded.
        headers: by name in lower case.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


class LoopbackPlatform:
    """Serve recordings on a free port of the loopback interface, as long as the `with` block lasts.

    Args:
        recordings: what to play. A request is answered when its path and its query are recorded; else with a 404. What
            is recorded several times is played in turn; the last one stays.
        headers: what lets a request in, such as `{"x-api-key": "..."}`, or pairs when there are several ways: one of
            them is enough. Without any it is answered with a 401.
        tokens: by the path of a token endpoint, the token that it gives to whoever posts there.

    Attributes:
        received: the requests so far, in order.
        faults: replies that are given first, one request each, by path.
    """

    def __init__(
        self,
        recordings: Iterable[Recording] = (),
        *,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        tokens: Mapping[str, str] | None = None,
    ) -> None:
        self._answers: defaultdict[tuple[str, frozenset[tuple[str, str]]], deque[Reply]] = defaultdict(deque)
        for recording in recordings:
            for answer in recording.answers:
                # Of a failure there is no body; a good answer may be null.
                body = (
                    b"" if answer.body is None and answer.status != HTTPStatus.OK else json.dumps(answer.body).encode()
                )
                key = (unquote(answer.path), frozenset(answer.query.items()))
                # A recording has 0 where there was no answer.
                self._answers[key].append(Reply(status=answer.status or 404, body=body))
        self._headers = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
        self._tokens = dict(tokens or {})
        self.received: list[Received] = []
        self.faults: defaultdict[str, deque[Reply]] = defaultdict(deque)
        self._server: LoopbackServer | None = None
        self._over = threading.Event()
        self._closing = contextlib.ExitStack()

    @property
    def asked(self) -> list[str]:
        """The requests so far, as `GET /path?query`, in order."""
        return [f"{each.method} {each.target}" for each in self.received]

    @property
    def base_url(self) -> str:
        """Where it listens, while it does."""
        if self._server is None:
            raise RuntimeError("the loopback platform listens inside its with block only")
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        platform = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else every answer waits 40 ms for an acknowledgement

            def do_GET(self) -> None:
                platform._respond(self)

            def do_POST(self) -> None:
                platform._respond(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
                """Keep the terminal for the traces."""

        self._over.clear()
        self._server = LoopbackServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        # The last one is called first.
        for end in (
            self._server.server_close,
            self._server.hang_up,
            thread.join,
            self._server.shutdown,
            self._over.set,
        ):
            self._closing.callback(end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.close()
        self._server = None

    def _respond(self, handler: BaseHTTPRequestHandler) -> None:
        self.received.append(
            Received(
                method=handler.command,
                target=handler.path,
                headers={name.lower(): told for name, told in handler.headers.items()},
                body=handler.rfile.read(int(handler.headers.get("Content-Length", 0))),
            )
        )
        reply = self._reply(handler)
        self._over.wait(reply.delay)
        handler.close_connection = reply.cut or reply.drop
        if reply.drop:
            return
        handler.send_response(reply.status)
        for name, told in reply.headers.items():
            handler.send_header(name, told)
        handler.send_header("Content-Length", str(len(reply.body)))
        handler.end_headers()
        handler.wfile.write(reply.body[: len(reply.body) // 2] if reply.cut else reply.body)

    def _reply(self, handler: BaseHTTPRequestHandler) -> Reply:
        url = urlsplit(handler.path)
        path = unquote(url.path)
        if self.faults[path]:
            return self.faults[path].popleft()
        if handler.command == "POST" and path in self._tokens:
            token = {"access_token": self._tokens[path], "token_type": "Bearer", "expires_in": 3600}
            return Reply(body=json.dumps(token).encode())
        if self._headers and not any(handler.headers.get(name) == told for name, told in self._headers):
            return _error(401, "This key is not known here.")
        replies = self._answers.get((path, frozenset(parse_qsl(url.query, keep_blank_values=True))))
        if not replies:
            return _error(404, f"Nothing is recorded for {handler.path}.")
        return replies.popleft() if len(replies) > 1 else replies[0]


class LoopbackServer(ThreadingHTTPServer):
    """An HTTP server that can end the connections which its clients keep open, so that closing it does not wait."""

    daemon_threads = False  # so that closing it waits for their end

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self.connections: list[socket.socket] = []

    def get_request(self) -> tuple[socket.socket, Any]:
        """Take a connection, and remember it."""
        connection, address = super().get_request()
        self.connections.append(connection)
        return connection, address

    def hang_up(self) -> None:
        """End the connections that clients keep open, and with them the threads that serve them."""
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that hangs up: some do so when they have waited long enough."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _error(status: int, words: str) -> Reply:
    return Reply(status=status, body=json.dumps({"messages": [words]}).encode())
