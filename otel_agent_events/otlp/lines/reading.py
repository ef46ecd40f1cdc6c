"""Lines of OTLP JSON to the bytes of spans."""

from __future__ import annotations

import base64
import binascii
import json
from decimal import Decimal, InvalidOperation
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from otel_agent_events.errors import ReadError
from otel_agent_events.otlp import Head
from otel_agent_events.otlp.encode import varint
from otel_agent_events.otlp.lines.fields import ID_BYTES, MOST_HEADS, is_repeated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from google.protobuf.descriptor import Descriptor, FieldDescriptor
    from google.protobuf.message import Message

_MOST_EXACT = 2**53  # above it a JSON number with an exponent may have been rounded
_MOST_DIGITS = 20  # no integer of OTLP has more, and one with an exponent may be endless
_MOST_DEPTH = 90  # of messages within a span: protobuf reads a hundred, with those around it
_PAIR = 2  # a key and a value
_SPANS_TAG = b"\x12"  # field 2 of ScopeSpans, with a length


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


@lru_cache(maxsize=MOST_HEADS)
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


@lru_cache(maxsize=MOST_HEADS)
def _known(resource: bytes, resource_end: bytes, scope: bytes, scope_end: bytes) -> Head:
    return Head(resource, scope, scope_end, resource_end)


def _body(told: Any) -> bytes:
    span = Span()
    _fill(span, _object(told, "spans"))
    if not span.trace_id or not span.span_id:
        raise ReadError("a span has no traceId or no spanId")
    content = span.SerializeToString(deterministic=True)
    return b"".join((_SPANS_TAG, varint(len(content)), content))


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
            each.name, each.json_name, _reader(each), is_repeated(each), enum, each.message_type is KeyValue.DESCRIPTOR
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
            return _id if field.name in ID_BYTES else _bytes
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
    size = ID_BYTES[field.name]
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
