"""All four platforms in one run of the command, into a real Jaeger."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from otel_agent_events import demo
from otel_agent_events.fetchers.saved import Recording
from otel_agent_events.reference import Reference
from otel_agent_events.testing import LoopbackPlatform
from tests.backends import servers
from tests.recordings import bundled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.backends.servers import Jaeger

pytestmark = pytest.mark.backends

SESSIONS = ["lyzr:12345/abcdef", "agora:app/agent", "hubster:conv", "vectara:agt/ase"]


def renamed(session: str) -> Recording:
    """Give the bundled recording of a platform under another name."""
    reference = Reference.parse(session)
    recording = bundled(reference.platform)[0]
    text = recording.model_dump_json()
    for old, new in zip(recording.reference.path, reference.path, strict=True):
        for spelled in {old, quote(old, safe="")}:
            text = text.replace(spelled, new)
    return Recording.model_validate_json(text)


@pytest.fixture
def jaeger(tmp_path: Path) -> Iterator[Jaeger]:
    servers.require("jaeger")
    with servers.jaeger(tmp_path) as running:
        yield running


def test_four_platforms_are_four_traces_in_jaeger_in_one_run(jaeger: Jaeger) -> None:
    with LoopbackPlatform(map(renamed, SESSIONS), headers=demo.HEADERS, tokens=demo.TOKENS) as platform:
        done = subprocess.run(
            [sys.executable, "-m", "otel_agent_events", "replay", *SESSIONS, "--endpoint", jaeger.otlp_http, "--json"],
            env=demo.environment(platform.base_url, {"PATH": os.environ["PATH"]}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [session["reference"] for session in report["sessions"]] == SESSIONS
    services = {}
    for session in report["sessions"]:
        spans = jaeger.trace(session["trace_id"], spans=session["made"])
        assert len(spans) == session["made"] == session["acknowledged"] > 10
        services[session["reference"]] = {span["resource"]["service.name"] for span in spans}
    assert services == {
        "lyzr:12345/abcdef": {"lyzr"},
        "agora:app/agent": {"agora"},
        "hubster:conv": {"hubster"},
        "vectara:agt/ase": {"agt"},
    }
