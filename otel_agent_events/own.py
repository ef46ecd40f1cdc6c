"""What `otel_agent_events.*` says of each node, whatever the convention: places, outcomes, summaries, remainders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, assert_never

from otel_agent_events.assemble import EventNode, Failure, SessionNode, ToolNode
from otel_agent_events.attributes import OWN, Attribute, Json, beginning
from otel_agent_events.events import (
    AgentMessage,
    Event,
    File,
    Note,
    OtherPart,
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
from otel_agent_events.times import written

if TYPE_CHECKING:
    from otel_agent_events.events import JSON, Part

SUMMARY_LENGTH = 80
DESCRIPTION_LENGTH = 200
MOST_NOTE_ATTRIBUTES = 40
"""A note with more than this goes out as one JSON attribute, so that no span has more than 128."""

MOST_MEASUREMENTS = 16
"""The same of the measurements, and of the details, of an event."""


def event_attributes(node: EventNode) -> dict[str, Attribute | None]:
    """Say of a message, a thought or a note which event it is, and what no convention has a word for."""
    event = node.event
    attributes = _common(event, node.index, node.turn)
    attributes[f"{OWN}event.raw"] = _raw(event, clamped=node.clamped)
    attributes[f"{OWN}summary"] = summary(event)
    if node.clamped:
        attributes[f"{OWN}clamped"] = True
    match event:
        case UserMessage():
            attributes[f"{OWN}user.author"] = event.author
            attributes[f"{OWN}event.parts"] = _removed(event.parts)
        case AgentMessage():
            attributes[f"{OWN}agent.author"] = event.author
            attributes[f"{OWN}event.parts"] = _removed(event.parts)
            attributes[f"{OWN}output.schema_name"] = next(
                (part.schema for part in event.parts if isinstance(part, Structured)), None
            )
        case Note():
            attributes.update(_note_attributes(event))
        case Thinking():
            pass
        case _:
            assert_never(event)
    return attributes


def _common(event: Event, index: int, turn: int) -> dict[str, Attribute | None]:
    attributes: dict[str, Attribute | None] = {
        f"{OWN}event.type": event.type,
        f"{OWN}event.id": event.id,
        f"{OWN}event.index": index,
        f"{OWN}event.turn": turn,
    }
    attributes.update(_each("measurement", event.measurements))
    attributes.update(_each("detail", event.details))
    return attributes


def _each(prefix: str, told: Mapping[str, str | float]) -> dict[str, Attribute]:
    """Give each an attribute of its own, or, when they are many, one to all of them."""
    if len(told) > MOST_MEASUREMENTS:
        return {f"{OWN}{prefix}s": Json(told)}
    return {f"{OWN}{prefix}.{name}": each for name, each in told.items()}


def tool_attributes(node: ToolNode) -> dict[str, Attribute | None]:
    """Say of a call and its result which events they are, and how it ended."""
    call, result = node.call, node.result
    either = node.either
    attributes = _common(either, node.index, node.turn)
    attributes[f"{OWN}event.kind"] = either.kind
    attributes[f"{OWN}summary"] = _tool_summary(node)
    attributes[f"{OWN}tool.configuration"] = either.configuration
    attributes[f"{OWN}tool.outcome"] = node.outcome
    attributes[f"{OWN}event.raw"] = _raw(either, clamped=node.clamped)
    if node.clamped:
        attributes[f"{OWN}clamped"] = True
    if result is None:
        return attributes
    attributes[f"{OWN}tool.failed"] = result.failed
    if result.subagent is not None:
        attributes[f"{OWN}subagent.reference"] = str(result.subagent.reference)
    if call is not None:
        attributes[f"{OWN}result.event.type"] = result.type
        attributes[f"{OWN}result.event.id"] = result.id
        attributes[f"{OWN}result.event.index"] = node.result_index
        attributes[f"{OWN}result.event.raw"] = _raw(result, clamped=node.clamped)
        # What the result says of the tool is told only where it differs from what the call says.
        attributes[f"{OWN}result.tool.name"] = result.tool if result.tool != call.tool else None
        attributes[f"{OWN}result.tool.configuration"] = (
            result.configuration if result.configuration != call.configuration else None
        )
        attributes.update(_each("result.measurement", result.measurements))
        attributes.update(_each("result.detail", result.details))
    return attributes


def session_attributes(node: SessionNode) -> dict[str, Attribute | None]:
    """Say of the session how it is named, how much there is in it, and whether it is complete."""
    session, context = node.session, node.session.context
    attributes: dict[str, Attribute | None] = {
        f"{OWN}summary": None if node.first is None else summary(node.first),
        f"{OWN}session.reference": str(session.reference),
        f"{OWN}session.created_at": session.created_at,
        f"{OWN}session.closed_at": session.closed_at,
        f"{OWN}session.event_count": node.event_count,
        f"{OWN}session.turn_count": node.turn_count,
        f"{OWN}session.tool_call_count": node.tool_call_count,
        f"{OWN}session.tool_error_count": node.tool_error_count,
        f"{OWN}session.missing_output_count": node.missing_output_count,
        f"{OWN}session.complete": node.complete,
        f"{OWN}session.raw": None if session.remainder is None else Json(session.remainder),
    }
    if context is not None:
        attributes[f"{OWN}session.context.input_tokens"] = context.input_tokens
        attributes[f"{OWN}session.context.output_tokens"] = context.output_tokens
        attributes[f"{OWN}session.context.reasoning_tokens"] = context.reasoning_tokens
        attributes[f"{OWN}session.context.total_tokens"] = context.total_tokens
        attributes[f"{OWN}session.context.window"] = context.window
    for name, told in session.content.items():
        attributes[f"{OWN}session.{name}"] = _attribute(told)
    return attributes


def _note_attributes(note: Note) -> dict[str, Attribute | None]:
    told = {**note.attributes, **note.content}
    if len(told) > MOST_NOTE_ATTRIBUTES:
        return {f"{OWN}note": Json(told)}
    return {f"{OWN}note.{name}": _attribute(each) for name, each in told.items()}


def _attribute(told: JSON) -> Attribute | None:
    return told if told is None or isinstance(told, (str, bool, int, float)) else Json(told)


def _raw(event: Event, *, clamped: bool) -> Json | None:
    """Give the remainder, with those times of the event that its span does not hold."""
    untold: dict[str, str] = {}
    if clamped and isinstance(event, ToolResult) and event.end is not None:
        untold["time"] = written(event.end)
    elif clamped and event.start is not None and event.end is not None and event.end < event.start:
        untold["end"] = written(event.end)
    if isinstance(event, ToolResult) and event.start is not None and event.start != event.end:
        untold["start"] = written(event.start)
    if not untold:
        return None if event.remainder is None else Json(event.remainder)
    if event.remainder is None:
        return Json(untold)
    if isinstance(event.remainder, Mapping) and event.remainder.keys().isdisjoint(untold):
        return Json({**untold, **event.remainder})
    return Json({**untold, "record": event.remainder})


# --- status -------------------------------------------------------------------------------------------


def note_failure(event: Event) -> Failure | None:
    """Give the failure that a note is: an interrupt or a limit."""
    if isinstance(event, Note) and event.failure is not None:
        return Failure(type=event.type or event.name)
    return None


def tool_failure(node: ToolNode) -> Failure | None:
    """Give the failure of a call that was never answered, or whose result is flagged."""
    if node.outcome == "missing_output":
        return Failure(type="cancelled" if node.cancelled else "missing_output")
    if node.result is not None and node.result.failed:
        told = node.result.result
        description = None if told is None else _plain(told)[:DESCRIPTION_LENGTH]
        return Failure(type="tool_error", description=description)
    return None


# --- summaries ----------------------------------------------------------------------------------------


def summary(event: Event) -> str | None:
    """Say an event in at most 80 characters: for lists. None when there is nothing to say."""
    match event:
        case UserMessage() | AgentMessage():
            words = " ".join(filter(None, map(_part_summary, event.parts)))
        case Thinking():
            words = event.text or ""
        case Note():
            words = ", ".join(
                f"{name}: {_plain(told)}" for name, told in (*event.attributes.items(), *event.content.items())
            )
            if not words and isinstance(event.remainder, Mapping):
                words = ", ".join(f"{name}: {_plain(told)}" for name, told in event.remainder.items())
        case ToolCall():
            words = "" if event.arguments is None else _plain(event.arguments)
        case ToolResult():
            words = "" if event.result is None else _plain(event.result)
        case _:
            assert_never(event)
    return _shortened(words, SUMMARY_LENGTH) or None


def _tool_summary(node: ToolNode) -> str | None:
    if node.call is None or node.result is None:
        return summary(node.either)
    asked, answered = summary(node.call) or "", summary(node.result) or ""
    arrow = " → "
    half = (SUMMARY_LENGTH - len(arrow)) // 2
    asked = _shortened(asked, max(half, SUMMARY_LENGTH - len(arrow) - len(answered)))
    return _shortened(arrow.join(filter(None, (asked, answered))), SUMMARY_LENGTH) or None


def _part_summary(part: Part) -> str:
    match part:
        case Text(text=text):
            return text
        case Structured(content=content):
            return _plain(content)
        case Uri(uri=uri):
            return uri
        case OtherPart(content=content):
            return _plain(content)
        case Removed():
            return ""
        case File():
            return f"[file {part.name or part.file_id or ''}]"
        case Skill(name=name):
            return f"[skill {name}]"
        case _:
            assert_never(part)


def _plain(told: JSON) -> str:
    """Write a value for a person: words as they are, everything else as JSON, and no more of it than is read."""
    room = 4 * DESCRIPTION_LENGTH
    return told[:room] if isinstance(told, str) else beginning(told, room)


def _shortened(words: str, length: int) -> str:
    flat = " ".join(words[: 8 * length].encode("utf-8", "backslashreplace").decode().split())
    return flat if len(flat) <= length else flat[: length - 1] + "…"


def _removed(parts: tuple[Part, ...]) -> tuple[str, ...] | None:
    """Tell the types of the parts whose content a policy took out."""
    return tuple(part.type for part in parts if isinstance(part, Removed)) or None
