"""What the searches have in common: where a secret stands in a text."""

from __future__ import annotations

import re
import string
from typing import TypeAlias

Place: TypeAlias = tuple[int, int]
"""Where a secret begins in a text, and where it has ended."""

SCRUBBED = "[scrubbed]"
"""What stands in the place of a secret."""

LONGEST_NAME = 64
"""Of a longer name only the end is read."""

ALPHANUMERIC = string.ascii_letters + string.digits

REFERENCE = re.compile(
    r"\$\(|\$?\{\{|os\.environ\b|os\.getenv\b|process\.env\b|(?:secrets|vars?|env|self|this)\.[A-Za-z_]|[a-z+]{2,16}://"
    r"|(?:\$?\{[A-Za-z_][\w.]{0,64}\}|\$[A-Z_][A-Z0-9_]{0,64}|%s|%\(\w{1,64}\)s|%[A-Z_]{1,64}%)(?=[\s\"'`,;:)&<\\\]}]|\Z)"
)
"""What stands for a secret that is elsewhere: a variable, a call."""


def find(pattern: re.Pattern[str], text: str, found: list[Place]) -> None:
    """Add what the pattern finds: its group `secret`, or all of it."""
    group = "secret" if "secret" in pattern.groupindex else 0
    for match in pattern.finditer(text):
        start, end = match.span(group)
        if start < end:
            found.append((start, end))


def set_of(words: str) -> frozenset[str]:
    """Give the words of a text."""
    return frozenset(words.split())
