"""A page that is read as it is written gives the events that it gives as parsed JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agent_events.content import Policy
from otel_agent_events.conversion import Options
from otel_agent_events.events import AgentMessage, Thinking, ToolCall, ToolResult, UserMessage, parsed
from otel_agent_events.fetchers import Answer, saved, vectara_pages
from otel_agent_events.fetchers.reading import RecordReader
from otel_agent_events.fetchers.vectara import Vectara
from otel_agent_events.fetchers.vectara_pages import UsualPage
from otel_agent_events.pipeline import replay
from otel_agent_events.reference import Reference
from otel_agent_events.sources import Source
from otel_agent_events.testing import LoopbackPlatform
from tests.generate import Generated
from tests.native import native
from tests.traces import trace_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from otel_agent_events.fetchers import Item

REFERENCE = Reference("vectara", ("agent", "s"))
AGENT = {
    "key": "agent",
    "first_step": {},
    "tool_configurations": {"sub": {"sub_agent_configuration": {"agent_key": "c"}}},
}
FULL = Options(policy=Policy(content="full"))

USUAL: dict[str, dict[str, Any]] = {
    "input_message": {"messages": [{"type": "text", "content": "hello"}]},
    "thinking": {"content": 'h"m\n'},
    "tool_input": {"tool_call_id": "c", "tool_name": "t", "tool_input": {"q": [1]}, "tool_configuration_name": "sub"},
    "tool_output": {
        "tool_call_id": "c",
        "tool_name": "t",
        "tool_output": {"session_key": "x", "é": 0.5},
        "error": False,
    },
    "agent_output": {"content": "done"},
}
SPELLINGS: dict[str, dict[str, Any]] = {
    "ours": {"ensure_ascii": False, "separators": (",", ":")},
    "escaped": {},
    "spread out": {"ensure_ascii": False, "indent": 1},
}


def event(type_: str, **fields: Any) -> dict[str, Any]:
    record = {"id": "aev_1", "session_key": "s", "type": type_, "created_at": "2026-01-01T00:00:00Z"}
    return record | USUAL.get(type_, {}) | fields


def spelled(body: Any, spelling: str = "ours") -> bytes:
    return json.dumps(body, **SPELLINGS[spelling]).encode("utf-8", "surrogatepass")


def read(*bodies: Any) -> tuple[list[str], int]:
    """Give what a reader makes of pages, and how many records it met again."""
    reader = Vectara().reader(REFERENCE)
    items: list[Item] = list(reader.feed(Answer(label="agent", body=AGENT, source="x")))
    for body in bodies:
        items += reader.feed(Answer(label="events", body=body, source="x"))
    items += reader.close()
    kinds = (UserMessage, Thinking, ToolCall, ToolResult, AgentMessage)
    return [repr(parsed(item) if isinstance(item, kinds) else item) for item in items], reader.duplicates


@pytest.fixture(autouse=True, scope="module", params=[RecordReader, native.RecordReader], ids=["Python", "compiled"])
def _reader_of_records(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectara_pages, "_reader", request.param(vectara_pages.FORMS, vectara_pages.HELPERS))
        yield


NAMES = sorted(
    {"tool_configuration", "tool_key", "result", "more", *event("x"), *(n for of in USUAL.values() for n in of)}
)
ODD_VALUES = st.sampled_from([
    None, "", "s", "sub", "2026-01-01T00:00:00.1234567891Z", "2026-01-01T00:00:00+01:00", 0, 1, 1.0, True, False, [],
    {}, [{"type": "text", "content": "a", "more": 1}, 7], [{"type": "text", "content": "a/b"}], {"session_key": "y"},
    "\ud800", 2**70, {"deep": json.loads("[" * 120 + "]" * 120)}, {"a": 1e22, "b": -0.0, "c": 1.5},
    {"x": 1, "y": {"p": "a", "q": [1, 2]}}, {"y": {"q": [1, 2], "p": "a"}, "x": 1},
    {"x": 1, "y": {"p": "a", "q": [2, 1]}},
])  # fmt: skip


@st.composite
def _records(draw: st.DrawFn) -> Any:
    if not draw(st.integers(0, 12)):
        return draw(st.sampled_from([None, 7, "x", [], {}]))
    type_ = draw(st.sampled_from([*sorted(USUAL), "step_transition"]))
    changes = draw(st.dictionaries(st.sampled_from(NAMES), ODD_VALUES, max_size=2)) if draw(st.booleans()) else {}
    without = draw(st.sets(st.sampled_from(NAMES), max_size=1)) if not draw(st.integers(0, 3)) else set()
    record = event(type_, id=f"aev_{draw(st.integers(1, 4))}") | changes
    kept = [name for name in record if name not in without]
    names = draw(st.permutations(kept)) if not draw(st.integers(0, 3)) else kept
    return {name: record[name] for name in names}


@given(st.lists(st.lists(_records(), max_size=5), min_size=1, max_size=3), st.sampled_from(sorted(SPELLINGS)))
def test_pages_give_the_same_events_either_way(pages: list[list[Any]], spelling: str) -> None:
    bodies = [{"events": records, "metadata": {"page_key": None}} for records in pages]
    quick = [UsualPage.of(spelled(body, spelling)) or body for body in bodies]

    assert read(*quick) == read(*bodies)


@given(st.lists(_records(), min_size=1, max_size=4), st.lists(_records(), min_size=1, max_size=4))
def test_a_record_that_was_met_in_the_other_way_is_known_again(first: list[Any], second: list[Any]) -> None:
    bodies = [{"events": records} for records in (first, second, first)]
    quick = UsualPage.of(spelled(bodies[1]))

    assert read(bodies[0], quick or bodies[1], bodies[2]) == read(*bodies)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_what_usual_records_say_is_passed_on_as_it_is_written(spelling: str) -> None:
    records = [event(type_, id=f"aev_{number}") for number, type_ in enumerate(USUAL)]
    page = UsualPage.of(spelled({"events": records}, spelling))
    assert page is not None

    found = page.read("s", {})

    assert found is not None
    contents = [
        told
        for each in found[0]
        for told in (getattr(each, name, None) for name in ("text", "arguments", "result"))
        if told is not None
    ]
    assert contents == [b'"h\\"m\\n"', b'{"q":[1]}', '{"session_key":"x","é":0.5}'.encode()]


@pytest.mark.parametrize(
    "change",
    [
        {"more": None},
        {"session_key": "other"},
        {"created_at": "2026-01-01T00:00:00+01:00"},
        {"id": ""},
        {"tool_input": None},
        {"tool_input": json.loads("[" * 101 + "]" * 101)},
        {"tool_configuration": "another"},
        {"tool_configuration_name": ""},
        {"tool_call_id": ""},
    ],
    ids=str,
)
def test_a_record_that_is_out_of_the_usual_is_not_read_as_it_is_written(change: dict[str, Any]) -> None:
    page = UsualPage.of(spelled({"events": [event("tool_input"), event("tool_input", id="aev_2") | change]}))

    assert page is not None
    assert page.read("s", {}) is None


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b'{"events":7}', b'{"events":[]', b'{"events":["\xff"]}', b'{"key":"a","first_step":{}}'],
    ids=repr,
)
def test_what_is_no_page_is_left_to_those_who_say_what_is_wrong(body: bytes) -> None:
    assert UsualPage.of(body) is None


def test_a_result_of_a_sub_agent_names_its_session_in_either_way() -> None:
    body = {"events": [event("tool_input"), event("tool_output", id="aev_2", tool_configuration="sub")]}

    told, _ = read(UsualPage.of(spelled(body)))

    assert "vectara', path=('c', 'x')" in told[2]
    assert (told, 0) == read(body)


def test_a_large_session_is_the_same_bytes_whether_it_is_fetched_saved_or_parsed(tmp_path: Path) -> None:
    generated = Generated(events=2_000)
    saved_file = tmp_path / "pages.jsonl"
    saved_file.write_bytes(b"".join(spelled(page, "ours") + b"\n" for page in generated.pages))
    by_hand = tmp_path / "pages.json"
    by_hand.write_bytes(spelled(generated.pages, "spread out"))
    traces = {}
    with LoopbackPlatform([generated.recording()]) as platform:
        for name, source in (("fetched", "vectara:big/generated"), ("saved", saved_file), ("parsed", by_hand)):
            target = tmp_path / f"{name}.otlp.jsonl"
            report = replay(
                [source],
                to=[f"file:{target}"],
                content="full",
                base_url=platform.base_url if name == "fetched" else None,
                session=None if name == "fetched" else "vectara:big/generated",
                environ={"VECTARA_API_KEY": "key-of-ours"},
            )
            assert report.exit_code == 0
            traces[name] = [line for line in target.read_text().splitlines() if "invoke_agent" not in line]

    assert traces["fetched"] == traces["saved"] == traces["parsed"]


def test_equal_records_are_one_whatever_the_order_of_members_and_others_are_not() -> None:
    call = event("tool_input", tool_input={"x": 1, "y": {"p": "a", "q": [1, 2]}})
    turned = event("tool_input", tool_input={"y": {"q": [1, 2], "p": "a"}, "x": 1})
    other = event("tool_input", tool_input={"x": 1, "y": {"p": "a", "q": [2, 1]}})
    renamed = {name.replace("_name", "") if "configuration" in name else name: told for name, told in call.items()}

    for again, duplicates in ((turned, 1), (other, 0), (renamed, 0)):
        bodies = [{"events": [call]}, {"events": [again]}]
        assert read(*(UsualPage.of(spelled(body)) for body in bodies))[1] == duplicates
        assert read(*bodies)[1] == duplicates


# --- saved pages --------------------------------------------------------------------------------------


def test_a_line_that_is_no_page_beside_usual_ones_is_read_as_well() -> None:
    agent = AGENT | {"name": "Support"}
    content = spelled({"events": [event("thinking")]}) + b"\n\n" + spelled(agent) + b"\n"

    (found,) = saved.load(content, "pages.jsonl")

    assert [answer.label for answer in found.answers] == ["agent", "events"]
    assert found.reference == Reference("vectara", ("agent", "s"))


def test_a_page_that_is_cut_off_costs_nothing_of_those_before_it() -> None:
    whole = spelled({"events": [event("thinking")]})

    (found,) = saved.load(whole + b"\n" + whole[:-9], "pages.jsonl", REFERENCE)

    assert [answer.label for answer in found.answers] == ["events"]
    assert len(found.flaws) == 1
    assert "cut off" in found.flaws[0]


def test_half_a_character_costs_no_other_record() -> None:
    records = [event("thinking", id=f"aev_{number}", content=text) for number, text in enumerate(("a", "\ud800", "c"))]

    (found,) = saved.load(json.dumps({"events": records}).encode(), "pages.jsonl", REFERENCE)
    trace = trace_from(Source(reference=REFERENCE, fetcher=Vectara(), answers=found.answers), FULL)

    assert [span.attributes["otel_agent_events.summary"] for span in trace.spans[:-1]] == ["a", "\\ud800", "c"]


def test_a_page_of_another_platform_is_not_taken_for_vectaras(monkeypatch: pytest.MonkeyPatch) -> None:
    class Acme(Vectara):
        name = "acme"
        path = ("SESSION",)  # type: ignore[assignment]

        def usual(
            self, content: bytes | memoryview, label: str | None = None, again: Callable[[], memoryview] | None = None
        ) -> None:
            """Read everything from parsed JSON."""

        def recognise(self, body: Any) -> str | None:
            return "events" if "acme" in str(body["events"]) else None

        def identify(self, answers: Sequence[Answer]) -> tuple[str, ...]:
            return (str(answers[0].body["events"][0]["session_key"]),)

    acme, vectara = Acme(), Vectara()
    monkeypatch.setattr(saved, "_loaded", lambda: ([acme, vectara], []))
    content = spelled({"events": [event("thinking", content="acme")]}) + b"\n"

    (found,) = saved.load(content * 2, "pages.jsonl")
    (ours,) = saved.load(spelled({"events": [event("thinking")]}), "pages.jsonl")

    assert (found.fetcher, found.reference) == (acme, Reference("acme", ("s",)))
    assert ours.fetcher is vectara
