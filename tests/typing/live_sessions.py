"""A user's program that records whole sessions, each as a trace of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, assert_type

from opentelemetry.sdk.trace.export import SpanExporter

from otel_agent_events import LiveSession, Reference, Scrubber, SessionRecorder
from otel_agent_events.events import Thinking


def to_an_endpoint(folder: Path) -> SessionRecorder:
    """Give every option that goes with an endpoint."""
    return SessionRecorder(
        endpoint="http://localhost:4318",
        protocol="http/protobuf",
        headers={"x-tenant": "acme"},
        timeout=5,
        deadline=60,
        content="full",
        max_value=4096,
        scrubber=Scrubber(),
        namespace="acme",
        revision=2,
        turns=True,
        conventions=("gen_ai",),
        service_name="desk",
        stamp=False,
        follow_sampling=True,
        queued_records=1000,
        queued_bytes=1_000_000,
        spill=folder / "spilled.jsonl",
        environ={},
    )


def to_an_exporter(exporter: SpanExporter) -> SessionRecorder:
    """Hand the spans to what the service has."""
    return SessionRecorder(exporter=exporter, spill="spilled.jsonl")


def every_kind_of_record(recorder: SessionRecorder, records: Iterable[Mapping[str, Any]], body: bytes) -> str | None:
    """Record within a block, and look at what there is to be seen."""
    with recorder.session("vectara:support/s1", agent="Support desk", user="ada", model="m-1") as session:
        assert_type(session, LiveSession)
        assert_type(session.reference, Reference)
        assert_type(session.trace_id, str | None)
        assert_type(session.recording, bool)
        for record in records:
            session.record(record, at=1_800_000_000_000_000_000)
        session.record(body, label="history")
        session.record(Thinking(key="2", start=1, end=3))
        return session.trace_id


async def on_asyncio(recorder: SessionRecorder, record: Mapping[str, Any]) -> None:
    """Record in a coroutine; nothing is awaited but the block."""
    async with recorder.session(Reference("vectara", ("support", "s1"))) as session:
        assert_type(session, LiveSession)
        session.record(record)


def at_the_end(recorder: SessionRecorder, session: LiveSession) -> int:
    """Close by hand, and look at what became of it."""
    session.close(complete=False)
    assert_type(recorder.force_flush(timeout_millis=1000), bool)
    assert_type(recorder.shutdown(), bool)
    assert_type(recorder.lost, Mapping[str, int])
    return recorder.acknowledged + recorder.spilled
