"""A service that installs the package gets no more packages than the base needs, and needs no more of them."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from otel_agent_events.testing import LoopbackPlatform
from tests.base import base
from tests.otlp.collectors import http_collector
from tests.recordings import bundled

ROOT = Path(__file__).parent.parent


def in_the_base(program: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.base"],
        input=program,
        cwd=ROOT,
        env={"PATH": "", **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_base_is_six_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert [needed.partition(">=")[0] for needed in project["dependencies"]] == [
        "click",
        "httpx",
        "msgspec",
        "opentelemetry-exporter-otlp",
        "opentelemetry-sdk",
        "pydantic",
    ]


def test_the_base_brings_nothing_of_the_extras_and_of_the_tools() -> None:
    names = set(base())

    assert {"otel-agent-events", "httpx", "msgspec", "pydantic-core", "grpcio", "protobuf"} <= names
    assert not names & {
        "rich", "sqlalchemy", "psycopg", "fastapi", "starlette", "uvicorn", "wrapt", "httpx2",
        "opentelemetry-instrumentation", "opentelemetry-distro", "pytest", "cython",
    }  # fmt: skip


@pytest.mark.parametrize("module", ["rich", "sqlalchemy", "fastapi", "opentelemetry.instrumentation.httpx", "wrapt"])
def test_what_the_base_does_not_bring_cannot_be_imported_there(module: str) -> None:
    done = in_the_base(f"import {module}")

    assert "which is not in the base" in done.stderr


def test_every_module_but_the_terminal_s_can_be_imported_with_the_base_alone() -> None:
    done = in_the_base(
        "import importlib, pkgutil, otel_agent_events as package\n"
        "modules = [each.name for each in pkgutil.walk_packages(package.__path__, 'otel_agent_events.')\n"
        "           if not each.name.endswith('__main__')]\n"
        "left_out = []\n"
        "for name in modules:\n"
        "    try:\n"
        "        importlib.import_module(name)\n"
        "    except (ModuleNotFoundError, package.UsageError) as error:\n"
        "        missing = error.__cause__ or error\n"
        "        left_out.append(f'{name} without {missing.name}')\n"
        "print(len(modules) > 100, sorted(left_out))\n"
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == (
        "True ['otel_agent_events.cli.waterfall without rich', "
        "'otel_agent_events.ledger.database without sqlalchemy', "
        "'otel_agent_events.ledger.opening without sqlalchemy', "
        "'otel_agent_events.ledger.tables without sqlalchemy']"
    )


USED = """
import asyncio
import otel_agent_events as o
for name in o.__all__:
    getattr(o, name)
fetched = o.fetch("vectara:support/refund_case_88")
trace = o.convert(fetched)
print(len(trace.readable()), len(trace.otlp_json()))
print(o.record("vectara:support/refund_case_88", "session.json").answers > 0)
print(o.replay([fetched.reference, "session.json"], to=["otlp", "file:out"]).exit_code)
async def main():
    fetched = await o.afetch("session.json")
    return len((await o.aconvert(fetched)).spans), (await o.areplay(["session.json"], ledger="off")).exit_code
print(*asyncio.run(main()))
"""


def test_the_public_names_do_their_work_with_the_base_alone(here: Path) -> None:
    with LoopbackPlatform(bundled("vectara")) as platform, http_collector() as collector:
        done = in_the_base(
            f"import os; os.chdir({str(here)!r})\n{USED}",
            VECTARA_API_KEY="any",
            VECTARA_BASE_URL=platform.base_url,
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url.removesuffix("/v1/traces"),
            XDG_STATE_HOME=str(here),
        )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["13 13", "True", "0", "13 0"]
    assert len(collector.ids) == 3 * 13
