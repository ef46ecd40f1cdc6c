"""Notifications as the platforms sign and send them, for tests."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

AGORA_SECRET = "agora-secret-of-the-console"
HUBSTER_KEY = "FA96D15568654A4482772E00BA941BCB"
NOW = 1_793_620_900.0
"""Seconds since 1970: when every notification of these tests comes."""

ENTRIES = [{"role": "user", "content": "A table for two."}, {"role": "assistant", "content": "For which day?"}]


def notified(
    event_type: int = 103, *, at: float = NOW, product: int = 17, notice: str = "n-1", **payload: Any
) -> bytes:
    """Give an Agora notification of one call; a history, when nothing else is said."""
    told = payload or {"contents": ENTRIES, "stop_ts": int(at)}
    body = {
        "noticeId": notice,
        "productId": product,
        "eventType": event_type,
        "notifyMs": int(at * 1000),
        "sid": "S1",
        "payload": {"agent_id": "1NT_called", "channel": "room5", "start_ts": int(at) - 60, **told},
    }
    return json.dumps(body).encode()


def signed(body: bytes, secret: str = AGORA_SECRET) -> dict[str, str]:
    """Give the headers with which Agora sends a body."""
    return {
        "Content-Type": "application/json",
        "Agora-Signature": hmac.new(secret.encode(), body, hashlib.sha1).hexdigest(),
        "Agora-Signature-V2": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
    }


def said(text: str = "Hello", *, at: float = NOW, by: str = "Customer", interaction: str = "i-1") -> dict[str, Any]:
    """Give a Hubster message."""
    other = "Bot" if by == "Customer" else "Customer"
    return {
        "type": "message",
        "eventTrigger": f"message:{by.lower()}",
        "eventId": int(at * 1000),
        "isEcho": False,
        "interactionId": interaction,
        "sender": {"integrationId": "i-a", "integrationType": by, "channelType": "WebChat"},
        "recipient": {"integrationId": "i-b", "integrationType": other, "channelType": "WebChat"},
        "message": {"type": "text", "text": text},
    }


def posted(*activities: Any, conversation: str = "c-1") -> bytes:
    """Give a Hubster webhook of a System integration."""
    body = {"hubId": "h-1", "tenantId": "t-1", "integrationId": "i-s", "conversationId": conversation}
    return json.dumps({**body, "activities": activities or [said()]}).encode()


def keyed(body: bytes, key: str = HUBSTER_KEY) -> dict[str, str]:
    """Give the headers with which Hubster sends a body."""
    digest = hmac.new(key.encode(), body, hashlib.sha256).digest()
    return {
        "x-hub-id": "h-1",
        "x-hubster-public-key": "3EF951F619CD4F5E820C73622C0F1A3C",
        "x-hubster-signature": base64.b64encode(digest).decode(),
    }
