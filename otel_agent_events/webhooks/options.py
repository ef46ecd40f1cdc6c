"""The options of `replay`, for those that pass them on, so that type checkers know them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import httpx

    from otel_agent_events.content import Content
    from otel_agent_events.otlp import Destination
    from otel_agent_events.report import SessionReport
    from otel_agent_events.scrub import Scrubber
    from otel_agent_events.stopping import Stop


class ReplayOptions(TypedDict, total=False):
    """Options of `replay`, but for `session`."""

    to: Sequence[str | Destination] | None
    exporters: Sequence[str]
    endpoint: str | None
    protocol: str | None
    headers: Mapping[str, str] | None
    tenant: str | None
    timeout: float | None
    deadline: float | None
    set_aside: str | Path | None
    ledger: str | None
    again: bool
    base_url: str | None
    rate: float | None
    follow_subagents: bool
    service_name: str | None
    namespace: str
    revision: int
    turns: bool
    content: Content | None
    max_value: int | None
    max_trace_bytes: int | None
    shift_to: str | int | None
    scrubber: Scrubber | None
    traceparent: str | None
    links: Sequence[str]
    conventions: Sequence[str]
    environ: Mapping[str, str] | None
    client: httpx.Client | None
    stop: Stop | None
    told: Callable[[SessionReport], None] | None
    noted: Callable[[str], None] | None
