"""What of the contents may leave: one frozen policy, applied to events before any convention sees them.

- `full` changes nothing but lengths.
- `scrubbed` keeps the words and takes out secrets.
- `none` takes out all that people or models wrote; shapes, names of tools and times stay.

The length limit is part of the policy, and is applied where an attribute gets its final text (`attributes.py`).
"""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, assert_never, cast, get_args

from msgspec.structs import replace

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
    kind_of,
    parsed,
    words,
)
from otel_agent_events.scrub import Scrubber

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_agent_events.events import Written

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

    def events(self, events: Sequence[Event]) -> Sequence[Event]:
        """Give events as they may leave; all of them at once takes less time than one by one."""
        match self.content:
            case "full":
                return events
            case "scrubbed":
                suspicious = self._suspicious(events)
                return [self.event(event) if told else event for event, told in zip(events, suspicious, strict=True)]
            case "none":
                return list(map(self.event, events))
            case _:
                assert_never(self.content)

    def _suspicious(self, events: Sequence[Event]) -> Sequence[bool]:
        """Say of each event whether something may have to be taken out, by one look at all that is written in them."""
        suspicious = [True] * len(events)
        written = [(place, text) for place, text in enumerate(map(_only_content, events)) if text is not None]
        if not written:
            return suspicious
        found = self.scrubber.suspicious(b"\n".join([*(text for _, text in written), b""]))
        if found is None:
            return suspicious
        for place, _ in written:
            suspicious[place] = False
        begins = list(accumulate((len(text) + 1 for _, text in written), initial=0))
        for offset in found:
            suspicious[written[bisect(begins, offset) - 1][0]] = True
        return suspicious

    def event(self, event: Event) -> Event:
        """Give the event as it may leave."""
        match self.content:
            case "full":
                return event
            case "scrubbed":
                return self._scrubbed(parsed(event))
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
                return replaced(session, content=scrub(session.content), remainder=scrub(session.remainder))
            case "none":
                return replaced(session, content={}, remainder=None)
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
                said = words(part.text)
                text = self.scrubber.text(said)
                return part if text is said else Text(text=text)
            case Structured():
                return replaced(part, content=self.scrubber.value(part.content))
            case File():
                name, uri = (None if told is None else self.scrubber.text(told) for told in (part.name, part.uri))
                return replaced(part, name=name, uri=uri)
            case Uri():
                return replaced(part, uri=self.scrubber.text(part.uri))
            case OtherPart():
                return replaced(part, content=self.scrubber.value(part.content))
            case Skill():
                return replaced(part, name=self.scrubber.text(part.name))
            case Removed():
                return part
            case _:
                assert_never(part)


def _only_content(event: Event) -> Written | None:
    """Give what an event says as it is written; None when it is not, or when it says other things as well."""
    told: object = None
    if isinstance(event, ToolCall):
        told = event.arguments
    elif isinstance(event, ToolResult):
        told = event.result
    elif isinstance(event, Thinking):
        told = event.text
    elif isinstance(event, (UserMessage, AgentMessage)) and len(event.parts) == 1:
        told = event.parts[0].text if isinstance(event.parts[0], Text) else None
    if not isinstance(told, bytes) or event.remainder is not None or event.details:
        return None
    return told


def _emptied(event: Event) -> Event:
    kind = kind_of(event)
    if kind is UserMessage or kind is AgentMessage:
        said = cast("UserMessage | AgentMessage", event)
        return replace(event, remainder=None, parts=tuple([Removed(type=part.type) for part in said.parts]))
    return replace(event, remainder=None, **_EMPTY[kind])


_EMPTY: Mapping[type[Event], Mapping[str, Any]] = {
    Thinking: {"text": None},
    ToolCall: {"arguments": None},
    ToolResult: {"result": None},
    Note: {"content": {}},
}
"""What is put in the place of what people or models wrote; messages keep the types of their parts."""
