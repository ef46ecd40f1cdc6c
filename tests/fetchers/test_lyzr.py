from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import otel_agent_events.demo
from otel_agent_events.content import Policy
from otel_agent_events.conversion import Options
from otel_agent_events.errors import FetchError, ReadError, SessionError, UsageError
from otel_agent_events.events import AgentMessage, Caution, Note, Session, Structured, Text, Thinking, ToolResult
from otel_agent_events.fetchers import Answer, Finder
from otel_agent_events.fetchers.client import Client
from otel_agent_events.fetchers.lyzr import Lyzr
from otel_agent_events.fetchers.saved import RecordedAnswer, Recording, load_recording
from otel_agent_events.keys import changed, key_of
from otel_agent_events.pipeline import replay
from otel_agent_events.reference import Reference
from otel_agent_events.sources import Source
from otel_agent_events.testing import LoopbackPlatform
from otel_agent_events.times import MILLISECOND, SECOND, parse
from tests.fetchers.test_vectara import marked, nested, spoilt
from tests.traces import DATA, Trace, holds, leaves, source_of, told_by, trace_from, trace_of

if TYPE_CHECKING:
    import httpx

    from otel_agent_events.events import JSON, Event
    from otel_agent_events.fetchers import Item

OWN = "otel_agent_events."
FULL = Options(policy=Policy(content="full"))
HERE = Reference("lyzr", ("u-9", "s"))
AT = 1_793_779_200 * SECOND  # 2026-11-04 08:00:00
DEMO = Path(otel_agent_events.demo.__file__).parent / "4_lyzr_stock.json"
FILES = [*sorted((DATA / "lyzr").glob("*.json")), DEMO]
NAMES = [path.stem for path in FILES]
TEXTS = ("THOUGHT: a \nOBSERVATION: b\nNEXT_ACTION: c\n\n<EXECUTION_COMPLETE>\n\nSummary: d", "plain")


def activity(content: Any = "THOUGHT: x", **fields: Any) -> dict[str, Any]:
    return {
        "_id": "a-1",
        "session_id": "s",
        "user_id": "u-9",
        "log_data": {"module": "FeatureType.TOOL_CALLING", "content": content},
        "time_stamp": "2026-11-04 08:00:00",
    } | fields


def message(role: str = "user", content: Any = "Hi", at: Any = "2026-11-04T08:00:00.000000") -> dict[str, Any]:
    return {"role": role, "content": content, "created_at": at}


def items_of(activities: JSON = (), history: JSON = (), reference: Reference = HERE) -> list[Item]:
    reader = Lyzr().reader(reference)
    answers = []
    for label, body in (("activities", activities), ("history", history)):
        told = list(body) if isinstance(body, tuple) else body
        answers.append(Answer(label=label, body=told, source=f"the {label}"))
    return [*(item for answer in answers for item in reader.feed(answer)), *reader.close()]


def events_of(activities: JSON = (), history: JSON = ()) -> list[Event]:
    return [item for item in items_of(activities, history) if not isinstance(item, (Session, Caution))]


def one(record: JSON) -> Event:
    (event,) = events_of([record])
    return event


def session_of(items: list[Item]) -> Session:
    return [item for item in items if isinstance(item, Session)][-1]


def cautions(items: list[Item]) -> list[str]:
    return [item.message for item in items if isinstance(item, Caution)]


def file(name: str) -> bytes:
    return (DATA / "lyzr" / f"{name}.json").read_bytes()


# --- the documented sample, and the demo --------------------------------------------------------------


def test_the_documented_sample_is_four_events_a_record() -> None:
    trace = trace_of(file("documented"))

    assert [(span.name, span.start - trace.root.start) for span in trace.spans[:-1]] == [
        ("thinking", 0),
        ("execute_tool", 0),
        ("next_action", 0),
        ("agent_output", 0),
        ("thinking", 0),
        ("execute_tool", 186 * SECOND),
        ("next_action", 186 * SECOND),
        ("agent_output", 186 * SECOND),
    ]
    assert trace.root.attributes[f"{OWN}session.reference"] == "lyzr:12345/abcdef"
    assert trace.root.start == 1_725_527_431 * SECOND
    assert trace.spans[0].attributes["user.id"] == "12345"
    assert trace.root.resource.attributes["service.name"] == "lyzr"
    assert trace.warnings == []


def test_the_bundled_session_is_a_session_worth_looking_at() -> None:
    trace = trace_of(DEMO.read_bytes())

    assert trace.events == 22
    assert (trace.warnings, trace.flaws) == ([], [])
    assert trace.root.attributes[f"{OWN}session.turn_count"] == 3
    assert {span.name for span in trace.spans} == {
        "invoke_agent",
        "user_message",
        "thinking",
        "execute_tool",
        "next_action",
        "text",
        "agent_output",
    }


# --- what holds for every recording -------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_every_leaf_value_of_every_answer_is_found_in_the_trace(path: Path) -> None:
    source = source_of(path.read_bytes())

    told = told_by(trace_from(source, FULL).spans)

    bodies = [answer.body for answer in source.answers if answer.failure is None]
    assert [leaf for leaf in leaves(bodies) if not holds(told, leaf)] == []


@pytest.mark.parametrize("name", ["rich", "sections", "odd_records", "envelopes"])
def test_one_spoilt_record_costs_no_event_of_another(name: str) -> None:
    source = source_of(file(name))
    answers = list(source.answers)

    def trace_with(number: int, records: list[Any]) -> Trace:
        changed_answers = [*answers[:number], replace(answers[number], body=records), *answers[number + 1 :]]
        return trace_from(replace(source, answers=changed_answers), FULL)

    for number, answer in enumerate(answers):
        body = answer.body if isinstance(answer.body, list) else next(iter(answer.body.values()))
        for place, record in enumerate(body):
            before, after = body[:place], body[place + 1 :]
            fewest = trace_with(number, [*before, *after]).events + 1
            for each in (None, 7, "odd", [], *spoilt(record)):
                trace = trace_with(number, [*before, each, *after])
                assert trace.events >= fewest, each
                assert not trace.flaws


@pytest.mark.parametrize("name", ["rich", "odd_records", "4_lyzr_stock"])
def test_with_content_none_only_names_and_ids_leave(name: str) -> None:
    source = source_of(FILES[NAMES.index(name)].read_bytes())
    answers = [replace(answer, body=marked(answer.body, answer.label)) for answer in source.answers]

    trace = trace_from(replace(source, answers=answers), Options(policy=Policy(content="none")))

    told = {found for span in trace.spans for found in re.findall(r"<([^<>]*)>", repr(span))}
    assert told == {"activities/_id", "activities/log_data/module", "history/role"}


def test_with_content_none_the_words_of_all_kinds_of_records_stay_at_home() -> None:
    content = [activity(TEXTS[0]), activity(TEXTS[1], _id="a-2"), activity({"k": "v"}, _id="a-3")]
    said = [message(content="spoken"), message("assistant", {"k": "v"}), message("system", "hushed")]

    body = json.dumps([content, said]).encode()
    trace = trace_of(body, Options(policy=Policy(content="none")), session=HERE)

    shown = repr([[span.name, dict(span.attributes), span.description] for span in trace.spans])
    for word in ("spoken", "hushed", "plain", "'v'", "Summary", "THOUGHT"):
        assert word not in shown
    assert "TOOL_CALLING" in shown
    assert not any(f"{OWN}summary" in span.attributes for span in trace.spans)


def test_the_same_recording_gives_the_same_keys_whatever_the_order_of_its_records() -> None:
    recording = load_recording(file("rich"), "rich")
    answers = [answer.answer() for answer in recording.answers]
    reader, other = Lyzr().reader(recording.reference), Lyzr().reader(recording.reference)

    events = [*(item for answer in answers for item in reader.feed(answer)), *reader.close()]
    turned = [replace(answer, body=answer.body[::-1]) for answer in answers]
    again = [*(item for answer in turned for item in other.feed(answer)), *other.close()]

    assert {item.key for item in events if not isinstance(item, (Session, Caution))} == {
        item.key for item in again if not isinstance(item, (Session, Caution))
    }


# --- activities ---------------------------------------------------------------------------------------


def test_each_section_is_an_event_of_its_kind() -> None:
    thought, observation, action, summary = events_of([activity(TEXTS[0])])

    assert (type(thought), thought.start, thought.end) == (Thinking, None, AT)
    assert (type(observation), observation.start, observation.end) == (ToolResult, AT, AT)
    assert (type(action), action.start, action.end) == (Note, AT, AT)
    assert (type(summary), summary.start, summary.end) == (AgentMessage, None, AT)
    assert isinstance(thought, Thinking)
    assert isinstance(observation, ToolResult)
    assert isinstance(action, Note)
    assert isinstance(summary, AgentMessage)
    assert thought.text == "a"
    assert (observation.result, observation.tool, observation.call_id) == ("b", None, None)
    assert (action.name, action.content) == ("next_action", {"text": "c"})
    assert (summary.parts, summary.author) == ((Text(text="d"),), "bot")
    assert [event.key for event in (thought, observation, action, summary)] == ["a-1/1", "a-1/2", "a-1/3", "a-1/4"]


def test_all_events_of_a_record_have_its_id_type_and_module_and_the_first_one_the_whole_text() -> None:
    events = events_of([activity(TEXTS[0], extra=[1])])

    assert {(event.id, event.type) for event in events} == {("a-1", "FeatureType.TOOL_CALLING")}
    assert [event.details for event in events] == [
        {"module": "TOOL_CALLING"},
        {"module": "TOOL_CALLING"},
        {"module": "TOOL_CALLING", "execution_complete": True},
        {"module": "TOOL_CALLING"},
    ]
    assert [event.remainder for event in events] == [
        {"extra": [1], "log_data": {"content": TEXTS[0]}},
        None,
        None,
        None,
    ]


def test_a_record_of_one_section_has_a_plain_key_and_its_whole_text() -> None:
    event = one(activity("Summary: a"))

    assert event.key == "a-1"
    assert event.remainder == {"log_data": {"content": "Summary: a"}}


@pytest.mark.parametrize("text", ["plain", " \n ", "{}", '[{"a": 1}]', "two\r\nlines "])
def test_a_text_without_sections_is_a_note_and_kept_once(text: str) -> None:
    event = one(activity(text))

    assert isinstance(event, Note)
    assert (event.name, event.content, event.remainder) == ("text", {"text": text}, None)
    assert (event.start, event.end) == (AT, AT)


def test_nothing_but_the_marker_is_a_note_that_is_marked() -> None:
    event = one(activity("<EXECUTION_COMPLETE>"))

    assert isinstance(event, Note)
    assert (event.name, event.content, event.remainder) == ("text", {"text": "<EXECUTION_COMPLETE>"}, None)
    assert event.details == {"module": "TOOL_CALLING", "execution_complete": True}


def test_a_section_without_text_is_an_event_without_text() -> None:
    thought, observation, action, summary = events_of([activity("THOUGHT:\nOBSERVATION:\nNEXT_ACTION:\nSummary:")])

    assert isinstance(thought, Thinking)
    assert isinstance(observation, ToolResult)
    assert isinstance(action, Note)
    assert isinstance(summary, AgentMessage)
    assert (thought.text, observation.result, action.content, summary.parts) == (None, None, {}, ())


def test_empty_content_is_a_note_without_content() -> None:
    event = one(activity(""))

    assert isinstance(event, Note)
    assert (event.name, event.content, event.remainder) == ("text", {}, {"log_data": {"content": ""}})


@pytest.mark.parametrize("content", [{"a": "THOUGHT: x"}, ["x"], 7, 0, 1.5, False, True, [], {}])
def test_content_that_is_no_text_is_a_note_with_the_value(content: JSON) -> None:
    event = one(activity(content))

    assert isinstance(event, Note)
    assert (event.name, event.content, event.remainder) == ("text", {"content": content}, None)


@pytest.mark.parametrize("log_data", [None, 7, "words", [], {}, {"module": "M"}, {"module": "M", "content": None}])
def test_a_record_without_content_is_an_unknown_event_with_all_that_it_has(log_data: JSON) -> None:
    event = one({"_id": "a-1", "log_data": log_data, "time_stamp": "2026-11-04 08:00:00"})

    assert isinstance(event, Note)
    assert (event.name, event.id, event.end) == ("unknown_event", "a-1", AT)
    told = told_by(trace_of(json.dumps([activity() | {"log_data": log_data}]).encode(), FULL, HERE).spans)
    assert [leaf for leaf in leaves(log_data) if not holds(told, leaf)] == []


@pytest.mark.parametrize(
    ("module", "type_", "details"),
    [
        ("FeatureType.SHORT_TERM_MEMORY", "FeatureType.SHORT_TERM_MEMORY", {"module": "SHORT_TERM_MEMORY"}),
        ("FeatureType.OF_NEXT_YEAR", "FeatureType.OF_NEXT_YEAR", {"module": "OF_NEXT_YEAR"}),
        ("planner", "planner", {"module": "planner"}),
        ("FeatureType.", "FeatureType.", {}),
        (7, None, {}),
        (None, None, {}),
    ],
)
def test_a_module_is_told_without_its_prefix_and_an_unknown_one_is_kept(
    module: JSON, type_: str | None, details: dict[str, str]
) -> None:
    event = one(activity() | {"log_data": {"module": module, "content": "plain"}})

    assert (event.type, event.details) == (type_, details)
    assert event.remainder == (None if type_ else {"log_data": {"module": module}})


def test_records_of_another_session_or_user_are_kept_and_told_in_one_sentence() -> None:
    records = [
        activity(_id="a-1", session_id="other"),
        activity(_id="a-2", user_id="u-10"),
        activity(_id="a-3", session_id="other", user_id="u-10"),
        activity(_id="a-4", session_id=7, user_id=None),
        activity(_id="a-5"),
    ]

    items = items_of(records)

    assert cautions(items) == ["of these records, 3 name another session or user than lyzr:u-9/s"]
    rests = [item.remainder for item in items if isinstance(item, Thinking)]
    assert [{name: rest[name] for name in rest if name != "log_data"} for rest in rests] == [
        {"session_id": "other"},
        {"user_id": "u-10"},
        {"session_id": "other", "user_id": "u-10"},
        {"session_id": 7, "user_id": None},
        {},
    ]


def test_where_the_user_is_not_known_none_is_strange_and_none_is_lost() -> None:
    items = items_of([activity("plain")], reference=Reference("lyzr", ("", "s")))

    assert cautions(items) == []
    assert session_of(items).user is None
    (note,) = (item for item in items if isinstance(item, Note))
    assert note.remainder == {"user_id": "u-9"}


# --- times --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "at", "kept"),
    [
        ("2026-11-04 08:00:00", AT, False),
        ("2026-11-04T08:00:00.123456", AT + 123_456_000, False),
        ("2026-11-04T09:00:00+01:00", AT, False),
        ("2026-11-04T08:00:00.1234567891Z", AT + 123_456_789, True),
        (1_793_779_200, AT, False),
        (1_793_779_200_500, AT + 500 * MILLISECOND, False),
        (1_793_779_200.25, AT + 250 * MILLISECOND, False),
        (1_793_779_200_000_001, AT + 1_000, True),
        (1_793_779_200_000_000_001, AT + 1, True),
        ({"$date": "2026-11-04T08:00:00Z"}, AT, False),
        ({"$date": 1_793_779_200_500}, AT + 500 * MILLISECOND, False),
        ({"$date": {"$numberLong": "1793779200500"}}, AT + 500 * MILLISECOND, True),
        ({"$date": 1_793_779_200_500, "zone": "UTC"}, AT + 500 * MILLISECOND, True),
        (None, None, True),
        ("yesterday", None, True),
        ("", None, True),
        (True, None, True),
        (-5, None, True),
        (10**400, None, True),
        (float("inf"), None, True),
        ([], None, True),
        ({}, None, True),
        ({"$date": None}, None, True),
        ({"$date": {"$numberLong": "-5"}}, None, True),
        ({"$date": {"$numberLong": "9" * 5000}}, None, True),
        ({"$date": {"$numberLong": 5}}, None, True),
    ],
)
def test_times_are_read_however_they_are_written(written: JSON, at: int | None, *, kept: bool) -> None:
    event = one(activity("plain", time_stamp=written))

    assert (event.start, event.end) == (at, at)
    assert event.remainder == ({"time_stamp": written} if kept else None)
    (said,) = events_of(history=[message(at=written)])
    assert (said.start, said.end) == (at, at)
    assert said.remainder == ({"created_at": written} if kept else None)


def test_a_number_that_is_none_is_no_time() -> None:
    event = one(activity("plain", time_stamp=float("nan")))

    assert event.end is None
    assert list(event.remainder) == ["time_stamp"]


@pytest.mark.parametrize(
    ("identifier", "known"),
    [
        ("69e9b9804b2d9e0011aa22bb", True),
        ("69E9B9804B2D9E0011AA22BB", True),
        ("69e9b980xxxxxxxxxxxxxxxx", True),
        ("69e9b980179017901xxxxxxx", True),
        ("69e9b98017901xxxxxx", True),
        ("69e9b98017901bcxxxxxx", True),
        ("69e9b980xx", True),
        ("69e9b980", False),
        ("deadbeef", False),
        ("deadbeefdead", False),
        ("69e9b9804b2d9e0011aa22b", False),
        ("69e9b9804b2d9e0011aa22bbc", False),
        ("69e9b98x4b2d9e0011aa22bb", False),
        ("69e9b980-4b2d-9e00-11aa-", False),
        ("000000000000000000000000", False),
        ("\u0666\u06669d9758717901aabbccddeef", False),
    ],
)
def test_the_seconds_of_an_object_id_stand_in_for_a_missing_time(identifier: str, *, known: bool) -> None:
    at = 0x69E9B980 * SECOND

    stamps: tuple[Any, ...] = (None, "yesterday", {})
    for stamp in stamps:
        event = one(activity("plain", _id=identifier, time_stamp=stamp))
        assert event.end == (at if known else None)
        assert event.remainder == {"time_stamp": stamp}
    assert one(activity("plain", _id=identifier)).end == AT


def test_the_seconds_of_the_documented_ids_are_the_documented_times() -> None:
    for record in json.loads(file("documented")):
        stamp = parse(record["time_stamp"])
        assert stamp is not None
        without = {name: told for name, told in record.items() if name != "time_stamp"}
        assert events_of([without])[0].end == stamp.nanoseconds


def test_lists_are_merged_by_time_and_at_equal_times_the_user_comes_first_and_the_answer_last() -> None:
    said = [message("assistant", "answer"), message("system", "hush"), message("user", "question")]

    events = events_of([activity("plain")], said)

    assert [event.type for event in events] == ["user", "FeatureType.TOOL_CALLING", "system", "assistant"]


def test_records_are_sorted_and_an_undated_one_stays_behind_the_one_before_it() -> None:
    records = [
        activity("late", _id="3", time_stamp="2026-11-04 08:00:02"),
        activity("undated", _id="4", time_stamp=None),
        activity("early", _id="1"),
        activity("undated too", _id="2", time_stamp="soon"),
    ]

    events = events_of(records, [message(at=None), message("assistant", "x", "2026-11-04T08:00:01")])

    assert [event.id or event.type for event in events] == ["user", "1", "2", "assistant", "3", "4"]


# --- messages -----------------------------------------------------------------------------------------


def test_messages_are_points_in_time_with_their_words() -> None:
    user, agent = events_of(history=[message(), message("assistant", "Hello", "2026-11-04T08:00:00.002000")])

    assert (user.kind, user.type, user.start, user.end) == ("user_message", "user", AT, AT)
    assert (agent.kind, agent.start, agent.end) == ("agent_message", AT + 2 * MILLISECOND, AT + 2 * MILLISECOND)
    assert isinstance(agent, AgentMessage)
    assert (agent.parts, agent.author, agent.remainder) == ((Text(text="Hello"),), "bot", None)
    assert (user.id, agent.id) == (None, None)


@pytest.mark.parametrize("content", [{"a": 1}, ["b", {"c": None}], [], {}])
def test_a_message_that_is_a_json_value_is_structured(content: JSON) -> None:
    for role in ("user", "assistant"):
        (event,) = events_of(history=[message(role, content)])
        assert not isinstance(event, (Note, Thinking, ToolResult))
        assert getattr(event, "parts", None) == (Structured(content=content),)
        assert event.remainder is None


@pytest.mark.parametrize("content", [None, 7, True])
def test_a_message_that_is_nothing_to_say_is_kept_beside(content: JSON) -> None:
    (event,) = events_of(history=[message(content=content)])

    assert (event.kind, event.remainder) == ("user_message", {"content": content})


@pytest.mark.parametrize("role", ["system", "tool", "User", ""])
def test_a_message_of_another_role_is_an_unknown_event(role: str) -> None:
    (event,) = events_of(history=[message(role)])

    assert isinstance(event, Note)
    assert (event.name, event.type, event.end) == ("unknown_event", role or None, AT)
    assert event.remainder == {"content": "Hi"} | ({} if role else {"role": ""})


# --- odd records, duplicates, envelopes ---------------------------------------------------------------


@pytest.mark.parametrize("record", [None, 7, "words", ["x"], True])
def test_records_that_are_no_objects_are_kept_too(record: JSON) -> None:
    (first,) = events_of([record])
    (second,) = events_of(history=[record])

    assert first == second == Note(key=key_of(record), remainder=record)


def test_a_record_that_comes_again_is_a_duplicate_and_another_one_of_its_id_is_not() -> None:
    trace = trace_of(file("duplicates"))
    reader = Lyzr().reader(HERE)

    list(reader.feed(Answer(label="activities", body=[activity(), activity(), activity("THOUGHT: y")], source="x")))
    keys = [item.key for item in reader.close() if isinstance(item, Thinking)]

    assert (trace.events, trace.duplicates) == (8, 1)
    assert (keys, reader.duplicates) == (["a-1", "a-1#2"], 1)


def test_an_answer_that_is_saved_twice_is_read_once_and_a_repeated_message_twice() -> None:
    said = [message(content="yes"), message(content="yes")]

    trace = trace_of(json.dumps([said, said]).encode(), session=HERE)

    assert (trace.events, trace.duplicates) == (2, 2)


def test_equal_records_of_both_lists_are_two_events_also_when_both_are_saved_twice() -> None:
    reader = Lyzr().reader(HERE)
    for label in ("activities", "history", "activities", "history"):
        list(reader.feed(Answer(label=label, body=[None], source="x")))

    keys = [item.key for item in reader.close() if isinstance(item, Note)]

    assert (keys, reader.duplicates) == ([key_of(None), f"{key_of(None)}#2"], 2)


def test_a_record_that_a_recording_has_changed_keeps_its_original_key() -> None:
    (event,) = events_of(history=[changed(message(content="[scrubbed]"), "c:0123456789abcdef")])

    assert event.key == "c:0123456789abcdef"


@pytest.mark.parametrize("name", ["history", "activities"])
def test_both_lists_may_be_wrapped_by_either_name_and_what_is_beside_them_is_the_sessions(name: str) -> None:
    items = items_of({name: [activity()], "count": 1}, {name: [message()], "count": 2})

    assert [item.kind for item in items if not isinstance(item, (Session, Caution))] == ["user_message", "thinking"]
    assert session_of(items).remainder == [{"count": 1}, {"count": 2}]


def test_an_envelope_in_pieces_tells_what_is_beside_its_records_once() -> None:
    reader = Lyzr().reader(HERE)
    for number in range(3):
        body = {"history": [message(content="yes")], "agent_id": "a"}
        list(reader.feed(Answer(label="history", body=body, source="x", continues=number > 0)))

    session, *events = reader.close()

    assert isinstance(session, Session)
    assert session.remainder == {"agent_id": "a"}
    assert len(events) == 3


@pytest.mark.parametrize("body", [None, 7, "odd", {}, {"activities": {}}, {"detail": "no"}])
def test_activities_that_are_no_list_are_an_error(body: JSON) -> None:
    with pytest.raises(ReadError, match="lyzr:u-9/s: the activities holds no list of activities"):
        items_of(body)


@pytest.mark.parametrize("body", [None, 7, {"history": None}, {"detail": "no"}])
def test_messages_that_are_no_list_cost_a_warning_when_there_are_activities(body: JSON) -> None:
    items = items_of([activity()], body)

    assert cautions(items) == [
        "the history holds no list of messages; the trace lacks what the user and the agent said to each other"
    ]
    assert sum(isinstance(item, Thinking) for item in items) == 1
    assert session_of(items).complete is False
    assert session_of(items).remainder == body


def test_messages_that_are_no_list_are_an_error_when_there_is_nothing_else() -> None:
    with pytest.raises(ReadError, match="holds no list of messages"):
        list(Lyzr().reader(HERE).feed(Answer(label="history", body={}, source="x")))


def test_a_session_without_records_is_still_a_session() -> None:
    assert items_of() == [Session(reference=HERE, id="s", user="u-9")]
    assert trace_of(file("empty")).warnings == ["the session has no events"]


@pytest.mark.parametrize("depth", [60, 101, 900, 5_000])
def test_a_record_of_any_depth_is_kept(depth: int) -> None:
    for record in (activity(nested(depth)), activity("plain", deep=nested(depth)), nested(depth)):
        (event,) = events_of([record])
        assert "bottom" in json.dumps([event.remainder, dict(getattr(event, "content", {}))])
    (said,) = events_of(history=[message(content=nested(depth))])
    assert "bottom" in repr(said)
    assert session_of(items_of([], {"history": [], "deep": nested(depth)})).remainder


def test_unpaired_surrogates_cost_nothing() -> None:
    trace = trace_of(
        json.dumps([[activity("THOUGHT: \ud800", _id="\udc00")], [message(content="\ud800")]]).encode(), FULL, HERE
    )

    assert trace.events == 2


# --- saved answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "label"),
    [
        ([activity()], "activities"),
        ([None, activity()], "activities"),
        ([{"log_data": None}], "activities"),
        ({"activities": [activity()]}, "activities"),
        ({"history": [activity()]}, "activities"),
        ([message()], "history"),
        ({"history": [message()], "more": 1}, "history"),
        ({"history": []}, "history"),
        ({"history": [{"role": "user", "content": "x"}]}, "history"),
        ([], None),
        ({"activities": []}, None),
        ({}, None),
        (None, None),
        ("odd", None),
        ([[activity()]], None),
        ([{"role": "user", "content": "x"}], None),
        ({"contents": [{"role": "user", "content": "x"}]}, None),
        ({"turns": []}, None),
        ({"productId": 17, "payload": {"contents": []}}, None),
        ({"events": [{"id": "e", "type": "thinking", "created_at": "x", "content": "y"}]}, None),
        ({"agent_key": "a", "key": "s"}, None),
        ([{"type": "message", "eventId": 1, "sender": {}, "recipient": {}}], None),
        ({"activities": [{"type": "message", "eventId": 1}], "hubId": "h"}, None),
        ({"history": 7}, None),
    ],
)
def test_saved_answers_are_told_by_their_records(body: JSON, label: str | None) -> None:
    assert Lyzr().recognise(body) == label


def test_a_saved_list_of_activities_names_user_and_session_and_one_of_messages_neither() -> None:
    lists = [[{"log_data": 7}, None, activity(), activity(session_id="other")], [message() | {"user_id": "x"}]]

    trace = trace_of(json.dumps(lists).encode())

    assert trace.root.attributes[f"{OWN}session.reference"] == "lyzr:u-9/s"
    with pytest.raises(ReadError, match="say it with --session lyzr:USER/SESSION"):
        trace_of(json.dumps(lists[1]).encode())
    assert trace_of(json.dumps(lists[1]).encode(), session=HERE).events == 1


def test_a_recorded_failure_says_what_the_trace_lacks() -> None:
    (studio,) = trace_of(file("studio")).warnings
    assert studio.endswith("the trace lacks what the agent thought, observed and summed up")
    closed = trace_of(file("no_right_to_messages"))
    assert closed.warnings[0].endswith("the trace lacks what the user and the agent said to each other")
    assert closed.root.attributes[f"{OWN}session.complete"] is False
    assert trace_of(file("no_messages")).warnings == []


# --- over HTTP ----------------------------------------------------------------------------------------


def play(
    activities: JSON, history: JSON, *, user: str = "u-9", session: str = "s", statuses: tuple[int, int] = (200, 200)
) -> Recording:
    asked = (
        ("activities", "/v2/activities", {"user_id": user, "session_id": session}, activities),
        ("history", f"/v1/sessions/{session}/history", {"unix": "false"}, history),
    )
    answers = [
        RecordedAnswer(label=label, path=path, query=query, body=body, status=status)
        for (label, path, query, body), status in zip(asked, statuses, strict=True)
    ]
    return Recording(recording=1, session=f"lyzr:{user}/{session}", answers=answers)


def client_of(platform: LoopbackPlatform, http: httpx.Client) -> Client:
    return Client(http, Lyzr().connect({"LYZR_API_KEY": "lyzr-key"}, platform.base_url))


def fetched(platform: LoopbackPlatform, http: httpx.Client, reference: Reference = HERE) -> Trace:
    answers = client_of(platform, http).fetch(Lyzr(), reference)
    return trace_from(Source(reference=reference, fetcher=Lyzr(), answers=answers))


def test_activities_and_messages_are_asked_for_with_the_key(http: httpx.Client) -> None:
    recording = play([activity()], [message()])
    with LoopbackPlatform([recording], headers={"x-api-key": "lyzr-key"}) as platform:
        trace = fetched(platform, http)

    assert trace.events == 2
    assert platform.asked == [
        "GET /v2/activities?user_id=u-9&session_id=s",
        "GET /v1/sessions/s/history?unix=false",
    ]


def test_ids_of_any_characters_are_encoded(http: httpx.Client) -> None:
    with LoopbackPlatform() as platform, pytest.raises(FetchError):
        fetched(platform, http, Reference("lyzr", ("a+b@x.example", "s/1 &\u00e9?")))

    assert platform.asked == [
        "GET /v2/activities?user_id=a%2Bb%40x.example&session_id=s%2F1+%26%C3%A9%3F",
        "GET /v1/sessions/s%2F1%20%26%C3%A9%3F/history?unix=false",
    ]


def test_a_session_of_which_there_is_no_history_is_not_said_to_lack_it(http: httpx.Client) -> None:
    with LoopbackPlatform([play([activity()], {"detail": "none"}, statuses=(200, 404))]) as platform:
        trace = fetched(platform, http)

    assert (trace.events, trace.warnings) == (1, [])
    assert trace.root.attributes[f"{OWN}session.complete"] is True


def test_a_history_that_is_refused_costs_a_warning_and_not_the_trace(http: httpx.Client) -> None:
    with LoopbackPlatform([play([activity()], {"detail": "not yours"}, statuses=(200, 403))]) as platform:
        trace = fetched(platform, http)

    (warning,) = trace.warnings
    assert "403 Forbidden: not yours" in warning
    assert warning.endswith("; the trace lacks what the user and the agent said to each other")
    assert trace.events == 1
    assert trace.root.attributes[f"{OWN}session.complete"] is False


def test_a_host_without_activities_still_gives_the_messages(http: httpx.Client) -> None:
    with LoopbackPlatform([play({"detail": "Not Found"}, {"history": [message()]}, statuses=(404, 200))]) as platform:
        trace = fetched(platform, http)

    (warning,) = trace.warnings
    assert "that of the Studio has no activities; the trace lacks what the agent thought" in warning
    assert trace.events == 1


@pytest.mark.parametrize("status", [404, 403])
def test_where_neither_can_be_had_the_failure_of_the_activities_is_told(http: httpx.Client, status: int) -> None:
    recording = play({"detail": "gone"}, {}, statuses=(404, status))
    gone = pytest.raises(FetchError, match=r"lyzr:u-9/s: GET /v2/activities\?.* answered 404 Not Found: gone")
    with LoopbackPlatform([recording]) as platform, gone:
        fetched(platform, http)

    assert len(platform.asked) == 2


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "Set LYZR_API_KEY"),
        (403, "may not read the sessions"),
        (422, "Check user id and session id"),
        (400, "400"),
    ],
)
def test_activities_that_are_refused_fail_the_session(http: httpx.Client, status: int, advice: str) -> None:
    detail = {"detail": [{"loc": ["query", "user_id"], "msg": "field required", "type": "missing"}]}
    recording = play(detail, [], statuses=(status, 200))
    with LoopbackPlatform([recording]) as platform, pytest.raises(FetchError, match=advice) as failure:
        fetched(platform, http)

    assert "field required" in str(failure.value)
    assert "lyzr-key" not in str(failure.value)
    assert len(platform.asked) == 1


def found(body: JSON, status: int = 200) -> Recording:
    path, query = "/v1/sessions/s%2F1", {"timeout": "30"}
    answer = RecordedAnswer(label="session", path=path, query=query, body=body, status=status)
    return Recording(recording=1, session="lyzr:u-9/s%2F1", answers=[answer])


def test_the_user_of_a_session_is_looked_up(http: httpx.Client) -> None:
    assert isinstance(Lyzr(), Finder)
    body = {"active": True, "session_id": "s/1", "_id": "x", "user_id": "u 9", "created_at": "2026-11-04T08:00:00"}
    with LoopbackPlatform([found(body)]) as platform:
        answer = client_of(platform, http).find(Lyzr(), Reference("lyzr", ("", "s/1")))

    assert answer.references == (Reference("lyzr", ("u 9", "s/1")),)
    assert platform.asked == ["GET /v1/sessions/s%2F1?timeout=30"]


@pytest.mark.parametrize("body", [{}, {"user_id": None}, {"user_id": ""}, {"user_id": 7}])
def test_a_session_that_tells_no_user_is_not_found(body: JSON) -> None:
    finding = Lyzr().find(Reference("lyzr", ("", "s")))
    next(finding)
    with pytest.raises(StopIteration) as end:
        finding.send(Answer(label="session", body=body, source="x"))

    assert end.value.value.references == ()


@pytest.mark.parametrize("body", [[], None, "odd"])
def test_a_session_that_is_none_is_an_error(body: JSON) -> None:
    finding = Lyzr().find(Reference("lyzr", ("", "s")))
    next(finding)
    with pytest.raises(ReadError, match=r"^lyzr:/s: x is no session; is the base URL right\?$"):
        finding.send(Answer(label="session", body=body, source="x"))


def test_a_session_that_is_nowhere_is_not_found_and_other_failures_are_raised(http: httpx.Client) -> None:
    with LoopbackPlatform([found({"detail": "who are you"}, status=403)]) as platform:
        assert client_of(platform, http).find(Lyzr(), Reference("lyzr", ("", "nowhere"))).references == ()
        with pytest.raises(FetchError, match="who are you"):
            client_of(platform, http).find(Lyzr(), Reference("lyzr", ("", "s/1")))


def test_a_reference_without_its_user_is_completed_and_replayed(http: httpx.Client, tmp_path: Path) -> None:
    body = {"active": False, "session_id": "s", "user_id": "u-9"}
    look_up = found(body).answers[0].model_copy(update={"path": "/v1/sessions/s"})
    recording = play([activity()], [message()])
    with LoopbackPlatform([recording, found(body).model_copy(update={"answers": [look_up]})]) as platform:
        report = replay(
            ["lyzr:/s"],
            to=[f"file:{tmp_path / 'out.jsonl'}"],
            base_url=platform.base_url,
            environ={"LYZR_API_KEY": "lyzr-key"},
            client=http,
        )

    assert report.exit_code == 0
    assert report.sessions[0].reference == "lyzr:u-9/s"


# --- credentials --------------------------------------------------------------------------------------


def test_without_a_key_the_variable_is_named() -> None:
    for environ in ({}, {"LYZR_API_KEY": ""}):
        with pytest.raises(UsageError, match="set LYZR_API_KEY"):
            Lyzr().connect(environ, None)


def test_the_host_is_the_option_then_the_variable_then_the_default() -> None:
    environ = {"LYZR_API_KEY": "k", "LYZR_BASE_URL": "https://lyzr.example/x/"}

    assert Lyzr().connect(environ, "https://other.example").base_url == "https://other.example"
    assert Lyzr().connect(environ, None).base_url == "https://lyzr.example/x"
    assert Lyzr().connect({"LYZR_API_KEY": "k"}, None).base_url == "https://agent.api.lyzr.app"
    with pytest.raises(UsageError, match="LYZR_BASE_URL is no base URL"):
        Lyzr().connect({**environ, "LYZR_BASE_URL": "ftp://x"}, None)


@pytest.mark.parametrize("path", [("only",), ("", "s"), ("u", ""), ("u", "s", "x"), ()])
def test_a_reference_that_lacks_a_part_is_refused(path: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="write lyzr:USER/SESSION"):
        next(Lyzr().ask(Reference("lyzr", path)))


def test_a_spoilt_reference_of_a_reader_is_no_error() -> None:
    for path in ((), ("",), ("", "s")):
        assert session_of([*Lyzr().reader(Reference("lyzr", path)).close()]).user is None


def test_spoilt_answers_raise_nothing_but_session_errors() -> None:
    for each in spoilt([activity(TEXTS[0]), message()], (None, float("nan"), -(10**30), "\ud800", [[{}]], 1.5)):
        for label in ("activities", "history"):
            reader = Lyzr().reader(HERE)
            try:
                list(reader.feed(Answer(label=label, body=each, source="x")))
            except SessionError:
                continue
            assert isinstance(next(iter(reader.close())), Session)
