"""Interpreters that end, and processes that fork: each is a process of its own."""

from __future__ import annotations

import subprocess
import sys
import threading
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from tests.otlp.collectors import free_port, grpc_collector, http_collector
from tests.processes import unmeasured

if TYPE_CHECKING:
    from pathlib import Path

    from tests.otlp.collectors import Collector

BEGIN = """
import os, sys, threading, time
from otel_agent_events import SessionRecorder

recorder = SessionRecorder(endpoint=sys.argv[1], protocol=sys.argv[2], spill=sys.argv[3])

def record(name, events=2, close=True):
    session = recorder.session(f"acme:{name}")
    for number in range(events):
        session.record({"kind": "user_message", "id": str(number), "text": name})
    if close:
        session.close()
    return session
"""


def run(
    script: str, endpoint: str, spill: Path, *options: str, protocol: str = "http/protobuf", timeout: str = "10000"
) -> subprocess.CompletedProcess[str]:
    environ = {**unmeasured(), "PYTHONPATH": ":".join(sys.path), "OTEL_EXPORTER_OTLP_TIMEOUT": timeout}
    return subprocess.run(
        [sys.executable, *options, "-c", BEGIN + dedent(script), endpoint, protocol, spill],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def names(collector: Collector) -> list[str]:
    """Give the session of each span that arrived, sorted."""
    return sorted(
        each.value.string_value for span in collector.spans for each in span.attributes if each.key == "session.id"
    )


ENDS = {
    "closed": ("record('s')", 0, 3),
    "open": ("s = record('s', close=False)", 0, 3),
    "exit": ("record('s'); sys.exit(0)", 0, 3),
    "failing exit": ("record('s'); sys.exit(7)", 7, 3),
    "daemon": (
        """
        def work():
            while True:
                time.sleep(0.001)
        threading.Thread(target=work, daemon=True).start()
        record('s')
        """,
        0,
        3,
    ),
    "recording daemon": (
        """
        session = record('s', close=False)
        def work():
            while True:
                session.record(None)
                time.sleep(0.001)
        threading.Thread(target=work, daemon=True).start()
        """,
        0,
        3,
    ),
    "late thread": (
        """
        def work():
            time.sleep(0.3)
            record('s')
        threading.Thread(target=work).start()
        """,
        0,
        3,
    ),
    "shut down": ("record('s'); assert recorder.shutdown()", 0, 3),
    "unused": ("", 0, 0),
    "flushed, then more": ("record('s', 1); assert recorder.force_flush(); record('s', 1)", 0, 4),
}


@pytest.mark.parametrize("options", [(), ("-W", "error"), ("-X", "dev")], ids=["plain", "warnings", "dev"])
@pytest.mark.parametrize("end", ENDS)
def test_an_interpreter_that_ends_delivers_what_was_recorded(
    end: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    script, code, spans = ENDS[end]
    with http_collector() as collector:
        done = run(script, collector.url, tmp_path / "spill", *options)

    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert "Warning" not in done.stderr
    assert names(collector) == ["s"] * spans
    assert not (tmp_path / "spill").exists()


def test_an_exception_in_main_is_the_only_one_that_is_told(tmp_path: Path) -> None:
    with http_collector() as collector:
        done = run("record('s'); raise ValueError('of the host')", collector.url, tmp_path / "spill")

    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert "of the host" in done.stderr
    assert names(collector) == ["s"] * 3


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("end", ["closed", "open", "exit", "recording daemon"])
def test_an_interpreter_ends_soon_when_the_collector_is_away_and_the_spans_are_in_the_spill_file(
    end: str, protocol: str, tmp_path: Path
) -> None:
    script, code, _ = ENDS[end]
    done = run(script, f"http://127.0.0.1:{free_port()}", tmp_path / "spill", protocol=protocol)

    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "put 3 spans" in done.stderr
    assert len((tmp_path / "spill").read_text(encoding="utf-8").split('"spanId"')) == 4


def test_an_interpreter_ends_though_the_collector_never_answers_and_the_spans_are_in_the_spill_file(
    tmp_path: Path,
) -> None:
    let_go = threading.Event()

    def wait(_: object) -> None:
        let_go.wait(60)

    with http_collector(answer=wait) as collector:
        done = run("record('s')", collector.url, tmp_path / "spill", timeout="2000")
        let_go.set()

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert len((tmp_path / "spill").read_text(encoding="utf-8").split('"spanId"')) == 4


def test_an_interpreter_ends_over_grpc_as_well(tmp_path: Path) -> None:
    with grpc_collector() as collector:
        done = run("record('s')", collector.url, tmp_path / "spill", "-X", "dev", protocol="grpc")

    assert (done.returncode, done.stderr) == (0, "")
    assert names(collector) == ["s"] * 3


FORK = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12, for whoever forks beside threads

mine = record("parent", close=False)
if sys.argv[4:] == ["flushed"]:
    recorder.force_flush()
busy = threading.Thread(target=lambda: [record(f"busy{n}") for n in range(200)])
busy.start()
children = []
for number in range(4):
    child = os.fork()
    if not child:
        mine.record({"kind": "user_message", "id": "of the parent"})
        mine.close()
        assert not recorder.force_flush()
        assert recorder.lost == {"records of a session that is not open here": 1}, recorder.lost
        record(f"child{number}")
        if number % 2:
            assert recorder.shutdown()
        sys.exit(number)
    children.append(child)
busy.join()
mine.record({"kind": "user_message", "id": "2", "text": "after the forks"})
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
assert codes == [0, 1, 2, 3], codes
mine.close()
assert recorder.shutdown()
assert recorder.lost == {}, recorder.lost
"""


@pytest.mark.parametrize("flushed", [False, True], ids=["before anything was sent", "while a connection is open"])
def test_processes_that_are_forked_deliver_their_own_sessions_and_the_parent_its_own(
    tmp_path: Path, *, flushed: bool
) -> None:
    with http_collector() as collector:
        script = FORK.replace("sys.argv[4:]", '["flushed"]' if flushed else "[]")
        done = run(script, collector.url, tmp_path / "spill")

    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    expected = ["parent"] * 4 + [f"child{number}" for number in range(4)] * 3 + [f"busy{n}" for n in range(200)] * 3
    assert names(collector) == sorted(expected)
    assert len(set(collector.ids)) == len(expected)


def test_processes_that_are_forked_before_anything_was_sent_deliver_over_grpc(tmp_path: Path) -> None:
    script = """
    children = []
    for number in range(3):
        child = os.fork()
        if not child:
            record(f"child{number}")
            assert recorder.shutdown()
            sys.exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    record("parent")
    assert recorder.shutdown()
    """
    with grpc_collector() as collector:
        done = run(script, collector.url, tmp_path / "spill", protocol="grpc")

    assert done.returncode == 0, done.stderr
    assert names(collector) == sorted([*["child0"] * 3, *["child1"] * 3, *["child2"] * 3, *["parent"] * 3])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_multiprocessing_deliver_what_they_recorded_though_nobody_shuts_down(
    tmp_path: Path, method: str
) -> None:
    script = f"""
    import multiprocessing

    if __name__ == "__main__":
        workers = multiprocessing.get_context({method!r})
        path = sys.argv[4:]
        processes = [workers.Process(target=record, args=(f"worker{{number}}",)) for number in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0, 0, 0]
        record("parent")
    """
    file = tmp_path / "service.py"
    file.write_text(BEGIN + dedent(script), encoding="utf-8")
    with http_collector() as collector:
        done = subprocess.run(
            [sys.executable, file, collector.url, "http/protobuf", tmp_path / "spill"],
            env=unmeasured(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert names(collector) == sorted(["parent", "worker0", "worker1", "worker2"] * 3)


def test_a_server_that_forks_its_workers_and_ends_them_by_signals_delivers_all(tmp_path: Path) -> None:
    script = """
    import signal

    def serve(number):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        count = 0
        os.write(ready, b".")
        while True:
            record(f"worker{number}", 1)
            count += 1
            if count == 10:
                os.write(ready, b".")
                time.sleep(30)

    heard, ready = os.pipe()
    children = {}
    for number in range(3):
        child = os.fork()
        if not child:
            serve(number)
        children[child] = number
    seen = b""
    while len(seen) < 6:
        seen += os.read(heard, 10)
    for child in children:
        os.kill(child, signal.SIGTERM)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    """
    with http_collector() as collector:
        done = run(script, collector.url, tmp_path / "spill")

    assert (done.returncode, done.stderr) == (0, "")
    assert names(collector) == sorted(["worker0", "worker1", "worker2"] * 20)


def test_forked_processes_share_one_spill_file(tmp_path: Path) -> None:
    script = """
    children = []
    for number in range(4):
        child = os.fork()
        if not child:
            record(f"child{number}", 50)
            recorder.shutdown(100)
            sys.exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    """
    spill = tmp_path / "spill"
    done = run(script, f"http://127.0.0.1:{free_port()}", spill)
    assert done.returncode == 0, done.stderr

    with http_collector() as collector:
        subprocess.run(
            [sys.executable, "-m", "otel_agent_events", "send", spill, "--endpoint", collector.url],
            check=True,
            timeout=60,
            capture_output=True,
        )
    assert names(collector) == sorted(["child0", "child1", "child2", "child3"] * 51)
