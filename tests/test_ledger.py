"""The ledger: what was acknowledged is known by the next run, and a session is one run's at a time."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agent_events import ledger as module
from otel_agent_events.ledger import Ledger, LedgerError, Prefix, Seal, gaps, holds, is_absent, opening, ranges, size
from otel_agent_events.ledger.process import has_ended, this_process
from tests.processes import imported_by

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HERE = "http://localhost:4318/v1/traces"
TRACE = "a" * 32
WHOLE = Seal(events=50, last_key="aev_50", digest="d" * 64, spans=51)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/state/ledger.db"


def sent(ledger: Ledger, family: str, state: module.State = "sent") -> None:
    lease = ledger.lease(HERE, family, reference=f"vectara:support/{family}")
    assert lease is not None
    lease.begin(1, TRACE, seal=WHOLE)
    lease.acknowledged(0, 51)
    lease.finish(state)


# --- ranges -------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12))))
def test_ranges_hold_the_places_that_were_added_and_no_others(added: list[tuple[int, int]]) -> None:
    told: ranges.Ranges = ()
    for first, count in added:
        told = ranges.with_range(told, first, count)
    places = {place for first, count in added for place in range(first, first + count)}

    assert {place for first, end in told for place in range(first, end)} == places
    assert all(one[1] < other[0] for one, other in pairwise(told))
    assert size(told) == len(places)
    assert {place for place in range(80) if holds(told, place)} == places
    assert {place for first, end in gaps(told, 40) for place in range(first, end)} == set(range(40)) - places
    assert ranges.read(ranges.written(told)) == told


# --- what a run leaves --------------------------------------------------------------------------------


def test_what_was_sent_is_known_by_the_next_run(url: str) -> None:
    with Ledger.open(url) as first:
        sent(first, "f1")
    with Ledger.open(url) as second:
        lease = second.lease(HERE, "f1")
        assert lease is not None
        known = lease.latest
    assert known is not None
    assert (known.state, known.revision, known.trace_id, known.seal) == ("sent", 1, TRACE, WHOLE)
    assert known.acknowledged == ((0, 51),)
    assert known.reference == "vectara:support/f1"


def test_two_destinations_of_a_session_know_nothing_of_each_other(url: str) -> None:
    with Ledger.open(url) as ledger:
        sent(ledger, "f1")
        other = ledger.lease("http://elsewhere:4318/v1/traces", "f1")
        assert other is not None
        assert other.latest is None


def test_session_cut_short_is_gone_on_with(url: str) -> None:
    with Ledger.open(url) as first:
        lease = first.lease(HERE, "f1")
        assert lease is not None
        lease.begin(1, TRACE)
        lease.acknowledged(0, 10)
        lease.acknowledged(20, 5)
    with Ledger.open(url) as second:
        again = second.lease(HERE, "f1")
        assert again is not None
        assert again.latest is not None
        assert (again.latest.state, again.latest.seal) == ("in_flight", None)
        again.begin(1, TRACE)
        again.acknowledged(10, 10)
        assert again.acknowledged_ranges == ((0, 25),)
        again.release()
        second.flush()
        (entry,) = second.entries(HERE)
    assert entry.acknowledged == ((0, 25),)


def test_next_revision_starts_from_nothing(url: str) -> None:
    with Ledger.open(url) as ledger:
        sent(ledger, "f1")
        lease = ledger.lease(HERE, "f1")
        assert lease is not None
        lease.begin(2, "b" * 32)
        (entry,) = ledger.entries()
    assert (entry.revision, entry.trace_id, entry.acknowledged, entry.seal) == (2, "b" * 32, (), None)


def test_begin_and_seal_are_written_when_they_return(url: str) -> None:
    with Ledger.open(url) as ledger, Ledger.open(url) as reader:
        lease = ledger.lease(HERE, "f1")
        assert lease is not None
        lease.begin(1, TRACE)
        assert [(each.state, each.seal) for each in reader.entries()] == [("in_flight", None)]
        lease.seal(WHOLE)
        assert [each.seal for each in reader.entries()] == [WHOLE]


def test_what_is_about_to_be_sent_is_written_when_that_is_said_and_only_grows(url: str) -> None:
    with Ledger.open(url) as ledger, Ledger.open(url) as reader:
        lease = ledger.lease(HERE, "f1")
        assert lease is not None
        lease.begin(1, TRACE, prefix=Prefix(spans=20, digest="a"))
        assert [each.prefix for each in reader.entries()] == [Prefix(spans=20, digest="a")]
        lease.sending(Prefix(spans=40, digest="b"))
        lease.sending(Prefix(spans=30, digest="c"))
        assert [(each.prefix, each.seal) for each in reader.entries()] == [(Prefix(spans=40, digest="b"), None)]
        lease.seal(WHOLE)
        assert [(each.prefix, each.seal) for each in reader.entries()] == [(None, WHOLE)]


@pytest.mark.parametrize(("revision", "known"), [(1, Prefix(spans=40, digest="b")), (2, Prefix(spans=20, digest="c"))])
def test_a_revision_that_is_gone_on_with_keeps_what_is_known_of_its_beginning(
    url: str, revision: int, known: Prefix
) -> None:
    with Ledger.open(url) as ledger:
        first = ledger.lease(HERE, "f1")
        assert first is not None
        first.sending(Prefix(spans=9, digest="nothing was begun"))
        first.begin(1, TRACE, prefix=Prefix(spans=40, digest="b"))
        first.release()
        second = ledger.lease(HERE, "f1")
        assert second is not None
        assert second.latest is not None
        assert second.latest.prefix == Prefix(spans=40, digest="b")
        second.begin(revision, TRACE, prefix=Prefix(spans=20, digest="c"))
        assert [each.prefix for each in ledger.entries()] == [known]


def test_what_is_acknowledged_is_written_without_being_asked(url: str) -> None:
    with Ledger.open(url) as ledger:
        lease = ledger.lease(HERE, "f1")
        assert lease is not None
        lease.begin(1, TRACE)
        lease.acknowledged(0, 7)
        assert eventually(lambda: [each.acknowledged for each in ledger.entries()] == [((0, 7),)])


def test_lease_of_which_nothing_was_begun_leaves_nothing(url: str, tmp_path: Path) -> None:
    with Ledger.open(url) as ledger:
        lease = ledger.lease(HERE, "f1")
        assert lease is not None
        lease.release()
    with closing(sqlite3.connect(tmp_path / "state" / "ledger.db")) as connection:
        assert connection.execute("SELECT count(*) FROM otel_agent_events_session").fetchone() == (0,)


def test_release_changes_nothing_of_what_was_sent(url: str) -> None:
    with Ledger.open(url) as ledger:
        sent(ledger, "f1")
        ledger.flush()
        (before,) = ledger.entries()
        lease = ledger.lease(HERE, "f1")
        assert lease is not None
        lease.release()
        lease.finish("failed")
        ledger.flush()
        assert list(ledger.entries()) == [before]


@pytest.mark.parametrize("odd", ["lone \ud800", "nul \0", '"quoted"', "vectara:ä/ü", ""])
def test_odd_names_come_back_as_they_were(url: str, odd: str) -> None:
    with Ledger.open(url) as ledger:
        lease = ledger.lease(HERE, odd, reference=odd, namespace=odd, view=odd)
        assert lease is not None
        lease.begin(1, TRACE, seal=Seal(events=1, last_key=odd, digest=odd, spans=2))
        (entry,) = ledger.entries()
    assert (entry.family, entry.reference, entry.namespace, entry.view) == (odd, odd, odd, odd)
    assert entry.seal is not None
    assert (entry.seal.last_key, entry.seal.digest) == (odd, odd)


# --- two runs -----------------------------------------------------------------------------------------


def test_session_is_held_by_one_run_at_a_time(url: str) -> None:
    with Ledger.open(url) as one, Ledger.open(url) as other:
        lease = one.lease(HERE, "f1")
        assert lease is not None
        lease.begin(1, TRACE)
        assert other.lease(HERE, "f1") is None
        (entry,) = other.entries()
        assert entry.held_by == f"{this_process().host}:{os.getpid()}"
        lease.finish("failed")
        one.flush()
        assert other.lease(HERE, "f1") is not None


def test_run_knows_that_it_holds_a_session_itself(url: str) -> None:
    with Ledger.open(url) as ledger:
        lease = ledger.lease(HERE, "f1")
        assert lease is not None
        assert ledger.holding(HERE, "f1")
        assert ledger.lease(HERE, "f1") is None
        lease.finish("sent")
        assert ledger.lease(HERE, "f1") is not None  # what was finished is written first


def test_run_that_lapsed_loses_what_it_held_and_writes_nothing_more(url: str, tmp_path: Path) -> None:
    with Ledger.open(url) as one, Ledger.open(url) as other:
        lease = one.lease(HERE, "f1")
        assert lease is not None
        lease.begin(1, TRACE)
        let_lapse(tmp_path)
        taken = other.lease(HERE, "f1")
        assert taken is not None
        taken.begin(1, TRACE)

        lease.acknowledged(0, 51)
        lease.finish("sent")
        one.flush()

        assert lease.lost
        assert [(each.state, each.acknowledged) for each in other.entries()] == [("in_flight", ())]
        assert not taken.lost
        assert one.lease(HERE, "f1") is None
        assert one.lease(HERE, "f2") is not None  # as a new run


def test_run_that_slept_asks_before_it_says_that_it_holds_a_session(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.open(url) as one, Ledger.open(url) as other:
        lease = one.lease(HERE, "f1")
        assert lease is not None
        assert not lease.lost
        let_lapse(tmp_path)
        assert other.lease(HERE, "f1") is not None
        later = time.clock_gettime(time.CLOCK_BOOTTIME) + 60
        monkeypatch.setattr(module, "_seconds", lambda: later)
        assert lease.lost


def test_run_is_renewed_as_long_as_it_lives(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEWAL", 0.05)
    with Ledger.open(url) as ledger:
        assert ledger.lease(HERE, "f1") is not None
        let_lapse(tmp_path)
        assert eventually(lambda: expiry(tmp_path) > time.time() + 10)


def test_many_threads_share_a_ledger(url: str) -> None:
    with Ledger.open(url) as ledger:

        def work(number: int) -> None:
            for session in range(40):
                sent(ledger, f"{number}/{session}")

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ledger.flush()
        assert ledger.failure is None
        entries = list(ledger.entries())
    assert len(entries) == 240
    assert {(each.state, each.acknowledged, each.held_by) for each in entries} == {("sent", ((0, 51),), None)}


FIGHTER = """
import json, sys, time
from otel_agent_events.ledger import Ledger
url, out = sys.argv[1:]
print("ready", flush=True); sys.stdin.readline()
with Ledger.open(url) as ledger, open(out, "w") as log:
    left = [str(number) for number in range(25)]
    while left:
        for family in list(left):
            lease = ledger.lease("d", family)
            if lease is None:
                continue
            left.remove(family)
            if lease.latest is not None and lease.latest.state == "sent":
                lease.release()
                continue
            begun = time.monotonic_ns()
            lease.begin(1, "a" * 32)
            time.sleep(0.002)
            ended = time.monotonic_ns()
            lease.acknowledged(0, 5)
            lease.finish("sent")
            print(json.dumps([family, begun, ended]), file=log)
        time.sleep(0.01)
assert ledger.failure is None, ledger.failure
"""


def test_of_processes_that_fight_for_sessions_each_is_sent_by_one(url: str, tmp_path: Path) -> None:
    logs = [tmp_path / f"log{number}" for number in range(3)]
    processes = [started(FIGHTER, url, str(log)) for log in logs]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        told, complaint = process.communicate(timeout=60)
        assert (process.returncode, complaint) == (0, ""), told

    done = [json.loads(line)[0] for log in logs for line in log.read_text(encoding="utf-8").splitlines()]
    assert sorted(done, key=int) == [str(number) for number in range(25)]


HOLDER = """
import sys, time
from otel_agent_events.ledger import Ledger, Seal
ledger = Ledger.open(sys.argv[1])
lease = ledger.lease("d", "f1", reference="vectara:support/s1")
lease.begin(1, "a" * 32)
lease.acknowledged(0, 30)
ledger.flush()
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(not this_process().machine, reason="this system does not tell when a process started")
def test_what_a_killed_run_held_is_taken_over_at_once(url: str) -> None:
    process = started(HOLDER, url)
    with Ledger.open(url) as ledger:
        assert ledger.lease("d", "f1") is None
        process.kill()
        process.communicate()
        lease = ledger.lease("d", "f1")
        assert lease is not None
        assert lease.latest is not None
        assert (lease.latest.state, lease.latest.acknowledged) == ("in_flight", ((0, 30),))


@pytest.mark.skipif(not this_process().machine, reason="this system does not tell when a process started")
def test_stopped_process_has_not_ended_and_a_later_one_of_its_number_is_another(url: str) -> None:
    process = started(HOLDER, url)
    process.send_signal(signal.SIGSTOP)
    with Ledger.open(url) as ledger:
        assert ledger.lease("d", "f1") is None
    process.kill()
    process.communicate()
    me = this_process()
    assert not has_ended(me)
    me.started += 1  # type: ignore[misc]
    assert has_ended(me)
    me.machine = "another"  # type: ignore[misc]
    assert not has_ended(me)


# --- what goes wrong ----------------------------------------------------------------------------------


FULL = """
import resource, signal, sys
from otel_agent_events.ledger import Ledger
ledger = Ledger.open(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
for number in range(3000):
    lease = ledger.lease("d", str(number), reference="x" * 200)
    lease.begin(1, "a" * 32)
    lease.acknowledged(0, 5)
    lease.finish("sent")
ledger.close()
print(ledger.failure)
"""


def test_full_disk_is_told_once_and_raises_nothing(url: str) -> None:
    ran = subprocess.run([sys.executable, "-c", FULL, url], check=False, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "ledger.db cannot be written" in ran.stdout
    assert "What is sent from now on is not remembered" in ran.stdout
    with Ledger.open(url) as ledger:
        kept = list(ledger.entries())
        assert 10 < len(kept) < 3000
        assert ledger.lease("d", "0") is not None
        assert ledger.failure is None


def test_ledger_locked_by_another_program_is_a_failure(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_BUSY", 0.1)
    ledger = Ledger.open(url)
    with closing(sqlite3.connect(tmp_path / "state" / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        lease = ledger.lease(HERE, "f1")
        other.execute("ROLLBACK")
    assert lease is not None
    assert not lease.held
    assert ledger.failure is not None
    assert "another program keeps it locked" in ledger.failure
    lease.begin(1, TRACE)
    lease.finish("sent")
    assert list(ledger.entries()) == []
    ledger.close()


def test_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    tmp_path.joinpath("file").write_text("")
    with pytest.raises(LedgerError, match=r"file/l\.db cannot be opened: .+; "):
        Ledger.open(f"sqlite:///{tmp_path}/file/l.db")


def test_file_that_is_no_ledger_is_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "l.db"
    file.write_text("this is not a database, and long enough to be looked at " * 40)
    with pytest.raises(LedgerError, match=r"file is not a database; move that file away"):
        Ledger.open(f"sqlite:///{file}")


def test_ledger_of_a_newer_release_is_refused(url: str, tmp_path: Path) -> None:
    Ledger.open(url).close()
    with closing(sqlite3.connect(tmp_path / "state" / "ledger.db")) as connection, connection:
        connection.execute("UPDATE otel_agent_events_ledger SET version = 7")
    with pytest.raises(LedgerError, match=r"newer release .*version 7, this release knows 1\); upgrade"):
        Ledger.open(url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite://", "a ledger in memory forgets everything"),
        ("no url, but a s3cret", "cannot be understood; it looks like sqlite:///PATH"),
        ("nosuch://user:s3cret@host/x", "SQLAlchemy knows no database 'nosuch'"),
        ("mysql+pymysql://user:s3cret@host/x", "needs the package pymysql, which cannot be imported; pip install"),
        ("postgresql+asyncpg://user:s3cret@host/x", "needs the package asyncpg"),
        ("postgresql://user:s3cret@127.0.0.1:1/x", "the ledger postgresql://127.0.0.1:1/x cannot be opened: "),
    ],
)
def test_url_that_cannot_be_used_is_a_sentence_without_its_password(url: str, said: str) -> None:
    with pytest.raises(LedgerError) as raised:
        Ledger.open(url)
    assert said in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_absent_is_a_file_that_is_not_there(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/l.db"
    assert is_absent(url)
    Ledger.open(url).close()
    assert not is_absent(url)
    assert not is_absent("postgresql://host/x")


def test_importing_the_ledger_imports_no_database() -> None:
    assert not imported_by("import otel_agent_events.ledger") & {"sqlalchemy", "sqlite3", "psycopg"}


# --- tools --------------------------------------------------------------------------------------------


def started(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a program, and wait until it says that it is ready."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def let_lapse(folder: Path) -> None:
    """Make every run look as if it was not renewed for a while."""
    with closing(sqlite3.connect(folder / "state" / "ledger.db")) as connection, connection:
        connection.execute("UPDATE otel_agent_events_run SET expires = ?", (time.time() - 1,))


def expiry(folder: Path) -> float:
    """Give the time at which the one run lapses."""
    with closing(sqlite3.connect(folder / "state" / "ledger.db")) as connection:
        (told,) = connection.execute("SELECT expires FROM otel_agent_events_run").fetchone()
    return float(told)


def eventually(look: Callable[[], bool]) -> bool:
    """Wait for something, at most ten seconds."""
    deadline = time.monotonic() + 10
    while not (seen := look()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return seen
