"""A user's program that takes the notifications of platforms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_type

from otel_agent_events import ForeignProductError, Reference, Report, WebhookError
from otel_agent_events.events import JSON
from otel_agent_events.webhooks import AgoraWebhook, HubsterWebhook, Notification, replay_notifications


def receivers(secret: str) -> tuple[AgoraWebhook, HubsterWebhook]:
    """Give every option, most of them as something else than the default."""
    return (
        AgoraWebhook(
            [secret, "old"], app_id="APPID", max_age=None, max_bytes=1000, allow_sha1=True, clock=lambda: 1.8e9
        ),
        HubsterWebhook(secret, max_age=60, max_bytes=1000, clock=lambda: 1.8e9),
    )


def status(webhook: AgoraWebhook | HubsterWebhook, body: bytes, headers: Mapping[str, str]) -> int:
    """Answer a request, and replay what it holds."""
    try:
        notification = webhook.receive(body, headers)
    except ForeignProductError:
        return 200
    except WebhookError as refusal:
        assert_type(refusal.status, int)
        return refusal.status
    assert_type(notification, Notification)
    if notification.completes and notification.has_records:
        report = notification.replay(content="scrubbed", endpoint="http://localhost:4318", turns=True)
        assert_type(report, Report)
    return 200


def at_once(notifications: list[Notification]) -> int:
    """Replay several, and look at what each says."""
    for each in notifications:
        assert_type(each.reference, Reference | None)
        assert_type(each.event_type, int | str | None)
        assert_type(each.notice_id, str)
        assert_type(each.at, int | None)
        assert_type(each.payload, Mapping[str, JSON])
        assert_type(each.body, bytes)
    return replay_notifications(notifications, to=["file:out.jsonl"], ledger="off").exit_code
