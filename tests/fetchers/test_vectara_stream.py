"""Chunks of a stream become whole events, with real times; what was told in a stream is told once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agent_events import times
from otel_agent_events.events import AgentMessage, Event, Note, Session, Text, Thinking, ToolCall, UserMessage
from otel_agent_events.fetchers.vectara import VectaraReader
from otel_agent_events.keys import key_of
from otel_agent_events.reference import Reference
from tests.live.streams import NAMES, stream

if TYPE_CHECKING:
    from collections.abc import Sequence

REFERENCE = Reference("vectara", ("gardener", "greenhouse_7"))
SECOND = times.SECOND
ARRIVED = 1_800_000_000 * SECOND


def at(written: str) -> int:
    stamp = times.parse(written)
    assert stamp is not None
    return stamp.nanoseconds


def read(
    records: Sequence[Any], *, arrivals: Sequence[int | None] | None = None, reader: VectaraReader | None = None
) -> tuple[list[Event], Session]:
    """Read records that arrive a second after one another, and close; give the events and what is known at last."""
    reader = reader or VectaraReader(REFERENCE)
    arrivals = arrivals or [ARRIVED + number * SECOND for number in range(len(records))]
    items: list[Any] = []
    for record, arrived in zip(records, arrivals, strict=True):
        items += reader.take(record, arrived, anyhow=True) or ()
    items += reader.close()
    events = [item for item in items if not isinstance(item, Session)]
    sessions = [item for item in items if isinstance(item, Session)]
    return events, sessions[-1]


def of(events: list[Event], type_: str) -> Any:
    (event,) = (event for event in events if event.type == type_)
    return event


def test_chunks_are_one_event_from_the_first_to_the_end_by_the_clock_of_the_platform() -> None:
    events, session = read(stream("with_times"))

    thought, answer = of(events, "thinking"), of(events, "agent_output")
    assert isinstance(thought, Thinking)
    assert thought.text == "The user asks about temperature; I read the sensor."
    assert (thought.start, thought.end) == (at("2026-05-04T09:00:00.600Z"), at("2026-05-04T09:00:00.850Z"))
    assert isinstance(answer, AgentMessage)
    assert answer.parts == (Text(text="Yes, at 31.5 degrees. Open the vents, please."),)
    assert (answer.start, answer.end) == (at("2026-05-04T09:00:02.000Z"), at("2026-05-04T09:00:02.250Z"))
    assert thought.details == {"chunks": 3}
    assert answer.details == {"chunks": 2}
    assert session.complete
    assert not any(event.remainder for event in events)


def test_events_of_a_stream_come_in_the_order_in_which_they_were_whole() -> None:
    events, _ = read(stream("with_times"))

    assert [event.type for event in events] == [
        "input_message",
        "thinking",
        "tool_input",
        "tool_output",
        "agent_output",
        "context_consumed",
    ]


def test_the_time_to_the_first_chunk_is_measured_from_the_record_before_by_our_clock() -> None:
    records = stream("with_times")
    arrivals = [ARRIVED + number * 250_000_000 for number in range(len(records))]

    events, _ = read(records, arrivals=arrivals)

    # The thought's first chunk is the second record, that of the answer follows the tool's output.
    assert of(events, "thinking").measurements == {"time_to_first_chunk": 0.25}
    assert of(events, "agent_output").measurements == {"time_to_first_chunk": 0.25}


def test_without_our_clock_the_time_to_the_first_chunk_is_measured_by_that_of_the_platform() -> None:
    records = stream("with_times")

    events, _ = read(records, arrivals=[None] * len(records))

    assert of(events, "thinking").measurements == {"time_to_first_chunk": 0.5}
    assert of(events, "agent_output").measurements == {"time_to_first_chunk": 0.6}


def test_the_first_chunk_of_a_stream_that_nothing_came_before_was_waited_for_nobody_knows_how_long() -> None:
    events, _ = read(stream("without_times"))

    assert of(events, "thinking").measurements == {}
    assert of(events, "agent_output").measurements == {"time_to_first_chunk": 1.0}


def test_chunks_without_times_have_those_of_their_arrival() -> None:
    events, _ = read(stream("without_times"))

    thought, answer = of(events, "thinking"), of(events, "agent_output")
    assert (thought.start, thought.end) == (ARRIVED, ARRIVED + 2 * SECOND)
    assert (answer.start, answer.end) == (ARRIVED + 3 * SECOND, ARRIVED + 6 * SECOND)


def test_both_times_of_an_event_are_by_one_clock_when_only_some_chunks_have_a_time() -> None:
    records = [
        {"type": "streaming_thinking", "content": "a", "created_at": "2026-05-04T09:00:00Z"},
        {"type": "streaming_thinking", "content": "b"},
        {"type": "streaming_thinking_end"},
    ]

    (thought,), _ = read(records)

    assert (thought.start, thought.end) == (ARRIVED, ARRIVED + 2 * SECOND)


def test_a_time_that_only_one_chunk_has_is_kept_where_there_is_no_other() -> None:
    records = [
        {"type": "streaming_thinking", "content": "a", "created_at": "2026-05-04T09:00:00Z"},
        {"type": "streaming_thinking_end"},
    ]

    (begun,), _ = read(records, arrivals=[None, None])
    reversed_ = [{"type": "streaming_thinking", "content": "a"}, {**records[0], "type": "streaming_thinking_end"}]
    (ended,), _ = read(reversed_, arrivals=[None, None])

    assert (begun.start, begun.end) == (at("2026-05-04T09:00:00Z"), None)
    assert (ended.start, ended.end) == (None, at("2026-05-04T09:00:00Z"))


def test_an_answer_has_the_id_that_its_end_tells_and_a_thought_the_key_of_what_it_is_joined_to() -> None:
    events, _ = read(stream("with_times"))

    thought, answer = of(events, "thinking"), of(events, "agent_output")
    assert (answer.key, answer.id) == ("aev_s1_05", "aev_s1_05")
    assert thought.id is None
    assert thought.key == key_of({"type": "thinking", "content": thought.text})


def test_thoughts_of_the_same_words_are_several() -> None:
    said = [{"type": "streaming_thinking", "content": "Hm."}, {"type": "streaming_thinking_end"}]

    events, _ = read(said * 2)

    assert [event.key for event in events] == [events[0].key, f"{events[0].key}#2"]


# --- the end, and none --------------------------------------------------------------------------------


def test_a_stream_that_breaks_off_leaves_what_came_marked() -> None:
    events, session = read(stream("broken_off"))

    answer = of(events, "agent_output")
    assert answer.parts == (Text(text="Once upon a time there was a cucumber"),)
    assert answer.details == {"chunks": 2, "broken_off": True}
    assert (answer.start, answer.end) == (at("2026-05-04T13:00:01Z"), at("2026-05-04T13:00:02Z"))
    assert not session.complete


def test_thought_and_answer_that_both_break_off_are_two() -> None:
    events, _ = read(
        [{"type": "streaming_thinking", "content": "hm"}, {"type": "streaming_agent_output", "content": "so"}]
    )

    assert [(event.type, event.details["broken_off"]) for event in events] == [
        ("thinking", True),
        ("agent_output", True),
    ]


@pytest.mark.parametrize("broken", [{"type": "end"}, {"type": "session_interrupted", "id": "aev_i"}])
def test_what_has_no_end_when_its_stream_ends_or_is_interrupted_is_not_continued_by_the_next_stream(
    broken: dict[str, Any],
) -> None:
    records = [
        {"type": "streaming_agent_output", "content": "The first "},
        broken,
        {"type": "streaming_agent_output", "content": "The second."},
        {"type": "streaming_agent_output_end", "event_id": "aev_2"},
    ]

    events, _ = read(records)

    said = [event for event in events if isinstance(event, AgentMessage)]
    assert [event.parts for event in said] == [(Text(text="The first "),), (Text(text="The second."),)]
    assert [event.details.get("broken_off") for event in said] == [True, None]


def test_what_has_no_end_when_the_next_user_message_comes_was_broken_off_and_comes_before_it() -> None:
    events, session = read([*stream("broken_off"), *stream("parallel_tools")])

    kinds = [type(event) for event in events]
    assert kinds[:3] == [UserMessage, AgentMessage, UserMessage]
    assert events[1].details == {"chunks": 2, "broken_off": True}
    assert not session.complete


def test_an_end_without_chunks_is_an_empty_answer() -> None:
    events, _ = read(stream("unknown_type"))

    answer = of(events, "agent_output")
    assert answer.parts == (Text(text=""),)
    assert answer.details == {"chunks": 0}
    assert answer.measurements == {}


def test_an_error_is_a_note_that_fails_its_turn_and_an_end_that_says_nothing_is_no_event() -> None:
    events, _ = read(stream("error"))

    error = of(events, "error")
    assert isinstance(error, Note)
    assert error.failure == "error"
    assert error.content == {"messages": ["The model is overloaded, try again later."]}
    assert [event.type for event in events] == ["input_message", "error", "thinking"]
    assert of(events, "thinking").details == {"chunks": 1, "broken_off": True}


def test_an_end_that_says_something_is_kept() -> None:
    events, _ = read(stream("unknown_type"))

    assert of(events, "end").remainder == {"because": "nothing more to say"}


def test_usage_is_known_of_the_session_and_is_a_note_of_its_own() -> None:
    events, session = read(stream("with_times"))

    assert session.context is not None
    assert (session.context.input_tokens, session.context.output_tokens) == (812, 64)
    assert (session.context.reasoning_tokens, session.context.total_tokens) == (21, 876)
    assert session.context.window == 128_000
    assert of(events, "context_consumed").attributes == {
        "input_tokens": 812,
        "output_tokens": 64,
        "reasoning_tokens": 21,
        "total_tokens": 876,
        "model_context_window": 128_000,
    }


def test_a_usage_that_tells_nothing_does_not_take_away_what_was_told_before() -> None:
    _, session = read([*stream("with_times"), {"type": "context_consumed", "session_context_usage": {}}])

    assert session.context is not None
    assert session.context.total_tokens == 876


def test_what_no_field_of_an_event_holds_is_kept_beside() -> None:
    events, _ = read(stream("unknown_type"))

    assert of(events, "thinking").remainder == {
        "chunks": [{"mood": "calm and quiet"}, {"token_ids": [1, 2]}, {"reason": "it is all thought"}]
    }
    assert of(events, "bee_counted").remainder == {"bees": {"words": "a good many bees", "number": 41}}
    assert of(events, "context_consumed").remainder == {
        "session_context_usage": {"output_tokens": {"count": "many tokens"}}
    }


# --- what comes twice ---------------------------------------------------------------------------------


def test_a_stored_answer_that_comes_after_its_stream_is_told_once() -> None:
    stored = {
        "type": "agent_output",
        "id": "aev_s1_05",
        "session_key": "greenhouse_7",
        "created_at": "2026-05-04T09:00:02.260Z",
        "content": "Yes, at 31.5 degrees. Open the vents, please.",
    }
    reader = VectaraReader(REFERENCE)

    events, _ = read([*stream("with_times"), stored, stored], reader=reader)

    assert of(events, "agent_output").id == "aev_s1_05"
    assert reader.duplicates == 2


def test_a_stored_thought_that_comes_after_its_stream_is_told_once_and_the_next_one_of_its_words_again() -> None:
    stored = {"type": "thinking", "id": "aev_1", "content": "Watering was yesterday evening."}
    reader = VectaraReader(REFERENCE)

    events, _ = read([*stream("without_times"), stored, stored, {**stored, "id": "aev_2"}], reader=reader)

    assert [event.id for event in events if event.type == "thinking"] == [None, "aev_2"]
    assert reader.duplicates == 2


def test_a_stored_answer_of_other_words_than_its_stream_is_told_as_well() -> None:
    stored = {"type": "agent_output", "id": "aev_s1_05", "content": "Something else."}

    events, _ = read([*stream("with_times"), stored])

    assert [event.key for event in events if event.type == "agent_output"] == ["aev_s1_05", "aev_s1_05#2"]


def test_a_stream_that_is_told_again_tells_its_named_records_once() -> None:
    events, _ = read(stream("parallel_tools") * 2)

    assert len([event for event in events if isinstance(event, ToolCall)]) == 2
    assert len([event for event in events if isinstance(event, AgentMessage)]) == 1


# --- always -------------------------------------------------------------------------------------------


@given(st.data())
def test_how_a_text_is_cut_into_chunks_is_irrelevant_but_for_their_number(data: st.DataObject) -> None:
    text = data.draw(st.text(min_size=1, max_size=40))
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=6)))
    pieces = [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    times_ = [ARRIVED, *[ARRIVED + 1] * (len(pieces) - 1), ARRIVED + 9]

    def told(parts: list[str], arrivals: list[int]) -> Event:
        records: list[Any] = [{"type": "streaming_agent_output", "content": part} for part in parts]
        (event,), _ = read([*records, {"type": "streaming_agent_output_end"}], arrivals=arrivals)
        return event

    many, one = told(pieces, times_), told([text], [ARRIVED, ARRIVED + 9])

    assert many.details == {"chunks": len(pieces)}
    assert (many.key, many.start, many.end) == (one.key, one.start, one.end)
    assert isinstance(many, AgentMessage)
    assert isinstance(one, AgentMessage)
    assert many.parts == one.parts


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
_TYPES = st.sampled_from(
    [
        "streaming_thinking",
        "streaming_thinking_end",
        "streaming_agent_output",
        "streaming_agent_output_end",
        "context_consumed",
        "compaction_started",
        "error",
        "end",
        "input_message",
        "agent_output",
    ]
)
_FIELDS = st.sampled_from(
    ["content", "created_at", "event_id", "session_context_usage", "messages", "session_key", "id"]
)


@given(st.lists(st.tuples(_TYPES, st.dictionaries(_FIELDS, _JSON, max_size=4)), max_size=8))
def test_whatever_is_in_the_fields_of_a_stream_it_is_read_and_no_key_is_given_twice(
    told: list[tuple[str, dict[str, Any]]],
) -> None:
    events, _ = read([{**fields, "type": type_} for type_, fields in told])

    keys = [event.key for event in events]
    assert len(set(keys)) == len(keys)


def test_a_stored_record_that_cannot_be_written_as_json_is_read_all_the_same() -> None:
    (event,), _ = read([{"type": "thinking", "id": "aev_1", "content": "hm", "odd": float("nan"), "more": "\ud800"}])

    assert (event.key, event.type) == ("aev_1", "thinking")


def test_a_note_of_a_stream_that_comes_twice_under_its_id_is_told_once() -> None:
    note = {"type": "compaction_started", "id": "aev_1"}

    events, _ = read([note, note])

    assert [event.key for event in events] == ["aev_1"]


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_does_not_change_the_records_that_it_is_given(name: str) -> None:
    records = stream(name)

    read(records)

    assert records == stream(name)
