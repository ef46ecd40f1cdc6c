"""A loopback platform that answers in pieces, when the test says so: for what happens while an answer comes.

with StreamingPlatform(events({"type": "end"})) as platform:      # the first POST; without more answers, 404
    httpx.post(platform.url("support", "case 1"), json=...)
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

from otel_agent_events.testing import LoopbackServer, Received
from tests.live.recorders import LONG

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType


class _Cut:
    """The connection is closed here, without a word."""


CUT: Final = _Cut()


@dataclass(frozen=True)
class Answer:
    """What to answer to one request.

    Attributes:
        parts: the body: bytes, each sent at once as a chunk; an event, for which the platform waits before it goes on;
            `CUT`, where it hangs up.
        length: say in advance how long the body is, in place of sending it in chunks.
        started: is set when the headers are out.
    """

    parts: Sequence[bytes | threading.Event | _Cut] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "text/event-stream"})
    length: bool = False
    started: threading.Event = field(default_factory=threading.Event)


def event(record: object) -> bytes:
    """Give one server-sent event, as Vectara sends it."""
    return b"data:" + json.dumps(record).encode() + b"\n\n"


def events(*records: object, **options: Any) -> Answer:
    """Answer with server-sent events, each a chunk of its own."""
    return Answer([event(record) for record in records], **options)


def answer(body: object, *, status: int = 200, **headers: str) -> Answer:
    """Answer with JSON."""
    data = json.dumps(body).encode()
    return Answer([data], status=status, headers={"Content-Type": "application/json", **headers}, length=True)


class StreamingPlatform:
    """Play answers on a free port of the loopback interface, as long as the `with` block lasts.

    Attributes:
        answers: to the requests to come, in order.
        received: the requests so far.
    """

    def __init__(self, *answers: Answer) -> None:
        self.answers = deque(answers)
        self.received: list[Received] = []
        self._closing = contextlib.ExitStack()
        self._server: LoopbackServer | None = None

    @property
    def host(self) -> str:
        """Host and port."""
        assert self._server is not None
        return f"127.0.0.1:{self._server.server_port}"

    def url(self, agent: str = "support", session: str = "case-1", *, prefix: str = "", end: str = "") -> str:
        """Give the address at which the events of a session are created."""
        path = f"/v2/agents/{quote(agent, safe='')}/sessions/{quote(session, safe='')}/events"
        return f"http://{self.host}{prefix}{path}{end}"

    def __enter__(self) -> Self:
        platform = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                platform._respond(self)

            do_GET = do_PUT = do_POST  # noqa: N815 - as the base class has it

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
                """Keep the terminal for the tests."""

        self._server = LoopbackServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        for end in (self._server.server_close, self._server.hang_up, thread.join, self._server.shutdown):
            self._closing.callback(end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.close()

    def _respond(self, handler: BaseHTTPRequestHandler) -> None:
        headers = {name.lower(): told for name, told in handler.headers.items()}
        self.received.append(
            Received(method=handler.command, target=handler.path, headers=headers, body=_body(handler, headers))
        )
        try:
            reply = self.answers.popleft()
        except IndexError:
            reply = answer({"messages": ["No session with this key."]}, status=404)
        handler.send_response(reply.status)
        for name, told in reply.headers.items():
            handler.send_header(name, told)
        if reply.length:
            handler.send_header(
                "Content-Length", str(sum(len(each) for each in reply.parts if isinstance(each, bytes)))
            )
        else:
            handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        reply.started.set()
        for part in reply.parts:
            if isinstance(part, bytes):
                handler.wfile.write(part if reply.length else b"%x\r\n%b\r\n" % (len(part), part) if part else b"")
            elif isinstance(part, _Cut) or not part.wait(LONG):
                handler.close_connection = True
                return
        if not reply.length:
            handler.wfile.write(b"0\r\n\r\n")


def _body(handler: BaseHTTPRequestHandler, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return handler.rfile.read(int(headers.get("content-length", 0)))
    body = b""
    while size := int(handler.rfile.readline(), 16):
        body += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return body
