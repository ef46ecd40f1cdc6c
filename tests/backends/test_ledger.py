"""The ledger on a real PostgreSQL, shared by several runs."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from otel_agent_events.ledger import Ledger, LedgerError, Seal
from tests.backends import servers
from tests.test_ledger import FIGHTER, HOLDER, TRACE, WHOLE, sent, started

pytestmark = pytest.mark.backends


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with servers.postgresql() as url:
        yield url


@pytest.fixture
def url(server: str) -> str:
    """Empty the database."""
    with psycopg.connect(server, autocommit=True) as connection:
        for table in ("ledger", "run", "session"):
            connection.execute(f"DROP TABLE IF EXISTS otel_agent_events_{table}")
    return server


def test_what_was_sent_is_known_by_the_next_run(url: str) -> None:
    with Ledger.open(url) as first:
        sent(first, "f1")
    with Ledger.open(url) as second:
        assert second.name.startswith("postgresql://127.0.0.1:")
        lease = second.lease("http://localhost:4318/v1/traces", "f1")
        assert lease is not None
        assert lease.latest is not None
        assert (lease.latest.state, lease.latest.seal, lease.latest.acknowledged) == ("sent", WHOLE, ((0, 51),))


def test_tables_are_made_once_by_runs_that_start_together(url: str) -> None:
    problems: list[Exception] = []

    def work() -> None:
        try:
            Ledger.open(url).close()
        except LedgerError as error:
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_names_that_postgresql_refuses_come_back_as_they_were(url: str) -> None:
    odd = "nul \0 and \ud800"
    with Ledger.open(url) as ledger:
        lease = ledger.lease(odd, odd, reference=odd)
        assert lease is not None
        lease.begin(1, TRACE, seal=Seal(events=1, last_key=odd, digest="d", spans=2))
        (entry,) = ledger.entries(odd)
    assert entry.reference == odd
    assert entry.seal is not None
    assert entry.seal.last_key == odd


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


def test_what_a_killed_run_held_is_taken_over(url: str) -> None:
    process = started(HOLDER, url)
    with Ledger.open(url) as ledger:
        assert ledger.lease("d", "f1") is None
        process.kill()
        process.communicate()
        with psycopg.connect(url, autocommit=True) as connection:  # as the clock of the server does in 15 s
            connection.execute("UPDATE otel_agent_events_run SET machine = '', expires = expires - 16")
        lease = ledger.lease("d", "f1")
        assert lease is not None
        assert lease.latest is not None
        assert lease.latest.acknowledged == ((0, 30),)


def test_run_that_lapsed_loses_what_it_held(url: str) -> None:
    with Ledger.open(url) as one, Ledger.open(url) as other:
        lease = one.lease("d", "f1")
        assert lease is not None
        lease.begin(1, TRACE)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("UPDATE otel_agent_events_run SET expires = expires - 16")
        taken = other.lease("d", "f1")
        assert taken is not None
        lease.acknowledged(0, 5)
        lease.finish("sent")
        one.flush()
        assert lease.lost
        assert [each.state for each in other.entries()] == ["in_flight"]


def test_connection_that_breaks_is_made_again(url: str) -> None:
    with Ledger.open(url) as ledger:
        lease = ledger.lease("d", "f1")
        assert lease is not None
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                "AND datname = current_database()"
            )
        lease.begin(1, TRACE, seal=WHOLE)
        lease.finish("sent")
        ledger.flush()
        assert ledger.failure is None
        assert [each.state for each in ledger.entries()] == ["sent"]


def test_wrong_password_is_told_without_it(url: str) -> None:
    with pytest.raises(LedgerError, match="password authentication failed") as raised:
        Ledger.open(url.replace("s3cret-of-postgresql", "another-s3cret"))
    assert "another-s3cret" not in str(raised.value)


def test_opening_a_ledger_there_leaves_no_connection_behind(url: str) -> None:
    code = "import sys; from otel_agent_events.ledger import Ledger; Ledger.open(sys.argv[1]).close()"
    ran = subprocess.run([sys.executable, "-W", "error", "-c", code, url], check=False, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
