"""Spans as the SDK's `ReadableSpan`, and as the bytes of an OTLP request. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk import resources
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_agent_events.otlp import SCHEMA_URL
from otel_agent_events.spans import SCOPE_NAME, SCOPE_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_agent_events.spans import Link, Resource, Span

_SCOPE = InstrumentationScope(SCOPE_NAME, SCOPE_VERSION, SCHEMA_URL)
_KINDS = {"internal": trace.SpanKind.INTERNAL, "client": trace.SpanKind.CLIENT}
_SAMPLED = trace.TraceFlags(trace.TraceFlags.SAMPLED)


def to_readable(span: Span) -> ReadableSpan:
    """Give a span as the SDK knows it, for any `SpanExporter`.

    The parent counts as one of this process; a link leads elsewhere, so what it points to is remote.
    """
    return _readable(span, _resource(span.resource))


def encode(spans: Iterable[Span]) -> bytes:
    """Give the `ExportTraceServiceRequest` that holds the spans, of any traces and resources.

    The same spans give the same bytes.
    """
    # Making the SDK's resource costs as much as a span, and it is the same for a whole session.
    made: dict[int, resources.Resource] = {}
    readable: list[ReadableSpan] = []
    for span in spans:
        resource = made.get(id(span.resource))
        if resource is None:
            resource = made[id(span.resource)] = _resource(span.resource)
        readable.append(_readable(span, resource))
    request = encode_spans(readable)
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            scope_spans.schema_url = SCHEMA_URL  # which the oldest encoders leave out
    return request.SerializeToString(deterministic=True)


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
        context=_context(span.trace_id, span.span_id),
        parent=parent,
        resource=resource,
        attributes=span.attributes,
        links=tuple(_link(link) for link in span.links),
        kind=_KINDS[span.kind],
        status=status,
        start_time=span.start,
        end_time=span.end,
        instrumentation_scope=_SCOPE,
    )


def _context(trace_id: bytes, span_id: bytes, *, is_remote: bool = False) -> trace.SpanContext:
    return trace.SpanContext(
        int.from_bytes(trace_id, "big"), int.from_bytes(span_id, "big"), is_remote=is_remote, trace_flags=_SAMPLED
    )


def _link(link: Link) -> trace.Link:
    context = trace.SpanContext(
        int.from_bytes(link.trace_id, "big"),
        int.from_bytes(link.span_id, "big"),
        is_remote=True,
        trace_flags=trace.TraceFlags(link.trace_flags),
    )
    return trace.Link(context, link.attributes)
