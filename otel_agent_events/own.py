"""What `otel_agent_events.*` says of each node, whatever the convention: places, outcomes, summaries, remainders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, assert_never

from otel_agent_events.assemble import EventNode, Failure, SessionNode, ToolNode
from otel_agent_events.attributes import OWN, Attribute, Json, beginning, json_text
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
    words,
)
from otel_agent_events.times import written

if TYPE_CHECKING:
    from otel_agent_events.events import JSON, ContextUsage, Part

SUMMARY_LENGTH = 80
DESCRIPTION_LENGTH = 200
MOST_OF_WORDS = 800
"""Characters of a text that are looked at to say it shortly."""

MOST_NOTE_ATTRIBUTES = 40
"""A note with more than this goes out as one JSON attribute, so that no span has more than 128."""

MOST_MEASUREMENTS = 16
"""The same of the measurements, and of the details, of an event."""


def event_attributes(node: EventNode) -> dict[str, Attribute | None]:
    """Say of a message, a thought or a note which event it is, and what no convention has a word for."""
    event = node.event
    attributes = _common(event, node.index, node.turn)
    attributes["otel_agent_events.event.raw"] = _raw(event, clamped=node.clamped)
    attributes["otel_agent_events.summary"] = summary(event)
    if node.clamped:
        attributes["otel_agent_events.clamped"] = True
    match event:
        case UserMessage():
            attributes["otel_agent_events.user.author"] = event.author
            attributes["otel_agent_events.event.parts"] = _removed(event.parts)
        case AgentMessage():
            attributes["otel_agent_events.agent.author"] = event.author
            attributes["otel_agent_events.event.parts"] = _removed(event.parts)
            attributes["otel_agent_events.output.schema_name"] = next(
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
        "otel_agent_events.event.type": event.type,
        "otel_agent_events.event.id": event.id,
        "otel_agent_events.event.index": index,
        "otel_agent_events.event.turn": turn,
    }
    if event.measurements:
        attributes.update(_each("measurement", event.measurements))
    if event.details:
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
    attributes["otel_agent_events.event.kind"] = either.kind
    attributes["otel_agent_events.summary"] = _tool_summary(node)
    attributes["otel_agent_events.tool.configuration"] = either.configuration
    attributes["otel_agent_events.tool.outcome"] = node.outcome
    attributes["otel_agent_events.event.raw"] = _raw(either, clamped=node.clamped)
    if node.clamped:
        attributes["otel_agent_events.clamped"] = True
    if result is None:
        return attributes
    attributes["otel_agent_events.tool.failed"] = result.failed
    if result.subagent is not None:
        attributes["otel_agent_events.subagent.reference"] = str(result.subagent.reference)
    if call is not None:
        attributes["otel_agent_events.result.event.type"] = result.type
        attributes["otel_agent_events.result.event.id"] = result.id
        attributes["otel_agent_events.result.event.index"] = node.result_index
        attributes["otel_agent_events.result.event.raw"] = _raw(result, clamped=node.clamped)
        # What the result says of the tool is told only where it differs from what the call says.
        attributes["otel_agent_events.result.tool.name"] = result.tool if result.tool != call.tool else None
        attributes["otel_agent_events.result.tool.configuration"] = (
            result.configuration if result.configuration != call.configuration else None
        )
        if result.measurements:
            attributes.update(_each("result.measurement", result.measurements))
        if result.details:
            attributes.update(_each("result.detail", result.details))
    return attributes


def session_attributes(node: SessionNode) -> dict[str, Attribute | None]:
    """Say of the session how it is named, how much there is in it, and whether it is complete."""
    session, context = node.session, node.session.context
    attributes: dict[str, Attribute | None] = {
        "otel_agent_events.summary": None if node.first is None else summary(node.first),
        "otel_agent_events.session.reference": str(session.reference),
        "otel_agent_events.session.created_at": session.created_at,
        "otel_agent_events.session.closed_at": session.closed_at,
        "otel_agent_events.session.event_count": node.event_count,
        "otel_agent_events.session.turn_count": node.turn_count,
        "otel_agent_events.session.tool_call_count": node.tool_call_count,
        "otel_agent_events.session.tool_error_count": node.tool_error_count,
        "otel_agent_events.session.missing_output_count": node.missing_output_count,
        "otel_agent_events.session.complete": node.complete,
        "otel_agent_events.session.raw": None if session.remainder is None else Json(session.remainder),
    }
    if context is not None:
        attributes.update(context_attributes(context))
    for name, told in session.content.items():
        attributes[f"{OWN}session.{name}"] = _attribute(told)
    return attributes


def context_attributes(context: ContextUsage) -> dict[str, int | None]:
    """Say how full the session's context is."""
    return {
        "otel_agent_events.session.context.input_tokens": context.input_tokens,
        "otel_agent_events.session.context.output_tokens": context.output_tokens,
        "otel_agent_events.session.context.reasoning_tokens": context.reasoning_tokens,
        "otel_agent_events.session.context.total_tokens": context.total_tokens,
        "otel_agent_events.session.context.window": context.window,
    }


def _note_attributes(note: Note) -> dict[str, Attribute | None]:
    told = {**note.attributes, **note.content}
    if len(told) > MOST_NOTE_ATTRIBUTES:
        return {"otel_agent_events.note": Json(told)}
    return {f"{OWN}note.{name}": _attribute(each) for name, each in told.items()}


def _attribute(told: JSON) -> Attribute | None:
    return told if told is None or isinstance(told, (str, bool, int, float)) else Json(told)


def _raw(event: Event, *, clamped: bool) -> Json | None:
    """Give the remainder, with those times of the event that its span does not hold."""
    if not clamped and (event.start is None or event.start == event.end or not isinstance(event, ToolResult)):
        return None if event.remainder is None else Json(event.remainder)
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
            parts = event.parts
            said = _part_summary(parts[0]) if len(parts) == 1 else " ".join(filter(None, map(_part_summary, parts)))
        case Thinking():
            said = "" if event.text is None else words(event.text)
        case Note():
            said = ", ".join(
                f"{name}: {_plain(told)}" for name, told in (*event.attributes.items(), *event.content.items())
            )
            if not said and isinstance(event.remainder, Mapping):
                said = ", ".join(f"{name}: {_plain(told)}" for name, told in event.remainder.items())
        case ToolCall():
            said = _said(event.arguments)
        case ToolResult():
            said = _said(event.result)
        case _:
            assert_never(event)
    return shortened(said) or None


def _tool_summary(node: ToolNode) -> str | None:
    if node.call is None or node.result is None:
        return summary(node.either)
    return pair_summary(_said(node.call.arguments), _said(node.result.result))


def pair_summary(asked: str, answered: str) -> str | None:
    """Say a call and its result in at most 80 characters: half of them to each, or more where the other needs less."""
    return pair_line(shortened(asked), shortened(answered))


def pair_line(asked: str, answered: str) -> str | None:
    """Give `pair_summary` of what has been shortened already."""
    if not asked or not answered:
        return asked or answered or None
    asked = _cut(asked, max(_HALF, SUMMARY_LENGTH - len(_ARROW) - len(answered)))
    return _cut(f"{asked}{_ARROW}{answered}", SUMMARY_LENGTH)


_ARROW = " → "
_HALF = (SUMMARY_LENGTH - len(_ARROW)) // 2


def _said(told: JSON) -> str:
    return "" if told is None else _plain(told)


def _part_summary(part: Part) -> str:
    match part:
        case Text(text=text):
            return words(text)
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
    if isinstance(told, str):
        return told[:MOST_OF_WORDS]
    try:
        return json_text(told)[:MOST_OF_WORDS]
    except ValueError:  # there is a NaN in it
        return beginning(told, MOST_OF_WORDS)


def shortened(text: str, length: int = SUMMARY_LENGTH) -> str:
    """Bring words into one line of at most so many characters; what is cut off leaves an ellipsis."""
    some = text[: length + LOOK_AHEAD]
    flat = " ".join(some.split())
    if len(flat) > length or len(some) == len(text):
        line = _cut(flat, length)
        try:
            line.encode()
        except UnicodeEncodeError:
            pass  # an unpaired surrogate takes more room than one character
        else:
            return line
    return _cut(" ".join(text[:MOST_OF_WORDS].encode("utf-8", "backslashreplace").decode().split()), length)


LOOK_AHEAD = 32
"""Characters beyond those that are shown: as many as runs of white space may take in most texts."""

LOOKED_AT = SUMMARY_LENGTH + LOOK_AHEAD
"""Characters of a text that are enough for most summaries."""


def _cut(line: str, length: int) -> str:
    return line if len(line) <= length else line[: length - 1] + "…"


def _removed(parts: tuple[Part, ...]) -> tuple[str, ...] | None:
    """Tell the types of the parts whose content a policy took out."""
    return tuple(part.type for part in parts if isinstance(part, Removed)) or None
