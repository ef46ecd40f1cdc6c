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
from otel_agent_events.errors import FetchError, ReadError, UsageError
from otel_agent_events.events import Caution, Note, Session, UserMessage
from otel_agent_events.fetchers import Answer
from otel_agent_events.fetchers.client import Client
from otel_agent_events.fetchers.hubster import Hubster
from otel_agent_events.fetchers.saved import RecordedAnswer, Recording
from otel_agent_events.ids import event_key, span_id
from otel_agent_events.keys import changed, key_of
from otel_agent_events.reference import Reference
from otel_agent_events.sources import Source
from otel_agent_events.testing import LoopbackPlatform, Reply
from otel_agent_events.times import MILLISECOND
from tests.fetchers.test_vectara import marked, nested, spoilt
from tests.traces import DATA, Trace, holds, leaves, source_of, told_by, trace_from, trace_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from otel_agent_events.fetchers import Item
    from otel_agent_events.spans import Span

OWN = "otel_agent_events."
FULL = Options(policy=Policy(content="full"))
HERE = Reference("hubster", ("c-1",))
AT = 1_794_000_000_000
DEMO = Path(otel_agent_events.demo.__file__).parent / "6_hubster_chat.json"
FILES = [*sorted((DATA / "hubster").glob("*.json")), DEMO]
NAMES = [path.stem for path in FILES]
CUSTOMER = {"integrationType": "Customer", "channelType": "WebChat", "integrationId": "i-c"}
AGENT = {"integrationType": "Agent", "channelType": "Slack", "integrationId": "i-a"}
BOT = {"integrationType": "Bot", "channelType": "Bot", "integrationId": "i-b"}


def message(id_: str = "m-1", **fields: Any) -> dict[str, Any]:
    return {
        "type": "message",
        "eventTrigger": "message:customer",
        "eventId": AT,
        "interactionId": id_,
        "sender": CUSTOMER,
        "recipient": BOT,
        "message": {"type": "text", "text": "Hi"},
    } | fields


def event(**fields: Any) -> dict[str, Any]:
    return {"type": "event", "eventId": AT, "sender": BOT, "recipient": CUSTOMER, "event": {"type": "seen"}} | fields


def answers(*lists: Any, conversation: Any = None) -> Source:
    """Give what was answered: a conversation, and the activities of each type."""
    looked_up = [] if conversation is None else [Answer(label="conversation", body=conversation, source="GET /c")]
    told = [Answer(label="activities", body=body, source="GET /a") for body in lists]
    return Source(reference=HERE, fetcher=Hubster(), answers=[*looked_up, *told], saved=True)


def items_of(source: Source) -> list[Item]:
    reader = source.fetcher.reader(source.reference)
    return [*(item for answer in source.answers for item in reader.feed(answer)), *reader.close()]


def keys_of(*lists: Any) -> list[str]:
    return [item.key for item in items_of(answers(*lists)) if not isinstance(item, (Session, Caution))]


def file(name: str, options: Options = FULL) -> Trace:
    return trace_of((DATA / "hubster" / f"{name}.json").read_bytes(), options)


def opened(path: Path) -> Source:
    """Open a file; the documented answer is a list that names no conversation, as the platform gives it."""
    return source_of(path.read_bytes(), HERE if path.stem == "documented" else None)


def records_of(path: Path) -> list[Any]:
    """Give every activity in a file once."""
    lists = [answer.body for answer in opened(path).answers if isinstance(answer.body, list)]
    return list({json.dumps(record): record for records in lists for record in records}.values())


def raw(span: Span) -> Any:
    return json.loads(str(span.attributes.get(f"{OWN}event.raw", "null")))


def parts(span: Span) -> Any:
    told = span.attributes.get("gen_ai.input.messages") or span.attributes.get("gen_ai.output.messages")
    (said,) = json.loads(str(told))
    return said["parts"]


def without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_secrets(inner) for name, inner in value.items() if name != "tokenId"}
    return [without_secrets(inner) for inner in value] if isinstance(value, list) else value


# --- the documented sample ----------------------------------------------------------------------------


def test_the_documented_sample_is_a_message_of_a_customer_and_one_of_a_human_agent() -> None:
    trace = trace_from(opened(DATA / "hubster" / "documented.json"))

    assert [(span.name, span.start // MILLISECOND, span.end - span.start) for span in trace.spans] == [
        ("user_message", 1604758399703, 0),
        ("agent_output", 1604783877593, 0),
        ("invoke_agent", 1604758399703, (1604783877593 - 1604758399703) * MILLISECOND),
    ]
    first, second, root = trace.spans
    assert parts(first) == [{"type": "text", "content": "Is anybody in?"}]
    assert second.attributes[f"{OWN}agent.author"] == "human"
    assert {name: told for name, told in second.attributes.items() if name.startswith(f"{OWN}detail.")} == {
        f"{OWN}detail.eventId": 1604783877593,
        f"{OWN}detail.eventTrigger": "message:agent",
        f"{OWN}detail.externalId": "some_external_id_0002",
        f"{OWN}detail.flowProcess": "Default",
        f"{OWN}detail.isEcho": False,
        f"{OWN}detail.message.type": "text",
        f"{OWN}detail.recipient.channelType": "WebChat",
        f"{OWN}detail.recipient.integrationId": "00000000-0000-0000-0000-000000000020",
        f"{OWN}detail.recipient.integrationType": "Customer",
        f"{OWN}detail.sender.channelType": "Slack",
        f"{OWN}detail.sender.integrationId": "00000000-0000-0000-0000-000000000024",
        f"{OWN}detail.sender.integrationType": "Agent",
    }
    assert f"{OWN}event.raw" not in second.attributes
    assert root.attributes[f"{OWN}session.reference"] == "hubster:c-1"
    assert root.resource.attributes["service.name"] == "hubster"


def test_a_saved_list_of_activities_does_not_say_which_conversation_it_is() -> None:
    with pytest.raises(ReadError, match="say it with --session hubster:CONVERSATION"):
        file("documented")


# --- what holds of every recording --------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_every_leaf_value_but_the_platforms_own_secrets_is_found(path: Path) -> None:
    source = opened(path)
    trace = trace_from(source, FULL)
    told = told_by(trace.spans)

    bodies = [answer.body for answer in source.answers if answer.failure is None]
    assert [leaf for leaf in leaves(without_secrets(bodies)) if not holds(told, leaf)] == []
    assert not trace.flaws


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_every_leaf_value_of_a_record_is_found_on_its_own_span(path: Path) -> None:
    for record in filter(None, records_of(path)):
        (span, _) = trace_from(answers([record]), FULL).spans
        told = told_by([span])
        assert [leaf for leaf in leaves(without_secrets(record)) if not holds(told, leaf)] == [], record


@pytest.mark.parametrize("content", ["full", "scrubbed", "none"])
@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_what_hubster_reserves_for_itself_never_leaves(path: Path, content: Any) -> None:
    trace = trace_from(opened(path), Options(policy=Policy(content=content)))

    assert "reserved" not in repr((trace.spans, trace.warnings))
    assert "tokenId" not in repr(trace.spans)


def pieces_of(source: Source) -> Iterator[Answer]:
    """Give each activity as an answer that continues the one before it."""
    for answer in source.answers:
        match answer.body:
            case [_, *_] as records:
                bodies: list[Any] = [[record] for record in records]
            case {"activities": [_, *_] as records, **envelope}:
                bodies = [{**envelope, "activities": [record]} for record in records]
            case body:
                bodies = [body]
        for number, body in enumerate(bodies):
            yield replace(answer, body=body, continues=number > 0)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_feeding_record_by_record_gives_the_same(path: Path) -> None:
    source = opened(path)

    assert items_of(replace(source, answers=[*pieces_of(source)])) == items_of(source)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_one_spoilt_value_of_a_record_costs_no_event_and_no_value(path: Path) -> None:
    for record in records_of(path):
        for each in spoilt(record):
            trace = trace_from(answers([each]), FULL)
            told = told_by(trace.spans[:1])
            assert trace.events == 1, each
            assert [leaf for leaf in leaves(without_secrets(each)) if not holds(told, leaf)] == [], each


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_one_spoilt_record_costs_no_other_event(path: Path) -> None:
    source = opened(path)
    whole = len(items_of(source))
    given = list(source.answers)

    for number, answer in enumerate(given):
        if not isinstance(answer.body, list):
            continue
        for place, record in enumerate(answer.body):
            for each in (None, 7, "odd", [], *spoilt(record, ())):
                body = [*answer.body[:place], each, *answer.body[place + 1 :]]
                items = items_of(
                    replace(source, answers=[*given[:number], replace(answer, body=body), *given[number + 1 :]])
                )
                assert len(items) >= whole, each


def test_numbers_and_texts_of_every_kind_are_read_or_left() -> None:
    odd = (float("nan"), float("inf"), -1, 10**400, 1e308, "\ud800", "²³", "9" * 5000, -0.0, 1.23456789012)
    for told in odd:
        for each in (
            message(eventId=told),
            message(message={"type": "attachment", "url": "https://files.example/a", "size": told}),
            message(message=told),
            message(sender={"integrationType": told}),
            message(interactionId=told, isEcho=told),
            event(event={"type": told, "payload": told, "payloadType": told}),
        ):
            trace = trace_from(answers([each, message("m-2")], conversation={"openedDateTime": told, "x": told}), FULL)
            assert trace.events == 2, each


def test_a_time_that_nanoseconds_cannot_hold_is_kept_beside() -> None:
    (span, _) = trace_from(answers([message(eventId=1.23456789012)])).spans

    assert span.start == 1234567
    assert raw(span) == {"eventId": 1.23456789012}


@pytest.mark.parametrize("depth", [60, 99, 101, 400, 940, 20_000])
def test_a_record_of_any_depth_is_kept_without_its_secrets(depth: int) -> None:
    deep = {"bottom": nested(depth), "tokenId": "reserved"}
    inner: Any = {"tokenId": "reserved", "kept": "yes"}
    for _ in range(depth):
        inner = [inner]

    trace = trace_from(
        answers([message(deep=deep, inner=inner), event(event={"payload": inner})], conversation={"properties": inner}),
        FULL,
    )

    assert trace.events == 2
    first, second, root = (repr(span) for span in trace.spans)
    assert "bottom" in first
    assert all("kept" in each for each in (first, second, root))
    assert "reserved" not in first + second + root


# --- messages -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def every_message() -> Trace:
    return file("every_message_type")


def test_the_integration_type_of_the_sender_tells_who_speaks() -> None:
    def made(sender: Any) -> tuple[str, Any]:
        span = trace_from(answers([message(sender=sender)])).spans[0]
        return span.name, span.attributes.get(f"{OWN}agent.author")

    assert made({"integrationType": "Customer"}) == ("user_message", None)
    assert made({"integrationType": "CUSTOMER"}) == ("user_message", None)
    assert made({"integrationType": "Bot"}) == ("agent_output", "bot")
    assert made({"integrationType": "agent"}) == ("agent_output", "human")
    for word in ("System", "None", "Hubster", "Robot", "", 7, None):
        assert made({"integrationType": word}) == ("unknown_event", None)
    for nobody in (dict[str, Any](), "Customer", None):
        assert made(nobody) == ("unknown_event", None)


def test_a_message_of_the_system_is_kept_whole() -> None:
    span = file("rich").of("7b0e2c1a-0000-4000-8000-000000000006")

    assert span.name == "unknown_event"
    assert raw(span) == {"message": {"type": "text", "text": "A colleague joins."}, "note": "from the system"}
    assert span.attributes[f"{OWN}detail.sender.integrationType"] == "System"


def test_text_its_items_and_its_actions_are_parts_of_one_message(every_message: Trace) -> None:
    text, items, actions = parts(every_message.of("m-01"))

    assert text == {"type": "text", "content": "Choose one."}
    assert (items["type"], items["items"][1]) == ("items", {"title": "Floor lamp", "payload": "floor"})
    assert (actions["type"], actions["actions"][2]["url"]) == ("actions", "https://shop.example/help")
    assert raw(every_message.of("m-01")) is None


def test_a_text_may_be_actions_alone(every_message: Trace) -> None:
    (actions,) = parts(every_message.of("m-02"))

    assert actions["actions"] == [{"type": "postback", "title": "Track", "payload": "track:5512"}]


def test_a_text_that_begins_with_two_colons_is_a_command_and_stays_a_message(every_message: Trace) -> None:
    span = every_message.of("m-03")

    assert span.name == "user_message"
    assert span.attributes[f"{OWN}detail.command"] is True
    assert parts(span) == [{"type": "text", "content": "::assign night-shift"}]
    assert f"{OWN}detail.command" not in every_message.of("m-00").attributes


@pytest.mark.parametrize(
    ("id_", "part", "left"),
    [
        (
            "m-04",
            {"modality": "image", "uri": "https://files.example/lamp.jpg"},
            {
                "urlAnchor": "https://shop.example/lamp",
                "alt": "a lamp in pieces",
                "title": "The lamp",
                "channels": {"webchat": {"size": "large"}},
            },
        ),
        (
            "m-05",
            {"modality": "video", "uri": "https://files.example/noise.mp4", "mime_type": "video/mp4"},
            {"label": "The noise it makes", "fallbackImageUrl": "https://files.example/noise.png", "length": 41},
        ),
        (
            "m-06",
            {"modality": "audio", "uri": "https://files.example/hum.ogg", "mime_type": "audio/ogg"},
            {"label": "The hum", "length": 7.5},
        ),
        ("m-07", {"modality": "video", "uri": "https://video.example/watch?v=lamp"}, None),
        ("m-08", {"modality": "video", "uri": "https://film.example/4711"}, None),
        ("m-18", {"modality": "image", "uri": "https://files.example/again.jpg"}, None),
    ],
)
def test_what_lies_at_an_address_is_an_address_and_the_rest_is_kept(
    every_message: Trace, id_: str, part: Any, left: Any
) -> None:
    span = every_message.of(id_)

    assert parts(span) == [{"type": "uri", **part}]
    assert raw(span) == (None if left is None else {"message": left})


def test_an_attachment_is_a_file(every_message: Trace) -> None:
    assert parts(every_message.of("m-09")) == [
        {
            "type": "file",
            "modality": "document",
            "uri": "https://files.example/manual.pdf",
            "mime_type": "application/pdf",
            "name": "Manual.pdf",
            "size": 48213,
        }
    ]


@pytest.mark.parametrize("number", range(10, 18))
def test_all_other_messages_are_readable_and_kept_whole(every_message: Trace, number: int) -> None:
    recorded = json.loads((DATA / "hubster" / "every_message_type.json").read_bytes())
    records = [record for answer in recorded["answers"][1:] for record in answer["body"]]
    (given, *_) = (each["message"] for each in records if each["interactionId"] == f"m-{number}")
    span = every_message.of(f"m-{number}")

    assert parts(span) == [given]
    assert span.attributes[f"{OWN}detail.message.type"] == given["type"]
    assert raw(span) == {"message": given}


def test_a_message_without_a_type_is_read_as_a_text(every_message: Trace) -> None:
    assert parts(every_message.of("m-19")) == [{"type": "text", "content": "A message without a type"}]
    assert f"{OWN}detail.message.type" not in every_message.of("m-19").attributes


@pytest.mark.parametrize(
    "told",
    [
        {"type": "text", "text": 7},
        {"type": "text"},
        {"type": "image", "url": ["https://files.example/x"]},
        {"type": "video", "url": ""},
        {"type": "attachment", "label": "x"},
    ],
)
def test_a_message_that_lacks_what_it_is_about_is_kept_whole(told: Any) -> None:
    (span, _) = trace_from(answers([message(message=told)])).spans

    assert parts(span) == [told]


def test_a_message_that_is_none_is_kept_and_stays_a_message() -> None:
    trace = file("odd_records")

    assert trace.of("o-15").name == "user_message"
    assert raw(trace.of("o-15")) == {"message": ["no", "object"]}
    assert raw(trace.of("o-16")) == {"message": {}}


def test_channel_data_is_content_and_is_kept() -> None:
    span = file("odd_records").of("o-9")

    assert raw(span) == {"sender": {"channelData": {"user": {"locale": "en"}}}, "recipient": {"channelData": None}}


def test_a_record_of_another_type_is_unknown_and_kept_whole() -> None:
    span = file("odd_records").of("o-24")

    assert (span.name, span.attributes[f"{OWN}event.type"]) == ("unknown_event", "whisper")
    assert raw(span) == {"message": {"type": "text", "text": "Of a type that is new"}, "volume": 0.25}


def test_an_action_is_what_it_holds() -> None:
    trace = trace_from(
        answers([message(type="action"), event(type="action"), message("m-2", type="Message"), {"type": "action"}])
    )

    assert [span.name for span in trace.spans[:-1]] == ["user_message", "seen", "user_message", "unknown_event"]


def test_a_record_that_holds_message_and_event_is_what_its_type_says() -> None:
    both: dict[str, Any] = {"message": {"type": "text", "text": "Hi"}, "event": {"type": "seen"}}

    trace = trace_from(answers([message(**both), event(**both, eventId=AT + 1)]))

    assert [(span.name, raw(span)) for span in trace.spans[:-1]] == [
        ("user_message", {"event": {"type": "seen"}}),
        ("seen", {"message": {"type": "text", "text": "Hi"}}),
    ]


# --- events -------------------------------------------------------------------------------------------


def test_events_have_the_name_of_their_type_when_it_is_documented() -> None:
    assert [span.name for span in file("events").spans[:-1]] == [
        "seen",
        "seen",
        "typing_on",
        "typing_off",
        "payload",
        "payload",
        "event",
        "event",
        "event",
        "event",
        "seen",
        "user_message",
    ]


def test_a_payload_tells_its_type_and_is_content() -> None:
    span = file("events").spans[4]

    assert span.attributes[f"{OWN}note.payloadType"] == "shop.order"
    assert json.loads(str(span.attributes[f"{OWN}note.payload"]))["lines"][1] == {"sku": None, "count": 0}
    assert span.attributes[f"{OWN}detail.event.type"] == "payload"
    assert raw(span) is None


def test_an_event_of_a_new_type_says_so_and_is_kept() -> None:
    span = file("events").spans[6]

    assert span.attributes[f"{OWN}detail.event.type"] == "a word that is new"
    assert raw(span) == {"event": {"level": 3, "extra": {"why": "nobody knows"}}}


def test_an_event_under_two_types_is_one_and_equal_ones_in_one_answer_are_several() -> None:
    seen, typing = event(), event(event={"type": "typing_on"}, eventId=AT + 5)

    keys = keys_of([seen, seen, typing], [seen, typing], [seen, seen, seen])

    assert keys == [key_of(seen), f"{key_of(seen)}#2", f"{key_of(seen)}#3", key_of(typing)]


# --- what is met twice, and echoes --------------------------------------------------------------------


def test_a_message_under_two_types_is_one() -> None:
    trace = trace_from(answers([message()], [], [message()]))

    assert (trace.events, trace.duplicates) == (1, 1)


def test_two_messages_under_one_id_are_both_kept() -> None:
    assert keys_of([message(), message(externalId="x")], [message(externalId="x")]) == ["m-1", "m-1#2"]


def test_activities_of_one_millisecond_are_told_apart_and_keep_their_order() -> None:
    records = [message(f"m-{n}") for n in (3, 1, 2)]

    assert keys_of(records) == ["m-3", "m-1", "m-2"]


def linked(trace: Trace, key: str) -> tuple[bytes, bytes]:
    return trace.root.trace_id, span_id(trace.root.trace_id, event_key(key))


def test_an_echo_is_a_note_that_links_to_its_original() -> None:
    trace = file("echoes")

    echoes = [span for span in trace.spans if span.name == "echo"]
    assert [
        (span.attributes.get(f"{OWN}event.id"), [(link.trace_id, link.span_id) for link in span.links])
        for span in echoes
    ] == [
        ("e-1", [linked(trace, "e-1")]),
        ("e-2", [linked(trace, "e-2")]),
        ("e-3", [linked(trace, "e-3")]),
        ("e-4", []),
        ("e-5", []),
        (None, []),
        ("e-6", []),
    ]
    originals = {span.span_id: span.name for span in trace.spans}
    assert [originals[link.span_id] for span in echoes for link in span.links] == [
        "agent_output",
        "user_message",
        "agent_output",
    ]


def test_a_converted_echo_is_kept_whole() -> None:
    span = next(span for span in file("echoes").spans if span.name == "echo")

    assert json.loads(str(span.attributes[f"{OWN}note.message"])) == {
        "type": "youtube",
        "url": "https://video.example/watch?v=mount",
    }
    assert span.attributes[f"{OWN}detail.message.type"] == "youtube"
    assert span.attributes[f"{OWN}detail.isEcho"] is True


def test_an_echo_of_an_event_tells_its_payload() -> None:
    (span,) = (span for span in file("echoes").spans if span.attributes.get(f"{OWN}note.payloadType"))

    assert span.name == "echo"
    assert span.attributes[f"{OWN}detail.event.type"] == "payload"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("later", [-10, 0, 10])
def test_the_original_has_the_plain_id_whatever_the_order(order: tuple[int, int], later: int) -> None:
    original, echo = message(), message(isEcho=True, eventId=AT + later)
    lists = [[original], [echo]]

    items = items_of(answers(*(lists[number] for number in order), [echo, original]))

    notes = {item.key: [link.key for link in item.links] for item in items if isinstance(item, Note)}  # type: ignore[union-attr]
    assert [item.key for item in items if isinstance(item, UserMessage)] == ["m-1"]
    assert notes == {"m-1#2": ["m-1"]}


def test_an_echo_whose_original_is_not_here_has_the_plain_id() -> None:
    assert keys_of([message(isEcho=True)]) == ["m-1"]


# --- times and order ----------------------------------------------------------------------------------


def test_activities_are_told_in_the_order_of_their_times() -> None:
    lists = [[message("m-3", eventId=AT + 3), message("m-1", eventId=AT + 1)], [message("m-2", eventId=str(AT + 2))]]

    assert keys_of(*lists) == ["m-1", "m-2", "m-3"]


def test_an_undated_activity_stays_behind_the_one_before_it() -> None:
    first = [message("m-1"), message("m-u", eventId=None), message("m-4", eventId=AT + 4)]

    assert keys_of(first, [message("m-2", eventId=AT + 2)]) == ["m-1", "m-u", "m-2", "m-4"]
    assert keys_of([message("m-u", eventId=None)], [message("m-2")]) == ["m-u", "m-2"]


@pytest.mark.parametrize("told", [0, "0", -5, True, "soon", 10**30, None, [AT], {}])
def test_what_is_no_time_leaves_the_activity_undated_and_is_kept(told: Any) -> None:
    (span, _) = trace_from(answers([message(eventId=told)])).spans

    assert span.attributes[f"{OWN}timing"] == "synthetic"
    assert raw(span) == {"eventId": told}


@pytest.mark.parametrize("told", [AT, str(AT), float(AT)])
def test_a_time_is_a_number_or_its_digits(told: Any) -> None:
    (span, _) = trace_from(answers([message(eventId=told)])).spans

    assert (span.start, span.end) == (AT * MILLISECOND, AT * MILLISECOND)
    assert span.attributes[f"{OWN}timing"] == "recorded"


# --- the platform's own secrets -----------------------------------------------------------------------


def test_the_name_of_the_secret_is_known_in_any_case_and_at_any_depth() -> None:
    names = ("tokenId", "tokenid", "TokenId", "TOKENID")
    hidden: dict[str, Any] = dict.fromkeys(names, "reserved")
    record = message(
        **hidden,
        sender={**CUSTOMER, **hidden},
        message={"type": "card", "title": "x", "inner": [hidden, {"deep": hidden}]},
        other=hidden,
    )
    payload = event(event={"type": "payload", "payload": [{"a": 1, **hidden}]})
    conversation = {"conversationId": "c-1", **hidden, "properties": {"profile": hidden, "x": hidden}}

    trace = trace_from(answers([record, payload, [hidden]], conversation=conversation), FULL)

    assert "reserved" not in repr(trace.spans)
    assert '"a":1' in repr(trace.spans)


def test_the_key_is_that_of_the_record_as_it_came() -> None:
    with_secret = event(sender={**BOT, "tokenId": "reserved"})

    assert keys_of([with_secret]) == [key_of(with_secret)] != keys_of([event()])
    assert keys_of([changed(event(), key_of(with_secret))]) == [key_of(with_secret)]


# --- facts about the conversation ---------------------------------------------------------------------


def test_the_conversation_gives_its_times_its_profile_and_what_else_it_says() -> None:
    trace = file("rich")
    root = trace.root.attributes

    assert root[f"{OWN}session.created_at"] == "2026-11-07T09:59:58.6452901"
    assert root[f"{OWN}session.closed_at"] == "2026-11-07T10:30:00.1234567Z"
    assert json.loads(str(root[f"{OWN}session.profile"]))["fullName"] == "Invented Person"
    assert json.loads(str(root[f"{OWN}session.additional"])) == {"page": "/orders/5512", "visits": 3}
    left = json.loads(str(root[f"{OWN}session.raw"]))
    assert (left["isNew"], left["integration"]["hub"]["name"]) == (False, "Shop hub")
    assert left.keys() == {"integrationId", "integration", "isNew"}
    assert "user.id" not in root
    assert not any("gen_ai.agent.name" in span.attributes for span in trace.spans)


def test_a_start_without_a_zone_is_utc_to_seven_digits() -> None:
    (session,) = (
        item
        for item in items_of(answers(conversation={"openedDateTime": "2019-10-28T00:42:12.6452901"}))
        if isinstance(item, Session)
    )

    assert session.started == 1_572_223_332_645_290_100
    assert session.created_at == "2019-10-28T00:42:12.6452901"


def test_leading_undated_activities_step_on_from_the_start_of_the_conversation() -> None:
    trace = trace_from(
        answers([message(eventId=None), message("m-2")], conversation={"openedDateTime": "2026-11-06T22:39:59Z"})
    )

    assert trace.of("m-1").start == 1_794_004_799_000_001_000


def test_times_that_are_none_and_properties_that_are_none_are_kept_beside() -> None:
    left = json.loads(str(file("odd_records").root.attributes[f"{OWN}session.raw"]))

    assert (left["openedDateTime"], left["closedDateTime"], left["properties"]) == ("call me", 7, ["odd"])


def test_a_conversation_of_another_id_is_told() -> None:
    trace = file("odd_records")

    assert trace.warnings == ["these answers name other conversations than 'odd records/1': 1 of them"]
    assert json.loads(str(trace.root.attributes[f"{OWN}session.raw"]))["conversationId"] == "another-conversation"


def test_the_case_of_a_conversations_id_does_not_matter() -> None:
    trace = trace_from(answers([message()], conversation={"conversationId": "C-1"}))

    assert trace.warnings == []
    assert json.loads(str(trace.root.attributes[f"{OWN}session.raw"])) == {"conversationId": "C-1"}


@pytest.mark.parametrize("body", [None, 7, "odd", ["x", {"tokenId": "reserved"}]])
def test_a_look_up_that_is_no_conversation_costs_a_warning(body: Any) -> None:
    answer = Answer(label="conversation", body=body, source="GET /c")
    source = answers([message()])

    trace = trace_from(replace(source, answers=[answer, *source.answers]), FULL)

    assert trace.events == 1
    assert trace.warnings == ["GET /c is no conversation; when it was opened and closed, and its profile are missing"]
    assert json.loads(str(trace.root.attributes.get(f"{OWN}session.raw", "null"))) == without_secrets(body)


def test_a_recorded_look_up_that_was_refused_says_what_is_missing() -> None:
    trace = file("no_look_up")

    assert trace.events == 2
    (warning,) = trace.warnings
    assert "404" in warning
    assert warning.endswith(
        "the trace lacks when the conversation was opened and closed, and the profile of the customer"
    )
    assert trace.root.attributes[f"{OWN}session.complete"] is True


def test_activities_that_were_refused_cut_the_session_short() -> None:
    failed = Answer(
        label="activities",
        body=None,
        source="GET /a",
        failure=FetchError("it was refused", request="GET /a", status=403),
    )
    source = answers([message()])

    trace = trace_from(replace(source, answers=[*source.answers, failed]))

    assert trace.warnings == ["it was refused; the trace lacks the activities of one type of those who take part"]
    assert trace.root.attributes[f"{OWN}session.complete"] is False


def test_a_conversation_without_activities_is_a_root_alone() -> None:
    trace = trace_from(answers([], [], [], conversation={"conversationId": "c-1"}))

    assert [span.name for span in trace.spans] == ["invoke_agent"]
    assert trace.warnings[-1] == "the session has no events"


@pytest.mark.parametrize("body", [None, 7, "odd", {}, {"activities": 7}, {"status": 200}])
def test_an_answer_without_a_list_of_activities_cannot_be_read(body: Any) -> None:
    with pytest.raises(ReadError, match="hubster:c-1: GET /a holds no list of activities"):
        items_of(answers(body))


# --- stored webhooks ----------------------------------------------------------------------------------


def test_stored_webhooks_are_read_and_a_redelivered_one_is_told_once() -> None:
    trace = file("webhooks")

    assert [span.name for span in trace.spans] == ["user_message", "payload", "agent_output", "invoke_agent"]
    assert trace.duplicates == 2
    root = trace.root.attributes
    assert root[f"{OWN}session.reference"] == "hubster:webhooks"
    assert json.loads(str(root[f"{OWN}session.profile"])) == {"fullName": "Invented Person"}
    system = {"hubId": "h-1", "tenantId": "t-1", "integrationId": "i-system"}
    assert json.loads(str(root[f"{OWN}session.raw"])) == [
        system | {"conversationProperties": {"more": 1}},
        system | {"integrationId": "i-customer"},
        system | {"conversationProperties": {"profile": {"fullName": "Renamed Person"}}},
    ]


def test_webhooks_of_two_conversations_are_told() -> None:
    hooks = [{"conversationId": name, "hubId": "h", "activity": message(name)} for name in ("c-1", "c-2", "c-3")]

    trace = trace_from(answers(*hooks))

    assert trace.events == 3
    assert trace.warnings == ["these answers name other conversations than 'c-1': 2 of them"]


# --- content none -------------------------------------------------------------------------------------

_KEPT = {"integrationType", "openedDateTime", "closedDateTime"}


def put_back(marks: Any, value: Any, name: str = "") -> Any:
    """Give marked values with those unmarked by which a record is told."""
    if isinstance(value, dict):
        return {each: put_back(marks[each], inner, each) for each, inner in value.items()}
    if isinstance(value, list):
        return [put_back(mark, inner, name) for mark, inner in zip(marks, value, strict=True)]
    return value if name in _KEPT else marks


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_with_content_none_only_names_and_ids_leave(path: Path) -> None:
    source = opened(path)
    given = [
        replace(answer, body=put_back(marked(answer.body, answer.label), answer.body)) for answer in source.answers
    ]

    trace = trace_from(replace(source, answers=given), Options(policy=Policy(content="none")))

    told = {found for span in trace.spans for found in re.findall(r"<([^<>]*)>", repr(span))}
    parties = {
        f"activities/{party}/{name}" for party in ("sender", "recipient") for name in ("integrationId", "channelType")
    }
    allowed = {
        *parties,
        "activities/eventTrigger",
        "activities/externalId",
        "activities/flowProcess",
        "activities/interactionId",
        "activities/event/payloadType",
    }
    nested_in_webhooks = {
        each.replace("activities/", f"activities/{name}/") for each in allowed for name in ("activities", "activity")
    }
    assert told <= allowed | nested_in_webhooks
    assert path.stem != "rich" or told == allowed
    assert not any(f"{OWN}summary" in span.attributes for span in trace.spans)


# --- recognising --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "body"),
    [
        ("activities", [message()]),
        ("activities", [event()]),
        ("activities", ["odd", None, {"eventTrigger": "message:bot"}]),
        ("activities", [{"type": "action", "recipient": {}}]),
        ("activities", [{"type": "message", "eventId": AT}]),
        ("activities", {"conversationId": "c", "activities": []}),
        ("activities", {"hubId": "h", "integrationId": "i", "activity": message()}),
        ("conversation", {"conversationId": "c", "openedDateTime": "2026-11-06T22:39:59"}),
        ("conversation", {"conversationId": "c", "integrationId": "i"}),
        ("conversation", {"conversationId": "c", "properties": {}}),
        (None, []),
        (None, {}),
        (None, None),
        (None, 7),
        (None, [[message()]]),
        (None, [{"type": ["message"], "sender": {}}]),
        (None, {"conversationId": "c"}),
        (None, {"activities": [message()]}),
        (None, {"events": [{"type": "input_message", "id": "aev_1"}], "metadata": {}}),
        (None, {"key": "support", "first_step": {}}),
        (None, {"key": "s", "agent_key": "a"}),
        (None, [{"_id": "1", "log_data": "THOUGHT: x"}]),
        (None, [{"role": "user", "content": "Hi", "created_at": "2026-11-06T22:39:59"}]),
        (None, {"history": [{"role": "user", "content": "Hi"}]}),
        (None, {"contents": [{"role": "user", "content": "Hi"}]}),
        (None, {"turns": [{"turn_id": 1}]}),
        (None, {"productId": 17, "eventType": 103, "payload": {"contents": []}}),
        (None, [{"type": "message", "content": "Hi", "role": "user"}]),
    ],
)
def test_only_hubsters_own_answers_are_recognised(label: str | None, body: Any) -> None:
    assert Hubster().recognise(body) == label


def test_a_saved_conversation_names_the_session() -> None:
    saved = [{"conversationId": "chat 7/ü", "openedDateTime": "2026-11-06T22:39:59"}, [message()]]

    trace = trace_of("\n".join(map(json.dumps, reversed(saved))).encode())

    assert trace.root.attributes[f"{OWN}session.reference"] == "hubster:chat%207%2F%C3%BC"
    assert trace.root.attributes["gen_ai.conversation.id"] == "chat 7/ü"
    assert trace.events == 1


@pytest.mark.parametrize("told", [None, 7, "", ["c"]])
def test_an_id_that_is_none_identifies_nothing(told: Any) -> None:
    body = {"conversationId": told, "properties": {}}

    assert Hubster().identify([Answer(label="conversation", body=body, source="x")]) == ("",)
    assert Hubster().identify([Answer(label="activities", body=[message()], source="x")]) == ("",)


# --- over HTTP ----------------------------------------------------------------------------------------

TOKEN = "token-of-a-test"
ID = "chat 7/ü@x"
PATH = "/api/v1/interactions/activities/chat 7/ü@x"
CONVERSATION = "/api/v1/conversations/chat 7/ü@x"


def play(conversation: Any, **lists: Any) -> Recording:
    encoded = "chat%207%2F%C3%BC%40x"
    return Recording(
        recording=1,
        session=f"hubster:{encoded}",
        answers=[
            RecordedAnswer(label="conversation", path=f"/api/v1/conversations/{encoded}", body=conversation),
            *(
                RecordedAnswer(
                    label="activities",
                    path=f"/api/v1/interactions/activities/{encoded}",
                    query={"type": name},
                    body=body,
                )
                for name, body in lists.items()
            ),
        ],
    )


WHOLE = play(
    {"conversationId": ID, "openedDateTime": "2026-11-06T22:39:59"},
    Customer=[message(), message("m-2", eventId=AT + 2, sender=AGENT, recipient=CUSTOMER)],
    Agent=[message("m-2", eventId=AT + 2, sender=AGENT, recipient=CUSTOMER)],
    Bot=[message()],
)


def fetched(platform: LoopbackPlatform, client: httpx.Client, **variables: str) -> Trace:
    fetcher, reference = Hubster(), Reference("hubster", (ID,))
    connection = fetcher.connect(variables or {"HUBSTER_ACCESS_TOKEN": TOKEN}, platform.base_url)
    return trace_from(
        Source(reference=reference, fetcher=fetcher, answers=Client(client, connection).fetch(fetcher, reference))
    )


def test_the_activities_of_all_three_types_are_asked_for_and_merged(http: httpx.Client) -> None:
    with LoopbackPlatform([WHOLE], headers={"Authorization": f"Bearer {TOKEN}"}) as platform:
        trace = fetched(platform, http)

    assert [span.name for span in trace.spans] == ["user_message", "agent_output", "invoke_agent"]
    assert (trace.events, trace.duplicates, trace.warnings) == (2, 2, [])
    encoded = "chat%207%2F%C3%BC%40x"
    assert platform.asked == [
        f"GET /api/v1/conversations/{encoded}",
        f"GET /api/v1/interactions/activities/{encoded}?type=Customer",
        f"GET /api/v1/interactions/activities/{encoded}?type=Agent",
        f"GET /api/v1/interactions/activities/{encoded}?type=Bot",
    ]


def test_a_look_up_that_is_refused_costs_a_warning_and_not_the_trace(http: httpx.Client) -> None:
    with LoopbackPlatform([WHOLE]) as platform:
        platform.faults[CONVERSATION].append(Reply(status=403))
        trace = fetched(platform, http)

    assert trace.events == 2
    (warning,) = trace.warnings
    assert "403 Forbidden" in warning
    assert "the trace lacks when the conversation was opened" in warning


@pytest.mark.parametrize("missing", ["Customer", "Agent", "Bot"])
def test_all_three_must_answer(http: httpx.Client, missing: str) -> None:
    kept = [answer for answer in WHOLE.answers if answer.query != {"type": missing}]
    with (
        LoopbackPlatform([WHOLE.model_copy(update={"answers": kept})]) as platform,
        pytest.raises(FetchError, match=rf"type={missing} answered 404 .*Check the id of the conversation"),
    ):
        fetched(platform, http)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "an engine token that is not older than 30 days"),
        (403, "that of an engine client may"),
        (404, r"Provided by nobody\. \(code: ENG006500\)\. Check the id of the conversation"),
    ],
)
def test_an_error_says_what_happened_in_which_conversation_and_what_to_do(
    http: httpx.Client, status: int, words: str
) -> None:
    body = {"status": status, "errors": [{"code": 6500, "description": "Provided by nobody. (code: ENG006500)"}]}
    with LoopbackPlatform([WHOLE]) as platform:
        platform.faults[PATH].append(Reply(status=status, body=json.dumps(body).encode()))
        with pytest.raises(FetchError, match=words) as caught:
            fetched(platform, http)

    assert str(caught.value).startswith("hubster:chat%207%2F%C3%BC%40x: GET ")
    assert TOKEN not in str(caught.value)
    assert caught.value.status == status


def test_a_token_is_got_by_client_credentials_and_renewed_once_when_it_is_refused(http: httpx.Client) -> None:
    with LoopbackPlatform([WHOLE]) as platform:
        for name in ("first", "second"):
            platform.faults["/id/connect/token"].append(Reply(body=json.dumps({"access_token": name}).encode()))
        platform.faults[PATH].append(Reply(status=401))
        trace = fetched(
            platform,
            http,
            HUBSTER_CLIENT_ID="hubster.engine.api.shop",
            HUBSTER_CLIENT_SECRET="of-a-test",
            HUBSTER_IDENTITY_URL=f"{platform.base_url}/id/",
        )

    assert trace.events == 2
    posted, *_ = (each for each in platform.received if each.method == "POST")
    assert posted.target == "/id/connect/token"
    assert posted.body == (b"grant_type=client_credentials&client_id=hubster.engine.api.shop&client_secret=of-a-test")
    assert [each.headers["authorization"] for each in platform.received if each.method == "GET"] == [
        "Bearer first",
        "Bearer first",
        "Bearer second",
        "Bearer second",
        "Bearer second",
    ]


@pytest.mark.parametrize("end", ["", "/", "/connect/token", "/connect/token/"])
def test_the_path_of_the_token_is_added_once(http: httpx.Client, end: str) -> None:
    with LoopbackPlatform([WHOLE], tokens={"/connect/token": TOKEN}) as platform:
        fetched(
            platform,
            http,
            HUBSTER_CLIENT_ID="i",
            HUBSTER_CLIENT_SECRET="s",
            HUBSTER_IDENTITY_URL=f"{platform.base_url}{end}",
        )

    assert platform.asked[0] == "POST /connect/token"


def test_the_hosts_are_hubsters_own_when_nothing_is_said() -> None:
    connection = Hubster().connect({"HUBSTER_CLIENT_ID": "i", "HUBSTER_CLIENT_SECRET": "s"}, None)

    assert connection.base_url == "https://engine.hubster.io"
    assert str(connection.credentials._token_url) == "https://identity.hubster.io/connect/token"  # type: ignore[attr-defined]


def test_the_argument_wins_over_the_variable() -> None:
    environ = {"HUBSTER_ACCESS_TOKEN": "t", "HUBSTER_BASE_URL": "https://demo-engine.example/"}

    assert Hubster().connect(environ, None).base_url == "https://demo-engine.example"
    assert Hubster().connect(environ, "https://other.example").base_url == "https://other.example"


def test_a_host_that_is_none_is_refused_by_the_name_of_its_variable() -> None:
    with pytest.raises(UsageError, match="HUBSTER_BASE_URL is no base URL"):
        Hubster().connect({"HUBSTER_ACCESS_TOKEN": "t", "HUBSTER_BASE_URL": "engine"}, None)
    with pytest.raises(UsageError, match="HUBSTER_IDENTITY_URL"):
        Hubster().connect(
            {"HUBSTER_CLIENT_ID": "i", "HUBSTER_CLIENT_SECRET": "s", "HUBSTER_IDENTITY_URL": "identity"}, None
        )


@pytest.mark.parametrize("some", [{}, {"HUBSTER_CLIENT_ID": "i"}, {"HUBSTER_CLIENT_SECRET": "s"}])
def test_without_credentials_the_variables_are_named(some: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"HUBSTER_CLIENT_ID and HUBSTER_CLIENT_SECRET .* HUBSTER_ACCESS_TOKEN"):
        Hubster().connect(some, None)


def test_a_given_token_wins_over_client_credentials() -> None:
    both = {"HUBSTER_ACCESS_TOKEN": "t", "HUBSTER_CLIENT_ID": "i", "HUBSTER_CLIENT_SECRET": "s"}

    assert Hubster().connect(both, None).credentials.secrets == ("t",)
    assert Hubster().connect({**both, "HUBSTER_ACCESS_TOKEN": ""}, None).credentials.secrets == ("s",)


def test_only_its_own_variables_are_read() -> None:
    class Watched(dict[str, str]):
        asked: set[str] = set()  # noqa: RUF012 - of this one test

        def get(self, name: str, default: Any = None) -> Any:
            self.asked.add(name)
            return super().get(name, default)

    Hubster().connect(Watched(HUBSTER_CLIENT_ID="i", HUBSTER_CLIENT_SECRET="s"), None)

    assert set(Hubster.variables) == Watched.asked


@pytest.mark.parametrize("path", [("",), (), ("a", "b")])
def test_a_reference_that_is_no_conversation_is_refused(path: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="write hubster:CONVERSATION"):
        next(Hubster().ask(Reference("hubster", path)))


# --- the bundled recording ----------------------------------------------------------------------------


def test_the_bundled_conversation_is_fetched_as_it_is_recorded(http: httpx.Client) -> None:
    source = source_of(DEMO.read_bytes())
    recording = Recording.model_validate_json(DEMO.read_bytes())
    with LoopbackPlatform([recording]) as platform:
        connection = Hubster().connect({"HUBSTER_ACCESS_TOKEN": TOKEN}, platform.base_url)
        trace = trace_from(
            replace(source, answers=Client(http, connection).fetch(Hubster(), source.reference), saved=False)
        )

    assert trace.spans == trace_from(source).spans
    assert [answer.path for answer in recording.answers] == [
        each.target.partition("?")[0] for each in platform.received
    ]
    assert (trace.events, trace.warnings, trace.flaws) == (18, [], [])
    assert {span.attributes.get(f"{OWN}agent.author") for span in trace.spans} == {None, "bot", "human"}
