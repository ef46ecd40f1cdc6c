"""Name and attributes of what is recorded live, for a span of the service's own tracer.

They are those that a replay gives, made by the same builder, but for the place in the session (its index, its turn),
which a service seldom knows. While no contents leave, most events of one kind differ in their ids and in nothing
else; so what the builder says is kept as a template, and only the ids are put in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from otel_agent_events.assemble import EventNode, ToolNode
from otel_agent_events.events import AgentMessage, Thinking, UserMessage

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from otel_agent_events.assemble import Node
    from otel_agent_events.attributes import Final
    from otel_agent_events.conventions import SpanKind
    from otel_agent_events.events import Event
    from otel_agent_events.spans import Link, SpanBuilder

INDEX, RESULT_INDEX = "otel_agent_events.event.index", "otel_agent_events.result.event.index"
TURN = "otel_agent_events.event.turn"
_ID, _RESULT_ID = "otel_agent_events.event.id", "otel_agent_events.result.event.id"
_CALL_ID = "gen_ai.tool.call.id"
_PUT_IN = frozenset({INDEX, RESULT_INDEX, TURN, _ID, _RESULT_ID, _CALL_ID})

_MOST_TEMPLATES = 500
_LONGEST_ID = 200
"""Characters of an id that surely is no longer than a value may be."""

Attributes: TypeAlias = dict[str, Any]
"""Values in their final form, as the tracer takes them."""


class Label(NamedTuple):
    """What a span is called and says.

    Attributes:
        description: of the status, when it has failed.
    """

    name: str
    kind: SpanKind
    attributes: Attributes
    failed: bool
    description: str | None
    links: tuple[Link, ...]


class _Template(NamedTuple):
    name: str
    kind: SpanKind
    attributes: Mapping[str, Final]
    failed: bool


class Labels:
    """Label the nodes of one session.

    Args:
        builder: makes spans of them in general.
        by_templates: whether labels differ in ids only: no contents leave, and the conventions are known to look at
            nothing else.
    """

    def __init__(self, builder: SpanBuilder, *, by_templates: bool) -> None:
        self.builder = builder
        self._templates: dict[Hashable, _Template] | None = {} if by_templates else None

    def of(self, node: Node) -> Label:
        """Label a node whose event has been through the content policy."""
        if self._templates is not None:
            shape: Hashable = None
            if type(node) is EventNode:
                shape = _shape_of_event(node)
            elif type(node) is ToolNode:
                shape = _shape_of_pair(node)
            if shape is not None:
                template = self._templates.get(shape) or self._new(self._templates, shape, node)
                attributes: Attributes = {**template.attributes}
                _put_ids(attributes, node)
                return Label(template.name, template.kind, attributes, template.failed, None, ())
        span = self.builder.build(node)
        attributes = span.attributes
        for name in (INDEX, RESULT_INDEX, TURN):
            attributes.pop(name, None)
        return Label(span.name, span.kind, attributes, span.status == "error", span.description, span.links)

    def _new(self, templates: dict[Hashable, _Template], shape: Hashable, node: Node) -> _Template:
        span = self.builder.build(node)
        varying = {name: told for name, told in span.attributes.items() if name not in _PUT_IN}
        template = _Template(span.name, span.kind, varying, span.status == "error")
        if len(templates) < _MOST_TEMPLATES:
            templates[shape] = template
        return template


def _put_ids(attributes: Attributes, node: Node) -> None:
    if isinstance(node, EventNode):
        if node.event.id is not None:
            attributes[_ID] = node.event.id
        return
    assert isinstance(node, ToolNode)  # noqa: S101 - there are templates for these two only
    call, result = node.call, node.result
    if call is not None and result is not None:
        if call.id is not None:
            attributes[_ID] = call.id
        if result.id is not None:
            attributes[_RESULT_ID] = result.id
        if call.call_id:
            attributes[_CALL_ID] = call.call_id


def _shape_of_event(node: EventNode) -> Hashable:
    """Give what tells the label of an event, its ids apart; None when that is more than these."""
    event = node.event
    if node.clamped or _says_more(event):
        return None
    kind = type(event)
    if kind is Thinking:
        return kind, event.type, node.start.timing, node.end.timing
    if kind is AgentMessage:
        told: AgentMessage = event  # type: ignore[assignment]
        parts = tuple([part.type for part in told.parts])
        return kind, event.type, node.start.timing, node.end.timing, told.author, told.provider, told.model, parts
    if kind is UserMessage:
        said: UserMessage = event  # type: ignore[assignment]
        parts = tuple([part.type for part in said.parts])
        return kind, event.type, node.start.timing, node.end.timing, said.author, parts
    return None


def _shape_of_pair(node: ToolNode) -> Hashable:
    """The same of a call with its result."""
    call, result = node.call, node.result
    if call is None or result is None or node.clamped or node.cancelled:
        return None
    if _says_more(call) or _says_more(result) or result.subagent is not None or result.start != result.end:
        return None
    if call.call_id is None or len(call.call_id) > _LONGEST_ID or not call.call_id.isascii():
        return None
    return (
        call.type,
        call.tool,
        call.tool_type,
        call.configuration,
        result.type,
        result.tool,
        result.configuration,
        result.failed,
        node.outcome,
        node.start.timing,
        node.end.timing,
    )


def _says_more(event: Event) -> bool:
    """Say whether an event has what has no place in a template."""
    identifier = event.id
    return (
        event.remainder is not None
        or bool(event.measurements)
        or bool(event.details)
        or bool(event.links)
        or (identifier is not None and (len(identifier) > _LONGEST_ID or not identifier.isascii()))
    )
