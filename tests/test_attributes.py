from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agent_events.attributes import Finisher, Json, json_text

ANY_TEXT = st.text(st.characters())  # unpaired surrogates as well
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner),
    max_leaves=30,
)


def test_absent_is_left_out_and_zero_is_kept() -> None:
    final = Finisher(100).attributes({"a": None, "b": 0, "c": "", "d": False, "e": 0.0, "f": Json(None)})

    assert final == {"b": 0, "c": "", "d": False, "e": 0.0, "f": "null"}


def test_a_text_that_is_too_long_is_cut_at_a_character_and_its_length_told() -> None:
    final = Finisher(5).attributes({"a": "ähnlich"})

    assert final == {"a": "ähnl", "a.original_length": 8}


def test_json_that_is_too_long_is_cut_and_stays_json() -> None:
    final = Finisher(30).attributes({"a": Json({"first": "0123456789", "second": "abcdef", "third": 3})})

    assert final["a"] == '{"first":"0123456789"}'
    assert final["a.original_length"] == len('{"first":"0123456789","second":"abcdef","third":3}')


def test_a_long_text_within_json_keeps_its_beginning() -> None:
    text, length = Finisher(60).json([{"role": "user", "parts": [{"content": "x" * 100}]}])

    assert json.loads(text) == [{"role": "user", "parts": [{"content": "x" * 18}]}]
    assert (len(text), length) == (60, 142)


def test_what_does_not_even_begin_within_the_limit_is_left_out() -> None:
    told = {"key": [], "another key": "x" * 100}

    assert [Finisher(limit).json(told)[0] for limit in (4, 9, 10, 25, 27)] == [
        "{}",
        "{}",
        '{"key":[]}',
        '{"key":[]}',
        '{"key":[],"another key":""}',
    ]
    assert Finisher(4).json(123456) == ("null", 6)
    assert Finisher(4).json([[[[1]]]])[0] == "[[]]"


def test_an_escape_is_never_cut_in_the_middle() -> None:
    told = 'ab\\"\n\u0007\ud800' * 3

    for limit in range(4, 60):
        text, _ = Finisher(limit).json(told)
        assert told.startswith(json.loads(text))


def test_unpaired_surrogates_are_escapes_that_json_reads_back() -> None:
    finisher = Finisher(1000)

    final = finisher.attributes({"text": "a\ud800b", "json": Json({"k\udfff": "\ud800"}), "list": ["\ud800"]})

    assert final["text"] == "a\\ud800b"
    assert json.loads(str(final["json"])) == {"k\udfff": "\ud800"}
    assert final["list"] == ("\\ud800",)
    assert finisher.changed == 3


@pytest.mark.parametrize(("value", "final"), [(2**63, "9223372036854775808"), (math.nan, "nan"), (-math.inf, "-inf")])
def test_numbers_that_otlp_cannot_hold_become_text_and_are_counted(value: float, final: str) -> None:
    finisher = Finisher(100)

    assert finisher.attributes({"n": value}) == {"n": final}
    assert finisher.changed == 1


def test_numbers_that_otlp_can_hold_stay_numbers() -> None:
    assert Finisher(9).attributes({"a": 2**63 - 1, "b": -(2**63), "c": 1.5}) == {
        "a": 2**63 - 1,
        "b": -(2**63),
        "c": 1.5,
    }


def test_nan_within_json_becomes_text_and_integers_of_any_size_stay() -> None:
    finisher = Finisher(1000)

    text, _ = finisher.json({"n": [math.nan, 2**70], "t": (math.inf,)})

    assert json.loads(text) == {"n": ["nan", 2**70], "t": ["inf"]}
    assert finisher.changed == 1


@given(ANY_JSON, st.integers(4, 90))
def test_any_value_becomes_valid_json_and_utf8_within_the_limit(value: object, limit: int) -> None:
    text, length = Finisher(limit).json(value)

    json.loads(text)
    assert len(text.encode()) <= limit
    assert length is None or length > limit


@given(ANY_TEXT, st.integers(4, 20))
def test_any_text_becomes_valid_utf8_within_the_limit(value: str, limit: int) -> None:
    text, length = Finisher(limit).text(value)

    assert len(text.encode()) <= limit
    assert (length is None) == (len(value.encode("utf-8", "backslashreplace")) <= limit)


@given(ANY_JSON)
def test_a_value_within_the_limit_is_told_whole(value: object) -> None:
    text, length = Finisher(10**9).json(value)

    assert length is None
    if "nan" not in text and "inf" not in text:
        assert json.loads(text) == value


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_the_text_of_a_value_is_the_one_that_python_writes(value: Any) -> None:
    assert json_text(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize("number", [1e-4, 9.999e-5, 1e16, 9999999999999998.0, 1e22, 5e-324, -0.0, 0.1 + 0.2, 2**70])
def test_a_number_is_spelled_as_python_spells_it(number: float) -> None:
    assert json_text([number]) == f"[{number!r}]"
