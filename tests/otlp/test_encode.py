from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from otel_agent_events.otlp import SCHEMA_URL
from otel_agent_events.otlp.encode import encode, to_readable
from otel_agent_events.spans import Link, Resource, Span
from tests.otlp.examples import OTHER_RESOURCE, RESOURCE, any_span, ids, ids_of_request, span


def test_a_readable_span_has_all_that_the_span_has() -> None:
    readable = to_readable(
        Span(
            trace_id=b"\x01" * 16,
            span_id=b"\x02" * 8,
            parent_id=b"\x03" * 8,
            name="execute_tool search",
            kind="client",
            start=5,
            end=7,
            constants={"a": "x", "b": True},
            varying={"c": 3, "d": 0.5, "e": ("y", "z")},
            resource=RESOURCE,
            status="error",
            description="it broke",
            links=(Link(trace_id=b"\x04" * 16, span_id=b"\x05" * 8, attributes={"why": "resumed"}, trace_flags=1),),
        )
    )

    assert readable.name == "execute_tool search"
    assert readable.kind is SpanKind.CLIENT
    assert readable.context.trace_id == int("01" * 16, 16)
    assert readable.context.span_id == int("02" * 8, 16)
    assert readable.context.trace_flags.sampled
    assert readable.parent is not None
    assert readable.parent.trace_id == int("01" * 16, 16)
    assert readable.parent.span_id == int("03" * 8, 16)
    assert (readable.start_time, readable.end_time) == (5, 7)
    assert readable.attributes == {"a": "x", "b": True, "c": 3, "d": 0.5, "e": ("y", "z")}
    assert readable.status.status_code is StatusCode.ERROR
    assert readable.status.description == "it broke"
    (link,) = readable.links
    assert (link.context.trace_id, link.context.span_id) == (int("04" * 16, 16), int("05" * 8, 16))
    assert link.context.is_remote
    assert link.context.trace_flags.sampled
    assert link.attributes == {"why": "resumed"}
    assert readable.instrumentation_scope is not None
    assert readable.instrumentation_scope.name == "otel_agent_events"
    assert readable.instrumentation_scope.version == "1"
    assert readable.instrumentation_scope.schema_url == SCHEMA_URL == "https://opentelemetry.io/schemas/1.41.0"


def test_the_resource_holds_what_the_span_says_and_nothing_of_this_process() -> None:
    assert to_readable(span()).resource.attributes == {"service.name": "support"}


def test_a_root_has_no_parent_and_no_status() -> None:
    readable = to_readable(span())

    assert readable.parent is None
    assert readable.kind is SpanKind.INTERNAL
    assert readable.status.status_code is StatusCode.UNSET


def test_any_exporter_takes_a_readable_span() -> None:
    exporter = InMemorySpanExporter()

    assert exporter.export([to_readable(span())]) is SpanExportResult.SUCCESS
    assert exporter.get_finished_spans()[0].name == "chat"


@settings(deadline=None)
@given(st.lists(any_span(), max_size=3))
def test_the_bytes_are_those_of_the_official_encoder(sent: list[Span]) -> None:
    official = encode_spans([to_readable(each) for each in sent])

    assert ExportTraceServiceRequest.FromString(encode(sent)) == official


@settings(deadline=None)
@given(st.lists(any_span(), max_size=3))
def test_the_same_spans_give_the_same_bytes(sent: list[Span]) -> None:
    again = [replace(each, resource=Resource(dict(each.resource.attributes))) for each in sent]

    assert encode(sent) == encode(again)


def test_spans_of_several_resources_and_traces_go_in_one_request() -> None:
    sent = [
        span(1),
        replace(span(2), trace_id=b"\x07" * 16),
        span(3, resource=OTHER_RESOURCE),
        span(4, resource=Resource(dict(RESOURCE.attributes))),
    ]

    request = ExportTraceServiceRequest.FromString(encode(sent))

    assert [len(each.scope_spans[0].spans) for each in request.resource_spans] == [3, 1]
    assert sorted(ids_of_request(encode(sent))) == sorted(ids(sent))
