"""The bytes of spans to lines of OTLP JSON, one span a line.

Names are in lowerCamelCase, ids in hex, enumerations are integers, 64-bit integers are texts of decimal digits.
"""

from __future__ import annotations

import base64
import json
import math
import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from otel_agent_events.errors import ReadError
from otel_agent_events.otlp.lines.fields import ID_BYTES, MOST_HEADS, is_repeated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from google.protobuf.descriptor import Descriptor, FieldDescriptor
    from google.protobuf.message import Message

    from otel_agent_events.otlp import Head

_UNSEEN = re.compile("[\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")

_FIRST = {
    Span.DESCRIPTOR.fields_by_name[name].number
    for name in (
        "trace_id",
        "span_id",
        "trace_state",
        "parent_span_id",
        "flags",
        "name",
        "kind",
        "start_time_unix_nano",
        "end_time_unix_nano",
    )
}
"""The fields of a span that stand at the beginning of its line."""

_quoted = json.JSONEncoder(ensure_ascii=False).encode


def written(head: Head, bodies: Sequence[bytes]) -> Iterator[str]:
    """Write spans as lines of OTLP JSON, each with its line feed. The same span gives the same line.

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
                line = f"{before}{_span(span)}{after}"
                if not line.isascii():
                    # JSON may hold these as they are, but they break lines, or a terminal obeys them.
                    line = _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", line)
                yield line
    except DecodeError as error:
        raise ReadError(f"a span cannot be written as JSON: its bytes are no OTLP ({error})") from error


@lru_cache(maxsize=MOST_HEADS)
def _around(head: Head) -> tuple[str, str]:
    """Give what stands before and behind a span in its line."""
    resource_spans = ResourceSpans.FromString(head.resource + head.resource_end)
    scope_spans = ScopeSpans.FromString(head.scope + head.scope_end)
    resource = f'"resource":{_message(resource_spans.resource)},' if resource_spans.HasField("resource") else ""
    scope = f'"scope":{_message(scope_spans.scope)},' if scope_spans.HasField("scope") else ""
    before = f'{{"resourceSpans":[{{{resource}"scopeSpans":[{{{scope}"spans":['
    return before, f"]{_schema(scope_spans.schema_url)}}}]{_schema(resource_spans.schema_url)}}}]}}\n"


def _schema(url: str) -> str:
    return f',"schemaUrl":{_quoted(url)}' if url else ""


def _span(span: Span) -> str:
    state = f',"traceState":{_quoted(span.trace_state)}' if span.trace_state else ""
    parent = f',"parentSpanId":"{span.parent_span_id.hex()}"' if span.parent_span_id else ""
    flags = f',"flags":{span.flags}' if span.flags else ""
    rest = "".join([f",{member}" for member in _members(span, _FIRST)])
    # The name, the kind and the times are told even when they are nothing, as every exporter does.
    return (
        f'{{"traceId":"{span.trace_id.hex()}","spanId":"{span.span_id.hex()}"{state}{parent}{flags},'
        f'"name":{_quoted(span.name)},"kind":{span.kind},"startTimeUnixNano":"{span.start_time_unix_nano}",'
        f'"endTimeUnixNano":"{span.end_time_unix_nano}"{rest}}}'
    )


def _message(message: Message) -> str:
    return f"{{{','.join(_members(message))}}}"


def _members(message: Message, told: set[int] | frozenset[int] = frozenset()) -> list[str]:
    """Write everything that is set in a message, by the names of OTLP JSON, in the order of the protocol.

    Args:
        message: any of OTLP.
        told: the numbers of the fields that are left out.
    """
    writers = _writers(message.DESCRIPTOR)
    members = []
    for field, each in message.ListFields():
        number = field.number
        if number not in told:
            before, write = writers[number]
            members.append(before + write(each))
    return members


def _value(value: AnyValue) -> str:
    # Nearly every value of a span is a text, and most of the others are integers.
    match value.WhichOneof("value"):
        case "string_value":
            return f'{{"stringValue":{_quoted(value.string_value)}}}'
        case "int_value":
            return f'{{"intValue":"{value.int_value}"}}'
        case "array_value":
            return f'{{"arrayValue":{{"values":[{",".join(map(_value, value.array_value.values))}]}}}}'
        case _:
            return _message(value)


def _pair(pair: KeyValue) -> str:
    return f'{{"key":{_quoted(pair.key)},"value":{_value(pair.value)}}}' if pair.key else _message(pair)


def _double(number: float) -> str:
    """Write a number, or the text that stands for what JSON has no number for."""
    if math.isfinite(number):
        return repr(number)
    return '"NaN"' if math.isnan(number) else '"Infinity"' if number > 0 else '"-Infinity"'


@cache
def _writers(descriptor: Descriptor) -> dict[int, tuple[str, Callable[[Any], str]]]:
    """Give what stands before the value of each field of a message, by its number, and what writes the value."""
    return {field.number: (f'"{field.json_name}":', _writer(field)) for field in descriptor.fields}


def _writer(field: FieldDescriptor) -> Callable[[Any], str]:
    write = _one_writer(field)
    return (lambda values: f"[{','.join(map(write, values))}]") if is_repeated(field) else write


def _one_writer(field: FieldDescriptor) -> Callable[[Any], str]:
    match field.cpp_type:
        case field.CPPTYPE_MESSAGE if field.message_type is KeyValue.DESCRIPTOR:
            return _pair
        case field.CPPTYPE_MESSAGE:
            return _value if field.message_type is AnyValue.DESCRIPTOR else _message
        case field.CPPTYPE_INT64 | field.CPPTYPE_UINT64:
            return '"{}"'.format
        case field.CPPTYPE_DOUBLE:
            return _double
        case field.CPPTYPE_BOOL:
            return lambda each: "true" if each else "false"
        case field.CPPTYPE_STRING if field.type != field.TYPE_BYTES:
            return _quoted
        case field.CPPTYPE_STRING if field.name in ID_BYTES:
            return lambda content: f'"{content.hex()}"'
        case field.CPPTYPE_STRING:
            return lambda content: f'"{base64.b64encode(content).decode()}"'
        case _:
            return str
