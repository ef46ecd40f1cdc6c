"""A user's program that records a session."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

from otel_agent_events import RecordingReport, Reference, Scrubber, record


def every_option(folder: Path) -> RecordingReport:
    """Give every option, and look at what comes back."""
    report = record(
        Reference("vectara", ("support", "s1")),
        folder / "session.json",
        content="full",
        scrubber=Scrubber(),
        base_url="http://localhost:8080",
        timeout=5,
        rate=1,
        environ={"VECTARA_API_KEY": "any"},
    )
    assert_type(report.answers, int)
    assert_type(report.warnings, tuple[str, ...])
    return report
