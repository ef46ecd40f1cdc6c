"""A plan for each frequent kind of node: what its span says, and in which order.

Nine of ten events of a session are words, thoughts and answered calls, and their spans are always built the same way.
What `own`, `conventions.gen_ai`, `SpanBuilder` and `Encoder` do for them one after the other is told here as a list, by
which `composing` writes the span. Whatever else there is (a limit, a link, a value that is cut or that OTLP cannot
hold) has no plan and takes the general way.

Both ways give the same bytes; tests hold them against each other.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, cast

from otel_agent_events.assemble import TIMINGS, weaker
from otel_agent_events.attributes import OWN
from otel_agent_events.conventions.gen_ai import GenAI
from otel_agent_events.events import AgentMessage, Thinking, UserMessage
from otel_agent_events.otlp.composing import (
    FIRST,
    MOST_REMEMBERED,
    NODE,
    SECOND,
    Composing,
    Entry,
    NoPlanError,
    Parts,
    Place,
    Plan,
)
from otel_agent_events.otlp.encode import attribute, varint

Composer: Callable[[Parts], Composing]
try:
    from otel_agent_events._native import Composer
except ImportError:  # it was installed without a C compiler
    from otel_agent_events.otlp.composing import Composer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_agent_events.assemble import Node, NodeKind
    from otel_agent_events.conventions import Convention
    from otel_agent_events.otlp.composing import Kind
    from otel_agent_events.spans import SpanBuilder

_UNSET = b"\x7a\x00"
_PARENT_IS_LOCAL = b"\x85\x01\x00\x01\x00\x00"
_END = _UNSET + _PARENT_IS_LOCAL

_USER = b'[{"role":"user","parts":[{"type":"text","content":'
_AGENT = b'[{"role":"assistant","parts":[{"type":"text","content":'
_REASONING = b'[{"role":"assistant","parts":[{"type":"reasoning","content":'
_MESSAGE_END = b"}]}]"


class _Repeated(dict["str | bool | int | None", bytes]):
    """An attribute whose few values come again and again: the bytes of each, and none for None."""

    def __init__(self, name: str, most: int) -> None:
        super().__init__()
        self._name = name
        self._most = min(most, MOST_REMEMBERED)  # of words only those are remembered that are short: they are names

    def __missing__(self, value: str | bool | int | None) -> bytes:  # noqa: FBT001 - Python calls it so
        if len(self) > MOST_REMEMBERED:
            self.clear()
        if isinstance(value, str) and len(value.encode()) > self._most:
            raise NoPlanError
        made = self[value] = b"" if value is None else attribute(self._name, value)
        return made


class _Heads(dict[str, bytes]):
    """By the name of a span, what stands between its id and its times: its parent, its name, its kind."""

    def __init__(self, root_id: bytes, most: int) -> None:
        super().__init__()
        self._parent = b"\x22\x08" + root_id + b"\x2a"
        self._most = most

    def __missing__(self, name: str) -> bytes:
        written = name.encode()
        if len(written) > self._most:
            raise NoPlanError
        if len(self) > MOST_REMEMBERED:
            self.clear()
        made = self[name] = self._parent + varint(len(written)) + written + b"\x30\x01"
        return made


class _Constants(dict[str, bytes]):
    """By the kind of a node, the attributes that all of that kind have."""

    def __init__(self, builder: SpanBuilder) -> None:
        super().__init__()
        self._builder = builder

    def __missing__(self, kind: str) -> bytes:
        constants = self._builder.constants(cast("NodeKind", kind))
        made = self[kind] = b"".join(attribute(name, told) for name, told in constants.items())
        return made


class Plans:
    """Plans for the spans of one session.

    Args:
        builder: makes the spans that have no plan; what is constant is taken from it.
        composer: writes the spans.
    """

    def __init__(self, builder: SpanBuilder, composer: Callable[[Parts], Composing] = Composer) -> None:
        most = builder.identity.view.max_value
        self._composer = _composer(most, composer)
        self._place = Place(
            trace=b"\x0a\x10" + builder.trace_id + b"\x12\x08",
            seed=builder.own_trace_id + b"\0event:",
            heads=_Heads(builder.root_id, most),
            constants=_Constants(builder),
        )

    @classmethod
    def of(cls, builder: SpanBuilder, conventions: Sequence[Convention]) -> Plans | None:
        """Make the plans of a session; None when its spans are not of the kind that these plans are for."""
        view = builder.identity.view
        usual = len(conventions) == 1 and type(conventions[0]) is GenAI
        return cls(builder) if usual and view.content != "none" and not view.turns and not builder.shift else None

    def bodies(self, nodes: Sequence[Node]) -> list[bytes | None]:
        """Give of each node the field `spans` of a `ScopeSpans`, with its tag and length; None where it has no plan."""
        return self._composer.bodies(nodes, self._place)


@lru_cache(maxsize=8)
def _composer(most: int, composer: Callable[[Parts], Composing]) -> Composing:
    """Make the composer of all sessions whose values may have so many bytes."""
    return composer(_parts(most))


def _parts(most: int) -> Parts:
    return Parts(
        most=most,
        plans={
            Thinking: (
                "thinking",
                "thinking",
                _event_plan(most, _words("words", "gen_ai.output.messages", "text", _REASONING)),
            ),
            AgentMessage: (
                "agent_output",
                "agent_message",
                _event_plan(
                    most,
                    Entry("absent", FIRST, "provider"),
                    Entry("absent", FIRST, "model"),
                    Entry("constant", data=attribute("gen_ai.operation.name", "agent_output")),
                    _words("part", "gen_ai.output.messages", "parts", _AGENT),
                    author="agent.author",
                ),
            ),
            UserMessage: (
                "user_message",
                "user_message",
                _event_plan(most, _words("part", "gen_ai.input.messages", "parts", _USER), author="user.author"),
            ),
        },
        pair=_pair_plan(most, "gen_ai.tool.call.result", Entry("end", data=_ends(_END))),
        failed_pair=_pair_plan(
            most,
            f"{OWN}tool.error",
            Entry("failed_end", data=(_ends(b""), attribute("error.type", "tool_error"), _PARENT_IS_LOCAL)),
        ),
    )


_NOTHING_MORE = ("measurements", "details", "links")
"""What few events have, and what has no place in a plan."""


def _event_plan(most: int, *contents: Entry, author: str | None = None) -> Plan:
    repeated = partial(_repeated, most)
    return (
        *(Entry("absent", FIRST, each) for each in _NOTHING_MORE),
        Entry("absent", NODE, "clamped"),
        *contents,
        repeated("event.type", FIRST, "type"),
        Entry("text", FIRST, "id", f"{OWN}event.id"),
        Entry("number", NODE, "index", f"{OWN}event.index"),
        repeated("event.turn", NODE, "turn"),
        Entry("raw", FIRST, "remainder", f"{OWN}event.raw"),
        Entry("summary", name=f"{OWN}summary"),
        *(() if author is None else (repeated(author, FIRST, "author"),)),
        Entry("end", data=_ends(_END)),
    )


def _pair_plan(most: int, result: str, end: Entry) -> Plan:
    """Plan a call with its result, which goes by this name."""
    repeated = partial(_repeated, most)
    return (
        *(Entry("absent", of, each) for of in (FIRST, SECOND) for each in _NOTHING_MORE),
        Entry("absent", NODE, "clamped"),
        Entry("absent", SECOND, "subagent"),
        Entry("point", SECOND, "start"),
        Entry("same", FIRST, "tool"),
        Entry("same", FIRST, "configuration"),
        Entry("repeated", FIRST, "tool", data=_Names("gen_ai.tool.name", most)),
        Entry("name", FIRST, "call_id", "gen_ai.tool.call.id"),
        Entry("repeated", FIRST, "tool_type", data=_Repeated("gen_ai.tool.type", most)),
        Entry("value", FIRST, "arguments", "gen_ai.tool.call.arguments"),
        Entry("value", SECOND, "result", result),
        repeated("event.type", FIRST, "type"),
        Entry("text", FIRST, "id", f"{OWN}event.id"),
        Entry("number", NODE, "index", f"{OWN}event.index"),
        repeated("event.turn", NODE, "turn"),
        repeated("event.kind", FIRST, "kind"),
        Entry("summary", name=f"{OWN}summary"),
        repeated("tool.configuration", FIRST, "configuration"),
        repeated("tool.outcome", NODE, "outcome"),
        Entry("raw", FIRST, "remainder", f"{OWN}event.raw"),
        repeated("tool.failed", SECOND, "failed"),
        repeated("result.event.type", SECOND, "type"),
        Entry("text", SECOND, "id", f"{OWN}result.event.id"),
        Entry("number", NODE, "result_index", f"{OWN}result.event.index"),
        Entry("raw", SECOND, "remainder", f"{OWN}result.event.raw"),
        end,
    )


class _Names(_Repeated):
    """A name, which is left out when it is empty."""

    def __missing__(self, value: str | bool | int | None) -> bytes:  # noqa: FBT001 - Python calls it so
        return super().__missing__(value) if value else b""


def _words(kind: Kind, name: str, attribute: str, before: bytes) -> Entry:
    return Entry(kind, FIRST, attribute, name, (before, _MESSAGE_END))


def _repeated(most: int, name: str, of: int, attribute: str) -> Entry:
    return Entry("repeated", of, attribute, data=_Repeated(OWN + name, most))


def _ends(after: bytes) -> dict[tuple[str, str], bytes]:
    """Give what says where the times of a span come from, by its two times, and what comes after it."""
    return {(begin, end): attribute(f"{OWN}timing", weaker(begin, end)) + after for begin in TIMINGS for end in TIMINGS}
