"""`fetch`: one session as it was read, with nothing made of it yet."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from otel_agent_events.errors import UsageError
from otel_agent_events.fetched import Fetched
from otel_agent_events.settings import Settings
from otel_agent_events.sources import Sources

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import httpx

    from otel_agent_events.reference import Reference
    from otel_agent_events.sources import Source
    from otel_agent_events.stopping import Stop

_MOST_NAMED = 10


def fetch(
    reference: str | bytes | Path | Reference,
    *,
    session: str | Reference | None = None,
    base_url: str | None = None,
    timeout: float | None = None,
    rate: float | None = None,
    environ: Mapping[str, str] | None = None,
    client: httpx.Client | None = None,
    stop: Stop | None = None,
) -> Fetched:
    """Fetch one session, and give what happened in it. Nothing is converted or sent; `convert` makes the trace of it.

    All of the session is in memory at once.

    Args:
        reference: `FETCHER:PATH`, a file with a saved answer, or `-` for standard input; bytes are a saved answer that
            is in memory.
        session: names what a saved answer does not, or which of its sessions is meant.
        base_url: of the platform.
        timeout: seconds to wait for one answer.
        rate: the most requests a second.
        environ: instead of the environment of this process.
        client: does the fetching; one of our own is made without it.
        stop: asks to stop, from another thread.

    Returns:
        What was read. Of a saved answer that could not be read to its end it is what could be: what is wrong is among
        `warnings`, and `complete` is False.

    Raises:
        UsageError: the call cannot be carried out as it stands; or a saved answer holds several sessions.
        SessionError: the session could not be had to its end, or it was asked to stop.
    """
    settings = Settings.here() if environ is None else Settings(environ)
    with ExitStack() as stack:
        sources = Sources(
            settings, stack, base_url=base_url, session=session, client=client, timeout=timeout, rate=rate, stop=stop
        )
        (wanted,) = sources.resolve([reference])
        with sources.stopped_by(stop, wanted.name):
            source = _only_one(wanted.name, wanted.open())
            return Fetched.of(replace(source, answers=source.asked_for(stop)))


def _only_one(name: str, sources: Sequence[Source]) -> Source:
    if len(sources) == 1:
        return sources[0]
    first, *_ = sources
    what_to_do = (
        "give each in a file of its own, or replay them"
        if first.fetcher.name == "neutral"
        else "say which one is meant with session, or replay them"
    )
    several = ", ".join(str(source.reference) for source in sources[:_MOST_NAMED])
    more = f" and {len(sources) - _MOST_NAMED} others" if len(sources) > _MOST_NAMED else ""
    raise UsageError(f"{name} holds {len(sources)} sessions ({several}{more}), and one is fetched: {what_to_do}")
