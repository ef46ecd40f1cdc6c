"""Hubster's webhooks, as integrations of the types System and Direct get them.

Source: Hubster's guide to webhooks (signing keys, payloads, six attempts with 10 seconds each), which ended in 2020.
"""

from __future__ import annotations

import time
from base64 import b64encode
from http import HTTPStatus
from typing import TYPE_CHECKING

from otel_agent_events.errors import WebhookError
from otel_agent_events.fetchers.hubster_activity import stamp_of
from otel_agent_events.webhooks.limits import MOST_BYTES, Age, check_size
from otel_agent_events.webhooks.notification import Notification, digest, parsed, session
from otel_agent_events.webhooks.signatures import SHA256, Secrets, header, missing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from otel_agent_events.events import JSON

MAX_AGE = 2_400.0
"""Seconds. Hubster waits 0, 2, 4, 6, 8 and 10 minutes between its attempts, and 10 seconds for each answer, so its last
one comes up to 31 minutes after what it tells of; the body is the same each time, and so are its times."""

_SIGNATURE = "x-hubster-signature"


class HubsterWebhook:
    """Receive the webhooks of Hubster integrations.

    Args:
        private_signing_key: `privateSigningKey` of the integration's configuration; several while it is being replaced,
            or for several integrations at one address.
        max_age: the most seconds since the newest activity; None takes any.
        max_bytes: the most bytes of a body.
        clock: tells the time, in seconds since 1970.

    Raises:
        UsageError: the key is empty, or `max_age` is no number of seconds.
    """

    def __init__(
        self,
        private_signing_key: str | Sequence[str],
        *,
        max_age: float | None = MAX_AGE,
        max_bytes: int = MOST_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._secrets = Secrets(
            private_signing_key, name="privateSigningKey", place="GET /api/v1/integrations/{integrationId}"
        )
        self._age = Age(max_age, clock)
        self.max_bytes = max_bytes

    def receive(self, body: bytes, headers: Mapping[str, str]) -> Notification:
        """Verify and read a webhook. Of the headers, only the signature counts: the others are signed by nobody.

        Args:
            body: as it came.
            headers: by name, in any case.

        Raises:
            WebhookError: it is too large (413), not signed with the key (401), no webhook (400), or too old, ahead, or
                without a time (403).
        """
        check_size(body, self.max_bytes)
        signature = header(headers, _SIGNATURE)
        if signature is None:
            raise missing(_SIGNATURE, "Hubster")
        self._secrets.verify(body, signature, SHA256, _base64)
        payload = parsed(body)
        match payload:
            case {"activities": list(activities)}:
                pass
            case {"activity": dict(activity)}:
                activities = [activity]
            case _:
                raise WebhookError(
                    "the body is signed, and is no webhook of Hubster: it has neither activities nor an activity",
                    status=HTTPStatus.BAD_REQUEST,
                )
        told = [activity for activity in activities if isinstance(activity, dict)]
        at = max((stamp.nanoseconds for each in told if (stamp := stamp_of(each.get("eventId")))), default=None)
        self._age.check(at, "newest eventId")
        return Notification(
            reference=session("hubster", payload.get("conversationId")),
            event_type=_trigger(told),
            notice_id=digest(body),
            at=at,
            has_records=bool(activities),
            completes=False,
            payload=payload,
            body=body,
        )


def _trigger(activities: Sequence[Mapping[str, JSON]]) -> str | None:
    """Give the trigger that all activities share."""
    triggers = [activity.get("eventTrigger") for activity in activities]
    first = triggers[0] if triggers else None
    return first if isinstance(first, str) and all(each == first for each in triggers) else None


def _base64(digested: bytes) -> str:
    return b64encode(digested).decode()
