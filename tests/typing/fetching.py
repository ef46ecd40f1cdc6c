"""A user's program that fetches a session, and looks at what happened in it."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import httpx

from otel_agent_events import Fetched, FetchError, Reference, Session, fetch
from otel_agent_events.events import (
    AgentMessage,
    Caution,
    Event,
    Note,
    Thinking,
    ToolCall,
    ToolResult,
    UserMessage,
    words,
)


def all_of_it() -> tuple[Event, ...]:
    """Give every option, and look at what comes back."""
    with httpx.Client() as client:
        fetched = fetch(
            "vectara:support/s1",
            base_url="http://localhost:8080",
            timeout=5,
            rate=2.5,
            environ={"VECTARA_API_KEY": "any"},
            client=client,
        )
    assert_type(fetched, Fetched)
    assert_type(fetched.reference, Reference)
    assert_type(fetched.session, Session)
    assert_type(fetched.session.agent_name, str | None)
    assert_type(fetched.duplicates, int)
    assert_type(fetched.warnings, tuple[str, ...])
    assert_type(fetched.complete, bool)
    return fetched.events


def what_is_saved(path: Path, body: bytes) -> list[Fetched]:
    """Read saved answers, in a file and in memory."""
    return [fetch(path), fetch(body, session="vectara:support/s1"), fetch(str(path), session=None)]


def in_words(event: Event) -> str:
    """Tell every kind of event apart; none is left over."""
    match event:
        case Thinking(text=text):
            return "" if text is None else words(text)
        case UserMessage(parts=parts) | AgentMessage(parts=parts):
            return ", ".join(part.type for part in parts)
        case ToolCall(tool=tool):
            return tool or "a tool"
        case ToolResult(failed=failed):
            return "failed" if failed else "done"
        case Note(name=name):
            return name


def facts(fetched: Fetched) -> list[Session | Caution]:
    """Pick what is no event from all that was told."""
    return [item for item in fetched.items if isinstance(item, Session | Caution)]


def status() -> int | None:
    """Look at why a session could not be had."""
    try:
        fetch("vectara:support/s1")
    except FetchError as error:
        return error.status
    return None
