"""Bodies of spans, destinations' ends that a test owns, and what is counted of outcomes."""

from __future__ import annotations

import errno
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from otel_agent_events.otlp import Head

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from otel_agent_events.otlp import Outcome
    from otel_agent_events.otlp.verdicts import Verdict

TRACE = bytes(range(16))


def head(service: str = "support", *, scope: str = "tests", schema: str = "https://schema") -> Head:
    """Return what stands around the spans of a service."""
    resource = Resource(attributes=[KeyValue(key="service.name", value=AnyValue(string_value=service))])
    return Head(
        resource=ResourceSpans(resource=resource).SerializeToString(),
        scope=ScopeSpans(scope=InstrumentationScope(name=scope)).SerializeToString(),
        scope_end=ScopeSpans(schema_url=schema).SerializeToString(),
        resource_end=ResourceSpans(schema_url=schema).SerializeToString(),
    )


HEAD = head()


def message(number: int, content: str = "hello") -> Span:
    """Return a span whose id is the number."""
    return Span(
        trace_id=TRACE,
        span_id=number.to_bytes(8, "big"),
        name="chat",
        attributes=[KeyValue(key="content", value=AnyValue(string_value=content))],
    )


def packed(span: Span) -> bytes:
    """Return the body of a span."""
    return ScopeSpans(spans=[span]).SerializeToString()


def body(number: int, content: str = "hello") -> bytes:
    return packed(message(number, content))


def bodies(count: int, *, start: int = 1, size: int = 5) -> list[bytes]:
    """Return so many bodies, numbered upwards, each with a content of so many bytes."""
    return [body(number, "x" * size) for number in range(start, start + count)]


def ids(count: int, *, start: int = 1) -> list[tuple[bytes, bytes]]:
    """Return the ids of these bodies."""
    return [(TRACE, number.to_bytes(8, "big")) for number in range(start, start + count)]


def spans_of(request: bytes) -> list[Span]:
    return [
        span
        for resource in ExportTraceServiceRequest.FromString(request).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def numbers(spans: Iterable[Span]) -> list[int]:
    return [int.from_bytes(span.span_id, "big") for span in spans]


# --- outcomes -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Counted:
    """What became of spans, summed up."""

    acknowledged: int = 0
    rejected: int = 0
    set_aside: int = 0
    lost: int = 0


def counted(outcomes: Iterable[Outcome]) -> Counted:
    """Sum outcomes up."""
    total: Counter[str] = Counter()
    for outcome in outcomes:
        each = {name: getattr(outcome, name) for name in ("acknowledged", "rejected", "set_aside", "lost")}
        assert min(each.values()) >= 0
        assert sum(each.values()) == len(outcome.spans) > 0
        total.update(each)
    return Counted(**total)


def messages(outcomes: Iterable[Outcome]) -> list[str]:
    """Return what the outcomes say, each sentence once."""
    return list(dict.fromkeys(outcome.message for outcome in outcomes if outcome.message))


def places(outcomes: Iterable[Outcome]) -> list[tuple[Hashable, int]]:
    """Return owner and place of every span that has an outcome, sorted."""
    return sorted(
        ((outcome.owner, place) for outcome in outcomes for place in outcome.spans),
        key=lambda place: (repr(place[0]), place[1]),
    )


# --- the ends -----------------------------------------------------------------------------------------


@dataclass
class Clock:
    """A clock that only moves while somebody sleeps, or when it is told to."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)
    meanwhile: Callable[[float], object] = lambda _: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self.meanwhile(self.now)


class Script:
    """A transport whose verdicts are a list, the last of them for ever, or a function of the request's numbers."""

    def __init__(self, verdicts: Sequence[Verdict] | Callable[[list[int]], Verdict]) -> None:
        self.requests: list[bytes] = []
        self.closed = 0
        self._verdicts = verdicts
        self._lock = threading.Lock()

    def send(self, body: bytes) -> Verdict:
        with self._lock:
            self.requests.append(body)
            place = len(self.requests) - 1
        if callable(self._verdicts):
            return self._verdicts(numbers(spans_of(body)))
        return self._verdicts[min(place, len(self._verdicts) - 1)]

    def close(self) -> None:
        self.closed += 1

    @property
    def asked(self) -> list[list[int]]:
        """The numbers in each request."""
        return [numbers(spans_of(request)) for request in self.requests]


@dataclass
class Kept:
    """Where spans are set aside: in memory, and not at all while the disk is full."""

    name: str = "aside.jsonl"
    full: bool = False
    bodies: list[tuple[Head, bytes]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, head: Head, bodies: Sequence[bytes]) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        with self.lock:
            self.bodies += [(head, body) for body in bodies]

    @property
    def numbers(self) -> list[int]:
        return sorted(numbers(ScopeSpans.FromString(body).spans[0] for _, body in self.bodies))
