"""Card numbers: of a known issuer, and passing Luhn."""

from __future__ import annotations

import re
import string

from otel_agent_events.scrub.found import ALPHANUMERIC, Place

SMALLEST_CARD = 10**12
LARGEST_CARD = 10**19
_MOST_DIGITS = 19
_NEIGHBOURS = 8
"""So many letters beside a number tell whether it is a piece of a hexadecimal id."""

_LONG_RUN = re.compile(r"[0-9][0-9 \-]{12,}")
_BEFORE_RUN, _AFTER_RUN = 6, 2  # characters: an escape, and a point with the first decimal
_RUN = re.compile(
    # Not the decimals of a fraction; but after an escape, whose digits are not the number's.
    r"(?:(?P<escape>\\u[0-9A-Fa-f]{4}|%[0-9A-Fa-f]{2})|(?<![0-9])(?<![0-9]\.))"
    r"(?P<digits>[0-9](?:[ \-]?[0-9]){12,}+)(?P<fraction>\.[0-9])?"
)
_GROUP = re.compile(r"[0-9]+")
_FIRST_GROUP = range(4, 7)
_INNER_GROUP = 3
_ISSUED = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"  # Visa
    r"|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"  # Mastercard
    r"|3[47][0-9]{13}"  # American Express
    r"|(?:6011|64[4-9][0-9]|65[0-9]{2})[0-9]{12,15}"  # Discover
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12,15}"  # JCB
    r"|3(?:0[0-59]|[689][0-9])[0-9]{11,16}"  # Diners Club
    r"|62[0-9]{14,17}"  # UnionPay
    r"|(?:5018|5020|5038|5893|6304|6759|676[1-3])[0-9]{9,15}"  # Maestro
)
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def find_cards(text: str, found: list[Place]) -> None:
    """Add where card numbers stand in the text."""
    for long_run in _LONG_RUN.finditer(text):
        start, end = long_run.span()
        _find_in_run(text, max(0, start - _BEFORE_RUN), end + _AFTER_RUN, found)


def _find_in_run(text: str, begin: int, until: int, found: list[Place]) -> None:
    for run in _RUN.finditer(text, begin, until):
        groups = [group.span() for group in _GROUP.finditer(text, *run.span("digits"))]
        if not run["escape"] and _is_hexadecimal(_letters_before(text, groups[0][0])):
            del groups[0]
        if groups and (run["fraction"] or _is_hexadecimal(_letters_after(text, groups[-1][1]))):
            del groups[-1]
        first = 0
        while first < len(groups):
            after = _card(text, groups, first)
            if after > first:
                found.append((groups[first][0], groups[after - 1][1]))
            first = max(after, first + 1)


def _card(text: str, groups: list[Place], first: int) -> int:
    """Return the index after the longest card number that begins with this group; `first` if there is none."""
    after = first
    digits = ""
    for index in range(first, len(groups)):
        start, end = groups[index]
        digits += text[start : min(end, start + _MOST_DIGITS + 1)]
        if len(digits) > _MOST_DIGITS:
            break
        if _ISSUED.fullmatch(digits) and _passes_luhn(digits):
            after = index + 1
        # Four and four and four and four, four and six and five, six and thirteen: not any numbers in a row.
        if end - start < _INNER_GROUP or (index == first and end - start not in _FIRST_GROUP):
            break
    return after


def _passes_luhn(digits: str) -> bool:
    plain = sum(map(int, digits[-1::-2]))
    return (plain + sum(_DOUBLED[int(digit)] for digit in digits[-2::-2])) % 10 == 0


def _letters_before(text: str, at: int) -> str:
    before = text[max(0, at - _NEIGHBOURS) : at]
    return before[len(before.rstrip(ALPHANUMERIC)) :]


def _letters_after(text: str, at: int) -> str:
    after = text[at : at + _NEIGHBOURS]
    return after[: len(after) - len(after.lstrip(ALPHANUMERIC))]


def _is_hexadecimal(letters: str) -> bool:
    return letters[-2:] in {"0x", "0X"} or (letters != "" and not letters.strip(string.hexdigits))
