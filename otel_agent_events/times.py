"""Times as the platforms write them, as integers of nanoseconds since 1970 (UTC), exactly.

Nothing here goes through a float: `2024-01-15T10:35:00.123456789Z` keeps its nine digits.
"""

from __future__ import annotations

import math
import re
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000

LATEST = 2**64 - 1
"""The last nanosecond that OTLP can tell (a `fixed64`); what lies beyond is undated."""

_MOST_SECONDS = 10**11
_DIGITS = 9
_UNITS: tuple[int, ...] = tuple(10 ** (_DIGITS - told) for told in range(_DIGITS + 1))
_SECONDS = {f"{second:02d}": second * SECOND for second in range(60)}
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_STAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d+))? ?(?:[Zz]|([+-])(\d\d):?(\d\d)?)?",
    re.ASCII,
)


class Stamp(NamedTuple):
    """A time, and whether it says all that was written: digits beyond the ninth are cut off."""

    nanoseconds: int
    exact: bool


def parse(written: object) -> Stamp | None:
    """Read an RFC 3339 time: any number of fractional digits, `Z`, an offset, or no zone (which is UTC).

    Returns:
        None for everything that is no such time or lies outside what OTLP can tell.
    """
    if not isinstance(written, str):
        return None
    usual = parse_plain(written)
    return _parse_any(written) if usual is None else Stamp(usual, exact=True)


def parse_plain(written: str) -> int | None:
    """Read a time in the form that most platforms write, `2024-01-15T10:35:00.123456Z`, quickly.

    Returns:
        Nanoseconds, exactly; None when it is written in another form, which is for `parse` to read.
    """
    minute = _MINUTES.get(written[:17], _UNKNOWN)
    if minute is _UNKNOWN:
        minute = _minute(written[:17])
    rest = written[17:]
    if minute is None or not rest.isascii() or rest[-1:] != "Z":
        return None
    # Two digits of the second, a point, at most nine digits of a fraction, the zone.
    second, digits = rest[:2], rest[3:-1]
    if rest[2:3] == "." and digits.isdigit() and len(digits) <= _DIGITS:
        return minute + _SECONDS[second] + int(digits) * _UNITS[len(digits)] if second in _SECONDS else None
    return minute + _SECONDS[second] if second in _SECONDS and len(rest) == len("00Z") else None


def _minute(written: str) -> int | None:
    """Read `2024-01-15T10:35:`, which the times of a session share; None when no second of it can be told."""
    first, last = _parse_any(f"{written}00Z"), _parse_any(f"{written}59.999999999Z")
    if len(_MINUTES) >= _MOST_MINUTES:
        _MINUTES.clear()
    made = _MINUTES[written] = None if first is None or last is None else first.nanoseconds
    return made


_MINUTES: dict[str, int | None] = {}
"""By how they are written, in nanoseconds since 1970."""
_MOST_MINUTES = 1024
_UNKNOWN = -1


def _parse_any(written: str) -> Stamp | None:
    found = _STAMP.fullmatch(written)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, offset_hour, offset_minute = found.groups()
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    if int(hour) > 23 or int(minute) > 59 or int(second) > 60:  # noqa: PLR2004 - 60 is a leap second
        return None
    seconds = days * 86_400 + int(hour) * 3_600 + int(minute) * 60 + int(second)
    if sign:
        offset = int(offset_hour) * 3_600 + int(offset_minute or 0) * 60
        seconds -= offset if sign == "+" else -offset
    fraction = fraction or ""
    nanoseconds = seconds * SECOND + int(fraction[:9].ljust(9, "0"))
    if not 0 <= nanoseconds <= LATEST:
        return None
    return Stamp(nanoseconds, exact=not fraction[9:].strip("0"))


def epoch(number: object, unit: int) -> Stamp | None:
    """Read a number of units since 1970: an integer, or a float, which is taken for what it is written as.

    Args:
        number: such as 1767254400 or 1767254400.25.
        unit: nanoseconds in one of them: `SECOND`, `MILLISECOND`.

    Returns:
        None for everything that is no number or lies outside what OTLP can tell.
    """
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        return None
    if isinstance(number, int):
        nanoseconds, exact = number * unit, True
    elif math.isfinite(number):
        product = Decimal(repr(number)) * unit
        nanoseconds = int(product)
        exact = nanoseconds == product
    else:
        return None
    return Stamp(nanoseconds, exact) if 0 <= nanoseconds <= LATEST else None


def epoch_by_size(number: object) -> Stamp | None:
    """Read a number of seconds, milliseconds, microseconds or nanoseconds since 1970: its size tells which.

    Each unit is taken for times from 1973 to the year 5138, so that no two of them can be mistaken.
    """
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        return None
    for unit in (SECOND, MILLISECOND, MICROSECOND):
        if abs(number) < _MOST_SECONDS * SECOND // unit:
            return epoch(number, unit)
    return epoch(number, 1)


def written(nanoseconds: int) -> str:
    """Write a time as RFC 3339 in UTC, with as many fractional digits as it has."""
    seconds, fraction = divmod(nanoseconds, SECOND)
    days, seconds = divmod(seconds, 86_400)
    digits = f".{fraction:09d}".rstrip("0").rstrip(".")
    clock = f"{seconds // 3_600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{date.fromordinal(_EPOCH_DAY + days)}T{clock}{digits}Z"


parse_usual: Callable[[str], int | None]
"""The same as `parse_plain`, more quickly; what that one reads, this one may leave to `parse`."""
try:
    from otel_agent_events._native import parse_usual as compiled_parse_usual
except ImportError:  # it was installed without a C compiler
    parse_usual = parse_plain
else:
    parse_usual = compiled_parse_usual
