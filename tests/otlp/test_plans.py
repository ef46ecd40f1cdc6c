"""A plan gives the bytes that the general way gives, or it gives none."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from otel_agent_events.assemble import assemble
from otel_agent_events.attributes import json_bytes
from otel_agent_events.conventions.gen_ai import GenAI
from otel_agent_events.events import (
    AgentMessage,
    Caution,
    Session,
    Structured,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    UserMessage,
)
from otel_agent_events.fetchers import Answer
from otel_agent_events.fetchers.vectara import Vectara
from otel_agent_events.otlp import composing
from otel_agent_events.otlp.encode import Encoder
from otel_agent_events.otlp.plans import Plans
from otel_agent_events.spans import Identity, Resource, SpanBuilder, View
from tests.events import BEGIN, REFERENCE, call, result, session, thinking, user
from tests.generate import Generated
from tests.native import native

if TYPE_CHECKING:
    from otel_agent_events.events import Event

_ANY_TEXT = st.text(st.characters(codec=None), max_size=120) | st.text("word \n\t\u2028é👍", max_size=400)
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_NAME = st.none() | st.sampled_from(["", "search", "söker", "a" * 90]) | _ANY_TEXT
_MOMENT = st.none() | st.sampled_from([0, 1, BEGIN, BEGIN + 1, 2**64 - 1]) | st.integers(0, 2**64 - 1)


@st.composite
def _common(draw: st.DrawFn) -> dict[str, Any]:
    begun, ended = draw(_MOMENT), draw(_MOMENT)
    return {
        "key": draw(st.text(min_size=1, max_size=9)),
        "id": draw(_NAME),
        "type": draw(_NAME),
        "start": begun,
        "end": ended,
        "remainder": draw(st.none() | _JSON),
        "measurements": draw(st.just({}) | st.just({"latency": 1.5})),
    }


@st.composite
def _events(draw: st.DrawFn) -> Event:
    common = draw(_common())
    parts = draw(st.lists(st.builds(Text, text=_ANY_TEXT) | st.builds(Structured, content=_JSON), max_size=2))
    match draw(st.sampled_from(["user", "thinking", "agent", "call", "result"])):
        case "user":
            return UserMessage(**common, parts=tuple(parts), author=draw(_NAME))
        case "thinking":
            return Thinking(**common, text=draw(st.none() | _ANY_TEXT))
        case "agent":
            return AgentMessage(**common, parts=tuple(parts), author=draw(st.sampled_from(["bot", "human"])))
        case "call":
            return ToolCall(
                **common,
                call_id=draw(st.sampled_from(["a", "b"])),
                tool=draw(_NAME),
                tool_type=draw(_NAME),
                configuration=draw(_NAME),
                arguments=draw(_JSON),
            )
        case _:
            return ToolResult(
                **common,
                call_id=draw(st.sampled_from(["a", "b"])),
                tool=draw(_NAME),
                configuration=draw(_NAME),
                result=draw(_JSON),
                failed=draw(st.sampled_from([None, False, True])),
            )


def _builder(max_value: int = 65_536, **view: Any) -> SpanBuilder:
    return SpanBuilder(
        session(agent_name="Support", user="ü"),
        identity=Identity(view=View(content="full", max_value=max_value, **view)),
        conventions=[GenAI()],
        resource=Resource({"service.name": "support"}),
    )


COMPOSERS = pytest.mark.parametrize("composer", [composing.Composer, native.Composer], ids=["Python", "compiled"])
"""Who writes the spans."""


@COMPOSERS
@given(st.lists(_events(), max_size=6), st.sampled_from([64, 100, 300, 65_536]), st.booleans())
def test_a_plan_gives_the_bytes_of_the_general_way(
    composer: type[composing.Composer],
    events: list[Event],
    max_value: int,
    are_written: bool,  # noqa: FBT001
) -> None:
    builder, encoder = _builder(max_value), Encoder()
    plans = Plans(builder, composer)
    nodes = assemble(session(), [_written(event) for event in events] if are_written else events)

    for node, body in zip(nodes, plans.bodies(nodes), strict=True):
        assert body is None or body == encoder.body(builder.build(node))


@given(st.lists(_events(), max_size=6), st.sampled_from([64, 300, 65_536]), st.booleans())
def test_the_compiled_composer_has_a_plan_where_the_other_one_has(
    events: list[Event],
    max_value: int,
    are_written: bool,  # noqa: FBT001
) -> None:
    builder = _builder(max_value)
    nodes = assemble(session(), [_written(event) for event in events] if are_written else events)

    assert Plans(builder, native.Composer).bodies(nodes) == Plans(builder, composing.Composer).bodies(nodes)


def _written(event: Event) -> Event:
    """Give an event with its contents as they are written, where they can be."""
    with suppress(ValueError):
        match event:
            case Thinking(text=str() as text):
                return replace(event, text=json_bytes(text))
            case ToolCall(arguments=arguments) if arguments is not None:
                return replace(event, arguments=json_bytes(arguments))
            case ToolResult(result=told) if told is not None:
                return replace(event, result=json_bytes(told))
            case UserMessage(parts=(Text(text=str() as text),)) | AgentMessage(parts=(Text(text=str() as text),)):
                return replace(event, parts=(Text(text=json_bytes(text)),))
            case _:
                pass
    return event


@COMPOSERS
def test_a_long_session_with_everything_in_it_is_the_same_bytes_either_way(composer: type[composing.Composer]) -> None:
    reader = Vectara().reader(REFERENCE)
    pages = Generated(events=3_000).pages
    answers = [Answer(label="events", body=page, source="x") for page in pages]
    events = [item for answer in answers for item in reader.feed(answer) if not isinstance(item, (Session, Caution))]
    builder, encoder = _builder(), Encoder()
    plans = Plans(builder, composer)

    nodes = assemble(session(), events)
    bodies = list(zip(plans.bodies(nodes), map(encoder.body, map(builder.build, nodes)), strict=True))

    assert [planned for planned, _ in bodies if planned is not None] == [
        general for planned, general in bodies if planned is not None
    ]
    kinds = {node.kind for node, (planned, _) in zip(nodes, bodies, strict=True) if planned is not None}
    assert kinds == {"user_message", "thinking", "agent_message", "tool"}
    assert sum(planned is not None for planned, _ in bodies) > len(bodies) / 2


@pytest.mark.parametrize("index", [1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 2**28])
@COMPOSERS
def test_the_index_may_be_any_number(composer: type[composing.Composer], index: int) -> None:
    builder = _builder()
    (node, _) = assemble(session(), [user("u", 1)])
    node.index = index  # type: ignore[union-attr]

    assert Plans(builder, composer).bodies([node])[0] == Encoder().body(builder.build(node))


@pytest.mark.parametrize(
    "events",
    [
        [user("u", 1, "\ud800")],
        [user("u", 1, "long " * 60)],
        [thinking("t", 1, None)],
        [call("c", 1, arguments=float("nan")), result("r", 2)],
        [call("c", 1)],
        [result("r", 1)],
    ],
    ids=["surrogate", "too long", "no words", "NaN", "no result", "no call"],
)
@COMPOSERS
def test_what_is_out_of_the_usual_has_no_plan(composer: type[composing.Composer], events: list[Event]) -> None:
    node = assemble(session(), events)[0]

    assert Plans(_builder(max_value=200), composer).bodies([node]) == [None]


@COMPOSERS
@pytest.mark.parametrize("told", [None, "", "no such order", {"error": "upstream"}, "é" * 300])
def test_a_tool_that_failed_has_a_plan(composer: type[composing.Composer], told: Any) -> None:
    builder = _builder()
    node = assemble(session(), [call("c", 1), result("r", 2, failed=True, result=told)])[0]

    assert Plans(builder, composer).bodies([node]) == [Encoder().body(builder.build(node))]


def test_there_are_no_plans_for_turns_for_no_contents_and_for_other_conventions() -> None:
    class Other(GenAI):
        pass

    assert Plans.of(_builder(), [GenAI()]) is not None
    assert Plans.of(_builder(turns=True), [GenAI()]) is None
    assert Plans.of(_builder(), [Other()]) is None
    assert Plans.of(_builder(), [GenAI(), GenAI()]) is None
    builder = SpanBuilder(
        session(), identity=Identity(view=View(content="none")), conventions=[GenAI()], resource=Resource({})
    )
    assert Plans.of(builder, [GenAI()]) is None
