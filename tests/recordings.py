"""The recordings that tests play: the bundled ones, and every file in `data/`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_agent_events import demo
from otel_agent_events.fetchers import FETCHERS
from tests.traces import DATA

if TYPE_CHECKING:
    from pathlib import Path

    from otel_agent_events.fetchers.saved import Recording

INSTALLED = ", ".join(FETCHERS.names())
"""The platforms, as messages name them."""


def bundled(platform: str) -> list[Recording]:
    """Give the recordings of the demo that are of one platform."""
    return [recording for recording in demo.recordings() if recording.reference.platform == platform]


def files() -> list[Path]:
    """Give every file with saved answers, by platform and name."""
    return sorted(DATA.glob("*/*.json"))
