from __future__ import annotations

import io
import json
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_events.errors import FetchError, ReadError, UsageError
from otel_agent_events.reference import Reference
from otel_agent_events.settings import Settings
from otel_agent_events.sources import Source, Sources, Wanted
from otel_agent_events.testing import LoopbackPlatform, Reply
from tests.fetchers.test_client import install_diary
from tests.recordings import INSTALLED, bundled
from tests.traces import body_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

S1 = Reference("vectara", ("support", "s1"))
PAGE = {"events": [{"id": "1", "type": "thinking", "session_key": "s1"}]}
ENVIRON = {"VECTARA_API_KEY": "vectara-key", "DIARY_KEY": "diary-key"}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as closing:
        yield closing


@pytest.fixture
def diary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_diary(tmp_path, monkeypatch)


def resolve(stack: ExitStack, *references: Any, environ: dict[str, str] | None = None, **options: Any) -> list[Wanted]:
    return Sources(Settings(ENVIRON if environ is None else environ), stack, **options).resolve(references)


def opened(wanted: Wanted) -> Source:
    (source,) = wanted.open()
    return source


def refusal(stack: ExitStack, *references: Any, **options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        resolve(stack, *references, **options)
    return str(caught.value)


def saved(folder: Path, name: str = "a.json", body: Any = PAGE) -> Path:
    path = folder / name
    path.write_text(json.dumps(body))
    return path


# --- what is what -------------------------------------------------------------------------------------


def test_a_reference_is_fetched(stack: ExitStack) -> None:
    (recording, *_) = played = bundled("vectara")
    with LoopbackPlatform(played, headers={"x-api-key": "vectara-key"}) as platform:
        (wanted,) = resolve(stack, recording.session, base_url=platform.base_url)
        assert platform.asked == []

        source = opened(wanted)
        answers = list(source.answers)

    assert (wanted.name, source.reference, source.fetcher.name) == (recording.session, recording.reference, "vectara")
    assert [body_of(answer) for answer in answers] == [answer.body for answer in recording.answers]
    assert (source.saved, source.flaws) == (False, ())


def test_a_file_is_read(here: Path, stack: ExitStack) -> None:
    (wanted,) = resolve(stack, str(saved(here)))

    source = opened(wanted)

    assert wanted.name == str(here / "a.json")
    assert (source.reference, source.saved) == (Reference("vectara", ("", "s1")), True)
    assert [body_of(answer) for answer in source.answers] == [PAGE]


def test_a_file_may_be_named_by_a_path_or_have_a_colon_in_its_name(here: Path, stack: ExitStack) -> None:
    first, second = resolve(stack, saved(here), str(saved(here, "chat:s1")))

    assert opened(first).reference == opened(second).reference


def test_flaws_of_a_file_are_handed_on(here: Path, stack: ExitStack) -> None:
    (wanted,) = resolve(stack, saved(here, body=[PAGE, {}]))

    assert "an empty object" in opened(wanted).flaws[0]


def test_standard_input_is_read_when_it_is_opened(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    (wanted,) = resolve(stack, "-")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(PAGE).encode())))

    source = opened(wanted)

    assert wanted.name == "-"
    assert [answer.source for answer in source.answers] == ["answer 1 of standard input"]


def test_an_empty_standard_input_is_told(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    (wanted,) = resolve(stack, "-")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))

    with pytest.raises(ReadError, match=r"^standard input is empty$"):
        opened(wanted)


@pytest.mark.parametrize("told", ["nothing.json", "chat:ada/monday", "vectara", "C:\\a.json", "x" * 5000, "a\0b", ""])
def test_what_is_neither_names_the_installed_fetchers(told: str, stack: ExitStack) -> None:
    assert refusal(stack, told) == (
        f"{told!r} is neither a file nor FETCHER:PATH; installed fetchers: {INSTALLED} "
        "(otel-agent-events fetchers lists them)"
    )


def test_a_reference_to_a_platform_that_is_not_installed_is_refused(stack: ExitStack) -> None:
    assert refusal(stack, Reference("chat", ("s1",))) == f"there is no fetcher 'chat'; installed: {INSTALLED}"


def test_nothing_at_all_is_refused(stack: ExitStack) -> None:
    assert refusal(stack) == "no session was named; write FETCHER:PATH, a file, or - for standard input"


@pytest.mark.parametrize("told", ["vectara:a/b/c", "vectara:support/", "vectara:/"])
def test_a_reference_with_the_wrong_parts_says_how_it_is_written(told: str, stack: ExitStack) -> None:
    assert refusal(stack, told) == f"{told} names no session; write vectara:AGENT/SESSION"


def test_a_reference_without_a_path_says_how_it_is_written(stack: ExitStack) -> None:
    assert refusal(stack, "vectara:") == ("'vectara:' is no session: write FETCHER:PATH, such as vectara:AGENT/SESSION")


def test_what_is_named_twice_is_wanted_once(here: Path, stack: ExitStack) -> None:
    path = saved(here)

    wanted = resolve(stack, "vectara:a/s%201", Reference("vectara", ("a", "s 1")), path, f"{here}/./a.json", "-", "-")

    assert [each.name for each in wanted] == ["vectara:a/s%201", str(path), "-"]


def test_all_are_checked_before_any_is_opened(here: Path, stack: ExitStack) -> None:
    with LoopbackPlatform() as platform:
        assert "names no session" in refusal(stack, str(S1), saved(here), "vectara:x/", base_url=platform.base_url)
        assert platform.asked == []


# --- options ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("diary")
def test_a_base_url_is_of_one_platform(here: Path, stack: ExitStack) -> None:
    both = "vectara:a/s1", "diary:ada/monday"

    assert refusal(stack, *both, base_url="http://127.0.0.1:1") == (
        "--base-url is of one platform; name sessions of one platform with it"
    )
    assert len(resolve(stack, *both)) == 2
    assert len(resolve(stack, both[0], saved(here), base_url="http://127.0.0.1:1")) == 2


def test_a_base_url_that_is_none_is_refused(stack: ExitStack) -> None:
    assert refusal(stack, str(S1), base_url="host").startswith("--base-url is no base URL")
    assert refusal(stack, str(S1), environ={**ENVIRON, "VECTARA_BASE_URL": "host"}).startswith("VECTARA_BASE_URL is no")


def test_a_base_url_of_the_environment_may_have_white_space_around_it(stack: ExitStack) -> None:
    with LoopbackPlatform() as platform:
        (wanted,) = resolve(stack, str(S1), environ={**ENVIRON, "VECTARA_BASE_URL": f" {platform.base_url}/\n"})
        with pytest.raises(FetchError):
            list(opened(wanted).answers)

        assert platform.asked[0] == "GET /v2/agents/support"


@pytest.mark.parametrize("session", [S1, str(S1)])
def test_a_session_names_what_one_file_does_not(session: Reference | str, here: Path, stack: ExitStack) -> None:
    (wanted, _) = resolve(stack, saved(here), "vectara:a/s2", session=session)

    assert opened(wanted).reference == S1


def test_a_session_needs_one_file(here: Path, stack: ExitStack) -> None:
    said = "--session names what one saved answer does not; give one file with it"

    assert refusal(stack, "vectara:a/s2", session=S1) == said
    assert refusal(stack, saved(here), "-", session=S1) == said
    assert len(resolve(stack, "-", session=S1)) == 1


@pytest.mark.parametrize(
    ("session", "said"),
    [
        ("s1", "'s1' is no session: write FETCHER:PATH, such as vectara:AGENT/SESSION"),
        ("chat:s1", f"there is no fetcher 'chat'; installed: {INSTALLED}"),
        ("vectara:s1", "--session vectara:s1 names no session; write vectara:AGENT/SESSION"),
        ("vectara:a/", "--session vectara:a/ names no session; write vectara:AGENT/SESSION"),
    ],
)
def test_a_session_that_is_none_is_refused(session: str, said: str, here: Path, stack: ExitStack) -> None:
    assert refusal(stack, saved(here), session=session) == said


def test_of_a_session_the_agent_may_be_unknown(here: Path, stack: ExitStack) -> None:
    (wanted,) = resolve(stack, saved(here), session="vectara:/s1")

    assert opened(wanted).reference == Reference("vectara", ("", "s1"))


# --- credentials and connections ----------------------------------------------------------------------


@pytest.mark.parametrize("environ", [{}, {"VECTARA_API_KEY": " "}, {"VECTARA_CLIENT_ID": "i"}])
def test_without_credentials_the_variables_are_named_before_anything_is_fetched(
    environ: dict[str, str], stack: ExitStack
) -> None:
    with LoopbackPlatform() as platform:
        said = refusal(stack, str(S1), environ=environ, base_url=platform.base_url)

        assert platform.asked == []
    assert said == (
        "Vectara wants credentials: set VECTARA_API_KEY (a Personal API key), "
        "or VECTARA_CLIENT_ID and VECTARA_CLIENT_SECRET"
    )


def test_a_file_needs_no_credentials(here: Path, stack: ExitStack) -> None:
    assert len(resolve(stack, saved(here), environ={})) == 1


def test_sessions_of_a_platform_share_its_agents(stack: ExitStack) -> None:
    with LoopbackPlatform() as platform:
        for wanted in resolve(stack, "vectara:support/s1", "vectara:support/s2", base_url=platform.base_url):
            with pytest.raises(FetchError):
                list(opened(wanted).answers)

    assert platform.asked.count("GET /v2/agents/support") == 1
    assert len(platform.asked) == 5


def test_a_client_of_the_caller_is_used_and_left_open(http: httpx.Client) -> None:
    with LoopbackPlatform() as platform:
        with ExitStack() as stack:
            http.headers["x-from"] = "the caller"
            (wanted,) = resolve(stack, str(S1), client=http, base_url=platform.base_url)
            with pytest.raises(FetchError):
                list(opened(wanted).answers)

        assert platform.received[0].headers["x-from"] == "the caller"
        assert not http.is_closed


def test_the_time_out_is_that_of_one_answer(stack: ExitStack) -> None:
    with LoopbackPlatform() as platform:
        platform.faults["/v2/agents/support"].append(Reply(delay=60))
        (wanted,) = resolve(stack, str(S1), base_url=platform.base_url, timeout=0.1)
        answers = iter(opened(wanted).answers)

        assert next(answers).failure is not None

        assert platform.asked.count("GET /v2/agents/support") == 2


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("HTTPS_PROXY", "socks9://ada:s3cr3t@proxy"),
        ("HTTPS_PROXY", "http://ada:s3cr3t@proxy:port"),
        ("SSL_CERT_FILE", "/nowhere/s3cr3t.pem"),
        ("SSL_CERT_FILE", __file__),
    ],
)
def test_a_proxy_or_certificates_that_cannot_be_used_are_told_and_not_quoted(
    name: str, told: str, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, told)

    said = refusal(stack, str(S1))

    assert name in said
    assert "s3cr3t" not in said


@pytest.mark.usefixtures("diary")
def test_one_client_serves_all_platforms_and_is_closed_with_the_run() -> None:
    with ExitStack() as stack:
        sources = Sources(Settings(ENVIRON), stack)
        sources.resolve([str(S1), "vectara:a/s2", "diary:ada/monday"])
        made = sources._http
        assert made is not None
        assert not made.is_closed

    assert made.is_closed


# --- saved answers in memory ---------------------------------------------------------------------------


def test_bytes_are_what_is_in_a_file(here: Path, stack: ExitStack) -> None:
    path = saved(here)
    in_file, in_memory = resolve(stack, path, path.read_bytes())

    of_file, of_memory = opened(in_file), opened(in_memory)

    assert in_memory.name == "saved answer 1"
    assert (of_memory.reference, of_memory.saved, of_memory.flaws) == (of_file.reference, True, ())
    assert [body_of(answer) for answer in of_memory.answers] == [PAGE]
    assert [answer.source for answer in of_memory.answers] == ["answer 1 of saved answer 1"]


def test_bytes_are_counted_among_themselves_and_the_same_ones_are_wanted_once(here: Path, stack: ExitStack) -> None:
    first, second = (json.dumps(PAGE | {"note": number}).encode() for number in range(2))

    wanted = resolve(stack, first, saved(here), first, second)

    assert [each.name for each in wanted] == ["saved answer 1", str(here / "a.json"), "saved answer 3"]


def test_a_session_names_what_bytes_do_not(stack: ExitStack) -> None:
    body = json.dumps({"events": [{"id": "1", "type": "thinking"}]}).encode()

    (unnamed,) = resolve(stack, body)
    (named,) = resolve(stack, body, session="vectara:support/s1")

    with pytest.raises(ReadError, match=r"^saved answer 1 does not say which session it is"):
        opened(unnamed)
    assert opened(named).reference == S1


def test_bytes_may_be_neutral_events_of_several_sessions(stack: ExitStack) -> None:
    lines = b'{"session":{"id":"a","platform":"x"}}\n{"session":{"id":"b","platform":"x"}}\n{"kind":"odd"}\n'
    (wanted,) = resolve(stack, lines)

    assert [str(source.reference) for source in wanted.open()] == ["x:a", "x:b"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe\x00", b"<html>"])
def test_bytes_that_hold_no_answer_are_told_when_they_are_opened(body: bytes, stack: ExitStack) -> None:
    (wanted,) = resolve(stack, body)

    with pytest.raises(ReadError, match=r"^saved answer 1 "):
        opened(wanted)


@pytest.mark.parametrize(
    ("alone", "said"),
    [
        ("vectara:support/s1", "'vectara:support/s1' stands alone"),
        (S1, "'vectara:support/s1' stands alone"),
        (b"{}", "a saved answer stands alone"),
    ],
)
def test_one_that_stands_alone_is_not_taken_apart(alone: Any, said: str, stack: ExitStack) -> None:
    with pytest.raises(UsageError, match=f"^{said} where several may be named; put it in a list$"):
        Sources(Settings(ENVIRON), stack).resolve(alone)


# --- files that cannot be read ------------------------------------------------------------------------


def test_a_file_that_cannot_be_read_is_told_when_it_is_opened(here: Path, stack: ExitStack) -> None:
    gone, folder = resolve(stack, here / "gone.json", str(here))

    with pytest.raises(ReadError, match=r"gone\.json cannot be read: No such file or directory$"):
        opened(gone)
    with pytest.raises(ReadError, match=r"cannot be read: Is a directory$"):
        opened(folder)


def test_a_standard_input_that_is_closed_costs_this_session_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with ExitStack() as stack:
        (wanted,) = Sources(Settings({}), stack).resolve(["-"])

        with pytest.raises(ReadError, match="standard input is closed"):
            opened(wanted)
