"""Spans as the SDK's `ReadableSpan`, for any `SpanExporter`. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk import resources
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_agent_events.otlp import SCHEMA_URL
from otel_agent_events.spans import SCOPE_NAME, SCOPE_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from otel_agent_events.attributes import Final
    from otel_agent_events.spans import Link, Resource, Span, SpanEvent

T = TypeVar("T")

_SCOPE = InstrumentationScope(SCOPE_NAME, SCOPE_VERSION, SCHEMA_URL)
_KINDS = {"internal": trace.SpanKind.INTERNAL, "client": trace.SpanKind.CLIENT}


def to_readable(span: Span) -> ReadableSpan:
    """Give a span as the SDK knows it, for any `SpanExporter`.

    The parent counts as one of this process, unless the span says otherwise; a link leads elsewhere, so what it
    points to is remote. Of a trace state the SDK keeps only what W3C allows.
    """
    return _readable(span, _resource(span.resource))


def to_readables(spans: Iterable[Span]) -> list[ReadableSpan]:
    """Give many spans as the SDK knows them. Those of one resource share it."""
    # Making the SDK's resource costs as much as a span, and it is the same for a whole session.
    made: dict[int, tuple[Resource, resources.Resource]] = {}
    readable: list[ReadableSpan] = []
    for span in spans:
        if id(span.resource) not in made:
            made[id(span.resource)] = span.resource, _resource(span.resource)
        readable.append(_readable(span, made[id(span.resource)][1]))
    return readable


def _resource(resource: Resource) -> resources.Resource:
    # Not `Resource.create`: that adds the process and the environment of this program.
    return resources.Resource(resource.attributes)


def _readable(span: Span, resource: resources.Resource) -> ReadableSpan:
    parent = None
    if span.parent_id is not None:
        parent = _context(span.trace_id, span.parent_id, is_remote=span.parent_is_remote)
    status = trace.Status(trace.StatusCode.UNSET)
    if span.status == "error":
        status = trace.Status(trace.StatusCode.ERROR, span.description)
    return ReadableSpan(
        span.name,
        context=_context(span.trace_id, span.span_id, trace_state=span.trace_state),
        parent=parent,
        resource=resource,
        attributes=_attributes(span.attributes, span.dropped_attributes),
        events=_list([_event(event) for event in span.events], span.dropped_events),
        links=_list([_link(link) for link in span.links], span.dropped_links),
        kind=_KINDS[span.kind],
        status=status,
        start_time=span.start,
        end_time=span.end,
        instrumentation_scope=_SCOPE,
    )


def _context(
    trace_id: bytes,
    span_id: bytes,
    *,
    is_remote: bool = False,
    trace_flags: int = trace.TraceFlags.SAMPLED,
    trace_state: str = "",
) -> trace.SpanContext:
    return trace.SpanContext(
        int.from_bytes(trace_id, "big"),
        int.from_bytes(span_id, "big"),
        is_remote=is_remote,
        trace_flags=trace.TraceFlags(trace_flags),
        trace_state=trace.TraceState.from_header([trace_state]) if trace_state else None,
    )


def _event(event: SpanEvent) -> Event:
    return Event(event.name, _attributes(event.attributes, event.dropped_attributes), event.time)


def _link(link: Link) -> trace.Link:
    context = _context(
        link.trace_id, link.span_id, is_remote=True, trace_flags=link.trace_flags, trace_state=link.trace_state
    )
    return trace.Link(context, _attributes(link.attributes, link.dropped_attributes))


def _attributes(attributes: Mapping[str, Final], dropped: int) -> Mapping[str, Final] | BoundedAttributes:
    """Give attributes that know how many of them were left out; only the SDK's own mapping does."""
    if not dropped:
        return attributes
    bounded = BoundedAttributes(attributes=attributes)
    bounded.dropped = dropped
    return bounded


def _list(members: list[T], dropped: int) -> Sequence[T]:
    """Give events or links that know how many of them were left out; only the SDK's own list does."""
    if not dropped:
        return tuple(members)
    bounded = BoundedList.from_seq(None, members)
    bounded.dropped = dropped
    return bounded
