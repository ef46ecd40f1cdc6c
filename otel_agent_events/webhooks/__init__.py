"""Notifications that platforms send: verify them, read them, and hand their sessions to replay.

- `AgoraWebhook` and `HubsterWebhook` take the body and the headers of a request, and give a `Notification`; what is not
  signed as it must be, or too old, is a `WebhookError` with the status to answer.
- A `Notification` names its session, and replays what it holds.
- `replay_notifications` makes one trace of several notifications of a session.

There is no server in here: `examples/webhooks` has one.
"""

from otel_agent_events.webhooks.agora import AgoraWebhook
from otel_agent_events.webhooks.hubster import HubsterWebhook
from otel_agent_events.webhooks.notification import Notification, replay_notifications

__all__ = ["AgoraWebhook", "HubsterWebhook", "Notification", "replay_notifications"]
