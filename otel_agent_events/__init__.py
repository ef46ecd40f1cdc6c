"""See the sessions of hosted AI agents as OpenTelemetry traces.

Importing this package opens nothing, and imports neither the SDK nor gRPC nor httpx: what is named below is imported
when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_agent_events.aio import aconvert, afetch, arecord, areplay
    from otel_agent_events.converting import Trace, convert
    from otel_agent_events.errors import (
        AgentEventsError,
        DestinationError,
        FetchError,
        ForeignProductError,
        ReadError,
        RefusedError,
        SessionError,
        UnreachableError,
        UsageError,
        WebhookError,
    )
    from otel_agent_events.events import Session
    from otel_agent_events.fetched import Fetched
    from otel_agent_events.fetching import fetch
    from otel_agent_events.live.httpx_clients import instrument_httpx, uninstrument_httpx
    from otel_agent_events.live.sessions import LiveSession, SessionRecorder
    from otel_agent_events.live.turns import Turn, TurnRecorder
    from otel_agent_events.pipeline import replay
    from otel_agent_events.recording import RecordingReport, record
    from otel_agent_events.reference import Reference
    from otel_agent_events.report import Report, SessionReport
    from otel_agent_events.scrub import Scrubber
    from otel_agent_events.spans import Span
    from otel_agent_events.stopping import Stop

__all__ = [
    "AgentEventsError",
    "DestinationError",
    "FetchError",
    "Fetched",
    "ForeignProductError",
    "LiveSession",
    "ReadError",
    "RecordingReport",
    "Reference",
    "RefusedError",
    "Report",
    "Scrubber",
    "Session",
    "SessionError",
    "SessionRecorder",
    "SessionReport",
    "Span",
    "Stop",
    "Trace",
    "Turn",
    "TurnRecorder",
    "UnreachableError",
    "UsageError",
    "WebhookError",
    "aconvert",
    "afetch",
    "arecord",
    "areplay",
    "convert",
    "fetch",
    "instrument_httpx",
    "record",
    "replay",
    "uninstrument_httpx",
]

_HOMES = {
    "Fetched": "fetched",
    "LiveSession": "live.sessions",
    "RecordingReport": "recording",
    "Reference": "reference",
    "Report": "report",
    "Scrubber": "scrub",
    "Session": "events",
    "SessionRecorder": "live.sessions",
    "SessionReport": "report",
    "Span": "spans",
    "Stop": "stopping",
    "Trace": "converting",
    "Turn": "live.turns",
    "TurnRecorder": "live.turns",
    "aconvert": "aio",
    "afetch": "aio",
    "arecord": "aio",
    "areplay": "aio",
    "convert": "converting",
    "fetch": "fetching",
    "instrument_httpx": "live.httpx_clients",
    "record": "recording",
    "replay": "pipeline",
    "uninstrument_httpx": "live.httpx_clients",
}

if not TYPE_CHECKING:  # to a type checker this would say that there is every name, and that each is anything

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return __all__
