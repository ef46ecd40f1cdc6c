"""OTLP over gRPC: one request is one unary call, and every answer is read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otel_agent_events.events import value
from otel_agent_events.messages import user_agent
from otel_agent_events.otlp import tls
from otel_agent_events.otlp.verdicts import (
    Acknowledged,
    DestinationRefused,
    Malformed,
    Refused,
    Retry,
    TooLarge,
    Trouble,
    judge_trouble,
    plain,
    quoted,
    speaks_of_size,
)

if TYPE_CHECKING:
    from otel_agent_events.otlp import Endpoint
    from otel_agent_events.otlp.verdicts import Verdict

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

_DETAILS = "grpc-status-details-bin"
_TEMPORARY = ("CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS")
_NANOSECONDS = 1_000_000_000
_NEARLY = 0.9  # gRPC counts in whole milliseconds

_UNRESOLVED = ("errors resolving", "dns resolution failed", "name resolution failure")
_UNSENT = ("failed to connect", "connections to all backends failing", *_UNRESOLVED)
"""How the words of gRPC's own UNAVAILABLE begin, in lower case: no server has seen the request."""


@value()
class Answer:
    """How a call ended.

    Attributes:
        code: the name of the status code, such as `OK`.
        words: what goes with a code that is not `OK`.
        details: the `google.rpc.Status` of the trailing metadata, if there is one.
        body: the response.
        late: whether the time for one request was over.
    """

    code: str
    words: str = ""
    details: bytes | None = None
    body: bytes = b""
    late: bool = False


def judge(answer: Answer, endpoint: Endpoint) -> Verdict:
    """Say what an answer means."""
    if answer.code == "OK":
        return _judge_success(answer, endpoint)
    trouble = find_trouble(answer)
    if trouble is not None:
        return judge_trouble(trouble, endpoint)
    message = f"{endpoint.name} answered {answer.code}{quoted(answer.words, endpoint)}"
    asked = retry_delay(answer.details)
    if answer.code in _TEMPORARY or (answer.code == "RESOURCE_EXHAUSTED" and asked is not None):
        return Retry(message=message, after=asked)
    match answer.code:
        case "UNAUTHENTICATED" | "PERMISSION_DENIED":
            hint = "Check the credentials in --header or OTEL_EXPORTER_OTLP_HEADERS"
        case "UNIMPLEMENTED":
            hint = "Is this an OTLP gRPC port? It is usually 4317; 4318 is HTTP: set the protocol http/protobuf"
        case "RESOURCE_EXHAUSTED" | "INVALID_ARGUMENT" if speaks_of_size(answer.words):
            return TooLarge(message=message)
        case "INVALID_ARGUMENT":
            return Malformed(message=message)
        case _:
            return Refused(message=message)
    return DestinationRefused(message=f"{message}. {hint}")


def find_trouble(answer: Answer) -> Trouble | None:
    """Say why there was no answer; None when a server answered."""
    words = answer.words.lower()
    if answer.code == "DEADLINE_EXCEEDED" and answer.late:
        return Trouble(kind="slow", detail=answer.words)
    if answer.code != "UNAVAILABLE" or not words.startswith(_UNSENT):
        return None
    if "handshake failed" in words:
        return Trouble(kind="tls", detail=answer.words)
    if "http/2" in words or "http1" in words:
        return Trouble(kind="foreign", detail=answer.words)
    if words.startswith(_UNRESOLVED):
        return Trouble(kind="unknown", detail=answer.words)
    if "connection refused" in words:
        return Trouble(kind="absent", detail=answer.words)
    return Trouble(kind="broken", detail=answer.words)


def retry_delay(details: bytes | None) -> float | None:
    """Read the seconds that a `RetryInfo` among the details of a status asks to wait; None when there is none."""
    if details is None:
        return None
    info = RetryInfo()
    try:
        for each in Status.FromString(details).details:
            if each.Unpack(info):
                return max(0.0, float(info.retry_delay.seconds) + float(info.retry_delay.nanos) / _NANOSECONDS)
    except DecodeError:
        pass
    return None


class GrpcTransport:
    """Call `TraceService/Export` at one endpoint. For several threads.

    With gzip, gRPC compresses at its own usual level: it has no option for another one.

    Raises:
        UsageError: a certificate or a key cannot be read.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._metadata = tuple(
            (name, text.encode() if name.endswith("-bin") else text)
            for name, text in endpoint.request_headers().items()
        )
        self._compression = grpc.Compression.Gzip if endpoint.compression == "gzip" else grpc.Compression.NoCompression
        options = (
            ("grpc.primary_user_agent", user_agent()),
            # The size of a request is capped before this, and a single span above the cap is still tried.
            ("grpc.max_send_message_length", -1),
            # When to try again is decided here; gRPC would wait up to two minutes with the connection.
            ("grpc.enable_retries", 0),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1_000),
        )
        if endpoint.plaintext:
            self._channel = grpc.insecure_channel(endpoint.target, options)
        else:
            credentials = grpc.ssl_channel_credentials(*tls.read(endpoint))
            self._channel = grpc.secure_channel(endpoint.target, credentials, options)
        # Bytes in, bytes out: a response that is none is judged here, and not logged with a traceback by gRPC.
        self._export: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(METHOD)

    def send(self, body: bytes) -> Verdict:
        """Send an `ExportTraceServiceRequest` once and say what the answer means."""
        timeout, begun = self._endpoint.timeout, time.monotonic()
        try:
            response = self._export(body, timeout=timeout, metadata=self._metadata, compression=self._compression)
        except grpc.RpcError as error:
            trailing = {each.key: each.value for each in error.trailing_metadata() or ()}
            answer = Answer(
                code=error.code().name,
                words=error.details() or "",
                details=trailing.get(_DETAILS),
                late=time.monotonic() - begun > _NEARLY * timeout,
            )
        else:
            answer = Answer(code="OK", body=response)
        return judge(answer, self._endpoint)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


def _judge_success(answer: Answer, endpoint: Endpoint) -> Verdict:
    try:
        partial = ExportTraceServiceResponse.FromString(answer.body).partial_success
    except DecodeError:
        return DestinationRefused(message=f"what answers at {endpoint.name} does not look like an OTLP receiver")
    return Acknowledged(rejected=partial.rejected_spans, message=plain(partial.error_message, endpoint) or None)
