from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agent_events.retry import Backoff, retry_after

NOW = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110

seconds = st.floats(0, 1e9)


def test_each_wait_is_twice_as_long_up_to_the_longest() -> None:
    backoff = Backoff(tries=9, first=0.5, most=5.0, total=1000.0)

    assert [backoff.wait(attempt) for attempt in range(9)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0, None]


def test_a_draw_spreads_a_wait_by_half_up_and_down() -> None:
    backoff = Backoff(first=2.0)

    assert backoff.wait(0, draw=0.0) == 1.0
    assert backoff.wait(0, draw=0.25) == 1.5
    assert backoff.wait(0, draw=0.999) == pytest.approx(3.0, abs=0.01)


def test_one_try_is_never_followed_by_another() -> None:
    assert Backoff(tries=1).wait(0) is None
    assert Backoff(tries=1).wait(0, asked=0.0) is None


def test_without_a_number_of_tries_only_the_time_counts() -> None:
    backoff = Backoff(tries=None, first=1.0, most=2.0, total=10.0)

    assert backoff.wait(10_000, waited=5.0) == 2.0
    assert backoff.wait(0, waited=10.0) is None


def test_the_last_wait_is_cut_to_the_time_that_is_left() -> None:
    backoff = Backoff(first=4.0, total=10.0)

    assert backoff.wait(0, waited=9.0) == 1.0
    assert backoff.wait(0, waited=10.0) is None


def test_what_the_server_asks_for_is_waited_when_there_is_time_for_it() -> None:
    backoff = Backoff(first=0.5, most=2.0, total=60.0)

    assert backoff.wait(0, asked=30.0) == 30.0
    assert backoff.wait(0, asked=0.0) == 0.0
    assert backoff.wait(0, asked=30.0, waited=30.0) == 30.0
    assert backoff.wait(0, asked=30.0, waited=31.0) is None
    assert backoff.wait(0, asked=float("inf")) is None


@given(
    attempt=st.integers(0, 10_000),
    asked=st.none() | seconds,
    waited=seconds,
    draw=st.floats(0, 1, exclude_max=True),
    tries=st.none() | st.integers(1, 10_000),
)
def test_no_wait_is_negative_or_reaches_beyond_the_total(
    attempt: int, asked: float | None, waited: float, draw: float, tries: int | None
) -> None:
    backoff = Backoff(tries=tries)

    wait = backoff.wait(attempt, asked=asked, waited=waited, draw=draw)

    assert wait is None or (0 <= wait <= backoff.total - waited and (tries is None or attempt + 1 < tries))
    assert wait is None or asked is None or wait == asked


@pytest.mark.parametrize(("told", "expected"), [("0", 0.0), ("120", 120.0), (" 7 ", 7.0), ("1.5", 1.5)])
def test_retry_after_in_seconds(told: str, expected: float) -> None:
    assert retry_after(told, now=NOW) == expected


@pytest.mark.parametrize(
    "told",
    [
        "Sun, 06 Nov 1994 08:50:37 GMT",
        "Sunday, 06-Nov-94 08:50:37 GMT",
        "Sun Nov  6 08:50:37 1994",
        "Sun, 06 Nov 1994 09:50:37 +0100",
    ],
)
def test_retry_after_as_any_http_date(told: str) -> None:
    assert retry_after(told, now=NOW) == 60.0


def test_a_date_that_has_passed_asks_for_no_wait() -> None:
    assert retry_after(formatdate(NOW - 5, usegmt=True), now=NOW) == 0.0


@pytest.mark.parametrize(
    "told", [None, "", "soon", "-5", "1e3", "٣", "Sun, 99 Nov 1994 08:50:37 GMT", "Sun, 06 Nov 99999999 08:50:37 GMT"]
)
def test_retry_after_that_is_neither_is_none(told: str | None) -> None:
    assert retry_after(told, now=NOW) is None


@given(st.text() | st.text("0123456789:-+, JanGMT", max_size=40))
def test_retry_after_is_total_and_never_negative(told: str) -> None:
    found = retry_after(told, now=NOW)

    assert found is None or found >= 0
