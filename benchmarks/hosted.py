"""A platform on loopback, in a process of its own, that makes the pages of its sessions while it is asked for them.

It holds one page of each session that is being read, so that a session of a million events takes no memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qs, urlsplit

from benchmarks.collector import pipe
from benchmarks.pages import Session, Shape, paged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType


class Hosted:
    """Run a platform as long as the `with` block lasts.

    Args:
        events: of each session, whatever its key.
        content: bytes of what is said in one event, about.
        per_page: events on a page.

    Attributes:
        url: where it listens.
    """

    def __init__(self, *, events: int, content: int = 500, per_page: int = 100) -> None:
        self.url = ""
        self._arguments = [str(events), str(content), str(per_page)]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.hosted", *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = f"http://127.0.0.1:{self._line()}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.communicate()

    def given(self) -> tuple[int, int, int]:
        """Say how many sessions were read to their end, their events, and the spans that have to come of them."""
        if self._process is None:
            raise RuntimeError("the platform runs inside its with block only")
        asking = pipe(self._process.stdin)
        asking.write("\n")
        asking.flush()
        sessions, events, spans = json.loads(self._line())
        return sessions, events, spans

    def _line(self) -> str:
        if self._process is None:
            raise RuntimeError("the platform runs inside its with block only")
        return pipe(self._process.stdout).readline().strip()


class _Reading:
    """A session that is being read: its pages to come, and the last one, should it be asked for again."""

    def __init__(self, shape: Shape, per_page: int) -> None:
        self.session = Session(shape)
        self.key: str | None = None
        self.page = b""
        self._pages: Iterator[tuple[bytes, str | None]] = paged(self.session, per_page)
        self.following: str | None = None

    def at(self, key: str | None) -> bytes:
        if key != self.key or not self.page:
            if key != self.following:
                raise LookupError(key)  # it is over
            self.key = key
            self.page, self.following = next(self._pages)
        return self.page


class _Sessions:
    def __init__(self, events: int, content: int, per_page: int) -> None:
        self._events, self._content, self._per_page = events, content, per_page
        self._reading: dict[str, _Reading] = {}
        self.sessions = self.spans = 0

    @property
    def given(self) -> tuple[int, int, int]:
        return self.sessions, self.sessions * self._events, self.spans

    def page(self, session: str, key: str | None) -> bytes:
        if key is None:
            shape = Shape(events=self._events, content=self._content, session=session)
            self._reading[session] = _Reading(shape, self._per_page)
        reading = self._reading[session]
        page = reading.at(key)
        if reading.following is None:
            del self._reading[session]
            self.sessions += 1
            self.spans += 1 + self._events - reading.session.pairs
        return page


def main() -> None:
    """Serve until the end; a line asks for what was given so far."""
    sessions = _Sessions(*map(int, sys.argv[1:]))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # head and body in one piece

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            match url.path.strip("/").split("/"):
                case ["v2", "agents", agent]:
                    body = json.dumps({"key": agent, "name": "Big"}).encode()
                case ["v2", "agents", agent, "sessions", session]:
                    body = json.dumps(
                        {"key": session, "agent_key": agent, "created_at": "2026-11-18T08:00:00Z"}
                    ).encode()
                case ["v2", "agents", _, "sessions", session, "events"]:
                    key = parse_qs(url.query).get("page_key")
                    try:
                        body = sessions.page(session, key[0] if key else None)
                    except LookupError:
                        self.send_error(404)
                        return
                case _:
                    self.send_error(404)
                    return
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    for _ in sys.stdin:
        print(json.dumps(sessions.given), flush=True)


if __name__ == "__main__":
    main()
