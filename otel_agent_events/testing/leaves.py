"""The single values of answers and of spans, so that a check can see whether any was lost, or let out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from otel_agent_events import times
from otel_agent_events.attributes import OWN

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator

    from otel_agent_events.events import JSON
    from otel_agent_events.spans import Span
    from otel_agent_events.times import Stamp

_COUNTED = {
    f"{OWN}{name}"
    for name in (
        "event.index",
        "event.turn",
        "result.event.index",
        "session.complete",
        "session.event_count",
        "session.missing_output_count",
        "session.part",
        "session.revision",
        "session.tool_call_count",
        "session.tool_error_count",
        "session.turn_count",
    )
}


def leaves(value: JSON) -> Iterator[Any]:
    """Give every value in a JSON value that is neither object nor list."""
    return (leaf for _, leaf in placed_leaves(value))


def placed_leaves(value: JSON, where: str = "") -> Iterator[tuple[str, Any]]:
    """Give every value in a JSON value that is neither object nor list, behind a pointer to it."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from placed_leaves(inner, f"{where}/{name}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from placed_leaves(inner, f"{where}/{number}")
    else:
        yield where, value


def told_by(spans: Iterable[Span]) -> set[tuple[str, Any]]:
    """Give every value that can be found in these spans, JSON within texts opened, each with its type.

    What we count ourselves is left out, and so are times that we invent: a 1 would be found in every trace.
    """
    told: set[tuple[str, Any]] = set()
    for span in spans:
        attributes = span.attributes
        if attributes.get(f"{OWN}timing") != "synthetic":
            told |= {("time", span.start), ("time", span.end)}
        for name, value in attributes.items():
            if name not in _COUNTED:
                _add(told, list(value) if isinstance(value, tuple) else value)
    return told


def holds(told: Container[tuple[str, Any]], leaf: Any, stamps: Iterable[Callable[[Any], Stamp | None]] = ()) -> bool:
    """Say whether a leaf is told: as it is, or, when it is a time, as a time.

    Args:
        told: by the spans.
        leaf: of an answer.
        stamps: read times that are neither RFC 3339 nor seconds or milliseconds since 1970.
    """
    if (_kind(leaf), leaf) in told:
        return True
    read = (times.parse(leaf), times.epoch(leaf, times.MILLISECOND), times.epoch(leaf, times.SECOND))
    return any(
        stamp is not None and stamp.exact and ("time", stamp.nanoseconds) in told
        for stamp in (*read, *(each(leaf) for each in stamps))
    )


def _kind(leaf: Any) -> str:
    """Tell true from 1, and 1 from 1.0; a text may be one of a recording, with the key that it had before."""
    return "str" if isinstance(leaf, str) else type(leaf).__name__


def _add(told: set[tuple[str, Any]], value: Any) -> None:
    for leaf in leaves(value):
        told.add((_kind(leaf), leaf))
        if isinstance(leaf, str):
            try:
                inner = json.loads(leaf)
            except (ValueError, RecursionError):
                continue
            _add(told, inner)
