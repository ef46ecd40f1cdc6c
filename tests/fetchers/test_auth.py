from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest

from otel_agent_events.errors import FetchError, UsageError
from otel_agent_events.fetchers import Connection, Request
from otel_agent_events.fetchers.auth import ApiKey, ClientCredentials, Credentials
from otel_agent_events.fetchers.client import Client, Limits, Waiting
from otel_agent_events.retry import Backoff
from otel_agent_events.testing import LoopbackPlatform, Received, Reply
from tests.fetchers.test_client import MONDAY, PAGE, Diary, Time

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from otel_agent_events.fetchers import Answer

SECRET = "s3cr3t+of/the client&co"
TOKEN = "t0k3n-1"
TOKEN_PATH = "/oauth2/token"
VARIABLES = "DIARY_ID, DIARY_SECRET and DIARY_TOKEN_URL"


def token(name: str = TOKEN, **facts: Any) -> Reply:
    return Reply(body=json.dumps({"access_token": name, "token_type": "Bearer", "expires_in": 1800, **facts}).encode())


@dataclass
class Desk:
    """A platform that gives tokens as well, and a client of it."""

    platform: LoopbackPlatform
    http: httpx.Client
    credentials: Credentials
    time: Time
    client: Client

    def tokens(self, *replies: Reply) -> None:
        self.platform.faults[TOKEN_PATH].extend(replies)

    def answers(self, *replies: Reply) -> None:
        self.platform.faults["/v1/page"].extend(replies)

    def fetch(self, *requests: Request) -> list[Answer]:
        return list(self.client.fetch(Diary(*(requests or (PAGE,))), MONDAY))

    def failure(self) -> FetchError:
        with pytest.raises(FetchError) as caught:
            self.fetch()
        assert str(caught.value).startswith("diary:ada/monday: ")
        assert not any(part in str(caught.value) for part in ("s3cr3t", "t0k3n", "client%26co"))
        return caught.value

    @property
    def asked_for_tokens(self) -> list[Received]:
        return [each for each in self.platform.received if each.target == TOKEN_PATH]


@pytest.fixture
def desk(http: httpx.Client) -> Iterator[Desk]:
    with LoopbackPlatform() as platform:
        yield make(platform, http)


def make(platform: LoopbackPlatform, http: httpx.Client, token_url: str | None = None, **options: Any) -> Desk:
    credentials = ClientCredentials(
        token_url or platform.base_url + TOKEN_PATH, " ada-id ", f"{SECRET}\n", variables=VARIABLES
    )
    time = Time()
    waiting = Waiting(backoff=Backoff(tries=3), sleep=time.sleep, clock=time.clock, now=lambda: 0.0, draw=lambda: 0.5)
    connection = Connection(base_url=platform.base_url, credentials=credentials)
    return Desk(platform, http, credentials, time, Client(http, connection, waiting=waiting, **options))


GOOD = Reply(body=b'{"n":1}')
DENIED = Reply(status=401, body=b'{"message":"who are you"}')


# --- API keys -----------------------------------------------------------------------------------------


def test_a_key_goes_into_a_header_of_its_own(http: httpx.Client) -> None:
    with LoopbackPlatform(headers={"x-api-key": "a key"}) as platform:
        platform.faults["/v1/page"].append(GOOD)
        connection = Connection(base_url=platform.base_url, credentials=ApiKey("x-api-key", " a key\n", variable="K"))
        list(Client(http, connection).fetch(Diary(PAGE), MONDAY))

    (received,) = platform.received
    assert received.headers["x-api-key"] == "a key"
    assert "authorization" not in received.headers


@pytest.mark.parametrize(
    "key", ["", "  \n", "s3cr3t\nx", "s3cr3t\r\nx-admin: 1", "s3cr3t\x00", "s3cr3té", "s3cr3t\udcff"]
)
def test_a_key_that_no_header_can_carry_is_refused_and_not_quoted(key: str) -> None:
    with pytest.raises(UsageError) as caught:
        ApiKey("x-api-key", key, variable="DIARY_KEY")

    assert str(caught.value) == ("DIARY_KEY is empty or holds a character that no HTTP header can carry; copy it again")


# --- getting a token ----------------------------------------------------------------------------------


def test_a_token_is_asked_for_in_the_form_of_the_standard(desk: Desk) -> None:
    desk.tokens(token())
    desk.answers(GOOD)

    assert desk.fetch()[0].body == {"n": 1}

    asked, page = desk.platform.received
    assert (asked.method, asked.target) == ("POST", TOKEN_PATH)
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["ada-id"],
        "client_secret": [SECRET],
    }
    assert page.headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("status", [400, 406, 415, 422])
def test_a_token_is_asked_for_in_json_where_form_is_refused(status: int, desk: Desk) -> None:
    desk.tokens(Reply(status=status), token())
    desk.answers(GOOD)

    assert desk.fetch()[0].body == {"n": 1}

    asked = desk.asked_for_tokens[1]
    assert asked.headers["content-type"] == "application/json"
    assert json.loads(asked.body) == {
        "grant_type": "client_credentials",
        "client_id": "ada-id",
        "client_secret": SECRET,
    }


def test_a_token_is_kept_for_the_run(desk: Desk) -> None:
    desk.tokens(token())
    desk.answers(GOOD, GOOD, GOOD)

    desk.fetch(PAGE, PAGE)
    desk.fetch()

    assert len(desk.asked_for_tokens) == 1
    assert len(desk.platform.received) == 4


def test_a_token_that_is_refused_later_is_renewed(desk: Desk) -> None:
    desk.tokens(token(), token("t0k3n-2"))
    desk.answers(GOOD, DENIED, GOOD, GOOD)

    answers = desk.fetch(PAGE, PAGE, PAGE)

    assert [answer.body for answer in answers] == [{"n": 1}] * 3
    sent = [each.headers["authorization"][-1] for each in desk.platform.received if each.method == "GET"]
    assert sent == ["1", "1", "2", "2"]


def test_a_token_is_renewed_only_once_for_a_request(desk: Desk) -> None:
    desk.tokens(token(), token("t0k3n-2"))
    desk.answers(GOOD, DENIED, Reply(status=401, body=b"t0k3n-1 and t0k3n-2 and s3cr3t+of/the client&co are bad"))
    desk.fetch()

    failure = desk.failure()

    assert str(failure) == (
        "diary:ada/monday: GET /v1/page answered 401 Unauthorized: [masked] and [masked] and [masked] are bad"
    )
    assert len(desk.asked_for_tokens) == 2


def test_a_new_token_that_is_refused_is_not_renewed(desk: Desk) -> None:
    desk.tokens(token())
    desk.answers(DENIED)

    assert desk.failure().status == 401
    assert len(desk.asked_for_tokens) == 1


# --- a token endpoint in trouble ----------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 404, 302])
def test_a_token_endpoint_that_refuses_says_which_variables_to_check(status: int, desk: Desk) -> None:
    desk.tokens(Reply(status=status, body=json.dumps({"error": f"bad client {SECRET}"}).encode()))

    failure = desk.failure()

    where = f"POST {desk.platform.base_url}{TOKEN_PATH}"
    assert str(failure).startswith(f"diary:ada/monday: {where} answered {status} ")
    assert str(failure).endswith(f": no token; check {VARIABLES}")
    assert (failure.request, failure.status) == (where, status)
    assert len(desk.platform.received) == 1


def test_a_token_endpoint_that_refuses_form_and_json_is_told_once(desk: Desk) -> None:
    desk.tokens(Reply(status=400), Reply(status=400))

    assert "answered 400 Bad Request: no token" in str(desk.failure())
    assert len(desk.platform.received) == 2


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=b""),
        Reply(body=b"{}"),
        Reply(body=b"[]"),
        Reply(body=b"null"),
        Reply(body=b"\xff"),
        Reply(body=b"[" * 50_000),
        Reply(body=b"<html>t0k3n</html>"),
        Reply(body=b"t0k3n", headers={"Content-Encoding": "gzip"}),
        Reply(status=204, body=b""),
        token(""),
        token("  "),
        token("t0k3n\nx"),
        token("t0k3né"),
        Reply(body=b'{"access_token":7}'),
    ],
)
def test_a_token_endpoint_that_gives_no_token_says_which_variables_to_check(reply: Reply, desk: Desk) -> None:
    desk.tokens(reply)

    failure = desk.failure()

    assert str(failure) == (
        f"diary:ada/monday: POST {desk.platform.base_url}{TOKEN_PATH} answered without an access_token; "
        f"is this the token endpoint? check {VARIABLES}"
    )
    assert desk.platform.asked == [f"POST {TOKEN_PATH}"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_token_endpoint_in_trouble_is_asked_again(status: int, desk: Desk) -> None:
    desk.tokens(Reply(status=status), token())
    desk.answers(GOOD)

    assert desk.fetch()[0].body == {"n": 1}
    assert desk.time.slept == [0.5]


def test_a_token_endpoint_may_ask_to_wait(desk: Desk) -> None:
    desk.tokens(Reply(status=429, headers={"Retry-After": "9"}), token())
    desk.answers(GOOD)

    desk.fetch()

    assert desk.time.slept == [9.0]


def test_a_token_endpoint_that_stays_in_trouble_says_how_often_it_was_tried(desk: Desk) -> None:
    desk.tokens(*[Reply(status=500)] * 3)

    failure = desk.failure()

    assert str(failure).endswith(
        f"{TOKEN_PATH} answered 500 Internal Server Error: no token; check {VARIABLES} (tried 3 times)"
    )


def test_a_token_endpoint_that_does_not_answer_is_named(http: httpx.Client) -> None:
    with LoopbackPlatform() as platform, LoopbackPlatform() as authority:
        desk = make(platform, http, authority.base_url + TOKEN_PATH, timeout=0.05)
        authority.faults[TOKEN_PATH].extend([Reply(delay=60)] * 3)

        failure = desk.failure()

        assert f"GET /v1/page was not answered by {authority.base_url} within 0.05 s" in str(failure)
    assert platform.received == []


def test_a_token_endpoint_where_nobody_listens_is_named(http: httpx.Client) -> None:
    with LoopbackPlatform() as platform:
        with LoopbackPlatform() as authority:
            left = authority.base_url
        failure = make(platform, http, f"{left}/token?tenant=s3cr3t").failure()

    assert f"Connection refused; is {left} right? (tried 3 times)" in str(failure)


def test_the_query_of_a_token_url_is_sent_and_not_told(http: httpx.Client) -> None:
    with LoopbackPlatform() as platform:
        desk = make(platform, http, f"{platform.base_url}{TOKEN_PATH}?tenant=s3cr3t")
        desk.tokens(Reply(status=403))
        failure = desk.failure()

        assert platform.asked == [f"POST {TOKEN_PATH}?tenant=s3cr3t"]
        assert failure.request == f"POST {platform.base_url}{TOKEN_PATH}"


def test_a_token_is_never_sent_to_where_the_platform_points(desk: Desk) -> None:
    with LoopbackPlatform() as elsewhere:
        desk.tokens(token())
        desk.answers(Reply(status=307, headers={"Location": f"{elsewhere.base_url}/v1/page"}))

        assert desk.failure().status == 307

    assert elsewhere.received == []


def test_a_secret_is_never_sent_to_where_the_token_endpoint_points(desk: Desk) -> None:
    with LoopbackPlatform() as elsewhere:
        desk.tokens(Reply(status=307, headers={"Location": f"{elsewhere.base_url}{TOKEN_PATH}"}))

        assert desk.failure().status == 307

    assert elsewhere.received == []


# --- limits -------------------------------------------------------------------------------------------


def zipped(body: bytes, status: int = 200) -> Reply:
    return Reply(status=status, body=gzip.compress(body), headers={"Content-Encoding": "gzip"})


@pytest.mark.parametrize("large", [Reply(body=b" " * 1001), zipped(b" " * 1001)], ids=["large", "bomb"])
def test_the_limit_of_an_answer_holds_behind_a_token(large: Reply, http: httpx.Client) -> None:
    with LoopbackPlatform() as platform:
        desk = make(platform, http, limits=Limits(answer=1000))
        desk.tokens(token())
        desk.answers(large)

        assert "answered with more than 1000 bytes" in str(desk.failure())


def test_of_a_large_answer_of_the_token_endpoint_only_the_beginning_is_read(desk: Desk) -> None:
    desk.tokens(Reply(body=b" " * 10_000_000 + token().body))

    assert "answered without an access_token" in str(desk.failure())


def test_a_large_refusal_of_a_token_does_not_keep_it_from_being_renewed(desk: Desk) -> None:
    desk.tokens(token(), token("t0k3n-2"))
    desk.answers(GOOD, Reply(status=401, body=b"no " * 3_000_000), GOOD)

    assert [answer.body for answer in desk.fetch(PAGE, PAGE)] == [{"n": 1}] * 2


def test_a_zipped_token_is_read(desk: Desk) -> None:
    desk.tokens(zipped(token().body))
    desk.answers(GOOD)

    assert desk.fetch()[0].body == {"n": 1}


# --- what cannot be sent ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client_id", "client_secret"), [(" ", "s"), ("i", " "), ("i", "s3cr3t\udcff"), ("i", "s3cr3t\nx"), ("é", "s")]
)
def test_client_credentials_that_cannot_be_sent_are_refused_and_not_quoted(client_id: str, client_secret: str) -> None:
    with pytest.raises(UsageError) as caught:
        ClientCredentials("https://host/token", client_id, client_secret, variables=VARIABLES)

    assert str(caught.value).startswith(f"one of {VARIABLES} is empty or holds a character that ")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host/token",
        "ftp://host",
        "https://",
        "https://ada:s3cr3t@host/token",
        "https://host:s3cr3t/",
        "https://h\n/",
    ],
)
def test_a_token_url_that_is_none_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        ClientCredentials(url, "i", "s", variables=VARIABLES)

    assert str(caught.value) == (f"the token URL does not look like https://host/oauth2/token; check {VARIABLES}")
