"""Turns where a process forks or ends: each test runs a small program of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from textwrap import dedent
from typing import Any

from tests.processes import unmeasured

BEGIN = """
import gc, json, logging, os, signal, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # a process that forks with threads is the point here
logging.getLogger("otel_agent_events").addHandler(logging.NullHandler())  # that something is lost is not looked at
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from otel_agent_events import TurnRecorder

class Told(SpanExporter):
    def export(self, spans):
        for span in spans:
            parent = None if span.parent is None else f"{span.parent.span_id:x}"
            line = json.dumps({
                "pid": os.getpid(), "name": span.name, "id": f"{span.context.span_id:x}", "parent": parent,
                "event": span.attributes.get("otel_agent_events.event.id"),
                "complete": span.attributes.get("otel_agent_events.turn.complete"),
            })
            os.write(1, (line + chr(10)).encode())
        return SpanExportResult.SUCCESS

def thought(id):
    return {"type": "thinking", "id": id, "content": "hm"}

def child(work):
    pid = os.fork()
    if not pid:
        signal.alarm(30)  # one that waits for a lock for ever is ended, and its status tells
        work()
        os._exit(0)
    return pid

def ended(pid):
    status = os.waitpid(pid, 0)[1]
    assert status == 0, status

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(Told()))
"""


def run(program: str) -> list[dict[str, Any]]:
    """Run a program; give the spans that it and its children have exported. It says nothing else."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + dedent(program)],
        env=unmeasured(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_child_records_nothing_into_the_turn_of_its_parent_and_counts_that() -> None:
    spans = run("""
        recorder = TurnRecorder(tracer_provider=provider)
        with recorder.turn("vectara:gardener/s1") as turn:
            turn.record(thought("before"))
            def work():
                turn.record(thought("in the child"))
                turn.end()
                assert recorder.lost == {"records of a turn that another process has opened": 1}, recorder.lost
            ended(child(work))
            turn.record(thought("after"))
        assert recorder.lost == {}, recorder.lost
    """)

    assert [span["event"] or span["name"] for span in spans] == ["before", "after", "invoke_agent gardener"]
    assert len({span["pid"] for span in spans}) == 1


def test_workers_that_are_forked_from_one_recorder_record_turns_of_their_own() -> None:
    spans = run("""
        recorder = TurnRecorder(tracer_provider=provider)
        recorder.lose(1, "in the parent")
        def work():
            for number in range(3):
                with recorder.turn("vectara:gardener/s1") as turn:
                    turn.record(thought(str(number)))
            assert recorder.lost == {}, recorder.lost
        for pid in [child(work) for _ in range(3)]:
            ended(pid)
        work_here = recorder.turn("vectara:gardener/s1")
        with work_here:
            pass
        assert recorder.lost == {"in the parent": 1}
    """)

    assert len({span["pid"] for span in spans}) == 4
    assert len([span for span in spans if span["event"]]) == 9
    assert len([span for span in spans if span["name"] == "invoke_agent gardener"]) == 10
    assert len({span["id"] for span in spans}) == 19


def test_a_child_that_is_forked_in_a_turn_opens_one_of_its_own_below_it() -> None:
    spans = run("""
        recorder = TurnRecorder(tracer_provider=provider)
        with recorder.turn("vectara:gardener/s1"):
            def work():
                with recorder.turn("vectara:botanist/s2") as turn:
                    turn.record(thought("mine"))
            ended(child(work))
    """)

    below, outer = spans[-2], spans[-1]
    assert [span["name"] for span in spans] == ["thinking", "invoke_agent botanist", "invoke_agent gardener"]
    assert below["parent"] == outer["id"]
    assert below["pid"] != outer["pid"]


def test_locks_that_other_threads_hold_when_a_child_is_forked_hold_nobody_up_there() -> None:
    spans = run("""
        recorder = TurnRecorder(tracer_provider=provider)
        turn = recorder.turn("vectara:gardener/s1")
        turn.start()
        locks = (turn._lock, recorder._making._lock, recorder._losses._lock)
        held, free = threading.Event(), threading.Event()
        def hold():
            with locks[0], locks[1], locks[2]:
                held.set()
                free.wait(60)
        thread = threading.Thread(target=hold)
        thread.start()
        held.wait(60)
        def work():
            turn.record(thought("lost"))
            turn.end()
            with recorder.turn("vectara:botanist/s2") as mine:
                mine.record(thought("mine"))
            assert recorder.lost == {"records of a turn that another process has opened": 1}, recorder.lost
            assert recorder.shutdown()
        pid = child(work)
        ended(pid)
        free.set()
        thread.join()
        turn.end()
    """)

    assert [span["name"] for span in spans] == ["thinking", "invoke_agent botanist", "invoke_agent gardener"]


def test_children_that_are_forked_while_threads_record_lose_and_double_nothing() -> None:
    spans = run("""
        recorder = TurnRecorder(tracer_provider=provider)
        turn = recorder.turn("vectara:gardener/s1")
        turn.start()
        def record(thread):
            for number in range(200):
                turn.record(thought(f"{thread}/{number}"))
        threads = [threading.Thread(target=record, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        def work():
            turn.record(thought("in the child"))
            turn.end()
        pids = []
        for _ in range(10):
            pids.append(child(work))
            time.sleep(0.002)
        for pid in pids:
            ended(pid)
        for thread in threads:
            thread.join()
        turn.end()
    """)

    told = [span["event"] for span in spans if span["event"]]
    assert sorted(told) == sorted(f"{thread}/{number}" for thread in range(3) for number in range(200))
    assert len([span for span in spans if span["name"] == "invoke_agent gardener"]) == 1


def test_a_turn_that_is_open_when_the_interpreter_ends_is_told_as_not_complete() -> None:
    spans = run("""
        batching = TracerProvider()
        batching.add_span_processor(BatchSpanProcessor(Told()))
        recorder = TurnRecorder(tracer_provider=batching)
        turn = recorder.turn("vectara:gardener/s1")
        turn.start()
        turn.record(thought("told"))
        def answer():
            with recorder.turn("vectara:gardener/s2") as mine:
                mine.record({"type": "streaming_agent_output", "content": "half"})
                yield 1
        left = answer()
        next(left)
    """)

    assert sorted((span["name"], span["complete"]) for span in spans if span["name"].startswith("invoke")) == [
        ("invoke_agent gardener", False),
        ("invoke_agent gardener", False),
    ]
    assert [span["event"] for span in spans if span["name"] == "thinking"] == ["told"]
    assert len([span for span in spans if span["name"] == "agent_output"]) == 1


def test_a_turn_in_a_daemon_thread_does_not_hold_up_the_end_of_the_interpreter() -> None:
    spans = run("""
        recorder = TurnRecorder(tracer_provider=provider)
        opened = threading.Event()
        def work():
            with recorder.turn("vectara:gardener/s1") as turn:
                turn.record(thought("told"))
                opened.set()
                time.sleep(600)
        threading.Thread(target=work, daemon=True).start()
        opened.wait(60)
    """)

    assert [(span["name"], span["complete"]) for span in spans] == [
        ("thinking", None),
        ("invoke_agent gardener", False),
    ]


def test_a_turn_that_nobody_ended_and_nobody_has_any_more_is_ended_and_not_kept() -> None:
    spans = run("""
        from otel_agent_events.live import turns
        recorder = TurnRecorder(tracer_provider=provider)
        for _ in range(100):
            recorder.turn("vectara:gardener/s1").start()
        gc.collect()
        until = time.monotonic() + 30
        while turns._OPEN and time.monotonic() < until:
            time.sleep(0.01)
        assert not turns._OPEN
    """)

    assert [span["complete"] for span in spans] == [False] * 100


def test_a_provider_that_is_set_after_the_recorder_was_made_is_used() -> None:
    spans = run("""
        recorder = TurnRecorder()
        with recorder.turn("vectara:gardener/s1") as turn:
            turn.record(thought("nobody hears it"))
        trace.set_tracer_provider(provider)
        with recorder.turn("vectara:gardener/s1") as turn:
            turn.record(thought("heard"))
        assert recorder.lost == {}
        assert recorder.force_flush()
    """)

    assert [span["event"] or span["name"] for span in spans] == ["heard", "invoke_agent gardener"]


def test_turns_that_are_open_when_the_interpreter_ends_are_ended_though_others_still_begin() -> None:
    spans = run("""
        sys.setswitchinterval(1e-5)
        recorder = TurnRecorder(tracer_provider=provider)
        kept = [recorder.turn(f"vectara:gardener/{number}") for number in range(500)]
        for turn in kept:
            turn.start()
        others = []
        def go_on():
            while len(others) < 100_000:
                turn = recorder.turn("vectara:other/s")
                turn.start()
                others.append(turn)
        threading.Thread(target=go_on, daemon=True).start()
    """)

    assert sum(span["name"] == "invoke_agent gardener" and span["complete"] is False for span in spans) == 500


def test_open_turns_reach_a_provider_that_was_made_after_others_had_turns() -> None:
    spans = run("""
        with TurnRecorder(tracer_provider=provider).turn("vectara:first/s"):
            pass
        later = TracerProvider()
        later.add_span_processor(BatchSpanProcessor(Told()))
        turn = TurnRecorder(tracer_provider=later).turn("vectara:gardener/s")
        turn.start()
        turn.record(thought("t"))
    """)

    assert [span["name"] for span in spans if "first" not in span["name"]] == ["thinking", "invoke_agent gardener"]


def test_a_child_that_is_forked_while_a_client_is_instrumented_can_instrument_its_own() -> None:
    run("""
        import httpx
        from otel_agent_events import instrument_httpx
        from otel_agent_events.live import httpx_clients
        held = threading.Event()
        def hold():
            with httpx_clients._lock.held():
                held.set()
                time.sleep(60)
        threading.Thread(target=hold, daemon=True).start()
        held.wait()
        ended(child(lambda: instrument_httpx(httpx.Client())))
    """)
