from __future__ import annotations

import logging
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from google.protobuf import any_pb2
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from otel_agent_events.errors import RefusedError, UnreachableError, UsageError
from otel_agent_events.otlp import Endpoint, Outcome, bounds, connect
from otel_agent_events.otlp.http import (
    MOST_ANSWER,
    Answer,
    HttpTransport,
    find_trouble,
    judge,
)
from otel_agent_events.otlp.send import Sender
from otel_agent_events.otlp.verdicts import (
    Acknowledged,
    DestinationRefused,
    Malformed,
    Refused,
    Retry,
    TooLarge,
    Unreachable,
    Verdict,
)
from tests.otlp.bodies import HEAD, Clock, bodies, counted, ids, messages
from tests.otlp.collectors import (
    Certificates,
    HttpReply,
    free_port,
    grpc_collector,
    http_collector,
    http_proxy,
    make_certificates,
    partial,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOW = 1_700_000_000.0
ENDPOINT = Endpoint(url="http://collector:4318/v1/traces", headers={"authorization": "Bearer s3cret-token"})
PROTOBUF = "application/x-protobuf"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def verdict(status: int, body: bytes = b"", content_type: str = PROTOBUF, **options: Any) -> Verdict:
    return judge(Answer(status=status, body=body, content_type=content_type, **options), ENDPOINT, now=NOW)


# --- what an answer means, without a server -----------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", PROTOBUF),
        (b"", "text/html"),
        (b"", ""),
        (partial(0), PROTOBUF),
        (b"{}", "application/json"),
        (b'{"partialSuccess":{}}', "application/json; charset=utf-8"),
        (b'{"partialSuccess":{}}', "text/plain"),
        (b'{"partialSuccess":null}', "application/json"),
    ],
)
def test_200_with_an_empty_response_is_an_acknowledgement(body: bytes, content_type: str) -> None:
    assert verdict(200, body, content_type) == Acknowledged()


@pytest.mark.parametrize("status", [202, 204])
def test_every_2xx_is_read_like_200(status: int) -> None:
    assert verdict(status) == Acknowledged()
    assert isinstance(verdict(status, b"<html>", "text/html"), DestinationRefused)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (partial(2, "span  without\nname"), PROTOBUF),
        (b'{"partialSuccess":{"rejectedSpans":"2","errorMessage":"span without name"}}', "application/json"),
    ],
)
def test_rejected_spans_are_counted_with_the_words_of_the_server(body: bytes, content_type: str) -> None:
    assert verdict(200, body, content_type) == Acknowledged(rejected=2, message="span without name")


def test_a_message_without_rejected_spans_is_a_warning() -> None:
    assert verdict(200, partial(0, "old schema")) == Acknowledged(rejected=0, message="old schema")


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (b"<html><style>p{}</style><body>Please <b>log in</b></body></html>", "text/html", ": it says 'Please log in'"),
        (b"OK", "text/plain", ": it says 'OK'"),
        (b'{"status":"ok"}', "application/json", """: it says '{"status":"ok"}'"""),
        (b"[1]", "application/json", ": it says '[1]'"),
        (b"not json", "application/json", ": it says 'not json'"),
        (b"\xff\xff", "application/json", ": it says '\ufffd\ufffd'"),
        (b"[" * 100_000, "application/json", f": it says '{'[' * 299}…'"),
        (b"<html>", PROTOBUF, ": it says '<html>'"),
        (b"\n\xff", "", ": it says '\ufffd'"),
    ],
)
def test_200_from_something_else_is_no_acknowledgement(body: bytes, content_type: str, words: str) -> None:
    assert verdict(200, body, content_type) == DestinationRefused(
        message="http://collector:4318/v1/traces answered 200, but this does not look like an OTLP receiver"
        f"{words}. OTLP over HTTP takes traces at the path /v1/traces, usually on port 4318"
    )


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_names_its_target_without_its_secrets(status: int) -> None:
    answer = verdict(status, location="https://ann:pass@login.example.org/in?state=hidden#top")

    assert answer == DestinationRefused(
        message=f"http://collector:4318/v1/traces answered {status} and points to https://login.example.org/in. "
        "Spans are not sent on to another address: if that is the one, give it as the endpoint"
    )


@pytest.mark.parametrize(
    ("location", "place"), [(None, "nowhere"), ("/other", "/other"), ("http://[::1", "no address"), ("?x=1", "")]
)
def test_a_redirect_to_no_full_address_is_told_all_the_same(location: str | None, place: str) -> None:
    answer = verdict(304, location=location)

    assert isinstance(answer, DestinationRefused)
    assert f"and points to {place}. " in answer.message


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (401, "Check the credentials in --header or OTEL_EXPORTER_OTLP_HEADERS"),
        (403, "Check the credentials in --header or OTEL_EXPORTER_OTLP_HEADERS"),
        (404, "OTLP over HTTP takes traces at the path /v1/traces; port 4317 is gRPC: set the protocol grpc"),
        (405, "OTLP over HTTP takes traces at the path /v1/traces; port 4317 is gRPC: set the protocol grpc"),
        (407, "The proxy on the way asks for credentials"),
    ],
)
def test_what_concerns_every_batch_refuses_the_destination_with_a_hint(status: int, hint: str) -> None:
    assert verdict(status, b"no", "text/plain") == DestinationRefused(
        message=f"http://collector:4318/v1/traces answered {status}: it says 'no'. {hint}"
    )


@pytest.mark.parametrize(
    ("compression", "hint"),
    [
        ("none", "It does not take protobuf"),
        ("gzip", "It does not take protobuf with gzip; OTEL_EXPORTER_OTLP_COMPRESSION=none sends it without"),
    ],
)
def test_a_content_type_that_is_not_taken_refuses_the_destination(compression: Any, hint: str) -> None:
    endpoint = Endpoint(url="http://collector:4318/v1/traces", compression=compression)

    assert judge(Answer(status=415), endpoint, now=NOW) == DestinationRefused(
        message=f"http://collector:4318/v1/traces answered 415. {hint}"
    )


@pytest.mark.parametrize("status", [408, 500, 501, 505, 599, 600])
def test_other_errors_refuse_the_batch_and_are_not_tried_again(status: int) -> None:
    assert verdict(status) == Refused(message=f"http://collector:4318/v1/traces answered {status}")


@pytest.mark.parametrize("status", [400, 422])
def test_a_malformed_request_is_told_from_one_that_is_too_large(status: int) -> None:
    said = f"http://collector:4318/v1/traces answered {status}"

    assert verdict(status) == Malformed(message=said)
    assert verdict(status, b"http: request body too large", "text/plain") == TooLarge(
        message=f"{said}: it says 'http: request body too large'"
    )
    assert verdict(413) == TooLarge(message="http://collector:4318/v1/traces answered 413")


@pytest.mark.parametrize("status", [429, 500])
def test_what_a_server_passes_on_about_the_size_is_told_from_what_passes(status: int) -> None:
    words = b"rpc error: code = ResourceExhausted desc = grpc: received message larger than max (9 vs. 8)"

    assert isinstance(verdict(status, words, "text/plain"), TooLarge)
    assert not isinstance(verdict(status, b"over quota", "text/plain"), TooLarge)
    assert isinstance(verdict(429, words, "text/plain", retry_after="3"), Retry)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_passes_is_tried_again_when_the_server_says(status: int) -> None:
    message = f"http://collector:4318/v1/traces answered {status}"

    assert verdict(status) == Retry(message=message)
    assert verdict(status, retry_after="30") == Retry(message=message, after=30.0)
    assert verdict(status, retry_after=formatdate(NOW + 7, usegmt=True)) == Retry(message=message, after=7.0)
    assert verdict(status, retry_after="soon") == Retry(message=message)


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (Status(code=3, message="bad span").SerializeToString(), PROTOBUF, ": it says 'bad span'"),
        (Status(code=3, details=[any_pb2.Any()]).SerializeToString(), PROTOBUF, ""),
        (b'{"code":3,"message":"bad span"}', "application/json", ": it says 'bad span'"),
        (b'{"message":["bad"]}', "application/json", """: it says '{"message":["bad"]}'"""),
        (b'["bad"]', "application/json", """: it says '["bad"]'"""),
        (b"bad span", "application/json", ": it says 'bad span'"),
        (b"bad span", PROTOBUF, ": it says 'bad span'"),
        (b"<h1>400</h1>bad <i>span</i>", "text/html; charset=utf-8", ": it says '400 bad span'"),
        (b"bad\xffspan", "text/plain", ": it says 'bad\ufffdspan'"),
        (b"the token s3cret-token is old", "text/plain", ": it says 'the token **** is old'"),
        (b"x" * 400, "text/plain", f": it says '{'x' * 299}…'"),
    ],
)
def test_the_words_of_a_server_are_found_in_any_body(body: bytes, content_type: str, words: str) -> None:
    assert verdict(400, body, content_type) == Malformed(message=f"http://collector:4318/v1/traces answered 400{words}")


def test_trouble_without_words_is_told_by_its_name() -> None:
    assert find_trouble(httpx.ReadError("")).detail == "ReadError"


# --- over the loopback --------------------------------------------------------------------------------


def send(
    endpoint: Endpoint, clock: Clock | None = None, count: int = 3, size: int = 5, **options: Any
) -> tuple[list[Outcome], Sender]:
    """Send some spans; return the outcomes and the destination."""
    clock = clock or Clock()
    transport = HttpTransport(endpoint, now=lambda: NOW)
    sender = Sender(transport, name=endpoint.name, sleep=clock.sleep, clock=clock, draw=lambda: 0.5, **options)
    sender.put(HEAD, bodies(count, size=size))
    sender.close()
    return sender.outcomes(), sender


def counts(outcomes: list[Outcome]) -> tuple[int, int, int]:
    total = counted(outcomes)
    return total.acknowledged, total.rejected, total.lost


def said(outcomes: list[Outcome]) -> str | None:
    """Return the one sentence of the outcomes, if there is one."""
    told = messages(outcomes)
    assert len(told) <= 1
    return told[0] if told else None


def test_a_request_is_a_post_of_protobuf_with_our_headers() -> None:
    with http_collector() as collector:
        outcome, _ = send(Endpoint(url=collector.url, headers={"X-Tenant": "blue", "Content-Type": "text/plain"}))
        (request,) = collector.requests

    assert counts(outcome) == (3, 0, 0)
    assert collector.ids == ids(3)
    assert request.path == "/v1/traces"
    assert request.headers["content-type"] == PROTOBUF
    assert request.headers["x-tenant"] == "blue"
    assert request.headers["user-agent"].startswith("otel-agent-events/")
    assert "content-encoding" not in request.headers


def test_a_user_agent_of_ones_own_is_kept() -> None:
    with http_collector() as collector:
        send(Endpoint(url=collector.url, headers={"User-Agent": "mine"}))

    assert collector.requests[0].headers["user-agent"] == "mine"


def test_gzip_is_decompressed_by_the_server_into_the_same_spans() -> None:
    with http_collector() as collector:
        send(Endpoint(url=collector.url, compression="gzip"), count=50)
        (request,) = collector.requests

    assert request.headers["content-encoding"] == "gzip"
    assert int(request.headers["content-length"]) < request.size / 3
    assert collector.ids == ids(50)


def test_a_query_reaches_the_server_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    with http_collector() as collector, caplog.at_level(logging.DEBUG):
        url = collector.url.replace("//", "//ann:s3cret@") + "?key=s3%20cret"
        outcome, destination = send(Endpoint(url=url, headers={"x-key": "s3cret-key"}))

    (request,) = collector.requests
    assert request.path == "/v1/traces?key=s3%20cret"
    assert request.headers["authorization"] == "Basic YW5uOnMzY3JldA=="
    assert outcome[0].destination == destination.name == collector.url
    assert "HTTP Request: POST" in caplog.text
    assert "s3" not in caplog.text
    assert "ann" not in caplog.text


def test_one_connection_serves_all_requests() -> None:
    with http_collector() as collector:
        destination = connect(Endpoint(url=collector.url))
        for number in range(1, 4):
            destination.put(HEAD, bodies(1, start=number))
            destination.flush()
        destination.close()

    assert len(collector.requests) == 3


@pytest.mark.parametrize(
    ("reply", "expected", "words"),
    [
        (HttpReply(), (3, 0, 0), None),
        (HttpReply(body=partial(2, "no name")), (1, 2, 0), "no name"),
        (HttpReply(body=partial(0, "old schema")), (3, 0, 0), "old schema"),
        (HttpReply(body=b'{"partialSuccess":{}}', content_type="application/json"), (3, 0, 0), None),
        (HttpReply(status=500, body=b"oops", content_type="text/plain"), (0, 0, 3), "answered 500: it says 'oops'"),
        (HttpReply(status=501), (0, 0, 3), "answered 501"),
    ],
)
def test_an_answer_about_one_batch(reply: HttpReply, expected: tuple[int, int, int], words: str | None) -> None:
    clock = Clock()
    with http_collector(reply) as collector:
        outcome, destination = send(Endpoint(url=collector.url), clock)

    assert counts(outcome) == expected
    assert (said(outcome) is None) == (words is None)
    assert (words or "") in (said(outcome) or "")
    assert destination.failure is None
    assert clock.slept == []
    assert len(collector.requests) == 1


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (HttpReply(status=302, headers={"location": "https://login.example.org/?x=1"}), "points to https://login.exam"),
        (HttpReply(status=401), "answered 401. Check the credentials in --header"),
        (HttpReply(status=403), "answered 403. Check the credentials in --header"),
        (HttpReply(status=404), "answered 404. OTLP over HTTP takes traces at the path /v1/traces"),
        (HttpReply(body=b"<html>Welcome</html>", content_type="text/html"), "does not look like an OTLP receiver"),
    ],
)
def test_an_answer_that_concerns_every_batch_is_a_failure(reply: HttpReply, words: str) -> None:
    with http_collector(reply) as collector:
        outcome, destination = send(Endpoint(url=collector.url))
        destination.put(HEAD, bodies(1, start=4), first=3)

    assert counts(outcome) == (0, 0, 3)
    assert isinstance(destination.failure, RefusedError)
    assert words in str(destination.failure)
    assert said(outcome) == str(destination.failure)
    assert [each.lost for each in destination.outcomes()] == [1]
    assert len(collector.requests) == 1


def test_a_redirect_is_not_followed() -> None:
    with http_collector() as other:
        with http_collector(HttpReply(status=307, headers={"location": other.url})) as collector:
            outcome, destination = send(Endpoint(url=collector.url))

        assert counts(outcome) == (0, 0, 3)
        assert f"points to {other.url}. " in str(destination.failure)
        assert other.requests == []


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_passes_is_tried_again_until_it_is_taken(status: int) -> None:
    clock = Clock()
    replies = [
        HttpReply(status=status),
        HttpReply(status=status, headers={"Retry-After": "9"}),
        HttpReply(status=status, headers={"Retry-After": formatdate(NOW + 3, usegmt=True)}),
    ]
    with http_collector(*replies) as collector:
        outcome, _ = send(Endpoint(url=collector.url), clock)

    assert counts(outcome) == (3, 0, 0)
    assert clock.slept == [0.5, 9.0, 3.0]
    assert len(collector.requests) == 4
    assert collector.ids == ids(3)


def test_a_server_that_stays_busy_loses_the_batch_with_its_words() -> None:
    busy = HttpReply(status=503, body=b"over quota", content_type="text/plain")
    with http_collector(answer=lambda _: busy) as collector:
        outcome, destination = send(Endpoint(url=collector.url), deadline=3.0)

    assert counts(outcome) == (0, 0, 3)
    assert said(outcome) == (
        f"{collector.url} answered 503: it says 'over quota'; "
        "given up after 4 tries in 3 s (--deadline gives it longer)"
    )
    assert isinstance(destination.failure, RefusedError)
    assert collector.spans == []


def test_no_credential_is_in_what_a_server_repeats() -> None:
    words = b"no access with Bearer s3cret-token (s3cret-token)"
    with http_collector(HttpReply(status=403, body=words, content_type="text/plain")) as collector:
        outcome, destination = send(Endpoint(url=collector.url, headers={"Authorization": "Bearer s3cret-token"}))

    assert "it says 'no access with **** (****)'" in str(destination.failure)
    assert "s3cret" not in repr(outcome) + repr(destination.failure) + repr(destination)


def test_nobody_listening_is_told_after_a_quarter_of_a_minute() -> None:
    clock = Clock()
    outcome, destination = send(Endpoint(url=f"http://127.0.0.1:{free_port()}/v1/traces"), clock)

    assert counts(outcome) == (0, 0, 3)
    assert isinstance(destination.failure, UnreachableError)
    assert str(destination.failure).startswith("nobody listens at http://127.0.0.1:")
    assert clock.now == 15.0


@pytest.mark.parametrize("host", ["collector.invalid", "a" * 70])
def test_a_host_that_nobody_knows_is_told(host: str) -> None:
    _, destination = send(Endpoint(url=f"http://{host}:4318/v1/traces"))

    assert isinstance(destination.failure, UnreachableError)
    assert "cannot be found: no host is known by that name" in str(destination.failure)


def test_a_grpc_port_is_told_apart() -> None:
    with grpc_collector() as collector:
        _, destination = send(Endpoint(url=f"{collector.url}/v1/traces"))

    assert isinstance(destination.failure, UnreachableError)
    assert "does not speak HTTP" in str(destination.failure)
    assert "Port 4317 is gRPC: set the protocol grpc" in str(destination.failure)


@pytest.mark.parametrize(
    "reply", [HttpReply(pause=0.5, body=b"x"), HttpReply(pause=0.12, body=(b"a", b"b", b"c", b"d", b"e"))]
)
def test_a_server_that_does_not_finish_in_time_is_told_with_the_unit_of_the_variable(reply: HttpReply) -> None:
    with http_collector(answer=lambda _: reply) as collector:
        _, destination = send(Endpoint(url=collector.url, timeout=0.3), deadline=0.1)

    assert isinstance(destination.failure, UnreachableError)
    assert "did not answer within 0.3 s. OTEL_EXPORTER_OTLP_TIMEOUT is in milliseconds" in str(destination.failure)


@pytest.mark.parametrize("encrypted", [False, True])
def test_an_answer_that_comes_a_byte_at_a_time_has_one_time_in_all(
    certificates: Certificates,
    encrypted: bool,  # noqa: FBT001
) -> None:
    reply = HttpReply(drip=0.05)  # its headers have more than a hundred bytes
    begun = time.monotonic()
    with http_collector(answer=lambda _: reply, certificates=certificates if encrypted else None) as collector:
        endpoint = Endpoint(url=collector.url, timeout=0.3, certificate=certificates.authority if encrypted else None)
        _, destination = send(endpoint, deadline=0.1)
        seconds = time.monotonic() - begun

    assert isinstance(destination.failure, UnreachableError)
    assert "did not answer within 0.3 s" in str(destination.failure)
    assert seconds < 2.0


def test_a_proxy_that_answers_a_byte_at_a_time_has_one_time_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = time.monotonic()
    with http_collector(answer=lambda _: HttpReply(drip=0.05)) as slow:
        put_proxy(monkeypatch, slow.url.removesuffix("/v1/traces"))
        _, destination = send(Endpoint(url="http://127.0.0.1:9/v1/traces", timeout=0.3), deadline=0.1)
        seconds = time.monotonic() - begun

    assert "did not answer within 0.3 s" in str(destination.failure)
    assert seconds < 2.0


def test_a_request_that_takes_long_to_write_has_its_whole_time_for_the_answer() -> None:
    with http_collector(HttpReply(body=partial(0, "slow line")), reads=0.006) as collector:
        begun = time.monotonic()
        endpoint = Endpoint(url=collector.url, timeout=1.5)
        outcome, _ = send(endpoint, count=32, size=1_000_000, most_bytes=40_000_000)
        seconds = time.monotonic() - begun

    assert counts(outcome) == (32, 0, 0)
    assert said(outcome) == "slow line"
    assert seconds > 2.0


def test_a_server_that_takes_a_request_too_slowly_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "SLOWEST", 100_000_000)
    with http_collector(reads=0.05) as collector:
        begun = time.monotonic()
        _, destination = send(
            Endpoint(url=collector.url, timeout=0.3), count=16, size=1_000_000, most_bytes=20_000_000, deadline=0.1
        )
        seconds = time.monotonic() - begun

    assert "did not answer within 0.3 s" in str(destination.failure)
    assert seconds < 5.0


def test_a_connection_that_breaks_is_a_failure_before_anything_was_acknowledged() -> None:
    with http_collector(answer=lambda _: HttpReply(drop=True)) as collector:
        _, destination = send(Endpoint(url=collector.url))

    assert isinstance(destination.failure, UnreachableError)
    assert "broke (Server disconnected without sending a response.)" in str(destination.failure)


def test_a_connection_that_breaks_later_is_tried_again() -> None:
    clock = Clock()
    with http_collector(HttpReply(), HttpReply(drop=True), HttpReply(drop=True)) as collector:
        endpoint = Endpoint(url=collector.url)
        destination = Sender(
            HttpTransport(endpoint),
            name=endpoint.name,
            most_spans=1,
            sleep=clock.sleep,
            clock=clock,
            draw=lambda: 0.5,
        )
        destination.put(HEAD, bodies(2))
        destination.close()

    assert [outcome.acknowledged for outcome in destination.outcomes()] == [1, 1]
    assert clock.slept == [0.5, 1.0]
    assert collector.ids == ids(2)


def test_an_endless_answer_is_read_up_to_a_limit() -> None:
    pieces = (b"<html>",) + (b" " * 65_536,) * (2 * MOST_ANSWER // 65_536)
    with http_collector(HttpReply(body=pieces, content_type="text/html")) as collector:
        _, destination = send(Endpoint(url=collector.url))

    assert "does not look like an OTLP receiver" in str(destination.failure)


def test_an_answer_in_a_broken_encoding_is_a_broken_connection() -> None:
    broken = HttpReply(body=b"no gzip", headers={"content-encoding": "gzip"})
    with http_collector(answer=lambda _: broken) as collector:
        _, destination = send(Endpoint(url=collector.url))

    assert isinstance(destination.failure, UnreachableError)
    assert "broke (Error -3 while decompressing data" in str(destination.failure)


# --- a client of one's own ----------------------------------------------------------------------------


def client(handler: Callable[[httpx.Request], httpx.Response]) -> httpx.Client:
    return httpx.Client(transport=httpx.MockTransport(handler), follow_redirects=True)


def test_a_client_that_is_handed_in_is_used_and_stays_open() -> None:
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(302, headers={"location": "http://elsewhere"})

    with client(handler) as mine:
        transport = HttpTransport(ENDPOINT, client=mine)
        answer = transport.send(b"body")
        transport.close()

        assert not mine.is_closed
    assert isinstance(answer, DestinationRefused)
    (request,) = asked
    assert request.content == b"body"
    assert request.headers["authorization"] == "Bearer s3cret-token"
    assert request.extensions["timeout"] == {"connect": 10.0, "read": 10.0, "write": 10.0, "pool": 10.0}


def test_a_client_that_is_handed_in_keeps_its_own_time_for_other_requests() -> None:
    slow = HttpReply(delay=0.4)
    with http_collector(HttpReply(), slow) as collector, httpx.Client(trust_env=False) as mine:
        HttpTransport(Endpoint(url=collector.url, timeout=0.2), client=mine).send(b"")
        other = mine.post(collector.url, content=b"", timeout=5.0)

    assert other.status_code == 200


def test_any_other_trouble_is_a_broken_connection() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ProxyError("403 Forbidden", request=request)

    with client(handler) as mine:
        answer = HttpTransport(ENDPOINT, client=mine).send(b"body")

    assert answer == Unreachable(message="the connection to http://collector:4318/v1/traces broke (403 Forbidden)")


def test_a_host_that_cannot_be_written_is_told_before_anything_is_sent() -> None:
    with pytest.raises(UsageError, match=r"'http://xn--\xe4:4318/v1/traces' is no address: Invalid IDNA hostname"):
        HttpTransport(Endpoint(url="http://ann:s3cret@xn--\xe4:4318/v1/traces?key=s3cret"))


@pytest.mark.parametrize("proxy", ["ftp://ann:s3cret@proxy:1", "socks5://ann:s3cret@proxy:1"])
def test_a_proxy_that_cannot_be_used_is_told_without_its_credentials(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)

    with pytest.raises(UsageError, match="the proxy of the environment") as raised:
        HttpTransport(ENDPOINT)

    assert "s3cret" not in str(raised.value)
    assert raised.value.__suppress_context__


def put_proxy(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Put a proxy into the environment, for every address."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, url)
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Run a proxy that is in the environment; give the first line of each connection to it."""
    with http_proxy() as (url, lines):
        put_proxy(monkeypatch, url)
        yield lines


def test_a_proxy_is_told_the_whole_address(proxy: list[str]) -> None:
    with http_collector() as collector:
        outcome, _ = send(Endpoint(url=f"{collector.url}?key=blue"))

    assert counts(outcome) == (3, 0, 0)
    assert proxy == [f"POST {collector.url}?key=blue HTTP/1.1"]
    assert [request.path for request in collector.requests] == ["/v1/traces?key=blue"]


def test_a_proxy_tunnels_what_is_encrypted(proxy: list[str], certificates: Certificates) -> None:
    with http_collector(certificates=certificates) as collector:
        outcome, _ = send(Endpoint(url=collector.url, certificate=certificates.authority))

    assert counts(outcome) == (3, 0, 0)
    host = collector.url.removeprefix("https://").removesuffix("/v1/traces")
    assert proxy == [f"CONNECT {host} HTTP/1.1"]
    assert [request.path for request in collector.requests] == ["/v1/traces"]


# --- TLS ----------------------------------------------------------------------------------------------


def test_a_certificate_of_ones_own_is_trusted(certificates: Certificates) -> None:
    with http_collector(certificates=certificates) as collector:
        outcome, _ = send(Endpoint(url=collector.url, certificate=certificates.authority))

    assert counts(outcome) == (3, 0, 0)


@pytest.mark.parametrize("trusted", [True, False])
def test_a_client_certificate_is_shown(certificates: Certificates, trusted: bool) -> None:  # noqa: FBT001
    with http_collector(certificates=certificates, client_certificate=True) as collector:
        outcome, _ = send(
            Endpoint(
                url=collector.url,
                certificate=certificates.authority,
                client_certificate=certificates.client if trusted else None,
                client_key=certificates.client_key if trusted else None,
            )
        )

    assert counts(outcome) == ((3, 0, 0) if trusted else (0, 0, 3))


def test_a_certificate_that_is_not_trusted_is_told_with_the_variable(certificates: Certificates) -> None:
    with http_collector(certificates=certificates) as collector:
        _, destination = send(Endpoint(url=collector.url))

    assert isinstance(destination.failure, UnreachableError)
    assert "there is no encrypted connection to https://127.0.0.1:" in str(destination.failure)
    assert "CERTIFICATE_VERIFY_FAILED" in str(destination.failure)
    assert "OTEL_EXPORTER_OTLP_CERTIFICATE names the certificate to trust" in str(destination.failure)


def test_https_to_a_plain_port_is_told_with_the_scheme() -> None:
    with http_collector() as collector:
        _, destination = send(Endpoint(url=collector.url.replace("http://", "https://")))

    assert "a receiver without TLS has an address that begins with http://" in str(destination.failure)


def test_certificates_that_cannot_be_read_are_told_before_anything_is_sent(
    certificates: Certificates, tmp_path: Any
) -> None:
    (tmp_path / "empty.pem").touch()
    url = "https://collector:4318/v1/traces"

    with pytest.raises(UsageError, match=r"the certificate 'absent\.pem' cannot be used: No such file or directory"):
        HttpTransport(Endpoint(url=url, certificate="absent.pem"))
    with pytest.raises(UsageError, match=r"the certificate '.*empty\.pem' cannot be used: .*"):
        HttpTransport(Endpoint(url=url, certificate=str(tmp_path / "empty.pem")))
    with pytest.raises(UsageError, match=r"the client certificate '.*client\.pem' cannot be used: .*KEY_VALUES_MIS"):
        HttpTransport(Endpoint(url=url, client_certificate=certificates.client, client_key=certificates.server_key))
