"""Exporters of tests: what they were given, as our own spans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan


def told(span: ReadableSpan) -> dict[str, Any]:
    """Give all that a span says, its resource apart."""
    return {
        "name": span.name,
        "ids": (span.context.trace_id, span.context.span_id),
        "parent": None if span.parent is None else (span.parent.trace_id, span.parent.span_id),
        "kind": span.kind,
        "start": span.start_time,
        "end": span.end_time,
        "attributes": dict(span.attributes or {}),
        "status": (span.status.status_code, span.status.description),
        "links": [(link.context.trace_id, link.context.span_id, dict(link.attributes or {})) for link in span.links],
        "scope": span.instrumentation_scope,
    }


class Kept(SpanExporter):
    """Keep what was exported."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += spans
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        pass
