from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from otel_agent_events.assemble import assemble
from otel_agent_events.cli.waterfall import Terminal, duration, waterfall
from otel_agent_events.conventions.gen_ai import GenAI
from otel_agent_events.spans import Identity, Resource, Span, SpanBuilder, View
from otel_agent_events.times import MICROSECOND, MILLISECOND, SECOND
from tests.events import agent, at, call, interrupt, note, result, session, sessions_of_events, thinking, user
from tests.otlp.examples import any_span, encoded
from tests.traces import DATA, trace_of

if TYPE_CHECKING:
    from rich.text import Text

    from otel_agent_events.events import Event

OWN = "otel_agent_events."
RESOURCE = Resource({"service.name": "test"})
TRACE = bytes(range(16))
DAY = 86_400


@pytest.fixture(autouse=True)
def _no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


def of(*events: Event, turns: bool = False, **facts: Any) -> list[Span]:
    """Make the spans of a session."""
    told = session(**facts)
    builder = SpanBuilder(told, identity=Identity(view=View(turns=turns)), conventions=[GenAI()], resource=RESOURCE)
    return [builder.build(node) for node in assemble(told, events, turns=turns)]


def span(
    number: int, start: float = 0, end: float | None = None, *, parent: int | None = None, name: str = "", **facts: Any
) -> Span:
    """Make a span by hand, at these seconds; what is no field of it is one of our attributes."""
    own = {f"{OWN}{each.replace('__', '.')}": told for each, told in facts.items() if each != "status"}
    return Span(
        trace_id=TRACE,
        span_id=number.to_bytes(8, "big"),
        parent_id=None if parent is None else parent.to_bytes(8, "big"),
        name=name or f"span {number}",
        kind="internal",
        start=at(start),
        end=at(start if end is None else end),
        varying=own,
        resource=RESOURCE,
        status=facts.get("status", "unset"),
    )


def drawn(spans: list[Span], **options: Any) -> list[str]:
    """Draw, and give all lines without the spaces at their ends."""
    return [line.plain.rstrip() for line in waterfall(spans, **options)]


def rows(spans: list[Span], **options: Any) -> list[str]:
    """Draw, and give the rows of the spans only."""
    return drawn(spans, **options)[1 : len(spans) + 1]


def names(spans: list[Span], **options: Any) -> list[str]:
    """Give the beginnings of the rows, with their indent."""
    return [row[:38].rstrip() for row in rows(spans, **{"width": 120, **options})]


def bars(spans: list[Span], **options: Any) -> list[str]:
    """Give what is in the column of the bars."""
    return [row[27:43] for row in rows(spans, **{"width": 80, **options})]


DOCUMENTED = (DATA / "vectara" / "documented.json").read_bytes()
EVERY_SHAPE = (DATA / "vectara" / "every_shape.json").read_bytes()


# --- the picture --------------------------------------------------------------------------------------


def test_a_session_looks_like_this() -> None:
    assert drawn(trace_of(DOCUMENTED).spans, width=100) == [
        "vectara:/ase_customer_support_001  trace b485ed649b99a95f6f5ebc68b81fe733  2024-01-15T10:35:00Z, 4 s",
        "invoke_agent                      ━━━━━━━━━━━━━━━━━━━━         4 s  My widget does not go in.",
        "  user_message                    ╵                              0  My widget does not go in.",
        "  thinking                        ━━━━━                        1 s~ Somebody cannot install a widge…",
        '  execute_tool knowledge_base_se…           ━━━━━              1 s  {"query":"install widget","max_…',
        "  agent_output                                   ━━━━━         1 s~ Let us do that together. Turn i…",
        "~ a time that was inferred",
    ]


def test_in_a_narrow_terminal_names_and_bars_give_way_to_what_happened() -> None:
    assert drawn(trace_of(DOCUMENTED).spans, width=70)[1:4] == [
        "invoke_agent            ━━━━━━━━━━━━━━         4 s  My widget does no…",
        "  user_message          ╵                        0  My widget does no…",
        "  thinking              ━━━━                   1 s~ Somebody cannot i…",
    ]


def test_a_terminal_that_has_no_other_characters_gets_ascii() -> None:
    spans = of(
        user("1", 0, "Straße? 日本 …"),
        call("2", 1, tool="検索"),
        result("3", 1.000002, result="→ \x1b[1m"),
        thinking("4", 3),
        agent_name="Straße",
    )

    lines = drawn(spans, width=120, ascii_only=True, contents=True)

    assert "\n".join(lines).isascii()
    assert [line for line in lines if not line.startswith("    ")] == [
        "vectara:support/s1  trace " + spans[0].trace_id.hex() + "  2023-11-14T22:13:20Z, 3 s",
        r"invoke_agent Stra\xdfe                 ========================         3 s  Stra\xdfe? \u65e5\u672c ...",
        r"  user_message                         |                                  0  Stra\xdfe? \u65e5\u672c ...",
        r"  execute_tool \u691c\u7d22                    =                       2 us  -> \x1b[1m",
        "  thinking                                     ================      1.99 s~ hm",
        "~ a time that was inferred",
    ]
    assert r"      result: -> \x1b[1m" in lines


def test_all_that_a_platform_may_send_is_drawn() -> None:
    spans = trace_of(EVERY_SHAPE).spans

    lines = drawn(spans, contents=True, width=100)

    assert all(line.isprintable() for line in lines)
    assert len(drawn(spans)) == len(spans) + 2


# --- rows ---------------------------------------------------------------------------------------------


def test_rows_are_in_the_order_of_their_start_whatever_the_order_of_the_spans() -> None:
    spans = [
        span(5, 3, parent=1),
        span(4, 2, 3, parent=2),
        span(3, 1.5, parent=2),
        span(2, 1, 4, parent=1),
        span(1, 0, 9),
    ]
    picture = ["span 1", "  span 2", "    span 3", "    span 4", "  span 5"]

    assert names(spans) == names(spans[::-1]) == picture


def test_spans_that_start_together_are_in_the_order_of_their_events() -> None:
    spans = [span(number, event__index=12 - number, parent=1) for number in range(2, 12)]

    assert names([*spans, span(1)]) == ["span 1", *(f"  span {number}" for number in range(11, 1, -1))]


def test_turns_are_nested_and_in_their_order_even_when_they_start_together() -> None:
    events = user("1", 0, "first"), agent("2", 0, "one"), user("3", 0, "second"), agent("4", 0, "two")
    spans = of(*events, turns=True, agent_name="Desk")

    expected = [
        "invoke_agent Desk",
        "  invoke_agent Desk",
        "    user_message",
        "    agent_output",
        "  invoke_agent Desk",
        "    user_message",
        "    agent_output",
    ]
    assert names(spans) == names(spans[::-1]) == expected
    assert [row.split()[-1] for row in rows(spans)] == ["first", "first", "first", "one", "second", "second", "two"]


def test_spans_without_their_root_are_drawn_at_the_top_and_the_title_says_so() -> None:
    title, first, second = drawn([span(3, 2, parent=2), span(2, 1, parent=1)], width=120)

    assert title == (
        "a session that was not read to its end  trace 000102030405060708090a0b0c0d0e0f  2023-11-14T22:13:21Z, 1 s"
    )
    assert (first[:10], second[:10]) == ("span 2    ", "  span 3  ")


def test_a_session_under_a_live_span_is_drawn_at_the_top() -> None:
    assert names([span(2, parent=1), span(1, parent=99, session__reference="vectara:a/s")]) == ["span 1", "  span 2"]


def test_the_title_names_the_session_wherever_its_root_is() -> None:
    spans = of(user("1", 0), agent("2", 1))

    assert drawn(spans)[0] == drawn(spans[::-1])[0]
    assert drawn(spans)[0].startswith("vectara:support/s1  trace ")


# --- bars ---------------------------------------------------------------------------------------------


def test_bars_are_to_the_scale_of_the_whole_trace() -> None:
    spans = [
        span(1, 0, 16),
        span(2, 0, 4, parent=1),
        span(3, 4, 8, parent=1),
        span(4, 8, 16, parent=1),
        span(5, 15, 16, parent=1),
    ]

    assert bars(spans) == [
        "━━━━━━━━━━━━━━━━",
        "━━━━            ",
        "    ━━━━        ",
        "        ━━━━━━━━",
        "               ━",
    ]


def test_a_point_is_a_tick_and_what_is_too_short_to_see_fills_one_cell() -> None:
    spans = [span(1, 0, 16), span(2, 0), span(3, 8), span(4, 8.1, 8.2), span(5, 16), span(6, 15.999, 16)]

    assert sorted(bars(spans)) == sorted(
        [
            "━━━━━━━━━━━━━━━━",
            "╵               ",
            "        ╵       ",
            "        ━       ",
            "               ╵",
            "               ━",
        ]
    )


def test_a_session_of_no_length_is_a_tick() -> None:
    lines = drawn(of(user("1", 0), note("2", 0)))

    assert lines[0].endswith("2023-11-14T22:13:20Z, 0")
    assert [line[39:75].split() for line in lines[1:]] == [["╵", "0"]] * 3


def test_a_session_without_events_is_its_root() -> None:
    assert len(drawn(of())) == 3


# --- what is said in a row ----------------------------------------------------------------------------


def test_times_that_were_not_recorded_are_marked_and_explained() -> None:
    recorded, inferred, invented = (
        span(number, timing=timing) for number, timing in enumerate(("recorded", "inferred", "synthetic"), 1)
    )

    assert [line[-3:] for line in drawn([recorded, inferred, invented])[1:4]] == ["  0", " 0~", " 0?"]
    assert drawn([recorded])[2:] == []
    assert drawn([inferred])[2:] == ["~ a time that was inferred"]
    assert drawn([invented])[2:] == ["? a time that was invented"]
    assert drawn([invented, recorded, inferred])[4:] == ["~ a time that was inferred  ? a time that was invented"]


def test_a_timing_that_is_not_known_here_and_none_at_all_are_drawn_without_a_mark() -> None:
    assert {line[-3:] for line in rows([span(1, timing="guessed"), span(2)])} == {"  0"}


def test_failures_and_outcomes_are_told_before_the_summary() -> None:
    spans = of(
        user("1", 0, "go"),
        call("2", 1, "a", tool="broken", arguments={"q": 1}),
        result("3", 2, "a", tool="broken", result="no", failed=True),
        call("4", 3, "b", tool="silent", arguments={"q": 2}),
        result("5", 4, "c", tool="nobody_called", result="late"),
        interrupt("6", 5),
        call("7", 6, "d", tool="running", arguments={"q": 3}),
        complete=False,
    )

    said = [row[81:] for row in rows(spans, width=140)]
    assert sorted(said) == sorted(
        [
            "SESSION_INTERRUPTED go",
            "go",
            'TOOL_ERROR {"q":1} → no',
            'CANCELLED {"q":2}',
            "orphan_output late",
            "SESSION_INTERRUPTED",
            'unfinished {"q":3}',
        ]
    )


def test_a_failure_without_a_type_is_an_error() -> None:
    assert rows([span(1, status="error", summary="what happened")])[0].endswith(" ERROR what happened")


def test_a_failure_is_red_and_each_kind_has_its_colour() -> None:
    _, root, failed, thought, odd = waterfall(
        [
            span(1, 0, 9, event__kind="session"),
            span(2, 1, 2, parent=1, event__kind="tool_call", status="error"),
            span(3, 3, parent=1, event__kind="thinking"),
            span(4, 4, parent=1, event__kind="note"),
        ]
    )

    assert styles(root) == {"bold", "dim"}
    assert styles(failed) == {"cyan", "red", "dim", "bold red"}
    assert styles(thought) == {"magenta", "dim"}
    assert styles(odd) == {"yellow", "dim"}


def styles(line: Text) -> set[str]:
    return {str(each.style) for each in line.spans}


@pytest.mark.parametrize(
    "text",
    ["a" * 300, "日本語の長い文章" * 30, "é" * 300, "🙂👩\u200d💻" * 50, "\x1b[31m" * 60, "e\u0301" * 200],
    ids=["ascii", "wide", "narrow", "emoji", "escapes", "combining"],
)
@pytest.mark.parametrize("width", [120, 81, 80, 60, 41, 40, 20, 1])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_long_names_and_summaries_are_cut_at_the_width(text: str, width: int, ascii_only: bool) -> None:  # noqa: FBT001
    spans = [span(1, 0, 9, name=text, summary=text, status="error"), span(2, 1, 3, parent=1, name="ok", summary="fine")]

    for row in list(waterfall(spans, width=width, ascii_only=ascii_only))[1:]:
        assert cell_len(row.plain) <= width
        assert row.plain.isprintable()


def test_columns_stay_in_line_whatever_the_names_are_made_of() -> None:
    texts = ["short", "日本語の長い名前です" * 5, "日本語", "e\u0301te\u0301", "a" * 90, "🙂" * 40, "x" + "語" * 40]
    spans = [span(number, name=text, summary="|") for number, text in enumerate(texts)]

    for width in (80, 81, 100, 140):
        assert len({cell_len(row[: row.index("|")]) for row in rows(spans, width=width)}) == 1


def test_what_is_cut_ends_on_an_ellipsis() -> None:
    (row,) = rows([span(1, name="n" * 50, summary="s" * 99)], width=80)

    assert row.startswith("n" * 25 + "… ")
    assert row.endswith("s…")
    assert cell_len(row) == 80


@given(
    st.lists(any_span(), min_size=1, max_size=6, unique_by=lambda each: each.span_id),
    st.integers(1, 200),
    st.booleans(),
)
def test_any_spans_are_drawn_once_each_within_the_width(spans: list[Span], width: int, ascii_only: bool) -> None:  # noqa: FBT001
    alone = [
        Span(**{name: getattr(each, name) for name in Span.__dataclass_fields__} | {"parent_id": None})
        for each in spans
    ]
    lines = list(waterfall(alone, width=width, ascii_only=ascii_only, contents=True))

    assert len(lines) >= len(spans) + 1
    assert all(line.plain.isprintable() for line in lines)
    assert all(cell_len(row) <= width for row in rows(alone, width=width, ascii_only=ascii_only))


@given(sessions_of_events(), st.booleans())
def test_any_session_is_drawn_with_one_row_for_each_span(events: list[Event], turns: bool) -> None:  # noqa: FBT001
    spans = of(*events, turns=turns)

    lines = drawn(spans, width=100)

    assert 1 + len(spans) <= len(lines) <= 2 + len(spans)
    assert lines[1].startswith("invoke_agent")
    assert lines == drawn(spans[::-1], width=100)


# --- contents -----------------------------------------------------------------------------------------


def test_contents_are_shown_under_their_rows_when_asked_for() -> None:
    spans = of(
        user("1", 0, "hello\nthere"),
        call("2", 1, arguments={"q": "x"}, remainder={"extra": 1}),
        result("3", 2, result={"found": 0}, remainder={"more": 2}),
        call("4", 3, "b"),
        result("5", 4, "b", result="bad\x1b[1m", failed=True),
        note("6", 5, name="step", attributes={"from": "a"}, content={"why": "because"}),
    )

    contents = [line for line in drawn(spans, contents=True) if line not in drawn(spans)]

    said = '[{"role":"user","parts":[{"type":"text","content":"hello\\nthere"}]}]'
    assert contents == [
        f"    input: {said}",
        f"      input: {said}",
        '      arguments: {"q":"x"}',
        '      result: {"found":0}',
        '      raw: {"extra":1}',
        '      raw result: {"more":2}',
        "      error: bad\\x1b[1m",
        "      note.from: a",
        "      note.why: because",
    ]


def test_a_note_with_many_members_is_shown_as_one() -> None:
    spans = of(note("1", 0, content={f"member_{number}": number for number in range(99)}))

    assert '      note: {"member_0":0,' in "\n".join(drawn(spans, contents=True))


def test_the_names_that_a_platform_gives_are_shown_as_harmless_as_its_values() -> None:
    spans = of(note("1", 0, content={"\x1b[31m": "\x9b2J"}))

    assert drawn(spans, contents=True)[-1] == "      note.\\x1b[31m: \\x9b2J"


# --- durations ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nanoseconds", "written"),
    [
        (0, "0"),
        (1, "1 ns"),
        (999, "999 ns"),
        (MICROSECOND, "1 µs"),
        (1_500, "1.5 µs"),
        (999_999, "999 µs"),
        (MILLISECOND, "1 ms"),
        (1_234_567, "1.23 ms"),
        (99_999_999, "99.9 ms"),
        (SECOND - 1, "999 ms"),
        (SECOND, "1 s"),
        (1_999_999_999, "1.99 s"),
        (10 * SECOND, "10 s"),
        (60 * SECOND - 1, "59.9 s"),
        (60 * SECOND, "1 min 0 s"),
        (61 * SECOND + 999 * MILLISECOND, "1 min 1 s"),
        (3600 * SECOND - 1, "59 min 59 s"),
        (3600 * SECOND, "1 h 0 min"),
        (DAY * SECOND - 1, "23 h 59 min"),
        (DAY * SECOND, "1 d 0 h"),
        (9_999 * DAY * SECOND + 23 * 3600 * SECOND, "9999 d 23 h"),
        (2**64 - 1, "213503 d 23 h"),
    ],
)
def test_durations_are_written_in_at_most_two_units(nanoseconds: int, written: str) -> None:
    assert duration(nanoseconds) == written


@given(st.integers(0, 9_999 * DAY * SECOND))
def test_any_duration_fits_its_column_and_is_never_longer_than_it_was(nanoseconds: int) -> None:
    written = duration(nanoseconds)

    units = {
        "ns": 1, "µs": MICROSECOND, "ms": MILLISECOND, "s": SECOND, "min": 60 * SECOND, "h": 3600 * SECOND,
        "d": DAY * SECOND,
    }  # fmt: skip
    words = written.split() if nanoseconds else []
    told = sum(float(number) * units[unit] for number, unit in zip(words[::2], words[1::2], strict=True))
    assert len(written) <= 11
    assert told <= nanoseconds * (1 + 1e-12)
    assert nanoseconds - told <= nanoseconds / 24


# --- the destination ----------------------------------------------------------------------------------


def test_a_terminal_draws_a_trace_when_it_is_complete_and_says_that_it_did() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream=stream)
    spans = of(user("1", 0), agent("2", 1))

    terminal.submit(encoded(spans[:1]))
    terminal.submit(encoded(spans[1:2], first=1))
    assert (stream.getvalue(), terminal.outcomes()) == ("", [])
    terminal.submit(encoded(spans[2:], first=2))

    (outcome,) = terminal.outcomes()
    assert outcome.spans == range(3)
    assert (outcome.destination, outcome.acknowledged, outcome.rejected, outcome.lost) == ("terminal", 3, 0, 0)
    assert stream.getvalue().startswith("vectara:support/s1  trace ")
    assert stream.getvalue().endswith("\n\n")
    terminal.close()
    terminal.abandon()
    assert stream.getvalue().count("trace") == 1
    assert terminal.outcomes() == []


def test_spans_of_two_owners_are_drawn_apart_though_they_come_in_turns() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream=stream)
    one, two = of(user("1", 0), agent("2", 1)), of(user("1", 0), agent("2", 1), note("3", 2))

    terminal.submit(encoded(one[:2], owner="one"))
    terminal.submit(encoded(two[:2], owner="two"))
    terminal.submit(encoded(two[2:], owner="two", first=2))
    terminal.submit(encoded(one[2:], owner="one", first=2))

    assert [(each.owner, each.first, each.acknowledged) for each in terminal.outcomes()] == [
        ("two", 0, len(two)),
        ("one", 0, len(one)),
    ]


def test_a_trace_that_has_no_root_is_drawn_at_the_end() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream=stream)
    terminal.submit(encoded(of(user("1", 0), agent("2", 1))[:2]))
    assert (stream.getvalue(), terminal.outcomes()) == ("", [])

    terminal.flush()

    (outcome,) = terminal.outcomes()
    assert (outcome.acknowledged, stream.getvalue().count("  trace ")) == (2, 1)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1", "cp1252", "shift-jis", "ascii"])
def test_a_terminal_of_any_encoding_is_drawn_in(encoding: str) -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding=encoding)
    terminal = Terminal(stream=stream, contents=True)

    terminal.submit(encoded(of(user("1", 0, "日本語 Straße 🙂"), thinking("2", 0.000002), agent_name="日本")))
    terminal.close()
    stream.flush()

    text = written.getvalue().decode(encoding)
    assert ("日本語 Straße 🙂" in text) is encoding.startswith("utf")
    assert ("\\u65e5\\u672c" in text) is not encoding.startswith("utf")
