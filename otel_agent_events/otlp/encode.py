"""Spans as the bytes of OTLP, written by hand: the layout is that of the official encoder, field by field.

Neither the SDK nor protobuf nor gRPC is imported. What makes it quick is that little is worked out twice: what is
constant in a session is one blob, and what stands before a text depends on its name and its length only.
"""

from __future__ import annotations

from itertools import chain
from struct import Struct
from typing import TYPE_CHECKING, TypeVar

from otel_agent_events.otlp import SCHEMA_URL, Encoded, Head
from otel_agent_events.spans import SCOPE_NAME, SCOPE_VERSION

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from otel_agent_events.attributes import Final
    from otel_agent_events.spans import Link, Resource, Span, SpanEvent

Key = TypeVar("Key")

_MOST_ENTRIES = 20_000
"""Of a cache. A full one is emptied: what is frequent is soon there again."""
_LONGEST_ENTRY = 512
"""Bytes of an entry, so that names as long as texts take up no memory."""
_MOST_MAPPINGS = 256
"""Constants and resources that are held on to, and ..."""
_MOST_BYTES = 2_000_000
"""... the bytes that they may have together."""
SMALL = 1 << 14
"""From here on a varint has three bytes."""

SPAN_ATTRIBUTE = b"\x4a"
"""The tag of the field `attributes` of a span."""

_KINDS = {"internal": b"\x30\x01", "client": b"\x30\x03"}
_FLAGS_LOCAL = b"\x85\x01\x00\x01\x00\x00"  # it is known whether the parent is remote,
_FLAGS_REMOTE = b"\x85\x01\x00\x03\x00\x00"  # and it is
_LINK_FLAGS_REMOTE = b"\x35\x00\x03\x00\x00"
_NO_STATUS = b"\x7a\x00"
_ORDINARY_END = _NO_STATUS + _FLAGS_LOCAL

_both_times = Struct("<BQBQ").pack
_fixed64 = Struct("<BQ").pack
_double = Struct("<Bd").pack


def _spelled(number: int) -> bytes:
    if number < 0:
        number += 1 << 64
    written = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


VARINTS = [
    *(bytes((number,)) for number in range(0x80)),
    *(bytes((number & 0x7F | 0x80, number >> 7)) for number in range(0x80, SMALL)),
]


_LOWER = [bytes((number & 0x7F | 0x80, number >> 7 | 0x80)) for number in range(SMALL)]
"""The lower fourteen bits of a larger integer."""


def varint(number: int) -> bytes:
    """Write an integer, seven bits a byte; a negative one as the 64 bits of its two's complement."""
    if 0 <= number < SMALL:
        return VARINTS[number]
    if 0 <= number < SMALL * SMALL:
        return _LOWER[number & SMALL - 1] + VARINTS[number >> 14]
    return _spelled(number)


def attribute(name: str, each: Final, tag: bytes = SPAN_ATTRIBUTE) -> bytes:
    """Write a `KeyValue`: an attribute of a span, or of what has its attributes in the field of another tag."""
    key = _text(b"\x0a", name) if name else b""
    return _sized(tag, key + _sized(b"\x12", _any_value(each)))


def text_header(name: str, size: int) -> bytes:
    """Write all that stands before the text, of so many bytes, that is an attribute of a span."""
    key = _text(b"\x0a", name) if name else b""
    before = b"\x0a" + varint(size)
    before = b"\x12" + varint(len(before) + size) + before
    return SPAN_ATTRIBUTE + varint(len(key) + len(before) + size) + key + before


class Encoder:
    """Encodes spans. Equal spans give equal bytes, whatever was encoded before.

    It remembers what comes again, within bounds: one encoder for a whole run is the quickest. Not for several threads.
    """

    def __init__(self) -> None:
        # Of a text: all that stands before it, by its name and its length in bytes.
        self._texts: dict[tuple[str, int], bytes] = {}
        # Whole attributes. True equals 1 as a key, so each type has its own.
        self._truths: dict[tuple[str, bool], bytes] = {}
        self._numbers: dict[tuple[str, int], bytes] = {}
        self._names: dict[tuple[str, str], bytes] = {}
        # By identity, each with the very object: as long as it is held, no other one gets its id.
        self._constants: dict[int, tuple[Mapping[str, Final], bytes]] = {}
        self._constants_size = 0
        self._heads: dict[int, tuple[Resource, Head]] = {}
        self._heads_size = 0

    def head(self, resource: Resource) -> Head:
        """Give what stands around the spans of a resource."""
        known = self._heads.get(id(resource))
        if known is not None:
            return known[1]
        head = Head(
            resource=_sized(b"\x0a", _attributes(resource.attributes, b"\x0a")), scope=_SCOPE, scope_end=_SCOPE_END
        )
        if len(self._heads) >= _MOST_MAPPINGS or self._heads_size > _MOST_BYTES:
            self._heads.clear()
            self._heads_size = 0
        self._heads[id(resource)] = resource, head
        self._heads_size += len(head.resource)
        return head

    def encoded(self, spans: Sequence[Span], *, owner: Hashable = None, first: int = 0) -> Encoded:
        """Encode one or more spans of one resource.

        Args:
            spans: at least one; what is around them is taken from the first.
            owner: whatever the sender wants to know them by again.
            first: the place of the first of them among all spans of the owner, from 0.
        """
        return Encoded(
            spans=spans,
            head=self.head(spans[0].resource),
            bodies=list(map(self.body, spans)),
            owner=owner,
            first=first,
        )

    def body(self, span: Span) -> bytes:
        """Give a span as the field `spans` of a `ScopeSpans`, with its tag and length."""
        parts = [b"\x0a\x10", span.trace_id, b"\x12\x08", span.span_id]
        if span.trace_state:
            parts.append(_text(b"\x1a", span.trace_state))
        if span.parent_id is not None:
            parts += (b"\x22\x08", span.parent_id)
        known = self._constants.get(id(span.constants))
        parts += (
            self._names.get((span.name, span.kind)) or self._name(span.name, span.kind),
            _both_times(0x39, span.start, 0x41, span.end)
            if span.start and span.end
            else _time(0x39, span.start) + _time(0x41, span.end),
            known[1] if known is not None else self._constant(span.constants),
        )
        # Every attribute of every span comes through here.
        add, texts = parts.append, self._texts
        for name, each in span.varying.items():
            kind = type(each)
            if kind is str:
                text = each.encode()  # type: ignore[union-attr]
                add(texts.get((name, len(text))) or self._text_header(name, len(text)))
                add(text)
            elif kind is bool:
                add(self._truths.get((name, each)) or self._truth(name, each))  # type: ignore[arg-type]
            elif kind is int and 0 <= each < SMALL:  # type: ignore[operator]
                add(self._numbers.get((name, each)) or self._number(name, each))  # type: ignore[arg-type]
            else:
                add(attribute(name, each))
        if (
            span.status == "unset"
            and not span.links
            and not span.parent_is_remote
            and not span.events
            and not (span.dropped_attributes or span.dropped_events or span.dropped_links)
        ):
            add(_ORDINARY_END)
        else:
            self._end(parts, span)
        payload = b"".join(parts)
        size = len(payload)
        return b"\x12" + (VARINTS[size] if size < SMALL else varint(size)) + payload

    def _end(self, parts: list[bytes], span: Span) -> None:
        """Write what few spans have, and what comes after it."""
        parts.append(_count(b"\x50", span.dropped_attributes))
        parts += [_sized(b"\x5a", _event(event)) for event in span.events]
        parts.append(_count(b"\x60", span.dropped_events))
        parts += [_sized(b"\x6a", _link(link)) for link in span.links]
        parts.append(_count(b"\x70", span.dropped_links))
        if span.status == "unset":
            parts.append(_NO_STATUS)
        else:
            message = _text(b"\x12", span.description) if span.description else b""
            parts.append(_sized(b"\x7a", message + b"\x18\x02"))
        parts.append(_FLAGS_REMOTE if span.parent_id is not None and span.parent_is_remote else _FLAGS_LOCAL)

    # --- what is remembered ---------------------------------------------------------------------------

    def _constant(self, constants: Mapping[str, Final]) -> bytes:
        blob = _attributes(constants, SPAN_ATTRIBUTE)
        if len(self._constants) >= _MOST_MAPPINGS or self._constants_size > _MOST_BYTES:
            self._constants.clear()
            self._constants_size = 0
        self._constants[id(constants)] = constants, blob
        self._constants_size += len(blob)
        return blob

    def _text_header(self, name: str, size: int) -> bytes:
        return _remember(self._texts, (name, size), text_header(name, size))

    def _truth(self, name: str, each: bool) -> bytes:  # noqa: FBT001 - it is a value
        return _remember(self._truths, (name, each), attribute(name, each))

    def _number(self, name: str, each: int) -> bytes:
        return _remember(self._numbers, (name, each), attribute(name, each))

    def _name(self, name: str, kind: str) -> bytes:
        blob = (_text(b"\x2a", name) if name else b"") + _KINDS[kind]
        return _remember(self._names, (name, kind), blob)


def request(spans: Iterable[Span]) -> bytes:
    """Give the `ExportTraceServiceRequest` that holds the spans, of any traces and resources.

    Spans of equal resources stand together, in the order in which they come. The same spans give the same bytes.
    """
    encoder = Encoder()
    groups: dict[frozenset[bytes], tuple[Head, list[bytes]]] = {}
    keys: dict[int, tuple[Resource, frozenset[bytes]]] = {}
    for span in spans:
        resource = span.resource
        if id(resource) not in keys:
            # The same attributes in another order are the same resource.
            said = frozenset(attribute(name, each, b"\x0a") for name, each in resource.attributes.items())
            keys[id(resource)] = resource, said
        _, key = keys[id(resource)]
        if key not in groups:
            groups[key] = encoder.head(resource), []
        groups[key][1].append(encoder.body(span))
    return b"".join(
        _sized(
            b"\x0a",
            b"".join(
                (
                    head.resource,
                    _sized(b"\x12", b"".join(chain((head.scope,), bodies, (head.scope_end,)))),
                    head.resource_end,
                )
            ),
        )
        for head, bodies in groups.values()
    )


# --- the parts of a message ---------------------------------------------------------------------------


def _remember(cache: dict[Key, bytes], key: Key, blob: bytes) -> bytes:
    if len(blob) <= _LONGEST_ENTRY:
        if len(cache) >= _MOST_ENTRIES:
            cache.clear()
        cache[key] = blob
    return blob


def _sized(tag: bytes, payload: bytes) -> bytes:
    """Write a field that says how long it is."""
    return tag + varint(len(payload)) + payload


def _text(tag: bytes, text: str) -> bytes:
    return _sized(tag, text.encode())


def _time(tag: int, nanoseconds: int) -> bytes:
    """Write a time; zero is what is read where there is none."""
    return _fixed64(tag, nanoseconds) if nanoseconds else b""


def _count(tag: bytes, number: int) -> bytes:
    return tag + varint(number) if number else b""


def _event(event: SpanEvent) -> bytes:
    name = _text(b"\x12", event.name) if event.name else b""
    attributes = _attributes(event.attributes, b"\x1a")
    return _time(0x09, event.time) + name + attributes + _count(b"\x20", event.dropped_attributes)


def _link(link: Link) -> bytes:
    # What a link points to is elsewhere, and so remote. The official encoder writes no more of its trace flags.
    return b"".join(
        (
            b"\x0a\x10",
            link.trace_id,
            b"\x12\x08",
            link.span_id,
            _text(b"\x1a", link.trace_state) if link.trace_state else b"",
            _attributes(link.attributes, b"\x22"),
            _count(b"\x28", link.dropped_attributes),
            _LINK_FLAGS_REMOTE,
        )
    )


def _attributes(attributes: Mapping[str, Final], tag: bytes) -> bytes:
    return b"".join([attribute(name, each, tag) for name, each in attributes.items()])


def _any_value(each: Final) -> bytes:
    # An empty text, a zero and a False are written: the field tells which kind of value it is.
    if isinstance(each, bool):
        return b"\x10\x01" if each else b"\x10\x00"
    if isinstance(each, str):
        return _text(b"\x0a", each)
    if isinstance(each, int):
        return b"\x18" + varint(each)
    if isinstance(each, float):
        return _double(0x21, each)
    return _sized(b"\x2a", b"".join([_sized(b"\x0a", _any_value(text)) for text in each]))


_SCOPE = _sized(b"\x0a", _text(b"\x0a", SCOPE_NAME) + _text(b"\x12", SCOPE_VERSION))
_SCOPE_END = _text(b"\x1a", SCHEMA_URL)
