"""A loopback platform: it plays recordings over real HTTP, for tests and for the demo."""

from __future__ import annotations

import json
import threading
from collections import defaultdict, deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from otel_agent_events.fetchers.saved import Recording


@dataclass(frozen=True, slots=True)
class Reply:
    """What a platform answers, to the letter.

    Attributes:
        cut: the connection is closed in the middle of the body.
    """

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    cut: bool = False


class LoopbackPlatform:
    """Serve recordings on a free port of the loopback interface, as long as the `with` block lasts.

    Args:
        recordings: what to play. A request is answered when its path and its query are recorded; else with a 404.
        headers: what every request must bring, such as `{"x-api-key": "..."}`; else it is answered with a 401.

    Attributes:
        asked: the requests so far, as `GET /path?query`, in order.
        faults: replies that are given first, one request each, by path.
    """

    def __init__(self, recordings: Iterable[Recording] = (), *, headers: Mapping[str, str] | None = None) -> None:
        self._answers: dict[tuple[str, frozenset[tuple[str, str]]], Reply] = {}
        for recording in recordings:
            for answer in recording.answers:
                body = b"" if answer.body is None else json.dumps(answer.body).encode()
                key = (unquote(answer.path), frozenset(answer.query.items()))
                self._answers[key] = Reply(status=answer.status, body=body)
        self._headers = dict(headers or {})
        self.asked: list[str] = []
        self.faults: defaultdict[str, deque[Reply]] = defaultdict(deque)
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

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

            def do_GET(self) -> None:
                platform._respond(self)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                platform._respond(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
                """Keep the terminal for the traces."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
        self._server = self._thread = None

    def _respond(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(f"{handler.command} {handler.path}")
        reply = self._reply(handler)
        handler.send_response(reply.status)
        for name, told in reply.headers.items():
            handler.send_header(name, told)
        handler.send_header("Content-Length", str(len(reply.body)))
        handler.end_headers()
        handler.wfile.write(reply.body[: len(reply.body) // 2] if reply.cut else reply.body)
        handler.close_connection = reply.cut

    def _reply(self, handler: BaseHTTPRequestHandler) -> Reply:
        url = urlsplit(handler.path)
        path = unquote(url.path)
        if self.faults[path]:
            return self.faults[path].popleft()
        if any(handler.headers.get(name) != told for name, told in self._headers.items()):
            return _error(401, "This key is not known here.")
        query = frozenset(parse_qsl(url.query, keep_blank_values=True))
        return self._answers.get((path, query)) or _error(404, f"Nothing is recorded for {handler.path}.")


def _error(status: int, words: str) -> Reply:
    return Reply(status=status, body=json.dumps({"messages": [words]}).encode())
