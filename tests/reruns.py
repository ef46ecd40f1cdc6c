"""Replays for tests of what a second run does: sessions of any size, a ledger, a real process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from otel_agent_events import replay
from otel_agent_events.ledger import Ledger
from tests.generate import Generated
from tests.processes import unmeasured

if TYPE_CHECKING:
    from pathlib import Path

    from otel_agent_events.fetchers.saved import Recording
    from otel_agent_events.ledger import Entry
    from otel_agent_events.report import Report
    from otel_agent_events.testing import LoopbackPlatform
    from tests.otlp.collectors import Collector

KEY = "vectara-key-of-this-test"
SESSION = "vectara:big/one"


def recorded(events: int = 20, session: str = "one", seed: int = 7, per_page: int = 100) -> Recording:
    """Record a session of the platform; a longer one of the same seed has grown from a shorter one."""
    return Generated(events=events, per_page=per_page, seed=seed).recording(session)


def url_of(folder: Path) -> str:
    """Name the ledger in a folder."""
    return f"sqlite:///{folder / 'ledger.db'}"


def run(platform: LoopbackPlatform, collector: Collector, folder: Path, *references: str, **options: Any) -> Report:
    """Replay with the ledger in a folder."""
    usual: dict[str, Any] = {
        "endpoint": collector.url,
        "ledger": url_of(folder),
        "set_aside": folder / "left.jsonl",
        "base_url": platform.base_url,
        "environ": {"VECTARA_API_KEY": KEY},
    }
    return replay(references or [SESSION], **usual | options)


def entries(folder: Path) -> list[Entry]:
    """Read the ledger in a folder."""
    with Ledger.open(url_of(folder)) as ledger:
        return list(ledger.entries())


def doubled(collector: Collector) -> int:
    """Count the spans that were taken more than once, each as often as it was too much."""
    return sum(number - 1 for number in Counter(collector.ids).values())


def started(*arguments: str, environ: dict[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
    """Start the command line in a process of its own; Ctrl-C reaches it as from a terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", "otel_agent_events", *arguments],
        env={**unmeasured(), "VECTARA_API_KEY": KEY, **(environ or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def arguments(
    platform: LoopbackPlatform, collector: Collector, folder: Path, *references: str, more: tuple[str, ...] = ()
) -> list[str]:
    """Give the arguments of a replay with the ledger in a folder."""
    return [
        "replay",
        *references,
        *("--endpoint", collector.url, "--base-url", platform.base_url),
        *("--ledger", url_of(folder), "--set-aside", str(folder / "left.jsonl")),
        *more,
    ]


def told(process: subprocess.Popen[str], timeout: float = 60) -> dict[str, Any]:
    """Wait for a process that was started with --json, and read what it said."""
    stdout, stderr = process.communicate(timeout=timeout)
    assert stdout, stderr
    report: dict[str, Any] = json.loads(stdout)
    return report
