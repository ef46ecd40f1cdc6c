"""Pages of Vectara's events on which everything is as usual: read without making objects of what is only passed on.

What an event says goes from the page to an attribute as it is written, and is looked into by nobody on the way. To
parse it, compare it and write it again takes most of the time of a replay, so that is only done where the page is not
written as we write JSON ourselves: equal records must give equal bytes, however a platform spells them.

Whatever is out of the usual in any way is for `vectara_events` to read, from parsed JSON.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from msgspec import UNSET, Raw, Struct, UnsetType, ValidationError, field
from msgspec.json import Decoder, Encoder
from msgspec.structs import replace
from pydantic_core import from_json

from otel_agent_events.attributes import json_bytes
from otel_agent_events.events import AgentMessage, Event, Text, Thinking, ToolCall, ToolResult, UserMessage
from otel_agent_events.fetchers.client import parse_json
from otel_agent_events.fetchers.reading import Field, Form, Helpers, reader
from otel_agent_events.fetchers.vectara_events import subagent_of
from otel_agent_events.keys import DEEPEST
from otel_agent_events.spelling import is_utf8, may_be_deeper

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_agent_events.events import JSON, Part, Written
    from otel_agent_events.fetchers.reading import Reading
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
_encode = Encoder().encode

UsualRecord: TypeAlias = _AnyRecord | Raw
"""A record; one that is out of the usual is as it was written."""


class UsualPage:
    """A page of events, as it was written.

    Of a large file few pages are in memory: of one that begins as usual only the beginning is looked at, and the page
    is read from the file when its records are wanted. Of any other, the records are kept from the first look at it.

    Attributes:
        session: the one that its records name; "" when none does.
        around: the page without its records, as parsed JSON: what tells whether there is a further one. Of a page that
            was not looked at yet there is nothing in it.
    """

    __slots__ = ("_kept", "_text", "around", "session")

    def __init__(self, text: Callable[[], bytes | memoryview], session: str = "") -> None:
        self._text = text
        self._kept: Sequence[UsualRecord] | None = None
        self.session = session
        self.around: JSON = {}

    @classmethod
    def of(cls, text: bytes | memoryview, again: Callable[[], memoryview] | None = None) -> UsualPage | None:
        """Take a body for a page of events, if it is one that can be read in this way; `again` as in `Quick`."""
        if again is not None and (session := _first_session(text)):
            return cls(again, session)
        kept = text if again is None else bytes(text)
        page = cls(lambda: kept)
        return page if page.look() else None

    def look(self) -> bool:
        """Look at the records, if that was not done yet. False when it cannot be read in this way after all.

        Raises:
            ReadError: the file has changed.
        """
        if self._kept is not None:
            return True
        text = self._text()
        if not is_utf8(text):
            return False
        try:
            records, metadata, all_usual = _records(text)
            # What is very deep is parsed with the whole page: from where a record is parsed alone there is less room.
            if not all_usual and any(may_be_deeper(bytes(each), DEEPEST) for each in records if isinstance(each, Raw)):
                return False
            self.session = self.session or _session_of(records)
            self.around = {"metadata": parse_json(metadata)}
        except (ValueError, RecursionError):
            return False  # what is wrong with it is said by those who read it from parsed JSON
        self._kept = records
        return True

    def parsed(self) -> JSON:
        """Give the page as parsed JSON."""
        return parse_json(self.text)

    @property
    def text(self) -> bytes:
        """It as it was written."""
        return bytes(self._text())

    @property
    def records(self) -> Sequence[Raw]:
        """Its records, as they were written."""
        return _mixed(self._text()).events

    def read(self, session: str | None, subagents: Subagents) -> Reading | None:
        """Read all its records at once.

        Args:
            session: the one that a record has to name.
            subagents: the agents that tools run.

        Returns:
            Their events and digests; None when one of them is out of the usual.

        Raises:
            ReadError: the file has changed.
        """
        if not self.look():
            return None
        records, self._kept = self._kept or (), None
        return _read(records, session, subagents)


def _records(text: bytes | memoryview) -> tuple[Sequence[UsualRecord], bytes, bool]:
    """Give the records and the metadata of a page, and whether all records are as usual.

    Raises:
        ValueError: it is no page.
    """
    try:
        whole = _whole(text)
        return whole.events, bytes(whole.metadata), True
    except ValidationError:
        mixed = _mixed(text)
        return list(map(_as_usual, mixed.events)), bytes(mixed.metadata), False


def read_usual(record: Raw, session: str | None, subagents: Subagents) -> tuple[Event, int] | None:
    """Read one record of a page: its event and its digest. None when it is out of the usual."""
    read = _read([_as_usual(record)], session, subagents)
    return None if read is None else (read[0][0], read[1][0])


def read_stored(record: JSON, session: str | None, subagents: Subagents) -> tuple[Event, int] | None:
    """Read a record that is parsed already: its event and its digest. None when it is out of the usual.

    Raises:
        Exception: of one of several libraries: there is something in it that is no JSON.
    """
    text = _encode(record)
    if b"null" in text:  # which this quick writer also makes of what is no number
        text = json_bytes(record)
    try:
        usual = _record(text)
    except ValidationError:
        return None
    read = _read((usual,), session, subagents)
    return None if read is None else (read[0][0], read[1][0])


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


def _first_session(text: bytes | memoryview) -> str:
    """Give the session that the first record of a page names, if that one is as usual; "" when it is not."""
    begin = _BEGIN.match(text)
    if begin is None:
        return ""
    level = 0
    for token in _TOKENS.finditer(text, begin.end()):
        level += {b"{": 1, b"}": -1}.get(token[0], 0)
        if not level:
            try:
                record = _as_usual(Raw(bytes(text[begin.end() : token.end()])))
            except (ValueError, RecursionError):
                return ""
            return "" if isinstance(record, Raw) else record.session_key
    return ""


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


def _read(records: Sequence[UsualRecord], session: str | None, subagents: Subagents) -> Reading | None:
    """Read records; None when one of them is out of the usual, or names another session."""
    read = None if session is None else _reader.read(records, session)
    if read is None or not subagents:
        return read
    return [_with_subagent(event, subagents) for event in read[0]], read[1]


def _with_subagent(event: Event, subagents: Subagents) -> Event:
    if not isinstance(event, ToolResult) or event.configuration not in subagents:
        return event
    return replace(event, subagent=subagent_of(subagents, event.configuration, from_json(event.result)))


def _said(content: Written) -> tuple[Part, ...] | None:
    """Read the parts of a message; None when one of them is no words."""
    try:
        said = [bytes(words.content) for words in _words(content)]
    except ValidationError:
        return None
    return None if any(text[0] != _QUOTE for text in said) else tuple([Text(text=text) for text in said])


_QUOTE = ord('"')

_BEGIN = re.compile(rb'[ \t\r]*\{\s*"events"\s*:\s*\[\s*(?=\{)')
# A string that does not end goes to the end of the text: else each quote in it would be tried.
_TOKENS = re.compile(rb'[{}]|"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)

_NAMED = (Field("same", "session_key"), Field("text", "id", ("key", "id")))
_STAMPED = Field("time", "created_at", ("start", "end"))
_STAMPED_AT_ITS_END = Field("time", "created_at", ("end",))
_OF_A_TOOL = (
    *_NAMED,
    _STAMPED,
    Field("text", "tool_call_id", ("call_id",)),
    Field("text", "tool_name", ("tool",)),
    Field("either", "tool_configuration", ("configuration",), "tool_configuration_name"),
)

FORMS: dict[type, Form] = {
    _Message: Form(UserMessage(key="", type="input_message"), (*_NAMED, _STAMPED), ("parts", "parts")),
    _Thinking: Form(Thinking(key="", type="thinking"), (*_NAMED, _STAMPED_AT_ITS_END), ("words", "text")),
    _Output: Form(AgentMessage(key="", type="agent_output"), (*_NAMED, _STAMPED_AT_ITS_END), ("part", "parts")),
    _Call: Form(ToolCall(key="", type="tool_input"), _OF_A_TOOL, ("value", "arguments")),
    _Result: Form(
        ToolResult(key="", type="tool_output"), (*_OF_A_TOOL, Field("flag", "error", ("failed",))), ("value", "result")
    ),
}
"""What becomes of usual records."""

HELPERS = Helpers(deepest=DEEPEST - 1, parts=_said)

_reader = reader(FORMS, HELPERS)
