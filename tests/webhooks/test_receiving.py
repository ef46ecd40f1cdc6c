"""What both receivers have in common: signatures, ages, sizes, odd bodies, and what an error never says."""

from __future__ import annotations

import inspect
import json
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agent_events import UsageError, WebhookError, replay
from otel_agent_events.webhooks import AgoraWebhook, HubsterWebhook, Notification
from otel_agent_events.webhooks.options import ReplayOptions
from tests.webhooks.signed import AGORA_SECRET, HUBSTER_KEY, NOW, keyed, notified, posted, said, signed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Platform:
    """One platform, as both are tested in the same way."""

    def __init__(  # noqa: PLR0917
        self,
        webhook: Callable[..., AgoraWebhook | HubsterWebhook],
        secret: str,
        sign: Callable[..., dict[str, str]],
        signature: str,
        made: Callable[[float], bytes],
        max_age: float,
    ) -> None:
        self.webhook = webhook
        self.secret = secret
        self.sign = sign
        self.signature = signature
        self.made = made
        self.max_age = max_age

    def receive(self, body: bytes, headers: Mapping[str, str] | None = None, **options: Any) -> Notification:
        """Let it be received at `NOW`; rightly signed, when no headers are given."""
        told = {"clock": lambda: NOW, **options}
        secret = told.pop("secret", self.secret)
        return self.webhook(secret, **told).receive(body, self.sign(body) if headers is None else headers)

    def refusal(self, body: bytes, headers: Mapping[str, str] | None = None, **options: Any) -> WebhookError:
        with pytest.raises(WebhookError) as caught:
            self.receive(body, headers, **options)
        return caught.value


def agora(secret: str | list[str], **options: Any) -> AgoraWebhook:
    return AgoraWebhook(secret, **{"app_id": "APP", **options})


AGORA = Platform(agora, AGORA_SECRET, signed, "Agora-Signature-V2", lambda at: notified(at=at), 300)
HUBSTER = Platform(
    HubsterWebhook, HUBSTER_KEY, keyed, "x-hubster-signature", lambda at: posted(said(at=at - 9), said(at=at)), 2400
)
BOTH = pytest.mark.parametrize("platform", [AGORA, HUBSTER], ids=["agora", "hubster"])


# --- signatures ---------------------------------------------------------------------------------------


@BOTH
def test_what_is_signed_rightly_is_received(platform: Platform) -> None:
    body = platform.made(NOW)

    notification = platform.receive(body)

    assert notification.body == body
    assert notification.payload == json.loads(body)


@BOTH
def test_the_case_of_a_header_says_nothing(platform: Platform) -> None:
    body = platform.made(NOW)
    headers = {name.swapcase(): value for name, value in platform.sign(body).items()}

    assert platform.receive(body, headers) == platform.receive(body)


@BOTH
@given(data=st.data())
def test_any_bit_of_the_body_that_is_another_is_refused(platform: Platform, data: st.DataObject) -> None:
    body = platform.made(NOW)
    bit = data.draw(st.integers(0, len(body) * 8 - 1))
    tampered = bytearray(body)
    tampered[bit // 8] ^= 1 << bit % 8

    assert platform.refusal(bytes(tampered), platform.sign(body)).status == 401


@BOTH
@given(data=st.data())
def test_any_bit_of_the_signature_that_is_another_is_refused(platform: Platform, data: st.DataObject) -> None:
    body = platform.made(NOW)
    signature = bytearray(platform.sign(body)[platform.signature].encode())
    bit = data.draw(st.integers(0, len(signature) * 8 - 1))
    signature[bit // 8] ^= 1 << bit % 8

    assert platform.refusal(body, {platform.signature: signature.decode("latin-1")}).status == 401


@BOTH
@given(signature=st.text())
def test_whatever_else_stands_for_a_signature_is_refused(platform: Platform, signature: str) -> None:
    assert platform.refusal(platform.made(NOW), {platform.signature: signature}).status == 401


@BOTH
def test_a_request_without_a_signature_is_refused_and_the_header_is_named(platform: Platform) -> None:
    refusal = platform.refusal(platform.made(NOW), {"Content-Type": "application/json"})

    assert refusal.status == 401
    assert f"no {platform.signature} header" in str(refusal)


@BOTH
def test_two_signatures_that_differ_are_refused_even_when_one_is_right(platform: Platform) -> None:
    body = platform.made(NOW)
    right = platform.sign(body)[platform.signature]

    refusal = platform.refusal(body, {platform.signature: right, platform.signature.upper(): "another"})

    assert refusal.status == 400
    assert platform.receive(body, {platform.signature: right, platform.signature.upper(): right}).payload


@BOTH
def test_another_secret_is_refused_and_the_message_says_what_to_check(platform: Platform) -> None:
    body = platform.made(NOW)

    one = platform.refusal(body, platform.sign(body, "another"))
    two = platform.refusal(body, platform.sign(body, "another"), secret=["old", "new"])

    assert (one.status, two.status) == (401, 401)
    assert "that is set: check that it is the one that" in str(one)
    assert "of the 2 that are set" in str(two)


@BOTH
def test_while_a_secret_is_replaced_both_are_taken(platform: Platform) -> None:
    body = platform.made(NOW)

    for secret in ("old", "new"):
        assert platform.receive(body, platform.sign(body, secret), secret=["old", "new"]).payload


@BOTH
def test_white_space_around_a_secret_is_none_of_it(platform: Platform) -> None:
    assert platform.receive(platform.made(NOW), secret=f" {platform.secret}\n").payload


@BOTH
@pytest.mark.parametrize("secret", ["", " \n", [], ["good", ""], "half \ud800", None, b"bytes", ["good", None]])
def test_a_secret_with_which_nothing_can_be_verified_is_refused_at_once(platform: Platform, secret: Any) -> None:
    with pytest.raises(UsageError) as caught:
        platform.webhook(secret)

    assert "half" not in str(caught.value)


@BOTH
def test_a_secret_stays_out_of_what_is_printed(platform: Platform) -> None:
    webhook = platform.webhook(platform.secret)

    assert platform.secret not in f"{webhook!r} {vars(webhook)!r}"


# --- ages ---------------------------------------------------------------------------------------------


@BOTH
def test_what_is_too_old_is_refused_as_one_that_somebody_kept(platform: Platform) -> None:
    young, old = platform.made(NOW - platform.max_age + 1), platform.made(NOW - platform.max_age - 1)

    refusal = platform.refusal(old)

    assert platform.receive(young).payload
    assert refusal.status == 403
    assert f"{platform.max_age + 1:.0f} s old" in str(refusal)
    assert "check the clock of this machine" in str(refusal)


@BOTH
def test_what_lies_ahead_is_refused_beyond_a_minute(platform: Platform) -> None:
    assert platform.receive(platform.made(NOW + 59)).payload

    refusal = platform.refusal(platform.made(NOW + 61))

    assert refusal.status == 403
    assert "61 s ahead" in str(refusal)


@BOTH
def test_the_most_age_is_yours_to_say(platform: Platform) -> None:
    assert platform.refusal(platform.made(NOW - 11), max_age=10).status == 403
    for at in (NOW - 10**8, NOW + 10**8):
        assert platform.receive(platform.made(at), max_age=None).payload


@BOTH
@pytest.mark.parametrize("max_age", [0, -1, float("nan"), float("inf")])
def test_an_age_that_is_none_is_refused_at_once(platform: Platform, max_age: float) -> None:
    with pytest.raises(UsageError, match="number of seconds above 0"):
        platform.webhook(platform.secret, max_age=max_age)


@pytest.mark.parametrize(
    ("platform", "body"),
    [
        *(
            (AGORA, json.dumps({"productId": 17, "notifyMs": told}))
            for told in (None, "1793620900000", True, -1, 1e300)
        ),
        (AGORA, '{"productId": 17}'),
        *((HUBSTER, json.dumps({"activities": [{"eventId": told}]})) for told in (None, "x", 0, True, 10**30)),
        (HUBSTER, '{"activities": []}'),
        (HUBSTER, '{"activities": [1, null]}'),
    ],
)
def test_what_has_no_time_is_refused_unless_any_age_will_do(platform: Platform, body: str) -> None:
    refusal = platform.refusal(body.encode())

    assert refusal.status == 403
    assert "does not say when it was made" in str(refusal)
    assert platform.receive(body.encode(), max_age=None).at is None


# --- bodies -------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'"text"', b"{", b"\xff\xfe", b"{}{}", b"[" * 100_000, b'{"a":' * 100_000, b"1" * 10_000],
    ids=lambda body: repr(body[:8]),
)
def test_what_is_signed_and_no_object_is_refused_with_400(platform: Platform, body: bytes) -> None:
    assert platform.refusal(body).status == 400


@BOTH
def test_an_object_that_is_something_else_is_refused_with_400(platform: Platform) -> None:
    assert platform.refusal(b'{"signed": "and nothing of theirs"}').status == 400


@BOTH
def test_a_body_that_is_too_large_is_refused_before_anything_else(platform: Platform) -> None:
    body = platform.made(NOW)

    refusal = platform.refusal(body, {}, max_bytes=len(body) - 1)

    assert refusal.status == 413
    assert platform.receive(body, max_bytes=len(body)).payload


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = (
    "productId", "eventType", "noticeId", "notifyMs", "payload", "agent_id", "contents",
    "conversationId", "activities", "activity", "eventId", "eventTrigger",
)  # fmt: skip
ODD = st.dictionaries(st.sampled_from(NAMES), JSON | st.dictionaries(st.sampled_from(NAMES), JSON), max_size=8)


@BOTH
@given(body=st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_webhook_error(platform: Platform, body: bytes) -> None:
    assert platform.refusal(body).status == 400
    assert platform.refusal(body, {platform.signature: ""}).status == 401


@BOTH
@given(body=ODD, product=st.sampled_from([{}, {"productId": 17}]), max_age=st.sampled_from([None, 10.0]))
def test_no_object_raises_anything_but_a_webhook_error(
    platform: Platform, body: dict[str, Any], product: dict[str, int], max_age: float | None
) -> None:
    told = json.dumps(body | product).encode()
    statuses = set()
    try:
        assert platform.receive(told, max_age=max_age).body == told
    except WebhookError as refusal:
        statuses.add(refusal.status)

    assert statuses <= {200, 400, 403}


# --- what is never said -------------------------------------------------------------------------------


@BOTH
def test_no_error_holds_the_secret_the_signature_or_the_body(platform: Platform) -> None:
    words = "words of the customer"
    bodies = {
        body: platform.sign(body)
        for body in (
            f'{{"{words}": '.encode(),
            f'"{words}"'.encode(),
            json.dumps({"productId": 17, "activities": [], "said": words}).encode(),
            json.dumps({"productId": words, "eventId": words}).encode(),
        )
    }
    tampered = {words.encode(): platform.sign(b"another body")}
    for body, headers in (bodies | tampered).items():
        refusal = platform.refusal(body, headers)
        told = "".join(traceback.format_exception(refusal)) + repr(vars(refusal))
        assert refusal.__context__ is None
        for secret in (words, platform.secret, headers[platform.signature]):
            assert secret not in told


@BOTH
def test_what_is_printed_of_a_notification_has_no_body(platform: Platform) -> None:
    body = platform.made(NOW)
    told = repr(platform.receive(body))

    assert "Hello" not in told
    assert "A table for two" not in told
    assert platform.sign(body)[platform.signature] not in told


def test_the_options_that_type_checkers_know_are_those_of_replay() -> None:
    options = inspect.signature(replay).parameters.items()

    told = {name: each.__forward_arg__ for name, each in ReplayOptions.__annotations__.items()}
    assert told == {name: each.annotation for name, each in options if name not in {"references", "session"}}
