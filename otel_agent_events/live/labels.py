"""Name and attributes of what is recorded live, for a span of the service's own tracer.

They are those that a replay gives, made by the same builder, but for the place in the session (its index, its turn),
which a service seldom knows. While no contents leave, most events of one kind differ in their ids and in nothing
else; so what the builder says is kept as a template, and only the ids are put in.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, assert_never

from msgspec.structs import replace

from otel_agent_events.assemble import EventNode, SessionNode, ToolNode, TurnNode
from otel_agent_events.attributes import OWN
from otel_agent_events.events import AgentMessage, Note, Thinking, UserMessage
from otel_agent_events.fetchers.vectara_stream import BROKEN_OFF, FIRST_CHUNK

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from otel_agent_events.assemble import Node, NodeKind
    from otel_agent_events.attributes import Final
    from otel_agent_events.content import Policy
    from otel_agent_events.conventions import SpanKind
    from otel_agent_events.events import Event, ToolCall, ToolResult
    from otel_agent_events.spans import Link, SpanBuilder

INDEX, RESULT_INDEX = "otel_agent_events.event.index", "otel_agent_events.result.event.index"
TURN = "otel_agent_events.event.turn"
_ID, _RESULT_ID = "otel_agent_events.event.id", "otel_agent_events.result.event.id"
_CALL_ID = "gen_ai.tool.call.id"
_WAITED = (f"{OWN}measurement.{FIRST_CHUNK}", f"gen_ai.response.{FIRST_CHUNK}")
_STREAMED = {name: f"{OWN}detail.{name}" for name in ("chunks", BROKEN_OFF)}
_PUT_IN = frozenset({INDEX, RESULT_INDEX, TURN, _ID, _RESULT_ID, _CALL_ID, *_WAITED, *_STREAMED.values()})
_NOTE = f"{OWN}note."
_MOST_OF_A_NOTE = 16
_WHOLE = 2**62

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
    failed: bool = False
    description: str | None = None
    links: tuple[Link, ...] = ()


class Template(NamedTuple):
    """What the labels of one shape have in common, whatever the session.

    Attributes:
        attributes: without what is constant in a session, and without what is put in.
    """

    name: str
    kind: SpanKind
    attributes: Mapping[str, Final]
    failed: bool


class Labeller:
    """Label the nodes of one session.

    Args:
        builder: makes spans of them in general.
        policy: what of the contents may leave.
        by_templates: whether labels differ in ids and counts only: no contents leave, and the conventions are known to
            look at nothing else.
        templates: what others share with it, whose policy and conventions are the same.
    """

    def __init__(
        self,
        builder: SpanBuilder,
        policy: Policy,
        *,
        by_templates: bool,
        templates: dict[Hashable, Template] | None = None,
    ) -> None:
        self.builder = builder
        self._policy = policy
        self._templates = None if not by_templates else {} if templates is None else templates
        self._constants: dict[str, Mapping[str, Final]] = {}

    def of(self, node: Node) -> Label:  # noqa: C901 - in one piece, as the comment says
        """Label a node whose events have not been through the content policy."""
        # Most nodes of a live service come through here, while a request waits: so what is done for them is done here.
        templates = self._templates
        if templates is not None:
            kind = type(node)
            if kind is EventNode:
                event: Any = node.event  # type: ignore[union-attr]
                shape = None if node.clamped or _says_more(event) else _shape_of_event(node, event)  # type: ignore[union-attr, arg-type]
                if shape is not None:
                    template = templates.get(shape) or self._new(templates, shape, node)
                    constants = self._constants.get(event.kind) or self._constant(event.kind)
                    attributes: Attributes = {**constants, **template.attributes}
                    if event.id is not None:
                        attributes[_ID] = event.id
                    if event.measurements:
                        attributes[_WAITED[0]] = attributes[_WAITED[1]] = event.measurements[FIRST_CHUNK]
                    for name, told in event.details.items():
                        attributes[_STREAMED[name]] = told
                    if type(event) is Note:
                        for name, told in event.attributes.items():
                            attributes[_NOTE + name] = told
                    return Label(template.name, template.kind, attributes, template.failed)
            elif kind is ToolNode:
                call, result = node.call, node.result  # type: ignore[union-attr]
                shape = None if call is None or result is None else _shape_of_pair(node, call, result)  # type: ignore[arg-type]
                if shape is not None:
                    template = templates.get(shape) or self._new(templates, shape, node)
                    constants = self._constants.get("tool") or self._constant("tool")
                    attributes = {**constants, **template.attributes, _CALL_ID: call.call_id}  # type: ignore[union-attr]
                    if call.id is not None:  # type: ignore[union-attr]
                        attributes[_ID] = call.id  # type: ignore[union-attr]
                    if result.id is not None:  # type: ignore[union-attr]
                        attributes[_RESULT_ID] = result.id  # type: ignore[union-attr]
                    return Label(template.name, template.kind, attributes, template.failed)
        span = self.builder.build(self._as_it_may_leave(node))
        attributes = span.attributes
        for name in (INDEX, RESULT_INDEX, TURN):
            attributes.pop(name, None)
        return Label(span.name, span.kind, attributes, span.status == "error", span.description, span.links)

    def _constant(self, kind: NodeKind) -> Mapping[str, Final]:
        constants = self._constants[kind] = self.builder.constants(kind)
        return constants

    def _new(self, templates: dict[Hashable, Template], shape: Hashable, node: Node) -> Template:
        span = self.builder.build(self._as_it_may_leave(node))
        varying = {
            name: told for name, told in span.varying.items() if name not in _PUT_IN and not name.startswith(_NOTE)
        }
        template = Template(span.name, span.kind, varying, span.status == "error")
        if len(templates) < _MOST_TEMPLATES:
            templates[shape] = template
        return template

    def _as_it_may_leave(self, node: Node) -> Node:
        event = self._policy.event
        match node:
            case EventNode():
                return replace(node, event=event(node.event))
            case ToolNode():
                halves = {"call": node.call, "result": node.result}
                return replace(node, **{name: None if half is None else event(half) for name, half in halves.items()})
            case TurnNode() | SessionNode():
                ends = {"first": node.first, "last": node.last}
                return replace(node, **{name: None if end is None else event(end) for name, end in ends.items()})
            case _:
                assert_never(node)


def _shape_of_event(node: EventNode, event: Any) -> Hashable:
    """Give what tells the label of an event, its ids apart; None when that is more than these."""
    kind = type(event)
    if kind is Thinking:
        return kind, event.type, node.start.timing, node.end.timing
    if kind is AgentMessage:
        parts = tuple([part.type for part in event.parts])
        return kind, event.type, node.start.timing, node.end.timing, event.author, event.provider, event.model, parts
    if kind is Note:
        counts = event.attributes
        if event.failure is not None or len(counts) > _MOST_OF_A_NOTE:
            return None
        if not all(map(_is_count, counts.values())) or not all(map(_is_plain, counts)):
            return None
        # Two notes that say several things have two shapes even when they are of one name: the names are in it.
        return kind, event.type, event.name, node.start.timing, node.end.timing, tuple(counts)
    if kind is UserMessage:
        parts = tuple([part.type for part in event.parts])
        return kind, event.type, node.start.timing, node.end.timing, event.author, parts
    return None


def _shape_of_pair(node: ToolNode, call: ToolCall, result: ToolResult) -> Hashable:
    """The same of a call with its result."""
    call_id = call.call_id
    if (
        node.clamped
        or node.cancelled
        or _says_more(call)
        or _says_more(result)
        or result.subagent is not None
        or result.start != result.end
        or call_id is None
        or not _is_plain(call_id)
    ):
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
    if event.links or ((event.details or event.measurements) and not _was_streamed(event)):
        return True
    identifier = event.id
    return identifier is not None and not _is_plain(identifier)


def _was_streamed(event: Event) -> bool:
    """Say whether an event has, beside its words, only what a stream tells of them."""
    kind = type(event)
    return (
        (kind is Thinking or kind is AgentMessage)
        and event.details.keys() <= _STREAMED.keys()
        and all(map(_is_count_or_true, event.details.values()))
        and event.measurements.keys() <= _FIRST_CHUNK_ONLY
        and all(map(_is_finite, event.measurements.values()))
    )


def _is_count(told: object) -> bool:
    return type(told) is int and -_WHOLE < told < _WHOLE


def _is_count_or_true(told: object) -> bool:
    return told is True or _is_count(told)


def _is_finite(told: object) -> bool:
    return isinstance(told, float) and isfinite(told)


def _is_plain(name: str) -> bool:
    return name.isascii() and len(name) <= _LONGEST_ID


_FIRST_CHUNK_ONLY = {FIRST_CHUNK}
