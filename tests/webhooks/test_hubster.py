from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_events import Reference, UsageError, replay
from otel_agent_events.times import MILLISECOND
from otel_agent_events.webhooks import HubsterWebhook, Notification, replay_notifications
from tests.traces import DATA
from tests.webhooks.signed import HUBSTER_KEY, NOW, keyed, posted, said

if TYPE_CHECKING:
    from pathlib import Path


def received(body: bytes, headers: dict[str, str] | None = None, **options: Any) -> Notification:
    webhook = HubsterWebhook(HUBSTER_KEY, **{"clock": lambda: NOW, **options})
    return webhook.receive(body, keyed(body) if headers is None else headers)


def test_a_webhook_names_its_conversation_and_never_completes_it() -> None:
    notification = received(posted(said(at=NOW - 5), said(at=NOW - 2), said(at=NOW - 4)))

    assert notification.reference == Reference("hubster", ("c-1",))
    assert notification.event_type == "message:customer"
    assert notification.at == int((NOW - 2) * 1000) * MILLISECOND
    assert (notification.has_records, notification.completes) == (True, False)
    assert len(notification.payload["activities"]) == 3


def test_a_direct_integration_gets_one_activity() -> None:
    body = json.dumps({"conversationId": "c-1", "activity": said(by="Bot")}).encode()

    notification = received(body)

    assert (notification.event_type, notification.has_records) == ("message:bot", True)


@pytest.mark.parametrize(
    "activities", [[said(), said(by="Bot")], [said(), {**said(), "eventTrigger": None}], [{"eventId": int(NOW * 1000)}]]
)
def test_activities_of_several_triggers_have_no_type_in_common(activities: list[Any]) -> None:
    assert received(posted(*activities)).event_type is None


def test_the_body_is_the_same_when_it_is_sent_again_and_so_is_its_id() -> None:
    assert received(posted()).notice_id == received(posted()).notice_id
    assert received(posted()).notice_id != received(posted(said("Bye"))).notice_id


def test_the_last_of_six_attempts_is_not_too_old() -> None:
    waited = 60 * (0 + 2 + 4 + 6 + 8 + 10) + 6 * 10

    assert received(posted(said(at=NOW - waited))).payload


@pytest.mark.parametrize("conversation", [None, "", 7])
def test_one_that_names_no_conversation_is_of_no_session_whatever_its_headers_say(conversation: Any) -> None:
    body = posted(conversation=conversation)

    notification = received(body, keyed(body) | {"x-conversation-id": "c-1"})

    assert notification.reference is None
    with pytest.raises(UsageError, match="nothing to replay"):
        notification.replay()


def test_a_signature_is_what_openssl_makes_of_key_and_body() -> None:
    # `openssl dgst -sha256 -hmac FA96D15568654A4482772E00BA941BCB -binary | base64` of the body.
    body = b'{"conversationId":"c-1","activities":[]}'

    assert received(
        body, {"X-Hubster-Signature": "uX2iCo7nwAirn+RzC9IP8ftKVR0rW7clKUQIrc21uF0="}, max_age=None
    ).reference


def test_a_signature_without_its_padding_is_none() -> None:
    signature = keyed(posted())["x-hubster-signature"]

    assert base64.b64decode(signature)
    with pytest.raises(Exception, match="was not made of this body"):
        received(posted(), {"x-hubster-signature": signature.rstrip("=")})


def test_what_several_webhooks_bring_is_one_trace_and_the_same_as_that_of_the_stored_file(here: Path) -> None:
    stored = json.loads((DATA / "hubster" / "webhooks.json").read_bytes())
    (here / "stored.json").write_text(json.dumps(stored), encoding="utf-8")

    notifications = [received(json.dumps(each).encode(), max_age=None) for each in stored]
    report = replay_notifications(notifications, to=["file:received"])
    replay(["stored.json"], to=["file:stored"])

    assert report.exit_code == 0
    assert (report.sessions[0].reference, report.sessions[0].events) == ("hubster:webhooks", 3)
    assert (here / "received").read_bytes() == (here / "stored").read_bytes()
