"""The outline of a trace: a text in which a person sees what is right and what is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from otel_agent_events import ReadError, demo
from otel_agent_events.content import Policy
from otel_agent_events.conversion import Options
from otel_agent_events.fetchers.vectara import Vectara
from otel_agent_events.spans import Link, Remote
from otel_agent_events.testing import outline, trace
from tests.test_recording import session_of

(RECORDING,) = (each for each in demo.recordings() if each.session == "vectara:support/refund_case_88")
LIVE = Remote.parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")

WHOLE = """\
invoke_agent Support desk at 2026-11-18T08:00:00.12Z 0+284.18 complete=true | Where is order 5512? It was due on Monday.
  user_message 0+0 | Where is order 5512? It was due on Monday.
  thinking ~0+1.185 | The customer asks for a late order. I look the order up and ask what the policy…
  execute_tool order_lookup 1.28+2.512 error=tool_error outcome=error failed=true | {"order":"5512"} → \
{"error":"upstream timeout","upstream":"warehouse-eu"}
  execute_tool sub_agent 1.28+5.333 outcome=ok failed=false reference=vectara:policies/policy_run_17 link=108bd624 | \
{"message":"What does a customer get … → {"session_key":"policy_run_17","sub_ag…
  thinking ~3.792+0.289 | The warehouse did not answer. Once more.
  execute_tool order_lookup 4.14+0.744 outcome=ok failed=false | {"order":"5512","retry":1} → \
{"order":"5512","state":"in transit","due":"2026-1…
  agent_output ~6.613+1.717 author=bot | {"eligible":false,"offer":"voucher","amount_eur":5}
  step_transition 6.68+0 | from_step: triage, to_step: answer, content: Two days late: offer the voucher.
  agent_output ~8.33+0.57 author=bot | Your order is on its way and two days late. I can offer you a voucher of 5 euro…
  user_message 280.88+0 | Yes please, send it to me.
  execute_tool refund_create 281.998+0.753 outcome=ok failed=false | {"order":"5512","kind":"voucher","amo… → \
{"voucher":"V-20881","sent_to":"custom…
  agent_output ~282.751+1.429 author=bot | Done: voucher V-20881 is in your mailbox.
"""


def outlined(*records: dict[str, Any], **options: Any) -> list[str]:
    """Give the lines of a session of these records, the root first."""
    recording = session_of([{"id": str(number), **each} for number, each in enumerate(records, 1)])
    return outline(trace(Vectara(), recording, Options(**options))).splitlines()


def at(seconds: float) -> str:
    return f"2026-01-01T00:00:{seconds:012.9f}Z"


# --- the whole ----------------------------------------------------------------------------------------


def test_the_outline_of_the_first_session_of_the_demo() -> None:
    assert outline(trace(Vectara(), RECORDING)) == WHOLE


def test_the_order_in_which_spans_are_given_does_not_matter() -> None:
    spans = trace(Vectara(), RECORDING)

    assert outline(spans[::-1]) == WHOLE


def test_turns_are_nested_with_their_events_below_them() -> None:
    spans = trace(Vectara(), RECORDING, Options(turns=True, policy=Policy(content="full")))
    # The link to the sub-agent is another one: the view is part of its trace id.
    nested = outline([replace(span, links=()) for span in spans]).splitlines()

    turns = [line for line in nested if line.startswith("  i")]
    assert turns == [
        "  invoke_agent Support desk 0+8.9 | Where is order 5512? It was due on Monday.",
        "  invoke_agent Support desk 280.88+3.3 | Yes please, send it to me.",
    ]
    below = [line.removeprefix("  ") for line in nested[1:] if line not in turns]
    assert below == WHOLE.replace(" link=108bd624", "").splitlines()[1:]
    assert nested.index(turns[1]) == 11


# --- one line -----------------------------------------------------------------------------------------


def test_inferred_times_and_synthetic_ones_are_marked_and_recorded_ones_are_not() -> None:
    _, message, thought, undated = outlined(
        {"type": "input_message", "created_at": at(0)},
        {"type": "new"},
        {"type": "thinking", "created_at": at(2)},
    )

    assert message == "  user_message 0+0"
    assert undated.startswith("  unknown_event ?0.000001+0")
    assert thought == "  thinking ~0+2"


def test_seconds_are_told_to_the_nanosecond_and_without_idle_zeros() -> None:
    root, *points = outlined(
        {"type": "input_message", "created_at": "2026-01-01T00:00:00.5Z"},
        {"type": "input_message", "created_at": "2026-01-01T00:00:10.5Z"},
        {"type": "input_message", "created_at": "2026-01-01T00:01:40.500000001Z"},
    )

    assert root == "invoke_agent Support at 2026-01-01T00:00:00.5Z 0+100.000000001 complete=true"
    assert points == ["  user_message 0+0", "  user_message 10+0", "  user_message 100.000000001+0"]


def test_what_went_wrong_is_told_behind_the_times() -> None:
    call = {"tool_call_id": "c", "tool_name": "search"}
    _, *lines = outlined(
        {"type": "tool_output", **call, "created_at": at(0)},
        {"type": "tool_input", **call, "created_at": at(1)},
        {"type": "tool_input", "tool_call_id": "never", "tool_name": "lost", "created_at": at(2)},
        {"type": "session_interrupted", "created_at": at(3)},
    )

    assert [line.partition(" | ")[0] for line in lines] == [
        "  execute_tool search 0+0 outcome=ok clamped=true",
        "  execute_tool lost ~1+1 error=cancelled outcome=missing_output",
        "  session_interrupted 2+0 error=session_interrupted",
    ]


def test_of_two_events_at_one_time_the_first_in_the_records_comes_first() -> None:
    call = {"tool_call_id": "c", "tool_name": "late"}
    _, *lines = outlined(
        {"type": "tool_input", **call, "created_at": at(1)},
        {"type": "input_message", "created_at": at(1)},
        {"type": "tool_output", **call, "created_at": at(2)},
    )

    assert [line.split()[0] for line in lines] == ["execute_tool", "user_message"]


# --- links and parents --------------------------------------------------------------------------------


def test_a_link_within_the_trace_names_the_event_and_one_out_of_it_the_trace() -> None:
    *events, root = trace(Vectara(), RECORDING)
    first = next(span for span in events if span.attributes["otel_agent_events.event.index"] == 1)
    linked = replace(events[-1], links=(Link(trace_id=root.trace_id, span_id=first.span_id), LIVE.link()))

    lines = outline([*events[:-1], linked, root]).splitlines()

    assert lines[-1] == (
        "  agent_output ~282.751+1.429 author=bot link=#1 link=0af76519 | Done: voucher V-20881 is in your mailbox."
    )


def test_a_link_of_the_root_is_told_on_the_first_line() -> None:
    (root,) = outlined(links=(LIVE.link(),))

    assert root.endswith(" complete=true link=0af76519")


def test_a_trace_below_a_live_span_begins_with_its_own_root() -> None:
    hung = trace(Vectara(), RECORDING, Options(parent=LIVE, policy=Policy(content="full")))

    assert outline(hung) == WHOLE


# --- the spans ----------------------------------------------------------------------------------------


def test_the_root_is_the_last_span_and_contents_are_kept_unless_told_otherwise() -> None:
    spans, emptied = trace(Vectara(), RECORDING), trace(Vectara(), RECORDING, Options(policy=Policy(content="none")))

    assert [span.name for span in spans].index("invoke_agent Support desk") == len(spans) - 1 == 12
    assert "not-for-your-eyes" in repr(spans)
    assert "voucher" not in repr(emptied)


def test_a_recording_that_cannot_be_read_is_told() -> None:
    odd, damaged = session_of([]), session_of([])
    odd.answers[-1].body["events"] = None
    damaged.answers[-1].changed["/events/0"] = "c:0"

    with pytest.raises(ReadError, match="holds no list of events"):
        trace(Vectara(), odd)
    with pytest.raises(ValueError, match="'/events/0' in changed is no part of its answer"):
        trace(Vectara(), damaged)
