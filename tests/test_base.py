"""A service that installs the package gets no more packages than the base needs, and needs no more of them."""

from __future__ import annotations

import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from otel_agent_events.testing import LoopbackPlatform
from tests.base import base
from tests.live.platform import StreamingPlatform, events
from tests.otlp.collectors import http_collector
from tests.recordings import bundled
from tests.webhooks.signed import AGORA_SECRET, notified, signed

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
        "'otel_agent_events.ledger.tables without sqlalchemy', "
        "'otel_agent_events.live.instrumentor without opentelemetry.instrumentation.instrumentor']"
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


LIVE = """
import asyncio
import httpx
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from otel_agent_events import SessionRecorder, TurnRecorder, instrument_httpx, uninstrument_httpx
RECORDS = [
    {"type": "input_message", "id": "1", "messages": [{"type": "text", "content": "Hello"}]},
    {"type": "agent_output", "id": "2", "content": "Hello!"},
]
url, endpoint = ADDRESSES
spans = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))

def made():
    names = [span.name for span in spans.get_finished_spans()]
    spans.clear()
    return names

recorder = TurnRecorder(tracer_provider=provider)
with recorder.turn("vectara:support/s1") as turn:
    for record in RECORDS:
        turn.record(record)
print("turn", made(), dict(recorder.lost))

instrument_httpx(hosts=["*"], tracer_provider=provider)
httpx.post(url, json={"messages": RECORDS[0]["messages"]})
async def ask():
    async with httpx.AsyncClient() as client:
        await client.post(url, json={"messages": RECORDS[0]["messages"]})
asyncio.run(ask())
uninstrument_httpx()
print("clients", made())

for options in ({"exporter": spans}, {"endpoint": endpoint}):
    recorder = SessionRecorder(**options)
    with recorder.session("vectara:support/s1") as session:
        for record in RECORDS:
            session.record(record)
    print(*options, recorder.shutdown(), recorder.acknowledged, dict(recorder.lost), made())
"""


def test_what_a_service_records_is_recorded_with_the_base_alone(tmp_path: Path) -> None:
    records = [{"type": "agent_output", "id": "2", "content": "Hello!"}, {"type": "end"}]
    with StreamingPlatform(events(*records), events(*records)) as platform, http_collector() as collector:
        addresses = (platform.url("support", "s1"), collector.url.removesuffix("/v1/traces"))
        done = in_the_base(LIVE.replace("ADDRESSES", repr(addresses)), XDG_STATE_HOME=str(tmp_path))

    assert done.returncode == 0, done.stderr
    turn = ["user_message", "agent_output", "invoke_agent support"]
    assert done.stdout.splitlines() == [
        f"turn {turn} {{}}",
        f"clients {[*turn, *turn]}",
        f"exporter True 3 {{}} {turn}",
        "endpoint True 3 {} []",
    ]
    assert [span.name for span in collector.spans] == turn


RECEIVED = """
from otel_agent_events import WebhookError
from otel_agent_events.webhooks import AgoraWebhook, HubsterWebhook
body, headers = SIGNED
notification = AgoraWebhook(SECRET, app_id="APP").receive(body, headers)
print(notification.reference, notification.replay(to=["file:out"], ledger="off").exit_code)
try:
    HubsterWebhook("key").receive(body, headers)
except WebhookError as refusal:
    print(refusal.status)
"""


def test_notifications_are_received_with_the_base_alone(tmp_path: Path) -> None:
    body = notified(103, at=time.time())
    program = RECEIVED.replace("SIGNED", repr((body, signed(body)))).replace("SECRET", repr(AGORA_SECRET))
    done = in_the_base(f"import os; os.chdir({str(tmp_path)!r})\n{program}", XDG_STATE_HOME=str(tmp_path))

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["agora:APP/1NT_called 0", "401"]
