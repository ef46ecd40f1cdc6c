from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otel_agent_events import replay
from otel_agent_events.testing import LoopbackPlatform
from tests.otlp.collectors import free_port, http_collector
from tests.recordings import bundled

if TYPE_CHECKING:
    from tests.otlp.collectors import Collector

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(example: str, *arguments: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, EXAMPLES / example, *arguments],
        env={"PATH": "", **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_replay_example_sends_a_session_and_says_so() -> None:
    with LoopbackPlatform(bundled("vectara")) as platform, http_collector() as collector:
        done = run(
            "replay_session.py",
            "vectara:support/refund_case_88",
            environ={
                "VECTARA_API_KEY": "any",
                "VECTARA_BASE_URL": platform.base_url,
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": collector.url,
            },
        )

    assert done.returncode == 0, done.stderr
    assert "15 of 15 spans arrived" in done.stdout
    assert len(collector.spans) == 15


def test_the_replay_example_says_what_is_missing() -> None:
    done = run("replay_session.py", "vectara:support/refund_case_88", environ={})

    assert done.returncode == 2
    assert "set VECTARA_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr


JOBS = "support/refund_case_88\npolicies/policy_run_17\n"


def worker(spill: Path, endpoint: str) -> subprocess.Popen[str]:
    """Start the worker that takes jobs from a queue."""
    environ = {"SPILL_FILE": str(spill), "SHUTDOWN_MILLIS": "1000", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": endpoint}
    return subprocess.Popen(
        [sys.executable, EXAMPLES / "queue_worker" / "worker.py"],
        env={"PATH": "", **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def roots(collector: Collector) -> dict[str, str]:
    """Give the trace ids of the sessions of which the root arrived."""
    return {
        each.value.string_value: span.trace_id.hex()
        for span in collector.spans
        for each in span.attributes
        if each.key == "session.id" and not span.parent_span_id
    }


def test_the_queue_worker_records_each_job_as_a_trace_of_its_own(tmp_path: Path) -> None:
    with http_collector() as collector:
        told, errors = worker(tmp_path / "spill", collector.url).communicate(JOBS, timeout=60)
    live = roots(collector)

    assert errors == ""
    assert f"support/refund_case_88: trace {live['refund_case_88']}" in told
    assert f"policies/policy_run_17: trace {live['policy_run_17']}" in told
    assert len(collector.ids) == len(set(collector.ids))
    assert f"{len(collector.ids)} spans arrived, 0 are in the spill file" in told
    with LoopbackPlatform(bundled("vectara")) as platform, http_collector() as again:
        environ = {"VECTARA_API_KEY": "any", "VECTARA_BASE_URL": platform.base_url}
        replay(
            ["vectara:support/refund_case_88", "vectara:policies/policy_run_17"],
            endpoint=again.url,
            content="none",
            ledger="off",
            environ=environ,
        )
    assert sorted(again.ids) == sorted(collector.ids)


def test_the_queue_worker_does_not_notice_that_the_collector_is_away_and_send_delivers(tmp_path: Path) -> None:
    spill = tmp_path / "spill"
    told, errors = worker(spill, f"http://127.0.0.1:{free_port()}/v1/traces").communicate(JOBS, timeout=60)
    assert "refund_case_88: trace" in told
    assert "otel-agent-events send" in errors
    assert "Traceback" not in errors

    with http_collector() as collector:
        subprocess.run(
            [sys.executable, "-m", "otel_agent_events", "send", spill, "--endpoint", collector.url],
            check=True,
            capture_output=True,
            timeout=60,
        )
    assert sorted(roots(collector)) == ["policy_run_17", "refund_case_88"]
    assert len(collector.ids) == len(set(collector.ids))
    assert f"0 spans arrived, {len(collector.ids)} are in the spill file" in told
    # The log says of each of them once that it is there: of the first ones when they come, of the others at the end.
    said = [int(number) for number in re.findall(r"SessionRecorder put (\d+) spans", errors)]
    assert sum(said) == len(collector.ids)
    assert len(said) <= 2


def test_the_queue_worker_finishes_its_job_and_delivers_all_when_it_is_asked_to_stop(tmp_path: Path) -> None:
    with http_collector() as collector:
        process = worker(tmp_path / "spill", collector.url)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(JOBS)
        process.stdin.flush()  # more jobs may come, so it waits
        assert "refund_case_88" in process.stdout.readline()
        assert "policy_run_17" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        told, errors = process.communicate(timeout=60)

    assert (process.returncode, errors) == (0, "")
    assert f"{len(collector.ids)} spans arrived" in told
    assert len(roots(collector)) == 2


def test_the_fetch_example_prints_what_happened() -> None:
    with LoopbackPlatform(bundled("vectara")) as platform:
        environ = {"VECTARA_API_KEY": "any", "VECTARA_BASE_URL": platform.base_url}
        done = run("fetch_session.py", "vectara:support/refund_case_88", environ=environ)

    assert done.returncode == 0, done.stderr
    first, *events = done.stdout.splitlines()
    assert first == "vectara:support/refund_case_88: Support desk, 16 events"
    assert events[0] == " user_message  Where is order 5512? It was due on Monday."
    assert "    tool_call  order_lookup {'order': '5512'}" in events


def test_the_fetch_example_reads_a_file_and_says_what_is_missing_in_it(tmp_path: Path) -> None:
    saved = tmp_path / "saved.json"
    saved.write_text(bundled("vectara")[1].model_dump_json() + "{", encoding="utf-8")

    done = run("fetch_session.py", str(saved), environ={})

    assert done.returncode == 0
    assert "5 events" in done.stdout
    assert "is broken or cut off" in done.stderr


def test_the_convert_example_hands_the_spans_to_an_exporter(tmp_path: Path) -> None:
    saved = tmp_path / "saved.json"
    saved.write_text(bundled("vectara")[1].model_dump_json(), encoding="utf-8")

    done = run("convert_session.py", str(saved), environ={})

    assert done.returncode == 0, done.stderr
    trace_id = done.stderr.partition("trace ")[2][:32]
    assert done.stdout.count(f'"trace_id": "0x{trace_id}"') == int(done.stderr.split()[-2]) > 5


def test_the_async_example_replays_sessions_at_once_while_its_loop_goes_on(tmp_path: Path) -> None:
    references = [recording.session for recording in bundled("vectara")]
    with LoopbackPlatform(bundled("vectara")) as platform, http_collector() as collector:
        done = run(
            "replay_async.py",
            *references,
            environ={
                "VECTARA_API_KEY": "any",
                "VECTARA_BASE_URL": platform.base_url,
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": collector.url,
                "XDG_STATE_HOME": str(tmp_path),
            },
        )

    assert done.returncode == 0, done.stderr
    *sessions, last = done.stdout.splitlines()
    assert sorted(line.partition(": ")[0] for line in sessions) == sorted(references)
    assert last.startswith("27 spans of 3 sessions arrived; the loop ticked ")
    assert int(last.split()[-3]) > 1
    assert len(collector.spans) == 27


@pytest.mark.parametrize("example", ["fetch_session.py", "convert_session.py", "replay_async.py"])
def test_an_example_says_in_a_sentence_what_is_missing(example: str) -> None:
    done = run(example, "vectara:support/refund_case_88", environ={})

    assert done.returncode == 1
    assert "set VECTARA_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("example", ["fetch_session.py", "convert_session.py", "replay_async.py", "replay_session.py"])
def test_an_example_that_is_not_told_which_session_says_how_it_is_run(example: str) -> None:
    done = run(example, environ={})

    assert done.returncode == 2
    assert done.stderr.startswith(f"usage: {example} [-h] reference")
    assert "Traceback" not in done.stderr


def test_every_example_is_listed_and_run() -> None:
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")

    for example in EXAMPLES.glob("*.py"):
        assert f"]({example.name})" in listed
        assert example.name in Path(__file__).read_text(encoding="utf-8")
    for folder in (path for path in EXAMPLES.iterdir() if path.is_dir() and path.name != "__pycache__"):
        assert f"]({folder.name}/)" in listed


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the sample fetcher of somebody else beside ours, as pip does it."""
    folder = tmp_path_factory.mktemp("acme")
    # A copy, since building leaves files behind.
    shutil.copytree(EXAMPLES / "acme_fetcher", folder / "source")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", folder / "installed", folder / "source"], check=True, timeout=120)
    return folder


def beside(acme: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": "", "PYTHONPATH": str(acme / "installed")}
    return subprocess.run(
        [sys.executable, "-m", *command],
        env=environ,
        cwd=acme / "source",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_sample_fetcher_of_somebody_else_passes_its_own_tests(acme: Path) -> None:
    done = beside(acme, "pytest", "-q", "-p", "no:cacheprovider", "test_acme_fetcher.py")

    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_the_sample_fetcher_is_a_fetcher_like_ours_once_it_is_installed(acme: Path) -> None:
    listed = beside(acme, "otel_agent_events", "fetchers")
    replayed = beside(acme, "otel_agent_events", "replay", "ticket.json", "--to", "file:out.jsonl")

    assert "acme:TICKET" in listed.stdout
    assert "acme:T-17  5 events, 5 spans" in replayed.stdout
    assert replayed.returncode == 0, replayed.stderr


def test_the_sample_fetcher_has_fewer_than_100_lines() -> None:
    lines = [
        (EXAMPLES / "acme_fetcher" / name).read_text().splitlines() for name in ("pyproject.toml", "acme_fetcher.py")
    ]

    assert sum(map(len, lines)) < 100
