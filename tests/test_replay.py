from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from otel_agent_events import UsageError, replay
from otel_agent_events.content import Policy
from otel_agent_events.conversion import MOST as HELD
from otel_agent_events.conversion import Options
from otel_agent_events.errors import DestinationError
from otel_agent_events.fetchers.saved import RecordedAnswer, Recording
from otel_agent_events.otlp.file import ConsoleDestination, FileDestination
from otel_agent_events.otlp.send import MOST_ALONE
from otel_agent_events.scrub import Scrubber
from otel_agent_events.testing import LoopbackPlatform, Reply
from tests.generate import Generated, expected_pairs
from tests.otlp.collectors import GrpcReply, HttpReply, Received, free_port, grpc_collector, http_collector, partial
from tests.recordings import bundled
from tests.traces import DATA, lines_of, source_of, trace_from

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_agent_events.report import Report, SessionReport

KEY = "vectara-key-of-this-test"
DOCUMENTED = DATA / "vectara" / "documented.json"
OWN = "otel_agent_events."


pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def platform() -> Iterator[LoopbackPlatform]:
    with LoopbackPlatform(bundled("vectara"), headers={"x-api-key": KEY}) as platform:
        yield platform


def run(platform: LoopbackPlatform, *references: str, environ: dict[str, str] | None = None, **options: Any) -> Report:
    return replay(
        references or [recording.session for recording in bundled("vectara")],
        base_url=platform.base_url,
        environ={"VECTARA_API_KEY": KEY, **(environ or {})},
        **options,
    )


# --- what arrives -------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_sessions_arrive_at_a_collector_and_are_counted(platform: LoopbackPlatform, protocol: str) -> None:
    with grpc_collector() if protocol == "grpc" else http_collector() as collector:
        report = run(platform, endpoint=collector.url, protocol=protocol)

    assert report.exit_code == 0
    assert [session.made for session in report.sessions] == [13, 5, 9]
    assert report.totals.acknowledged == report.totals.made == len(collector.spans) == 27
    assert {span.trace_id.hex() for span in collector.spans} == {session.trace_id for session in report.sessions}


def test_a_report_tells_what_a_person_wants_to_know(platform: LoopbackPlatform, here: Path) -> None:
    report = run(platform, "vectara:policies/policy_run_17", to=["file:out.jsonl"])

    (session,) = report.sessions
    told = session.model_dump()
    told.pop("destinations")
    assert told == {
        "reference": "vectara:policies/policy_run_17",
        "trace_id": "0bcdba878f8e2c7ff752095feb8e4c7a",
        "parts": (),
        "revision": 1,
        "unchanged": False,
        "start": 1_794_988_801_610_000_000,
        "end": 1_794_988_806_655_000_000,
        "events": 5,
        "duplicates": 0,
        "made": 5,
        "acknowledged": 5,
        "reported": 0,
        "rejected": 0,
        "set_aside": 0,
        "lost": 0,
        "warnings": (),
        "error": None,
        "subagent_of": None,
    }
    assert len(lines_of(here / "out.jsonl")) == 5


def test_a_replay_twice_gives_the_same_bytes(platform: LoopbackPlatform, here: Path) -> None:
    for name in ("one", "two"):
        assert run(platform, to=[f"file:{name}"]).exit_code == 0

    assert (here / "one").read_bytes() == (here / "two").read_bytes()


def test_a_saved_answer_gives_the_same_trace_as_the_platform(platform: LoopbackPlatform, here: Path) -> None:
    recording = bundled("vectara")[0]
    (here / "saved.json").write_text(recording.model_dump_json(), encoding="utf-8")

    run(platform, recording.session, to=["file:fetched"])
    replay(["saved.json"], to=["file:read"], environ={})

    assert (here / "fetched").read_bytes() == (here / "read").read_bytes()


def test_saved_answers_in_memory_give_the_trace_of_the_file_and_a_bad_one_costs_no_other(here: Path) -> None:
    good = DOCUMENTED.read_bytes()

    of_file = replay([DOCUMENTED], to=["file:read"], environ={})
    report = replay([b"{", good], to=["file:given"], environ={})

    bad, session = report.sessions
    assert (bad.reference, bad.trace_id) == ("saved answer 1", None)
    assert bad.error is not None
    assert bad.error.startswith("saved answer 1 is broken or cut off at line 1")
    assert session.model_copy(update={"destinations": ()}) == of_file.sessions[0].model_copy(
        update={"destinations": ()}
    )
    assert (here / "given").read_bytes() == (here / "read").read_bytes()


def test_secrets_are_scrubbed_unless_told_otherwise(platform: LoopbackPlatform, here: Path) -> None:
    run(platform, to=["file:scrubbed"])
    run(platform, to=["file:full"], content="full")
    run(platform, to=["file:none"], content="none")

    assert "not-for-your-eyes" not in (here / "scrubbed").read_text(encoding="utf-8")
    assert "not-for-your-eyes" in (here / "full").read_text(encoding="utf-8")
    words = (here / "none").read_text(encoding="utf-8")
    assert not any(each in words for each in ("voucher", "5512", "lamp.jpg", "warehouse"))
    assert "order_lookup" in words


def test_no_credential_of_ours_reaches_a_span(platform: LoopbackPlatform, here: Path) -> None:
    run(platform, to=["file:out"], content="full")

    assert KEY not in (here / "out").read_text(encoding="utf-8")


def test_options_that_change_bytes_change_ids(platform: LoopbackPlatform) -> None:
    changes: list[dict[str, Any]] = [
        {}, {"turns": True}, {"content": "full"}, {"max_value": 2000}, {"namespace": "n"}, {"revision": 2},
        {"scrubber": Scrubber(["x"])},
    ]  # fmt: skip
    traces = [
        run(platform, "vectara:support/refund_case_91", to=["file:o"], **change).sessions[0].trace_id
        for change in changes
    ]

    assert len(set(traces)) == len(changes)


def test_turns_are_spans_when_asked_for(platform: LoopbackPlatform, here: Path) -> None:
    run(platform, "vectara:support/refund_case_88", to=["file:out"], turns=True)

    turns = [span for span in lines_of(here / "out") if span["attributes"][f"{OWN}event.kind"] == "turn"]
    assert [span["attributes"][f"{OWN}event.turn"] for span in turns] == [1, 2]
    assert {span["name"] for span in turns} == {"invoke_agent Support desk"}


@pytest.mark.parametrize(
    ("environ", "options", "service"),
    [
        ({}, {}, "support"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=attributes,team=a%20b"}, {}, "attributes"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=attributes", "OTEL_SERVICE_NAME": "variable"}, {}, "variable"),
        ({"OTEL_SERVICE_NAME": "variable"}, {"service_name": "option"}, "option"),
    ],
)
def test_the_service_is_named_by_option_variable_attribute_or_agent(
    platform: LoopbackPlatform, here: Path, environ: dict[str, str], options: dict[str, str], service: str
) -> None:
    run(platform, "vectara:support/refund_case_91", to=["file:out"], environ=environ, **options)

    for span in lines_of(here / "out"):
        assert span["resource"]["service.name"] == service
        assert span["resource"][f"{OWN}origin"] == "replay"
        assert span["resource"].get("team") == ("a b" if "team" in str(environ) else None)


def test_a_resource_attribute_that_is_no_text_costs_no_span(platform: LoopbackPlatform) -> None:
    environ = {"OTEL_SERVICE_NAME": "odd\udcff"}  # as Python gives a variable that is not UTF-8

    with http_collector() as collector:
        report = run(platform, "vectara:support/refund_case_91", endpoint=collector.url, environ=environ)

    assert report.totals.acknowledged == len(collector.spans) == 9
    (resource,) = (each.resource for each in collector.requests[0].request.resource_spans)
    assert {pair.key: pair.value.string_value for pair in resource.attributes}["service.name"] == "odd\\udcff"


def test_without_an_agent_the_service_is_the_platform(here: Path) -> None:
    replay([str(DOCUMENTED)], to=["file:out"], environ={})

    assert lines_of(here / "out")[0]["resource"]["service.name"] == "vectara"


def test_several_destinations_are_counted_each_and_the_worst_decides(platform: LoopbackPlatform) -> None:
    with http_collector(HttpReply(body=partial(3, "three were too old"))) as collector:
        report = run(platform, "vectara:support/refund_case_88", to=["otlp", "file:out"], endpoint=collector.url)

    (session,) = report.sessions
    otlp, file = session.destinations
    assert (otlp.made, otlp.acknowledged, otlp.rejected) == (13, 10, 3)
    assert (file.made, file.acknowledged) == (13, 13)
    assert (session.acknowledged, session.rejected) == (10, 3)
    assert "three were too old" in otlp.messages[0]
    assert report.exit_code == 1


def test_a_traceparent_hangs_one_session_under_a_live_span(platform: LoopbackPlatform, here: Path) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    run(platform, "vectara:policies/policy_run_17", to=["file:out"], traceparent=parent, links=[parent])

    spans = lines_of(here / "out")
    assert {span["traceId"] for span in spans} == {"0af7651916cd43dd8448eb211c80319c"}
    assert spans[-1]["parentSpanId"] == "b7ad6b7169203331"
    assert spans[-1]["links"][0]["spanId"] == "b7ad6b7169203331"


# --- what goes wrong ----------------------------------------------------------------------------------


def test_one_session_that_cannot_be_had_costs_no_other(platform: LoopbackPlatform, here: Path) -> None:
    report = run(platform, "vectara:support/unknown", "vectara:policies/policy_run_17", to=["file:out"])

    failed, fine = report.sessions
    assert "vectara:support/unknown" in str(failed.error)
    assert "404" in str(failed.error)
    assert str(failed.error).endswith("nothing of it was sent")
    assert (failed.made, fine.made, fine.error) == (0, 5, None)
    assert report.exit_code == 1
    assert len(lines_of(here / "out")) == 5


EVENTS = "/v2/agents/policies/sessions/policy_run_17/events"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(status=401, body=b'{"messages":["who are you"]}'), "401 Unauthorized: who are you. Set VECTARA_API_KEY"),
        (Reply(status=403), "a Personal API key may"),
        (Reply(status=404), "Check agent key and session key"),
        (Reply(status=302, headers={"Location": "https://elsewhere/"}), "which is not followed"),
        (Reply(status=204, body=b""), "no content"),
        (Reply(body=b""), "an empty body"),
        (Reply(body=b"<html><body>Sign in</body></html>"), "a web page (HTML)"),
        (Reply(body=b'{"events": [{"id": "aev'), "broken or cut off"),
        (Reply(body=b'{"something": "else"}'), "holds no list of events"),
        (Reply(body=b'{"events": null}'), "holds no list of events"),
        (Reply(body=b"[" * 100_000), "nested too deeply"),
    ],
)
def test_a_wrong_answer_is_a_clear_error_and_other_sessions_go_on(
    platform: LoopbackPlatform, reply: Reply, said: str
) -> None:
    platform.faults[EVENTS].append(reply)

    report = run(platform, "vectara:policies/policy_run_17", "vectara:support/refund_case_91", to=["file:out"])

    failed, fine = report.sessions
    assert said in str(failed.error)
    assert "vectara:policies/policy_run_17: " in str(failed.error)
    assert EVENTS in str(failed.error)
    assert KEY not in report.model_dump_json()
    assert fine.succeeded


def test_a_destination_that_nobody_listens_at_ends_the_run_with_3(platform: LoopbackPlatform) -> None:
    port = free_port()

    report = run(platform, endpoint=f"http://127.0.0.1:{port}", deadline=0)

    assert report.exit_code == 3
    assert report.unreachable == (f"http://127.0.0.1:{port}/v1/traces",)
    # All of them were in the one batch that was tried.
    assert [(each.made, each.lost, each.error) for each in report.sessions] == [
        (13, 13, None),
        (5, 5, None),
        (9, 9, None),
    ]
    for session in report.sessions:
        (said,) = session.destinations[0].messages
        assert said.startswith(f"nobody listens at http://127.0.0.1:{port}/v1/traces: is a collector running there?")
    assert (report.totals.made, report.totals.lost) == (27, 27)


def test_what_nobody_takes_is_set_aside_and_the_file_is_told(platform: LoopbackPlatform, here: Path) -> None:
    noted: list[str] = []
    report = run(
        platform,
        endpoint=f"http://127.0.0.1:{free_port()}",
        deadline=0,
        set_aside=here / "left.jsonl",
        noted=noted.append,
    )

    assert report.exit_code == 3
    assert [(each.made, each.set_aside, each.lost) for each in report.sessions] == [(13, 13, 0), (5, 5, 0), (9, 9, 0)]
    left = Counter(span["traceId"] for span in lines_of(here / "left.jsonl"))
    assert left == {str(each.trace_id): each.made for each in report.sessions}
    assert report.set_aside == str(here / "left.jsonl")
    assert noted == [f"27 spans were set aside in {here / 'left.jsonl'}; otel-agent-events send delivers them"]


def test_a_destination_that_fails_does_not_keep_another_from_its_spans(platform: LoopbackPlatform, here: Path) -> None:
    report = run(platform, to=["otlp", "file:out"], endpoint=f"http://127.0.0.1:{free_port()}", deadline=0)

    assert report.exit_code == 3
    assert len(lines_of(here / "out")) == 27


def unwritable() -> ConsoleDestination:
    """Return a destination that takes nothing, and knows it at the first span."""
    stream = io.StringIO()
    stream.close()
    return ConsoleDestination(stream)


def test_no_session_is_asked_for_when_no_destination_takes_anything_more(platform: LoopbackPlatform) -> None:
    report = run(platform, to=[unwritable()])

    first, *others = report.sessions
    assert (first.made, first.lost, first.error) == (13, 13, None)
    assert {(each.made, each.error) for each in others} == {(0, "not tried: no destination takes anything more")}
    assert not any("refund_case_91" in asked for asked in platform.asked)
    assert report.exit_code == 1


def test_a_long_session_is_not_fetched_on_when_no_destination_takes_anything_more() -> None:
    with LoopbackPlatform([long_session(9)]) as platform:
        report = run(platform, "vectara:a/long", to=[unwritable()])

    (session,) = report.sessions
    assert session.error == "stopped: no destination takes anything more; nothing of it arrived"
    assert HELD <= session.made == session.lost < HELD + 1000
    # As many again are held back before anything goes out.
    assert 2 + 2 * HELD // 1000 <= len(platform.asked) <= 3 + 2 * HELD // 1000


def test_a_long_session_is_not_fetched_on_when_nobody_listens() -> None:
    with LoopbackPlatform([long_session(40)]) as platform:
        report = run(platform, "vectara:a/long", endpoint=f"http://127.0.0.1:{free_port()}", deadline=0)

    (session,) = report.sessions
    assert session.error == "stopped: no destination takes anything more; nothing of it arrived"
    assert session.made == session.lost < 40_000
    assert len(platform.asked) < 40
    assert report.exit_code == 3


@pytest.mark.parametrize("status", [401, 403, 301, 308])
def test_a_destination_that_refuses_everybody_ends_the_run_with_1(platform: LoopbackPlatform, status: int) -> None:
    with http_collector(HttpReply(status=status, headers={"Location": "https://elsewhere/"})) as collector:
        report = run(platform, endpoint=collector.url)

    assert report.exit_code == 1
    assert report.totals.acknowledged == 0
    assert len(collector.requests) == 1


def test_a_destination_that_answered_once_and_then_went_away_is_no_3() -> None:
    def once(_: object) -> HttpReply | None:
        return HttpReply(drop=True) if len(collector.requests) > 1 else None

    with LoopbackPlatform([whole(long_session(6))]) as long, http_collector(answer=once) as collector:
        report = run(long, "vectara:a/long", endpoint=collector.url, deadline=0)

    (session,) = report.sessions
    arrived = len(collector.requests[0].spans)
    assert (session.made, session.acknowledged, session.lost) == (6001, arrived, 6001 - arrived)
    assert len(collector.spans) == arrived
    assert report.unreachable == ()
    assert report.exit_code == 1


def test_a_destination_that_was_busy_and_then_went_away_is_no_3(platform: LoopbackPlatform) -> None:
    with http_collector(HttpReply(status=503), *[HttpReply(drop=True)] * 100) as collector:
        report = run(platform, endpoint=collector.url, deadline=1.5)

    assert len(collector.requests) > 1
    assert "the connection to" in report.sessions[0].destinations[0].messages[0]
    assert (report.unreachable, report.exit_code) == ((), 1)


def test_what_cannot_be_put_in_place_is_lost_after_all(platform: LoopbackPlatform) -> None:
    class Unplaceable(FileDestination):
        def close(self) -> None:
            self.abandon()
            raise DestinationError("the folder is gone")

    with http_collector() as collector:
        report = run(platform, to=[Unplaceable("out"), "otlp"], endpoint=collector.url)

    file, otlp = report.sessions[0].destinations
    assert (file.acknowledged, file.lost, otlp.acknowledged) == (0, 13, 13)
    assert (report.totals.acknowledged, report.totals.lost) == (0, 27)
    assert report.notes == ("the folder is gone",)
    assert report.exit_code == 1


def test_variables_of_otlp_do_not_matter_where_nothing_goes_there(platform: LoopbackPlatform) -> None:
    odd = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json", "OTEL_EXPORTER_OTLP_HEADERS": "odd", "OTEL_SDK_DISABLED": "true"}

    assert run(platform, to=["file:out"], environ=odd).exit_code == 0


def test_one_file_that_is_named_twice_is_written_once(platform: LoopbackPlatform, here: Path) -> None:
    report = run(platform, to=["file:out", "file:./out", f"file:{here / 'out'}"])

    assert [each.destination for each in report.sessions[0].destinations] == [f"file:{here / 'out'}"]


def test_the_files_that_could_be_opened_are_taken_away_when_another_cannot(
    platform: LoopbackPlatform, here: Path
) -> None:
    with pytest.raises(UsageError):
        run(platform, to=["file:out", "file:no/such/folder"])

    assert list(here.iterdir()) == []


MALFORMED = HttpReply(status=400, body=b"no", content_type="text/plain")


def test_a_batch_that_is_refused_is_halved_and_nothing_of_it_is_lost_or_doubled(platform: LoopbackPlatform) -> None:
    with http_collector(MALFORMED) as collector:
        report = run(platform, endpoint=collector.url)

    assert [session.acknowledged for session in report.sessions] == [13, 5, 9]
    assert [len(request.spans) for request in collector.requests] == [27, 14, 13]
    assert len(set(collector.ids)) == len(collector.ids) == 27
    assert report.exit_code == 0


def test_one_span_that_is_refused_costs_no_other_and_is_told_with_its_session(
    platform: LoopbackPlatform, here: Path
) -> None:
    run(platform, "vectara:support/refund_case_88", to=["file:out"])
    culprit = lines_of(here / "out")[3]["spanId"]

    def refusing_one(received: Received) -> HttpReply | None:
        return MALFORMED if any(span.span_id.hex() == culprit for span in received.spans) else None

    with http_collector(answer=refusing_one) as collector:
        report = run(
            platform, "vectara:support/refund_case_88", "vectara:policies/policy_run_17", endpoint=collector.url
        )

    bad, fine = report.sessions
    assert (bad.made, bad.acknowledged, bad.rejected) == (13, 12, 1)
    (said,) = bad.destinations[0].messages
    assert "answered 400" in said
    assert said.endswith(f"(span {culprit})")
    assert (fine.made, fine.acknowledged, fine.destinations[0].messages) == (5, 5, ())
    assert len(set(collector.ids)) == len(collector.ids) == 17
    assert report.exit_code == 1


def test_a_destination_that_refuses_every_span_is_soon_believed_and_all_are_lost(platform: LoopbackPlatform) -> None:
    with http_collector(answer=lambda _: MALFORMED) as collector:
        report = run(platform, endpoint=collector.url)

    assert [(session.rejected, session.lost) for session in report.sessions] == [(0, 13), (0, 5), (0, 9)]
    assert len([request for request in collector.requests if len(request.spans) == 1]) == MOST_ALONE
    assert report.exit_code == 1


def test_wrong_grpc_credentials_are_told_and_not_shown(platform: LoopbackPlatform) -> None:
    with grpc_collector(GrpcReply(code="UNAUTHENTICATED", words="no such token: hunter2")) as collector:
        report = run(platform, endpoint=collector.url, protocol="grpc", headers={"Authorization": "Bearer hunter2"})

    assert report.exit_code == 1
    assert "hunter2" not in report.model_dump_json()


def long_session(pages: int) -> Recording:
    path, query = "/v2/agents/a/sessions/long/events", {"limit": "100", "include_hidden": "true"}
    answers = []
    for number in range(pages):
        events = [
            {"id": f"aev_{number}_{n}", "type": "thinking", "created_at": "2026-01-01T00:00:00Z"} for n in range(1000)
        ]
        asked = query if number == 0 else {**query, "page_key": f"p{number}"}
        body = {"events": events, "metadata": {"page_key": f"p{number + 1}"}}
        answers.append(RecordedAnswer(label="events", path=path, query=asked, body=body))
    return Recording(recording=1, session="vectara:a/long", answers=answers)


def whole(recording: Recording) -> Recording:
    """Let a session end where it would break off."""
    recording.answers[-1].body["metadata"] = {}
    return recording


def test_a_session_that_breaks_off_early_is_not_sent_and_a_file_that_was_there_stays(here: Path) -> None:
    (here / "out").write_text("before", encoding="utf-8")
    with LoopbackPlatform([long_session(1)]) as platform:
        report = run(platform, "vectara:a/long", to=["file:out"])

    assert str(report.sessions[0].error).endswith("nothing of it was sent")
    assert (here / "out").read_text(encoding="utf-8") == "before"


def test_a_long_session_that_breaks_off_says_what_is_out_and_a_second_replay_gives_the_same_spans(here: Path) -> None:
    with LoopbackPlatform([long_session(3)]) as platform:
        report = run(platform, "vectara:a/long", to=["file:broken"])
    with LoopbackPlatform([whole(long_session(3))]) as platform:
        run(platform, "vectara:a/long", to=["file:whole"])

    (session,) = report.sessions
    assert session.made == 3000 > HELD
    assert "3000 of its spans arrived, without a root: replay again to complete the trace" in str(session.error)
    broken, complete = ((here / name).read_text(encoding="utf-8").splitlines() for name in ("broken", "whole"))
    assert complete[:3000] == broken
    assert len(complete) == 3001


def test_a_long_session_that_breaks_off_where_nothing_arrives_says_so() -> None:
    with LoopbackPlatform([long_session(3)]) as platform, http_collector(HttpReply(status=401)) as collector:
        report = run(platform, "vectara:a/long", endpoint=collector.url)

    (session,) = report.sessions
    assert (session.made, session.lost) == (3000, 3000)
    assert str(session.error).endswith("; nothing of it arrived")


def test_a_saved_answer_that_is_cut_off_gives_what_came_before_and_fails(here: Path) -> None:
    page = DOCUMENTED.read_text(encoding="utf-8")
    (here / "cut.json").write_text(page + page[:200], encoding="utf-8")

    report = replay(["cut.json"], to=["file:out"], environ={})

    (session,) = report.sessions
    assert (session.events, session.made) == (5, 5)
    assert "cut.json is broken or cut off" in str(session.error)
    assert lines_of(here / "out")[-1]["attributes"][f"{OWN}session.complete"] is False
    assert report.exit_code == 1


def test_a_saved_page_without_events_costs_only_itself(here: Path) -> None:
    page = json.loads(DOCUMENTED.read_text(encoding="utf-8"))
    (here / "pages.json").write_text(json.dumps([{"events": None}, page]), encoding="utf-8")

    report = replay(["pages.json"], to=["file:out"], environ={})

    assert report.sessions[0].made == 5
    assert "holds no list of events" in str(report.sessions[0].error)


def test_a_session_without_events_is_a_root_and_a_warning(here: Path) -> None:
    (here / "empty.json").write_text('{"events": []}', encoding="utf-8")

    report = replay(["empty.json"], session="vectara:a/s", to=["file:out"], environ={})

    assert report.sessions[0].made == 1
    assert report.sessions[0].warnings == ("the session has no events",)


def test_what_otlp_cannot_hold_is_counted_in_a_warning_and_so_are_invented_times(here: Path) -> None:
    events = [{"type": "thinking", "content": "\ud800"}, {"type": "odd", "n": [float("nan")]}]
    (here / "odd.json").write_text(json.dumps({"events": events}), encoding="utf-8")

    report = replay(["odd.json"], session="vectara:a/s", to=["file:out"], environ={})

    undated, changed = report.sessions[0].warnings
    assert undated == "no record has a time, so all times are invented, beginning in 1970"
    assert changed.startswith("2 values held what OTLP cannot hold")


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_hostile_values_cost_no_other_span(protocol: str) -> None:
    deep: Any = "bottom"
    for _ in range(60):
        deep = {"in": [deep]} if isinstance(deep, str) else [deep]
    hostile = ["\ud800", "a\0b", 2**70, float("nan"), float("-inf"), deep, "x" * 10_000_000, {"\udfff": ["\ud83d"]}]
    stamps = ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2026-01-01T00:00:00.1234567890123Z", 1e300, "\ud800"]
    events = [
        {"id": f"aev_{number}", "type": "thinking", "created_at": f"2026-01-01T00:00:{number:02d}Z", "content": "fine"}
        for number in range(20)
    ]
    for number, value in enumerate([*hostile, *stamps]):
        events[number] |= {"content": value, "odd": value, "tool_name": value}
        events[number]["type"] = ["thinking", "tool_input", "agent_output", "input_message"][number % 4]
    for event, stamp in zip(events, stamps, strict=False):
        event["created_at"] = stamp  # type: ignore[assignment]
    Path("hostile.json").write_text(json.dumps({"events": events}), encoding="utf-8")

    with grpc_collector() if protocol == "grpc" else http_collector() as collector:
        report = replay(
            ["hostile.json"],
            session="vectara:a/s",
            endpoint=collector.url,
            protocol=protocol,
            content="full",
            environ={},
        )

    assert report.exit_code == 0, report
    assert report.sessions[0].events == 20
    assert len(collector.spans) == 21


# --- usage --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"to": ["nowhere"]}, "there are otlp, file:PATH and console"),
        ({"to": ["file:"]}, "there are otlp, file:PATH and console"),
        ({"to": []}, "there is no destination to send to"),
        ({"to": ["file:no/such/folder/out"]}, "cannot be written"),
        ({"revision": 0}, "revisions are counted from 1"),
        ({"max_value": 3}, "holds nothing"),
        ({"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, "give one session"),
        ({"traceparent": "odd"}, "is no traceparent"),
        ({"links": ["odd"]}, "is no traceparent"),
        ({"conventions": ["odd"]}, "there is no convention 'odd'"),
        ({"protocol": "http/json"}, "supported are http/protobuf and grpc"),
        ({"environ": {"OTEL_SDK_DISABLED": "TRUE"}}, "OTEL_SDK_DISABLED is true, so nothing was sent"),
    ],
)
def test_a_call_that_cannot_be_carried_out_is_refused_before_anything_is_fetched(
    platform: LoopbackPlatform, here: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said.replace(".", r"\.")):
        run(platform, **options)

    assert platform.asked == []
    assert list(here.iterdir()) == []


def test_notes_and_sessions_are_told_as_they_come(platform: LoopbackPlatform) -> None:
    told: list[SessionReport] = []
    noted: list[str] = []
    with http_collector() as collector:
        report = run(
            platform,
            endpoint=collector.url,
            environ={"OTEL_TRACES_SAMPLER": "always_off"},
            told=told.append,
            noted=noted.append,
        )

    assert tuple(told) == report.sessions
    assert noted == ["OTEL_TRACES_SAMPLER is set; sampling does not apply to recorded history: every span is sent"]
    assert len(collector.spans) == 27


def test_a_client_that_is_handed_in_is_used_and_left_open(platform: LoopbackPlatform) -> None:
    with httpx.Client(headers={"X-Team": "blue"}) as client:
        assert run(platform, to=["file:out"], client=client).exit_code == 0
        assert not client.is_closed


# --- the large session --------------------------------------------------------------------------------


def test_ten_thousand_events_over_a_hundred_pages_land_on_exactly_one_span_each(here: Path) -> None:
    generated = Generated()
    recording = generated.recording()
    options = {"to": ["file:one"], "content": "full", "environ": {"VECTARA_API_KEY": KEY}}
    with LoopbackPlatform([recording]) as platform:
        report = replay([recording.session], base_url=platform.base_url, **options)  # type: ignore[arg-type]
        options["to"] = ["file:two"]
        replay([recording.session], base_url=platform.base_url, **options)  # type: ignore[arg-type]
    spans = lines_of(here / "one")

    (session,) = report.sessions
    assert len(generated.pages) > 100
    assert session.error is None
    assert (session.events, session.duplicates) == (10_000, generated.duplicates)
    assert session.made == len(spans) == 1 + 10_000 - expected_pairs(generated.pages)
    assert len({span["spanId"] for span in spans}) == len(spans)
    root = spans[-1]
    begin, end = int(root["startTimeUnixNano"]), int(root["endTimeUnixNano"])
    for span in spans:
        assert begin <= int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"]) <= end
    told = [span["attributes"].get(f"{OWN}event.index") for span in spans]
    results = [span["attributes"].get(f"{OWN}result.event.index") for span in spans]
    assert sorted(index for index in (*told, *results) if index is not None) == list(range(1, 10_001))
    outcomes = {span["attributes"].get(f"{OWN}tool.outcome") for span in spans}
    assert outcomes >= {"ok", "error", "orphan_output", "missing_output"}
    assert (here / "one").read_bytes() == (here / "two").read_bytes()


def test_ten_thousand_events_are_the_same_spans_page_by_page_and_all_at_once() -> None:
    generated = Generated(events=3000)
    small, large = Generated(events=3000, per_page=7), Generated(events=3000, per_page=10**6)
    options = Options(policy=Policy(content="full"))

    traces = [
        trace_from(source_of(each.recording().model_dump_json().encode()), options).spans
        for each in (generated, small, large)
    ]

    assert traces[0] == traces[1] == traces[2]
