from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agent_events import times
from otel_agent_events.times import SECOND, Stamp

MIDNIGHT = int(datetime(2024, 1, 15, tzinfo=UTC).timestamp()) * SECOND


@pytest.mark.parametrize(
    ("written", "nanoseconds"),
    [
        ("2024-01-15T00:00:00Z", MIDNIGHT),
        ("2024-01-15T00:00:00", MIDNIGHT),
        ("2024-01-15 00:00:00", MIDNIGHT),
        ("2024-01-15t00:00:00z", MIDNIGHT),
        ("2024-01-15T02:00:00+02:00", MIDNIGHT),
        ("2024-01-14T19:30:00-0430", MIDNIGHT),
        ("2024-01-15T05:00:00+05", MIDNIGHT),
        ("2024-01-15T00:00:00.123456789Z", MIDNIGHT + 123_456_789),
        ("2019-10-28T00:42:12.6452901", 1_572_223_332_645_290_100),
        ("2024-01-15T00:00:00,5Z", MIDNIGHT + 500_000_000),
        ("2023-12-31T23:59:60Z", int(datetime(2024, 1, 1, tzinfo=UTC).timestamp()) * SECOND),
        ("1970-01-01T00:00:00Z", 0),
    ],
)
def test_a_time_is_read_to_the_nanosecond(written: str, nanoseconds: int) -> None:
    assert times.parse(written) == Stamp(nanoseconds, exact=True)


def test_digits_beyond_the_ninth_are_cut_and_said_to_be() -> None:
    assert times.parse("2024-01-15T00:00:00.1234567891Z") == Stamp(MIDNIGHT + 123_456_789, exact=False)
    assert times.parse("2024-01-15T00:00:00.1234567890Z") == Stamp(MIDNIGHT + 123_456_789, exact=True)


@pytest.mark.parametrize(
    "written",
    [
        None, 5, True, "", "yesterday", "2024-01-15", "2024-13-01T00:00:00Z", "2024-02-30T00:00:00Z",
        "2024-01-15T24:00:00Z", "2024-01-15T00:60:00Z", "2024-01-15T00:00:61Z", "1969-12-31T23:59:59Z",
        "2555-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "٢٠٢٤-01-15T00:00:00Z", "2024-01-15T00:00:00Z\n",
    ],
)  # fmt: skip
def test_what_is_no_time_or_beyond_otlp_is_undated(written: object) -> None:
    assert times.parse(written) is None


@given(st.integers(0, times.LATEST))
def test_what_is_written_is_read_back(nanoseconds: int) -> None:
    assert times.parse(times.written(nanoseconds)) == Stamp(nanoseconds, exact=True)


USUAL = st.from_regex(r"(19|20|25)\d\d-[01]\d-[0-3]\d[Tt ][0-2]\d:[0-6]\d:[0-6]\d([.,]\d{0,11})?[Zz]?", fullmatch=True)


@given(USUAL | st.text("0123456789-T:.,Zz 五²", max_size=32))
def test_the_quick_way_reads_what_the_thorough_one_reads(written: str) -> None:
    assert times.parse(written) == times._parse_any(written)


@given(st.integers(0, times.LATEST - times.LATEST % (60 * SECOND) - 1))
def test_the_usual_form_is_read_in_the_quick_way(nanoseconds: int) -> None:
    assert times.parse_usual(times.written(nanoseconds)) == nanoseconds


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2500, 1, 1)),  # noqa: DTZ001 - the zone is added
    st.integers(-14 * 60, 14 * 60),
)
def test_offsets_are_those_of_the_standard_library(moment: datetime, minutes: int) -> None:
    zoned = moment.replace(tzinfo=UTC) + timedelta(minutes=minutes)
    sign, offset = "-" if minutes < 0 else "+", abs(minutes)
    written = f"{zoned.replace(tzinfo=None).isoformat()}{sign}{offset // 60:02d}:{offset % 60:02d}"

    read = times.parse(written)

    assert read is not None
    assert read.nanoseconds // 1000 == (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)  # noqa: DTZ001
