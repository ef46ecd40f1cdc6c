"""What a notification may be at most: how old, how far ahead, how large."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING

from otel_agent_events import times
from otel_agent_events.errors import UsageError, WebhookError

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_BYTES = 4 * 1024 * 1024
"""Bytes of a body: some hundred times what a call of 32 entries has, or a webhook with a few activities."""

MOST_AHEAD = 60
"""Seconds that the platform's clock may be ahead of ours."""


class Age:
    """How old a notification may be when it comes; what is older may be one that somebody kept and sends again.

    Args:
        most: seconds, or None to take notifications of any time, and of none.
        clock: tells the time, as `time.time` does: seconds since 1970.

    Raises:
        UsageError: it is no number of seconds above 0.
    """

    def __init__(self, most: float | None, clock: Callable[[], float]) -> None:
        if most is not None and not 0 < most < math.inf:
            raise UsageError(f"max_age is {most:g}; it is a number of seconds above 0, or None for any age")
        self._most = most
        self._clock = clock

    def check(self, at: int | None, told: str) -> None:
        """Refuse what is too old, lies ahead, or does not say when it was.

        Args:
            at: when the notification was made, in nanoseconds since 1970.
            told: where it says so, for messages.

        Raises:
            WebhookError: it is refused; 403, since the sender is who it says.
        """
        if self._most is None:
            return
        if at is None:
            raise _refused(f"the notification does not say when it was made ({told}), so its age is not known")
        age = self._clock() - at / times.SECOND
        if age > self._most:
            raise _refused(
                f"the notification is {age:.0f} s old by its {told}, and {self._most:g} s is the most that is taken; "
                "when it was not sent again by somebody else, check the clock of this machine, or raise max_age"
            )
        if age < -MOST_AHEAD:
            raise _refused(
                f"the notification lies {-age:.0f} s ahead by its {told}, and at most {MOST_AHEAD} s are taken; "
                "check the clock of this machine"
            )


def check_size(body: bytes, most: int) -> None:
    """Refuse a body that is too large, before anything is done with it.

    Raises:
        WebhookError: it has more than `most` bytes; 413.
    """
    if len(body) > most:
        raise WebhookError(
            f"the body has {len(body)} bytes, and {most} is the most that is taken; raise max_bytes to take it",
            status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        )


def _refused(message: str) -> WebhookError:
    return WebhookError(message, status=HTTPStatus.FORBIDDEN)
