"""Spans as lines of OTLP JSON, in a file or on the console.

One line is one `TracesData` object with one span: the bytes do not depend on how the spans came in, no reader
meets a line that is too long for it, and damage to a line costs one span. Names are in lowerCamelCase, ids in hex,
enumerations are integers, 64-bit integers are texts of decimal digits.
"""

from __future__ import annotations

import io
import json
import os
import re
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from otel_agent_events.errors import DestinationError, UsageError
from otel_agent_events.otlp import SCHEMA_URL, Outcome
from otel_agent_events.replacement import Replacement
from otel_agent_events.spans import SCOPE_NAME, SCOPE_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from otel_agent_events.attributes import Final
    from otel_agent_events.otlp import Encoded
    from otel_agent_events.spans import Link, Resource, Span, SpanEvent

_KINDS = {"internal": 1, "client": 3}
_ERROR = 2
_PARENT_IS_LOCAL = 0x100
_IS_REMOTE = 0x300

_UNSEEN = re.compile("[\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")

_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_SCOPE = _dumps({"name": SCOPE_NAME, "version": SCOPE_VERSION})


class LineWriter:
    """Write spans as lines of OTLP JSON. The same span gives the same line."""

    def __init__(self) -> None:
        self._resource: Resource | None = None
        self._head = ""

    def line(self, span: Span) -> str:
        """Give the line of a span, with its line feed."""
        if span.resource is not self._resource:
            self._resource = span.resource
            resource = _dumps(_attributes({}, span.resource.attributes))
            self._head = f'{{"resourceSpans":[{{"resource":{resource},"scopeSpans":[{{"scope":{_SCOPE},"spans":['
        line = f'{self._head}{_dumps(_span(span))}],"schemaUrl":"{SCHEMA_URL}"}}]}}]}}\n'
        if not line.isascii():
            # JSON may hold these as they are, but they break lines, or a terminal obeys them.
            line = _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", line)
        return line


class _LinesDestination(ABC):
    """What file and console have in common: every span is written, or lost, when it is submitted."""

    name: str

    def __init__(self) -> None:
        self.failure: DestinationError | None = None
        self._outcomes: list[Outcome] = []
        self._writer = LineWriter()

    def submit(self, encoded: Encoded) -> None:
        """Write the lines of the spans."""
        spans = encoded.spans
        if not spans:
            return
        if self.failure is None:
            try:
                self._write("".join(map(self._writer.line, spans)))
            except DestinationError as error:
                self.failure = error
        outcome = Outcome(destination=self.name, owner=encoded.owner, first=encoded.first)
        if self.failure is None:
            self._outcomes.append(replace(outcome, acknowledged=len(spans)))
        else:
            self._outcomes.append(replace(outcome, lost=len(spans), message=str(self.failure)))

    def outcomes(self) -> list[Outcome]:
        """Give the outcomes since the last call."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def flush(self) -> None:  # noqa: B027 - it is complete
        """Do nothing: `submit` leaves nothing unwritten."""

    def stop(self) -> None:  # noqa: B027 - it is complete
        """Do nothing: it never waits."""

    @abstractmethod
    def _write(self, lines: str) -> None:
        """Write all the lines, or raise DestinationError."""


class FileDestination(_LinesDestination):
    """A file of OTLP JSON lines, which is put in place on `close` and not before.

    Until then the lines are in a file beside it. A span is acknowledged when its line is written; when the disk is
    full, the file ends after the last batch that was written whole.

    Args:
        path: of the file; one that is there is replaced.

    Raises:
        UsageError: it cannot be written there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self.name = f"file:{os.fspath(path)}"
        self._file = Replacement(path)

    def close(self) -> None:
        """Put the file in place.

        After a failure the file holds what was acknowledged. When that is nothing, one that was there before stays.

        Raises:
            DestinationError: it cannot be put in place. Nothing stays of it.
        """
        if self._file.closed:
            return
        if not self._file.size:
            self.abandon()
            return
        try:
            self._file.put()
        except OSError as error:
            self.failure = DestinationError(f"{self.name} cannot be put in place: {error.strerror}")
            raise self.failure from error

    def abandon(self) -> None:
        """Take away what was written; a file that was there before stays as it is."""
        self._file.abandon()

    def _write(self, lines: str) -> None:
        try:
            self._file.write(lines.encode())
        except OSError as error:
            raise DestinationError(f"{self.name} cannot be written any further: {error.strerror}") from error


class ConsoleDestination(_LinesDestination):
    """The same lines on a text stream, which stays open.

    Args:
        stream: such as `sys.stdout`. One that cannot hold a character gets the line in ASCII.

    Raises:
        UsageError: there is no stream.
    """

    def __init__(self, stream: TextIO | None) -> None:
        if stream is None:  # as with `>&-`
            raise UsageError("the console cannot be written: standard output is closed")
        super().__init__()
        self.name = "console"
        self._stream = stream

    def close(self) -> None:
        """Do nothing: the stream belongs to the caller."""

    def abandon(self) -> None:
        """Do nothing: what is written is written."""

    def _write(self, lines: str) -> None:
        try:
            self._write_through(lines)
        except BrokenPipeError as error:
            raise DestinationError("nobody reads the console's output any more") from error
        except (OSError, ValueError) as error:  # a stream that is closed raises ValueError
            raise DestinationError(f"the console cannot be written: {error}") from error

    def _write_through(self, lines: str) -> None:
        """Write to whoever reads, so that what was written is known to be."""
        try:
            lines.encode(self._stream.encoding or "utf-8")
        except UnicodeEncodeError:
            lines = "".join(json.dumps(json.loads(line), separators=(",", ":")) + "\n" for line in lines.splitlines())
        raw = getattr(self._stream, "buffer", None)
        if isinstance(raw, io.RawIOBase):
            # Unbuffered: Python does not notice there that only a part was written.
            left = memoryview(lines.encode(self._stream.encoding))
            while left:
                left = left[raw.write(left) or 0 :]
        else:
            self._stream.write(lines)
            self._stream.flush()


def _span(span: Span) -> dict[str, Any]:
    told: dict[str, Any] = {"traceId": span.trace_id.hex(), "spanId": span.span_id.hex()}
    if span.trace_state:
        told["traceState"] = span.trace_state
    if span.parent_id is not None:
        told["parentSpanId"] = span.parent_id.hex()
    told["flags"] = _IS_REMOTE if span.parent_id is not None and span.parent_is_remote else _PARENT_IS_LOCAL
    told["name"] = span.name
    told["kind"] = _KINDS[span.kind]
    told["startTimeUnixNano"] = str(span.start)
    told["endTimeUnixNano"] = str(span.end)
    _attributes(told, span.attributes, span.dropped_attributes)
    if span.events:
        told["events"] = [_event(event) for event in span.events]
    if span.dropped_events:
        told["droppedEventsCount"] = span.dropped_events
    if span.links:
        told["links"] = [_link(link) for link in span.links]
    if span.dropped_links:
        told["droppedLinksCount"] = span.dropped_links
    told["status"] = _status(span)
    return told


def _status(span: Span) -> dict[str, Any]:
    if span.status == "unset":
        return {}
    return {"message": span.description, "code": _ERROR} if span.description else {"code": _ERROR}


def _event(event: SpanEvent) -> dict[str, Any]:
    told: dict[str, Any] = {"timeUnixNano": str(event.time)} if event.time else {}
    if event.name:
        told["name"] = event.name
    return _attributes(told, event.attributes, event.dropped_attributes)


def _link(link: Link) -> dict[str, Any]:
    told = {"traceId": link.trace_id.hex(), "spanId": link.span_id.hex()}
    if link.trace_state:
        told["traceState"] = link.trace_state
    return _attributes(told, link.attributes, link.dropped_attributes) | {"flags": _IS_REMOTE}


def _attributes(told: dict[str, Any], attributes: Mapping[str, Final], dropped: int = 0) -> dict[str, Any]:
    """Add attributes to what is told of a span, an event, a link or a resource; nothing when there are none."""
    if attributes:
        told["attributes"] = [{"key": name, "value": _any_value(each)} for name, each in attributes.items()]
    if dropped:
        told["droppedAttributesCount"] = dropped
    return told


def _any_value(each: Final) -> dict[str, Any]:
    match each:
        case bool():
            return {"boolValue": each}
        case str():
            return {"stringValue": each}
        case int():
            return {"intValue": str(each)}
        case float():
            return {"doubleValue": each}
        case _:
            return {"arrayValue": {"values": [{"stringValue": text} for text in each]}}
