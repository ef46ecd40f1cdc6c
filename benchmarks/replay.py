"""Time a replay through its public path: JSON pages in over HTTP, acknowledged OTLP out over HTTP.

Platform and collector run in processes of their own. Times on a shared machine are noise, so the time that is compared
is the CPU time of this process, and what counts is the ratio within one run: twice the events must not take more than
2.3 times the time, or something is quadratic.
"""

from __future__ import annotations

import argparse
import http.server
import multiprocessing
import statistics
import sys
import time
from typing import TYPE_CHECKING

from otel_agent_events import replay
from otel_agent_events.testing import LoopbackPlatform
from tests.generate import Generated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

MOST = 2.3


def _platform(channel: Connection, sizes: list[int]) -> None:
    recordings = [Generated(events=size).recording(f"s{size}") for size in sizes]
    with LoopbackPlatform(recordings) as platform:
        channel.send(platform.base_url)
        channel.recv()


class _Acknowledge(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
        """Say nothing."""


def _collector(channel: Connection) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Acknowledge)
    channel.send(f"http://127.0.0.1:{server.server_port}")
    server.serve_forever()


def _started(target: object, *arguments: object) -> Iterator[str]:
    """Run a server in a process of its own; give its address, and stop it afterwards."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=target, args=(theirs, *arguments), daemon=True)  # type: ignore[arg-type]
    process.start()
    yield ours.recv()
    process.terminate()
    process.join()


def _once(base_url: str, endpoint: str, size: int, content: str) -> float:
    began = time.process_time()
    report = replay(
        [f"vectara:big/s{size}"],
        base_url=base_url,
        endpoint=endpoint,
        content=content,  # type: ignore[arg-type]
        environ={"VECTARA_API_KEY": "benchmark"},
    )
    seconds = time.process_time() - began
    (session,) = report.sessions
    if session.error or session.acknowledged != session.made or session.events != size:
        sys.exit(f"the replay itself failed: {report.model_dump_json()}")
    return seconds


def main() -> int:
    """Time both sizes in turn, print medians and ratio; 1 when the ratio is too large."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000, help="events of the smaller session")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    sizes = [arguments.events, 2 * arguments.events]
    worst = 0.0
    for base_url in _started(_platform, sizes):
        for endpoint in _started(_collector):
            for content in ("full", "scrubbed"):
                times: dict[int, list[float]] = {size: [] for size in sizes}
                for _ in range(arguments.rounds):
                    for size in sizes:
                        times[size].append(_once(base_url, endpoint, size, content))
                medians = {size: statistics.median(each) for size, each in times.items()}
                ratio = statistics.median(large / small for small, large in zip(*times.values(), strict=True))
                worst = max(worst, ratio)
                told = ", ".join(
                    f"{size} events {1e6 * each / size:.0f} µs of CPU each" for size, each in medians.items()
                )
                print(f"--content {content}: {told}; twice the events, {ratio:.2f} times the time (at most {MOST})")
    return int(worst > MOST)


if __name__ == "__main__":
    sys.exit(main())
