"""`opentelemetry-instrument python app.py` records turns, and the program knows nothing of it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_agent_events.live.instrumentor import AgentEventsInstrumentor
from tests.live.platform import StreamingPlatform, events
from tests.live.recorders import Kept
from tests.otlp.collectors import Collector, http_collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

INSTRUMENT = Path(sys.executable).with_name("opentelemetry-instrument")
RECORDS = [{"type": "agent_output", "content": "On its way."}, {"type": "end"}]
ASKED = {"type": "input_message", "messages": [{"type": "text", "content": "Where is order 5512?"}]}

PROGRAM = """
import sys
import {library}
with {library}.Client() as client:
    print(client.post(sys.argv[1], json={asked!r}).text)
"""


def instrumented(
    platform: StreamingPlatform, collector: Collector, *, library: str = "httpx", **variables: str
) -> subprocess.CompletedProcess[str]:
    environ = {
        **os.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_AGENT_EVENTS_HOSTS": platform.host,
        **variables,
    }
    platform.answers.append(events(*RECORDS))
    program = PROGRAM.format(library=library, asked=ASKED)
    done = subprocess.run(
        [INSTRUMENT, sys.executable, "-c", program, platform.url("support")],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("data:") == len(RECORDS)
    return done


def by_name(collector: Collector) -> dict[str, Span]:
    return {span.name: span for span in collector.spans}


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_the_command_turns_it_on_beside_the_instrumentation_of_the_client(library: str) -> None:
    with StreamingPlatform() as platform, http_collector() as collector:
        instrumented(platform, collector, library=library)

        spans = by_name(collector)
        assert spans["POST"].parent_span_id == spans["invoke_agent support"].span_id
        assert spans["invoke_agent support"].parent_span_id == b""


def test_the_command_leaves_out_what_it_is_told_to_leave_out() -> None:
    with StreamingPlatform() as platform, http_collector() as collector:
        instrumented(platform, collector, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="otel_agent_events")

        assert set(by_name(collector)) == {"POST"}


def test_hosts_that_cannot_be_understood_are_told_and_nothing_else_is_lost() -> None:
    with StreamingPlatform() as platform, http_collector() as collector:
        done = instrumented(platform, collector, OTEL_AGENT_EVENTS_HOSTS="ann:s3cret@host")

        assert "no turns are recorded: a host to watch is none" in done.stderr
        assert "s3cret" not in done.stderr
        assert set(by_name(collector)) == {"POST"}


@pytest.fixture
def instrumentor() -> Iterator[Any]:
    instrumentor = AgentEventsInstrumentor()
    yield instrumentor
    logging.disable()
    instrumentor.uninstrument()
    logging.disable(logging.NOTSET)


def test_the_entry_point_leads_to_the_instrumentor() -> None:
    (found,) = entry_points(group="opentelemetry_instrumentor", name="otel_agent_events")

    assert found.load() is AgentEventsInstrumentor


def test_it_can_be_turned_on_and_off_as_every_instrumentor(instrumentor: Any) -> None:
    before = httpx.Client.send
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    with StreamingPlatform(events(*RECORDS), events(*RECORDS)) as platform:
        instrumentor.instrument(tracer_provider=provider, hosts=[platform.host])
        httpx.post(platform.url("support"), json=ASKED)
        instrumentor.uninstrument()
        httpx.post(platform.url("support"), json=ASKED)

    # What the first one gave; nothing of the second.
    assert [span.name for span in spans.get_finished_spans()] == [
        "user_message",
        "agent_output",
        "invoke_agent support",
    ]
    assert httpx.Client.send is before


def test_it_takes_a_recorder(instrumentor: Any) -> None:
    kept = Kept()
    with StreamingPlatform(events(*RECORDS)) as platform:
        instrumentor.instrument(recorder=kept.it, hosts=[platform.host], unknown=1)
        httpx.post(platform.url("support"))

    assert kept.turn_.records == RECORDS


def test_without_the_command_its_module_says_what_is_missing() -> None:
    script = """
import sys
sys.modules["opentelemetry.instrumentation"] = None
try:
    import otel_agent_events.live.instrumentor
except ModuleNotFoundError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert "install opentelemetry-distro, or call otel_agent_events.instrument_httpx()" in done.stdout
