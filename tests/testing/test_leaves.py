from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_events.events import Note, Session
from otel_agent_events.fetchers.saved import RecordedAnswer, Recording
from otel_agent_events.originals import without_members
from otel_agent_events.testing import trace
from otel_agent_events.testing.leaves import holds, leaves, placed_leaves, told_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_agent_events.fetchers import Answer, Item
    from otel_agent_events.reference import Reference


class Single:
    """Reads an answer as one note, with the remainder and the time that are in it."""

    name = "single"
    duplicates = 0

    def reader(self, reference: Reference) -> Single:
        self.reference = reference
        return self

    def feed(self, answer: Answer) -> Iterator[Item]:
        yield Session(reference=self.reference)
        yield Note(key="k", remainder=answer.body["rest"], start=answer.body.get("at"), end=answer.body.get("at"))

    def close(self) -> Iterator[Item]:
        return iter(())


def told(**body: Any) -> set[tuple[str, Any]]:
    answer = RecordedAnswer(label="it", path="/it", body=body)
    return told_by(trace(Single(), Recording(recording=1, session="single:s", answers=[answer])))


def test_leaves_are_what_is_neither_object_nor_list() -> None:
    value = {"a": [1, {"b": None}], "c": {}, "d": "x"}

    assert list(leaves(value)) == [1, None, "x"]
    assert list(placed_leaves(value)) == [("/a/0", 1), ("/a/1/b", None), ("/d", "x")]
    assert list(placed_leaves(7)) == [("", 7)]


def test_members_are_left_out_at_any_depth_and_in_any_case_and_nothing_is_changed_in_place() -> None:
    value = {"Pin": 1, "a": [{"pIN": {"b": 2}, "c": 3}]}

    assert without_members(value, {"pin"}) == {"a": [{"c": 3}]}
    assert value == {"Pin": 1, "a": [{"pIN": {"b": 2}, "c": 3}]}


@pytest.mark.parametrize("rest", ["bare", '"quoted"', "[7", {"a": ["deep", {"b": "deeper"}]}, 7, 7.5, True, [[["x"]]]])
def test_what_a_remainder_holds_is_told_with_its_type(rest: Any) -> None:
    assert all(holds(told(rest=rest), leaf) for leaf in leaves(rest))


@pytest.mark.parametrize(("rest", "leaf"), [(1, True), (1.0, 1), ("ab", "a"), ({"name": 1}, "name")])
def test_another_value_or_the_name_of_a_member_is_not_told(rest: Any, leaf: Any) -> None:
    assert not holds(told(rest=[rest, "so that it is text"]), leaf)


def test_a_time_is_told_in_any_spelling_and_an_invented_one_is_none() -> None:
    at = 1_763_456_400_250_000_000
    dated, undated = told(rest=None, at=at), told(rest=None)

    for leaf in ("2025-11-18T09:00:00.25Z", "2025-11-18T10:00:00.250+01:00", 1_763_456_400_250, 1_763_456_400.25):
        assert holds(dated, leaf)
        assert not holds(undated, leaf)
    assert not holds(dated, "2025-11-18T09:00:00Z")
    assert not any(holds(undated, number) for number in range(10))
