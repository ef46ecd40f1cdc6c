"""What a session that was recorded from its stream has otherwise than the replay of what is stored of it.

`docs/streams.md` lists it for users.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from otel_agent_events import SessionRecorder
from otel_agent_events.content import Policy
from otel_agent_events.conversion import Options
from otel_agent_events.otlp.readable import to_readables
from otel_agent_events.reference import Reference
from tests.live.exporters import Kept, told
from tests.live.streams import NAMES, stream
from tests.traces import trace_of

REFERENCE = Reference("vectara", ("gardener", "greenhouse_7"))
FULL = Policy(content="full")
PAGE = Path(__file__).parents[2] / "docs" / "streams.md"
OWN = "otel_agent_events."
SECOND = 1_000_000_000
ARRIVED = 1_800_000_000 * SECOND
BEGIN = 1_777_885_200 * SECOND
"""2026-05-04T09:00:00Z, when the stream began."""

_STREAMED = stream("with_times")
STORED = [
    _STREAMED[0],
    {
        "type": "thinking",
        "id": "aev_s1_02",
        "session_key": "greenhouse_7",
        "created_at": "2026-05-04T09:00:00.840Z",
        "content": "The user asks about temperature; I read the sensor.",
    },
    *(record for record in _STREAMED if record["type"] in {"tool_input", "tool_output"}),
    {
        "type": "agent_output",
        "id": "aev_s1_05",
        "session_key": "greenhouse_7",
        "created_at": "2026-05-04T09:00:02.240Z",
        "content": "Yes, at 31.5 degrees. Open the vents, please.",
    },
]
"""What Vectara stores of the stream `with_times`: no chunks, no usage."""


def recorded(records: list[Any]) -> list[dict[str, Any]]:
    """Record a stream whose records come half a second after one another."""
    exporter = Kept()
    recorder = SessionRecorder(exporter=exporter, content="full", environ={})
    with recorder.session(REFERENCE) as session:
        for number, record in enumerate(records):
            session.record(record, at=ARRIVED + number * SECOND // 2)
    assert recorder.shutdown()
    assert recorder.lost == {}
    return [told(span) for span in exporter.spans]


def replayed(**options: Any) -> list[dict[str, Any]]:
    page = json.dumps({"events": STORED}).encode()
    return [told(span) for span in to_readables(trace_of(page, Options(policy=FULL, **options), REFERENCE).spans)]


def by_name(spans: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {span["name"]: span for span in spans}


def differences(live: dict[str, Any], replay: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Give what two spans say otherwise: what was said live, and in the replay."""
    fields = {name: (live[name], replay[name]) for name in live if name != "attributes" and live[name] != replay[name]}
    here, there = live["attributes"], replay["attributes"]
    return fields | {
        name: (here.get(name), there.get(name)) for name in sorted({*here, *there}) if here.get(name) != there.get(name)
    }


def test_these_are_all_the_differences_between_a_streamed_session_and_its_replay() -> None:
    live, replay = by_name(recorded(_STREAMED)), by_name(replayed())

    assert {name: differences(live[name], span) for name, span in replay.items() if differences(live[name], span)} == {
        "thinking": {
            "ids": (live["thinking"]["ids"], replay["thinking"]["ids"]),
            "start": (BEGIN + 600_000_000, BEGIN + 100_000_000),
            "end": (BEGIN + 850_000_000, BEGIN + 840_000_000),
            "gen_ai.response.time_to_first_chunk": (0.5, None),
            f"{OWN}detail.chunks": (3, None),
            f"{OWN}event.id": (None, "aev_s1_02"),
            f"{OWN}measurement.time_to_first_chunk": (0.5, None),
            f"{OWN}timing": ("recorded", "inferred"),
        },
        "agent_output": {
            "start": (BEGIN + 2 * SECOND, BEGIN + 1_400_000_000),
            "end": (BEGIN + 2_250_000_000, BEGIN + 2_240_000_000),
            "gen_ai.response.time_to_first_chunk": (0.5, None),
            f"{OWN}detail.chunks": (2, None),
            f"{OWN}measurement.time_to_first_chunk": (0.5, None),
            f"{OWN}timing": ("recorded", "inferred"),
        },
        "invoke_agent gardener": {
            "end": (BEGIN + 2_300_000_000, BEGIN + 2_240_000_000),
            f"{OWN}session.context.input_tokens": (812, None),
            f"{OWN}session.context.output_tokens": (64, None),
            f"{OWN}session.context.reasoning_tokens": (21, None),
            f"{OWN}session.context.total_tokens": (876, None),
            f"{OWN}session.context.window": (128_000, None),
            f"{OWN}session.event_count": (6, 5),
        },
    }
    assert live.keys() - replay.keys() == {"context_consumed"}


def test_the_spans_of_both_are_in_one_trace_so_that_the_replay_is_the_next_revision() -> None:
    live, replay, second = by_name(recorded(_STREAMED)), by_name(replayed()), by_name(replayed(revision=2))

    root = live["invoke_agent gardener"]
    assert root["ids"] == replay["invoke_agent gardener"]["ids"]
    assert not {span["ids"] for span in second.values()} & {span["ids"] for span in live.values()}
    ((trace_id, span_id, _),) = second["invoke_agent gardener"]["links"]
    assert (trace_id, span_id) == root["ids"]


@pytest.mark.parametrize(
    "name",
    [
        f"{OWN}timing",
        f"{OWN}event.id",
        f"{OWN}detail.chunks",
        f"{OWN}detail.broken_off",
        f"{OWN}measurement.time_to_first_chunk",
        "gen_ai.response.time_to_first_chunk",
        f"{OWN}session.context",
        f"{OWN}session.event_count",
        f"{OWN}session.complete",
        f"{OWN}turn.complete",
        "context_consumed",
        "compaction_started",
        "error",
        "end",
        "--revision 2",
    ],
)
def test_the_page_for_users_names_what_is_different(name: str) -> None:
    assert name.removeprefix(OWN) in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_that_breaks_off_is_a_session_that_is_not_complete(name: str) -> None:
    spans = recorded(stream(name))

    broken = [span for span in spans if span["attributes"].get(f"{OWN}detail.broken_off")]
    root = spans[-1]["attributes"]
    assert bool(broken) is (name in {"broken_off", "interrupted", "error"})
    if broken:
        assert root[f"{OWN}session.complete"] is False


def test_two_clocks_do_not_meet_in_one_span() -> None:
    without = [{key: told for key, told in record.items() if key != "created_at"} for record in _STREAMED]
    mixed = [*_STREAMED[:2], *without[2:5], *_STREAMED[5:7], *without[7:]]

    for span in recorded(mixed)[:-1]:
        assert (span["start"] < ARRIVED) is (span["end"] < ARRIVED), span["name"]
