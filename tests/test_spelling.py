"""JSON that is passed on is in our own spelling, whoever looks at it: Python or the compiled module."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from otel_agent_events import spelling, times
from otel_agent_events.attributes import json_bytes
from otel_agent_events.otlp import composing
from otel_agent_events.own import shortened
from tests.native import native

if TYPE_CHECKING:
    from collections.abc import Sequence


def compiled_are_ours(texts: Sequence[bytes], deepest: int) -> bool:
    return all(native.look(text, deepest)[0] for text in texts)


def compiled_digests(texts: Sequence[bytes]) -> list[int]:
    return [native.look(text, 99)[1] for text in texts]


ARE_OURS = pytest.mark.parametrize("are_ours", [spelling.are_ours, compiled_are_ours], ids=["Python", "compiled"])

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.text('a "\\/\n\t\x01é👍e1.', max_size=20)
_FLOATS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([1e22, 1e-7, 1.5, 0.0, -0.0, 1e16, 1e5])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | _FLOATS | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)
SPELLED = st.tuples(
    VALUES,
    st.sampled_from([
        {"ensure_ascii": False, "separators": (",", ":")},
        {"ensure_ascii": True},
        {"ensure_ascii": False, "indent": 1},
        {"ensure_ascii": False, "separators": (" ,", ":")},
    ]),
).map(lambda each: json.dumps(each[0], **cast("dict[str, Any]", each[1])).encode())  # fmt: skip


@given(SPELLED)
@example(b'{"a":1.50}')
@example(b'{"a":1E5}')
@example(b'["\\/","\\u00e9"]')
@example(b"[1.0,1e+22,-0]")
@example(b'{"a":[1 ,2]}')
def test_equal_values_are_spelled_alike_however_they_came(text: bytes) -> None:
    assert list(spelling.written([text], 99)) == [json_bytes(json.loads(text))]


@ARE_OURS
@given(SPELLED)
@example(b'{"a":1.50}')
@example(b"-0")
@example(b"-0.0")
@example(b"[0,1e5]")
@example(b"[0,1.0E-5]")
@example(b'["\\u001b"]')
def test_what_is_taken_for_our_spelling_is_ours(are_ours: Any, text: bytes) -> None:
    if are_ours([text], 99):
        assert json_bytes(json.loads(text)) == text


@ARE_OURS
@pytest.mark.parametrize(
    "value",
    [{"query": 'say "hi"\n', "limit": 5, "score": 0.87, "more": [True, None, {}]}, "Straße 日本 👍", -17, [0.1, -2.5]],
)
def test_what_we_write_ourselves_is_taken_as_it_is(are_ours: Any, value: Any) -> None:
    assert are_ours([json_bytes(value), json_bytes(value)], 99)


@pytest.mark.parametrize("digits", [4_000, 4_300])
def test_an_integer_that_is_too_long_for_python_is_not_passed_on(digits: int) -> None:
    text = b"[" + b"9" * digits + b"]"

    assert not spelling.are_ours([text], 99)
    assert not compiled_are_ours([text], 99)


@given(st.binary(max_size=12) | _TEXT.map(str.encode) | st.binary(max_size=3).map(lambda each: b"abcdefgh" + each))
def test_only_utf_8_is_text(text: bytes) -> None:
    decodes = text.decode(errors="ignore").encode() == text

    assert spelling.decodes(text) == native.is_utf8(text) == decodes
    assert spelling.is_utf8(memoryview(text)) == decodes


_LINES = st.text(st.characters(exclude_categories=["Cs"]), max_size=200) | st.text(
    ' \t\n\x1c\x85\xa0\u2003\u3000ab"\\é日👍', max_size=300
)


@pytest.mark.parametrize("line_of", [composing.line_of, native.line_of], ids=["Python", "compiled"])
@given(_LINES)
@example("a" * 80)
@example("a" * 81)
@example("a" * 79 + " b")
@example("a" * 80 + " ")
@example(" " * 900 + "a")
@example("a" + " " * 850 + "b")
@example("é" * 80 + "\n")
def test_words_are_shortened_as_they_are_written(line_of: Any, words: str) -> None:
    assert line_of(json_bytes(words)) == shortened(words)


@pytest.mark.parametrize("line_of", [composing.line_of, native.line_of], ids=["Python", "compiled"])
@given(st.lists(VALUES, min_size=1) | st.dictionaries(_TEXT, VALUES))
def test_other_values_are_shortened_as_json(line_of: Any, value: Any) -> None:
    text = json_bytes(value)

    assert line_of(text) == shortened(text.decode()[:800])


def test_half_a_character_cannot_be_passed_on() -> None:
    with pytest.raises(ValueError, match="hex escape"):
        spelling.written([rb'"\ud800"'], 99)


def test_a_number_that_is_infinite_to_python_cannot_be_passed_on() -> None:
    with pytest.raises(ValueError, match=r"NaN|inf|Out of range"):
        spelling.written([b"1e400"], 99)


@ARE_OURS
def test_what_is_nested_more_deeply_than_is_read_is_not_passed_on(are_ours: Any) -> None:
    assert are_ours([b"[" * 9 + b"]" * 9], 9)
    assert not are_ours([b'{"a":' * 10 + b"1" + b"}" * 10], 9)
    with pytest.raises(ValueError, match="deeply"):
        spelling.written([b"[ " * 10 + b"]" * 10], 9)


@given(
    st.datetimes(datetime(1960, 1, 1), datetime(2600, 1, 1)).map(datetime.isoformat)  # noqa: DTZ001
    | st.from_regex(
        r"(19|20|25)[0-9]{2}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{0,10})?", fullmatch=True
    ),
    st.sampled_from(["Z", "z", "", "+01:00", "ZZ", "\u0660Z"]),
)
@example("2026-01-01T00:00:00", "Z")
@example("1969-12-31T23:59:59", "Z")
@example("2026-02-29T00:00:00", "Z")
@example("2024-02-29T00:00:00.5", "Z")
@example("2026-04-31T00:00:00.5", "Z")
@example("2026-12-31T23:59:60", "Z")
@example("2026-12-31T23:59:59.", "Z")
def test_a_time_is_read_to_the_nanosecond_or_left_to_others(stamp: str, zone: str) -> None:
    read = native.parse_usual(stamp + zone)

    assert read is None or times.parse(stamp + zone) == times.Stamp(read, exact=True)


def test_the_times_that_platforms_write_are_read_quickly() -> None:
    assert native.parse_usual("2026-11-18T08:00:01.234567Z") == times.parse_plain("2026-11-18T08:00:01.234567Z")
    assert native.parse_usual("2026-03-01T00:00:00Z") == 1_772_323_200 * times.SECOND
    assert native.parse_usual("2000-02-28T23:59:59.999999999Z") == 951_782_399_999_999_999


def _turned(value: Any, draw: Any) -> Any:
    """Give an equal value with its members in another order."""
    if isinstance(value, dict):
        return {name: _turned(value[name], draw) for name in draw(st.permutations(list(value)))}
    return [_turned(each, draw) for each in value] if isinstance(value, list) else value


DIGESTS = pytest.mark.parametrize("digests", [spelling.digests, compiled_digests], ids=["Python", "compiled"])


@DIGESTS
@given(st.data(), VALUES)
def test_equal_values_have_one_digest_whatever_the_order_of_members(
    digests: Any, data: st.DataObject, value: Any
) -> None:
    first, second = digests([json_bytes(value), json_bytes(_turned(value, data.draw))])

    assert first == second


@pytest.mark.parametrize("text", [b"{", b'"', b'"ab', b'"\\', b"}", b"]", b"+", b"\xff", b"[" * 200, b'{"a":' * 99])
def test_what_is_no_json_or_too_deep_is_not_taken_for_ours(text: bytes) -> None:
    native.look(text, 98)  # whatever it says, it stays within the text

    assert native.look(text, 98) == (False, 0) or text in {b"{", b"["}


@DIGESTS
@given(VALUES, VALUES)
@example({"a": 1, "b": 2}, {"a": 2, "b": 1})
@example([1, 2], [2, 1])
@example([[1], 2], [[1, 2]])
@example({"a": {}}, {"a": []})
@example("1", 1)
@example(1, 1.0)
@example([], [[]])
@example({"a": {"b": 1}, "c": 2}, {"a": {"b": 2}, "c": 1})
@example(["a", "b"], ["ab"])
@example("abcdefgh", "abcdefgh\0")
@example("a\0", "a")
@example("\\n", "\n")
@example({"abcdefgh": 1}, {"abcdefg": 1})
def test_other_values_have_other_digests(digests: Any, first: Any, second: Any) -> None:
    one, other = json.dumps(first, sort_keys=True), json.dumps(second, sort_keys=True)

    assert (len(set(digests([json_bytes(first), json_bytes(second)]))) == 1) == (one == other)
