from __future__ import annotations

import gzip
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agent_events.live import watching
from otel_agent_events.live.watching import Watch, question, unharmed
from tests.live.platform import event
from tests.live.recorders import Broken, Kept

if TYPE_CHECKING:
    from collections.abc import Iterable

MESSAGES = [{"type": "text", "content": "Where is order 5512?"}]
ASKED = json.dumps({"type": "input_message", "messages": MESSAGES, "stream_response": True}).encode()
QUESTION = {"type": "input_message", "messages": MESSAGES}
STREAM = b"".join(map(event, ({"type": "thinking", "id": "1"}, {"type": "agent_output", "id": "2"}, {"type": "end"})))


def watched(
    body: Iterable[bytes],
    content_type: str = "text/event-stream",
    codings: list[str] | None = None,
    *,
    asked: bytes = b"",
    whole: bool = True,
) -> Kept:
    kept = Kept()
    watch = Watch(kept.it, kept.it.turn("vectara:a/s"), asked)
    watch.answer(content_type, codings or [])
    for chunk in body:
        watch.take(chunk)
    (watch.exhaust if whole else watch.end)()
    return kept


def test_each_event_of_a_stream_is_a_record_as_it_was_sent() -> None:
    text = b'data: {"type": "thinking",  "n": 1.10}\n\n'

    assert [record for record, _ in watched([text]).turn_.told] == [b'{"type": "thinking",  "n": 1.10}']


def test_records_of_one_chunk_have_the_time_at_which_it_came() -> None:
    kept, before = Kept(), time.time_ns()
    watch = Watch(kept.it, kept.it.turn("vectara:a/s"))
    watch.answer("text/event-stream", [])
    watch.take(event({"type": "a"}) + event({"type": "b"}) + event({"type": "c"})[:-1])
    between = time.time_ns()
    watch.take(b"\n")
    watch.exhaust()

    first, second, third = [at for _, at in kept.turn_.told]
    assert first is not None
    assert third is not None
    assert first == second
    assert before <= first <= between <= third <= time.time_ns()


def test_a_stream_is_complete_when_its_end_was_told() -> None:
    assert watched([STREAM]).turn_.complete
    assert watched([STREAM], whole=False).turn_.complete
    assert watched([STREAM[:-30]]).turn_.ended == (None, False, None)


@given(st.data(), st.sampled_from([[], ["gzip"]]))
def test_how_an_answer_is_cut_makes_no_difference(data: st.DataObject, codings: list[str]) -> None:
    body = gzip.compress(STREAM) if codings else STREAM
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=20)))
    chunks = [body[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]

    kept = watched(chunks, codings=codings, asked=ASKED)

    assert kept.turn_.records == [QUESTION, *map(json.loads, STREAM.replace(b"data:", b"").split(b"\n\n")[:-1])]
    assert kept.turn_.complete


@pytest.mark.parametrize("data", [b"", b"[DONE]"])
def test_what_gateways_put_into_a_stream_is_no_record_and_no_loss(data: bytes) -> None:
    kept = watched([b": ping\n\ndata: ", data, b"\n\n", STREAM])

    assert (kept.turn_.types, kept.lost) == (["thinking", "agent_output", "end"], [])


@pytest.mark.parametrize("data", [b"null", b"[1]", b'"x"', b"{", b"{} {}", b"hello", b"\xff"])
def test_an_event_that_is_no_object_is_lost_and_counted(data: bytes) -> None:
    kept = watched([b"data: ", data, b"\n\n", STREAM])

    assert (kept.turn_.types, kept.lost) == (
        ["thinking", "agent_output", "end"],
        [(1, "an event holds no JSON object")],
    )


def test_half_a_record_at_the_cut_of_a_stream_is_not_counted_but_the_turn_is_not_complete() -> None:
    kept = watched([STREAM[:60]], whole=False)

    assert (kept.turn_.types, kept.lost) == (["thinking"], [])
    assert kept.turn_.ended == (None, False, None)


def test_a_record_whose_blank_line_did_not_come_is_recorded() -> None:
    assert watched([STREAM.rstrip()], whole=False).turn_.complete


def test_an_event_that_is_too_large_is_lost_and_counted() -> None:
    kept = watched([b"data: ", *[b"x" * (1 << 20)] * 17, b"\n\n", STREAM])

    assert kept.lost == [(1, "an event is larger than 16 MiB")]
    assert kept.turn_.complete


# --- JSON ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "types"),
    [
        (b'{"events": [{"type": "a"}, {"type": "b"}], "session_key": "s"}', ["a", "b"]),
        (b' [{"type": "a"}]\n', ["a"]),
        (b'{"type": "a", "id": "1"}', ["a"]),
        (b'{"events": []}', []),
        (b"", []),
    ],
)
@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=utf-8", "application/x+json", ""]
)
def test_a_json_answer_is_recorded_when_it_is_whole(body: bytes, types: list[str], content_type: str) -> None:
    kept = watched([body[:10], body[10:]], content_type)

    assert (kept.turn_.types, kept.lost) == (types, [])
    assert kept.turn_.complete


def test_the_events_of_a_json_answer_are_handed_on_as_they_were_sent() -> None:
    kept = watched([b'{"events":[{"type": "a",  "n": 1.10}]}'], "application/json")

    assert [record for record, _ in kept.turn_.told] == [b'{"type": "a",  "n": 1.10}']


@pytest.mark.parametrize("body", [b"<html>", b"{", b"3", b"{}", b'{"events": 3}', b'{"events": [}', b"\xff"])
def test_a_json_answer_of_another_form_is_lost(body: bytes) -> None:
    kept = watched([body], "application/json")

    assert kept.lost == [(1, "an answer is not of the form that Vectara documents")]
    assert kept.turn_.ended == (None, False, None)


def test_what_is_no_object_among_the_events_is_lost_and_counted() -> None:
    kept = watched([b'{"events": [1, {"type": "a"}, null]}'], "application/json")

    assert (kept.turn_.types, kept.lost) == (["a"], [(2, "an event is no JSON object")])


def test_half_a_json_answer_is_a_turn_that_is_not_complete() -> None:
    kept = watched([b'{"events": [{"type": "a"}'], "application/json", whole=False)

    assert (kept.turn_.records, kept.lost, kept.turn_.ended) == ([], [], (None, False, None))


def test_a_json_answer_that_is_too_large_is_lost_and_let_go() -> None:
    kept = watched([b'{"events": [{"x": "', *[b"x" * (1 << 20)] * 65, b'"}]}'], "application/json")

    assert kept.lost == [(1, "an answer is larger than 64 MiB")]
    assert (kept.turn_.records, kept.turn_.ended) == ([], (None, False, None))


# --- what cannot be watched ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "codings", "why"),
    [
        ("text/html; charset=utf-8", [], "an answer of type 'text/html' cannot be watched"),
        ("Bearer s3cret", [], "an answer of type that cannot be named cannot be watched"),
        ("text/event-stream", ["snappy"], "an answer in content-encoding 'snappy' cannot be watched"),
    ],
)
def test_an_answer_of_another_kind_is_lost_and_says_why(content_type: str, codings: list[str], why: str) -> None:
    kept = watched([STREAM], content_type, codings, asked=ASKED)

    assert (kept.lost, kept.turn_.records) == ([(1, why)], [QUESTION])
    assert kept.turn_.ended == (None, False, None)


@pytest.mark.parametrize("body", [[b"no gzip"], [gzip.compress(STREAM)[:20], b"\x00" * 50]])
def test_an_answer_that_cannot_be_decompressed_is_lost(body: list[bytes]) -> None:
    kept = watched(body, codings=["gzip"])

    assert kept.lost == [(1, "an answer could not be decompressed")]
    assert kept.turn_.ended == (None, False, None)


# --- the user's message -------------------------------------------------------------------------------


def test_the_users_message_comes_first_with_the_time_at_which_it_was_sent() -> None:
    before = time.time_ns()
    told = watched([STREAM], asked=ASKED).turn_.told

    assert json.loads(told[0][0]) == QUESTION
    assert told[0][1] is not None
    assert told[1][1] is not None
    assert before <= told[0][1] <= told[1][1]


@pytest.mark.parametrize("content_type", ["text/event-stream", "application/json"])
def test_it_is_told_once_when_the_answer_tells_it_too(content_type: str) -> None:
    told = {"type": "input_message", "id": "aev_1", "messages": MESSAGES}
    body = event(told) + STREAM if content_type == "text/event-stream" else json.dumps({"events": [told]}).encode()

    records = watched([body], content_type, asked=ASKED).turn_.records

    assert [record for record in records if record["type"] == "input_message"] == [told]


def test_it_is_told_when_nothing_is_answered() -> None:
    assert watched([], asked=ASKED, whole=False).turn_.records == [QUESTION]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x=1&y=2",
        b"[]",
        b'{"type": "interrupt"}',
        b'{"type": "compact", "messages": []}',
        b'{"type": "input_message"}',
        b'{"type": "input_message", "messages": "hello"}',
        b'{"type": ["input_message"], "messages": []}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_other_bodies_hold_no_message(body: bytes) -> None:
    assert question(body) is None


def test_a_message_is_passed_on_as_it_was_sent() -> None:
    assert question(b'{"messages": [1.10 , "\\u00e9"]}') == b'{"type":"input_message","messages":[1.10 , "\\u00e9"]}'


# --- errors -------------------------------------------------------------------------------------------


def test_a_refusal_is_an_error_named_by_its_status() -> None:
    kept = Kept()
    Watch(kept.it, kept.it.turn("vectara:a/s"), ASKED).refuse(503)

    assert kept.turn_.ended == (None, True, "503")
    assert kept.turn_.records == [QUESTION]


def test_a_turn_ends_once() -> None:
    kept = Kept()
    watch = Watch(kept.it, kept.it.turn("vectara:a/s"))
    watch.answer("text/event-stream", [])
    watch.end(OSError("gone"))
    watch.take(STREAM)
    watch.exhaust()
    watch.end()

    error, complete, kind = kept.turn_.ended
    assert (type(error), complete, kind) == (OSError, False, None)
    assert kept.turn_.records == []


def test_a_turn_that_is_not_recorded_is_ended_at_once() -> None:
    kept = Kept(recording=False)
    watch = Watch(kept.it, kept.it.turn("vectara:a/s"), ASKED)

    assert not watch.watching
    assert kept.turn_.ended == (None, True, None)
    assert kept.turn_.records == []


def test_a_broken_recorder_is_told_once_and_not_what_it_quoted(caplog: pytest.LogCaptureFixture) -> None:
    def fail(secret: str) -> None:
        raise ValueError(secret)

    watching._told.clear()
    caplog.set_level("DEBUG")
    quiet = unharmed(fail)
    for _ in range(3):
        assert quiet("s3cret") is None

    assert [record.levelname for record in caplog.records] == ["WARNING", "DEBUG", "DEBUG"]
    assert "ValueError" in caplog.text
    assert "s3cret" not in caplog.text


def test_whatever_a_recorder_raises_stays_here() -> None:
    watch = Watch(Broken(at_once=False).it, Broken(at_once=False).turn())
    with watch:
        watch.answer("text/event-stream", ["gzip"])
        watch.take(b"x")
        watch.answer("text/event-stream", ["x"])
        watch.take(STREAM)
        watch.exhaust()
        watch.refuse(500)

    assert watch.ended


@given(st.lists(st.binary(max_size=50), max_size=5), st.sampled_from(["text/event-stream", "application/json", "x"]))
def test_whatever_the_bytes_are_the_turn_ends(body: list[bytes], content_type: str) -> None:
    ended: Any = watched(body, content_type, asked=b"".join(body)).turn_.ended

    assert ended[0] is None
