"""`send` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from otel_agent_events.cli import main
from otel_agent_events.otlp.aside import AsideFile
from tests.otlp.bodies import HEAD, bodies, ids
from tests.otlp.collectors import HttpReply, free_port, http_collector, partial

if TYPE_CHECKING:
    from click.testing import Result

pytestmark = pytest.mark.usefixtures("here")


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    result = CliRunner().invoke(main, ("send", *arguments), input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def left() -> str:
    """Return the path of a file with three spans."""
    AsideFile("left.jsonl").put(HEAD, bodies(3))
    return "left.jsonl"


def test_what_became_of_each_file_is_told_and_the_second_time_that_it_was_sent(left: str) -> None:
    with http_collector() as collector:
        first = run(left, "--endpoint", collector.url)
        second = run(left, "--endpoint", collector.url)

    assert first.exit_code == second.exit_code == 0
    assert first.output.splitlines()[:2] == [
        "left.jsonl  3 spans",
        f"  sent to    {collector.url}: 3 of 3 spans acknowledged",
    ]
    assert first.output.splitlines()[2].startswith("1 file: 3 of 3 spans acknowledged in ")
    told, before, why, summary = second.output.splitlines()
    assert (told, before) == ("left.jsonl  0 spans", "  before     3 spans acknowledged")
    assert why.strip().startswith(f"left.jsonl was sent to {collector.url} already: --again")
    assert summary.startswith("1 file: 0 of 0 spans acknowledged in ")
    assert collector.ids == ids(3)


def test_headers_and_the_protocol_reach_the_endpoint_and_again_sends_again(left: str) -> None:
    with http_collector() as collector:
        for _ in range(2):
            run(
                left, "--endpoint", collector.url, "--header", "x-tenant=blue", "--protocol", "http/protobuf", "--again"
            )

    assert [request.headers["x-tenant"] for request in collector.requests] == ["blue", "blue"]
    assert collector.ids == [*ids(3), *ids(3)]


def test_json_is_one_object_with_the_counts_of_each_file(left: str) -> None:
    with http_collector(HttpReply(body=partial(1, "too old"))) as collector:
        result = run(left, "--endpoint", collector.url, "--json")

    report = json.loads(result.output)
    (file,) = report["files"]
    assert result.exit_code == 1
    assert (file["made"], file["acknowledged"], file["rejected"]) == (3, 2, 1)
    assert report["totals"]["made"] == 3
    assert "too old" in file["messages"][0]


def test_when_nobody_answers_the_exit_code_is_3_and_the_spans_are_kept(left: str) -> None:
    result = run(left, "--endpoint", f"http://127.0.0.1:{free_port()}", "--deadline", "0.2")

    assert result.exit_code == 3
    assert "0 of 3 spans acknowledged, 3 set aside" in result.output
    assert "the same command goes on from there" in result.output


def test_standard_input_is_sent_and_what_is_not_taken_goes_to_the_file_that_is_named(left: str) -> None:
    content = Path(left).read_bytes()
    with http_collector() as collector:
        assert run("-", "--endpoint", collector.url, stdin=content).exit_code == 0
    assert collector.ids == ids(3)

    result = run("-", "--endpoint", collector.url, "--deadline", "0.2", "--set-aside", "kept.jsonl", stdin=content)

    assert result.exit_code == 3
    assert Path("kept.jsonl").read_bytes() == content


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("left.jsonl", "--protocol", "odd"),
        ("left.jsonl", "--deadline", "0"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...], left: str) -> None:
    assert Path(left).exists()
    assert run(*arguments).exit_code == 2


def test_the_help_shows_examples() -> None:
    assert "otel-agent-events send set-aside.otlp.jsonl" in run("--help").output


def test_what_is_not_taken_of_standard_input_goes_to_the_state_folder_when_no_file_is_named(
    left: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(here / "state"))
    content = Path(left).read_bytes()

    result = run("-", "--endpoint", f"http://127.0.0.1:{free_port()}", "--deadline", "0.2", stdin=content)

    (kept,) = here.joinpath("state/otel-agent-events/set-aside").iterdir()
    assert kept.read_bytes() == content
    assert result.exit_code == 3
    assert f"note: 3 spans were set aside in {kept}; otel-agent-events send delivers them" in result.output


def test_a_file_that_is_not_there_and_a_file_set_aside_of_a_file_are_wrong_usage(left: str) -> None:
    absent = run("absent.jsonl")
    aside = run(left, "--set-aside", "x.jsonl")

    assert (absent.exit_code, aside.exit_code) == (2, 2)
    assert "'absent.jsonl' cannot be read: No such file or directory" in absent.output
    assert "--set-aside is for standard input; what is not taken of a file stays in it" in aside.output
