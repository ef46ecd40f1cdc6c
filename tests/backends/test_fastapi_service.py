"""The FastAPI example, run by the commands of its README, and what a real Jaeger shows of it."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from otel_agent_events import times
from tests.backends import servers
from tests.processes import unmeasured

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.backends.servers import Jaeger

pytestmark = pytest.mark.backends

README = servers.ROOT / "examples" / "fastapi_service" / "README.md"
OWN = "otel_agent_events."
QUESTION = "Where is order 5512?"
SAID = "Order 5512 left the warehouse on Monday and arrives tomorrow."
EVENTS = ["user_message", "thinking", "execute_tool order_lookup", "agent_output", "context_consumed"]


def command(word: str, **ports: int) -> tuple[list[str], dict[str, str]]:
    """Give the command of the README in which this word is, on other ports, and the variables before it."""
    blocks = re.findall(r"```console\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    (line,) = [line for line in lines if word in line and not line.startswith("pip ")]
    for usual, port in {"8001": ports.get("agent"), "8000": ports.get("service")}.items():
        line = line.replace(usual, str(port))
    words = shlex.split(line)
    count = next(index for index, each in enumerate(words) if not re.match(r"[A-Z_]+=", each))
    return words[count:], dict(each.split("=", 1) for each in words[:count])


@pytest.fixture(scope="module")
def jaeger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jaeger]:
    servers.require("jaeger")
    with servers.jaeger(tmp_path_factory.mktemp("jaeger")) as running:
        yield running


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Give a folder in which the commands find the example, as they do in a clone."""
    (tmp_path / "examples").symlink_to(servers.ROOT / "examples")
    return tmp_path


@contextlib.contextmanager
def running(here: Path, word: str, name: str, *, agent: int | None = None, **variables: str) -> Iterator[int]:
    """Run one of the servers of the README; give its port."""

    def started(ports: list[int]) -> tuple[list[str], dict[str, str]]:
        told = {"agent": ports[0]} if agent is None else {"agent": agent, "service": ports[0]}
        words, before = command(word, **told)
        programs = Path(sys.executable).parent
        return [str(programs / words[0]), *words[1:]], {"PATH": str(programs), **before, **variables}

    def ready(ports: list[int]) -> bool:
        return servers.listens(ports[0])

    with servers.running(started, ready, 1, here / f"{name}.log") as ports:
        yield ports[0]


def to(jaeger: Jaeger, protocol: str, **variables: str) -> dict[str, str]:
    endpoint = jaeger.otlp_grpc if protocol == "grpc" else jaeger.otlp_http
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_BSP_SCHEDULE_DELAY": "100",  # milliseconds; five seconds, when nothing is said
        **variables,
    }


def ask(service: int, session: str) -> str:
    """Ask as the README does, in this session."""
    words, _ = command("curl", service=service)
    (url,) = [word for word in words if word.startswith("http")]
    body = {**json.loads(words[words.index("-d") + 1]), "session": session}
    assert body["text"] == QUESTION
    answer = httpx.post(url, json=body, timeout=30, trust_env=False)
    assert answer.status_code == 200
    return answer.text


def requests_of(jaeger: Jaeger, service: str, count: int) -> list[list[dict[str, Any]]]:
    """Give the traces of a service, once those of so many requests are there: the spans of each, by their start."""
    deadline = time.monotonic() + servers.ANSWER_LIMIT
    while True:
        now = datetime.now(UTC)
        found = jaeger.search(service, now - timedelta(hours=1), now + timedelta(hours=1))
        # A server span is the last one of its request that is sent.
        if sum(span["name"] == "POST /chat" for span in found) >= count:
            break
        assert time.monotonic() < deadline, [span["name"] for span in found]
        time.sleep(0.1)
    traces: dict[str, list[dict[str, Any]]] = {}
    for span in sorted(found, key=lambda span: int(span["startTimeUnixNano"])):
        traces.setdefault(span["traceId"], []).append(span)
    return list(traces.values())


def one(spans: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (span,) = [span for span in spans if span["name"] == name]
    return span


def below(spans: list[dict[str, Any]], parent: dict[str, Any]) -> list[dict[str, Any]]:
    return [span for span in spans if span.get("parentSpanId") == parent["spanId"]]


def roots(spans: list[dict[str, Any]]) -> list[str]:
    return [span["name"] for span in spans if not span.get("parentSpanId")]


def of_the_session(span: dict[str, Any]) -> tuple[Any, Any, list[tuple[str, str]]]:
    """Give what a span says of the session: its reference, its trace, and the roots that are linked."""
    told = servers.plain(span)
    links = [(link["traceId"], link["spanId"]) for link in span.get("links", [])]
    return told[f"{OWN}session.reference"], told[f"{OWN}session.trace_id"], links


def time_of(span: dict[str, Any]) -> tuple[int, int]:
    """Give when a span began and ended; Jaeger gives one of no length a nanosecond."""
    start, end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
    return start, start if end == start + 1 else end


def stored(agent: int, session: str) -> dict[str, int]:
    """Give when each record came about, as the agent tells it, by the type of the record."""
    url = f"http://127.0.0.1:{agent}/v2/agents/support/sessions/{session}/events"
    found = {}
    for record in servers.get(url).json()["events"]:
        stamp = times.parse(record["created_at"])
        assert stamp is not None
        found[record["type"]] = stamp.nanoseconds
    return found


def replayed(here: Path, jaeger: Jaeger, agent: int, session: str) -> str:
    """Replay the session by the command of the README; give what it says."""
    words, before = command(" replay ", agent=agent)
    done = subprocess.run(
        [sys.executable, "-m", "otel_agent_events", *[word.replace("case-1", session) for word in words[1:]]],
        cwd=here,
        env={**unmeasured(), **before, "OTEL_EXPORTER_OTLP_ENDPOINT": jaeger.otlp_http},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_a_request_is_one_trace_in_which_the_turn_is_and_leads_to_the_session(jaeger: Jaeger, here: Path) -> None:
    with (
        running(here, "agent:app", "agent") as agent,
        running(here, "service:app", "service", agent=agent, **to(jaeger, "grpc")) as service,
    ):
        assert ask(service, "case-1") == SAID
        (spans,) = requests_of(jaeger, "desk", 1)

        # One trace, of which the request is the root, and in it the turn, and in the turn what the agent did.
        server, turn = one(spans, "POST /chat"), one(spans, "invoke_agent support")
        assert roots(spans) == ["POST /chat"]
        assert turn["parentSpanId"] == server["spanId"]
        assert [span["name"] for span in below(spans, turn)] == ["POST", *EVENTS]
        assert {span["name"] for span in spans} - {turn["name"], "POST", *EVENTS, server["name"]} == {
            "POST /chat http receive",
            "POST /chat http send",
        }
        assert [one(spans, name)["kind"] for name in ("POST /chat", "POST", "invoke_agent support")] == [2, 3, 1]
        assert {span["resource"]["service.name"] for span in spans} == {"desk"}

        # When: within the turn, and that within the request; the call when the agent says so.
        for inner, outer in [(turn, server), *((one(spans, name), turn) for name in EVENTS)]:
            assert time_of(outer)[0] <= time_of(inner)[0] <= time_of(inner)[1] <= time_of(outer)[1]
        at = stored(agent, "case-1")
        assert time_of(one(spans, "execute_tool order_lookup")) == (at["tool_input"], at["tool_output"])
        assert time_of(one(spans, "user_message")) == (at["input_message"], at["input_message"])
        for name in ("thinking", "agent_output"):
            start, end = time_of(one(spans, name))
            assert end - start > 20_000_000  # there are two pauses of 20 ms in it, and more

        # What: no contents, since nobody has asked for them; and no error.
        assert servers.plain(turn)[f"{OWN}turn.complete"] is True
        assert not any(span.get("status", {}).get("code") for span in spans)
        assert not any(words in json.dumps(spans) for words in (QUESTION, "on its way", "left the warehouse"))

        # Where the session is: named, linked, and not made up here.
        reference, trace_id, links = of_the_session(turn)
        assert of_the_session(server) == (reference, trace_id, links)
        assert reference == "vectara:support/case-1"
        assert [each for each, _ in links] == [trace_id]
        assert "session" not in [servers.plain(span).get(f"{OWN}event.kind") for span in spans]
        assert jaeger.trace(trace_id, spans=0) == []

        assert trace_id in replayed(here, jaeger, agent, "case-1")

    session = jaeger.trace(trace_id, spans=5)
    (root,) = [span for span in session if not span.get("parentSpanId")]
    assert (root["traceId"], root["spanId"]) == links[0]
    assert root["name"] == "invoke_agent Support desk"
    assert sorted(span["name"] for span in below(session, root)) == sorted(EVENTS[:-1])
    assert time_of(one(session, "execute_tool order_lookup")) == (at["tool_input"], at["tool_output"])


def test_two_workers_each_with_one_turn_of_one_session_make_two_turns_and_no_second_root(
    jaeger: Jaeger, here: Path
) -> None:
    told = to(
        jaeger,
        "http/protobuf",
        OTEL_SERVICE_NAME="workers",
        OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="SPAN_ONLY",
    )
    with (
        running(here, "agent:app", "agent") as agent,
        running(here, "service:app", "first", agent=agent, **told) as first,
        running(here, "service:app", "second", agent=agent, **told) as second,
    ):
        assert [ask(first, "case-2"), ask(second, "case-2")] == [SAID, SAID]
        requests = requests_of(jaeger, "workers", 2)

        assert len(requests) == 2
        workers, told_of = set(), []
        for spans in requests:
            turn = one(spans, "invoke_agent support")
            assert roots(spans) == ["POST /chat"]
            assert turn["parentSpanId"] == one(spans, "POST /chat")["spanId"]
            assert [span["name"] for span in below(spans, turn)] == ["POST", *EVENTS]
            assert "session" not in [servers.plain(span).get(f"{OWN}event.kind") for span in spans]
            # What was asked for in this test: contents.
            assert QUESTION in servers.plain(one(spans, "user_message"))["gen_ai.input.messages"]
            assert SAID in servers.plain(one(spans, "agent_output"))["gen_ai.output.messages"]
            workers.add(turn["resource"]["service.instance.id"])
            told_of.append(of_the_session(turn))
        assert len(workers) == 2
        reference, trace_id, links = told_of[0]
        assert told_of[1] == told_of[0]
        assert reference == "vectara:support/case-2"
        assert jaeger.trace(trace_id, spans=0) == []

        replayed(here, jaeger, agent, "case-2")

    session = jaeger.trace(trace_id, spans=9)
    (root,) = [span for span in session if not span.get("parentSpanId")]
    assert (root["traceId"], root["spanId"]) == links[0]
    assert servers.plain(root)[f"{OWN}session.turn_count"] == 2
    assert sorted(span["name"] for span in below(session, root)) == sorted([*EVENTS[:-1]] * 2)
