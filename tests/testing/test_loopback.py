"""The loopback platform answers what was recorded, to whoever is let in."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from otel_agent_events.fetchers.saved import RecordedAnswer, Recording
from otel_agent_events.testing import LoopbackPlatform, Received, Reply


def recording(*answers: RecordedAnswer) -> Recording:
    return Recording(recording=1, session="notes:b1", answers=list(answers))


def answer(path: str = "/b1", **told: Any) -> RecordedAnswer:
    return RecordedAnswer(label="page", path=path, **told)


ONE = recording(answer(body={"n": 1}))


def get(platform: LoopbackPlatform, http: httpx.Client, target: str = "/b1", **headers: str) -> httpx.Response:
    return http.get(
        platform.base_url + target, headers={name.replace("_", "-"): told for name, told in headers.items()}
    )


# --- what is answered ---------------------------------------------------------------------------------


def test_what_is_recorded_is_answered_and_everything_else_is_a_404(http: httpx.Client) -> None:
    with LoopbackPlatform([ONE]) as platform:
        known, strange = get(platform, http), get(platform, http, "/b2")

    assert (known.status_code, known.json()) == (200, {"n": 1})
    assert known.headers["content-type"] == "application/json"
    assert (strange.status_code, strange.json()) == (404, {"messages": ["Nothing is recorded for /b2."]})


def test_a_query_is_part_of_what_is_recorded_whatever_its_order_and_encoding(http: httpx.Client) -> None:
    played = recording(answer(body=0), answer(query={"a": "1 2", "b": "ü", "c": ""}, body=1), answer("/x%20y", body=2))
    with LoopbackPlatform([played]) as platform:
        targets = ["/b1", "/b1?c=&b=%C3%BC&a=1+2", "/x%20y", "/b1?a=1+2"]
        told = [get(platform, http, target) for target in targets]

    assert [each.status_code for each in told] == [200, 200, 200, 404]
    assert [each.json() for each in told[:3]] == [0, 1, 2]


def test_what_is_recorded_several_times_is_played_in_turn_and_the_last_one_stays(http: httpx.Client) -> None:
    played = recording(answer(status=404), answer(body=1), answer(body=2))
    with LoopbackPlatform([played]) as platform:
        told = [get(platform, http) for _ in range(4)]

    assert [each.status_code for each in told] == [404, 200, 200, 200]
    assert [each.json() for each in told[1:]] == [1, 2, 2]


def test_the_recordings_of_several_sessions_are_played_together(http: httpx.Client) -> None:
    with LoopbackPlatform([ONE, recording(answer("/b2", body={"n": 2}))]) as platform:
        assert [get(platform, http, each).json() for each in ("/b2", "/b1")] == [{"n": 2}, {"n": 1}]


@pytest.mark.parametrize(("recorded", "played"), [(0, 404), (404, 404), (403, 403), (200, 200)])
def test_a_status_is_played_and_no_answer_at_all_is_a_404(recorded: int, played: int, http: httpx.Client) -> None:
    with LoopbackPlatform([recording(answer(status=recorded, body={"messages": ["no"]}))]) as platform:
        told = get(platform, http)

    assert (told.status_code, told.json()) == (played, {"messages": ["no"]})


def test_an_answer_of_null_is_null_and_a_failure_without_a_body_is_empty(http: httpx.Client) -> None:
    with LoopbackPlatform([recording(answer(), answer("/b2", status=403))]) as platform:
        assert [get(platform, http, each).content for each in ("/b1", "/b2")] == [b"null", b""]


# --- who is let in ------------------------------------------------------------------------------------


def test_without_a_way_in_everybody_is_let_in(http: httpx.Client) -> None:
    with LoopbackPlatform([ONE]) as platform:
        assert get(platform, http).status_code == 200


@pytest.mark.parametrize("told", [{}, {"x_api_key": "other"}, {"x_other": "k"}, {"Authorization": "k"}])
def test_whoever_has_no_key_gets_a_401_and_no_hint_of_what_is_there(told: dict[str, str], http: httpx.Client) -> None:
    with LoopbackPlatform([ONE], headers={"x-api-key": "k"}) as platform:
        replies = [get(platform, http, target, **told) for target in ("/b1", "/nothing")]

    assert [(each.status_code, each.json()) for each in replies] == [
        (401, {"messages": ["This key is not known here."]})
    ] * 2


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"x_api_key": "k"}, 200),
        ({"X_API_KEY": "k"}, 200),
        ({"Authorization": "Basic b"}, 200),
        ({"Authorization": "Bearer t"}, 200),
        ({"Authorization": "Bearer t", "x_api_key": "wrong"}, 200),
        ({"Authorization": "k", "x_api_key": "Bearer t"}, 401),
    ],
)
def test_of_several_ways_in_one_is_enough(told: dict[str, str], status: int, http: httpx.Client) -> None:
    ways = [("x-api-key", "k"), ("Authorization", "Basic b"), ("Authorization", "Bearer t")]
    with LoopbackPlatform([ONE], headers=ways) as platform:
        assert get(platform, http, **told).status_code == status


def test_a_token_endpoint_gives_its_token_to_whoever_posts_there(http: httpx.Client) -> None:
    ways = [("Authorization", "Bearer t1"), ("Authorization", "Bearer t2")]
    with LoopbackPlatform([ONE], headers=ways, tokens={"/token": "t1", "/other/token": "t2"}) as platform:
        tokens = [http.post(platform.base_url + each, data={"a": "b"}).json() for each in ("/token", "/other/token")]
        told = get(platform, http, Authorization=f"Bearer {tokens[1]['access_token']}")
        got, posted = get(platform, http, "/token"), http.post(f"{platform.base_url}/b1")

    assert tokens[0] == {"access_token": "t1", "token_type": "Bearer", "expires_in": 3600}
    assert (tokens[1]["access_token"], told.status_code) == ("t2", 200)
    assert (got.status_code, posted.status_code) == (401, 401)


# --- what goes wrong on purpose -----------------------------------------------------------------------


def test_faults_come_first_one_request_each_and_need_no_key(http: httpx.Client) -> None:
    with LoopbackPlatform([ONE], headers={"x-api-key": "k"}) as platform:
        platform.faults["/b1"].extend(
            [Reply(status=503, body=b"down"), Reply(status=429, headers={"Retry-After": "7"})]
        )
        first, second = get(platform, http, "/b1?a=1"), get(platform, http)
        third, other = get(platform, http, x_api_key="k"), get(platform, http, "/b2", x_api_key="k")

    assert (first.status_code, first.content) == (503, b"down")
    assert (second.status_code, second.headers["retry-after"]) == (429, "7")
    assert (third.json(), other.status_code) == ({"n": 1}, 404)


@pytest.mark.parametrize("reply", [Reply(drop=True), Reply(body=b"x" * 1000, cut=True)], ids=["drop", "cut"])
def test_a_connection_can_be_broken_and_the_next_request_is_answered(reply: Reply, http: httpx.Client) -> None:
    with LoopbackPlatform([ONE]) as platform:
        platform.faults["/b1"].append(reply)
        with pytest.raises(httpx.RemoteProtocolError):
            get(platform, http)
        assert get(platform, http).json() == {"n": 1}


def test_a_reply_can_be_late(http: httpx.Client) -> None:
    with LoopbackPlatform([ONE]) as platform:
        platform.faults["/b1"].append(Reply(delay=0.2))
        began = time.monotonic()
        get(platform, http)

        assert time.monotonic() - began >= 0.2


# --- what it was asked, and where it listens ----------------------------------------------------------


def test_requests_are_kept_to_the_letter(http: httpx.Client) -> None:
    with LoopbackPlatform() as platform:
        get(platform, http, "/a%2Fb?c=%20", X_From="Me")
        http.post(f"{platform.base_url}/p", content=b"\x00body")
        first, second = platform.received

        assert platform.asked == ["GET /a%2Fb?c=%20", "POST /p"]
    assert (first.headers["x-from"], first.body) == ("Me", b"")
    assert second == Received(method="POST", target="/p", headers=second.headers, body=b"\x00body")


def test_it_listens_inside_its_with_block_only(http: httpx.Client) -> None:
    platform = LoopbackPlatform([ONE])
    with pytest.raises(RuntimeError, match="the loopback platform listens inside its with block only"):
        _ = platform.base_url
    with platform:
        url = platform.base_url
        assert get(platform, http).status_code == 200
    with pytest.raises(RuntimeError, match="inside its with block only"):
        _ = platform.base_url
    with pytest.raises(httpx.ConnectError):
        http.get(url)


def test_it_can_be_opened_again_and_remembers_what_it_was_asked(http: httpx.Client) -> None:
    platform = LoopbackPlatform([ONE])
    for _ in range(2):
        with platform:
            assert get(platform, http).json() == {"n": 1}

    assert platform.asked == ["GET /b1", "GET /b1"]


def test_closing_waits_neither_for_connections_that_are_kept_open_nor_for_late_replies(http: httpx.Client) -> None:
    with LoopbackPlatform([ONE]) as platform:
        get(platform, http)
        platform.faults["/b1"].append(Reply(delay=60))
        with pytest.raises(httpx.ReadTimeout):
            http.get(f"{platform.base_url}/b1", timeout=0.05)
        began = time.monotonic()

    assert time.monotonic() - began < 5
