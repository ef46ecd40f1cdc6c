"""Lines of OTLP JSON and the bytes of OTLP: one into the other and back, for any spans.

A line that is written holds one span. A line that is read may be any `TracesData` or `ExportTraceServiceRequest`: of
several resources, scopes and spans, its names in lowerCamelCase or as in the protocol, its integers numbers or texts,
its enumerations numbers or names. Names that nobody knows are ignored.

What OTLP has is taken from the protocol's own classes, so that nothing of it is forgotten here.
"""

from __future__ import annotations

from otel_agent_events.otlp.lines.reading import read
from otel_agent_events.otlp.lines.writing import written

__all__ = ["read", "written"]
