"""A user's program that replays sessions, and looks at all that comes back."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import otel_agent_events
from otel_agent_events import Reference, Report, Scrubber, SessionReport, Stop, replay


def every_kind_of_reference(body: bytes) -> int:
    """Name sessions in all ways that there are."""
    report = replay(["vectara:support/s1", Path("saved.json"), Reference("vectara", ("support", "s2")), body])
    assert_type(report, Report)
    assert_type(report.sessions, tuple[SessionReport, ...])
    assert_type(report.set_aside, str | None)
    assert_type(report.stopped, bool)
    assert_type(report.notes, tuple[str, ...])
    assert_type(report.totals.acknowledged, int)
    return report.exit_code


def every_option(heard: list[SessionReport], lines: list[str]) -> Report:
    """Give every option, most of them as something else than the default."""
    return replay(
        ("vectara:support/s1",),
        to=["otlp", "file:out.jsonl"],
        exporters=[],
        endpoint="http://localhost:4318",
        protocol="http/protobuf",
        headers={"x-tenant": "acme"},
        tenant="acme",
        timeout=5,
        deadline=60.0,
        set_aside=Path("left.jsonl"),
        ledger="off",
        again=False,
        base_url="http://localhost:8080",
        session=None,
        rate=2.5,
        follow_subagents=True,
        service_name="desk",
        namespace="acme",
        revision=2,
        turns=True,
        content="scrubbed",
        max_value=4096,
        max_trace_bytes=4_000_000,
        shift_to="now",
        scrubber=Scrubber([r"ACME-\d+"]),
        traceparent=None,
        links=["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
        conventions=["gen_ai"],
        environ={"VECTARA_API_KEY": "any"},
        client=None,
        stop=Stop(),
        told=heard.append,
        noted=lines.append,
    )


def of_a_session(session: SessionReport) -> str:
    """Look at the report of one session."""
    assert_type(session.reference, str)
    assert_type(session.trace_id, str | None)
    assert_type(session.start, int | None)
    assert_type(session.error, str | None)
    assert_type(session.succeeded, bool)
    return session.error or f"{session.acknowledged} of {session.made}"


def what_may_be_raised() -> str:
    """Catch what is raised, by what can be done about it."""
    try:
        otel_agent_events.replay(["vectara:support/s1"])
    except otel_agent_events.UsageError as error:
        return str(error)
    except otel_agent_events.AgentEventsError:
        raise
    return ""
