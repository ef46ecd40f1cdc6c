from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_events.scrub import Scrubber

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def fingerprint(also: Callable[[str], str]) -> str:
    return Scrubber(also=also).fingerprint


def without(word: str) -> Callable[[str], str]:
    return lambda text: text.replace(word, "")


def made(source: str, **given: Any) -> Any:
    """Run a module of a user's, and give what it calls `also`."""
    module = {"__name__": "theirs", **given}
    exec(source, module)  # noqa: S102 - the same name with other code is what this is about
    return module["also"]


class Mask:
    def __init__(self, word: str, *more: Any) -> None:
        self.word = word
        self.more = more

    def __call__(self, text: str) -> str:
        return text.replace(self.word, "*")

    def loudly(self, text: str) -> str:
        return self(text).upper()


@dataclass(frozen=True, slots=True)
class Slotted:
    word: str

    def __call__(self, text: str) -> str:
        return text + self.word


def test_the_fingerprint_of_patterns_is_that_of_their_text() -> None:
    assert Scrubber().fingerprint == ""
    # printf '["CUST-\\\\d+","\\u00e9"]' | sha256sum
    assert Scrubber([r"CUST-\d+", "é"]).fingerprint == "9339e5f05d6d2d06"
    assert (
        Scrubber(["a"]).fingerprint != Scrubber(["a"], str.upper).fingerprint != Scrubber(["b"], str.upper).fingerprint
    )


DIFFERENT: list[tuple[Callable[[str], str], Callable[[str], str]]] = [
    (lambda text: text.upper(), lambda text: text.lower()),
    (lambda text: text.replace("a", ""), lambda text: text.replace("b", "")),
    (lambda text: text[1:], lambda text: text[2:]),
    (made("also = lambda text, by='a': text + by"), made("also = lambda text, by='b': text + by")),
    (made("also = lambda text: [a + 'a' for a in text][0]"), made("also = lambda text: [a + 'b' for a in text][0]")),
    (Slotted("a"), Slotted("b")),
    (without("a"), without("b")),
    (Mask("a"), Mask("b")),
    (Mask("a"), Mask("a").loudly),
    (Mask("a").loudly, Mask("b").loudly),
    (Mask("a", re.compile("x")), Mask("a", re.compile("x", re.IGNORECASE))),
    (Mask("a", {"x": 1}), Mask("a", {"x": 2})),
    (functools.partial(re.sub, "a", "b"), functools.partial(re.sub, "a", "c")),
    (functools.partial(str.replace, "a"), functools.partial(str.strip, "a")),
    (str.upper, str.lower),
    (
        made("class A:\n x = 1\n def also(self, t): return t\nalso = A().also"),
        made("class A:\n x = 2\n def also(self, t): return t\nalso = A().also"),
    ),
    (made("def also(text): return text"), made("def also(text): return ''")),
    (
        made("class A:\n def __call__(self, t): return t\nalso = A()"),
        made("class A:\n def __call__(self, t): pass\nalso = A()"),
    ),
    (
        made(
            "class A:\n @staticmethod\n def also(t): return t\n def __call__(self, t): return self.also(t)\nalso = A()"
        ),
        made("class A:\n @staticmethod\n def also(t): pass\n def __call__(self, t): return self.also(t)\nalso = A()"),
    ),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_callables_that_do_different_things_have_different_fingerprints(
    one: Callable[[str], str], other: Callable[[str], str]
) -> None:
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(one) == fingerprint(one)


def test_what_is_made_anew_has_the_same_fingerprint() -> None:
    assert fingerprint(without("a")) == fingerprint(without("a"))
    assert fingerprint(Mask("a", {"y": {1, 2}, "x": None})) == fingerprint(Mask("a", {"y": {2, 1}, "x": None}))
    assert fingerprint(Mask("a").loudly) == fingerprint(Mask("a").loudly)
    # Where the code stands makes no difference, nor do objects that are not plain.
    assert fingerprint(made("def also(text): return text")) == fingerprint(made("\n\n\ndef also(text): return text"))
    assert fingerprint(Mask("a", object())) == fingerprint(Mask("a", object()))


def test_what_holds_itself_and_what_has_no_value_yet_have_a_fingerprint() -> None:
    endless: list[Any] = [1.5, b"x", 10**5000]
    endless.append(endless)

    def again(text: str) -> str:
        return again(text[1:]) if text else later

    assert fingerprint(Mask("a", endless)) == fingerprint(Mask("a", endless))
    assert fingerprint(again) == fingerprint(again)
    later = "x"
    assert again("ab") == later


SOURCE = """
import functools, json, re
from otel_agent_events.scrub import Scrubber

class Mask:
    words = {"a", "b", "c"}
    def __init__(self, words):
        self.words, self.pattern = words, re.compile("x")
    def __call__(self, text):
        return "" if text in {"alpha", "beta", "gamma"} else text
    @property
    def size(self):
        return len(self.words)

def outer(word):
    def inner(text, *, more=("x", 1.5)):
        return [piece for piece in text.split(word)][0]
    return inner

made = [Mask({"a", "b", "c"}), Mask(frozenset("xyz")).__call__, outer("é"), functools.partial(re.sub, "a", "b")]
print([Scrubber(["x"], also).fingerprint for also in [*made, json.dumps, str.upper]])
"""


def test_the_fingerprint_is_the_same_from_run_to_run_and_wherever_the_code_is(tmp_path: Path) -> None:
    printed = set()
    for seed in "123":
        script = tmp_path / seed / "script.py"
        script.parent.mkdir()
        script.write_text("\n" * int(seed) + SOURCE, encoding="utf-8")
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, str(script)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            cwd=script.parent,
        )
        printed.add(done.stdout)

    assert len(printed) == 1
    fingerprints = json.loads(printed.pop().replace("'", '"'))
    assert len(set(fingerprints)) == len(fingerprints)
