"""What is put together from a template says what the builder says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

from otel_agent_events.assemble import assemble
from otel_agent_events.content import Policy
from otel_agent_events.conventions import CONVENTIONS
from otel_agent_events.events import AgentMessage, Note, Session, Thinking, ToolCall, ToolResult, UserMessage
from otel_agent_events.live.labels import INDEX, RESULT_INDEX, TURN, Labeller
from otel_agent_events.live.records import Reading
from otel_agent_events.spans import Identity, Resource, SpanBuilder, View
from tests.events import REFERENCE, call, result, session, sessions_of_events, thinking, user
from tests.live.streams import NAMES, stream
from tests.recordings import files, name_of, opened

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from otel_agent_events.assemble import Node
    from otel_agent_events.events import Event

NONE = Policy(content="none")


def builder_of(known: Session, max_value: int = 65_536) -> SpanBuilder:
    return SpanBuilder(
        known,
        identity=Identity(view=View(content="none", max_value=max_value)),
        conventions=[CONVENTIONS.get("gen_ai")],
        resource=Resource({}),
    )


def labelled_alike(known: Session, events: Sequence[Event], max_value: int = 65_536) -> int:
    """Hold every label from a template against the one of the builder; give how many templates there were."""
    nodes: list[Node] = assemble(known, events)
    general = Labeller(builder_of(known, max_value), NONE, by_templates=False)
    quick = Labeller(builder_of(known, max_value), NONE, by_templates=True)
    assert quick._templates is not None
    for node in nodes * 2:  # the second time every template is there
        assert quick.of(node) == general.of(node)
    return len(quick._templates)


def read(source: Any) -> tuple[Session, list[Event]]:
    reader = source.fetcher.reader(source.reference)
    items = [item for answer in source.answers for item in reader.feed(answer)]
    items += reader.close()
    known = next((item for item in items if isinstance(item, Session)), Session(reference=source.reference))
    return NONE.session(known), [item for item in items if hasattr(item, "kind")]


@pytest.mark.parametrize("path", files(), ids=name_of)
def test_a_template_says_of_every_recording_what_the_builder_says(path: Path) -> None:
    known, events = read(opened(path))

    labelled_alike(known, events)
    labelled_alike(known, events, max_value=64)


@pytest.mark.parametrize("name", NAMES)
def test_a_template_says_of_every_stream_what_the_builder_says(name: str) -> None:
    reading = Reading(REFERENCE, in_order=True)
    items: list[Any] = [item for record in stream(name) for item in reading.take(record, 1000)]
    items += reading.close()

    labelled_alike(session(), [item for item in items if hasattr(item, "kind")])


@given(sessions_of_events())
def test_a_template_says_of_any_events_what_the_builder_says(events: list[Event]) -> None:
    labelled_alike(session(agent_name="Desk", user="ada"), events)


def test_events_that_differ_in_their_ids_only_share_a_template() -> None:
    events: list[Event] = [thinking(str(number), number) for number in range(1, 20)]
    for number in range(20, 40):
        events += [call(f"c{number}", number, str(number)), result(f"r{number}", number, str(number))]

    assert labelled_alike(session(), events) == 2


@pytest.mark.parametrize("odd", ["x" * 300, "\ud800", "ß"], ids=["long", "surrogate", "not ascii"])
def test_an_id_that_is_not_plain_is_written_as_the_builder_writes_it(odd: str) -> None:
    events: list[Event] = [
        UserMessage(key="u", id=odd, start=1, end=1),
        ToolCall(key="c", id=odd, call_id=odd, tool="t", start=2, end=2),
        ToolResult(key="r", id=odd, call_id=odd, tool="t", start=3, end=3),
    ]

    labelled_alike(session(), events, max_value=64)


@pytest.mark.parametrize(
    "beside",
    [
        {"details": {"chunks": 3}},
        {"details": {"chunks": "three"}},
        {"details": {"chunks": 2**70, "broken_off": True}},
        {"details": {"broken_off": False}},
        {"details": {"other": 1}},
        {"measurements": {"time_to_first_chunk": 0.5}},
        {"measurements": {"time_to_first_chunk": float("nan")}},
        {"measurements": {"time_to_first_chunk": 1}},
        {"measurements": {"time_to_first_chunk": 0.5, "other": 1.0}},
    ],
    ids=str,
)
def test_what_events_have_beside_their_words_is_told_as_the_builder_tells_it(beside: dict[str, Any]) -> None:
    events: list[Event] = [
        UserMessage(key="u", start=1, end=1, **beside),
        Thinking(key="t", end=2, **beside),
        ToolCall(key="c", call_id="c", tool="t", start=3, end=3, **beside),
        ToolResult(key="r", call_id="c", tool="t", start=4, end=4, **beside),
        AgentMessage(key="a", end=5, **beside),
        Note(key="n", name="n", start=6, end=6, attributes={"count": 1, "näme": 2}, **beside),
        Note(key="m", name="n", start=7, end=7, attributes={"count": 1}, **beside),
    ]

    labelled_alike(session(), events)


def test_templates_are_bounded_and_what_has_none_is_labelled_all_the_same() -> None:
    events: list[Event] = []
    for number in range(600):
        events += [
            call(f"c{number}", number, str(number), tool=f"tool {number}"),
            result(f"r{number}", number, str(number), tool=f"tool {number}"),
        ]

    assert labelled_alike(session(), events) == 500


def test_a_label_does_not_change_with_the_attributes_of_the_one_before() -> None:
    labels = Labeller(builder_of(session()), NONE, by_templates=True)
    nodes = assemble(session(), [user("a", 1), user("b", 2)])

    labels.of(nodes[0]).attributes["mine"] = 1

    assert "mine" not in labels.of(nodes[1]).attributes


def test_a_label_tells_no_place_in_the_session() -> None:
    nodes = assemble(session(), [user("u", 1), call("c", 2), result("r", 3)])

    for by_templates in (True, False):
        labels = Labeller(builder_of(session()), NONE, by_templates=by_templates)
        for node in nodes:
            assert not labels.of(node).attributes.keys() & {INDEX, RESULT_INDEX, TURN}
