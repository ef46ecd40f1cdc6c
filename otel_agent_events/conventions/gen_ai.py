"""The OpenTelemetry GenAI semantic conventions, as of core release 1.41.

Names and rules: opentelemetry.io/docs/specs/semconv/gen-ai. Where we leave them on purpose is told in mapping.md
section 9. Structured values are JSON text, which every back end reads.
"""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, assert_never

from otel_agent_events.assemble import EventNode, Node, SessionNode, ToolNode, TurnNode
from otel_agent_events.attributes import Attribute, Json, json_text
from otel_agent_events.conventions import Labels
from otel_agent_events.events import (
    AgentMessage,
    File,
    Note,
    OtherPart,
    Removed,
    Skill,
    Structured,
    Text,
    Thinking,
    Uri,
    UserMessage,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_agent_events.assemble import NodeKind
    from otel_agent_events.events import JSON, Event, Part, Session

SCHEMA_URL = "https://opentelemetry.io/schemas/1.41.0"
"""The last schema under which `gen_ai.*` is not deprecated in the core registry."""

_MODALITIES = {"image", "video", "audio"}


_OPERATIONS: Mapping[NodeKind, str] = {
    "session": "invoke_agent",
    "turn": "invoke_agent",
    "user_message": "user_message",
    "thinking": "thinking",
    "tool": "execute_tool",
}
"""Of an agent message and a note the operation depends on the record."""


class GenAI:
    """`gen_ai.*`: what Jaeger, Phoenix, Langfuse, Grafana and others read."""

    name = "gen_ai"

    def constants(self, session: Session, kind: NodeKind) -> Mapping[str, Attribute | None]:
        """Give the conversation and the agent, which every span has, and the operation where the kind tells it."""
        return {
            "gen_ai.operation.name": _OPERATIONS.get(kind),
            "gen_ai.conversation.id": session.id,
            "gen_ai.agent.name": session.agent_name,
        }

    def label(self, node: Node, session: Session) -> Labels:
        """Name a node by its operation and say what the operation was about."""
        match node:
            case EventNode():
                return _event(node)
            case ToolNode():
                return _tool(node)
            case TurnNode():
                return Labels(name=_invoke(session), attributes=_exchange(node))
            case SessionNode():
                return Labels(name=_invoke(node.session), attributes=_session(node))
            case _:
                assert_never(node)


def _event(node: EventNode) -> Labels:
    match node.event:
        case UserMessage() as message:
            return Labels(
                name="user_message",
                attributes={"gen_ai.input.messages": _messages("user", message.parts)},
            )
        case Thinking(text=text):
            reasoning = None if text is None else _words("assistant", "reasoning", words(text))
            return Labels(
                name="thinking",
                attributes={"gen_ai.output.messages": reasoning, **_first_chunk(node.event)},
            )
        case AgentMessage() as message:
            return _agent_message(message)
        case Note(name=name):
            return Labels(name=name, attributes={"gen_ai.operation.name": name})
        case _:
            assert_never(node.event)


def _agent_message(message: AgentMessage) -> Labels:
    """A `chat` only when the record itself names provider and model; otherwise nobody knows who made the words."""
    output = {"gen_ai.output.messages": _messages("assistant", message.parts), **_first_chunk(message)}
    if message.provider and message.model:
        return Labels(
            name=f"chat {message.model}",
            kind="client",
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": message.provider,
                "gen_ai.request.model": message.model,
                **output,
            },
        )
    return Labels(
        name="agent_output",
        attributes={"gen_ai.operation.name": "agent_output", **output},
    )


def _first_chunk(event: Event) -> Mapping[str, Attribute]:
    """Say of what was streamed how many seconds passed before the first chunk of it."""
    if not event.measurements:
        return _NOTHING
    waited = event.measurements.get("time_to_first_chunk")
    return _NOTHING if waited is None else {"gen_ai.response.time_to_first_chunk": waited}


_NOTHING: Mapping[str, Attribute] = MappingProxyType({})


def _tool(node: ToolNode) -> Labels:
    call, result = node.call, node.result
    either = node.either
    outcome: dict[str, Attribute | None] = {}
    if result is not None and result.result is not None:
        failed_result = "otel_agent_events.tool.error"
        outcome[failed_result if result.failed else "gen_ai.tool.call.result"] = _words_or_json(result.result)
    return Labels(
        name=f"execute_tool {either.tool}" if either.tool else "execute_tool",
        attributes={
            "gen_ai.tool.name": either.tool or None,
            "gen_ai.tool.call.id": either.call_id or None,
            "gen_ai.tool.type": call.tool_type if call else None,
            "gen_ai.tool.call.arguments": None if call is None else _words_or_json(call.arguments),
            **outcome,
        },
    )


def _words_or_json(told: JSON) -> Attribute | None:
    return told if told is None or isinstance(told, str) else Json(told)


def _session(node: SessionNode) -> dict[str, Attribute | None]:
    session = node.session
    return {
        **_exchange(node),
        "gen_ai.agent.id": session.agent_id,
        "gen_ai.provider.name": session.reference.platform,
        "gen_ai.request.model": session.model,
    }


def _exchange(node: SessionNode | TurnNode) -> dict[str, Attribute | None]:
    return {
        "gen_ai.input.messages": None if node.first is None else _messages("user", node.first.parts),
        "gen_ai.output.messages": None if node.last is None else _messages("assistant", node.last.parts),
    }


def _invoke(session: Session) -> str:
    return f"invoke_agent {session.agent_name}" if session.agent_name else "invoke_agent"


def _messages(role: str, parts: tuple[Part, ...]) -> Attribute | None:
    """Write parts as one message; None when no part is left that says anything."""
    if len(parts) == 1 and isinstance(parts[0], Text):
        return _words(role, "text", words(parts[0].text))
    written = [part for part in map(_part, parts) if part is not None]
    return Json(_message(role, written)) if written else None


def _message(role: str, parts: list[JSON]) -> JSON:
    return [{"role": role, "parts": parts}]


def _words(role: str, kind: str, said: str) -> str:
    """Write a message of one part that is words: most messages are, and this is their JSON text at once."""
    return f'[{{"role":"{role}","parts":[{{"type":"{kind}","content":{json_text(said)}}}]}}]'


def _part(part: Part) -> JSON:
    """Write a part as the conventions' JSON schema of messages has it; kinds that it lacks are generic parts."""
    match part:
        case Text(text=text):
            return {"type": "text", "content": words(text)}
        case Structured(content=content):
            return {"type": "text", "content": json.dumps(content, ensure_ascii=False)}
        case File():
            told = {
                "file_id": part.file_id,
                "uri": part.uri,
                "mime_type": part.mime_type,
                "name": part.name,
                "size": part.size,
            }
            return {"type": "file", "modality": _modality(part.mime_type), **_known(told)}
        case Uri():
            modality = part.modality or _modality(part.mime_type)
            return {"type": "uri", "modality": modality, **_known({"uri": part.uri, "mime_type": part.mime_type})}
        case Skill(name=name):
            return {"type": "skill", "skill_name": name}
        case OtherPart(content=dict() as content) if isinstance(content.get("type"), str):
            return content
        case OtherPart(content=content):
            return {"type": "unknown", "content": content}
        case Removed():
            return None
        case _:
            assert_never(part)


def _modality(mime_type: str | None) -> str:
    family = (mime_type or "").partition("/")[0]
    return family if family in _MODALITIES else "document"


def _known(told: dict[str, JSON]) -> dict[str, JSON]:
    return {name: value for name, value in told.items() if value is not None}
