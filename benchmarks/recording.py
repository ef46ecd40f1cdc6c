"""What a record costs the caller's thread, beside what the SDK takes to start and end a span with the same attributes.

python -m benchmarks.recording          # a minute
python -m benchmarks.recording --quick

All are measured in one process, in rounds that take turns; the time is that of the processor for this thread. Contents
are off, as they are in a live service when nothing is said. Of thoughts each record is a span; of a session, with calls
and results, two records are one span now and then, so that a record costs less.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from itertools import islice
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from benchmarks.pages import Session, Shape
from otel_agent_events import SessionRecorder, TurnRecorder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RECORDS = 4_000
ROUNDS = 15
REFERENCE = "vectara:support/s"
MOST = {"SessionRecorder": 0.6, "TurnRecorder": 1.6}


class Dropping(SpanExporter):
    """Take everything and do nothing with it."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002 - as the base class has it
        """Say that they were exported."""
        return SpanExportResult.SUCCESS


class Keeping(SpanProcessor):
    """Keep what ended."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        """Keep a span."""
        self.spans.append(span)


def thoughts(count: int) -> list[dict[str, Any]]:
    """Give records each of which is a span."""
    return [
        {
            "id": f"aev_{number}",
            "session_key": "s",
            "type": "thinking",
            "content": "The customer asks for an order that was due on Monday. I look it up.",
            "created_at": "2026-11-18T08:00:01.400Z",
        }
        for number in range(count)
    ]


def session(count: int) -> list[dict[str, Any]]:
    """Give the records of a session with messages, thoughts and calls."""
    return list(islice(Session(Shape(events=count, content=150)).records(), count))


def spans_of(records: Sequence[Any]) -> list[ReadableSpan]:
    """Give the spans that a turn of these records makes, its own apart."""
    keeping = Keeping()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(keeping)
    with TurnRecorder(tracer_provider=provider).turn(REFERENCE) as turn:
        for record in records:
            turn.record(record)
    return keeping.spans[:-1]


def timed(work: Callable[[], None]) -> float:
    """Give the seconds of this thread's processor time that something takes."""
    gc.collect()
    begun = time.thread_time()
    work()
    return time.thread_time() - begun


def with_sdk(tracer: trace.Tracer, spans: Sequence[ReadableSpan]) -> float:
    """Start and end spans by the SDK alone; give the seconds."""
    told = [(span.name, dict(span.attributes or {}), span.start_time, span.end_time) for span in spans]
    parent = tracer.start_span("invoke_agent")
    context = trace.set_span_in_context(parent)

    def work() -> None:
        for name, attributes, start, end in told:
            tracer.start_span(name, context=context, attributes=attributes, start_time=start).end(end)

    return timed(work)


def in_a_turn(recorder: TurnRecorder, records: Sequence[Any]) -> float:
    """Record into one turn; give the seconds."""
    with recorder.turn(REFERENCE) as turn:

        def work() -> None:
            for record in records:
                turn.record(record)

        return timed(work)


def in_a_session(recorder: SessionRecorder, records: Sequence[Any]) -> float:
    """Record into one session; give the seconds of the caller."""
    with recorder.session(REFERENCE) as recording:

        def work() -> None:
            for record in records:
                recording.record(record)

        took = timed(work)
    recorder.force_flush()
    return took


def main() -> int:
    """Run all of it; give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    quick = parser.parse_args().quick
    count, rounds = (400, 3) if quick else (RECORDS, ROUNDS)
    provider = TracerProvider(shutdown_on_exit=False)
    tracer = provider.get_tracer("benchmarks")
    turns = TurnRecorder(tracer_provider=provider)
    sessions = SessionRecorder(exporter=Dropping())
    reached = True
    for what, records in (("thoughts", thoughts(count)), ("a session", session(count))):
        spans = spans_of(records)
        took: dict[str, list[float]] = {"SDK": [], "TurnRecorder": [], "SessionRecorder": []}
        for _ in range(rounds):
            took["SDK"].append(with_sdk(tracer, spans) / len(spans))
            took["TurnRecorder"].append(in_a_turn(turns, records) / len(records))
            took["SessionRecorder"].append(in_a_session(sessions, records) / len(records))
        print(
            f"{what}: {len(records)} records, {len(spans)} spans, one span by the SDK "
            f"{1e6 * statistics.median(took['SDK']):.1f} µs"
        )
        for name, most in MOST.items():
            ratio = statistics.median(mine / theirs for mine, theirs in zip(took[name], took["SDK"], strict=True))
            reached = reached and ratio <= most
            print(f"  {name}.record {1e6 * statistics.median(took[name]):.2f} µs: {ratio:.2f} (at most {most})")
    if turns.lost or sessions.lost:
        print(f"lost: {turns.lost} {sessions.lost}", file=sys.stderr)
        return 1
    sessions.shutdown()
    return 0 if quick or reached else 1


if __name__ == "__main__":
    sys.exit(main())
