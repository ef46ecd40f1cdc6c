"""A replay of what a destination has: nothing is sent twice, and what is missing or new is sent."""

from __future__ import annotations

import json
import resource
import signal
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from otel_agent_events import UsageError
from otel_agent_events.cli import main
from otel_agent_events.conversion import MOST
from otel_agent_events.ids import ROOT, span_id
from otel_agent_events.run import Run
from otel_agent_events.testing import LoopbackPlatform, Reply
from tests.otlp.collectors import HttpReply, free_port, http_collector, partial
from tests.reruns import KEY, SESSION, arguments, doubled, entries, recorded, run, started, told, url_of
from tests.traces import lines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from opentelemetry.proto.trace.v1 import trace_pb2

    from otel_agent_events.fetchers.saved import Recording
    from otel_agent_events.ledger import Entry
    from otel_agent_events.report import Report, SessionReport
    from tests.otlp.collectors import Collector, Received

pytestmark = pytest.mark.usefixtures("here")

BIG = 3_000
"""Events of a session that goes out in two blocks."""
HUGE = 5_200
"""Events of a session of which some is out before all of it was read."""


@pytest.fixture
def platform() -> Iterator[LoopbackPlatform]:
    with LoopbackPlatform([recorded()]) as platform:
        yield platform


@pytest.fixture
def collector() -> Iterator[Collector]:
    with http_collector() as collector:
        yield collector


def only(report: Report) -> SessionReport:
    (session,) = report.sessions
    return session


def traces(collector: Collector) -> set[str]:
    return {span.trace_id.hex() for span in collector.spans}


def root_of(collector: Collector, trace_id: str | None) -> trace_pb2.Span:
    (root,) = (span for span in collector.spans if span.trace_id.hex() == trace_id and not span.parent_span_id)
    return root


# --- unchanged ----------------------------------------------------------------------------------------


def test_what_is_out_is_not_sent_again(platform: LoopbackPlatform, collector: Collector, here: Path) -> None:
    first = only(run(platform, collector, here))
    asked = len(collector.requests)

    report = run(platform, collector, here)

    second = only(report)
    assert report.exit_code == 0
    assert len(collector.requests) == asked
    assert first.made == first.acknowledged == len(collector.ids) > 0
    assert (first.unchanged, second.unchanged) == (False, True)
    assert (second.made, second.acknowledged) == (0, 0)
    assert [each.had for each in second.destinations] == [first.made]
    assert (second.trace_id, second.revision, second.events) == (first.trace_id, 1, first.events)
    assert (second.start, second.end) == (first.start, first.end)


def test_a_person_is_told_what_is_there_and_how_to_send_it_again(
    platform: LoopbackPlatform, collector: Collector, here: Path
) -> None:
    first = only(run(platform, collector, here))

    result = CliRunner().invoke(main, arguments(platform, collector, here, SESSION), env={"VECTARA_API_KEY": KEY})

    assert result.exit_code == 0
    assert f"  trace id   {first.trace_id}\n" in result.stdout
    assert f"{collector.url} has all {first.made} spans from an earlier run;" in result.stdout
    assert "--again" in result.stdout
    assert "1 session, 1 there already: 0 of 0 spans acknowledged" in result.stdout


def test_json_says_what_is_there(platform: LoopbackPlatform, collector: Collector, here: Path) -> None:
    first = only(run(platform, collector, here))

    result = CliRunner().invoke(
        main, [*arguments(platform, collector, here, SESSION), "--json"], env={"VECTARA_API_KEY": KEY}
    )

    (session,) = json.loads(result.stdout)["sessions"]
    assert session["unchanged"] is True
    assert session["trace_id"] == first.trace_id
    assert session["destinations"][0]["had"] == first.made


def test_saved_files_are_remembered_as_well(collector: Collector, here: Path) -> None:
    saved = here / "saved.json"
    saved.write_text(recorded().model_dump_json(), encoding="utf-8")
    with LoopbackPlatform() as nobody:
        first = only(run(nobody, collector, here, str(saved), base_url=None))
        second = only(run(nobody, collector, here, str(saved), base_url=None))

    assert (first.unchanged, second.unchanged) == (False, True)
    assert doubled(collector) == 0


def test_a_file_and_its_platform_are_the_same_session(
    platform: LoopbackPlatform, collector: Collector, here: Path
) -> None:
    saved = here / "saved.json"
    saved.write_text(recorded().model_dump_json(), encoding="utf-8")

    run(platform, collector, here)
    second = only(run(platform, collector, here, str(saved), base_url=None))

    assert second.unchanged
    assert doubled(collector) == 0


def test_a_session_of_several_blocks_is_sent_once(collector: Collector, here: Path) -> None:
    with LoopbackPlatform([recorded(BIG)]) as platform:
        first = only(run(platform, collector, here))
        second = only(run(platform, collector, here))

    assert first.made > MOST
    assert first.made == first.acknowledged == len(set(collector.ids))
    assert second.unchanged
    assert doubled(collector) == 0


def test_every_session_of_a_run_is_remembered(collector: Collector, here: Path) -> None:
    names = [f"s{number}" for number in range(6)]
    with LoopbackPlatform([recorded(session=name) for name in names]) as platform:
        for _ in range(2):
            report = run(platform, collector, here, *(f"vectara:big/{name}" for name in names))

    assert all(session.unchanged for session in report.sessions)
    assert doubled(collector) == 0
    assert len(traces(collector)) == 6


def test_no_ledger_sends_everything_again(platform: LoopbackPlatform, collector: Collector, here: Path) -> None:
    first = run(platform, collector, here, ledger="off")
    run(platform, collector, here, ledger="off")

    assert doubled(collector) == first.totals.made
    assert not (here / "ledger.db").exists()


# --- again, grown, changed ----------------------------------------------------------------------------


def test_again_sends_the_next_revision_linked_to_the_root_of_the_last(
    platform: LoopbackPlatform, collector: Collector, here: Path
) -> None:
    first = only(run(platform, collector, here))
    second = only(run(platform, collector, here, again=True))
    third = only(run(platform, collector, here))

    assert second.revision == 2
    assert second.made == second.acknowledged == first.made
    (link,) = root_of(collector, second.trace_id).links
    assert link.trace_id.hex() == first.trace_id
    assert link.span_id == root_of(collector, first.trace_id).span_id == span_id(link.trace_id, ROOT)
    assert (third.unchanged, third.revision, third.trace_id) == (True, 2, second.trace_id)
    assert doubled(collector) == 0


@pytest.mark.parametrize(("before", "after"), [(20, 30), (20, BIG), (BIG, BIG + 40)])
def test_a_session_that_has_grown_goes_out_whole_as_its_next_revision(
    collector: Collector, here: Path, before: int, after: int
) -> None:
    with LoopbackPlatform([recorded(before)]) as platform:
        first = only(run(platform, collector, here))
    with LoopbackPlatform([recorded(after)]) as platform:
        second = only(run(platform, collector, here))
        third = only(run(platform, collector, here))

    assert (first.revision, second.revision) == (1, 2)
    assert second.events == after
    assert second.made == second.acknowledged
    assert second.destinations[0].had == 0
    assert root_of(collector, second.trace_id).links[0].trace_id.hex() == first.trace_id
    assert third.unchanged
    assert doubled(collector) == 0


@pytest.mark.parametrize(
    "changed",
    [
        {"service_name": "desk"},
        {"environ": {"VECTARA_API_KEY": KEY, "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=staging"}},
        {"links": ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]},
        {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
    ],
    ids=["service name", "resource", "link", "parent"],
)
def test_what_ids_do_not_depend_on_makes_a_revision_too(
    platform: LoopbackPlatform, collector: Collector, here: Path, changed: dict[str, Any]
) -> None:
    run(platform, collector, here)
    second = only(run(platform, collector, here, **changed))
    third = only(run(platform, collector, here, **changed))

    assert second.revision == 2
    assert second.acknowledged == second.made > 0
    assert third.unchanged
    assert doubled(collector) == 0


def test_words_that_were_edited_on_the_platform_make_a_revision(collector: Collector, here: Path) -> None:
    saved = here / "saved.jsonl"
    reports = []
    with LoopbackPlatform() as nobody:
        for words in ("Hello?", "Hallo?"):
            saved.write_text(
                '{"session": {"id": "one", "platform": "acme"}}\n'
                + json.dumps({"kind": "user_message", "id": "1", "time": "2026-11-18T08:00:00Z", "text": words}),
                encoding="utf-8",
            )
            reports.append(only(run(nobody, collector, here, str(saved), base_url=None)))

    assert [each.revision for each in reports] == [1, 2]
    assert [each.acknowledged for each in reports] == [2, 2]


@pytest.mark.parametrize(
    "other",
    [{"turns": True}, {"content": "full"}, {"max_value": 2_000}, {"namespace": "staging"}, {"max_trace_bytes": 90_000}],
    ids=str,
)
def test_another_view_or_namespace_is_another_trace(
    platform: LoopbackPlatform, collector: Collector, here: Path, other: dict[str, Any]
) -> None:
    first = only(run(platform, collector, here))
    second = only(run(platform, collector, here, **other))

    assert not second.unchanged
    assert (second.revision, second.acknowledged) == (1, second.made)
    assert second.trace_id != first.trace_id
    assert [only(run(platform, collector, here, **each)).unchanged for each in ({}, other)] == [True, True]


def test_another_destination_has_nothing_of_it(platform: LoopbackPlatform, collector: Collector, here: Path) -> None:
    run(platform, collector, here)
    with http_collector() as other:
        second = only(run(platform, other, here))

    assert not second.unchanged
    assert sorted(other.ids) == sorted(collector.ids)
    assert {each.destination for each in entries(here)} == {collector.url, other.url}


@pytest.mark.parametrize("header", ["X-Scope-OrgID", "authorization", "x-api-key"])
def test_two_tenants_behind_one_address_each_get_all_of_it(
    platform: LoopbackPlatform, collector: Collector, here: Path, header: str
) -> None:
    tenants = [{header: "team-a"}, {header: "team-b"}, {}]
    first = [only(run(platform, collector, here, headers=headers)) for headers in tenants]
    second = [only(run(platform, collector, here, headers=headers)) for headers in tenants]

    assert [each.acknowledged for each in first] == [first[0].made] * 3
    assert [(each.unchanged, each.destinations[0].had) for each in second] == [(True, first[0].made)] * 3
    assert len({each.trace_id for each in first}) == 1
    assert [received.headers.get(header.lower()) for received in collector.taken] == ["team-a", "team-b", None]
    assert len({each.destination for each in entries(here)}) == 3


def test_a_tenant_that_is_named_is_known_again_though_its_key_is_new(
    platform: LoopbackPlatform, collector: Collector, here: Path
) -> None:
    keys = [{"headers": {"x-api-key": key}, "tenant": "team-a"} for key in ("old", "new")]
    first, second = (only(run(platform, collector, here, **key)) for key in keys)
    third = only(run(platform, collector, here, environ={"VECTARA_API_KEY": KEY, "OTEL_AGENT_EVENTS_TENANT": "team-a"}))

    assert [each.unchanged for each in (first, second, third)] == [False, True, True]
    assert [each.destination for each in entries(here)] == [f"{collector.url} [tenant team-a]"]


def test_new_credentials_are_told_of_once(platform: LoopbackPlatform, collector: Collector, here: Path) -> None:
    keys: list[dict[str, Any]] = [{"headers": {"x-api-key": key}} for key in ("old", "new", "new")]
    reports = [run(platform, collector, here, **given) for given in [{}, *keys, {"headers": {"authorization": "new"}}]]

    assert [len(report.notes) for report in reports] == [0, 0, 1, 0, 0]
    assert reports[2].notes[0].startswith("the ledger knows this destination with other credentials")
    assert [only(report).unchanged for report in reports] == [False, False, False, True, False]


def test_no_credential_gets_into_the_ledger(platform: LoopbackPlatform, collector: Collector, here: Path) -> None:
    run(platform, collector, here, headers={"authorization": "Bearer s3cret-of-this-test", "X-Scope-OrgID": "team-a"})

    ledger = b"".join(path.read_bytes() for path in here.glob("ledger.db*"))
    assert b"s3cret" not in ledger
    assert b"x-scope-orgid: team-a" in ledger


def test_a_revision_that_is_asked_for_is_the_least_one(
    platform: LoopbackPlatform, collector: Collector, here: Path
) -> None:
    revisions = [only(run(platform, collector, here, revision=asked)) for asked in (3, 3, 1, 5)]

    assert [(each.revision, each.unchanged) for each in revisions] == [(3, False), (3, True), (3, True), (5, False)]
    assert doubled(collector) == 0


def test_a_session_that_could_not_be_had_leaves_nothing_in_the_ledger(
    platform: LoopbackPlatform, collector: Collector, here: Path
) -> None:
    report = run(platform, collector, here, "vectara:big/nobody")

    assert report.exit_code == 1
    assert entries(here) == []


# --- not all of it arrived ----------------------------------------------------------------------------


def test_what_was_set_aside_is_sent_by_the_next_run_and_nothing_else(here: Path) -> None:
    blocks = []
    port = free_port()

    def second_half_fails(_: Received) -> HttpReply | None:
        blocks.append(1)
        return HttpReply(status=503) if len(blocks) > 1 else None

    with LoopbackPlatform([recorded(HUGE)]) as platform:
        with http_collector(answer=second_half_fails, port=port) as collector:
            first = only(run(platform, collector, here, deadline=0))
        assert 0 < first.acknowledged < first.made == first.acknowledged + first.set_aside
        assert [each.state for each in entries(here)] == ["set_aside"]

        with http_collector(port=port) as again:
            second = only(run(platform, again, here))
            third = only(run(platform, again, here))

    assert second.made == second.acknowledged == first.set_aside
    assert second.destinations[0].had == first.acknowledged
    assert (second.revision, second.trace_id) == (1, first.trace_id)
    assert doubled(again) == 0
    assert len({*collector.ids, *again.ids}) == first.made == len(collector.ids) + len(again.ids)
    assert third.unchanged


def test_a_destination_that_was_away_gets_all_of_it_when_it_is_there(platform: LoopbackPlatform, here: Path) -> None:
    port = free_port()
    with http_collector(port=port) as collector:
        pass
    first = run(platform, collector, here, deadline=0)
    with http_collector(port=port) as collector:
        second = only(run(platform, collector, here))

    assert first.exit_code == 3
    count = first.totals.made
    told = f"{count} spans were set aside in {here / 'left.jsonl'}"
    assert first.notes == (f"{told}; the same command sends them once the destination takes them",)
    assert first.totals.set_aside == first.totals.made == second.acknowledged == len(collector.ids)
    assert second.revision == 1


def test_a_span_that_is_refused_is_sent_alone_by_the_next_run(platform: LoopbackPlatform, here: Path) -> None:
    def refuses_notes(received: Received) -> HttpReply | None:
        refused = any(span.name == "user_message" for span in received.spans)
        return HttpReply(status=400) if refused else None

    with http_collector(answer=refuses_notes) as collector:
        first = only(run(platform, collector, here))
        second = run(platform, collector, here)

    assert first.rejected > 0
    assert first.made == first.acknowledged + first.rejected
    assert second.exit_code == 1
    # Of this run it took nothing, so that nobody knows whether it is a receiver.
    assert only(second).set_aside == only(second).made == first.rejected
    assert [each.state for each in entries(here)] == ["set_aside"]
    assert only(second).destinations[0].had == first.acknowledged
    assert doubled(collector) == 0


def test_when_nobody_knows_which_span_was_refused_the_session_does_not_count_as_out(
    platform: LoopbackPlatform, here: Path
) -> None:
    with http_collector(HttpReply(body=partial(1, "one was bad"))) as collector:
        first = only(run(platform, collector, here))
        second = only(run(platform, collector, here))

    assert (first.rejected, second.rejected, second.acknowledged) == (1, 0, first.made)
    assert len(set(collector.ids)) == first.made
    assert [each.state for each in entries(here)] == ["sent"]


def test_a_fetch_that_fails_late_is_gone_on_with(here: Path) -> None:
    longer = recorded(HUGE, per_page=400)
    broken = longer.model_copy(update={"answers": longer.answers[:-1]})
    with http_collector() as collector:
        with LoopbackPlatform([broken]) as platform:
            first = only(run(platform, collector, here))
        with LoopbackPlatform([longer]) as platform:
            second = only(run(platform, collector, here))
            third = only(run(platform, collector, here))

    assert first.error is not None
    assert "arrived, without a root" in first.error
    assert first.acknowledged >= MOST
    assert second.error is None
    assert second.revision == 1
    assert second.destinations[0].had == first.acknowledged
    assert second.made + first.acknowledged == len(collector.ids)
    assert third.unchanged
    assert doubled(collector) == 0


def test_a_torso_in_another_trace_is_not_gone_on_with(here: Path) -> None:
    longer = recorded(HUGE, per_page=400)
    broken = longer.model_copy(update={"answers": longer.answers[:-1]})
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with http_collector() as collector:
        with LoopbackPlatform([broken]) as platform:
            run(platform, collector, here)
        with LoopbackPlatform([longer]) as platform:
            second = only(run(platform, collector, here, traceparent=parent))

    assert second.revision == 2
    assert second.destinations[0].had == 0
    assert second.acknowledged == second.made == sum(span.trace_id.hex() == parent[3:35] for span in collector.spans)


# --- cut short, and not the same any more --------------------------------------------------------------


def cut_short(recording: Recording) -> Recording:
    """Let the last page be missing, so that a run sends what comes before and no root."""
    return recording.model_copy(update={"answers": recording.answers[:-1]})


def with_page(recording: Recording, number: int, events: Callable[[list[Any]], list[Any]]) -> Recording:
    """Change the events of one page."""
    answers = list(recording.answers)
    body = answers[number].body
    assert isinstance(body, dict)
    answers[number] = answers[number].model_copy(update={"body": {**body, "events": events(body["events"])}})
    return recording.model_copy(update={"answers": answers})


def edited(events: list[Any]) -> list[Any]:
    return [{**each, "content": "edited"} if "content" in each else each for each in events]


def contents(*collectors: Collector) -> Counter[int]:
    """Count how many spans there are that came with one content, with two, and so on."""
    by_id: dict[tuple[bytes, bytes], set[bytes]] = {}
    for span in (span for collector in collectors for span in collector.spans):
        by_id.setdefault((span.trace_id, span.span_id), set()).add(span.SerializeToString(deterministic=True))
    return Counter(map(len, by_id.values()))


def resources(collector: Collector, trace_id: str | None) -> set[str]:
    """Give the services of the resources that came with the spans of a trace."""
    return {
        attribute.value.string_value
        for received in collector.taken
        for resource in received.request.resource_spans
        for attribute in resource.resource.attributes
        if attribute.key == "service.name"
        and any(span.trace_id.hex() == trace_id for scope in resource.scope_spans for span in scope.spans)
    }


def shortened(events: list[Any]) -> list[Any]:
    return events[:4] + events[5:]


@pytest.mark.parametrize(("page", "events"), [(0, shortened), (8, edited)], ids=["gone", "edited"])
def test_a_torso_of_which_a_record_has_changed_is_left_and_the_whole_goes_out_as_the_next_revision(
    here: Path, collector: Collector, page: int, events: Callable[[list[Any]], list[Any]]
) -> None:
    longer = recorded(HUGE, per_page=400)
    with LoopbackPlatform([cut_short(longer)]) as platform:
        first = only(run(platform, collector, here))
    with LoopbackPlatform([with_page(longer, page, events)]) as platform:
        second = only(run(platform, collector, here))
        third = only(run(platform, collector, here))

    assert first.acknowledged >= MOST
    assert (second.revision, second.error) == (2, None)
    assert second.acknowledged == second.made
    assert second.destinations[0].had == 0
    assert root_of(collector, second.trace_id).links[0].trace_id.hex() == first.trace_id
    (warning,) = (each for each in second.warnings if "cut short" in each)
    assert warning.startswith("revision 1 was cut short in an earlier run, and what is out of it would not be the same")
    assert (third.unchanged, third.revision) == (True, 2)
    assert not [each for each in third.warnings if "cut short" in each]
    assert contents(collector) == {1: first.acknowledged + second.acknowledged}


@pytest.mark.parametrize(
    "changed",
    [
        {"service_name": "desk"},
        {"environ": {"VECTARA_API_KEY": KEY, "OTEL_RESOURCE_ATTRIBUTES": "service.name=desk,team=b"}},
    ],
    ids=["service name", "resource"],
)
def test_a_torso_with_another_resource_is_left_and_the_whole_goes_out_as_the_next_revision(
    here: Path, collector: Collector, changed: dict[str, Any]
) -> None:
    longer = recorded(HUGE, per_page=400)
    with LoopbackPlatform([cut_short(longer)]) as platform:
        first = only(run(platform, collector, here))
    with LoopbackPlatform([longer]) as platform:
        second = only(run(platform, collector, here, **changed))
        third = only(run(platform, collector, here, **changed))

    assert (second.revision, second.destinations[0].had, second.acknowledged) == (2, 0, second.made)
    assert resources(collector, first.trace_id) == {"big"}
    assert resources(collector, second.trace_id) == {"desk"}
    assert third.unchanged


@pytest.mark.parametrize("more", [0, 40])
def test_a_torso_is_gone_on_with_when_only_what_comes_behind_it_has_changed(
    here: Path, collector: Collector, more: int
) -> None:
    with LoopbackPlatform([cut_short(recorded(HUGE, per_page=400))]) as platform:
        first = only(run(platform, collector, here))
    longer = recorded(HUGE + more, per_page=400)
    with LoopbackPlatform([with_page(longer, len(longer.answers) - 1, edited)]) as platform:
        second = only(run(platform, collector, here))

    assert (second.revision, second.destinations[0].had) == (1, first.acknowledged)
    assert second.made == second.acknowledged
    assert not [each for each in second.warnings if "cut short" in each]
    assert contents(collector) == {1: first.acknowledged + second.acknowledged}


def test_a_torso_that_is_moved_in_time_is_gone_on_with_when_it_ends_where_it_did(
    here: Path, collector: Collector
) -> None:
    longer = recorded(HUGE)
    moved = {"shift_to": 1_800_000_000 * 10**9}
    pages = [Reply(body=json.dumps(answer.body).encode()) for answer in longer.answers]
    with LoopbackPlatform([longer]) as platform:
        # It is read once to find its end; the second time it breaks off.
        platform.faults[longer.answers[0].path].extend([*pages, *pages[:-1], Reply(status=404)])
        first = only(run(platform, collector, here, **moved))
        second = only(run(platform, collector, here, **moved))

    assert first.error is not None
    assert (second.revision, second.error) == (1, None)
    assert second.destinations[0].had == first.acknowledged >= MOST
    assert contents(collector) == {1: first.acknowledged + second.acknowledged}


def test_a_torso_that_an_older_release_has_sent_is_left(here: Path, collector: Collector) -> None:
    longer = recorded(HUGE, per_page=400)
    with LoopbackPlatform([cut_short(longer)]) as platform:
        run(platform, collector, here)
    with closing(sqlite3.connect(here / "ledger.db")) as database, database:
        assert database.execute("UPDATE otel_agent_events_session SET digest = '', spans = 0").rowcount == 1
    with LoopbackPlatform([longer]) as platform:
        second = only(run(platform, collector, here))

    assert (second.revision, second.acknowledged) == (2, second.made)


def test_a_torso_that_changes_between_two_looks_is_left_alone(
    here: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    longer = recorded(HUGE, per_page=400)
    with LoopbackPlatform([cut_short(longer)]) as platform:
        first = only(run(platform, collector, here))
    (before,) = entries(here)
    with LoopbackPlatform([with_page(longer, 0, edited)]) as platform:
        with monkeypatch.context() as patched:
            patched.setattr(Run, "_begins_with", lambda *_: True)
            second = only(run(platform, collector, here))
        (between,) = entries(here)
        third = only(run(platform, collector, here))

    assert second.error is not None
    assert "has changed while it was read: run the same command again" in second.error
    assert (between.prefix, between.acknowledged) == (before.prefix, before.acknowledged)
    assert (third.revision, third.error) == (2, None)
    assert contents(collector) == {1: first.acknowledged + third.acknowledged}


@pytest.mark.parametrize("delay", [0, 0.05])
def test_killed_and_then_started_with_another_service_no_span_has_two_contents(
    here: Path, collector: Collector, delay: float
) -> None:
    longer = recorded(7_000, per_page=500)
    pages = [Reply(body=json.dumps(answer.body).encode()) for answer in longer.answers[:-1]]
    with LoopbackPlatform([longer]) as platform:
        platform.faults[longer.answers[0].path].extend([*pages, Reply(delay=60)])
        process = started(*arguments(platform, collector, here, SESSION))
        while process.poll() is None and not collector.taken:
            time.sleep(0.001)
        time.sleep(delay)
        process.kill()
        process.communicate()
        torso = collector.spans[0].trace_id.hex()
        platform.faults.clear()
        report = run(platform, collector, here, service_name="desk")

    assert process.returncode == -signal.SIGKILL
    assert (report.exit_code, only(report).revision) == (0, 2)
    assert resources(collector, torso) == {"big"}
    assert resources(collector, only(report).trace_id) == {"desk"}
    assert set(contents(collector)) == {1}


# --- several destinations -----------------------------------------------------------------------------


def test_status_tells_tenants_apart_and_finds_them_by_name(
    platform: LoopbackPlatform, collector: Collector, here: Path
) -> None:
    for tenant in ("team-a", "team-b"):
        run(platform, collector, here, headers={"X-Scope-OrgID": tenant})

    everything = CliRunner().invoke(main, ["status", "--ledger", url_of(here)])
    one = CliRunner().invoke(main, ["status", "--ledger", url_of(here), "--destination", "team-a"])

    for tenant in ("team-a", "team-b"):
        assert f"{collector.url} [x-scope-orgid: {tenant}]\n  1 out;" in everything.stdout
    assert "team-b" not in one.stdout


@pytest.mark.parametrize("to", [["otlp", "file:out"], ["file:out", "otlp"]], ids=["otlp first", "file first"])
def test_a_file_gets_all_of_it_where_the_collector_gets_nothing(
    platform: LoopbackPlatform, collector: Collector, here: Path, to: list[str]
) -> None:
    first = only(run(platform, collector, here))
    second = only(run(platform, collector, here, to=to))

    told = {each.destination.partition(":")[0]: each for each in second.destinations}
    assert (told["http"].made, told["http"].had) == (0, first.made)
    assert (told["file"].made, told["file"].acknowledged, told["file"].had) == (first.made, first.made, 0)
    assert len(lines_of(here / "out")) == first.made
    assert doubled(collector) == 0
    assert [entry.state for entry in entries(here)] == ["sent"]


# --- two runs at once ---------------------------------------------------------------------------------


def test_two_runs_at_once_send_each_session_once(here: Path) -> None:
    names = [f"s{number}" for number in range(40)]
    references = [f"vectara:big/{name}" for name in names]
    with (
        LoopbackPlatform([recorded(session=name, seed=number) for number, name in enumerate(names)]) as platform,
        http_collector(answer=lambda _: HttpReply(delay=0.01)) as collector,
    ):
        command = arguments(platform, collector, here, *references, more=("--json",))
        processes = [started(*command) for _ in range(2)]
        reports = [told(process) for process in processes]

    assert [process.returncode for process in processes] == [0, 0]
    assert doubled(collector) == 0
    assert len(traces(collector)) == 40
    made = sum(report["totals"]["made"] for report in reports)
    assert made == sum(report["totals"]["acknowledged"] for report in reports) == len(collector.ids)
    for mine, others in zip(reports[0]["sessions"], reports[1]["sessions"], strict=True):
        assert mine["unchanged"] is not others["unchanged"]
    assert {(each.state, each.held_by) for each in entries(here)} == {("sent", None)}


def test_no_lease_is_left_after_a_run(collector: Collector, here: Path) -> None:
    fetched, failing = recorded(session="good"), recorded(HUGE, session="bad")
    failing = failing.model_copy(update={"answers": failing.answers[:-1]})
    with LoopbackPlatform([fetched, failing]) as platform:
        run(platform, collector, here, "vectara:big/good", "vectara:big/bad", "vectara:big/nobody")

        assert sorted((each.state, each.held_by) for each in entries(here)) == [("in_flight", None), ("sent", None)]


def test_what_was_acknowledged_is_remembered_while_the_platform_is_slow(collector: Collector, here: Path) -> None:
    small, slow = recorded(session="small"), recorded(session="slow", per_page=3)
    with LoopbackPlatform([small, slow]) as platform:
        pages = [Reply(body=json.dumps(answer.body).encode(), delay=0.5) for answer in slow.answers]
        platform.faults[slow.answers[0].path].extend(pages)
        running = threading.Thread(
            target=run, args=(platform, collector, here, "vectara:big/small", "vectara:big/slow")
        )
        running.start()
        while not any(each.state == "sent" for each in known(here)) and running.is_alive():
            time.sleep(0.05)
        left = len(platform.faults[slow.answers[0].path])
        running.join()

    assert left > 0
    assert [each.state for each in entries(here)] == ["sent", "sent"]
    assert doubled(collector) == 0


def known(folder: Path) -> list[Entry]:
    """Read a ledger that may not be there yet."""
    return entries(folder) if (folder / "ledger.db").exists() else []


# --- the ledger itself --------------------------------------------------------------------------------


def test_a_ledger_that_was_asked_for_and_cannot_be_opened_is_an_error(
    platform: LoopbackPlatform, collector: Collector, here: Path
) -> None:
    (here / "ledger.db").write_text("this is no database, but a text that is long enough" * 20, encoding="utf-8")

    with pytest.raises(UsageError, match="ledger"):
        run(platform, collector, here)
    result = CliRunner().invoke(main, arguments(platform, collector, here, SESSION), env={"VECTARA_API_KEY": KEY})

    assert result.exit_code == 2
    assert "is not a database" in result.stderr
    assert collector.requests == []


def test_without_the_default_ledger_it_warns_once_and_goes_on(
    platform: LoopbackPlatform, collector: Collector, here: Path
) -> None:
    (here / "state").write_text("a file where a folder should be", encoding="utf-8")
    noted: list[str] = []

    report = run(
        platform,
        collector,
        here,
        ledger=None,
        environ={"VECTARA_API_KEY": KEY, "XDG_STATE_HOME": str(here / "state")},
        noted=noted.append,
    )

    assert report.exit_code == 0
    assert report.totals.acknowledged == len(collector.ids) > 0
    (said,) = (line for line in noted if "ledger" in line)
    assert "Going on without a ledger" in said


def limited() -> None:
    """Let this process write no file that is larger: for it, the disk is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))


LIMIT = 60_000


@pytest.mark.parametrize("asked", [True, False], ids=["asked for", "default"])
def test_a_disk_that_is_full_midway_is_told_and_no_span_is_lost(here: Path, *, asked: bool) -> None:
    references = [f"vectara:big/s{number}" for number in range(40)]
    recordings = [recorded(session=f"s{number}", seed=number) for number in range(40)]
    with LoopbackPlatform(recordings) as platform, http_collector() as collector:
        command = arguments(platform, collector, here, *references, more=("--json",))
        state = {"XDG_STATE_HOME": str(here)}
        if not asked:
            begin = command.index("--ledger")
            del command[begin : begin + 2]
        known = started(*(each for each in command if each not in references[3:]), environ=state)
        before = told(known)["totals"]["made"]
        process = started(*command, environ=state, preexec_fn=limited)
        report = told(process)
        out = len(collector.ids)
        again = started(*command, environ=state)
        second = told(again)

    totals = report["totals"]
    assert totals["made"] == totals["acknowledged"] == out - before
    assert [each["unchanged"] for each in report["sessions"]] == [True] * 3 + [False] * 37
    assert "remember" in " ".join(report["notes"])
    assert again.returncode == 0
    assert second["totals"]["made"] == len(collector.ids) - out
    assert doubled(collector) <= out - before  # what was remembered before the disk was full is not sent again
    assert len(traces(collector)) == 40
    if asked:
        # What cannot be remembered is not sent.
        assert process.returncode == 1
        untried = [each for each in report["sessions"] if each["error"]]
        assert 0 < len(untried) < 40
        assert all("the ledger can remember nothing more" in each["error"] for each in untried)
    else:
        assert process.returncode == 0
        assert out == len(set(collector.ids))


# --- status -------------------------------------------------------------------------------------------


def test_status_says_what_is_out(platform: LoopbackPlatform, collector: Collector, here: Path) -> None:
    first = only(run(platform, collector, here))
    run(platform, collector, here, again=True)

    result = CliRunner().invoke(main, ["status", "--ledger", url_of(here), "--json", "--all"])

    (destination,) = json.loads(result.stdout)["destinations"]
    (session,) = destination["sessions"]
    assert destination["sent"] == 1
    assert destination["spans_acknowledged"] == first.made
    assert (session["reference"], session["revision"], session["state"]) == (SESSION, 2, "sent")
    assert (session["events"], session["spans"], session["held_by"]) == (first.events, first.made, None)
