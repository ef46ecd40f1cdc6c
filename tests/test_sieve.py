"""The sieve leaves out only places at which nothing is found: with it a glance tells the same as without it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from benchmarks import pages
from otel_agent_events.scrub import glance
from tests.native import sieve
from tests.test_glance import AROUND, FORMS, NAMES, PIECES, SAYINGS, SPOKEN, quoted, spellings, write
from tests.test_scrub import SECRETS, TAKEN

if TYPE_CHECKING:
    from collections.abc import Callable

Span = tuple[tuple[int, int], str | None]


def spans(search: Callable[[bytes], glance.Searched], written: bytes) -> tuple[bytes, list[list[Span]]]:
    low, kinds = search(written)
    return low, [[(match.span(), match.lastgroup) for match in matches] for matches in kinds]


def agree(written: bytes) -> None:
    """Hold what every pattern matches with the sieve against what it matches without."""
    assert spans(glance.search_sieved, written) == spans(glance.search, written)


# What patterns begin with, what stands before and after it, and what nearly is one of these.
PARTS = [
    *("pas", "pass", "pw", "cv", "cre", "d", "t", "secret", "se", "to", "ken", "token", "key", "coo", "kie"),
    *("cookie", "au", "auth", "bea", "rer ", "bearer ", "ba", "sic ", "basic\\t", "dapi", "0a" * 8, "0a" * 16),
    *("ABCDEFGHIJ1234567890abc", "-----BEGIN PRIVATE KEY", "-----BEGIN ", "-", "--", "-u", "--user ", "curl "),
    *("a:b", ".", "SG.", "ya29.", "hvs.", "sig=", "Signature=", "_", "hp_", "ghp_", "k_live_", "v1_", "sa_"),
    *("AKIA", "ASIA", "AIza", "ATATT3", "1:AA", "SK", "eyJ", "\u212a", "\u0130", "\uff1a", "€", "“", "”", "é"),
    *("日", "4111", "1111", " ", "1", "12", "123", "\\", "\\\\", '"', '\\"', "\\n", "\\u0041", "\\t", ":", ","),
    *("{", "[", "}", "]", ',"', '":', '","', '","-', "slack.com/", "/api/webhooks/", "\\/webhooks\\/", "is", "was"),
    *("has been", "changed to", "reset", "updated to", "set", "rb'", "b'", "=", "!=", "!", "(", "<", ">", "+", "/"),
    *("~", "%3d", "xoxb-", "xapp-", "sk-", "sk-proj-", "glpat-", "tskey-", "NRAK-", "x" * 62, "x" * 70, "a" * 79),
    *("\n", "\x00", "\x7f", "@", "://", "null", "'", "`", "*"),
]
WHOLE = [*PIECES, *SPOKEN, *NAMES, *SECRETS.values(), *(text for text, _ in TAKEN)]
ANY_PARTS = st.lists(st.sampled_from(PARTS), max_size=14) | st.lists(st.sampled_from(PARTS + WHOLE), max_size=10)


@given(ANY_PARTS.map("".join))
@example("-u1:AAnullsa_" + "x" * 40)
@example('","-"["x"')
@example("pw")
@example("4111111111111")
@settings(max_examples=500)
def test_of_any_parts_every_pattern_matches_the_same(text: str) -> None:
    agree(text.encode(errors="replace"))
    agree(text.swapcase().encode(errors="replace"))


@given(ANY_PARTS.map("".join), st.binary(min_size=1, max_size=3), st.data())
def test_what_is_no_text_makes_no_difference(text: str, strange: bytes, data: st.DataObject) -> None:
    written = text.encode(errors="replace")
    at = data.draw(st.integers(0, len(written)))

    agree(written[:at] + strange + written[at + len(strange) :])


@pytest.mark.parametrize("text", [*SECRETS.values(), *(text for text, _ in TAKEN)])
def test_of_every_secret_every_pattern_matches_the_same_wherever_it_stands_or_is_cut_off(text: str) -> None:
    for around in AROUND:
        for levels in range(3):
            agree(write(quoted(around.format(text), levels)))
    written = text.encode()[:200]
    for at in range(len(written)):
        agree(written[:at])
        agree(written[at:])


@pytest.mark.parametrize("name", NAMES)
def test_of_every_name_every_pattern_matches_the_same(name: str) -> None:
    agree(b"".join(write(saying.replace("{}", each)) for each in spellings(name) for saying in SAYINGS))


@pytest.mark.parametrize("form", sorted(FORMS))
def test_of_every_form_every_pattern_matches_the_same(form: str) -> None:
    @given(st.from_regex(re.compile(form, re.ASCII)))
    @settings(max_examples=50)
    def held(text: str) -> None:
        agree(f"{text} x{text}".encode())

    held()


BYTES = [bytes([byte]) for byte in range(256)]


@pytest.mark.parametrize("before", ["token", "token ", "token is", "pw", "x-token ", " -", " -tok", "\\n-", "4111"])
def test_whatever_comes_next_every_pattern_matches_the_same(before: str) -> None:
    agree(b"\n".join(before.encode() + one + other + b"hunter2 x" for one in BYTES for other in BYTES))


VERBS = ["is", "was", "has", "has been", "has been set to", "was changed to", "reset to", "set to", "updated to", "to"]


@pytest.mark.parametrize(
    "saying",
    [
        *("token{} expired ", "token{}=x1y2z3 ", "token {} x", "token 1{} x", "token a1{}=", " -{}token x", " -{}` x"),
        *("x-{}token x", "x-{}t", " -{}", "\\u001b-{} ", "{}-1111 1111 1111 1111", "sk-{} ", "ghp_{} ", "{}token: x"),
    ],
)
def test_whatever_its_length_every_pattern_matches_the_same(saying: str) -> None:
    fillings = (filling * size for filling in ("x", "1", "a-", ".") for size in range(310))
    agree("\n".join(saying.replace("{}", filling) for filling in fillings).encode())


@pytest.mark.parametrize("verb", VERBS)
def test_whatever_verb_comes_after_a_name_every_pattern_matches_the_same(verb: str) -> None:
    for blank in (" ", "\\t", " :", ": "):
        for word in ("x1y2z3!", "expired", "rb'x'", '\\"x\\"'):
            agree(f"token {verb.replace(' ', blank)}{blank}{word} x, the pw\\t{verb}{blank}{word}".encode())


def test_the_texts_of_these_tests_have_matches_of_every_pattern() -> None:
    _, kinds = glance.search_sieved("\n".join([*WHOLE, *PARTS, "\u212a", "eyJ"]).encode(errors="replace"))

    assert all(any(matches) for matches in kinds)


@given(st.binary())
@example(bytes(range(256)))
def test_letters_are_made_small_as_python_does(written: bytes) -> None:
    assert sieve.lowered(written) == written.translate(glance._LOW)


@given(ANY_PARTS.map("".join))
def test_a_glance_tells_the_same_without_the_sieve(text: str) -> None:
    text = text.encode(errors="replace").decode()
    told = glance.find_suspicious(write(text)), glance.may_hold(text)
    with mock.patch.object(glance, "_search", glance.search):
        assert (glance.find_suspicious(write(text)), glance.may_hold(text)) == told


@pytest.mark.parametrize("content", [500, 5000])
def test_of_usual_texts_few_places_are_left(content: int) -> None:
    records = pages.Session(pages.Shape(events=500_000 // content, content=content)).records()
    fields = ("content", "messages", "tool_input", "tool_output")
    written = b"".join(to_json(record[field]) + b"\n" for record in records for field in fields if field in record)

    agree(written)
    assert sum(map(len, sieve.sieve(written))) < len(written) / 1_000


@pytest.mark.parametrize(
    "text",
    [
        *("The token expired, the tokens (all of them) are gone; pass it on.", "2026-11-18 12.50, 5512: 20881"),
        *("a keyboard, a passport, the author of the cookie; monkeys", "a state-of-the-art follow-on - as said --"),
        *("some_snake_case and a_b_c, www.example.com, https://x.example/?a=b", "Music and basics of bears."),
    ],
)
def test_of_what_is_often_said_no_place_is_left(text: str) -> None:
    assert not any(sieve.sieve(json.dumps({"text": text}).encode()))
