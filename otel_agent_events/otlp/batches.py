"""Bodies of spans, put together to requests, taken apart, and shortened. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, TypeAlias

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from otel_agent_events.otlp.encode import varint
from otel_agent_events.pieces import joined

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from google.protobuf.message import Message

    from otel_agent_events.otlp import Head

SHORTENED = "otel_agent_events.shortened"
"""Of a span that no longer has all of its values, because its destination would not take it."""

AROUND = 12
"""The most bytes that two tags and two lengths take."""

_RESOURCE_SPANS = b"\x0a"
_SCOPE_SPANS = _SPAN = b"\x12"
_MOST_ATTRIBUTES = 128  # which the SDKs and many receivers allow
_QUOTES = 2
_TRACE_ID = b"\x0a\x10"  # the tag and the length


@dataclass(slots=True)
class Share:
    """Some spans of one owner, one after the other.

    Attributes:
        bodies: of each the field `spans` of a `ScopeSpans`, with its tag and length.
        first: the place of the first of them among the owner's spans.
    """

    head: Head
    bodies: Sequence[bytes]
    owner: Hashable = None
    first: int = 0

    def goes_on_with(self, share: Share) -> bool:
        """Whether another share is of the same owner and stands right behind this one."""
        return share.head is self.head and share.owner == self.owner and share.first == self.first + len(self.bodies)


Piece: TypeAlias = "list[Share]"
"""What goes into one request."""


# --- requests -----------------------------------------------------------------------------------------


def request(runs: Iterable[tuple[Head, Sequence[bytes]]]) -> bytes:
    """Give the `ExportTraceServiceRequest` that holds the bodies, in their order.

    Args:
        runs: bodies and what stands around them. Runs with equal heads that follow each other become one
            `ResourceSpans`.
    """
    parts: list[bytes] = []
    for head, several in _grouped(runs):
        length = len(head.scope) + len(head.scope_end) + sum(sum(map(len, bodies)) for bodies in several)
        scope = _SCOPE_SPANS + varint(length) + head.scope
        around = len(head.resource) + len(scope) - len(head.scope) + length + len(head.resource_end)
        parts += (_RESOURCE_SPANS, varint(around), head.resource, scope)
        for bodies in several:
            parts += bodies
        parts += (head.scope_end, head.resource_end)
    return joined(parts)


def around(head: Head) -> int:
    """Give the most bytes that a request takes for a head, whatever its spans."""
    return len(head.resource) + len(head.scope) + len(head.scope_end) + len(head.resource_end) + AROUND


def span_id(body: bytes) -> bytes:
    """Read the span id of a body; it is empty for what is no span."""
    try:
        return trace_pb2.Span.FromString(body[content_of(body) :]).span_id
    except DecodeError:
        return b""


def trace_id_of(body: bytes) -> bytes:
    """Read the trace id of a body; empty for what is no span."""
    begin = content_of(body)
    if body.startswith(_TRACE_ID, begin):  # ours and nearly all others write it first
        return body[begin + len(_TRACE_ID) :][:16]
    try:
        return trace_pb2.Span.FromString(body[begin:]).trace_id
    except DecodeError:
        return b""


def content_of(body: bytes) -> int:
    """Say where a body's span begins, behind its tag and length."""
    at = 2
    while body[at - 1 : at] >= b"\x80":
        at += 1
    return at


def _grouped(runs: Iterable[tuple[Head, Sequence[bytes]]]) -> Iterator[tuple[Head, list[Sequence[bytes]]]]:
    head: Head | None = None
    several: list[Sequence[bytes]] = []
    for each, bodies in runs:
        if head is not None and (each is head or each == head):
            several.append(bodies)
            continue
        if head is not None:
            yield head, several
        head, several = each, [bodies]
    if head is not None:
        yield head, several


# --- pieces -------------------------------------------------------------------------------------------


def count(piece: Piece) -> int:
    """Give the number of spans in a piece."""
    return sum(len(share.bodies) for share in piece)


def whole(piece: Piece) -> bytes:
    """Give the request that holds a piece."""
    return request((share.head, share.bodies) for share in piece)


def fitting(piece: Piece, most_bytes: int) -> int:
    """Say how many of the first spans of a piece go into a request of so many bytes; it is one at least."""
    size = fitting = 0
    for share in piece:
        size += around(share.head)
        for body in share.bodies:
            size += len(body)
            if size > most_bytes:
                return max(fitting, 1)
            fitting += 1
    return fitting


def halves(piece: Piece, *, by_bytes: bool) -> tuple[Piece, Piece]:
    """Cut a piece of several spans in two: about equal in bytes, or in spans."""
    sizes = [len(body) if by_bytes else 1 for share in piece for body in share.bodies]
    half = sum(sizes) / 2
    place = next(at for at, size in enumerate(accumulate(sizes), 1) if size >= half)
    return parted(piece, min(max(place, 1), len(sizes) - 1))


def parted(piece: Piece, place: int) -> tuple[Piece, Piece]:
    """Cut a piece behind so many spans."""
    before: Piece = []
    after: Piece = []
    for share in piece:
        size = len(share.bodies)
        here = min(max(place, 0), size)
        place -= size
        if here:
            before.append(Share(share.head, share.bodies[:here], share.owner, share.first))
        if here < size:
            after.append(Share(share.head, share.bodies[here:], share.owner, share.first + here))
    return before, after


def shared_out(number: int, sizes: Sequence[int]) -> list[int]:
    """Give so many things to shares, one each in turn, and to none more than its size."""
    given = [0] * len(sizes)
    left = min(max(number, 0), sum(sizes))
    while left:
        unfilled = [place for place, size in enumerate(sizes) if given[place] < size]
        # As many whole turns as every one of them has room for, and then the rest of one.
        turns = min(left // len(unfilled), *(sizes[place] - given[place] for place in unfilled))
        for place in unfilled if turns else unfilled[:left]:
            given[place] += turns or 1
            left -= turns or 1
    return given


# --- shortening ---------------------------------------------------------------------------------------


def shorten(body: bytes, most: int) -> bytes | None:
    """Cut the longest texts of a span, so that its body has about `most` bytes.

    Every text is cut to the same length, and the shorter ones stay. A JSON text becomes the JSON string of its
    beginning. The span is marked with `otel_agent_events.shortened`, and each attribute that was cut with
    `<attribute>.original_length`, in bytes, as far as 128 attributes allow.

    Returns:
        The body, or None when cutting texts does not make it shorter.
    """
    try:
        span = trace_pb2.Span.FromString(body[content_of(body) :])
    except DecodeError:
        return None
    texts = list(_texts(span))
    lengths = [len(text.told) for text in texts]
    length = _level(lengths, most - (len(body) - sum(lengths)))
    originals: dict[str, int] = {}
    for text in texts:
        if len(text.told) > length:
            text.cut(text.told, length)
            if text.attribute is not None:
                originals[text.attribute] = 0
    for text in texts:
        if text.attribute in originals:
            originals[text.attribute] += len(text.told)
    _mark(span, originals)
    content = span.SerializeToString()
    shorter = b"".join((_SPAN, varint(len(content)), content))
    return shorter if len(shorter) < len(body) else None


@dataclass(slots=True)
class _Text:
    """A text somewhere in a span, in bytes, how to put its beginning in its place, and which attribute it is in."""

    told: bytes
    cut: Callable[[bytes, int], None]
    attribute: str | None = None


def _texts(span: trace_pb2.Span) -> Iterator[_Text]:
    yield _Text(span.name.encode(), partial(_cut, span, "name"))
    yield _Text(span.status.message.encode(), partial(_cut, span.status, "message"))
    for pair in span.attributes:
        yield from _texts_of(pair.value, pair.key)
    for pairs in (*(event.attributes for event in span.events), *(link.attributes for link in span.links)):
        for pair in pairs:
            yield from _texts_of(pair.value, None)


def _texts_of(found: common_pb2.AnyValue, attribute: str | None) -> Iterator[_Text]:
    waiting = [found]
    while waiting:
        each = waiting.pop()
        match each.WhichOneof("value"):
            case "string_value":
                yield _Text(each.string_value.encode(), partial(_cut, each, "string_value"), attribute)
            case "bytes_value":
                yield _Text(each.bytes_value, partial(_cut_bytes, each), attribute)
            case "array_value":
                waiting += each.array_value.values
            case "kvlist_value":
                waiting += [pair.value for pair in each.kvlist_value.values]


def _cut(holder: Message, name: str, told: bytes, length: int) -> None:
    setattr(holder, name, _beginning(told, length).decode())


def _cut_bytes(holder: common_pb2.AnyValue, told: bytes, length: int) -> None:
    holder.bytes_value = told[:length]


def _level(lengths: Sequence[int], most: int) -> int:
    """Give the length to which all must be cut for them to have at most so many bytes together."""
    left = max(most, 0)
    ascending = sorted(lengths)
    for place, length in enumerate(ascending):
        level = left // (len(ascending) - place)
        if length > level:
            return level
        left -= length
    return ascending[-1] if ascending else 0


def _beginning(told: bytes, length: int) -> bytes:
    """Cut a text between characters; of JSON, give the JSON string of the beginning."""
    found = _json(told)
    if found is None:
        return told[:length].decode(errors="ignore").encode()
    room = max(length - _QUOTES, 0)
    while True:
        cut = found[:room].decode(errors="ignore")
        written = json.dumps(cut, ensure_ascii=False).encode(errors="replace")
        if len(written) <= length or not cut:
            return written
        # Escapes make it longer by at most a factor of six, so this ends soon.
        room = min(room - 1, room * length // len(written))


def _json(told: bytes) -> bytes | None:
    """Give the text to cut of JSON: of a string its content, else what is written. None when it is no JSON."""
    if told.lstrip()[:1] not in {b"{", b"[", b'"'}:
        return None
    try:
        found = json.loads(told)
    except (ValueError, RecursionError):
        return None
    return found.encode(errors="replace") if isinstance(found, str) else told


def _mark(span: trace_pb2.Span, originals: dict[str, int]) -> None:
    there = {pair.key for pair in span.attributes}
    marks: list[tuple[str, common_pb2.AnyValue]] = [(SHORTENED, common_pb2.AnyValue(bool_value=True))]
    marks += [(f"{name}.original_length", common_pb2.AnyValue(int_value=size)) for name, size in originals.items()]
    for name, told in marks:
        if name not in there and len(span.attributes) < _MOST_ATTRIBUTES:
            span.attributes.append(common_pb2.KeyValue(key=name, value=told))
