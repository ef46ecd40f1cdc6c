"""What a collector may do to a run, over real sockets: every span is accounted for, and counted at the receiver."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from otel_agent_events.errors import DestinationError, RefusedError, UnreachableError
from otel_agent_events.otlp import Endpoint
from otel_agent_events.otlp.grpc import GrpcTransport
from otel_agent_events.otlp.http import HttpTransport
from otel_agent_events.otlp.send import MOST_BYTES_HTTP, Sender
from tests.otlp.bodies import Clock, Counted, Kept, bodies, body, counted, head, messages, places
from tests.otlp.collectors import (
    Collector,
    GrpcReply,
    HttpReply,
    Received,
    free_port,
    grpc_collector,
    http_collector,
    partial,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from otel_agent_events.otlp import Outcome

NOW = 1_700_000_000.0
PROTOCOLS: list[Any] = ["http/protobuf", "grpc"]
MADE = 120
HTML = HttpReply(body=b"<html>hello</html>", content_type="text/html")


@dataclass
class Run:
    """A run of 120 spans of six sessions, and what became of it."""

    sender: Sender
    kept: Kept
    clock: Clock
    outcomes: list[Outcome] = field(default_factory=list)

    def put(self, several: Sequence[bytes]) -> None:
        """Submit the spans, 20 to a session."""
        for first in range(0, len(several), 20):
            self.sender.put(head(f"s{first}"), several[first : first + 20], owner=first)

    def close(self) -> Counted:
        self.sender.close()
        self.outcomes += self.sender.outcomes()
        return counted(self.outcomes)

    def sent(self, several: Sequence[bytes]) -> Counted:
        self.put(several)
        total = self.close()
        assert places(self.outcomes) == sorted(
            ((first, place) for first in range(0, len(several), 20) for place in range(len(several[first:][:20]))),
            key=lambda each: (repr(each[0]), each[1]),
        )
        return total

    def numbers(self, became: str) -> list[int]:
        """Return the numbers of the spans of which all became the same."""
        return sorted(
            outcome.owner + place + 1
            for outcome in self.outcomes
            if getattr(outcome, became) == len(outcome.spans) and isinstance(outcome.owner, int)
            for place in outcome.spans
        )


def run(
    url: str,
    protocol: Any = "http/protobuf",
    *,
    timeout: float = 10.0,
    full: bool = False,
    most_spans: int = 30,
    most_bytes: int = 2_000_000,
    deadline: float | None = None,
) -> Run:
    """Make a sender with an owned clock, to a collector that is real."""
    clock, kept = Clock(), Kept(full=full)
    endpoint = Endpoint(url=url, protocol=protocol, timeout=timeout)
    transport = (
        GrpcTransport(endpoint)
        if protocol == "grpc"
        else HttpTransport(endpoint, now=lambda: NOW + clock.now)  # against which a date in Retry-After is told
    )
    sender = Sender(
        transport,
        name=endpoint.name,
        aside=kept,
        most_spans=most_spans,
        most_bytes=most_bytes,
        deadline=deadline,
        sleep=clock.sleep,
        clock=clock,
        draw=lambda: 0.5,
    )
    return Run(sender, kept, clock)


def address(protocol: str, port: int) -> str:
    return f"http://127.0.0.1:{port}" + ("" if protocol == "grpc" else "/v1/traces")


def collector_at(protocol: str, port: int = 0) -> AbstractContextManager[Collector]:
    return grpc_collector(port=port) if protocol == "grpc" else http_collector(port=port)


def everything() -> list[int]:
    return list(range(1, MADE + 1))


# --- away ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_down_at_the_start_and_up_within_the_deadline(protocol: Any) -> None:
    port = free_port()
    with ExitStack() as stack:
        up: list[Collector] = []

        def come_up(now: float) -> None:
            if now >= 5 and not up:
                up.append(stack.enter_context(collector_at(protocol, port)))
            if protocol == "grpc" and up:
                time.sleep(1.3)  # it looks again after up to a second of its own

        sending = run(address(protocol, port), protocol)
        sending.clock.meanwhile = come_up

        assert sending.sent(bodies(MADE)) == Counted(acknowledged=MADE)
        assert up[0].numbers == everything()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_down_for_good_sets_everything_aside(protocol: Any) -> None:
    sending = run(address(protocol, free_port()), protocol)

    assert sending.sent(bodies(MADE)) == Counted(set_aside=MADE)
    assert sending.kept.numbers == everything()
    assert isinstance(sending.sender.failure, UnreachableError)
    assert sending.clock.now == 15.0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_down_for_twenty_seconds_in_the_middle(protocol: Any) -> None:
    port = free_port()
    with ExitStack() as stack:
        again: list[Collector] = []

        def come_back(now: float) -> None:
            if now >= 20 and not again:
                again.append(stack.enter_context(collector_at(protocol, port)))
            if protocol == "grpc" and again:
                time.sleep(1.3)

        sending = run(address(protocol, port), protocol)
        sending.clock.meanwhile = come_back
        with collector_at(protocol, port) as first:
            sending.put(bodies(40))
            sending.sender.flush()
        sending.put(bodies(MADE - 40, start=41))
        total = sending.close()

    assert total == Counted(acknowledged=MADE)
    assert first.numbers + again[0].numbers == everything()


def test_down_for_a_second_in_real_time() -> None:
    port = free_port()
    with ExitStack() as stack:
        endpoint = Endpoint(url=address("http", port))
        destination = Sender(HttpTransport(endpoint), name=endpoint.name, most_spans=30)
        up: list[Collector] = []
        later = threading.Timer(1.0, lambda: up.append(stack.enter_context(http_collector(port=port))))
        later.start()
        destination.put(head(), bodies(MADE))
        destination.close()
        later.join()

        assert counted(destination.outcomes()) == Counted(acknowledged=MADE)
        assert up[0].numbers == everything()


# --- busy ---------------------------------------------------------------------------------------------


def retry_info(seconds: int) -> bytes:
    packed = AnyMessage()
    packed.Pack(RetryInfo(retry_delay=Duration(seconds=seconds)))
    return bytes(Status(code=8, details=[packed]).SerializeToString())


@pytest.mark.parametrize(
    ("replies", "slept"),
    [
        ([HttpReply(status=503)], [0.5]),
        ([HttpReply(status=503)] * 6, [0.5, 1, 2, 4, 8, 10]),
        ([HttpReply(status=503, headers={"Retry-After": "30"})], [30]),
        ([HttpReply(status=503, headers={"Retry-After": formatdate(NOW + 30, usegmt=True)})], [30]),
        ([HttpReply(status=429, headers={"Retry-After": "3"})] * 2, [3, 3]),
        ([HttpReply(status=429), HttpReply(status=502), HttpReply(status=504)], [0.5, 1, 2]),
        ([GrpcReply(code="UNAVAILABLE")], [0.5]),
        ([GrpcReply(code="UNAVAILABLE", details=retry_info(30))], [30]),
        ([GrpcReply(code="RESOURCE_EXHAUSTED", details=retry_info(7))] * 2, [7, 7]),
        ([GrpcReply(code="ABORTED"), GrpcReply(code="DATA_LOSS"), GrpcReply(code="CANCELLED")], [0.5, 1, 2]),
    ],
)
def test_what_passes_costs_time_and_no_span(replies: list[Any], slept: list[float]) -> None:
    grpc = isinstance(replies[0], GrpcReply)
    with grpc_collector(*replies) if grpc else http_collector(*replies) as collector:
        sending = run(collector.url, "grpc" if grpc else "http/protobuf")
        total = sending.sent(bodies(MADE))

    assert total == Counted(acknowledged=MADE)
    assert collector.numbers == everything()
    assert sending.clock.slept == slept


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_busy_for_the_whole_deadline_costs_it_once_and_sets_everything_aside(protocol: Any) -> None:
    with ExitStack() as stack:
        if protocol == "grpc":
            collector = stack.enter_context(grpc_collector(answer=lambda _: GrpcReply(code="UNAVAILABLE")))
        else:
            collector = stack.enter_context(http_collector(answer=lambda _: HttpReply(status=503)))
        sending = run(collector.url, protocol)
        total = sending.sent(bodies(MADE))

    assert total == Counted(set_aside=MADE)
    assert sending.kept.numbers == everything()
    assert sending.clock.now == 300.0
    assert isinstance(sending.sender.failure, RefusedError)


# --- too large ----------------------------------------------------------------------------------------


def test_413_above_a_megabyte() -> None:
    def answer(received: Received) -> HttpReply | None:
        return HttpReply(status=413) if received.size > 1_000_000 else None

    with http_collector(answer=answer) as collector:
        sending = run(collector.url, most_spans=5_000)
        several = [*bodies(MADE - 1, size=50_000), body(MADE, "x" * 3_000_000)]
        total = sending.sent(several)

    assert total == Counted(acknowledged=MADE)
    assert collector.numbers == everything()
    assert max(received.size for received in collector.taken) <= 1_000_000
    (told,) = messages(sending.outcomes)
    assert "answered 413. It took the span shortened from 3000" in told
    (shortened,) = (
        span
        for span in collector.spans
        if any(pair.key == "otel_agent_events.shortened" and pair.value.bool_value for pair in span.attributes)
    )
    assert int.from_bytes(shortened.span_id, "big") == MADE


def test_the_mebibyte_that_a_proxy_takes_costs_a_few_refusals() -> None:
    def answer(received: Received) -> HttpReply | None:
        return HttpReply(status=413) if received.size > 1_048_576 else None

    with http_collector(answer=answer) as collector:
        sending = run(collector.url, most_spans=5_000, most_bytes=MOST_BYTES_HTTP)
        total = sending.sent(bodies(2_000, size=20_000))

    assert total == Counted(acknowledged=2_000)
    assert len(collector.requests) - len(collector.taken) <= 12
    assert max(received.size for received in collector.taken) > 900_000
    assert len(collector.taken) < 60


def test_the_four_mebibytes_of_a_grpc_server() -> None:
    with grpc_collector() as collector:
        sending = run(collector.url, "grpc", most_spans=5_000, most_bytes=9_000_000)
        total = sending.sent([*bodies(MADE - 1, size=70_000), body(MADE, "x" * 10_000_000)])

    assert total == Counted(acknowledged=MADE)
    assert collector.numbers == everything()
    assert sending.sender.failure is None


WHIMS: list[Any] = [
    HttpReply(status=413),
    HttpReply(status=400, body=b"http: request body too large", content_type="text/plain"),
    HttpReply(status=500, body=b"message size 9 is above 8", content_type="text/plain"),
    GrpcReply(code="RESOURCE_EXHAUSTED", words="Received message larger than max (9 vs. 8)"),
]


@pytest.mark.parametrize("reply", WHIMS)
def test_one_refusal_that_speaks_of_size_costs_a_few_requests_and_not_thousands(reply: Any) -> None:
    grpc = isinstance(reply, GrpcReply)
    whims = [reply] * 5
    with grpc_collector(*whims) if grpc else http_collector(*whims) as collector:
        sending = run(collector.url, "grpc" if grpc else "http/protobuf", most_spans=5_000, most_bytes=100_000)
        total = sending.sent(bodies(6_000, size=1_000))

    assert total == Counted(acknowledged=6_000)
    assert len(collector.requests) < 66 + 200  # there were thousands when the size stayed where it fell to
    assert max(received.size for received in collector.requests[-10:]) > 80_000


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_one_large_span_does_not_make_the_batches_behind_it_smaller(protocol: Any) -> None:
    def is_large(received: Received) -> bool:
        return any(span.ByteSize() > 20_000 for span in received.spans)

    with ExitStack() as stack:
        if protocol == "grpc":
            told = GrpcReply(code="RESOURCE_EXHAUSTED", words="an attribute is too large")
            collector = stack.enter_context(grpc_collector(answer=lambda each: told if is_large(each) else None))
        else:
            refusal = HttpReply(status=413)
            collector = stack.enter_context(http_collector(answer=lambda each: refusal if is_large(each) else None))
        sending = run(collector.url, protocol, most_spans=5_000, most_bytes=100_000)
        several = bodies(1_000, size=1_000)
        several[49] = body(50, "x" * 30_000)
        total = sending.sent(several)

    assert total == Counted(acknowledged=1_000)
    assert len(collector.requests) < 11 + 20
    assert sum(received.size > 99_000 for received in collector.taken) >= 9


# --- refused ------------------------------------------------------------------------------------------


def bad(received: Received) -> bool:
    return 77 in received.numbers


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_one_bad_span_among_many_costs_no_other(protocol: Any) -> None:
    refusal = HttpReply(status=400, body=b"bad span", content_type="text/plain")
    with ExitStack() as stack:
        if protocol == "grpc":
            told = GrpcReply(code="INVALID_ARGUMENT", words="bad span")
            collector = stack.enter_context(grpc_collector(answer=lambda each: told if bad(each) else None))
        else:
            collector = stack.enter_context(http_collector(answer=lambda each: refusal if bad(each) else None))
        sending = run(collector.url, protocol)
        total = sending.sent(bodies(MADE))

    assert total == Counted(acknowledged=MADE - 1, rejected=1)
    assert collector.numbers == [number for number in everything() if number != 77]
    assert sending.numbers("rejected") == [77]
    (said,) = messages(sending.outcomes)
    assert said.endswith("it says 'bad span' (span 000000000000004d)")


ALWAYS: list[Any] = [
    (HttpReply(status=400), "answered 400. 16 spans were refused one by one, and none was taken", 60),
    (GrpcReply(code="INVALID_ARGUMENT"), "INVALID_ARGUMENT. 16 spans were refused one by one, and none was", 60),
    (HttpReply(status=413), "answered 413. 16 spans were refused one by one, and none was taken", 60),
    (HttpReply(status=401), "answered 401. Check the credentials", 1),
    (GrpcReply(code="UNAUTHENTICATED"), "answered UNAUTHENTICATED. Check the credentials", 1),
    (HTML, "does not look like an OTLP receiver: it says 'hello'", 1),
    (HttpReply(status=415), "answered 415. It does not take protobuf", 1),
    (HttpReply(body=b"<html>", content_type="application/x-protobuf"), "does not look like an OTLP receiver", 1),
    *(
        (HttpReply(status=status, headers={"location": "http://other/"}), f"{status} and points to http://other/", 1)
        for status in (301, 302, 307, 308)
    ),
]


@pytest.mark.parametrize(("reply", "said", "most_requests"), ALWAYS)
@pytest.mark.parametrize("full", [False, True])
def test_what_is_always_refused_is_soon_believed_and_set_aside_or_lost(
    reply: Any,
    said: str,
    most_requests: int,
    full: bool,  # noqa: FBT001
) -> None:
    grpc = isinstance(reply, GrpcReply)
    with grpc_collector(answer=lambda _: reply) if grpc else http_collector(answer=lambda _: reply) as collector:
        sending = run(collector.url, "grpc" if grpc else "http/protobuf", full=full)
        total = sending.sent(bodies(MADE))

    assert total == (Counted(lost=MADE) if full else Counted(set_aside=MADE))
    assert sending.kept.numbers == ([] if full else everything())
    assert isinstance(sending.sender.failure, RefusedError)
    assert said in str(sending.sender.failure)
    assert len(collector.requests) <= most_requests
    assert sending.clock.slept == []
    if full:
        assert all(
            "could not be set aside in aside.jsonl: No space left" in each for each in messages(sending.outcomes)
        )


@pytest.mark.parametrize("reply", [HttpReply(status=400), GrpcReply(code="INVALID_ARGUMENT")])
@pytest.mark.parametrize("made", [1, 15])
def test_a_few_spans_that_are_all_refused_are_set_aside_and_no_culprits(reply: Any, made: int) -> None:
    grpc = isinstance(reply, GrpcReply)
    with grpc_collector(answer=lambda _: reply) if grpc else http_collector(answer=lambda _: reply) as collector:
        sending = run(collector.url, "grpc" if grpc else "http/protobuf")
        total = sending.sent(bodies(made))

    assert total == Counted(set_aside=made)
    assert sending.kept.numbers == list(range(1, made + 1))
    (told,) = messages(sending.outcomes)
    assert "has not taken a single span, so it may be no fault of those it refused" in told


@pytest.mark.parametrize(
    "reply", [HttpReply(status=500), GrpcReply(code="RESOURCE_EXHAUSTED", words="quota"), GrpcReply(code="INTERNAL")]
)
def test_a_batch_that_is_refused_for_no_known_reason_is_set_aside_alone(reply: Any) -> None:
    grpc = isinstance(reply, GrpcReply)
    with grpc_collector(reply) if grpc else http_collector(reply) as collector:
        sending = run(collector.url, "grpc" if grpc else "http/protobuf")
        total = sending.sent(bodies(MADE))

    assert total == Counted(acknowledged=MADE - 30, set_aside=30)
    assert collector.numbers + sending.kept.numbers == [*range(31, MADE + 1), *range(1, 31)]
    assert sending.sender.failure is None
    assert len(collector.requests) == 4


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_spans_that_a_partial_success_rejects_are_counted_and_never_sent_again(protocol: Any) -> None:
    told = partial(25, "too old")
    with ExitStack() as stack:
        if protocol == "grpc":
            collector = stack.enter_context(grpc_collector(GrpcReply(body=told)))
        else:
            collector = stack.enter_context(http_collector(HttpReply(body=told)))
        sending = run(collector.url, protocol)
        total = sending.sent(bodies(MADE))

    assert total == Counted(acknowledged=MADE - 25, rejected=25)
    assert len(collector.requests) == 4
    assert {(each.owner, each.rejected) for each in sending.outcomes if each.message == "too old"} == {
        (0, 15),
        (20, 10),
    }


# --- no answer ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "twice"),
    [
        (HttpReply(drop=True), False),
        (HttpReply(cut=True), True),
        (HttpReply(delay=0.6), True),
        (HttpReply(body=(b"\n",) * 8, pause=0.1), True),
        (GrpcReply(pause=0.6), True),
    ],
)
def test_a_connection_that_breaks_or_hangs_costs_no_span(reply: Any, twice: bool) -> None:  # noqa: FBT001
    grpc = isinstance(reply, GrpcReply)
    told = [GrpcReply() if grpc else HttpReply(), reply]
    with grpc_collector(*told) if grpc else http_collector(*told) as collector:
        sending = run(collector.url, "grpc" if grpc else "http/protobuf", timeout=0.4)
        total = sending.sent(bodies(MADE))
        # The server may still be at work on the request of which nobody waits for the answer.
        wanted = MADE + 30 * twice
        latest = time.monotonic() + 5
        while len(collector.numbers) < wanted and time.monotonic() < latest:
            time.sleep(0.01)

    assert total == Counted(acknowledged=MADE)
    assert sorted(set(collector.numbers)) == everything()
    # Twice comes what the server took without saying so, the same to the byte, and nothing else.
    requests = [received.request.SerializeToString() for received in collector.requests]
    assert len(requests) == 5
    assert len(set(requests)) == 4
    assert len(collector.numbers) == wanted


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_answer_that_never_comes_sets_everything_aside(protocol: Any) -> None:
    with ExitStack() as stack:
        if protocol == "grpc":
            collector = stack.enter_context(grpc_collector(answer=lambda _: GrpcReply(pause=0.5)))
        else:
            collector = stack.enter_context(http_collector(answer=lambda _: HttpReply(delay=0.5)))
        sending = run(collector.url, protocol, timeout=0.2, deadline=1.0)
        total = sending.sent(bodies(MADE))

    assert total == Counted(set_aside=MADE)
    assert sending.kept.numbers == everything()
    assert isinstance(sending.sender.failure, UnreachableError)
    assert "did not answer within 0.2 s" in str(sending.sender.failure)


# --- far away, and stopped ----------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_collector_that_is_far_away_is_fed_by_several_requests_at_once(protocol: Any) -> None:
    with ExitStack() as stack:
        if protocol == "grpc":
            collector = stack.enter_context(grpc_collector(answer=lambda _: GrpcReply(pause=0.05)))
        else:
            collector = stack.enter_context(http_collector(answer=lambda _: HttpReply(delay=0.05)))
        sending = run(collector.url, protocol, most_spans=4)
        total = sending.sent(bodies(MADE))

    assert total == Counted(acknowledged=MADE)
    assert collector.numbers == everything()
    assert 3 <= collector.most_asking <= 8


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("end", ["stop", "abandon"])
def test_what_is_stopped_in_the_middle_is_acknowledged_or_set_aside(protocol: Any, end: str) -> None:
    reached = threading.Event()

    def answer(received: Received) -> Any:
        if 61 in received.numbers:
            reached.set()
        return GrpcReply(pause=0.05) if protocol == "grpc" else HttpReply(delay=0.05)

    with ExitStack() as stack:
        if protocol == "grpc":
            collector = stack.enter_context(grpc_collector(answer=answer))
        else:
            collector = stack.enter_context(http_collector(answer=answer))
        sending = run(collector.url, protocol, most_spans=10)
        producer = threading.Thread(target=sending.put, args=(bodies(MADE),))
        producer.start()
        assert reached.wait(10)
        getattr(sending.sender, end)()
        producer.join()
        total = sending.close()

    assert total.acknowledged + total.set_aside == MADE
    assert total.acknowledged >= 10
    assert total.set_aside >= 10
    assert collector.numbers == sending.numbers("acknowledged")
    assert sending.kept.numbers == sending.numbers("set_aside")
    assert sorted(collector.numbers + sending.kept.numbers) == everything()
    assert type(sending.sender.failure) is DestinationError
