"""`record` as a user runs it: a file, and a few lines that say what is in it."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_events import demo
from otel_agent_events.fetchers.saved import load_recording
from otel_agent_events.testing import LoopbackPlatform, Reply
from tests.cli.test_commands import SCRIPT, files, finish, flat, run
from tests.processes import unmeasured
from tests.test_recording import ODD, session_of

if TYPE_CHECKING:
    from click.testing import Result

    from otel_agent_events.fetchers.saved import Recording

pytestmark = pytest.mark.usefixtures("here")

KEY = "vectara-key-of-this-test"
SESSION = "vectara:support/s1"
DEMO = "vectara:support/refund_case_88"


def record(played: Recording | LoopbackPlatform, *arguments: str, **environ: str) -> Result:
    """Record into `out.json` from a platform that lets us in with our key."""
    if isinstance(played, LoopbackPlatform):
        given = {"VECTARA_API_KEY": KEY, "VECTARA_BASE_URL": played.base_url, **environ}
        return run("record", *(arguments or (SESSION, "-o", "out.json")), environ=given)
    with LoopbackPlatform([played], headers={"x-api-key": KEY}) as platform:
        return record(platform, *arguments, **environ)


def demo_session() -> Recording:
    (recording,) = (each for each in demo.recordings() if each.session == DEMO)
    return recording


def test_a_recording_is_told_in_two_lines_and_replays() -> None:
    result = record(demo_session(), DEMO, "-o", "refund.json")

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "vectara:support/refund_case_88  4 answers in refund.json\n"
        "  taken out  something secret in 1 record; the recording holds their original keys\n"
    )
    replayed = run("replay", "refund.json", "--to", "file:out", environ={})
    assert replayed.exit_code == 0
    assert replayed.stdout.startswith("vectara:support/refund_case_88  16 events, 13 spans\n")


def test_nothing_is_said_of_secrets_where_none_was_taken_out() -> None:
    assert record(session_of([])).stdout == f"{SESSION}  3 answers in out.json\n"
    assert record(session_of(ODD), SESSION, "-o", "out.json", "--content", "full").stdout == (
        f"{SESSION}  3 answers in out.json\n"
    )
    assert "taken out  something secret in 7 records" in record(session_of(ODD)).stdout


def test_full_keeps_secrets_and_scrubbed_does_not() -> None:
    for content, kept in (("full", True), ("scrubbed", False)):
        record(demo_session(), DEMO, "--output", content, "--content", content)
        assert ("not-for-your-eyes" in Path(content).read_text(encoding="ascii")) is kept


def test_warnings_are_told() -> None:
    result = record(session_of([{"id": "sk-proj-" + "Zx9" * 12, "type": "new"}]))

    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == (
        "  warning    what was taken out changes ids of this session: the recording replays to other ones"
    )


def test_none_is_no_content_that_a_recording_can_have() -> None:
    with LoopbackPlatform([session_of([])]) as platform:
        result = record(platform, SESSION, "-o", "out.json", "--content", "none")
        variable = record(platform, OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="NO_CONTENT")
        assert platform.asked == []

    assert (result.exit_code, variable.exit_code) == (2, 2)
    assert "'none' is not one of 'full', 'scrubbed'" in flat(result.stderr)
    assert "Error: a recording without contents would be none: use --content scrubbed or full" in flat(variable.stderr)
    assert files() == []


def test_a_file_is_no_session_of_a_platform() -> None:
    Path("saved.json").write_text(session_of([]).model_dump_json(), encoding="utf-8")

    result = run("record", "saved.json", "-o", "out.json", environ={})

    assert result.exit_code == 2
    assert (
        "Error: 'saved.json' is no session of a platform, and only those are recorded; write FETCHER:PATH, such as "
        "vectara:AGENT/SESSION; installed fetchers: "
    ) in flat(result.stderr)
    assert files() == ["saved.json"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("no/such/folder", "'no/such/folder' cannot be written: No such file or directory"),
        ("", "'' cannot be written as a file: it is something else"),
        (".", "is a directory"),
    ],
)
def test_a_path_that_cannot_be_written_is_wrong_usage(path: str, said: str) -> None:
    result = record(session_of([]), SESSION, "-o", path)

    assert result.exit_code == 2
    assert said in flat(result.stderr)
    assert files() == []


def test_without_a_file_to_write_it_is_said_which_option_is_missing() -> None:
    result = run("record", SESSION, environ={"VECTARA_API_KEY": KEY})

    assert result.exit_code == 2
    assert "Missing option '-o' / '--output'" in flat(result.stderr)


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf"])
def test_a_rate_that_is_none_is_wrong_usage(rate: str) -> None:
    result = record(session_of([]), SESSION, "-o", "out.json", f"--rate={rate}")

    assert result.exit_code == 2
    assert rate in result.stderr
    assert files() == []


def test_a_session_that_cannot_be_had_is_an_error_with_1_and_leaves_nothing_behind() -> None:
    with LoopbackPlatform([session_of([])]) as platform:
        platform.faults["/v2/agents/support/sessions/s1/events"].append(
            Reply(status=404, body=b'{"messages":["no such \\u001b[31msession"]}')
        )
        result = record(platform)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: {SESSION}: GET /v2/agents/support/sessions/s1/events?")
    assert "404 Not Found: no such" in result.stderr
    assert "\x1b" not in result.stderr
    assert files() == []


def test_without_credentials_the_variables_are_named() -> None:
    result = run("record", SESSION, "-o", "out.json", environ={})

    assert result.exit_code == 2
    assert "Error: Vectara wants credentials: set VECTARA_API_KEY (a Personal API key)" in flat(result.stderr)


def test_a_base_url_and_a_time_out_are_heeded() -> None:
    with LoopbackPlatform([session_of([])]) as platform:
        arguments = (SESSION, "-o", "out.json", "--base-url", platform.base_url, "--timeout", "30", "--rate", "1000")
        result = run("record", *arguments, environ={"VECTARA_API_KEY": KEY})

    assert result.exit_code == 0
    assert len(platform.asked) == 3


def test_help_tells_what_is_never_saved_and_what_replays_it() -> None:
    said = flat(run("record", "--help", width=100).stdout)

    for told in ("-o, --output FILE", "--content [full|scrubbed]", "--rate NUMBER", "--base-url URL"):
        assert told in said
    assert "Headers are not saved." in said
    assert "otel-agent-events replay refund.json" in said


def test_the_script_records_in_a_process_of_its_own(here: Path) -> None:
    with LoopbackPlatform([session_of([])], headers={"x-api-key": KEY}) as platform:
        variables: dict[str, Any] = {"VECTARA_API_KEY": KEY, "VECTARA_BASE_URL": platform.base_url}
        done = finish(SCRIPT, "record", SESSION, "-o", "out.json", **variables)

    assert (done.returncode, done.stderr) == (0, "")
    assert load_recording((here / "out.json").read_bytes(), "out.json").session == SESSION


def test_an_interrupt_leaves_nothing_behind() -> None:
    with LoopbackPlatform([session_of([])]) as platform:
        platform.faults["/v2/agents/support"].append(Reply(delay=30))
        environ = {**unmeasured(), "VECTARA_API_KEY": KEY, "VECTARA_BASE_URL": platform.base_url}
        command = (SCRIPT, "record", SESSION, "-o", "out.json")
        with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE) as process:
            wait_for_a_request(platform)
            assert files() != []
            process.send_signal(signal.SIGINT)
            assert process.wait(20) != 0

    assert files() == []


def wait_for_a_request(platform: LoopbackPlatform) -> None:
    until = time.monotonic() + 20
    while not platform.asked and time.monotonic() < until:
        time.sleep(0.02)
    assert platform.asked
