from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from otel_agent_events.testing import LoopbackPlatform
from tests.otlp.collectors import http_collector
from tests.recordings import bundled

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(example: str, *arguments: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, EXAMPLES / example, *arguments],
        env={"PATH": "", **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_replay_example_sends_a_session_and_says_so() -> None:
    with LoopbackPlatform(bundled("vectara")) as platform, http_collector() as collector:
        done = run(
            "replay_session.py",
            "vectara:support/refund_case_88",
            environ={
                "VECTARA_API_KEY": "any",
                "VECTARA_BASE_URL": platform.base_url,
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": collector.url,
            },
        )

    assert done.returncode == 0, done.stderr
    assert "15 of 15 spans arrived" in done.stdout
    assert len(collector.spans) == 15


def test_the_replay_example_says_what_is_missing() -> None:
    done = run("replay_session.py", "vectara:support/refund_case_88", environ={})

    assert done.returncode == 2
    assert "set VECTARA_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_example_is_listed_and_run() -> None:
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")

    for example in EXAMPLES.glob("*.py"):
        assert f"]({example.name})" in listed
        assert example.name in Path(__file__).read_text(encoding="utf-8")
