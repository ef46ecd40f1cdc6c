from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_agent_events.errors import DestinationError, RefusedError, UnreachableError
from otel_agent_events.otlp import Encoded, Endpoint
from otel_agent_events.otlp.send import MOST_BYTES_GRPC, MOST_BYTES_HTTP, Sender
from otel_agent_events.otlp.verdicts import (
    Acknowledged,
    DestinationRefused,
    Malformed,
    Refused,
    Retry,
    TooLarge,
    Trouble,
    Unreachable,
    Verdict,
    judge_trouble,
    plain,
    quoted,
    speaks_of_size,
)
from tests.otlp.bodies import (
    HEAD,
    Clock,
    Counted,
    Kept,
    Script,
    bodies,
    body,
    counted,
    head,
    messages,
    numbers,
    packed,
    places,
    spans_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_agent_events.otlp import Outcome

HTTP = Endpoint(url="http://collector:4318/v1/traces", headers={"authorization": "Bearer s3cret-token"})
GRPC = Endpoint(url="http://collector:4317", protocol="grpc")
SECONDS = 10.0  # that a test waits for another thread at most


@pytest.fixture(autouse=True)
def _no_thread_outlives_its_sender() -> Iterator[None]:
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("send to")] == []


def sender(script: Any, clock: Clock | None = None, **options: Any) -> Sender:
    clock = clock or Clock()
    return Sender(script, name="collector", sleep=clock.sleep, clock=clock, draw=lambda: 0.5, **options)


def deliver(destination: Sender, several: list[bytes]) -> list[Outcome]:
    """Send some spans and close; return the outcomes, which account for each of them once."""
    destination.put(HEAD, several, owner="o")
    destination.close()
    outcomes = destination.outcomes()
    assert places(outcomes) == [("o", place) for place in range(len(several))]
    assert {outcome.destination for outcome in outcomes} <= {"collector"}
    counted(outcomes)
    return outcomes


def until(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    latest = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < latest, "it did not come about"
        time.sleep(0.005)


# --- batches ------------------------------------------------------------------------------------------

puts = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["x", "y"]), st.lists(st.integers(0, 900), max_size=12)),
    max_size=8,
)


@settings(deadline=None, max_examples=40)
@given(puts, st.integers(1, 5_000), st.integers(1, 10))
def test_every_span_is_sent_once_and_no_request_is_above_the_caps(
    told: list[tuple[str, str, list[int]]], most_bytes: int, most_spans: int
) -> None:
    script = Script([Acknowledged()])
    destination = sender(script, most_bytes=most_bytes, most_spans=most_spans, senders=1)
    heads = {"x": head("x"), "y": head("y")}
    made: dict[str, int] = {"a": 0, "b": 0}
    number = 0
    for owner, service, sizes in told:
        several = [body(number + at, "x" * size) for at, size in enumerate(sizes, 1)]
        destination.put(heads[service], several, owner=owner, first=made[owner])
        made[owner] += len(sizes)
        number += len(sizes)
    destination.close()
    outcomes = destination.outcomes()

    assert [each for request in script.asked for each in request] == list(range(1, number + 1))
    for request, asked in zip(script.requests, script.asked, strict=True):
        assert 0 < len(asked) <= most_spans
        assert len(request) <= most_bytes or len(asked) == 1
    assert places(outcomes) == sorted((owner, place) for owner in made for place in range(made[owner]))
    assert counted(outcomes) == Counted(acknowledged=number)


def test_an_owner_may_have_the_first_thread_before_there_are_spans_and_ends_it_himself() -> None:
    script = Script([Acknowledged()])
    destination = sender(script)
    destination.begin()
    destination.begin()
    (thread,) = destination._threads
    assert thread.is_alive()

    destination.put(HEAD, bodies(2))
    destination.close()

    assert script.asked == [[1, 2]]
    assert not thread.is_alive()


def test_what_is_submitted_keeps_its_owner_its_place_and_its_head() -> None:
    script = Script([Acknowledged()])
    destination = sender(script)

    destination.submit(Encoded(spans=(), head=head("one"), bodies=bodies(2), owner="a", first=7))
    destination.submit(Encoded(spans=(), head=head("two"), bodies=bodies(1, start=3), owner="b"))
    destination.close()

    assert [(outcome.owner, outcome.first, outcome.spans) for outcome in destination.outcomes()] == [
        ("a", 7, range(7, 9)),
        ("b", 0, range(1)),
    ]
    (request,) = script.requests
    assert request.index(b"one") < request.index(b"two")


def test_an_owners_spans_that_follow_each_other_are_one_share_of_a_batch() -> None:
    destination = sender(Script([Acknowledged()]))

    destination.put(HEAD, tuple(bodies(1)), owner="a")
    destination.put(HEAD, tuple(bodies(1, start=2)), owner="a", first=1)
    destination.put(HEAD, bodies(1, start=3), owner="a", first=2)
    destination.put(HEAD, bodies(1, start=9), owner="a", first=8)
    destination.close()

    assert [(outcome.first, len(outcome.spans)) for outcome in destination.outcomes()] == [(0, 3), (8, 1)]


def test_a_list_that_the_caller_goes_on_with_is_not_touched() -> None:
    destination = sender(script := Script([Acknowledged()]))
    several = bodies(2)

    destination.put(HEAD, several, owner="a")
    several.clear()
    destination.put(HEAD, bodies(1, start=3), owner="a", first=2)
    destination.close()

    assert (several, script.asked) == ([], [[1, 2, 3]])


def test_a_span_above_the_cap_is_sent_alone() -> None:
    script = Script([Acknowledged()])

    deliver(sender(script, most_bytes=1_000, senders=1), [body(1), body(2, "x" * 2_000), body(3)])

    assert script.asked == [[1], [2], [3]]


def test_a_full_batch_is_sent_at_once_and_the_rest_on_flush() -> None:
    script = Script([Acknowledged()])
    destination = sender(script, most_spans=2)

    destination.put(HEAD, bodies(3))
    until(lambda: destination._asking == 0 and script.asked == [[1, 2]])
    destination.flush()
    assert script.asked == [[1, 2], [3]]
    assert counted(destination.outcomes()) == Counted(acknowledged=3)
    assert destination.outcomes() == []

    destination.flush()
    destination.close()
    assert len(script.requests) == 2  # an empty request is no request
    assert script.closed == 1


def test_a_batch_that_has_grown_old_goes_out_though_it_is_not_full() -> None:
    script, clock = Script([Acknowledged()]), Clock()
    destination = sender(script, clock)

    destination.put(HEAD, bodies(1))
    time.sleep(0.4)
    assert script.requests == []
    clock.now += 1.0
    until(lambda: script.asked == [[1]])

    destination.close()


def test_the_caps_leave_room_below_the_four_mebibytes_of_a_grpc_server() -> None:
    assert MOST_BYTES_HTTP < MOST_BYTES_GRPC < 4 * 1024 * 1024


def test_nothing_may_be_submitted_after_close() -> None:
    destination = sender(Script([Acknowledged()]))
    destination.close()

    with pytest.raises(ValueError, match="nothing can be sent to collector any more"):
        destination.put(HEAD, bodies(1))


# --- threads ------------------------------------------------------------------------------------------


class Gate(Script):
    """A transport that answers nothing until it is opened, and then acknowledges."""

    def __init__(self) -> None:
        super().__init__([Acknowledged()])
        self.open = threading.Event()

    def send(self, body: bytes) -> Verdict:
        verdict = super().send(body)
        assert self.open.wait(SECONDS)
        return verdict


def test_whoever_makes_the_spans_waits_while_the_queue_is_full() -> None:
    gate = Gate()
    destination = sender(gate, most_spans=1)
    done: list[int] = []

    def make() -> None:
        for number in range(1, 51):
            destination.put(HEAD, bodies(1, start=number), first=number - 1)
            done.append(number)

    thread = threading.Thread(target=make)
    thread.start()
    until(lambda: len(done) >= 4)
    time.sleep(0.2)
    held = len(done)
    gate.open.set()
    thread.join()
    destination.close()

    assert held < 8
    assert counted(destination.outcomes()) == Counted(acknowledged=50)
    assert sorted(number for request in gate.asked for number in request) == list(range(1, 51))


class Far(Script):
    """A transport that takes a while, and counts how many requests there are at once."""

    def __init__(self, seconds: float) -> None:
        super().__init__([Acknowledged()])
        self.seconds = seconds
        self.at_once: list[int] = []
        self.now = 0

    def send(self, body: bytes) -> Verdict:
        with self._lock:
            self.now += 1
            self.at_once.append(self.now)
        time.sleep(self.seconds)
        with self._lock:
            self.now -= 1
        return super().send(body)


@pytest.mark.parametrize("senders", [1, 3])
def test_a_collector_that_is_far_away_is_fed_by_several_requests_at_once(
    senders: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otel_agent_events.otlp.send._PATIENCE", 0.001)
    far = Far(0.03)

    outcomes = deliver(sender(far, most_spans=1, senders=senders), bodies(30))

    assert counted(outcomes) == Counted(acknowledged=30)
    assert max(far.at_once) == senders


def test_a_collector_that_answers_at_once_is_fed_by_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_agent_events.otlp.send._PATIENCE", SECONDS)  # this machine may be busy
    near = Far(0.0)

    deliver(sender(near, most_spans=1), bodies(200))

    assert max(near.at_once) == 1


def test_no_second_sender_is_started_before_anything_was_acknowledged() -> None:
    far = Far(0.02)
    far._verdicts = [Refused(message="no")]

    outcomes = deliver(sender(far, most_spans=1), bodies(15))

    assert counted(outcomes) == Counted(lost=15)
    assert max(far.at_once) == 1


def test_an_error_that_nobody_expected_costs_no_more_than_its_batch_and_hangs_nobody() -> None:
    def answer(asked: list[int]) -> Verdict:
        if asked == [2]:
            raise MemoryError("no room")
        return Acknowledged()

    destination = sender(Script(answer), most_spans=1)
    outcomes = deliver(destination, bodies(3))

    assert counted(outcomes) == Counted(acknowledged=2, lost=1)
    assert messages(outcomes) == ["sending to collector failed: MemoryError('no room')"]
    assert destination.failure is None


def test_what_an_unexpected_error_leaves_is_set_aside_where_it_can_be() -> None:
    def answer(asked: list[int]) -> Verdict:
        if len(asked) > 2:
            return Malformed(message="no")
        if asked == [3, 4]:
            raise RuntimeError("a flaw")
        return Acknowledged()

    kept = Kept()
    outcomes = deliver(sender(Script(answer), aside=kept), bodies(4))

    assert counted(outcomes) == Counted(acknowledged=2, set_aside=2)
    assert kept.numbers == [3, 4]


def test_an_error_in_setting_aside_loses_the_spans_and_hangs_nobody() -> None:
    class Broken(Kept):
        def put(self, *_: Any) -> None:
            raise MemoryError

    outcomes = deliver(sender(Script([Refused(message="no")]), aside=Broken()), bodies(2))

    assert counted(outcomes) == Counted(lost=2)
    assert messages(outcomes) == ["no; it could not be set aside in aside.jsonl: MemoryError()"]


def test_spans_that_nothing_can_keep_are_lost_and_hang_nobody() -> None:
    class Exits(Kept):
        def put(self, *_: Any) -> None:
            raise SystemExit(3)

    outcomes = deliver(sender(Script([Refused(message="no")]), aside=Exits()), bodies(2))

    assert counted(outcomes) == Counted(lost=2)
    assert messages(outcomes) == ["sending to collector failed: SystemExit(3)"]


def test_who_never_closes_does_not_keep_the_interpreter_from_its_end(tmp_path: Any) -> None:
    program = """
import sys
from otel_agent_events.otlp.send import Sender
from otel_agent_events.otlp.verdicts import Acknowledged
from tests.otlp.bodies import HEAD, bodies

class Transport:
    def send(self, body): return Acknowledged()
    def close(self): print("closed")

class Aside:
    name = "aside"
    def put(self, head, bodies): print("kept", len(bodies))

Sender(Transport(), name="x", aside=Aside(), clock=lambda: 0.0).put(HEAD, bodies(3))
"""
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))  # noqa: PTH120
    ran = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": root},
    )

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "kept 3\nclosed\n", "")


# --- what an answer leads to --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "expected", "said"),
    [
        (Acknowledged(), Counted(acknowledged=3), []),
        (Acknowledged(message="deprecated field"), Counted(acknowledged=3), ["deprecated field"]),
        (Acknowledged(rejected=2, message="no name"), Counted(acknowledged=1, rejected=2), ["no name"]),
        (Acknowledged(rejected=9), Counted(rejected=3), []),
        (Acknowledged(rejected=-1), Counted(acknowledged=3), []),
        (Refused(message="a flaw of mine"), Counted(set_aside=3), ["a flaw of mine"]),
    ],
)
def test_a_verdict_on_one_batch_is_an_outcome_and_no_failure(
    verdict: Verdict, expected: Counted, said: list[str]
) -> None:
    clock, script = Clock(), Script([verdict])
    destination = sender(script, clock, aside=Kept())

    outcomes = deliver(destination, bodies(3))

    assert (counted(outcomes), messages(outcomes)) == (expected, said)
    assert destination.failure is None
    assert clock.slept == []
    assert len(script.requests) == 1


def test_spans_that_a_partial_success_rejects_are_shared_out_among_the_owners() -> None:
    destination = sender(Script([Acknowledged(rejected=4, message="too old")]))

    for owner, count in [("a", 1), ("b", 3), ("c", 2)]:
        destination.put(HEAD, bodies(count), owner=owner)
    destination.close()

    assert [
        (outcome.owner, outcome.acknowledged, outcome.rejected, outcome.message) for outcome in destination.outcomes()
    ] == [("a", 0, 1, "too old"), ("b", 1, 2, "too old"), ("c", 1, 1, "too old")]


@pytest.mark.parametrize(
    ("verdict", "error"),
    [
        (DestinationRefused(message="who are you"), RefusedError),
        (Unreachable(message="no TLS", mistaken=True), UnreachableError),
        (Retry(message="busy", after=301.0), RefusedError),
    ],
)
def test_what_concerns_every_batch_is_a_failure_and_all_the_rest_is_set_aside_at_once(
    verdict: Any, error: type[Exception]
) -> None:
    script, clock, kept = Script([verdict]), Clock(), Kept()
    destination = sender(script, clock, most_spans=2, aside=kept)

    destination.put(HEAD, bodies(50), owner="o")
    destination.flush()
    assert type(destination.failure) is error
    assert str(destination.failure).startswith(verdict.message)
    destination.put(HEAD, bodies(1, start=51), owner="o", first=50)
    assert counted(destination.outcomes()) == Counted(set_aside=51)
    destination.close()

    assert len(script.requests) == 1
    assert clock.slept == []
    assert kept.numbers == list(range(1, 52))
    assert {each for each, _ in kept.bodies} == {HEAD}


def test_what_cannot_be_set_aside_is_lost_and_says_why() -> None:
    outcomes = deliver(sender(Script([DestinationRefused(message="no")]), aside=Kept(full=True)), bodies(2))

    assert counted(outcomes) == Counted(lost=2)
    assert messages(outcomes) == ["no; it could not be set aside in aside.jsonl: No space left on device"]


def test_without_a_place_to_set_it_aside_it_is_lost() -> None:
    outcomes = deliver(sender(Script([DestinationRefused(message="no")])), bodies(2))

    assert (counted(outcomes), messages(outcomes)) == (Counted(lost=2), ["no"])


# --- trying again -------------------------------------------------------------------------------------


def test_a_temporary_refusal_is_tried_again_with_longer_waits() -> None:
    script, clock = Script([*[Retry(message="busy")] * 7, Acknowledged()]), Clock()

    outcomes = deliver(sender(script, clock), bodies(2))

    assert (counted(outcomes), messages(outcomes)) == (Counted(acknowledged=2), [])
    assert clock.slept == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert len(set(script.requests)) == 1


def test_the_wait_that_a_server_asks_for_is_kept() -> None:
    script, clock = (
        Script([Retry(message="busy", after=30.0), Retry(message="busy", after=0.0), Acknowledged()]),
        Clock(),
    )

    assert counted(deliver(sender(script, clock), bodies(1))) == Counted(acknowledged=1)
    assert clock.slept == [30.0, 0.1]


@pytest.mark.parametrize(
    ("script", "deadline", "seconds"),
    [
        ([Unreachable(message="no")], None, 15.0),
        ([Unreachable(message="no")], 40.0, 40.0),
        ([Unreachable(message="no", mistaken=True)], 40.0, 40.0),
        ([Retry(message="no")], None, 300.0),
        ([Retry(message="no"), Unreachable(message="no")], None, 300.0),
        ([Retry(message="no")], 7.0, 7.0),
        ([Acknowledged(), Unreachable(message="no")], None, 300.0),
        ([Acknowledged(), Unreachable(message="no", mistaken=True)], 5.0, 5.0),
    ],
)
def test_a_batch_is_tried_until_its_deadline_and_then_the_destination_has_failed(
    script: list[Verdict], deadline: float | None, seconds: float
) -> None:
    clock, kept = Clock(), Kept()
    destination = sender(Script(script), clock, deadline=deadline, aside=kept, most_spans=1, senders=1)

    outcomes = deliver(destination, bodies(40))

    taken = sum(isinstance(each, Acknowledged) for each in script)
    assert clock.now == seconds
    assert counted(outcomes) == Counted(acknowledged=taken, set_aside=40 - taken)
    assert type(destination.failure) is (UnreachableError if isinstance(script[-1], Unreachable) else RefusedError)
    assert str(destination.failure) == (
        f"no; given up after {len(clock.slept) + 1} tries in {seconds:.0f} s (--deadline gives it longer)"
    )


def test_a_wait_that_is_longer_than_the_time_there_is_ends_the_tries() -> None:
    script, clock = Script([Retry(message="busy", after=3_600.0)]), Clock()

    outcomes = deliver(sender(script, clock), bodies(1))

    assert clock.slept == []
    (told,) = messages(outcomes)
    assert told.startswith(
        "busy; given up after 1 try: it asked to wait another 3600 s, and a batch is tried for 300 s"
    )


def test_the_time_that_requests_take_counts() -> None:
    clock = Clock()

    def slow(_: list[int]) -> Verdict:
        clock.now += 20.0
        return Retry(message="busy")

    script = Script(slow)
    outcomes = deliver(sender(script, clock, deadline=30.0), bodies(1))

    assert len(script.requests) == 2
    assert messages(outcomes) == ["busy; given up after 2 tries in 40 s (--deadline gives it longer)"]


def test_a_batch_that_is_never_taken_while_others_are_is_set_aside_alone() -> None:
    clock, kept = Clock(), Kept()
    poison = threading.Event()
    again = threading.Event()

    def answer(asked: list[int]) -> Verdict:
        if asked != [2]:
            return Acknowledged()
        poison.set()
        assert again.wait(SECONDS)
        return Retry(message="busy")

    destination = sender(Script(answer), clock, most_spans=1, aside=kept, senders=2, deadline=60.0)
    destination.put(HEAD, bodies(1))
    destination.flush()
    destination.put(HEAD, bodies(9, start=2), first=1)
    until(poison.is_set)
    clock.now = 1.0
    until(lambda: len(destination._outcomes) == 9)
    again.set()
    destination.close()

    assert counted(destination.outcomes()) == Counted(acknowledged=9, set_aside=1)
    assert destination.failure is None
    assert kept.numbers == [2]


# --- halving ------------------------------------------------------------------------------------------


def test_one_malformed_span_among_many_is_found_and_rejected_alone() -> None:
    script = Script(lambda asked: Malformed(message="bad span") if 37 in asked else Acknowledged())
    destination = sender(script)

    outcomes = deliver(destination, bodies(100))

    assert counted(outcomes) == Counted(acknowledged=99, rejected=1)
    (rejected,) = (outcome for outcome in outcomes if outcome.rejected)
    assert rejected.spans == range(36, 37)
    assert rejected.message == "bad span (span 0000000000000025)"
    assert len(script.requests) <= 16
    assert destination.failure is None


@settings(deadline=None, max_examples=30)
@given(st.sets(st.integers(1, 60), max_size=15))
def test_exactly_the_malformed_ones_are_rejected(bad: set[int]) -> None:
    taken: list[int] = []

    def answer(asked: list[int]) -> Verdict:
        if bad & set(asked):
            return Malformed(message="bad")
        taken.extend(asked)
        return Acknowledged()

    outcomes = deliver(sender(Script(answer), most_spans=20, senders=1), bodies(60))

    assert sorted(taken) == sorted(set(range(1, 61)) - bad)
    assert {number for outcome in outcomes if outcome.rejected for number in numbers_of(outcome)} == bad


def numbers_of(outcome: Outcome) -> list[int]:
    return [place + 1 for place in outcome.spans]


def test_a_server_that_refuses_everything_is_soon_believed_and_it_is_nobodys_fault() -> None:
    script, kept = Script([Malformed(message="no")]), Kept()
    destination = sender(script, aside=kept)

    outcomes = deliver(destination, bodies(5_000))

    assert counted(outcomes) == Counted(set_aside=5_000)
    assert kept.numbers == list(range(1, 5_001))
    assert isinstance(destination.failure, RefusedError)
    assert str(destination.failure) == "no. 16 spans were refused one by one, and none was taken"
    assert len(script.requests) < 50


def test_sixteen_refusals_in_a_row_count_over_batches() -> None:
    script, kept = Script([Malformed(message="no")]), Kept()
    destination = sender(script, aside=kept, most_spans=1)

    outcomes = deliver(destination, bodies(40))

    assert counted(outcomes) == Counted(set_aside=40)
    assert kept.numbers == list(range(1, 41))
    assert len(script.requests) == 16


def test_what_a_server_refuses_that_never_took_anything_is_set_aside() -> None:
    destination = sender(Script([Malformed(message="no")]), aside=(kept := Kept()))

    outcomes = deliver(destination, bodies(5))

    assert counted(outcomes) == Counted(set_aside=5)
    assert kept.numbers == [1, 2, 3, 4, 5]
    assert messages(outcomes) == [
        "no. collector has not taken a single span, so it may be no fault of those it refused"
    ]
    assert destination.failure is None


def test_what_a_server_refuses_that_took_something_before_is_rejected() -> None:
    destination = sender(Script([Acknowledged(), Malformed(message="no")]), aside=Kept())

    destination.put(HEAD, bodies(1))
    destination.flush()
    destination.put(HEAD, bodies(1, start=2), first=1)
    destination.close()

    outcomes = destination.outcomes()
    assert counted(outcomes) == Counted(acknowledged=1, rejected=1)
    assert messages(outcomes) == ["no (span 0000000000000002)"]


def test_a_batch_that_is_too_large_is_halved_and_later_ones_are_cut_to_that_size_at_once() -> None:
    script = Script([])
    script._verdicts = lambda _: TooLarge(message="413") if len(script.requests[-1]) > 3_000 else Acknowledged()
    destination = sender(script, most_bytes=10_000, senders=1)

    outcomes = deliver(destination, bodies(3_000, size=100))

    sizes = [len(request) for request in script.requests]
    refused = [size for size in sizes if size > 3_000]
    assert counted(outcomes) == Counted(acknowledged=3_000)
    assert [round(size, -3) for size in refused[:3]] == [10_000, 5_000, 4_000]
    assert len(refused) <= 8
    assert len(sizes) < 1.5 * sum(sizes) / 3_000
    assert sorted(
        number for asked, size in zip(script.asked, sizes, strict=True) if size <= 3_000 for number in asked
    ) == (list(range(1, 3_001)))


@pytest.mark.parametrize("refusals", [1, 2, 6])
def test_after_a_whim_about_the_size_batches_grow_to_what_they_were(refusals: int) -> None:
    script = Script([*[TooLarge(message="too large")] * refusals, Acknowledged()])
    destination = sender(script, most_bytes=20_000, senders=1)

    outcomes = deliver(destination, bodies(20_000, size=100))

    sizes = [len(request) for request in script.requests]
    assert counted(outcomes) == Counted(acknowledged=20_000)
    assert len(sizes) < sum(sizes) / 20_000 + 100
    assert max(sizes[-10:]) > 19_500


def test_a_span_that_is_too_large_does_not_make_the_batches_behind_it_smaller() -> None:
    script = Script([])

    def answer(_: list[int]) -> Verdict:
        spans = spans_of(script.requests[-1])
        return TooLarge(message="413") if any(span.ByteSize() > 5_000 for span in spans) else Acknowledged()

    script._verdicts = answer
    sent = bodies(2_000, size=100)
    for number in (3, 400, 700, 701):
        sent[number - 1] = body(number, "x" * 9_000)

    outcomes = deliver(sender(script, most_bytes=20_000, senders=1), sent)

    assert counted(outcomes) == Counted(acknowledged=2_000)
    whole = sum(len(request) > 19_000 for request in script.requests)
    assert whole > 10
    assert len(script.requests) < 120


def test_a_single_span_that_is_too_large_is_shortened_until_it_is_taken() -> None:
    script = Script([])
    script._verdicts = lambda _: TooLarge(message="413") if len(script.requests[-1]) > 30_000 else Acknowledged()
    sent = [body(1), body(2, "x" * 100_000), body(3)]

    outcomes = deliver(sender(script, most_bytes=50_000, senders=1), sent)

    assert counted(outcomes) == Counted(acknowledged=3)
    (told,) = messages(outcomes)
    assert told.startswith(f"413. It took the span shortened from {len(sent[1])} to ")
    (span,) = spans_of(script.requests[-2])
    attributes = {pair.key: pair.value for pair in span.attributes}
    assert 20_000 < len(attributes["content"].string_value) < 30_000
    assert attributes["otel_agent_events.shortened"].bool_value
    assert attributes["content.original_length"].int_value == 100_000
    assert [len(request) for request in script.requests[:-2]] == sorted(
        [len(request) for request in script.requests[:-2]], key=lambda size: size > 1_000
    )


def test_a_single_span_that_stays_too_large_is_set_aside_as_it_was() -> None:
    kept = Kept()
    script = Script(lambda asked: TooLarge(message="413") if 2 in asked else Acknowledged())
    sent = [body(1), body(2, "x" * 100_000), body(3)]

    outcomes = deliver(sender(script, aside=kept), sent)

    assert counted(outcomes) == Counted(acknowledged=2, set_aside=1)
    assert [each for _, each in kept.bodies] == [sent[1]]
    assert messages(outcomes) == ["413, and to a span that was shortened as far as it can be"]
    alone = [len(request) for request in script.requests if numbers(spans_of(request)) == [2]]
    assert all(after < before for before, after in pairwise(alone))
    assert 4_000 < alone[-1] < 4_500


def test_a_server_to_which_everything_is_too_large_is_soon_believed() -> None:
    script, kept = Script([TooLarge(message="413")]), Kept()
    destination = sender(script, aside=kept)

    outcomes = deliver(destination, bodies(1_000))

    assert counted(outcomes) == Counted(set_aside=1_000)
    assert isinstance(destination.failure, RefusedError)
    assert len(script.requests) < 50


def test_a_span_without_texts_that_is_too_large_is_set_aside_at_once() -> None:
    span = Span(trace_id=bytes(16), span_id=bytes(8), attributes=[KeyValue(key="k" * 20_000)])
    script, kept = Script([TooLarge(message="413")]), Kept()

    outcomes = deliver(sender(script, aside=kept), [packed(span)])

    assert counted(outcomes) == Counted(set_aside=1)
    assert len(script.requests) == 1


def test_a_span_that_is_too_large_when_it_is_stopped_is_set_aside_with_the_servers_words() -> None:
    kept = Kept()

    def answer(_: list[int]) -> Verdict:
        destination.stop()
        return TooLarge(message="413")

    destination = sender(Script(answer), aside=kept)
    outcomes = deliver(destination, [body(1, "x" * 10_000)])

    assert (counted(outcomes), messages(outcomes)) == (Counted(set_aside=1), ["413"])


def test_a_shortened_span_that_is_malformed_is_rejected() -> None:
    script = Script([Acknowledged(), TooLarge(message="413"), Malformed(message="bad")])

    outcomes = deliver(sender(script, most_spans=1, senders=1), [body(1), body(2, "x" * 10_000)])

    assert counted(outcomes) == Counted(acknowledged=1, rejected=1)


def test_a_shortened_span_that_meets_no_answer_is_set_aside_as_it_was() -> None:
    kept, sent = Kept(), [body(1, "x" * 10_000)]

    deliver(sender(Script([TooLarge(message="413"), Unreachable(message="broke")]), aside=kept), sent)

    assert [each for _, each in kept.bodies] == sent


# --- stopping -----------------------------------------------------------------------------------------


def test_stop_wakes_whoever_waits_to_try_again_and_sets_aside_what_was_never_tried() -> None:
    script, kept = Script([Acknowledged(), Retry(message="busy", after=200.0)]), Kept()
    destination = Sender(script, name="collector", most_spans=2, aside=kept)
    destination.put(HEAD, bodies(7), owner="o")
    until(lambda: len(script.requests) == 2)

    destination.stop()
    destination.stop()
    destination.flush()
    destination.put(HEAD, bodies(1, start=8), owner="o", first=7)
    destination.close()

    outcomes = destination.outcomes()
    assert places(outcomes) == [("o", place) for place in range(8)]
    assert counted(outcomes) == Counted(acknowledged=2, set_aside=6)
    assert kept.numbers == [3, 4, 5, 6, 7, 8]
    assert type(destination.failure) is DestinationError
    assert messages(outcomes) == [
        "busy; then it was not tried again",
        "nothing more is sent to collector: the run was stopped",
    ]


def test_a_batch_that_is_not_taken_at_its_next_answer_is_set_aside_when_it_was_stopped() -> None:
    def answer(_: list[int]) -> Verdict:
        destination.stop()
        return Retry(message="busy")

    clock = Clock()
    destination = sender(script := Script(answer), clock, aside=Kept())
    outcomes = deliver(destination, bodies(2))

    assert messages(outcomes) == ["busy; then it was not tried again"]
    assert (len(script.requests), clock.slept) == (1, [])


def test_a_batch_under_way_is_taken_at_its_next_answer_though_it_was_stopped() -> None:
    gate, kept = Gate(), Kept()
    destination = sender(gate, most_spans=1, aside=kept)
    destination.put(HEAD, bodies(2))
    until(lambda: gate.requests)

    destination.stop()
    threading.Timer(0.1, gate.open.set).start()
    destination.abandon()

    assert counted(destination.outcomes()) == Counted(acknowledged=1, set_aside=1)
    assert kept.numbers == [2]
    assert gate.closed == 1


@pytest.mark.parametrize("where", ["put", "flush"])
def test_stop_may_be_called_by_a_signal_that_interrupts_whoever_waits(where: str) -> None:
    script, kept = Script([Retry(message="busy", after=200.0)]), Kept()
    destination = Sender(script, name="collector", most_spans=1, aside=kept)
    before = signal.signal(signal.SIGUSR1, lambda *_: destination.stop())
    shots = [threading.Timer(0.1 + 0.01 * number, os.kill, (os.getpid(), signal.SIGUSR1)) for number in range(3)]
    try:
        for shot in shots:
            shot.start()
        put_and_flush(destination, 100 if where == "put" else 2)
    finally:
        for shot in shots:
            shot.join()
        signal.signal(signal.SIGUSR1, before)
    destination.close()

    assert kept.numbers == list(range(1, 101 if where == "put" else 3))


def put_and_flush(destination: Sender, count: int) -> None:
    destination.put(HEAD, bodies(count), owner="o")
    destination.flush()


@pytest.mark.parametrize("where", ["put", "flush"])
def test_an_interrupted_producer_abandons_and_everything_that_it_gave_is_accounted_for(where: str) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    script, kept = Script([Retry(message="busy", after=200.0)]), Kept()
    destination = Sender(script, name="collector", most_spans=1, aside=kept)
    before = signal.signal(signal.SIGUSR1, interrupt)
    shot = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        shot.start()
        with pytest.raises(KeyboardInterrupt):
            put_and_flush(destination, 100 if where == "put" else 2)
    finally:
        shot.join()
        signal.signal(signal.SIGUSR1, before)
    destination.abandon()
    destination.abandon()
    destination.close()

    count = len(kept.numbers)
    assert kept.numbers == list(range(1, count + 1))
    assert places(destination.outcomes()) == [("o", place) for place in range(count)]
    assert count == 2 if where == "flush" else 4 <= count < 100
    assert script.closed == 1


def test_abandon_after_close_is_harmless() -> None:
    destination = sender(script := Script([Acknowledged()]))
    outcomes = deliver(destination, bodies(1))
    destination.abandon()
    destination.close()

    assert destination.failure is None
    assert len(outcomes) == script.closed == 1


def test_where_no_thread_can_be_started_nothing_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    destination = sender(Script([Acknowledged()]), aside=Kept())
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            destination.put(HEAD, bodies(1))
    destination.abandon()

    assert destination.outcomes() == []


# --- whatever happens ---------------------------------------------------------------------------------

verdicts: st.SearchStrategy[Verdict] = st.one_of(
    st.builds(Acknowledged, rejected=st.integers(-5, 50), message=st.none()),
    st.builds(Retry, message=st.just("busy"), after=st.none() | st.floats(0, 400)),
    st.builds(TooLarge, message=st.just("large")),
    st.builds(Malformed, message=st.just("bad")),
    st.builds(Refused, message=st.just("no")),
    st.builds(DestinationRefused, message=st.just("no")),
    st.builds(Unreachable, message=st.just("no"), mistaken=st.booleans()),
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(verdicts, min_size=1, max_size=8),
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), max_size=6),
    st.sampled_from(["close", "abandon", "stop"]),
    st.booleans(),
)
def test_whatever_is_answered_every_span_has_one_outcome_and_the_counts_add_up(
    script: list[Verdict],
    submitted: list[tuple[str, int]],
    end: str,
    full: bool,  # noqa: FBT001
) -> None:
    kept = Kept(full=full)
    destination = sender(Script(script), most_spans=4, aside=kept)
    made = {"a": 0, "b": 0}
    for owner, count in submitted:
        destination.put(HEAD, bodies(count, size=5_000 if count == 1 else 5), owner=owner, first=made[owner])
        made[owner] += count
    getattr(destination, end)()
    destination.close()
    outcomes = destination.outcomes()

    total = counted(outcomes)
    assert places(outcomes) == sorted((owner, place) for owner in made for place in range(made[owner]))
    assert total.set_aside == len(kept.bodies)
    assert not total.lost or full
    assert all(outcome.message for outcome in outcomes if outcome.lost or outcome.set_aside)


# --- words --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "endpoint", "expected"),
    [
        ("absent", HTTP, "nobody listens at http://collector:4318/v1/traces: is a collector running there? OTLP over"),
        ("absent", GRPC, "nobody listens at http://collector:4317: is a collector running there? gRPC usually listens"),
        ("unknown", GRPC, "http://collector:4317 cannot be found: no host is known by that name (told)"),
        ("tls", GRPC, "there is no encrypted connection to http://collector:4317 (told). OTEL_EXPORTER_OTLP_CERTIFICA"),
        ("slow", GRPC, "http://collector:4317 did not answer within 10 s. OTEL_EXPORTER_OTLP_TIMEOUT is in millisec"),
        (
            "foreign",
            HTTP,
            "what answers at http://collector:4318/v1/traces does not speak HTTP (told). Port 4317 is gR",
        ),
        (
            "foreign",
            GRPC,
            "what answers at http://collector:4317 does not speak gRPC (told). Port 4318 is HTTP: set th",
        ),
        ("broken", GRPC, "the connection to http://collector:4317 broke (told)"),
    ],
)
def test_every_trouble_has_a_sentence_with_a_hint(kind: Any, endpoint: Endpoint, expected: str) -> None:
    assert judge_trouble(Trouble(kind=kind, detail="told"), endpoint).message.startswith(expected)


def test_trouble_without_words_has_no_empty_brackets() -> None:
    assert (
        judge_trouble(Trouble(kind="broken", detail=""), GRPC).message
        == "the connection to http://collector:4317 broke"
    )


def test_words_from_outside_are_one_printable_line() -> None:
    assert plain("  no\n\tsuch \x1b[31mpath\x00 ", HTTP) == "no such [31mpath"


def test_words_from_outside_are_cut_at_300_characters() -> None:
    assert plain("x" * 300, HTTP) == "x" * 300
    assert plain("x" * 301, HTTP) == "x" * 299 + "…"


def test_a_credential_is_hidden_even_where_the_words_are_cut() -> None:
    assert plain("x" * 295 + "s3cret-token", HTTP) == "x" * 295 + "****"


def test_a_server_that_says_nothing_is_not_quoted() -> None:
    assert quoted("no way", HTTP) == ": it says 'no way'"
    assert quoted(" \n", HTTP) == ""


@pytest.mark.parametrize(("kind", "mistaken"), [("tls", True), ("foreign", True), ("absent", False), ("slow", False)])
def test_only_somebody_who_is_there_and_cannot_be_talked_to_is_a_mistake(kind: Any, mistaken: bool) -> None:  # noqa: FBT001
    assert judge_trouble(Trouble(kind=kind, detail=""), HTTP).mistaken is mistaken


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("Received message larger than max (5000000 vs. 4194304)", True),
        ("grpc: received message after decompression larger than max 4194304", True),
        ("http: request body too large", True),
        ("message exceeds maximum size", True),
        ("Message size 5 is over the limit", True),
        ("RATE_LIMITED: ingestion rate limit (15000000 bytes) exceeded while adding 900 bytes", False),
        ("TRACE_TOO_LARGE: max size of trace (5000000) exceeded", False),
        ("quota exceeded: too many requests", False),
        ("", False),
    ],
)
def test_words_about_the_size_are_told_from_words_about_the_rate(words: str, expected: bool) -> None:  # noqa: FBT001
    assert speaks_of_size(words) is expected
