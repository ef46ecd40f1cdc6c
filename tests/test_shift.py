"""A session is moved in time as a whole, for stores that refuse or hide what is old."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from otel_agent_events import UsageError, replay
from otel_agent_events.cli import main
from otel_agent_events.ids import ROOT, span_id
from otel_agent_events.testing import LoopbackPlatform
from otel_agent_events.times import LATEST, SECOND
from tests.otlp.collectors import http_collector
from tests.recordings import bundled
from tests.reruns import KEY, recorded, url_of
from tests.traces import lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_agent_events.report import SessionReport

pytestmark = pytest.mark.usefixtures("here")

OWN = "otel_agent_events."
PARENT, CHILD = "vectara:support/refund_case_88", "vectara:policies/policy_run_17"
THEN = 1_900_000_000 * SECOND + 7
"""2030-03-17T17:46:40.000000007Z."""


@pytest.fixture
def platform() -> Iterator[LoopbackPlatform]:
    with LoopbackPlatform(bundled("vectara"), headers={"x-api-key": KEY}) as platform:
        yield platform


@pytest.fixture
def saved(here: Path) -> str:
    """Give a file with a session of 60 events."""
    (here / "saved.json").write_text(recorded(60).model_dump_json(), encoding="utf-8")
    return "saved.json"


def moved(saved: str, shift_to: str | int | None, **options: Any) -> tuple[SessionReport, list[dict[str, Any]]]:
    """Replay a file into another one; give what is said of it, and its spans, the root last."""
    given: dict[str, Any] = {"to": ["file:out"], "environ": {}, "shift_to": shift_to, **options}
    (told,) = replay([saved], **given).sessions
    assert told.error is None
    return told, lines_of_file()


def lines_of_file(name: str = "out") -> list[dict[str, Any]]:

    return lines_of(Path(name))


def start(span: dict[str, Any]) -> int:
    return int(span["startTimeUnixNano"])


def end(span: dict[str, Any]) -> int:
    return int(span["endTimeUnixNano"])


def view(root: dict[str, Any]) -> str:
    told: str = root["attributes"][f"{OWN}view"]
    return told


# --- where it lands -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shift_to",
    [THEN, "2030-03-17T17:46:40.000000007Z", "2030-03-17T18:46:40.000000007+01:00"],
)
def test_the_session_ends_at_the_time_to_the_nanosecond(saved: str, shift_to: str | int) -> None:
    told, spans = moved(saved, shift_to)

    assert end(spans[-1]) == told.end == THEN
    assert start(spans[-1]) == told.start
    assert max(end(span) for span in spans) == THEN


def test_now_is_the_time_of_the_replay(saved: str) -> None:
    before = time.time_ns()
    _, spans = moved(saved, "now")
    after = time.time_ns()

    assert before <= end(spans[-1]) <= after
    assert f";shift={end(spans[-1])}" in view(spans[-1])


def test_durations_and_distances_stay(saved: str) -> None:
    _, there = moved(saved, None)
    _, here = moved(saved, THEN)

    by = THEN - end(there[-1])
    assert [(start(span), end(span)) for span in here] == [(start(span) + by, end(span) + by) for span in there]
    assert len({end(span) - start(span) for span in here}) > 3


def test_the_root_says_by_how_much_and_nothing_else_is_changed(saved: str) -> None:
    _, there = moved(saved, None)
    _, here = moved(saved, THEN)

    only_here = [
        dict(span["attributes"].items() - old["attributes"].items()) for span, old in zip(here, there, strict=True)
    ]
    assert only_here[:-1] == [{}] * (len(here) - 1)
    assert only_here[-1] == {
        f"{OWN}session.shift": THEN - end(there[-1]),
        f"{OWN}view": f"{view(there[-1])};shift={THEN}",
    }


def test_a_session_that_was_moved_has_other_ids(saved: str) -> None:
    _, there = moved(saved, None)
    _, here = moved(saved, THEN)
    _, later = moved(saved, THEN + 1)

    traces = [{span["traceId"] for span in spans} for spans in (there, here, later)]
    assert [len(each) for each in traces] == [1, 1, 1]
    assert len(set.union(*traces)) == 3
    ids = [span["spanId"] for spans in (there, here, later) for span in spans]
    assert len(ids) == len(set(ids))


def test_the_same_time_gives_the_same_bytes(saved: str, here: Path) -> None:
    for name in ("one", "two"):
        moved(saved, THEN)
        (here / "out").rename(here / name)

    assert (here / "one").read_bytes() == (here / "two").read_bytes()


def test_a_session_that_ends_there_already_says_of_no_shift(saved: str) -> None:
    told, _ = moved(saved, None)
    assert told.end is not None

    _, spans = moved(saved, told.end)

    assert (start(spans[-1]), end(spans[-1])) == (told.start, told.end)
    assert f"{OWN}session.shift" not in spans[-1]["attributes"]
    assert view(spans[-1]).endswith(f";shift={told.end}")


def test_each_session_ends_at_the_time(platform: LoopbackPlatform) -> None:
    report = replay(
        [PARENT, CHILD],
        to=["file:out"],
        base_url=platform.base_url,
        environ={"VECTARA_API_KEY": KEY},
        shift_to=THEN,
    )

    assert [told.end for told in report.sessions] == [THEN, THEN]
    roots = [span for span in lines_of_file() if not span.get("parentSpanId")]
    assert len({root["attributes"][f"{OWN}session.shift"] for root in roots}) == 2


def test_all_parts_are_moved_by_the_same(saved: str) -> None:
    _, there = moved(saved, None)
    told, here = moved(saved, THEN, max_trace_bytes=10_000)

    roots = [span for span in here if not span.get("parentSpanId")]
    assert len(told.parts) == len(roots) > 2
    assert {root["attributes"][f"{OWN}session.shift"] for root in roots} == {THEN - end(there[-1])}
    assert max(end(span) for span in here) == THEN


def test_the_link_to_a_subagent_is_that_of_its_moved_session(platform: LoopbackPlatform) -> None:
    replay(
        [PARENT],
        to=["file:out"],
        base_url=platform.base_url,
        environ={"VECTARA_API_KEY": KEY},
        shift_to=THEN,
        follow_subagents=True,
    )

    parent, child = (span for span in lines_of_file() if not span.get("parentSpanId"))
    linked = [link for span in lines_of_file() for link in span.get("links", [])]
    assert [(link["traceId"], link["spanId"]) for link in linked] == [(child["traceId"], child["spanId"])]
    assert child["spanId"] == span_id(bytes.fromhex(child["traceId"]), ROOT).hex()
    assert parent["traceId"] != child["traceId"]
    assert view(parent) == view(child)


# --- at the ends of time ------------------------------------------------------------------------------


def test_what_would_lie_before_1970_lies_at_its_beginning(saved: str) -> None:
    told, spans = moved(saved, 5)

    assert (told.start, told.end) == (0, 5)
    assert (start(spans[-1]), end(spans[-1])) == (0, 5)
    assert all(0 <= start(span) <= end(span) <= 5 for span in spans)


def test_a_session_may_end_when_time_began(saved: str) -> None:
    told, spans = moved(saved, 0)

    assert (told.start, told.end) == (0, 0)
    assert {(start(span), end(span)) for span in spans} == {(0, 0)}


def test_a_session_may_end_when_time_ends(saved: str) -> None:
    whole, _ = moved(saved, None)
    told, spans = moved(saved, LATEST)

    assert whole.start is not None
    assert whole.end is not None
    assert (start(spans[-1]), end(spans[-1])) == (LATEST - (whole.end - whole.start), LATEST)
    assert (told.start, told.end) == (start(spans[-1]), LATEST)


def test_a_shift_that_no_integer_of_otlp_holds_is_written_as_text(here: Path) -> None:
    (here / "undated.jsonl").write_text(
        '{"session": {"id": "one", "platform": "acme"}}\n{"kind": "user_message", "id": "1", "text": "hi"}\n',
        encoding="utf-8",
    )

    _, spans = moved("undated.jsonl", LATEST)

    shift = spans[-1]["attributes"][f"{OWN}session.shift"]
    assert isinstance(shift, str)
    assert 2**63 <= int(shift) <= LATEST
    assert end(spans[-1]) == LATEST


# --- what is no time ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shift_to", ["", "yesterday", "NOW ", "12", "2026-13-01T00:00:00Z", "1969-12-31T23:59:59Z", -1, LATEST + 1]
)
def test_what_is_no_time_is_refused(saved: str, here: Path, shift_to: str | int) -> None:
    with pytest.raises(UsageError, match=r"it is now, or a time such as 2026-01-31T12:00:00Z"):
        replay([saved], to=["file:out"], environ={}, shift_to=shift_to)

    assert not (here / "out").exists()


def test_the_command_line_refuses_what_is_no_time(saved: str) -> None:
    result = CliRunner().invoke(main, ["replay", saved, "--to", "file:out", "--shift-to", "yesterday"])

    assert result.exit_code == 2
    assert "--shift-to is 'yesterday'" in result.stderr
    assert "Traceback" not in result.output


def test_the_command_line_moves_a_session(saved: str) -> None:
    given = ["replay", saved, "--to", "file:out", "--shift-to", "2030-03-17T17:46:40.000000007Z"]

    result = CliRunner().invoke(main, given)

    assert result.exit_code == 0, result.output
    assert end(lines_of_file()[-1]) == THEN


# --- asking the platform ------------------------------------------------------------------------------


@pytest.mark.parametrize(("pages", "times"), [(1, 1), (20, 1), (45, 2)])
def test_a_short_session_is_asked_for_once_and_a_long_one_twice(pages: int, times: int) -> None:
    with LoopbackPlatform([recorded(10 * pages, per_page=10)]) as platform:
        report = replay(
            ["vectara:big/one"],
            to=["file:out"],
            base_url=platform.base_url,
            environ={"VECTARA_API_KEY": KEY},
            shift_to=THEN,
        )
        asked = Counter(each for each in platform.asked if "/events?" in each)

    assert report.exit_code == 0, report
    assert len(asked) >= pages
    assert set(asked.values()) == {times}
    assert report.sessions[0].end == THEN


def test_a_session_that_is_there_is_asked_for_once_and_not_sent(here: Path) -> None:
    told = []
    with http_collector() as collector:
        for _ in range(2):
            with LoopbackPlatform([recorded(20)]) as platform:
                report = replay(
                    ["vectara:big/one"],
                    endpoint=collector.url,
                    ledger=url_of(here),
                    base_url=platform.base_url,
                    environ={"VECTARA_API_KEY": KEY},
                    shift_to=THEN,
                )
                assert set(Counter(each for each in platform.asked if "/events?" in each).values()) == {1}
            told.append(report.sessions[0])

    assert [each.unchanged for each in told] == [False, True]
    assert [each.end for each in told] == [THEN, THEN]
    assert len(collector.ids) == len(set(collector.ids)) == told[0].made


def test_a_session_that_cannot_be_read_to_its_end_is_not_sent() -> None:
    recording = recorded(30, per_page=10)
    cut = recording.model_copy(update={"answers": recording.answers[:-1]})
    with LoopbackPlatform([cut]) as platform:
        report = replay(
            ["vectara:big/one"],
            to=["file:out"],
            base_url=platform.base_url,
            environ={"VECTARA_API_KEY": KEY},
            shift_to=THEN,
        )

    (told,) = report.sessions
    assert (report.exit_code, told.made) == (1, 0)
    assert told.error is not None
    assert told.error.endswith("nothing of it was sent")
