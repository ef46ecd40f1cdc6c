"""Lists of records of one session become one, by time."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from otel_agent_events.fetchers.merged import Placed, merged


def records(*placed: tuple[int | None, str] | tuple[int | None, str, int]) -> list[Placed[str]]:
    return [Placed(at=at, record=record, rank=rank[0] if rank else 0) for at, record, *rank in placed]


def told(*lists: list[Placed[str]]) -> str:
    return " ".join(merged(lists))


def test_no_list_and_empty_lists_are_nothing() -> None:
    assert merged([]) == merged([[], []]) == []


def test_lists_are_merged_by_time() -> None:
    assert told(records((1, "a"), (4, "d")), records((2, "b"), (3, "c"), (5, "e"))) == "a b c d e"


def test_a_list_that_is_not_sorted_is() -> None:
    assert told(records((3, "c"), (1, "a"), (2, "b"))) == "a b c"


def test_at_one_time_the_order_within_a_list_and_then_of_the_lists_stays() -> None:
    assert told(records((1, "d"), (1, "a")), records((1, "c"), (1, "b"))) == "d a c b"


def test_at_one_time_the_lower_rank_comes_first_whatever_its_list() -> None:
    assert told(records((1, "answer", 2), (1, "question", 0)), records((1, "work", 1))) == "question work answer"


def test_a_rank_decides_nothing_between_different_times() -> None:
    assert told(records((1, "a", 9)), records((2, "b", 0))) == "a b"


def test_an_undated_record_comes_right_behind_the_one_before_it_in_its_list() -> None:
    assert told(records((1, "a"), (None, "a+"), (None, "a++"), (5, "z")), records((2, "b"), (None, "b+"))) == (
        "a a+ a++ b b+ z"
    )


def test_an_undated_record_moves_with_the_one_before_it() -> None:
    assert told(records((9, "z"), (None, "z+"), (1, "a"))) == "a z z+"


def test_an_undated_record_takes_the_rank_of_the_one_before_it_and_not_its_own() -> None:
    assert told(records((1, "answer", 2), (None, "more", 0)), records((1, "work", 1))) == "work answer more"


def test_undated_records_at_the_beginning_of_a_list_come_before_all() -> None:
    assert told(records((0, "a")), records((None, "first"), (None, "second"), (1, "b"))) == "first second a b"


_PLACED = st.lists(
    st.lists(st.tuples(st.none() | st.integers(0, 4), st.integers(0, 2)), max_size=6),
    max_size=4,
)


def listed(drawn: list[list[tuple[int | None, int]]]) -> list[list[Placed[tuple[int, int]]]]:
    """Give the lists; a record tells its list and its place in it."""
    return [
        [Placed(at=at, record=(which, place), rank=rank) for place, (at, rank) in enumerate(each)]
        for which, each in enumerate(drawn)
    ]


@given(_PLACED)
def test_nothing_is_lost_what_is_dated_is_sorted_and_equal_ones_keep_their_order(
    drawn: list[list[tuple[int | None, int]]],
) -> None:
    lists = listed(drawn)

    order = merged(lists)

    assert Counter(order) == Counter(record.record for each in lists for record in each)
    dated = [
        ((at, rank), (which, place)) for which, place in order for at, rank in [drawn[which][place]] if at is not None
    ]
    # Sorted by time and rank, and where those are equal by list and place: nothing changes places without a reason.
    assert dated == sorted(dated)


@given(_PLACED)
def test_between_an_undated_record_and_the_one_before_it_lie_only_others_of_that_very_place(
    drawn: list[list[tuple[int | None, int]]],
) -> None:
    order = merged(listed(drawn))

    for which, each in enumerate(drawn):
        for before, after in pairwise(range(len(each))):
            if each[after][0] is not None:
                continue
            first, last = order.index((which, before)), order.index((which, after))
            assert first < last
            anchor = anchor_of(drawn, which, before)
            assert all(anchor_of(drawn, *other) == anchor for other in order[first:last])


def anchor_of(drawn: list[list[tuple[int | None, int]]], which: int, place: int) -> tuple[int, int] | None:
    """Give time and rank of the last dated record up to this one; None before all of them."""
    dated = [(at, rank) for at, rank in drawn[which][: place + 1] if at is not None]
    return dated[-1] if dated else None
