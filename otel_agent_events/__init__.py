"""See the sessions of hosted AI agents as OpenTelemetry traces.

Importing this package opens nothing, and imports neither the SDK nor gRPC nor httpx: what is named below is imported
when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from otel_agent_events.live.httpx_clients import instrument_httpx, uninstrument_httpx
    from otel_agent_events.live.sessions import LiveSession, SessionRecorder
    from otel_agent_events.live.turns import Turn, TurnRecorder
    from otel_agent_events.pipeline import replay
    from otel_agent_events.recording import RecordingReport, record
    from otel_agent_events.reference import Reference
    from otel_agent_events.report import Report, SessionReport
    from otel_agent_events.scrub import Scrubber

__all__ = [
    "AgentEventsError",
    "DestinationError",
    "FetchError",
    "ForeignProductError",
    "LiveSession",
    "ReadError",
    "RecordingReport",
    "Reference",
    "RefusedError",
    "Report",
    "Scrubber",
    "SessionError",
    "SessionRecorder",
    "SessionReport",
    "Turn",
    "TurnRecorder",
    "UnreachableError",
    "UsageError",
    "WebhookError",
    "instrument_httpx",
    "record",
    "replay",
    "uninstrument_httpx",
]

_HOMES = {
    "LiveSession": "live.sessions",
    "RecordingReport": "recording",
    "Reference": "reference",
    "Report": "report",
    "Scrubber": "scrub",
    "SessionRecorder": "live.sessions",
    "SessionReport": "report",
    "Turn": "live.turns",
    "TurnRecorder": "live.turns",
    "instrument_httpx": "live.httpx_clients",
    "record": "recording",
    "replay": "pipeline",
    "uninstrument_httpx": "live.httpx_clients",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return __all__
