"""What platforms and networks give instead of an answer: told in a sentence, and other sessions go on."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_events import demo, replay
from otel_agent_events.fetchers.client import Limits
from otel_agent_events.testing import LoopbackPlatform, Reply
from tests.recordings import bundled
from tests.traces import lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_agent_events.fetchers.saved import Recording
    from otel_agent_events.report import Report

pytestmark = pytest.mark.usefixtures("here")

PLATFORMS = ("agora", "hubster", "lyzr", "vectara")
NEEDED = {
    "agora": "/v2/projects/{}/agents/{}/history",
    "hubster": "/api/v1/interactions/activities/{}",
    "lyzr": "/v2/activities",
    "vectara": "/v2/agents/{}/sessions/{}/events",
}
"""The path of the request without which there is no trace."""

JSON = {"Content-Type": "application/json"}
BOMB = gzip.compress(b"[" + b" " * Limits().answer + b"]")
WRONG = {
    "401": (Reply(status=401, body=b'{"detail": "who are you?"}'), "answered 401 Unauthorized"),
    "403": (Reply(status=403, body=b'{"message": "not you"}'), "answered 403 Forbidden"),
    "500": (Reply(status=500, headers={**JSON, "Retry-After": "0"}), "answered 500 Internal Server Error"),
    "429 for ever": (Reply(status=429, headers={**JSON, "Retry-After": "0"}), "answered 429 Too Many Requests"),
    "429 for long": (Reply(status=429, headers={**JSON, "Retry-After": "3600"}), "asks to wait 3600 s"),
    "HTML": (Reply(body=b"<html>Log in</html>"), "a web page (HTML) where JSON was expected"),
    "truncated": (Reply(body=b'[{"type": "mess'), "JSON that is broken or cut off"),
    "empty": (Reply(body=b""), "an empty body"),
    "204": (Reply(status=204, body=b""), "answered 204 No Content"),
    "gzip bomb": (Reply(body=BOMB, headers={**JSON, "Content-Encoding": "gzip"}), "an answer may not be larger"),
    "redirect": (Reply(status=302, headers={"Location": "https://login.example/?key=1"}), "which is not followed"),
}


@pytest.fixture
def loopback() -> Iterator[LoopbackPlatform]:
    with LoopbackPlatform(demo.recordings(), headers=demo.HEADERS, tokens=demo.TOKENS) as platform:
        yield platform


def needed(platform: str) -> str:
    return NEEDED[platform].format(*bundled(platform)[0].reference.path)


def run(loopback: LoopbackPlatform, *references: str) -> Report:
    return replay(references, to=["file:out.jsonl"], environ=demo.environment(loopback.base_url, {}))


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_wrong_answer_is_told_and_other_sessions_go_on(
    loopback: LoopbackPlatform, here: Path, platform: str, wrong: str
) -> None:
    other = "vectara" if platform != "vectara" else "hubster"
    bad, good = (bundled(name)[0].session for name in (platform, other))
    reply, said = WRONG[wrong]
    loopback.faults[needed(platform)].extend([reply] * 8)

    report = run(loopback, bad, good)

    failed, fine = report.sessions
    assert report.exit_code == 1
    assert failed.error is not None
    assert failed.error.startswith(f"{bad}: GET {needed(platform)}")
    assert said in failed.error
    assert failed.error.endswith("; nothing of it was sent")
    assert (failed.made, fine.error) == (0, None)
    assert fine.acknowledged == fine.made == len(lines_of(here / "out.jsonl")) > 10


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_session_that_is_nowhere_is_told_and_other_sessions_go_on(
    loopback: LoopbackPlatform, here: Path, platform: str
) -> None:
    path, good = bundled(platform)[0].reference.path, bundled(platform)[0].session
    report = run(loopback, f"{platform}:{'/'.join('nothing' for _ in path)}", good)

    failed, fine = report.sessions
    assert report.exit_code == 1
    assert "answered 404 Not Found" in str(failed.error)
    assert (failed.made, fine.error) == (0, None)
    assert fine.acknowledged == fine.made == len(lines_of(here / "out.jsonl")) > 10


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_platform_that_asks_to_wait_is_asked_again(loopback: LoopbackPlatform, platform: str) -> None:
    loopback.faults[needed(platform)].append(Reply(status=429, headers={**JSON, "Retry-After": "0"}))

    report = run(loopback, bundled(platform)[0].session)

    assert report.exit_code == 0
    asked = [each for each in loopback.asked if each.startswith(f"GET {needed(platform)}")]
    assert len(asked) == len(set(asked)) + 1


@pytest.mark.parametrize("platform", PLATFORMS)
def test_no_credential_of_ours_is_told_when_the_platform_quotes_it(loopback: LoopbackPlatform, platform: str) -> None:
    secrets = {*demo.environment("", {}).values(), *demo.TOKENS.values(), *(told for _, told in demo.HEADERS)} - {
        "",
        "demo",
    }
    quoted = " ".join(sorted(secrets)).encode()
    loopback.faults[needed(platform)].append(Reply(status=403, body=b'{"message": "not with ' + quoted + b'"}'))
    environ = demo.environment(loopback.base_url, {})

    report = replay([bundled(platform)[0].session], to=["file:out.jsonl"], environ=environ)

    told = report.model_dump_json()
    assert "answered 403 Forbidden: not with" in told
    assert OWN_SECRET[platform] not in told


OWN_SECRET = {"vectara": "demo-key", "lyzr": "demo-key", "agora": "demo-key", "hubster": "demo-token"}


def quoting(recording: Recording, secret: str) -> Recording:
    """Give a recording in which everybody quotes a secret."""

    def through(told: Any) -> Any:
        if isinstance(told, dict):
            return {
                name: f"{inner} with {secret}"
                if name in {"content", "text"} and isinstance(inner, str)
                else through(inner)
                for name, inner in told.items()
            }
        return [through(inner) for inner in told] if isinstance(told, list) else told

    answers = [answer.model_copy(update={"body": through(answer.body)}) for answer in recording.answers]
    return recording.model_copy(update={"answers": answers})


@pytest.mark.parametrize("platform", PLATFORMS)
def test_no_credential_of_ours_reaches_a_span_when_a_record_quotes_it_and_ids_stay(here: Path, platform: str) -> None:
    recording = quoting(bundled(platform)[0], OWN_SECRET[platform])
    (here / "saved.json").write_text(recording.model_dump_json())

    with LoopbackPlatform([recording], headers=demo.HEADERS, tokens=demo.TOKENS) as loopback:
        environ = demo.environment(loopback.base_url, {})
        live = replay([recording.session], to=["file:live"], environ=environ, content="full")
    saved = replay(["saved.json"], to=["file:saved"], environ={}, content="full")

    assert (live.exit_code, saved.exit_code) == (0, 0)
    assert OWN_SECRET[platform] in (here / "saved").read_text()
    assert OWN_SECRET[platform] not in (here / "live").read_text()
    assert " with [masked]" in (here / "live").read_text()
    assert [span["spanId"] for span in lines_of(here / "live")] == [span["spanId"] for span in lines_of(here / "saved")]
