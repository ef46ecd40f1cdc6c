from __future__ import annotations

import asyncio
import gc
import json
import logging
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

from otel_agent_events.errors import UsageError
from otel_agent_events.events import AgentMessage, Text, UserMessage
from otel_agent_events.live.sessions import SessionRecorder
from tests.live.exporters import Blocked, Failing, Kept
from tests.live.waiting import own_threads, until
from tests.otlp.collectors import HttpReply, free_port, grpc_collector, http_collector

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.sampling import Sampler

    from tests.otlp.collectors import Collector, Received

PLENTY = 30.0
"""Seconds in which all is over that is over at all."""
SECOND = 1_000_000_000


def said(number: int, **others: Any) -> dict[str, Any]:
    """Give a record of an event that says its number."""
    at = f"2026-11-18T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z"
    return {"kind": "user_message", "id": f"e{number}", "time": at, "text": f"{number}", **others}


def record(recorder: SessionRecorder, name: str, events: int = 2) -> None:
    """Record a session of so many events; its trace has one span more."""
    with recorder.session(f"acme:{name}") as session:
        for number in range(events):
            session.record(said(number))


def ids_of(exporter: Kept) -> list[str | None]:
    """Give the ids of the events, in the order in which their spans came; None is a root's."""
    return [None if each is None else str(each) for each in attributes_of(exporter, "otel_agent_events.event.id")]


def attributes_of(exporter: Kept, name: str) -> list[Any]:
    return [(span.attributes or {}).get(name) for span in exporter.spans]


def roots_of(exporter: Kept) -> list[ReadableSpan]:
    return [span for span in exporter.spans if span.parent is None]


def is_complete(span: ReadableSpan) -> bool:
    return (span.attributes or {}).get("otel_agent_events.session.complete") is not False


def sent(path: Path, collector: Collector, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Deliver a spill file as a user does."""
    return subprocess.run(
        [*(sys.executable, "-m", "otel_agent_events", "send", path, "--endpoint", collector.url), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def exporter() -> Kept:
    return Kept()


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    before = own_threads()
    yield
    until(lambda: own_threads() <= before, 10)


# --- a session ----------------------------------------------------------------------------------------


def test_a_session_is_a_trace_of_its_own_and_content_stays_out_of_it(exporter: Kept) -> None:
    recorder = SessionRecorder(exporter=exporter, environ={})
    with recorder.session("acme:s1", agent="Desk", user="ada", model="m-1") as session:
        assert session.recording
        session.record(said(1))
        session.record({"kind": "agent_message", "id": "a1", "text": "hello", "end": "2026-11-18T00:00:09Z"})
    assert recorder.shutdown()

    (root,) = roots_of(exporter)
    assert f"{root.context.trace_id:032x}" == session.trace_id
    assert is_complete(root)
    assert {span.context.trace_id for span in exporter.spans} == {root.context.trace_id}
    told = json.dumps([dict(span.attributes or {}) for span in exporter.spans])
    assert "Desk" in told
    assert "ada" in told
    assert "hello" not in told
    assert (recorder.acknowledged, recorder.lost, recorder.spilled) == (3, {}, 0)
    assert not exporter.is_shut_down


@pytest.mark.parametrize(
    ("environ", "content", "shown"),
    [
        ({}, None, False),
        ({"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY"}, None, True),
        ({"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY"}, "none", False),
        ({}, "full", True),
    ],
)
def test_content_is_recorded_when_somebody_asks_for_it(
    exporter: Kept, environ: dict[str, str], content: Any, *, shown: bool
) -> None:
    recorder = SessionRecorder(exporter=exporter, content=content, environ=environ)
    with recorder.session("acme:s1") as session:
        session.record({"kind": "agent_message", "id": "a1", "text": "wonderful", "time": "2026-11-18T00:00:09Z"})
    recorder.shutdown()

    assert ("wonderful" in json.dumps([dict(span.attributes or {}) for span in exporter.spans])) is shown


def test_a_record_without_a_time_gets_that_of_its_arrival(exporter: Kept) -> None:
    recorder = SessionRecorder(exporter=exporter, environ={})
    with recorder.session("acme:s1") as session:
        session.record({"kind": "user_message", "id": "1", "text": "?"}, at=5 * SECOND)
        begun = time.time_ns()
        session.record({"kind": "user_message", "id": "2", "text": "?"})
        session.record({"kind": "user_message", "id": "3", "text": "?"}, at=-7)  # no time: as if nothing were said
        over = time.time_ns()
    recorder.shutdown()

    first, second, third, _ = exporter.spans
    assert first.start_time == 5 * SECOND
    assert begun <= (second.start_time or 0) <= (third.start_time or 0) <= over
    assert {source for source in attributes_of(exporter, "otel_agent_events.time.source") if source} <= {"recorded"}


def test_without_stamping_a_record_without_a_time_stays_undated_as_in_a_replay(exporter: Kept) -> None:
    recorder = SessionRecorder(exporter=exporter, stamp=False, environ={})
    with recorder.session("acme:s1") as session:
        session.record(said(0))
        session.record({"kind": "user_message", "id": "2", "text": "?"}, at=5 * SECOND)
    recorder.shutdown()

    assert (exporter.spans[1].start_time or 0) > 1_790_000_000 * SECOND
    assert "synthetic" in str(dict(exporter.spans[1].attributes or {}))


def test_what_is_changed_after_it_was_recorded_is_recorded_as_it_was(exporter: Kept) -> None:
    recorder = SessionRecorder(exporter=exporter, content="full", environ={})
    told = said(1, deep={"list": [1]})
    with recorder.session("acme:s1") as session:
        session.record(told)
        told["text"] = "changed"
        told["deep"]["list"].append("changed")
        told.clear()
    recorder.shutdown()

    assert "changed" not in json.dumps([dict(span.attributes or {}) for span in exporter.spans])
    assert ids_of(exporter)[0] == "e1"


def test_events_and_texts_are_records_too(exporter: Kept) -> None:
    recorder = SessionRecorder(exporter=exporter, content="full", environ={})
    with recorder.session("acme:s1") as session:
        session.record(json.dumps(said(1)))
        session.record(json.dumps(said(2)).encode())
        session.record(UserMessage(key="3", id="e3", start=4 * SECOND, end=4 * SECOND, parts=(Text(text="x"),)))
        session.record(AgentMessage(key="4", id="e4", parts=(Text(text="y"),)), at=9 * SECOND)
    assert recorder.shutdown()

    assert sorted(filter(None, ids_of(exporter))) == ["e1", "e2", "e3", "e4"]


def test_spans_leave_while_the_session_goes_on(exporter: Kept) -> None:
    recorder = SessionRecorder(exporter=exporter, environ={})
    with recorder.session("acme:s1") as session:
        session.record(said(1))
        session.record(said(2))
        assert recorder.force_flush()
        assert "e1" in ids_of(exporter)
        session.record(said(3))
    recorder.shutdown()

    assert ids_of(exporter) == ["e1", "e2", "e3", None]
    assert len(set(exporter.ids)) == 4


def test_a_session_that_ends_with_an_exception_is_not_complete(exporter: Kept) -> None:
    recorder = SessionRecorder(exporter=exporter, environ={})
    with suppress(KeyError), recorder.session("acme:s1") as session:
        session.record(said(1))
        raise KeyError
    recorder.shutdown()

    (root,) = roots_of(exporter)
    assert not is_complete(root)


def test_a_session_that_is_dropped_is_ended_and_not_complete(exporter: Kept) -> None:
    recorder = SessionRecorder(exporter=exporter, environ={})
    session = recorder.session("acme:s1")
    session.record(said(1))
    del session
    gc.collect()
    assert recorder.force_flush()

    (root,) = roots_of(exporter)
    assert not is_complete(root)
    recorder.shutdown()


def test_what_is_recorded_after_the_end_is_counted(exporter: Kept) -> None:
    recorder = SessionRecorder(exporter=exporter, environ={})
    session = recorder.session("acme:s1")
    session.close()
    session.close(complete=False)
    session.record(said(1))

    assert not recorder.force_flush()
    assert recorder.force_flush()  # it was said
    assert recorder.lost == {"records of a session that is not open here": 1}
    assert is_complete(roots_of(exporter)[0])
    assert recorder.shutdown()


# --- nothing raises and nothing waits -----------------------------------------------------------------


class Odd:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


def deep(levels: int) -> Any:
    told: Any = []
    for _ in range(levels):
        told = [told]
    return told


def cycle() -> Any:
    told: dict[str, Any] = {"kind": "user_message"}
    told["me"] = told
    return told


ODD: dict[str, Any] = {
    "nothing": None,
    "number": 7,
    "text": "no JSON",
    "bytes": b"\xff\xfe",
    "list": [1, 2],
    "object": Odd(),
    "type": dict,
    "huge": {"kind": "user_message", "id": "x", "n": 10**5000},
    "deep": {"kind": "user_message", "id": "x", "deep": deep(100_000)},
    "cycle": cycle(),
    "surrogate": {"kind": "user_message", "id": "\ud800", "text": "\ud800"},
    "times": {"kind": "user_message", "id": "x", "time": 1e400, "start": -5},
    "function": {"kind": "user_message", "id": "x", "call": print},
    "event": UserMessage(key="k", id="x", start=2**80, end=-3),
    "mistyped": UserMessage(key=3, parts="no parts"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_record_is_read_or_counted_and_costs_no_other(exporter: Kept, name: str) -> None:
    recorder = SessionRecorder(exporter=exporter, content="full", environ={})
    with recorder.session("acme:s1") as session:
        session.record(said(1))
        session.record(ODD[name])
        session.record(said(2))
    with recorder.session("acme:s2") as session:
        session.record(said(3))
    recorder.shutdown()

    (first, second) = roots_of(exporter)
    assert {"e1", "e2", "e3"} <= set(ids_of(exporter))
    assert is_complete(second)
    if recorder.lost:
        assert sum(recorder.lost.values()) == 1
        assert not is_complete(first)
    else:
        assert len(exporter.spans) in {5, 6}


@pytest.mark.parametrize("reference", ["", "nonsense", "vectara:", "vectara:a/b/c/d", ":x", "acme:a/b/c", None, 7])
def test_a_reference_that_is_none_is_counted_and_its_session_takes_everything(exporter: Kept, reference: Any) -> None:
    recorder = SessionRecorder(exporter=exporter, environ={})
    with recorder.session(reference) as session:
        session.record(said(1))
    record(recorder, "s2")
    recorder.shutdown()

    if not session.trace_id:
        assert sum(recorder.lost.values()) == 1
    assert len(roots_of(exporter)) == 1 + (session.trace_id is not None)


def test_names_of_sessions_that_are_none_share_one_reason_that_quotes_nothing(
    exporter: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = SessionRecorder(exporter=exporter, environ={})
    names: list[Any] = ["", "s3cret", "vectara:", ":s3cret", None, 7, b"vectara:a/b", ["s3cret"]]
    for name in names:
        recorder.session(name)
    recorder.shutdown()

    reason = "sessions: a session's name is none: write FETCHER:PATH, such as vectara:AGENT/SESSION"
    assert recorder.lost == {reason: len(names)}
    assert reason in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("odd", [5, "", b"ada", True, ["ada"]])
def test_what_is_empty_or_no_text_was_not_told_of_a_session(exporter: Kept, odd: Any) -> None:
    recorder = SessionRecorder(exporter=exporter, environ={})
    for given in ({}, {"agent": odd, "user": odd, "model": odd}):
        with recorder.session("acme:s1", **given) as session:
            session.record({"kind": "agent_message", "id": "a1", "text": "hello", "end": "2026-11-18T00:00:09Z"})
    assert recorder.shutdown()

    assert recorder.lost == {}
    told = [(span.name, dict(span.attributes or {})) for span in exporter.spans]
    assert told[:2] == told[2:]


def test_one_reason_serves_all_sessions_that_get_the_same_bad_answer(exporter: Kept) -> None:
    recorder = SessionRecorder(exporter=exporter, environ={})
    for number in range(60):
        with recorder.session(f"vectara:desk/s{number}") as session:
            session.record({"events": 7}, label="events")
    recorder.shutdown()

    assert recorder.lost == {"records: an answer holds no list of events": 60}


def test_an_exporter_that_blocks_for_ever_makes_nobody_wait(tmp_path: Path) -> None:
    exporter, path = Blocked(), tmp_path / "spill.jsonl"
    recorder = SessionRecorder(exporter=exporter, spill=path, environ={})
    begun = time.monotonic()
    for number in range(20):
        record(recorder, f"s{number}")
    assert exporter.asked.wait(PLENTY)
    assert not recorder.force_flush(100)
    assert not recorder.shutdown(100)
    assert not recorder.shutdown()
    assert time.monotonic() - begun < PLENTY

    assert recorder.spilled == 60
    assert recorder.lost == {}
    exporter.let_go.set()


@pytest.mark.parametrize("collecting", [http_collector, grpc_collector], ids=["http", "grpc"])
def test_a_collector_that_never_answers_makes_nobody_wait_and_the_spans_are_spilled(
    tmp_path: Path, collecting: Any
) -> None:
    let_go = threading.Event()

    def wait(_: Received) -> None:
        let_go.wait(PLENTY)

    path = tmp_path / "spill.jsonl"
    with collecting(answer=wait) as collector:
        protocol = "grpc" if collecting is grpc_collector else None
        recorder = SessionRecorder(endpoint=collector.url, protocol=protocol, timeout=2, spill=path, environ={})
        begun = time.monotonic()
        record(recorder, "s1", 100)
        assert not recorder.force_flush(100)
        assert not recorder.shutdown(100)
        assert time.monotonic() - begun < PLENTY
        until(lambda: recorder.spilled == 101)
        let_go.set()
    assert recorder.lost == {}


def test_a_full_queue_costs_what_does_not_fit_and_the_trace_says_so(caplog: pytest.LogCaptureFixture) -> None:
    exporter = Kept()
    recorder = SessionRecorder(exporter=exporter, queued_records=10, environ={})
    with recorder.session("acme:s1") as session:
        for number in range(2_000):
            session.record(said(number))
    lost = sum(recorder.lost.values())
    assert not recorder.shutdown()

    assert 0 < lost < 2_000
    assert recorder.lost == {"records that did not fit into the queue (queued_records, queued_bytes)": lost}
    numbers = [int(told[1:]) for told in ids_of(exporter) if told is not None]
    assert len(numbers) == 2_000 - lost
    assert numbers == sorted(numbers)
    (root,) = roots_of(exporter)
    assert not is_complete(root)
    assert len([line for line in caplog.records if line.levelno >= logging.WARNING]) <= 2  # the first, and the last


def test_the_queue_is_bounded_in_bytes_as_well(exporter: Kept) -> None:
    recorder = SessionRecorder(exporter=exporter, queued_bytes=5_000, environ={})
    with recorder.session("acme:s1") as session:
        session.record(said(1, text="x" * 10_000))
        session.record(UserMessage(key="2", id="e2", type="y" * 10_000))
        session.record(said(3))
    recorder.shutdown()

    assert sum(recorder.lost.values()) == 2
    assert ids_of(exporter) == ["e3", None]


def test_what_was_read_makes_room_again(exporter: Kept) -> None:
    recorder = SessionRecorder(exporter=exporter, queued_records=5, queued_bytes=2_000, environ={})
    with recorder.session("acme:s1") as session:
        for number in range(50):
            session.record(said(number))
            assert recorder.force_flush()
    assert recorder.shutdown()

    assert len(exporter.spans) == 51


def test_a_folder_that_cannot_be_made_for_the_spill_file_is_told_and_hurts_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    recorder = SessionRecorder(exporter=Failing(9), spill=tmp_path / "file" / "spill.jsonl", environ={})
    record(recorder, "s1")
    assert not recorder.shutdown()

    assert recorder.lost == {"spans that could not be delivered": 3}
    assert "spill.jsonl either: File exists" in caplog.text


def test_an_exporter_that_raises_hurts_nobody(exporter: Kept) -> None:
    failing = Failing(2, RuntimeError("s3cret"))
    recorder = SessionRecorder(exporter=failing, environ={})
    for number in range(4):
        record(recorder, f"s{number}")
        recorder.force_flush()
    assert recorder.shutdown()

    assert recorder.lost == {"spans that could not be delivered": 6}
    assert len(failing.spans) == 6
    assert exporter.spans == []


def test_a_signal_that_comes_at_any_moment_may_ask_for_the_end(exporter: Kept) -> None:
    recorders: list[SessionRecorder] = []
    over: list[bool] = []

    def end(*_: object) -> None:
        over.append(recorders[-1].shutdown(10_000))

    before = signal.signal(signal.SIGALRM, end)
    try:
        for number in range(20):
            recorders.append(SessionRecorder(exporter=exporter, environ={}))
            session = recorders[-1].session(f"acme:s{number}")
            signal.setitimer(signal.ITIMER_REAL, 0.002 + number / 10_000)
            while len(over) <= number:
                session.record(said(1))
                recorders[-1].force_flush(1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert len(roots_of(exporter)) == 20


# --- flush and shutdown -------------------------------------------------------------------------------


def test_shutdown_ends_the_sessions_that_are_open_as_not_complete_and_counts_what_comes_later(exporter: Kept) -> None:
    recorder = SessionRecorder(exporter=exporter, environ={})
    session = recorder.session("acme:s1")
    session.record(said(1))
    assert recorder.shutdown()
    assert recorder.shutdown()
    assert recorder.force_flush()
    session.record(said(2))
    session.close()
    with recorder.session("acme:s2") as late:
        late.record(said(3))

    (root,) = roots_of(exporter)
    assert not is_complete(root)
    assert ids_of(exporter) == ["e1", None]
    assert recorder.lost == {
        "records after the recorder was shut down": 1,
        "sessions after the recorder was shut down": 1,
    }


def test_a_recorder_that_was_never_used_has_no_thread_and_ends_at_once() -> None:
    recorder = SessionRecorder(endpoint=f"http://127.0.0.1:{free_port()}", environ={})

    assert own_threads() == []
    assert recorder.force_flush()
    assert recorder.shutdown()


@pytest.mark.parametrize("timeout", [0, -5, 1e300, float("inf")])
def test_no_time_is_too_short_or_too_long(exporter: Kept, timeout: Any) -> None:
    recorder = SessionRecorder(exporter=exporter, environ={})
    record(recorder, "s1")
    recorder.force_flush(timeout)
    assert recorder.force_flush()
    assert recorder.shutdown(max(timeout, 1_000))


def test_a_recorder_that_was_shut_down_is_let_go_of(exporter: Kept) -> None:
    recorder = SessionRecorder(exporter=exporter, environ={})
    record(recorder, "s1")
    recorder.shutdown()
    gone = weakref.ref(recorder)
    del recorder
    gc.collect()

    assert gone() is None


def test_a_recorder_that_is_dropped_goes_on_until_the_interpreter_ends(exporter: Kept) -> None:
    recorder = SessionRecorder(exporter=exporter, environ={})
    record(recorder, "s1")
    kept = weakref.ref(recorder)
    del recorder
    gc.collect()
    until(lambda: len(exporter.spans) == 3)

    found = kept()
    assert found is not None
    assert found.shutdown()


def test_a_loss_is_told_by_one_flush_and_not_by_the_next(tmp_path: Path) -> None:
    recorder = SessionRecorder(exporter=Failing(1), spill=tmp_path / "spill.jsonl", environ={})
    record(recorder, "s1")
    assert not recorder.force_flush()
    record(recorder, "s2")
    assert recorder.force_flush()
    assert recorder.shutdown()


def test_a_loss_before_anything_was_delivered_is_told(exporter: Kept) -> None:
    recorder = SessionRecorder(exporter=exporter, environ={})
    recorder.session("nonsense")

    assert not recorder.force_flush()
    assert recorder.shutdown()


def test_many_threads_record_while_others_flush_and_every_span_comes_once(exporter: Kept) -> None:
    recorder = SessionRecorder(exporter=exporter, queued_records=1_000_000, environ={})
    over = threading.Event()

    def work(thread: int) -> None:
        for number in range(60):
            record(recorder, f"t{thread}-{number}", 5)

    def flush() -> None:
        while not over.is_set():
            assert recorder.force_flush()

    workers = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    flushing = [threading.Thread(target=flush) for _ in range(2)]
    for thread in [*workers, *flushing]:
        thread.start()
    for thread in workers:
        thread.join()
    assert recorder.force_flush()
    assert len(exporter.spans) == 6 * 60 * 6
    over.set()
    for thread in flushing:
        thread.join()

    assert recorder.shutdown()
    assert len(exporter.spans) == len(set(exporter.ids)) == 6 * 60 * 6
    assert all(is_complete(root) for root in roots_of(exporter))


def test_what_races_with_the_end_is_delivered_or_counted(exporter: Kept) -> None:
    for attempt in range(10):
        exporter.spans.clear()
        recorder = SessionRecorder(exporter=exporter, queued_records=1_000_000, environ={})
        begun = threading.Barrier(5)
        counts: Counter[str] = Counter()

        def work(
            thread: int,
            recorder: SessionRecorder = recorder,
            counts: Counter[str] = counts,
            begun: threading.Barrier = begun,
        ) -> None:
            begun.wait(PLENTY)
            for number in range(100):
                with recorder.session(f"acme:{thread}-{number}") as session:
                    is_open = session.trace_id is not None
                    session.record(said(1))
                counts[f"{thread} {'opened' if is_open else 'refused'}"] += 1

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        begun.wait(PLENTY)
        time.sleep(attempt / 500)
        recorder.shutdown()
        for thread in threads:
            thread.join()

        lost = recorder.lost
        opened = sum(count for name, count in counts.items() if name.endswith("opened"))
        events = [told for told in ids_of(exporter) if told is not None]
        assert len(events) + lost.get("records after the recorder was shut down", 0) == opened
        assert len(roots_of(exporter)) + lost.get("sessions after the recorder was shut down", 0) == 400


# --- a collector that is away -------------------------------------------------------------------------


def test_a_collector_that_is_away_for_the_whole_run_gets_all_from_the_spill_file_once(tmp_path: Path) -> None:
    port, path = free_port(), tmp_path / "spill.jsonl"
    recorder = SessionRecorder(
        endpoint=f"http://127.0.0.1:{port}", spill=path, queued_bytes=20_000, content="full", environ={}
    )
    for number in range(200):
        with recorder.session(f"acme:s{number}") as session:
            for event in range(10):
                session.record(said(event, text="x" * 100))
        if number % 5 == 0:
            recorder._desk.flush(time.monotonic() + PLENTY)  # so that it is no matter of the queue of records
    assert not recorder.shutdown(200)
    until(lambda: recorder.spilled == 200 * 11)

    assert recorder.lost == {}
    assert recorder.acknowledged == 0
    with http_collector() as collector:
        done = sent(path, collector)
        again = sent(path, collector)
    assert done.returncode == 0, done.stderr
    assert again.returncode == 0, again.stderr
    assert len(collector.ids) == len(set(collector.ids)) == 200 * 11
    assert len([span for span in collector.spans if not span.parent_span_id]) == 200


def test_a_collector_that_is_away_for_a_while_costs_nothing(tmp_path: Path) -> None:
    port, path = free_port(), tmp_path / "spill.jsonl"
    recorder = SessionRecorder(endpoint=f"http://127.0.0.1:{port}", spill=path, environ={})
    with http_collector(port=port) as before:
        record(recorder, "s1", 5)
        assert recorder.force_flush()
    record(recorder, "s2", 5)
    assert not recorder.force_flush(300)
    record(recorder, "s3", 5)
    with http_collector(port=port) as after:
        assert recorder.shutdown()

    assert len(before.ids) == 6
    assert len(after.ids) == 12
    assert len({*before.ids, *after.ids}) == 18
    assert (recorder.lost, recorder.spilled, path.exists()) == ({}, 0, False)


def test_a_server_that_is_none_for_a_while_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "spill.jsonl"
    replies = [HttpReply(status=404, body=b"no such page", content_type="text/plain")] * 3
    with http_collector(*replies) as collector:
        recorder = SessionRecorder(endpoint=collector.url, spill=path, pauses=(0.01, 0.02), environ={})
        for number in range(6):
            record(recorder, f"s{number}")
            recorder.force_flush()
        assert len(own_threads()) <= 3
        assert recorder.shutdown()
        assert len(collector.ids) == 9
        assert sent(path, collector).returncode == 0
        assert len(collector.ids) == len(set(collector.ids)) == 18
    assert recorder.lost == {}


def test_what_is_sent_is_no_part_of_what_an_instrumented_service_does() -> None:
    kept = Kept()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    HTTPXClientInstrumentor().instrument(tracer_provider=provider)
    try:
        with http_collector() as collector:
            recorder = SessionRecorder(endpoint=collector.url, environ={})
            record(recorder, "s1")
            assert recorder.shutdown()
            with httpx.Client() as client:
                client.post(collector.url, content=b"")
    finally:
        HTTPXClientInstrumentor().uninstrument()

    assert len(collector.ids) == 3
    assert len(kept.spans) == 1  # the service's own request


# --- how it is made -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"endpoint": "ftp://x"}, "--endpoint is no endpoint"),
        ({"endpoint": "http://host:4318", "protocol": "carrier pigeon"}, "not supported"),
        ({"endpoint": "http://host:4318", "headers": {"a b": "s3cret"}}, "a header has a name"),
        ({"exporter": Kept(), "endpoint": "http://host:4318"}, "give one of the two"),
        ({"exporter": object()}, "has no method export"),
        ({"revision": 0}, "revision is 0"),
        ({"queued_records": 0}, "queued_records is 0"),
        ({"queued_bytes": "many"}, "queued_bytes is 'many'"),
        ({"deadline": 0}, "the deadline is 0"),
        ({"deadline": float("nan")}, "the deadline is nan"),
        ({"timeout": -1}, "time-out"),
        ({"pauses": ()}, "the pauses are"),
        ({"content": "some"}, "the content is 'some'; it is one of"),
        ({"max_value": 3}, "--max-value is 3"),
        ({"conventions": ["odd"]}, "there is no convention 'odd'"),
        ({"conventions": []}, "no convention"),
        ({"spill": "."}, "is a folder"),
    ],
)
def test_what_cannot_be_meant_is_refused_when_the_recorder_is_made(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        SessionRecorder(environ={}, **given)

    assert "s3cret" not in str(refused.value)


def test_a_disabled_sdk_records_nothing_and_loses_nothing(exporter: Kept) -> None:
    recorder = SessionRecorder(exporter=exporter, environ={"OTEL_SDK_DISABLED": "true"})
    record(recorder, "s1")

    assert recorder.session("acme:s1").trace_id is None
    assert recorder.shutdown()
    assert (exporter.spans, recorder.lost) == ([], {})


@pytest.mark.parametrize(
    ("follows", "sampler", "recorded"),
    [(True, ALWAYS_OFF, 0), (True, ALWAYS_ON, 1), (True, None, 1), (False, ALWAYS_OFF, 1)],
)
def test_a_session_follows_the_sampling_of_the_request_only_when_it_is_asked_to(
    exporter: Kept, sampler: Sampler | None, recorded: int, *, follows: bool
) -> None:
    recorder = SessionRecorder(exporter=exporter, follow_sampling=follows, environ={})
    if sampler is None:
        record(recorder, "s1")
    else:
        with TracerProvider(sampler=sampler).get_tracer("t").start_as_current_span("request"):
            record(recorder, "s1")
    assert recorder.shutdown()

    assert len(roots_of(exporter)) == recorded
    assert recorder.lost == {}


def test_no_credential_is_told_by_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    refused = HttpReply(status=401, body=b"not s3cret-token", content_type="text/plain")
    with http_collector(refused, refused, refused) as collector:
        url = collector.url.replace("://", "://ada:s3cret-word@")
        recorder = SessionRecorder(
            endpoint=f"{url}?key=s3cret-key", headers={"x-api-key": "s3cret-token"}, pauses=(0.01,), environ={}
        )
        record(recorder, "s1")
        recorder.force_flush()
        record(recorder, "s2")
        recorder.shutdown()

    assert "answered 401" in caplog.text
    assert "s3cret" not in caplog.text
    assert "s3cret" not in str(recorder.lost)


# --- asyncio ------------------------------------------------------------------------------------------


def test_a_running_loop_is_not_held_up(tmp_path: Path) -> None:
    exporter = Blocked()
    recorder = SessionRecorder(exporter=exporter, spill=tmp_path / "spill.jsonl", environ={})

    async def serve(number: int) -> None:
        async with recorder.session(f"acme:s{number}") as session:
            for event in range(20):
                session.record(said(event))
                await asyncio.sleep(0)

    async def main() -> bool:
        await asyncio.gather(*(serve(number) for number in range(50)))
        flushing = asyncio.create_task(asyncio.to_thread(recorder.force_flush))
        await asyncio.to_thread(exporter.asked.wait, PLENTY)
        exporter.let_go.set()
        return await flushing

    assert asyncio.run(main())
    assert len(roots_of(exporter)) == 50
    assert all(is_complete(root) for root in roots_of(exporter))
    recorder.shutdown()


def test_a_task_that_is_cancelled_leaves_a_session_that_is_not_complete(exporter: Kept) -> None:
    recorder = SessionRecorder(exporter=exporter, environ={})

    async def serve() -> None:
        async with recorder.session("acme:s1") as session:
            session.record(said(1))
            await asyncio.sleep(PLENTY)

    async def main() -> None:
        task = asyncio.create_task(serve())
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    recorder.shutdown()

    assert [is_complete(root) for root in roots_of(exporter)] == [False]
