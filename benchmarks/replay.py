"""Nothing is quadratic: twice the events must not take more than 2.3 times the processor time.

Through the public path: JSON pages in over HTTP, acknowledged OTLP out over HTTP. The session has everything in it that
goes wrong: records that come twice, results before their calls, ids that name two records. Platform and collector run
in processes of their own. Times on a shared machine are noise, so the time that is compared is the processor time of
this process, and what counts is the ratio within one run.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from benchmarks.collector import Collector
from benchmarks.rounds import BenchmarkError
from otel_agent_events import replay
from otel_agent_events.testing import LoopbackPlatform
from tests.generate import Generated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

MOST = 2.3
EVENTS = 20_000
ROUNDS = 5

_CONTENTS: tuple[Literal["full", "scrubbed"], ...] = ("full", "scrubbed")


def _platform(channel: Connection, sizes: list[int]) -> None:
    recordings = [Generated(events=size).recording(f"s{size}") for size in sizes]
    with LoopbackPlatform(recordings) as platform:
        channel.send(platform.base_url)
        channel.recv()


@contextmanager
def _started(sizes: list[int]) -> Iterator[str]:
    """Run the platform in a process of its own; give its address, and stop it afterwards."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_platform, args=(theirs, sizes), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _once(base_url: str, endpoint: str, size: int, content: Literal["full", "scrubbed"]) -> float:
    with tempfile.TemporaryDirectory() as state:
        environ = {
            "VECTARA_API_KEY": "benchmark",
            "HOME": state,
            "XDG_STATE_HOME": state,
            "OTEL_AGENT_EVENTS_LEDGER": "off",
        }
        began = time.process_time()
        report = replay(
            [f"vectara:big/s{size}"], base_url=base_url, endpoint=endpoint, content=content, environ=environ
        )
        seconds = time.process_time() - began
    (session,) = report.sessions
    if session.error or session.acknowledged != session.made or session.events != size:
        raise BenchmarkError(f"the replay itself failed: {report.model_dump_json()}")
    return seconds


def verdicts(events: int = EVENTS, rounds: int = ROUNDS) -> Iterator[tuple[bool, str]]:
    """Time both sizes in turn; say whether twice the events take little more than twice the time.

    Raises:
        BenchmarkError: a replay failed.
    """
    sizes = [events, 2 * events]
    with _started(sizes) as base_url, Collector() as collector:
        for content in _CONTENTS:
            times: dict[int, list[float]] = {size: [] for size in sizes}
            for _ in range(rounds):
                for size in sizes:
                    times[size].append(_once(base_url, collector.http, size, content))
                    collector.forget()
            medians = {size: statistics.median(each) for size, each in times.items()}
            ratio = statistics.median(large / small for small, large in zip(*times.values(), strict=True))
            told = ", ".join(f"{size} events {1e6 * each / size:.0f} µs of CPU each" for size, each in medians.items())
            yield ratio <= MOST, f"{content}, twice the events: {ratio:.2f} times the CPU time, at most {MOST} ({told})"


def main() -> int:
    """Print the verdicts; 1 when a ratio is too large."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replay", description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=EVENTS, help="events of the smaller session")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    linear = True
    for fine, words in verdicts(arguments.events, arguments.rounds):
        print(words, flush=True)
        linear &= fine
    return int(not linear)


if __name__ == "__main__":
    sys.exit(main())
