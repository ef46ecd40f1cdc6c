from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from otel_agent_events.otlp.batches import Share
from otel_agent_events.otlp.packing import DOUBTS_AFTER, GROWS_AFTER, Batch, Cap
from tests.otlp.bodies import HEAD, bodies

MOST = 1_000_000


def sent(cap: Cap, limit: int, count: int) -> list[tuple[int, bool]]:
    """Send so many full requests to a server that takes so many bytes; return their sizes, and whether it took them."""
    told = []
    for _ in range(count):
        size = cap.now
        taken = size <= limit
        told.append((size, taken))
        if taken:
            cap.take(size)
        else:
            cap.refuse(size)
    return told


# --- the cap ------------------------------------------------------------------------------------------


def test_what_is_never_refused_stays_as_it_is() -> None:
    assert {size for size, _ in sent(Cap(MOST), MOST, 100)} == {MOST}


@given(st.integers(1, MOST))
def test_a_limit_is_found_with_few_refusals_and_kept_to(limit: int) -> None:
    cap = Cap(MOST)

    told = sent(cap, limit, 1_000)

    assert sum(not taken for _, taken in told) <= 20 + 8  # halvings, and tries that failed
    assert all(size > 0.6 * limit for size, taken in told[100:] if taken)


@given(st.integers(1, MOST), st.integers(0, 50))
def test_after_a_limit_is_gone_requests_grow_to_what_they_were(limit: int, before: int) -> None:
    cap = Cap(MOST)
    sent(cap, limit, before)

    told = sent(cap, MOST, 250)

    assert told[-1] == (MOST, True)


def test_the_smallest_size_that_was_refused_is_kept_away_from_for_longer_each_time() -> None:
    told = sent(Cap(8_000), 5_000, 600)

    refused = [at for at, (_, taken) in enumerate(told) if not taken]
    assert refused[:2] == [0, 5]
    gaps = [after - before for before, after in pairwise(refused[2:])]
    assert gaps == sorted(gaps)
    assert gaps[-1] > 100


def test_small_requests_say_nothing_of_large_ones() -> None:
    cap = Cap(MOST)
    cap.refuse(MOST)

    for _ in range(1_000):
        cap.take(1_000)

    assert cap.now == MOST // 2


def test_a_request_that_is_taken_at_a_size_that_was_refused_makes_way_at_once() -> None:
    cap = Cap(MOST)
    cap.refuse(10_000)
    cap.take(20_000)

    assert cap.now == 5_000
    for _ in range(35):
        cap.take(cap.now)
    assert cap.now == MOST


def test_requests_that_nearly_have_the_size_that_was_refused_make_way_when_it_is_tried() -> None:
    cap = Cap(MOST)
    cap.refuse(16_000)
    cap.refuse(10_000)
    for _ in range(DOUBTS_AFTER):
        cap.take(8_000)
    assert cap.now == 11_250

    for _ in range(GROWS_AFTER):
        cap.take(9_700)  # no more spans fitted

    assert cap.now == 22_500


# --- what was the reason ------------------------------------------------------------------------------


def batch(count: int) -> Batch:
    return Batch(1, [[Share(HEAD, bodies(count))]])


def test_a_size_is_known_to_be_too_large_when_the_parts_have_come_to_their_end() -> None:
    halved = batch(8)
    halved.halve_for_size(800)
    halved.halve_for_size(400)
    assert list(halved.sizes_refused()) == []
    halved.left.pop()
    assert list(halved.sizes_refused()) == []
    halved.left.pop()
    assert list(halved.sizes_refused()) == [400]
    halved.left.pop()
    assert list(halved.sizes_refused()) == [800]


def test_a_span_that_is_too_large_alone_excuses_whatever_it_was_a_part_of() -> None:
    halved = batch(4)
    halved.halve_for_size(800)
    halved.halve_for_size(400)
    halved.excuse()
    halved.left.pop()
    halved.left.pop()
    halved.halve_for_size(300)
    halved.left.pop()
    halved.left.pop()

    assert list(halved.sizes_refused()) == [300]
