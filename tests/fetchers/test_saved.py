from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agent_events.errors import ReadError, UsageError
from otel_agent_events.fetchers import saved as files
from otel_agent_events.fetchers.saved import Saved, load_recording
from otel_agent_events.reference import Reference
from tests.fetchers.test_client import install_diary
from tests.recordings import INSTALLED
from tests.traces import body_of

if TYPE_CHECKING:
    from pathlib import Path

    from otel_agent_events.events import JSON

GIVEN = Reference("vectara", ("support", "s1"))
FIRST = {"events": [{"id": "1", "type": "thinking", "session_key": "s1"}], "metadata": {"page_key": "p2"}}
SECOND = {"events": [{"id": "2", "type": "agent_output", "session_key": "s1"}], "metadata": {}}
SESSION = {"key": "s1", "agent_key": "support", "name": "Late order"}
AGENT = {"key": "support", "name": "Support desk", "tool_configurations": {}}
UNNAMED = {"events": [{"id": "1", "type": "thinking"}]}


def written(*values: JSON, between: str = "\n") -> bytes:
    return between.join(map(json.dumps, values)).encode()


def load(content: bytes, name: str, session: Reference | None = None) -> Saved:
    """Load a file of one session."""
    (saved,) = files.load(content, name, session)
    return saved


def told(saved: Saved) -> list[tuple[str, str, Any]]:
    return [(answer.label, answer.source, body_of(answer)) for answer in saved.answers]


def refusal(content: bytes, session: Reference | None = None) -> str:
    with pytest.raises(ReadError) as caught:
        load(content, "a.json", session)
    return str(caught.value)


# --- what curl printed --------------------------------------------------------------------------------


def test_one_page_is_a_session() -> None:
    saved = load(written(FIRST), "a.json")

    assert told(saved) == [("events", "answer 1 of a.json", FIRST)]
    assert saved.reference == Reference("vectara", ("", "s1"))
    assert saved.fetcher.name == "vectara"
    assert saved.flaws == ()


def test_a_list_of_pages_and_look_ups_is_a_session() -> None:
    saved = load(written([AGENT, SESSION, FIRST, SECOND]), "a.json")

    assert [label for label, _, _ in told(saved)] == ["agent", "session", "events", "events"]
    assert [source for _, source, _ in told(saved)][-1] == "answer 4 of a.json"
    assert saved.reference == GIVEN


@pytest.mark.parametrize("between", ["\n", "\r\n", "", " ", "\n\n\t\n"])
def test_pages_may_follow_one_another_and_look_ups_are_read_before_them(between: str) -> None:
    saved = load(written(FIRST, SECOND, SESSION, between=between) + b"\r\n", "a.json")

    assert [body for _, _, body in told(saved)] == [SESSION, FIRST, SECOND]
    assert saved.flaws == ()


def test_lists_in_lists_are_pages_in_their_order() -> None:
    saved = load(written([[FIRST], [[SECOND]]], SESSION), "a.json")

    assert [body for _, _, body in told(saved)] == [SESSION, FIRST, SECOND]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_what_a_shell_wrote_is_read_in_its_encoding(encoding: str) -> None:
    text = json.dumps(FIRST, indent=2, ensure_ascii=False).replace("\n", "\r\n").replace("thinking", "thinking é😀")

    (answer,) = load(text.encode(encoding), "a.json").answers

    assert body_of(answer)["events"][0]["type"] == "thinking é😀"


def test_a_byte_that_stands_for_half_a_character_is_read_as_http_answers_are() -> None:
    content = b'{"events":[{"id":"1","session_key":"s1","text":"\xed\xa0\x80","more":"\\ud800"}]}'

    (answer,) = load(content, "a.json").answers

    assert body_of(answer) == json.loads(content)
    assert body_of(answer)["events"][0]["text"] == body_of(answer)["events"][0]["more"] == "\ud800"


def test_an_integer_of_five_thousand_digits_stays_text() -> None:
    digits = "9" * 5000
    content = written(FIRST).replace(b'"p2"', digits.encode())

    (answer,) = load(content, "a.json").answers

    assert body_of(answer)["metadata"]["page_key"] == digits


# --- what is broken -----------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b" \r\n\t", b"\xef\xbb\xbf"])
def test_an_empty_file_is_told(content: bytes) -> None:
    assert refusal(content) == "a.json is empty"


def test_a_web_page_is_told() -> None:
    assert refusal(b"\n<html></html>") == "a.json holds a web page (HTML) at line 2, column 1, not JSON"


def test_what_is_not_utf_8_is_told() -> None:
    assert refusal(b'{"events":"caf\xe9 ole"}') == "a.json is no text in UTF-8: byte 14 is not"


def test_what_is_nested_too_deeply_is_told() -> None:
    assert refusal(b"[" * 100_000) == "a.json is nested too deeply to be read"


def test_a_page_that_is_cut_off_is_told() -> None:
    assert refusal(written(FIRST)[:-5]) == (
        "a.json is broken or cut off at line 1, column 93 (Unterminated string starting at)"
    )


def test_what_comes_before_the_cut_is_kept() -> None:
    saved = load(written(SESSION, FIRST, SECOND)[:-20], "a.json")

    assert [body for _, _, body in told(saved)] == [SESSION, FIRST]
    (flaw,) = saved.flaws
    assert flaw.startswith("a.json is broken or cut off at line 3, column ")


@given(st.integers(0, len(written(SESSION, FIRST, SECOND))))
def test_wherever_a_file_is_cut_whole_answers_are_kept(length: int) -> None:
    content = written(SESSION, FIRST, SECOND)
    whole = sum(length >= len(written(*[SESSION, FIRST, SECOND][:count])) for count in (1, 2, 3))

    if whole:
        saved = load(content[:length], "a.json")
        assert len(saved.answers) == whole
        assert bool(saved.flaws) == (bool(content[:length].splitlines()[whole:]))
    else:
        assert refusal(content[:length])


@given(st.binary() | st.text('[]{}<,:" \n\\1e-', max_size=30).map(str.encode))
def test_loading_anything_is_total(content: bytes) -> None:
    with pytest.raises(ReadError, match=r"^a\.json "):
        load(content, "a.json")


PIECES = st.sampled_from(
    ["{}", "[1, 2]", '"a"', '"\\ud800"', "NaN", "7", "e5", ".5", "[", "]", "\n", "\r\n", " ", "\n\n", "\t"]
)


@given(st.lists(PIECES, max_size=8).map("".join))
def test_a_file_is_read_alike_line_by_line_and_value_after_value(text: str) -> None:
    content = text.encode()

    assert repr(files._values(content, "a.json")) == repr(files.values_one_by_one(content, "a.json"))


# --- what is strange ----------------------------------------------------------------------------------


def test_a_strange_object_beside_answers_is_a_flaw() -> None:
    saved = load(written(FIRST, {"a": 1}, SECOND), "a.json")

    assert [body for _, _, body in told(saved)] == [FIRST, SECOND]
    assert saved.flaws == (
        f"a.json holds what is no answer of a platform known here ({INSTALLED}): an object with the members 'a'",
    )


@pytest.mark.parametrize(
    ("strange", "said"),
    [
        ({}, "an empty object"),
        ([], "an empty list"),
        (None, "true, false or null"),
        ("s3cr3t", "a text"),
        (
            {"b" * 60: 1, **{str(number): 1 for number in range(9)}},
            "an object with the members '0, 1, 2, 3, 4, 5, 6, 7'",
        ),
        ({"b" * 60: "s3cr3t"}, f"an object with the members '{'b' * 40}'"),
        ({"a\n\x1b[31m": 1}, "an object with the members 'a\\n\\x1b[31m'"),
        ([{"session": {"id": "s", "platform": "p"}}], "a session of neutral events, which go one object a line"),
        ([7, 7, {}], "a number (2 times); an empty object"),
        ([1, "", 0.5, {}, {"a": 1}, None], "a number (2 times); a text; an empty object and 2 other kinds of things"),
    ],
)
def test_what_is_no_answer_at_all_is_told_and_not_quoted(strange: JSON, said: str) -> None:
    assert refusal(written(strange)) == (
        f"a.json holds what is no answer of a platform known here ({INSTALLED}): {said}"
    )


# --- which session it is ------------------------------------------------------------------------------


def test_a_page_that_does_not_name_its_session_asks_for_it() -> None:
    assert refusal(written(UNNAMED)) == (
        "a.json does not say which session it is; say it with --session vectara:AGENT/SESSION"
    )


def test_the_session_that_the_user_names_is_taken() -> None:
    assert load(written(UNNAMED), "a.json", GIVEN).reference == GIVEN
    assert load(written(FIRST), "a.json", GIVEN).reference == GIVEN


@pytest.mark.usefixtures("diary")
def test_a_session_of_another_platform_than_its_answers_is_refused() -> None:
    monday = Reference("diary", ("ada", "monday"))

    assert refusal(written(FIRST), monday) == "a.json holds answers of vectara, and --session names one of diary"
    assert refusal(recorded(), monday) == "a.json holds answers of vectara, and --session names one of diary"


@pytest.mark.usefixtures("diary")
def test_of_answers_of_several_platforms_those_of_one_are_read() -> None:
    content = written(FIRST, {"entries": "monday"}, SECOND)
    flaw = "a.json holds answers of several platforms; only those of {} were read"

    unnamed, named = load(content, "a.json"), load(content, "a.json", Reference("diary", ("ada", "monday")))

    assert [body for _, _, body in told(unnamed)] == [FIRST, SECOND]
    assert unnamed.flaws == (flaw.format("vectara"),)
    assert [body for _, _, body in told(named)] == [{"entries": "monday"}]
    assert named.flaws == (flaw.format("diary"),)


@pytest.mark.usefixtures("diary")
def test_a_fetcher_of_others_recognises_its_own() -> None:
    saved = load(written({"entries": "friday"}), "a.json")

    assert (saved.reference, saved.fetcher.name) == (Reference("diary", ("ada", "friday")), "diary")


def test_a_session_of_a_platform_that_is_not_installed_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match=f"there is no fetcher 'chat'; installed: {INSTALLED}"):
        load(written(FIRST), "a.json", Reference("chat", ("x",)))


@pytest.mark.usefixtures("broken")
def test_a_fetcher_that_cannot_be_loaded_does_not_keep_others_from_their_answers() -> None:
    assert load(written(FIRST), "a.json").flaws == ()
    assert "the fetcher 'diary' of otel-test-diary cannot be loaded" in refusal(written({}))


@pytest.fixture
def diary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_diary(tmp_path, monkeypatch)


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_diary(tmp_path, monkeypatch, named="tests.fetchers.test_client:Missing")


# --- recordings ---------------------------------------------------------------------------------------

ANSWERS = [
    {"label": "agent", "path": "/v2/agents/support", "status": 403, "body": {"messages": ["no"]}},
    {"label": "events", "path": "/v2/agents/support/sessions/s1/events", "query": {"limit": "100"}, "body": FIRST},
]


def recorded(**changes: JSON) -> bytes:
    return written({"recording": 1, "session": "vectara:support/s1", "answers": ANSWERS, **changes})


def test_a_recording_is_read_with_the_failures_that_the_fetcher_could_live_with() -> None:
    saved = load(recorded(), "a.json")

    assert told(saved) == [
        ("agent", "GET /v2/agents/support", None),
        ("events", "GET /v2/agents/support/sessions/s1/events", FIRST),
    ]
    (failure,) = (answer.failure for answer in saved.answers if answer.failure is not None)
    assert str(failure) == "GET /v2/agents/support answered 403 when it was recorded"
    assert (saved.reference, saved.flaws) == (GIVEN, ())


def test_a_recording_of_failures_is_no_session() -> None:
    assert refusal(recorded(answers=ANSWERS[:1])) == (
        "a.json is a recording of failures: no answer in it has the status 200"
    )


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf" + recorded(), recorded().decode().encode("utf-16")])
def test_a_recording_is_read_in_its_encoding(content: bytes) -> None:
    assert load(content, "a.json").reference == GIVEN
    assert load_recording(content, "a.json").reference == GIVEN


def test_a_recording_holds_what_an_answer_may_hold() -> None:
    odd = {"events": [{"session_key": "s1", "text": "\ud800", "number": 2**70, "half": float("inf")}]}

    (answer,) = load(recorded(answers=[{"label": "events", "path": "/x", "body": odd}]), "a.json").answers

    assert body_of(answer) == odd


def test_a_recording_that_is_followed_by_something_broken_is_kept() -> None:
    saved = load(recorded() + b'\n{"rec', "a.json")

    assert len(saved.answers) == 2
    assert saved.flaws[0].startswith("a.json is broken or cut off at line 2, ")


def test_the_session_that_the_user_names_is_taken_for_a_recording() -> None:
    other = Reference("vectara", ("support", "s2"))

    assert load(recorded(), "a.json", other).reference == other


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recording": 2}, "is no recording: Input should be 1 at recording"),
        ({"session": 7}, "is no recording: Input should be a valid string at session"),
        ({"answers": []}, "is no recording: List should have at least 1 item after validation, not 0 at answers"),
        ({"answers": [{"label": "x"}]}, "is no recording: Field required at answers.0.path"),
        ({"more": 1}, "is no recording: Extra inputs are not permitted at more"),
        (
            {"session": "s3"},
            (
                "is no recording that can be read here: 's3' is no session: write FETCHER:PATH, such as "
                "vectara:AGENT/SESSION"
            ),
        ),
        (
            {"session": "chat:s3"},
            f"is no recording that can be read here: there is no fetcher 'chat'; installed: {INSTALLED}",
        ),
        ({"session": "vectara:s3"}, "is no recording: its session is 'vectara:s3', which is not vectara:AGENT/SESSION"),
        ({"session": "vectara:a/"}, "is no recording: its session is 'vectara:a/', which is not vectara:AGENT/SESSION"),
    ],
)
def test_a_malformed_recording_says_where_it_differs(changes: dict[str, JSON], said: str) -> None:
    assert refusal(recorded(**changes)) == f"a.json {said}"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "a.json is empty"),
        (b"[]", "Input should be a valid dictionary or instance of Recording"),
        (recorded() * 2, "there are several values in it"),
        (recorded()[:-1], "a.json is broken or cut off at line 1, column "),
    ],
)
def test_what_is_no_recording_is_told(content: bytes, said: str) -> None:
    with pytest.raises(ReadError) as caught:
        load_recording(content, "a.json")

    assert str(caught.value).startswith(f"a.json is no recording: {said}")


# --- several sessions in one file ---------------------------------------------------------------------


def paged(session: str, *texts: str, agent: str = "") -> dict[str, JSON]:
    of_it = {"session_key": session, "type": "agent_output"}
    return {"events": [{**of_it, "id": text, "content": text} for text in texts]} | ({"agent": agent} if agent else {})


def test_a_file_of_several_sessions_is_several() -> None:
    other = {"key": "s2", "agent_key": "billing"}
    content = written(paged("s1", "a"), paged("s2", "b"), paged("s1", "c"), AGENT, SESSION, other)

    first, second = files.load(content, "a.json")

    assert (first.reference, second.reference) == (GIVEN, Reference("vectara", ("billing", "s2")))
    assert [label for label, _, _ in told(first)] == ["agent", "session", "events", "events"]
    assert [label for label, _, _ in told(second)] == ["session", "events"]
    assert first.flaws == second.flaws == ()


def test_of_several_sessions_the_one_that_is_named_is_read_and_the_others_are_told() -> None:
    saved = load(written(paged("s1", "a"), paged("s2", "b")), "a.json", Reference("vectara", ("support", "s2")))

    assert [body for _, _, body in told(saved)] == [paged("s2", "b")]
    assert saved.flaws == ("a.json holds answers of other sessions, which were not read: vectara:/s1",)


def test_answers_that_name_no_session_beside_several_are_told() -> None:
    first, second = files.load(written(paged("s1", "a"), paged("s2", "b"), UNNAMED), "a.json")

    (flaw,) = first.flaws
    assert flaw == (
        "a.json holds answers that name no session beside those of 2 sessions, which were not read: 1 of them; "
        "give them in a file of their own"
    )
    assert second.flaws == ()
    assert (len(first.answers), len(second.answers)) == (1, 1)


def test_an_empty_list_beside_answers_is_the_answer_of_a_platform_that_has_nothing_to_tell() -> None:
    saved = load(written(FIRST, []), "a.json")

    assert [body for _, _, body in told(saved)] == [FIRST]
    assert saved.flaws == ()


def test_an_empty_list_alone_is_a_session_without_events_when_somebody_names_it() -> None:
    saved = load(b"[]", "a.json", GIVEN)

    assert (saved.reference, saved.answers, saved.flaws) == (GIVEN, (), ())


def test_a_label_that_the_fetcher_does_not_have_is_told() -> None:
    strange = [{"label": "pages", "path": "/x", "body": FIRST}]

    assert refusal(recorded(answers=strange)) == (
        "a.json is no recording: 'pages' is no label of vectara (agent, session, events)"
    )
