from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_events import ForeignProductError, Reference, UsageError, WebhookError, replay
from otel_agent_events.times import MILLISECOND
from otel_agent_events.webhooks import AgoraWebhook, Notification, replay_notifications
from tests.otlp.collectors import http_collector
from tests.traces import DATA
from tests.webhooks.signed import AGORA_SECRET, ENTRIES, NOW, notified, signed

if TYPE_CHECKING:
    from pathlib import Path

TURN = {
    "turn_id": 1,
    "start": {"start_at": int(NOW * 1000) - 9000, "type": "voice_input"},
    "end": {"end_at": int(NOW * 1000) - 5000, "type": "ok"},
}
CALL = Reference("agora", ("APP", "1NT_called"))


def received(body: bytes, headers: dict[str, str] | None = None, **options: Any) -> Notification:
    webhook = AgoraWebhook(AGORA_SECRET, **{"app_id": "APP", "clock": lambda: NOW, **options})
    return webhook.receive(body, signed(body) if headers is None else headers)


def spans(path: Path) -> list[dict[str, Any]]:
    return [
        span
        for line in path.read_text(encoding="utf-8").splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


# --- what it says -------------------------------------------------------------------------------------


def test_a_history_names_its_call_and_completes_it() -> None:
    notification = received(notified(103))

    assert notification.reference == CALL
    assert str(notification.reference) == "agora:APP/1NT_called"
    assert (notification.event_type, notification.notice_id) == (103, "n-1")
    assert notification.at == int(NOW * 1000) * MILLISECOND
    assert (notification.has_records, notification.completes) == (True, True)
    assert notification.payload["payload"]["contents"] == ENTRIES


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (notified(101, channel="room5"), set()),
        (notified(102, status="STOPPED"), {"completes"}),
        (notified(103), {"has_records", "completes"}),
        (notified(103, contents=[]), {"completes"}),
        (notified(104, channel="room5"), set()),
        (notified(110, errors=[{"module": "llm"}]), {"has_records"}),
        (notified(111, metrics=[{"turn_id": 1}]), set()),
        (notified(112, turns=[TURN]), {"has_records"}),
        (notified(201, state="ringing"), set()),
    ],
    ids=lambda told: str(json.loads(told)["eventType"]) if isinstance(told, bytes) else "",
)
def test_each_type_says_whether_it_has_records_and_whether_the_call_is_over(body: bytes, told: set[str]) -> None:
    notification = received(body)

    assert {name for name in ("has_records", "completes") if getattr(notification, name)} == told
    assert notification.reference == CALL


def test_a_number_may_come_as_a_float() -> None:
    body = notified(103).replace(b'"eventType": 103', b'"eventType": 103.0').replace(b": 17,", b": 17.0,")

    assert received(body).event_type == 103


def test_the_id_stays_when_it_is_sent_again() -> None:
    first, again = notified(103, at=NOW), notified(103, at=NOW + 20)

    assert received(first).notice_id == received(again).notice_id
    assert received(first).at != received(again).at


@pytest.mark.parametrize("notice", [None, "", 7])
def test_without_an_id_the_body_gives_one(notice: Any) -> None:
    body = json.dumps({**json.loads(notified(103)), "noticeId": notice}).encode()

    assert received(body).notice_id == received(body).notice_id
    assert len(received(body).notice_id) == 32
    assert received(body).notice_id != received(body + b" ").notice_id


@pytest.mark.parametrize("payload", [None, [], "text", {}, {"agent_id": ""}, {"agent_id": 7}])
def test_one_that_names_no_agent_is_received_and_is_of_no_session(payload: Any) -> None:
    body = json.dumps({**json.loads(notified(103)), "payload": payload}).encode()

    notification = received(body)

    assert (notification.reference, notification.has_records) == (None, False)
    with pytest.raises(UsageError, match="names a session, so there is nothing to replay"):
        notification.replay()


# --- other products -----------------------------------------------------------------------------------


@pytest.mark.parametrize("product", [1, 3, 18.0])
def test_a_notification_of_another_product_is_refused_and_answered_with_200(product: float) -> None:
    with pytest.raises(ForeignProductError, match=f"is of product {int(product)}, and those of agents") as caught:
        received(notified(103).replace(b'"productId": 17', f'"productId": {product}'.encode()))

    assert caught.value.status == 200


@pytest.mark.parametrize("product", ["17", None, True, 17.5])
def test_a_product_that_is_no_number_is_of_no_notification(product: Any) -> None:
    body = json.dumps({**json.loads(notified(103)), "productId": product}).encode()

    with pytest.raises(WebhookError, match="no notification of Agora") as caught:
        received(body)

    assert caught.value.status == 400


def test_another_product_is_told_apart_only_once_its_signature_is_good() -> None:
    with pytest.raises(WebhookError) as caught:
        received(notified(103, product=1), signed(b"another"))

    assert caught.value.status == 401


def test_an_old_one_of_another_product_is_over_as_well() -> None:
    with pytest.raises(ForeignProductError):
        received(notified(103, product=1, at=NOW - 10**6))


# --- SHA-1 --------------------------------------------------------------------------------------------


def test_the_weaker_signature_alone_is_refused_unless_it_is_allowed() -> None:
    body = notified()
    weak = {"Agora-Signature": signed(body)["Agora-Signature"]}

    with pytest.raises(WebhookError, match="no Agora-Signature-V2 header") as caught:
        received(body, weak)

    assert caught.value.status == 401
    assert received(body, weak, allow_sha1=True).reference == CALL


def test_the_weaker_signature_does_not_stand_in_for_a_better_one_that_is_wrong() -> None:
    body = notified()
    headers = signed(body) | {"Agora-Signature-V2": signed(b"another")["Agora-Signature-V2"]}

    with pytest.raises(WebhookError) as caught:
        received(body, headers, allow_sha1=True)

    assert caught.value.status == 401


def test_a_wrong_weaker_signature_is_refused_when_it_is_allowed() -> None:
    with pytest.raises(WebhookError) as caught:
        received(notified(), {"Agora-Signature": signed(b"another")["Agora-Signature"]}, allow_sha1=True)

    assert caught.value.status == 401


def test_a_signature_is_what_openssl_makes_of_secret_and_body() -> None:
    # Made with `openssl dgst -sha256 -hmac agora-secret-of-the-console` of the body.
    body = b'{"eventMs":1560408533119,"eventType":10,"noticeId":"4eb720f0","notifyMs":1560408533119,"productId":1}'
    headers = {"Agora-Signature-V2": "a1281a77a805c35d30a619269d4b61d0b3012eb7a1e4f667d3ac336b1348ce9e"}

    with pytest.raises(ForeignProductError):
        received(body, headers)


# --- to replay ----------------------------------------------------------------------------------------


def test_a_history_is_replayed_as_it_came(here: Path) -> None:
    report = received(notified(103)).replay(to=["file:out.jsonl"])

    (session,) = report.sessions
    assert report.exit_code == 0
    assert (session.reference, session.events) == ("agora:APP/1NT_called", 2)
    assert [span["name"] for span in spans(here / "out.jsonl")] == ["user_message", "agent_output", "invoke_agent"]


def test_words_and_times_come_together_when_both_notifications_are_there(here: Path) -> None:
    both = [received(notified(103)), received(notified(112, notice="n-2", turns=[TURN], is_truncated=False))]

    report = replay_notifications(both, to=["file:out.jsonl"])

    user, agent, _ = spans(here / "out.jsonl")
    assert report.sessions[0].events == 2
    assert user["startTimeUnixNano"] == agent["startTimeUnixNano"] == str((int(NOW * 1000) - 9000) * MILLISECOND)
    assert agent["endTimeUnixNano"] == str((int(NOW * 1000) - 5000) * MILLISECOND)


def test_it_is_the_same_trace_as_that_of_the_stored_file(here: Path) -> None:
    told = [json.dumps(each).encode() for each in json.loads((DATA / "agora" / "notifications.json").read_bytes())]
    of_the_call = [each for each in told if json.loads(each)["productId"] == 17]
    (here / "call.jsonl").write_bytes(b"\n".join(of_the_call))

    notifications = [received(each, max_age=None) for each in of_the_call]
    named = [each for each in notifications if each.reference is not None]
    replay_notifications(named, to=["file:received"])
    replay(["call.jsonl"], session="agora:APP/1NT_notified", to=["file:stored"])

    assert len(named) == len(notifications)
    assert (here / "received").read_bytes() == (here / "stored").read_bytes()


def test_the_same_notification_gives_the_same_ids_and_the_ledger_sends_nothing() -> None:
    with http_collector() as collector:
        first = received(notified(103)).replay(endpoint=collector.url)
        again = received(notified(103)).replay(endpoint=collector.url)

    assert first.sessions[0].acknowledged == len(collector.spans) == 3
    assert first.sessions[0].trace_id == again.sessions[0].trace_id
    assert (again.sessions[0].made, again.sessions[0].unchanged) == (0, True)


def test_one_that_is_sent_again_is_told_once_beside_the_first_one(here: Path) -> None:
    first, again = received(notified(103)), received(notified(103, at=NOW + 20, contents=ENTRIES, stop_ts=int(NOW)))

    report = replay_notifications([first, again], to=["file:out.jsonl"])

    assert (report.sessions[0].events, report.sessions[0].duplicates) == (2, 1)
    assert len(spans(here / "out.jsonl")) == 3


def test_notifications_of_two_calls_are_not_one_trace() -> None:
    one, other = received(notified(103)), received(notified(103, agent_id="1NT_other", contents=ENTRIES))

    with pytest.raises(UsageError, match=r"several sessions \(agora:APP/1NT_called, agora:APP/1NT_other\)"):
        replay_notifications([one, other])
    with pytest.raises(UsageError, match="names a session"):
        replay_notifications([])


def test_the_app_id_has_to_be_named_since_no_notification_does() -> None:
    with pytest.raises(UsageError, match="App ID is empty"):
        AgoraWebhook(AGORA_SECRET, app_id="")
