"""A user's program that makes traces, and hands them to an exporter of the SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_type

from otel_agent_events import Fetched, Reference, Scrubber, Session, Span, Trace, convert
from otel_agent_events.events import Event, Text, Thinking, UserMessage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter


def what_was_fetched(fetched: Fetched, exporter: SpanExporter) -> str:
    """Convert, and look at what comes back."""
    trace = convert(fetched)
    assert_type(trace, Trace)
    assert_type(trace.reference, Reference)
    assert_type(trace.spans, tuple[Span, ...])
    assert_type(trace.parts, tuple[str, ...])
    assert_type(trace.warnings, tuple[str, ...])
    assert_type(trace.otlp_json(), list[str])
    readable: list[ReadableSpan] = trace.readable()
    exporter.export(readable)
    return trace.trace_id


def every_option(fetched: Fetched) -> Trace:
    """Give every option, most of them as something else than the default."""
    return convert(
        fetched,
        service_name="desk",
        namespace="acme",
        revision=2,
        turns=True,
        content="none",
        max_value=4096,
        max_trace_bytes=None,
        shift_to=1_800_000_000_000_000_000,
        scrubber=Scrubber([r"ACME-\d+"]),
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        links=(),
        conventions=("gen_ai",),
        environ={},
    )


def events_of_ones_own() -> list[Trace]:
    """Make a session of one's own, and name it in all ways that there are."""
    events: list[Event] = [UserMessage(key="1", end=1, parts=(Text(text="Hello"),)), Thinking(key="2", start=1, end=3)]
    reference = Reference("desk", ("ada",))
    return [
        convert(events, session="desk:ada"),
        convert(tuple(events), session=reference),
        convert(lazily(), session=Session(reference=reference, agent_name="Desk")),
    ]


def lazily() -> Iterator[Event]:
    """Give events one by one."""
    yield Thinking(key="1")


def times_of(span: Span) -> tuple[int, int, str | None]:
    """Look at a span."""
    return span.start, span.end, None if span.parent_id is None else span.parent_id.hex()
