"""Agora's notifications about calls with agents.

Sources: Agora's pages on receiving notifications (signatures, answers within 10 seconds, three further attempts whose
interval grows, the first one at once) and on the events of Conversational AI.
"""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from otel_agent_events import times
from otel_agent_events.errors import ForeignProductError, UsageError, WebhookError
from otel_agent_events.fetchers.agora import PRODUCT
from otel_agent_events.webhooks.limits import MOST_BYTES, Age, check_size
from otel_agent_events.webhooks.notification import Notification, digest, parsed, session
from otel_agent_events.webhooks.signatures import SHA1, SHA256, Secrets, header, missing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from otel_agent_events.events import JSON

MAX_AGE = 300.0
"""Seconds. `notifyMs` is new with each attempt, so this is for clocks and networks only, and not for attempts."""

_SIGNATURE = "Agora-Signature-V2"
_OLD_SIGNATURE = "Agora-Signature"
_LISTS: Mapping[int, str] = {103: "contents", 110: "errors", 112: "turns"}
"""What each notification with records holds them in."""

_LAST = {102, 103}
"""The agent has left; its history, which is given once it has."""


class AgoraWebhook:
    """Receive the notifications of one Agora project.

    Args:
        secret: that of the notifications, as Agora Console shows it; several while it is being replaced.
        app_id: of the project: no notification names it, and references begin with it.
        max_age: the most seconds since `notifyMs`; None takes any.
        max_bytes: the most bytes of a body.
        allow_sha1: take `Agora-Signature` (HMAC-SHA1) where `Agora-Signature-V2` (HMAC-SHA256) is missing. Agora sends
            both, so that a request without the better one was tampered with, or went through something that drops
            headers: it is refused unless you know why.
        clock: tells the time, in seconds since 1970.

    Raises:
        UsageError: the secret or the App ID is empty, or `max_age` is no number of seconds.
    """

    def __init__(
        self,
        secret: str | Sequence[str],
        *,
        app_id: str,
        max_age: float | None = MAX_AGE,
        max_bytes: int = MOST_BYTES,
        allow_sha1: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not app_id:
            raise UsageError("the App ID is empty; Agora Console shows it, and references are agora:APPID/AGENT")
        self._secrets = Secrets(secret, name="secret of the notifications", place="Agora Console")
        self._app_id = app_id
        self._age = Age(max_age, clock)
        self._allow_sha1 = allow_sha1
        self.max_bytes = max_bytes

    def receive(self, body: bytes, headers: Mapping[str, str]) -> Notification:
        """Verify and read a notification. Nothing in it is looked at before its signature is known to be good.

        Args:
            body: as it came.
            headers: by name, in any case.

        Raises:
            ForeignProductError: it is of another product of Agora, which uses the same numbers for other events; 200.
            WebhookError: it is too large (413), not signed with the secret (401), no notification (400), or too old,
                ahead, or without a time (403).
        """
        check_size(body, self.max_bytes)
        self._verify(body, headers)
        payload = parsed(body)
        product = _integer(payload.get("productId"))
        if product is None:
            raise WebhookError(
                "the body is signed, and is no notification of Agora: its productId is no number",
                status=HTTPStatus.BAD_REQUEST,
            )
        if product != PRODUCT:
            raise ForeignProductError(
                f"the notification is of product {product}, and those of agents are of {PRODUCT}; it is not read. Take "
                "the other product's events off this address, in Agora Console",
                status=HTTPStatus.OK,
            )
        stamp = times.epoch(payload.get("notifyMs"), times.MILLISECOND)
        at = None if stamp is None else stamp.nanoseconds
        self._age.check(at, "notifyMs")
        return self._notification(payload, body, at)

    def _verify(self, body: bytes, headers: Mapping[str, str]) -> None:
        signature = header(headers, _SIGNATURE)
        if signature is not None:
            self._secrets.verify(body, signature, SHA256, bytes.hex)
            return
        old = header(headers, _OLD_SIGNATURE)
        if old is None or not self._allow_sha1:
            raise missing(_SIGNATURE, "Agora")
        self._secrets.verify(body, old, SHA1, bytes.hex)

    def _notification(self, payload: Mapping[str, JSON], body: bytes, at: int | None) -> Notification:
        event_type = _integer(payload.get("eventType"))
        notice_id, inner = payload.get("noticeId"), payload.get("payload")
        told = inner if isinstance(inner, dict) else {}
        records = _LISTS.get(event_type) if event_type is not None else None
        return Notification(
            reference=session("agora", self._app_id, told.get("agent_id")),
            event_type=event_type,
            notice_id=notice_id if isinstance(notice_id, str) and notice_id else digest(body),
            at=at,
            has_records=records is not None and bool(told.get(records)),
            completes=event_type in _LAST,
            payload=payload,
            body=body,
        )


def _integer(number: JSON) -> int | None:
    """Take a number that is written as one, 103 or 103.0; true and false are none."""
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        return None
    return int(number) if number == number // 1 else None
