"""When to try again: a value in, a decision out. No clock, no randomness, no waiting in here.

The caller measures the time, draws the number and does the sleeping, so that blocking and asynchronous clients
share the decision.
"""

from __future__ import annotations

import email.utils
import re
from dataclasses import dataclass
from datetime import UTC

_SECONDS = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_MOST_DOUBLINGS = 64  # any wait is at its longest by then, and no float overflows


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often and how long to wait before giving up.

    Attributes:
        tries: how many times a request is made at most, the first one included; None for any number within `total`.
        first: seconds to wait before the second try; each further wait is twice as long.
        most: the longest of these waits, in seconds.
        total: seconds after which no further try is begun.
    """

    tries: int | None = 5
    first: float = 0.5
    most: float = 30.0
    total: float = 60.0

    def wait(self, attempt: int, *, asked: float | None = None, waited: float = 0.0, draw: float = 0.5) -> float | None:
        """Decide how long to wait before the next try.

        Args:
            attempt: which try has just failed, counted from 0.
            asked: seconds that the server asks to wait, if it does. It is never tried sooner than that.
            waited: seconds since the first try.
            draw: a random number in [0, 1) that spreads the waits by half up and down; 0.5 spreads nothing.

        Returns:
            Seconds, or None to give up.
        """
        left = self.total - waited
        if (self.tries is not None and attempt + 1 >= self.tries) or left <= 0:
            return None
        if asked is not None:
            return asked if asked <= left else None
        doubled = self.first * 2.0 ** min(attempt, _MOST_DOUBLINGS)
        return min(doubled * (0.5 + draw), self.most, left)


def retry_after(value: str | None, *, now: float) -> float | None:
    """Read a `Retry-After` header: seconds, or an HTTP date.

    Args:
        value: of the header, or None where there is none.
        now: seconds since 1970.

    Returns:
        Seconds from now, never negative; None for what is neither.
    """
    if value is None:
        return None
    told = value.strip()
    if _SECONDS.fullmatch(told):
        return float(told)
    try:
        date = email.utils.parsedate_to_datetime(told)
        # A date without a zone is in UTC: HTTP knows no other.
        return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)
    except (ValueError, OverflowError):
        return None
