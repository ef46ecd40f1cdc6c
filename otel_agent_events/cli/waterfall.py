"""A trace as a waterfall in the terminal: one row a span, with its bar, duration, status and summary."""

from __future__ import annotations

import sys
from collections import defaultdict
from typing import TYPE_CHECKING, TextIO, TypeAlias

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
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from rich.console import OverflowMethod

    from otel_agent_events.errors import DestinationError
    from otel_agent_events.otlp import Encoded
    from otel_agent_events.spans import Span

_MOST_BAR = 28
_LEAST_BAR = 8
_MOST_NAME = 38
_LEAST_NAME = 16
_DURATION = 11
_DIGITS = 3
_ASCII = str.maketrans({"→": "->", "…": "...", "µ": "u"})
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
    ("note", f"{OWN}note"),
    ("raw", f"{OWN}event.raw"),
    ("raw result", f"{OWN}result.event.raw"),
)


_Words: TypeAlias = "Callable[[str], str]"
"""Makes a text fit for the terminal."""


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
        self._waiting: dict[tuple[Hashable, bytes], list[Span]] = {}  # by whose they are, and their trace
        self._outcomes: list[Outcome] = []

    def submit(self, encoded: Encoded) -> None:
        """Take spans; they are drawn with their root, since the bars are to the scale of the whole trace."""
        key = encoded.owner, encoded.spans[0].trace_id
        self._waiting.setdefault(key, []).extend(encoded.spans)
        last = encoded.spans[-1]
        if last.parent_id is None or last.parent_is_remote:
            self._draw(key)

    def outcomes(self) -> list[Outcome]:
        """Say that everything was drawn."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def flush(self) -> None:
        """Draw what has no root either."""
        for key in list(self._waiting):
            self._draw(key)

    def stop(self) -> None:
        """Do nothing: it never waits."""

    def _draw(self, key: tuple[Hashable, bytes]) -> None:
        spans = self._waiting.pop(key)
        for line in waterfall(spans, width=self._console.width, contents=self._contents, ascii_only=self._ascii):
            self._console.print(line)
        self._console.print()
        self._outcomes.append(Outcome(destination=self.name, owner=key[0], acknowledged=len(spans)))

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
        width: of the terminal, in cells; names and bars are the smaller the narrower it is, and a summary is cut
            where the row ends.
        contents: add messages, arguments and results under each row.
        ascii_only: for a terminal that has no other characters.
    """
    begin = min(span.start for span in spans)
    end = max(span.end for span in spans)
    words = _in_ascii if ascii_only else printable
    yield _title(spans, begin, end, words)
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
            words=words,
        )
        if contents:
            yield from _contents_of(span, depth, words)
    legend = [
        f"{_TIMING[timing]} {meaning}"
        for timing, meaning in (("inferred", "a time that was inferred"), ("synthetic", "a time that was invented"))
        if timing in timings
    ]
    if legend:
        yield Text("  ".join(legend), style="dim")


def _title(spans: Sequence[Span], begin: int, end: int, words: _Words) -> Text:
    told = (span.attributes.get(f"{OWN}session.reference") for span in spans)
    reference = next(filter(None, told), "a session that was not read to its end")
    title = Text(words(str(reference)), style="bold underline")
    when = f"{times.written(begin)}, {words(duration(end - begin))}"
    title.append(f"  trace {spans[0].trace_id.hex()}  {when}", style="not bold dim")
    return title


def _tree(spans: Sequence[Span]) -> Iterator[tuple[Span, int]]:
    """Give every span with its depth; one whose parent is not there is drawn at the top."""
    here = {span.span_id for span in spans}
    children: defaultdict[bytes | None, list[Span]] = defaultdict(list)
    for span in spans:
        children[span.parent_id if span.parent_id in here else None].append(span)
    for siblings in children.values():
        siblings.sort(key=_order)
    pending = [(span, 0) for span in reversed(children[None])]
    while pending:
        span, depth = pending.pop()
        yield span, depth
        pending.extend((child, depth + 1) for child in reversed(children[span.span_id]))


def _order(span: Span) -> tuple[int, ...]:
    numbers = (span.attributes.get(f"{OWN}event.{name}") for name in ("index", "turn"))
    return span.start, *(number if isinstance(number, int) else 0 for number in numbers)


def _row(
    span: Span, depth: int, *, begin: int, whole: int, width: int, timing: str, ascii_only: bool, words: _Words
) -> Text:
    style = _STYLES.get(str(span.attributes.get(f"{OWN}event.kind")), "yellow")
    overflow: OverflowMethod = "crop" if ascii_only else "ellipsis"
    name = Text("  " * depth + words(span.name), style=style, no_wrap=True)
    name.truncate(min(max(width // 3, _LEAST_NAME), _MOST_NAME), overflow=overflow, pad=True)
    cells = min(max(width // 5, _LEAST_BAR), _MOST_BAR)
    row = Text(no_wrap=True)
    row.append_text(name)
    row.append(" ")
    bar = _bar(span, begin, whole, cells=cells, ascii_only=ascii_only)
    row.append(bar, style="red" if span.status == "error" else style)
    row.append(f" {words(duration(span.end - span.start)):>{_DURATION}}{_TIMING.get(timing, ' ')} ", style="dim")
    if span.status == "error":
        row.append(f"{words(str(span.attributes.get('error.type', 'error'))).upper()} ", style="bold red")
    outcome = span.attributes.get(f"{OWN}tool.outcome")
    if outcome in {"orphan_output", "unfinished"}:
        row.append(f"{outcome} ", style="bold yellow")
    row.append(words(str(span.attributes.get(f"{OWN}summary", ""))))
    row.truncate(width, overflow=overflow)
    return row


def _bar(span: Span, begin: int, whole: int, *, cells: int, ascii_only: bool) -> str:
    """Draw a span to scale. A point in time is a tick; what is too short to see fills one cell all the same."""
    tick, line = ("|", "=") if ascii_only else ("╵", "━")
    left = min((span.start - begin) * cells // whole, cells - 1)
    right = -(-(span.end - begin) * cells // whole)
    bar = line * max(right - left, 1) if span.end > span.start else tick
    return (" " * left + bar).ljust(cells)


def _contents_of(span: Span, depth: int, words: _Words) -> Iterator[Text]:
    notes = ((name.removeprefix(OWN), name) for name in span.attributes if name.startswith(f"{OWN}note."))
    for label, name in (*_CONTENTS, *notes):
        told = span.attributes.get(name)
        if told is not None:
            yield Text(f"{'  ' * (depth + 2)}{words(f'{label}: {told}')}", style="dim")


def _in_ascii(text: str) -> str:
    """Spell a text in ASCII: what is not in it is shown as an escape."""
    return printable(text).translate(_ASCII).encode("ascii", "backslashreplace").decode()


def duration(nanoseconds: int) -> str:
    """Write a duration for a person, in at most two units. Digits that are not shown are cut off, not rounded."""
    minute, hour, day = 60, 3_600, 86_400
    seconds = nanoseconds // times.SECOND
    if seconds < minute:
        shown = nanoseconds - nanoseconds % 10 ** max(len(str(nanoseconds)) - _DIGITS, 0)
        for unit, name in ((times.SECOND, "s"), (times.MILLISECOND, "ms"), (times.MICROSECOND, "µs")):
            if nanoseconds >= unit:
                return f"{shown / unit:g} {name}"
        return f"{nanoseconds} ns" if nanoseconds else "0"
    if seconds < hour:
        return f"{seconds // minute} min {seconds % minute} s"
    if seconds < day:
        return f"{seconds // hour} h {seconds % hour // minute} min"
    return f"{seconds // day} d {seconds % day // hour} h"
