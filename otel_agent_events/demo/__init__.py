"""The bundled recordings: invented sessions of a web shop's agents, in the platforms' documented shapes."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from otel_agent_events.fetchers.saved import load_recording

if TYPE_CHECKING:
    from otel_agent_events.fetchers.saved import Recording

API_KEY = "demo-key"
"""What the loopback platform asks for; it opens nothing else."""


def recordings() -> list[Recording]:
    """Read all bundled recordings, in the order in which they are numbered."""
    folder = files("otel_agent_events.demo")
    names = sorted(each.name for each in folder.iterdir() if each.name.endswith(".json"))
    return [load_recording(folder.joinpath(name).read_bytes(), name) for name in names]
