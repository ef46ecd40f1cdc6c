"""Nodes to spans: ids, times, attributes in their final form, links. Pure.

A `Span` is our own plain record. It leaves in two ways: encoded as OTLP (`otlp/`), or as the SDK's `ReadableSpan`
(`to_readable`) for any `SpanExporter`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, assert_never

from otel_agent_events import ids, times
from otel_agent_events.assemble import EventNode, Failure, Node, SessionNode, ToolNode, TurnNode, with_values
from otel_agent_events.attributes import Attribute, Final, Finisher
from otel_agent_events.content import DEFAULT_MAX_VALUE
from otel_agent_events.errors import UsageError
from otel_agent_events.events import Event, EventLink, SessionLink, value
from otel_agent_events.own import (
    event_attributes,
    note_failure,
    session_attributes,
    summary,
    tool_attributes,
    tool_failure,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from otel_agent_events.assemble import NodeKind
    from otel_agent_events.conventions import Convention, Labels, SpanKind
    from otel_agent_events.events import Session
    from otel_agent_events.reference import Reference

SCOPE_NAME = "otel_agent_events"
SCOPE_VERSION = "1"
"""Of the contract, not of the package: an upgrade that changes no byte changes no version."""

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")

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
    trace_state: str = ""
    dropped_attributes: int = 0


@value()
class SpanEvent:
    """Something that happened within a span. `time` in nanoseconds since 1970."""

    name: str
    time: int
    attributes: Mapping[str, Final] = field(default_factory=dict)
    dropped_attributes: int = 0


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
        trace_state: as W3C has it.
        events: within the span. What we make of sessions has none: an event of a session is a span.
        dropped_attributes, dropped_events, dropped_links: how many were left out. We leave none out.
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
    trace_state: str = ""
    events: tuple[SpanEvent, ...] = ()
    dropped_attributes: int = 0
    dropped_events: int = 0
    dropped_links: int = 0

    @property
    def attributes(self) -> dict[str, Final]:
        """All its attributes."""
        return {**self.constants, **self.varying}


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The options that decide the bytes of a trace, and so its ids (mapping.md section 4).

    Attributes:
        patterns: the fingerprint of the user's scrubbing patterns, or "".
        shift: the nanosecond at which the session's end lands, when the session is moved in time.
        max_trace_bytes: the size at which a session is split into parts, when it is.
    """

    content: str = "scrubbed"
    max_value: int = DEFAULT_MAX_VALUE
    turns: bool = False
    conventions: tuple[str, ...] = ("gen_ai",)
    patterns: str = ""
    shift: int | None = None
    max_trace_bytes: int | None = None

    def __str__(self) -> str:
        spelled = [
            f"content={self.content}",
            f"max={self.max_value}",
            f"turns={self.turns:d}",
            f"conventions={','.join(self.conventions)}",
        ]
        # What is not the default follows in alphabetical order.
        if self.max_trace_bytes is not None:
            spelled.append(f"max_trace_bytes={self.max_trace_bytes}")
        if self.patterns:
            spelled.append(f"patterns={self.patterns}")
        if self.shift is not None:
            spelled.append(f"shift={self.shift}")
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

    def family(self, reference: Reference) -> str:
        """Name what all revisions of a session's trace share, for the ledger: 64 hex digits."""
        return ids.family(reference, namespace=self.namespace, view=str(self.view))

    def root_of(self, reference: Reference, *, revision: int = 1, part: int = 1) -> Link:
        """Derive a link to the root of a session's trace under the same namespace and view."""
        trace = ids.trace_id(reference, namespace=self.namespace, view=str(self.view), revision=revision, part=part)
        return Link(
            trace_id=trace,
            span_id=ids.span_id(trace, ids.ROOT),
            attributes={"otel_agent_events.session.reference": str(reference)},
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


def _in_this_part(_: str) -> None:
    """A session that is not split has one part."""


class SpanBuilder:
    """Make the spans of one session.

    Args:
        session: what is known at its first event; every span carries its agent and user.
        identity: what ids are derived from.
        conventions: their attributes are merged; the first one names the spans.
        resource: of all the spans.
        parent: a live span under which the session hangs. Its trace id becomes that of the spans.
        links: further links of the root.
        shift: nanoseconds by which all times are moved.
        part_of: tells of an event, by its key, in which earlier part of the session it is; None for this part.
        linked: what the ids of other sessions' traces are derived from, when that is not the identity itself.
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
        shift: int = 0,
        part_of: Callable[[str], int | None] = _in_this_part,
        linked: Identity | None = None,
    ) -> None:
        self._session = session
        self.shift = shift
        self._part_of = part_of
        self.identity = identity
        self._linked = linked or identity
        self._conventions = conventions
        self._resource = resource
        self._parent = parent
        self._links = tuple(links)
        self.own_trace_id = identity.trace_id(session.reference)
        self.trace_id = parent.trace_id if parent else self.own_trace_id
        self.root_id = ids.span_id(self.own_trace_id, ids.ROOT)
        self._finisher = Finisher(identity.view.max_value)
        self._constants: dict[NodeKind, dict[str, Final]] = {}
        self._said_by: dict[NodeKind, dict[str, int]] = {}  # the place of the convention that says a constant

    @property
    def changed(self) -> int:
        """How many values OTLP could not hold as they were."""
        return self._finisher.changed

    def build(self, node: Node) -> Span:
        """Make the span of a node whose event has been through the content policy."""
        node = with_values(node)
        match node:
            case EventNode():
                return self._span(
                    node,
                    key=ids.event_key(node.event.key),
                    turn=node.turn,
                    attributes=event_attributes(node),
                    failure=note_failure(node.event),
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
                        "otel_agent_events.event.turn": node.number,
                        "otel_agent_events.summary": None if node.first is None else summary(node.first),
                    },
                    failure=node.failure,
                )
            case SessionNode():
                return self._root_span(node)
            case _:
                assert_never(node)

    def _tool_span(self, node: ToolNode) -> Span:
        links = [link for half in (node.call, node.result) if half is not None for link in self._links_of(half)]
        if node.result is not None and node.result.subagent is not None:
            links.append(self._root_of(node.result.subagent.reference))
        return self._span(
            node,
            key=ids.event_key(node.either.key),
            turn=node.turn,
            attributes=tool_attributes(node),
            failure=tool_failure(node),
            links=tuple(links),
        )

    def _root_span(self, node: SessionNode) -> Span:
        reference = node.session.reference
        identity = self.identity
        links = self._links
        if identity.part > 1:
            links = (self._root_of(reference, revision=identity.revision, part=identity.part - 1), *links)
        elif identity.revision > 1:
            links = (self._root_of(reference, revision=identity.revision - 1), *links)
        return self._span(
            node,
            key=ids.ROOT,
            turn=0,
            attributes=session_attributes(node)
            | {
                "otel_agent_events.session.part": identity.part,
                "otel_agent_events.session.revision": identity.revision,
                "otel_agent_events.session.shift": self.shift or None,
                "otel_agent_events.view": str(identity.view),
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
        constants = self._constants.get(node.kind) or self._constant(session, node.kind)
        labels = [convention.label(node, session) for convention in self._conventions]
        varying = {**self._merged(labels, node.kind), **attributes, "otel_agent_events.timing": node.timing}
        if self.identity.view.content == "none":
            varying["otel_agent_events.summary"] = None
        if failure is not None:
            varying["error.type"] = failure.type
        description = None
        if failure is not None and failure.description is not None:
            description = self._finisher.text(failure.description)[0]
        name = self._finisher.text(labels[0].name)[0]
        final = self._finisher.attributes(varying)
        return Span(
            trace_id=self.trace_id,
            span_id=ids.span_id(self.own_trace_id, key),
            parent_id=self._parent_id(node, turn),
            name=name,
            kind=labels[0].kind,
            start=min(max(node.start.at + self.shift, 0), times.LATEST),
            end=min(max(node.end.at + self.shift, 0), times.LATEST),
            resource=self._resource,
            varying=final,
            constants=_without(constants, final),
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
                    yield self._event_of(key)
                case _:
                    assert_never(link)

    def _event_of(self, key: str) -> Link:
        part = self._part_of(key)
        if part is None:
            return Link(trace_id=self.trace_id, span_id=ids.span_id(self.own_trace_id, ids.event_key(key)))
        trace = replace(self.identity, part=part).trace_id(self._session.reference)
        return Link(trace_id=trace, span_id=ids.span_id(trace, ids.event_key(key)))

    def _root_of(self, reference: Reference, *, revision: int = 1, part: int = 1) -> Link:
        link = self._linked.root_of(reference, revision=revision, part=part)
        return replace(link, attributes=self._finisher.attributes(link.attributes))

    def _parent_id(self, node: Node, turn: int) -> bytes | None:
        if isinstance(node, SessionNode):
            return self._parent.span_id if self._parent else None
        if turn and self.identity.view.turns:
            return ids.span_id(self.own_trace_id, ids.turn_key(turn))
        return self.root_id

    def constants(self, kind: NodeKind) -> Mapping[str, Final]:
        """Give what is constant for a kind of node, the root apart."""
        return self._constant(self._session, kind)

    def _constant(self, session: Session, kind: NodeKind) -> dict[str, Final]:
        """Give what is constant for a kind of node; worked out once."""
        known = self._constants.get(kind)
        if known is not None:
            return known
        constants: dict[str, Attribute | None] = {"session.id": session.id, "user.id": session.user}
        if kind != "tool":  # a call, or a result without one
            constants["otel_agent_events.event.kind"] = kind
        said_by: dict[str, int] = {}
        for number, convention in enumerate(self._conventions):
            for name, told in convention.constants(session, kind).items():
                if told is not None and name not in said_by:
                    constants[name], said_by[name] = told, number
        self._said_by[kind] = said_by
        self._constants[kind] = self._finisher.attributes(constants)
        return self._constants[kind]

    def _merged(self, labels: Sequence[Labels], kind: NodeKind) -> dict[str, Attribute | None]:
        """Merge what the conventions say of one span: of two that say the same, the earlier one counts."""
        if len(labels) == 1:
            return dict(labels[0].attributes)
        said_by = self._said_by[kind]
        merged: dict[str, Attribute | None] = {}
        for number, label in enumerate(labels):
            for name, told in label.attributes.items():
                if told is not None and name not in merged and said_by.get(name, number) >= number:
                    merged[name] = told
        return merged


def _without(constants: dict[str, Final], varying: Mapping[str, Final]) -> dict[str, Final]:
    """Leave out what is otherwise on one span. Mostly there is no such thing, and the mapping is shared."""
    if constants.keys().isdisjoint(varying):
        return constants
    return {name: told for name, told in constants.items() if name not in varying}
