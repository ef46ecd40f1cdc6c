from __future__ import annotations

import io
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from otel_agent_events.cli.words import SHOWN_BY_DEFAULT, printable, say, session_lines, summary_line
from otel_agent_events.report import DestinationReport, Report, SessionReport
from tests.events import BEGIN, at

STORE = "http://localhost:4318/v1/traces"
any_text = st.text(st.characters(exclude_categories=[]))


def session(destination: str = STORE, **facts: Any) -> SessionReport:
    """Report a session of five spans that went well, but for these facts."""
    counts: dict[str, Any] = {"made": 5, "acknowledged": 5}
    given: dict[str, Any] = {
        "reference": "vectara:support/s1",
        "trace_id": "ab" * 16,
        "start": BEGIN,
        "end": at(9.5),
        "events": 6,
        "destinations": (DestinationReport(destination=destination, **counts),),
        **counts,
    }
    return SessionReport(**given | facts)


def lines(report: SessionReport, *, age: int = 0) -> list[str]:
    """Say what is told of a session that ended so many nanoseconds ago."""
    return list(session_lines(report, now=at(9.5) + age))


# --- one session --------------------------------------------------------------------------------------


def test_a_session_that_arrived_is_told_in_four_lines() -> None:
    assert lines(session()) == [
        "vectara:support/s1  6 events, 5 spans",
        "  trace id   abababababababababababababababab",
        "  time       2023-11-14T22:13:20Z to 2023-11-14T22:13:29.5Z",
        "  sent to    http://localhost:4318/v1/traces: 5 of 5 spans acknowledged",
    ]


def test_what_did_not_arrive_is_told_with_the_words_of_the_destination() -> None:
    refused = DestinationReport(
        destination=STORE, made=5, acknowledged=2, rejected=1, lost=2, messages=("too old", "it broke")
    )

    assert lines(session(destinations=(refused,)))[3:] == [
        "  sent to    http://localhost:4318/v1/traces: 2 of 5 spans acknowledged, 1 rejected, 2 lost",
        "             too old",
        "             it broke",
    ]


def test_records_that_were_met_again_warnings_and_the_error_are_told() -> None:
    told = lines(session(duplicates=3, warnings=("no times", "no agent"), error="it ends on a page key"))

    assert told[0] == "vectara:support/s1  6 events, 3 met again, 5 spans"
    assert told[-3:] == [
        "  warning    no times",
        "  warning    no agent",
        "  error      it ends on a page key",
    ]


def test_a_session_that_was_not_had_is_told_without_a_trace_a_time_and_a_destination() -> None:
    nothing_made = DestinationReport(destination=STORE)
    report = SessionReport(
        reference="vectara:a/b", trace_id="ab" * 16, destinations=(nothing_made,), error="answered 404"
    )

    assert lines(report) == ["vectara:a/b  0 events, 0 spans", "  error      answered 404"]


@pytest.mark.parametrize(("start", "end"), [(None, BEGIN), (BEGIN, None)])
def test_half_a_time_is_not_told(start: int | None, end: int | None) -> None:
    assert not any("time" in line for line in lines(session(start=start, end=end)))


def test_drawing_in_the_terminal_is_not_told_as_sending() -> None:
    assert not any("sent to" in line for line in lines(session("terminal")))


# --- what stores do not show by themselves ------------------------------------------------------------


def test_a_session_that_is_older_than_two_days_comes_with_the_remedy_and_one_that_is_not_does_not() -> None:
    assert lines(session(), age=SHOWN_BY_DEFAULT) == lines(session())
    assert lines(session(), age=-SHOWN_BY_DEFAULT) == lines(session())
    assert lines(session(), age=SHOWN_BY_DEFAULT + 1)[4:] == [
        "  find it    this session is older than stores show by default, so open it by its trace id;",
        "             Jaeger's search looks back two days: choose Custom Time Range (or raise search.maxLookback);",
        "             Tempo finds it by id only, unless ingestion_time_range_slack is raised: see docs/collector.md",
    ]


def test_without_a_given_time_it_is_now_that_counts() -> None:
    assert "find it" in "".join(session_lines(session()))


@pytest.mark.parametrize(
    ("destination", "told"),
    [
        (STORE, True),
        ("http://console:4318/v1/traces", True),
        ("console:4317", True),
        ("terminal:4317", True),
        ("console", False),
        ("terminal", False),
        ("file:out.jsonl", False),
    ],
)
def test_the_remedy_is_for_what_is_in_a_store(destination: str, told: bool) -> None:  # noqa: FBT001 - a column
    shown = lines(session(destination), age=2 * SHOWN_BY_DEFAULT)

    assert any("find it" in line for line in shown) is told


def test_the_remedy_is_for_what_was_acknowledged() -> None:
    lost = DestinationReport(destination=STORE, made=5, lost=5)

    assert "find it" not in "".join(lines(session(destinations=(lost,)), age=2 * SHOWN_BY_DEFAULT))


# --- all sessions -------------------------------------------------------------------------------------


def test_one_session_is_summed_up() -> None:
    report = Report(sessions=(session(),), seconds=0.25)

    assert summary_line(report) == "1 session: 5 of 5 spans acknowledged in 0.25 s"


def test_failed_sessions_are_counted_among_all() -> None:
    rejected = DestinationReport(destination=STORE, made=5, acknowledged=4, rejected=1)
    sessions = (
        session(),
        session(error="answered 404", made=0, acknowledged=0, destinations=()),
        session(acknowledged=4, rejected=1, destinations=(rejected,)),
        session(acknowledged=3, lost=2, destinations=()),
    )

    told = summary_line(Report(sessions=sessions, seconds=1.0))
    assert told == "4 sessions (2 failed): 12 of 15 spans acknowledged, 1 rejected, 2 lost in 1.0 s"


# --- what a terminal would obey -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("as it is, Straße 日本 🙂", "as it is, Straße 日本 🙂"),
        ("", ""),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x9b31m", r"\x9b31m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("one\r\ntwo\tthree", r"one\r\ntwo\tthree"),
        ("back\x08space and \x7f", r"back\x08space and \x7f"),
        ("right to left \u202e", r"right to left \u202e"),
        ("half a pair \ud83d", r"half a pair \ud83d"),
        ("private \U000f0000", r"private \U000f0000"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(any_text)
@example("\x1b[2J\x9b2J\ud800\u2028")
def test_whatever_is_said_can_be_printed(text: str) -> None:
    shown = printable(text)

    assert shown.isprintable()
    assert printable(shown) == shown
    assert shown == text or not text.isprintable()
    shown.encode()


@pytest.mark.parametrize("err", [False, True])
@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "Straße 日本 \\x1b[1m"),
        ("latin-1", "Straße \\u65e5\\u672c \\x1b[1m"),
        ("ascii", "Stra\\xdfe \\u65e5\\u672c \\x1b[1m"),
    ],
)
def test_what_the_encoding_of_the_terminal_does_not_have_is_shown_as_an_escape(
    monkeypatch: pytest.MonkeyPatch,
    encoding: str,
    shown: str,
    err: bool,  # noqa: FBT001 - a column
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stderr" if err else "stdout", io.TextIOWrapper(written, encoding=encoding))

    say("Straße 日本 \x1b[1m", err=err)

    assert written.getvalue() == shown.encode(encoding) + b"\n"


def test_without_a_standard_output_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)

    say("hello")
