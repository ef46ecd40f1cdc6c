"""What the benchmark of a service under load makes of what it measures."""

from __future__ import annotations

import pytest

from benchmarks.service import QUICK, BenchmarkError, Size, check_memory

MB = 1_000_000
TENTHS = range(2_000, 22_000, 2_000)


def test_memory_that_grows_while_a_service_warms_up_is_no_leak() -> None:
    check_memory([(count, (100 if count > 4_000 else 50) * MB) for count in TENTHS], 20_000)
    check_memory([(count, 100 * MB + 500 * count) for count in TENTHS], 20_000)  # 7 % in two thirds of the turns


def test_memory_that_grows_with_every_turn_is_told() -> None:
    told = "the memory grows: 106 MB after 6000 turns, 120 MB after 20000: 1.13 of that"

    with pytest.raises(BenchmarkError, match=told):
        check_memory([(count, 100 * MB + 1_000 * count) for count in TENTHS], 20_000)


@pytest.mark.parametrize("seen", [[], [(2_000, MB)], [(20_000, MB)]])
def test_memory_that_was_not_measured_is_told(seen: list[tuple[int, int]]) -> None:
    with pytest.raises(BenchmarkError, match="was not measured"):
        check_memory(seen, 20_000)


def test_a_quick_run_is_over_before_the_service_is_warm() -> None:
    assert Size().grows_no_more
    assert not QUICK.grows_no_more
