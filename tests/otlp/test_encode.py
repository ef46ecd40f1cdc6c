from __future__ import annotations

import enum
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans
from opentelemetry.sdk import resources as sdk_resources
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import SpanKind, StatusCode

from otel_agent_events.otlp import SCHEMA_URL, encode
from otel_agent_events.otlp.encode import Encoder, attribute, request, text_header, varint
from otel_agent_events.otlp.readable import to_readable, to_readables
from otel_agent_events.spans import SCOPE_NAME, SCOPE_VERSION, Link, Resource, Span, SpanEvent
from tests.otlp.examples import (
    OTHER_RESOURCE,
    RESOURCE,
    TRACE,
    any_span,
    ids,
    ids_of_request,
    resources,
    span,
    spans,
    texts,
)

LEAST, MOST = -(2**63), 2**63 - 1


def official(readable: list[ReadableSpan]) -> ExportTraceServiceRequest:
    """Encode with the official encoder, and add what some or all releases of it leave out."""
    told = encode_spans(readable)
    states = {
        (each.context.span_id, number): ",".join(f"{key}={text}" for key, text in link.context.trace_state.items())
        for each in readable
        for number, link in enumerate(each.links)
    }
    for resource_spans in told.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            scope_spans.schema_url = SCHEMA_URL
            for each in scope_spans.spans:
                for number, link in enumerate(each.links):
                    link.trace_state = states[int.from_bytes(each.span_id, "big"), number]
    return told


def official_bytes(sent: list[Span]) -> bytes:
    return official(to_readables(sent)).SerializeToString(deterministic=True)


def with_own_ids(sent: list[Span]) -> list[Span]:
    return [replace(each, span_id=number.to_bytes(8, "big")) for number, each in enumerate(sent, 1)]


# --- the SDK's span -----------------------------------------------------------------------------------


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
            links=(
                Link(
                    trace_id=b"\x04" * 16,
                    span_id=b"\x05" * 8,
                    attributes={"why": "resumed"},
                    trace_flags=1,
                    trace_state="vendor=2",
                    dropped_attributes=4,
                ),
            ),
            trace_state="vendor=1,other=x",
            events=(SpanEvent(name="first word", time=6, attributes={"n": 1}, dropped_attributes=5),),
            dropped_attributes=1,
            dropped_events=2,
            dropped_links=3,
        )
    )

    assert readable.name == "execute_tool search"
    assert readable.kind is SpanKind.CLIENT
    assert readable.context.trace_id == int("01" * 16, 16)
    assert readable.context.span_id == int("02" * 8, 16)
    assert readable.context.trace_flags.sampled
    assert dict(readable.context.trace_state) == {"vendor": "1", "other": "x"}
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
    assert dict(link.context.trace_state) == {"vendor": "2"}
    assert link.attributes == {"why": "resumed"}
    assert link.dropped_attributes == 4
    (event,) = readable.events
    assert (event.name, event.timestamp, event.attributes) == ("first word", 6, {"n": 1})
    assert event.dropped_attributes == 5
    assert (readable.dropped_attributes, readable.dropped_events, readable.dropped_links) == (1, 2, 3)
    assert readable.instrumentation_scope is not None
    assert readable.instrumentation_scope.name == "otel_agent_events"
    assert readable.instrumentation_scope.version == "1"
    assert readable.instrumentation_scope.schema_url == SCHEMA_URL == "https://opentelemetry.io/schemas/1.41.0"


def test_the_resource_holds_what_the_span_says_and_nothing_of_this_process() -> None:
    assert to_readable(span()).resource.attributes == {"service.name": "support"}


def test_readable_spans_of_one_resource_share_it() -> None:
    first, second, third = to_readables([span(1), span(2), span(3, resource=OTHER_RESOURCE)])

    assert first.resource is second.resource
    assert third.resource.attributes == OTHER_RESOURCE.attributes


def test_a_root_has_no_parent_and_no_status() -> None:
    readable = to_readable(span())

    assert readable.parent is None
    assert readable.kind is SpanKind.INTERNAL
    assert readable.status.status_code is StatusCode.UNSET


def test_any_exporter_takes_a_readable_span() -> None:
    exporter = InMemorySpanExporter()

    assert exporter.export([to_readable(span())]) is SpanExportResult.SUCCESS
    assert exporter.get_finished_spans()[0].name == "chat"


# --- the bytes ----------------------------------------------------------------------------------------


@given(st.lists(any_span(), max_size=3))
def test_the_bytes_are_those_of_the_official_encoder(sent: list[Span]) -> None:
    sent = with_own_ids(sent)

    told = official(to_readables(sent))

    assert ExportTraceServiceRequest.FromString(request(sent)) == told
    assert request(sent) == told.SerializeToString(deterministic=True)


@given(st.lists(any_span(), max_size=4), resources)
def test_a_session_is_encoded_span_by_span_to_the_same_request(sent: list[Span], resource: Resource) -> None:
    sent = [replace(each, resource=resource) for each in [span(), *sent]]

    encoded = Encoder().encoded(sent, owner="session", first=7)

    assert (encoded.spans, encoded.owner, encoded.first) == (sent, "session", 7)
    scope_spans = ScopeSpans.FromString(encoded.head.scope + b"".join(encoded.bodies) + encoded.head.scope_end)
    resource_spans = ResourceSpans.FromString(encoded.head.resource + encoded.head.resource_end)
    resource_spans.scope_spans.append(scope_spans)
    assert ExportTraceServiceRequest(resource_spans=[resource_spans]) == ExportTraceServiceRequest.FromString(
        request(sent)
    )
    assert [len(ScopeSpans.FromString(body).spans) for body in encoded.bodies] == [1] * len(sent)


def test_the_head_of_a_resource_is_made_once() -> None:
    encoder = Encoder()

    head = encoder.head(RESOURCE)

    assert encoder.head(RESOURCE) is head
    assert encoder.head(OTHER_RESOURCE) != head
    assert encoder.head(Resource(dict(RESOURCE.attributes))) == head


@pytest.mark.parametrize(
    "told",
    [
        "",
        "\0",
        "é€😀\U0010ffff",
        True,
        False,
        0,
        1,
        -1,
        127,
        128,
        16_383,
        16_384,
        LEAST,
        MOST,
        0.0,
        -0.0,
        5e-324,
        1.7976931348623157e308,
        (),
        ("",),
        ("a", "", "b" * 200),
    ],
    ids=repr,
)
def test_a_value_at_an_edge_is_written_as_the_official_encoder_writes_it(told: Any) -> None:
    sent = [replace(span(), varying={"told": told}, constants={"said": told}, resource=Resource({"of": told}))]

    assert request(sent) == official_bytes(sent)


def test_an_attribute_without_a_name_is_written_as_the_official_encoder_writes_it() -> None:
    sent = [replace(span(1), varying={"": "x"}), replace(span(2), varying={}, constants={"": 1})]

    assert request(sent) == official_bytes(sent)


def test_values_of_other_classes_are_written_as_what_they_are() -> None:
    class Word(enum.StrEnum):
        CHAT = "chat"

    class Number(enum.IntEnum):
        SEVEN = 7

    class Half(float):
        pass

    odd: dict[str, Any] = {"w": Word.CHAT, "n": Number.SEVEN, "h": Half(0.5), "l": ["x", Word.CHAT]}
    plain: dict[str, Any] = {"w": "chat", "n": 7, "h": 0.5, "l": ("x", "chat")}

    assert request([replace(span(), varying=odd)]) == request([replace(span(), varying=plain)])


def test_what_is_not_said_is_written_as_the_official_encoder_leaves_it_out() -> None:
    sent = [
        replace(span(1), name="", start=0, end=0, varying={}),
        replace(span(2), start=0),
        replace(span(3), status="error", description=""),
        replace(span(4), status="error", parent_is_remote=True),  # of a parent that there is not
        replace(span(5), trace_id=bytes(16), parent_id=bytes(8)),
        replace(span(6), events=(SpanEvent(name="", time=0),)),
    ]

    assert request(sent) == official_bytes(sent)


def test_a_remote_parent_and_a_failure_are_told() -> None:
    sent = replace(span(), parent_id=b"\x09" * 8, parent_is_remote=True, status="error", description="it broke")

    (told,) = ScopeSpans.FromString(Encoder().body(sent)).spans

    assert told.parent_span_id == b"\x09" * 8
    assert told.flags == 0x300
    assert (told.status.code, told.status.message) == (2, "it broke")


def test_a_link_tells_its_trace_state_which_the_official_encoder_leaves_out() -> None:
    sent = replace(span(), links=(Link(trace_id=TRACE, span_id=b"\x02" * 8, trace_state="vendor=1"),))

    (told,) = ScopeSpans.FromString(Encoder().body(sent)).spans

    assert told.links[0].trace_state == "vendor=1"


def test_constants_come_before_what_varies_each_in_its_order() -> None:
    sent = replace(span(), constants={"z": "1", "a": 2}, varying={"y": True, "b": "3"})

    (told,) = ScopeSpans.FromString(Encoder().body(sent)).spans

    assert [each.key for each in told.attributes] == ["z", "a", "y", "b"]


def test_a_thousand_links_are_written() -> None:
    links = tuple(
        Link(trace_id=TRACE, span_id=number.to_bytes(8, "big"), attributes={"n": number}) for number in range(1_000)
    )
    sent = [replace(span(), links=links)]

    assert request(sent) == official_bytes(sent)


@pytest.mark.parametrize("boundary", [128, 16_384])
def test_lengths_around_a_boundary_of_varints_are_written_right(boundary: int) -> None:
    encoder = Encoder()
    whole = len(encoder.body(span(content="")))
    for length in range(max(0, boundary - whole - 30), boundary + 3):
        sent = span(content="x" * length)
        told = ScopeSpans(spans=official([to_readable(sent)]).resource_spans[0].scope_spans[0].spans)

        assert encoder.body(sent) == told.SerializeToString(deterministic=True), length


def test_lengths_around_two_mebibytes_are_written_right() -> None:
    boundary = 2**21
    around = len(Encoder().body(span(content="x" * boundary))) - boundary
    near = {boundary + more for more in (-2, -1, 0, 1)} | {boundary - around + more for more in range(-2, 8)}
    for length in near:
        sent = [span(content="x" * length)]

        assert request(sent) == official_bytes(sent), length


def test_a_text_is_as_long_as_its_bytes() -> None:
    sent = [
        span(1, content="é" * 64),
        span(2, content="é" * 63),
        span(3, content="x" * 128),
        span(4, content="😀" * 32),
    ]

    assert request(sent) == official_bytes(sent)


@given(st.integers(LEAST, 2**64 - 1))
def test_a_varint_holds_its_number(number: int) -> None:
    read = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(varint(number)))

    assert read == number % 2**64
    assert [byte >> 7 for byte in varint(number)] == [1] * (len(varint(number)) - 1) + [0]
    assert len(varint(number)) == max(1, -(-read.bit_length() // 7))


@given(texts, texts)
def test_a_text_and_what_stands_before_it_are_the_attribute(name: str, told: str) -> None:
    written = told.encode()

    assert text_header(name, len(written)) + written == attribute(name, told)
    (read,) = (
        ScopeSpans.FromString(b"\x12" + varint(len(attribute(name, told))) + attribute(name, told)).spans[0].attributes
    )
    assert read == KeyValue(key=name, value={"string_value": told})  # type: ignore[arg-type]


def test_spans_of_several_resources_and_traces_go_in_one_request() -> None:
    sent = [
        span(1),
        replace(span(2), trace_id=b"\x07" * 16),
        span(3, resource=OTHER_RESOURCE),
        span(4, resource=Resource(dict(RESOURCE.attributes))),
        span(5, resource=Resource(dict(reversed(list(OTHER_RESOURCE.attributes.items()))))),
        span(6, resource=Resource({"service.name": "support", "n": 1})),
        span(7, resource=Resource({"service.name": "support", "n": True})),
    ]

    told = ExportTraceServiceRequest.FromString(request(sent))

    assert [len(each.scope_spans[0].spans) for each in told.resource_spans] == [3, 2, 1, 1]
    assert sorted(ids_of_request(request(sent))) == sorted(ids(sent))
    assert request(sent) == official_bytes(sent)


def test_no_spans_are_an_empty_request() -> None:
    assert request([]) == b"" == official_bytes([])


class _Numbered(IdGenerator):
    def __init__(self) -> None:
        self._last = 0

    def generate_span_id(self) -> int:
        self._last += 1
        return self._last

    def generate_trace_id(self) -> int:
        return int.from_bytes(TRACE, "big")


def test_the_message_is_the_one_of_the_sdk_tracers_own_spans() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(
        resource=sdk_resources.Resource(RESOURCE.attributes), id_generator=_Numbered(), shutdown_on_exit=False
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer(SCOPE_NAME, SCOPE_VERSION, SCHEMA_URL)
    theirs = trace.SpanContext(
        int.from_bytes(TRACE, "big"),
        0xABC,
        is_remote=True,
        trace_flags=trace.TraceFlags(1),
        trace_state=trace.TraceState([("vendor", "1")]),
    )
    elsewhere = trace.SpanContext(0x77, 0x88, is_remote=True, trace_flags=trace.TraceFlags(1))
    root = tracer.start_span(
        "invoke_agent support",
        context=trace.set_span_in_context(trace.NonRecordingSpan(theirs)),
        attributes={"session.id": "s1", "n": 5, "half": -0.5, "yes": True, "several": ["a", ""], "none": ()},
        links=[trace.Link(elsewhere, {"why": "resumed"})],
        start_time=1_000,
    )
    child = tracer.start_span(
        "chat",
        context=trace.set_span_in_context(root),
        kind=SpanKind.CLIENT,
        attributes={"text": "é"},
        start_time=1_100,
    )
    child.add_event("first word", {"n": 1}, timestamp=1_150)
    child.set_status(StatusCode.ERROR, "it broke")
    child.end(end_time=1_200)
    root.end(end_time=1_300)
    provider.shutdown()
    made = list(exporter.get_finished_spans())

    ours = [
        Span(
            trace_id=TRACE,
            span_id=(2).to_bytes(8, "big"),
            parent_id=(1).to_bytes(8, "big"),
            name="chat",
            kind="client",
            start=1_100,
            end=1_200,
            varying={"text": "é"},
            resource=RESOURCE,
            status="error",
            description="it broke",
            trace_state="vendor=1",
            events=(SpanEvent(name="first word", time=1_150, attributes={"n": 1}),),
        ),
        Span(
            trace_id=TRACE,
            span_id=(1).to_bytes(8, "big"),
            parent_id=(0xABC).to_bytes(8, "big"),
            parent_is_remote=True,
            name="invoke_agent support",
            kind="internal",
            start=1_000,
            end=1_300,
            constants={"session.id": "s1", "n": 5},
            varying={"half": -0.5, "yes": True, "several": ("a", ""), "none": ()},
            resource=RESOURCE,
            links=(
                Link(
                    trace_id=(0x77).to_bytes(16, "big"),
                    span_id=(0x88).to_bytes(8, "big"),
                    attributes={"why": "resumed"},
                ),
            ),
            trace_state="vendor=1",
        ),
    ]

    assert ExportTraceServiceRequest.FromString(request(ours)) == official(made)
    assert request(ours) == official(made).SerializeToString(deterministic=True)


# --- what is remembered -------------------------------------------------------------------------------

_alike: st.SearchStrategy[Any] = st.sampled_from(
    [True, False, 0, 1, 0.0, -0.0, 1.0, "", "1", "é", "ab", (), ("1",), 127]
)
_few = st.dictionaries(st.sampled_from(["a", "b", "é"]), _alike, max_size=3)
_similar = st.builds(
    lambda made, name, kind, constants, varying: replace(
        made, name=name, kind=kind, constants=constants, varying=varying
    ),
    any_span(),
    st.sampled_from(["", "chat", "é"]),
    st.sampled_from(["internal", "client"]),
    _few,
    _few,
)


@given(st.lists(_similar, min_size=1, max_size=6), st.sampled_from([1, 2, 20_000]))
def test_equal_spans_give_equal_bytes_whatever_was_encoded_before(sent: list[Span], most: int) -> None:
    encoder = Encoder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode, "_MOST_ENTRIES", most)
        patch.setattr(encode, "_MOST_MAPPINGS", most)

        told = [encoder.body(each) for each in [*sent, *sent]]

    assert told == [Encoder().body(each) for each in [*sent, *sent]]


@given(st.lists(any_span(), max_size=3))
def test_the_same_spans_give_the_same_bytes(sent: list[Span]) -> None:
    again = [replace(each, resource=Resource(dict(each.resource.attributes))) for each in sent]

    assert request(sent) == request(again)


def test_constants_that_came_and_went_are_not_taken_for_others() -> None:
    encoder = Encoder()

    for number in range(1_000):  # each mapping is gone before the next one is made
        sent = replace(span(resource=Resource({"n": number})), constants={"n": number})

        (told,) = ScopeSpans.FromString(encoder.body(sent)).spans
        assert told.attributes[0].value.int_value == number
        told_of = ResourceSpans.FromString(encoder.head(sent.resource).resource).resource
        assert told_of.attributes[0].value.int_value == number


def test_what_is_remembered_stays_bounded_whatever_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "_MOST_ENTRIES", 50)
    monkeypatch.setattr(encode, "_MOST_MAPPINGS", 20)
    monkeypatch.setattr(encode, "_MOST_BYTES", 10_000)
    encoder = Encoder()

    for number in range(500):
        sent = replace(
            span(number + 1, content="x" * number, resource=Resource({"name": f"{number}" * 300})),
            name=f"chat {number}",
            constants={"text": "y" * 1_000},
            varying={f"text{number}": "x", f"truth{number}": True, "number": number, "z" * 600 + f"{number}": "x"},
        )
        encoder.encoded([sent])

        caches = (encoder._texts, encoder._truths, encoder._numbers, encoder._names)
        assert all(len(cache) <= 50 for cache in caches)
        assert all(len(blob) <= 512 for cache in caches for blob in cache.values())
        assert len(encoder._constants) <= 20
        assert len(encoder._heads) <= 20
        assert sum(len(blob) for _, blob in encoder._constants.values()) <= 10_000 + 1_100
        assert sum(len(head.resource) for _, head in encoder._heads.values()) <= 10_000 + 1_100


def test_the_encoder_imports_neither_the_sdk_nor_protobuf_nor_grpc() -> None:
    code = (
        "import sys, otel_agent_events.otlp.encode\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'opentelemetry', 'google', 'grpc', 'httpx'}))"
    )

    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)

    assert done.stdout == "[]\n"


def test_spans_are_encoded_in_their_order() -> None:
    assert ids_of_request(request(spans(5))) == ids(spans(5))
