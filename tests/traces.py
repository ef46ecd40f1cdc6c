"""Look at traces as tests want to: lines of OTLP JSON as plain spans, outlines, every value that can be found."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otel_agent_events import times
from otel_agent_events.conventions import CONVENTIONS
from otel_agent_events.conversion import Conversion, Options
from otel_agent_events.fetchers.saved import load
from otel_agent_events.sources import Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_agent_events.reference import Reference
    from otel_agent_events.spans import Span

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
    conversion = Conversion(source, options, [CONVENTIONS.get(name) for name in options.conventions])
    spans = list(conversion.spans())
    return Trace(spans, conversion.warnings, conversion.flaws, conversion.events, conversion.duplicates)


def leaves(value: Any) -> Iterator[Any]:
    """Give every value in a JSON value that is neither object nor list."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value


def told_by(spans: Sequence[Span]) -> set[tuple[str, Any]]:
    """Give every value that can be found in these spans, JSON within texts opened, each with its type."""
    told: set[tuple[str, Any]] = set()
    for span in spans:
        told |= {("time", span.start), ("time", span.end)}
        for value in span.attributes.values():
            _add(told, list(value) if isinstance(value, tuple) else value)
    return told


def holds(told: set[tuple[str, Any]], leaf: Any) -> bool:
    """Say whether a leaf is told: as it is, or, when it is a time, as a time."""
    stamps = (times.parse(leaf), times.epoch(leaf, times.MILLISECOND), times.epoch(leaf, times.SECOND))
    return (type(leaf).__name__, leaf) in told or any(
        stamp is not None and stamp.exact and ("time", stamp.nanoseconds) in told for stamp in stamps
    )


def _add(told: set[tuple[str, Any]], value: Any) -> None:
    for leaf in leaves(value):
        told.add((type(leaf).__name__, leaf))
        if isinstance(leaf, str):
            try:
                inner = json.loads(leaf)
            except ValueError:
                continue
            if isinstance(inner, (dict, list)) or not isinstance(inner, str):
                _add(told, inner)


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
