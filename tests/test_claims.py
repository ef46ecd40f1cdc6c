"""What a hash is held by is the same whoever keeps the table: Python or the compiled module."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agent_events import claims
from tests.native import native

TABLES = pytest.mark.parametrize("table", [claims.Claims, native.Claims], ids=["Python", "compiled"])

_HASHES = st.integers(-5, 5) | st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3).map(lambda each: 64 * each)
_HOLDERS = st.integers(-(2**63), 2**63 - 1)


@TABLES
@given(
    st.lists(
        st.tuples(_HASHES, _HOLDERS)
        | st.lists(st.tuples(_HASHES.filter(lambda each: each != -1), _HOLDERS), max_size=9)
    )
)
def test_the_first_holder_stays_and_several_are_added_together_or_not_at_all(table: Any, steps: list[Any]) -> None:
    held, told = table(), dict[int, int]()

    for step in steps:
        if isinstance(step, tuple):
            hashed, holder = step
            assert held.add(hashed, holder) == told.get(hashed or 1)
            told.setdefault(hashed or 1, holder)
            continue
        hashes = [hash(key) or 1 for key, _ in step]
        new = len(set(hashes)) == len(hashes) and told.keys().isdisjoint(hashes)
        assert held.add_new([key for key, _ in step], [holder for _, holder in step]) == new
        if new:
            told |= dict(zip(hashes, (holder for _, holder in step), strict=True))

    assert {hashed: held.holder(hashed) for hashed in told} == told
    assert held.holder(77) == told.get(77)


@TABLES
@pytest.mark.parametrize("many", [100, 60_000])
def test_what_a_hash_is_held_by_can_be_asked_for_of_few_and_of_many(table: Any, many: int) -> None:
    held = table()
    for number in range(many):
        assert held.add(hash(f"key {number}"), number + 1) is None

    assert [held.holder(hash(f"key {number}")) for number in range(many)] == list(range(1, many + 1))
    assert held.holder(hash("another")) is None
    assert held.holder(0) is None
    assert held.add(hash("key 7"), 1) == 8


@TABLES
def test_many_at_once_are_all_or_nothing(table: Any) -> None:
    held = table()
    keys = [f"key {number}" for number in range(60_000)]

    assert held.add_new(keys, range(60_000))
    assert not held.add_new([*(f"new {number}" for number in range(60_000)), "key 7"], range(60_001))
    assert held.holder(hash("new 59999")) is None
    assert held.holder(hash("key 59999")) == 59_999
