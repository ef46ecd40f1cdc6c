from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_agent_events.errors import RefusedError, UnreachableError
from otel_agent_events.otlp import Endpoint
from otel_agent_events.otlp.encode import encode
from otel_agent_events.otlp.send import (
    MOST_BYTES_GRPC,
    MOST_BYTES_HTTP,
    Acknowledged,
    BatchRefused,
    DestinationRefused,
    Retry,
    Sender,
    Trouble,
    Unreachable,
    Verdict,
    estimate,
    fitting,
    judge_trouble,
    plain,
    quoted,
)
from otel_agent_events.retry import Backoff
from otel_agent_events.spans import Link, Span
from tests.otlp.examples import Script, Time, any_span, deliver, ids, ids_of_request, span, spans

if TYPE_CHECKING:
    from otel_agent_events.otlp import Outcome

HTTP = Endpoint(url="http://collector:4318/v1/traces", headers={"authorization": "Bearer s3cret-token"})
GRPC = Endpoint(url="http://collector:4317", protocol="grpc")


def sender(script: Script, time: Time | None = None, **options: Any) -> Sender:
    time = time or Time()
    return Sender(script, name="collector", sleep=time.sleep, clock=time, draw=lambda: 0.5, **options)


# --- batches ------------------------------------------------------------------------------------------

sizes = st.lists(st.integers(0, 3_000), max_size=30)


@settings(deadline=None)
@given(sizes, st.integers(1, 5_000), st.integers(1, 10), st.lists(st.integers(1, 30), max_size=5))
def test_every_span_is_sent_once_and_no_request_is_above_the_caps(
    contents: list[int], most_bytes: int, most_spans: int, cuts: list[int]
) -> None:
    sent = [span(number, content="é" * (size // 2) + "x" * size) for number, size in enumerate(contents, 1)]
    script = Script([Acknowledged()])
    destination = sender(script, most_bytes=most_bytes, most_spans=most_spans)

    rest = list(sent)
    for cut in cuts:
        destination.submit(rest[:cut])
        rest = rest[cut:]
    destination.submit(rest)
    destination.close()

    requests = [ids_of_request(body) for body in script.bodies]
    assert [each for request in requests for each in request] == ids(sent)
    assert all(0 < len(request) <= most_spans for request in requests)
    assert all(
        len(body) <= most_bytes or len(request) == 1 for body, request in zip(script.bodies, requests, strict=True)
    )
    assert [each for outcome in destination.outcomes() for each in outcome.spans] == ids(sent)


@settings(deadline=None)
@given(st.lists(any_span(), min_size=1, max_size=8), st.integers(1, 2_000))
def test_what_fits_is_a_beginning_within_the_cap_or_one_span(sent: list[Span], most_bytes: int) -> None:
    count, body = fitting(sent, most_bytes)

    assert body == encode(sent[:count])
    assert count >= 1
    assert len(body) <= most_bytes or count == 1


def test_a_request_above_the_cap_is_halved_until_it_fits() -> None:
    sent = spans(8)

    count, body = fitting(sent, len(encode(sent[:3])))

    assert count == 2
    assert body == encode(sent[:2])


def test_a_span_above_the_cap_is_sent_alone() -> None:
    script = Script([Acknowledged()])
    destination = sender(script, most_bytes=1_000)

    destination.submit([span(1), span(2, content="x" * 2_000), span(3)])
    destination.close()

    assert [ids_of_request(body) for body in script.bodies] == [[each] for each in ids(spans(3))]


def test_a_full_batch_is_sent_at_once_and_the_rest_on_flush() -> None:
    script = Script([Acknowledged()])
    destination = sender(script, most_spans=2)

    destination.submit(spans(3))
    assert [len(ids_of_request(body)) for body in script.bodies] == [2]
    assert [outcome.acknowledged for outcome in destination.outcomes()] == [2]

    destination.flush()
    assert [len(ids_of_request(body)) for body in script.bodies] == [2, 1]
    assert [outcome.acknowledged for outcome in destination.outcomes()] == [1]
    destination.flush()
    assert len(script.bodies) == 2  # an empty request is no request


def test_the_caps_leave_room_below_the_four_mebibytes_of_a_grpc_server() -> None:
    assert MOST_BYTES_GRPC < MOST_BYTES_HTTP < 4 * 1024 * 1024


def test_an_estimate_is_near_the_encoded_size() -> None:
    large = replace(
        span(1, content="é" * 500),
        constants={"session.id": "s" * 40},
        varying={"text": "é" * 500, "several": ("x" * 100, "y" * 100), "number": 5, "truth": True, "half": 0.5},
        parent_id=b"\x01" * 8,
        status="error",
        description="z" * 100,
        links=(Link(trace_id=b"\x01" * 16, span_id=b"\x02" * 8, attributes={"why": "w" * 100}),),
    )
    encoded = len(encode([large] * 100)) / 100

    assert 0.9 * encoded < estimate(large) < 1.1 * encoded


# --- what an answer leads to --------------------------------------------------------------------------


def counts(outcome: Outcome) -> tuple[int, int, int, str | None]:
    return outcome.acknowledged, outcome.rejected, outcome.lost, outcome.message


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (Acknowledged(), (3, 0, 0, None)),
        (Acknowledged(message="deprecated field"), (3, 0, 0, "deprecated field")),
        (Acknowledged(rejected=2, message="no name"), (1, 2, 0, "no name")),
        (Acknowledged(rejected=9), (0, 3, 0, None)),
        (Acknowledged(rejected=-1), (3, 0, 0, None)),
        (BatchRefused(message="too large"), (0, 0, 3, "too large")),
    ],
)
def test_a_verdict_on_one_batch_is_an_outcome_and_no_failure(
    verdict: Verdict, expected: tuple[int, int, int, str | None]
) -> None:
    time = Time()
    destination = sender(Script([verdict]), time)

    assert counts(deliver(destination, spans(3))) == expected
    assert destination.failure is None
    assert time.slept == []


@pytest.mark.parametrize(
    ("verdict", "error"),
    [(DestinationRefused(message="who are you"), RefusedError), (Unreachable(message="nobody"), UnreachableError)],
)
def test_what_concerns_every_batch_is_a_failure_and_all_the_rest_is_lost_at_once(
    verdict: Any, error: type[Exception]
) -> None:
    script, time = Script([verdict]), Time()
    destination = sender(script, time, most_spans=2)

    destination.submit(spans(5))
    assert type(destination.failure) is error
    assert str(destination.failure) == verdict.message
    destination.submit(spans(1))
    destination.flush()
    destination.close()

    outcomes = destination.outcomes()
    assert len(script.bodies) == 1
    assert time.slept == []
    assert [outcome.lost for outcome in outcomes] == [2, 2, 1, 1]
    assert {outcome.message for outcome in outcomes} == {verdict.message}
    assert [each for outcome in outcomes for each in outcome.spans] == ids([*spans(5), *spans(1)])


def test_a_temporary_refusal_is_tried_again_with_longer_waits() -> None:
    script, time = Script([Retry(message="busy"), Retry(message="busy"), Acknowledged()]), Time()

    outcome = deliver(sender(script, time), spans(2))

    assert counts(outcome) == (2, 0, 0, None)
    assert time.slept == [0.5, 1.0]
    assert len(set(script.bodies)) == 1


def test_the_wait_that_a_server_asks_for_is_kept() -> None:
    script, time = Script([Retry(message="busy", after=7.0), Acknowledged()]), Time()

    deliver(sender(script, time), spans(1))

    assert time.slept == [7.0]


def test_after_the_last_try_the_batch_is_lost_and_the_next_one_has_its_own_tries() -> None:
    script, time = Script([*[Retry(message="busy")] * 5, Acknowledged()]), Time()
    destination = sender(script, time)

    destination.submit(spans(1))
    destination.flush()
    destination.submit([span(2)])
    destination.flush()

    assert time.slept == [0.5, 1.0, 2.0, 4.0]
    assert [counts(outcome) for outcome in destination.outcomes()] == [
        (0, 0, 1, "busy; given up after 5 tries"),
        (1, 0, 0, None),
    ]
    assert destination.failure is None


def test_a_wait_that_is_longer_than_the_time_there_is_ends_the_tries() -> None:
    script, time = Script([Retry(message="busy", after=3_600.0)]), Time()

    outcome = deliver(sender(script, time), spans(1))

    assert time.slept == []
    assert outcome.message == "busy; given up after 1 try, when it asked to wait another 3600 s"


def test_the_time_that_requests_take_counts() -> None:
    time = Time()

    class Slow(Script):
        def send(self, body: bytes) -> Verdict:
            time.now += 20.0
            return super().send(body)

    script = Slow([Retry(message="busy")])
    outcome = deliver(sender(script, time), spans(1))

    assert len(script.bodies) == 2
    assert outcome.message == "busy; given up after 2 tries"


def test_a_broken_connection_is_tried_again_once_something_was_acknowledged() -> None:
    script, time = Script([Acknowledged(), Unreachable(message="broke"), Acknowledged()]), Time()
    destination = sender(script, time, most_spans=1)

    destination.submit(spans(2))

    assert time.slept == [0.5]
    assert [outcome.acknowledged for outcome in destination.outcomes()] == [1, 1]


def test_a_collector_that_stays_away_is_a_failure_after_the_last_try() -> None:
    script, time = Script([Acknowledged(rejected=1), Unreachable(message="broke")]), Time()
    destination = sender(script, time, most_spans=1, backoff=Backoff(tries=3, total=30.0))

    destination.submit(spans(3))

    assert time.slept == [0.5, 1.0]
    assert isinstance(destination.failure, UnreachableError)
    assert [counts(outcome) for outcome in destination.outcomes()] == [
        (0, 1, 0, None),
        (0, 0, 1, "broke; given up after 3 tries"),
        (0, 0, 1, "broke; given up after 3 tries"),
    ]


verdicts: st.SearchStrategy[Verdict] = st.one_of(
    st.builds(Acknowledged, rejected=st.integers(-5, 50), message=st.none()),
    st.builds(Retry, message=st.just("busy"), after=st.none() | st.floats(0, 100)),
    st.builds(BatchRefused, message=st.just("no")),
    st.builds(DestinationRefused, message=st.just("no")),
    st.builds(Unreachable, message=st.just("no")),
)


@settings(deadline=None)
@given(st.lists(verdicts, min_size=1, max_size=8), st.lists(st.integers(0, 6), max_size=6), st.booleans())
def test_whatever_is_answered_every_span_has_one_outcome_and_the_counts_add_up(
    script: list[Verdict],
    submitted: list[int],
    abandoned: bool,  # noqa: FBT001
) -> None:
    destination = sender(Script(script), most_spans=4)
    sent: list[Span] = []
    outcomes: list[Outcome] = []

    for count in submitted:
        batch = [span(len(sent) + number) for number in range(1, count + 1)]
        sent += batch
        destination.submit(batch)
        outcomes += destination.outcomes()
    if abandoned:
        destination.abandon()
    destination.close()
    outcomes += destination.outcomes()

    assert [each for outcome in outcomes for each in outcome.spans] == ids(sent)
    for outcome in outcomes:
        assert min(outcome.acknowledged, outcome.rejected, outcome.lost) >= 0
        assert outcome.acknowledged + outcome.rejected + outcome.lost == len(outcome.spans)
        assert outcome.message or not outcome.lost


def test_what_is_interrupted_is_lost_when_it_is_abandoned() -> None:
    class Interrupted(Script):
        def send(self, body: bytes) -> Verdict:
            super().send(body)
            raise KeyboardInterrupt

    script = Interrupted([Acknowledged()])
    destination = sender(script, most_spans=2)

    with pytest.raises(KeyboardInterrupt):
        destination.submit(spans(2))
    destination.abandon()

    (outcome,) = destination.outcomes()
    assert counts(outcome) == (0, 0, 2, "it was not sent: the run was broken off")
    assert script.closed == 1


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
