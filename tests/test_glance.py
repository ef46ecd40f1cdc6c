from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from tests.test_scrub import KEYS, LEAVES, LIKELY_TEXT, SCRUBBER, SECRETS, TAKEN, values

if TYPE_CHECKING:
    from otel_agent_events.events import JSON


def write(value: JSON) -> bytes:
    """Write a value as the pipeline does; half a surrogate as another letter, for it has no UTF-8."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return re.sub("[\ud800-\udfff]", "\ufffd", text).encode() + b"\n"


def is_suspicious(value: JSON) -> bool:
    return bool(SCRUBBER.suspicious(write(value)))


def check(value: JSON) -> None:
    """Hold the promise: what nothing is told of is not changed."""
    written = write(value)
    if not SCRUBBER.suspicious(written):
        read = json.loads(written)
        assert SCRUBBER.value(read) is read


def within(text: str, levels: int) -> str:
    return functools.reduce(lambda inner, _: json.dumps([inner], ensure_ascii=False), range(levels), text)


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_a_secret_of_a_known_form_is_suspicious(secret: str) -> None:
    for around in (
        "{}",
        "before {} after",
        "\n{}\n",
        "\t{}",
        "\x1b[1;32m{}\x1b[0m",
        "?q=%20{}&x=1",
        "\f{}",
        "\b{}",
        "\\n{}",
    ):
        text = around.format(secret)
        for levels in range(4):
            nested = within(text, levels)
            if SCRUBBER.text(nested) != nested:
                assert is_suspicious(nested)
                assert is_suspicious({"x": [nested]})
                assert is_suspicious({nested: "x"})


@pytest.mark.parametrize("text", [text for text, _ in TAKEN])
def test_an_example_of_what_is_taken_is_suspicious(text: str) -> None:
    for levels in range(4):
        nested = within(text, levels)
        if SCRUBBER.text(nested) != nested:
            assert is_suspicious(nested)
            assert is_suspicious({"x": [nested]})
            assert is_suspicious({nested: "x"})


@given(values(LEAVES, KEYS))
def test_a_value_that_is_not_suspicious_is_the_same_object(value: JSON) -> None:
    check(value)


@given(LIKELY_TEXT)
def test_a_text_that_is_not_suspicious_is_the_same_object(text: str) -> None:
    check(text)
