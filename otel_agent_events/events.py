"""What happened in a session, in our own words.

A *record* is what the platform gave; an *event* is what happened. A reader turns records into these plain,
immutable values, and everything after it knows nothing of platforms. Times are nanoseconds since 1970 (UTC),
as integers. `None` means that the platform did not say; absent is never zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, TypeVar, dataclass_transform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_agent_events.reference import Reference

T = TypeVar("T")

JSON: TypeAlias = Any
"""A value as a JSON parser gives it: None, bool, int, float, str, list, dict with str keys."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def value(**options: bool) -> Callable[[type[T]], type[T]]:
    """Make a slotted dataclass that the type checker holds to be frozen.

    It is not frozen at run time: a frozen dataclass takes four times as long to make, and one is made for
    every event. Nothing in this package changes one after it is made (mypy sees to it).
    """
    return dataclass(slots=True, kw_only=True, **options)


# --- the parts of a message ---------------------------------------------------------------------------


@value()
class Text:
    """Words."""

    type: ClassVar[str] = "text"
    text: str


@value()
class Structured:
    """A message that is a JSON value rather than words.

    Attributes:
        schema: the name of the schema that the agent was told to fill, if recorded.
    """

    type: ClassVar[str] = "structured"
    content: JSON
    schema: str | None = None


@value()
class File:
    """A file: under an id of the platform's own, or at an address. `size` in bytes."""

    type: ClassVar[str] = "file"
    file_id: str | None = None
    uri: str | None = None
    name: str | None = None
    mime_type: str | None = None
    size: int | None = None


@value()
class Uri:
    """Something at an address: an image, a video, a link.

    Attributes:
        modality: `image`, `video`, `audio` or `document`.
    """

    type: ClassVar[str] = "uri"
    uri: str
    mime_type: str | None = None
    modality: str | None = None


@value()
class Skill:
    """A skill that the user asked for by its name."""

    type: ClassVar[str] = "skill"
    name: str


@value()
class OtherPart:
    """A part of a kind that we do not know. `content` is the part as the platform gave it."""

    type: ClassVar[str] = "other"
    content: JSON


@value()
class Removed:
    """What is left of a part whose content a policy took out: that there was one, of this type."""

    type: str


Part: TypeAlias = Text | Structured | File | Uri | Skill | OtherPart | Removed


class _Nothing(dict[str, Any]):
    """What an event has where nothing was recorded: one for all, since one for each takes a tenth of its time."""

    __hash__ = object.__hash__  # type: ignore[assignment]  # else a dataclass takes it for no default


_NOTHING = _Nothing()


# --- the events ---------------------------------------------------------------------------------------


@value()
class Subagent:
    """The session that a sub-agent ran for a tool call; its trace has an id that can be derived."""

    reference: Reference


@value()
class EventLink:
    """A link to another event of the same session, by its key: an echo to its original."""

    key: str


@value()
class SessionLink:
    """A link to the root of another session's trace."""

    reference: Reference


@value()
class _Event:
    """What every event has.

    Attributes:
        key: names the event within its session, in every run (mapping.md section 4).
        type: the platform's own word for the record's type, if it has one.
        id: the platform's own id of the record, if it has one.
        start: nanoseconds at which it began, if recorded.
        end: nanoseconds at which it ended, or was stamped. `start` equal to `end` is a point in time. `end`
            without `start`: the platform stamps the end of something that took time, and its start is to be
            inferred. Neither: undated.
        measurements: what the platform measured, by its own names: latencies, token counts.
        details: names, ids and flags, by the platform's own names (`sender.channelType`): what stays when contents
            are taken out, and no convention has a word for.
        links: what it points to.
        remainder: the fields of the record that no attribute of ours holds exactly.
    """

    key: str
    type: str | None = None
    id: str | None = None
    start: int | None = None
    end: int | None = None
    measurements: Mapping[str, float] = _NOTHING
    details: Mapping[str, str | bool | int] = _NOTHING
    links: tuple[EventLink | SessionLink, ...] = ()
    remainder: JSON = None


@value()
class UserMessage(_Event):
    """A person, or the program that stands for one, says something to the agent."""

    kind: Literal["user_message"] = "user_message"
    parts: tuple[Part, ...] = ()
    author: str | None = None


@value()
class Thinking(_Event):
    """The agent thinks. `text` may be absent: some platforms record only that it thought."""

    kind: Literal["thinking"] = "thinking"
    text: str | None = None


@value()
class ToolCall(_Event):
    """The agent calls a tool. `call_id` pairs it with its result; without one nothing is paired."""

    kind: Literal["tool_call"] = "tool_call"
    call_id: str | None = None
    tool: str | None = None
    tool_type: str | None = None
    configuration: str | None = None
    arguments: JSON = None


@value()
class ToolResult(_Event):
    """A tool answers.

    Attributes:
        failed: the platform's error flag; None when the record has none.
        subagent: the session that a sub-agent ran to give this result.
    """

    kind: Literal["tool_result"] = "tool_result"
    call_id: str | None = None
    tool: str | None = None
    configuration: str | None = None
    result: JSON = None
    failed: bool | None = None
    subagent: Subagent | None = None


@value()
class AgentMessage(_Event):
    """The agent, or a human agent, says something to the user.

    Attributes:
        provider, model: who made it, only when the record itself says so.
    """

    kind: Literal["agent_message"] = "agent_message"
    parts: tuple[Part, ...] = ()
    author: Literal["bot", "human"] = "bot"
    provider: str | None = None
    model: str | None = None


@value()
class Note(_Event):
    """Anything else that the platform records. A record of an unknown type is a note `unknown_event`.

    Attributes:
        attributes: names, counts and ids: what stays when contents are taken out.
        content: what people or models wrote, by the platform's field names.
        failure: `interrupt` or `limit` when this ends the turn in failure.
    """

    kind: Literal["note"] = "note"
    name: str = "unknown_event"
    attributes: Mapping[str, JSON] = field(default_factory=dict)
    content: Mapping[str, JSON] = field(default_factory=dict)
    failure: Literal["interrupt", "limit"] | None = None


Event: TypeAlias = UserMessage | Thinking | ToolCall | ToolResult | AgentMessage | Note


# --- the session --------------------------------------------------------------------------------------


@value()
class ContextUsage:
    """How full the session's context is: the session's own figures, not the usage of a call. In tokens."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    total_tokens: int | None = None
    window: int | None = None


@value()
class Session:
    """What is known of the session itself, so far. Facts may arrive at any time.

    What every span carries of it (agent, user) is fixed at the first event; the root has the latest.

    Attributes:
        id: the platform's id of the session, as recorded.
        service: the agent's stable key, for `service.name`; never an id that lives for one call.
        agent_id: the stable id under which the platform hosts the agent.
        model: the one model that the agent is configured with.
        started: nanoseconds at which the session was opened, if recorded.
        created_at: the same as the platform wrote it.
        closed_at: when it was closed, as the platform wrote it.
        complete: False when the records are known to be cut short.
        content: what people wrote about the session (a name, a description), by the platform's field names.
        remainder: the fields of the session's own record that nothing here holds.
    """

    reference: Reference
    id: str | None = None
    service: str | None = None
    agent_name: str | None = None
    agent_id: str | None = None
    user: str | None = None
    model: str | None = None
    started: int | None = None
    created_at: str | None = None
    closed_at: str | None = None
    context: ContextUsage | None = None
    complete: bool = True
    content: Mapping[str, JSON] = field(default_factory=dict)
    remainder: JSON = None


@value()
class Caution:
    """Something that the reader of the trace should know: a look-up refused, a page missing."""

    message: str
