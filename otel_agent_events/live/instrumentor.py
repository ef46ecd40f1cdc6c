"""What `opentelemetry-instrument` finds through our entry point, so that it turns the recording on without code.

It comes with the package that has the command, which is no dependency of ours.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from otel_agent_events.errors import UsageError
from otel_agent_events.live.httpx_clients import instrument_httpx, uninstrument_httpx

try:
    from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "AgentEventsInstrumentor is for opentelemetry-instrument, which is not installed: install "
        "opentelemetry-distro, or call otel_agent_events.instrument_httpx() in the program",
        name=error.name,
    ) from error

if TYPE_CHECKING:
    from collections.abc import Collection

_log = logging.getLogger(__name__)


class AgentEventsInstrumentor(BaseInstrumentor):  # type: ignore[misc] # its module is without types
    """Record the turns of all clients of httpx and httpx2 that are made afterwards."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Name what has to be installed: nothing, since each library is instrumented when it is imported."""
        return ()

    def _instrument(self, **options: Any) -> None:
        """Do what `instrument_httpx` does with the options that it knows.

        A variable that cannot be understood is told, and nothing is recorded then: the command would leave out what
        comes after us if we raised.
        """
        known = ("recorder", "hosts", "tracer_provider", "content")
        try:
            instrument_httpx(**{name: options[name] for name in known if name in options})
        except UsageError as error:
            _log.error("no turns are recorded: %s", error)

    def _uninstrument(self, **_: Any) -> None:
        uninstrument_httpx()
