from __future__ import annotations

import base64
import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status, TracesData

from otel_agent_events.errors import ReadError
from otel_agent_events.otlp import Head
from otel_agent_events.otlp.encode import Encoder
from otel_agent_events.otlp.file import LineWriter
from otel_agent_events.otlp.lines import read, written
from tests.otlp.bodies import HEAD, body, head, packed
from tests.otlp.examples import any_span

if TYPE_CHECKING:
    from otel_agent_events.spans import Span as OurSpan

# --- any OTLP -----------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
counts = st.integers(0, 2**32 - 1)
values = st.recursive(
    st.builds(AnyValue)
    | st.builds(AnyValue, string_value=texts)
    | st.builds(AnyValue, bool_value=st.booleans())
    | st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1))
    | st.builds(AnyValue, double_value=st.floats(allow_nan=False) | st.just(math.nan))
    | st.builds(AnyValue, bytes_value=st.binary(max_size=5)),
    lambda inner: (
        st.builds(AnyValue, array_value=st.builds(ArrayValue, values=st.lists(inner, max_size=2)))
        | st.builds(
            AnyValue,
            kvlist_value=st.builds(
                KeyValueList, values=st.lists(st.builds(KeyValue, key=texts, value=inner), max_size=2)
            ),
        )
    ),
    max_leaves=4,
)
attributes = st.lists(st.builds(KeyValue, key=texts, value=values), max_size=3)
trace_ids = st.binary(min_size=16, max_size=16)
span_ids = st.binary(min_size=8, max_size=8)
events = st.builds(
    Span.Event,
    time_unix_nano=st.integers(0, 2**64 - 1),
    name=texts,
    attributes=attributes,
    dropped_attributes_count=counts,
)
links = st.builds(
    Span.Link,
    trace_id=trace_ids,
    span_id=span_ids,
    trace_state=texts,
    attributes=attributes,
    dropped_attributes_count=counts,
    flags=counts,
)
any_message = st.builds(
    Span,
    trace_id=trace_ids,
    span_id=span_ids,
    trace_state=texts,
    parent_span_id=st.just(b"") | span_ids,
    flags=counts,
    name=texts,
    kind=st.integers(0, 5),
    start_time_unix_nano=st.integers(0, 2**64 - 1),
    end_time_unix_nano=st.integers(0, 2**64 - 1),
    attributes=attributes,
    dropped_attributes_count=counts,
    events=st.lists(events, max_size=2),
    dropped_events_count=counts,
    links=st.lists(links, max_size=2),
    dropped_links_count=counts,
    status=st.none() | st.builds(Status, message=texts, code=st.integers(0, 2)),
)


@st.composite
def any_head(draw: st.DrawFn) -> Head:
    resource = draw(st.none() | st.builds(Resource, attributes=attributes, dropped_attributes_count=counts))
    scope = draw(st.none() | st.builds(InstrumentationScope, name=texts, version=texts, attributes=attributes))
    return Head(
        resource=ResourceSpans(resource=resource).SerializeToString(),
        scope=ScopeSpans(scope=scope).SerializeToString(),
        scope_end=ScopeSpans(schema_url=draw(texts)).SerializeToString(),
        resource_end=ResourceSpans(schema_url=draw(texts)).SerializeToString(),
    )


@given(any_head(), st.lists(any_message, min_size=1, max_size=3))
def test_what_is_written_and_read_again_has_the_same_bytes(around: Head, spans: list[Span]) -> None:
    bodies = [packed(span) for span in spans]

    lines = list(written(around, bodies))

    assert len(lines) == len(bodies)
    assert all(line.endswith("\n") and len(line.splitlines()) == 1 for line in lines)
    assert [read(line.encode()) for line in lines] == [[(around, [body])] for body in bodies]


@given(any_head(), any_message)
def test_protobufs_own_reader_reads_the_same_from_a_line(around: Head, span: Span) -> None:
    (line,) = written(around, [packed(span)])

    expected = ResourceSpans.FromString(around.resource + around.resource_end)
    expected.scope_spans.append(ScopeSpans.FromString(around.scope + packed(span) + around.scope_end))
    assert (
        by_protobuf(json.loads(line)).SerializeToString() == TracesData(resource_spans=[expected]).SerializeToString()
    )


def by_protobuf(told: dict[str, Any]) -> TracesData:
    """Read a line with protobuf's own parser, which wants ids in base64."""
    for span in told["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        for part in (span, *span.get("links", ())):
            for name in ("traceId", "spanId", "parentSpanId"):
                if name in part:
                    part[name] = base64.b64encode(bytes.fromhex(part[name])).decode()
    return json_format.ParseDict(told, TracesData())


@given(st.lists(any_span(), min_size=1, max_size=2))
def test_a_line_from_the_bytes_is_the_line_that_a_file_gets(spans: list[OurSpan]) -> None:
    encoder = Encoder()
    for span in spans:
        (line,) = written(encoder.head(span.resource), [encoder.body(span)])

        assert line == LineWriter().line(span)
        assert read(line.encode()) == [(encoder.head(span.resource), [encoder.body(span)])]


@given(any_head(), any_message)
def test_fields_in_another_order_are_the_same_span(around: Head, span: Span) -> None:
    fields = [Span(**{name.name: told}) for name, told in span.ListFields()]
    # What is written twice in protobuf is merged: so each field may stand anywhere.
    shuffled = b"".join(field.SerializeToString() for field in reversed(fields))
    scope_spans = ScopeSpans()
    scope_spans.spans.append(Span.FromString(shuffled))
    length = len(shuffled)
    prefix = bytearray(b"\x12")
    while length > 0x7F:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)

    (line,) = written(around, [bytes(prefix) + shuffled])

    assert read(line.encode()) == [(around, [packed(span)])]


def test_bytes_that_are_no_otlp_are_told() -> None:
    with pytest.raises(ReadError, match="its bytes are no OTLP"):
        list(written(HEAD, [b"\x12\x05ab"]))


# --- what others write --------------------------------------------------------------------------------

COLLECTOR = (  # as the file exporter of a collector writes it
    '{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},'
    '"scopeSpans":[{"scope":{"name":"io.http","version":"2.1.0"},"spans":['
    '{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","parentSpanId":"","flags":1,'
    '"name":"GET /","kind":2,"startTimeUnixNano":"1544712660000000000","endTimeUnixNano":"1544712661000000000",'
    '"attributes":[{"key":"ok","value":{"boolValue":true}},{"key":"n","value":{"intValue":"9007199254740993"}},'
    '{"key":"d","value":{"doubleValue":0.5}},{"key":"l","value":{"arrayValue":{"values":[{"stringValue":"a"}]}}}],'
    '"events":[{"timeUnixNano":"1544712660500000000","name":"cached"}],"status":{}},'
    '{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b175","parentSpanId":"eee19b7ec3c1b174",'
    '"name":"query","kind":3,"startTimeUnixNano":"1544712660100000000","endTimeUnixNano":"1544712660200000000",'
    '"status":{"code":2,"message":"no rows"}}]},'
    '{"scope":{"name":"io.sql"},"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b176",'
    '"name":"plan"}]}]},'
    '{"resource":{},"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c",'
    '"spanId":"eee19b7ec3c1b177"}],"schemaUrl":"https://opentelemetry.io/schemas/1.26.0"}]}]}'
)


def spans_of(line: str | bytes) -> list[Span]:
    told = line if isinstance(line, bytes) else line.encode()
    return [span for _, bodies in read(told) for body in bodies for span in ScopeSpans.FromString(body).spans]


def test_a_line_of_a_collector_holds_several_resources_scopes_and_spans() -> None:
    (http, two), (sql, one), (bare, last) = read(COLLECTOR.encode())

    assert [len(two), len(one), len(last)] == [2, 1, 1]
    assert ResourceSpans.FromString(http.resource).resource.attributes[0].value.string_value == "shop"
    assert ScopeSpans.FromString(http.scope).scope == InstrumentationScope(name="io.http", version="2.1.0")
    assert http.resource == sql.resource
    assert (bare.resource, bare.scope) == (ResourceSpans(resource=Resource()).SerializeToString(), b"")
    assert ScopeSpans.FromString(bare.scope_end).schema_url == "https://opentelemetry.io/schemas/1.26.0"
    first, second, third, _ = spans_of(COLLECTOR)
    assert first.attributes[1].value.int_value == 9007199254740993
    assert first.events[0].time_unix_nano == 1544712660500000000
    assert first.HasField("status")
    assert (second.status.code, second.status.message) == (2, "no rows")
    assert not third.HasField("status")


def one(**fields: Any) -> str:
    """Return a line with one span that has these fields."""
    span = {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", **fields}
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})


def test_names_as_in_the_protocol_numbers_and_names_of_enumerations_are_read_alike() -> None:
    usual = one(kind=3, startTimeUnixNano="1544712660000000001", status={"code": 2}, droppedLinksCount=4)
    other = one(kind="SPAN_KIND_CLIENT", start_time_unix_nano=1544712660000000001, dropped_links_count="4")
    other = other.replace('"kind"', '"status": {"code": "STATUS_CODE_ERROR"}, "kind"')
    snake = other.replace("resourceSpans", "resource_spans").replace("scopeSpans", "scope_spans")
    snake = snake.replace("traceId", "trace_id").replace("spanId", "span_id")

    assert read(usual.encode()) == read(other.encode()) == read(snake.encode())


@pytest.mark.parametrize("spelled", ["1700000000123456789", '"1700000000123456789"', "1.700000000123456789e18"])
def test_large_numbers_are_exact_however_they_are_spelled(spelled: str) -> None:
    (span,) = spans_of(one(startTimeUnixNano="TIME").replace('"TIME"', spelled))

    assert span.start_time_unix_nano == 1700000000123456789


def test_what_nobody_knows_and_what_is_null_is_ignored() -> None:
    line = one(name="n", novelty={"deep": [1]}, status=None, attributes=None, events=[])

    assert spans_of(line) == spans_of(one(name="n"))


def test_unpaired_surrogates_become_the_escapes_that_they_were() -> None:
    attribute = {"key": "k\ud800", "value": {"stringValue": "a\udfffb"}}
    (span,) = spans_of(one(name="\ud83d", attributes=[attribute]))

    assert span.name == "\\ud83d"
    assert [(pair.key, pair.value.string_value) for pair in span.attributes] == [("k\\ud800", "a\\udfffb")]


def test_not_a_number_and_infinity_are_texts() -> None:
    attributes = [{"key": "d", "value": {"doubleValue": told}} for told in ("NaN", "Infinity", "-Infinity", 1, "2.5")]
    (span,) = spans_of(one(attributes=attributes))

    assert str([pair.value.double_value for pair in span.attributes]) == "[nan, inf, -inf, 1.0, 2.5]"


def test_heads_that_are_equal_are_the_same_object_from_line_to_line() -> None:
    (line,) = written(HEAD, [body(1)])
    (other,) = written(head("sales"), [body(2)])

    heads = [read(each.encode())[0][0] for each in (line, other, line)]

    assert heads[0] is heads[2]
    assert heads[0] is not heads[1]
    assert read(line.replace(",", ", ").encode())[0][0] is heads[0]


@pytest.mark.parametrize("line", ["{}", '{"resourceSpans":[]}', '{"resourceSpans":null}', '{"resourceSpans":[{}]}'])
def test_a_line_may_hold_no_span(line: str) -> None:
    assert read(line.encode()) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "it is no JSON; every line holds one object, as `jq -c .` writes it"),
        ("{", "it is no JSON; every line holds one object, as `jq -c .` writes it"),
        ("[" * 100_000, "it is no JSON; every line holds one object, as `jq -c .` writes it"),
        ('"\xff"', "it is no JSON; every line holds one object, as `jq -c .` writes it"),
        ("[]", "it is no JSON object"),
        ('{"resourceLogs":[]}', "there are no spans in it: it has no resourceSpans"),
        ('{"resourceSpans":5}', "resourceSpans is no list"),
        ('{"resourceSpans":[5]}', "resourceSpans is no object"),
        ('{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"n"}]}]}]}', "a span has no traceId or no spanId"),
        (one(traceId="5b8e"), "traceId is not 32 hex digits"),
        (one(spanId="7uGbfsPBsXQ="), "spanId is not 16 hex digits"),
        (one(spanId=5), "spanId is not 16 hex digits"),
        (one(name=5), "name is no text"),
        (one(startTimeUnixNano=-1), "startTimeUnixNano is out of range"),
        (one(startTimeUnixNano=2**64), "startTimeUnixNano is out of range"),
        (one(startTimeUnixNano=1.5), "startTimeUnixNano is no integer"),
        (one(startTimeUnixNano=True), "startTimeUnixNano is no integer"),
        (one(startTimeUnixNano="1e999999999"), "startTimeUnixNano is no integer"),
        (one(startTimeUnixNano="soon"), "startTimeUnixNano is no integer"),
        (one(kind="NOISE"), "kind is no integer"),
        (one(attributes={}), "attributes is no list"),
        (one(attributes=[{"key": "k", "value": {"intValue": 2**63}}]), "intValue is out of range"),
        (one(attributes=[{"key": "k", "value": {"boolValue": 1}}]), "boolValue is neither true nor false"),
        (one(attributes=[{"key": "k", "value": {"doubleValue": "x"}}]), "doubleValue is no number"),
        (one(attributes=[{"key": "k", "value": {"bytesValue": "?"}}]), "bytesValue is not base64"),
    ],
)
def test_what_is_no_otlp_is_told_without_quoting_it(line: str, words: str) -> None:
    with pytest.raises(ReadError) as raised:
        read(line.encode("latin-1"))

    assert str(raised.value) == words


def test_a_value_that_is_nested_too_deeply_is_told() -> None:
    value: dict[str, Any] = {"stringValue": "x"}
    for _ in range(200):
        value = {"arrayValue": {"values": [value]}}
    told = one(attributes=[{"key": "k", "value": value}])

    with pytest.raises(ReadError, match="nested too deeply"):
        read(told.encode())


@pytest.mark.parametrize("depth", [1, 30, 44])
def test_what_can_be_read_can_be_written_however_deep_it_is(depth: int) -> None:
    value: dict[str, Any] = {"stringValue": "x"}
    for _ in range(depth):
        value = {"arrayValue": {"values": [value]}}
    ((around, bodies),) = read(one(attributes=[{"key": "k", "value": value}]).encode())

    (line,) = written(around, bodies)

    assert read(line.encode()) == [(around, bodies)]
