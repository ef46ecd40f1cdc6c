"""The real back ends work, and collector-config.yaml does with them what docs/collector.md says."""

import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.backends import servers

DOCUMENTATION = servers.ROOT / "docs" / "collector.md"
HOUR = timedelta(hours=1)
SECRETS = "mail \nann@example.org or call with sk-abcdefghijklmnopqrstuvwx"


@pytest.fixture(scope="module")
def jaeger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Jaeger]:
    with servers.jaeger(tmp_path_factory.mktemp("jaeger")) as running:
        yield running


@pytest.fixture
def to_jaeger(jaeger: servers.Jaeger) -> dict[str, str]:
    return {
        "JAEGER_OTLP_ENDPOINT": jaeger.otlp_grpc,
        "TEMPO_OTLP_ENDPOINT": jaeger.otlp_grpc,
        "METRICS_FLUSH_INTERVAL": "200ms",
    }


@pytest.mark.backends
def test_jaeger_gives_back_a_span_that_it_was_sent(jaeger: servers.Jaeger) -> None:
    sent = span("invoke_agent", {"count": 7})
    send(jaeger.otlp_http, [sent], {"host.name": "here"})

    (found,) = jaeger.trace(sent["traceId"], spans=1)

    assert (found["traceId"], found["spanId"], found["name"]) == (sent["traceId"], sent["spanId"], "invoke_agent")
    assert found["startTimeUnixNano"] == sent["startTimeUnixNano"]
    assert servers.plain(found) == {"count": 7}
    assert found["resource"] == {"service.name": "by hand", "host.name": "here"}
    assert found["scope"] == "test"


@pytest.mark.backends
def test_jaeger_finds_a_trace_by_its_service_and_time(jaeger: servers.Jaeger) -> None:
    sent, now = span("invoke_agent"), datetime.now(UTC)
    send(jaeger.otlp_http, [sent], {"service.name": "sought"})

    assert [found["traceId"] for found in jaeger.search("sought", now - HOUR, now + HOUR)] == [sent["traceId"]]
    assert jaeger.search("sought", now - 2 * HOUR, now - HOUR) == []
    assert jaeger.search("nobody", now - HOUR, now + HOUR) == []


@pytest.mark.backends
def test_a_trace_that_does_not_come_is_an_error(jaeger: servers.Jaeger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "ANSWER_LIMIT", 0.2)
    with pytest.raises(AssertionError, match="Jaeger has 0 of 1 spans"):
        jaeger.trace(secrets.token_hex(16), spans=1)


@pytest.mark.backends
def test_collector_config_is_valid() -> None:
    checked = servers.validate(servers.CONFIG)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.backends
def test_second_configs_of_the_documentation_are_valid(tmp_path: Path) -> None:
    examples = re.findall(r"```yaml\n(# second.yaml\n.*?)```", DOCUMENTATION.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 3
    for number, example in enumerate(examples):
        second = tmp_path / f"{number}.yaml"
        second.write_text(example, encoding="utf-8")
        checked = servers.validate(servers.CONFIG, second)
        assert (checked.returncode, checked.stderr) == (0, ""), example


def test_documentation_tells_every_variable_and_its_default() -> None:
    variables = dict(re.findall(r"\$\{env:(\w+):-([^}]+)\}", servers.CONFIG.read_text(encoding="utf-8")))
    rows = re.findall(r"^\| (`[A-Z].*?) \| (.*?) \|", DOCUMENTATION.read_text(encoding="utf-8"), re.MULTILINE)
    told = {name: value for row in rows for name, value in zip(*(ticked(cell) for cell in row), strict=True)}
    assert told == variables


@pytest.mark.backends
def test_validate_refuses_an_invalid_config(tmp_path: Path) -> None:
    wrong = config(tmp_path, service={"pipelines": {"traces/in": {"receivers": ["nobody"]}}})
    assert servers.validate(servers.CONFIG, wrong).returncode == 1


@pytest.mark.backends
def test_a_collector_that_does_not_start_shows_its_log(tmp_path: Path) -> None:
    wrong = config(tmp_path, service={"pipelines": {"traces/in": {"receivers": ["nobody"]}}})
    with (
        pytest.raises(pytest.fail.Exception, match='references receiver "nobody"'),
        servers.collector(tmp_path, servers.CONFIG, wrong),
    ):
        pass


@pytest.mark.backends
def test_collector_has_what_its_config_names_and_two_exporters_for_tests() -> None:
    listing = subprocess.run(
        [servers.require("otelcol"), "components"], check=True, capture_output=True, text=True
    ).stdout
    built = yaml.safe_load(listing)
    builder = yaml.safe_load((servers.ROOT / "tests" / "backends" / "builder.yaml").read_text(encoding="utf-8"))
    configured = yaml.safe_load(servers.CONFIG.read_text(encoding="utf-8"))

    for kind in ("extensions", "receivers", "processors", "connectors", "exporters"):
        named = {name.partition("/")[0] for name in configured[kind]}
        for_tests = {"debug", "file"} if kind == "exporters" else set()
        assert {component["name"] for component in built[kind]} == named | for_tests
        assert {component["module"] for component in built[kind]} == {part["gomod"] for part in builder[kind]}


@pytest.mark.backends
def test_collector_passes_a_span_on_to_each_back_end(
    jaeger: servers.Jaeger, to_jaeger: dict[str, str], tmp_path: Path
) -> None:
    sent = span("invoke_agent")
    with (
        servers.jaeger(tmp_path) as tempo,
        servers.collector(
            tmp_path, servers.CONFIG, environment=to_jaeger | {"TEMPO_OTLP_ENDPOINT": tempo.otlp_grpc}
        ) as collector,
    ):
        send(collector.otlp_http, [sent])

        assert jaeger.trace(sent["traceId"], spans=1)[0]["spanId"] == sent["spanId"]
        assert tempo.trace(sent["traceId"], spans=1)[0]["spanId"] == sent["spanId"]
    assert "deprecated" not in collector.log.read_text(encoding="utf-8")


@pytest.mark.backends
def test_a_second_config_adds_a_file_without_touching_the_first(
    jaeger: servers.Jaeger, to_jaeger: dict[str, str], tmp_path: Path
) -> None:
    sent = span("invoke_agent")
    file = tmp_path / "spans.jsonl"
    with servers.collector(tmp_path, servers.CONFIG, into(file), environment=to_jaeger) as collector:
        send(collector.otlp_http, [sent])

        assert [found["spanId"] for found in written(file)] == [sent["spanId"]]
        assert len(jaeger.trace(sent["traceId"], spans=1)) == 1


@pytest.mark.backends
def test_more_than_grpc_takes_at_once_is_sent_in_parts(
    jaeger: servers.Jaeger, to_jaeger: dict[str, str], tmp_path: Path
) -> None:
    trace = secrets.token_hex(16)
    sent = [span(f"execute_tool {number}", {"content": "x" * 1_000_000}, trace) for number in range(12)]
    with servers.collector(tmp_path, servers.CONFIG, environment=to_jaeger) as collector:
        send(collector.otlp_http, sent)

        assert {found["name"] for found in jaeger.trace(trace, spans=12)} == {one["name"] for one in sent}


@pytest.mark.backends
def test_spans_that_wait_for_a_back_end_outlive_the_collector(
    jaeger: servers.Jaeger, to_jaeger: dict[str, str], tmp_path: Path
) -> None:
    sent = span("invoke_agent")
    nobody = f"http://127.0.0.1:{servers.free_ports(1)[0]}"
    kept = {"STORAGE_DIR": str(tmp_path / "kept"), "TEMPO_OTLP_ENDPOINT": nobody}
    with servers.collector(
        tmp_path, servers.CONFIG, environment=to_jaeger | kept | {"JAEGER_OTLP_ENDPOINT": nobody}
    ) as collector:
        send(collector.otlp_http, [sent])

    with servers.collector(tmp_path, servers.CONFIG, environment=to_jaeger | kept):
        assert jaeger.trace(sent["traceId"], spans=1)[0]["spanId"] == sent["spanId"]


@pytest.mark.backends
def test_redaction_is_off_until_it_is_added_to_the_pipeline(to_jaeger: dict[str, str], tmp_path: Path) -> None:
    sent = span("chat", {"gen_ai.input.messages": json.dumps([{"content": SECRETS}])})
    file = tmp_path / "spans.jsonl"
    with servers.collector(tmp_path, servers.CONFIG, into(file), environment=to_jaeger) as collector:
        send(collector.otlp_http, [sent])

        assert servers.plain(written(file)[0]) == servers.plain(sent)


@pytest.mark.backends
def test_redaction_masks_secrets_and_leaves_json_readable(to_jaeger: dict[str, str], tmp_path: Path) -> None:
    inner = json.dumps({"to": "ann@example.org", "note": SECRETS, "tokens": "input_tokens"})
    sent = span("chat", {"gen_ai.input.messages": json.dumps([{"content": SECRETS, "arguments": inner}])})
    redacting = config(tmp_path, service={"pipelines": {"traces/in": {"processors": ["memory_limiter", "redaction"]}}})
    file = tmp_path / "spans.jsonl"
    with servers.collector(tmp_path, servers.CONFIG, into(file), redacting, environment=to_jaeger) as collector:
        send(collector.otlp_http, [sent])

        found = servers.plain(written(file)[0])
    (message,) = json.loads(found["gen_ai.input.messages"])
    assert message["content"] == "mail **** or call with ****"
    assert json.loads(message["arguments"]) == {
        "to": "****",
        "note": "mail **** or call with ****",
        "tokens": "input_tokens",
    }
    assert found["redaction.masked.count"] == 1


@pytest.mark.backends
def test_span_metrics_leave_imported_spans_out(to_jaeger: dict[str, str], tmp_path: Path) -> None:
    with servers.collector(tmp_path, servers.CONFIG, environment=to_jaeger) as collector:
        send(collector.otlp_http, [span("imported")], {"otel_agent_events.origin": "replay"})
        send(collector.otlp_http, [span("of now")], {"otel_agent_events.origin": "live"})
        send(collector.otlp_http, [span("of another program", {"gen_ai.operation.name": "chat"})])

        metrics = eventually(
            lambda: servers.get(collector.metrics).text, lambda text: 'span_name="of another program"' in text
        )
    calls = [line for line in metrics.splitlines() if line.startswith("traces_span_metrics_calls_total")]
    assert len(calls) == 2
    assert any('span_name="of now"' in line for line in calls)
    assert any('gen_ai_operation_name="chat"' in line for line in calls)
    assert "traces_span_metrics_duration_seconds_bucket" in metrics
    assert "imported" not in metrics


def test_what_is_not_installed_skips_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "find", lambda _: None)
    monkeypatch.delenv(servers.REQUIRE, raising=False)
    with pytest.raises(pytest.skip.Exception, match="jaeger is not installed; `make backends` builds it"):
        servers.require("jaeger")


def test_what_is_not_installed_fails_the_test_where_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "find", lambda _: None)
    monkeypatch.setenv(servers.REQUIRE, "1")
    with pytest.raises(pytest.fail.Exception, match="jaeger is not installed"):
        servers.require("jaeger")


def test_installer_names_nothing_where_nothing_is_built(tmp_path: Path) -> None:
    asked = installer(tmp_path, "--where")
    assert (asked.returncode, asked.stdout, asked.stderr) == (0, "", "")


def test_installer_says_that_it_needs_go(tmp_path: Path) -> None:
    tried = installer(tmp_path)
    assert tried.returncode == 1
    assert "needs Go" in tried.stderr
    assert list(tmp_path.iterdir()) == []


def ticked(cell: str) -> list[str]:
    """Return what stands between backticks in a cell of a table."""
    return re.findall(r"`([^`]+)`", cell)


def installer(cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installer with an empty cache and without Go."""
    return subprocess.run(
        [sys.executable, servers.INSTALL, *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": os.devnull, "OTEL_AGENT_EVENTS_BACKENDS": str(cache)},
    )


def span(name: str, attributes: dict[str, str | int] | None = None, trace: str | None = None) -> dict[str, Any]:
    """Return a span that took one second and ends now, as OTLP JSON."""
    now = time.time_ns()
    return {
        "traceId": trace or secrets.token_hex(16),
        "spanId": secrets.token_hex(8),
        "name": name,
        "kind": 1,
        "startTimeUnixNano": str(now - 1_000_000_000),
        "endTimeUnixNano": str(now),
        "attributes": wrapped(attributes or {}),
    }


def send(otlp_http: str, spans: list[dict[str, Any]], resource: dict[str, str | int] | None = None) -> None:
    """Send the spans, with these attributes on their resource."""
    attributes = wrapped({"service.name": "by hand", **(resource or {})})
    scope = {"scope": {"name": "test"}, "spans": spans}
    body = {"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [scope]}]}
    answer = httpx.post(f"{otlp_http}/v1/traces", json=body, timeout=30, trust_env=False)
    assert answer.status_code == httpx.codes.OK, answer.text
    assert answer.json() == {"partialSuccess": {}}


def wrapped(attributes: dict[str, str | int]) -> list[dict[str, Any]]:
    """Return attributes as OTLP JSON."""
    return [
        {"key": key, "value": {"stringValue": value} if isinstance(value, str) else {"intValue": str(value)}}
        for key, value in attributes.items()
    ]


def into(file: Path) -> Path:
    """Return a configuration that writes every span to a file too."""
    return config(
        file.parent,
        exporters={"file": {"path": str(file), "flush_interval": "50ms"}},
        service={"pipelines": {"traces/file": {"receivers": ["forward"], "exporters": ["file"]}}},
    )


def config(folder: Path, **parts: dict[str, Any]) -> Path:
    """Return a new configuration file with these parts."""
    file = folder / f"config-{secrets.token_hex(4)}.yaml"
    file.write_text(yaml.safe_dump(parts), encoding="utf-8")
    return file


def written(file: Path) -> list[dict[str, Any]]:
    """Return the spans in the file, once there are any."""
    text = eventually(lambda: file.read_text(encoding="utf-8"), lambda text: text.endswith("\n"))
    return [found for line in text.splitlines() for found in servers.flat(json.loads(line))]


def eventually(look: Callable[[], str], good: Callable[[str], bool]) -> str:
    """Return what is seen once it is good."""
    deadline = time.monotonic() + servers.ANSWER_LIMIT
    while not good(seen := look()):
        assert time.monotonic() < deadline, f"still:\n{seen}"
        time.sleep(0.05)
    return seen
