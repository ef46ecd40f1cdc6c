"""The floor: what nobody can leave out, done in the quickest way that the base install has.

Every page is parsed, every event's time is read and what it says is written as JSON, every span gets an id of a hash;
requests that were finished before are posted. No event is looked at, no span is made, nothing is encoded.
"""

from __future__ import annotations

import http.client
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import grpc
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from pydantic_core import from_json, to_json

from benchmarks import usual

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

MOST_BYTES = 2_000_000
"""Of one request."""

SENDERS = 8
"""Requests at once, when the collector is far away."""

_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LENGTH = struct.Struct("<II")
_ENCODED_AT_ONCE = 100


def through_floor(
    path: Path, bodies: Sequence[tuple[int, bytes]], post: Callable[[bytes], object], senders: int
) -> int:
    """Do to a session what cannot be left out.

    Args:
        path: a file of pages, one a line.
        bodies: finished requests with their number of spans.
        post: sends one request and waits for its answer.
        senders: requests at once; with 0 they are sent in turn with the work.

    Returns:
        How many spans were sent.
    """
    trace_id = sha256(str(path).encode()).digest()[:16]
    read, epoch = datetime.fromisoformat, _EPOCH
    waiting = list(reversed(bodies))
    sent = seen = 0
    pool = ThreadPoolExecutor(senders) if senders else None
    posted = []

    def send() -> None:
        nonlocal sent
        spans, body = waiting.pop()
        sent += spans
        if pool is None:
            post(body)
        else:
            posted.append(pool.submit(post, body))

    with path.open("rb") as file:
        for line in file:
            for record in from_json(line)["events"]:
                since = read(record["created_at"]) - epoch
                _ = (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000
                to_json(_said(record))
                if record["type"] != "tool_output":
                    int.from_bytes(sha256(trace_id + record["id"].encode()).digest()[:8], "big")
                    seen += 1
            while waiting and seen >= sent + waiting[-1][0]:
                send()
    while waiting:
        send()
    for each in posted:
        each.result()
    return sent


def _said(record: dict[str, Any]) -> Any:
    match record["type"]:
        case "tool_input":
            return record["tool_input"]
        case "tool_output":
            return record["tool_output"]
        case "input_message":
            return record["messages"]
        case _:
            return record["content"]


def over_http(url: str) -> Callable[[bytes], object]:
    """Give what posts a request to a collector; every thread has a connection of its own."""
    parts = urlsplit(url)
    local = threading.local()

    def post(body: bytes) -> None:
        connection: http.client.HTTPConnection | None = getattr(local, "connection", None)
        if connection is None:
            connection = local.connection = http.client.HTTPConnection(parts.netloc)
        connection.request("POST", parts.path, body, {"Content-Type": "application/x-protobuf"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"the collector answered {answer.status}")

    return post


def over_grpc(url: str) -> Callable[[bytes], object]:
    """Give what calls a collector, bytes in and bytes out."""
    channel = grpc.insecure_channel(urlsplit(url).netloc, (("grpc.max_send_message_length", -1),))
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_METHOD)
    return call


def finish(path: Path, session: str, target: Path) -> None:
    """Write the finished requests of a session: the spans of the usual script, encoded by the official encoder."""
    with target.open("wb") as file:
        pieces: list[bytes] = []
        spans = 0
        for batch in _batches(usual.readable(path, session)):
            piece = encode_spans(batch).SerializeToString()
            if pieces and sum(map(len, pieces)) + len(piece) > MOST_BYTES:
                _write(file, spans, pieces)
                pieces, spans = [], 0
            pieces.append(piece)  # messages one after the other are one message with the fields of all
            spans += len(batch)
        _write(file, spans, pieces)


def finished(path: Path) -> list[tuple[int, bytes]]:
    """Read what `finish` wrote."""
    content = path.read_bytes()
    bodies = []
    place = 0
    while place < len(content):
        spans, length = _LENGTH.unpack_from(content, place)
        place += _LENGTH.size
        bodies.append((spans, content[place : place + length]))
        place += length
    return bodies


def _write(file: Any, spans: int, pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    file.write(_LENGTH.pack(spans, len(body)) + body)


def _batches(spans: Iterable[ReadableSpan]) -> Iterable[list[ReadableSpan]]:
    batch: list[ReadableSpan] = []
    for span in spans:
        batch.append(span)
        if len(batch) == _ENCODED_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
