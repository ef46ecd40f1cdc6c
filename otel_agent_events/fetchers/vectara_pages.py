"""Pages of Vectara's events on which everything is as usual: read without making objects of what is only passed on.

What an event says goes from the page to an attribute as it is written, and is looked into by nobody on the way. To
parse it, compare it and write it again takes most of the time of a replay, so that is only done where the page is not
written as we write JSON ourselves: equal records must give equal bytes, however a platform spells them.

Whatever is out of the usual in any way is for `vectara_events` to read, from parsed JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import UNSET, Raw, Struct, UnsetType, ValidationError, field
from msgspec.json import Decoder
from pydantic_core import from_json

from otel_agent_events.attributes import json_bytes
from otel_agent_events.events import AgentMessage, Event, Text, Thinking, ToolCall, ToolResult, UserMessage
from otel_agent_events.fetchers.client import parse_json
from otel_agent_events.fetchers.vectara_events import subagent_of
from otel_agent_events.keys import DEEPEST
from otel_agent_events.spelling import digests_of, is_utf8, may_be_deeper, written
from otel_agent_events.times import parse_usual

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_agent_events.events import JSON
    from otel_agent_events.fetchers.vectara_events import Subagents


class _Record(Struct, tag_field="type", forbid_unknown_fields=True, gc=False):
    """What every record has. One that has more than its kind has is out of the usual."""

    id: str
    session_key: str
    created_at: str


class _Message(_Record, tag="input_message", gc=False):
    content: Raw = field(name="messages")


class _Thinking(_Record, tag="thinking", gc=False):
    content: Raw


class _Output(_Record, tag="agent_output", gc=False):
    content: Raw


class _Call(_Record, tag="tool_input", gc=False):
    tool_call_id: str
    tool_name: str
    content: Raw = field(name="tool_input")
    tool_configuration: str | UnsetType = UNSET
    tool_configuration_name: str | UnsetType = UNSET


class _Result(_Record, tag="tool_output", gc=False):
    tool_call_id: str
    tool_name: str
    content: Raw = field(name="tool_output")
    error: bool | UnsetType = UNSET
    tool_configuration: str | UnsetType = UNSET
    tool_configuration_name: str | UnsetType = UNSET


_AnyRecord: TypeAlias = _Message | _Thinking | _Output | _Call | _Result


class _Words(Struct, tag_field="type", tag="text", forbid_unknown_fields=True, gc=False):
    content: Raw


class _Whole(Struct, forbid_unknown_fields=True):
    """A page on which every record is as usual."""

    events: list[_AnyRecord]
    metadata: Raw = Raw(b"null")


class _Mixed(Struct, forbid_unknown_fields=True):
    """Any other page. What has other members may be of another platform, and is left to those who look at all of it."""

    events: list[Raw]
    metadata: Raw = Raw(b"null")


_whole, _mixed, _record = Decoder(_Whole).decode, Decoder(_Mixed).decode, Decoder(_AnyRecord).decode
_words = Decoder(list[_Words]).decode

UsualRecord: TypeAlias = _AnyRecord | Raw
"""A record; one that is out of the usual is as it was written."""

_Usual: TypeAlias = "tuple[Event, int]"
"""What is read of a record: its event, with the platform's id for a key, and a digest of the record.

Digests are equal for equal records, in this process.
"""


class UsualPage:
    """A page of events, as it was written.

    Nothing is made of its records before they are read: of a file with many pages, only one is in memory as more than
    its text.

    Attributes:
        session: the one that its records name; "" when none does.
        around: the page without its records, as parsed JSON: what tells whether there is a further one.
    """

    __slots__ = ("_text", "around", "session")

    def __init__(self, text: bytes | memoryview, session: str, around: JSON) -> None:
        self._text = text
        self.session = session
        self.around = around

    @classmethod
    def of(cls, text: bytes | memoryview) -> UsualPage | None:
        """Take a body for a page of events, if it is one that can be read in this way."""
        if not is_utf8(text):
            return None
        try:
            records, metadata = _records(text)
            # What is very deep is parsed with the whole page: from where a record is parsed alone there is less room.
            if any(may_be_deeper(bytes(record), DEEPEST) for record in records if isinstance(record, Raw)):
                return None
            return cls(text, _session_of(records), {"metadata": parse_json(metadata)})
        except (ValueError, RecursionError):
            return None  # what is wrong with it is said by those who read it from parsed JSON

    def parsed(self) -> JSON:
        """Give the page as parsed JSON."""
        return parse_json(bytes(self._text))

    @property
    def records(self) -> Sequence[Raw]:
        """Its records, as they were written."""
        return _mixed(self._text).events

    def read(self, session: str | None, subagents: Subagents) -> tuple[list[Event], list[int]] | None:
        """Read all its records at once.

        Args:
            session: the one that a record has to name.
            subagents: the agents that tools run.

        Returns:
            Their events and digests; None when one of them is out of the usual.
        """
        events: list[Event] = []
        digests: list[int] = []
        records = _records(self._text)[0]
        try:
            contents = written([bytes(record.content) for record in records], DEEPEST - 1)  # type: ignore[union-attr]
        except (AttributeError, ValueError):
            return None
        for record, content, digest in zip(records, contents, digests_of(contents), strict=True):
            if record.session_key != session:  # type: ignore[union-attr]
                return None
            usual = _READ[record.__class__](record, content, digest, subagents)
            if usual is None:
                return None
            events.append(usual[0])
            digests.append(usual[1])
        return events, digests


def _records(text: bytes | memoryview) -> tuple[Sequence[UsualRecord], bytes]:
    """Give the records and the metadata of a page.

    Raises:
        ValueError: it is no page.
    """
    try:
        whole = _whole(text)
        return whole.events, bytes(whole.metadata)
    except ValidationError:
        mixed = _mixed(text)
        return list(map(_as_usual, mixed.events)), bytes(mixed.metadata)


def read_usual(record: Raw, session: str | None, subagents: Subagents) -> _Usual | None:
    """Read one record of a page; None when it is out of the usual."""
    found = _as_usual(record)
    if isinstance(found, Raw) or found.session_key != session:
        return None
    try:
        contents = written([bytes(found.content)], DEEPEST - 1)
    except ValueError:
        return None
    return _READ[type(found)](found, contents[0], digests_of(contents)[0], subagents)


def usual_digest(record: JSON, session: str | None) -> int | None:
    """Give the digest that a record has when it is read from a `UsualPage`; None when it is out of the usual."""
    try:
        usual = read_usual(Raw(json_bytes(record)), session, {})
    except (ValueError, RecursionError):
        return None
    return None if usual is None else usual[1]


def json_of(record: Raw) -> JSON:
    """Give a record as parsed JSON."""
    return parse_json(bytes(record))


# --- records ------------------------------------------------------------------------------------------


def _as_usual(record: Raw) -> UsualRecord:
    try:
        found: _AnyRecord = _record(record)
    except ValidationError:
        return record
    return found


def _session_of(records: Sequence[UsualRecord]) -> str:
    """Give the session that records name; "" when none does."""
    for record in records:
        named = record.session_key if isinstance(record, _Record) else _named_by(record)
        if named:
            return named
    return ""


def _named_by(record: Raw) -> str:
    match parse_json(bytes(record)):
        case {"session_key": str(session)}:
            return session
        case _:
            return ""


def _read_message(record: _Message, content: bytes, digest: int, _: Subagents) -> _Usual | None:
    at = parse_usual(record.created_at)
    if at is None or not record.id:
        return None
    try:
        said = [bytes(words.content) for words in _words(content)]
    except ValidationError:
        return None
    if any(text[0] != _QUOTE for text in said):
        return None
    parts = tuple([Text(text=text) for text in said])
    event = UserMessage(key=record.id, id=record.id, type="input_message", start=at, end=at, parts=parts)
    return event, hash((UserMessage, record.created_at, digest)) or 1


def _read_thinking(record: _Thinking, content: bytes, digest: int, _: Subagents) -> _Usual | None:
    at = parse_usual(record.created_at)
    if at is None or content[0] != _QUOTE or not record.id:
        return None
    event = Thinking(key=record.id, id=record.id, type="thinking", end=at, text=content)
    return event, hash((Thinking, record.created_at, digest)) or 1


def _read_output(record: _Output, content: bytes, digest: int, _: Subagents) -> _Usual | None:
    at = parse_usual(record.created_at)
    if at is None or content[0] != _QUOTE or not record.id:
        return None
    event = AgentMessage(key=record.id, id=record.id, type="agent_output", end=at, parts=(Text(text=content),))
    return event, hash((AgentMessage, record.created_at, digest)) or 1


def _read_call(record: _Call, content: bytes, digest: int, _: Subagents) -> _Usual | None:
    at, call_id, tool = parse_usual(record.created_at), record.tool_call_id, record.tool_name
    configuration = _configuration(record)
    if at is None or configuration == "" or not (record.id and tool and call_id):
        return None
    if content == _NULL:
        return None
    event = ToolCall(
        key=record.id,
        id=record.id,
        type="tool_input",
        start=at,
        end=at,
        call_id=call_id,
        tool=tool,
        configuration=configuration,
        arguments=content,
    )
    named = record.tool_configuration is UNSET
    return event, hash((ToolCall, record.created_at, call_id, tool, configuration, named, digest)) or 1


def _read_result(record: _Result, content: bytes, digest: int, subagents: Subagents) -> _Usual | None:
    at, call_id, tool = parse_usual(record.created_at), record.tool_call_id, record.tool_name
    configuration, failed = _configuration(record), record.error
    if at is None or configuration == "" or not (record.id and tool and call_id):
        return None
    if content == _NULL:
        return None
    event = ToolResult(
        key=record.id,
        id=record.id,
        type="tool_output",
        start=at,
        end=at,
        call_id=call_id,
        tool=tool,
        configuration=configuration,
        result=content,
        failed=None if failed is UNSET else failed,
        subagent=subagent_of(subagents, configuration, from_json(content)) if configuration in subagents else None,
    )
    named = record.tool_configuration is UNSET
    return event, hash((ToolResult, record.created_at, call_id, tool, configuration, named, failed, digest)) or 1


def _configuration(record: _Call | _Result) -> str | None:
    """Give the configuration of a tool, which goes by one of two names; "" for one that is out of the usual."""
    told, other = record.tool_configuration, record.tool_configuration_name
    if told is UNSET:
        return None if other is UNSET else other
    return told if other is UNSET else ""


_QUOTE = ord('"')
_NULL = b"null"

_READ: dict[type, Callable[[Any, bytes, int, Subagents], _Usual | None]] = {
    _Message: _read_message,
    _Thinking: _read_thinking,
    _Output: _read_output,
    _Call: _read_call,
    _Result: _read_result,
}
