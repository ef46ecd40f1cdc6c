"""Nodes to spans: ids, times, attributes in their final form, links. Pure.

A `Span` is our own plain record. It leaves in two ways: encoded as OTLP (`otlp/`), or as the SDK's `ReadableSpan`
(`to_readable`) for any `SpanExporter`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, assert_never

from otel_agent_events import ids
from otel_agent_events.assemble import EventNode, Failure, Node, SessionNode, ToolNode, TurnNode
from otel_agent_events.attributes import OWN, Attribute, Final, Finisher, Json, beginning
from otel_agent_events.content import DEFAULT_MAX_VALUE
from otel_agent_events.errors import UsageError
from otel_agent_events.events import (
    AgentMessage,
    Event,
    EventLink,
    File,
    Note,
    OtherPart,
    Removed,
    SessionLink,
    Skill,
    Structured,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Uri,
    UserMessage,
    value,
)
from otel_agent_events.times import written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_agent_events.assemble import NodeKind
    from otel_agent_events.conventions import Convention, SpanKind
    from otel_agent_events.events import JSON, Part, Session
    from otel_agent_events.reference import Reference

SCOPE_NAME = "otel_agent_events"
SCOPE_VERSION = "1"
"""Of the contract, not of the package: an upgrade that changes no byte changes no version."""

SUMMARY_LENGTH = 80
DESCRIPTION_LENGTH = 200
MOST_NOTE_ATTRIBUTES = 40
"""A note with more than this goes out as one JSON attribute, so that no span has more than 128."""

MOST_MEASUREMENTS = 16
"""The same of the measurements of an event."""

Status: TypeAlias = Literal["unset", "error"]


@dataclass(frozen=True, slots=True)
class Resource:
    """What a trace is about: `service.name` and the attributes of the environment. Shared by its spans."""

    attributes: Mapping[str, Final]


@value()
class Link:
    """A pointer to a span elsewhere. `trace_id` has 16 bytes, `span_id` 8."""

    trace_id: bytes
    span_id: bytes
    attributes: Mapping[str, Final] = field(default_factory=dict)
    trace_flags: int = 1


@value()
class Span:
    """One span, final: every value in it can be encoded.

    Attributes:
        trace_id: 16 bytes; span_id and parent_id: 8 bytes. parent_id is None for the root of a trace.
        start, end: nanoseconds since 1970; end is never before start.
        constants: attributes that all spans of its kind in its session have: one and the same mapping for all.
        varying: its own attributes; none of their names is among the constants.
        description: of the status, when it is `error`.
        parent_is_remote: the parent is a span of another program's.
    """

    trace_id: bytes
    span_id: bytes
    parent_id: bytes | None
    name: str
    kind: SpanKind
    start: int
    end: int
    resource: Resource
    varying: Mapping[str, Final]
    constants: Mapping[str, Final] = field(default_factory=dict)
    status: Status = "unset"
    description: str | None = None
    links: tuple[Link, ...] = ()
    parent_is_remote: bool = False

    @property
    def attributes(self) -> dict[str, Final]:
        """All its attributes."""
        return {**self.constants, **self.varying}


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The options that decide the bytes of a trace, and so its ids (mapping.md section 4).

    Attributes:
        patterns: the fingerprint of the user's scrubbing patterns, or "".
    """

    content: str = "scrubbed"
    max_value: int = DEFAULT_MAX_VALUE
    turns: bool = False
    conventions: tuple[str, ...] = ("gen_ai",)
    patterns: str = ""

    def __str__(self) -> str:
        spelled = [
            f"content={self.content}",
            f"max={self.max_value}",
            f"turns={self.turns:d}",
            f"conventions={','.join(self.conventions)}",
        ]
        if self.patterns:
            spelled.append(f"patterns={self.patterns}")
        return ";".join(spelled)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What the ids of a session's spans are derived from, beside its reference."""

    view: View = field(default_factory=View)
    namespace: str = ""
    revision: int = 1
    part: int = 1

    def trace_id(self, reference: Reference) -> bytes:
        """Derive the trace id of a session."""
        return ids.trace_id(
            reference, namespace=self.namespace, view=str(self.view), revision=self.revision, part=self.part
        )

    def root_of(self, reference: Reference, *, revision: int = 1) -> Link:
        """Derive a link to the root of a session's trace under the same namespace and view, part 1."""
        trace = ids.trace_id(reference, namespace=self.namespace, view=str(self.view), revision=revision)
        return Link(
            trace_id=trace,
            span_id=ids.span_id(trace, ids.ROOT),
            attributes={f"{OWN}session.reference": str(reference)},
        )


@value()
class Remote:
    """A span of somebody else's: what a `traceparent` header says."""

    trace_id: bytes
    span_id: bytes
    trace_flags: int

    @classmethod
    def parse(cls, traceparent: str) -> Remote:
        """Read a W3C `traceparent`: `00-<32 hex digits>-<16 hex digits>-<2 hex digits>`.

        Raises:
            UsageError: it is none, or an id in it is all zeros.
        """
        found = _TRACEPARENT.fullmatch(traceparent.strip().lower())
        if found is not None:
            version, trace, span, flags, more = found.groups()
            known = version != "ff" and not (version == "00" and more)
            if known and int(trace, 16) and int(span, 16):
                return cls(trace_id=bytes.fromhex(trace), span_id=bytes.fromhex(span), trace_flags=int(flags, 16))
        raise UsageError(f"{traceparent!r} is no traceparent: it looks like 00-<32 hex digits>-<16 hex digits>-01")

    def link(self) -> Link:
        """Give a link to it."""
        return Link(trace_id=self.trace_id, span_id=self.span_id, trace_flags=self.trace_flags)


_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class SpanBuilder:
    """Make the spans of one session.

    Args:
        session: what is known at its first event; every span carries its agent and user.
        identity: what ids are derived from.
        conventions: their attributes are merged; the first one names the spans.
        resource: of all the spans.
        parent: a live span under which the session hangs. Its trace id becomes that of the spans.
        links: further links of the root.
    """

    def __init__(
        self,
        session: Session,
        *,
        identity: Identity,
        conventions: Sequence[Convention],
        resource: Resource,
        parent: Remote | None = None,
        links: Sequence[Link] = (),
    ) -> None:
        self._session = session
        self._identity = identity
        self._conventions = conventions
        self._resource = resource
        self._parent = parent
        self._links = tuple(links)
        self._own_trace_id = identity.trace_id(session.reference)
        self.trace_id = parent.trace_id if parent else self._own_trace_id
        self.root_id = ids.span_id(self._own_trace_id, ids.ROOT)
        self._finisher = Finisher(identity.view.max_value)
        self._constants: dict[NodeKind, dict[str, Final]] = {}

    @property
    def changed(self) -> int:
        """How many values OTLP could not hold as they were."""
        return self._finisher.changed

    def build(self, node: Node) -> Span:
        """Make the span of a node whose event has been through the content policy."""
        match node:
            case EventNode():
                return self._span(
                    node,
                    key=ids.event_key(node.event.key),
                    turn=node.turn,
                    attributes=_event_attributes(node),
                    failure=_note_failure(node.event),
                    links=tuple(self._links_of(node.event)),
                )
            case ToolNode():
                return self._tool_span(node)
            case TurnNode():
                return self._span(
                    node,
                    key=ids.turn_key(node.number),
                    turn=0,
                    attributes={
                        f"{OWN}event.turn": node.number,
                        f"{OWN}summary": None if node.first is None else _summary(node.first),
                    },
                    failure=node.failure,
                )
            case SessionNode():
                return self._root_span(node)
            case _:
                assert_never(node)

    def _tool_span(self, node: ToolNode) -> Span:
        either = node.call or node.result
        assert either is not None  # noqa: S101 - a tool node has at least one of them
        links = [link for half in (node.call, node.result) if half is not None for link in self._links_of(half)]
        if node.result is not None and node.result.subagent is not None:
            links.append(self._root_of(node.result.subagent.reference))
        return self._span(
            node,
            key=ids.event_key(either.key),
            turn=node.turn,
            attributes=_tool_attributes(node),
            failure=_tool_failure(node),
            links=tuple(links),
        )

    def _root_span(self, node: SessionNode) -> Span:
        reference = node.session.reference
        identity = self._identity
        links = self._links
        if identity.revision > 1:
            links = (self._root_of(reference, revision=identity.revision - 1), *links)
        return self._span(
            node,
            key=ids.ROOT,
            turn=0,
            attributes=_session_attributes(node)
            | {
                f"{OWN}session.part": identity.part,
                f"{OWN}session.revision": identity.revision,
                f"{OWN}view": str(identity.view),
            },
            failure=node.failure,
            links=links,
        )

    def _span(
        self,
        node: Node,
        *,
        key: str,
        turn: int,
        attributes: Mapping[str, Attribute | None],
        failure: Failure | None,
        links: tuple[Link, ...] = (),
    ) -> Span:
        session = node.session if isinstance(node, SessionNode) else self._session
        constants = self._constant(session, node.kind)
        labels = [convention.label(node, session) for convention in self._conventions]
        varying: dict[str, Attribute | None] = {}
        for label in reversed(labels):
            varying.update(label.attributes)
        varying.update(attributes)
        varying[f"{OWN}timing"] = node.timing
        if self._identity.view.content == "none":
            varying[f"{OWN}summary"] = None
        if failure is not None:
            varying["error.type"] = failure.type
        description = None
        if failure is not None and failure.description is not None:
            description = self._finisher.text(failure.description)[0]
        name = self._finisher.text(labels[0].name)[0]
        return Span(
            trace_id=self.trace_id,
            span_id=ids.span_id(self._own_trace_id, key),
            parent_id=self._parent_id(node, turn),
            name=name,
            kind=labels[0].kind,
            start=node.start.at,
            end=node.end.at,
            resource=self._resource,
            varying=_without(self._finisher.attributes(varying), constants),
            constants=constants,
            status="unset" if failure is None else "error",
            description=description,
            links=links,
            parent_is_remote=self._parent is not None and isinstance(node, SessionNode),
        )

    def _links_of(self, event: Event) -> Iterator[Link]:
        for link in event.links:
            match link:
                case SessionLink(reference=reference):
                    yield self._root_of(reference)
                case EventLink(key=key):
                    identifier = ids.span_id(self._own_trace_id, ids.event_key(key))
                    yield Link(trace_id=self.trace_id, span_id=identifier)
                case _:
                    assert_never(link)

    def _root_of(self, reference: Reference, *, revision: int = 1) -> Link:
        link = self._identity.root_of(reference, revision=revision)
        return replace(link, attributes=self._finisher.attributes(link.attributes))

    def _parent_id(self, node: Node, turn: int) -> bytes | None:
        if isinstance(node, SessionNode):
            return self._parent.span_id if self._parent else None
        if turn and self._identity.view.turns:
            return ids.span_id(self._own_trace_id, ids.turn_key(turn))
        return self.root_id

    def _constant(self, session: Session, kind: NodeKind) -> dict[str, Final]:
        """Give what is constant for a kind of node; worked out once."""
        known = self._constants.get(kind)
        if known is not None:
            return known
        constants: dict[str, Attribute | None] = {"session.id": session.id, "user.id": session.user}
        if kind != "tool":  # a call, or a result without one
            constants[f"{OWN}event.kind"] = kind
        for convention in reversed(self._conventions):
            constants.update(convention.constants(session, kind))
        self._constants[kind] = self._finisher.attributes(constants)
        return self._constants[kind]


# --- our own attributes -------------------------------------------------------------------------------


def _event_attributes(node: EventNode) -> dict[str, Attribute | None]:
    event = node.event
    attributes = _common(event, node.index, node.turn)
    attributes[f"{OWN}event.raw"] = _raw(event, clamped=node.clamped)
    attributes[f"{OWN}summary"] = _summary(event)
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


def _without(varying: dict[str, Final], constants: Mapping[str, Final]) -> dict[str, Final]:
    """Leave out what the first convention says of all spans of the kind, whatever a later one says of this one."""
    if varying.keys().isdisjoint(constants):
        return varying
    return {name: told for name, told in varying.items() if name not in constants}


def _common(event: Event, index: int, turn: int) -> dict[str, Attribute | None]:
    attributes: dict[str, Attribute | None] = {
        f"{OWN}event.type": event.type,
        f"{OWN}event.id": event.id,
        f"{OWN}event.index": index,
        f"{OWN}event.turn": turn,
    }
    attributes.update(_measurements("measurement", event.measurements))
    return attributes


def _measurements(prefix: str, measurements: Mapping[str, float]) -> dict[str, Attribute]:
    if len(measurements) > MOST_MEASUREMENTS:
        return {f"{OWN}{prefix}s": Json(measurements)}
    return {f"{OWN}{prefix}.{name}": measured for name, measured in measurements.items()}


def _tool_attributes(node: ToolNode) -> dict[str, Attribute | None]:
    call, result = node.call, node.result
    either = call or result
    assert either is not None  # noqa: S101 - a tool node has at least one of them
    attributes = _common(either, node.index, node.turn)
    attributes[f"{OWN}event.kind"] = either.kind
    attributes[f"{OWN}summary"] = _tool_summary(call, result)
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
        attributes.update(_measurements("result.measurement", result.measurements))
    return attributes


def _session_attributes(node: SessionNode) -> dict[str, Attribute | None]:
    session, context = node.session, node.session.context
    attributes: dict[str, Attribute | None] = {
        f"{OWN}summary": None if node.first is None else _summary(node.first),
        f"{OWN}session.reference": str(session.reference),
        f"{OWN}session.created_at": session.created_at,
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


def _note_failure(event: Event) -> Failure | None:
    if isinstance(event, Note) and event.failure is not None:
        return Failure(type=event.type or event.name)
    return None


def _tool_failure(node: ToolNode) -> Failure | None:
    if node.outcome == "missing_output":
        return Failure(type="cancelled" if node.cancelled else "missing_output")
    if node.result is not None and node.result.failed:
        told = node.result.result
        description = None if told is None else _plain(told)[:DESCRIPTION_LENGTH]
        return Failure(type="tool_error", description=description)
    return None


# --- summaries: what a person reads in a list of sixty rows -------------------------------------------


def _summary(event: Event) -> str | None:
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


def _tool_summary(call: ToolCall | None, result: ToolResult | None) -> str | None:
    if call is None or result is None:
        either = call or result
        return None if either is None else _summary(either)
    asked, answered = _summary(call) or "", _summary(result) or ""
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
