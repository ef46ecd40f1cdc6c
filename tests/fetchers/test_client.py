from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from otel_agent_events.errors import FetchError, UsageError
from otel_agent_events.fetchers import FETCHERS, Connection, Request
from otel_agent_events.fetchers.auth import ApiKey, Credentials
from otel_agent_events.fetchers.client import TIMEOUT, Client, Limits, Waiting, checked_base_url, parse_json, words_of
from otel_agent_events.plugins import Plugins
from otel_agent_events.reference import Reference
from otel_agent_events.retry import Backoff
from otel_agent_events.testing import LoopbackPlatform, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from otel_agent_events.events import JSON
    from otel_agent_events.fetchers import Answer, Asking, Reader

KEY = "k3y+of/the=diary"
MONDAY = Reference("diary", ("ada", "monday"))
TUESDAY = Reference("diary", ("ada", "tuesday"))
PAGE = Request(label="entries", path=("v1", "page"))
OPTIONAL = Request(label="owner", path=("v1", "owner"), may_fail=True)
SHARED = Request(label="owner", path=("v1", "owner"), may_fail=True, shared=True)
NOW = 784_111_777.0


class Diary:
    """A fetcher of a platform of which nothing is known but what a test wants it to ask."""

    name = "diary"
    path = ("OWNER", "DAY")
    labels = ("entries",)
    variables = ("DIARY_KEY",)
    secrets = ()

    def __init__(self, *requests: Request) -> None:
        self.requests = requests

    def connect(self, environ: Mapping[str, str], base_url: str | None) -> Connection:
        return Connection(
            base_url=base_url or "http://127.0.0.1:1",
            credentials=ApiKey("x-api-key", environ["DIARY_KEY"], variable="DIARY_KEY"),
        )

    def ask(self, _: Reference) -> Asking:
        for request in self.requests:  # noqa: UP028 - a tuple cannot be sent answers
            yield request

    def reader(self, reference: Reference) -> Reader:
        raise NotImplementedError(reference)

    def recognise(self, body: JSON) -> str | None:
        return "entries" if isinstance(body, dict) and "entries" in body else None

    def identify(self, answers: Sequence[Answer]) -> tuple[str, ...]:
        return "ada", str(answers[0].body["entries"])


def install_diary(
    folder: Path, monkeypatch: pytest.MonkeyPatch, named: str = "tests.fetchers.test_client:Diary"
) -> None:
    """Install its fetcher as a package of others would."""
    info = folder / "otel_test_diary-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: otel-test-diary\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[otel_agent_events.fetchers]\ndiary = {named}\n")
    monkeypatch.syspath_prepend(folder)
    # What is installed is looked up once in a process.
    monkeypatch.setattr(FETCHERS, "_entries", Plugins("otel_agent_events.fetchers", "fetcher")._entries)


@dataclass
class Time:
    """A clock that only goes on when somebody sleeps."""

    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def clock(self) -> float:
        return sum(self.slept)

    def waiting(self, backoff: Backoff) -> Waiting:
        return Waiting(backoff=backoff, sleep=self.sleep, now=lambda: NOW, clock=self.clock, draw=lambda: 0.5)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def platform() -> Iterator[LoopbackPlatform]:
    with LoopbackPlatform() as listening:
        yield listening


@dataclass
class Desk:
    """Everything that it takes to ask the platform."""

    platform: LoopbackPlatform
    http: httpx.Client
    time: Time

    def client(
        self,
        *,
        backoff: Backoff | None = None,
        credentials: Credentials | None = None,
        base_url: str | None = None,
        **options: Any,
    ) -> Client:
        connection = Connection(
            base_url=base_url or self.platform.base_url,
            credentials=credentials or ApiKey("x-api-key", KEY, variable="DIARY_KEY"),
            advice={401: "Set DIARY_KEY", 403: "Ask Ada", 404: "Check the day"},
        )
        return Client(self.http, connection, waiting=self.time.waiting(backoff or Backoff(total=1000)), **options)

    def fetch(self, *requests: Request, **options: Any) -> list[Answer]:
        return list(self.client(**options).fetch(Diary(*(requests or (PAGE,))), MONDAY))

    def failure(self, *requests: Request, **options: Any) -> FetchError:
        with pytest.raises(FetchError) as caught:
            self.fetch(*requests, **options)
        assert str(caught.value).startswith("diary:ada/monday: GET /v1/")
        return caught.value

    def answers(self, *replies: Reply, path: str = "/v1/page") -> None:
        self.platform.faults[path].extend(replies)


@pytest.fixture
def desk(platform: LoopbackPlatform, http: httpx.Client, time: Time) -> Desk:
    return Desk(platform, http, time)


GOOD = Reply(body=b'{"n":1}')


# --- what is tried again ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [
        *(Reply(status=status) for status in (408, 429, 500, 501, 502, 503, 504, 599)),
        Reply(drop=True),
        Reply(body=b'{"n":1}' * 100, cut=True),
    ],
    ids=lambda reply: "drop" if reply.drop else "cut" if reply.cut else str(reply.status),
)
def test_trouble_that_may_pass_is_waited_out(trouble: Reply, desk: Desk) -> None:
    desk.answers(trouble, trouble, GOOD)

    (answer,) = desk.fetch()

    assert answer.body == {"n": 1}
    assert desk.time.slept == [0.5, 1.0]
    assert desk.platform.asked == ["GET /v1/page"] * 3


def test_an_answer_that_takes_too_long_is_asked_for_again(desk: Desk) -> None:
    desk.answers(Reply(delay=60), GOOD)

    (answer,) = desk.fetch(timeout=0.2)

    assert answer.body == {"n": 1}


@pytest.mark.parametrize("told", ["7", formatdate(NOW + 7, usegmt=True)])
@pytest.mark.parametrize("status", [429, 503])
def test_it_waits_as_long_as_the_platform_asks(status: int, told: str, desk: Desk) -> None:
    desk.answers(Reply(status=status, headers={"Retry-After": told}), GOOD)

    desk.fetch()

    assert desk.time.slept == [7.0]


@pytest.mark.parametrize("told", ["soon", "-1", ""])
def test_a_retry_after_that_says_nothing_leaves_the_usual_wait(told: str, desk: Desk) -> None:
    desk.answers(Reply(status=429, headers={"Retry-After": told}), GOOD)

    desk.fetch()

    assert desk.time.slept == [0.5]


def test_giving_up_says_how_often_it_was_tried(desk: Desk) -> None:
    desk.answers(*[Reply(status=503, body=b'{"messages":["down for lunch"]}')] * 3)

    failure = desk.failure(backoff=Backoff(tries=3))

    assert str(failure) == (
        "diary:ada/monday: GET /v1/page answered 503 Service Unavailable: down for lunch (tried 3 times)"
    )
    assert (failure.status, failure.request) == (503, "GET /v1/page")


def test_giving_up_says_how_long_the_platform_asks_to_wait(desk: Desk) -> None:
    desk.answers(Reply(status=429, body=b"", headers={"Retry-After": "3600"}))

    failure = desk.failure()

    assert str(failure) == (
        "diary:ada/monday: GET /v1/page answered 429 Too Many Requests; the platform asks to wait 3600 s"
    )
    assert desk.time.slept == []


def test_it_gives_up_when_the_time_is_over(desk: Desk) -> None:
    desk.answers(*[Reply(status=429, headers={"Retry-After": "40"})] * 3)

    assert "(tried 2 times)" in str(desk.failure(backoff=Backoff(total=60)))
    assert desk.time.slept == [40.0]


def test_the_time_that_answers_take_counts_as_well(desk: Desk) -> None:
    ticks = iter([0.0, 0.0, 0.0, 30.0, 30.0, 30.0, 61.0])  # at the beginning, in each request, and after it
    waiting = Waiting(sleep=desk.time.sleep, clock=lambda: next(ticks), draw=lambda: 0.5)
    client = desk.client()
    client._waiting = waiting
    desk.answers(*[Reply(status=500)] * 5)

    with pytest.raises(FetchError, match="tried 2 times"):
        list(client.fetch(Diary(PAGE), MONDAY))


def test_an_answer_that_goes_on_and_on_is_given_up(desk: Desk) -> None:
    ticks = iter([0.0, 0.0, 20 * TIMEOUT + 1])
    client = desk.client()
    client._waiting = Waiting(sleep=desk.time.sleep, clock=lambda: next(ticks))
    desk.answers(Reply())

    with pytest.raises(FetchError, match="was not answered to the end within 20 time-outs"):
        list(client.fetch(Diary(PAGE), MONDAY))


def test_a_connection_that_always_breaks_names_the_host(desk: Desk) -> None:
    desk.answers(*[Reply(drop=True)] * 2)

    failure = desk.failure(backoff=Backoff(tries=2))

    assert str(failure) == (
        "diary:ada/monday: GET /v1/page could not be answered: Server disconnected without sending a response.; "
        f"is {desk.platform.base_url} right? (tried 2 times)"
    )
    assert failure.status is None


def test_a_host_where_nobody_listens_is_named(http: httpx.Client, time: Time) -> None:
    with LoopbackPlatform() as platform:
        left = platform.base_url

    failure = Desk(platform, http, time).failure(base_url=left, backoff=Backoff(tries=1))

    assert f"Connection refused; is {left} right?" in str(failure)
    assert "tried" not in str(failure)


def test_a_time_out_says_how_to_wait_longer(desk: Desk) -> None:
    desk.answers(*[Reply(delay=60)] * 2)

    failure = desk.failure(timeout=0.05, backoff=Backoff(tries=2))

    assert str(failure) == (
        f"diary:ada/monday: GET /v1/page was not answered by {desk.platform.base_url} within 0.05 s; "
        "--timeout sets how long to wait (tried 2 times)"
    )


# --- what is not --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "words", "expected"),
    [
        (400, {"field_errors": {"limit": "x"}, "messages": ["limit is wrong", "so is x"]}, "limit is wrong; so is x"),
        (401, {"message": "who are you"}, "who are you. Set DIARY_KEY"),
        (403, {"detail": [{"loc": ["query"], "msg": "not yours"}]}, "not yours. Ask Ada"),
        (
            404,
            {"error": "no_day", "error_description": "There is no such day."},
            "There is no such day.; no_day. Check the day",
        ),
        (409, {"errors": [{"description": "locked"}]}, "locked"),
        (418, "short and stout", "short and stout"),
        (422, {"reason": 7}, '{"reason": 7}'),
    ],
)
def test_a_refusal_is_told_at_once_with_the_servers_words(status: int, words: JSON, expected: str, desk: Desk) -> None:
    desk.answers(Reply(status=status, body=json.dumps(words).encode()))

    failure = desk.failure()

    phrase = httpx.codes.get_reason_phrase(status)
    assert str(failure) == f"diary:ada/monday: GET /v1/page answered {status} {phrase}: {expected}"
    assert failure.status == status
    assert desk.platform.asked == ["GET /v1/page"]
    assert desk.time.slept == []


def test_a_status_that_nobody_knows_is_told_as_a_number(desk: Desk) -> None:
    desk.answers(Reply(status=499, body=b""))

    assert str(desk.failure()) == "diary:ada/monday: GET /v1/page answered 499"


def test_a_web_page_as_an_error_is_not_quoted(desk: Desk) -> None:
    desk.answers(Reply(status=404, body=b"<!doctype html><title>Not here</title>"))

    assert str(desk.failure()).endswith("answered 404 Not Found: a web page (HTML). Check the day")


@pytest.mark.parametrize("body", [b"[" * 100_000, b"[" * 400 + b'"deep"' + b"]" * 400, b"\xff\xfe", b'{"message":"x'])
def test_words_are_found_in_whatever_comes(body: bytes) -> None:
    assert words_of(body)


def test_words_of_the_server_become_one_printable_line_that_ends(desk: Desk) -> None:
    body = b"\x1b[31mtraceback:\n\n  line 1\r\n  line 2 " + b"y" * 1_000_000
    desk.answers(Reply(status=400, body=body))

    failure = str(desk.failure())

    assert failure.startswith(
        "diary:ada/monday: GET /v1/page answered 400 Bad Request: [31mtraceback: line 1 line 2 yy"
    )
    assert failure.endswith("y…")
    assert failure.isprintable()
    assert len(failure) < 400


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("{elsewhere}/v1/page", "'{elsewhere}/v1/page'"),
        ("{elsewhere}/login?code=s3cr3t#s3cr3t", "'{elsewhere}/login'"),
        ("https://ada:s3cr3t@127.0.0.1:1/", "'https://127.0.0.1:1/'"),
        ("/login", "'/login'"),
        (None, "'nowhere'"),
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_named_and_not_followed(status: int, location: str | None, shown: str, desk: Desk) -> None:
    with LoopbackPlatform() as elsewhere:
        headers = {} if location is None else {"Location": location.replace("{elsewhere}", elsewhere.base_url)}
        desk.answers(Reply(status=status, headers=headers))

        failure = desk.failure()

        told = shown.replace("{elsewhere}", elsewhere.base_url)
        assert f"answered {status} " in str(failure)
        assert str(failure).endswith(f" to {told}, which is not followed; is the base URL right?")
        assert elsewhere.asked == []
    assert desk.platform.asked == ["GET /v1/page"]


def test_a_redirect_to_what_is_no_address_is_told(desk: Desk) -> None:
    desk.answers(Reply(status=304, headers={"Location": "http://[::1"}))

    assert "answered 304 Not Modified to what is no address, which is not followed" in str(desk.failure())


@pytest.mark.parametrize("location", ["http://host:port/", "mailto:ada", "http://[::1"])
def test_a_redirect_that_httpx_cannot_read_is_no_traceback(location: str, desk: Desk) -> None:
    desk.answers(Reply(status=302, headers={"Location": location}))

    assert desk.failure(backoff=Backoff(tries=1)).status is None


# --- wrong shapes -------------------------------------------------------------------------------------


def zipped(body: bytes) -> Reply:
    return Reply(body=gzip.compress(body), headers={"Content-Encoding": "gzip"})


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(status=204, body=b""), "204 No Content: there is no content where a JSON answer was expected"),
        (Reply(status=202, body=b'{"message":"later"}'), "202 Accepted: later"),
        (Reply(body=b""), "200 with an empty body"),
        (Reply(body=b" \r\n"), "200 with an empty body"),
        (
            Reply(body=b"\n<html>", headers={"Content-Type": "text/html"}),
            "200 with a web page (HTML) where JSON was expected; is the base URL right?",
        ),
        (
            Reply(body=b'{"events":[{"id":"a'),
            "200 with JSON that is broken or cut off at character 17 (Unterminated string starting at)",
        ),
        (Reply(body=b'{} {"n":1}'), "200 with JSON that is broken or cut off at character 3 (Extra data)"),
        (Reply(body=b'{"n":"\xff"}'), "200 with a body that is no text in UTF-8 (invalid start byte)"),
        (
            Reply(body=b"[" * 100_000 + b"]" * 100_000),
            "200 with JSON that is nested too deeply to be read",
        ),
        (
            Reply(body=b"not gzip", headers={"Content-Encoding": "gzip"}),
            "with a body that cannot be decompressed: Error -3 while decompressing data: incorrect header check",
        ),
    ],
    ids=lambda each: "" if isinstance(each, Reply) else each[:40],
)
def test_an_answer_of_the_wrong_shape_is_told_and_not_asked_for_again(reply: Reply, said: str, desk: Desk) -> None:
    desk.answers(reply)

    failure = desk.failure()

    assert str(failure) == f"diary:ada/monday: GET /v1/page answered {said}"
    assert desk.platform.asked == ["GET /v1/page"]


def test_zipped_answers_are_read(desk: Desk) -> None:
    desk.answers(zipped(b'{"n":1}'))

    assert desk.fetch()[0].body == {"n": 1}


@pytest.mark.parametrize("bomb", [Reply(body=b" " * 1001), zipped(b" " * 50_000_000)], ids=["large", "bomb"])
@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_above_the_limit_is_dropped(bomb: Reply, status: int, desk: Desk) -> None:
    desk.answers(Reply(status=status, body=bomb.body, headers=bomb.headers))

    failure = desk.failure(limits=Limits(answer=1000))

    assert str(failure) == (
        "diary:ada/monday: GET /v1/page answered with more than 1000 bytes; an answer may not be larger"
    )
    assert desk.platform.asked == ["GET /v1/page"]


def test_an_answer_as_large_as_the_limit_is_read(desk: Desk) -> None:
    desk.answers(Reply(body=b'"' + b"x" * 998 + b'"'))

    assert desk.fetch(limits=Limits(answer=1000))[0].body == "x" * 998


def test_an_integer_of_five_thousand_digits_stays_text_and_the_answer_is_kept(desk: Desk) -> None:
    digits = "9" * 5000
    desk.answers(Reply(body=f'{{"large":{digits},"usual":-7,"half":0.5}}'.encode()))

    assert desk.fetch()[0].body == {"large": digits, "usual": -7, "half": 0.5}


def test_a_large_integer_in_json_that_is_cut_off_is_no_traceback() -> None:
    with pytest.raises(ValueError, match="broken or cut off at character 5001"):
        parse_json(b"[" + b"9" * 5000)


@pytest.mark.parametrize("body", [b"null", b"[]", b"{}", b"0", b'"text"', b'"\\ud800"', b'\xef\xbb\xbf{"n":1}'])
def test_any_json_value_is_an_answer(body: bytes, desk: Desk) -> None:
    desk.answers(Reply(body=body))

    assert desk.fetch()[0].body == json.loads(body)


@given(st.binary())
def test_parsing_is_total(body: bytes) -> None:
    try:
        parse_json(body)
    except ValueError as error:
        assert type(error) is ValueError  # noqa: PT017 - the message is ours, and completes a sentence


NUMBERS = st.from_regex(r"-?(0|[1-9]\d{0,40})(\.\d{1,40})?([eE][-+]?\d{1,4})?", fullmatch=True) | st.sampled_from(
    ["NaN", "Infinity", "-Infinity", "-NaN", "-0", "-0.0", "1E400", "01", "1.", ".5", "9223372036854775808", "9" * 4300]
)
STRINGS = st.text(r'ab\u0dD8cCe"/nt' + "\x7fé日😀\ud800\udc00", max_size=12).map(lambda text: f'"{text}"')
ODDLY_WRITTEN = st.recursive(
    NUMBERS | STRINGS | st.sampled_from(["true", "false", "null", "", "{}", " [ ] ", "nul"]),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: f"[{','.join(items)}]")
        | st.lists(st.tuples(st.sampled_from(['"a"', '"b"', '"a\\u0062"', "a"]), inner), max_size=4).map(
            lambda members: "{" + ", ".join(f"{name} : {value}" for name, value in members) + "}"
        )
    ),
    max_leaves=12,
)


@given(ODDLY_WRITTEN)
def test_json_is_read_as_the_standard_library_reads_it_however_it_is_written(text: str) -> None:
    body = text.encode("utf-8", "surrogatepass")
    try:
        expected = json.loads(body)
    except ValueError:
        with pytest.raises(ValueError, match=r"JSON that is broken|empty body"):
            parse_json(body)
    else:
        assert repr(parse_json(body)) == repr(expected)  # types, order of members, -0.0 and NaN as well


# --- what is asked ------------------------------------------------------------------------------------


def test_a_request_says_who_asks_and_what_for(desk: Desk) -> None:
    desk.answers(GOOD)
    desk.fetch()

    (received,) = desk.platform.received
    assert received.headers["user-agent"].startswith("otel-agent-events/")
    assert received.headers["accept"] == "application/json"
    assert received.headers["x-api-key"] == KEY


def test_an_answer_carries_its_label_and_says_where_it_comes_from(desk: Desk) -> None:
    desk.answers(GOOD)

    (answer,) = desk.fetch(Request(label="entries", path=("v1", "page"), query={"after": "a b&c", "limit": "100"}))

    assert (answer.label, answer.source) == ("entries", "GET /v1/page?after=a+b%26c&limit=100")


def test_the_path_of_the_base_url_is_kept(desk: Desk) -> None:
    desk.answers(GOOD, path="/behind/a/proxy/v1/page")

    desk.fetch(base_url=f"{desk.platform.base_url}/behind/a/proxy")

    assert desk.platform.asked == ["GET /behind/a/proxy/v1/page"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.text(min_size=1), min_size=1, max_size=4), st.dictionaries(st.text(min_size=1), st.text()))
@example(
    ["refund case/88", "ada@example.org", "..", ".", "...", "%2F", "100%", "a?b#c", "é漢😀", "\x00\n", "\ud800"], {}
)
@example(["a"], {"page_key": "p/2 &=+%\x00é😀\ud800"})
def test_every_id_reaches_the_platform_as_it_is(desk: Desk, ids: list[str], query: dict[str, str]) -> None:
    desk.platform.received.clear()
    desk.fetch(Request(label="x", path=("v1", *ids), query=query, may_fail=True))

    (received,) = desk.platform.received
    path, _, asked = received.target.partition("?")
    assert [unquote(each, errors="surrogatepass") for each in path.split("/")[1:]] == ["v1", *ids]
    assert not {".", ".."} & set(path.split("/"))
    assert dict(parse_qsl(asked, keep_blank_values=True, errors="surrogatepass")) == query


@pytest.mark.parametrize("url", ["http://a..b", f"http://{'a' * 70}.example", "http://127.0.0.1:1/" + "x" * 70_000])
def test_an_address_that_cannot_be_is_told_once(url: str, desk: Desk) -> None:
    failure = desk.failure(base_url=url)

    assert "GET /v1/page cannot be sent: " in str(failure)
    assert desk.time.slept == []


def test_a_session_may_not_ask_for_ever(desk: Desk) -> None:
    desk.answers(GOOD, GOOD, GOOD)

    failure = desk.failure(PAGE, PAGE, PAGE, limits=Limits(requests=2))

    assert str(failure) == (
        "diary:ada/monday: GET /v1/page would be one request too many; a session may take 2 of them"
    )
    assert len(desk.platform.asked) == 2


def test_the_answers_before_a_failure_are_given(desk: Desk) -> None:
    desk.answers(GOOD, Reply(status=400))
    answers = desk.client().fetch(Diary(PAGE, PAGE), MONDAY)

    assert next(answers).body == {"n": 1}
    with pytest.raises(FetchError):
        next(answers)


def test_a_fetcher_that_asks_for_nothing_gets_nothing(desk: Desk) -> None:
    assert list(desk.client().fetch(Diary(), MONDAY)) == []


def test_a_failure_that_is_allowed_is_an_answer_and_the_next_request_follows(desk: Desk) -> None:
    desk.answers(GOOD)

    owner, page = desk.fetch(OPTIONAL, PAGE)

    assert owner.body is None
    assert owner.failure is not None
    assert owner.failure.status == 404
    assert page.body == {"n": 1}


# --- what is shared -----------------------------------------------------------------------------------


def test_what_sessions_share_is_asked_for_once(desk: Desk) -> None:
    desk.answers(GOOD, path="/v1/owner")
    client = desk.client()

    bodies = [
        answer.body for reference in (MONDAY, TUESDAY) for answer in client.fetch(Diary(SHARED, SHARED), reference)
    ]

    assert bodies == [{"n": 1}] * 4
    assert desk.platform.asked == ["GET /v1/owner"]


def test_null_is_shared_like_any_answer(desk: Desk) -> None:
    desk.answers(Reply(body=b"null"), path="/v1/owner")

    assert [answer.body for answer in desk.fetch(SHARED, SHARED)] == [None, None]
    assert desk.platform.asked == ["GET /v1/owner"]


def test_a_failure_of_what_is_shared_is_asked_for_once_and_names_each_session(desk: Desk) -> None:
    desk.answers(Reply(status=403, body=b"no"), path="/v1/owner")
    client = desk.client()

    failures = [str(answer.failure) for day in (MONDAY, TUESDAY, MONDAY) for answer in client.fetch(Diary(SHARED), day)]

    said = "GET /v1/owner answered 403 Forbidden: no. Ask Ada"
    assert failures == [f"diary:ada/{day}: {said}" for day in ("monday", "tuesday", "monday")]
    assert desk.platform.asked == ["GET /v1/owner"]


def test_a_shared_request_that_must_not_fail_fails_every_session_and_is_asked_for_once(desk: Desk) -> None:
    needed = Request(label="owner", path=("v1", "owner"), shared=True)
    client = desk.client()

    for day in (MONDAY, TUESDAY):
        with pytest.raises(FetchError, match=f"{day}: GET /v1/owner answered 404"):
            list(client.fetch(Diary(needed), day))

    assert desk.platform.asked == ["GET /v1/owner"]


def test_what_is_not_shared_is_asked_for_every_time(desk: Desk) -> None:
    desk.fetch(OPTIONAL, OPTIONAL)

    assert len(desk.platform.asked) == 2


# --- secrets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "echo",
    [
        KEY,
        quote(KEY, safe=""),
        quote(KEY, safe="").lower(),
        KEY.replace("/", "\\/"),
        json.dumps({"reason": f"the key {KEY} is unknown"}),
        json.dumps({"messages": [f"{'x' * 280} {KEY}"]}),
        f"{'x' * 29_990}{KEY}",
    ],
)
@pytest.mark.parametrize("status", [400, 401, 503])
def test_a_key_that_the_server_repeats_is_in_no_message(echo: str, status: int, desk: Desk) -> None:
    desk.answers(Reply(status=status, body=echo.encode()))

    failure = desk.failure(backoff=Backoff(tries=1))

    assert not any(part in str(failure) for part in ("k3y", "diary%3D", "the=diary"))
    assert repr(failure.request) == "'GET /v1/page'"


def test_a_key_in_the_target_of_a_redirect_is_masked(desk: Desk) -> None:
    desk.answers(Reply(status=302, headers={"Location": f"/login/{quote(KEY, safe='')}"}))

    assert "'/login/[masked]'" in str(desk.failure())


def test_secrets_of_others_that_the_server_tells_are_taken_out(desk: Desk) -> None:
    desk.answers(Reply(status=400, body=b'{"message":"bad header Authorization: Bearer abcdef0123456789"}'))

    assert "abcdef0123456789" not in str(desk.failure())


def test_a_key_like_a_word_leaves_other_words_readable() -> None:
    credentials = ApiKey("x-api-key", "day", variable="DIARY_KEY")

    assert credentials.mask("the key day is not for monday") == "the key [masked] is not for monday"


def test_without_secrets_nothing_is_masked() -> None:
    assert Credentials().mask("as it is") == "as it is"


# --- base URLs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("https://host", "https://host"),
        ("https://host/", "https://host"),
        (" http://host:8080/a/b//\n", "http://host:8080/a/b"),
        ("HTTPS://host/?#", "https://host"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_a_base_url_has_no_slash_at_its_end(told: str, expected: str) -> None:
    assert checked_base_url(told, "--base-url") == expected


@pytest.mark.parametrize(
    "told",
    [
        "",
        "host",
        "host:80",
        "ftp://s3cr3t@host",
        "https://",
        "https://host?s3cr3t",
        "https://host#s3cr3t",
        "https://ada:s3cr3t@host",
        "https://host:s3cr3t",
        "https://host:99999",
        "https://[s3cr3t",
    ],
)
def test_what_is_no_base_url_is_refused_and_not_quoted(told: str) -> None:
    with pytest.raises(UsageError) as caught:
        checked_base_url(told, "--base-url")

    assert str(caught.value) == "--base-url is no base URL; it looks like https://host or https://host/path"


# --- the loopback platform ----------------------------------------------------------------------------


def test_a_loopback_platform_listens_inside_its_block_only() -> None:
    with pytest.raises(RuntimeError, match="inside its with block only"):
        _ = LoopbackPlatform().base_url


def test_a_loopback_platform_wants_its_headers(http: httpx.Client) -> None:
    with LoopbackPlatform(headers={"x-api-key": "k"}) as platform:
        denied = http.get(f"{platform.base_url}/x")
        unknown = http.get(f"{platform.base_url}/x", headers={"x-api-key": "k"})

    assert (denied.status_code, unknown.status_code) == (401, 404)
    assert denied.json() == {"messages": ["This key is not known here."]}


def test_a_loopback_platform_ends_at_once_while_a_client_still_waits(http: httpx.Client) -> None:
    with LoopbackPlatform() as platform:
        platform.faults["/x"].append(Reply(delay=600))
        with pytest.raises(httpx.ReadTimeout):
            http.get(f"{platform.base_url}/x", timeout=0.05)


def test_a_loopback_platform_does_not_hide_what_is_wrong_with_itself(
    http: httpx.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    with LoopbackPlatform() as platform:
        platform.faults["/x"].append("no reply")  # type: ignore[arg-type]
        with pytest.raises(httpx.TransportError):
            http.get(f"{platform.base_url}/x")

    assert "AttributeError" in capfd.readouterr().err
