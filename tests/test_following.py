"""What sub-agents ran is replayed as well when it is asked for, and every session once."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_events import demo, replay
from otel_agent_events.cli.words import session_lines
from otel_agent_events.otlp.file import ConsoleDestination
from otel_agent_events.testing import LoopbackPlatform
from tests.test_recording import session_of
from tests.traces import lines_of

if TYPE_CHECKING:
    from pathlib import Path

    from otel_agent_events.fetchers.saved import Recording
    from otel_agent_events.report import Report

pytestmark = pytest.mark.usefixtures("here")

ENVIRON = {"VECTARA_API_KEY": "key"}
PARENT, CHILD = "vectara:support/refund_case_88", "vectara:policies/policy_run_17"
LIVE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def runs(name: str, *children: str) -> Recording:
    """Give the session `s` of an agent that runs the sessions `s` of these agents, in this order."""
    records: list[dict[str, Any]] = [{"id": f"{name}_0", "type": "input_message", "messages": []}]
    for number, child in enumerate(children, 1):
        tool = {"tool_call_id": f"c{number}", "tool_name": "sub_agent", "tool_configuration_name": child}
        records.append({"id": f"{name}_{number}_in", "type": "tool_input", **tool})
        output = {"session_key": "s"}
        records.append({"id": f"{name}_{number}_out", "type": "tool_output", **tool, "tool_output": output})
    configurations = {child: {"sub_agent_configuration": {"agent_key": child}} for child in children}
    return session_of(records, session="s", agent=name, tool_configurations=configurations)


def run(platform: LoopbackPlatform, *references: str, **options: Any) -> Report:
    given: dict[str, Any] = {"to": ["file:out"], "environ": ENVIRON, "follow_subagents": True, **options}
    return replay(references, base_url=platform.base_url, **given)


def followed(*played: Recording, named: tuple[str, ...] = ("vectara:a/s",)) -> list[tuple[str, str | None]]:
    """Give which sessions were replayed, and for whom."""
    with LoopbackPlatform(played) as platform:
        report = run(platform, *named)
        pages = [each for each in platform.asked if "/events?" in each]
    assert report.exit_code == 0, report
    assert len(pages) == len(set(pages))
    return [(each.reference, each.subagent_of) for each in report.sessions]


# --- which sessions -----------------------------------------------------------------------------------


def test_without_the_option_nothing_is_followed() -> None:
    with LoopbackPlatform([runs("a", "b"), runs("b")]) as platform:
        report = run(platform, "vectara:a/s", follow_subagents=False)

    assert [each.reference for each in report.sessions] == ["vectara:a/s"]


def test_the_child_of_two_calls_is_replayed_once() -> None:
    assert followed(runs("a", "b", "b"), runs("b")) == [("vectara:a/s", None), ("vectara:b/s", "vectara:a/s")]


def test_the_child_of_two_parents_is_replayed_once_for_the_first() -> None:
    named = ("vectara:a/s", "vectara:b/s")

    assert followed(runs("a", "c"), runs("b", "c"), runs("c"), named=named) == [
        ("vectara:a/s", None),
        ("vectara:b/s", None),
        ("vectara:c/s", "vectara:a/s"),
    ]


def test_the_children_of_children_are_followed_each_for_its_own_parent() -> None:
    assert followed(runs("a", "b", "d"), runs("b", "c"), runs("c"), runs("d")) == [
        ("vectara:a/s", None),
        ("vectara:b/s", "vectara:a/s"),
        ("vectara:d/s", "vectara:a/s"),
        ("vectara:c/s", "vectara:b/s"),
    ]


@pytest.mark.parametrize("circle", [("a", "a"), ("a", "b", "a"), ("a", "b", "c", "a")])
def test_a_circle_comes_to_an_end(circle: tuple[str, ...]) -> None:
    played = [runs(parent, child) for parent, child in pairwise(circle)]

    assert followed(*played) == [
        (f"vectara:{name}/s", f"vectara:{circle[number - 1]}/s" if number else None)
        for number, name in enumerate(circle[:-1])
    ]


@pytest.mark.parametrize("named", [("vectara:a/s", "vectara:b/s"), ("vectara:b/s", "vectara:a/s")])
def test_a_child_that_is_named_as_well_is_replayed_once_as_named(named: tuple[str, ...]) -> None:
    assert followed(runs("a", "b"), runs("b"), named=named) == [(each, None) for each in named]


def test_a_child_that_was_read_from_a_file_is_not_fetched_again(here: Path) -> None:
    (here / "child.json").write_text(runs("b").model_dump_json(), encoding="utf-8")

    assert followed(runs("a", "b"), named=("child.json", "vectara:a/s")) == [
        ("vectara:b/s", None),
        ("vectara:a/s", None),
    ]


# --- what goes wrong ----------------------------------------------------------------------------------


def test_a_child_that_cannot_be_had_has_a_report_of_its_own_and_its_parent_is_fine() -> None:
    with LoopbackPlatform([runs("a", "gone", "b"), runs("b")]) as platform:
        report = run(platform, "vectara:a/s")

    parent, gone, other = report.sessions
    assert (parent.error, other.error, gone.made) == (None, None, 0)
    assert (gone.reference, gone.subagent_of) == ("vectara:gone/s", "vectara:a/s")
    assert str(gone.error).startswith("vectara:gone/s: GET /v2/agents/gone/sessions/s/events?")
    assert "404" in str(gone.error)
    assert report.exit_code == 1


@pytest.mark.parametrize("named", [("vectara:gone/s", "vectara:a/s"), ("vectara:a/s", "vectara:gone/s")])
def test_a_child_that_failed_where_it_was_named_is_not_tried_again(named: tuple[str, ...]) -> None:
    with LoopbackPlatform([runs("a", "gone")]) as platform:
        report = run(platform, *named)

    assert [(each.reference, each.subagent_of) for each in report.sessions] == [(each, None) for each in named]


def test_a_parent_that_breaks_off_does_not_keep_its_children_from_being_followed() -> None:
    broken = runs("a", "b")
    broken.answers[-1].body["metadata"] = {"page_key": "more"}
    with LoopbackPlatform([broken, runs("b")]) as platform:
        report = run(platform, "vectara:a/s")

    parent, child = report.sessions
    assert parent.error is not None
    assert (child.reference, child.error, child.subagent_of) == ("vectara:b/s", None, "vectara:a/s")


def test_the_child_of_a_file_without_credentials_is_reported_once_with_the_reason(here: Path) -> None:
    (here / "parent.json").write_text(runs("a", "b", "b").model_dump_json(), encoding="utf-8")
    (here / "other.json").write_text(runs("c", "b").model_dump_json(), encoding="utf-8")

    report = replay(["parent.json", "other.json"], to=["file:out"], environ={}, follow_subagents=True)

    assert [each.reference for each in report.sessions] == ["vectara:a/s", "vectara:b/s", "vectara:c/s"]
    parent, child, other = report.sessions
    assert (parent.error, other.error, child.made, child.trace_id) == (None, None, 0, None)
    assert child.subagent_of == "vectara:a/s"
    assert child.error == (
        "vectara:b/s was not followed: Vectara wants credentials: set VECTARA_API_KEY (a Personal API key), "
        "or VECTARA_CLIENT_ID and VECTARA_CLIENT_SECRET"
    )
    assert report.exit_code == 1


def test_the_child_of_a_file_is_fetched_with_credentials(here: Path) -> None:
    (here / "parent.json").write_text(runs("a", "b").model_dump_json(), encoding="utf-8")
    with LoopbackPlatform([runs("b")]) as platform:
        report = run(platform, "parent.json")

    assert [(each.reference, each.error) for each in report.sessions] == [("vectara:a/s", None), ("vectara:b/s", None)]


def test_a_child_of_two_parents_that_is_not_tried_any_more_is_told_once() -> None:
    until_told = io.StringIO()
    with LoopbackPlatform([runs("a", "c"), runs("b", "c"), runs("c")]) as platform:
        report = run(
            platform,
            *("vectara:a/s", "vectara:b/s"),
            to=[ConsoleDestination(until_told)],
            told=lambda _: until_told.close(),
        )

    assert [(each.reference, each.made, each.acknowledged) for each in report.sessions] == [
        ("vectara:a/s", 3, 3),
        ("vectara:b/s", 3, 0),
        ("vectara:c/s", 0, 0),
    ]
    assert report.sessions[-1].error == "not tried: no destination takes anything more"


# --- the trace of a child -----------------------------------------------------------------------------


def child_bytes(here: Path, *references: str, **options: Any) -> bytes:
    """Give the lines of the child of the demo session."""
    with LoopbackPlatform(demo.recordings()) as platform:
        report = run(platform, *references, **options)
    assert report.exit_code == 0
    (child,) = (each for each in report.sessions if each.reference == CHILD)
    lines = (here / "out").read_bytes().splitlines(keepends=True)
    assert len(lines) == report.totals.made
    return b"".join(line for line in lines if str(child.trace_id).encode() in line.partition(b'"spanId"')[0])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"traceparent": LIVE},
        {"links": [LIVE]},
        {"traceparent": LIVE, "links": [LIVE]},
    ],
    ids=["plain", "parent", "link", "both"],
)
def test_the_bytes_of_a_child_are_the_same_whether_it_was_named_or_followed(
    options: dict[str, Any], here: Path
) -> None:
    named = child_bytes(here, CHILD, follow_subagents=False)

    assert named.count(b"\n") == 5
    assert child_bytes(here, PARENT, **options) == named


@pytest.mark.parametrize(
    "options",
    [{"turns": True}, {"content": "none"}, {"namespace": "n"}, {"max_value": 100}, {"service_name": "x"}],
    ids=lambda each: next(iter(each)),
)
def test_the_options_of_the_parent_hold_for_the_child(options: dict[str, Any], here: Path) -> None:
    assert child_bytes(here, PARENT, **options) == child_bytes(here, CHILD, follow_subagents=False, **options)


def test_the_parents_tool_span_links_to_the_root_that_was_followed(here: Path) -> None:
    with LoopbackPlatform(demo.recordings()) as platform:
        _, child = run(platform, PARENT).sessions

    spans = lines_of(here / "out")
    (tool,) = (span for span in spans if span["name"] == "execute_tool sub_agent")
    (link,) = tool["links"]
    roots = [span["spanId"] for span in spans if span["traceId"] == child.trace_id and not span.get("parentSpanId")]
    assert (link["traceId"], [link["spanId"]]) == (child.trace_id, roots)


# --- what is said -------------------------------------------------------------------------------------


def test_the_printed_lines_say_for_whom_a_session_ran() -> None:
    with LoopbackPlatform(demo.recordings()) as platform:
        parent, child = run(platform, PARENT).sessions

    assert list(session_lines(child))[:2] == [f"{CHILD}  5 events, 5 spans", f"  ran for    {PARENT}"]
    assert not any("ran for" in line for line in session_lines(parent))
    assert (parent.model_dump()["subagent_of"], child.model_dump()["subagent_of"]) == (None, PARENT)


def test_each_child_is_told_as_soon_as_it_is_known() -> None:
    told: list[str] = []
    with LoopbackPlatform([runs("a", "b"), runs("b")]) as platform:
        report = run(platform, "vectara:a/s", told=lambda each: told.append(each.reference))

    assert told == [each.reference for each in report.sessions] == ["vectara:a/s", "vectara:b/s"]
