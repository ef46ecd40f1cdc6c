"""Laying turns on entries, and reading one turn."""

from __future__ import annotations

from typing import Any

import pytest

from otel_agent_events.fetchers.agora_turns import Place, Turn, in_order, lay, names_further, read_turn

ROLES = {"u": "user", "a": "assistant", "s": "system", "-": None}


def roles(spelled: str) -> list[str | None]:
    return [ROLES[letter] for letter in spelled]


def turn(started_by: str, ended_by: str | None = "ok", number: float | None = None) -> Turn:
    return Turn(record={}, started_by=started_by, ended_by=ended_by, number=number)


def laid(spelled: str, *turns: Turn) -> list[tuple[int | None, int | None] | None]:
    """Give the entries of each turn as (user, agent)."""
    places = lay(roles(spelled), turns)
    return [
        None if (place := places.get(number)) is None else (place.user, place.agent) for number in range(len(turns))
    ]


VOICE, GREETING = turn("voice_input"), turn("greeting")
INTERRUPTED, IGNORED = turn("voice_input", "interrupted"), turn("voice_input", "ignored")


# --- laying -------------------------------------------------------------------------------------------


def test_each_turn_takes_what_it_said() -> None:
    assert laid("auaaua", GREETING, VOICE, turn("silence_timeout"), VOICE) == [(None, 0), (1, 2), (None, 3), (4, 5)]
    assert laid("a", turn("api_speak", "interrupted")) == [(None, 0)]


@pytest.mark.parametrize("ended_by", ["interrupted", "error"])
def test_a_turn_that_was_cut_short_takes_the_users_entry_alone_or_both(ended_by: str) -> None:
    cut = turn("voice_input", ended_by)

    assert laid("uuau", VOICE, cut) == [(1, 2), (3, None)]
    assert laid("ua", cut) == [(0, 1)]


def test_a_turn_that_ended_well_does_not_take_the_users_entry_alone() -> None:
    assert laid("uu", VOICE) == [None]


def test_the_window_holds_the_last_entries_so_early_turns_fit_none() -> None:
    assert laid("ua", GREETING, VOICE, VOICE) == [None, None, (0, 1)]


def test_half_a_turn_at_the_beginning_of_the_window_fits_none() -> None:
    assert laid("aua", VOICE, VOICE) == [None, (1, 2)]


def test_a_final_user_entry_is_of_a_turn_that_has_not_ended_when_the_last_one_ended_well() -> None:
    assert laid("auau", GREETING, VOICE) == [(None, 0), (1, 2)]
    assert laid("auau", GREETING, VOICE, INTERRUPTED) == [(None, 0), (1, 2), (3, None)]
    assert laid("auau", GREETING, VOICE, IGNORED) == [(None, 0), (1, 2), None]


def test_an_ignored_turn_takes_none_and_ends_nothing() -> None:
    assert laid("aua", GREETING, IGNORED, VOICE, IGNORED) == [(None, 0), None, (1, 2), None]


def test_the_first_misfit_ends_it() -> None:
    assert laid("auaua", GREETING, VOICE, turn("telepathy"), VOICE) == [None, None, None, (3, 4)]
    assert laid("uaa", VOICE, VOICE) == [None, None]
    assert laid("au", VOICE, turn("greeting", "interrupted")) == [None, None]


def test_what_is_neither_of_user_nor_of_assistant_is_passed_over() -> None:
    assert laid("as-usa-", GREETING, VOICE) == [(None, 0), (3, 5)]


def test_of_two_states_of_one_turn_the_last_is_laid() -> None:
    started = Turn(record={}, number=2, started_by="voice_input")

    assert laid("aua", turn("greeting", number=1), started, turn("voice_input", number=2.0)) == [
        (None, 0),
        None,
        (1, 2),
    ]


def test_nothing_lies_on_nothing() -> None:
    assert lay([], [GREETING, VOICE]) == {}
    assert lay(roles("aua"), []) == {}
    assert lay(roles("aua"), [IGNORED]) == {}


def test_a_place_tells_the_positions_of_the_entries_and_of_the_turns() -> None:
    assert lay(roles("ua"), [GREETING, VOICE]) == {1: Place(user=0, agent=1)}


def test_turns_are_sorted_by_number_only_when_each_has_one() -> None:
    first, second, third = turn("a", number=1), turn("b", number=2.0), turn("c")

    assert in_order([second, first]) == [first, second]
    assert in_order([second, first, third]) == [second, first, third]


# --- one turn -----------------------------------------------------------------------------------------

AT = 1_793_620_800_000


def test_a_turn_is_read_with_all_that_it_says() -> None:
    record = {
        "agent_id": "A",
        "turn_id": 4,
        "start": {
            "start_at": AT,
            "type": "api_speak",
            "metadata": {"action": "speak", "transport": "http", "speech_duration_ms": 900},
        },
        "end": {
            "end_at": AT + 1,
            "type": "error",
            "metadata": {"reason": "INTERNAL_ERR", "details": "out of luck", "playback_duration_ms": 12.5},
        },
        "metrics": {"e2e_latency_ms": 70, "segmented_latency_ms": [{"name": "llm_ttft", "latency": 40}]},
    }

    read = read_turn(record, "A")

    assert read.record is record
    assert (read.number, read.started_by, read.ended_by) == (4, "api_speak", "error")
    assert (read.start, read.end) == (AT * 1_000_000, (AT + 1) * 1_000_000)
    assert read.names == {
        "turn_id": 4,
        "start.type": "api_speak",
        "start.metadata.action": "speak",
        "start.metadata.transport": "http",
        "end.type": "error",
        "end.metadata.reason": "INTERNAL_ERR",
    }
    assert read.measurements == {
        "speech_duration_ms": 900,
        "playback_duration_ms": 12.5,
        "e2e_latency_ms": 70,
        "llm_ttft": 40,
    }
    assert read.remainder({read.start, read.end}) == {
        "end": {"metadata": {"details": "out of luck"}},
        "metrics": {"segmented_latency_ms": [{"name": "llm_ttft"}]},
    }


def test_a_time_that_no_span_states_exactly_is_left() -> None:
    fine = {"end_at": AT + 0.25}
    read = read_turn({"start": {"start_at": AT}, "end": fine}, "A")

    assert read.remainder({read.start, read.end}) is None
    assert read.remainder({read.start}) == {"end": fine}
    assert read.remainder(set()) == {"start": {"start_at": AT}, "end": fine}


@pytest.mark.parametrize("at", [None, 5, -AT, True, "soon", [], float("nan"), float("inf"), 10**40, 1e300])
def test_a_time_that_is_none_is_left(at: Any) -> None:
    read = read_turn({"start": {"start_at": at}}, "A")

    assert read.interval == (None, None)
    assert repr(read.remainder(set())) == repr({"start": {"start_at": at}})


def test_floats_are_read_as_what_they_say() -> None:
    read = read_turn({"turn_id": 2.0, "start": {"start_at": float(AT)}, "metrics": {"e2e_latency_ms": 3.0}}, "A")

    assert (read.number, read.start, read.names) == (2.0, AT * 1_000_000, {"turn_id": 2})
    assert read.interval == (read.start, read.start)
    assert read.remainder({read.start}) == {"turn_id": 2.0}


def test_a_number_that_has_its_name_already_or_no_name_or_is_none_is_left() -> None:
    segments = [
        {"name": "tts", "latency": 1},
        {"name": "tts", "latency": 2},
        {"name": "e2e_latency_ms", "latency": 3},
        {"name": "words of a person", "latency": 4},
        {"name": "odd", "latency": True},
        {"name": "nan", "latency": float("inf")},
        {"latency": 5},
        "odd",
    ]

    read = read_turn({"metrics": {"e2e_latency_ms": 9, "segmented_latency_ms": segments}}, "A")

    assert read.measurements == {"e2e_latency_ms": 9, "tts": 1}
    assert read.left == {"metrics": {"segmented_latency_ms": [{"name": "tts"}, *segments[1:]]}}


@pytest.mark.parametrize("record", [None, 7, "odd", [], [[{}]], True, 1.5])
def test_what_is_no_object_is_a_turn_that_fits_nowhere(record: Any) -> None:
    read = read_turn(record, "A")

    assert read.remainder({None}) == record
    assert lay(roles("ua"), [read]) == {}


def test_a_turn_of_odd_members_keeps_them_all() -> None:
    record = {"turn_id": [1], "start": "odd", "end": [2], "metrics": 7, "agent_id": "other", "channel": None}

    assert read_turn(record, "A").left == record
    assert read_turn({"start": {"metadata": 3}, "end": {"type": [4]}}, "A").left == {
        "start": {"metadata": 3},
        "end": {"type": [4]},
    }


# --- pages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pagination", "further"),
    [
        ({"page_index": 1, "total_pages": 2, "is_last_page": False}, True),
        ({"page_index": 2, "total_pages": 2, "is_last_page": False}, False),
        ({"page_index": 1, "total_pages": 9, "is_last_page": True}, False),
        ({"page_index": 1.0, "total_pages": 2.0}, True),
        ({"total_pages": 3}, True),
        ({"total_pages": 1}, False),
        ({"is_last_page": False}, True),
        ({"is_last_page": "no", "total_pages": "many"}, False),
        ({"total_pages": float("nan")}, False),
        ({"total_pages": True}, False),
        ({}, False),
        (None, False),
        ([1], False),
    ],
)
def test_a_page_names_a_further_one_in_two_ways(pagination: Any, *, further: bool) -> None:
    assert names_further({"pagination": pagination}, 1) is further


def test_a_page_without_pagination_is_the_last() -> None:
    assert not names_further({"turns": []}, 1)
    assert not names_further([], 1)
