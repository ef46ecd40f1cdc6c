"""What the commands say, as lines for a person."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_agent_events.report import Counts, DestinationReport, Report, SessionReport

SHOWN_BY_DEFAULT = 2 * 24 * 3_600 * 1_000_000_000
"""Nanoseconds: how far Jaeger's search looks back when nobody says otherwise."""

_LABEL = 11
_TERMINAL = "terminal"


def say(line: str, *, err: bool = False) -> None:
    """Print a line. What came from elsewhere may hold control characters, and a terminal would obey them.

    What the encoding of the terminal does not have is shown as an escape, too.
    """
    encoding = getattr(sys.stderr if err else sys.stdout, "encoding", None) or "utf-8"
    click.echo(printable(line).encode(encoding, "backslashreplace").decode(encoding), err=err)


def printable(text: str) -> str:
    """Give a text that no terminal takes for a command: what cannot be printed is shown as an escape."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def session_lines(report: SessionReport, now: int | None = None) -> Iterator[str]:
    """Tell what became of one session.

    Args:
        report: of the session.
        now: nanoseconds since 1970, to tell whether stores show sessions of that age by default.
    """
    from otel_agent_events import times  # noqa: PLC0415 - --help needs none of it

    again = f", {report.duplicates} met again" if report.duplicates else ""
    yield f"{report.reference}  {report.events} events{again}, {report.made} spans"
    if report.subagent_of is not None:
        yield _line("ran for", report.subagent_of)
    if report.trace_id is not None and (report.made or any(each.had for each in report.destinations)):
        revision = f" (revision {report.revision})" if report.revision > 1 else ""
        yield _line("trace id", f"{report.trace_id}{revision}")
        for number, trace_id in enumerate(report.parts[1:], start=2):
            yield _line("", f"{trace_id} (part {number} of {len(report.parts)})")
    if report.start is not None and report.end is not None:
        yield _line("time", f"{times.written(report.start)} to {times.written(report.end)}")
    for destination in report.destinations:
        yield from _destination_lines(destination)
    if report.end is not None and _is_sent(report):
        yield from _age(report.end, time.time_ns() if now is None else now)
    for warning in report.warnings:
        yield _line("warning", warning)
    if report.error is not None:
        yield _line("error", report.error)


def _destination_lines(destination: DestinationReport) -> Iterator[str]:
    if destination.made and destination.destination != _TERMINAL:
        yield _line("sent to", _counts(destination))
    elif destination.had:
        yield _line("unchanged", f"{destination.destination} has all {destination.had} spans from an earlier run;")
        yield _line("", "nothing was sent to it (--again sends a fresh copy as the next revision)")
    for message in destination.messages:
        yield _line("", message)


def summary_line(report: Report) -> str:
    """Tell what became of all sessions."""
    totals = report.totals
    failed = sum(not session.succeeded for session in report.sessions)
    sessions = f"{len(report.sessions)} session{'' if len(report.sessions) == 1 else 's'}"
    if failed:
        sessions += f" ({failed} failed)"
    unchanged = sum(session.unchanged for session in report.sessions)
    there = f", {unchanged} there already" if unchanged else ""
    return f"{sessions}{there}: {fates(totals)} in {report.seconds} s"


def _line(label: str, told: str) -> str:
    return f"  {label:<{_LABEL}}{told}"


def _counts(destination: DestinationReport) -> str:
    had = f" ({destination.had} more in an earlier run)" if destination.had else ""
    return f"{destination.destination}: {fates(destination)}{had}"


def fates(counts: Counts) -> str:
    """Say what became of spans: `41 of 42 spans acknowledged, 1 rejected`."""
    told = f"{counts.acknowledged} of {counts.made} spans acknowledged"
    if counts.reported:
        reported = f"{counts.reported} of {counts.made} spans reported"
        told = f"{counts.acknowledged} acknowledged, {reported}" if counts.acknowledged else reported
    others = {"rejected": counts.rejected, "set aside": counts.set_aside, "lost": counts.lost}
    return ", ".join([told, *(f"{number} {word}" for word, number in others.items() if number)])


def _is_sent(report: SessionReport) -> bool:
    return any(
        (each.acknowledged or each.reported)
        and each.destination not in {_TERMINAL, "console"}
        and not each.destination.startswith("file:")
        for each in report.destinations
    )


def _age(end: int, now: int) -> Iterator[str]:
    """Say where to look for a session that stores do not show by themselves."""
    if now - end <= SHOWN_BY_DEFAULT:
        return
    yield _line("find it", "this session is older than stores show by default, so open it by its trace id;")
    yield _line("", "Jaeger's search looks back two days: choose Custom Time Range (or raise search.maxLookback);")
    yield _line("", "Tempo finds it by id only, unless ingestion_time_range_slack is raised: see docs/collector.md")
