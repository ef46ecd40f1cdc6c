"""Every test runs under the same hypothesis profile, without the caller's variables and away from the tree."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).parent.parent / "otel_agent_events"

hypothesis.settings.register_profile("here", deadline=None, max_examples=60)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=200, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")

# What a shell starts in the background ignores Ctrl-C, and so does what it starts in turn; tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure() -> None:
    """Refuse to test what was compiled from another source than the one that is here."""
    for compiled in PACKAGE.rglob("*.so"):
        name = compiled.name.partition(".")[0]
        sources = [*compiled.parent.glob(f"{name}.p[yx]*"), *compiled.parent.glob(f"{name}_*.pxi")]
        if any(each.suffix != ".pyi" and each.stat().st_mtime > compiled.stat().st_mtime for each in sources):
            raise pytest.UsageError(f"{name} has changed since it was compiled: run make .venv/ready")


_OF_THE_CALLER = ("OTEL_", "VECTARA_", "LYZR_", "AGORA_", "HUBSTER_")


@pytest.fixture(autouse=True)
def _no_variables_of_the_caller(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    for name in list(os.environ):
        if name in {"OTEL_AGENT_EVENTS_HOSTS", "OTEL_AGENT_EVENTS_LEDGER", "OTEL_AGENT_EVENTS_TENANT"} or (
            name.startswith(_OF_THE_CALLER) and not name.startswith("OTEL_AGENT_EVENTS_")
        ):
            monkeypatch.delenv(name)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    """Give a client that is closed afterwards."""
    with httpx.Client() as client:
        yield client
