from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agent_events.attributes import json_bytes
from otel_agent_events.content import Policy
from otel_agent_events.events import (
    AgentMessage,
    Event,
    File,
    Note,
    OtherPart,
    Part,
    Removed,
    Skill,
    Structured,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Uri,
    UserMessage,
    parsed,
)
from otel_agent_events.scrub import SCRUBBED, Scrubber
from tests.events import session

if TYPE_CHECKING:
    from otel_agent_events.content import Content

SECRET = "sk-" + "proj-" + "Zx9" * 12

PARTS: tuple[Part, ...] = (
    Text(text=f"my key is {SECRET}"),
    Structured(content={"password": "hunter2"}, schema="form"),
    File(file_id="f1", name=f"{SECRET}.txt", mime_type="text/plain", size=3),
    File(file_id="f2"),
    Uri(uri="https://me:hunter2@host/x"),
    Skill(name="refunds"),
    OtherPart(content={"type": "odd", "token": "hunter2"}),
)

EVENTS: tuple[Event, ...] = (
    UserMessage(key="1", parts=PARTS, remainder={"api_key": "hunter2"}),
    Thinking(key="2", text=f"the key {SECRET} it is", remainder={"api_key": "hunter2"}),
    Thinking(key="3", text=None),
    ToolCall(key="4", call_id="c", tool="login", arguments={"password": "hunter2"}, remainder={"api_key": "hunter2"}),
    ToolResult(key="5", call_id="c", result=[{"cookie": "hunter2"}], failed=True, remainder={"api_key": "hunter2"}),
    AgentMessage(key="6", parts=PARTS, remainder={"api_key": "hunter2"}),
    Note(
        key="7",
        name="step_transition",
        attributes={"from_step": "a"},
        content={"secret": "hunter2"},
        remainder={"api_key": "hunter2"},
    ),
)


def applied(content: Content, event: Event) -> Any:
    return Policy(content=content).event(event)


@pytest.mark.parametrize("event", EVENTS)
def test_full_changes_nothing(event: Event) -> None:
    assert applied("full", event) is event


@pytest.mark.parametrize("event", EVENTS)
def test_scrubbed_takes_secrets_out_of_everything_that_leaves(event: Event) -> None:
    left = repr(applied("scrubbed", event))

    assert "hunter2" not in left
    assert SECRET not in left


def test_scrubbed_keeps_the_words_around_a_secret_and_all_that_is_none() -> None:
    message = applied("scrubbed", EVENTS[0])

    assert message.parts[0].text.startswith("my key is ")
    assert message.parts[1] == Structured(content={"password": SCRUBBED}, schema="form")
    assert message.parts[3] == File(file_id="f2")
    assert message.parts[5] == Skill(name="refunds")
    assert applied("scrubbed", EVENTS[2]) == EVENTS[2]
    assert applied("scrubbed", EVENTS[6]).attributes == {"from_step": "a"}


@pytest.mark.parametrize("event", EVENTS)
def test_none_takes_out_all_that_people_or_models_wrote(event: Event) -> None:
    left = repr(applied("none", event))

    assert not any(word in left for word in ("hunter2", SECRET, "the key", "my key", "host", ".txt"))


def test_none_keeps_shapes_names_of_tools_and_flags() -> None:
    assert applied("none", EVENTS[0]).parts == tuple(
        Removed(type=type_) for type_ in ("text", "structured", "file", "file", "uri", "skill", "other")
    )
    assert applied("none", EVENTS[3]) == ToolCall(key="4", call_id="c", tool="login")
    assert applied("none", EVENTS[4]) == ToolResult(key="5", call_id="c", failed=True)
    assert applied("none", EVENTS[6]).attributes == {"from_step": "a"}


def test_what_was_removed_stays_removed() -> None:
    emptied = applied("none", EVENTS[0])

    assert applied("scrubbed", emptied) == emptied
    assert applied("none", emptied) == emptied


def test_what_is_written_about_the_session_follows_the_same_policy() -> None:
    told = session(agent_name="Support", user="u1", content={"name": f"with {SECRET}"}, remainder={"token": "hunter2"})

    scrubbed, emptied = (Policy(content=content).session(told) for content in ("scrubbed", "none"))

    assert Policy(content="full").session(told) is told
    assert SECRET not in repr(scrubbed)
    assert scrubbed.remainder == {"token": SCRUBBED}
    assert (emptied.content, emptied.remainder) == ({}, None)
    assert (emptied.agent_name, emptied.user) == ("Support", "u1")


def test_patterns_of_the_user_are_scrubbed_too() -> None:
    policy = Policy(scrubber=Scrubber([r"customer-\d+"]))

    scrubbed = policy.event(Thinking(key="1", text="ask customer-77"))

    assert scrubbed == Thinking(key="1", text=f"ask {SCRUBBED}")


# --- many at once -------------------------------------------------------------------------------------

WORDS = st.sampled_from([
    "the token expired", f"my key is {SECRET}", "card 4111 1111 1111 1111", 'say "hi"\n', "Straße 日本", "",
    "password: hunter2",
])  # fmt: skip
JSON_VALUES = WORDS | st.dictionaries(st.sampled_from(["q", "password", "limit"]), WORDS, max_size=2) | st.integers()


@st.composite
def _said(draw: st.DrawFn) -> tuple[Event, Event]:
    """Draw an event with values, and the same with its contents written."""
    common: dict[str, Any] = {"key": "k", "remainder": draw(st.none() | st.just({"password": "hunter2"}))}
    told, words = draw(JSON_VALUES), draw(WORDS)
    plain: dict[str, Any]
    written: dict[str, Any]
    match draw(st.sampled_from([Thinking, ToolCall, ToolResult, AgentMessage, UserMessage, Note])):
        case builder if builder is Thinking:
            plain, written = {"text": words}, {"text": json_bytes(words)}
        case builder if builder is ToolCall:
            plain, written = {"arguments": told}, {"arguments": json_bytes(told)}
        case builder if builder is ToolResult:
            plain, written = {"result": told}, {"result": json_bytes(told)}
        case builder if builder is Note:
            plain = written = {"content": {"detail": words}}
        case builder:
            plain, written = {"parts": (Text(text=words),)}, {"parts": (Text(text=json_bytes(words)),)}
    return builder(**common, **plain), builder(**common, **written)


@given(st.lists(_said(), max_size=8), st.sampled_from(["full", "scrubbed", "none"]), st.booleans())
def test_many_events_leave_as_each_of_them_does(
    said: list[tuple[Event, Event]],
    content: Content,
    with_patterns: bool,  # noqa: FBT001
) -> None:
    policy = Policy(content=content, scrubber=Scrubber(["日本"] if with_patterns else []))

    left = policy.events([written for _, written in said])

    assert [parsed(event) for event in left] == [policy.event(plain) for plain, _ in said]


def test_what_holds_no_secret_is_passed_on_as_it_is_written() -> None:
    events = [Thinking(key="1", text=json_bytes("the token expired")), Thinking(key="2", text=json_bytes(SECRET))]

    clean, scrubbed = Policy().events(events)

    assert clean is events[0]
    assert scrubbed == Thinking(key="2", text=SCRUBBED)
