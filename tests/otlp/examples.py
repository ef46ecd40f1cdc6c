"""Spans, times and connections for the tests of this folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_agent_events.otlp.encode import Encoder
from otel_agent_events.spans import Link, Resource, Span, SpanEvent

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from otel_agent_events.otlp import Destination, Encoded, Outcome
    from otel_agent_events.otlp.verdicts import Verdict

RESOURCE = Resource({"service.name": "support"})
OTHER_RESOURCE = Resource({"service.name": "sales", "region": "eu"})
TRACE = bytes(range(16))


def span(number: int = 1, *, content: str = "hello", resource: Resource = RESOURCE) -> Span:
    """Return a span whose id is the number."""
    return Span(
        trace_id=TRACE,
        span_id=number.to_bytes(8, "big"),
        parent_id=None,
        name="chat",
        kind="internal",
        start=1_700_000_000_000_000_000,
        end=1_700_000_000_500_000_000,
        varying={"content": content},
        resource=resource,
    )


def spans(count: int) -> list[Span]:
    return [span(number) for number in range(1, count + 1)]


def ids(sent: Sequence[Span]) -> list[tuple[bytes, bytes]]:
    return [(each.trace_id, each.span_id) for each in sent]


def ids_of_request(body: bytes) -> list[tuple[bytes, bytes]]:
    return [
        (each.trace_id, each.span_id)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for each in scope.spans
    ]


def encoded(sent: Sequence[Span], *, owner: Hashable = None, first: int = 0) -> Encoded:
    """Return the spans, which are of one resource, as a destination takes them."""
    return Encoder().encoded(sent, owner=owner, first=first)


def deliver(destination: Destination, sent: Sequence[Span]) -> Outcome:
    """Send some spans and close; return the one outcome."""
    destination.submit(encoded(sent))
    destination.close()
    (outcome,) = destination.outcomes()
    told = outcome.acknowledged + outcome.rejected + outcome.set_aside + outcome.lost
    assert told == len(outcome.spans) == len(sent)
    assert outcome.destination == destination.name
    return outcome


@dataclass
class Time:
    """A clock that only moves while somebody sleeps, or when it is told to."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class Script:
    """A transport that gives these verdicts and then the last of them for ever."""

    verdicts: list[Verdict]
    bodies: list[bytes] = field(default_factory=list)
    closed: int = 0

    def send(self, body: bytes) -> Verdict:
        self.bodies.append(body)
        return self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]

    def close(self) -> None:
        self.closed += 1


# --- any span -----------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]))
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
attributes = st.dictionaries(
    names,
    texts
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.lists(texts, max_size=3).map(tuple),
    max_size=5,
)
counts = st.sampled_from([0, 0, 0, 1, 127, 128, 2**32 - 1])
trace_states = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9_*/-]{0,8}", fullmatch=True),
    st.from_regex(r"[!-+\--<>-~]{1,8}", fullmatch=True),
    max_size=3,
).map(lambda members: ",".join(f"{key}={told}" for key, told in members.items()))
links = st.builds(
    Link,
    trace_id=st.binary(min_size=16, max_size=16),
    span_id=st.binary(min_size=8, max_size=8),
    attributes=attributes,
    trace_flags=st.integers(0, 255),
    trace_state=trace_states,
    dropped_attributes=counts,
)
span_events = st.builds(
    SpanEvent,
    name=texts,
    time=st.integers(0, 2**64 - 1),
    attributes=attributes,
    dropped_attributes=counts,
)
resources = st.builds(Resource, attributes)


@st.composite
def any_span(draw: st.DrawFn) -> Span:
    start, end = sorted(draw(st.tuples(*[st.integers(0, 2**64 - 1)] * 2)))
    failed = draw(st.booleans())
    constants = draw(attributes)
    return Span(
        trace_id=draw(st.binary(min_size=16, max_size=16)),
        span_id=draw(st.binary(min_size=8, max_size=8)),
        parent_id=draw(st.none() | st.binary(min_size=8, max_size=8)),
        name=draw(texts),
        kind=draw(st.sampled_from(["internal", "client"])),
        start=start,
        end=end,
        constants=constants,
        varying={name: told for name, told in draw(attributes).items() if name not in constants},
        resource=draw(resources),
        status="error" if failed else "unset",
        description=draw(st.none() | texts) if failed else None,
        links=tuple(draw(st.lists(links, max_size=2))),
        parent_is_remote=draw(st.booleans()),
        trace_state=draw(trace_states),
        events=tuple(draw(st.lists(span_events, max_size=2))),
        dropped_attributes=draw(counts),
        dropped_events=draw(counts),
        dropped_links=draw(counts),
    )
