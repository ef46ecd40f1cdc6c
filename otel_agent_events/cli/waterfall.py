"""A trace as a waterfall in the terminal: one row a span, with its bar, duration, status and summary."""

from __future__ import annotations

import sys
from collections import defaultdict
from typing import TYPE_CHECKING, TextIO

from otel_agent_events import times
from otel_agent_events.attributes import OWN
from otel_agent_events.cli.words import printable
from otel_agent_events.errors import UsageError
from otel_agent_events.otlp import Outcome

try:
    from rich.console import Console
    from rich.text import Text
except ImportError as missing:
    raise UsageError("drawing needs the package rich: pip install 'otel-agent-events[cli]'") from missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_agent_events.errors import DestinationError
    from otel_agent_events.spans import Span

_BAR = 28
_NAME = 38
_DURATION = 10
_TIMING = {"recorded": " ", "inferred": "~", "synthetic": "?"}
_STYLES = {
    "session": "bold",
    "turn": "bold",
    "user_message": "green",
    "thinking": "magenta",
    "tool_call": "cyan",
    "tool_result": "cyan",
    "agent_message": "blue",
}
_CONTENTS = (
    ("arguments", "gen_ai.tool.call.arguments"),
    ("result", "gen_ai.tool.call.result"),
    ("error", f"{OWN}tool.error"),
    ("input", "gen_ai.input.messages"),
    ("output", "gen_ai.output.messages"),
    ("raw", f"{OWN}event.raw"),
    ("raw result", f"{OWN}result.event.raw"),
)


class Terminal:
    """A destination that draws each trace when it is complete.

    Args:
        contents: show messages, arguments and results under each row.
        stream: where to draw; standard output without it.
    """

    name = "terminal"
    failure: DestinationError | None = None

    def __init__(self, *, contents: bool = False, stream: TextIO | None = None) -> None:
        self._console = Console(file=stream or sys.stdout, highlight=False, soft_wrap=True)
        self._contents = contents
        self._spans: list[Span] = []
        self._outcomes: list[Outcome] = []

    def submit(self, spans: Sequence[Span]) -> None:
        """Take spans; they are drawn on `flush`, since the bars are to the scale of the whole trace."""
        self._spans.extend(spans)

    def outcomes(self) -> list[Outcome]:
        """Say that everything was drawn."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def flush(self) -> None:
        """Draw what was submitted."""
        if not self._spans:
            return
        for line in waterfall(self._spans, width=self._console.width, contents=self._contents, ascii_only=self._ascii):
            self._console.print(line)
        self._console.print()
        drawn = tuple((span.trace_id, span.span_id) for span in self._spans)
        self._outcomes.append(
            Outcome(destination=self.name, spans=drawn, acknowledged=len(drawn), rejected=0, lost=0, message=None)
        )
        self._spans = []

    def close(self) -> None:
        """Draw what was submitted."""
        self.flush()

    def abandon(self) -> None:
        """Leave the terminal as it is."""

    @property
    def _ascii(self) -> bool:
        return not self._console.encoding.lower().startswith("utf")


def waterfall(
    spans: Sequence[Span], *, width: int = 120, contents: bool = False, ascii_only: bool = False
) -> Iterator[Text]:
    """Draw the spans of one trace, its root first, children in the order of their start.

    Args:
        spans: of one trace, in any order.
        width: of the terminal, in cells; a summary is cut where the row ends.
        contents: add messages, arguments and results under each row.
        ascii_only: for a terminal that has no other characters.
    """
    begin = min(span.start for span in spans)
    end = max(span.end for span in spans)
    yield _title(spans, begin, end)
    timings = set()
    for span, depth in _tree(spans):
        timing = str(span.attributes.get(f"{OWN}timing", "recorded"))
        timings.add(timing)
        yield _row(
            span,
            depth,
            begin=begin,
            whole=max(end - begin, 1),
            width=width,
            timing=timing,
            ascii_only=ascii_only,
        )
        if contents:
            yield from _contents_of(span, depth)
    legend = [
        f"{_TIMING[timing]} {meaning}"
        for timing, meaning in (("inferred", "a time that was inferred"), ("synthetic", "a time that was invented"))
        if timing in timings
    ]
    if legend:
        yield Text("  ".join(legend), style="dim")


def _title(spans: Sequence[Span], begin: int, end: int) -> Text:
    root = spans[-1]
    reference = str(root.attributes.get(f"{OWN}session.reference", "a session that was not read to its end"))
    title = Text(printable(reference), style="bold underline")
    title.append(
        f"  trace {root.trace_id.hex()}  {times.written(begin)}, {duration(end - begin)}", style="not bold dim"
    )
    return title


def _tree(spans: Sequence[Span]) -> Iterator[tuple[Span, int]]:
    """Give every span with its depth; one whose parent is not there is drawn at the top."""
    here = {span.span_id for span in spans}
    children: defaultdict[bytes | None, list[Span]] = defaultdict(list)
    for span in spans:
        children[span.parent_id if span.parent_id in here else None].append(span)
    for siblings in children.values():
        siblings.sort(key=_order, reverse=True)
    pending = [(span, 0) for span in children[None]]
    while pending:
        span, depth = pending.pop()
        yield span, depth
        pending.extend((child, depth + 1) for child in children[span.span_id])


def _order(span: Span) -> tuple[int, int]:
    index = span.attributes.get(f"{OWN}event.index", 0)
    return span.start, index if isinstance(index, int) else 0


def _row(span: Span, depth: int, *, begin: int, whole: int, width: int, timing: str, ascii_only: bool) -> Text:
    style = _STYLES.get(str(span.attributes.get(f"{OWN}event.kind")), "yellow")
    name = Text("  " * depth + printable(span.name), style=style, no_wrap=True)
    name.truncate(_NAME, overflow="ellipsis" if not ascii_only else "crop", pad=True)
    row = Text(no_wrap=True)
    row.append_text(name)
    row.append(" ")
    row.append(_bar(span, begin, whole, ascii_only=ascii_only), style="red" if span.status == "error" else style)
    row.append(f" {duration(span.end - span.start):>{_DURATION}}{_TIMING.get(timing, ' ')} ", style="dim")
    if span.status == "error":
        row.append(f"{printable(str(span.attributes.get('error.type', 'error'))).upper()} ", style="bold red")
    outcome = span.attributes.get(f"{OWN}tool.outcome")
    if outcome in {"orphan_output", "unfinished"}:
        row.append(f"{outcome} ", style="bold yellow")
    row.append(printable(str(span.attributes.get(f"{OWN}summary", ""))))
    row.truncate(max(width, _NAME + _BAR + _DURATION), overflow="crop" if ascii_only else "ellipsis")
    return row


def _bar(span: Span, begin: int, whole: int, *, ascii_only: bool) -> str:
    """Draw a span to scale. A point in time, and what is too short to see, is a tick."""
    tick, line = ("|", "=") if ascii_only else ("╵", "━")
    left = min((span.start - begin) * _BAR // whole, _BAR - 1)
    right = -(-(span.end - begin) * _BAR // whole)
    bar = line * max(right - left, 1) if span.end > span.start else tick
    return (" " * left + bar).ljust(_BAR)[:_BAR]


def _contents_of(span: Span, depth: int) -> Iterator[Text]:
    notes = ((name.removeprefix(OWN), name) for name in span.attributes if name.startswith(f"{OWN}note."))
    for label, name in (*_CONTENTS, *notes):
        told = span.attributes.get(name)
        if told is not None:
            yield Text(f"{'  ' * (depth + 2)}{label}: {printable(str(told))}", style="dim")


def duration(nanoseconds: int) -> str:
    """Write a duration for a person, in at most two units."""
    if nanoseconds < times.MILLISECOND:
        return f"{nanoseconds / times.MICROSECOND:g} µs" if nanoseconds else "0"
    if nanoseconds < times.SECOND:
        return f"{nanoseconds / times.MILLISECOND:.3g} ms"
    seconds, rest = divmod(nanoseconds, times.SECOND)
    minute, hour, day = 60, 3_600, 86_400
    if seconds < minute:
        return f"{seconds + rest / times.SECOND:.3g} s"
    if seconds < hour:
        return f"{seconds // minute} min {seconds % minute} s"
    if seconds < day:
        return f"{seconds // hour} h {seconds % hour // minute} min"
    return f"{seconds // day} d {seconds % day // hour} h"
