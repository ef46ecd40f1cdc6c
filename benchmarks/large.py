"""What is large stays flat: a million events in one session, and 20,000 sessions of 50 events.

The platform makes its pages while it is asked for them, the collector counts, and the replaying process says how much
memory it had at most. The time is that of three programs on whatever processors there are.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.collector import Collector
from benchmarks.contestant import peak
from benchmarks.hosted import Hosted
from benchmarks.rounds import BenchmarkError

MOST = 200_000_000
"""Bytes in memory."""

_COUNT_EVERY = 2.0  # seconds: what the collector has not yet counted it holds in memory


@dataclass(frozen=True, slots=True)
class Task:
    """What the replaying process has to do.

    Attributes:
        sessions: how many; their keys are s0, s1 and so on.
        state: a folder that nobody else uses.
    """

    sessions: int
    base_url: str
    endpoint: str
    protocol: str
    content: str
    state: str
    ledger: str


@dataclass(frozen=True, slots=True)
class Done:
    """How it went: seconds, and the most bytes in memory."""

    seconds: float
    peak: int
    spans: int
    events: int


def measured(*, sessions: int, events: int, per_page: int, content: str, protocol: str, ledger: bool) -> Done:
    """Replay sessions of a generating platform in a process of its own.

    Raises:
        BenchmarkError: the replay failed, or the collector has not exactly what had to come.
    """
    with (
        tempfile.TemporaryDirectory() as state,
        Hosted(events=events, per_page=per_page) as platform,
        Collector() as collector,
    ):
        task = Task(
            sessions=sessions,
            base_url=platform.url,
            endpoint=collector.grpc if protocol == "grpc" else collector.http,
            protocol=protocol,
            content=content,
            state=state,
            ledger=f"sqlite:///{Path(state) / 'ledger.db'}" if ledger else "off",
        )
        told = _told(task, collector)
        given_sessions, given_events, given_spans = platform.given()
        count = collector.count()
    wanted = (sessions, sessions * events, given_spans, given_spans, given_spans)
    had = (given_sessions, given_events, told["acknowledged"], count.spans, count.distinct)
    if had != wanted:
        raise BenchmarkError(
            f"sessions, events, spans acknowledged, received and distinct ought to be {wanted}, and are {had}"
        )
    return Done(seconds=told["seconds"], peak=told["peak"], spans=given_spans, events=given_events)


def _told(task: Task, collector: Collector) -> dict[str, Any]:
    over = threading.Event()

    def count() -> None:
        while not over.wait(_COUNT_EVERY):
            collector.count()

    counting = threading.Thread(target=count)
    counting.start()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.large", "--replay"],
            input=json.dumps(asdict(task)),
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        over.set()
        counting.join()
    if done.returncode:
        raise BenchmarkError(f"the replay failed: {done.stderr[-2_000:]}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _replay() -> None:
    """Be the replaying process: read the task, replay, print what came of it."""
    from otel_agent_events import replay  # noqa: PLC0415 - the process that measures it does without

    task = Task(**json.loads(sys.stdin.read()))
    report = replay(
        [f"vectara:big/s{number}" for number in range(task.sessions)],
        base_url=task.base_url,
        endpoint=task.endpoint,
        protocol=task.protocol,
        content=task.content,  # type: ignore[arg-type]
        environ={
            "VECTARA_API_KEY": "benchmark",
            "HOME": task.state,
            "XDG_STATE_HOME": task.state,
            "OTEL_AGENT_EVENTS_LEDGER": task.ledger,
        },
    )
    failed = [each for each in report.sessions if not each.succeeded]
    if failed:
        sys.exit(f"{len(failed)} of {len(report.sessions)} sessions failed: {failed[0].model_dump_json()}")
    print(json.dumps({"seconds": report.seconds, "peak": peak(), "acknowledged": report.totals.acknowledged}))


def main() -> int:
    """Print both figures; 1 when one of them takes more memory than it may."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="20,000 events and 400 sessions, and no judgement")
    parser.add_argument("--no-ledger", action="store_true")
    parser.add_argument("--content", choices=("full", "scrubbed"), default="full")
    parser.add_argument("--protocol", choices=("http/protobuf", "grpc"), default="http/protobuf")
    parser.add_argument("--replay", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.replay:
        _replay()
        return 0
    sizes = ((1, 20_000, 1_000), (400, 50, 100)) if arguments.quick else ((1, 1_000_000, 1_000), (20_000, 50, 100))
    flat = True
    for sessions, events, per_page in sizes:
        done = measured(
            sessions=sessions,
            events=events,
            per_page=per_page,
            content=arguments.content,
            protocol=arguments.protocol,
            ledger=not arguments.no_ledger,
        )
        flat &= done.peak < MOST
        print(
            f"{sessions:,} sessions of {events:,} events: {done.spans:,} spans acknowledged and counted, "
            f"{done.seconds:.0f} s, {1e6 * done.seconds / done.spans:.0f} µs a span, "
            f"{done.peak / 1e6:.0f} MB in memory at most{'' if done.peak < MOST else ', which is too much'}",
            flush=True,
        )
    return 0 if flat or arguments.quick else 1


if __name__ == "__main__":
    sys.exit(main())
