"""Batches to a collector: capped by bytes, answered, tried again. The decisions are functions of values.

A transport (`http.py`, `grpc.py`) turns the answer to one request into a `Verdict`; what follows from it is the
same for every protocol and is decided here.
"""

from __future__ import annotations

import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, assert_never

from otel_agent_events.errors import RefusedError, UnreachableError
from otel_agent_events.events import value
from otel_agent_events.messages import MOST_READ, one_line
from otel_agent_events.otlp import Outcome
from otel_agent_events.otlp.encode import encode
from otel_agent_events.retry import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from otel_agent_events.errors import DestinationError
    from otel_agent_events.otlp import Endpoint
    from otel_agent_events.spans import Span

MOST_BYTES_GRPC = 3_500_000
"""Of one request before compression. A gRPC server takes 4 MiB when nothing is configured."""
MOST_BYTES_HTTP = 4_000_000
MOST_SPANS = 2_000
BACKOFF = Backoff(total=30.0)

_SPAN_OVERHEAD = 80
_ATTRIBUTE_OVERHEAD = 12
_LINK_OVERHEAD = 50


# --- what an answer means -----------------------------------------------------------------------------


@value()
class Acknowledged:
    """The batch was taken, but for the rejected spans."""

    rejected: int = 0
    message: str | None = None


@value()
class Retry:
    """The same batch may be taken later. `after`: seconds that the server asks to wait."""

    message: str
    after: float | None = None


@value()
class BatchRefused:
    """This batch is not taken, now or later; another one may be."""

    message: str


@value()
class DestinationRefused:
    """No batch is taken until somebody changes something: credentials, the address, the protocol."""

    message: str


@value()
class Unreachable:
    """There was no answer."""

    message: str


Verdict: TypeAlias = Acknowledged | Retry | BatchRefused | DestinationRefused | Unreachable


@value()
class Trouble:
    """Why there was no answer.

    Attributes:
        kind: `absent`: nobody listens; `unknown`: no host has the name; `tls`: no encrypted connection; `slow`: not in
            time; `foreign`: something speaks another protocol; `broken`: everything else.
        detail: what the library says of it.
    """

    kind: Literal["absent", "unknown", "tls", "slow", "foreign", "broken"]
    detail: str


def judge_trouble(trouble: Trouble, endpoint: Endpoint) -> Unreachable:
    """Say in a sentence why there was no answer, and what to look at."""
    name, grpc = endpoint.name, endpoint.protocol == "grpc"
    detail = plain(trouble.detail, endpoint)
    detail = f" ({detail})" if detail else ""
    match trouble.kind:
        case "absent":
            usual = "gRPC usually listens on port 4317" if grpc else "OTLP over HTTP usually listens on port 4318"
            text = f"nobody listens at {name}: is a collector running there? {usual}"
        case "unknown":
            text = f"{name} cannot be found: no host is known by that name{detail}"
        case "tls":
            text = (
                f"there is no encrypted connection to {name}{detail}. OTEL_EXPORTER_OTLP_CERTIFICATE names the "
                "certificate to trust; a receiver without TLS has an address that begins with http://"
            )
        case "slow":
            text = (
                f"{name} did not answer within {endpoint.timeout:g} s. "
                "OTEL_EXPORTER_OTLP_TIMEOUT is in milliseconds: 10000 is ten seconds"
            )
        case "foreign":
            other = (
                "Port 4318 is HTTP: set the protocol http/protobuf"
                if grpc
                else "Port 4317 is gRPC: set the protocol grpc"
            )
            text = f"what answers at {name} does not speak {'gRPC' if grpc else 'HTTP'}{detail}. {other}"
        case "broken":
            text = f"the connection to {name} broke{detail}"
        case _:
            assert_never(trouble.kind)
    return Unreachable(message=text)


def plain(words: str, endpoint: Endpoint) -> str:
    """Give words from outside for a message: one printable line, at most 300 characters, without credentials."""
    return one_line(endpoint.hide(words[:MOST_READ]))


def quoted(words: str, endpoint: Endpoint) -> str:
    """Give what a server says for the end of a sentence, or nothing when it says nothing."""
    line = plain(words, endpoint)
    return f": it says {line!r}" if line else ""


# --- batches ------------------------------------------------------------------------------------------


def estimate(span: Span) -> int:
    """Estimate the bytes of an encoded span: near enough to seldom encode a batch twice."""
    size = _SPAN_OVERHEAD + _length(span.name) + _length(span.description or "")
    size += _attributes_length(span.constants.items()) + _attributes_length(span.varying.items())
    for link in span.links:
        size += _LINK_OVERHEAD + _attributes_length(link.attributes.items())
    return size


def fitting(spans: Sequence[Span], most_bytes: int) -> tuple[int, bytes]:
    """Encode as many of the first spans as one request holds, by halving: how many, and the request.

    It has at most `most_bytes` bytes, unless the first span alone has more.
    """
    count = len(spans)
    while len(body := encode(spans[:count])) > most_bytes and count > 1:
        count //= 2
    return count, body


def _attributes_length(attributes: Iterable[tuple[str, object]]) -> int:
    size = 0
    for name, each in attributes:
        size += _ATTRIBUTE_OVERHEAD + len(name)
        if isinstance(each, str):
            size += _length(each)
        elif isinstance(each, tuple):
            size += sum(_ATTRIBUTE_OVERHEAD + _length(text) for text in each)
    return size


def _length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


# --- sending ------------------------------------------------------------------------------------------


class Transport(Protocol):
    """One way to make one request."""

    def send(self, body: bytes) -> Verdict:
        """Send an `ExportTraceServiceRequest` once and say what the answer means. Raises nothing for any answer."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class Sender:
    """A collector as a destination: a batch is sent as soon as it is full, and the rest on `flush`.

    `submit` waits until the answer is there. Not for several threads.

    Args:
        transport: makes the requests; `close` and `abandon` close it.
        name: of the destination.
        most_bytes: the cap of a request before compression. A single span above it is sent alone all the same.
        most_spans: the cap of the spans in a request.
        backoff: how often and how long one batch is tried.
        sleep, clock, draw: the waiting, the seconds that pass, and the random numbers in [0, 1).
    """

    def __init__(
        self,
        transport: Transport,
        *,
        name: str,
        most_bytes: int = MOST_BYTES_HTTP,
        most_spans: int = MOST_SPANS,
        backoff: Backoff = BACKOFF,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.failure: DestinationError | None = None
        self._transport = transport
        self._most_bytes = most_bytes
        self._most_spans = most_spans
        self._backoff = backoff
        self._sleep = sleep
        self._clock = clock
        self._draw = draw
        self._waiting: list[Span] = []
        self._size = 0  # of what waits, estimated
        self._reached = False  # whether anything was acknowledged yet
        self._outcomes: list[Outcome] = []

    def submit(self, spans: Sequence[Span]) -> None:
        """Take spans, and send every batch that becomes full."""
        for span in spans:
            size = estimate(span)
            if self._waiting and self._size + size > self._most_bytes:
                self.flush()
            self._waiting.append(span)
            self._size += size
            if len(self._waiting) >= self._most_spans or self._size >= self._most_bytes:
                self.flush()
        if self.failure is not None:
            self._lose(str(self.failure))

    def outcomes(self) -> list[Outcome]:
        """Give the outcomes since the last call."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def flush(self) -> None:
        """Send what waits."""
        while self._waiting and self.failure is None:
            count, body = fitting(self._waiting, self._most_bytes)
            outcome = self._outcome(self._waiting[:count], self._ask(body))
            # Only now, so that what is interrupted above still waits, and `abandon` tells that it is lost.
            del self._waiting[:count]
            self._outcomes.append(outcome)
        if self.failure is not None:
            self._lose(str(self.failure))
        self._size = 0

    def close(self) -> None:
        """Send what waits, and let go of the connection."""
        self.flush()
        self._transport.close()

    def abandon(self) -> None:
        """Send nothing more."""
        self._lose("it was not sent: the run was broken off")
        self._transport.close()

    def _lose(self, message: str) -> None:
        if self._waiting:
            self._outcomes.append(Outcome.not_taken(self.name, self._waiting, message))
            self._waiting = []

    def _ask(self, body: bytes) -> Verdict:
        begun, attempt = self._clock(), 0
        while True:
            verdict = self._transport.send(body)
            asked = verdict.after if isinstance(verdict, Retry) else None
            # Where nothing was ever acknowledged, a mistake in the address is likelier than an outage.
            if not (isinstance(verdict, Retry) or (isinstance(verdict, Unreachable) and self._reached)):
                return verdict
            waited = self._clock() - begun
            wait = self._backoff.wait(attempt, asked=asked, waited=waited, draw=self._draw())
            if wait is None:
                return replace(verdict, message=verdict.message + _given_up(attempt + 1, asked))
            self._sleep(wait)
            attempt += 1

    def _outcome(self, spans: Sequence[Span], verdict: Verdict) -> Outcome:
        match verdict:
            case Acknowledged(rejected=rejected, message=message):
                self._reached = True
                return Outcome.taken(self.name, spans, rejected=rejected, message=message)
            case Retry() | BatchRefused():
                pass
            case DestinationRefused():
                self.failure = RefusedError(verdict.message)
            case Unreachable():
                self.failure = UnreachableError(verdict.message)
            case _:
                assert_never(verdict)
        return Outcome.not_taken(self.name, spans, verdict.message)


def _given_up(tries: int, asked: float | None) -> str:
    after = "1 try" if tries == 1 else f"{tries} tries"
    wish = "" if asked is None else f", when it asked to wait another {asked:g} s"
    return f"; given up after {after}{wish}"
