from __future__ import annotations

import json
from typing import Any

from hypothesis import given

from otel_agent_events.ids import canonical
from otel_agent_events.keys import DEEPEST, Keys, _canonical_of_deep, shallow
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
