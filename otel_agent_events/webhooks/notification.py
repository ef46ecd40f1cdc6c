"""What a verified notification says, and its way to replay."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Unpack

from otel_agent_events.errors import UsageError, WebhookError
from otel_agent_events.pipeline import replay
from otel_agent_events.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otel_agent_events.events import JSON
    from otel_agent_events.report import Report
    from otel_agent_events.webhooks.options import ReplayOptions

_DIGITS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One notification: verified, and as the platform sent it.

    Attributes:
        reference: the session that it is of; None when it names none, such as the platform's test of a new address.
        event_type: what it tells of, in the platform's words: Agora's `eventType` (103), the `eventTrigger` that the
            activities of a Hubster webhook share (`message:customer`). None when nothing of that kind is told.
        notice_id: the same when it is sent again: Agora's `noticeId`, or, where the platform gives none, the first 32
            hex digits of the body's SHA-256.
        at: when it was made, in nanoseconds since 1970, if that is told: Agora's `notifyMs`, which is new each time
            that it is sent, or the newest `eventId` of Hubster's activities, which is not.
        has_records: it holds records that become events: entries, turns, errors, activities.
        completes: nothing will happen in the session any more.
        payload: the whole body, parsed.
        body: as it came, which is what was signed.
    """

    reference: Reference | None
    event_type: int | str | None
    notice_id: str
    at: int | None
    has_records: bool
    completes: bool
    payload: Mapping[str, JSON] = field(repr=False, compare=False)
    body: bytes = field(repr=False)

    def replay(self, **options: Unpack[ReplayOptions]) -> Report:
        """Replay what this notification itself holds: see `replay_notifications`."""
        return replay_notifications([self], **options)


def replay_notifications(notifications: Iterable[Notification], **options: Unpack[ReplayOptions]) -> Report:
    """Replay what several notifications of one session hold, as one trace. Nothing is fetched.

    Agora tells the words of a call in one notification and the times in another; Hubster tells each message by itself.
    One that came twice is told once, and equal notifications give equal ids, so that the ledger sends nothing again.
    (Agora's `notifyMs` is another each time, and the root tells it: leave out one whose `notice_id` you have met, or it
    makes a next revision.) It waits for the destination: in a coroutine, call it through `asyncio.to_thread`.

    Args:
        notifications: in the order in which they came.
        **options: of `otel_agent_events.replay`, but `session`, which is known.

    Returns:
        What became of the session, as `replay` tells it.

    Raises:
        UsageError: they are of several sessions, or name none, or there is none.
    """
    told = list(notifications)
    sessions = {each.reference for each in told}
    if len(sessions) > 1:
        names = ", ".join(sorted(str(each) if each is not None else "none" for each in sessions))
        raise UsageError(f"these notifications are of several sessions ({names}); replay those of one at a time")
    reference = next(iter(sessions), None)
    if reference is None:
        raise UsageError("no notification here names a session, so there is nothing to replay; look at its reference")
    return replay([b"\n".join(each.body for each in told)], session=reference, **options)


def parsed(body: bytes) -> Mapping[str, JSON]:
    """Read a body, which is JSON in UTF-8 and an object with every platform.

    Raises:
        WebhookError: it is something else; 400. The error is not chained, since the parser's one holds the body.
    """
    read: JSON = None
    try:
        read = json.loads(body.decode())
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise WebhookError("the body is signed, and is no JSON object", status=HTTPStatus.BAD_REQUEST)
    return read


def session(platform: str, *parts: JSON) -> Reference | None:
    """Give the session that a notification names; None when a part of its path is no text, or an empty one."""
    path = tuple(part for part in parts if isinstance(part, str) and part)
    return Reference(platform, path) if len(path) == len(parts) else None


def digest(body: bytes) -> str:
    """Give the id of a notification that has none: the same body has the same."""
    return hashlib.sha256(body).hexdigest()[:_DIGITS]
