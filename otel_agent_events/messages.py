"""What messages have in common: words from outside on one printable line, no credential in them, and our own name."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST_WORDS = 300
"""Characters of what somebody else says that a message repeats."""

MOST_READ = 100 * MOST_WORDS
"""Characters of it that are looked at: credentials are hidden before it is cut, so that no half of one stays."""

MOST_TOLD = 10
"""Sentences of one kind that are told one by one."""

_SHORT = 6


def one_line(words: str) -> str:
    """Give words for a message: one printable line of at most 300 characters."""
    line = " ".join("".join(each if each.isprintable() else " " for each in words).split())
    return line if len(line) <= MOST_WORDS else f"{line[: MOST_WORDS - 1]}…"


def first_of(told: Sequence[str]) -> list[str]:
    """Give the first ten of many sentences, and say how many more there are: a file may have one on every line."""
    more = len(told) - MOST_TOLD
    return [*told[:MOST_TOLD], *([f"and {more} more of this kind"] if more > 0 else [])]


def hidden(text: str, secrets: Iterable[str], *, mask: str, ignore_case: bool = False) -> str:
    """Put a mask in the place of every secret, the longest first.

    A secret as short as a word is hidden where it stands alone, and leaves the other words readable.
    """
    longest_first = sorted(secrets, key=len, reverse=True)
    if not longest_first:
        return text
    return re.sub("|".join(map(_pattern, longest_first)), mask, text, flags=re.IGNORECASE if ignore_case else 0)


def _pattern(secret: str) -> str:
    pattern = re.escape(secret)
    return pattern if len(secret) >= _SHORT else rf"(?<!\w){pattern}(?!\w)"


@cache
def user_agent() -> str:
    """Say who asks and sends, as in `otel-agent-events/0.1.0`."""
    return f"otel-agent-events/{version('otel-agent-events')}"
