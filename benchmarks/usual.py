"""The usual script, as people write it: pydantic models, `tracer.start_span`, a batch processor, the official exporter.

It sets the attributes that ours set, under the same names, as far as somebody would who writes such a script. It keeps
neither what no attribute holds nor what was inferred, cleans nothing, and takes no secret out.
"""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from pydantic import AwareDatetime, BaseModel, Field

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from opentelemetry.util.types import AttributeValue

FLUSH = 2_000
"""Spans between two flushes: fewer than the 2,048 that the queue of the batch processor holds."""

BATCH = 512
"""Spans of one call of `export`, as many as the batch processor takes."""

_SUMMARY = 80


class _Record(BaseModel):
    id: str
    session_key: str
    created_at: AwareDatetime


class Part(BaseModel):
    """A part of a message."""

    type: str
    content: str


class InputMessage(_Record):
    """What a user wrote."""

    type: Literal["input_message"]
    messages: list[Part]


class Thinking(_Record):
    """What a model thought."""

    type: Literal["thinking"]
    content: str


class ToolInput(_Record):
    """A call."""

    type: Literal["tool_input"]
    tool_call_id: str
    tool_configuration: str
    tool_name: str
    tool_input: dict[str, Any]


class ToolOutput(_Record):
    """The result of a call."""

    type: Literal["tool_output"]
    tool_call_id: str
    tool_configuration: str
    tool_name: str
    tool_output: dict[str, Any]
    error: bool = False


class AgentOutput(_Record):
    """What the agent answered."""

    type: Literal["agent_output"]
    content: str


Event: TypeAlias = Annotated[
    InputMessage | Thinking | ToolInput | ToolOutput | AgentOutput, Field(discriminator="type")
]


class Page(BaseModel):
    """One answer of the platform."""

    events: list[Event]


def through_tracer(path: Path, session: str, exporter: SpanExporter, *, flush: int | None = FLUSH) -> int:
    """Send a session through a tracer and a batch processor with its defaults.

    Args:
        path: a file of pages, one a line.
        session: its key.
        exporter: sends the batches.
        flush: spans between two flushes; None never flushes, as long as there are events.

    Returns:
        How many spans were made.
    """
    provider = TracerProvider(resource=Resource.create({"service.name": "big"}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("usual-script", "1.0")
    root: trace.Span | None = None
    context = None
    calls: dict[str, trace.Span] = {}
    made = turn = latest = 0
    for index, event in enumerate(_events(path)):
        at = latest = _nanoseconds(event.created_at)
        if root is None:
            root = tracer.start_span("invoke_agent big", start_time=at, attributes=_root(session))
            context = trace.set_span_in_context(root)
        if isinstance(event, ToolOutput):
            span = calls.pop(event.tool_call_id)
            span.set_attributes(_result(event, index))
            if event.error:
                span.set_status(trace.Status(trace.StatusCode.ERROR, "tool failed"))
        else:
            turn += isinstance(event, InputMessage)
            name, attributes = _described(event, session, index, turn)
            span = tracer.start_span(name, start_time=at, attributes=attributes, context=context)
            if isinstance(event, ToolInput):
                calls[event.tool_call_id] = span
                continue
        span.end(end_time=at)
        made += 1
        if flush and made % flush == 0:
            provider.force_flush()
    if root is not None:
        root.end(end_time=latest)
        made += 1
    provider.shutdown()
    return made


def through_readable(path: Path, session: str, exporter: SpanExporter) -> int:
    """Make the SDK's `ReadableSpan` without a tracer, and hand batches to the exporter.

    Args:
        path: a file of pages, one a line.
        session: its key.
        exporter: sends the batches.

    Returns:
        How many spans were made.
    """
    made = 0
    batch: list[ReadableSpan] = []
    for span in readable(path, session):
        batch.append(span)
        if len(batch) == BATCH:
            exporter.export(batch)
            made += len(batch)
            batch = []
    exporter.export(batch)
    exporter.shutdown()
    return made + len(batch)


def readable(path: Path, session: str) -> Iterator[ReadableSpan]:
    """Make a session's spans without a tracer; the root comes last."""
    resource = Resource.create({"service.name": "big"})
    scope = InstrumentationScope("usual-script", "1.0")
    trace_id = random.getrandbits(128)
    root = _context(trace_id)

    def made(name: str, attributes: dict[str, AttributeValue], start: int, end: int, *, failed: bool) -> ReadableSpan:
        return ReadableSpan(
            name,
            context=_context(trace_id),
            parent=root,
            resource=resource,
            attributes=attributes,
            status=trace.Status(trace.StatusCode.ERROR, "tool failed") if failed else trace.Status(),
            start_time=start,
            end_time=end,
            instrumentation_scope=scope,
        )

    calls: dict[str, tuple[str, dict[str, AttributeValue], int]] = {}
    begin: int | None = None
    turn = at = 0
    for index, event in enumerate(_events(path)):
        at = _nanoseconds(event.created_at)
        begin = at if begin is None else begin
        if isinstance(event, ToolOutput):
            name, attributes, start = calls.pop(event.tool_call_id)
            attributes.update(_result(event, index))
            yield made(name, attributes, start, at, failed=event.error)
            continue
        turn += isinstance(event, InputMessage)
        name, attributes = _described(event, session, index, turn)
        if isinstance(event, ToolInput):
            calls[event.tool_call_id] = (name, attributes, at)
        else:
            yield made(name, attributes, at, at, failed=False)
    yield ReadableSpan(
        "invoke_agent big",
        context=root,
        resource=resource,
        attributes=_root(session),
        start_time=begin,
        end_time=at,
        instrumentation_scope=scope,
    )


def _events(path: Path) -> Iterator[Event]:
    with path.open("rb") as file:
        for line in file:
            yield from Page.model_validate_json(line).events


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1_000


def _context(trace_id: int) -> trace.SpanContext:
    return trace.SpanContext(
        trace_id, random.getrandbits(64), is_remote=False, trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED)
    )


def _root(session: str) -> dict[str, AttributeValue]:
    return {"session.id": session, "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "big"}


def _described(
    event: InputMessage | Thinking | ToolInput | AgentOutput, session: str, index: int, turn: int
) -> tuple[str, dict[str, AttributeValue]]:
    """Give the name and the attributes of the span that an event opens."""
    attributes: dict[str, AttributeValue] = {
        "session.id": session,
        "gen_ai.conversation.id": session,
        "gen_ai.agent.name": "big",
        "otel_agent_events.event.type": event.type,
        "otel_agent_events.event.id": event.id,
        "otel_agent_events.event.index": index,
        "otel_agent_events.event.turn": turn,
        "otel_agent_events.timing": "recorded",
    }
    match event:
        case InputMessage():
            text = event.messages[0].content
            parts = [{"type": part.type, "content": part.content} for part in event.messages]
            name = "user_message"
            attributes["gen_ai.input.messages"] = json.dumps([{"role": "user", "parts": parts}])
        case Thinking():
            text, name = event.content, "thinking"
            attributes["gen_ai.output.messages"] = _said("reasoning", text)
        case AgentOutput():
            text, name = event.content, "agent_output"
            attributes["gen_ai.output.messages"] = _said("text", text)
        case ToolInput():
            text = json.dumps(event.tool_input)
            name = f"execute_tool {event.tool_name}"
            attributes["gen_ai.tool.name"] = event.tool_name
            attributes["gen_ai.tool.call.id"] = event.tool_call_id
            attributes["gen_ai.tool.call.arguments"] = text
            attributes["otel_agent_events.tool.configuration"] = event.tool_configuration
    attributes["gen_ai.operation.name"] = name.partition(" ")[0]
    attributes["otel_agent_events.event.kind"] = event.type
    attributes["otel_agent_events.summary"] = text[:_SUMMARY]
    return name, attributes


def _said(kind: str, text: str) -> str:
    return json.dumps([{"role": "assistant", "parts": [{"type": kind, "content": text}]}])


def _result(event: ToolOutput, index: int) -> dict[str, AttributeValue]:
    return {
        "gen_ai.tool.call.result": json.dumps(event.tool_output),
        "otel_agent_events.tool.failed": event.error,
        "otel_agent_events.tool.outcome": "failed" if event.error else "ok",
        "otel_agent_events.result.event.id": event.id,
        "otel_agent_events.result.event.index": index,
    }
