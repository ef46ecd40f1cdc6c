from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agent_events import UsageError, replay, times
from otel_agent_events.content import Policy
from otel_agent_events.conversion import Options
from otel_agent_events.errors import ReadError
from otel_agent_events.events import (
    AgentMessage,
    Event,
    File,
    Note,
    OtherPart,
    Part,
    Session,
    Skill,
    Structured,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Uri,
    UserMessage,
)
from otel_agent_events.fetchers.neutral import Neutral, is_neutral, load_neutral
from otel_agent_events.keys import key_of
from otel_agent_events.messages import MOST_TOLD
from otel_agent_events.reference import Reference
from otel_agent_events.sources import Source
from otel_agent_events.spans import Identity, View
from tests.traces import DATA, Trace, holds, leaves, lines_of, told_by, trace_from

if TYPE_CHECKING:
    from pathlib import Path

    from otel_agent_events.events import JSON
    from otel_agent_events.fetchers.saved import Saved
    from otel_agent_events.report import Report

EVERY_KIND = (DATA / "neutral" / "every_kind.jsonl").read_bytes()
TWO_SESSIONS = (DATA / "neutral" / "two_sessions.jsonl").read_bytes()
FLAWED = (DATA / "neutral" / "flawed.jsonl").read_bytes()
FULL = Options(policy=Policy(content="full"))
OWN = "otel_agent_events."
BEGIN = 1_794_988_800 * times.SECOND
"""2026-11-18T08:00:00Z"""

SESSION = {"session": {"id": "s1", "platform": "acme"}}
HELLO = {"kind": "user_message", "time": "2026-11-18T08:00:00Z", "text": "Hello?"}
KINDS = "user_message, thinking, tool_call, tool_result, agent_message, note"
TIME = "this is no RFC 3339 time between 1970 and 2554, such as 2026-11-18T08:00:00.25Z"


def written(*lines: JSON) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def opened(file: Saved) -> Source:
    return Source(reference=file.reference, fetcher=Neutral(), answers=file.answers, flaws=file.flaws, saved=True)


def traces(content: bytes, options: Options | None = None) -> list[Trace]:
    return [trace_from(opened(file), options or FULL) for file in load_neutral(content, "a.jsonl")]


def trace(*lines: JSON, options: Options | None = None) -> Trace:
    """Convert the lines of one session."""
    (only,) = traces(written(SESSION, *lines), options)
    return only


def read(*lines: JSON) -> list[Event]:
    """Give the events of lines that are all good."""
    (file,) = load_neutral(written(SESSION, *lines), "a.jsonl")
    reader = Neutral().reader(file.reference)
    items = [item for answer in file.answers for item in reader.feed(answer)]
    return [item for item in items if not isinstance(item, Session)]  # type: ignore[misc]


def event(**line: JSON) -> Any:
    (only,) = read(line)
    return only


def flaw(line: bytes) -> str:
    """Say what is told of a bad line that is between two good ones, which are kept."""
    (only,) = traces(written(SESSION, HELLO) + line + b"\n" + written({**HELLO, "text": "Still there?"}))
    (told,) = only.flaws
    assert only.events == 2
    return told


def part(told: JSON) -> Part:
    """Read the one part of a user message."""
    message = event(kind="user_message", parts=[told])
    assert isinstance(message, UserMessage)
    (only,) = message.parts
    return only


def replayed(*references: str | Path, **options: Any) -> Report:
    return replay(references, to=["file:out.jsonl"], environ={}, **options)


def outcome(here: Path) -> list[dict[str, Any]]:
    return lines_of(here / "out.jsonl")


# --- what is such a file ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        EVERY_KIND,
        written(SESSION),
        FLAWED,
        b"\n\n" + written(SESSION),
        b"\xef\xbb\xbf" + written(SESSION),
        b'{"session": {}}',
        b"{broken\n" * 19 + written(SESSION),
    ],
)
def test_a_file_is_neutral_when_one_of_its_first_twenty_lines_begins_a_session(content: bytes) -> None:
    assert is_neutral(content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        written(HELLO),
        b"{broken\n" * 20 + written(SESSION),
        written({"session": "vectara:a/b", "recording": 1, "answers": []}),
        written({**HELLO, "session": {"id": "s1"}}),
        json.dumps(SESSION, indent=2).encode(),
    ],
)
def test_any_other_file_is_not(content: bytes) -> None:
    assert not is_neutral(content)


# --- the session --------------------------------------------------------------------------------------


def test_the_first_line_tells_what_is_known_of_the_session() -> None:
    (file,) = load_neutral(EVERY_KIND, "a.jsonl")
    (session,) = Neutral().reader(file.reference).feed(file.answers[0])

    assert session == Session(
        reference=Reference("acme", ("support", "case-88")),
        id="case-88",
        agent_name="Support desk",
        user="ada",
        model="gpt-5.1",
        started=BEGIN - times.SECOND // 2,
        created_at="2026-11-18T07:59:59.5Z",
        remainder={"region": "eu-west", "exported_by": "nightly"},
    )


def test_agent_and_user_are_on_every_span_and_the_model_on_the_root() -> None:
    (converted,) = traces(EVERY_KIND)

    for span in converted.spans:
        assert span.attributes["gen_ai.conversation.id"] == span.attributes["session.id"] == "case-88"
        assert (span.attributes["gen_ai.agent.name"], span.attributes["user.id"]) == ("Support desk", "ada")
        assert span.resource.attributes["service.name"] == "acme"
    assert converted.root.name == "invoke_agent Support desk"
    assert converted.root.attributes["gen_ai.provider.name"] == "acme"
    assert converted.root.attributes["gen_ai.request.model"] == "gpt-5.1"
    assert converted.root.attributes[f"{OWN}session.reference"] == "acme:support/case-88"
    assert converted.root.attributes[f"{OWN}session.created_at"] == "2026-11-18T07:59:59.5Z"


def test_undated_events_step_on_from_the_start_of_the_session() -> None:
    started = {"session": {**SESSION["session"], "started": "2026-11-18T08:00:00Z"}}
    (converted,) = traces(written(started, {"kind": "note", "name": "a"}))

    assert converted.named("a").start == BEGIN + times.MICROSECOND
    assert converted.named("a").attributes[f"{OWN}timing"] == "synthetic"


def test_digits_beyond_the_ninth_of_a_start_are_kept_in_the_remainder() -> None:
    started = {"session": {**SESSION["session"], "started": "2026-11-18T08:00:00.0000000001Z"}}
    (converted,) = traces(written(started))

    assert json.loads(str(converted.root.attributes[f"{OWN}session.raw"])) == {
        "started": "2026-11-18T08:00:00.0000000001Z"
    }


def test_a_session_without_events_is_a_root_and_a_warning() -> None:
    only = trace()

    assert (len(only.spans), only.events) == (1, 0)
    assert "the session has no events" in only.warnings


def test_without_a_path_the_id_is_the_path() -> None:
    (file,) = load_neutral(written(SESSION), "a.jsonl")

    assert file.reference == Reference("acme", ("s1",))


@pytest.mark.parametrize(
    ("session", "said"),
    [
        ({}, "Field required at session.id"),
        ({"id": "s1"}, "Field required at session.platform"),
        ({"id": "", "platform": "acme"}, "String should have at least 1 character at session.id"),
        ({"id": 7, "platform": "acme"}, "Input should be a valid string at session.id"),
        ({"id": "s1", "platform": "a:b"}, "String should match pattern '^[^:/\\s]+$' at session.platform"),
        ({"id": "s1", "platform": "a b"}, "String should match pattern '^[^:/\\s]+$' at session.platform"),
        (
            {"id": "s1", "platform": "acme", "path": []},
            "List should have at least 1 item after validation, not 0 at session.path",
        ),
        ({"id": "s1", "platform": "acme", "path": [1]}, "Input should be a valid string at session.path.0"),
        ({"id": "s1", "platform": "acme", "started": "now"}, f"{TIME} at session.started"),
        ("s1", "Input should be a valid dictionary or instance of NeutralSession at session"),
    ],
)
def test_a_bad_session_line_says_where_and_its_events_are_of_no_session(session: JSON, said: str) -> None:
    content = written({"session": session}, HELLO, SESSION, HELLO)

    (file,) = load_neutral(content, "a.jsonl")

    assert file.reference == Reference("acme", ("s1",))
    assert [answer.source for answer in file.answers] == ["line 3 of a.jsonl", "line 4 of a.jsonl"]
    assert file.flaws == (
        f"line 1 of a.jsonl begins no session: {said}; its events were skipped",
        "line 2 of a.jsonl is of no session: a line with the session comes first; it was skipped",
    )


def test_the_events_of_a_bad_session_are_not_given_to_the_one_before() -> None:
    (file,) = load_neutral(written(SESSION, HELLO, {"session": {}}, HELLO), "a.jsonl")

    assert [answer.source for answer in file.answers] == ["line 1 of a.jsonl", "line 2 of a.jsonl"]
    assert [told.partition(" of ")[0] for told in file.flaws] == ["line 3", "line 4"]


def test_a_file_in_which_no_line_begins_a_session_is_refused() -> None:
    with pytest.raises(ReadError) as caught:
        load_neutral(b'{"session": {"id": "s1"}}\n{', "a.jsonl")

    assert str(caught.value) == (
        "line 1 of a.jsonl begins no session: Field required at session.platform; its events were skipped; "
        "line 2 of a.jsonl is JSON that is broken or cut off at character 1 (Expecting property name enclosed in "
        "double quotes); it was skipped"
    )


def test_the_refusal_of_a_long_file_is_short() -> None:
    with pytest.raises(ReadError) as caught:
        load_neutral(written({"session": {}}, *[HELLO] * 1_000), "a.jsonl")

    assert str(caught.value).endswith("line 10 of a.jsonl is of no session: a line with the session comes first; it "
                                      "was skipped; and 991 more of this kind")  # fmt: skip


def test_an_event_may_have_a_field_called_session() -> None:
    only = trace({**HELLO, "session": "s1"}, {"kind": "thinking", "session": {"id": 1}})

    assert (only.events, only.flaws) == (2, [])
    assert only.named("user_message").attributes[f"{OWN}event.raw"] == '{"session":"s1"}'
    assert only.named("thinking").attributes[f"{OWN}event.raw"] == '{"session":{"id":1}}'


# --- several sessions ---------------------------------------------------------------------------------


def test_sessions_are_given_in_the_order_in_which_they_begin_and_each_has_its_own_lines() -> None:
    one, two = load_neutral(TWO_SESSIONS, "a.jsonl")

    assert (one.reference, two.reference) == (Reference("acme", ("one",)), Reference("acme", ("two",)))
    assert [answer.source.partition(" of ")[0] for answer in one.answers] == [
        "line 1", "line 2", "line 5", "line 6", "line 7",
    ]  # fmt: skip
    assert [answer.source.partition(" of ")[0] for answer in two.answers] == ["line 3", "line 4"]


def test_a_session_that_is_begun_again_has_the_same_ids_as_in_one_piece() -> None:
    lines = TWO_SESSIONS.splitlines(keepends=True)
    one, _ = traces(TWO_SESSIONS)
    (whole,) = traces(b"".join(lines[number] for number in (0, 1, 5, 6)))

    assert [(span.trace_id, span.span_id, span.start) for span in one.spans] == [
        (span.trace_id, span.span_id, span.start) for span in whole.spans
    ]
    assert len({span.span_id for span in one.spans}) == 4


def test_a_session_that_is_begun_again_keeps_what_was_said_of_it_before() -> None:
    one, _ = traces(TWO_SESSIONS)

    assert one.root.name == "invoke_agent Support desk"
    assert (one.root.attributes["user.id"], one.root.attributes["gen_ai.request.model"]) == ("ada", "gpt-5.1")
    assert one.root.attributes[f"{OWN}session.created_at"] == "2026-11-18T08:00:00Z"
    assert json.loads(str(one.root.attributes[f"{OWN}session.raw"])) == {"region": "eu", "tier": "gold"}


def test_what_is_said_later_of_a_session_counts_for_its_root() -> None:
    again = {"session": {**SESSION["session"], "agent": "Night desk", "started": "2026-11-18T07:00:00Z"}}
    only = trace(HELLO, again)

    assert only.root.name == "invoke_agent Night desk"
    assert only.root.attributes[f"{OWN}session.created_at"] == "2026-11-18T07:00:00Z"
    assert "gen_ai.agent.name" not in only.named("user_message").attributes


def test_a_flaw_belongs_to_the_session_in_which_it_is() -> None:
    other = {"session": {"id": "s2", "platform": "acme"}}

    first, second = traces(written(SESSION, {}, other, HELLO))

    assert (first.flaws, second.flaws) == (["line 2 of a.jsonl is no event: it has no kind; it was skipped"], [])
    assert first.root.attributes[f"{OWN}session.complete"] is False
    assert second.root.attributes[f"{OWN}session.complete"] is True


# --- bad lines ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"kind": ', "is JSON that is broken or cut off at character 9 (Expecting value)"),
        (b"\xff", "is a body that is no text in UTF-8 (invalid start byte)"),
        (b"[" * 100_000, "is JSON that is nested too deeply to be read"),
        (b"[]", "is no event: it is no JSON object"),
        (b"null", "is no event: it is no JSON object"),
        (b'"words"', "is no event: it is no JSON object"),
        (b"{}", "is no event: it has no kind"),
        (b'{"kind": "telegram"}', f"is no event: its kind is none of {KINDS}"),
        (b'{"kind": null}', f"is no event: its kind is none of {KINDS}"),
        (b'{"kind": ["note"]}', f"is no event: its kind is none of {KINDS}"),
        (b'{"kind": "\\ud800"}', f"is no event: its kind is none of {KINDS}"),
        (b'{"kind": "thinking", "text": 7}', "is no event: Input should be a valid string at thinking.text"),
        (b'{"kind": "thinking", "id": 7}', "is no event: Input should be a valid string at thinking.id"),
        (
            b'{"kind": "tool_result", "error": "no"}',
            "is no event: Input should be a valid boolean at tool_result.error",
        ),
        (
            b'{"kind": "agent_message", "author": "dog"}',
            "is no event: Input should be 'bot' or 'human' at agent_message.author",
        ),
        (b'{"kind": "user_message", "parts": {}}', "is no event: Input should be a valid list at user_message.parts"),
        (
            b'{"kind": "user_message", "parts": ["a"]}',
            "is no event: Input should be a valid dictionary at user_message.parts.0",
        ),
        (b'{"kind": "note"}', "is no event: Field required at note.name"),
        (b'{"kind": "note", "name": ""}', "is no event: String should have at least 1 character at note.name"),
        (
            b'{"kind": "note", "name": "' + b"x" * 65 + b'"}',
            "is no event: String should have at most 64 characters at note.name",
        ),
        (b'{"kind": "thinking", "time": "yesterday"}', f"is no event: {TIME} at thinking.time"),
        (b'{"kind": "thinking", "time": "1969-12-31T23:59:59Z"}', f"is no event: {TIME} at thinking.time"),
        (b'{"kind": "thinking", "end": "2026-02-30T08:00:00Z"}', f"is no event: {TIME} at thinking.end"),
        (b'{"kind": "thinking", "time": 1794988800}', "is no event: Input should be a valid string at thinking.time"),
        (
            b'{"kind": "thinking", "time": "2026-11-18T08:00:00Z", "end": "2026-11-18T08:00:01Z"}',
            "is no event: say when with time, or with start and end",
        ),
        (
            b'{"kind": "thinking", "time": "2026-11-18T08:00:00Z", "start": "2026-11-18T08:00:01Z"}',
            "is no event: say when with time, or with start and end",
        ),
        (
            b'{"kind": "thinking", "start": "2026-11-18T08:00:01Z"}',
            "is no event: a start needs an end; a point in time is told with time",
        ),
    ],
)
def test_a_bad_line_is_told_with_its_number_and_the_good_ones_are_kept(line: bytes, said: str) -> None:
    assert flaw(line) == f"line 3 of a.jsonl {said}; it was skipped"


@pytest.mark.parametrize("measured", [True, "1", None, {}])
def test_a_measurement_is_a_number(measured: JSON) -> None:
    assert "line 3 of a.jsonl is no event: " in flaw(
        json.dumps({"kind": "thinking", "measurements": {"ms": measured}}).encode()
    )


def test_a_message_does_not_quote_what_people_wrote() -> None:
    assert "lost" not in flaw(b'{"kind": "My parcel is lost", "text": ["lost"]}')
    assert "lost" not in flaw(b'{"kind": "thinking", "text": ["lost"], "time": "lost"}')


def test_a_file_with_every_flaw_keeps_its_good_lines(here: Path) -> None:
    (here / "flawed.jsonl").write_bytes(FLAWED)

    report = replayed("flawed.jsonl")

    (session,) = report.sessions
    assert report.exit_code == 1
    assert (session.events, session.acknowledged) == (2, 3)
    assert [span["name"] for span in outcome(here)] == ["user_message", "agent_output", "invoke_agent"]
    assert outcome(here)[-1]["attributes"][f"{OWN}session.complete"] is False
    told = str(session.error).split("; it was skipped")
    assert [words.strip("; ").partition(" of ")[0] for words in told if words] == [
        f"line {number}" for number in (1, 5, 6, 7, 8, 9, 10, 11, 12, 13)
    ]


def test_many_bad_lines_are_summed_up(here: Path) -> None:
    (here / "a.jsonl").write_bytes(written(SESSION, HELLO) + b"{\n" * 600 + b"{}\n" * 400)

    (session,) = replayed("a.jsonl").sessions

    assert str(session.error).count("line ") == MOST_TOLD == 10
    assert str(session.error).endswith("; and 990 more of this kind")
    assert session.events == 1


# --- encodings and odd values -------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\n\n \t\n"])
def test_a_file_is_read_in_its_encoding_with_any_line_ends(encoding: str, newline: str) -> None:
    text = newline.join(json.dumps(line, ensure_ascii=False) for line in (SESSION, {**HELLO, "text": "Grüße 😀"}))
    content = text.encode(encoding)

    (only,) = traces(content)

    assert is_neutral(content)
    assert (only.events, only.flaws) == (1, [])
    assert "Grüße 😀" in str(only.named("user_message").attributes["gen_ai.input.messages"])


def test_blank_lines_count_and_say_nothing() -> None:
    (only,) = traces(b"\n" + written(SESSION) + b" \r\n\n{}\n")

    assert only.flaws == ["line 5 of a.jsonl is no event: it has no kind; it was skipped"]


def test_a_line_needs_no_line_end() -> None:
    (only,) = traces(written(SESSION, HELLO).rstrip(b"\n"))

    assert (only.events, only.flaws) == (1, [])


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (b'{"a": NaN, "b": -Infinity}', '{"a":"nan","b":"-inf"}'),
        (b'["\\ud800"]', '["\\ud800"]'),
        (b"[" + b"9" * 30 + b"]", "[" + "9" * 30 + "]"),
        (b"[" + b"9" * 5_000 + b"]", '["' + "9" * 5_000 + '"]'),
        (b'{"\\ud800": 1}', '{"\\ud800":1}'),
    ],
)
def test_odd_values_cost_no_line(arguments: bytes, kept: str) -> None:
    (only,) = traces(written(SESSION) + b'{"kind": "tool_call", "arguments": ' + arguments + b"}\n")

    assert only.flaws == []
    assert only.spans[0].attributes["gen_ai.tool.call.arguments"] == kept


def test_what_is_deeply_nested_is_kept_as_its_text() -> None:
    (only,) = traces(written(SESSION) + b'{"kind": "note", "name": "n", "x": ' + b"[" * 500 + b"7" + b"]" * 500 + b"}")

    assert only.flaws == []
    assert str(only.named("n").attributes[f"{OWN}event.raw"]).count("[") == 500


# --- ids ----------------------------------------------------------------------------------------------


def keys(*lines: JSON) -> list[str]:
    return [each.key for each in read(*lines)]


def test_an_event_has_the_id_of_its_record_as_its_key() -> None:
    assert keys({**HELLO, "id": "m1"}, {"kind": "thinking", "id": "t 1"}) == ["m1", "t 1"]


@pytest.mark.parametrize("nameless", [HELLO, {**HELLO, "id": None}, {**HELLO, "id": ""}])
def test_an_event_without_an_id_has_a_key_by_its_content(nameless: JSON) -> None:
    assert keys(nameless) == [key_of(nameless)]
    assert key_of(nameless).startswith("c:")


def test_the_order_of_fields_does_not_change_a_key() -> None:
    assert keys(HELLO) == keys(dict(reversed(HELLO.items())))


def test_equal_records_without_an_id_are_events_of_their_own() -> None:
    key = key_of(HELLO)

    assert keys(HELLO, HELLO, HELLO) == [key, f"{key}#2", f"{key}#3"]


def test_an_equal_record_with_an_id_is_a_duplicate_and_a_different_one_is_numbered() -> None:
    first = {**HELLO, "id": "m1"}

    only = trace(first, {**first, "text": "Hello again?"}, first)

    assert keys(first, {**first, "text": "Hello again?"}, first) == ["m1", "m1#2"]
    assert (only.events, only.duplicates) == (2, 1)


def test_duplicates_are_counted_in_the_report(here: Path) -> None:
    (here / "a.jsonl").write_bytes(written(SESSION, {**HELLO, "id": "m1"}, {**HELLO, "id": "m1"}))

    report = replayed("a.jsonl")

    assert report.exit_code == 0
    assert (report.sessions[0].events, report.sessions[0].duplicates) == (1, 1)


@pytest.mark.parametrize(
    ("platform", "path"), [("vectara", ["support", "refund case/88"]), ("lyzr", ["a", "b"]), ("acme", ["Ünïcode"])]
)
def test_the_ids_are_those_of_the_session_of_that_platform(here: Path, platform: str, path: list[str]) -> None:
    (here / "a.jsonl").write_bytes(written({"session": {"id": "x", "platform": platform, "path": path}}, HELLO))

    (session,) = replayed("a.jsonl").sessions

    reference = Reference(platform, tuple(path))
    assert session.reference == str(reference)
    assert session.trace_id == Identity(view=View()).trace_id(reference).hex()


def test_the_ids_of_the_contract_are_met(here: Path) -> None:
    begun = {"session": {"id": "refund case/88", "platform": "vectara", "path": ["support", "refund case/88"]}}
    (here / "a.jsonl").write_bytes(written(begun, {**HELLO, "id": "aev_01"}, {**HELLO, "id": "aev_01", "text": "Hm?"}))

    replayed("a.jsonl")

    assert {span["traceId"] for span in outcome(here)} == {"c5d8584169022f455e9949ee01dcb974"}
    assert [span["spanId"] for span in outcome(here)] == ["42cdb2733596a9a1", "18795fcbadddae9d", "f8d05d88e5b5de2e"]


# --- events -------------------------------------------------------------------------------------------


def test_every_kind_is_read() -> None:
    (file,) = load_neutral(EVERY_KIND, "a.jsonl")
    reader = Neutral().reader(file.reference)

    kinds = [type(item) for answer in file.answers for item in reader.feed(answer)]

    assert kinds == [
        Session, UserMessage, Thinking, ToolCall, ToolResult, ToolCall, ToolResult, Note, AgentMessage, AgentMessage,
        Note,
    ]  # fmt: skip
    assert list(reader.close()) == []


def test_what_is_not_told_is_absent() -> None:
    assert event(kind="user_message") == UserMessage(key=key_of({"kind": "user_message"}))
    assert event(kind="thinking") == Thinking(key=key_of({"kind": "thinking"}))
    assert event(kind="tool_call") == ToolCall(key=key_of({"kind": "tool_call"}))
    assert event(kind="tool_result") == ToolResult(key=key_of({"kind": "tool_result"}))
    assert event(kind="agent_message") == AgentMessage(key=key_of({"kind": "agent_message"}))
    assert event(kind="note", name="n") == Note(key=key_of({"kind": "note", "name": "n"}), name="n")


def test_each_kind_of_event_is_a_span() -> None:
    (only,) = traces(EVERY_KIND)

    assert only.flaws == []
    assert only.warnings == []
    assert sorted((span.name, span.kind, span.status) for span in only.spans) == [
        ("agent_output", "internal", "unset"),
        ("chat gpt-5.2", "client", "unset"),
        ("execute_tool carrier", "internal", "error"),
        ("execute_tool orders", "internal", "unset"),
        ("handover", "internal", "unset"),
        ("invoke_agent Support desk", "internal", "error"),
        ("quota", "internal", "error"),
        ("thinking", "internal", "unset"),
        ("user_message", "internal", "unset"),
    ]
    assert only.root.attributes["error.type"] == "quota"


@pytest.mark.parametrize("line", EVERY_KIND.splitlines())
def test_every_leaf_value_of_every_line_is_found_in_the_trace(line: bytes) -> None:
    (only,) = traces(EVERY_KIND)
    record = json.loads(line)
    if record.get("kind") == "tool_result":
        del record["kind"]  # the attributes of a result are called so
    if "session" in record:
        path = record["session"].pop("path")
        assert only.root.attributes[f"{OWN}session.reference"] == f"acme:{'/'.join(path)}"
    told = told_by(only.spans)

    assert [leaf for leaf in leaves(record) if not holds(told, leaf)] == []


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), min_size=9), st.integers(0, 2**53)))
def test_unknown_fields_are_kept_as_the_remainder(fields: dict[str, int]) -> None:
    assert event(**{**fields, "kind": "thinking"}).remainder == (fields or None)


def test_a_time_is_a_point_and_start_and_end_are_a_stretch() -> None:
    at, later = "2026-11-18T08:00:00Z", "2026-11-18T09:00:01.000000001+01:00"

    point, stretch = read({"kind": "thinking", "time": at}, {"kind": "thinking", "start": at, "end": later})

    assert (point.start, point.end) == (BEGIN, BEGIN)
    assert (stretch.start, stretch.end) == (BEGIN, BEGIN + times.SECOND + 1)


def test_the_start_of_what_has_only_an_end_is_inferred() -> None:
    thought = trace(HELLO, {"kind": "thinking", "end": "2026-11-18T08:00:02Z"}).named("thinking")

    assert (thought.start, thought.end) == (BEGIN, BEGIN + 2 * times.SECOND)
    assert thought.attributes[f"{OWN}timing"] == "inferred"


def test_what_ends_before_it_begins_is_of_zero_length_and_its_end_is_kept() -> None:
    only = trace({"kind": "thinking", "start": "2026-11-18T08:00:00Z", "end": "2026-11-18T07:00:00Z"})

    thought = only.named("thinking")
    assert (thought.start, thought.end, thought.attributes[f"{OWN}clamped"]) == (BEGIN, BEGIN, True)
    assert thought.attributes[f"{OWN}event.raw"] == '{"end":"2026-11-18T07:00:00Z"}'


def test_digits_beyond_the_ninth_of_a_time_are_kept_in_the_remainder() -> None:
    assert event(kind="thinking", time="2026-11-18T08:00:00.1234567891Z").remainder == {
        "time": "2026-11-18T08:00:00.1234567891Z"
    }
    assert event(kind="thinking", time="2026-11-18T08:00:00.1234567890Z").remainder is None


def test_a_call_and_its_result_are_paired_by_their_call_id() -> None:
    at = "2026-11-18T08:00:0{}Z".format
    only = trace(
        {"kind": "tool_call", "time": at(1), "call_id": "a", "tool": "x"},
        {"kind": "tool_call", "time": at(2), "call_id": "b", "tool": "y"},
        {"kind": "tool_result", "time": at(3), "call_id": "b", "result": "two"},
        {"kind": "tool_result", "time": at(4), "call_id": "a", "result": "one"},
        {"kind": "tool_result", "time": at(5), "result": "nobody's"},
    )

    assert only.named("execute_tool x").attributes["gen_ai.tool.call.result"] == "one"
    assert only.named("execute_tool y").end == BEGIN + 3 * times.SECOND
    assert only.named("execute_tool").attributes[f"{OWN}tool.outcome"] == "orphan_output"
    assert len(only.spans) == 4


@pytest.mark.parametrize("start", [{}, {"start": "2026-11-18T08:00:00Z"}])
def test_a_call_keeps_the_end_that_its_span_does_not_have(start: dict[str, str]) -> None:
    only = trace(
        {"kind": "tool_call", "call_id": "a", "tool": "x", **start, "end": "2026-11-18T08:00:01Z"},
        {"kind": "tool_result", "call_id": "a", "time": "2026-11-18T08:00:05Z"},
    )

    tool = only.named("execute_tool x")
    assert tool.end == BEGIN + 5 * times.SECOND
    assert tool.attributes[f"{OWN}event.raw"] == '{"end":"2026-11-18T08:00:01Z"}'


def test_a_failed_result_is_an_error() -> None:
    (only,) = traces(EVERY_KIND)

    failed = only.named("execute_tool carrier")
    assert (failed.status, failed.description) == ("error", "The carrier does not answer.")
    assert failed.attributes["error.type"] == "tool_error"


def test_provider_and_model_together_make_a_chat_of_kind_client() -> None:
    (only,) = traces(EVERY_KIND)

    chat = only.named("chat gpt-5.2")
    assert chat.kind == "client"
    assert chat.attributes["gen_ai.operation.name"] == "chat"
    assert chat.attributes["gen_ai.provider.name"] == "openai"
    assert chat.attributes["gen_ai.request.model"] == "gpt-5.2"


@pytest.mark.parametrize("alone", [{"provider": "openai"}, {"model": "gpt-5.2"}, {"provider": "", "model": "gpt-5.2"}])
def test_provider_or_model_alone_makes_no_chat_and_is_kept(alone: dict[str, str]) -> None:
    said = trace({"kind": "agent_message", "text": "Hello.", **alone}).named("agent_output")

    assert said.kind == "internal"
    assert json.loads(str(said.attributes[f"{OWN}event.raw"])) == alone


def test_measurements_have_attributes_of_their_own() -> None:
    measured = trace({"kind": "thinking", "measurements": {"ms": 12, "cost": 0.5}}).named("thinking")

    assert measured.attributes[f"{OWN}measurement.ms"] == 12
    assert measured.attributes[f"{OWN}measurement.cost"] == 0.5


def test_a_note_keeps_an_attribute_that_has_the_name_of_its_text() -> None:
    note = trace({"kind": "note", "name": "n", "attributes": {"text": "short", "a": 1}, "text": "long"}).named("n")

    assert (note.attributes[f"{OWN}note.text"], note.attributes[f"{OWN}note.a"]) == ("long", 1)
    assert note.attributes[f"{OWN}event.raw"] == '{"attributes":{"text":"short"}}'


@pytest.mark.parametrize("failure", ["interrupt", "limit"])
def test_a_note_of_failure_ends_the_session_in_failure_if_nothing_is_said_after(failure: str) -> None:
    note = {"kind": "note", "name": "stopped", "failure": failure}

    ended = trace(HELLO, note)
    assert ended.root.status == "error"
    assert ended.named("stopped").attributes[f"{OWN}event.raw"] == json.dumps({"failure": failure}).replace(" ", "")
    assert trace(HELLO, note, {"kind": "agent_message", "text": "Hello."}).root.status == "unset"


# --- parts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "read_as"),
    [
        ({"type": "text", "content": "Hi"}, Text(text="Hi")),
        ({"type": "structured", "content": [1]}, Structured(content=[1])),
        ({"type": "uri", "uri": "https://a"}, Uri(uri="https://a")),
        (
            {"type": "uri", "uri": "u", "mime_type": "image/png", "modality": "image"},
            Uri(uri="u", mime_type="image/png", modality="image"),
        ),
        ({"type": "skill", "skill_name": "refunds"}, Skill(name="refunds")),
        ({"type": "file", "file_id": "f"}, File(file_id="f")),
        (
            {"type": "file", "file_id": "f", "uri": "u", "name": "n", "mime_type": "audio/ogg", "size": 3},
            File(file_id="f", uri="u", name="n", mime_type="audio/ogg", size=3),
        ),
        (
            {"type": "file", "modality": "image", "mime_type": "image/png", "file_id": "f"},
            File(file_id="f", mime_type="image/png"),
        ),
        ({"type": "file", "modality": "document", "name": "n"}, File(name="n")),
    ],
)
def test_a_part_of_a_known_type_is_read(told: JSON, read_as: Part) -> None:
    assert part(told) == read_as


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"type": "hologram", "beam": 1},
        {"type": ["text"], "content": "Hi"},
        {"type": "text"},
        {"type": "text", "content": 7},
        {"type": "text", "content": "Hi", "language": "en"},
        {"type": "structured", "content": 1, "schema": 7},
        {"type": "structured", "content": 1, "schema": "s"},
        {"type": "structured", "content": 1, "strict": True},
        {"type": "uri", "uri": "u", "alt": "lamp"},
        {"type": "uri", "uri": "u", "mime_type": 1},
        {"type": "skill", "skill_name": "refunds", "version": 2},
        {"type": "file", "size": True},
        {"type": "file", "size": "3"},
        {"type": "file", "file_id": 7},
        {"type": "file", "file_id": "f", "pages": 3},
        {"type": "file", "mime_type": "image/png", "modality": "video"},
        {"type": "file", "modality": "image"},
    ],
)
def test_any_other_part_is_kept_as_it_is(told: JSON) -> None:
    assert part(told) == OtherPart(content=told)


def test_a_file_is_written_as_the_conventions_write_it() -> None:
    given_part = {"type": "file", "file_id": "f-7", "name": "lamp.png", "mime_type": "image/png", "size": 4711}
    said = trace({"kind": "user_message", "parts": [given_part]}).named("user_message")

    ((message),) = json.loads(str(said.attributes["gen_ai.input.messages"]))
    assert message == {"role": "user", "parts": [{**given_part, "modality": "image"}]}


def test_text_comes_before_the_parts() -> None:
    message = event(kind="user_message", text="one", parts=[{"type": "text", "content": "two"}])

    assert message.parts == (Text(text="one"), Text(text="two"))


def test_the_schema_of_the_first_structured_part_is_an_attribute_and_the_others_are_kept() -> None:
    first, second = ({"type": "structured", "content": 1, "schema": name} for name in ("one", "two"))
    said = trace({"kind": "agent_message", "parts": [first, second]}).named("agent_output")

    assert said.attributes[f"{OWN}output.schema_name"] == "one"
    assert second in json.loads(str(said.attributes["gen_ai.output.messages"]))[0]["parts"]


# --- from a file and from standard input --------------------------------------------------------------


def test_every_session_of_a_file_is_a_trace(here: Path) -> None:
    (here / "two.jsonl").write_bytes(TWO_SESSIONS)

    report = replayed("two.jsonl")

    assert report.exit_code == 0
    assert [(each.reference, each.events, each.acknowledged) for each in report.sessions] == [
        ("acme:one", 3, 4),
        ("acme:two", 1, 2),
    ]
    assert [span["traceId"] for span in outcome(here)] == [
        each.trace_id for each in report.sessions for _ in range(each.made)
    ]


def test_standard_input_is_read_as_well(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "every.jsonl").write_bytes(EVERY_KIND)
    replayed("every.jsonl")
    expected = (here / "out.jsonl").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(EVERY_KIND)))

    report = replayed("-")

    assert report.exit_code == 0
    assert (here / "out.jsonl").read_bytes() == expected


def test_a_bad_line_of_standard_input_is_told(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(written(SESSION, HELLO) + b"{}")))

    report = replayed("-")

    assert report.exit_code == 1
    assert report.sessions[0].error == "line 3 of standard input is no event: it has no kind; it was skipped"
    assert len(outcome(here)) == 2


def test_a_session_cannot_be_named_for_a_file_that_names_its_own(here: Path) -> None:
    (here / "every.jsonl").write_bytes(EVERY_KIND)

    report = replayed("every.jsonl", session="vectara:support/s1")

    assert report.exit_code == 1
    assert report.sessions[0].error == "every.jsonl names its sessions itself; leave --session out"
    assert not (here / "out.jsonl").exists()


@pytest.mark.usefixtures("here")
def test_a_session_of_a_platform_without_a_fetcher_cannot_be_asked_for() -> None:
    with pytest.raises(UsageError, match="'acme:s1' is neither a file nor FETCHER:PATH"):
        replayed("acme:s1")


WORDS = (
    "Where is order", "picture", "lamp.png", "invoice.pdf", "s3://", "refunds", "5512", "order_form", "blue",
    "hologram", "had better", "ups", "does not answer", "late", "Somebody", "nightly", "router", "Sorry",
)  # fmt: skip


def test_nothing_that_people_wrote_leaves_without_contents(here: Path) -> None:
    (here / "every.jsonl").write_bytes(EVERY_KIND)

    replayed("every.jsonl", content="none")
    emptied = (here / "out.jsonl").read_text(encoding="utf-8")
    replayed("every.jsonl", content="full")
    full = (here / "out.jsonl").read_text(encoding="utf-8")

    assert [words for words in WORDS if words not in full] == []
    assert [words for words in WORDS if words in emptied] == []
    assert all(name in emptied for name in ("orders", "carrier", "handover", "second line", "gpt-5.2"))


def test_secrets_are_scrubbed_from_what_is_read(here: Path) -> None:
    (here / "a.jsonl").write_bytes(written(SESSION, {**HELLO, "password": "swordfish"}))

    replayed("a.jsonl")

    assert "swordfish" not in (here / "out.jsonl").read_text(encoding="utf-8")


# --- whatever there is in a file ----------------------------------------------------------------------

_FIELDS = (
    "kind", "id", "type", "time", "start", "end", "text", "parts", "call_id", "tool", "arguments", "result", "error",
    "name", "attributes", "author", "provider", "model", "measurements", "failure", "configuration", "content", "uri",
    "mime_type", "modality", "size", "schema", "session", "platform", "path", "started",
)  # fmt: skip
_WORDS = st.text(st.characters(), max_size=6) | st.sampled_from(
    [*KINDS.split(", "), "2026-11-18T08:00:00Z", "text", "file", "structured", "acme", "s1", "\ud800"]
)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(2**80) | st.floats() | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_FIELDS) | _WORDS, inner, max_size=5),
    max_leaves=12,
)
_EVENTS = st.dictionaries(st.sampled_from(_FIELDS), _VALUES, max_size=5).flatmap(
    lambda fields: st.sampled_from(KINDS.split(", ")).map(lambda kind: {"name": "n", **fields, "kind": kind})
)


@given(st.lists(_VALUES | _EVENTS, max_size=12), st.sampled_from(["full", "scrubbed", "none"]))
def test_whatever_the_lines_are_each_is_an_event_a_duplicate_a_session_or_a_flaw(
    lines: list[Any], content: Any
) -> None:
    converted = traces(written(SESSION, *lines), Options(policy=Policy(content=content)))

    begun = sum(len([answer for answer in file.answers if answer.label == "session"])
                for file in load_neutral(written(SESSION, *lines), "a.jsonl"))  # fmt: skip
    accounted = sum(each.events + each.duplicates + len(each.flaws) for each in converted)
    assert accounted + begun == len(lines) + 1


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    assert isinstance(is_neutral(content), bool)
    assert len(traces(written(SESSION) + b"\n" + content)) >= 1
    try:
        load_neutral(content, "a.jsonl")
    except ReadError as error:
        assert not content.strip() or "line " in str(error)  # noqa: PT017 - to be refused is one of the two
