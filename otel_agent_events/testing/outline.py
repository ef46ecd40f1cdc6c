"""The spans of a recording, and a text of them in which a person sees what is right and what is not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from otel_agent_events.attributes import OWN
from otel_agent_events.content import Policy
from otel_agent_events.conventions import CONVENTIONS
from otel_agent_events.conversion import Conversion, Options
from otel_agent_events.fetchers.saved import load_recording
from otel_agent_events.otlp.encode import Encoder
from otel_agent_events.sources import Source
from otel_agent_events.times import SECOND, written

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otel_agent_events.fetchers import Readable
    from otel_agent_events.fetchers.saved import Recording
    from otel_agent_events.spans import Span

_SHOWN = ("tool.outcome", "tool.failed", "clamped", "agent.author", "session.complete", "subagent.reference")


def trace(fetcher: Readable, recording: Recording | Path, options: Options | None = None) -> list[Span]:
    """Give the spans of a recording, the root last.

    Args:
        fetcher: reads it; it need not be installed.
        recording: of one session, or the file that holds it.
        options: how sessions become spans; without, all contents are kept.

    Raises:
        ReadError: the file is no recording, or an answer cannot be read.
    """
    options = options or Options(policy=Policy(content="full"))
    if isinstance(recording, Path):
        recording = load_recording(recording.read_bytes(), recording.name)
    answers = [answer.answer() for answer in recording.answers]
    source = Source(reference=recording.reference, fetcher=fetcher, answers=answers)
    plugins = [CONVENTIONS.get(name) for name in options.conventions]
    conversion = Conversion(source, options, plugins, encoder=Encoder())
    return [span for encoded in conversion.encoded() for span in encoded.spans]


def outline(spans: Sequence[Span]) -> str:
    """Draw the spans of one trace as text: one line a span, children below their parent in the order of their start.

    A line tells the name, the seconds from the root's start and, behind a `+`, those that it took; `~` stands before
    inferred times, `?` before synthetic ones; then what is worth seeing, links, and the summary behind a bar.
    """
    root = next(span for span in spans if span.parent_id not in {each.span_id for each in spans})
    numbered = {span.span_id: span.attributes.get(f"{OWN}event.index") for span in spans}
    lines = [f"{root.name} at {written(root.start)} {_told(root, root, numbered)}"]
    lines.extend(_below(root, root, spans, numbered, "  "))
    return "\n".join(lines) + "\n"


def _below(
    parent: Span, root: Span, spans: Sequence[Span], numbered: Mapping[bytes, object], indent: str
) -> Iterator[str]:
    children = [span for span in spans if span.parent_id == parent.span_id]
    for span in sorted(children, key=lambda each: (each.start, each.attributes.get(f"{OWN}event.index", 0))):
        yield f"{indent}{span.name} {_told(span, root, numbered)}"
        yield from _below(span, root, spans, numbered, f"{indent}  ")


def _told(span: Span, root: Span, numbered: Mapping[bytes, object]) -> str:
    attributes = span.attributes
    mark = {"inferred": "~", "synthetic": "?"}.get(str(attributes.get(f"{OWN}timing")), "")
    told = [f"{mark}{_seconds(span.start - root.start)}+{_seconds(span.end - span.start)}"]
    if span.status == "error":
        told.append(f"error={attributes.get('error.type')}")
    told.extend(
        f"{name.rpartition('.')[2]}={str(shown).lower() if isinstance(shown, bool) else shown}"
        for name in _SHOWN
        if (shown := attributes.get(f"{OWN}{name}")) is not None
    )
    for link in span.links:
        where = f"#{numbered[link.span_id]}" if link.span_id in numbered else link.trace_id.hex()[:8]
        told.append(f"link={where}")
    summary = attributes.get(f"{OWN}summary")
    return " ".join(told) + (f" | {summary}" if summary else "")


def _seconds(nanoseconds: int) -> str:
    whole, rest = divmod(nanoseconds, SECOND)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".")
