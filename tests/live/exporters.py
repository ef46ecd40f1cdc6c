"""Exporters of tests: what they were given, as our own spans."""

from __future__ import annotations

import threading
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
        self.sizes: list[int] = []
        self.is_shut_down = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += spans
        self.sizes.append(len(spans))
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.is_shut_down = True

    @property
    def ids(self) -> list[tuple[int, int]]:
        """The trace and span ids, in the order in which they came."""
        return [(span.context.trace_id, span.context.span_id) for span in self.spans]


class Blocked(Kept):
    """Answer only when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()
        self.let_go = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked.set()
        self.let_go.wait(60)
        return super().export(spans)


class Failing(Kept):
    """Report a failure, or raise, for so many batches."""

    def __init__(self, batches: int, error: BaseException | None = None) -> None:
        super().__init__()
        self.left = batches
        self.error = error

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if not self.left:
            return super().export(spans)
        self.left -= 1
        if self.error is not None:
            raise self.error
        return SpanExportResult.FAILURE
