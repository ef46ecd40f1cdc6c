"""A user's program that records what an agent does for a request, as spans of its own tracer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, assert_type

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span

from otel_agent_events import Reference, Scrubber, Turn, TurnRecorder
from otel_agent_events.events import Text, Thinking, UserMessage


def every_option(provider: TracerProvider) -> TurnRecorder:
    """Give every option, most of them as something else than the default."""
    return TurnRecorder(
        tracer_provider=provider,
        content="scrubbed",
        max_value=4096,
        scrubber=Scrubber([r"ACME-\d+"]),
        namespace="acme",
        conventions=["gen_ai"],
        environ={},
    )


def every_kind_of_record(recorder: TurnRecorder, record: Mapping[str, Any], body: bytes) -> None:
    """Record within a block, and look at what there is to be seen."""
    with recorder.turn("vectara:support/s1", agent="Support desk", user="ada", number=2, first_index=7) as turn:
        assert_type(turn, Turn)
        assert_type(turn.span, Span)
        assert_type(turn.recording, bool)
        turn.record(record, at=1_800_000_000_000_000_000)
        turn.record(body)
        turn.record('{"type": "end"}')
        turn.record(UserMessage(key="1", end=1, parts=(Text(text="Hello"),)))
        turn.record(Thinking(key="2", start=1, end=3))


async def as_it_comes(recorder: TurnRecorder, answer: AsyncIterator[bytes]) -> None:
    """Record while something is streamed."""
    async with recorder.turn(Reference("vectara", ("support", "s1"))) as turn:
        assert_type(turn, Turn)
        async for chunk in answer:
            turn.record(chunk)


def by_hand(recorder: TurnRecorder) -> None:
    """Open and end a turn without a block."""
    turn = recorder.turn("vectara:support/s1")
    turn.start()
    with turn.current():
        turn.record({"type": "thinking", "content": "..."})
    turn.end(TimeoutError(), complete=False)
    turn.end(error_type="503")


def at_the_end(recorder: TurnRecorder) -> Mapping[str, int]:
    """Look at what was lost, and end."""
    recorder.lose(1, "a chunk that could not be read")
    assert_type(recorder.force_flush(timeout_millis=1000), bool)
    assert_type(recorder.shutdown(), bool)
    return recorder.lost
