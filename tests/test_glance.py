"""What a look at many texts at once promises: a text that it says nothing of has nothing that is taken out.

Held against the search itself, which is switched to look everywhere: `exhaustive`.
"""

from __future__ import annotations

import functools
import json
import re
import sys
from bisect import bisect_left
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from benchmarks import pages
from otel_agent_events import scrub
from otel_agent_events.scrub import Scrubber, cards, forms, glance, named, names
from tests.test_scrub import (
    ANY_TEXT,
    KEYS,
    LEAVES,
    LIKELY_TEXT,
    SCRUBBER,
    SECRETS,
    STAYS,
    TAKEN,
    WORDS,
    values,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_agent_events.events import JSON


@contextmanager
def exhaustive() -> Iterator[None]:
    """Let a search look at every text, not only where a glance says so."""
    with mock.patch.object(scrub, "_LONG", sys.maxsize):
        yield


def write(value: JSON) -> bytes:
    """Write a value as the pipeline does; half a surrogate as another letter, for it has no UTF-8."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return re.sub("[\ud800-\udfff]", "\ufffd", text).encode() + b"\n"


def is_suspicious(value: JSON) -> bool:
    return bool(SCRUBBER.suspicious(write(value)))


def is_taken(value: JSON) -> bool:
    with exhaustive():
        return SCRUBBER.value(value) is not value


def hold(*many: JSON) -> None:
    """Hold the promise for values that stand one after the other, and say which was overlooked."""
    written = [write(value) for value in many]
    places = SCRUBBER.suspicious(b"".join(written))
    assert places is not None
    with mock.patch.object(glance, "_search", glance.search):  # as without the compiled sieve
        assert SCRUBBER.suspicious(b"".join(written)) == places
    begin = 0
    for value in written:
        end = begin + len(value)
        at = bisect_left(places, begin)
        if at == len(places) or places[at] >= end:
            assert not is_taken(json.loads(value)), value
        begin = end


def quoted(text: str, levels: int) -> str:
    """Put a text into JSON, that into JSON, and so on."""
    return functools.reduce(lambda inner, _: json.dumps([inner], ensure_ascii=False), range(levels), text)


def hold_wherever(text: str) -> None:
    """Hold the promise for a text as a string, a key, a name, and within JSON within JSON."""
    for levels in range(3):
        inner = quoted(text, levels)
        hold(inner, {"x": [inner, "y"]}, [{inner: "x"}], ["x", inner, "y"])


AROUND = (
    *("{}", "before {} after", "\n{}\n", "\t{}\t", "\b{}\f", "\x1b[1;32m{}\x1b[0m", "?q=%20{}&x=1", "\\n{}\\n"),
    *('"{}"', "'{}'", "é{}é", "\x00{}\x1f", "\\{}\\", "\\u0041{}"),
)

# --- what is taken is told ----------------------------------------------------------------------------


@pytest.mark.parametrize("text", [*SECRETS.values(), *(text for text, _ in TAKEN)])
def test_every_example_of_a_secret_is_suspicious_wherever_it_stands(text: str) -> None:
    assert is_suspicious(text)
    assert is_suspicious({"x": ["y", text]})
    assert is_suspicious({text: "x"})
    assert is_suspicious(quoted(text, 1)) or not is_taken(quoted(text, 1))
    for around in AROUND:
        hold_wherever(around.format(text))


FORMS = {pattern.pattern for _, _, family in forms._FAMILIES for _, pattern in family}
FORMS |= {pattern.pattern for _, pattern in forms._OTHERS}
FORMS |= {forms._JWT.pattern, forms._BASIC.pattern, forms._URL.pattern}


@pytest.mark.parametrize("form", sorted(FORMS))
def test_whatever_has_a_form_is_suspicious(form: str) -> None:
    @given(st.from_regex(re.compile(form, re.ASCII)), st.sampled_from(AROUND))
    @settings(max_examples=20)
    def held(text: str, around: str) -> None:
        hold(around.format(text), f"curl {text}", quoted(text, 1))

    held()


NAMES = [
    *names._ENDINGS,
    *sorted(names._WHOLE_NAMES),
    *("pw", "cvv2", "password_2", "tokenValue", "authHeaderB", "secret" + "Value" * 12),
    *("x" * 60 + "auth" + "Value" * 12, "api key", "pass word", "to-ken", "se_cret", "p.w", "tok\u00e9en"),
    *("my\n-auth", 'a"pw', "a\\key", "passw\u0130ord", "to\u212aen", "apik\u212aey", "-" + "x" * 63 + "token"),
    *("x" * 80 + "_token", "x" * 100 + "-" + "y" * 63 + "key", "first_token", "next token", "per token"),
    *("page-token", "to_first_token", "author", "monkey", "tokens", "keys"),
]


def spellings(name: str) -> Iterator[str]:
    yield from (name, name.upper(), name.title(), f"my_{name}", f"X-{name}", f"the {name}", f"--{name}", f"-{name}")
    yield from (
        f"db{name.title()}",
        f"{name}2",
        f"{name}Value",
        f"spring.{name}",
        f"\n{name}",
        f"\\n{name}",
        f"\f{name}",
    )
    yield from ("-".join(name), "_".join(name), " ".join(name))


SAYINGS = [
    *("{}=hunter2", "{}: hunter2", '"{}": "hunter2"', "'{}': 5", "{} := x", "{}=> 'x'", "user[{}]=hunter2"),
    *("**{}:** x", "<{}>hunter2</{}>", "{} hunter2 x", "{} 'hunter2' x", "{}\thunter2 x", '"{}", "abc"'),
    *("'{}' , 'abc'", "{} ,x", "{} is hunter2", "{} is 'hunter' x", "{} to hunter2."),
    *("{} was changed to hunter2", "{} set to: P@ssword", "{} is\tx1y2z3", "{} aB3dE6gH9jK2mN5p"),
    *("{} abcdefghijklmno1", "{} 4f9c1a7be2d0936b", "{}\n: x", "{}\\n=x", "{}%3Dabc", "{}\uff1ax1", "{}"),
    *('{} "hunter2!"', "{} “hunter2” x", "`{}`: `hunter2`", '\\"{}\\":\\"x\\"', "{}  is  hunter2"),
    *("{} b'hunter2'", "{} reset to x1y2z3", "{} the aB3dE6gH9jK2mN5p", "{} is the hunter2", "{} expired"),
    *("{}s: hunter2", "{}.value=hunter2", "{}..x=hunter2", "{}\u0130=hunter2"),
]


@pytest.mark.parametrize("name", NAMES)
def test_whatever_stands_under_the_name_of_a_secret_is_suspicious(name: str) -> None:
    for spelling in spellings(name):
        texts = [saying.replace("{}", spelling) for saying in SAYINGS]
        hold({spelling: "hunter2"}, [{"a": 1, spelling: {"x": 5}}])
        hold({"a": [spelling, "abc", spelling, "-x"], spelling: None})
        hold(*texts, *(quoted(text, 1) for text in texts), *([f"\n{text}\n"] for text in texts))


@pytest.mark.parametrize("name", sorted({*names._ENDINGS, *names._WHOLE_NAMES, "pw"}))
def test_the_value_under_every_name_of_a_secret_is_suspicious(name: str) -> None:
    for spelling in (name, name.upper(), f"my_{name}", f"x {name}", f"é{name}", f"\n{name}"):
        if names.says_secret(spelling):
            assert is_suspicious({spelling: "x"})
            assert is_suspicious([1, {"a": {"b": 2, spelling: 0}}])
            assert is_suspicious(["run", f"--{spelling}", "abc"])
            assert is_suspicious(quoted(json.dumps({spelling: "x"}), 2)) or not spelling.isascii()


def test_a_glance_knows_every_stem_of_a_name() -> None:
    assert {stem.decode() for stem in glance._STEMS} == set(named._STEMS)
    for stem in named._STEMS:
        assert any(kind.pattern.search(f"{stem}=".encode()) for kind in glance._NAMES)


def test_no_other_letter_becomes_an_ascii_one_when_it_is_made_small() -> None:
    becoming = {chr(code) for code in range(128, 0x110000) if any(map(str.isascii, chr(code).lower()))}

    assert becoming == {"\u0130", "\u212a"}


@pytest.mark.parametrize("card", [secret for name, secret in SECRETS.items() if "ard" in name])
def test_a_number_of_a_card_is_suspicious_as_a_number_too(card: str) -> None:
    number = int(re.sub("[ -]", "", card))
    hold(number, [number], {"a": number}, -number, float(number), number / 10, f"{number}.5", number * 1000)
    for digits in (
        card,
        card.replace(" ", "-"),
        f"5 {card} 5",
        f"0.5 {card}",
        f"1234 {card}",
        f"{card}-1",
        f"id_5_{card}",
    ):
        for around in AROUND:
            hold(around.format(digits))


def test_a_glance_knows_what_the_groups_of_a_card_may_be() -> None:
    # `_CARDS` looks for a first group of four to six digits with at least three in the second.
    assert (min(cards._FIRST_GROUP), cards._INNER_GROUP, cards.SMALLEST_CARD) == (4, 3, 10**12)


# --- what is not told is not taken --------------------------------------------------------------------

# Signs and words that decide what is prose.
SPOKEN = [
    *("password", "token", "api_key", "--token", "-pw", "author", "cookie", "key", "secret", "cv", "monkey"),
    *("PASSWORD", " ", " is ", " to ", " was ", " has been ", "changed to ", "set to ", "is", "to", ":", "="),
    *(",", '"', "'", "`", "\\", "hunter2", "x1y2z3", "4f9c1a7be2d0936b", "expired", "5512 ", "2026-11-18"),
    *("(see", "it's", "“a1b2c3”", "€20", "f'", "-", "\n", "\t", "\x1b", "\\n", "%3d", "]", "*", ".", "e.g."),
    *("é", "\u0130", "\u212a", "\uff1a", ">", "</", "{", "[", "::"),
]
SPOKEN_TEXT = st.lists(st.sampled_from(SPOKEN), max_size=10).map("".join)


@given(values(LEAVES, KEYS))
@example({"a": 1, "-x\ny": {"pass word": 1}})
@example({"x,": 1, ":my token": "v"})
@example(["-----\r", {"a": 1, "--\rPRIVATE key": "x"}])
def test_a_value_that_is_not_suspicious_is_the_same_object(value: JSON) -> None:
    hold(value)


@given(st.one_of(LIKELY_TEXT, SPOKEN_TEXT, ANY_TEXT))
@example("disk-\\SKPRIVATE KEY-----:x")
@example('passwd to f"q"toa')
@example("AAAA" * 20 + "api key!={@dXNlcjpwYXNz")
@example("curl -u \x1b12345678:AA")
@example("a://\x1b:b@c")
@example("--user curl\x00sk-:=x")
@example("\x00." + SECRETS["Mastercard"])
@example("\\" * 200 + SECRETS["Visa card"])
@example("\\u001bab" + SECRETS["Visa card"])
@example("\x1bab" + SECRETS["Visa card"])
@example("xoxb-us" + "aB3dE6gH9jK2mN5p" + "r:")
@example("&.--sk-" + "aB3d" * 11)
@example("\\u0041" + "4111 1111 1111 1111")
def test_a_text_that_is_not_suspicious_is_the_same_object(text: str) -> None:
    hold_wherever(text)


@given(values(SPOKEN_TEXT, SPOKEN_TEXT))
def test_a_value_of_spoken_texts_that_is_not_suspicious_is_the_same_object(value: JSON) -> None:
    hold(value)


@given(st.lists(values(st.one_of(LEAVES, SPOKEN_TEXT), KEYS), max_size=6))
def test_of_many_values_each_is_told_by_a_place_within_it(many: list[JSON]) -> None:
    written = [write(value) for value in many]
    places = SCRUBBER.suspicious(b"".join(written))

    assert places is not None
    assert all(one <= next_ for one, next_ in pairwise(places))
    begin = 0
    for value in written:
        end = begin + len(value)
        if not any(begin <= place < end for place in places):
            assert not is_taken(json.loads(value))
        # What stands beside a value makes no difference to it.
        assert any(begin <= place < end for place in places) == bool(SCRUBBER.suspicious(value))
        begin = end


@given(st.one_of(LIKELY_TEXT, SPOKEN_TEXT, ANY_TEXT))
def test_a_text_that_may_hold_no_name_and_no_card_holds_none(text: str) -> None:
    may_be_named, may_be_card = glance.may_hold(text)
    found: list[tuple[int, int]] = []

    if not may_be_named:
        named.find_named(text, found)
    if not may_be_card:
        cards.find_cards(text, found)

    assert not found


@given(LIKELY_TEXT)
def test_a_long_text_is_scrubbed_as_the_search_alone_does(text: str) -> None:
    with exhaustive():
        scrubbed = SCRUBBER.text(text)
    with mock.patch.object(scrub, "_LONG", 0):
        assert SCRUBBER.text(text) == scrubbed


# --- what has no secret is rarely told ----------------------------------------------------------------


@pytest.mark.parametrize("content", [500, 5000])
def test_few_texts_without_a_secret_are_suspicious(content: int) -> None:
    records = pages.Session(pages.Shape(events=1_000_000 // content, content=content)).records()
    fields = ("content", "messages", "tool_input", "tool_output")
    texts = [record[field] for record in records for field in fields if field in record]

    told = [text for text in texts if SCRUBBER.suspicious(to_json(text) + b"\n") and SCRUBBER.value(text) is text]

    assert len(told) < len(texts) / 50


CLEAN = [
    *("The token expired, so the secretary asked for another one.", "the key, the tokens and the password"),
    *("a keyboard", "the tokens. Then the pass (see above); it passes.", "cost per token: 0.002"),
    *("token is the one", "the key to it's 5", '{"token_count": 3, "tokenizer": "cl100k", "key": "x"}'),
    *("order 4111111111111112", "0.4111111111111111", "a@b.example"),
    *("https://x.example/a:b@c and https://x.example:8080/@me", "disk-0123456789abcdef0123456789"),
    *("2026-11-18 10:30:45-0700", "Basic information and bearer authentication", "author: me, monkey: you"),
    *("Zm9vY3ZwdyBrZXk" * 30, "--verbose x"),
]


@pytest.mark.parametrize("text", CLEAN)
def test_a_text_without_a_secret_is_not_suspicious(text: str) -> None:
    assert not is_suspicious(text)
    assert not is_suspicious([{"x": text}])


CLEAN_VALUES = [
    {"token": None, "password": "", "credentials": {}, "cookies": [], "auth": False},
    *({"session_key": "x", "tokens": 5}, ["-v", "--verbose", "x"], ["--token"], ["--token", "-x"]),
    *(["--token", 5], 4111111111111112, 1712345678901, {"a b": 1}),
]


@pytest.mark.parametrize("value", CLEAN_VALUES)
def test_a_value_without_a_secret_is_not_suspicious(value: JSON) -> None:
    assert not is_suspicious(value)


def test_of_what_a_user_describes_nothing_can_be_said() -> None:
    assert Scrubber(["x"]).suspicious(b'"y"\n') is None
    assert Scrubber(also=str.upper).suspicious(b'"y"\n') is None
    assert Scrubber().suspicious(b'"y"\n') == []
    assert Scrubber().suspicious(b"") == []


# --- time ---------------------------------------------------------------------------------------------


PIECES = [
    *WORDS,
    *STAYS,
    *SPOKEN,
    *("a", "1 ", "4111 ", "411111 111 ", "0.41111111", "://", "://a:", ":\\/\\/", "@", ":@", "://a:b@", "a."),
    *("-", "--", "-a", "_", "A", "AA", "K", "SK", "J", "eyJ", "eyJ.", "eyJ..", ".", "SG."),
    *("SG.aaaaaaaaaaaaaaaaaaaa", "=", "sig=", "token-", "-u a:", "curl", "--user ", "-u", "token.", "token "),
    *("token is ", "key", "pw", "cv", "auth'", "pass\\\\", 'pass"', "\\", "basic ", "basic aaaaaa ", "bearer "),
    *("bearer a", "x-----BEGIN ", '"', '","', '{"', '["-', "\u212a", "\u0130", "\x84"),
]


@pytest.mark.parametrize("search", [glance._search, glance.search], ids=["as installed", "Python"])
@pytest.mark.parametrize("piece", PIECES)
def test_no_text_makes_a_glance_go_over_it_again_and_again(
    piece: str, search: Callable[[bytes], glance.Searched]
) -> None:
    if not piece:
        return
    text = "@" + piece * (60_000 // len(piece))

    with mock.patch.object(glance, "_search", search):
        # What goes over the rest of the text at each piece would not end while one waits for it.
        SCRUBBER.suspicious(write(text))
        SCRUBBER.suspicious(write([text[at : at + 50] for at in range(0, len(text), 50)]))
        SCRUBBER.suspicious(write(quoted(text[:20_000], 2)))
