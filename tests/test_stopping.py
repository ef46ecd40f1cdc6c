"""Ctrl-C, SIGTERM and `Stop.ask()`: a run ends within seconds, and the same command goes on from there."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_events import replay, stopping
from otel_agent_events.conversion import MOST
from otel_agent_events.stopping import Stop, Stopped
from otel_agent_events.testing import LoopbackPlatform, Reply
from tests.otlp.collectors import HttpReply, free_port, http_collector
from tests.reruns import KEY, SESSION, arguments, doubled, entries, recorded, run, started, url_of

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from otel_agent_events.fetchers.saved import Recording
    from otel_agent_events.report import Report
    from tests.otlp.collectors import Collector

pytestmark = pytest.mark.usefixtures("here")

HUGE = 7_000
"""Events of a session of which some is out before all of it was read."""

SIGNALS = pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)


def until(happened: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    """Wait until something has happened, as long as the process runs."""
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None
        time.sleep(0.01)


def ended(process: subprocess.Popen[str], number: signal.Signals, *, times: int = 1) -> dict[str, Any]:
    """Send a signal to a process, wait for its end and read what it said."""
    for each in range(times):
        time.sleep(0.2 * (each > 0))
        process.send_signal(number)
    try:
        stdout, stderr = process.communicate(timeout=20)
    finally:
        process.kill()  # one that hangs must not outlast its test
    assert stdout, stderr
    report: dict[str, Any] = json.loads(stdout)
    for session in report["sessions"]:
        for counts in session["destinations"]:
            fates = ("acknowledged", "reported", "rejected", "set_aside", "lost")
            assert counts["made"] == sum(counts[each] for each in fates)
    return report


def slow(platform: LoopbackPlatform, recording: Recording, *, pages: int, delay: float) -> None:
    """Let a platform answer some pages of a session at once, and the next one late."""
    answers = [Reply(body=json.dumps(answer.body).encode()) for answer in recording.answers[:pages]]
    late = Reply(body=json.dumps(recording.answers[pages].body).encode(), delay=delay)
    platform.faults[recording.answers[0].path].extend([*answers, late])


# --- a real process -----------------------------------------------------------------------------------


@SIGNALS
def test_stopped_in_the_middle_of_a_long_session_the_same_command_completes_it(
    here: Path, number: signal.Signals, code: int
) -> None:
    recording = recorded(HUGE, per_page=500)
    with LoopbackPlatform([recording]) as platform, http_collector() as collector:
        slow(platform, recording, pages=len(recording.answers) - 1, delay=60)
        command = arguments(platform, collector, here, SESSION, more=("--json",))
        process = started(*command)
        until(lambda: collector.taken and not platform.faults[recording.answers[0].path], process)
        first = ended(process, number)
        platform.faults.clear()
        second = run(platform, collector, here)
        third = run(platform, collector, here)

    (session,) = first["sessions"]
    assert process.returncode == code
    assert first["stopped"] is True
    assert "without a root" in session["error"]
    assert session["acknowledged"] >= MOST
    assert second.exit_code == 0
    assert second.sessions[0].destinations[0].had == session["acknowledged"]
    assert second.sessions[0].revision == 1
    assert third.sessions[0].unchanged
    assert doubled(collector) == 0


@SIGNALS
def test_stopped_before_enough_was_read_no_torso_is_sent(here: Path, number: signal.Signals, code: int) -> None:
    recording = recorded(HUGE)
    with LoopbackPlatform([recording]) as platform, http_collector() as collector:
        slow(platform, recording, pages=10, delay=60)
        process = started(*arguments(platform, collector, here, SESSION, "vectara:big/two", more=("--json",)))
        until(lambda: not platform.faults[recording.answers[0].path], process)
        report = ended(process, number)

    assert process.returncode == code
    assert collector.requests == []
    assert [each["reference"] for each in report["sessions"]] == [SESSION]
    assert "nothing of it was sent" in report["sessions"][0]["error"]
    assert "stopped after 0 of 2 sessions; the same command goes on from here" in report["notes"]
    assert entries(here) == []


@SIGNALS
def test_stopped_while_the_collector_is_away_what_is_on_its_way_is_set_aside_and_sent_by_the_same_command(
    here: Path, number: signal.Signals, code: int
) -> None:
    names = [f"vectara:big/s{number}" for number in range(3)]
    away = threading.Event()
    recordings = [recorded(session=f"s{number}", seed=number) for number in range(3)]
    with (
        LoopbackPlatform(recordings) as platform,
        http_collector(answer=lambda _: None if away.is_set() else HttpReply(status=503)) as collector,
    ):
        process = started(*arguments(platform, collector, here, *names, more=("--json",)))
        until(lambda: len(collector.requests) > 1, process)
        report = ended(process, number)
        away.set()
        second = run(platform, collector, here, *names)

    assert process.returncode == code
    assert report["totals"]["set_aside"] == report["totals"]["made"] > 0
    assert report["set_aside"] == str(here / "left.jsonl")
    (said,) = report["notes"]
    assert said.startswith("stopped after 3 of 3 sessions, and ")
    assert said.endswith(f"{here / 'left.jsonl'}; the same command goes on from here, and sends those too")
    assert second.exit_code == 0
    assert second.totals.acknowledged == second.totals.made == len(collector.ids) == report["totals"]["made"]
    assert doubled(collector) == 0


@SIGNALS
def test_stopped_while_it_sends_the_same_command_goes_on_with_the_next_session(
    here: Path, number: signal.Signals, code: int
) -> None:
    count = 30
    names = [f"vectara:big/s{number}" for number in range(count)]
    recordings = [recorded(session=f"s{number}", seed=number) for number in range(count)]
    with LoopbackPlatform(recordings) as platform, http_collector() as collector:
        path = recordings[15].answers[0].path
        platform.faults[path].append(Reply(body=json.dumps(recordings[15].answers[0].body).encode(), delay=60))
        process = started(*arguments(platform, collector, here, *names, more=("--json",)))
        until(lambda: collector.taken and any(path in each for each in platform.asked), process)
        report = ended(process, number)
        before = len(collector.ids)
        second = run(platform, collector, here, *names)

    assert process.returncode == code
    assert report["totals"]["acknowledged"] == report["totals"]["made"] == before
    assert f"stopped after 15 of {count} sessions; the same command goes on from here" in report["notes"]
    assert second.exit_code == 0
    assert [each.unchanged for each in second.sessions] == [True] * 15 + [False] * 15
    assert doubled(collector) == 0
    assert len({span.trace_id for span in collector.spans}) == count


@SIGNALS
def test_asked_twice_it_waits_for_no_collector(here: Path, number: signal.Signals, code: int) -> None:
    with (
        LoopbackPlatform([recorded()]) as platform,
        http_collector(answer=lambda _: HttpReply(status=503, headers={"retry-after": "60"})) as collector,
    ):
        process = started(*arguments(platform, collector, here, SESSION, more=("--json",)))
        until(lambda: collector.requests, process)
        report = ended(process, number, times=2)  # long before the minute is over that the collector asks for

    assert process.returncode == code
    assert report["totals"]["set_aside"] == report["totals"]["made"] > 0


def test_the_third_signal_ends_it_whatever_it_waits_for(here: Path) -> None:
    with (
        LoopbackPlatform([recorded()]) as platform,
        http_collector(answer=lambda _: HttpReply(delay=4)) as collector,
    ):
        process = started(*arguments(platform, collector, here, SESSION, more=("--timeout", "60")))
        until(lambda: collector.requests, process)
        for _ in range(3):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.8)
        process.communicate(timeout=20)
        answered = len(collector.taken)

    assert process.returncode == -signal.SIGTERM
    assert answered == 0


def test_stopped_while_all_is_sent_again_it_names_the_command_that_does_not_begin_anew(here: Path) -> None:
    stop = Stop()
    stop.ask()
    with LoopbackPlatform([recorded()]) as platform, http_collector() as collector:
        report = run(platform, collector, here, stop=stop, again=True)

    assert report.notes == ("stopped after 0 of 1 sessions; the same command without --again goes on from here",)


def test_stopped_with_no_ledger_it_does_not_promise_to_go_on(here: Path) -> None:
    with LoopbackPlatform([recorded()]) as platform, http_collector() as collector:
        platform.faults[recorded().answers[0].path].append(Reply(delay=60))
        command = arguments(platform, collector, here, SESSION, more=("--json",))
        command[command.index("--ledger") + 1] = "off"
        process = started(*command)
        until(lambda: platform.asked, process)
        report = ended(process, signal.SIGINT)

    assert "stopped after 0 of 1 sessions; those that are not told of above were not sent" in report["notes"]


# --- from another thread ------------------------------------------------------------------------------


def replaying(stop: Stop, platform: LoopbackPlatform, collector: Collector, here: Path, *names: str) -> Report:
    """Replay in a thread of its own until a collector has taken something; then ask to stop."""
    reports: list[Report] = []
    thread = threading.Thread(target=lambda: reports.append(run(platform, collector, here, *names, stop=stop)))
    thread.start()
    until(lambda: collector.taken)
    stop.ask()
    thread.join()
    return reports[0]


def test_another_thread_stops_a_run_at_the_next_answer(here: Path) -> None:
    fast, late = recorded(session="fast"), recorded(session="late", per_page=4)
    with LoopbackPlatform([fast, late]) as platform, http_collector() as collector:
        pages = [Reply(body=json.dumps(answer.body).encode(), delay=0.8) for answer in late.answers]
        platform.faults[late.answers[0].path].extend(pages)
        report = replaying(Stop(), platform, collector, here, "vectara:big/fast", "vectara:big/late")
        left = len(platform.faults[late.answers[0].path])

    assert report.stopped
    assert report.exit_code == 130
    assert left > 0
    assert [each.acknowledged == each.made > 0 for each in report.sessions] == [True, False]
    assert report.sessions[1].error == "stopped while it was read; nothing of it was sent"


def test_a_run_that_was_asked_to_stop_before_it_began_fetches_nothing(here: Path) -> None:
    stop = Stop()
    stop.ask()
    with LoopbackPlatform([recorded()]) as platform, http_collector() as collector:
        report = run(platform, collector, here, stop=stop)

    assert (report.sessions, report.exit_code, platform.asked) == ((), 130, [])


def test_a_saved_session_is_cut_short_when_nothing_is_waited_for_any_more(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "GRACE", 0.1)
    saved = here / "saved.json"
    saved.write_text(recorded(20_000, per_page=500).model_dump_json(), encoding="utf-8")
    stop, options = Stop(), {"ledger": url_of(here), "environ": {"VECTARA_API_KEY": KEY}}

    def asked(_: object) -> HttpReply:
        if not stop.asked:
            stop.ask()
        return HttpReply(delay=0.5)

    port = free_port()
    with http_collector(answer=asked, port=port) as collector:
        first = replay([saved], endpoint=collector.url, stop=stop, set_aside=here / "left", **options)  # type: ignore[arg-type]
    with http_collector(port=port) as again:
        second = replay([saved], endpoint=again.url, **options)  # type: ignore[arg-type]

    (session,) = first.sessions
    assert session.error is not None
    assert session.error.startswith("stopped while it was sent")
    assert second.exit_code == 0
    assert session.made < second.sessions[0].made + second.sessions[0].destinations[0].had
    assert doubled(again) == 0
    assert not set(collector.ids) & set(again.ids)


# --- what asks ----------------------------------------------------------------------------------------


def test_who_waits_is_woken() -> None:
    stop = Stop()
    threading.Timer(0.1, stop.ask).start()

    assert stop.wait(20)
    assert stop.wait(20)


def test_who_waits_and_is_not_asked_goes_on() -> None:
    assert not Stop().wait(0.01)


@pytest.fixture
def hurried() -> threading.Event:
    return threading.Event()


def test_asked_once_it_hurries_after_a_while(hurried: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "GRACE", 0.1)
    stop = Stop()
    with stop.hurrying(hurried.set):
        assert not hurried.wait(0.2)
        stop.ask()
        assert not stop.hurries
        assert hurried.wait(20)
    assert stop.hurries


def test_asked_twice_it_hurries_at_once(hurried: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "GRACE", 3_600)
    stop = Stop()
    with stop.hurrying(hurried.set):
        stop.ask()
        stop.ask()
        assert hurried.wait(20)


def test_who_is_through_in_time_need_not_hurry(hurried: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "GRACE", 3_600)
    stop = Stop()
    with stop.hurrying(hurried.set):
        stop.ask()

    assert not hurried.is_set()
    assert not any(thread.name == "stop" for thread in threading.enumerate())


def test_a_signal_ends_the_wait_for_an_answer_and_nothing_else() -> None:
    stop = Stop()

    def answers() -> Iterator[int]:
        yield 1
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(20)

    taken: list[int] = []
    with stop.on_signals():
        with pytest.raises(Stopped):
            taken.extend(stop.reading(answers()))
        before = signal.getsignal(signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)  # between two waits it is only noted

    assert taken == [1]
    assert stop.signal == signal.SIGTERM
    assert before is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
