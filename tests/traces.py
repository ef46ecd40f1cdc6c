"""Look at traces as tests want to: lines of OTLP JSON as plain spans, outlines, every value that can be found."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otel_agent_events.conventions import CONVENTIONS
from otel_agent_events.conversion import Conversion, Options
from otel_agent_events.fetchers import Usual
from otel_agent_events.fetchers.saved import load
from otel_agent_events.otlp.encode import Encoder
from otel_agent_events.sources import Source
from otel_agent_events.testing.leaves import holds, leaves, told_by

if TYPE_CHECKING:
    from otel_agent_events.fetchers import Answer
    from otel_agent_events.reference import Reference
    from otel_agent_events.spans import Span

__all__ = ["DATA", "Trace", "body_of", "holds", "leaves", "lines_of", "source_of", "told_by", "trace_from", "trace_of"]

DATA = Path(__file__).parent / "data"


@dataclass
class Trace:
    """The spans of a session by the id of their event, and what was said about it."""

    spans: list[Span]
    warnings: list[str]
    flaws: list[str]
    events: int
    duplicates: int

    @property
    def root(self) -> Span:
        return self.spans[-1]

    def named(self, name: str) -> Span:
        (span,) = (span for span in self.spans if span.name == name)
        return span

    def of(self, event_id: str) -> Span:
        (span,) = (
            span
            for span in self.spans
            if event_id
            in (
                span.attributes.get("otel_agent_events.event.id"),
                span.attributes.get("otel_agent_events.result.event.id"),
            )
        )
        return span


def trace_of(content: bytes, options: Options | None = None, session: Reference | None = None) -> Trace:
    """Convert saved answers."""
    return trace_from(source_of(content, session), options)


def source_of(content: bytes, session: Reference | None = None) -> Source:
    """Open saved answers."""
    (saved,) = load(content, "saved", session)
    return Source(
        reference=saved.reference, fetcher=saved.fetcher, answers=saved.answers, flaws=saved.flaws, saved=True
    )


def trace_from(source: Source, options: Options | None = None) -> Trace:
    """Convert a source."""
    options = options or Options()
    plugins = [CONVENTIONS.get(name) for name in options.conventions]
    conversion = Conversion(source, options, plugins, encoder=Encoder())
    spans = [span for encoded in conversion.encoded() for span in encoded.spans]
    return Trace(spans, conversion.warnings, conversion.flaws, conversion.events, conversion.duplicates)


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Read a file of OTLP JSON lines: one dict a span, with plain `attributes` and `resource`."""
    spans = []
    for line in path.read_text(encoding="utf-8").splitlines():
        for resource_spans in json.loads(line)["resourceSpans"]:
            resource = _plain(resource_spans["resource"].get("attributes", []))
            for scope_spans in resource_spans["scopeSpans"]:
                spans += [
                    {**span, "attributes": _plain(span.get("attributes", [])), "resource": resource}
                    for span in scope_spans["spans"]
                ]
    return spans


def _plain(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return {pair["key"]: _value(pair["value"]) for pair in pairs}


def _value(value: dict[str, Any]) -> Any:
    ((kind, told),) = value.items()
    if kind == "intValue":
        return int(told)
    return [_value(each) for each in told.get("values", [])] if kind == "arrayValue" else told


def body_of(answer: Answer) -> Any:
    """Give a body as parsed JSON, in whatever form it is kept."""
    return answer.body.parsed() if isinstance(answer.body, Usual) else answer.body
