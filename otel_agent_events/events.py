"""What happened in a session, in our own words.

A *record* is what the platform gave; an *event* is what happened. A reader turns records into these plain,
immutable values, and everything after it knows nothing of platforms. Times are nanoseconds since 1970 (UTC),
as integers. `None` means that the platform did not say; absent is never zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, TypeVar, dataclass_transform, get_args

from msgspec import Struct
from msgspec.structs import replace
from pydantic_core import from_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_agent_events.reference import Reference

T = TypeVar("T")

JSON: TypeAlias = Any
"""A value as a JSON parser gives it: None, bool, int, float, str, list, dict with str keys."""

Written: TypeAlias = bytes
"""A JSON value as its text in UTF-8, spelled as `attributes.json_bytes` spells it.

Contents may be kept so where they are only passed on, since to parse them and to write them again takes most of the
time of a replay. `parsed` gives an event with values; conventions only ever see such ones.
"""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def value(**options: bool) -> Callable[[type[T]], type[T]]:
    """Make a slotted dataclass that the type checker holds to be frozen.

    It is not frozen at run time: a frozen dataclass takes four times as long to make, and one is made for
    every event. Nothing in this package changes one after it is made (mypy sees to it).
    """
    return dataclass(slots=True, kw_only=True, **options)


# --- the parts of a message ---------------------------------------------------------------------------


class Text(Struct, kw_only=True, frozen=True, gc=False):
    """Words, which may still be written JSON."""

    type: ClassVar[str] = "text"
    text: str | Written


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


_NOTHING: Mapping[str, Any] = MappingProxyType({})
"""What an event has where nothing was recorded: one for all."""


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


class _Event(Struct, kw_only=True, frozen=True, gc=False):
    """What every event has.

    Events are structs and no dataclasses: one is made for every record, and this takes a tenth of the time.

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


class UserMessage(_Event, kw_only=True, frozen=True):
    """A person, or the program that stands for one, says something to the agent."""

    kind: Literal["user_message"] = "user_message"
    parts: tuple[Part, ...] = ()
    author: str | None = None


class Thinking(_Event, kw_only=True, frozen=True):
    """The agent thinks. `text` may be absent: some platforms record only that it thought."""

    kind: Literal["thinking"] = "thinking"
    text: str | Written | None = None


class ToolCall(_Event, kw_only=True, frozen=True):
    """The agent calls a tool. `call_id` pairs it with its result; without one nothing is paired."""

    kind: Literal["tool_call"] = "tool_call"
    call_id: str | None = None
    tool: str | None = None
    tool_type: str | None = None
    configuration: str | None = None
    arguments: JSON = None


class ToolResult(_Event, kw_only=True, frozen=True):
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


class AgentMessage(_Event, kw_only=True, frozen=True):
    """The agent, or a human agent, says something to the user.

    Attributes:
        provider, model: who made it, only when the record itself says so.
    """

    kind: Literal["agent_message"] = "agent_message"
    parts: tuple[Part, ...] = ()
    author: Literal["bot", "human"] = "bot"
    provider: str | None = None
    model: str | None = None


class Note(_Event, kw_only=True, frozen=True):
    """Anything else that the platform records. A record of an unknown type is a note `unknown_event`.

    Attributes:
        attributes: names, counts and ids: what stays when contents are taken out.
        content: what people or models wrote, by the platform's field names.
        failure: `interrupt`, `limit` or `error` when this ends the turn in failure.
    """

    kind: Literal["note"] = "note"
    name: str = "unknown_event"
    attributes: Mapping[str, JSON] = _NOTHING
    content: Mapping[str, JSON] = _NOTHING
    failure: Literal["interrupt", "limit", "error"] | None = None


Event: TypeAlias = UserMessage | Thinking | ToolCall | ToolResult | AgentMessage | Note

KINDS: frozenset[type[Event]] = frozenset(get_args(Event))
"""The types of events. To ask whether one is an instance of another takes long: so what is asked is its type."""


def kind_of(event: Event) -> type[Event]:
    """Give the type of an event; of one whose type a plug-in has made from one of ours, that one."""
    kind = type(event)
    return kind if kind in KINDS else next(each for each in kind.__mro__ if each in KINDS)


E = TypeVar("E", bound=Event)


def parsed(event: E) -> E:
    """Give an event with values where it holds written JSON; one that holds none is returned as it is."""
    told: Any = event
    match event:
        case Thinking(text=bytes() as text):
            told = replace(event, text=from_json(text))
        case ToolCall(arguments=bytes() as text):
            told = replace(event, arguments=from_json(text))
        case ToolResult(result=bytes() as text):
            told = replace(event, result=from_json(text))
        case UserMessage(parts=parts) | AgentMessage(parts=parts):
            if any(isinstance(part, Text) and isinstance(part.text, bytes) for part in parts):
                told = replace(event, parts=tuple(map(_parsed_part, parts)))
        case _:
            pass
    kept: E = told
    return kept


def _parsed_part(part: Part) -> Part:
    return Text(text=words(part.text)) if isinstance(part, Text) else part


def words(text: str | Written) -> str:
    """Give words as a text, also where they are written JSON."""
    if isinstance(text, str):
        return text
    told: str = from_json(text)
    return told


def stamped(event: E, at: int, *, finished: bool = False) -> E:
    """Give an undated event a time. One that has a time is returned as it is.

    Args:
        event: any.
        at: nanoseconds since 1970.
        finished: it took some time until then; else it is a point.
    """
    if event.start is not None or event.end is not None:
        return event
    return replace(event, start=None if finished else at, end=at)


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
