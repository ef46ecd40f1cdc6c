"""Files are sent, again and again, killed in between; what counts is what arrived at the receiver."""

from __future__ import annotations

import fcntl
import gzip
import io
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_events import stopping
from otel_agent_events.errors import UsageError
from otel_agent_events.marks import Mark, Sent
from otel_agent_events.otlp.lines import files, written
from otel_agent_events.sending import FileReport, SendReport, send
from otel_agent_events.stopping import Stop
from otel_agent_events.testing import LoopbackPlatform
from tests.otlp.bodies import HEAD, bodies, head, ids
from tests.otlp.collectors import HttpReply, free_port, grpc_collector, http_collector, partial
from tests.processes import unmeasured
from tests.reruns import recorded, run, url_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.otlp.collectors import Collector

pytestmark = pytest.mark.usefixtures("here")


def lines(count: int, *, start: int = 1, size: int = 5) -> bytes:
    """Return lines with so many spans, numbered upwards."""
    return "".join(written(HEAD, bodies(count, start=start, size=size))).encode()


def saved(content: bytes, name: str = "left.jsonl") -> Path:
    path = Path(name)
    path.write_bytes(content)
    return path


def sent(*files: str | Path, url: str, **given: Any) -> SendReport:
    report = send(files, endpoint=url, environ={}, **given)
    for file in report.files:
        assert file.made == file.acknowledged + file.rejected + file.set_aside + file.lost
    return report


def only(report: SendReport) -> FileReport:
    (file,) = report.files
    return file


# --- what arrives -------------------------------------------------------------------------------------


def test_every_span_of_a_file_arrives_once_and_a_second_run_sends_nothing() -> None:
    path = saved(lines(700) + "".join(written(head("sales"), bodies(3, start=701))).encode())
    with http_collector() as collector:
        first = sent(path, url=collector.url)
        second = sent(path, url=collector.url)

    assert sorted(collector.ids) == ids(703)
    assert (first.exit_code, only(first).made, only(first).acknowledged) == (0, 703, 703)
    assert (second.exit_code, only(second).made, only(second).acknowledged_before) == (0, 0, 703)
    (message,) = only(second).messages
    assert message.startswith(f"left.jsonl was sent to {collector.url} already: --again sends all of it again")
    assert sorted(map(str, Path().iterdir())) == ["left.jsonl", "left.jsonl.sent"]


def test_again_sends_all_of_it_again() -> None:
    path = saved(lines(5))
    with http_collector() as collector:
        sent(path, url=collector.url)
        report = sent(path, url=collector.url, again=True)
        after = sent(path, url=collector.url)

    assert sorted(collector.ids) == sorted(2 * ids(5))
    assert (report.exit_code, only(report).acknowledged, only(report).acknowledged_before) == (0, 5, 0)
    assert only(after).made == 0


def test_what_has_been_added_to_a_file_is_all_that_is_sent_of_it() -> None:
    path = saved(lines(5))
    with http_collector() as collector:
        sent(path, url=collector.url)
        saved(path.read_bytes() + lines(2, start=6))
        report = sent(path, url=collector.url)

    assert sorted(collector.ids) == ids(7)
    assert (only(report).made, only(report).acknowledged_before) == (2, 5)


def test_each_destination_gets_the_file_once() -> None:
    path = saved(lines(5))
    with http_collector() as one, grpc_collector() as other:
        for _ in range(2):
            for collector, protocol in ((one, "http/protobuf"), (other, "grpc")):
                assert sent(path, url=collector.url, protocol=protocol).exit_code == 0

    assert sorted(one.ids) == sorted(other.ids) == ids(5)


def test_each_tenant_behind_an_address_gets_the_file_once() -> None:
    path = saved(lines(5))
    with http_collector() as collector:
        for _ in range(2):
            for headers in ({"x-scope-orgid": "a"}, {"x-scope-orgid": "b"}, {"authorization": "Bearer s3cret"}, {}):
                assert sent(path, url=collector.url, headers=headers).exit_code == 0
        sent(path, url=collector.url, headers={"authorization": "Bearer old"}, tenant="c")
        named = sent(path, url=collector.url, headers={"authorization": "Bearer new"}, tenant="c")

    assert Counter(collector.ids) == dict.fromkeys(ids(5), 5)
    assert only(named).destination == collector.url
    assert "s3cret" not in Path("left.jsonl.sent").read_text()


def test_a_packed_file_and_one_without_a_last_line_feed_are_sent() -> None:
    packed = saved(gzip.compress(lines(300)), "a.jsonl.gz")
    torn = saved(lines(2, start=301).rstrip(b"\n"), "b.jsonl")
    with http_collector() as collector:
        report = sent(packed, torn, url=collector.url)
        again = sent(packed, torn, url=collector.url)

    assert sorted(collector.ids) == ids(302)
    assert [file.acknowledged for file in report.files] == [300, 2]
    assert [file.made for file in again.files] == [0, 0]


def test_standard_input_is_sent_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    with http_collector() as collector:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines(3))))
        report = sent("-", url=collector.url)

    assert sorted(collector.ids) == ids(3)
    assert (report.exit_code, only(report).file) == (0, "-")
    assert list(Path().iterdir()) == []


def test_what_is_not_taken_of_standard_input_is_set_aside_or_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1/traces"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines(3))))
    kept = sent("-", url=url, deadline=0.1, set_aside="aside.jsonl")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines(3))))
    lost = sent("-", url=url, deadline=0.1)

    assert (only(kept).set_aside, only(kept).lost, kept.set_aside) == (3, 0, "aside.jsonl")
    assert (only(lost).set_aside, only(lost).lost) == (0, 3)
    assert "--set-aside PATH keeps what is not taken" in str(only(lost).messages)
    with http_collector() as collector:
        assert sent("aside.jsonl", url=collector.url).exit_code == 0
    assert sorted(collector.ids) == ids(3)


COLLECTOR_LINE = {
    "resourceSpans": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
            "scopeSpans": [
                {
                    "scope": {"name": f"scope {scope}"},
                    "spans": [
                        {
                            "traceId": bytes(range(16)).hex(),
                            "spanId": number.to_bytes(8, "big").hex(),
                            "parentSpanId": "",
                            "name": "GET /",
                            "kind": 2,
                            "startTimeUnixNano": "1544712660000000000",
                            "endTimeUnixNano": "1544712661000000000",
                            "status": {},
                        }
                        for number in range(1 + 300 * scope, 301 + 300 * scope)
                    ],
                }
                for scope in range(2)
            ],
        }
    ]
}


def test_the_file_of_a_collector_has_many_spans_a_line_and_all_of_them_arrive() -> None:
    path = saved(json.dumps(COLLECTOR_LINE).encode() + b"\n")
    with http_collector(HttpReply(status=503, headers={"retry-after": "60"})) as collector:
        first = sent(path, url=collector.url, deadline=0.2)
        second = sent(path, url=collector.url)

    assert (first.exit_code, only(first).set_aside) == (1, 600)
    assert (second.exit_code, only(second).acknowledged) == (0, 600)
    assert sorted(collector.ids) == ids(600)


def test_a_line_of_which_a_part_was_answered_goes_on_behind_that_part(monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(json.dumps(COLLECTOR_LINE).encode() + b"\n")
    monkeypatch.setattr("otel_agent_events.otlp.send.MOST_BYTES_HTTP", 5_000)
    with http_collector(HttpReply(), HttpReply(), HttpReply(status=401)) as collector:
        first = sent(path, url=collector.url)
        taken = len(collector.ids)
        second = sent(path, url=collector.url)

    assert 0 < taken < 600
    assert (first.exit_code, only(first).acknowledged, only(first).set_aside) == (1, taken, 600 - taken)
    assert (second.exit_code, only(second).made, only(second).acknowledged_before) == (0, 600 - taken, taken)
    assert sorted(collector.ids) == ids(600)


# --- what a replay has sent since ---------------------------------------------------------------------


@pytest.fixture
def away_then_there(here: Path) -> Iterator[tuple[Collector, Path]]:
    """Give a collector that was away when a session was replayed, and has it from the same command afterwards."""
    port = free_port()
    with LoopbackPlatform([recorded()]) as platform:
        with http_collector(port=port) as collector:
            pass
        first = run(platform, collector, here, deadline=0)
        assert first.set_aside == str(here / "left.jsonl")
        with http_collector(port=port) as collector:
            second = run(platform, collector, here)
            assert second.totals.acknowledged == first.totals.set_aside == len(collector.ids)
            yield collector, here / "left.jsonl"


def test_what_was_set_aside_and_sent_by_a_replay_since_is_passed_over(away_then_there: tuple[Collector, Path]) -> None:
    collector, left = away_then_there
    count = len(collector.ids)

    first = sent(left, url=collector.url, ledger=url_of(left.parent))
    second = sent(left, url=collector.url, ledger=url_of(left.parent))

    assert len(collector.ids) == count
    assert (first.exit_code, only(first).made, only(first).finished) == (0, 0, True)
    (message,) = only(first).messages
    assert message.startswith(f"{count} spans were passed over: the ledger says that a replay has sent their sessions")
    assert only(second).messages[0].startswith(f"{left} was sent to {collector.url} already")


@pytest.mark.parametrize(
    "given",
    [{"again": True}, {"ledger": "off"}, {"ledger": "sqlite:///absent.db"}, {"headers": {"x-scope-orgid": "b"}}],
)
def test_it_is_sent_to_another_tenant_without_the_ledger_and_when_it_is_asked_for(
    away_then_there: tuple[Collector, Path], given: dict[str, Any]
) -> None:
    collector, left = away_then_there
    count = len(collector.ids)

    report = sent(left, url=collector.url, **{"ledger": url_of(left.parent), **given})

    assert only(report).acknowledged == count
    assert len(collector.ids) == 2 * count
    assert not Path("absent.db").exists()


def test_only_the_sessions_that_are_there_are_passed_over(away_then_there: tuple[Collector, Path]) -> None:
    collector, left = away_then_there
    before = len(collector.ids)
    both = saved(left.read_bytes() + lines(3), "both.jsonl")

    report = sent(both, url=collector.url, ledger=url_of(left.parent))

    assert only(report).acknowledged == 3
    assert collector.ids[before:] == ids(3)


def test_a_ledger_that_cannot_be_read_is_told_and_is_an_error_only_when_it_was_asked_for() -> None:
    path = saved(lines(3))
    folder = Path("state/otel-agent-events")
    folder.mkdir(parents=True)
    broken = saved(b"this is no database" * 100, str(folder / "ledger.db"))
    notes: list[str] = []
    with http_collector() as collector:
        with pytest.raises(UsageError, match="ledger"):
            sent(path, url=collector.url, ledger=f"sqlite:///{broken}")
        environ = {"XDG_STATE_HOME": str(Path("state").absolute())}
        report = send([path], endpoint=collector.url, environ=environ, noted=notes.append)

    assert (report.exit_code, collector.ids) == (0, ids(3))
    (note,) = notes
    assert note.endswith("Going on without a ledger: what a replay has sent since is sent again")


# --- what does not ------------------------------------------------------------------------------------


def test_a_bad_line_is_told_with_its_number_and_costs_no_other() -> None:
    good = lines(4).splitlines(keepends=True)
    content = good[0] + b"nonsense\n" + good[1] + b"\n" + good[2] + b'{"resourceLogs":[]}\n' + good[3][:-30]
    path = saved(content)
    with http_collector() as collector:
        report = sent(path, url=collector.url)
        saved(content.replace(b"nonsense", b" ") + good[3][-30:])
        again = sent(path, url=collector.url, again=True)

    assert (report.exit_code, only(report).acknowledged, only(report).flawed) == (1, 3, 3)
    assert only(report).messages == (
        "line 2: it is no JSON; every line holds one object, as `jq -c .` writes it",
        "line 6: there are no spans in it: it has no resourceSpans",
        "line 7: it is no JSON; every line holds one object, as `jq -c .` writes it",
    )
    assert sorted(collector.ids) == sorted(ids(3) + ids(4))
    assert only(again).messages == ("line 6: there are no spans in it: it has no resourceSpans",)


def test_only_the_first_of_many_bad_lines_are_told_one_by_one() -> None:
    path = saved(b"nonsense\n" * 1000 + lines(1))
    with http_collector() as collector:
        report = sent(path, url=collector.url)
        again = sent(path, url=collector.url)

    assert (only(report).flawed, only(report).acknowledged, len(only(report).messages)) == (1000, 1, 11)
    assert only(report).messages[-1] == "and 990 more of this kind"
    assert only(again).made == 0
    assert collector.ids == ids(1)


def test_a_line_that_is_too_long_is_told_and_the_next_one_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_LINE", 1 << 20)
    path = saved(lines(1) + lines(1, start=2, size=5 << 20) + lines(1, start=3))
    with http_collector() as collector:
        report = sent(path, url=collector.url)

    assert only(report).messages == ("line 2: it has more than 1 MiB",)
    assert sorted(collector.ids) == [*ids(1), *ids(1, start=3)]


def test_what_was_rejected_is_not_sent_again_and_is_not_forgotten() -> None:
    path = saved(lines(10))
    with http_collector(HttpReply(body=partial(4, "too old"))) as collector:
        first = sent(path, url=collector.url)
        second = sent(path, url=collector.url)

    assert (first.exit_code, only(first).acknowledged, only(first).rejected) == (1, 6, 4)
    assert (second.exit_code, only(second).made, only(second).rejected_before) == (1, 0, 4)
    assert len(collector.requests) == 1


def test_when_nobody_answers_everything_stays_and_the_exit_code_is_3() -> None:
    path, other = saved(lines(3)), saved(lines(1), "other.jsonl")
    url = f"http://127.0.0.1:{free_port()}/v1/traces"

    report = sent(path, other, url=url, deadline=0.2)

    assert (report.exit_code, report.unreachable) == (3, (url,))
    assert (report.files[0].set_aside, report.totals.lost) == (3, 0)
    assert "what was not acknowledged stays in left.jsonl: the same command goes on" in str(report.files[0].error)
    assert report.files[1].error == f"not tried: {url} takes nothing more"
    assert sorted(map(str, Path().iterdir())) == ["left.jsonl", "other.jsonl"]


def test_a_file_that_is_being_sent_is_not_sent_twice_at_once() -> None:
    path = saved(lines(3))
    with http_collector() as collector, path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        report = sent(path, url=collector.url)
        fcntl.flock(held, fcntl.LOCK_UN)
        after = sent(path, url=collector.url)

    assert (report.exit_code, only(report).made) == (1, 0)
    assert only(report).error == "left.jsonl is being sent by another process; wait for it to end"
    assert after.exit_code == 0
    assert sorted(collector.ids) == ids(3)


def test_another_file_under_the_same_name_is_not_taken_for_the_first() -> None:
    path = saved(lines(3))
    with http_collector() as collector:
        sent(path, url=collector.url)
        saved(lines(5, start=10))
        refused = sent(path, url=collector.url)
        again = sent(path, url=collector.url, again=True)

    assert (refused.exit_code, only(refused).made) == (1, 0)
    assert str(only(refused).error).startswith("left.jsonl is not the file of which left.jsonl.sent tells")
    assert again.exit_code == 0
    assert sorted(collector.ids) == sorted(ids(3) + ids(5, start=10))


def test_a_mark_that_cannot_be_read_is_told() -> None:
    path = saved(lines(3))
    saved(b"{", "left.jsonl.sent")
    with http_collector() as collector:
        report = sent(path, url=collector.url)

    assert only(report).error == (
        "left.jsonl.sent cannot be read, so it is not known what of left.jsonl was sent: --again sends all of it"
    )
    assert collector.requests == []


def test_a_mark_that_cannot_be_written_is_told_before_anything_is_sent() -> None:
    path = saved(lines(3))
    Path(".left.jsonl.sent.part").mkdir()
    with http_collector() as collector:
        report = sent(path, url=collector.url)

    assert "left.jsonl.sent cannot be written (Is a directory)" in str(only(report).error)
    assert (report.exit_code, collector.requests) == (1, [])


def test_a_mark_among_the_files_is_passed_over() -> None:
    path = saved(lines(3))
    notes: list[str] = []
    with http_collector() as collector:
        sent(path, url=collector.url)
        report = sent(path, "left.jsonl.sent", url=collector.url, noted=notes.append)

    assert [file.file for file in report.files] == ["left.jsonl"]
    assert notes == ["left.jsonl.sent says what of the file beside it was sent, and holds no spans: it was passed over"]


def test_a_packed_file_that_is_cut_short_sends_what_can_be_read() -> None:
    whole = gzip.compress(lines(3000))
    path = saved(whole[: len(whole) // 2])
    with http_collector() as collector:
        report = sent(path, url=collector.url)

    assert report.exit_code == 1
    assert "it cannot be read any further behind line" in str(only(report).error)
    assert sorted(collector.ids) == ids(only(report).acknowledged)


@pytest.mark.parametrize(
    ("files", "environ", "words"),
    [
        ([], {}, "there is no file to send"),
        (["absent"], {}, "'absent' cannot be read: No such file or directory"),
        (["."], {}, "'.' is a folder; name the files in it"),
        (["a\0b"], {}, "cannot be read: it is no path of a file"),
        (["-"], {"OTEL_SDK_DISABLED": "true"}, "OTEL_SDK_DISABLED is true"),
    ],
)
def test_wrong_usage_is_told_and_nothing_is_sent(files: list[str], environ: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words.replace(".", "\\.")):
        send(files, environ=environ)


# --- cut short ----------------------------------------------------------------------------------------


def start(*arguments: str) -> subprocess.Popen[bytes]:
    """Run the command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "otel_agent_events", "send", *arguments],
        env=unmeasured(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


@pytest.mark.parametrize("seed", range(6))
def test_killed_in_the_middle_a_second_run_sends_the_rest(seed: int) -> None:
    generator = random.Random(seed)  # noqa: S311 - it hides nothing
    path = saved(lines(20_000, size=500))
    # What comes after these waits for its answer, so that it is killed in the middle.
    reached = generator.randint(1, 4)
    slowly = [HttpReply(delay=0.03 if number < reached else 0.5) for number in range(reached + 40)]
    port = free_port()
    with http_collector(*slowly, port=port) as before:
        running = start(str(path), "--endpoint", before.url)
        while running.poll() is None and len(before.taken) < reached:
            time.sleep(0.005)
        time.sleep(generator.random() * 0.2)
        running.send_signal(signal.SIGKILL)
        running.communicate()
    # What was in flight came to its end with the collector.
    mark = Path("left.jsonl.sent")
    known = sum(sent["acknowledged"] for sent in json.loads(mark.read_text())["destinations"].values())
    with http_collector(port=port) as after:
        report = sent(path, url=after.url)
        third = sent(path, url=after.url)

    times = Counter([*before.ids, *after.ids])
    assert sorted(times) == ids(20_000)
    assert after.taken
    assert report.exit_code == 0
    assert only(report).acknowledged_before == known
    # Twice came at most what had arrived and was not known to, and then byte for byte.
    assert sum(times.values()) - 20_000 <= len(before.ids) - known
    by_id: dict[tuple[bytes, bytes], set[bytes]] = {}
    for span in [*before.spans, *after.spans]:
        by_id.setdefault((span.trace_id, span.span_id), set()).add(span.SerializeToString())
    assert all(len(different) == 1 for different in by_id.values())
    assert only(third).made == 0


def test_a_destination_that_was_busy_and_then_went_away_is_no_3() -> None:
    with http_collector(HttpReply(status=503), *[HttpReply(drop=True)] * 100) as collector:
        report = sent(saved(lines(5)), url=collector.url, deadline=1.5)

    assert len(collector.requests) > 1
    assert (report.unreachable, report.exit_code, only(report).set_aside) == ((), 1, 5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_it_says_how_far_it_came_and_the_same_command_goes_on(number: signal.Signals) -> None:
    # Twenty requests, of which at most eight are under way when the second one is taken.
    path = saved(lines(20_000, size=2_000))
    slowly = [HttpReply(body=(b"",), pause=0.3) for _ in range(1000)]
    with http_collector(*slowly) as collector:
        running = start(str(path), "--endpoint", collector.url)
        while running.poll() is None and len(collector.taken) < 2:
            time.sleep(0.005)
        running.send_signal(number)
        output, _ = running.communicate(timeout=30)
        arrived = len(collector.ids)
        report = sent(path, url=collector.url)

    assert running.returncode == 128 + number, output
    assert f"{arrived} of {arrived} spans acknowledged".encode() in output
    assert b"stopped; what was not acknowledged stays in left.jsonl: the same command goes on" in output
    assert b"note: stopped after 0 of 1 files; the same command goes on from here" in output
    assert sorted(collector.ids) == ids(20_000)
    assert (only(report).acknowledged_before, only(report).acknowledged) == (arrived, 20_000 - arrived)


def test_stopped_while_nothing_answers_it_waits_a_while_and_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "GRACE", 0.2)
    path = saved(lines(5))
    stop = Stop()

    def busy(_: object) -> HttpReply | None:
        if len(collector.requests) != 2:
            return None
        stop.ask()
        return HttpReply(status=503, headers={"retry-after": "60"})

    with http_collector(answer=busy) as collector:
        sent(saved(lines(1), "first.jsonl"), url=collector.url)
        report = sent(path, url=collector.url, stop=stop, deadline=300)
        after = sent(path, url=collector.url)

    assert (report.exit_code, report.stopped, only(report).set_aside) == (130, True, 5)
    assert "stopped; what was not acknowledged stays in left.jsonl" in str(only(report).error)
    assert only(after).acknowledged == 5


def test_stopped_before_it_began_nothing_is_sent() -> None:
    stop = Stop()
    stop.ask()
    with http_collector() as collector:
        report = sent(saved(lines(5)), url=collector.url, stop=stop)

    assert (report.exit_code, report.files, collector.requests) == (130, (), [])
    assert list(Path().iterdir()) == [Path("left.jsonl")]


def test_stopped_while_it_waits_for_standard_input_what_was_read_arrives() -> None:
    with http_collector() as collector:
        arguments = [sys.executable, "-m", "otel_agent_events", "send", "-", "--endpoint", collector.url]
        with subprocess.Popen(
            arguments, env=unmeasured(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as running:
            assert running.stdin is not None
            running.stdin.write(lines(3).decode())
            running.stdin.flush()
            while running.poll() is None and len(collector.ids) < 3:
                time.sleep(0.01)
            running.send_signal(signal.SIGTERM)
            assert running.wait(timeout=30) == 143
            assert running.stdout is not None
            output = running.stdout.read()

    assert collector.ids == ids(3)
    assert "3 of 3 spans acknowledged" in output
    assert "stopped; what was not read of it was not sent" in output


def test_what_was_answered_is_written_down_while_the_rest_waits() -> None:
    path = saved(lines(20_000, size=500))
    with http_collector(HttpReply(), *[HttpReply(status=503)] * 1000) as collector:
        thread = threading.Thread(target=lambda: sent(path, url=collector.url, deadline=1.5))
        thread.start()
        until = time.monotonic() + 30
        known = 0
        while not known and time.monotonic() < until:
            time.sleep(0.05)
            if Path("left.jsonl.sent").exists():
                known = json.loads(Path("left.jsonl.sent").read_text())["destinations"][collector.url]["acknowledged"]
        was_alive = thread.is_alive()
        thread.join()

    assert known == len(collector.ids) > 0
    assert was_alive


def test_a_full_disk_is_told_and_the_spans_go_out_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(lines(3))
    write = Mark.write
    calls = iter(range(100))

    def full(mark: Mark, answered: Sent) -> None:
        if next(calls):
            raise OSError(28, "No space left on device")
        write(mark, answered)

    monkeypatch.setattr(Mark, "write", full)
    with http_collector() as collector:
        report = sent(path, url=collector.url)

    assert sorted(collector.ids) == ids(3)
    assert (report.exit_code, only(report).acknowledged) == (1, 3)
    assert only(report).error == (
        "left.jsonl.sent could not be written: No space left on device; another run sends again what this one has sent"
    )
