from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_agent_events.assemble import assemble
from otel_agent_events.content import Policy
from otel_agent_events.conventions import Labels
from otel_agent_events.conventions.gen_ai import GenAI
from otel_agent_events.errors import UsageError
from otel_agent_events.events import (
    AgentMessage,
    ContextUsage,
    Event,
    EventLink,
    File,
    Note,
    OtherPart,
    SessionLink,
    Skill,
    Structured,
    Subagent,
    Text,
    Thinking,
    ToolResult,
    Uri,
    UserMessage,
)
from otel_agent_events.ids import ROOT, event_key, span_id, turn_key
from otel_agent_events.otlp.encode import request as encode
from otel_agent_events.reference import Reference
from otel_agent_events.spans import Identity, Link, Remote, Resource, Span, SpanBuilder, View
from tests.events import (
    REFERENCE,
    agent,
    at,
    call,
    interrupt,
    note,
    result,
    session,
    sessions_of_events,
    thinking,
    user,
)

OWN = "otel_agent_events."
RESOURCE = Resource({"service.name": "test"})


def spans(*events: Event, view: View | None = None, facts: dict[str, Any] | None = None, **options: Any) -> list[Span]:
    told = session(**(facts or {}))
    identity = Identity(view=view or View(), **{k: options.pop(k) for k in ("namespace", "revision") if k in options})
    given: dict[str, Any] = {"conventions": [GenAI()], "resource": RESOURCE, **options}
    builder = SpanBuilder(told, identity=identity, **given)
    return [builder.build(node) for node in assemble(told, events, turns=identity.view.turns)]


def own(span: Span) -> dict[str, Any]:
    return {name.removeprefix(OWN): told for name, told in span.attributes.items() if name.startswith(OWN)}


def test_every_span_says_which_session_and_event_it_is_of() -> None:
    first, *_ = spans(
        user("k", 1, "hi", id="aev_1", type="input_message", author="anna"),
        facts={"user": "u1", "agent_name": "Support"},
    )

    assert first.attributes["gen_ai.conversation.id"] == first.attributes["session.id"] == "s1"
    assert first.attributes["user.id"] == "u1"
    assert first.attributes["gen_ai.agent.name"] == "Support"
    assert own(first) == {
        "event.kind": "user_message",
        "event.type": "input_message",
        "event.id": "aev_1",
        "event.index": 1,
        "event.turn": 1,
        "timing": "recorded",
        "summary": "hi",
        "user.author": "anna",
    }


def test_a_session_whose_id_is_not_recorded_gets_none() -> None:
    (root,) = spans(facts={"id": None})

    assert "session.id" not in root.attributes
    assert "gen_ai.conversation.id" not in root.attributes


def test_the_root_counts_and_says_under_which_view_it_was_made() -> None:
    *_, root = spans(
        user("1", 0, "hi"),
        call("2", 1),
        agent("3", 2),
        facts={"created_at": "then", "context": ContextUsage(input_tokens=7)},
    )

    assert own(root) == {
        "event.kind": "session",
        "summary": "hi",
        "timing": "recorded",
        "session.reference": "vectara:support/s1",
        "session.created_at": "then",
        "session.event_count": 3,
        "session.turn_count": 1,
        "session.tool_call_count": 1,
        "session.tool_error_count": 0,
        "session.missing_output_count": 1,
        "session.complete": True,
        "session.context.input_tokens": 7,
        "session.part": 1,
        "session.revision": 1,
        "view": "content=scrubbed;max=65536;turns=0;conventions=gen_ai",
    }


def test_ids_are_derived_from_the_keys() -> None:
    message, pair, root = spans(user("a", 0), call("b", 1), result("c", 2))
    trace = Identity().trace_id(REFERENCE)

    assert {span.trace_id for span in (message, pair, root)} == {trace}
    assert message.span_id == span_id(trace, event_key("a"))
    assert pair.span_id == span_id(trace, event_key("b"))
    assert root.span_id == span_id(trace, ROOT)
    assert root.parent_id is None


def test_children_hang_under_the_root_or_under_their_turn() -> None:
    events = note("1", 0), user("2", 1), agent("3", 2)
    flat, turned = spans(*events), spans(*events, view=View(turns=True))
    trace = turned[0].trace_id
    turn, root = span_id(trace, turn_key(1)), span_id(trace, ROOT)

    assert [span.parent_id for span in flat] == [flat[-1].span_id] * 3 + [None]
    assert [span.parent_id for span in turned] == [root, turn, turn, root, None]
    assert own(turned[3]) == {"event.kind": "turn", "event.turn": 1, "timing": "recorded", "summary": "hello"}


def test_another_view_namespace_or_revision_gives_other_ids() -> None:
    traces = [
        spans(**options)[0].trace_id
        for options in ({}, {"namespace": "staging"}, {"revision": 2}, {"view": View(content="full")})
    ]

    assert len(set(traces)) == 4


def test_a_live_parent_gives_its_trace_id_and_span_ids_stay_the_sessions_own() -> None:
    remote = Remote.parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")

    child, root = spans(user("1", 0), parent=remote)
    alone, _ = spans(user("1", 0))

    assert root.trace_id == child.trace_id == remote.trace_id
    assert root.parent_id == bytes.fromhex("b7ad6b7169203331")
    assert child.span_id == alone.span_id


def test_the_root_links_to_what_was_asked_for_and_to_the_revision_before() -> None:
    link = Remote.parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00").link()

    child, root = spans(user("1", 0), revision=3, links=[link])

    before, asked = root.links
    assert before.trace_id == Identity(revision=2).trace_id(REFERENCE)
    assert before.span_id == span_id(before.trace_id, ROOT)
    assert asked == Link(trace_id=link.trace_id, span_id=link.span_id, trace_flags=0)
    assert child.links == ()


TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "nonsense",
        f"00-{TRACE}-{SPAN}",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-01-more",
    ],
)
def test_what_is_no_traceparent_is_refused(traceparent: str) -> None:
    with pytest.raises(UsageError, match="is no traceparent"):
        Remote.parse(traceparent)


def test_a_traceparent_of_a_later_version_is_read() -> None:
    assert Remote.parse("01-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01-more").trace_flags == 1


def test_a_sub_agents_result_links_to_the_childs_root_under_the_same_namespace() -> None:
    child = Reference("vectara", ("policies", "p1"))
    pair, *_ = spans(call("1", 0), result("2", 1, subagent=Subagent(reference=child)), namespace="staging", revision=4)

    (link,) = pair.links
    assert link.trace_id == Identity(namespace="staging").trace_id(child)
    assert own(pair)["subagent.reference"] == "vectara:policies/p1"


def test_an_event_may_link_to_another_one_and_to_another_session() -> None:
    child = Reference("hubster", ("c2",))
    echo, _ = spans(note("1", 0, links=(EventLink(key="original"), SessionLink(reference=child))))
    pair, _ = spans(call("2", 0, links=(EventLink(key="a"),)), result("3", 1, links=(EventLink(key="b"),)))

    original, other = echo.links
    assert (original.trace_id, original.span_id) == (echo.trace_id, span_id(echo.trace_id, event_key("original")))
    assert other.trace_id == Identity().trace_id(child)
    assert [link.span_id for link in pair.links] == [span_id(pair.trace_id, event_key(key)) for key in ("a", "b")]


def test_the_parent_of_a_root_is_remote_and_that_of_a_child_is_not() -> None:
    child, root = spans(user("1", 0), parent=Remote.parse(f"00-{TRACE}-{SPAN}-01"))

    assert (child.parent_is_remote, root.parent_is_remote) == (False, True)


def test_what_is_constant_for_a_kind_is_one_and_the_same_mapping() -> None:
    first, second, *_ = spans(user("1", 0, "a"), user("2", 1, "b"))

    assert first.constants is second.constants
    assert first.constants.keys().isdisjoint(first.varying)
    assert first.constants["gen_ai.operation.name"] == "user_message"


def test_the_two_halves_of_a_pair_keep_their_ids_and_places() -> None:
    pair, *_ = spans(
        call("1", 0, id="in", type="tool_input", configuration="conf", remainder={"a": 1}),
        result("2", 1, id="out", type="tool_output", configuration="conf", failed=False, remainder={"b": 2}),
    )

    assert own(pair) == {
        "event.kind": "tool_call",
        "event.type": "tool_input",
        "event.id": "in",
        "event.index": 1,
        "event.turn": 0,
        "event.raw": '{"a":1}',
        "result.event.type": "tool_output",
        "result.event.id": "out",
        "result.event.index": 2,
        "result.event.raw": '{"b":2}',
        "tool.configuration": "conf",
        "tool.outcome": "ok",
        "tool.failed": False,
        "timing": "recorded",
    }


def limit(key: str, seconds: float) -> Note:
    return note(key, seconds, type="x_exceeded", name="x_exceeded", failure="limit")


@pytest.mark.parametrize(
    ("events", "error_type"),
    [
        ([call("k", 0), result("1", 1, failed=True)], "tool_error"),
        ([call("k", 0), agent("1", 1)], "missing_output"),
        ([user("0", 0), call("k", 1), interrupt("1", 2)], "cancelled"),
        ([limit("k", 0)], "x_exceeded"),
        ([interrupt("k", 0), agent("1", 1)], "session_interrupted"),
    ],
)
def test_a_failure_is_an_error_with_its_type(events: list[Event], error_type: str) -> None:
    identifier = span_id(Identity().trace_id(REFERENCE), event_key("k"))
    (failed,) = (span for span in spans(*events) if span.span_id == identifier)

    assert failed.status == "error"
    assert failed.attributes["error.type"] == error_type


def test_a_session_whose_last_turn_failed_is_an_error_and_no_other_is() -> None:
    failed, recovered = (
        spans(user("1", 0), interrupt("2", 1))[-1],
        spans(user("1", 0), interrupt("2", 1), agent("3", 2))[-1],
    )

    assert (failed.status, failed.attributes["error.type"]) == ("error", "session_interrupted")
    assert recovered.status == "unset"


def test_what_has_not_failed_has_no_status_and_no_error_type() -> None:
    for span in spans(user("1", 0), call("2", 1), result("3", 2), call("4", 3, "open"), result("5", 4, "orphan")):
        assert (span.status, span.description) == ("unset", None)
        assert "error.type" not in span.attributes


def test_the_status_of_a_failed_call_tells_the_beginning_of_its_result() -> None:
    failed, *_ = spans(call("1", 0), result("2", 1, failed=True, result="no " * 100))

    assert failed.description == ("no " * 100)[:200]
    assert own(failed)["tool.error"] == "no " * 100


def test_an_orphan_that_is_flagged_is_an_error_and_keeps_its_outcome() -> None:
    orphan, _ = spans(result("1", 0, failed=True))

    assert (orphan.status, own(orphan)["tool.outcome"]) == ("error", "orphan_output")
    assert own(orphan)["event.kind"] == "tool_result"


def test_times_that_the_span_does_not_hold_are_kept_in_the_remainder() -> None:
    early, *_ = spans(call("1", 5), result("2", 4, remainder={"x": 1}))
    bare, *_ = spans(call("1", 5), result("2", 4, remainder=[1]))
    clash, *_ = spans(call("1", 5), result("2", 4, remainder={"time": "noon"}))
    backwards, *_ = spans(AgentMessage(key="1", start=at(2), end=at(1)))
    interval, *_ = spans(call("1", 0), ToolResult(key="2", call_id="c", start=at(1), end=at(2)))

    assert own(early)["result.event.raw"] == '{"time":"2023-11-14T22:13:24Z","x":1}'
    assert own(bare)["result.event.raw"] == '{"time":"2023-11-14T22:13:24Z","record":[1]}'
    assert own(clash)["result.event.raw"] == '{"time":"2023-11-14T22:13:24Z","record":{"time":"noon"}}'
    assert own(backwards)["event.raw"] == '{"end":"2023-11-14T22:13:21Z"}'
    assert own(backwards)["clamped"] is True
    assert own(interval)["result.event.raw"] == '{"start":"2023-11-14T22:13:21Z"}'


def test_measurements_keep_the_platforms_own_names() -> None:
    measured, *_ = spans(agent("1", 0))
    assert not any("measurement" in name for name in measured.attributes)

    measured, *_ = spans(AgentMessage(key="1", start=at(0), end=at(1), measurements={"e2e_latency_ms": 310}))
    pair, *_ = spans(call("1", 0, measurements={"asked": 1.5}), result("2", 1, measurements={"answered": 2}))

    assert own(measured)["measurement.e2e_latency_ms"] == 310
    assert (own(pair)["measurement.asked"], own(pair)["result.measurement.answered"]) == (1.5, 2)


def test_the_fields_of_a_note_are_attributes_and_very_many_of_them_one() -> None:
    few, _ = spans(Note(key="1", name="step", attributes={"to": "b", "n": 3}, content={"why": ["x"]}))
    many, _ = spans(Note(key="1", name="step", attributes={f"a{n}": n for n in range(100)}))
    measured, _ = spans(Note(key="1", measurements={f"m{n}": n for n in range(100)}))

    assert {"note.to": "b", "note.n": 3, "note.why": '["x"]'}.items() <= own(few).items()
    assert len(many.attributes) < 20
    assert '"a99":99' in own(many)["note"]
    assert '"m99":99' in own(measured)["measurements"]


def test_no_span_has_more_than_128_attributes_even_when_all_of_them_are_cut() -> None:
    long, few = {f"a{n}": "x" * 99 for n in range(40)}, {f"m{n}": n for n in range(16)}
    noted, _ = spans(Note(key="1", name="n" * 99, attributes=long, measurements=few), view=View(max_value=64))
    pair, _ = spans(
        call("c" * 99, 1, "c" * 99, arguments="a" * 99, configuration="b" * 99, measurements=few, remainder=long),
        result("r", 0, "c" * 99, tool="t" * 99, configuration="d" * 99, result="r" * 99, failed=True, measurements=few),
        view=View(max_value=64),
    )

    assert max(len(noted.attributes), len(pair.attributes)) <= 128


@pytest.mark.parametrize(
    ("event", "summary"),
    [
        (user("1", 0, "two\n words  "), "two words"),
        (user("1", 0, "x" * 200), "x" * 79 + "…"),
        (thinking("1", 0, "hm"), "hm"),
        (thinking("1", 0, None), None),
        (call("1", 0, arguments={"q": 1}), '{"q":1}'),
        (result("1", 0, result={"a": 1}), '{"a":1}'),
        (result("1", 0), None),
        (Note(key="1", attributes={"a": "b"}, content={"c": [1]}), "a: b, c: [1]"),
        (Note(key="1", remainder={"x": {"y": 1}}), 'x: {"y":1}'),
        (Note(key="1", remainder=[1]), None),
        (
            UserMessage(
                key="1",
                parts=(
                    Text(text="see"), Structured(content={"a": 1}), File(name="a.txt"), File(file_id="f"), File(),
                    Uri(uri="https://h"), Skill(name="s"), OtherPart(content={"type": "x"}),
                ),
            ),
            'see {"a":1} [file a.txt] [file f] [file ] https://h [skill s] {"type":"x"}',
        ),
    ],
)  # fmt: skip
def test_a_summary_says_the_event_in_at_most_eighty_characters(event: Event, summary: str | None) -> None:
    assert own(spans(event)[0]).get("summary") == summary


def test_the_summary_of_a_pair_says_what_was_asked_and_answered() -> None:
    short, *_ = spans(call("1", 0, arguments="ask"), result("2", 1, result="answer"))
    long, *_ = spans(call("1", 0, arguments="a" * 99), result("2", 1, result="b" * 99))

    assert own(short)["summary"] == "ask → answer"
    assert own(long)["summary"] == "a" * 37 + "… → " + "b" * 38 + "…"


def test_what_a_policy_removed_leaves_the_types_of_the_parts() -> None:
    event = Policy(content="none").event(UserMessage(key="1", parts=(Text(text="a"), Skill(name="s"))))

    told = own(spans(event)[0])

    assert told["event.parts"] == ("text", "skill")
    assert "summary" not in told


class Other:
    """A convention that says the same names as the first one, some of them always and some of one span."""

    name = "other"

    def constants(self, _: Any, __: Any) -> dict[str, Any]:
        return {
            "gen_ai.conversation.id": "other",
            "gen_ai.output.messages": "other",
            "other.constant": 1,
            "absent": None,
        }

    def label(self, _: Any, __: Any) -> Labels:
        varying: dict[str, Any] = {
            "gen_ai.operation.name": "other",
            "gen_ai.input.messages": "other",
            "other": True,
            "absent": "x",
        }
        return Labels(name="other", kind="client", attributes=varying)


def test_the_first_convention_names_the_span_and_wins_where_two_say_the_same() -> None:
    message, thought, _ = spans(user("1", 0, "hi"), thinking("2", 1, "hm"), conventions=[GenAI(), Other()])

    assert (message.name, message.kind) == ("user_message", "internal")
    told = message.attributes
    assert told["gen_ai.operation.name"] == "user_message"  # a constant of the first, said of one span by the other
    assert told["gen_ai.conversation.id"] == "s1"  # a constant of both
    assert "hi" in str(told["gen_ai.input.messages"])  # said of one span by both
    assert "hm" in str(
        thought.attributes["gen_ai.output.messages"]
    )  # of one span by the first, a constant of the other
    assert told["gen_ai.output.messages"] == "other"  # the first says nothing of it here
    assert (told["other"], told["other.constant"], told["absent"]) == (True, 1, "x")
    for span in (message, thought):
        assert span.constants.keys().isdisjoint(span.varying)


def test_a_later_convention_comes_first_when_it_is_named_first() -> None:
    first, _ = spans(user("1", 0, "hi"), conventions=[Other(), GenAI()])

    assert (first.name, first.kind) == ("other", "client")
    assert first.attributes["gen_ai.operation.name"] == "other"
    assert first.attributes["gen_ai.conversation.id"] == "other"
    assert first.attributes["gen_ai.input.messages"] == "other"


# --- properties ---------------------------------------------------------------------------------------


@given(sessions_of_events(), st.booleans())
def test_ids_are_unique_and_never_zero(events: list[Event], turns: bool) -> None:  # noqa: FBT001
    made = spans(*events, view=View(turns=turns))

    identifiers = [span.span_id for span in made]
    assert len(set(identifiers)) == len(identifiers)
    assert all(any(each) for each in identifiers)
    assert {span.parent_id for span in made} <= {None, *identifiers}


@given(sessions_of_events())
def test_equal_events_and_options_give_equal_bytes(events: list[Event]) -> None:
    assert encode(spans(*events)) == encode(spans(*events))


HOSTILE = st.sampled_from(
    ["\ud800", "a\0b", "x" * 100_000, 2**70, float("nan"), float("-inf"), -(2**70), {"k\udfff": ["\ud800"]}, [[[[]]]]]
)


def nested(depth: int) -> Any:
    value: Any = "bottom"
    for _ in range(depth):
        value = {"in": [value]}
    return value


@settings(max_examples=30)
@given(HOSTILE, HOSTILE, st.text(st.characters()))
def test_hostile_values_cost_no_span_and_every_span_can_be_encoded(one: Any, other: Any, name: str) -> None:
    events: list[Event] = [
        user("1", 0, str(one), remainder={"r": one}),
        Thinking(key="2", end=at(1), text=str(other)),
        call("3", 2, name, tool=name, arguments=one, configuration=name),
        result("4", 3, name, tool=name, result={"deep": nested(30), "odd": other}, failed=True),
        Note(key="5", name=name, type=name, attributes={name: one, "n": 2**70}, content={"c": other}),
        AgentMessage(key="6", end=at(5), parts=(Structured(content=one), OtherPart(content=other))),
    ]

    made = spans(*events, facts={"id": name, "agent_name": name, "user": name, "remainder": other})

    assert len(made) == (6 if name else 7)
    assert len(encode(made)) > 0
    assert all(len(span.attributes) <= 128 for span in made)
