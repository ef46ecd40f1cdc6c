"""The command as a user runs it: most tests in this process, the important ones in one of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib.metadata import EntryPoint, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner

from otel_agent_events import demo, times
from otel_agent_events.cli import main
from otel_agent_events.fetchers.saved import RecordedAnswer, Recording
from otel_agent_events.plugins import Plugins
from otel_agent_events.testing import LoopbackPlatform, Reply
from tests.generate import Generated
from tests.otlp.collectors import GrpcReply, HttpReply, free_port, grpc_collector, http_collector, partial
from tests.processes import unmeasured
from tests.recordings import INSTALLED
from tests.traces import DATA, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from click.testing import Result

pytestmark = pytest.mark.usefixtures("here")

KEY = "vectara-key-of-this-test"
OWN = "otel_agent_events."
SCRIPT = Path(sys.executable).with_name("otel-agent-events")
MODULE = (sys.executable, "-m", "otel_agent_events")
DOCUMENTED = str(DATA / "vectara" / "documented.json")
LONG_AGO = 1_700_000_000 * times.SECOND
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(autouse=True)
def _no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


# --- sessions -----------------------------------------------------------------------------------------


def talk(at: int = LONG_AGO, words: str = "Where is order 5512?") -> list[dict[str, Any]]:
    """Give four records, which become four spans: root, message, tool call, answer."""
    stamps = [times.written(at + seconds * times.SECOND) for seconds in range(4)]
    tool = {"tool_call_id": "c1", "tool_name": "order_lookup"}
    return [
        {"type": "input_message", "messages": [{"type": "text", "content": words}], "created_at": stamps[0]},
        {"type": "tool_input", **tool, "tool_input": {"order": "5512"}, "created_at": stamps[1]},
        {"type": "tool_output", **tool, "tool_output": {"state": "lost"}, "created_at": stamps[2]},
        {"type": "agent_output", "content": "It is lost.", "created_at": stamps[3]},
    ]


def recording(session: str = "s1", records: list[dict[str, Any]] | None = None, name: str = "Support") -> Recording:
    """Record a session of the agent `support`."""
    agent = "/v2/agents/support"
    path = f"{agent}/sessions/{session}"
    query = {"limit": "100", "include_hidden": "true"}
    events = [{"id": f"aev_{number}", **record} for number, record in enumerate(talk() if records is None else records)]
    return Recording(
        recording=1,
        session=f"vectara:support/{session}",
        answers=[
            RecordedAnswer(label="agent", path=agent, body={"key": "support", "name": name, "first_step": {}}),
            RecordedAnswer(label="session", path=path, body={"key": session, "agent_key": "support"}),
            RecordedAnswer(label="events", path=f"{path}/events", query=query, body={"events": events}),
        ],
    )


def saved(file: str = "saved.json", **options: Any) -> str:
    """Save a recorded session in a file here."""
    Path(file).write_text(recording(**options).model_dump_json(), encoding="utf-8")
    return file


EVENTS = "/v2/agents/support/sessions/s1/events"


@pytest.fixture
def platform() -> Iterator[LoopbackPlatform]:
    with LoopbackPlatform([recording(), recording("s2")], headers={"x-api-key": KEY}) as platform:
        yield platform


# --- running ------------------------------------------------------------------------------------------


def run(*arguments: str, stdin: bytes | None = None, environ: dict[str, str] | None = None, width: int = 140) -> Result:
    """Run the command in this process, in a terminal of a given width."""
    result = CliRunner().invoke(main, arguments, input=stdin, env={"COLUMNS": str(width), **(environ or {})})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def replay(
    platform: LoopbackPlatform, *arguments: str, environ: dict[str, str] | None = None, session: str = "s1"
) -> Result:
    """Replay a session of a platform."""
    given = {"VECTARA_API_KEY": KEY, **(environ or {})}
    return run("replay", f"vectara:support/{session}", "--base-url", platform.base_url, *arguments, environ=given)


OF_ITS_OWN = {"COLUMNS": "140", "PYTHONUNBUFFERED": "", "PYTHONIOENCODING": "utf-8"}
"""Variables of a process of its own. What it writes is held back until there is enough of it."""


def finish(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own to its end."""
    done = subprocess.run(
        command,
        env={**os.environ, **OF_ITS_OWN, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return done


@contextmanager
def started(*command: str | Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Start the command in a process of its own, which does not outlast the block."""
    with subprocess.Popen(
        command,
        env={**unmeasured(), **OF_ITS_OWN, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def flat(text: str) -> str:
    """Join the lines of a text that was wrapped."""
    return " ".join(text.split())


def files() -> list[str]:
    """Name what lies here."""
    return sorted(each.name for each in Path().iterdir())


# --- help ---------------------------------------------------------------------------------------------

SOURCES = {
    "--base-url URL": "https://api.vectara.io",
    "--session REF": "vectara:AGENT/SESSION",
    "--timeout SECONDS": "such as 30",
    "--rate NUMBER": "such as 5",
    "--follow-subagents": "each once",
}
CONVERSION = {
    "--turns": "each turn as a span",
    "--content [full|scrubbed|none]": "[default: scrubbed]",
    "--max-value BYTES": "2000 suits a Tempo",
}
HELP = {
    "replay": {
        **SOURCES,
        **CONVERSION,
        "--endpoint URL": "http://host:4318, http://host:4317 (gRPC)",
        "--protocol [http/protobuf|grpc]": "[default: http/protobuf]",
        "--header K=V": "'authorization=Bearer ...'",
        "--tenant NAME": "such as team-a",
        "--to otlp|file:PATH|console": "[default: OTEL_TRACES_EXPORTER, else otlp]",
        "--exporter NAME": "such as console or a vendor's",
        "--deadline SECONDS": "[default: 300; 15 as long as nothing has answered]",
        "--set-aside PATH": "[default: one in the user's state folder]",
        "--ledger URL": "sqlite:///PATH, postgresql://USER@HOST/DATABASE, or off",
        "--no-ledger": "Remember nothing",
        "--again": "as its next revision",
        "--shift-to now|TIME": "such as 2026-01-31T12:00:00Z",
        "--max-trace-bytes BYTES": "4000000 suits a Tempo",
        "--service-name NAME": "such as support",
        "--namespace NAME": "such as staging",
        "--revision NUMBER": "[default: 1; 1<=x<=2147483647]",
        "--traceparent TRACEPARENT": "such as 00-<32 hex digits>-<16 hex digits>-01",
        "--link TRACEPARENT": "such as 00-<32 hex digits>-<16 hex digits>-01",
        "--json": "one summary object",
    },
    "send": {
        "--endpoint URL": "http://host:4318, http://host:4317 (gRPC)",
        "--protocol [http/protobuf|grpc]": "[default: http/protobuf]",
        "--header K=V": "'authorization=Bearer ...'",
        "--tenant NAME": "such as team-a",
        "--timeout SECONDS": "such as 30",
        "--deadline SECONDS": "[default: 300; 15 as long as nothing has answered]",
        "--set-aside PATH": "not taken of standard input",
        "--again": "taken before",
        "--ledger URL": "such as sqlite:///PATH, or off",
        "--no-ledger": "Ask no ledger",
        "--json": "one summary object",
    },
    "status": {
        "--ledger URL": "such as sqlite:///PATH or postgresql://USER@HOST/DATABASE",
        "--destination TEXT": "in their name",
        "--all": "every session",
        "--json": "one object",
    },
    "show": {**SOURCES, **CONVERSION, "-v, --verbose": "contents"},
    "demo": {
        "-o, --output FILE": "[default: demo.otlp.jsonl]",
        "--endpoint URL": "such as http://localhost:4318",
        "--protocol [http/protobuf|grpc]": "Of the endpoint",
    },
    "record": {
        "-o, --output FILE": "such as session.json",
        "--base-url URL": "https://api.vectara.io",
        "--timeout SECONDS": "such as 30",
        "--rate NUMBER": "such as 5",
        "--content [full|scrubbed]": "[default: scrubbed]",
    },
    "fetchers": {},
    "schema": {},
}


@pytest.mark.parametrize("command", HELP)
def test_help_names_every_option_with_the_form_of_its_value_and_an_example(command: str) -> None:
    result = run(command, "--help", width=100)

    assert result.exit_code == 0
    said = flat(result.stdout)
    for option, example in HELP[command].items():
        assert option in said
        assert example in said
    known = main.get_command(click.Context(main), command)
    assert known is not None
    options = {each.opts[-1] for each in known.params if isinstance(each, click.Option)}
    assert options == {each.split(", ")[-1].split()[0] for each in HELP[command]}


def test_help_of_the_group_lists_the_commands_the_main_one_first_and_says_how_a_session_is_named() -> None:
    result = run("--help", width=100)

    listed = [line.split()[0] for line in result.stdout.partition("Commands:\n")[2].splitlines() if line[:3].strip()]
    assert listed[:8] == ["replay", "send", "status", "show", "record", "demo", "fetchers", "schema"]
    for option in ("--version", "-h, --help"):
        assert option in result.stdout
    assert "FETCHER:PATH" in result.stdout
    assert "vectara:AGENT/SESSION" in result.stdout
    assert run("-h", width=100).stdout == result.stdout


@pytest.mark.parametrize(
    ("command", "example"),
    [
        ("replay", "otel-agent-events replay vectara:support/s1 --endpoint http://localhost:4317"),
        ("replay", "curl ... | otel-agent-events replay - --session vectara:support/s1 --to file:s1.otlp.jsonl"),
        ("show", "otel-agent-events show -v saved-events.json"),
    ],
)
def test_examples_in_the_help_are_lines_that_can_be_copied(command: str, example: str) -> None:
    assert f"\n    {example}\n" in run(command, "--help", width=80).stdout


def test_help_of_replay_tells_the_exit_codes() -> None:
    assert (
        "Exit codes: 0 all acknowledged, now or before; 1 a session failed or a span was not acknowledged; "
        "2 wrong usage; 3 the destination did not answer at all; 130 or 143 stopped by Ctrl-C or SIGTERM."
    ) in flat(run("replay", "--help").stdout)


def test_no_help_imports_what_only_running_needs() -> None:
    code = """
import sys
from otel_agent_events.cli import main
for arguments in ([], *([name] for name in main.list_commands(None))):
    try:
        main([*arguments, "--help"])
    except SystemExit as done:
        assert done.code == 0
heavy = ("opentelemetry", "google", "grpc", "sqlalchemy", "httpx", "rich", "pydantic")
print("imported:", [name for name in sys.modules if name in heavy])
"""
    done = finish(sys.executable, "-c", code)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "imported: []"


@pytest.mark.parametrize("command", [(SCRIPT,), MODULE], ids=["script", "module"])
def test_the_version_is_told_by_the_script_and_by_the_module(command: tuple[str, ...]) -> None:
    done = finish(*command, "--version")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"otel-agent-events, version {version('otel-agent-events')}\n"


# --- replay: what is said -----------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_replay_tells_of_each_session_what_was_sent_and_where_to_look(
    platform: LoopbackPlatform, protocol: str
) -> None:
    with grpc_collector() if protocol == "grpc" else http_collector() as collector:
        result = replay(platform, "vectara:support/s2", "--endpoint", collector.url, "--protocol", protocol)

    assert (result.exit_code, result.stderr) == (0, "")
    first, second = sorted({each.trace_id.hex() for each in collector.spans}, key=result.stdout.index)
    told = [
        "  time       2023-11-14T22:13:20Z to 2023-11-14T22:13:23Z",
        f"  sent to    {collector.url}: 4 of 4 spans acknowledged",
        "  find it    this session is older than stores show by default, so open it by its trace id;",
        "             Jaeger's search looks back two days: choose Custom Time Range (or raise search.maxLookback);",
        "             Tempo finds it by id only, unless ingestion_time_range_slack is raised: see docs/collector.md",
    ]
    *lines, last = result.stdout.splitlines()
    assert lines == [
        *["vectara:support/s1  4 events, 4 spans", f"  trace id   {first}", *told],
        *["vectara:support/s2  4 events, 4 spans", f"  trace id   {second}", *told],
    ]
    assert last.startswith("2 sessions: 8 of 8 spans acknowledged in ")


def test_a_session_of_today_is_found_without_a_remedy() -> None:
    today = time.time_ns() - 3_600 * times.SECOND
    with LoopbackPlatform([recording(records=talk(today))]) as platform, http_collector() as collector:
        result = replay(platform, "--endpoint", collector.url)

    assert result.exit_code == 0
    assert f"  time       {times.written(today)} to " in result.stdout
    assert "find it" not in result.stdout


@pytest.mark.parametrize("to", ["file:out.jsonl", "console"])
def test_what_is_in_no_store_needs_no_remedy(to: str) -> None:
    result = run("replay", saved(), "--to", to)

    assert result.exit_code == 0
    assert "find it" not in result.output


def test_warnings_notes_and_records_that_were_met_again_are_told() -> None:
    records = talk()
    twice = [{**records[0], "id": "aev_1"}, *records]
    with LoopbackPlatform([recording(records=twice)]) as platform, http_collector() as collector:
        platform.faults["/v2/agents/support"].append(Reply(status=403, body=b'{"messages":["not for you"]}'))
        result = replay(platform, "--endpoint", collector.url, environ={"OTEL_TRACES_SAMPLER": "always_off"})

    assert result.exit_code == 0
    assert "vectara:support/s1  4 events, 1 met again, 4 spans\n" in result.stdout
    assert "  warning    " in result.stdout
    assert "403 Forbidden: not for you" in result.stdout
    assert result.stderr == (
        "note: OTEL_TRACES_SAMPLER is set; sampling does not apply to recorded history: every span is sent\n"
    )


# --- replay: exit codes -------------------------------------------------------------------------------


def test_a_session_that_cannot_be_had_costs_no_other_and_ends_with_1(platform: LoopbackPlatform) -> None:
    with http_collector() as collector:
        result = replay(platform, "vectara:support/s2", "--endpoint", collector.url, session="nobody")

    assert result.exit_code == 1
    assert "vectara:support/nobody  0 events, 0 spans\n" in result.stdout
    assert "  error      vectara:support/nobody: GET " in result.stdout
    assert "404" in result.stdout
    assert "Check agent key and session key" in result.stdout
    assert "2 sessions (1 failed): 4 of 4 spans acknowledged" in result.stdout
    assert len(collector.spans) == 4


def test_spans_that_are_rejected_end_with_1(platform: LoopbackPlatform) -> None:
    with http_collector(HttpReply(body=partial(3, "too old"))) as collector:
        result = replay(platform, "--endpoint", collector.url)

    assert result.exit_code == 1
    assert (
        f"  sent to    {collector.url}: 1 of 4 spans acknowledged, 3 rejected\n             too old\n" in result.stdout
    )


SET_ASIDE = "spans were set aside in left.jsonl; the same command sends them once the destination takes them\n"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (
            HttpReply(status=401, body=b"who are you", content_type="text/plain"),
            "answered 401: it says 'who are you'. Check the credentials in --header or OTEL_EXPORTER_OTLP_HEADERS",
        ),
        (HttpReply(status=403), "answered 403. Check the credentials"),
        (
            HttpReply(status=307, headers={"Location": "https://elsewhere/"}),
            "answered 307 and points to https://elsewhere/",
        ),
        (HttpReply(status=400), "answered 400"),
    ],
)
def test_a_destination_that_refuses_ends_with_1_in_its_words_and_the_spans_are_set_aside(
    platform: LoopbackPlatform, reply: HttpReply, said: str
) -> None:
    with http_collector(answer=lambda _: reply) as collector:
        result = replay(
            platform,
            *("--endpoint", collector.url, "--header", "Authorization=Bearer hunter2", "--set-aside", "left.jsonl"),
        )

    assert result.exit_code == 1
    assert said in result.stdout
    assert "1 session (1 failed): 0 of 4 spans acknowledged, 4 set aside" in result.stdout
    assert result.stderr == f"note: 4 {SET_ASIDE}"
    assert len(lines_of(Path("left.jsonl"))) == 4
    assert "hunter2" not in result.output


def test_a_grpc_destination_that_refuses_ends_with_1(platform: LoopbackPlatform) -> None:
    with grpc_collector(GrpcReply(code="UNAUTHENTICATED", words="no such token")) as collector:
        result = replay(platform, "--endpoint", collector.url, "--protocol", "grpc")

    assert result.exit_code == 1
    assert "answered UNAUTHENTICATED: it says 'no such token'. Check the credentials" in result.stdout


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_destination_where_nobody_listens_ends_with_3_and_a_hint(platform: LoopbackPlatform, protocol: str) -> None:
    address = f"http://127.0.0.1:{free_port()}"

    given = "--endpoint", address, "--protocol", protocol, "--deadline", "0", "--set-aside", "left.jsonl"
    result = replay(platform, "vectara:support/s2", *given)

    assert result.exit_code == 3
    assert f"nobody listens at {address}" in result.stdout
    assert "is a collector running there?" in result.stdout
    for session in ("s1", "s2"):
        assert f"vectara:support/{session}  4 events, 4 spans\n" in result.stdout
    assert "\n2 sessions (2 failed): 0 of 8 spans acknowledged, 8 set aside in " in result.stdout
    assert result.stderr == f"note: 8 {SET_ASIDE}"
    assert len(lines_of(Path("left.jsonl"))) == 8


def test_what_was_set_aside_is_delivered_by_send(platform: LoopbackPlatform) -> None:
    replay(platform, "--endpoint", f"http://127.0.0.1:{free_port()}", "--deadline", "0", "--set-aside", "left.jsonl")
    left = lines_of(Path("left.jsonl"))

    with http_collector() as collector:
        result = run("send", "left.jsonl", "--endpoint", collector.url)

    assert result.exit_code == 0
    assert [span.span_id.hex() for span in collector.spans] == [span["spanId"] for span in left]
    assert len(left) == 4


@pytest.mark.parametrize(
    ("arguments", "environ", "said"),
    [
        (["jira:A/1"], {}, f"'jira:A/1' is neither a file nor FETCHER:PATH; installed fetchers: {INSTALLED}"),
        (["vectara:support/"], {}, "vectara:support/ names no session; write vectara:AGENT/SESSION"),
        (["no-such-file.json"], {}, "'no-such-file.json' is neither a file nor FETCHER:PATH"),
        (
            ["vectara:a/s"],
            {},
            "set VECTARA_API_KEY (a Personal API key), or VECTARA_CLIENT_ID and VECTARA_CLIENT_SECRET",
        ),
        ([], {}, "Missing argument 'REF...'"),
        ([DOCUMENTED, "--header", "hunter2"], {}, "--header is not of the form NAME=VALUE"),
        ([DOCUMENTED, "--header", "=hunter2"], {}, "--header is not of the form NAME=VALUE"),
        ([DOCUMENTED, "--header", "key=hunter2\x01"], {}, "the value of the header 'key' has a character that"),
        ([DOCUMENTED, "--json", "--to", "console"], {}, "--json and --to console both write to standard output"),
        ([DOCUMENTED, "--to", "nowhere"], {}, "there are otlp, file:PATH and console"),
        ([DOCUMENTED, "--to", "file:"], {}, "there are otlp, file:PATH and console"),
        ([DOCUMENTED, "--to", "file:no/such/folder"], {}, "'no/such/folder' cannot be written: No such file"),
        ([DOCUMENTED, "--endpoint", "ftp://user:hunter2@host"], {}, "--endpoint is no endpoint; it looks like http"),
        ([DOCUMENTED, "--protocol", "http/json"], {}, "'http/json' is not one of 'http/protobuf', 'grpc'"),
        ([DOCUMENTED, "--revision", "0"], {}, "0 is not in the range 1<=x<=2147483647"),
        ([DOCUMENTED, "--revision", "2147483648"], {}, "2147483648 is not in the range 1<=x<=2147483647"),
        ([DOCUMENTED, "--timeout", "0"], {}, "0.0 is not in the range x>0"),
        (
            [DOCUMENTED, "--timeout", "nan"],
            {},
            "the timeout is nan; it is a number of seconds above 0",
        ),
        ([DOCUMENTED, "--max-value", "3"], {}, "--max-value is 3; an attribute of fewer than 64 bytes holds nothing"),
        ([DOCUMENTED, "--traceparent", "00-1-2-3"], {}, "'00-1-2-3' is no traceparent"),
        ([DOCUMENTED, "--session", "vectara:s"], {}, "--session vectara:s names no session"),
        (
            [DOCUMENTED],
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
            "OTEL_EXPORTER_OTLP_PROTOCOL is 'http/json', which is not supported; supported are http/protobuf and grpc",
        ),
        ([DOCUMENTED], {"OTEL_SDK_DISABLED": "true"}, "OTEL_SDK_DISABLED is true, so nothing was sent"),
        ([DOCUMENTED], {"OTEL_EXPORTER_OTLP_HEADERS": "hunter2"}, "an entry is not of the form NAME=VALUE"),
    ],
)
def test_wrong_usage_ends_with_2_before_anything_is_written(
    arguments: list[str], environ: dict[str, str], said: str
) -> None:
    result = run("replay", *arguments, "--to", "otlp", "--to", "file:out.jsonl", environ=environ)

    assert result.exit_code == 2
    assert said in flat(result.stderr)
    assert "hunter2" not in result.output
    assert result.stdout == ""
    assert files() == []


def test_a_command_that_there_is_not_is_wrong_usage() -> None:
    result = run("replaay")

    assert result.exit_code == 2
    assert "No such command 'replaay'" in result.stderr


def test_what_cannot_be_put_in_place_in_the_end_is_told_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    result = run("replay", saved(), "--to", "file:out\x1b[1m.jsonl")

    assert result.exit_code == 1
    why = r"file:out\x1b[1m.jsonl cannot be put in place: No space left on device"
    assert result.stderr == f"note: {why}\n"
    assert "1 session (1 failed): 0 of 4 spans acknowledged, 4 lost" in result.stdout
    assert files() == ["saved.json"]


# --- replay: where to ---------------------------------------------------------------------------------

FACTS = {
    "reference": "vectara:support/s1",
    "parts": [],
    "revision": 1,
    "unchanged": False,
    "start": LONG_AGO,
    "end": LONG_AGO + 3 * times.SECOND,
    "events": 4,
    "duplicates": 0,
    "made": 4,
    "acknowledged": 4,
    "reported": 0,
    "rejected": 0,
    "set_aside": 0,
    "lost": 0,
    "warnings": [],
    "error": None,
    "subagent_of": None,
}
COUNTS = {name: FACTS[name] for name in ("made", "acknowledged", "reported", "rejected", "set_aside", "lost")}


def test_json_is_one_object_on_standard_output_and_nothing_else_is_said(platform: LoopbackPlatform) -> None:
    with http_collector() as collector:
        result = replay(platform, "--json", "--endpoint", collector.url, environ={"OTEL_TRACES_SAMPLER": "always_off"})

    assert (result.exit_code, result.stderr) == (0, "")
    report = json.loads(result.stdout)
    assert set(report) == {"sessions", "totals", "seconds", "unreachable", "set_aside", "stopped", "notes"}
    (session,) = report["sessions"]
    (destination,) = session.pop("destinations")
    assert session == FACTS | {"trace_id": collector.spans[0].trace_id.hex()}
    assert destination == COUNTS | {"destination": collector.url, "had": 0, "messages": []}
    assert report["totals"] == COUNTS
    assert report["seconds"] > 0
    assert (report["unreachable"], report["set_aside"], report["stopped"]) == ([], None, False)
    assert report["notes"][0].startswith("OTEL_TRACES_SAMPLER is set")


def test_json_tells_of_failures_too_and_the_exit_code_is_the_same(platform: LoopbackPlatform) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    given = "--json", "--endpoint", address, "--deadline", "0", "--set-aside", "left.jsonl"
    result = replay(platform, "vectara:support/nobody", "vectara:support/s2", *given)

    assert (result.exit_code, result.stderr) == (3, "")
    report = json.loads(result.stdout)
    assert report["totals"] == COUNTS | {"made": 8, "acknowledged": 0, "set_aside": 8}
    assert report["set_aside"] == "left.jsonl"
    assert len(lines_of(Path("left.jsonl"))) == 8
    assert report["unreachable"] == [f"{address}/v1/traces"]
    assert "nobody listens" in report["sessions"][0]["destinations"][0]["messages"][0]
    assert "404" in report["sessions"][1]["error"]
    assert [session["set_aside"] for session in report["sessions"]] == [4, 0, 4]


def test_json_is_in_ascii_so_that_no_terminal_takes_it_for_a_command() -> None:
    result = run("replay", saved("caf\udce9\x9b2J.json"), "--to", "file:\x9b日本", "--json")

    assert result.exit_code == 0
    assert result.stdout.isascii()
    assert json.loads(result.stdout)["sessions"][0]["destinations"][0]["destination"] == "file:\x9b日本"


def test_the_console_gets_lines_of_otlp_alone_on_standard_output_and_the_report_beside_it() -> None:
    result = run("replay", saved(), "--to", "console", "--to", "file:out.jsonl")

    assert result.exit_code == 0
    assert result.stdout == Path("out.jsonl").read_text(encoding="utf-8")
    assert len(lines_of(Path("out.jsonl"))) == len(result.stdout.splitlines()) == 4
    assert result.stderr.startswith("vectara:support/s1  4 events, 4 spans\n  trace id   ")
    assert "  sent to    console: 4 of 4 spans acknowledged\n" in result.stderr
    assert "1 session: 4 of 4 spans acknowledged" in result.stderr


def test_a_file_is_put_in_place_when_it_is_complete_and_not_before() -> None:
    Path("out.jsonl").write_text("what was there", encoding="utf-8")
    seen = []

    class Watched(LoopbackPlatform):
        def _reply(self, handler: Any) -> Reply:
            seen.append(Path("out.jsonl").read_text(encoding="utf-8"))
            return super()._reply(handler)

    with Watched([recording()]) as platform:
        result = replay(platform, "--to", "file:out.jsonl")

    assert result.exit_code == 0
    assert seen == ["what was there"] * 3
    assert len(lines_of(Path("out.jsonl"))) == 4
    assert files() == ["out.jsonl"]


def test_what_curl_printed_is_read_from_standard_input() -> None:
    page = json.dumps({"events": [{**record, "session_key": "s9"} for record in talk()]})

    result = run("replay", "-", "--session", "vectara:support/s9", "--to", "file:out.jsonl", stdin=page.encode())

    assert result.exit_code == 0
    assert result.stdout.startswith("vectara:support/s9  4 events, 4 spans\n")
    assert len(lines_of(Path("out.jsonl"))) == 4


def test_a_saved_answer_that_nobody_names_says_how_to_name_it() -> None:
    page = json.dumps({"events": talk()})

    result = run("replay", "-", "--to", "file:out.jsonl", stdin=page.encode())

    assert result.exit_code == 1
    assert "standard input does not say which session it is; say it with --session vectara:AGENT/SESSION" in (
        result.stdout
    )


@pytest.mark.parametrize("by", ["option", "variable"])
def test_port_4317_without_a_protocol_is_grpc_and_it_says_so(platform: LoopbackPlatform, by: str) -> None:
    address = "http://127.1.2.3:4317"  # this machine, whoever listens there
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": address} if by == "variable" else {}

    given = [*(["--endpoint", address] if by == "option" else []), "--deadline", "0"]
    result = replay(platform, *given, environ=environ)

    said = "note: port 4317 without a protocol: sending over gRPC (--protocol says otherwise)\n"
    assert result.stderr.startswith(said)
    assert f"  sent to    {address}: " in result.stdout  # over HTTP it would have a path


# --- replay: variables and options --------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_the_variables_of_the_specification_are_honoured(platform: LoopbackPlatform, protocol: str) -> None:
    with grpc_collector() if protocol == "grpc" else http_collector() as collector:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url.removesuffix("/v1/traces"),
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_HEADERS": "X-Scope=team%20a,x-other=b",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_SERVICE_NAME": "desk",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=staging,service.name=hidden",
        }
        result = replay(platform, environ=environ)

    assert result.exit_code == 0
    (received,) = collector.taken
    assert len(received.spans) == 4
    assert (received.headers["x-scope"], received.headers["x-other"]) == ("team a", "b")
    (resource,) = (each.resource for each in received.request.resource_spans)
    assert {each.key: each.value.string_value for each in resource.attributes} == {
        "service.name": "desk",
        "deployment.environment": "staging",
        f"{OWN}origin": "replay",
    }
    if protocol == "http/protobuf":
        assert received.path == "/v1/traces"
        assert received.headers["content-encoding"] == "gzip"
        assert received.headers["content-type"] == "application/x-protobuf"


def test_an_option_beats_a_variable(platform: LoopbackPlatform) -> None:
    with grpc_collector() as beaten, http_collector() as collector:
        environ = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": beaten.url,
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "x-who=variable,x-kept=kept",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
            "OTEL_SERVICE_NAME": "variable",
            "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "70",
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "NO_CONTENT",
            "VECTARA_BASE_URL": "http://127.0.0.1:9",
        }
        result = replay(
            platform,
            *("--endpoint", collector.url.removesuffix("/v1/traces"), "--protocol", "http/protobuf"),
            *("--header", "X-Who=option", "--timeout", "20", "--service-name", "option"),
            *("--max-value", "90", "--content", "full"),
            environ=environ,
        )

    assert result.exit_code == 0
    assert beaten.requests == []
    (received,) = collector.taken
    assert (received.headers["x-who"], received.headers["x-kept"]) == ("option", "kept")
    (resource,) = (each.resource for each in received.request.resource_spans)
    assert "option" in str(resource)
    views = {each.value.string_value for each in received.spans[-1].attributes if each.key == f"{OWN}view"}
    assert views == {"content=full;max=90;turns=0;conventions=gen_ai"}


def test_every_option_of_the_conversion_reaches_the_trace() -> None:
    result = run(
        *("replay", saved(), "--to", "file:out.jsonl", "--turns", "--content", "none", "--max-value", "2000"),
        *("--namespace", "staging", "--revision", "2", "--traceparent", PARENT, "--link", PARENT, "--link", PARENT),
        *("--service-name", "desk"),
    )

    assert result.exit_code == 0
    spans = lines_of(Path("out.jsonl"))
    root = spans[-1]
    assert len(spans) == 5
    assert {each["traceId"] for each in spans} == {PARENT[3:35]}
    assert root["parentSpanId"] == PARENT[36:52]
    assert [each["traceId"] for each in root["links"]].count(PARENT[3:35]) == 2
    assert root["attributes"][f"{OWN}session.revision"] == 2
    assert root["attributes"][f"{OWN}view"] == "content=none;max=2000;turns=1;conventions=gen_ai"
    assert root["resource"]["service.name"] == "desk"
    assert "5512" not in Path("out.jsonl").read_text(encoding="utf-8")


def test_the_namespace_is_part_of_the_ids() -> None:
    one, two = (run("replay", saved(), "--to", "file:o", *each).stdout for each in ([], ["--namespace", "n"]))

    assert one.splitlines()[1] != two.splitlines()[1]


# --- show ---------------------------------------------------------------------------------------------


def test_show_draws_and_sends_nothing(platform: LoopbackPlatform) -> None:
    environ = {"VECTARA_API_KEY": KEY}
    with http_collector() as collector:
        environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
        result = run("show", "vectara:support/s1", "--base-url", platform.base_url, environ=environ)

    assert (result.exit_code, result.stderr) == (0, "")
    assert collector.requests == []
    assert files() == []
    title, *rows, legend, _ = result.stdout.splitlines()
    assert title.startswith("vectara:support/s1  trace ")
    assert title.endswith("  2023-11-14T22:13:20Z, 3 s")
    assert [row.split()[0] for row in rows] == ["invoke_agent", "user_message", "execute_tool", "agent_output"]
    assert rows[2].endswith(' {"order":"5512"} → {"state":"lost"}')
    assert legend == "~ a time that was inferred"


def test_show_adds_contents_when_asked_for() -> None:
    brief, verbose = run("show", saved()).stdout, run("show", "-v", saved()).stdout

    assert "arguments" not in brief
    assert '      arguments: {"order":"5512"}\n' in verbose
    assert set(brief.splitlines()) < set(verbose.splitlines())


def test_show_takes_the_options_of_the_conversion() -> None:
    result = run("show", saved(), "--turns", "--content", "none")

    assert result.stdout.count("invoke_agent Support") == 2
    assert "5512" not in result.stdout


def test_show_of_a_session_that_cannot_be_had_ends_with_1_and_draws_the_others(platform: LoopbackPlatform) -> None:
    platform.faults["/v2/agents/support"].append(Reply(status=404))
    result = run(
        *("show", "vectara:support/nobody", "vectara:support/s2", "--base-url", platform.base_url),
        environ={"VECTARA_API_KEY": KEY},
    )

    assert result.exit_code == 1
    assert result.stdout.startswith("vectara:support/s2  trace ")
    assert "nobody: warning" not in result.stderr  # of what a trace lacks that there is not
    assert "error: vectara:support/nobody: GET " in result.stderr


def test_show_of_wrong_usage_ends_with_2() -> None:
    result = run("show", "vectara:a/s")

    assert result.exit_code == 2
    assert "set VECTARA_API_KEY" in result.stderr


@pytest.mark.parametrize("command", [["show", DOCUMENTED], ["demo"]])
def test_without_the_package_that_draws_it_is_said_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.delitem(sys.modules, "otel_agent_events.cli.waterfall", raising=False)
    monkeypatch.setitem(sys.modules, "rich.console", None)

    result = run(*command)

    assert result.exit_code == 2
    assert "drawing needs the package rich: pip install 'otel-agent-events[cli]'" in result.stderr


# --- fetchers -----------------------------------------------------------------------------------------


def test_fetchers_lists_each_with_its_path_and_its_variables() -> None:
    result = run("fetchers")

    assert (result.exit_code, result.stderr) == (0, "")
    assert (
        "vectara:AGENT/SESSION\n"
        "  reads VECTARA_API_KEY, VECTARA_CLIENT_ID, VECTARA_CLIENT_SECRET, VECTARA_TOKEN_URL, VECTARA_BASE_URL\n"
    ) in result.stdout


def test_a_fetcher_that_cannot_be_loaded_is_listed_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    group = "otel_agent_events.fetchers"
    installed = [
        EntryPoint("broken", "no_such_module:Fetcher", group),
        EntryPoint("vectara", "otel_agent_events.fetchers.vectara:Vectara", group),
    ]

    def entry_points(**_: str) -> list[EntryPoint]:
        return installed

    monkeypatch.setattr("otel_agent_events.plugins.entry_points", entry_points)
    monkeypatch.setattr("otel_agent_events.fetchers.FETCHERS", Plugins(group, "fetcher"))
    result = run("fetchers")

    assert result.exit_code == 0
    assert result.stdout.startswith("broken  the fetcher 'broken' of no_such_module:Fetcher cannot be loaded: ")
    assert "\nvectara:AGENT/SESSION\n" in result.stdout


# --- demo ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [(SCRIPT,), MODULE], ids=["script", "module"])
def test_demo_needs_nothing_else_and_says_what_to_do_next(command: tuple[str, ...]) -> None:
    done = finish(*command, "demo")

    assert (done.returncode, done.stderr) == (0, "")
    played = [recording.session for recording in demo.recordings()]
    spans = lines_of(Path("demo.otlp.jsonl"))
    traces = list(dict.fromkeys(each["traceId"] for each in spans))
    assert files() == ["demo.otlp.jsonl"]
    assert len(traces) == len(played)
    for session, trace in zip(played, traces, strict=True):
        assert f"\n{session}  trace {trace}  " in done.stdout
        assert f"\n  trace id   {trace}\n" in done.stdout
    drawn = [line.strip() for line in done.stdout.splitlines()]
    for each in spans:
        assert any(line.startswith(each["name"][:36]) for line in drawn)
    for sign in ("━━━", "╵", "~ a time that was inferred", "TOOL_ERROR", "Where is order 5512?"):
        assert sign in done.stdout
    assert f": {len(spans)} of {len(spans)} spans acknowledged in " in done.stdout
    assert "find it" not in done.stdout
    assert "The traces are in demo.otlp.jsonl." in done.stdout
    after = done.stdout.partition("\nNext, with a Jaeger, a Tempo or a collector")[2]
    assert " demo --endpoint http://localhost:4318 " in after
    assert " replay vectara:AGENT/SESSION " in after
    assert "export VECTARA_API_KEY=" in after


@pytest.mark.parametrize(
    ("path", "argument", "named"),
    [
        (str(SCRIPT.parent), "anything", "  otel-agent-events demo "),
        ("", str(SCRIPT), f"  {SCRIPT} demo "),
        ("", "/some/where/__main__.py", "  python -m otel_agent_events demo "),
    ],
)
def test_what_demo_says_to_do_next_can_be_typed(
    monkeypatch: pytest.MonkeyPatch, path: str, argument: str, named: str
) -> None:
    monkeypatch.setenv("PATH", path)
    monkeypatch.setattr("sys.argv", [argument])

    assert named in run("demo").stdout


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_demo_sends_as_well_when_it_is_told_where_to(protocol: str) -> None:
    with grpc_collector() if protocol == "grpc" else http_collector() as collector:
        result = run("demo", "-o", "traces", "--endpoint", collector.url, "--protocol", protocol)

    assert result.exit_code == 0
    assert len(collector.spans) == len(lines_of(Path("traces")))
    assert f"  sent to    {collector.url}: " in result.stdout
    assert "The traces are in traces." in result.stdout
    assert "Next, " not in result.stdout


def test_demo_ends_as_replay_does_when_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_agent_events.otlp.send.DEADLINE_UNKNOWN", 0.1)  # seconds, instead of 15
    result = run("demo", "--endpoint", f"127.0.0.1:{free_port()}")

    assert result.exit_code == 3
    assert result.stderr.startswith("note: --endpoint has no scheme; taken as http://, without encryption\n")
    assert "nobody listens" in result.stdout
    assert lines_of(Path("demo.otlp.jsonl"))


def test_demo_needs_no_proxy_and_no_certificate_of_the_environment() -> None:
    closed = f"http://127.0.0.1:{free_port()}"
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), closed)

    result = run("demo", environ={**proxies, "NO_PROXY": "", "no_proxy": "", "SSL_CERT_FILE": "no-such-file"})

    assert result.exit_code == 0


def test_demo_does_not_use_the_keys_and_the_host_of_the_environment() -> None:
    result = run("demo", environ={"VECTARA_API_KEY": "mine", "VECTARA_BASE_URL": "http://127.0.0.1:9"})

    assert result.exit_code == 0


# --- terminals ----------------------------------------------------------------------------------------

HOSTILE = "\x1b[31m\x1b]0;owned\x07\x9b2J\x08\r\u202e\u2028\x7f"


def harmless(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


def test_what_a_platform_says_never_commands_the_terminal() -> None:
    records = talk(words=f"words {HOSTILE}")
    records[1]["tool_name"] = records[2]["tool_name"] = f"tool {HOSTILE}"
    records[2] |= {"tool_output": f"output {HOSTILE}", "error": True}
    records += [{"type": f"type {HOSTILE}", f"member {HOSTILE}": HOSTILE}]
    with LoopbackPlatform([recording(records=records, name=f"agent {HOSTILE}")]) as platform:
        words = json.dumps({"messages": [f"who {HOSTILE}"]}).encode()
        refusal = HttpReply(body=partial(1, f"rejected {HOSTILE}"))
        given = ["vectara:support/s1", "vectara:support/s2", "--base-url", platform.base_url]
        for arguments in (["show", *given], ["show", "-v", *given], ["replay", *given], ["replay", "--json", *given]):
            platform.faults["/v2/agents/support/sessions/s1"].append(Reply(status=403, body=words))
            platform.faults["/v2/agents/support/sessions/s2/events"].append(Reply(status=401, body=words))
            with http_collector(refusal) as collector:
                environ = {"VECTARA_API_KEY": KEY, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": collector.url}
                result = run(*arguments, environ=environ)

            assert result.exit_code == 1
            assert "owned" in result.output
            assert harmless(result.stdout)
            assert harmless(result.stderr)


def test_the_name_of_a_file_never_commands_the_terminal() -> None:
    result = run("replay", saved("\x1b[31m.json"), "--to", "file:\x9b2J", "--session", "vectara:a/\x1b[1m")

    assert result.exit_code == 0
    assert harmless(result.output)


@pytest.mark.parametrize(
    "arguments",
    [["show", "-v", "saved.json"], ["replay", "--to", "console", "saved.json"], ["demo", "-o", "日本"]],
    ids=["show", "replay", "demo"],
)
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_lacks_characters_gets_no_traceback(arguments: list[str], encoding: str) -> None:
    saved(records=talk(words="日本語 Straße 🙂"), name="日本")

    done = finish(*MODULE, *arguments, PYTHONIOENCODING=encoding)

    assert done.returncode == 0
    assert done.stdout.isascii()
    assert done.stderr.isascii()
    assert "\\u65e5\\u672c" in done.stdout


def test_a_warning_in_other_letters_is_told_in_any_terminal(platform: LoopbackPlatform) -> None:
    platform.faults[EVENTS].append(Reply(status=401, body=json.dumps({"messages": ["鍵が違います"]}).encode()))

    done = finish(
        *(*MODULE, "replay", "vectara:support/s1", "--base-url", platform.base_url, "--to", "file:out"),
        PYTHONIOENCODING="latin-1",
        VECTARA_API_KEY=KEY,
    )

    assert done.returncode == 1
    assert "\\u9375" in done.stdout


# --- what breaks off ----------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["replay", "--to", "console"], ["show"]], ids=["replay", "show"])
def test_a_reader_that_leaves_ends_it_without_a_traceback(arguments: list[str]) -> None:
    Path("big.json").write_text(Generated(events=1200).recording().model_dump_json(), encoding="utf-8")

    with started(*MODULE, *arguments, "big.json") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
        process.wait(timeout=30)

    assert first.startswith(('{"resourceSpans":', "vectara:big/generated  trace "))
    assert process.returncode == 1
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert "Error" not in said
    if "replay" in arguments:
        assert "nobody reads the console's output any more" in said


ENDINGS = pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])


@contextmanager
def replaying(platform: LoopbackPlatform, url: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start a replay of two sessions, to a file and to a collector."""
    sessions = "vectara:support/s1", "vectara:support/s2"
    to = "--to", "file:out.jsonl", "--to", "otlp", "--endpoint", url
    command = *MODULE, "replay", *sessions, "--base-url", platform.base_url, *to, *arguments
    with started(*command, VECTARA_API_KEY=KEY) as process:
        yield process


def until(process: subprocess.Popen[str], happened: Callable[[], object]) -> None:
    """Wait until something has happened, as long as the process runs."""
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)


@ENDINGS
def test_stopped_while_the_platform_is_silent_it_sends_nothing_of_that_session_and_the_same_command_goes_on(
    platform: LoopbackPlatform, number: signal.Signals, code: int
) -> None:
    Path("out.jsonl").write_text("what was there", encoding="utf-8")
    platform.faults[EVENTS].append(Reply(delay=30))
    with http_collector() as collector:
        with replaying(platform, collector.url) as process:
            until(process, lambda: f"GET {EVENTS}" in " ".join(platform.asked))
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=20)

        assert process.returncode == code
        assert (
            "vectara:support/s1  0 events, 0 spans\n  error      stopped while it was read; nothing of it was sent\n"
            in (stdout)
        )
        assert "s2" not in stdout
        assert stderr == "note: stopped after 0 of 2 sessions; the same command goes on from here\n"
        assert collector.requests == []
        assert files() == ["out.jsonl"]
        assert Path("out.jsonl").read_text(encoding="utf-8") == "what was there"

        with replaying(platform, collector.url) as process:
            process.communicate(timeout=20)
        assert process.returncode == 0
    assert len(set(collector.ids)) == len(collector.ids) == 8


@ENDINGS
def test_stopped_while_the_destination_is_slow_it_waits_for_the_answer_and_nothing_is_sent_twice(
    platform: LoopbackPlatform, number: signal.Signals, code: int
) -> None:
    with http_collector(HttpReply(delay=1)) as collector:
        with replaying(platform, collector.url, "--json") as process:
            until(process, lambda: collector.requests)
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=20)

        report = json.loads(stdout)
        assert (process.returncode, stderr) == (code, "")
        assert report["stopped"] is True
        assert report["totals"]["made"] == report["totals"]["acknowledged"] == 8
        assert len(lines_of(Path("out.jsonl"))) == 8

        with replaying(platform, collector.url) as process:
            stdout, stderr = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "unchanged" in stdout
    assert len(set(collector.ids)) == len(collector.ids) == 8


@ENDINGS
def test_stopped_twice_it_sets_aside_what_the_destination_does_not_take_at_once(
    platform: LoopbackPlatform, number: signal.Signals, code: int
) -> None:
    with (
        http_collector(answer=lambda _: HttpReply(status=503)) as collector,
        replaying(platform, collector.url, "--set-aside", "left.jsonl") as process,
    ):
        until(process, lambda: len(collector.requests) > 1)
        for _ in range(2):
            process.send_signal(number)
            time.sleep(0.2)
        stdout, stderr = process.communicate(timeout=4)

    assert process.returncode == code
    assert f"  sent to    {collector.url}: 0 of 4 spans acknowledged, 4 set aside\n" in stdout
    told = "8 spans were set aside in left.jsonl; the same command goes on from here, and sends those too"
    assert stderr == f"note: stopped after 2 of 2 sessions, and {told}\n"
    assert len(lines_of(Path("left.jsonl"))) == 8
