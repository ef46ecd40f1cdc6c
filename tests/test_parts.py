"""A session that is too large for its store goes out in parts: linked traces, each with a root of its own."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agent_events import UsageError, replay
from otel_agent_events import run as running
from otel_agent_events.conventions import CONVENTIONS
from otel_agent_events.conversion import Conversion, Options
from otel_agent_events.events import EventLink
from otel_agent_events.fetchers import Answer
from otel_agent_events.ids import ROOT, event_key, span_id
from otel_agent_events.otlp.encode import Encoder
from otel_agent_events.sources import Source
from tests.events import REFERENCE, agent, call, note, result, session, sessions_of_events, user
from tests.otlp.collectors import http_collector
from tests.reruns import recorded
from tests.traces import lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from opentelemetry.proto.trace.v1 import trace_pb2

    from otel_agent_events.events import Event
    from otel_agent_events.fetchers import Item
    from otel_agent_events.spans import Span
    from tests.otlp.collectors import Collector

OWN = "otel_agent_events."
COUNTERS = ("event_count", "turn_count", "tool_call_count", "tool_error_count", "missing_output_count")
LIMIT = 50_000
"""Bytes of a part of the saved session, which has some 200 000."""


# --- how a session is split ---------------------------------------------------------------------------


class Told:
    """A platform whose one answer is a session with these events."""

    name = "vectara"
    duplicates = 0

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = items

    def reader(self, _: object) -> Told:
        return self

    def feed(self, _: object) -> Sequence[Item]:
        return self._items

    def close(self) -> Sequence[Item]:
        return ()


@dataclass
class Part:
    """The spans of one trace, as they were given, and the bytes of each."""

    spans: list[Span]
    sizes: list[int]

    @property
    def root(self) -> Span:
        (root,) = (span for span in self.spans if span.parent_id is None)
        return root

    @property
    def children(self) -> list[Span]:
        return [span for span in self.spans if span.parent_id is not None]

    @property
    def size(self) -> int:
        return sum(self.sizes)


def split(
    events: Sequence[Event], max_trace_bytes: int | None, *, most: int = 2_000, **options: Any
) -> tuple[list[Part], Conversion]:
    """Convert a session, and put the spans of each trace together."""
    told = Options(max_trace_bytes=max_trace_bytes, **options)
    answers = [Answer(label="events", body=None, source="a test")]
    source = Source(reference=REFERENCE, fetcher=Told([session(), *events]), answers=answers)
    conversion = Conversion(source, told, [CONVENTIONS.get("gen_ai")], encoder=Encoder())
    parts: dict[bytes, Part] = {}
    place = 0
    for encoded in conversion.encoded(most=most):
        assert encoded.first == place
        place += len(encoded.bodies)
        for span, body in zip(encoded.spans, encoded.bodies, strict=True):
            part = parts.setdefault(span.trace_id, Part([], []))
            part.spans.append(span)
            part.sizes.append(len(body))
    assert list(parts) == conversion.trace_ids
    return list(parts.values()), conversion


def converted(items: Sequence[Item], max_trace_bytes: int) -> Conversion:
    """Begin to convert what a platform tells of a session, its facts included."""
    answers = [Answer(label="events", body=None, source="a test")]
    source = Source(reference=REFERENCE, fetcher=Told(items), answers=answers)
    told = Options(max_trace_bytes=max_trace_bytes)
    return Conversion(source, told, [CONVENTIONS.get("gen_ai")], encoder=Encoder())


def chat(exchanges: int, words: str = "hello") -> list[Event]:
    """Ask, call, answer, so many times."""
    events: list[Event] = []
    for number in range(exchanges):
        begin = 10.0 * number
        events += [
            user(f"u{number}", begin, words),
            call(f"c{number}", begin + 1, f"id{number}"),
            result(f"r{number}", begin + 2, f"id{number}", failed=number % 3 == 0),
            agent(f"a{number}", begin + 3, words),
        ]
    return events


def own(span: Span, name: str) -> Any:
    return span.attributes.get(OWN + name)


def without_ids(span: Span) -> dict[str, Any]:
    """Say everything of a span but which part it is in."""
    return {
        "name": span.name,
        "kind": span.kind,
        "start": span.start,
        "end": span.end,
        "status": span.status,
        "description": span.description,
        "attributes": {name: told for name, told in span.attributes.items() if name != OWN + "view"},
    }


def indexes(parts: Sequence[Part]) -> list[int]:
    """Give the place of every event in the session, as the spans tell them, in order."""
    told = [
        own(span, name)
        for part in parts
        for span in part.children
        for name in ("event.index", "result.event.index")
        if own(span, name) is not None
    ]
    return sorted(told)


def check(events: Sequence[Event], parts: Sequence[Part], whole: Part, limit: int, *, turns: bool = False) -> None:
    """Hold the parts of a session against what is promised of them, and against the session in one piece."""
    assert indexes(parts) == list(range(1, len(events) + 1))
    children = [without_ids(span) for part in parts for span in part.children]
    assert children == [without_ids(span) for span in whole.children]
    for name in COUNTERS:
        told = [own(part.root, f"session.{name}") for part in parts]
        assert sum(told) == own(whole.root, f"session.{name}"), (name, told)
    ids = [span.span_id for part in parts for span in part.spans]
    assert len(ids) == len(set(ids))
    for number, part in enumerate(parts, 1):
        assert part.spans[-1] is part.root
        assert own(part.root, "session.part") == number
        assert part.size <= limit or len(part.children) <= 1 or turns
        within = {span.span_id for span in part.spans}
        for span in part.children:
            assert span.parent_id in within
            assert part.root.start <= span.start <= span.end <= part.root.end
    for before, after in pairwise(parts):
        assert [(link.trace_id, link.span_id) for link in after.root.links] == [
            (before.root.trace_id, before.root.span_id)
        ]
    assert parts[0].root.links == ()
    assert min(part.root.start for part in parts) == whole.root.start
    assert max(part.root.end for part in parts) == whole.root.end


@given(
    events=sessions_of_events(),
    limit=st.integers(1_000, 8_000),
    turns=st.booleans(),
    most=st.sampled_from([1, 5, 2_000]),
)
def test_no_event_is_lost_or_doubled_by_splitting(events: list[Event], limit: int, turns: bool, most: int) -> None:  # noqa: FBT001
    parts, conversion = split(events, limit, turns=turns, most=most)
    (whole,), unsplit = split(events, None, turns=turns)

    assert conversion.events == unsplit.events == len(events)
    assert conversion.largest == max(part.size for part in parts)
    assert conversion.seal is not None
    assert (conversion.seal.parts, conversion.seal.spans) == (len(parts), sum(len(part.spans) for part in parts))
    check(events, parts, whole, limit, turns=turns)


@pytest.mark.parametrize("limit", [3_000, 5_000, 8_000])
def test_parts_stay_below_the_limit_and_are_a_chain(limit: int) -> None:
    events = chat(12)

    parts, _ = split(events, limit)
    (whole,), _ = split(events, None)

    assert len(parts) > 2
    check(events, parts, whole, limit)
    assert all(part.size <= limit for part in parts)


def test_parts_are_filled_before_another_one_begins() -> None:
    (whole,), _ = split(chat(40), None)

    parts, _ = split(chat(40), 20_000)

    assert len(parts) <= whole.size / 20_000 * 1.25 + 1


def test_a_span_that_is_too_large_has_a_part_of_its_own() -> None:
    events: list[Event] = [user("1", 0, "hi"), user("2", 1, "x" * 9_000), user("3", 2, "hi")]

    parts, _ = split(events, 5_000)

    assert [[own(span, "event.index") for span in part.children] for part in parts] == [[1], [2], [3]]
    assert [part.size > 5_000 for part in parts] == [False, True, False]


def test_roots_say_which_part_they_are_and_belong_to_one_session() -> None:
    parts, _ = split(chat(8), 5_000)

    assert [own(part.root, "session.part") for part in parts] == list(range(1, len(parts) + 1))
    assert {part.root.span_id == span_id(part.root.trace_id, ROOT) for part in parts} == {True}
    assert {span.attributes["session.id"] for part in parts for span in part.spans} == {"s1"}
    assert len({part.root.trace_id for part in parts}) == len(parts)
    assert {own(part.root, "view") for part in parts} == {
        "content=scrubbed;max=65536;turns=0;conventions=gen_ai;max_trace_bytes=5000"
    }


def test_only_the_last_root_says_that_the_session_is_complete() -> None:
    parts, _ = split(chat(8), 5_000)

    assert [own(part.root, "session.complete") for part in parts] == [False] * (len(parts) - 1) + [True]


def test_the_failure_of_the_session_is_that_of_its_last_part() -> None:
    events: list[Event] = [
        *chat(8),
        user("u", 100),
        note("n", 101, name="session_interrupted", type="cut", failure="interrupt"),
    ]

    parts, _ = split(events, 5_000)

    assert [part.root.status for part in parts] == ["unset"] * (len(parts) - 1) + ["error"]


def test_numbers_go_on_from_part_to_part() -> None:
    parts, _ = split(chat(8), 5_000)

    numbers = [own(span, "event.index") for part in parts for span in part.children]
    turns = [own(span, "event.turn") for part in parts for span in part.children]
    assert numbers == sorted(numbers)
    assert turns == sorted(turns)
    assert (turns[0], turns[-1]) == (1, 8)


def test_counters_are_those_of_the_part() -> None:
    parts, _ = split(chat(8), 5_000)

    for part in parts:
        tools = [span for span in part.children if span.name.startswith("execute_tool")]
        assert own(part.root, "session.tool_call_count") == len(tools)
        assert own(part.root, "session.tool_error_count") == sum(span.status == "error" for span in tools)
        assert own(part.root, "session.event_count") == len(part.children) + len(tools)


def test_a_call_goes_into_the_part_in_which_it_closes() -> None:
    events: list[Event] = [call("c", 0, "late"), *(user(f"u{number}", number + 1, "x" * 900) for number in range(8))]
    events.append(result("r", 20, "late"))

    parts, _ = split(events, 6_000)

    assert len(parts) > 1
    assert [own(span, "event.index") for span in parts[-1].children if own(span, "tool.outcome")] == [1]
    assert not any(own(span, "tool.outcome") for part in parts[:-1] for span in part.children)
    assert own(parts[-1].root, "session.tool_call_count") == 1
    assert parts[-1].root.start == min(span.start for span in parts[-1].children) < parts[-2].root.end


def test_a_call_without_an_answer_is_missing_in_the_last_part() -> None:
    events: list[Event] = [user("u", 0), call("c", 0, "never"), *chat(8)]

    parts, _ = split(events, 5_000)

    assert [own(part.root, "session.missing_output_count") for part in parts] == [0] * (len(parts) - 1) + [1]


def test_a_session_that_fits_is_the_same_but_for_its_ids_and_its_view() -> None:
    (whole,), _ = split(chat(4), None)

    (part,), conversion = split(chat(4), 1_000_000)

    assert [without_ids(span) for span in part.spans] == [without_ids(span) for span in whole.spans]
    assert {span.span_id for span in part.spans}.isdisjoint(span.span_id for span in whole.spans)
    assert own(part.root, "view") == f"{own(whole.root, 'view')};max_trace_bytes=1000000"
    assert conversion.seal is not None
    assert conversion.seal.parts == 1


def test_a_session_fits_when_it_is_just_as_large_as_a_part_may_be() -> None:
    """The root keeps some bytes in reserve, since the session's end may tell more of it."""
    (part,), _ = split(chat(4), 1_000_000)
    size = part.size + 512

    assert len(split(chat(4), size)[0]) == 1
    assert len(split(chat(4), size - 600)[0]) == 2


def test_with_turns_children_stay_with_their_turn() -> None:
    events = chat(12)

    parts, _ = split(events, 6_000, turns=True)
    (whole,), _ = split(events, None, turns=True)

    assert len(parts) > 2
    check(events, parts, whole, 6_000, turns=True)
    turned = [[own(span, "event.turn") for span in part.children] for part in parts]
    assert all(set(before).isdisjoint(after) for before, after in pairwise(turned))


def test_an_echo_links_to_the_part_of_its_original() -> None:
    events: list[Event] = [
        user("first", 0),
        *chat(8),
        note("last", 200, name="echo", links=(EventLink(key="first"),)),
        note("own", 201, name="echo", links=(EventLink(key="last"),)),
    ]

    parts, _ = split(events, 5_000)

    origin, here = parts[0].root.trace_id, parts[-1].root.trace_id
    assert origin != here
    last, again = (span for span in parts[-1].children if span.name == "echo")
    assert [(link.trace_id, link.span_id) for link in last.links] == [(origin, span_id(origin, event_key("first")))]
    assert last.links[0].span_id in {span.span_id for span in parts[0].children}
    assert [(link.trace_id, link.span_id) for link in again.links] == [(here, last.span_id)]


def test_an_echo_of_a_call_links_to_the_part_in_which_the_call_closed() -> None:
    events: list[Event] = [
        call("c", 0, "x"),
        result("r", 1, "x"),
        *chat(8),
        note("n", 200, name="echo", links=(EventLink(key="c"),)),
    ]

    parts, _ = split(events, 5_000)

    (echo,) = (span for span in parts[-1].children if span.name == "echo")
    assert echo.links[0].span_id in {span.span_id for span in parts[0].children}
    assert echo.links[0].trace_id == parts[0].root.trace_id


def test_the_next_revision_is_linked_at_its_first_part_only() -> None:
    first, _ = split(chat(8), 5_000)
    second, _ = split(chat(8), 5_000, revision=2)

    linked = [[(link.trace_id, link.span_id) for link in part.root.links] for part in second]
    before = [first[0], *second[:-1]]
    assert linked == [[(part.root.trace_id, part.root.span_id)] for part in before]
    assert {part.root.trace_id for part in first}.isdisjoint(part.root.trace_id for part in second)


# --- as it arrives ------------------------------------------------------------------------------------


@pytest.fixture
def saved(here: Path) -> str:
    """Give a file with a session of 200 events."""
    (here / "saved.json").write_text(recorded(200).model_dump_json(), encoding="utf-8")
    return "saved.json"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with http_collector() as collector:
        yield collector


def size_of(span: trace_pb2.Span) -> int:
    """Give the bytes of a span within its list: those of its tag and its length count."""
    length = span.ByteSize()
    return 1 + max(1, (length.bit_length() + 6) // 7) + length


def sizes(collector: Collector) -> dict[str, int]:
    """Give the bytes of each trace that arrived."""
    traces: dict[str, int] = {}
    for span in collector.spans:
        traces[span.trace_id.hex()] = traces.get(span.trace_id.hex(), 0) + size_of(span)
    return traces


def test_the_parts_that_arrive_are_small_enough_and_are_told(saved: str, collector: Collector) -> None:
    report = replay([saved], endpoint=collector.url, ledger="off", environ={}, max_trace_bytes=LIMIT)

    (told,) = report.sessions
    arrived = sizes(collector)
    assert report.exit_code == 0
    assert told.parts == tuple(arrived)
    assert told.trace_id == told.parts[0]
    assert len(told.parts) > 2
    assert max(arrived.values()) <= LIMIT
    assert told.made == told.acknowledged == len(set(collector.ids)) == len(collector.ids)
    assert len({span.span_id for span in collector.spans}) == told.made


def test_a_file_has_one_root_a_part_and_each_is_linked_to_the_one_before(saved: str, here: Path) -> None:
    report = replay([saved], to=["file:out"], environ={}, max_trace_bytes=LIMIT)

    roots = [span for span in lines_of(here / "out") if not span.get("parentSpanId")]
    assert tuple(root["traceId"] for root in roots) == report.sessions[0].parts
    assert [root["attributes"][f"{OWN}session.part"] for root in roots] == list(range(1, len(roots) + 1))
    assert [[link["traceId"] for link in root.get("links", [])] for root in roots] == [
        [],
        *([root["traceId"]] for root in roots[:-1]),
    ]


def test_a_session_in_one_part_names_no_parts(saved: str) -> None:
    (told,) = replay([saved], to=["file:out"], environ={}, max_trace_bytes=5_000_000).sessions

    assert told.trace_id is not None
    assert told.parts == ()


def test_parts_twice_are_the_same_bytes(saved: str, here: Path) -> None:
    for name in ("one", "two"):
        replay([saved], to=[f"file:{name}"], environ={}, max_trace_bytes=LIMIT)

    assert (here / "one").read_bytes() == (here / "two").read_bytes()


def test_a_trace_that_is_larger_than_a_store_takes_is_warned_about(
    saved: str, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay([saved], endpoint=collector.url, ledger="off", environ={})
    (size,) = sizes(collector).values()

    told = {}
    for stored in (size, size - 1):
        monkeypatch.setattr(running, "MOST_STORED", stored)
        (session,) = replay([saved], endpoint=collector.url, ledger="off", environ={}).sessions
        told[stored] = [each for each in session.warnings if "--max-trace-bytes" in each]

    assert told[size] == []
    (warning,) = told[size - 1]
    assert warning == (
        f"the trace has {size / 1e6:.1f} MB; a Tempo with stock settings stores 5 MB of a trace and drops the rest "
        "(--max-trace-bytes 4000000 sends the session in parts)"
    )


def test_parts_that_are_small_enough_are_not_warned_about(
    saved: str, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "MOST_STORED", LIMIT)

    (told,) = replay([saved], endpoint=collector.url, ledger="off", environ={}, max_trace_bytes=LIMIT).sessions

    assert len(told.parts) > 2
    assert not any("--max-trace-bytes" in each for each in told.warnings)


@pytest.mark.parametrize(("to", "warned"), [(["file:out"], False), (["otlp", "file:out"], True)])
def test_a_file_takes_traces_of_any_size(
    saved: str,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    to: list[str],
    warned: bool,  # noqa: FBT001
) -> None:
    monkeypatch.setattr(running, "MOST_STORED", 1_000)

    (told,) = replay([saved], to=to, endpoint=collector.url, ledger="off", environ={}).sessions

    assert any("--max-trace-bytes" in each for each in told.warnings) is warned


@pytest.mark.parametrize("most", [-1, 0, 999])
def test_a_part_in_which_nothing_fits_is_refused(saved: str, most: int) -> None:
    with pytest.raises(UsageError, match="a part of fewer than 1000 bytes holds nothing"):
        replay([saved], to=["file:out"], environ={}, max_trace_bytes=most)


def test_a_trace_that_is_there_cannot_be_split(saved: str) -> None:
    live = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    with pytest.raises(UsageError, match="--max-trace-bytes splits it"):
        replay([saved], to=["file:out"], environ={}, max_trace_bytes=LIMIT, traceparent=live)


def test_what_went_out_before_the_end_stays_as_it_is_when_the_session_grows() -> None:
    short = [session(), *chat(45)]
    grown = [*short, session(model="known later"), *chat(60)[180:]]

    conversion = converted(short, 5_000)
    given = {
        (span.trace_id, span.span_id): body
        for encoded in conversion.encoded()
        if conversion.seal is None
        for span, body in zip(encoded.spans, encoded.bodies, strict=True)
    }
    whole = {
        (span.trace_id, span.span_id): body
        for encoded in converted(grown, 5_000).encoded()
        for span, body in zip(encoded.spans, encoded.bodies, strict=True)
    }

    assert len(given) > 100
    assert given.items() <= whole.items()
