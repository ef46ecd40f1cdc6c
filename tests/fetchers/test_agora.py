from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_events.content import Policy
from otel_agent_events.conversion import Options
from otel_agent_events.errors import FetchError, ReadError, UsageError
from otel_agent_events.events import AgentMessage, Caution, Event, Note, Session, UserMessage
from otel_agent_events.fetchers import FETCHERS, Answer
from otel_agent_events.fetchers.agora import BASE_URL, Agora, AgoraReader
from otel_agent_events.fetchers.agora_windows import Windows
from otel_agent_events.fetchers.client import Client
from otel_agent_events.fetchers.saved import RecordedAnswer, Recording, load_recording
from otel_agent_events.keys import changed, key_of
from otel_agent_events.pipeline import replay
from otel_agent_events.reference import Reference
from otel_agent_events.sources import Source
from otel_agent_events.testing import LoopbackPlatform, Reply
from otel_agent_events.times import MILLISECOND
from tests.fetchers.test_vectara import marked, spoilt
from tests.traces import DATA, Trace, holds, leaves, source_of, told_by, trace_from, trace_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import httpx

    from otel_agent_events.fetchers import Item

OWN = "otel_agent_events."
FULL = Options(policy=Policy(content="full"))
NONE = Options(policy=Policy(content="none"))
FILES = sorted((DATA / "agora").glob("*.json"))
START = 1_793_620_800
"""Seconds since 1970 at which the calls start."""

AT = START * 1000
REFERENCE = Reference("agora", ("app", "A"))


def content_of(name: str) -> bytes:
    return (DATA / "agora" / f"{name}.json").read_bytes()


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def user(content: Any, **more: Any) -> dict[str, Any]:
    return said("user", content, **more)


def agent(content: Any, **more: Any) -> dict[str, Any]:
    return said("assistant", content, **more)


def history(*contents: Any, **more: Any) -> dict[str, Any]:
    return {"agent_id": "A", "start_ts": START, "status": "RUNNING", "contents": list(contents), **more}


def turn(number: Any, type_: str, start: Any, end: Any, ended: str = "ok", **more: Any) -> dict[str, Any]:
    return {
        "turn_id": number,
        "start": {"start_at": AT + start, "type": type_},
        "end": {"end_at": AT + end, "type": ended},
        **more,
    }


def turns(*records: Any, **more: Any) -> dict[str, Any]:
    return {"turns": list(records), **more}


def notification(number: int, type_: Any, payload: Any, **more: Any) -> dict[str, Any]:
    told = {"noticeId": f"n:{number}", "productId": 17, "eventType": type_, "notifyMs": AT + number, "sid": "S"}
    return {**told, "payload": payload, **more}


def answer(label: str, body: Any, *, continues: bool = False) -> Answer:
    return Answer(label=label, body=body, source=f"the {label}", continues=continues)


def read(*answers: Answer) -> tuple[list[Item], AgoraReader]:
    """Read answers; give all items and the reader."""
    reader = Agora().reader(REFERENCE)
    return [*(item for each in answers for item in reader.feed(each)), *reader.close()], reader


def events_of(items: Iterable[Item]) -> list[Event]:
    return [item for item in items if not isinstance(item, (Session, Caution))]


def session_of(items: Iterable[Item]) -> Session:
    return [item for item in items if isinstance(item, Session)][-1]


def cautions_of(items: Iterable[Item]) -> list[str]:
    return [item.message for item in items if isinstance(item, Caution)]


def words(event: Event) -> str:
    assert isinstance(event, (UserMessage, AgentMessage))
    return " ".join(str(getattr(part, "text", part)) for part in event.parts)


def from_start(nanoseconds: int | None) -> float | None:
    """Give milliseconds after the start of the calls."""
    return None if nanoseconds is None else nanoseconds / MILLISECOND - AT


# --- the documented sample ----------------------------------------------------------------------------


def test_the_documented_sample_is_a_message_of_each_side() -> None:
    trace = trace_of(content_of("documented"))

    assert [span.name for span in trace.spans] == ["user_message", "agent_output", "invoke_agent"]
    assert trace.root.attributes[f"{OWN}session.reference"] == "agora:/xxxx"
    assert trace.root.attributes["session.id"] == "xxxx"
    assert trace.warnings == []
    assert trace.root.attributes["gen_ai.provider.name"] == "agora"
    assert "gen_ai.agent.id" not in trace.root.attributes
    assert trace.root.resource.attributes["service.name"] == "agora"


def test_entries_without_times_step_on_from_the_start_of_the_call() -> None:
    trace = trace_of(content_of("documented"))

    assert [span.start for span in trace.spans[:2]] == [123_000_001_000, 123_000_002_000]
    assert all(span.attributes[f"{OWN}timing"] == "synthetic" for span in trace.spans)
    assert trace.root.attributes[f"{OWN}session.created_at"] == "123"
    assert json.loads(str(trace.root.attributes[f"{OWN}session.raw"])) == {"status": "RUNNING"}


@pytest.mark.parametrize("start_ts", [0, -1, "123", True, None, 10**30])
def test_a_start_that_is_no_time_is_kept_beside(start_ts: Any) -> None:
    items, _ = read(answer("history", history(user("a"), start_ts=start_ts)))

    assert (session_of(items).started, session_of(items).created_at) == (None, None)
    assert session_of(items).remainder == {"status": "RUNNING", "start_ts": start_ts}


def test_a_saved_history_is_given_its_project_by_the_session_option() -> None:
    trace = trace_of(content_of("documented"), session=Reference("agora", ("app", "xxxx")))

    assert trace.root.attributes[f"{OWN}session.reference"] == "agora:app/xxxx"


# --- properties of all recordings ---------------------------------------------------------------------


def bodies(content: bytes) -> list[Any]:
    parsed = json.loads(content)
    if isinstance(parsed, dict) and "recording" in parsed:
        return [each["body"] for each in parsed["answers"] if each.get("status", 200) == 200]
    return parsed if isinstance(parsed, list) else [parsed]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_leaf_value_of_every_answer_is_found_in_the_trace(path: Path) -> None:
    trace = trace_of(path.read_bytes(), FULL)

    told = told_by(trace.spans)
    assert [leaf for leaf in leaves(bodies(path.read_bytes())) if not holds(told, leaf)] == []
    assert trace.flaws == []


def test_every_leaf_value_of_an_entry_is_found_on_its_own_span() -> None:
    for name in ("rich", "speech_times", "odd_turns"):
        trace = trace_of(content_of(name), FULL)
        entries = next(body["contents"] for body in bodies(content_of(name)) if "contents" in body)
        for entry, span in zip(entries, trace.spans, strict=False):
            told = told_by([span])
            assert [leaf for leaf in leaves(entry) if not holds(told, leaf)] == [], entry


def spoilt_sources(content: bytes) -> Iterator[tuple[Source, Any]]:
    source = source_of(content)
    for number, each in enumerate(source.answers):
        if each.failure is not None:
            continue
        for body in (
            None,
            0,
            "odd",
            [],
            {},
            True,
            [[{}]],
            1e300,
            float("nan"),
            -(10**40),
            "\ud800",
            *spoilt(each.body),
        ):
            answers = list(source.answers)
            answers[number] = replace(each, body=body)
            yield replace(source, answers=answers), body


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_any_spoilt_value_is_a_trace_or_a_read_error(path: Path) -> None:
    for source, body in spoilt_sources(path.read_bytes()):
        trace = trace_from(source, FULL)  # it raises nothing, since a ReadError of what is saved is a flaw
        assert trace.root.name.startswith("invoke_agent"), body
        assert all("holds no list of" in flaw for flaw in trace.flaws)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_numbers_of_any_size_and_half_characters_are_kept(path: Path) -> None:
    source = source_of(path.read_bytes())
    for number, each in enumerate(source.answers):
        for body in spoilt(each.body, ways=(10**30, float("nan"), "\udc00")):
            answers = list(source.answers)
            answers[number] = replace(each, body=body)
            assert trace_from(replace(source, answers=answers), FULL).root.name.startswith("invoke_agent")


def test_one_spoilt_entry_costs_no_other_event() -> None:
    entries = bodies(content_of("rich"))[0]["contents"]
    for place, entry in enumerate(entries):
        for each in (None, 0, "odd", [], {}, [[{}]], *spoilt(entry)):
            items, _ = read(answer("history", history(*entries[:place], each, *entries[place + 1 :])))
            assert len(events_of(items)) == len(entries)


def test_one_spoilt_turn_costs_no_event() -> None:
    entries, (first, second) = bodies(content_of("rich"))[0]["contents"], bodies(content_of("rich"))[1:]
    records = [*first["turns"], *second["turns"]]
    for place, record in enumerate(records):
        for each in (None, 0, "odd", [], {}, [[{}]], *spoilt(record)):
            body = turns(*records[:place], each, *records[place + 1 :])
            items, reader = read(answer("history", history(*entries)), answer("turns", body))
            found = events_of(items)
            assert len(found) >= len(entries) + 1, each
            told = sum("turn_id" in event.details for event in found) + sum(isinstance(event, Note) for event in found)
            assert told >= 2
            assert reader.duplicates == 0


@pytest.mark.parametrize("depth", [60, 101, 400, 900])
def test_a_record_of_any_depth_is_kept(depth: int) -> None:
    deep = "[" * depth + '"bottom"' + "]" * depth
    content = f"""
        {{"agent_id": "A", "start_ts": {START}, "deep": {deep}, "contents": [{{"role": "user", "content": {deep}}}]}}
        {{"turns": [{{"turn_id": {deep}}}]}}
        {{"productId": 17, "eventType": 999, "payload": {deep}}}
    """

    trace = trace_of(content.encode(), FULL)

    assert trace.events == 3
    assert all("bottom" in repr(span.attributes) for span in trace.spans)


def pieces(source: Source) -> Iterator[Answer]:
    """Give each answer record by record."""
    for each in source.answers:
        holder = each.body.get("payload", each.body) if isinstance(each.body, dict) else {}
        name = next((name for name in ("contents", "turns", "errors") if holder.get(name)), None)
        if each.failure is not None or name is None:
            yield each
            continue
        for number, record in enumerate(holder[name]):
            piece = {**holder, name: [record]}
            body = {**each.body, "payload": piece} if holder is not each.body else piece
            yield replace(each, body=body, continues=number > 0)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_feeding_record_by_record_gives_the_same(path: Path) -> None:
    source = source_of(path.read_bytes())
    whole, parts = trace_from(source, FULL), trace_from(replace(source, answers=list(pieces(source))), FULL)

    assert repr(parts) == repr(whole)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_equal_answers_give_equal_spans(path: Path) -> None:
    assert repr(trace_of(path.read_bytes())) == repr(trace_of(path.read_bytes()))


def test_with_content_none_only_names_and_ids_leave() -> None:
    told: set[str] = set()
    for name in ("rich", "notifications"):
        source = source_of(content_of(name))
        answers = [replace(each, body=_kept(marked(each.body, each.label), each.body)) for each in source.answers]
        trace = trace_from(replace(source, answers=answers), NONE)
        told |= {found for span in trace.spans for found in re.findall(r"<([^<>]*)>", repr(span))}
        assert not any(f"{OWN}summary" in span.attributes for span in trace.spans)

    assert told == {
        "turns/name",
        "turns/turns/start/metadata/action",
        "turns/turns/start/metadata/transport",
        "turns/turns/end/metadata/caused_by",
        "turns/turns/end/metadata/reason",
        "turns/turns/end/metadata/transport",
        "notification/payload/name",
        "notification/payload/errors/module",
        "notification/payload/errors/code",
        "notification/noticeId",
    }


def _kept(marks: Any, body: Any) -> Any:
    """Put back what reading goes by: without roles there is no message."""
    if isinstance(marks, dict):
        return {name: body[name] if name == "role" else _kept(inner, body[name]) for name, inner in marks.items()}
    if isinstance(marks, list):
        return [_kept(inner, each) for inner, each in zip(marks, body, strict=True)]
    return marks


# --- entries ------------------------------------------------------------------------------------------


def test_each_entry_is_a_message_or_a_note() -> None:
    items, _ = read(answer("history", history(user("a"), agent("b"), {"role": "tool", "content": "c"}, {}, 7)))

    assert [(event.kind, event.type, event.remainder) for event in events_of(items)] == [
        ("user_message", "user", None),
        ("agent_message", "assistant", None),
        ("note", "tool", {"content": "c"}),
        ("note", None, None),
        ("note", None, 7),
    ]


def test_content_is_kept_as_it_is() -> None:
    contents = ('{"cmd":"noop"}', "", {"say": "hi"}, 7, None)
    items, _ = read(answer("history", history(*map(user, contents))))

    parts = [event.parts for event in events_of(items) if isinstance(event, UserMessage)]
    assert [tuple(getattr(part, "text", getattr(part, "content", "?")) for part in each) for each in parts] == [
        ('{"cmd":"noop"}',),
        ("",),
        ({"say": "hi"},),
        (7,),
        (),
    ]
    assert events_of(items)[-1].remainder == {"content": None}


@pytest.mark.parametrize("absent", [{}, {"contents": None}, {"contents": []}])
def test_a_history_without_contents_is_empty(absent: dict[str, Any]) -> None:
    items, _ = read(answer("history", {"agent_id": "A", "status": "RUNNING", **absent}))

    assert events_of(items) == []
    assert session_of(items).id == "A"


@pytest.mark.parametrize("body", [None, 7, "odd", [], [[{}]], {"contents": 7}, {"contents": {}}])
def test_a_history_without_a_list_is_a_read_error(body: Any) -> None:
    with pytest.raises(ReadError, match="agora:app/A: the history holds no list of contents"):
        read(answer("history", body))


def test_equal_entries_are_numbered_and_keep_their_original_keys() -> None:
    yes = user("yes")
    items, _ = read(answer("history", history(yes, agent("Sure?"), yes)))
    first, _other, second = events_of(items)
    assert (first.key, second.key) == (key_of(yes), f"{key_of(yes)}#2")

    scrubbed = changed(user("[removed]"), "c:0123456789abcdef")
    items, _ = read(answer("history", history(scrubbed)))
    assert [event.key for event in events_of(items)] == ["c:0123456789abcdef"]


def test_turns_change_no_key_of_an_entry() -> None:
    entries = history(agent("Hello."), user("Hi."))
    without, _ = read(answer("history", entries))
    beside, _ = read(answer("history", entries), answer("turns", turns({"role": "user", "content": "Hi."}, 7)))

    assert [event.key for event in events_of(beside)][:2] == [event.key for event in events_of(without)]


# --- times of speech ----------------------------------------------------------------------------------


def test_times_of_speech_are_since_1970_or_since_the_start_of_the_call() -> None:
    trace = trace_of(content_of("speech_times"), FULL)

    assert [
        (from_start(span.start), from_start(span.end), span.attributes[f"{OWN}timing"]) for span in trace.spans[:6]
    ] == [
        (400, 1900, "recorded"),
        (2500, 4100, "recorded"),
        (5000, 6000, "recorded"),
        (7000, 7000, "recorded"),
        (9000, 9000, "recorded"),
        (12000, 12000, "recorded"),
    ]
    assert [span.attributes.get(f"{OWN}event.raw") for span in trace.spans[:5]] == [
        '{"speech_start_ms":400,"speech_end_ms":1900}',
        '{"speech_start_ms":2500,"speech_end_ms":4100}',
        None,
        None,
        '{"speech_end_ms":9000}',
    ]
    assert trace.spans[1].attributes[f"{OWN}measurement.speech_algorithmic_delay"] == 95


def test_times_of_speech_that_are_none_leave_the_entry_undated() -> None:
    span = trace_of(content_of("speech_times"), FULL).spans[6]

    assert span.attributes[f"{OWN}timing"] == "synthetic"
    assert json.loads(str(span.attributes[f"{OWN}event.raw"])) == {
        "speech_start_ms": "soon",
        "speech_end_ms": -5,
        "speech_algorithmic_delay": True,
    }


def test_relative_times_without_a_start_leave_the_entry_undated() -> None:
    trace = trace_of(content_of("speech_times_without_a_start"), FULL)

    assert [span.attributes[f"{OWN}timing"] for span in trace.spans[:3]] == ["synthetic", "synthetic", "recorded"]


def test_the_start_of_the_call_may_come_in_a_later_answer() -> None:
    body = {"agent_id": "A", "contents": [user("Hi.", speech_start_ms=250)]}
    items, _ = read(answer("history", body), answer("notification", notification(1, 101, {"start_ts": START})))

    assert from_start(events_of(items)[0].start) == 250


@pytest.mark.parametrize("start_ts", [START, AT, float(START), AT * 1000])
def test_the_start_is_read_by_its_size_and_kept_as_it_was_written(start_ts: Any) -> None:
    session = session_of(read(answer("history", history(start_ts=start_ts)))[0])

    assert (session.started, session.created_at) == (AT * MILLISECOND, str(start_ts))


# --- turns --------------------------------------------------------------------------------------------


def test_a_call_with_turns_has_recorded_times_and_latencies() -> None:
    trace = trace_of(content_of("rich"), FULL)

    assert [
        (
            span.name,
            from_start(span.start),
            from_start(span.end),
            span.attributes.get(f"{OWN}detail.turn_id", span.attributes.get(f"{OWN}note.turn_id")),
        )
        for span in trace.spans
        if span.attributes[f"{OWN}timing"] == "recorded"
    ] == [
        ("agent_output", 1000, 3000, 1),
        ("user_message", 6000, 6000, 2),
        ("agent_output", 6000, 11000, 2),
        ("user_message", 14000, 14000, 3),
        ("user_message", 15200, 15200, 4),
        ("agent_output", 15200, 21000, 4),
        ("agent_output", 30000, 32000, 6),
        ("agent_output", 33000, 34000, 7),
        ("user_message", 36000, 36000, 8),
        ("agent_output", 36000, 41000, 8),
        ("agora_turn", 22000, 22400, 5),
    ]
    assert trace.warnings == []
    assert trace.root.name == "invoke_agent desk-1"


def test_the_agents_entry_of_a_turn_carries_what_was_measured() -> None:
    spans = trace_of(content_of("rich"), FULL).spans
    asked, answered, alone = spans[1].attributes, spans[2].attributes, spans[3].attributes

    measured = {
        name.removeprefix(f"{OWN}measurement."): told
        for name, told in answered.items()
        if name.startswith(f"{OWN}measurement.")
    }
    assert measured == {
        "speech_duration_ms": 1200,
        "interrupt_duration_ms": 0,
        "playback_duration_ms": 1400,
        "e2e_latency_ms": 905.5,
        "algorithm_processing": 120,
        "asr_ttlw": 180,
        "llm_ttft": 340.5,
        "llm_ftfs": 55,
        "tts_ttfb": 150,
        "transport": 60,
    }
    assert answered[f"{OWN}detail.start.type"] == "voice_input"
    assert f"{OWN}detail.start.type" not in asked
    assert alone[f"{OWN}detail.end.metadata.caused_by"] == "start_of_speech"
    assert alone[f"{OWN}measurement.speech_duration_ms"] == 600


def test_what_is_left_of_a_turn_hides_no_member_of_the_entry() -> None:
    raw = json.loads(str(trace_of(content_of("rich"), FULL).spans[2].attributes[f"{OWN}event.raw"]))

    assert raw["record"] == {"turn": "said once"}
    assert raw["turn"]["metrics"]["region"] == "eu"
    assert raw["turn"]["channel"] == "room9"


def test_turns_win_over_times_of_speech_and_those_stay() -> None:
    entry = user("Hi.", speech_start_ms=AT + 900, speech_end_ms=AT + 1100)
    items, _ = read(
        answer("history", history(entry, agent("Yes?"))), answer("turns", turns(turn(1, "voice_input", 1000, 2000)))
    )

    first, _ = events_of(items)
    assert (from_start(first.start), from_start(first.end)) == (1000, 1000)
    assert first.remainder == {"speech_start_ms": AT + 900, "speech_end_ms": AT + 1100}


def test_times_of_speech_do_where_a_turn_has_none() -> None:
    record = {"turn_id": 1, "start": {"type": "voice_input"}, "end": {"type": "error", "end_at": AT + 5000}}
    items, _ = read(answer("history", history(user("Hi.", speech_start_ms=900))), answer("turns", turns(record)))

    (event,) = events_of(items)
    assert from_start(event.start) == 900
    assert event.remainder == {"speech_start_ms": 900, "turn": {"end": {"end_at": AT + 5000}}}


def test_an_end_before_the_start_is_clamped_and_kept() -> None:
    items, _ = read(answer("history", history(agent("Hi."))), answer("turns", turns(turn(1, "greeting", 900, 100))))

    (event,) = events_of(items)
    assert (from_start(event.start), from_start(event.end)) == (900, 100)
    assert event.remainder == {"turn": {"end": {"end_at": AT + 100}}}


def test_turns_that_fit_no_entry_are_notes_after_all_entries_and_are_told() -> None:
    records = [turn(number, "voice_input", 1000 * number, 1000 * number + 500) for number in range(1, 5)]
    items, _ = read(answer("history", history(user("a"), agent("b"))), answer("turns", turns(*records)))

    found = events_of(items)
    assert [event.kind for event in found] == ["user_message", "agent_message", "note", "note", "note"]
    assert [event.attributes["turn_id"] for event in found if isinstance(event, Note)] == [1, 2, 3]
    assert [from_start(event.start) for event in found[2:]] == [1000, 2000, 3000]
    assert found[2].key == key_of(records[0])
    assert cautions_of(items) == [
        "of 4 turns, 1 could be laid on entries of the history; the others are notes at its end"
    ]


def test_turns_without_a_history_are_notes() -> None:
    items, _ = read(answer("turns", turns(turn(1, "greeting", 0, 10), {"turn_id": 2, "end": {"end_at": AT + 20}}, {})))

    assert [(from_start(event.start), from_start(event.end)) for event in events_of(items)] == [
        (0, 10),
        (20, 20),
        (None, None),
    ]
    (caution,) = cautions_of(items)
    assert caution.startswith("there is no history: the trace has turns and no words; ")


def test_turns_come_in_order_whatever_the_order_of_pages() -> None:
    items, _ = read(
        answer("history", history(agent("Hi."), user("a"), agent("b"))),
        answer("turns", turns(turn(2, "voice_input", 2000, 3000))),
        answer("turns", turns(turn(1, "greeting", 0, 500))),
    )

    assert [from_start(event.start) for event in events_of(items)] == [0, 2000, 2000]


def test_a_turn_that_is_met_again_is_a_duplicate_and_an_earlier_state_of_it_a_note() -> None:
    begun = {"turn_id": 2, "start": {"start_at": AT + 2000, "type": "voice_input"}}
    items, reader = read(
        answer("history", history(agent("Hi."), user("a"), agent("b"))),
        answer("turns", turns(turn(1, "greeting", 0, 500), begun)),
        answer("turns", turns(turn(1, "greeting", 0, 500), turn(2, "voice_input", 2000, 3000))),
    )

    assert [event.kind for event in events_of(items)] == ["agent_message", "user_message", "agent_message", "note"]
    assert reader.duplicates == 1
    assert cautions_of(items) == []


def test_floats_and_unknown_words_in_turns() -> None:
    trace = trace_of(content_of("odd_turns"), FULL)

    assert [span.name for span in trace.spans[:-1]] == [
        "agent_output",
        "user_message",
        "agent_output",
        "user_message",
        "agent_output",
        "agora_turn",
    ]
    assert [from_start(span.start) for span in trace.spans[1:5]] == [5000.25, 5000.25, 9000, 9000]
    clamped = trace.spans[4].attributes
    assert clamped[f"{OWN}clamped"] is True
    assert trace.spans[5].attributes[f"{OWN}note.start.type"] == "telepathy"
    assert trace.warnings == ["of 3 turns, 2 could be laid on entries of the history; the others are notes at its end"]


@pytest.mark.parametrize("body", [None, 7, "odd", [], {"turns": 7}, {"turns": {}}])
def test_turns_without_a_list_cost_the_times_and_not_the_history(body: Any) -> None:
    items, _ = read(answer("history", history(user("a"))), answer("turns", body))

    assert len(events_of(items)) == 1
    assert cautions_of(items) == ["the turns holds no list of turns; the trace lacks the times of the turns"]
    assert session_of(items).remainder == {"status": "RUNNING", "turns": body}
    with pytest.raises(ReadError, match="the turns holds no list of turns"):
        read(answer("turns", body))


def unlaid(count: int) -> str:
    return (
        f"of {count} turns, 0 could be laid on entries of the history: the last one may be missing; the others are "
        "notes at its end"
    )


def test_the_last_page_that_is_here_names_a_further_one() -> None:
    page = turns(turn(1, "greeting", 0, 10), pagination={"page_index": 1, "total_pages": 2, "is_last_page": False})
    items, _ = read(answer("history", history(agent("Hi."))), answer("turns", page))

    assert session_of(items).complete is False
    assert cautions_of(items) == [
        unlaid(1),
        "the platform says that there are more turns than these, and did not give them: the trace lacks some",
    ]


def test_nothing_is_laid_when_the_last_turns_are_missing() -> None:
    first = turns(turn(1, "voice_input", 0, 10), pagination={"page_index": 1, "total_pages": 2})
    items, _ = read(answer("history", history(user("a"), agent("b"), user("c"), agent("d"))), answer("turns", first))

    assert [event.start for event in events_of(items)[:4]] == [None] * 4
    assert [type(event) for event in events_of(items)[4:]] == [Note]


def test_a_last_page_that_says_nothing_of_pages_is_the_last() -> None:
    pages = (
        turns(turn(1, "greeting", 0, 10), pagination={"page_index": 1, "is_last_page": False}),
        turns(turn(2, "greeting", 20, 30)),
    )
    items, _ = read(answer("history", history(agent("a"), agent("b"))), *(answer("turns", page) for page in pages))

    assert session_of(items).complete is True
    assert [from_start(event.start) for event in events_of(items)] == [0, 20]


def test_nothing_is_laid_before_a_gap_between_two_polls() -> None:
    laid = turns(*(turn(number, "voice_input", number * 100, number * 100 + 10) for number in (1, 2, 3)))
    polls = (history(user("a"), agent("b")), history(user("e"), agent("f")))
    items, _ = read(*(answer("history", each) for each in polls), answer("turns", laid))

    entries, notes = events_of(items)[:4], events_of(items)[4:]
    assert [event.start if event.start is None else from_start(event.start) for event in entries] == [
        None,
        None,
        300,
        300,
    ]
    assert [from_start(note.start) for note in notes] == [100, 200]
    assert (
        cautions_of(items)[-1]
        == "of 3 turns, 1 could be laid on entries of the history; the others are notes at its end"
    )


# --- windows ------------------------------------------------------------------------------------------


def merged(*windows: str) -> tuple[str, int, int]:
    """Merge windows of one letter an entry; give all entries, how many were met again, and the gaps."""
    merging = Windows()
    for window in windows:
        merging.add([user(letter) for letter in window])
    return "".join(entry.record["content"] for entry in merging.entries), merging.duplicates, merging.gaps


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        (["abcd", "cdef"], ("abcdef", 2, 0)),
        (["abcd", "abcd"], ("abcd", 4, 0)),
        (["ab", "abc", "abcd"], ("abcd", 5, 0)),
        (["abab", "abab"], ("abab", 4, 0)),
        (["aya", "yab"], ("ayab", 2, 0)),
        (["abcd", "bc"], ("abcd", 2, 0)),
        (["ayay", "ya"], ("ayay", 2, 0)),
        (["aya", "ay"], ("aya", 2, 0)),
        (["abcd", "xy"], ("abcdxy", 0, 1)),
        (["abcd", ""], ("abcd", 0, 0)),
        (["", "ab"], ("ab", 0, 0)),
        (["aaa", "aaa"], ("aaa", 3, 0)),
        (["aaa", "aab"], ("aaab", 2, 0)),
    ],
)
def test_windows_are_laid_over_one_another(windows: list[str], expected: tuple[str, int, int]) -> None:
    assert merged(*windows) == expected


def test_two_polls_of_a_running_call_are_one_list() -> None:
    trace = trace_of(content_of("sliding_windows"), FULL)

    assert (trace.events, trace.duplicates) == (12, 8)
    (warning,) = trace.warnings
    assert warning.startswith("1 of the histories had no entry in common with those before it: entries may have been")
    texts = [json.loads(str(told)) for span in trace.spans if (told := span.attributes.get("gen_ai.output.messages"))]
    assert texts[2][0]["parts"][0]["content"] == "Which size?"
    assert json.loads(str(trace.spans[4].attributes[f"{OWN}event.raw"])) == {"earlier": ["Which si"]}


def added(*windows: list[Any]) -> tuple[list[Any], int, int]:
    merging = Windows()
    for window in windows:
        merging.add(window)
    return [entry.record for entry in merging.entries], merging.duplicates, merging.gaps


def test_what_the_agent_still_says_grows_or_is_cut() -> None:
    before = [user("a"), agent("Which si")]

    assert added(before, [user("a"), agent("Which size?"), user("b")])[0] == [
        user("a"),
        agent("Which size?"),
        user("b"),
    ]
    assert added(before, [user("a"), agent("Which")]) == ([user("a"), agent("Which")], 2, 0)
    assert added([agent("He")], [agent("Hello")]) == ([agent("Hello")], 1, 0)


def test_what_differs_in_more_than_its_end_is_another_entry() -> None:
    before = [user("a"), agent("Which si")]

    assert added(before, [user("x"), agent("Which size?")])[1:] == (0, 1)
    assert added(before, [agent("Which size?")])[1:] == (0, 1)
    assert added([user("a"), user("b")], [user("a"), user("bc")])[1:] == (0, 1)
    assert added(before, [user("a"), agent("Which size?", n=1)])[1:] == (0, 1)


def test_merging_many_windows_takes_time_in_proportion_to_them() -> None:
    merging = Windows()
    for number in range(4000):
        merging.add([user(str(each)) for each in range(number, number + 32)])
    merging.add([user("y")] * 20_000)
    merging.add([*[user("y")] * 20_000, user("z")])

    assert (len(merging.entries), merging.gaps) == (4031 + 20_001, 1)


# --- notifications ------------------------------------------------------------------------------------


def test_a_stored_notification_holds_the_transcript_of_a_finished_call() -> None:
    trace = trace_of(content_of("notifications"), FULL)

    assert [span.name for span in trace.spans] == [
        "agent_output",
        "user_message",
        "agent_output",
        "agora_error",
        "agora_error",
        "agora_error",
        "unknown_event",
        "unknown_event",
        "invoke_agent desk-3",
    ]
    assert (trace.events, trace.duplicates) == (8, 1)
    root = trace.root.attributes
    assert root[f"{OWN}session.reference"] == "agora:/1NT_notified"
    assert root[f"{OWN}session.channel"] == "room5"
    assert json.loads(str(root[f"{OWN}session.labels"])) == {"env": "test", "shop": "example.com"}
    assert (root[f"{OWN}session.created_at"], root[f"{OWN}session.closed_at"]) == (str(START), str(START + 60))
    raw = json.loads(str(root[f"{OWN}session.raw"]))
    assert raw["stop_ts"] == START + 61
    assert raw["message"] == "the caller left"
    assert len(raw["notifications"]) == 6


def test_errors_are_notes_with_their_module_code_and_message() -> None:
    trace = trace_of(content_of("notifications"), FULL)
    first, second, third = (span for span in trace.spans if span.name == "agora_error")

    told = {name.removeprefix(f"{OWN}note."): each for name, each in first.attributes.items() if ".note." in name}
    assert told == {"module": "llm", "turn_id": 2, "code": 504, "message": "the model did not answer"}
    assert first.attributes[f"{OWN}event.raw"] == '{"vendor":"custom"}'
    assert second.span_id != third.span_id


def test_a_notification_that_is_sent_again_is_one() -> None:
    first = notification(1, 110, {"errors": [{"code": 1}]})
    again = {**first, "notifyMs": AT + 99}
    items, reader = read(answer("notification", first), answer("notification", again))

    assert (len(events_of(items)), reader.duplicates) == (1, 1)
    assert [each["notifyMs"] for each in session_of(items).remainder["notifications"]] == [AT + 1, AT + 99]


def test_two_notifications_are_two_even_when_they_say_the_same() -> None:
    items, _ = read(*(answer("notification", notification(n, 110, {"errors": [{"code": 1}]})) for n in (1, 2)))

    assert [event.key for event in events_of(items)] == [key_of({"code": 1}), key_of({"code": 1}) + "#2"]


def test_a_notification_of_an_unknown_type_is_a_note_whole_and_once() -> None:
    ring = notification(1, 201, {"agent_id": "A", "state": "RINGING"})
    items, reader = read(answer("notification", ring), answer("notification", {**ring, "notifyMs": AT + 9}))

    (note,) = events_of(items)
    assert (note.kind, note.key, note.id, note.type, note.remainder) == ("note", "n:1", "n:1", "201", ring)
    assert reader.duplicates == 1


@pytest.mark.parametrize(
    "body",
    [
        notification(1, 103, None),
        notification(1, 103, {"contents": 7}),
        notification(1, [103], {"contents": []}),
        notification(1, type_=True, payload={}),
        notification(1, 103, {"contents": []}, productId=[17]),
        {"noticeId": 7},
        {},
    ],
)
def test_a_notification_that_cannot_be_read_is_a_note_whole(body: Any) -> None:
    items, _ = read(answer("notification", body))

    (note,) = events_of(items)
    assert note.remainder == body


def test_a_notification_of_another_product_is_not_read_and_told() -> None:
    foreign = notification(1, 103, {"agent_id": "other", "contents": [user("not ours")]}, productId=1)
    ours = notification(2, 103, {"agent_id": "A", "contents": [user("ours")]})

    items, _ = read(answer("notification", foreign), answer("notification", ours))

    assert len(events_of(items)) == 1
    assert cautions_of(items) == [
        "1 of the notifications are of other products (productId is not 17), and were not read",
    ]
    assert Agora().identify([answer("notification", foreign), answer("notification", ours)]) == ("", "A")


def test_a_notification_that_is_no_object_is_a_read_error() -> None:
    with pytest.raises(ReadError, match="the notification holds no list"):
        read(answer("notification", [7]))


def test_a_notification_of_turns_gives_the_times() -> None:
    items, _ = read(
        answer("notification", notification(1, 112.0, turns(turn(1, "greeting", 0, 500), agent_id="A"))),
        answer("notification", notification(2, 103, history(agent("Hi.")))),
    )

    (event,) = events_of(items)
    assert (from_start(event.start), from_start(event.end)) == (0, 500)


def test_two_history_notifications_are_merged_like_windows() -> None:
    items, reader = read(
        answer("history", history(agent("Hi."), user("a"))),
        answer("notification", notification(1, 103, history(user("a"), agent("b")))),
        answer("notification", notification(2, 103, history(agent("b"), user("c")))),
    )

    assert [words(event) for event in events_of(items)] == ["Hi.", "a", "b", "c"]
    assert reader.duplicates == 2


def test_notifications_may_stand_line_by_line_in_a_file() -> None:
    lines = b"\n".join(json.dumps(each).encode() for each in bodies(content_of("notifications")))

    assert repr(trace_of(lines, FULL)) == repr(trace_of(content_of("notifications"), FULL))


def test_a_notification_that_is_cut_says_so() -> None:
    trace = trace_of(content_of("notifications").replace(b'"is_truncated": false', b'"is_truncated": true'))

    assert trace.root.attributes[f"{OWN}session.complete"] is False
    assert trace.warnings == [
        unlaid(2),
        "the platform says that there are more turns than these, and did not give them: the trace lacks some",
    ]


# --- the session --------------------------------------------------------------------------------------


def test_facts_that_differ_are_all_kept() -> None:
    items, _ = read(
        answer("history", history(channel="one")),
        answer("turns", turns(name="desk", channel="two", labels={"a": 1}, start_ts=START + 1)),
        answer("notification", notification(1, 102, {"channel": "three", "status": "STOPPED", "labels": {"a": 2}})),
    )

    session = session_of(items)
    assert (session.agent_name, session.content) == ("desk", {"channel": "one", "labels": {"a": 1}})
    assert session.created_at == str(START)
    assert session.remainder["channel"] == ["two", "three"]
    assert session.remainder["labels"] == {"a": 2}
    assert session.remainder["start_ts"] == START + 1
    assert session.remainder["status"] == ["RUNNING", "STOPPED"]


def test_the_session_comes_before_the_events_and_without_any_record() -> None:
    items, _ = read(answer("history", history(user("a"))))
    assert isinstance(items[0], Session)
    assert (items[0].agent_id, items[0].service) == (None, None)

    items, _ = read()
    assert [type(item) for item in items] == [Session]


def test_answers_of_another_agent_are_kept_and_told() -> None:
    items, _ = read(answer("history", history(user("a"), agent_id="B")), answer("turns", turns(agent_id="A")))

    assert cautions_of(items) == ["of these answers, 1 name another agent than 'A'"]
    assert session_of(items).remainder["agent_id"] == "B"


def test_answers_are_recognised_by_their_members() -> None:
    agora = Agora()

    assert agora.recognise({"contents": [], "status": "RUNNING"}) == "history"
    assert agora.recognise({"contents": [], "start_ts": 1}) == "history"
    assert agora.recognise({"turns": []}) == "turns"
    assert agora.recognise(notification(1, 103, {})) == "notification"
    assert agora.recognise(notification(1, 103, {}, productId=1)) == "notification"
    assert agora.recognise(notification(1, 103, {}, productId="17")) is None
    others: tuple[Any, ...] = (
        [],
        {},
        {"contents": []},
        {"contents": 7, "agent_id": "A"},
        {"turns": 7},
        {"events": []},
        {"key": "a", "first_step": {}},
        {"history": [{"role": "user", "content": "x"}]},
        [{"role": "user", "content": "x", "created_at": "now"}],
        [{"type": "message", "eventId": "e"}],
        None,
        7,
    )
    for other in others:
        assert agora.recognise(other) is None


def test_the_agent_is_told_by_any_answer_and_the_project_by_none() -> None:
    agora = Agora()

    assert agora.identify([answer("history", history())]) == ("", "A")
    assert agora.identify([answer("turns", turns()), answer("turns", turns(agent_id="B"))]) == ("", "B")
    assert agora.identify([answer("notification", notification(1, 101, {"agent_id": "C"}))]) == ("", "C")
    assert agora.identify([answer("turns", turns(agent_id="")), answer("turns", None)]) == ("", "")


def test_a_saved_answer_without_an_agent_asks_for_the_session() -> None:
    with pytest.raises(ReadError, match="say it with --session agora:APPID/AGENT"):
        trace_of(json.dumps(turns(turn(1, "greeting", 0, 10))).encode())


def test_the_fetcher_is_installed() -> None:
    fetcher = FETCHERS.get("agora")

    assert (fetcher.name, fetcher.path, fetcher.labels) == (
        "agora",
        ("APPID", "AGENT"),
        ("history", "turns", "notification"),
    )


# --- over HTTP ----------------------------------------------------------------------------------------

ENVIRONMENT = {"AGORA_CUSTOMER_ID": "customer", "AGORA_CUSTOMER_SECRET": "quiet"}
PATH = "/v2/projects/app/agents/A"


def query(number: int) -> dict[str, str]:
    return {"page_index": str(number), "page_size": "50"}


def play(past: Any, *pages: Any) -> Recording:
    """Record a history, and pages of turns; None is a failure."""
    asked = [RecordedAnswer(label="history", path=f"{PATH}/history", status=200 if past else 404, body=past)]
    asked += [
        RecordedAnswer(label="turns", path=f"{PATH}/turns", query=query(number), body=page)
        for number, page in enumerate(pages, 1)
        if page is not None
    ]
    return Recording(recording=1, session="agora:app/A", answers=asked)


def fetched(
    platform: LoopbackPlatform,
    client: httpx.Client,
    *,
    reference: Reference = REFERENCE,
    environ: dict[str, str] = ENVIRONMENT,
) -> Trace:
    connection = Agora().connect(environ, platform.base_url)
    answers = Client(client, connection).fetch(Agora(), reference)
    return trace_from(Source(reference=reference, fetcher=Agora(), answers=answers), FULL)


@pytest.mark.parametrize("name", ["rich", "gone", "running", "names_that_need_encoding"])
def test_a_recording_is_all_that_is_asked_for_and_gives_the_same_trace(name: str, http: httpx.Client) -> None:
    recording = load_recording(content_of(name), name)
    with LoopbackPlatform([recording]) as platform:
        trace = fetched(platform, http, reference=recording.reference)

    assert len(platform.asked) == len(recording.answers)
    assert [span.name for span in trace.spans] == [span.name for span in trace_of(content_of(name), FULL).spans]
    assert [span.span_id for span in trace.spans] == [span.span_id for span in trace_of(content_of(name), FULL).spans]


def page(number: Any, *, index: int, **pagination: Any) -> dict[str, Any]:
    return turns(turn(number, "greeting", number, number + 1), pagination={"page_index": index, **pagination})


def test_pages_of_turns_are_asked_for_until_one_is_the_last(http: httpx.Client) -> None:
    pages = [
        page(1, index=1, total_pages=3.0, is_last_page=False),
        page(2, index=2, is_last_page=False),
        page(3, index=3, total_pages=9, is_last_page=True),
        page(4, index=4),
    ]
    with LoopbackPlatform([play(history(agent("Hi.")), *pages)]) as platform:
        fetched(platform, http)

    assert platform.asked == [
        f"GET {PATH}/history",
        *(f"GET {PATH}/turns?page_index={number}&page_size=50" for number in (1, 2, 3)),
    ]


@pytest.mark.parametrize(
    "last",
    [
        page(1, index=1, total_pages=1),
        page(1, index=1, is_last_page=True),
        turns(turn(1, "greeting", 0, 1)),
        turns(pagination={"is_last_page": False}),
        turns(turn(1, "greeting", 0, 1), pagination=7),
        {"turns": 7},
        [7],
    ],
)
def test_one_page_is_enough(last: Any, http: httpx.Client) -> None:
    with LoopbackPlatform([play(history(agent("Hi.")), last, last)]) as platform:
        fetched(platform, http)

    assert len(platform.asked) == 2


def test_turns_that_repeat_end_the_paging_and_are_told(http: httpx.Client) -> None:
    again = page(1, index=1, total_pages=99, is_last_page=False)
    with LoopbackPlatform([play(history(agent("Hi.")), again, again, again, again)]) as platform:
        trace = fetched(platform, http)

    assert len(platform.asked) == 5
    assert (trace.events, trace.duplicates) == (2, 3)
    assert trace.warnings == [
        unlaid(1),
        "the platform says that there are more turns than these, and did not give them: the trace lacks some",
    ]
    assert trace.root.attributes[f"{OWN}session.complete"] is False


def test_pages_that_are_counted_are_all_asked_for_even_behind_an_empty_one(http: httpx.Client) -> None:
    pages = (
        page(2, index=1, total_pages=3),
        turns(pagination={"page_index": 2, "total_pages": 3}),
        page(1, index=3, total_pages=3),
    )
    with LoopbackPlatform([play(history(agent("Hi."), agent("Ho.")), *pages)]) as platform:
        trace = fetched(platform, http)

    assert len(platform.asked) == 4
    assert trace.warnings == []
    assert [span.attributes[f"{OWN}detail.turn_id"] for span in trace.spans[:2]] == [1, 2]


def test_a_later_page_that_fails_costs_its_turns_only(http: httpx.Client) -> None:
    with LoopbackPlatform([play(history(agent("Hi.")), page(1, index=1, total_pages=2))]) as platform:
        trace = fetched(platform, http)

    warning, unlaid = trace.warnings
    assert "turns?page_index=2&page_size=50 answered 404 Not Found" in warning
    assert warning.endswith("; the trace lacks the turns of this page and of those after it")
    assert unlaid.startswith("of 1 turns, 0 could be laid on entries of the history: the last one may be missing")
    assert trace.named("agora_turn").attributes[f"{OWN}note.turn_id"] == 1
    assert trace.root.attributes[f"{OWN}session.complete"] is False


def test_turns_that_are_not_there_while_a_call_runs_cost_the_times(http: httpx.Client) -> None:
    with LoopbackPlatform([play(history(agent("Hi.")))]) as platform:
        trace = fetched(platform, http)

    (warning,) = trace.warnings
    assert "answered 404 Not Found" in warning
    assert warning.endswith("; the trace lacks the times of the turns, which is usual while a call runs")
    assert trace.events == 1
    assert trace.root.attributes[f"{OWN}session.complete"] is True


def test_when_the_agent_has_left_its_turns_are_the_trace(http: httpx.Client) -> None:
    with LoopbackPlatform([play(None, turns(turn(1, "greeting", 0, 10)))]) as platform:
        trace = fetched(platform, http)

    (warning,) = trace.warnings
    assert f"GET {PATH}/history answered 404 Not Found" in warning
    assert warning.count("event 103") == 1
    assert warning.endswith("; the trace has turns at best, and no words")
    assert [span.name for span in trace.spans] == ["agora_turn", "invoke_agent"]


@pytest.mark.parametrize("pages", [[], [turns()], [{"turns": None}], [{"odd": 1}]])
def test_when_nothing_is_left_of_a_call_the_user_learns_where_its_words_may_be(
    pages: list[Any], http: httpx.Client
) -> None:
    expected = r"agora:app/A: GET .*/A/history answered 404 .* 7 days, .* stored history notification \(event 103\)"
    with LoopbackPlatform([play(None, *pages)]) as platform, pytest.raises(FetchError, match=expected):
        fetched(platform, http)


def test_a_call_that_cannot_be_had_is_not_said_to_lack_words(here: Path) -> None:
    with LoopbackPlatform([]) as platform:
        report = replay(
            ["agora:app/A"], to=[f"file:{here / 'out'}"], base_url=platform.base_url, environ=dict(ENVIRONMENT)
        )

    assert report.exit_code == 1
    assert report.sessions[0].warnings == ()


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_history_that_is_refused_fails_the_session(status: int, http: httpx.Client) -> None:
    with LoopbackPlatform([play(history(agent("Hi.")), turns())]) as platform:
        platform.faults[f"{PATH}/history"].append(Reply(status=status, body=b'{"detail":"no","reason":"Odd"}'))
        with pytest.raises(FetchError, match=f"answered {status} .*: no"):
            fetched(platform, http)

    assert len(platform.asked) == 1


def test_a_history_of_another_shape_fails_the_session(http: httpx.Client) -> None:
    with LoopbackPlatform([play([7], turns())]) as platform:
        connection = Agora().connect(ENVIRONMENT, platform.base_url)
        answers = Client(http, connection).fetch(Agora(), REFERENCE)
        reader = Agora().reader(REFERENCE)
        with pytest.raises(ReadError, match=r"GET .*/history holds no list of contents"):
            reader.feed(next(answers))


def test_customer_id_and_secret_go_as_basic_credentials(http: httpx.Client) -> None:
    basic = "Basic " + base64.b64encode(b"customer:quiet").decode()
    with LoopbackPlatform([play(history(agent("Hi.")), turns())], headers={"authorization": basic}) as platform:
        assert fetched(platform, http).events == 1


def test_a_token_wins_over_customer_id_and_secret(http: httpx.Client) -> None:
    headers = {"authorization": "agora token=007abc"}
    with LoopbackPlatform([play(history(agent("Hi.")), turns())], headers=headers) as platform:
        assert fetched(platform, http, environ={**ENVIRONMENT, "AGORA_TOKEN": "007abc"}).events == 1


@pytest.mark.parametrize("environ", [{}, {"AGORA_CUSTOMER_ID": "c"}, {"AGORA_CUSTOMER_SECRET": "s", "AGORA_TOKEN": ""}])
def test_without_credentials_the_variables_are_named(environ: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"AGORA_CUSTOMER_ID and AGORA_CUSTOMER_SECRET .* AGORA_TOKEN"):
        Agora().connect(environ, None)


def test_the_base_url_of_the_call_wins_over_the_variable() -> None:
    environ = {**ENVIRONMENT, "AGORA_BASE_URL": "https://eu.example.com/agents/"}

    assert Agora().connect(ENVIRONMENT, None).base_url == BASE_URL
    assert Agora().connect(environ, None).base_url == "https://eu.example.com/agents"
    assert Agora().connect(environ, "https://here.example.com").base_url == "https://here.example.com"


@pytest.mark.parametrize("path", [("only",), ("", "A"), ("app", ""), ("a", "b", "c")])
def test_a_reference_that_lacks_a_part_is_refused(path: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="write agora:APPID/AGENT"):
        next(Agora().ask(Reference("agora", path)))


# --- the demo -----------------------------------------------------------------------------------------


def test_the_demo_is_a_call_with_its_times() -> None:
    folder = DATA.parent.parent / "otel_agent_events" / "demo"
    content = (folder / "5_agora_call.json").read_bytes()
    trace = trace_of(content, FULL)

    assert (trace.warnings, trace.flaws, trace.events) == ([], [], 12)
    told = told_by(trace.spans)
    assert [leaf for leaf in leaves(bodies(content)) if not holds(told, leaf)] == []
    assert [span.name for span in trace.spans].count("agora_turn") == 1
