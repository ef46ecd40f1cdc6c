"""A replay that is killed at any moment: the same command afterwards completes everything, and doubles nothing else.

Thirty moments, counted at the receiver: the process dies when the collector has taken so many requests, and a moment
later.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from otel_agent_events.conversion import MOST
from otel_agent_events.ledger import Ledger
from tests.generate import Generated
from tests.otlp.collectors import HttpReply, http_collector
from tests.processes import unmeasured

if TYPE_CHECKING:
    from pathlib import Path

    from tests.otlp.collectors import Collector, Received

IN_FLIGHT = 3 + 8 + 1
"""Requests that may be on their way, or answered and not yet written down: queued, with the senders, and filling."""

SMALL_REQUESTS = """
from otel_agent_events.cli import main
from otel_agent_events.otlp import send

send.MOST_BYTES_HTTP = 150_000
main()
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Save seven sessions, one of which is sent in several blocks."""
    folder = tmp_path_factory.mktemp("sessions")
    saved = []
    for number in range(7):
        events = 2 * MOST if number == 3 else 80
        path = folder / f"s{number}.json"
        path.write_text(
            Generated(events=events, seed=number).recording(f"s{number}").model_dump_json(), encoding="utf-8"
        )
        saved.append(path)
    return saved


def command(files: list[Path], collector: Collector, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            *(sys.executable, "-c", SMALL_REQUESTS, "replay", *map(str, files)),
            *("--endpoint", collector.url, "--ledger", f"sqlite:///{folder / 'ledger.db'}"),
        ],
        env={**unmeasured(), "XDG_STATE_HOME": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def spans_of(requests: list[Received]) -> dict[tuple[bytes, bytes], list[bytes]]:
    """Give the bytes of each span, as often as it was taken."""
    taken = defaultdict(list)
    for received in requests:
        for span in received.spans:
            taken[span.trace_id, span.span_id].append(span.SerializeToString(deterministic=True))
    return taken


@pytest.fixture(scope="module")
def whole(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[bytes, bytes], bytes]:
    """Replay them without any trouble, once."""
    with http_collector() as collector:
        process = command(files, collector, tmp_path_factory.mktemp("whole"))
        assert process.wait(60) == 0, process.stderr
        process.communicate()
        taken = spans_of(collector.taken)
    assert all(len(copies) == 1 for copies in taken.values())
    return {ids: copies[0] for ids, copies in taken.items()}


def killed(files: list[Path], collector: Collector, folder: Path, *, requests: int, delay: float) -> int:
    """Start the command, and kill it so many seconds after so many requests were taken; give how it ended."""
    process = command(files, collector, folder)
    while process.poll() is None and len(collector.taken) < requests:
        time.sleep(0.001)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    return process.returncode


@pytest.mark.parametrize("seed", range(30))
def test_killed_at_any_moment_the_same_command_completes_everything(
    seed: int, files: list[Path], whole: dict[tuple[bytes, bytes], bytes], tmp_path: Path
) -> None:
    draw = random.Random(seed)  # noqa: S311 - the moment must be the same again
    with http_collector(answer=lambda _: HttpReply(delay=0.004)) as collector:
        ended = killed(files, collector, tmp_path, requests=draw.randrange(1, 21), delay=draw.uniform(0, 0.03))
        first = len(collector.taken)
        again = command(files, collector, tmp_path)
        _, stderr = again.communicate(timeout=60)
        taken = spans_of(collector.taken)

    assert again.returncode == 0, stderr
    assert {ids: copies[0] for ids, copies in taken.items()} == whole  # nothing lost, nothing of another revision
    assert all(len(set(copies)) == 1 for copies in taken.values())  # what came twice came byte for byte
    twice = sum(len(copies) > 1 for copies in taken.values())
    largest = max(len(received.spans) for received in collector.taken)
    assert twice <= IN_FLIGHT * largest
    assert ended == -signal.SIGKILL or first == len(collector.taken)
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        assert {entry.state for entry in ledger.entries()} == {"sent"}
        assert len(list(ledger.entries())) == len(files)
