"""Events for tests: short ways to write them, and hypothesis strategies for sessions of them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from otel_agent_events.events import (
    AgentMessage,
    Event,
    Note,
    Session,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    UserMessage,
)
from otel_agent_events.reference import Reference
from otel_agent_events.times import SECOND

REFERENCE = Reference("vectara", ("support", "s1"))
BEGIN = 1_700_000_000 * SECOND


def at(seconds: float) -> int:
    """Give the nanosecond that lies so many seconds after the beginning of every test."""
    return BEGIN + int(seconds * SECOND)


def session(**facts: Any) -> Session:
    return Session(**{"reference": REFERENCE, "id": "s1"} | facts)


def user(key: str, seconds: float | None = None, text: str = "hello", **fields: Any) -> UserMessage:
    return UserMessage(key=key, parts=(Text(text=text),), **_point(seconds), **fields)


def note(key: str, seconds: float | None = None, **fields: Any) -> Note:
    return Note(key=key, **_point(seconds), **fields)


def call(key: str, seconds: float | None = None, call_id: str | None = "c", **fields: Any) -> ToolCall:
    return ToolCall(key=key, call_id=call_id, **{"tool": "search"} | _point(seconds) | fields)


def result(key: str, seconds: float | None = None, call_id: str | None = "c", **fields: Any) -> ToolResult:
    return ToolResult(key=key, call_id=call_id, **{"tool": "search"} | _point(seconds) | fields)


def thinking(key: str, seconds: float | None = None, text: str | None = "hm") -> Thinking:
    """Think; the stamp says when it was finished."""
    return Thinking(key=key, text=text, end=None if seconds is None else at(seconds))


def agent(key: str, seconds: float | None = None, text: str = "done") -> AgentMessage:
    """Say something; the stamp says when it was finished."""
    return AgentMessage(key=key, parts=(Text(text=text),), end=None if seconds is None else at(seconds))


def interrupt(key: str, seconds: float | None = None) -> Note:
    return note(key, seconds, name="session_interrupted", type="session_interrupted", failure="interrupt")


def _point(seconds: float | None) -> dict[str, Any]:
    return {} if seconds is None else {"start": at(seconds), "end": at(seconds)}


_SECONDS = st.none() | st.integers(0, 50)
_CALL_IDS = st.sampled_from(["a", "b", "c", None])
_WORDS = st.text(max_size=8)


@st.composite
def _events(draw: st.DrawFn, number: int) -> Event:
    key, seconds = str(number), draw(_SECONDS)
    match draw(st.sampled_from(["user", "thinking", "call", "result", "agent", "note", "interrupt", "interval"])):
        case "user":
            return user(key, seconds, draw(_WORDS))
        case "thinking":
            return thinking(key, seconds)
        case "call":
            return call(key, seconds, draw(_CALL_IDS))
        case "result":
            return result(key, seconds, draw(_CALL_IDS), failed=draw(st.sampled_from([True, False, None])))
        case "agent":
            return agent(key, seconds, draw(_WORDS))
        case "note":
            return note(key, seconds)
        case "interrupt":
            return interrupt(key, seconds)
        case _:
            return AgentMessage(key=key, start=at(draw(st.integers(0, 50))), end=at(draw(st.integers(0, 50))))


@st.composite
def sessions_of_events(draw: st.DrawFn, most: int = 24) -> list[Event]:
    """Draw the events of a session: in any order, undated ones, ids that occur several times, orphans."""
    return [draw(_events(number)) for number in range(draw(st.integers(0, most)))]
