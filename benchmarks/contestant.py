"""One contestant in a process of its own: it gets warm on a small page, waits for the sign, and is timed once."""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace.export import SpanExporter

Name: TypeAlias = Literal["ours", "a", "b", "c", "d"]
Protocol: TypeAlias = Literal["http/protobuf", "grpc"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a contestant has to do.

    Attributes:
        pages: the file to time, and the small one to get warm on, each with the key of its session.
        endpoint: of the collector.
        state: a folder that nobody else uses.
        content: as `replay` takes it; for ours only.
        compressed: with gzip; for ours only.
        ledger: URL of the ledger, or `off`; for ours only.
        far: the collector takes its time; for the floor only, which then sends several requests at once.
    """

    name: Name
    pages: tuple[str, str]
    warm: tuple[str, str]
    endpoint: str
    protocol: Protocol
    state: str
    content: Literal["full", "scrubbed"] = "full"
    compressed: bool = False
    ledger: str = "off"
    far: bool = False


@dataclass(frozen=True, slots=True)
class Timing:
    """How it went.

    Attributes:
        seconds: by the clock on the wall.
        cpu: seconds of processor time, of all threads.
        peak: the most bytes in memory at any time, from the start of the process.
        before: the most bytes in memory before it was timed: the interpreter, the libraries and the warm-up.
        made: spans.
    """

    seconds: float
    cpu: float
    peak: int
    before: int
    made: int


def peak() -> int:
    """Give the most bytes that this process had in memory at any time.

    Where Linux tells it: getrusage counts the parent's memory too, because the process begins as a copy of it.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        factor = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * factor
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


# Each contestant imports what it needs and nothing more, so that its memory is its own.


def _ours(task: Task) -> Callable[[tuple[str, str]], int]:
    from otel_agent_events import replay  # noqa: PLC0415

    environ = {
        "HOME": task.state,
        "XDG_STATE_HOME": task.state,
        "OTEL_AGENT_EVENTS_LEDGER": task.ledger,
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip" if task.compressed else "none",
    }

    def run(pages: tuple[str, str]) -> int:
        path, session = pages
        report = replay(
            [path],
            session=f"vectara:big/{session}",
            endpoint=task.endpoint,
            protocol=task.protocol,
            content=task.content,
            environ=environ,
        )
        if report.exit_code or report.totals.acknowledged != report.totals.made:
            sys.exit(f"the replay itself failed: {report.model_dump_json()}")
        return report.totals.made

    return run


def _usual(task: Task) -> Callable[[tuple[str, str]], int]:
    from benchmarks import usual  # noqa: PLC0415

    def exporter() -> SpanExporter:
        if task.protocol == "grpc":
            from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as over_grpc  # noqa: PLC0415

            return over_grpc.OTLPSpanExporter(endpoint=task.endpoint, insecure=True)
        from opentelemetry.exporter.otlp.proto.http import trace_exporter as over_http  # noqa: PLC0415

        return over_http.OTLPSpanExporter(endpoint=task.endpoint)

    def run(pages: tuple[str, str]) -> int:
        path, session = Path(pages[0]), pages[1]
        if task.name == "c":
            return usual.through_readable(path, session, exporter())
        return usual.through_tracer(path, session, exporter(), flush=usual.FLUSH if task.name == "a" else None)

    return run


def _floor(task: Task) -> Callable[[tuple[str, str]], int]:
    from benchmarks import floor  # noqa: PLC0415

    bodies = {path: floor.finished(Path(f"{path}.bodies")) for path, _ in (task.pages, task.warm)}
    post = floor.over_grpc(task.endpoint) if task.protocol == "grpc" else floor.over_http(task.endpoint)

    def run(pages: tuple[str, str]) -> int:
        return floor.through_floor(Path(pages[0]), bodies[pages[0]], post, floor.SENDERS if task.far else 0)

    return run


def main() -> None:
    """Read the task, get warm, say so, wait for a line, run, and print the timing."""
    told = json.loads(sys.stdin.readline())
    task = Task(**{**told, "pages": tuple(told["pages"]), "warm": tuple(told["warm"])})
    run = {"ours": _ours, "d": _floor}.get(task.name, _usual)(task)
    run(task.warm)
    gc.collect()
    print("warm", flush=True)
    sys.stdin.readline()
    before = peak()
    began, began_cpu = time.perf_counter(), time.process_time()
    made = run(task.pages)
    seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    print(json.dumps(asdict(Timing(seconds=seconds, cpu=cpu, peak=peak(), before=before, made=made))), flush=True)


if __name__ == "__main__":
    main()
