"""A replay into real back ends, compared with what the contract says, written here by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_events import replay
from tests.backends import servers
from tests.traces import DATA

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.backends.servers import Jaeger

pytestmark = pytest.mark.backends

OWN = "otel_agent_events."
SESSION = "vectara:agt_customer_support/ase_customer_support_001"
SECOND = 1_000_000_000
BEGIN = 1_705_314_900 * SECOND  # 2024-01-15T10:35:00Z

EVERY = {
    "gen_ai.conversation.id": "ase_customer_support_001",
    "session.id": "ase_customer_support_001",
    "gen_ai.agent.name": "agt_customer_support",
}
ASKED = [{"role": "user", "parts": [{"type": "text", "content": "My widget does not go in."}]}]
THOUGHT = "Somebody cannot install a widget; the knowledge base should have steps for that."
SAID = "Let us do that together. Turn it until it clicks."
ANSWERED = [{"role": "assistant", "parts": [{"type": "text", "content": SAID}]}]
FOUND = {"results": [{"title": "How to install a widget", "content": "Turn it until it clicks."}]}

# name, parent, start and end in seconds, attributes; texts that hold JSON are compared as JSON.
EXPECTED: list[tuple[str, str | None, int, int, dict[str, Any]]] = [
    (
        "invoke_agent agt_customer_support",
        None,
        0,
        4,
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.id": "agt_customer_support",
            "gen_ai.provider.name": "vectara",
            "gen_ai.input.messages": ASKED,
            "gen_ai.output.messages": ANSWERED,
            f"{OWN}event.kind": "session",
            f"{OWN}timing": "recorded",
            f"{OWN}summary": "My widget does not go in.",
            f"{OWN}session.reference": SESSION,
            f"{OWN}session.event_count": 5,
            f"{OWN}session.turn_count": 1,
            f"{OWN}session.tool_call_count": 1,
            f"{OWN}session.tool_error_count": 0,
            f"{OWN}session.missing_output_count": 0,
            f"{OWN}session.complete": True,
            f"{OWN}session.part": 1,
            f"{OWN}session.revision": 1,
            f"{OWN}view": "content=scrubbed;max=65536;turns=0;conventions=gen_ai",
        },
    ),
    (
        "user_message",
        "invoke_agent agt_customer_support",
        0,
        0,
        {
            "gen_ai.operation.name": "user_message",
            "gen_ai.input.messages": ASKED,
            f"{OWN}event.kind": "user_message",
            f"{OWN}event.type": "input_message",
            f"{OWN}event.id": "aev_user_input_001",
            f"{OWN}event.index": 1,
            f"{OWN}event.turn": 1,
            f"{OWN}timing": "recorded",
            f"{OWN}summary": "My widget does not go in.",
        },
    ),
    (
        "thinking",
        "invoke_agent agt_customer_support",
        0,
        1,
        {
            "gen_ai.operation.name": "thinking",
            "gen_ai.output.messages": [{"role": "assistant", "parts": [{"type": "reasoning", "content": THOUGHT}]}],
            f"{OWN}event.kind": "thinking",
            f"{OWN}event.type": "thinking",
            f"{OWN}event.id": "aev_thinking_001",
            f"{OWN}event.index": 2,
            f"{OWN}event.turn": 1,
            f"{OWN}timing": "inferred",
            f"{OWN}summary": THOUGHT,
        },
    ),
    (
        "execute_tool knowledge_base_search",
        "invoke_agent agt_customer_support",
        2,
        3,
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "knowledge_base_search",
            "gen_ai.tool.call.id": "call_knowledge_search_001",
            "gen_ai.tool.call.arguments": {"query": "install widget", "max_results": 5},
            "gen_ai.tool.call.result": FOUND,
            f"{OWN}event.kind": "tool_call",
            f"{OWN}event.type": "tool_input",
            f"{OWN}event.id": "aev_tool_input_001",
            f"{OWN}event.index": 3,
            f"{OWN}event.turn": 1,
            f"{OWN}result.event.type": "tool_output",
            f"{OWN}result.event.id": "aev_tool_output_001",
            f"{OWN}result.event.index": 4,
            f"{OWN}tool.configuration": "knowledge_search",
            f"{OWN}tool.outcome": "ok",
            f"{OWN}timing": "recorded",
            f"{OWN}summary": '{"query":"install widget","max_result… → {"results":[{"title":"How to install a…',
        },
    ),
    (
        "agent_output",
        "invoke_agent agt_customer_support",
        3,
        4,
        {
            "gen_ai.operation.name": "agent_output",
            "gen_ai.output.messages": ANSWERED,
            f"{OWN}event.kind": "agent_message",
            f"{OWN}event.type": "agent_output",
            f"{OWN}event.id": "aev_agent_output_001",
            f"{OWN}event.index": 5,
            f"{OWN}event.turn": 1,
            f"{OWN}agent.author": "bot",
            f"{OWN}timing": "inferred",
            f"{OWN}summary": SAID,
        },
    ),
]


@pytest.fixture(scope="module")
def jaeger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jaeger]:
    servers.require("jaeger")
    with servers.jaeger(tmp_path_factory.mktemp("jaeger")) as running:
        yield running


def send(endpoint: str, protocol: str, **options: Any) -> str:
    """Replay the documented sample; give its trace id."""
    report = replay(
        [DATA / "vectara" / "documented.json"],
        session=SESSION,
        endpoint=endpoint,
        protocol=protocol,
        environ={},
        **options,
    )
    assert report.exit_code == 0, report
    (session,) = report.sessions
    assert session.made == session.acknowledged == 5
    return str(session.trace_id)


def outline(spans: list[dict[str, Any]]) -> list[tuple[str, str | None, int, int, dict[str, Any]]]:
    """Put spans into the form of the expectation, in the order of their places in the session."""
    names = {span["spanId"]: span["name"] for span in spans}
    told = []
    for span in spans:
        begin, end = (int(span[name]) - BEGIN for name in ("startTimeUnixNano", "endTimeUnixNano"))
        attributes = {name: _opened(value) for name, value in servers.plain(span).items()}
        if end == begin + 1:  # Jaeger gives a span of no length a nanosecond, and says so
            end = begin
            assert "Original end timestamp" in attributes.pop("@jaeger@warnings")[0]
        assert begin % SECOND == end % SECOND == 0
        parent = span.get("parentSpanId")
        told.append((span["name"], names[parent] if parent else None, begin // SECOND, end // SECOND, attributes))
    return sorted(told, key=lambda each: each[4].get(f"{OWN}event.index", 0))


def _opened(value: Any) -> Any:
    """Read a text that is JSON as a whole."""
    try:
        return json.loads(value) if isinstance(value, str) and value[:1] in {"[", "{"} else value
    except ValueError:
        return value


def expected() -> list[tuple[str, str | None, int, int, dict[str, Any]]]:
    return [(name, parent, begin, end, {**EVERY, **told}) for name, parent, begin, end, told in EXPECTED]


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_jaeger_gives_back_the_documented_sample_as_the_contract_has_it(jaeger: Jaeger, protocol: str) -> None:
    # One trace a protocol: a repeated span would be dropped, and prove nothing.
    namespace = {"namespace": protocol}
    endpoint = jaeger.otlp_grpc if protocol == "grpc" else jaeger.otlp_http

    trace_id = send(endpoint, protocol, **namespace)

    spans = jaeger.trace(trace_id, spans=5)
    assert outline(spans) == expected()
    for span in spans:
        assert span["resource"] == {"service.name": "agt_customer_support", f"{OWN}origin": "replay"}
        assert span["scope"] == "otel_agent_events"
        assert span.get("kind") in {1, "SPAN_KIND_INTERNAL"}
        assert not span.get("status", {}).get("code")


def test_jaeger_shows_failures_as_errors_and_links_to_sub_agents(jaeger: Jaeger) -> None:
    report = replay(
        [DATA / "vectara" / "every_shape.json"], endpoint=jaeger.otlp_grpc, protocol="grpc", content="full", environ={}
    )
    (session,) = report.sessions

    spans = jaeger.trace(str(session.trace_id), spans=session.made)

    by_id = {servers.plain(span).get(f"{OWN}event.id"): span for span in spans}
    failed = by_id["aev_06"]
    assert failed["status"] == {"code": 2, "message": '{"error":"upstream timeout"}'}
    assert servers.plain(failed)["error.type"] == "tool_error"
    (link,) = by_id["aev_07"]["links"]
    child = replay(
        [servers.ROOT / "otel_agent_events" / "demo" / "2_policy_run_17.json"],
        endpoint=jaeger.otlp_grpc,
        protocol="grpc",
        content="full",
        environ={},
    ).sessions[0]
    assert link["traceId"] == child.trace_id


def test_a_replay_that_is_repeated_adds_nothing_to_jaeger(jaeger: Jaeger) -> None:
    first = send(jaeger.otlp_http, "http/protobuf", namespace="twice")
    second = send(jaeger.otlp_http, "http/protobuf", namespace="twice")

    assert first == second
    assert len(jaeger.trace(first, spans=5)) == 5


def test_a_session_can_be_searched_for_in_the_range_that_is_told(jaeger: Jaeger) -> None:
    trace_id = send(jaeger.otlp_http, "http/protobuf", namespace="search", service_name="searched")

    found = jaeger.search(
        "searched", datetime(2024, 1, 15, 10, 34, tzinfo=UTC), datetime(2024, 1, 15, 10, 36, tzinfo=UTC)
    )
    assert {span["traceId"] for span in found} == {trace_id}


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_the_collector_with_the_configuration_for_users_passes_the_same_spans_on(
    jaeger: Jaeger, tmp_path: Path, protocol: str
) -> None:
    servers.require("otelcol")
    out = tmp_path / "out.jsonl"
    added = tmp_path / "file.yaml"
    added.write_text(
        f"exporters:\n  file:\n    path: {out}\n"
        "service:\n  pipelines:\n    traces/file:\n      receivers: [forward]\n      exporters: [file]\n",
        encoding="utf-8",
    )
    environment = {"JAEGER_OTLP_ENDPOINT": jaeger.otlp_grpc, "TEMPO_OTLP_ENDPOINT": jaeger.otlp_grpc}

    with servers.collector(tmp_path, servers.CONFIG, added, environment=environment) as collector:
        endpoint = collector.otlp_grpc if protocol == "grpc" else collector.otlp_http
        trace_id = send(endpoint, protocol, namespace=f"collector {protocol}")
        arrived = jaeger.trace(trace_id, spans=5)

    written = [span for line in out.read_text(encoding="utf-8").splitlines() for span in servers.flat(json.loads(line))]
    assert outline(written) == outline(arrived) == expected()
    assert {span["traceId"] for span in written} == {trace_id}
