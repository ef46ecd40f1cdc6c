"""One contestant, once: started in a process of its own, timed, and checked against what the collector counted."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.collector import pipe
from benchmarks.contestant import Task, Timing

if TYPE_CHECKING:
    from benchmarks.collector import Collector, Count
    from benchmarks.contestant import Name, Protocol
    from benchmarks.pages import Written


class BenchmarkError(Exception):
    """A run cannot be believed: a contestant failed, or the collector does not have what it says it sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Under which circumstances a contestant runs.

    Attributes:
        content, compressed: for ours only; the others take no secrets out and do not compress.
        delay: seconds after which the collector answers.
    """

    name: Name
    size: str
    protocol: Protocol = "http/protobuf"
    delay: float = 0.0
    scrubbed: bool = False
    compressed: bool = False


@dataclass(frozen=True, slots=True)
class Round:
    """How it went: what the contestant says, and what the collector has."""

    timing: Timing
    count: Count

    @property
    def lost(self) -> int:
        """Spans that were made, and that the collector does not have."""
        return self.timing.made - self.count.distinct


def run(case: Case, collector: Collector, written: Written, warm: Written, *, ledger: bool) -> Round:
    """Run a contestant once.

    Args:
        case: who, and under which circumstances.
        collector: takes the spans.
        written: the pages to time.
        warm: the pages to get warm on.
        ledger: whether ours keeps a ledger, in a file that is new.

    Raises:
        BenchmarkError: it failed, or spans are missing that nobody may lose, or some came twice.
    """
    with tempfile.TemporaryDirectory() as state:
        task = Task(
            name=case.name,
            pages=(str(written.path), written.session),
            warm=(str(warm.path), warm.session),
            endpoint=collector.grpc if case.protocol == "grpc" else collector.http,
            protocol=case.protocol,
            state=state,
            content="scrubbed" if case.scrubbed else "full",
            compressed=case.compressed,
            ledger=f"sqlite:///{Path(state) / 'ledger.db'}" if ledger else "off",
            far=case.delay > 0,
        )
        collector.forget()
        with subprocess.Popen(
            [sys.executable, "-m", "benchmarks.contestant"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            asking, answers = pipe(process.stdin), pipe(process.stdout)
            asking.write(json.dumps(asdict(task)) + "\n")
            asking.flush()
            if answers.readline() == "warm\n":
                collector.forget(delay=case.delay)
            told, words = process.communicate("go\n")
    if process.returncode:
        raise BenchmarkError(f"{case} failed: {words or told}")
    finished = Round(Timing(**json.loads(told)), collector.count())
    _check(case, finished, written)
    return finished


def _check(case: Case, finished: Round, written: Written) -> None:
    made, count = finished.timing.made, finished.count
    if made != written.spans:
        raise BenchmarkError(f"{case} made {made} spans of what is {written.spans}")
    if count.spans != count.distinct:
        raise BenchmarkError(f"{case}: the collector has {count.spans - count.distinct} spans twice")
    if finished.lost and case.name != "b":
        raise BenchmarkError(f"{case}: the collector misses {finished.lost} of {made} spans")
