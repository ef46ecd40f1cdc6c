from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Any

import pytest

from otel_agent_events.assemble import EventNode, Node, SessionNode, ToolNode, TurnNode, assemble
from otel_agent_events.attributes import Finisher
from otel_agent_events.conventions import CONVENTIONS, Labels
from otel_agent_events.conventions.gen_ai import GenAI
from otel_agent_events.errors import UsageError
from otel_agent_events.events import (
    AgentMessage,
    Event,
    File,
    Note,
    OtherPart,
    Part,
    Removed,
    Skill,
    Structured,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Uri,
    UserMessage,
)
from tests.events import agent, at, call, note, result, session, thinking, user


def labels(*events: Event, **facts: Any) -> list[Labels]:
    told = session(**facts)
    nodes = assemble(told, events, turns=True)
    return [with_operation(GenAI().label(node, told), node) for node in nodes]


def with_operation(label: Labels, node: Node) -> Labels:
    """Add the operation, which is constant for most kinds, to what varies."""
    operation = GenAI().constants(session(), node.kind)["gen_ai.operation.name"]
    return replace(label, attributes={"gen_ai.operation.name": operation, **label.attributes})


def told(label: Labels) -> dict[str, Any]:
    """Give the attributes as they leave: JSON as its text."""
    return dict(Finisher(sys.maxsize).attributes(label.attributes))


def text(value: Any) -> str:
    """Give the JSON text of a value."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def message(*parts: Part) -> dict[str, Any]:
    (label, *_) = labels(UserMessage(key="1", start=at(0), end=at(0), parts=parts))
    return told(label)


def test_a_session_is_invoke_agent_with_its_first_and_last_message() -> None:
    *_, root = labels(user("1", 0, "a"), agent("2", 1, "b"), agent_name="Support", agent_id="support", model="gpt-4o")

    assert (root.name, root.kind) == ("invoke_agent Support", "internal")
    assert told(root) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.id": "support",
        "gen_ai.provider.name": "vectara",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.input.messages": text([{"role": "user", "parts": [{"type": "text", "content": "a"}]}]),
        "gen_ai.output.messages": text([{"role": "assistant", "parts": [{"type": "text", "content": "b"}]}]),
    }


def test_a_session_whose_agent_is_not_known_has_no_name_invented() -> None:
    (root,) = labels()

    assert root.name == "invoke_agent"
    assert GenAI().constants(session(), "note") == {
        "gen_ai.operation.name": None,
        "gen_ai.conversation.id": "s1",
        "gen_ai.agent.name": None,
    }


def test_a_turn_is_invoke_agent_too_with_its_own_messages() -> None:
    _, _, turn, _ = labels(user("1", 0, "a"), agent("2", 1, "b"), agent_name="Support")

    assert turn.name == "invoke_agent Support"
    assert told(turn)["gen_ai.operation.name"] == "invoke_agent"
    assert "gen_ai.provider.name" not in turn.attributes


def test_thinking_is_a_reasoning_part_and_thinking_without_text_has_none() -> None:
    told_, silent, *_ = labels(thinking("1", 0, "hm"), thinking("2", 1, None))

    assert told_.name == "thinking"
    assert told(told_)["gen_ai.output.messages"] == text(
        [{"role": "assistant", "parts": [{"type": "reasoning", "content": "hm"}]}]
    )
    assert told(silent) == {"gen_ai.operation.name": "thinking"}


def test_a_call_and_its_result_are_execute_tool() -> None:
    arguments: Any = {"q": 1}
    answer: Any = {"hits": []}
    pair, *_ = labels(call("1", 0, arguments=arguments, tool_type="function"), result("2", 1, result=answer))

    assert pair.name == "execute_tool search"
    assert told(pair) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "search",
        "gen_ai.tool.call.id": "c",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.arguments": text(arguments),
        "gen_ai.tool.call.result": text(answer),
    }


def test_the_result_of_a_failed_call_is_no_tool_call_result() -> None:
    pair, *_ = labels(call("1", 0), result("2", 1, result={"error": "no"}, failed=True))

    assert "gen_ai.tool.call.result" not in pair.attributes
    assert told(pair)["otel_agent_events.tool.error"] == text({"error": "no"})


def test_arguments_and_results_that_are_text_stay_text() -> None:
    pair, *_ = labels(call("1", 0, arguments="a"), result("2", 1, result="b"))

    assert (told(pair)["gen_ai.tool.call.arguments"], told(pair)["gen_ai.tool.call.result"]) == ("a", "b")


def test_a_tool_that_the_platform_does_not_name_gets_no_name() -> None:
    orphan, *_ = labels(ToolResult(key="1", start=at(0), end=at(0), result="seen"))

    assert orphan.name == "execute_tool"
    assert told(orphan) == {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.result": "seen"}


def test_an_agent_message_is_chat_only_when_the_record_names_provider_and_model() -> None:
    message_of = AgentMessage(key="1", end=at(0), parts=(Text(text="x"),), provider="openai", model="gpt-4o")
    without = AgentMessage(key="2", end=at(0), parts=(Text(text="x"),), model="gpt-4o")

    chat, output, *_ = labels(message_of, without, model="gpt-4o")

    assert (chat.name, chat.kind) == ("chat gpt-4o", "client")
    assert told(chat)["gen_ai.provider.name"] == "openai"
    assert (output.name, output.kind) == ("agent_output", "internal")
    assert told(output)["gen_ai.operation.name"] == "agent_output"


def test_a_note_has_its_own_name_and_no_tool_name() -> None:
    step, unknown, *_ = labels(note("1", 0, name="step_transition"), Note(key="2"))

    assert (step.name, unknown.name) == ("step_transition", "unknown_event")
    assert "gen_ai.tool.name" not in step.attributes


@pytest.mark.parametrize(
    ("part", "written"),
    [
        (Text(text="a"), {"type": "text", "content": "a"}),
        (Text(text='"\\ \n\x00\x7f é\u2028 🎈'), {"type": "text", "content": '"\\ \n\x00\x7f é\u2028 🎈'}),
        (Structured(content={"ä": [1]}), {"type": "text", "content": '{"ä": [1]}'}),
        (Skill(name="refunds"), {"type": "skill", "skill_name": "refunds"}),
        (
            File(file_id="f", name="a.png", mime_type="image/png", size=3),
            {"type": "file", "modality": "image", "file_id": "f", "mime_type": "image/png", "name": "a.png", "size": 3},
        ),
        (File(file_id="f"), {"type": "file", "modality": "document", "file_id": "f"}),
        (Uri(uri="https://h/v", modality="video"), {"type": "uri", "modality": "video", "uri": "https://h/v"}),
        (
            Uri(uri="https://h/a", mime_type="audio/ogg"),
            {"type": "uri", "modality": "audio", "uri": "https://h/a", "mime_type": "audio/ogg"},
        ),
        (OtherPart(content={"type": "odd", "x": 1}), {"type": "odd", "x": 1}),
        (OtherPart(content={"type": 5}), {"type": "unknown", "content": {"type": 5}}),
        (OtherPart(content="bare"), {"type": "unknown", "content": "bare"}),
    ],
)
def test_parts_are_written_as_the_message_schema_has_them(part: Part, written: dict[str, Any]) -> None:
    assert message(part)["gen_ai.input.messages"] == text([{"role": "user", "parts": [written]}])


def test_a_message_of_which_nothing_is_left_is_left_out() -> None:
    assert message(Removed(type="text")) == {"gen_ai.operation.name": "user_message"}
    assert message() == {"gen_ai.operation.name": "user_message"}


def test_the_convention_is_found_by_its_name_and_others_are_said_not_to_exist() -> None:
    assert isinstance(CONVENTIONS.get("gen_ai"), GenAI)
    with pytest.raises(UsageError, match=r"there is no convention 'gen_ia'; installed: gen_ai"):
        CONVENTIONS.get("gen_ia")


def test_every_kind_of_node_gets_an_operation() -> None:
    told_ = session(agent_name="A")
    events: list[Event] = [user("1", 0), thinking("2", 1), call("3", 2), result("4", 3), note("5", 4), agent("6", 5)]
    nodes: list[Node] = assemble(told_, events, turns=True)

    kinds = {type(node) for node in nodes}
    assert kinds == {EventNode, ToolNode, TurnNode, SessionNode}
    for node in nodes:
        operation = told(with_operation(GenAI().label(node, told_), node))["gen_ai.operation.name"]
        assert isinstance(operation, str)
        assert json.dumps(operation)


def test_words_alone_never_make_a_name() -> None:
    secret = "the words of a person"
    every = labels(
        user("1", 0, secret),
        Thinking(key="2", end=at(1), text=secret),
        ToolCall(key="3", call_id="c", arguments=secret, start=at(2), end=at(2)),
        agent("4", 5, secret),
    )

    assert not any(secret in label.name for label in every)
