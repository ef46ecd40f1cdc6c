"""The example, started as its README says, with an OTLP collector behind it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from otel_agent_events import Reference, replay
from otel_agent_events.webhooks import HubsterWebhook
from tests.otlp.collectors import Collector, HttpReply, free_port, http_collector
from tests.webhooks.signed import AGORA_SECRET, HUBSTER_KEY, keyed, notified, posted, said, signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "webhooks"
SET = {
    "AGORA_WEBHOOK_SECRET": f"the-next-secret {AGORA_SECRET}",
    "AGORA_APP_ID": "APP",
    "HUBSTER_PRIVATE_SIGNING_KEY": HUBSTER_KEY,
}


class App:
    """The running app."""

    def __init__(self, base_url: str, process: subprocess.Popen[str], log: Path) -> None:
        self.base_url = base_url
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> int:
        answer = httpx.post(f"{self.base_url}/webhooks/{path}", content=body, headers=headers)
        assert answer.json() == {} or answer.status_code == 404
        return answer.status_code

    def agora(self, body: bytes) -> int:
        return self.post("agora", body, signed(body))

    def hubster(self, body: bytes) -> int:
        return self.post("hubster", body, keyed(body))


def command(port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLE), "--factory", "app:create_app"),
        *("--port", str(port), "--no-access-log"),
    ]


@contextlib.contextmanager
def running(here: Path, collector: Collector, *, settle: float = 0.3) -> Iterator[App]:
    port, log = free_port(), here / "log"
    environ = {
        **SET,
        "PATH": "",
        "XDG_STATE_HOME": str(here / "state"),
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": collector.url,
        "WEBHOOK_SETTLE": str(settle),
    }
    with log.open("a") as written, subprocess.Popen(command(port), env=environ, cwd=here, stderr=written) as process:
        app = App(f"http://127.0.0.1:{port}", process, log)  # type: ignore[arg-type]
        try:
            until(lambda: f"running on {app.base_url}" in app.log)
            yield app
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def until(happens: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.02)


def texts(collector: Collector) -> str:
    return " ".join(attribute.value.string_value for span in collector.spans for attribute in span.attributes)


def inbox(here: Path) -> list[str]:
    return sorted(path.name for path in (here / "inbox").iterdir())


TURNS = [
    {
        "turn_id": 1,
        "start": {"start_at": 1793620801000, "type": "voice_input"},
        "end": {"end_at": 1793620804000, "type": "ok"},
    }
]


def test_a_call_that_has_ended_arrives_as_one_trace_of_all_its_notifications(here: Path) -> None:
    now = time.time()
    with http_collector() as collector, running(here, collector) as app:
        statuses = [
            app.agora(notified(101, at=now, notice="n-0", channel="room5")),
            app.agora(notified(110, at=now, notice="n-1", errors=[{"module": "llm", "message": "too slow"}])),
            app.agora(notified(112, at=now, notice="n-2", turns=TURNS, is_truncated=False)),
            app.agora(notified(103, at=now, notice="n-3")),
        ]
        until(lambda: inbox(here) == ["agora%3AAPP%2F1NT_called.jsonl"])

    assert statuses == [200] * 4
    assert [span.name for span in collector.spans] == ["user_message", "agent_output", "agora_error", "invoke_agent"]
    assert {span.trace_id for span in collector.spans} == {collector.spans[0].trace_id}
    assert "A table for two." in texts(collector)
    assert collector.spans[1].end_time_unix_nano == 1793620804000 * 10**6
    assert re.search(r"agora:APP/1NT_called: trace [0-9a-f]{32}, 4 of 4 spans arrived", app.log)
    assert app.process.returncode in {0, -signal.SIGTERM}


def test_a_call_that_goes_on_is_kept_and_not_yet_replayed(here: Path) -> None:
    with http_collector() as collector, running(here, collector, settle=0.01) as app:
        assert app.agora(notified(101, at=time.time(), channel="room5")) == 200
        assert app.hubster(posted(said(at=time.time()))) == 200
        until(lambda: inbox(here) == ["agora%3AAPP%2F1NT_called.jsonl", "hubster%3Ac-1.jsonl"])

    assert [span.name for span in collector.spans] == ["user_message", "invoke_agent"]
    assert "agora" not in texts(collector)


def test_what_is_not_to_be_trusted_is_refused_and_leaves_nothing(here: Path) -> None:
    now = time.time()
    good, activity = notified(at=now), posted(said(at=now))
    with http_collector() as collector, running(here, collector, settle=0.01) as app:
        statuses = [
            app.post("agora", good.replace(b"two", b"ten"), signed(good)),
            app.post("agora", good, {}),
            app.agora(notified(at=now - 310)),
            app.agora(b"[]"),
            app.agora(b"x" * 5_000_000),
            app.post("hubster", activity.replace(b"Hello", b"HELLO"), keyed(activity)),
            app.hubster(posted(said(at=now - 2410))),
            app.post("vectara", good, signed(good)),
        ]
        foreign = app.agora(notified(at=now, product=1))
        without_a_call = app.agora(notified(at=now).replace(b"1NT_called", b""))

    assert statuses == [401, 401, 403, 400, 413, 401, 403, 404]
    assert (foreign, without_a_call) == (200, 200)
    assert inbox(here) == []
    assert collector.requests == []
    assert "check that it is the one that Agora Console shows" in app.log
    for secret in (AGORA_SECRET, HUBSTER_KEY, signed(good)["Agora-Signature-V2"], "A table for", "Traceback"):
        assert secret not in app.log


def test_what_is_sent_again_is_answered_with_200_and_kept_and_sent_once(here: Path) -> None:
    now = time.time()
    with http_collector() as collector, running(here, collector, settle=0.01) as app:
        assert app.agora(notified(at=now)) == 200
        until(lambda: len(collector.spans) == 3)
        assert app.agora(notified(at=now + 1)) == 200
        # Whatever it does with one that is sent again, it does before what comes next.
        assert app.hubster(posted(said(at=now))) == 200
        until(lambda: len(collector.spans) == 3 + 2)

    assert (here / "inbox" / "agora%3AAPP%2F1NT_called.jsonl").read_bytes() == notified(at=now) + b"\n"
    assert len(set(collector.ids)) == 5


def test_more_sessions_than_there_is_room_for_are_to_be_sent_again(here: Path) -> None:
    app = runpy.run_path(str(EXAMPLE / "app.py"))
    app["Inbox"].take.__globals__["MOST_DUE"] = 1
    webhook = HubsterWebhook(HUBSTER_KEY)
    one, more, other = (
        webhook.receive(body, keyed(body))
        for body in (
            posted(said(at=time.time())),
            posted(said("More", at=time.time())),
            posted(said(at=time.time()), conversation="c-2"),
        )
    )

    async def taken() -> list[bool]:
        inbox = app["Inbox"](here, settle=60)
        return [await inbox.take(each) for each in (one, more, other)]

    assert asyncio.run(taken()) == [True, True, False]
    assert not (here / "hubster%3Ac-2.jsonl").exists()


def test_a_conversation_that_grows_arrives_as_its_next_revision(here: Path) -> None:
    now = time.time()
    with http_collector() as collector, running(here, collector) as app:
        assert app.hubster(posted(said("Opening hours?", at=now - 2, interaction="i-1"))) == 200
        until(lambda: len(collector.spans) == 2)
        assert app.hubster(posted(said("From nine.", at=now - 1, by="Bot", interaction="i-2"))) == 200
        until(lambda: len(collector.spans) == 2 + 3)

    first, second = collector.spans[:2], collector.spans[2:]
    assert first[0].trace_id != second[0].trace_id
    assert [span.name for span in second] == ["user_message", "agent_output", "invoke_agent"]
    assert second[-1].links[0].trace_id == first[0].trace_id


def test_a_slow_collector_does_not_keep_the_routes_from_answering(here: Path) -> None:
    now = time.time()
    with http_collector(HttpReply(delay=2.0)) as collector, running(here, collector, settle=0.01) as app:
        assert app.agora(notified(at=now)) == 200
        until(lambda: collector.requests)
        began = time.monotonic()
        assert app.hubster(posted(said(at=now))) == 200
        assert time.monotonic() - began < 1.0
        assert collector.spans == []
        until(lambda: len(collector.spans) == 3 + 2)


def test_what_was_answered_with_200_arrives_after_kill_9(here: Path) -> None:
    now = time.time()
    with http_collector() as collector:
        with running(here, collector, settle=60) as app:
            assert app.agora(notified(at=now)) == 200
            app.process.kill()
        assert inbox(here) == ["agora%3AAPP%2F1NT_called.due", "agora%3AAPP%2F1NT_called.jsonl"]
        assert collector.spans == []
        with running(here, collector):
            until(lambda: inbox(here) == ["agora%3AAPP%2F1NT_called.jsonl"])

    assert len(collector.spans) == 3


def test_what_it_keeps_replays_by_hand_to_the_same_trace(here: Path) -> None:
    with http_collector() as collector, running(here, collector) as app:
        assert app.agora(notified(at=time.time())) == 200
        until(lambda: len(collector.spans) == 3)

    file = here / "inbox" / "agora%3AAPP%2F1NT_called.jsonl"
    report = replay([file], session=Reference("agora", ("APP", "1NT_called")), to=["file:out"])

    assert report.sessions[0].trace_id == collector.spans[0].trace_id.hex()


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "set AGORA_WEBHOOK_SECRET and AGORA_APP_ID, or HUBSTER_PRIVATE_SIGNING_KEY"),
        ({"AGORA_WEBHOOK_SECRET": AGORA_SECRET}, "the App ID is empty; Agora Console shows it"),
        ({**SET, "WEBHOOK_SETTLE": "soon"}, "WEBHOOK_SETTLE is no number of seconds"),
    ],
)
def test_what_is_not_set_is_said_at_the_start(here: Path, environ: dict[str, str], said: str) -> None:
    done = subprocess.run(
        command(free_port()),
        env={"PATH": "", **environ},
        cwd=here,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert AGORA_SECRET not in done.stderr
    assert list(here.iterdir()) == []


def test_its_readme_makes_a_signature_that_is_taken(here: Path) -> None:
    readme = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    (tried,) = re.findall(r"## Try it\n\n```console\n(.*?)```", readme, re.DOTALL)
    with http_collector() as collector, running(here, collector) as app:
        script = tried.replace("http://localhost:8000", app.base_url)
        done = subprocess.run(
            ["bash", "-c", script],  # noqa: S607
            env={"PATH": os.environ["PATH"], "AGORA_WEBHOOK_SECRET": AGORA_SECRET},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        until(lambda: len(collector.spans) == 3)

    assert done.stdout.startswith("HTTP/1.1 200")
    assert "For which day?" in texts(collector)
