"""`status` tells what the ledger knows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from otel_agent_events.cli.status import command
from otel_agent_events.ledger import Ledger, Seal
from otel_agent_events.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from otel_agent_events.ledger import State

ONE = "http://localhost:4318/v1/traces"
OTHER = "https://elsewhere/v1/traces"


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    default = f"sqlite:///{tmp_path}/state/ledger.db"

    def ledger(_: Settings, option: str | None) -> tuple[str | None, bool]:
        return (None, True) if option == "off" else (option or default, option is not None)

    monkeypatch.setattr(Settings, "ledger", ledger, raising=False)
    return default


def send(ledger: Ledger, destination: str, session: str, state: State | None, spans: int = 4) -> None:
    lease = ledger.lease(destination, session, reference=f"vectara:support/{session}")
    assert lease is not None
    lease.begin(1, f"{int(session[1:]):032x}", seal=Seal(events=3, last_key="k", digest="d", spans=4))
    lease.acknowledged(0, spans)
    if state is None:
        lease.release()
    else:
        lease.finish(state)


def status(*arguments: str) -> str:
    ran = CliRunner().invoke(command, arguments)
    assert ran.exit_code == 0, ran.output
    return ran.output


def test_nothing_is_remembered_before_the_first_run_and_no_file_is_made(url: str, tmp_path: Path) -> None:
    assert status() == "nothing is remembered yet\n"
    assert not tmp_path.joinpath("state").exists()
    assert json.loads(status("--json", "--ledger", url)) == {"ledger": None, "destinations": []}


def test_ledger_that_is_switched_off_is_said(url: str) -> None:  # noqa: ARG001
    assert status("--ledger", "off").startswith("the ledger is switched off")


def test_each_destination_has_a_summary_and_the_sessions_that_are_not_out(url: str) -> None:
    with Ledger.open(url) as ledger:
        send(ledger, ONE, "s1", "sent")
        send(ledger, ONE, "s2", None, spans=2)
        send(ledger, OTHER, "s3", "set_aside", spans=0)
    lines = status().splitlines()
    assert lines[:3] == [
        ONE,
        "  1 out, 1 in flight; 6 spans acknowledged",
        "  in flight  vectara:support/s2: 2 of 4 spans acknowledged, and no run is sending it",
    ]
    assert lines[3].startswith("             trace id 00000000000000000000000000000002, 20")
    assert lines[4:7] == [
        OTHER,
        "  1 set aside; 0 spans acknowledged",
        "  set aside  vectara:support/s3: 0 of 4 spans acknowledged",
    ]
    assert "vectara:support/s1" not in status()
    assert "out        vectara:support/s1: 4 of 4 spans acknowledged" in status("--all")
    assert OTHER not in status("--destination", "localhost")
    assert "no destination has 'nowhere'" in status("--destination", "nowhere")


def test_session_that_a_live_run_sends_names_the_run(url: str) -> None:
    with Ledger.open(url) as ledger:
        lease = ledger.lease(ONE, "s1", reference="vectara:support/s1")
        assert lease is not None
        lease.begin(2, "a" * 32)
        told = status()
    assert "vectara:support/s1, revision 2: 0 spans acknowledged so far, being sent by " in told


def test_newest_twenty_are_listed_and_the_others_counted(url: str) -> None:
    with Ledger.open(url) as ledger:
        for number in range(23):
            send(ledger, ONE, f"s{number}", "failed", spans=0)
    told = status()
    assert told.count("failed     ") == 20
    assert "vectara:support/s22:" in told
    assert "and 3 more that are not out; --all lists them" in told
    assert status("--all").count("failed     ") == 23


def test_json_has_what_the_lines_have(url: str) -> None:
    with Ledger.open(url) as ledger:
        send(ledger, ONE, "s1", "sent")
        send(ledger, ONE, "s2", None, spans=2)
    (told,) = json.loads(status("--json"))["destinations"]
    (session,) = told.pop("sessions")
    assert told == {
        "destination": ONE,
        "sent": 1,
        "in_flight": 1,
        "set_aside": 0,
        "failed": 0,
        "spans_acknowledged": 6,
        "unlisted": 0,
    }
    assert (session["reference"], session["spans"], session["spans_acknowledged"]) == ("vectara:support/s2", 4, 2)
    assert session["held_by"] is None
