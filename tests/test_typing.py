"""What a user's type checker says: mypy and pyright, both strict, of programs that use the whole public API.

The programs are in `tests/typing/`, one file a topic, and in `examples/`. They are checked in a folder of their own,
without the settings of this project, against the package as it is installed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import otel_agent_events
from tests.processes import unmeasured

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAMS = Path(__file__).parent / "typing"
EXAMPLES = Path(__file__).parent.parent / "examples"

WRONG = """\
import httpx
import otel_agent_events
from otel_agent_events import aconvert, afetch, areplay, arecord, convert, fetch, record, replay
from otel_agent_events import LiveSession, SessionRecorder, Turn, TurnRecorder, instrument_httpx, uninstrument_httpx
from otel_agent_events import odd  # wrong
from otel_agent_events.webhooks import AgoraWebhook, Notification, replay_notifications

otel_agent_events.fetsch("x:a")  # wrong
replay([1])  # wrong
replay(["x:a"], turn=True)  # wrong
replay(["x:a"], content="everything")  # wrong
replay(["x:a"]).sesions  # wrong
fetch(1)  # wrong
fetch("x:a").events[0].odd  # wrong
convert(["x:a"], session="x:a")  # wrong
convert(fetch("x:a"), to=["otlp"])  # wrong
record("x:a")  # wrong
TurnRecorder(exporter=None)  # wrong
TurnRecorder(content="everything")  # wrong
TurnRecorder().turn(1)  # wrong
TurnRecorder().lost["x"] = 1  # wrong
SessionRecorder(spill=1)  # wrong
SessionRecorder().session("x:a", turn=1)  # wrong
instrument_httpx(httpx)  # wrong
instrument_httpx(3)  # wrong
instrument_httpx(host="a")  # wrong
uninstrument_httpx("a")  # wrong
AgoraWebhook("secret")  # wrong


def notified(notification: Notification, turn: Turn, session: LiveSession) -> None:
    notification.replay(contents="none")  # wrong
    notification.replay(session="x:a")  # wrong
    replay_notifications(notification)  # wrong
    turn.record({}, label="history")  # wrong
    turn.end("failed")  # wrong
    session.record({}, at="now")  # wrong
    session.trace_id.upper()  # wrong


async def main() -> None:
    await areplay(["x:a"], told=1)  # wrong
    (await areplay(["x:a"])).sesions  # wrong
    await afetch()  # wrong
    await aconvert(await afetch("x:a"), turns="yes")  # wrong
    await arecord("x:a", 7)  # wrong
    areplay(["x:a"]).sessions  # wrong
"""


def mypy(folder: Path) -> set[tuple[str, int]]:
    """Give the places, file and line, of which mypy says that they are wrong."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--output=json",
            "--config-file=",
            f"--cache-dir={folder}/cache",
            ".",
        ],
        cwd=folder,
        env=unmeasured(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode < 2, done.stderr + done.stdout
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {(each["file"], each["line"]) for each in found if each["severity"] == "error"}


def pyright(folder: Path) -> set[tuple[str, int]]:
    """Give the places of which pyright says that they are wrong."""
    (folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}', encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--project", folder, "--pythonpath", sys.executable, "--outputjson"],
        env=unmeasured(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode < 2, done.stderr + done.stdout
    told = json.loads(done.stdout)
    assert told["summary"]["filesAnalyzed"] >= len(list(folder.glob("*.py")))
    return {
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1)
        for each in told["generalDiagnostics"]
        if each["severity"] != "information"
    }


checkers = pytest.mark.parametrize("errors_of", [mypy, pyright], ids=["mypy", "pyright"])


@checkers
def test_what_is_right_is_right_and_what_is_wrong_is_wrong_to_both_checkers(
    errors_of: Callable[[Path], set[tuple[str, int]]], tmp_path: Path
) -> None:
    shutil.copytree(PROGRAMS, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "__init__.py"))
    for example in EXAMPLES.glob("*.py"):
        shutil.copy(example, tmp_path)
    (tmp_path / "wrong.py").write_text(WRONG, encoding="utf-8")

    found = errors_of(tmp_path)

    wrong = {number for number, line in enumerate(WRONG.splitlines(), 1) if line.endswith("# wrong")}
    assert {place for place in found if place[0] != "wrong.py"} == set()
    assert {number for _, number in found} == wrong


def test_the_programs_use_every_public_name() -> None:
    programs = "\n".join(path.read_text(encoding="utf-8") for path in PROGRAMS.glob("*.py"))

    assert [name for name in otel_agent_events.__all__ if name not in programs] == []
