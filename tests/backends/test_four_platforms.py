"""All four platforms in one run of the command, into a real Jaeger."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from otel_agent_events import demo
from otel_agent_events.testing import LoopbackPlatform
from tests.backends import servers
from tests.recordings import bundled, renamed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.backends.servers import Jaeger

pytestmark = pytest.mark.backends

SESSIONS = ["lyzr:12345/abcdef", "agora:app/agent", "hubster:conv", "vectara:agt/ase"]


@pytest.fixture
def jaeger(tmp_path: Path) -> Iterator[Jaeger]:
    servers.require("jaeger")
    with servers.jaeger(tmp_path) as running:
        yield running


def test_four_platforms_are_four_traces_in_jaeger_in_one_run(jaeger: Jaeger) -> None:
    played = [renamed(bundled(session.partition(":")[0])[0], session) for session in SESSIONS]
    with LoopbackPlatform(played, headers=demo.HEADERS, tokens=demo.TOKENS) as platform:
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
