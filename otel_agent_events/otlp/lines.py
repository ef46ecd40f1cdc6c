"""Lines of OTLP JSON and the bytes of OTLP: one into the other and back, for any spans.

A line that is written holds one span, and looks as a file destination writes it. A line that is read may be any
`TracesData` or `ExportTraceServiceRequest`: of several resources, scopes and spans, its names in lowerCamelCase or as
in the protocol, its integers numbers or texts, its enumerations numbers or names. Names that nobody knows are ignored.

What OTLP has is taken from the protocol's own classes, so that nothing of it is forgotten here.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from decimal import Decimal, InvalidOperation
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from pydantic_core import to_json

from otel_agent_events.errors import ReadError
from otel_agent_events.otlp import Head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from google.protobuf.descriptor import Descriptor, FieldDescriptor
    from google.protobuf.message import Message

_MOST_HEADS = 1024
_MOST_EXACT = 2**53  # above it a JSON number with an exponent may have been rounded
_MOST_DIGITS = 20  # no integer of OTLP has more, and one with an exponent may be endless
_MOST_DEPTH = 90  # of messages within a span: protobuf reads a hundred, with those around it
_PAIR = 2  # a key and a value
_SPANS_TAG = b"\x12"  # field 2 of ScopeSpans, with a length

_IDS = {"trace_id": 16, "span_id": 8, "parent_span_id": 8}
"""Bytes of the ids: in JSON they are in hex, and all other bytes in base64."""

_UNSEEN = re.compile("[\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")

_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


# --- bytes to lines -----------------------------------------------------------------------------------


def written(head: Head, bodies: Sequence[bytes]) -> Iterator[str]:
    """Write spans as lines of OTLP JSON, each with its line feed.

    Args:
        head: what stands around them in a request.
        bodies: of each span the field `spans` of a `ScopeSpans`, with its tag and length.

    Raises:
        ReadError: the bytes are no OTLP.
    """
    try:
        before, after = _around(head)
        for body in bodies:
            for span in ScopeSpans.FromString(body).spans:
                line = f"{before}{_spelled(_span(span))}{after}"
                if not line.isascii():
                    # JSON may hold these as they are, but they break lines, or a terminal obeys them.
                    line = _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", line)
                yield line
    except DecodeError as error:
        raise ReadError(f"a span cannot be written as JSON: its bytes are no OTLP ({error})") from error


def _spelled(told: Mapping[str, Any]) -> str:
    # The quick writer gives the same text as Python's own, but for floats that have an exponent.
    text = to_json(told).decode()
    return _dumps(told) if '"doubleValue"' in text else text


@lru_cache(maxsize=_MOST_HEADS)
def _around(head: Head) -> tuple[str, str]:
    """Give what stands before and behind a span in its line."""
    resource_spans = ResourceSpans.FromString(head.resource + head.resource_end)
    scope_spans = ScopeSpans.FromString(head.scope + head.scope_end)
    resource = f'"resource":{_dumps(_told(resource_spans.resource))},' if resource_spans.HasField("resource") else ""
    scope = f'"scope":{_dumps(_told(scope_spans.scope))},' if scope_spans.HasField("scope") else ""
    before = f'{{"resourceSpans":[{{{resource}"scopeSpans":[{{{scope}"spans":['
    return before, f"]{_schema(scope_spans.schema_url)}}}]{_schema(resource_spans.schema_url)}}}]}}\n"


def _schema(url: str) -> str:
    return f',"schemaUrl":{_dumps(url)}' if url else ""


def _span(span: Span) -> dict[str, Any]:
    told: dict[str, Any] = {"traceId": span.trace_id.hex(), "spanId": span.span_id.hex()}
    if span.trace_state:
        told["traceState"] = span.trace_state
    if span.parent_span_id:
        told["parentSpanId"] = span.parent_span_id.hex()
    if span.flags:
        told["flags"] = span.flags
    told["name"] = span.name
    # These are told even when they are 0, as every exporter does.
    told["kind"] = span.kind
    told["startTimeUnixNano"] = str(span.start_time_unix_nano)
    told["endTimeUnixNano"] = str(span.end_time_unix_nano)
    return told | _told(span)


def _told(message: Message) -> dict[str, Any]:
    """Give everything that is set in a message, by the names of OTLP JSON, in the order of the protocol."""
    names = _writers(message.DESCRIPTOR)
    told = {}
    for field, each in message.ListFields():
        name, write = names[field.number]
        told[name] = write(each)
    return told


def _value(value: AnyValue) -> dict[str, Any]:
    # Nearly every value of a span is a text, and most of the others are integers.
    match value.WhichOneof("value"):
        case "string_value":
            return {"stringValue": value.string_value}
        case "int_value":
            return {"intValue": str(value.int_value)}
        case "bool_value":
            return {"boolValue": value.bool_value}
        case "array_value":
            return {"arrayValue": {"values": [_value(each) for each in value.array_value.values]}}
        case _:
            return _told(value)


def _pairs(pairs: Sequence[KeyValue]) -> list[dict[str, Any]]:
    return [{"key": pair.key, "value": _value(pair.value)} if pair.key else _told(pair) for pair in pairs]


def _double(value: float) -> float | str:
    """Give a number, or the text that stands for what JSON has no number for."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


@cache
def _writers(descriptor: Descriptor) -> dict[int, tuple[str, Callable[[Any], Any]]]:
    """Give the JSON name of each field of a message, by its number, and what writes its value."""
    return {field.number: (field.json_name, _writer(field)) for field in descriptor.fields}


def _writer(field: FieldDescriptor) -> Callable[[Any], Any]:
    if field.message_type is KeyValue.DESCRIPTOR:
        return _pairs
    write = _one_writer(field)
    return (lambda values: [write(each) for each in values]) if _is_repeated(field) else write


def _one_writer(field: FieldDescriptor) -> Callable[[Any], Any]:
    match field.cpp_type:
        case field.CPPTYPE_MESSAGE:
            return _value if field.message_type is AnyValue.DESCRIPTOR else _told
        case field.CPPTYPE_INT64 | field.CPPTYPE_UINT64:
            return str
        case field.CPPTYPE_DOUBLE:
            return _double
        case field.CPPTYPE_STRING if field.type == field.TYPE_BYTES:
            return bytes.hex if field.name in _IDS else lambda content: base64.b64encode(content).decode()
        case _:
            return lambda each: each


def _is_repeated(field: FieldDescriptor) -> bool:
    # Old releases of protobuf know `label` only, and new ones warn of it.
    return bool(field.default_value == [])


# --- lines to bytes -----------------------------------------------------------------------------------


def read(line: bytes) -> list[tuple[Head, list[bytes]]]:
    """Read a line of OTLP JSON.

    Unpaired surrogates in its texts become the escapes that they were.

    Args:
        line: one JSON object in UTF-8.

    Returns:
        What stands around spans in a request, and of each span the field `spans` of a `ScopeSpans`, with its tag and
        length. Heads that are equal are mostly the same object, from line to line as well.

    Raises:
        ReadError: there is no such object, or something in it is not as OTLP has it. Nothing of the line is quoted:
            spans may be private.
    """
    told = _parsed(line)
    try:
        return _read(told)
    except _RoundedError:
        return _read(_parsed(line, parse_float=Decimal))


class _RoundedError(Exception):
    """A number has an exponent or a fraction, and as a float it is not exact."""


def _parsed(line: bytes, **options: Any) -> Any:
    try:
        return json.loads(line, **options)
    except (ValueError, RecursionError):
        raise ReadError("it is no JSON; every line holds one object, as `jq -c .` writes it") from None


def _read(told: Any) -> list[tuple[Head, list[bytes]]]:
    if not isinstance(told, dict):
        raise ReadError("it is no JSON object")
    every = _member(told, "resourceSpans", "resource_spans")
    if every is None:
        if told and not any(name in told for name in ("resourceSpans", "resource_spans")):
            raise ReadError("there are no spans in it: it has no resourceSpans")
        return []
    groups = []
    try:
        for each in _list(every, "resourceSpans"):
            resource = _object(each, "resourceSpans")
            scopes = _list(_member(resource, "scopeSpans", "scope_spans") or [], "scopeSpans")
            around = {name: part for name, part in resource.items() if name not in _SCOPES}
            for one in scopes:
                scope = dict(_object(one, "scopeSpans"))
                bodies = [_body(span) for span in _list(scope.pop("spans", None) or [], "spans")]
                if bodies:
                    groups.append((_head(_Around(around, scope)), bodies))
    except RecursionError:
        raise ReadError("something in it is nested too deeply") from None
    return groups


class _Around:
    """What is told around spans, to be looked up by how it is spelled: from line to line it is mostly the same."""

    def __init__(self, resource: Mapping[str, Any], scope: Mapping[str, Any]) -> None:
        self.resource = resource
        self.scope = scope
        self._spelled = f"{resource!r}{scope!r}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Around) and self._spelled == other._spelled

    def __hash__(self) -> int:
        return hash(self._spelled)


@lru_cache(maxsize=_MOST_HEADS)
def _head(around: _Around) -> Head:
    resource_spans, scope_spans = ResourceSpans(), ScopeSpans()
    _fill(resource_spans, around.resource)
    _fill(scope_spans, around.scope)
    return _known(*_ends(resource_spans, "resource"), *_ends(scope_spans, "scope"))


_SCOPES = {"scopeSpans", "scope_spans"}


def _ends(around: ResourceSpans | ScopeSpans, name: str) -> tuple[bytes, bytes]:
    """Give the field in front of what a message surrounds, and its schema URL, which stands behind."""
    begin, end = type(around)(), type(around)(schema_url=around.schema_url)
    if around.HasField(name):  # type: ignore[arg-type]
        getattr(begin, name).CopyFrom(getattr(around, name))
    return begin.SerializeToString(deterministic=True), end.SerializeToString()


@lru_cache(maxsize=_MOST_HEADS)
def _known(resource: bytes, resource_end: bytes, scope: bytes, scope_end: bytes) -> Head:
    return Head(resource, scope, scope_end, resource_end)


def _body(told: Any) -> bytes:
    span = Span()
    _fill(span, _object(told, "spans"))
    if not span.trace_id or not span.span_id:
        raise ReadError("a span has no traceId or no spanId")
    content = span.SerializeToString(deterministic=True)
    length, prefix = len(content), bytearray(_SPANS_TAG)
    while length > 0x7F:  # noqa: PLR2004 - seven bits a byte
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + content


class _Field(NamedTuple):
    """How a field is read: by `read`, or as a message of its own where that is None.

    `enum` has the numbers of an enumeration by their names; `pairs` says that it holds attributes.
    """

    name: str
    json_name: str
    read: Callable[[Any, _Field], Any] | None
    repeated: bool
    enum: Mapping[str, int]
    pairs: bool


@cache
def _fields(descriptor: Descriptor) -> dict[str, _Field]:
    """Give the fields of a message by each of their names."""
    fields = {}
    for each in descriptor.fields:
        enum = (
            {} if each.enum_type is None else {name: one.number for name, one in each.enum_type.values_by_name.items()}
        )
        field = _Field(
            each.name, each.json_name, _reader(each), _is_repeated(each), enum, each.message_type is KeyValue.DESCRIPTOR
        )
        fields[each.name] = fields[each.json_name] = field
    return fields


def _fill(message: Message, told: Mapping[str, Any], depth: int = 0) -> None:
    """Set what is told of a message; what is null is as good as absent."""
    if depth > _MOST_DEPTH:
        raise ReadError("something in it is nested too deeply")
    fields = _fields(message.DESCRIPTOR)
    for name, each in told.items():
        field = fields.get(name)
        if field is None or each is None:
            continue
        if field.read is not None:
            if field.repeated:
                getattr(message, field.name).extend(field.read(one, field) for one in _list(each, name))
            else:
                setattr(message, field.name, field.read(each, field))
        elif not field.repeated:
            inner = getattr(message, field.name)
            inner.SetInParent()  # nothing in it is something else than no such thing
            _fill(inner, _object(each, name), depth + 1)
        else:
            add = getattr(message, field.name).add
            for one in _list(each, name):
                inner = add()
                if not (field.pairs and _fill_plain(inner, one)):
                    _fill(inner, {} if one is None else _object(one, name), depth + 1)


def _fill_plain(pair: Any, told: Any) -> bool:
    """Set an attribute that is a text or an integer, as nearly all are; False when it is not, or looks odd."""
    try:
        key, each = told["key"], told["value"]
        ((kind, content),) = each.items()
        if type(key) is not str or type(content) is not str or len(told) > _PAIR:
            return False
        if kind == "stringValue":
            pair.value.string_value = content
        elif kind == "intValue" and content.isdecimal():
            pair.value.int_value = int(content)
        else:
            return False
        pair.key = key
    except (AttributeError, KeyError, TypeError, ValueError):  # a lone surrogate, or an integer of too many bits
        return False
    return True


def _reader(field: FieldDescriptor) -> Callable[[Any, _Field], Any] | None:
    match field.cpp_type:
        case field.CPPTYPE_MESSAGE:
            return None
        case field.CPPTYPE_STRING:
            if field.type != field.TYPE_BYTES:
                return _text
            return _id if field.name in _IDS else _bytes
        case field.CPPTYPE_DOUBLE:
            return _number
        case field.CPPTYPE_BOOL:
            return _bool
        case field.CPPTYPE_ENUM:
            return _enum
        case field.CPPTYPE_INT64:
            return _integers(-(2**63), 2**63)
        case field.CPPTYPE_UINT64:
            return _integers(0, 2**64)
        case field.CPPTYPE_UINT32:
            return _integers(0, 2**32)
        case _:
            return _integers(-(2**31), 2**31)


def _text(told: Any, field: _Field) -> str:
    if type(told) is not str:
        raise ReadError(f"{field.json_name} is no text")
    if told.isascii():
        return told
    try:
        told.encode()
    except UnicodeEncodeError:
        return told.encode("utf-8", "backslashreplace").decode()
    return told


def _id(told: Any, field: _Field) -> bytes:
    size = _IDS[field.name]
    try:
        content = bytes.fromhex(told)
    except (TypeError, ValueError):
        content = b"\x00"  # of no id's length
    if content and (len(content) != size or len(told) != 2 * size):
        raise ReadError(f"{field.json_name} is not {2 * size} hex digits")
    return content


def _bytes(told: Any, field: _Field) -> bytes:
    try:
        content = told.rstrip("=").replace("-", "+").replace("_", "/")
        return base64.b64decode(content + "=" * (-len(content) % 4), validate=True)
    except (AttributeError, binascii.Error, ValueError):
        raise ReadError(f"{field.json_name} is not base64") from None


def _bool(told: Any, field: _Field) -> bool:
    if type(told) is not bool:
        raise ReadError(f"{field.json_name} is neither true nor false")
    return told


def _number(told: Any, field: _Field) -> float:
    try:
        if type(told) is not bool:
            return float(told)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ReadError(f"{field.json_name} is no number")


def _enum(told: Any, field: _Field) -> int:
    number = field.enum.get(told) if isinstance(told, str) else None
    return _ENUMS(told, field) if number is None else number


def _integers(least: int, beyond: int) -> Callable[[Any, _Field], int]:
    def _integer(told: Any, field: _Field) -> int:
        try:
            number = told if type(told) is int else _exact(told)
        except (TypeError, ValueError, OverflowError, InvalidOperation):
            raise ReadError(f"{field.json_name} is no integer") from None
        if not least <= number < beyond:
            raise ReadError(f"{field.json_name} is out of range")
        return number

    return _integer


_ENUMS = _integers(-(2**31), 2**31)


def _exact(told: Any) -> int:
    """Read an integer that is not spelled as one."""
    match told:
        case str() if told.removeprefix("-").isdecimal():
            return int(told)
        case str():
            told = Decimal(told)
        case float() if abs(told) > _MOST_EXACT:
            raise _RoundedError
        case float():
            told = Decimal(told)
        case Decimal():
            pass
        case _:
            raise TypeError
    if not told.is_finite() or told.adjusted() > _MOST_DIGITS or told != told.to_integral_value():
        raise ValueError
    return int(told)


def _member(told: Mapping[str, Any], name: str, other: str) -> Any:
    each = told.get(name)
    return told.get(other) if each is None else each


def _list(told: Any, name: str) -> list[Any]:
    if not isinstance(told, list):
        raise ReadError(f"{name} is no list")
    return told


def _object(told: Any, name: str) -> dict[str, Any]:
    if not isinstance(told, dict):
        raise ReadError(f"{name} is no object")
    return told
