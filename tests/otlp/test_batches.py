from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from otel_agent_events.otlp import Head
from otel_agent_events.otlp.batches import (
    AROUND,
    SHORTENED,
    Share,
    around,
    fitting,
    halves,
    parted,
    request,
    shared_out,
    shorten,
    span_id,
    whole,
)
from tests.otlp.bodies import HEAD, TRACE, bodies, body, head, ids, message, packed, spans_of

HEADS = [head("one"), head("two" * 60), Head(resource=b"", scope=b"")]

runs = st.lists(st.tuples(st.sampled_from(HEADS), st.integers(0, 300), st.integers(0, 3)), max_size=6)


def unpacked(shorter: bytes | None) -> Span:
    assert shorter is not None
    (span,) = ScopeSpans.FromString(shorter).spans
    return span


def attribute(span: Span, name: str) -> AnyValue:
    (found,) = (pair.value for pair in span.attributes if pair.key == name)
    return found


# --- requests -----------------------------------------------------------------------------------------


@given(runs)
def test_a_request_is_what_protobuf_makes_of_it(told: list[tuple[Head, int, int]]) -> None:
    expected = ExportTraceServiceRequest()
    before = None
    for each, size, count in told:
        if each != before:
            resource = expected.resource_spans.add()
            resource.MergeFromString(each.resource + each.resource_end)
            scope = resource.scope_spans.add()
            scope.MergeFromString(each.scope + each.scope_end)
            before = each
        scope.spans.extend(message(number, "x" * size) for number in range(1, count + 1))

    made = request((each, bodies(count, size=size)) for each, size, count in told)

    assert made == expected.SerializeToString()


def test_equal_heads_that_follow_each_other_are_written_once() -> None:
    made = ExportTraceServiceRequest.FromString(
        request([(HEAD, bodies(1)), (head(), bodies(1)), (head("other"), bodies(1)), (HEAD, bodies(1))])
    )

    assert [[len(scope.spans) for scope in each.scope_spans] for each in made.resource_spans] == [[2], [1], [1]]


@given(st.sampled_from(HEADS), st.integers(0, 40), st.integers(0, 400))
def test_a_head_takes_no_more_than_was_reckoned(each: Head, count: int, size: int) -> None:
    several = bodies(count, size=size)

    assert len(request([(each, several)])) <= sum(map(len, several)) + around(each)


@given(st.lists(st.integers(0, 20_000), max_size=5) | st.just([2_097_100, 2_097_152, 2_097_200]))
def test_the_id_of_a_span_is_read_whatever_its_length(sizes: list[int]) -> None:
    several = [body(number, "x" * size) for number, size in enumerate(sizes, 1)]

    assert [(TRACE, span_id(each)) for each in several] == ids(len(sizes))


def test_what_has_no_id_is_told_without_one() -> None:
    assert [span_id(packed(Span(name="no ids"))), span_id(b"\x12\x02\xff\xff")] == [b"", b""]


# --- pieces -------------------------------------------------------------------------------------------

pieces = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 50)), min_size=1, max_size=4).map(
    lambda told: [Share(HEAD, bodies(count, size=size), owner, 10) for owner, (count, size) in enumerate(told)]
)


def flat(piece: list[Share]) -> list[tuple[object, int, bytes]]:
    return [(share.owner, share.first + at, each) for share in piece for at, each in enumerate(share.bodies)]


@given(pieces, st.integers(0, 30))
def test_two_parts_are_the_whole_and_no_share_is_empty(piece: list[Share], place: int) -> None:
    before, after = parted(piece, place)

    assert flat(before) + flat(after) == flat(piece)
    assert len(flat(before)) == min(place, len(flat(piece)))
    assert all(share.bodies for share in before + after)


@given(pieces, st.booleans())
def test_halves_have_a_span_each_and_one_of_them_is_at_most_half(
    piece: list[Share],
    by_bytes: bool,  # noqa: FBT001
) -> None:
    if len(flat(piece)) == 1:
        return

    before, after = halves(piece, by_bytes=by_bytes)

    assert flat(before) + flat(after) == flat(piece)
    assert before
    assert after
    if not by_bytes:
        assert abs(len(flat(before)) - len(flat(after))) <= 1


@given(pieces, st.integers(1, 2_000))
def test_the_first_spans_that_fit_make_a_request_that_is_not_larger(piece: list[Share], most_bytes: int) -> None:
    count = fitting(piece, most_bytes)

    before, after = parted(piece, count)
    assert count == 1 or len(whole(before)) <= most_bytes
    if after and len(piece) == 1:
        assert len(whole(parted(piece, count + 1)[0])) > most_bytes - AROUND


@given(st.integers(-3, 40), st.lists(st.integers(0, 9), max_size=6))
def test_what_is_shared_out_goes_one_each_in_turn(number: int, sizes: list[int]) -> None:
    expected, left = [0] * len(sizes), min(max(number, 0), sum(sizes))
    while left:
        for place, size in enumerate(sizes):
            if left and expected[place] < size:
                expected[place] += 1
                left -= 1

    assert shared_out(number, sizes) == expected


# --- shortening ---------------------------------------------------------------------------------------


def test_a_span_is_shortened_where_it_is_longest_and_says_so() -> None:
    span = message(7, "é" * 50_000)
    span.attributes.append(KeyValue(key="model", value=AnyValue(string_value="small")))

    shorter = shorten(packed(span), 10_000)
    made = unpacked(shorter)

    assert 9_000 < len(shorter or b"") < 10_200
    assert set(attribute(made, "content").string_value) == {"é"}
    assert attribute(made, "content.original_length").int_value == 100_000
    assert attribute(made, "model").string_value == "small"
    assert attribute(made, SHORTENED).bool_value
    assert (made.trace_id, made.span_id, made.name) == (span.trace_id, span.span_id, span.name)
    assert [pair.key for pair in made.attributes] == ["content", "model", SHORTENED, "content.original_length"]


def test_cut_json_is_the_json_string_of_its_beginning() -> None:
    told = json.dumps([{"text": 'a "quoted"\nword'}] * 500)
    quoted = json.dumps('é"\\\n' * 2_000)

    made = unpacked(shorten(packed(message(1, told)), 1_000))
    cut = json.loads(attribute(made, "content").string_value)
    made_of_string = unpacked(shorten(packed(message(1, quoted)), 1_000))
    cut_string = json.loads(attribute(made_of_string, "content").string_value)

    assert told.startswith(cut)
    assert len(cut) > 400
    assert ('é"\\\n' * 2_000).startswith(cut_string)
    assert len(cut_string) > 300


def test_what_only_looks_like_json_is_cut_as_words() -> None:
    deep = "[" * 100_000

    made = unpacked(shorten(packed(message(1, deep)), 1_000))

    assert set(attribute(made, "content").string_value) == {"["}


def test_a_length_that_is_there_already_stays() -> None:
    span = message(1, "x" * 5_000)
    span.attributes.append(KeyValue(key="content.original_length", value=AnyValue(int_value=77_777)))

    made = unpacked(shorten(packed(span), 1_000))

    assert attribute(made, "content.original_length").int_value == 77_777


def test_no_more_than_128_attributes_are_left() -> None:
    span = Span(
        trace_id=TRACE,
        span_id=b"12345678",
        attributes=[KeyValue(key=f"k{number}", value=AnyValue(string_value="x" * 900)) for number in range(126)],
    )

    made = unpacked(shorten(packed(span), 20_000))

    assert len(made.attributes) == 128
    assert attribute(made, SHORTENED).bool_value
    assert attribute(made, "k0.original_length").int_value == 900


def test_texts_within_anything_are_cut() -> None:
    long = "y" * 9_000
    nested = AnyValue(
        kvlist_value=KeyValueList(
            values=[
                KeyValue(key="a", value=AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=long)] * 2))),
                KeyValue(key="b", value=AnyValue(bytes_value=b"\xff" * 9_000)),
            ]
        )
    )
    span = Span(trace_id=TRACE, span_id=b"12345678", name=long, attributes=[KeyValue(key="deep", value=nested)])
    span.status.message = long
    span.events.add(name="e").attributes.append(KeyValue(key="x", value=AnyValue(string_value=long)))
    span.links.add().attributes.append(KeyValue(key="x", value=AnyValue(string_value=long)))

    shorter = shorten(packed(span), 4_000)
    made = unpacked(shorter)

    assert len(shorter or b"") < 4_200
    assert 400 < len(made.name) == len(made.status.message) < 700
    assert attribute(made, "deep.original_length").int_value == 27_000


def test_what_has_no_texts_to_cut_is_not_shortened() -> None:
    span = Span(
        trace_id=TRACE, attributes=[KeyValue(key="k", value=AnyValue(int_value=number)) for number in range(200)]
    )

    assert shorten(packed(span), 1_000) is None
    assert shorten(b"\x12\x02\xff\xff", 1_000) is None


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)


@given(
    st.lists(texts | texts.map(json.dumps) | st.lists(texts, max_size=3).map(json.dumps), max_size=5),
    st.integers(0, 1_500),
)
def test_a_shortened_span_is_a_span_that_is_shorter(contents: list[str], most: int) -> None:
    span = message(1)
    span.attributes.extend(KeyValue(key=str(at), value=AnyValue(string_value=each)) for at, each in enumerate(contents))
    told = packed(span)

    shorter = shorten(told, most)

    if shorter is not None:
        made = unpacked(shorter)
        assert len(shorter) < len(told)
        assert attribute(made, SHORTENED).bool_value
        assert spans_of(request([(HEAD, [shorter])])) == [made]
        for at, each in enumerate(contents):
            cut = attribute(made, str(at)).string_value
            assert cut == each or attribute(made, f"{at}.original_length").int_value == len(each.encode())
            if cut != each and each[:1] in {"[", '"'}:
                assert isinstance(json.loads(cut), str)


def test_resources_keep_their_place() -> None:
    made = ExportTraceServiceRequest.FromString(request([(HEAD, bodies(2))]))

    assert made.resource_spans[0].schema_url == "https://schema"
    assert made.resource_spans[0].scope_spans[0].scope.name == "tests"
