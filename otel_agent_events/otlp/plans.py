"""A plan for each frequent kind of node: straight from a node to the bytes of its span.

Nine of ten events of a session are words, thoughts and answered calls, and their spans are always built the same way.
What `SpanBuilder` and `Encoder` do for them in two general steps is written down here in one: which bytes stand where,
and which few values go in between. Whatever else there is (a failure, a limit, a link, a value that is cut or that OTLP
cannot hold) has no plan and takes the general way.

Both ways give the same bytes; tests hold them against each other.
"""

from __future__ import annotations

from hashlib import sha256
from struct import Struct
from typing import TYPE_CHECKING

from pydantic_core import PydanticSerializationError, to_json

from otel_agent_events.assemble import EventNode, ToolNode
from otel_agent_events.attributes import json_bytes
from otel_agent_events.conventions.gen_ai import GenAI
from otel_agent_events.events import AgentMessage, Text, Thinking, UserMessage
from otel_agent_events.otlp.encode import attribute, text_header, varint
from otel_agent_events.own import MOST_OF_WORDS, pair_summary, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_agent_events.assemble import Node, NodeKind
    from otel_agent_events.conventions import Convention
    from otel_agent_events.events import JSON, Part, ToolCall, ToolResult
    from otel_agent_events.spans import SpanBuilder

_TIMES = Struct("<cQcQ").pack
_UNSET = b"\x7a\x00"
_PARENT_IS_LOCAL = b"\x85\x01\x00\x01\x00\x00"
_END = _UNSET + _PARENT_IS_LOCAL
_ZERO = bytes(8)
_MOST_REMEMBERED = 20_000
_MOST_BYTES = 4 * MOST_OF_WORDS

_USER = b'[{"role":"user","parts":[{"type":"text","content":'
_AGENT = b'[{"role":"assistant","parts":[{"type":"text","content":'
_REASONING = b'[{"role":"assistant","parts":[{"type":"reasoning","content":'
_MESSAGE_END = b"}]}]"


class _NoPlanError(Exception):
    """A value is not of the kind that a plan is for."""


class _Repeated(dict["str | bool | int | None", bytes]):
    """An attribute whose few values come again and again: the bytes of each, and none for None."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def __missing__(self, value: str | bool | int | None) -> bytes:  # noqa: FBT001 - Python calls it so
        if len(self) > _MOST_REMEMBERED:
            self.clear()
        # Of words only those are remembered that are short: they are names.
        if isinstance(value, str) and len(value) > _MOST_REMEMBERED:
            raise _NoPlanError
        made = self[value] = b"" if value is None else attribute(self._name, value)
        return made


class _Headers(dict[int, bytes]):
    """An attribute whose values differ: by the size of a text in bytes, all that stands before it."""

    def __init__(self, name: str, most: int) -> None:
        super().__init__()
        self._name = name
        self._most = most

    def __missing__(self, size: int) -> bytes:
        if size > self._most:  # it is cut, and its length told beside it
            raise _NoPlanError
        if len(self) > _MOST_REMEMBERED:
            self.clear()
        made = self[size] = text_header(self._name, size)
        return made


class _Numbers:
    """An attribute whose values count up."""

    def __init__(self, name: str) -> None:
        # A varint has as many bytes as groups of seven bits; of the first number of each size, the header is taken.
        self._headers = [b""]
        for size in range(1, 6):
            number = 1 << 7 * (size - 1)
            self._headers.append(attribute(name, number).removesuffix(varint(number)))

    def __call__(self, number: int) -> bytes:
        written = varint(number)
        return self._headers[len(written)] + written


class Plans:
    """Plans for the spans of one session.

    Args:
        builder: makes the spans that have no plan; what is constant is taken from it.
    """

    def __init__(self, builder: SpanBuilder) -> None:
        self._builder = builder
        self._trace = b"\x0a\x10" + builder.trace_id + b"\x12\x08"
        self._seed = builder.own_trace_id + b"\0event:"
        self._most = most = builder.identity.view.max_value
        self._heads: dict[str, bytes] = {}
        self._constant: dict[NodeKind, bytes] = {}
        own = "otel_agent_events."
        self._input = _Headers("gen_ai.input.messages", most)
        self._output = _Headers("gen_ai.output.messages", most)
        self._id = _Headers(f"{own}event.id", most)
        self._raw = _Headers(f"{own}event.raw", most)
        self._summary = _Headers(f"{own}summary", most)
        self._call_id = _Headers("gen_ai.tool.call.id", most)
        self._arguments = _Headers("gen_ai.tool.call.arguments", most)
        self._result = _Headers("gen_ai.tool.call.result", most)
        self._result_id = _Headers(f"{own}result.event.id", most)
        self._result_raw = _Headers(f"{own}result.event.raw", most)
        self._type = _Repeated(f"{own}event.type")
        self._kind = _Repeated(f"{own}event.kind")
        self._turn = _Repeated(f"{own}event.turn")
        self._timing = _Repeated(f"{own}timing")
        self._user_author = _Repeated(f"{own}user.author")
        self._agent_author = _Repeated(f"{own}agent.author")
        self._tool = _Repeated("gen_ai.tool.name")
        self._tool_type = _Repeated("gen_ai.tool.type")
        self._configuration = _Repeated(f"{own}tool.configuration")
        self._outcome = _Repeated(f"{own}tool.outcome")
        self._failed = _Repeated(f"{own}tool.failed")
        self._result_type = _Repeated(f"{own}result.event.type")
        self._said = attribute("gen_ai.operation.name", "agent_output")
        self._index = _Numbers(f"{own}event.index")
        self._result_index = _Numbers(f"{own}result.event.index")

    @classmethod
    def of(cls, builder: SpanBuilder, conventions: Sequence[Convention]) -> Plans | None:
        """Make the plans of a session; None when its spans are not of the kind that these plans are for."""
        view = builder.identity.view
        usual = len(conventions) == 1 and type(conventions[0]) is GenAI
        return cls(builder) if usual and view.content != "none" and not view.turns else None

    def body(self, node: Node) -> bytes | None:
        """Give the field `spans` of a `ScopeSpans`, with its tag and length, or None when there is no plan."""
        try:
            if not node.start.at or self._builder.shift:
                return None  # protobuf leaves out a zero
            if isinstance(node, EventNode):
                return self._event(node)
            if isinstance(node, ToolNode):
                return self._pair(node)
        except (_NoPlanError, PydanticSerializationError, ValueError):
            pass  # a value that the general way has to bring into form
        return None

    def _event(self, node: EventNode) -> bytes | None:
        event = node.event
        if event.measurements or event.details or event.links or node.clamped:
            return None
        author = b""
        if isinstance(event, Thinking):
            words = event.text
            if words is None:
                return None
            name = "thinking"
            message = _REASONING + to_json(words) + _MESSAGE_END
            said = self._output[len(message)] + message
        elif isinstance(event, AgentMessage):
            if event.provider or event.model:
                return None
            words = _words(event.parts)
            name = "agent_output"
            message = _AGENT + to_json(words) + _MESSAGE_END
            said = self._said + self._output[len(message)] + message
            author = self._agent_author[event.author]
        elif isinstance(event, UserMessage):
            words = _words(event.parts)
            name = "user_message"
            message = _USER + to_json(words) + _MESSAGE_END
            said = self._input[len(message)] + message
            author = self._user_author[event.author]
        else:
            return None
        told = shortened(words).encode()
        remainder = event.remainder
        return self._span(
            (
                self._trace,
                self._span_id(event.key),
                self._heads.get(name) or self._head(name),
                _TIMES(b"\x39", node.start.at, b"\x41", node.end.at),
                self._constant.get(event.kind) or self._constants(event.kind),
                said,
                self._type[event.type],
                b"" if event.id is None else self._text(self._id, event.id),
                self._index(node.index),
                self._turn[node.turn],
                b"" if remainder is None else self._raw_of(self._raw, remainder),
                self._summary[len(told)] + told if told else b"",
                author,
                self._timing[node.timing],
                _END,
            )
        )

    def _pair(self, node: ToolNode) -> bytes | None:
        call, result = node.call, node.result
        if call is None or result is None or result.failed or node.clamped or not _is_plain(call, result):
            return None
        asked = b"" if call.arguments is None else _written(call.arguments)
        answered = b"" if result.result is None else _written(result.result)
        told = (pair_summary(_beginning(asked), _beginning(answered)) or "").encode()
        name = f"execute_tool {call.tool}" if call.tool else "execute_tool"
        index = node.result_index
        if index is None:
            return None
        return self._span(
            (
                self._trace,
                self._span_id(call.key),
                self._heads.get(name) or self._head(name),
                _TIMES(b"\x39", node.start.at, b"\x41", node.end.at),
                self._constant.get("tool") or self._constants("tool"),
                self._tool[call.tool or None],
                self._text(self._call_id, call.call_id) if call.call_id else b"",
                self._tool_type[call.tool_type],
                b"" if call.arguments is None else self._arguments[len(asked)] + asked,
                b"" if result.result is None else self._result[len(answered)] + answered,
                self._type[call.type],
                b"" if call.id is None else self._text(self._id, call.id),
                self._index(node.index),
                self._turn[node.turn],
                self._kind[call.kind],
                self._summary[len(told)] + told if told else b"",
                self._configuration[call.configuration],
                self._outcome[node.outcome],
                b"" if call.remainder is None else self._raw_of(self._raw, call.remainder),
                self._failed[result.failed],
                self._result_type[result.type],
                b"" if result.id is None else self._text(self._result_id, result.id),
                self._result_index(index),
                b"" if result.remainder is None else self._raw_of(self._result_raw, result.remainder),
                self._timing[node.timing],
                _END,
            )
        )

    def _span_id(self, key: str) -> bytes:
        digest = sha256(self._seed + key.encode()).digest()[:8]
        if digest == _ZERO:
            raise _NoPlanError
        return digest

    def _head(self, name: str) -> bytes:
        """Give what stands between the id of a span and its times: its parent, its name, its kind."""
        written = name.encode()
        if len(written) > self._most:
            raise _NoPlanError
        if len(self._heads) > _MOST_REMEMBERED:
            self._heads.clear()
        made = self._heads[name] = (
            b"\x22\x08" + self._builder.root_id + b"\x2a" + varint(len(written)) + written + b"\x30\x01"
        )
        return made

    def _constants(self, kind: NodeKind) -> bytes:
        constants = self._builder.constants(kind)
        made = self._constant[kind] = b"".join(attribute(name, told) for name, told in constants.items())
        return made

    @staticmethod
    def _text(headers: _Headers, text: str) -> bytes:
        written = text.encode()
        return headers[len(written)] + written

    @staticmethod
    def _raw_of(headers: _Headers, remainder: JSON) -> bytes:
        written = json_bytes(remainder)
        return headers[len(written)] + written

    @staticmethod
    def _span(pieces: tuple[bytes, ...]) -> bytes:
        body = b"".join(pieces)
        return b"\x12" + varint(len(body)) + body


def _words(parts: tuple[Part, ...]) -> str:
    if len(parts) == 1:
        part = parts[0]
        if isinstance(part, Text):
            return part.text
    raise _NoPlanError


def _is_plain(call: ToolCall, result: ToolResult) -> bool:
    """Say whether a call and its result have nothing but what most have."""
    return not (
        call.measurements
        or call.details
        or call.links
        or result.measurements
        or result.details
        or result.links
        or result.subagent
        or result.start != result.end
        or result.tool != call.tool
        or result.configuration != call.configuration
    )


def _written(told: JSON) -> bytes:
    return told.encode() if type(told) is str else json_bytes(told)


def _beginning(text: bytes) -> str:
    """Give as much of a text as a summary looks at."""
    return text[:_MOST_BYTES].decode("utf-8", "ignore")[:MOST_OF_WORDS]
