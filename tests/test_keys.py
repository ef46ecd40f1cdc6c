from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agent_events.ids import canonical
from otel_agent_events.keys import DEEPEST, Keys, _canonical_of_deep, changed, key_of, shallow
from tests.test_attributes import ANY_JSON


def test_an_equal_record_under_the_same_id_is_a_duplicate() -> None:
    keys = Keys()

    assert keys.claim({"id": "a", "n": 1}, "a") == "a"
    assert keys.claim({"n": 1, "id": "a"}, "a") is None
    assert keys.duplicates == 1


def test_another_record_under_the_same_id_takes_the_next_free_key() -> None:
    keys = Keys()

    claimed = [keys.claim({"id": "a", "n": n}, "a") for n in (1, 2, 3, 2)]

    assert claimed == ["a", "a#2", "a#3", None]


def test_thousands_of_records_under_one_id_have_a_key_each() -> None:
    keys = Keys()

    claimed = [keys.claim({"id": "a", "n": n}, "a") for n in range(3_000)]
    without = [keys.claim({"content": "yes"}) for _ in range(3_000)]

    assert claimed[-1] == "a#3000"
    assert without[-1] == f"{without[0]}#3000"
    assert len({*claimed, *without}) == 6_000
    assert keys.claim({"id": "a", "n": 7}, "a") is None


def test_a_key_that_a_platform_uses_itself_is_not_given_twice() -> None:
    keys = Keys()

    claimed = [keys.claim({"n": 1}, "a"), keys.claim({"n": 2}, "a#2"), keys.claim({"n": 3}, "a")]

    assert claimed == ["a", "a#2", "a#3"]


def test_equal_records_without_an_id_in_one_list_are_several_events() -> None:
    keys = Keys()

    claimed = [keys.claim({"content": "yes"}) for _ in range(3)]

    assert claimed[0] is not None
    assert claimed == [claimed[0], f"{claimed[0]}#2", f"{claimed[0]}#3"]


def test_the_nth_equal_record_of_one_list_is_the_nth_of_another() -> None:
    keys = Keys()
    first = [keys.claim({"m": 1}, listing="Customer") for _ in range(2)]

    second = [keys.claim({"m": 1}, listing="Agent") for _ in range(3)]

    assert second == [None, None, f"{first[0]}#3"]
    assert keys.duplicates == 2


ALIKE: list[Any] = [
    1, 1.0, True, 0, 0.0, -0.0, False, None, -1, -2, float("nan"), float("inf"), 2**61 - 1, 2**70, 1e16, 10**16,
    "", "1", "True", "null", "nan", [], {}, [[]], [{}], [None], [True], [1], ["1"], {"": None}, {"a": []}, {"a": {}},
    ["a", []], ["a", "b"], [["a", "b"]], {"a": "b"}, {"a": ["b"]}, {"b": "a"}, [1, "1"], ["1", 1],
]  # fmt: skip
"""Values of which Python holds some to be equal that JSON does not."""


@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [value], lambda value: {"in": [{"n": value}]}])
def test_values_that_python_takes_for_one_another_are_different_records(wrap: Any) -> None:
    keys = Keys()

    claimed = [keys.claim(wrap(value), "a") for value in ALIKE + ALIKE]

    assert claimed == ["a", *(f"a#{number}" for number in range(2, len(ALIKE) + 1)), *[None] * len(ALIKE)]


def reordered(value: Any) -> Any:
    """Give an equal value of which no part is the same object, with the members of every object the other way round."""
    if isinstance(value, dict):
        return {str(name): reordered(value[name]) for name in reversed(value)}
    return [reordered(inner) for inner in value] if isinstance(value, list) else value


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "a#2"]), ANY_JSON), max_size=30), st.data())
def test_keys_are_those_of_a_set_of_ids_and_spellings(records: list[tuple[str, Any]], data: st.DataObject) -> None:
    again = data.draw(st.permutations([*records, *((name, reordered(record)) for name, record in records)]))
    keys, met, taken = Keys(), set(), set()

    for name, record in again:
        expected = None
        if (name, canonical(record)) not in met:
            met.add((name, canonical(record)))
            expected, number = name, 1
            while expected in taken:
                number += 1
                expected = f"{name}#{number}"
            taken.add(expected)
        assert keys.claim(record, name) == expected

    assert keys.duplicates == len(again) - len(met)


def test_a_record_that_was_changed_is_known_by_its_original() -> None:
    keys = Keys()
    one, other = {"id": "a", "token": "1"}, {"id": "a", "token": "2"}

    claimed = [keys.claim(changed({"id": "a", "token": "?"}, key_of(each)), "a") for each in (one, other, one)]

    assert claimed == ["a", "a#2", None]


def test_a_hundred_thousand_records_take_less_than_54_bytes_each() -> None:
    keys = Keys()

    assert all(keys.claim({"n": n}, f"aev_{n}") == f"aev_{n}" for n in range(100_000))

    assert keys.claim({"n": 77}, "aev_77") is None
    assert sys.getsizeof(keys._taken) < 5_400_000


@pytest.mark.parametrize("levels", [0, 1, 2, DEEPEST - 1, DEEPEST, DEEPEST + 1, DEEPEST + 2, 2 * DEEPEST])
def test_a_record_that_is_not_said_to_be_deep_is_shallow(levels: int) -> None:
    keys = Keys()
    record = nested(levels)

    keys.claim(record, "a")

    assert keys.may_be_deep == (shallow(record) is not record) == (levels > DEEPEST)


def nested(levels: int) -> Any:
    value: Any = "bottom"
    for level in range(levels):
        value = [value] if level % 2 else {"in": value}
    return value


def test_a_record_of_sixty_levels_stays_as_it_is() -> None:
    record = {"a": nested(60)}

    assert shallow(record) is record


@given(ANY_JSON)
def test_deep_records_are_spelled_as_all_others(record: Any) -> None:
    assert _canonical_of_deep(record) == canonical(record)


def test_a_record_too_deep_for_the_standard_library_is_known_again() -> None:
    keys = Keys()

    claimed = [keys.claim(nested(5_000), "a"), keys.claim(nested(5_000), "a"), keys.claim(nested(5_001), "a")]

    assert claimed == ["a", None, "a#2"]


def test_what_lies_deeper_than_the_limit_is_kept_as_its_json_text() -> None:
    record = nested(DEEPEST + 40)

    flattened = shallow(record)

    value = flattened
    for _ in range(DEEPEST):
        value = value[0] if isinstance(value, list) else value["in"]
    assert json.loads(value) == nested(40)


@pytest.mark.parametrize("many", [100, 60_000])
def test_several_are_claimed_when_all_are_new_and_else_none(many: int) -> None:
    keys = Keys()
    identifiers = [f"key {number}" for number in range(many)]

    assert keys.claim_new(identifiers, list(range(1, many + 1)))
    assert not keys.claim_new(["new", "key 7"], [1, 2])
    assert not keys.claim_new(["twice", "twice"], [1, 1])
    assert keys.claim_new(["new", "twice"], [1, 2])
    assert keys.claim_told("key 7", 8, lambda: None) is None
    assert keys.claim_told("key 7", 9, lambda: None) == "key 7#2"
    assert keys.claim_told("key 8", 1, lambda: 9) is None
    assert keys.duplicates == 2
