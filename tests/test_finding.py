"""A session of which only the id is known is looked for where the platform can tell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_events import UsageError, replay
from otel_agent_events.fetchers import vectara
from otel_agent_events.fetchers.saved import RecordedAnswer, Recording
from otel_agent_events.testing import LoopbackPlatform, Reply
from tests.fetchers.test_client import install_diary
from tests.test_recording import session_of

if TYPE_CHECKING:
    from pathlib import Path

    from otel_agent_events.report import Report, SessionReport

pytestmark = pytest.mark.usefixtures("here")

ENVIRON = {"VECTARA_API_KEY": "key"}
RECORD = {"id": "1", "type": "thinking", "created_at": "2026-01-01T00:00:00Z"}
WRITTEN = "; name it as vectara:AGENT/SESSION"


def listing(*pages: list[str]) -> Recording:
    """Give the list of agents, page by page."""
    answers = []
    for number, agents in enumerate(pages):
        query = {"limit": "100"} if number == 0 else {"limit": "100", "page_key": f"p{number}"}
        more = {} if number + 1 == len(pages) else {"page_key": f"p{number + 1}"}
        body = {"agents": [{"key": agent, "name": agent} for agent in agents], "metadata": more}
        answers.append(RecordedAnswer(label="agents", path="/v2/agents", query=query, body=body))
    return Recording(recording=1, session="vectara:any/any", answers=answers)


def of(*agents: str, session: str = "s1") -> list[Recording]:
    """Give a session of this key in each of these agents."""
    return [session_of([RECORD], session=session, agent=agent) for agent in agents]


def run(platform: LoopbackPlatform, *references: str, **options: Any) -> Report:
    return replay(references, to=["file:out"], base_url=platform.base_url, **{"environ": ENVIRON, **options})


def found(*recordings: Recording, reference: str = "vectara:s1") -> SessionReport:
    with LoopbackPlatform(recordings) as platform:
        (report,) = run(platform, reference).sessions
    return report


# --- what is found ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", ["vectara:s1", "vectara:/s1"])
def test_one_session_is_found_and_it_is_said_where_it_was_looked_for(reference: str) -> None:
    report = found(listing(["orders", "support", "policies"]), *of("support"), reference=reference)

    assert (report.reference, report.error, report.events) == ("vectara:support/s1", None, 1)
    assert report.warnings == ("'s1' was looked for in 3 agents that this key can list, and is vectara:support/s1",)


def test_what_was_found_is_the_same_trace_as_what_was_named(here: Path) -> None:
    found(listing(["support"]), *of("support"))
    looked_for = (here / "out").read_bytes()
    found(*of("support"), reference="vectara:support/s1")

    assert looked_for == (here / "out").read_bytes()


def test_every_page_of_the_agents_is_asked_for_and_each_agent_once() -> None:
    with LoopbackPlatform([listing(["a", "b"], [], ["support"]), *of("support")]) as platform:
        report = run(platform, "vectara:s1").sessions[0]
        asked = platform.asked

    assert report.error is None
    assert asked[:6] == [
        "GET /v2/agents?limit=100",
        "GET /v2/agents/a/sessions/s1",
        "GET /v2/agents/b/sessions/s1",
        "GET /v2/agents?limit=100&page_key=p1",
        "GET /v2/agents?limit=100&page_key=p2",
        "GET /v2/agents/support/sessions/s1",
    ]


def test_a_session_key_is_decoded_before_it_is_looked_for() -> None:
    report = found(listing(["support"]), *of("support", session="case/8 8"), reference="vectara:case%2F8%208")

    assert report.reference == "vectara:support/case%2F8%208"


def test_an_agent_that_refuses_to_tell_is_counted_and_costs_no_other() -> None:
    played = [listing(["secret", "support"]), *of("support")]
    with LoopbackPlatform(played) as platform:
        platform.faults["/v2/agents/secret/sessions/s1"].append(Reply(status=403))
        (report,) = run(platform, "vectara:s1").sessions

    assert (report.reference, report.error) == ("vectara:support/s1", None)
    assert report.warnings == (
        "'s1' was looked for in 2 agents that this key can list (1 of them refused to tell), and is vectara:support/s1",
    )


# --- what is not --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agents", "where"),
    [
        ([["a", "b"], ["c"]], "3 agents that this key can list"),
        ([["a"]], "1 agent that this key can list"),
        ([[]], "0 agents that this key can list"),
    ],
)
def test_a_session_that_is_nowhere_says_where_it_was_looked_for(agents: list[list[str]], where: str) -> None:
    report = found(listing(*agents), *of("elsewhere"))

    assert report.error == f"vectara:/s1: 's1' was looked for in {where}, and is not there{WRITTEN}"
    assert (report.reference, report.trace_id, report.made) == ("vectara:s1", None, 0)


def test_a_session_that_is_in_several_agents_names_them_all() -> None:
    report = found(listing(["a", "b", "c d"]), *of("a", "c d"))

    assert report.error == (
        "vectara:/s1: 's1' was looked for in 3 agents that this key can list, and is there 2 times; "
        "name one of vectara:a/s1, vectara:c%20d/s1"
    )


def test_an_agent_that_is_listed_twice_has_the_session_once() -> None:
    report = found(listing(["support", "a"], ["a", "support"]), *of("support"))

    assert (report.reference, report.error) == ("vectara:support/s1", None)


def test_pages_that_go_round_in_a_circle_come_to_an_end() -> None:
    circle = listing(["a"], ["b"], ["support"])
    circle.answers[-1].body["metadata"] = {"page_key": "p1"}
    with LoopbackPlatform([circle, *of("support")]) as platform:
        (report,) = run(platform, "vectara:s1").sessions
        listed = [each for each in platform.asked if each.startswith("GET /v2/agents?")]

    assert report.reference == "vectara:support/s1"
    assert len(listed) == 3


def test_more_agents_than_are_worth_a_request_each_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectara, "MOST_AGENTS", 2)
    with LoopbackPlatform([listing(["a", "b", "support"]), *of("support")]) as platform:
        (report,) = run(platform, "vectara:s1").sessions
        assert "GET /v2/agents/support/sessions/s1" not in platform.asked

    assert report.error == (
        "vectara:/s1: 's1' was looked for in the first 2 agents that this key can list, and is not there" + WRITTEN
    )


def test_exactly_as_many_agents_as_are_asked_are_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectara, "MOST_AGENTS", 2)

    report = found(listing(["a", "b"]))

    assert (
        report.error
        == f"vectara:/s1: 's1' was looked for in 2 agents that this key can list, and is not there{WRITTEN}"
    )


def test_a_list_of_agents_that_cannot_be_had_fails_this_session_only() -> None:
    with LoopbackPlatform(of("support")) as platform:
        platform.faults["/v2/agents"].append(Reply(status=403, body=b'{"messages":["no list for you"]}'))
        report = run(platform, "vectara:s9", "vectara:support/s1")

    failed, fine = report.sessions
    assert failed.error == (
        "vectara:/s9: GET /v2/agents?limit=100 answered 403 Forbidden: no list for you. "
        "This key may not read agent sessions; a Personal API key may"
    )
    assert (fine.error, report.exit_code) == (None, 1)


@pytest.mark.parametrize("body", [b"null", b"[]", b'{"agents": 7}'])
def test_a_list_of_agents_that_is_none_is_an_error(body: bytes) -> None:
    with LoopbackPlatform() as platform:
        platform.faults["/v2/agents"].append(Reply(body=body))
        (report,) = run(platform, "vectara:s1").sessions

    assert report.error == "vectara:/s1: GET /v2/agents?limit=100 holds no list of agents; is the base URL right?"


def test_what_is_no_agent_in_the_list_is_passed_over() -> None:
    with LoopbackPlatform() as platform:
        platform.faults["/v2/agents"].append(Reply(body=b'{"agents": [7, {}, {"key": 7}, {"key": ""}]}'))
        (report,) = run(platform, "vectara:s1").sessions

    assert "was looked for in 0 agents that this key can list, and is not there" in str(report.error)


def test_of_very_many_candidates_ten_are_named() -> None:
    agents = [f"a{number:02d}" for number in range(12)]
    with LoopbackPlatform([listing(agents), *(each for agent in agents for each in of(agent))]) as platform:
        (report,) = run(platform, "vectara:s1").sessions

    assert "is there 12 times; name one of vectara:a00/s1, " in str(report.error)
    assert str(report.error).endswith(", vectara:a09/s1 and 2 others")


def test_an_agent_that_answers_with_what_is_neither_there_nor_absent_ends_the_search() -> None:
    with LoopbackPlatform([listing(["a", "support"]), *of("support")]) as platform:
        platform.faults["/v2/agents/a/sessions/s1"].append(Reply(status=401, body=b'{"messages":["who"]}'))
        (report,) = run(platform, "vectara:s1").sessions

    assert str(report.error).startswith("vectara:/s1: GET /v2/agents/a/sessions/s1 answered 401 Unauthorized: who. ")


# --- named twice --------------------------------------------------------------------------------------


@pytest.mark.parametrize("again", ["vectara:s1", "vectara:/s1"])
def test_a_session_that_is_named_in_full_and_by_its_id_is_replayed_once(again: str, here: Path) -> None:
    with LoopbackPlatform([listing(["support"]), *of("support")]) as platform:
        report = run(platform, "vectara:support/s1", again)

    first, second = report.sessions
    assert (first.made, second.made, second.error) == (2, 0, None)
    assert second.reference == again
    assert second.warnings == (
        "'s1' was looked for in 1 agent that this key can list, and is vectara:support/s1",
        "vectara:support/s1 was replayed above, and is not replayed twice",
    )
    assert report.exit_code == 0
    assert len((here / "out").read_text(encoding="utf-8").splitlines()) == 2


def test_a_file_with_a_session_that_was_fetched_is_replayed_as_well(here: Path) -> None:
    (recording,) = of("support")
    (here / "saved.json").write_text(json.dumps(recording.model_dump()), encoding="utf-8")
    with LoopbackPlatform([recording]) as platform:
        report = run(platform, "vectara:support/s1", "saved.json")

    assert [each.made for each in report.sessions] == [2, 2]


# --- what cannot be looked for ------------------------------------------------------------------------


@pytest.mark.parametrize("reference", ["diary:monday", "diary:/monday"])
def test_a_platform_that_cannot_find_refuses_as_wrong_usage(
    reference: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_diary(tmp_path_factory.mktemp("site"), monkeypatch)

    with pytest.raises(UsageError) as caught:
        replay([reference], to=["file:out"], environ={"DIARY_KEY": "key"})

    assert str(caught.value) == f"{reference} names no session; write diary:OWNER/DAY"


@pytest.mark.parametrize("reference", ["vectara:support/", "vectara:/", "vectara:a/b/c", "vectara://s1"])
def test_a_reference_without_a_session_or_with_too_many_parts_is_wrong_usage(reference: str) -> None:
    with LoopbackPlatform() as platform:
        with pytest.raises(UsageError) as caught:
            run(platform, reference)
        assert platform.asked == []

    assert str(caught.value) == f"{reference} names no session; write vectara:AGENT/SESSION"


def test_without_credentials_nothing_is_looked_for() -> None:
    with LoopbackPlatform([listing(["support"])]) as platform:
        with pytest.raises(UsageError, match=r"^Vectara wants credentials: set VECTARA_API_KEY"):
            run(platform, "vectara:s1", environ={})
        assert platform.asked == []
