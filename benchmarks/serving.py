"""A process that serves one of the example's apps on a free port, for the load of `benchmarks.service`.

It says its port in a line of its standard output, and ends with its standard input.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import resource
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

if TYPE_CHECKING:
    from fastapi import FastAPI
    from opentelemetry.sdk.trace import ReadableSpan

EXAMPLE = Path(__file__).parent.parent / "examples" / "fastapi_service"


def agent() -> FastAPI:
    """Give the agent of the example; it forgets what it said, since nobody replays it."""
    import agent as example  # noqa: PLC0415 - the example's folder is in the path

    class Forgetful(defaultdict[tuple[str, str], list[dict[str, Any]]]):
        def __missing__(self, _: tuple[str, str]) -> list[dict[str, Any]]:
            return []

    example.stored = Forgetful()
    return example.app


def service(*, hook: bool) -> FastAPI:
    """Give the service of the example, traced as `opentelemetry-instrument` does it, with a processor that counts."""
    from opentelemetry import trace  # noqa: PLC0415 - the agent needs none of these
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor  # noqa: PLC0415
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor  # noqa: PLC0415
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider  # noqa: PLC0415
    from service import app  # noqa: PLC0415

    from otel_agent_events import TurnRecorder, instrument_httpx  # noqa: PLC0415

    counted: Counter[str] = Counter()
    errors: Counter[str] = Counter()

    class Counting(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            counted[span.name] += 1

    class Errors(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            errors[f"{record.name}: {record.getMessage()}"[:200]] += 1

    logging.getLogger().addHandler(Errors(logging.WARNING))
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Counting())
    trace.set_tracer_provider(provider)
    HTTPXClientInstrumentor().instrument()
    recorder = TurnRecorder()
    if hook:
        instrument_httpx(recorder=recorder)
    FastAPIInstrumentor.instrument_app(app)

    @app.get("/counted")
    def tell() -> dict[str, Any]:
        return {
            "spans": dict(counted),
            "errors": dict(errors),
            "lost": dict(recorder.lost),
            "cpu": time.process_time(),
            "bytes": _resident(),
        }

    return app


def _resident() -> int:
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def _serve(app: FastAPI) -> None:
    # A connection that a client would use again is not closed by this side meanwhile.
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", backlog=2048, timeout_keep_alive=60)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.02)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    await serving


def main() -> None:
    """Serve what the arguments name."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["agent", "service"])
    parser.add_argument("--hook", action="store_true")
    options = parser.parse_args()
    sys.path.insert(0, os.fspath(EXAMPLE))
    asyncio.run(_serve(agent() if options.what == "agent" else service(hook=options.hook)))


if __name__ == "__main__":
    main()
