"""A user's program that does all of it on asyncio."""

from __future__ import annotations

import asyncio
from typing import assert_type

from otel_agent_events import (
    Fetched,
    RecordingReport,
    Report,
    SessionReport,
    Stop,
    Trace,
    aconvert,
    afetch,
    arecord,
    areplay,
)


async def main(body: bytes) -> None:
    """Await each, with options of it."""
    heard: list[SessionReport] = []
    assert_type(await areplay(["vectara:support/s1", body], turns=True, told=heard.append, stop=Stop()), Report)
    assert_type(await arecord("vectara:support/s1", "session.json", content="full"), RecordingReport)
    fetched = await afetch("vectara:support/s1", timeout=5)
    assert_type(fetched, Fetched)
    assert_type(await aconvert(fetched, content="none"), Trace)
    assert_type(await aconvert(fetched.events, session=fetched.session), Trace)


async def at_once(references: list[str]) -> list[int]:
    """Let several run at once."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(afetch(reference)) for reference in references]
    return [len(task.result().events) for task in tasks]
