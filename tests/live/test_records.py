"""What a service hands on, of whatever kind, is read as JSON or as an event of ours, or refused."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import uuid
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from otel_agent_events.errors import ReadError
from otel_agent_events.events import AgentMessage, Note, Session, Text, Thinking, ToolCall, UserMessage
from otel_agent_events.fetchers import Answer, LiveReader
from otel_agent_events.live import records as module
from otel_agent_events.live.records import Reading, facts_of, readable_of, snapshot, taken
from otel_agent_events.reference import Reference

VECTARA = Reference("vectara", ("gardener", "s1"))
ACME = Reference("acme", ("s1",))


class Part(BaseModel):
    model_config = ConfigDict(extra="allow")
    type: Literal["text"] = "text"
    content: str


class InputMessage(BaseModel):
    """As the classes of Vectara's SDK are: further fields are allowed, some are optional, some have other names."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)
    type: Literal["input_message"] = "input_message"
    id: str
    created_at: dt.datetime
    session: str | None = Field(default=None, alias="session_key")
    messages: list[Part]
    behavior: str | None = None


SENT = {
    "type": "input_message",
    "id": "aev_1",
    "created_at": "2026-05-04T09:00:00.100Z",
    "session_key": "s1",
    "messages": [{"type": "text", "content": "hello", "language": "en"}],
    "priority": 3,
}


# --- what a vendor's SDK makes ------------------------------------------------------------------------


def test_a_model_that_was_parsed_is_the_record_that_was_sent() -> None:
    parsed = InputMessage.model_validate(SENT)

    told = taken(parsed)

    assert told == {**SENT, "created_at": "2026-05-04T09:00:00.100000Z"}
    assert json.loads(snapshot(parsed)) == told  # type: ignore[arg-type]


def test_a_model_that_was_made_by_hand_has_its_type_although_nobody_set_it() -> None:
    at = dt.datetime(2026, 5, 4, 9, tzinfo=dt.UTC)
    made = InputMessage(id="aev_1", created_at=at, messages=[Part(content="hello")])

    assert taken(made) == {
        "type": "input_message",
        "id": "aev_1",
        "created_at": "2026-05-04T09:00:00Z",
        "messages": [{"type": "text", "content": "hello"}],
    }


def test_a_model_whose_dump_raises_is_refused_in_words_that_quote_nothing() -> None:
    class Broken:
        secret = "hunter2"

        def model_dump(self, **_: Any) -> Any:
            raise RuntimeError(self.secret)

    with pytest.raises(ReadError) as caught:
        taken(Broken())

    assert str(caught.value) == "a record is of a type that is no JSON: Broken"


def test_an_older_model_is_dumped_by_its_dict_method() -> None:
    class Old:
        def dict(self, *, by_alias: bool, exclude_unset: bool) -> dict[str, Any]:
            assert by_alias
            assert exclude_unset
            return {"type": "thinking", "at": dt.date(2026, 5, 4)}

    assert taken(Old()) == {"type": "thinking", "at": "2026-05-04"}


def test_a_model_whose_newer_dump_raises_is_dumped_by_the_older_one() -> None:
    class Torn:
        def model_dump(self, **_: Any) -> Any:
            raise TypeError

        def dict(self, **_: Any) -> dict[str, Any]:
            return {"a": 1}

    assert taken(Torn()) == {"a": 1}


def test_a_class_in_the_place_of_an_object_is_refused() -> None:
    with pytest.raises(ReadError):
        taken(InputMessage)


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int


ODD = {
    "when": dt.datetime(2026, 5, 4, tzinfo=dt.UTC),
    "id": uuid.UUID(int=7),
    "price": decimal.Decimal("1.5"),
    "colour": Colour.RED,
    "pair": (1, 2),
    "point": Point(3),
    "bytes": b"abc",
    5: "five",
}
AS_JSON = {
    "when": "2026-05-04T00:00:00Z",
    "id": "00000000-0000-0000-0000-000000000007",
    "price": "1.5",
    "colour": "red",
    "pair": [1, 2],
    "point": {"x": 3},
    "bytes": "abc",
    "5": "five",
}


@pytest.mark.parametrize("record", [ODD, OrderedDict(ODD), MappingProxyType(ODD)], ids=["dict", "ordered", "mapping"])
def test_what_python_has_and_json_has_not_is_written_as_everybody_writes_it(record: Any) -> None:
    assert taken(record) == AS_JSON
    assert json.loads(snapshot(record)) == AS_JSON  # type: ignore[arg-type]


def test_an_object_that_is_no_json_within_a_dict_costs_the_dict_nothing_else() -> None:
    told: Any = taken({"type": "thinking", "odd": object(), "content": "hm"})

    assert told["type"] == "thinking"
    assert told["content"] == "hm"


def test_a_generator_is_left_to_its_owner() -> None:
    chunks = (each for each in ("a", "b"))

    with pytest.raises(ReadError, match="generator"):
        taken(chunks)

    assert list(chunks) == ["a", "b"]


# --- texts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, bytes, bytearray, memoryview])
def test_json_as_a_text_of_any_kind_is_parsed(kind: Any) -> None:
    written = json.dumps(SENT)
    record = written if kind is str else kind(written.encode())

    assert taken(record) == SENT
    assert json.loads(snapshot(record)) == SENT  # type: ignore[arg-type]


@pytest.mark.parametrize("record", ["", "not json", b"\xff\xfe", '{"a":', "\ud800", "[" * 100_000])
def test_a_text_that_is_no_json_is_refused_without_being_quoted(record: Any) -> None:
    with pytest.raises(ReadError, match=r"^a record is a text that is not JSON$"):
        taken(record)


# --- it is the caller's -------------------------------------------------------------------------------


def test_what_was_taken_does_not_change_with_the_record() -> None:
    record = {"type": "tool_input", "tool_input": {"rows": [1]}}
    told, kept = taken(record), snapshot(record)

    record["tool_input"]["rows"].append(2)  # type: ignore[index]

    assert told == {"type": "tool_input", "tool_input": {"rows": [1]}}
    assert json.loads(kept) == told  # type: ignore[arg-type]


def nested(levels: int) -> Any:
    told: Any = "deepest"
    for _ in range(levels):
        told = {"a": told}
    return told


def test_a_record_that_is_nested_deeply_is_read() -> None:
    assert taken(nested(400)) == nested(400)
    assert json.loads(snapshot(nested(400))) == nested(400)  # type: ignore[arg-type]


@pytest.mark.parametrize("read", [taken, snapshot])
def test_a_record_that_holds_itself_is_refused(read: Any) -> None:
    record: dict[str, Any] = {}
    record["self"] = record

    with pytest.raises(ReadError):
        read(record)


def test_nan_and_unpaired_surrogates_are_read() -> None:
    told: Any = taken({"n": float("nan"), "s": "\ud800"})

    assert told["s"] == "\ud800"
    assert told["n"] != told["n"]
    assert json.loads(snapshot({"n": float("inf"), "s": "\ud800"})) == {"n": float("inf"), "s": "\ud800"}  # type: ignore[arg-type]


_ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(alphabet=st.characters(), max_size=5)
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
        | st.tuples(inner)
        | st.sets(st.integers(), max_size=2)
    ),
    max_leaves=6,
)


@given(_ANYTHING)
def test_anything_is_taken_or_refused_in_our_words(record: Any) -> None:
    for read in (taken, snapshot):
        with suppress(ReadError):
            read(record)


# --- events of ours -----------------------------------------------------------------------------------


def test_an_event_is_taken_as_it_is() -> None:
    event = UserMessage(key="k", parts=(Text(text="hi"),), start=5, end=5)

    assert taken(event) is event
    assert snapshot(event) is event


@pytest.mark.parametrize("odd", [-1, 2**64, 1.5, "1", True])
def test_a_time_that_no_span_can_have_is_no_time(odd: Any) -> None:
    told = taken(Thinking(key="k", start=odd, end=7))

    assert (told.start, told.end) == (None, 7)


# --- reading ------------------------------------------------------------------------------------------


def events(reading: Reading, *records: Any, at: int = 1000) -> list[Any]:
    items = [item for record in records for item in reading.take(taken(record), at)]
    return [item for item in [*items, *reading.close()] if not isinstance(item, Session)]


def test_a_neutral_event_is_read_as_such_on_every_platform_although_it_has_a_type() -> None:
    line = {"kind": "user_message", "type": "input_message", "text": "hi"}

    for reference in (VECTARA, ACME, Reference("lyzr", ("u", "s")), Reference("agora", ("a", "b"))):
        (event,) = events(Reading(reference, in_order=True), line)
        assert event.parts == (Text(text="hi"),)
        assert event.type == "input_message"


def test_neutral_events_of_the_same_words_have_keys_of_their_own() -> None:
    line = {"kind": "user_message", "text": "yes"}

    first, second = events(Reading(VECTARA, in_order=True), line, line)

    assert second.key == f"{first.key}#2"


def test_a_neutral_event_that_comes_twice_under_its_id_is_told_once() -> None:
    line = {"kind": "user_message", "id": "n1", "text": "yes"}

    assert len(events(Reading(VECTARA, in_order=True), line, line)) == 1


@pytest.mark.parametrize(
    ("line", "start"),
    [
        ({"kind": "user_message"}, 1000),
        ({"kind": "tool_call"}, 1000),
        ({"kind": "note", "name": "n"}, 1000),
        ({"kind": "thinking"}, None),
        ({"kind": "agent_message"}, None),
    ],
)
def test_what_takes_time_has_ended_when_it_arrives_and_everything_else_is_a_point(
    line: dict[str, Any], start: int | None
) -> None:
    (event,) = events(Reading(ACME, in_order=True), line)

    assert (event.start, event.end) == (start, 1000)


def test_without_a_stamp_what_has_no_time_has_none() -> None:
    reading = Reading(ACME, in_order=True, stamp=False)

    (event,) = events(reading, {"kind": "user_message"})

    assert (event.start, event.end) == (None, None)


def test_a_record_that_is_no_event_of_a_platform_without_fetcher_is_refused() -> None:
    with pytest.raises(ReadError, match="a record is no event: it has no kind"):
        events(Reading(ACME, in_order=True), {"type": "input_message"})


def test_an_unknown_record_of_vectara_is_a_note() -> None:
    for record in (5, None, [1], {"a": 1}, {"type": 7}):
        (event,) = events(Reading(VECTARA, in_order=True), record)
        assert isinstance(event, Note)
        assert event.remainder == record


def test_a_whole_answer_is_read_record_by_record() -> None:
    page = {"events": [SENT, {**SENT, "id": "aev_2"}], "session_key": "s1"}

    told = events(Reading(VECTARA, in_order=True), page, SENT)

    assert [event.id for event in told] == ["aev_1", "aev_2"]


@pytest.mark.parametrize(
    ("reference", "record", "kind"),
    [
        (
            Reference("lyzr", ("u", "s")),
            {"role": "user", "content": "hi", "created_at": "2024-08-30T09:41:44.355000"},
            UserMessage,
        ),
        (Reference("agora", ("app", "agent")), {"role": "assistant", "content": "hello"}, AgentMessage),
        (
            Reference("hubster", ("c1",)),
            {
                "type": "message",
                "eventId": 1_600_000_000_000,
                "sender": {"integrationType": "Customer"},
                "message": {"type": "text", "text": "hi"},
            },
            UserMessage,
        ),
    ],
    ids=["lyzr", "agora", "hubster"],
)
def test_single_records_of_platforms_that_answer_in_lists_are_told_at_once(
    reference: Reference, record: Any, kind: type
) -> None:
    items = Reading(reference, in_order=True).take(taken(record), 1000)

    assert [type(item) for item in items if not isinstance(item, Session)] == [kind]


def test_a_record_of_a_list_that_comes_twice_under_its_id_is_told_once() -> None:
    activity = {
        "_id": "66d97587aaaaaaaaaaaaaaaa",
        "session_id": "s",
        "user_id": "u",
        "log_data": {"module": "FeatureType.TOOL_CALLING", "content": "THOUGHT: a\nOBSERVATION: b"},
        "time_stamp": "2024-09-05 09:10:31",
    }
    reading = Reading(Reference("lyzr", ("u", "s")), in_order=True)

    once = len(events(reading, activity))
    again = len(events(reading, activity))

    assert once > 0
    assert again == 0
    assert reading.duplicates == 1


def test_a_single_record_takes_nothing_away_of_what_another_one_told_of_the_session() -> None:
    reading = Reading(Reference("hubster", ("c1",)), in_order=True)
    conversation = {"conversationId": "c1", "openedDateTime": "2026-11-06T22:40:00", "properties": {}}
    activity = {"type": "message", "eventId": 1_600_000_000_000, "message": {"type": "text", "text": "hi"}}

    items = [item for record in (conversation, activity) for item in reading.take(record, 1000)]

    sessions = [item for item in items if isinstance(item, Session)]
    assert [session.created_at for session in sessions] == ["2026-11-06T22:40:00"]


class Shop:
    """A platform of somebody else's, with such a reader."""

    name = "shop"

    def __init__(self, reader: Any) -> None:
        self.reader = reader

    def recognise(self, body: Any) -> str | None:
        return "log" if isinstance(body, list) else None


class Reader:
    """Reads lists of words."""

    duplicates = 0

    def __init__(self, _: Reference) -> None:
        self.held: list[UserMessage] = []

    def feed(self, answer: Answer) -> list[UserMessage]:
        return [UserMessage(key=word, start=1, parts=(Text(text=word),)) for word in answer.body]

    def close(self) -> list[UserMessage]:
        return self.held


class Taking(Reader):
    """Has the method, and does not say how it is used."""

    def take(self, record: Any, arrived: int | None, *, anyhow: bool = False) -> list[UserMessage] | None:
        if not anyhow and not isinstance(record, str):
            return None
        return [UserMessage(key=str(record), start=arrived, parts=(Text(text=str(record)),))]


class AtOnce(Taking):
    at_once, takes_dicts = True, True


class Later(Taking):
    at_once, takes_dicts = False, False

    def take(self, record: Any, arrived: int | None, *, anyhow: bool = False) -> list[UserMessage] | None:
        told = super().take(record, arrived, anyhow=anyhow)
        self.held += told or ()
        return None if told is None else []


def shop(monkeypatch: pytest.MonkeyPatch, reader: type[Reader], *, in_order: bool = True) -> Reading:
    monkeypatch.setattr(module, "readable_of", lambda _: Shop(reader))
    return Reading(Reference("shop", ("s",)), in_order=in_order)


@pytest.mark.parametrize("platform", ["agora", "hubster", "lyzr", "neutral", "vectara"])
def test_the_readers_of_all_platforms_read_single_records(platform: str) -> None:
    assert isinstance(readable_of(platform).reader(Reference(platform, ("a", "b"))), LiveReader)


def test_a_reader_of_somebody_else_reads_single_records_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reading = shop(monkeypatch, AtOnce)

    assert reading.takes_dicts
    assert reading.at_once is not None
    assert [(event.key, event.start) for event in reading.take("a", 7)] == [("a", 7)]  # type: ignore[union-attr]
    assert [event.key for event in events(reading, ["b", "c"], 5)] == ["b", "c", "5"]


@pytest.mark.parametrize(("in_order", "at_once", "later"), [(True, ["a"], []), (False, [], ["a"])])
def test_what_a_reader_of_somebody_else_tells_at_the_end_a_turn_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch, at_once: list[str], later: list[str], *, in_order: bool
) -> None:
    reading = shop(monkeypatch, Later, in_order=in_order)

    assert (reading.at_once, reading.takes_dicts) == (None, False)
    assert [event.key for event in reading.take("a", 7)] == at_once  # type: ignore[union-attr]
    assert [event.key for event in reading.close()] == later  # type: ignore[union-attr]


@pytest.mark.parametrize("reader", [Reader, Taking])
def test_a_reader_of_answers_reads_those_and_no_single_records(
    monkeypatch: pytest.MonkeyPatch, reader: type[Reader]
) -> None:
    reading = shop(monkeypatch, reader)

    assert [event.key for event in events(reading, ["b", "c"])] == ["b", "c"]
    with pytest.raises(ReadError, match="the fetcher of shop reads no single records: hand on neutral events"):
        events(reading, {"word": "b"})


def test_what_the_reference_alone_tells() -> None:
    assert facts_of(VECTARA).agent_name == "gardener"
    assert facts_of(VECTARA).id == "s1"
    assert facts_of(ACME).id == "s1"
    assert facts_of(Reference("acme", ("",))).id is None


def test_a_platform_without_fetcher_is_read_as_neutral_events() -> None:
    assert readable_of("acme").name == "neutral"
    assert readable_of("vectara").name == "vectara"


def test_a_call_of_ours_that_has_no_time_has_that_of_its_arrival() -> None:
    (event,) = events(Reading(VECTARA, in_order=True), ToolCall(key="k"))

    assert (event.start, event.end) == (1000, 1000)
