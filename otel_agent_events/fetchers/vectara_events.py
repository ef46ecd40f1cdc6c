"""One record of a Vectara session as an event.

The types are the 14 of the SDK's `AgentEvent`; whatever else comes is kept as a note.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from otel_agent_events.events import (
    AgentMessage,
    Event,
    Note,
    OtherPart,
    Part,
    Skill,
    Structured,
    Subagent,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    UserMessage,
)
from otel_agent_events.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_agent_events.events import JSON
    from otel_agent_events.fetchers.fields import Fields

_OF_TEXT = 2  # members
_LIMIT = re.compile(r"[a-z0-9_]{1,64}_exceeded")
_CONFIGURATION = ("tool_configuration_name", "tool_configuration", "tool_key")
"""The names under which OpenAPI document, guide and stream sample call the configuration of a tool."""

Subagents: TypeAlias = "Mapping[str, str]"
"""By the name of a tool's configuration, the agent that it runs."""


def event_of(key: str, fields: Fields, at: int | None, subagents: Subagents) -> Event:
    """Read a record.

    Args:
        key: of the event.
        fields: of the record that are left to be taken.
        at: nanosecond of its stamp, if it has one.
        subagents: the agents that tools run.
    """
    type_ = fields.name("type")
    common: _Common = {"key": key, "id": fields.name("id"), "type": type_, "end": at}
    read = _READERS.get(type_ or "")
    if read is not None:
        return read(subagents, fields, common)
    if type_ is not None and _LIMIT.fullmatch(type_):
        return _limit(subagents, fields, common)
    return Note(**common, start=at, remainder=fields.rest())


_Common: TypeAlias = dict[str, Any]
"""The fields that every event has, ready to be handed on: key, id, type, and the stamp as `end`."""

_Read: TypeAlias = "Callable[[Subagents, Fields, _Common], Event]"


def _input_message(_: Subagents, fields: Fields, common: _Common) -> Event:
    parts = tuple(map(_part, fields.listed("messages") or ()))
    return UserMessage(**common, start=common["end"], parts=parts, remainder=fields.rest())


def _thinking(_: Subagents, fields: Fields, common: _Common) -> Event:
    return Thinking(**common, text=fields.text("content"), remainder=fields.rest())


def _agent_output(_: Subagents, fields: Fields, common: _Common) -> Event:
    text = fields.text("content")
    parts = () if text is None else (Text(text=text),)
    return AgentMessage(**common, parts=parts, remainder=fields.rest())


def _structured_output(_: Subagents, fields: Fields, common: _Common) -> Event:
    content = fields.value("content")
    parts = () if content is None else (Structured(content=content, schema=fields.name("schema_name")),)
    return AgentMessage(**common, parts=parts, remainder=fields.rest())


def _tool_input(_: Subagents, fields: Fields, common: _Common) -> Event:
    return ToolCall(
        **common,
        start=common["end"],
        call_id=fields.name("tool_call_id"),
        tool=fields.name("tool_name"),
        configuration=fields.name(*_CONFIGURATION),
        arguments=fields.value("tool_input", "parameters"),
        remainder=fields.rest(),
    )


def _tool_output(subagents: Subagents, fields: Fields, common: _Common) -> Event:
    configuration = fields.name(*_CONFIGURATION)
    result = fields.value("tool_output", "result")
    return ToolResult(
        **common,
        start=common["end"],
        call_id=fields.name("tool_call_id"),
        tool=fields.name("tool_name"),
        configuration=configuration,
        result=result,
        failed=fields.flag("error"),
        subagent=subagent_of(subagents, configuration, result),
        remainder=fields.rest(),
    )


def _note(
    *,
    names: tuple[str, ...] = (),
    counts: tuple[str, ...] = (),
    contents: tuple[str, ...] = (),
    failure: Literal["interrupt", "limit"] | None = None,
) -> _Read:
    """Make a reader for a record that is a note: which fields are names and counts, and which somebody wrote."""

    def read(_: Subagents, fields: Fields, common: _Common) -> Event:
        attributes = {name: fields.text(name) for name in names} | {name: fields.integer(name) for name in counts}
        content = {name: fields.value(name) for name in contents}
        return Note(
            **common,
            start=common["end"],
            name=common["type"],
            attributes={name: told for name, told in attributes.items() if told is not None},
            content={name: told for name, told in content.items() if told is not None},
            failure=failure,
            remainder=fields.rest(),
        )

    return read


_limit = _note(counts=("context_limit", "actual_tokens", "transition_limit"), contents=("message",), failure="limit")

_READERS: Mapping[str, _Read] = {
    "input_message": _input_message,
    "thinking": _thinking,
    "tool_input": _tool_input,
    "tool_output": _tool_output,
    "agent_output": _agent_output,
    "structured_output": _structured_output,
    "skill_load": _note(names=("skill_name",), contents=("content",)),
    "artifact_upload": _note(contents=("artifacts",)),
    "image_read": _note(names=("artifact_id",), contents=("detail",)),
    "step_transition": _note(names=("from_step", "to_step"), contents=("content",)),
    "compaction": _note(
        names=("summary_key",), counts=("turns_compacted", "events_compacted"), contents=("summary_text",)
    ),
    "context_limit_exceeded": _limit,
    "step_transition_limit_exceeded": _limit,
    "session_interrupted": _note(failure="interrupt"),
}
"""How each of the 14 types of the SDK's `AgentEvent` is read; any other one is kept as `unknown_event`."""


def subagent_of(subagents: Subagents, configuration: str | None, result: JSON) -> Subagent | None:
    """A sub-agent's result names the session that it ran; its agent is told by the tool's configuration."""
    agent = subagents.get(configuration or "")
    match result:
        case {"session_key": str(session)} if agent and session:
            return Subagent(reference=Reference("vectara", (agent, session)))
        case _:
            return None


def _part(message: JSON) -> Part:
    match message:
        case {"type": "text", "content": str(text)} if len(message) == _OF_TEXT:
            return Text(text=text)
        case {"type": "skill", "skill_name": str(name), **rest} if not rest:
            return Skill(name=name)
        case _:
            return OtherPart(content=message)
