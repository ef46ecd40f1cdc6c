"""From a plan and a node to the bytes of a span, in one step.

A plan is data: what is written of a node, in order. The general way (`SpanBuilder`, then `Encoder`) makes objects of
all that and takes ten times as long; `otlp/plans.py` says which nodes have a plan. `_native` does the same as this
module does, as a C compiler has it, and is used where it was built: tests hold all three against each other.
"""

from __future__ import annotations

from hashlib import sha256
from struct import Struct
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

from pydantic_core import from_json

from otel_agent_events.assemble import EventNode, Moment, ToolNode
from otel_agent_events.attributes import json_bytes
from otel_agent_events.events import Text, ToolCall, ToolResult
from otel_agent_events.otlp.encode import SMALL, VARINTS, attribute, text_header, varint
from otel_agent_events.own import DESCRIPTION_LENGTH, LOOKED_AT, MOST_OF_WORDS, SUMMARY_LENGTH, pair_line, shortened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_agent_events.assemble import Node
    from otel_agent_events.events import JSON, Event

NODE, FIRST, SECOND = 0, 1, 2
"""What an entry is of: the node; its event, or the call of a pair; the result of a pair."""

Kind: TypeAlias = Literal[
    "absent",  # what has it, has no plan
    "same",  # the call and the result say the same, or there is no plan
    "point",  # it ends where it starts, or there is no plan
    "constant",  # `data`, as it is
    "text",  # a text
    "name",  # a text, left out when it is empty
    "repeated",  # a value that comes again and again: `data` has its bytes
    "number",  # an integer from 1
    "words",  # words within a message, between the two halves of `data`
    "part",  # the same, of a message that has one part
    "value",  # what goes to a tool or comes from it
    "raw",  # a remainder
    "summary",  # the contents before it, shortly
    "end",  # where its times come from, and all that comes after the attributes
    "failed_end",  # the same of a tool that failed
]


class Entry(NamedTuple):
    """One thing that a plan writes, or looks for."""

    kind: Kind
    of: int = NODE
    attribute: str = ""
    name: str = ""
    data: Any = None


Plan: TypeAlias = "Sequence[Entry]"


class Place(NamedTuple):
    """What all spans of a session have.

    Attributes:
        trace: what stands before the id of a span.
        seed: what the id of a span is hashed from, before the key of its event.
        heads: by the name of a span, what stands between its id and its times.
        constants: by the kind of a node, the attributes that all of that kind have.
    """

    trace: bytes
    seed: bytes
    heads: Mapping[str, bytes]
    constants: Mapping[str, bytes]


class Parts(NamedTuple):
    """What spans are composed of.

    Attributes:
        most: bytes of UTF-8 that a value may have.
        plans: by the type of an event, the name of its span, its kind, and the plan for what varies.
        pair, failed_pair: the plans for a call with its result.
    """

    most: int
    plans: Mapping[type[Event], tuple[str, str, Plan]]
    pair: Plan
    failed_pair: Plan
    event_node: type = EventNode
    tool_node: type = ToolNode
    moment: type = Moment
    call: type = ToolCall
    result: type = ToolResult
    text_part: type = Text
    sha256: Any = sha256
    json_bytes: Any = json_bytes
    from_json: Any = from_json


class Composing(Protocol):
    """Writes spans."""

    def bodies(self, nodes: Sequence[Node], place: Place) -> list[bytes | None]:
        """Give of each node the field `spans` of a `ScopeSpans`, with its tag and length; None where it has no plan."""
        ...


class NoPlanError(ValueError):
    """A value is not of the kind that a plan is for."""


class Headers(dict[int, bytes]):
    """An attribute whose values differ: by the size of a text in bytes, all that stands before it."""

    def __init__(self, name: str, most: int) -> None:
        super().__init__()
        self._name = name
        self._most = most

    def __missing__(self, size: int) -> bytes:
        if size > self._most:  # it is cut, and its length told beside it
            raise NoPlanError
        if len(self) > MOST_REMEMBERED:
            self.clear()
        made = self[size] = text_header(self._name, size)
        return made


MOST_REMEMBERED = 20_000
_TIMES = Struct("<cQcQ").pack
_QUOTE = ord('"')
_MOST_BYTES = 4 * MOST_OF_WORDS
_GLANCE = 4 * LOOKED_AT + 4
"""Bytes of a text in which there are as many characters as a summary looks at, whatever characters they are."""


class Composer:
    """Writes spans by their plans, of any sessions and for any number of threads.

    Args:
        parts: what they are composed of.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._headers: dict[str, Headers] = {}
        self._numbers: dict[str, list[bytes]] = {}
        for plan in (*(plan for _, _, plan in parts.plans.values()), parts.pair, parts.failed_pair):
            for entry in plan:
                self._headers[entry.name] = Headers(entry.name, parts.most)
                if entry.kind == "number":
                    self._numbers[entry.name] = _before_number(entry.name)

    def bodies(self, nodes: Sequence[Node], place: Place) -> list[bytes | None]:
        """Give of each node the field `spans` of a `ScopeSpans`, with its tag and length; None where it has no plan."""
        return [self._body(node, place) for node in nodes]

    def _body(self, node: Node, place: Place) -> bytes | None:
        try:
            if isinstance(node, EventNode):
                event = node.event
                known = self._parts.plans.get(type(event))
                return None if known is None else self._span(node, place, event, None, *known)
            if isinstance(node, ToolNode) and node.call is not None and node.result is not None:
                call, result = node.call, node.result
                plan = self._parts.failed_pair if result.failed else self._parts.pair
                name = f"execute_tool {call.tool}" if call.tool else "execute_tool"
                return self._span(node, place, call, result, name, "tool", plan)
        except ValueError:
            pass  # a value that the general way has to bring into form
        return None

    def _span(  # noqa: C901, PLR0915, PLR0917 - a flat table of cases
        self,
        node: EventNode | ToolNode,
        place: Place,
        first: Event,
        second: Event | None,
        name: str,
        kind: str,
        plan: Plan,
    ) -> bytes | None:
        parts, headers = self._parts, self._headers
        begin, end = node.start, node.end
        if not begin.at:
            return None  # protobuf leaves out a zero
        pieces = [
            place.trace,
            sha256(place.seed + first.key.encode()).digest()[:8],
            place.heads[name],
            _TIMES(b"\x39", begin.at, b"\x41", end.at),
            place.constants[kind],
        ]
        lines: list[str] = []
        content = b""
        for entry in plan:
            entry_kind, of, source, called, data = entry
            told: Any = getattr((node, first, second)[of], source) if source else None
            match entry_kind:
                case "repeated":
                    pieces.append(data[told])
                case "text" | "name":
                    if told is not None and (told or entry_kind == "text"):
                        text = told.encode()
                        pieces += (headers[called][len(text)], text)
                case "number":
                    if told is None:
                        return None
                    number = VARINTS[told] if told < SMALL else varint(told)
                    pieces += (self._numbers[called][len(number)], number)
                case "absent":
                    if told:
                        return None
                case "words" | "part":
                    content = _words(told if entry_kind == "words" else _only_text(told))
                    lines.append(line_of(content))
                    before, after = data
                    pieces += (headers[called][len(before) + len(content) + len(after)], before, content, after)
                case "value":
                    content, line = _told(told)
                    lines.append(line)
                    if told is not None:
                        pieces += (headers[called][len(content)], content)
                case "raw":
                    if told is not None:
                        text = json_bytes(told)
                        pieces += (headers[called][len(text)], text)
                case "summary":
                    line = lines[0] if len(lines) == 1 else pair_line(*lines) or ""
                    if line:
                        text = line.encode()
                        pieces += (headers[called][len(text)], text)
                case "end":
                    pieces.append(data[begin.timing, end.timing])
                case "failed_end":
                    timing, error, after = data
                    pieces += (timing[begin.timing, end.timing], error, _status(content, parts.most), after)
                case "same":
                    if told != getattr(second, source):
                        return None
                case "point":
                    if second is None or told != second.end:
                        return None
                case "constant":
                    pieces.append(data)
        body = b"".join(pieces)
        return b"\x12" + varint(len(body)) + body


def _before_number(name: str) -> list[bytes]:
    """Give what stands before a number, by the bytes that its varint takes."""
    headers = [b""]
    for size in range(1, 6):
        number = 1 << 7 * (size - 1)
        headers.append(attribute(name, number).removesuffix(varint(number)))
    return headers


def _status(content: bytes, most: int) -> bytes:
    """Give the status of an error that says the beginning of a content."""
    said = content[: 4 * DESCRIPTION_LENGTH].decode("utf-8", "ignore")[:DESCRIPTION_LENGTH].encode()
    if len(said) > most:
        raise NoPlanError
    message = (b"\x12" + varint(len(said)) + said if said else b"") + b"\x18\x02"
    return b"\x7a" + varint(len(message)) + message


def _only_text(parts: Sequence[object]) -> str | bytes:
    if len(parts) == 1:
        part = parts[0]
        if isinstance(part, Text):
            return part.text
    raise NoPlanError


def _words(told: str | bytes | None) -> bytes:
    """Give the JSON text of words."""
    if told is None:
        raise NoPlanError
    return told if isinstance(told, bytes) else json_bytes(told)


def _told(value: JSON) -> tuple[bytes, str]:
    """Give the text of what goes to a tool or comes from it, and a line that says it shortly."""
    if value is None:
        return b"", ""
    text = value if isinstance(value, bytes) else json_bytes(value)
    return from_json(text).encode() if text[0] == _QUOTE else text, line_of(text)


def line_of(text: bytes) -> str:
    """Give `shortened` of what a written JSON value says: of a text the words, else the JSON.

    Most often the first characters are enough, and the rest need not be looked at.
    """
    is_words = text[0] == _QUOTE
    whole = len(text) <= _GLANCE
    if whole:
        some = text[1:-1].decode() if is_words else text.decode()
    else:
        some = text[is_words:_GLANCE].decode("utf-8", "ignore")
    if is_words and "\\" in some:
        some = some.replace('\\"', '"')
        if "\\" in some:
            words: str = from_json(text)
            return shortened(words)
    flat = some[:LOOKED_AT]
    if not flat.isprintable() or "  " in flat or flat[:1] == " " or flat[-1:] == " ":
        flat = " ".join(flat.split())
    if len(flat) > SUMMARY_LENGTH:
        return flat[: SUMMARY_LENGTH - 1] + "…"
    if whole and len(some) <= LOOKED_AT:
        return flat
    return shortened(from_json(text) if is_words else text[:_MOST_BYTES].decode("utf-8", "ignore")[:MOST_OF_WORDS])
