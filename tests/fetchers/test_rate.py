"""Requests are no more a second than the user allows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_agent_events import UsageError, demo, replay
from otel_agent_events.errors import FetchError
from otel_agent_events.fetchers import Connection
from otel_agent_events.fetchers.auth import ApiKey
from otel_agent_events.fetchers.client import Client, Limits
from otel_agent_events.retry import Backoff
from otel_agent_events.testing import LoopbackPlatform, Reply
from tests.fetchers.test_client import GOOD, MONDAY, PAGE, TUESDAY, Diary, Time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx


@dataclass
class Passing(Time):
    """A clock that goes on when somebody sleeps, and when a test says so."""

    passed: float = 0.0

    def clock(self) -> float:
        return self.passed + sum(self.slept)


@pytest.fixture
def time() -> Passing:
    return Passing()


@pytest.fixture
def platform() -> Iterator[LoopbackPlatform]:
    with LoopbackPlatform() as listening:
        yield listening


@pytest.fixture
def client(platform: LoopbackPlatform, http: httpx.Client, time: Passing) -> Client:
    return client_of(platform, http, time, Limits(rate=4))


def client_of(platform: LoopbackPlatform | None, http: httpx.Client, time: Passing, limits: Limits) -> Client:
    url = "http://127.0.0.1:1" if platform is None else platform.base_url
    connection = Connection(base_url=url, credentials=ApiKey("x-api-key", "k", variable="DIARY_KEY"))
    return Client(http, connection, limits=limits, waiting=time.waiting(Backoff(total=1000)))


def test_the_first_request_goes_out_at_once_and_the_others_are_spaced(
    client: Client, platform: LoopbackPlatform, time: Passing
) -> None:
    platform.faults["/v1/page"].extend([GOOD] * 4)

    list(client.fetch(Diary(PAGE, PAGE, PAGE, PAGE), MONDAY))

    assert time.slept == [0.25, 0.25, 0.25]


def test_without_a_rate_nothing_waits(platform: LoopbackPlatform, http: httpx.Client, time: Passing) -> None:
    platform.faults["/v1/page"].extend([GOOD] * 4)

    list(client_of(platform, http, time, Limits()).fetch(Diary(PAGE, PAGE, PAGE, PAGE), MONDAY))

    assert time.slept == []


def test_a_rate_below_one_a_second_is_one_too(platform: LoopbackPlatform, http: httpx.Client, time: Passing) -> None:
    platform.faults["/v1/page"].extend([GOOD] * 3)

    list(client_of(platform, http, time, Limits(rate=0.1)).fetch(Diary(PAGE, PAGE, PAGE), MONDAY))

    assert time.slept == [10.0, 10.0]


@pytest.mark.parametrize(("between", "expected"), [(0.0, 0.25), (0.1, 0.15), (0.25, None), (7.0, None)])
def test_time_that_passed_between_two_requests_counts(
    between: float, expected: float | None, client: Client, platform: LoopbackPlatform, time: Passing
) -> None:
    platform.faults["/v1/page"].extend([GOOD] * 2)

    for _ in client.fetch(Diary(PAGE, PAGE), MONDAY):
        time.passed += between

    assert time.slept == ([] if expected is None else [pytest.approx(expected)])


def test_a_pause_is_not_saved_up_for_a_burst(client: Client, platform: LoopbackPlatform, time: Passing) -> None:
    platform.faults["/v1/page"].extend([GOOD] * 4)
    pauses = iter([60.0, 0.0, 0.0, 0.0])

    for _ in client.fetch(Diary(PAGE, PAGE, PAGE, PAGE), MONDAY):
        time.passed += next(pauses)

    assert time.slept == [0.25, 0.25]


def test_retries_are_requests_as_well(platform: LoopbackPlatform, http: httpx.Client, time: Passing) -> None:
    platform.faults["/v1/page"].extend([Reply(status=503), Reply(status=503), GOOD])
    client = client_of(platform, http, time, Limits(rate=0.8))

    list(client.fetch(Diary(PAGE), MONDAY))

    # 0.5 s and 1 s are what retries wait; the rest is what the rate wants beside that.
    assert time.slept == [0.5, 0.75, 1.0, 0.25]


def test_a_retry_that_has_waited_long_enough_waits_no_longer(
    client: Client, platform: LoopbackPlatform, time: Passing
) -> None:
    platform.faults["/v1/page"].extend([Reply(status=429, headers={"Retry-After": "7"}), GOOD])

    list(client.fetch(Diary(PAGE), MONDAY))

    assert time.slept == [7.0]


def test_waiting_for_a_turn_is_no_time_in_which_a_request_was_tried(
    platform: LoopbackPlatform, http: httpx.Client, time: Passing
) -> None:
    platform.faults["/v1/page"].extend([GOOD, Reply(status=503), GOOD])
    client = client_of(platform, http, time, Limits(rate=0.01))
    client._waiting = time.waiting(Backoff(total=60))

    answers = list(client.fetch(Diary(PAGE, PAGE), MONDAY))

    assert len(answers) == 2


def test_the_rate_is_that_of_all_sessions_of_a_platform(
    client: Client, platform: LoopbackPlatform, time: Passing
) -> None:
    platform.faults["/v1/page"].extend([GOOD] * 2)

    for session in (MONDAY, TUESDAY):
        list(client.fetch(Diary(PAGE), session))

    assert time.slept == [0.25]


def test_a_request_that_fails_counts_as_well(client: Client, platform: LoopbackPlatform, time: Passing) -> None:
    platform.faults["/v1/page"].extend([Reply(status=404), GOOD])

    with pytest.raises(FetchError):
        list(client.fetch(Diary(PAGE), MONDAY))
    list(client.fetch(Diary(PAGE), TUESDAY))

    assert time.slept == [0.25]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rate=st.floats(0.01, 1000),
    pauses=st.lists(st.floats(0, 10), max_size=20),
)
def test_two_requests_never_lie_closer_than_the_rate_allows(
    http: httpx.Client, rate: float, pauses: list[float]
) -> None:
    time = Passing()
    client = client_of(None, http, time, Limits(rate=rate))
    turns = []
    for pause in [*pauses, 0.0]:
        client._take_turn()
        turns.append(time.clock())
        time.passed += pause

    for number, (before, after) in enumerate(pairwise(turns)):
        assert after - before >= 1 / rate - 1e-6
        assert after - before <= max(pauses[number], 1 / rate) + 1e-6


# --- what the user says -------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0, 0.0, -1, float("nan"), float("inf"), float("-inf")])
def test_a_rate_that_is_none_is_refused_before_anything_is_fetched(rate: float, here: Path) -> None:
    with LoopbackPlatform() as platform:
        with pytest.raises(UsageError) as caught:
            replay(
                ["vectara:a/s"],
                to=["file:out"],
                rate=rate,
                base_url=platform.base_url,
                environ={"VECTARA_API_KEY": "k"},
            )
        assert platform.asked == []

    assert str(caught.value) == f"the rate is {rate:g}; it is a number of requests a second, and at least 0.001"
    assert list(here.iterdir()) == []


def test_the_rate_of_a_replay_reaches_the_platform(here: Path, http: httpx.Client) -> None:
    (recording,) = (each for each in demo.recordings() if each.session == "vectara:policies/policy_run_17")
    with LoopbackPlatform([recording]) as platform:
        given: dict[str, Any] = {"base_url": platform.base_url, "environ": {"VECTARA_API_KEY": "k"}, "client": http}
        fast, slow = (
            replay([recording.session], to=[f"file:{here}/out"], rate=rate, **given).seconds for rate in (None, 5)
        )

    # Three requests, and so two waits of a fifth of a second.
    assert slow >= 0.4 > fast
