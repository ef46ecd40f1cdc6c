"""OTLP over HTTP: one request is one POST, and every answer is read."""

from __future__ import annotations

import gzip
import json
import re
import socket
import ssl
import time
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otel_agent_events.errors import UsageError
from otel_agent_events.events import value
from otel_agent_events.messages import user_agent
from otel_agent_events.otlp import tls
from otel_agent_events.otlp.bounds import Bounds
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
from otel_agent_events.retry import retry_after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otel_agent_events.otlp import Endpoint
    from otel_agent_events.otlp.verdicts import Verdict

MOST_ANSWER = 1_048_576
"""Bytes of an answer that are read; no receiver has that much to say."""

_TEMPORARY = (429, 502, 503, 504)
_TOO_LARGE = 413
_MAYBE_SIZE = (400, 422, 429, 500)
_TAG = re.compile(r"<style.*?</style>|<script.*?</script>|<[^>]*>", re.DOTALL | re.IGNORECASE)


@value()
class Answer:
    """What a server answered, as far as it matters."""

    status: int
    content_type: str = ""
    retry_after: str | None = None
    location: str | None = None
    body: bytes = b""


def judge(answer: Answer, endpoint: Endpoint, *, now: float) -> Verdict:
    """Say what an answer means. `now`: seconds since 1970, against which a date in Retry-After is told."""
    status = answer.status
    said = f"{endpoint.name} answered {status}"
    if 200 <= status < 300:  # noqa: PLR2004
        return _judge_success(answer, endpoint)
    if 300 <= status < 400:  # noqa: PLR2004
        return DestinationRefused(
            message=f"{said} and points to {_place(answer.location, endpoint)}. Spans are not sent on to another "
            "address: if that is the one, give it as the endpoint"
        )
    told = _words(answer)
    message = f"{said}{quoted(told, endpoint)}"
    asked = retry_after(answer.retry_after, now=now)
    if _is_about_size(status, told, asked):
        return TooLarge(message=message)
    if status in _TEMPORARY:
        return Retry(message=message, after=asked)
    match status:
        case 400 | 422:
            return Malformed(message=message)
        case 401 | 403:
            hint = "Check the credentials in --header or OTEL_EXPORTER_OTLP_HEADERS"
        case 404 | 405:
            hint = "OTLP over HTTP takes traces at the path /v1/traces; port 4317 is gRPC: set the protocol grpc"
        case 407:
            hint = "The proxy on the way asks for credentials"
        case 415:
            compressed = " with gzip; OTEL_EXPORTER_OTLP_COMPRESSION=none sends it without"
            hint = f"It does not take protobuf{compressed if endpoint.compression == 'gzip' else ''}"
        case _:
            return Refused(message=message)
    return DestinationRefused(message=f"{message}. {hint}")


def _is_about_size(status: int, told: str, asked: float | None) -> bool:
    """Whether a request is refused for its size.

    The stock collector answers 400 to one that is longer than it reads. Whoever passes on what a server behind it says
    of the size may do so with 429 or 500.
    """
    return status == _TOO_LARGE or (status in _MAYBE_SIZE and asked is None and speaks_of_size(told))


def find_trouble(error: Exception) -> Trouble:
    """Say why there was no answer, from what httpx raised."""
    detail = str(error) or type(error).__name__
    if isinstance(error, httpx.TimeoutException):
        return Trouble(kind="slow", detail=detail)
    if isinstance(error, httpx.RemoteProtocolError) and "without sending" not in detail:
        return Trouble(kind="foreign", detail=detail)
    cause: BaseException | None = error
    while cause is not None:
        match cause:
            case ConnectionRefusedError():
                return Trouble(kind="absent", detail=detail)
            case socket.gaierror() | UnicodeError():  # no host has a name with an overlong part
                return Trouble(kind="unknown", detail=detail)
            case ssl.SSLError():
                return Trouble(kind="tls", detail=detail)
        # httpcore cuts the chain of causes on the way out, and the context stays.
        cause = cause.__cause__ or cause.__context__
    return Trouble(kind="broken", detail=detail)


class HttpTransport:
    """POST requests to one endpoint. For several threads.

    Args:
        endpoint: where and how to send.
        client: makes the requests, and stays open when this is closed. When there is none, one is made with the
            certificates of the endpoint; like every httpx client it uses the proxies of the environment.
        now: the seconds since 1970.

    Raises:
        UsageError: the address, a certificate, a key or the proxy cannot be used.
    """

    def __init__(
        self, endpoint: Endpoint, *, client: httpx.Client | None = None, now: Callable[[], float] = time.time
    ) -> None:
        self._endpoint = endpoint
        self._now = now
        self._compress = endpoint.compression == "gzip"
        try:
            path = httpx.URL(endpoint.url).raw_path
            self._url = _Unlogged(httpx.URL(endpoint.name).copy_with(raw_path=path), shown=endpoint.name)
        except httpx.InvalidURL as error:
            raise UsageError(f"{endpoint.name!r} is no address: {plain(str(error), endpoint)}") from None
        self._headers = {
            "user-agent": user_agent(),
            **endpoint.request_headers(),
            "content-type": "application/x-protobuf",
        }
        if self._compress:
            self._headers["content-encoding"] = "gzip"
        self._bounds = Bounds(endpoint.timeout)
        self._owned = client is None
        self._client = _make_client(endpoint) if client is None else client

    def send(self, body: bytes) -> Verdict:
        """Send an `ExportTraceServiceRequest` once and say what the answer means."""
        try:
            answer = self._post(gzip.compress(body, compresslevel=1, mtime=0) if self._compress else body)
        except (httpx.RequestError, UnicodeError) as error:
            return judge_trouble(find_trouble(error), self._endpoint)
        return judge(answer, self._endpoint, now=self._now())

    def close(self) -> None:
        """Close the connection, unless the client belongs to somebody else."""
        if self._owned:
            self._client.close()

    def _post(self, content: bytes) -> Answer:
        held = [content]
        try:
            return self._answer(held, len(content))
        finally:
            # What httpx has made of the request and its answer refer to each other, and lie about for a while.
            held.clear()

    def _answer(self, content: Iterable[bytes], size: int) -> Answer:
        request = self._client.build_request(
            "POST",
            self._url,
            content=content,
            headers={**self._headers, "content-length": str(size)},
            timeout=self._endpoint.timeout,
            extensions={"trace": self._bounds.trace},
        )
        request.url = self._url  # what `build_request` has made of it would be logged
        with (
            self._bounds.of(size),
            closing(self._client.send(request, stream=True, follow_redirects=False)) as response,
        ):
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > MOST_ANSWER:
                    break
        return Answer(
            status=response.status_code,
            content_type=response.headers.get("content-type", "").lower(),
            retry_after=response.headers.get("retry-after"),
            location=response.headers.get("location"),
            body=bytes(body[:MOST_ANSWER]),
        )


class _Unlogged(httpx.URL):
    """An address of which httpx logs only a part with every request: its query may hold a credential."""

    def __init__(self, url: httpx.URL, *, shown: str) -> None:
        super().__init__(url)
        self._shown = shown

    def __str__(self) -> str:
        return self._shown


def _make_client(endpoint: Endpoint) -> httpx.Client:
    # A certificate of one's own is trusted instead of the usual ones, as the official exporters have it. Where there is
    # no TLS, neither to the endpoint nor to a proxy, none is trusted: to load the usual ones takes 20 ms.
    own = endpoint.certificate is not None
    plain = urlsplit(endpoint.url).scheme == "http" and not any(map(_has_tls, getproxies().values()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if own or plain else httpx.create_ssl_context()
    tls.load(endpoint, context)
    try:
        return httpx.Client(verify=context)
    except (ImportError, ValueError):
        # What httpx says of a proxy that it cannot use holds the proxy's address, and so maybe a user.
        raise UsageError(
            "the proxy of the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) cannot be used: "
            "httpx takes http:// and https://, and socks5:// with httpx[socks] installed"
        ) from None


def _has_tls(address: str) -> bool:
    return not address.startswith(("http://", "socks"))


def _judge_success(answer: Answer, endpoint: Endpoint) -> Verdict:
    response = _response(answer)
    if response is None:
        words = quoted(_words(answer), endpoint)
        return DestinationRefused(
            message=f"{endpoint.name} answered {answer.status}, but this does not look like an OTLP receiver{words}. "
            "OTLP over HTTP takes traces at the path /v1/traces, usually on port 4318"
        )
    partial = response.partial_success
    return Acknowledged(rejected=partial.rejected_spans, message=plain(partial.error_message, endpoint) or None)


def _response(answer: Answer) -> ExportTraceServiceResponse | None:
    """Read the answer of a receiver; None when it is none."""
    body = answer.body
    try:
        if "json" in answer.content_type or body.lstrip().startswith(b"{"):
            response = ExportTraceServiceResponse()
            # Unknown names are an error: any web service may answer `{"status": "ok"}`.
            json_format.Parse(body, response)
            return response
        if body and answer.content_type.startswith("text/"):
            return None
        return ExportTraceServiceResponse.FromString(body)
    except (DecodeError, json_format.ParseError, UnicodeDecodeError, RecursionError):
        return None


def _words(answer: Answer) -> str:
    """Find what a server says in the body of its answer: a `google.rpc.Status`, or text."""
    text = answer.body.decode("utf-8", "replace")
    if "json" in answer.content_type:
        try:
            told = json.loads(text)
        except (ValueError, RecursionError):
            return text
        message = told.get("message") if isinstance(told, dict) else None
        return message if isinstance(message, str) else text
    if "protobuf" in answer.content_type:
        try:
            return str(Status.FromString(answer.body).message)
        except DecodeError:
            return text
    return _TAG.sub(" ", text) if "html" in answer.content_type else text


def _place(location: str | None, endpoint: Endpoint) -> str:
    """Give the target of a redirect without user and query, in which a log-in page gets its secrets."""
    if location is None:
        return "nowhere"
    try:
        parts = urlsplit(location)
    except ValueError:
        return "no address"
    host = parts.netloc.rpartition("@")[2]
    address = parts._replace(netloc=host, query="", fragment="").geturl()
    return plain(address, endpoint)
