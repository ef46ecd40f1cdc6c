"""One line of a file of neutral events: models that check it and print its schema (mapping.md section 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from otel_agent_events import events, times

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_agent_events.events import JSON, Event, Part

KINDS = ("user_message", "thinking", "tool_call", "tool_result", "agent_message", "note")
_MODALITIES = ("image", "video", "audio")


def _a_time(written: str) -> str:
    if times.parse(written) is None:
        raise ValueError("this is no RFC 3339 time between 1970 and 2554, such as 2026-11-18T08:00:00.25Z")
    return written


Time: TypeAlias = Annotated[
    str,
    AfterValidator(_a_time),
    Field(
        description="RFC 3339, up to nine fractional digits.",
        json_schema_extra={
            "format": "date-time",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}([.,][0-9]+)? "
            "?([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)?$",
        },
    ),
]
Name: TypeAlias = Annotated[str, Field(min_length=1)]


class _Line(BaseModel):
    """What nobody here knows is kept as the event's remainder."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)


class NeutralSession(_Line):
    """The session that the events after it are of."""

    id: Annotated[Name, Field(description="It becomes session.id and gen_ai.conversation.id.")]
    platform: Annotated[
        str, Field(pattern="^[^:/\\s]+$", description="One word: it names the service, and goes into ids.")
    ]
    path: Annotated[
        list[str] | None,
        Field(min_length=1, description="The parts of its reference; [id] without it. Ids are derived from them."),
    ] = None
    agent: Annotated[str | None, Field(description="The agent's name; it is in the name of the root span.")] = None
    user: Annotated[str | None, Field(description="The user's id.")] = None
    started: Annotated[Time | None, Field(description="When the session was opened.")] = None
    model: Annotated[str | None, Field(description="The one model that the agent is configured with.")] = None


class SessionLine(_Line):
    """The line that begins a session."""

    session: NeutralSession


_TOLD = {"type": "string"}
_ONE_WAY_TO_SAY_WHEN: JSON = {
    "allOf": [
        {"not": {"required": ["time", "start"], "properties": {"time": _TOLD, "start": _TOLD}}},
        {"not": {"required": ["time", "end"], "properties": {"time": _TOLD, "end": _TOLD}}},
        {"not": {"required": ["start"], "properties": {"start": _TOLD, "end": {"type": "null"}}}},
    ]
}


class _NeutralEvent(_Line):
    model_config = ConfigDict(json_schema_extra=_ONE_WAY_TO_SAY_WHEN)

    id: Annotated[str | None, Field(description="Of the record; without it the key is derived from its content.")] = (
        None
    )
    type: Annotated[str | None, Field(description="The source's own word for it.")] = None
    time: Annotated[Time | None, Field(description="When it happened: a point in time.")] = None
    start: Annotated[Time | None, Field(description="When it began; needs an end.")] = None
    end: Annotated[Time | None, Field(description="When it ended; its start is inferred when it is not told.")] = None
    measurements: Annotated[
        dict[str, int | float], Field(description="What was measured, by the source's names: latencies, token counts.")
    ] = {}

    @model_validator(mode="after")
    def _one_way_to_say_when(self) -> _NeutralEvent:
        if self.time is not None and (self.start is not None or self.end is not None):
            raise ValueError("say when with time, or with start and end")
        if self.start is not None and self.end is None:
            raise ValueError("a start needs an end; a point in time is told with time")
        return self


class _Message(_NeutralEvent):
    text: str | None = None
    parts: Annotated[
        list[dict[str, Any]] | None,
        Field(
            description="As the GenAI conventions write them: text (content), file (file_id, uri, name, mime_type, "
            "size), uri (uri, mime_type, modality); also skill (skill_name), structured (content, schema) and any "
            "other object with a type."
        ),
    ] = None

    def told(self) -> tuple[Part, ...]:
        """Give text and parts as parts."""
        text = () if self.text is None else (events.Text(text=self.text),)
        return (*text, *map(_part, self.parts or ()))


class NeutralUserMessage(_Message):
    """A person says something to the agent."""

    kind: Literal["user_message"]
    author: str | None = None

    def event(self, told: _Told) -> Event:
        """Give the event."""
        parts = tuple(_with_schema(part) for part in self.told())
        return events.UserMessage(**told, parts=parts, author=self.author)


class NeutralThinking(_NeutralEvent):
    """The agent thinks."""

    kind: Literal["thinking"]
    text: str | None = None

    def event(self, told: _Told) -> Event:
        """Give the event."""
        return events.Thinking(**told, text=self.text)


class NeutralToolCall(_NeutralEvent):
    """The agent calls a tool; the call id pairs it with its result."""

    kind: Literal["tool_call"]
    call_id: Annotated[str | None, Field(description="Pairs it with its result; without it nothing is paired.")] = None
    tool: Annotated[str | None, Field(description="The tool's name.")] = None
    tool_type: Annotated[str | None, Field(description="As the GenAI conventions have it: function, datastore.")] = None
    configuration: Annotated[str | None, Field(description="The name under which the tool is set up.")] = None
    arguments: Annotated[Any, Field(description="Any JSON value.")] = None

    def event(self, told: _Told) -> Event:
        """Give the event. Its span ends with the result, so that an end of its own is kept beside it."""
        return events.ToolCall(
            **_with_rest(told, {} if self.end is None else {"end": self.end}),
            call_id=self.call_id,
            tool=self.tool,
            tool_type=self.tool_type,
            configuration=self.configuration,
            arguments=self.arguments,
        )


class NeutralToolResult(_NeutralEvent):
    """A tool answers."""

    kind: Literal["tool_result"]
    call_id: Annotated[str | None, Field(description="That of the call.")] = None
    tool: Annotated[str | None, Field(description="The tool's name, when the call does not tell it.")] = None
    configuration: Annotated[str | None, Field(description="The name under which the tool is set up.")] = None
    result: Annotated[Any, Field(description="Any JSON value; of a failed call, what went wrong.")] = None
    error: Annotated[bool | None, Field(description="Whether the call failed.")] = None

    def event(self, told: _Told) -> Event:
        """Give the event."""
        return events.ToolResult(
            **told,
            call_id=self.call_id,
            tool=self.tool,
            configuration=self.configuration,
            result=self.result,
            failed=self.error,
        )


class NeutralAgentMessage(_Message):
    """The agent, or a human agent, says something to the user."""

    kind: Literal["agent_message"]
    author: Literal["bot", "human"] = "bot"
    provider: Annotated[str | None, Field(description="Who made it: `openai`. With model, the span is a chat.")] = None
    model: Annotated[str | None, Field(description="Which model made it.")] = None

    def event(self, told: _Told) -> Event:
        """Give the event. Provider and model make a chat together; one of them alone is kept beside it."""
        named = {"provider": self.provider, "model": self.model}
        alone = {} if all(named.values()) else {name: each for name, each in named.items() if each is not None}
        parts = self.told()
        first = next((part for part in parts if isinstance(part, events.Structured)), None)
        return events.AgentMessage(
            **_with_rest(told, alone),
            # A span holds the schema of the first one only.
            parts=tuple(part if part is first else _with_schema(part) for part in parts),
            author=self.author,
            provider=self.provider,
            model=self.model,
        )


class NeutralNote(_NeutralEvent):
    """Anything else that was recorded."""

    kind: Literal["note"]
    name: Annotated[
        str, Field(min_length=1, max_length=64, description="The name of the span: a kind of note, no content.")
    ]
    attributes: Annotated[dict[str, Any], Field(description="Names, counts, ids: they stay with --content none.")] = {}
    text: str | None = None
    failure: Annotated[
        Literal["interrupt", "limit"] | None,
        Field(description="It ends the turn in failure, if nothing is said after."),
    ] = None

    def event(self, told: _Told) -> Event:
        """Give the event."""
        content = {} if self.text is None else {"text": self.text}
        hidden = {name: each for name, each in self.attributes.items() if name in content}  # the text has its name
        rest: dict[str, JSON] = {"attributes": hidden} if hidden else {}
        if self.failure is not None:  # a span tells that it failed, and not which of the two it was
            rest["failure"] = self.failure
        return events.Note(
            **_with_rest(told, rest),
            name=self.name,
            attributes={name: each for name, each in self.attributes.items() if name not in content},
            content=content,
            failure=self.failure,
        )


NeutralEvent: TypeAlias = Annotated[
    NeutralUserMessage | NeutralThinking | NeutralToolCall | NeutralToolResult | NeutralAgentMessage | NeutralNote,
    Field(discriminator="kind"),
]
_Told: TypeAlias = dict[str, Any]
"""The fields that every event has, ready to be handed on."""

SESSION_LINE = TypeAdapter(SessionLine)
EVENT_LINE: TypeAdapter[Any] = TypeAdapter(NeutralEvent)
_ANY_LINE: TypeAdapter[Any] = TypeAdapter(SessionLine | NeutralEvent)


def schema() -> JSON:
    """Give the JSON Schema of one line."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "One line of a file of neutral agent events",
        **_ANY_LINE.json_schema(),
    }


# --- events and their parts ---------------------------------------------------------------------------


def event_of(line: Any, key: str) -> Event:
    """Give the event of a line that was checked.

    Args:
        line: one of the models above.
        key: of the event.
    """
    rest = dict(line.model_extra or {})
    moments: dict[str, int | None] = {}
    for name in ("time", "start", "end"):
        stamp = times.parse(getattr(line, name))
        moments[name] = None if stamp is None else stamp.nanoseconds
        if stamp is not None and not stamp.exact:
            rest[name] = getattr(line, name)
    at = moments["time"]
    told: _Told = {
        "key": key,
        "id": line.id,
        "type": line.type,
        "start": moments["start"] if at is None else at,
        "end": moments["end"] if at is None else at,
        "measurements": line.measurements,
        "remainder": rest or None,
    }
    event: Event = line.event(told)
    return event


def _with_rest(told: _Told, more: Mapping[str, JSON]) -> _Told:
    """Keep more of the line in the remainder."""
    return {**told, "remainder": {**(told["remainder"] or {}), **more}} if more else told


def _with_schema(part: Part) -> Part:
    """Give a part as it was written where no attribute would hold the name of its schema."""
    if isinstance(part, events.Structured) and part.schema is not None:
        return events.OtherPart(content={"type": part.type, "content": part.content, "schema": part.schema})
    return part


def _part(part: Mapping[str, JSON]) -> Part:
    match part:
        case {"type": "text", "content": str(text), **rest} if not rest:
            return events.Text(text=text)
        case {"type": "structured", "content": content, **rest} if not rest.keys() - {"schema"}:
            schema_name = rest.get("schema")
            if schema_name is None or isinstance(schema_name, str):
                return events.Structured(content=content, schema=schema_name)
        case {"type": "uri", "uri": str(uri), **rest} if _are_texts(rest, "mime_type", "modality"):
            return events.Uri(uri=uri, mime_type=rest.get("mime_type"), modality=rest.get("modality"))
        case {"type": "file", **rest} if _is_file(rest):
            return events.File(**{name: each for name, each in rest.items() if name != "modality"})
        case {"type": "skill", "skill_name": str(name), **rest} if not rest:
            return events.Skill(name=name)
        case _:
            pass
    return events.OtherPart(content=dict(part))


def _is_file(rest: Mapping[str, JSON]) -> bool:
    """Say whether a file has nothing else to it; its modality is told by its type, or it is something else."""
    texts = {name: each for name, each in rest.items() if name != "size"}
    size = rest.get("size", 0)
    if not _are_texts(texts, "file_id", "uri", "name", "mime_type", "modality") or type(size) is not int:
        return False
    family = rest.get("mime_type", "").partition("/")[0]
    return rest.get("modality", "document") == (family if family in _MODALITIES else "document") or (
        "modality" not in rest
    )


def _are_texts(rest: Mapping[str, JSON], *names: str) -> bool:
    return rest.keys() <= set(names) and all(isinstance(each, str) for each in rest.values())
