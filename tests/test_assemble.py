from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agent_events.assemble import (
    Assembler,
    EventNode,
    Node,
    SessionNode,
    ToolNode,
    TurnNode,
    assemble,
)
from otel_agent_events.events import AgentMessage, Event, ToolCall, ToolResult
from otel_agent_events.times import LATEST, MICROSECOND, MILLISECOND
from tests.events import (
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


def tool(nodes: list[Node], key: str) -> ToolNode:
    """Give the tool node whose call, or whose result when it is alone, has this key."""
    return next(
        node
        for node in nodes
        if isinstance(node, ToolNode) and ((node.call or node.result).key == key)  # type: ignore[union-attr]
    )


def times(nodes: list[Node], key: str) -> tuple[int, int, str]:
    for node in nodes:
        keys = {
            each.key
            for each in (
                (node.event,) if isinstance(node, EventNode) else (node.call,) if isinstance(node, ToolNode) else ()
            )
            if each is not None
        }
        if key in keys:
            return node.start.at, node.end.at, node.timing
    raise AssertionError(f"no node has the key {key}")


def root(nodes: list[Node]) -> SessionNode:
    last = nodes[-1]
    assert isinstance(last, SessionNode)
    return last


def run(*events: Event, turns: bool = False, **facts: Any) -> list[Node]:
    return assemble(session(**facts), events, turns=turns)


# --- calls and results --------------------------------------------------------------------------------


def test_a_call_and_its_result_are_one_node_from_the_one_to_the_other() -> None:
    nodes = run(call("1", 1), result("2", 3))

    pair = tool(nodes, "1")
    assert (pair.start.at, pair.end.at, pair.timing, pair.outcome) == (at(1), at(3), "recorded", "ok")
    assert (pair.index, pair.result_index) == (1, 2)


def test_an_id_that_occurs_several_times_is_paired_first_in_first_out() -> None:
    nodes = run(call("1", 1), call("2", 2), result("3", 3), result("4", 4))

    assert [(node.call.key, node.result.key) for node in nodes[:2] if isinstance(node, ToolNode)] == [  # type: ignore[union-attr]
        ("1", "3"),
        ("2", "4"),
    ]


def test_a_result_that_comes_before_its_call_waits_for_it() -> None:
    nodes = run(result("1", 2), call("2", 1))

    pair = tool(nodes, "2")
    assert (pair.start.at, pair.end.at, pair.clamped, pair.outcome) == (at(1), at(2), False, "ok")


def test_a_result_whose_time_lies_before_its_call_is_clamped_to_it() -> None:
    nodes = run(call("1", 5), result("2", 4))

    pair = tool(nodes, "1")
    assert (pair.start.at, pair.end.at, pair.clamped) == (at(5), at(5), True)


def test_results_that_wait_are_taken_first_in_first_out_too() -> None:
    nodes = run(result("1", 1), result("2", 2), call("3", 0), call("4", 0))

    assert tool(nodes, "3").result == result("1", 1)
    assert tool(nodes, "4").result == result("2", 2)


def test_nothing_is_paired_without_a_call_id() -> None:
    nodes = run(call("1", 1, None), result("2", 2, None))

    assert tool(nodes, "1").outcome == "unfinished"
    assert tool(nodes, "2").outcome == "orphan_output"


def test_a_result_without_a_call_is_an_orphan_of_zero_length() -> None:
    nodes = run(user("1", 0), result("2", 4, "x"), agent("3", 5))

    orphan = tool(nodes, "2")
    assert (orphan.start.at, orphan.end.at, orphan.outcome, orphan.timing) == (
        at(4),
        at(4),
        "orphan_output",
        "recorded",
    )


@pytest.mark.parametrize("ending", [agent("3", 9), interrupt("3", 9), note("3", 9, type="x_exceeded", failure="limit")])
def test_a_call_that_is_never_answered_although_the_session_went_on_ends_with_its_turn(ending: Event) -> None:
    nodes = run(call("1", 1), user("2", 0), ending)

    missing = tool(nodes, "1")
    assert (missing.outcome, missing.timing) == ("missing_output", "inferred")
    assert (missing.start.at, missing.end.at) == (at(1), at(1))  # its turn, number 0, ended with it
    assert root(nodes).missing_output_count == 1
    assert root(nodes).complete


def test_a_call_that_is_never_answered_ends_with_the_last_of_its_turn() -> None:
    nodes = run(user("1", 0), call("2", 1), note("3", 7), agent("4", 5), user("5", 20))

    assert times(nodes, "2") == (at(1), at(7), "inferred")


def test_a_call_in_an_interrupted_turn_is_cancelled() -> None:
    nodes = run(user("1", 0), call("2", 1, "a"), interrupt("3", 2), user("4", 3), call("5", 4, "b"), agent("6", 5))

    assert tool(nodes, "2").cancelled
    assert not tool(nodes, "5").cancelled


def test_a_call_made_after_the_interrupt_of_its_turn_is_missing_and_not_cancelled() -> None:
    nodes = run(user("1", 0), interrupt("2", 1), call("3", 2), agent("4", 3))

    assert tool(nodes, "3").outcome == "missing_output"
    assert not tool(nodes, "3").cancelled


def test_a_call_still_open_where_the_records_end_is_unfinished_and_so_is_the_session() -> None:
    nodes = run(user("1", 0), agent("2", 1), call("3", 2), thinking("4", 6))

    assert tool(nodes, "3").outcome == "unfinished"
    assert times(nodes, "3") == (at(2), at(6), "inferred")
    assert not root(nodes).complete


def test_an_unanswered_call_keeps_the_end_that_the_platform_recorded() -> None:
    open_call = ToolCall(key="1", call_id="c", start=at(1), end=at(2))

    assert times(run(open_call, agent("2", 9)), "1") == (at(1), at(2), "recorded")


def test_a_flagged_result_is_an_error_and_is_counted() -> None:
    nodes = run(call("1", 1, "a"), result("2", 2, "a", failed=True), result("3", 3, "b", failed=True))

    assert tool(nodes, "1").outcome == "error"
    assert tool(nodes, "3").outcome == "orphan_output"
    assert root(nodes).tool_error_count == 2


# --- times --------------------------------------------------------------------------------------------


def test_what_is_stamped_when_it_is_finished_begins_at_the_greatest_time_before_it_in_its_turn() -> None:
    nodes = run(user("1", 0), call("2", 1), result("3", 5), note("4", 6), thinking("5", 8))

    assert times(nodes, "5") == (at(5), at(8), "inferred")


def test_a_finished_stamp_with_nothing_before_it_in_its_turn_has_zero_length() -> None:
    assert times(run(thinking("1", 3)), "1") == (at(3), at(3), "inferred")
    assert times(run(agent("1", 1), user("2", 5), thinking("3", 4)), "3") == (at(4), at(4), "inferred")


def test_a_finished_stamp_before_all_that_it_could_begin_at_has_zero_length() -> None:
    assert times(run(user("1", 5), thinking("2", 3)), "2") == (at(3), at(3), "inferred")


def test_for_inference_a_result_counts_in_the_turn_in_which_it_arrives() -> None:
    nodes = run(user("1", 0), call("2", 1), agent("3", 2), user("4", 3), result("5", 6), thinking("6", 8))

    assert times(nodes, "6") == (at(6), at(8), "inferred")
    assert tool(nodes, "2").turn == 1


def test_a_recorded_interval_is_kept_and_one_that_runs_backwards_is_clamped() -> None:
    forward = AgentMessage(key="1", start=at(1), end=at(4))
    backward = AgentMessage(key="2", start=at(6), end=at(5))

    nodes = run(forward, backward)

    assert times(nodes, "1") == (at(1), at(4), "recorded")
    assert times(nodes, "2") == (at(6), at(6), "recorded")
    assert [node.clamped for node in nodes if isinstance(node, EventNode)] == [False, True]


def test_an_undated_event_comes_a_microsecond_after_the_previous_known_time() -> None:
    nodes = run(user("1", 1), note("2"), note("3"), note("4", 9), note("5"))

    assert times(nodes, "2") == (at(1) + MICROSECOND, at(1) + MICROSECOND, "synthetic")
    assert times(nodes, "3")[0] == at(1) + 2 * MICROSECOND
    assert times(nodes, "5")[0] == at(9) + MICROSECOND


def test_leading_undated_events_step_back_from_the_first_known_time() -> None:
    nodes = run(note("1"), note("2"), user("3", 4))

    assert times(nodes, "1") == (at(4) - 2 * MICROSECOND, at(4) - 2 * MICROSECOND, "synthetic")
    assert times(nodes, "2")[0] == at(4) - MICROSECOND


def test_leading_undated_events_step_on_from_the_sessions_start_when_it_is_known() -> None:
    nodes = run(note("1"), note("2"), user("3", 4), started=at(0))

    assert times(nodes, "1")[0] == at(0) + MICROSECOND
    assert times(nodes, "2")[0] == at(0) + 2 * MICROSECOND


def test_a_session_without_any_time_begins_in_1970_and_steps_by_a_millisecond() -> None:
    assembler = Assembler(session())
    waiting = [*assembler.feed(user("1")), *assembler.feed(agent("2"))]

    nodes = assembler.close()

    assert waiting == []
    assert [node.start.at for node in nodes] == [MILLISECOND, 2 * MILLISECOND, MILLISECOND]
    assert assembler.undated
    assert root(nodes).timing == "synthetic"


def test_a_pair_with_one_undated_half_is_synthetic() -> None:
    assert times(run(call("1", 1), result("2")), "1") == (at(1), at(1) + MICROSECOND, "synthetic")
    assert times(run(user("0", 0), call("1"), result("2", 3)), "1") == (at(0) + MICROSECOND, at(3), "synthetic")


def test_invented_times_end_where_otlp_does() -> None:
    late = AgentMessage(key="1", start=LATEST, end=LATEST)

    assert times(run(late, note("2")), "2")[0] == LATEST


def test_a_synthetic_time_is_no_known_time_for_others() -> None:
    assert times(run(user("1", 1), call("2"), thinking("3", 5)), "3") == (at(1), at(5), "inferred")


# --- turns and the root -------------------------------------------------------------------------------


def test_a_turn_begins_at_a_user_message_that_follows_something_else() -> None:
    nodes = run(note("1", 0), user("2", 1), user("3", 2), agent("4", 3), user("5", 4))

    assert [node.turn for node in nodes if isinstance(node, EventNode)] == [0, 1, 1, 1, 2]
    assert root(nodes).turn_count == 2


def test_turns_become_nodes_only_when_asked_for_and_turn_zero_never() -> None:
    events = note("1", 0), user("2", 1), agent("3", 3), user("4", 4), thinking("5", 6)

    shown = [node for node in run(*events, turns=True) if isinstance(node, TurnNode)]

    assert [(node.number, node.start.at, node.end.at) for node in shown] == [(1, at(1), at(3)), (2, at(4), at(6))]
    assert [node.first for node in shown] == [user("2", 1), user("4", 4)]
    assert [node.last for node in shown] == [agent("3", 3), None]
    assert not any(isinstance(node, TurnNode) for node in run(*events))


def test_a_turn_ends_with_the_results_of_its_calls_also_those_that_come_later() -> None:
    nodes = run(user("1", 0), call("2", 1), user("3", 2), result("4", 9), turns=True)

    first, second = (node for node in nodes if isinstance(node, TurnNode))
    # The second was still going on when the first was complete.
    assert (first.number, first.end.at) == (1, at(9))
    assert (second.number, second.end.at) == (2, at(2))


def test_a_turn_leaves_as_soon_as_the_next_begins_and_its_calls_are_answered() -> None:
    assembler = Assembler(session(), turns=True)
    for event in (user("1", 0), call("2", 1), agent("3", 2)):
        assembler.feed(event)

    at_the_next_message = assembler.feed(user("4", 3))
    at_the_answer = assembler.feed(result("5", 4))

    assert [type(node) for node in at_the_next_message] == [EventNode]
    assert [type(node) for node in at_the_answer] == [ToolNode, TurnNode]


def test_a_turn_waits_for_the_call_of_a_result_that_came_early() -> None:
    assembler = Assembler(session(), turns=True)
    for event in (user("1", 0), result("2", 1), agent("3", 2), user("4", 3)):
        assembler.feed(event)

    assert [type(node) for node in assembler.feed(call("5", 1))] == [ToolNode, TurnNode]


def test_the_session_has_failed_only_when_its_last_turn_ends_in_an_interrupt_or_a_limit() -> None:
    interrupted = run(user("1", 0), interrupt("2", 1))
    recovered = run(user("1", 0), interrupt("2", 1), agent("3", 2))
    earlier = run(user("1", 0), interrupt("2", 1), user("3", 2))

    assert root(interrupted).failure is not None
    assert root(interrupted).failure.type == "session_interrupted"  # type: ignore[union-attr]
    assert root(recovered).failure is None
    assert root(earlier).failure is None


def test_the_root_tells_the_first_user_message_the_last_agent_message_and_counts() -> None:
    nodes = run(user("1", 0, "a"), user("2", 1, "b"), call("3", 2), agent("4", 3, "x"), agent("5", 4, "y"))

    node = root(nodes)
    assert (node.first, node.last) == (user("1", 0, "a"), agent("5", 4, "y"))
    assert (node.event_count, node.turn_count, node.tool_call_count) == (5, 1, 1)
    assert (node.start.at, node.end.at, node.timing) == (at(0), at(4), "recorded")


def test_a_root_whose_end_was_invented_says_so() -> None:
    assert root(run(user("1", 0), note("2"))).timing == "synthetic"


def test_a_session_without_events_is_a_root_alone() -> None:
    assert [(node.start.at, node.timing) for node in run(started=at(3))] == [(at(3), "recorded")]
    assert [(node.start.at, node.timing) for node in run()] == [(MILLISECOND, "synthetic")]


def test_facts_that_come_late_reach_the_root() -> None:
    assembler = Assembler(session())
    assembler.feed(user("1", 0))
    assembler.learn(session(agent_name="Support"))

    assert root(assembler.close()).session.agent_name == "Support"


# --- properties ---------------------------------------------------------------------------------------


@given(sessions_of_events(), st.booleans())
def test_every_event_lands_on_exactly_one_node(events: list[Event], turns: bool) -> None:  # noqa: FBT001
    nodes = assemble(session(), events, turns=turns)

    landed = [node.event.key for node in nodes if isinstance(node, EventNode)]
    pairs = 0
    for node in nodes:
        if isinstance(node, ToolNode):
            landed += [half.key for half in (node.call, node.result) if half is not None]
            pairs += node.call is not None and node.result is not None
    shown = sum(isinstance(node, TurnNode) for node in nodes)
    assert sorted(landed, key=int) == [event.key for event in events]
    assert shown == (root(nodes).turn_count if turns else 0)
    assert len(nodes) == 1 + shown + len(events) - pairs


@given(sessions_of_events(), st.booleans())
def test_no_node_ends_before_it_starts_and_the_root_covers_all(events: list[Event], turns: bool) -> None:  # noqa: FBT001
    nodes = assemble(session(), events, turns=turns)

    covering = root(nodes)
    assert all(covering.start.at <= node.start.at <= node.end.at <= covering.end.at for node in nodes)


@given(sessions_of_events())
def test_a_turn_covers_its_events(events: list[Event]) -> None:
    nodes = assemble(session(), events, turns=True)

    turns = {node.number: node for node in nodes if isinstance(node, TurnNode)}
    for node in nodes:
        if isinstance(node, (EventNode, ToolNode)) and node.turn:
            assert turns[node.turn].start.at <= node.start.at <= node.end.at <= turns[node.turn].end.at


@given(sessions_of_events(), st.integers(0, 24))
def test_nodes_that_closed_early_are_the_same_in_the_whole(events: list[Event], length: int) -> None:
    assembler = Assembler(session(), turns=True)

    closed = [node for event in events[:length] for node in assembler.feed(event)]

    whole = assemble(session(), events, turns=True)
    assert closed == whole[: len(closed)]


@given(sessions_of_events())
def test_only_what_waits_for_something_is_kept_back(events: list[Event]) -> None:
    assembler = Assembler(session(started=at(0)))

    closed = [node for event in events for node in assembler.feed(event)]

    waiting = [node for node in assembler.close() if not isinstance(node, SessionNode)]
    assert all(isinstance(node, ToolNode) and None in (node.call, node.result) for node in waiting)
    assert len(closed) + len(waiting) >= len(events) / 2


def test_an_event_of_a_type_that_a_plug_in_has_made_from_ours_is_what_ours_is() -> None:
    class MyCall(ToolCall, frozen=True, kw_only=True):
        more: str = ""

    asked = MyCall(key="a", start=at(1), end=at(1), call_id="c", tool="t", more="x")
    answered = ToolResult(key="b", start=at(2), end=at(2), call_id="c", tool="t", result=1)

    first, *_ = assemble(session(), [asked, answered])

    assert isinstance(first, ToolNode)
    assert (first.call, first.result, first.outcome) == (asked, answered, "ok")
