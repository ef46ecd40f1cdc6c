"""What of the contents may leave: one frozen policy, applied to events before any convention sees them.

- `full` changes nothing but lengths.
- `scrubbed` keeps the words and takes out secrets.
- `none` takes out all that people or models wrote; shapes, names of tools and times stay.

The length limit is part of the policy, and is applied where an attribute gets its final text (`attributes.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, assert_never, get_args

from otel_agent_events.events import (
    AgentMessage,
    Event,
    File,
    Note,
    OtherPart,
    Part,
    Removed,
    Session,
    Skill,
    Structured,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Uri,
    UserMessage,
)
from otel_agent_events.scrub import Scrubber

Content: TypeAlias = Literal["full", "scrubbed", "none"]

CONTENTS: tuple[Content, ...] = get_args(Content)

DEFAULT_MAX_VALUE = 65_536
"""Bytes of UTF-8 that one attribute value may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What of the contents may leave, and how much of each.

    Attributes:
        content: `full`, `scrubbed` or `none`.
        max_value: the most bytes of UTF-8 that one attribute value may have.
        scrubber: takes out secrets when content is `scrubbed`; bring your own patterns.
    """

    content: Content = "scrubbed"
    max_value: int = DEFAULT_MAX_VALUE
    scrubber: Scrubber = field(default_factory=Scrubber, repr=False)

    def event(self, event: Event) -> Event:
        """Give the event as it may leave."""
        match self.content:
            case "full":
                return event
            case "scrubbed":
                return self._scrubbed(event)
            case "none":
                return _emptied(event)
            case _:
                assert_never(self.content)

    def session(self, session: Session) -> Session:
        """Give what is known of the session as it may leave: its ids and counts always do."""
        match self.content:
            case "full":
                return session
            case "scrubbed":
                scrub = self.scrubber.value
                return replace(session, content=scrub(session.content), remainder=scrub(session.remainder))
            case "none":
                return replace(session, content={}, remainder=None)
            case _:
                assert_never(self.content)

    def _scrubbed(self, event: Event) -> Event:
        scrub = self.scrubber.value
        told: dict[str, Any] = {"remainder": event.remainder, "details": event.details}
        match event:
            case UserMessage() | AgentMessage():
                parts = tuple(map(self._scrubbed_part, event.parts))
                if any(kept is not part for kept, part in zip(parts, event.parts, strict=True)):
                    event = replace(event, parts=parts)
            case Thinking():
                told["text"] = event.text
            case ToolCall():
                told["arguments"] = event.arguments
            case ToolResult():
                told["result"] = event.result
            case Note():
                told |= {"attributes": event.attributes, "content": event.content}
            case _:
                assert_never(event)
        # Most events hold no secret, and to copy one takes as long as to look it through.
        changed = {name: kept for name, each in told.items() if each and (kept := scrub(each)) is not each}
        return replace(event, **changed) if changed else event

    def _scrubbed_part(self, part: Part) -> Part:
        match part:
            case Text():
                text = self.scrubber.text(part.text)
                return part if text is part.text else Text(text=text)
            case Structured():
                return replace(part, content=self.scrubber.value(part.content))
            case File():
                name, uri = (None if told is None else self.scrubber.text(told) for told in (part.name, part.uri))
                return replace(part, name=name, uri=uri)
            case Uri():
                return replace(part, uri=self.scrubber.text(part.uri))
            case OtherPart():
                return replace(part, content=self.scrubber.value(part.content))
            case Skill():
                return replace(part, name=self.scrubber.text(part.name))
            case Removed():
                return part
            case _:
                assert_never(part)


def _emptied(event: Event) -> Event:
    match event:
        case UserMessage() | AgentMessage():
            return replace(event, remainder=None, parts=tuple(Removed(type=part.type) for part in event.parts))
        case Thinking():
            return replace(event, remainder=None, text=None)
        case ToolCall():
            return replace(event, remainder=None, arguments=None)
        case ToolResult():
            return replace(event, remainder=None, result=None)
        case Note():
            return replace(event, remainder=None, content={})
        case _:
            assert_never(event)
