"""A recording holds what a session is read from, and nothing that is secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_agent_events import FetchError, ReadError, RecordingReport, Reference, UsageError, demo, record, replay
from otel_agent_events.events import Note, Session
from otel_agent_events.fetchers import Connection, Request
from otel_agent_events.fetchers.auth import ApiKey
from otel_agent_events.fetchers.saved import RecordedAnswer, Recording, load, load_recording
from otel_agent_events.keys import Keys
from otel_agent_events.scrub import SCRUBBED, Scrubber
from otel_agent_events.testing import LoopbackPlatform, Reply
from tests.fetchers.test_client import install_diary
from tests.recordings import recordings
from tests.test_content import SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import httpx

    from otel_agent_events.events import JSON
    from otel_agent_events.fetchers import Answer, Asking, Item

pytestmark = pytest.mark.usefixtures("here")

KEY = 'k3y+of/this="test"'
SESSION = "vectara:support/s1"
EVENTS = "/v2/agents/support/sessions/s1/events"
DEMO = [each for each in demo.recordings() if each.session.startswith("vectara:")]
PASSWORD = "hunter2-is-mine"


def session_of(*pages: list[Any], session: str = "s1", agent: str = "support", **body: Any) -> Recording:
    """Give a session of Vectara as a recording that the loopback platform can play."""
    path = f"/v2/agents/{agent}"
    query = {"limit": "100", "include_hidden": "true"}
    answers = [
        RecordedAnswer(label="agent", path=path, body={"key": agent, "name": agent.title(), "first_step": {}, **body}),
        RecordedAnswer(label="session", path=f"{path}/sessions/{session}", body={"key": session, "agent_key": agent}),
    ]
    for number, events in enumerate(pages or ([],)):
        asked = query if number == 0 else {**query, "page_key": f"p{number}"}
        more = {} if number + 1 >= len(pages) else {"page_key": f"p{number + 1}"}
        page = {"events": events, "metadata": more}
        answers.append(RecordedAnswer(label="events", path=f"{path}/sessions/{session}/events", query=asked, body=page))
    return Recording(recording=1, session=f"vectara:{agent}/{session}", answers=answers)


def recorded(
    played: Recording | LoopbackPlatform, reference: str = SESSION, file: str = "out.json", **options: Any
) -> RecordingReport:
    """Record a session of a platform that lets us in with our key."""
    environ = {"VECTARA_API_KEY": KEY, **options.pop("environ", {})}
    if isinstance(played, LoopbackPlatform):
        return record(reference, file, base_url=played.base_url, environ=environ, **options)
    with LoopbackPlatform([played], headers={"x-api-key": KEY}) as platform:
        return record(reference, file, base_url=platform.base_url, environ=environ, **options)


def fetched(played: Recording, reference: str = SESSION, **options: Any) -> bytes:
    """Give the spans of a session that is fetched."""
    with LoopbackPlatform([played]) as platform:
        environ = {"VECTARA_API_KEY": KEY}
        report = replay([reference], to=["file:fetched"], base_url=platform.base_url, environ=environ, **options)
    assert report.exit_code == 0, report
    return Path("fetched").read_bytes()


def replayed(file: str = "out.json", **options: Any) -> bytes:
    """Give the spans of a session that is in a file."""
    report = replay([file], to=["file:replayed"], environ={}, **options)
    assert report.exit_code == 0, report
    return Path("replayed").read_bytes()


def ids(lines: bytes) -> list[tuple[str, str]]:
    spans = [
        span
        for line in lines.decode().splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    return [(span["traceId"], span["spanId"]) for span in spans]


def in_file(file: str = "out.json") -> Recording:
    return load_recording(Path(file).read_bytes(), file)


def words(file: str = "out.json") -> str:
    return Path(file).read_text(encoding="ascii")


def files() -> list[str]:
    return sorted(each.name for each in Path().iterdir())


# --- what is recorded replays as what was fetched -----------------------------------------------------


@pytest.mark.parametrize("content", ["scrubbed", "full"])
@pytest.mark.parametrize("played", DEMO, ids=lambda each: each.session)
def test_a_recording_replays_to_the_bytes_of_the_fetched_session(played: Recording, content: Any) -> None:
    report = recorded(played, played.session, content=content)

    assert (report.reference, report.answers, report.warnings) == (played.session, len(played.answers), ())
    assert replayed(content=content) == fetched(played, played.session, content=content)


@pytest.mark.parametrize("played", DEMO, ids=lambda each: each.session)
def test_a_full_recording_scrubbed_at_replay_is_the_scrubbed_session(played: Recording) -> None:
    recorded(played, played.session, content="full")

    assert replayed() == fetched(played, played.session)


def test_a_full_recording_holds_the_answers_as_they_came() -> None:
    recorded(DEMO[0], DEMO[0].session, content="full")

    assert in_file() == DEMO[0]


def test_a_recording_can_be_played_fetched_and_recorded_again() -> None:
    recorded(DEMO[0], DEMO[0].session, file="first.json")
    once_more = recorded(in_file("first.json"), DEMO[0].session, file="second.json")

    assert once_more.changed == 0
    first, second = in_file("first.json"), in_file("second.json")
    assert [each.body for each in second.answers] == [each.body for each in first.answers]
    assert ids(replayed("second.json")) == ids(replayed("first.json"))


def test_the_demo_session_with_a_secret_says_that_one_record_was_changed() -> None:
    changed = {each.session: recorded(each, each.session).changed for each in DEMO}

    assert changed[DEMO[0].session] == 1
    assert "not-for-your-eyes" not in words()


ODD: list[Any] = [
    {"id": "1", "type": "input_message", "messages": [{"type": "text", "content": f"password: {PASSWORD}"}]},
    {"id": "2", "type": "tool_input", "tool_call_id": "c", "tool_input": {"args": ["--password", PASSWORD, ["x"]]}},
    {"id": "3", "type": "tool_output", "tool_call_id": "c", "tool_output": {"token": PASSWORD, "n": 2**70, "h": 0.1}},
    {"id": "4", "type": "new", "deep": [[{"secret": PASSWORD}, [f'{{"password": "{PASSWORD}"}}']], None, True]},
    f"password={PASSWORD}",
    ["--password", PASSWORD],
    {"type": "thinking", "content": f"my key is {SECRET} \ud800 日本"},
    {"type": "agent_output", "content": "half", "x": float("inf")},
]


@pytest.mark.parametrize("content", ["scrubbed", "full"])
def test_records_of_every_shape_with_secrets_replay_to_the_same_bytes(content: Any) -> None:
    played = session_of(ODD[:5], ODD[5:])

    report = recorded(played, content=content)

    assert report.warnings == ()
    assert report.changed == (7 if content == "scrubbed" else 0)
    assert replayed(content=content) == fetched(played, content=content)


def test_answers_are_recorded_with_requests_and_without_headers() -> None:
    recorded(DEMO[0], DEMO[0].session)

    told = json.loads(words())
    assert list(told) == ["recording", "session", "answers"]
    assert {name for answer in told["answers"] for name in answer} <= {
        *("label", "path", "query", "status", "body", "changed")
    }
    assert [(each.path, each.query) for each in in_file().answers] == [
        (each.path, each.query) for each in DEMO[0].answers
    ]
    assert not any(name in words().lower() for name in ("x-api-key", "user-agent", "authorization", "content-type"))


def test_a_session_whose_key_wants_encoding_is_recorded_as_it_was_asked_for() -> None:
    played, reference = session_of([{"id": "1", "type": "new"}], session="case/8 8"), "vectara:support/case%2F8%208"

    report = recorded(played, reference)

    assert report.reference == in_file().session == reference
    assert in_file().answers[1].path == "/v2/agents/support/sessions/case%2F8%208"
    assert replayed() == fetched(in_file(), reference)


# --- failures that the fetcher could live with --------------------------------------------------------


@pytest.mark.parametrize("status", [403, 404])
def test_a_look_up_that_failed_gives_its_warning_again_when_it_is_replayed(status: int) -> None:
    played = session_of([{"id": "1", "type": "thinking"}])
    with LoopbackPlatform([played]) as platform:
        platform.faults["/v2/agents/support"].append(Reply(status=status, body=b'{"messages":["not for you"]}'))
        recorded(platform)
    report = replay(["out.json"], to=["file:replayed"], environ={}).sessions[0]

    assert [each.status for each in in_file().answers] == [status, 200, 200]
    assert report.error is None
    assert report.warnings[0] == (
        f"GET /v2/agents/support answered {status} when it was recorded; "
        "the trace lacks the agent's name, its model and the links to sub-agents"
    )


def test_a_session_with_a_failed_look_up_replays_to_the_same_bytes() -> None:
    played = session_of([{"id": "1", "type": "thinking", "created_at": "2026-01-01T00:00:00Z"}])
    del played.answers[0]

    recorded(played)

    assert in_file().answers[0].status == 404
    assert replayed() == fetched(played)


def test_a_request_that_was_refused_and_asked_again_otherwise_is_recorded_twice() -> None:
    played = session_of([{"id": "1", "type": "thinking"}])
    plain = played.answers[-1].model_copy(update={"query": {"limit": "100"}})
    refused = played.answers[-1].model_copy(update={"status": 422, "body": None})
    again = played.model_copy(update={"answers": [*played.answers[:-1], refused, plain]})

    recorded(again)

    assert [(each.status, each.query) for each in in_file().answers[2:]] == [
        (422, {"limit": "100", "include_hidden": "true"}),
        (200, {"limit": "100"}),
    ]
    assert replayed() == fetched(again)


def test_a_look_up_that_was_answered_with_null_is_recorded_and_played_as_null() -> None:
    played = session_of([{"id": "1", "type": "thinking"}])
    played.answers[0] = played.answers[0].model_copy(update={"body": None})

    recorded(played)

    assert (in_file().answers[0].status, in_file().answers[0].body) == (200, None)
    assert replayed() == fetched(played)


# --- our own credentials ------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["scrubbed", "full"])
@pytest.mark.parametrize(
    "echo",
    [
        KEY,
        KEY.upper(),
        "k3y%2Bof%2Fthis%3D%22test%22",
        json.dumps({"key": KEY}),
        json.dumps({"key": KEY}).replace("/", "\\/"),
    ],
)
def test_no_credential_of_ours_is_recorded_however_the_platform_echoes_it(echo: str, content: Any) -> None:
    record_ = {"id": "1", "type": "new", "said": [f"you came with {echo}."], f"by {echo}": {"deep": echo}}
    played = session_of([record_], description=echo)

    report = recorded(played, content=content)

    assert echo not in json.dumps([each.body for each in in_file().answers], ensure_ascii=False)
    assert words().count("[masked]") == 4
    assert "you came with " in words()
    assert report.warnings == ()
    assert ids(replayed(content=content)) == ids(fetched(played, content=content))


def test_a_token_that_was_fetched_is_not_recorded_either() -> None:
    played = session_of([{"id": "1", "type": "new", "said": "your token is t0ken-of-this-run"}])
    headers = {"Authorization": "Bearer t0ken-of-this-run"}
    with LoopbackPlatform([played], headers=headers, tokens={"/token": "t0ken-of-this-run"}) as platform:
        environ = {
            "VECTARA_CLIENT_ID": "me",
            "VECTARA_CLIENT_SECRET": "cl1ent-secret",
            "VECTARA_TOKEN_URL": f"{platform.base_url}/token",
        }
        record(SESSION, "out.json", content="full", base_url=platform.base_url, environ=environ)

    assert "your token is [masked]" in words()
    assert "t0ken-of-this-run" not in words()
    assert "cl1ent-secret" not in words()


# --- secrets of others --------------------------------------------------------------------------------


def test_secrets_are_taken_out_with_scrubbed_and_kept_with_full() -> None:
    played = session_of(ODD[:7])

    recorded(played, file="scrubbed.json")
    recorded(played, file="full.json", content="full")

    assert not any(secret in words("scrubbed.json") for secret in (PASSWORD, SECRET))
    assert all(secret in words("full.json") for secret in (PASSWORD, SECRET))
    assert "my key is [scrubbed]" in words("scrubbed.json")


def test_a_pattern_of_the_user_is_taken_out_too() -> None:
    played = session_of([{"id": "1", "type": "agent_output", "content": "ask customer-77"}])

    report = recorded(played, scrubber=Scrubber([r"customer-\d+"]))

    assert report.changed == 1
    assert in_file().answers[-1].body["events"][0]["content"] == f"ask {SCRUBBED}"


def test_the_content_of_the_environment_holds_and_the_option_is_above_it() -> None:
    name = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
    played = session_of([])

    with pytest.raises(UsageError) as caught:
        recorded(played, environ={name: "NO_CONTENT"})
    assert str(caught.value) == "a recording without contents would be none: use --content scrubbed or full"
    assert files() == []
    recorded(played, environ={name: "NO_CONTENT"}, content="scrubbed")
    assert files() == ["out.json"]


def test_a_recording_without_contents_is_refused_before_anything_is_fetched() -> None:
    with LoopbackPlatform([session_of([])]) as platform:
        with pytest.raises(UsageError, match="a recording without contents would be none"):
            recorded(platform, content="none")
        assert platform.asked == []


# --- the original keys --------------------------------------------------------------------------------


def test_records_without_an_id_keep_their_keys_when_something_is_taken_out_of_them() -> None:
    records = [
        {"type": "agent_output", "content": "nothing"},
        {"type": "agent_output", "content": "password: first-pa55"},
        {"type": "agent_output", "content": "password: second-pa55"},  # equal to the one before when it is scrubbed
        {"type": "agent_output", "content": "password: first-pa55"},  # and this one was equal before
    ]
    played = session_of(records)

    report = recorded(played)

    events = in_file().answers[-1].body["events"]
    assert events[1] == events[2] == events[3]
    assert (report.changed, report.warnings) == (3, ())
    assert replayed() == fetched(played)
    assert len(set(ids(replayed()))) == 5


def test_changed_holds_the_original_keys_by_json_pointer() -> None:
    fine, record_ = {"type": "new"}, {"type": "new", "a/b~c": [{"password": PASSWORD}]}
    recorded(session_of([fine, record_]))

    changed = in_file().answers[-1].changed
    assert list(changed) == ["", "/events/1", "/events/1/a~1b~0c/0"]
    assert changed["/events/1"] == Keys().claim(record_)
    assert changed["/events/1/a~1b~0c/0"] == Keys().claim({"password": PASSWORD})
    assert all(not each.changed for each in in_file().answers[:-1])


def test_a_secret_outside_of_any_list_changes_one_record_the_answer() -> None:
    report = recorded(session_of([], metadata={"password": PASSWORD}))

    assert report.changed == 1
    assert list(in_file().answers[0].changed) == [""]


_TEXTS = st.sampled_from(["hello", f"password: {PASSWORD}", "password: other-pa55", SECRET, "", "日本"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | _TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "content", "password", "x/y", "~0", "token"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(events=st.lists(_VALUES, max_size=5))
def test_whatever_is_taken_out_the_ids_stay(http: httpx.Client, events: list[Any]) -> None:
    played = session_of(events)

    report = recorded(played, client=http)

    assert PASSWORD not in words()
    assert report.warnings == ()
    assert replayed() == fetched(played, client=http)


def test_an_id_that_is_a_secret_is_taken_out_and_it_is_said_that_ids_change() -> None:
    report = recorded(session_of([{"id": SECRET, "type": "thinking"}]))

    assert report.warnings == ("what was taken out changes ids of this session: the recording replays to other ones",)
    assert SECRET not in words()


# --- a fetcher of somebody else -----------------------------------------------------------------------


class Ledger:
    """A platform whose records have no ids, and which has secrets of its own."""

    name = "diary"
    path = ("BOOK",)
    labels = ("rows",)
    variables = ("LEDGER_KEY",)
    secrets = ("tokenId",)

    def connect(self, environ: Mapping[str, str], base_url: str | None) -> Connection:
        return Connection(
            base_url=base_url or "http://127.0.0.1:1",
            credentials=ApiKey("x-api-key", environ["LEDGER_KEY"], variable="LEDGER_KEY"),
        )

    def ask(self, reference: Reference) -> Asking:
        yield Request(label="rows", path=("books", *reference.path), query={"tokenid": "from-the-query", "page": "1"})

    def reader(self, reference: Reference) -> LedgerReader:
        return LedgerReader(reference)

    def recognise(self, body: JSON) -> str | None:
        return "rows" if isinstance(body, list) and body[:1] == ["ledger"] else None

    def identify(self, answers: Sequence[Answer]) -> tuple[str, ...]:
        return (str(len(answers)),)


class LedgerReader:
    def __init__(self, reference: Reference) -> None:
        self._session = Session(reference=reference, id=reference.path[-1])
        self._keys = Keys()

    @property
    def duplicates(self) -> int:
        return self._keys.duplicates

    def feed(self, answer: Answer) -> Iterator[Item]:
        yield self._session
        for row in answer.body:
            key = self._keys.claim(row)
            if key is not None:
                yield Note(key=key, remainder=row)

    def close(self) -> Iterator[Item]:
        return iter(())


@pytest.fixture
def ledger(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    install_diary(tmp_path_factory.mktemp("site"), monkeypatch, named="tests.test_recording:Ledger")


ROWS: list[Any] = [
    {"n": 1, "tokenId": "t-1"},
    {"n": 1, "tokenId": "t-2"},
    {"n": 2, "deep": [{"TOKENID": "t-3", "x": {"tokenid": {"t": "t-4"}}}]},
    {"n": 3},
    ["tokenId", {"tokenId": "t-5"}],
]


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize("content", ["scrubbed", "full"])
def test_the_secrets_of_a_platform_are_gone_at_any_depth_and_keys_stay(content: Any) -> None:
    played = Recording(
        recording=1,
        session="diary:b1",
        answers=[
            RecordedAnswer(label="rows", path="/books/b1", query={"tokenid": "from-the-query", "page": "1"}, body=ROWS)
        ],
    )
    with LoopbackPlatform([played]) as platform:
        asked: dict[str, Any] = {"base_url": platform.base_url, "environ": {"LEDGER_KEY": "k"}}
        report = record("diary:b1", "out.json", content=content, **asked)
        replay(["diary:b1"], to=["file:fetched"], **asked)

    (answer,) = in_file().answers
    assert answer.body == [{"n": 1}, {"n": 1}, {"n": 2, "deep": [{"x": {}}]}, {"n": 3}, ["tokenId", {}]]
    assert answer.query == {"page": "1"}
    assert (report.changed, report.warnings) == (4, ())
    assert ids(replayed()) == ids(Path("fetched").read_bytes())
    assert len(ids(replayed())) == 6


# --- where it goes ------------------------------------------------------------------------------------


def test_a_file_that_was_there_is_replaced_and_nothing_is_left_beside_it() -> None:
    Path("out.json").write_text("before", encoding="utf-8")
    Path("out.json").chmod(0o600)

    recorded(session_of([]))

    assert in_file().session == SESSION
    assert files() == ["out.json"]
    assert Path("out.json").stat().st_mode & 0o777 == 0o600


def test_a_link_stays_and_what_it_points_to_is_replaced() -> None:
    Path("link.json").symlink_to("real.json")

    recorded(session_of([]), file="link.json")

    assert Path("link.json").is_symlink()
    assert in_file("real.json").session == SESSION


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=404),
        Reply(body=b'{"events": [{"id": "aev'),
        Reply(body=b'{"something": "else"}'),
        Reply(body=b'{"events": [], "metadata": {"page_key": "more"}}'),
    ],
    ids=["missing", "cut off", "no list", "second page missing"],
)
def test_a_session_that_fails_leaves_the_file_that_was_there_and_nothing_else(reply: Reply) -> None:
    Path("out.json").write_text("before", encoding="utf-8")
    with LoopbackPlatform([session_of([])]) as platform:
        platform.faults[EVENTS].append(reply)
        with pytest.raises((FetchError, ReadError), match=f"^{SESSION}: "):
            recorded(platform)

    assert files() == ["out.json"]
    assert Path("out.json").read_text(encoding="utf-8") == "before"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("no/such/folder", "'no/such/folder' cannot be written: No such file or directory"),
        ("file/out.json", "'file/out.json' cannot be written: Not a directory"),
        ("folder", "'folder' cannot be written as a file: it is something else"),
        (".", "'.' cannot be written as a file: it is something else"),
        ("", "'' cannot be written as a file: it is something else"),
        ("a\0b", "'a\\x00b' is no path of a file"),
        ("x" * 300, f"{'x' * 300!r} cannot be written: File name too long"),
    ],
)
def test_a_path_that_cannot_be_written_is_told_before_anything_is_fetched(path: str, said: str) -> None:
    Path("file").touch()
    Path("folder").mkdir()
    with LoopbackPlatform([session_of([])]) as platform:
        with pytest.raises(UsageError) as caught:
            recorded(platform, file=path)
        assert platform.asked == []

    assert str(caught.value) == said
    assert files() == ["file", "folder"]


def test_a_place_that_is_taken_by_a_folder_meanwhile_is_told_and_nothing_is_left() -> None:
    with LoopbackPlatform([session_of([])]) as platform:
        platform.faults["/v2/agents/support"].append(Reply(body=b"null"))
        report = record(SESSION, "first.json", base_url=platform.base_url, environ={"VECTARA_API_KEY": KEY})
        assert report.answers == 3

        class Late(Scrubber):
            def value(self, value: Any) -> Any:
                Path("out.json").mkdir(exist_ok=True)
                return super().value(value)

        with pytest.raises(UsageError) as caught:
            recorded(platform, scrubber=Late())

    assert str(caught.value) == "'out.json' cannot be written: Is a directory"
    assert files() == ["first.json", "out.json"]


@pytest.mark.parametrize("depth", [60, 400, 600, 900])
@pytest.mark.parametrize("content", ["scrubbed", "full"])
def test_an_answer_of_any_depth_is_recorded_or_refused_in_a_sentence(depth: int, content: Any) -> None:
    body: Any = "bottom"
    for _ in range(depth):
        body = [body]
    try:
        recorded(session_of([{"id": "1", "type": "new", "deep": body}]), content=content)
    except ReadError as error:
        assert depth > 400
        assert str(error) == f"{SESSION}: an answer is nested too deeply to be recorded"  # noqa: PT017
        assert files() == []
    else:
        assert in_file().answers[-1].body["events"][0]["deep"] == body


# --- what cannot be recorded --------------------------------------------------------------------------


@pytest.mark.parametrize("reference", ["saved.json", "-", "chat:s1", "support/s1", ""])
def test_what_is_no_session_of_a_platform_is_refused(reference: str) -> None:
    Path("saved.json").write_text(session_of([]).model_dump_json(), encoding="utf-8")

    with pytest.raises(UsageError) as caught:
        record(reference, "out.json", environ={"VECTARA_API_KEY": KEY})

    assert str(caught.value).startswith(
        f"{reference!r} is no session of a platform, and only those are recorded; "
        "write FETCHER:PATH, such as vectara:AGENT/SESSION; installed fetchers: "
    )
    assert files() == ["saved.json"]


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("vectara:a/b/c", "vectara:a/b/c names no session; write vectara:AGENT/SESSION"),
        ("vectara:", "'vectara:' is no session: write FETCHER:PATH, such as vectara:AGENT/SESSION"),
    ],
)
def test_a_reference_with_the_wrong_parts_says_how_it_is_written(reference: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        record(reference, "out.json", environ={"VECTARA_API_KEY": KEY})

    assert str(caught.value) == said
    assert files() == []


def test_without_credentials_nothing_is_fetched_or_written() -> None:
    with LoopbackPlatform([session_of([])]) as platform:
        with pytest.raises(UsageError, match="set VECTARA_API_KEY"):
            record(SESSION, "out.json", base_url=platform.base_url, environ={})
        assert platform.asked == []

    assert files() == []


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(UsageError) as caught:
        recorded(session_of([]), rate=rate)

    assert str(caught.value) == f"the rate is {rate:g}; it is a number of requests a second, and at least 0.001"


@pytest.mark.parametrize("reference", ["vectara:s1", "vectara:/s1"])
def test_an_incomplete_reference_is_found_and_recorded_under_its_full_name(reference: str) -> None:
    listing = RecordedAnswer(
        label="agents", path="/v2/agents", query={"limit": "100"}, body={"agents": [{"key": "support"}]}
    )
    played = session_of([{"id": "1", "type": "thinking"}])

    report = recorded(Recording(recording=1, session=SESSION, answers=[listing, *played.answers]), reference)

    said = "'s1' was looked for in 1 agent that this key can list, and is vectara:support/s1"
    assert (report.reference, report.warnings) == (SESSION, (said,))
    assert in_file().session == SESSION
    assert [each.label for each in in_file().answers] == ["agent", "session", "events"]
    assert replayed() == fetched(played)


def test_a_reference_as_a_value_is_recorded_as_well() -> None:
    with LoopbackPlatform([session_of([])]) as platform:
        reference = Reference("vectara", ("support", "s1"))
        report = record(reference, "out.json", base_url=platform.base_url, environ={"VECTARA_API_KEY": KEY})

    assert report.reference == SESSION


# --- recordings that somebody damaged -----------------------------------------------------------------


@pytest.mark.parametrize(
    "pointer",
    [
        *("/events/7", "/events/-1", "/events/x", "/events/+0", "/events/ 0", "/events/00", "/events/"),
        *("/nothing", "/events/0/type/0", "/events/0/id/x", "/metadata/x", "events", "events/0", "/", "/events/-"),
    ],
)
def test_a_pointer_that_points_nowhere_is_told(pointer: str) -> None:
    played = session_of([{"id": "1", "type": "thinking"}])
    played.answers[-1].changed[pointer] = "c:0000000000000000"

    with pytest.raises(ReadError) as caught:
        load(played.model_dump_json().encode(), "a.json")

    assert str(caught.value) == f"a.json is no recording: {pointer!r} in changed is no part of its answer"


def test_a_damaged_recording_costs_only_itself() -> None:
    damaged, fine = session_of([]), session_of([{"id": "1", "type": "thinking"}])
    damaged.answers[-1].changed["/events/0"] = "c:0"
    for name, each in (("damaged.json", damaged), ("fine.json", fine)):
        Path(name).write_text(each.model_dump_json(), encoding="utf-8")

    report = replay(["damaged.json", "fine.json"], to=["file:out"], environ={})

    assert [each.error for each in report.sessions] == [
        "damaged.json is no recording: '/events/0' in changed is no part of its answer",
        None,
    ]
    assert report.exit_code == 1


# --- every platform -----------------------------------------------------------------------------------


def every_recording() -> list[Recording]:
    return [each for platform in ("agora", "hubster", "lyzr", "vectara") for each in recordings(platform)]


@pytest.mark.parametrize("played", every_recording(), ids=lambda each: each.session)
def test_what_is_recorded_of_any_platform_replays_to_the_same_ids_and_bytes(here: Path, played: Recording) -> None:
    with LoopbackPlatform([played], headers=demo.HEADERS, tokens=demo.TOKENS) as platform:
        environ = demo.environment(platform.base_url, {})
        live = replay([played.session], to=["file:live"], environ=environ)
        told = record(played.session, "recorded.json", environ=environ)
    again = replay(["recorded.json"], to=["file:again"], environ={})

    assert (live.exit_code, again.exit_code, told.warnings) == (0, 0, ())
    assert [session.trace_id for session in live.sessions] == [session.trace_id for session in again.sessions]
    assert (here / "live").read_bytes() == (here / "again").read_bytes()
    assert "tokenId" not in (here / "recorded.json").read_text()
