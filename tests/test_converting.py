"""`convert`: the very trace that `replay` sends, without sending it."""

from __future__ import annotations

import io
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_agent_events import Reference, Scrubber, SessionError, Span, Stop, Trace, UsageError, convert, fetch, replay
from otel_agent_events.attributes import OWN
from otel_agent_events.events import AgentMessage, Caution, Session, Text, ToolCall, ToolResult, UserMessage
from otel_agent_events.otlp.encode import request
from otel_agent_events.otlp.file import ConsoleDestination
from otel_agent_events.testing import LoopbackPlatform
from tests.generate import Generated
from tests.otlp.collectors import http_collector
from tests.recordings import bundled, files, name_of, session_for
from tests.test_fetching import KEY, NEUTRAL, REFUND
from tests.traces import DATA

if TYPE_CHECKING:
    from otel_agent_events.events import Event
    from otel_agent_events.otlp import Encoded

pytestmark = pytest.mark.usefixtures("here")

DOCUMENTED = DATA / "vectara" / "documented.json"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SECOND = 1_000_000_000


def written(trace: Trace) -> bytes:
    return "".join(trace.otlp_json()).encode()


def sent(reference: str | bytes | Path, **options: Any) -> bytes:
    """Give what a replay writes into a file."""
    replay([reference], to=["file:out"], **{"environ": {}, **options})
    return Path("out").read_bytes()


# --- the same as a replay -----------------------------------------------------------------------------

OPTIONS: dict[str, dict[str, Any]] = {
    "usual": {},
    "full-with-turns": {"content": "full", "turns": True},
    "without-contents": {"content": "none", "namespace": "n", "revision": 3, "links": [TRACEPARENT]},
    "in-parts-and-moved": {"max_trace_bytes": 6_000, "max_value": 64, "shift_to": "2026-12-24T18:00:00Z"},
    "in-a-live-trace": {"traceparent": TRACEPARENT, "service_name": "desk", "scrubber": Scrubber(["order"])},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("path", [*files(), NEUTRAL / "every_kind.jsonl", NEUTRAL / "flawed.jsonl"], ids=name_of)
def test_it_is_byte_for_byte_what_a_replay_of_the_same_sends(path: Path, options: dict[str, Any]) -> None:
    session = session_for(path)

    trace = convert(fetch(path, session=session, environ={}), environ={}, **options)

    assert written(trace) == sent(path, session=session, **options)


@pytest.mark.parametrize("platform", ["agora", "hubster", "lyzr", "vectara"])
def test_what_was_fetched_is_byte_for_byte_what_a_replay_of_the_platform_sends(platform: str) -> None:
    environ = {
        "AGORA_TOKEN": "any",
        "HUBSTER_ACCESS_TOKEN": "any",
        "LYZR_API_KEY": "any",
        "VECTARA_API_KEY": "any",
        "OTEL_RESOURCE_ATTRIBUTES": "team=desk",
    }
    for recording in bundled(platform):
        with LoopbackPlatform([recording]) as played:
            reached: dict[str, Any] = {"environ": environ, "base_url": played.base_url}
            trace = convert(fetch(recording.session, **reached), environ=environ)

            assert written(trace) == sent(recording.session, **reached)
            assert trace.spans[0].resource.attributes["team"] == "desk"


def test_its_spans_and_their_bytes_are_those_that_a_collector_gets() -> None:
    with LoopbackPlatform(bundled("vectara"), headers={"x-api-key": KEY}) as platform, http_collector() as collector:
        reached: dict[str, Any] = {"base_url": platform.base_url, "environ": {"VECTARA_API_KEY": KEY}}
        report = replay([REFUND], endpoint=collector.url, **reached)
        trace = convert(fetch(REFUND, **reached), environ={})

    (received,) = collector.requests
    assert received.request.SerializeToString() == request(trace.spans)
    assert (trace.trace_id, str(trace.reference)) == (report.sessions[0].trace_id, REFUND)


class Kept(ConsoleDestination):
    """A destination that keeps the spans."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())
        self.spans: list[Span] = []

    def submit(self, encoded: Encoded) -> None:
        self.spans += encoded.spans
        super().submit(encoded)


def test_its_spans_are_those_that_a_destination_gets() -> None:
    kept = Kept()

    replay([DOCUMENTED], to=[kept], environ={})

    assert convert(fetch(DOCUMENTED, environ={}), environ={}).spans == tuple(kept.spans)


def test_a_session_of_several_strides_and_parts_is_the_same() -> None:
    recording = Generated(events=5_000, seed=3).recording("one")
    saved = recording.model_dump_json().encode()

    trace = convert(fetch(saved, environ={}), environ={}, max_trace_bytes=500_000)

    assert written(trace) == sent(saved, max_trace_bytes=500_000)
    assert len(trace.parts) > 2
    assert trace.parts[0] == trace.trace_id
    assert {span.trace_id.hex() for span in trace.spans} == set(trace.parts)


def test_events_with_values_give_the_same_as_those_with_what_is_written() -> None:
    with LoopbackPlatform(bundled("vectara"), headers={"x-api-key": KEY}) as platform:
        fetched = fetch(REFUND, base_url=platform.base_url, environ={"VECTARA_API_KEY": KEY})

    trace = convert(fetched.events, session=fetched.session, environ={})

    assert trace == convert(fetched, environ={})


def test_a_session_that_is_not_complete_says_so_at_its_root() -> None:
    content = DOCUMENTED.read_bytes()

    fetched = fetch(content + b"{", environ={})
    trace = convert(fetched, environ={})

    assert trace.spans[-1].attributes[f"{OWN}session.complete"] is False
    assert trace.warnings == fetched.warnings != ()
    assert convert(fetch(content, environ={}), environ={}).spans[-1].attributes[f"{OWN}session.complete"] is True


def test_what_was_said_of_the_session_comes_once_and_before_what_comes_of_the_conversion() -> None:
    path = DATA / "lyzr" / "no_right_to_messages.json"

    fetched = fetch(path, session=session_for(path), environ={})
    report = replay([path], session=session_for(path), to=["file:out"], environ={})

    assert convert(fetched, environ={}).warnings == report.sessions[0].warnings
    assert fetched.warnings == report.sessions[0].warnings != ()


# --- events of one's own ------------------------------------------------------------------------------

OWN_EVENTS: list[Event] = [
    UserMessage(key="1", end=1 * SECOND, parts=(Text(text="Where is it?"),)),
    ToolCall(key="2", start=2 * SECOND, end=2 * SECOND, call_id="c", tool="lookup", arguments={"order": 5512}),
    ToolResult(key="3", start=3 * SECOND, end=3 * SECOND, call_id="c", result={"state": "late"}),
    AgentMessage(key="4", end=4 * SECOND, parts=(Text(text="It is late."),)),
]


def test_events_of_ones_own_become_a_trace() -> None:
    trace = convert(OWN_EVENTS, session="desk:ada/monday", environ={})

    assert [span.name for span in trace.spans] == [
        "user_message",
        "execute_tool lookup",
        "agent_output",
        "invoke_agent",
    ]
    *children, root = trace.spans
    assert {span.parent_id for span in children} == {root.span_id}
    assert (root.parent_id, root.start, root.end) == (None, 1 * SECOND, 4 * SECOND)
    assert root.resource.attributes["service.name"] == "desk"
    assert (trace.reference, trace.parts, trace.warnings) == (Reference("desk", ("ada", "monday")), (), ())


def test_a_session_may_be_a_name_a_reference_or_all_that_is_known_of_it() -> None:
    reference = Reference("desk", ("ada",))

    named = convert(OWN_EVENTS, session="desk:ada", environ={})
    told = convert(iter(OWN_EVENTS), session=Session(reference=reference, agent_name="Desk"), environ={})

    assert named == convert(OWN_EVENTS, session=reference, environ={})
    assert (told.trace_id, told.spans[-1].name) == (named.trace_id, "invoke_agent Desk")


def test_facts_and_cautions_may_stand_between_the_events() -> None:
    session = Session(reference=Reference("desk", ("ada",)))
    learnt = replace(session, agent_name="Desk", complete=False)

    trace = convert([*OWN_EVENTS, Caution(message="page 2 is gone"), learnt], session=session, environ={})

    assert trace.spans[-1].name == "invoke_agent Desk"
    assert trace.spans[-1].attributes[f"{OWN}session.complete"] is False
    assert trace.warnings == ("page 2 is gone",)


def test_no_events_are_a_trace_of_a_root() -> None:
    trace = convert([], session="desk:ada", environ={})

    assert len(trace.spans) == 1
    assert "the session has no events" in trace.warnings


def test_secrets_are_taken_out_of_ones_own_events_too() -> None:
    secret = "sk-proj-Zk3vQ8sT1mXw7Rb5Yh2Nc9Lf4Dj6Gp0A"
    events = [UserMessage(key="1", end=SECOND, parts=(Text(text=f"My key is {secret}."),))]

    assert secret.encode() not in written(convert(events, session="desk:ada", environ={}))
    assert secret.encode() in written(convert(events, session="desk:ada", environ={}, content="full"))


@pytest.mark.parametrize(
    ("records", "session", "said"),
    [
        (OWN_EVENTS, None, "events do not say which session they are of; say it with session, as FETCHER:PATH"),
        (OWN_EVENTS, "desk", "'desk' is no session: write FETCHER:PATH, such as vectara:AGENT/SESSION"),
        (
            [*OWN_EVENTS, OWN_EVENTS[1]],
            "desk:ada",
            "desk:ada: record 5 has the key '2', which record 2 has: a key names one event of a session",
        ),
        (
            [*OWN_EVENTS, {"kind": "thinking"}],
            "desk:ada",
            "desk:ada: record 5 is of the type dict, and no event: otel_agent_events.events has their types",
        ),
    ],
)
def test_events_that_make_no_session_are_refused(records: Any, session: str | None, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        convert(records, session=session, environ={})

    assert str(caught.value) == said


# --- what comes out -----------------------------------------------------------------------------------


def test_its_spans_go_to_any_exporter_of_the_sdk() -> None:
    exporter = InMemorySpanExporter()
    trace = convert(fetch(DOCUMENTED, environ={}), environ={})

    exporter.export(trace.readable())

    exported = exporter.get_finished_spans()
    assert [span.name for span in exported] == [span.name for span in trace.spans]
    assert {f"{span.context.trace_id:032x}" for span in exported if span.context} == {trace.trace_id}


def test_its_lines_are_one_for_each_span_and_end_where_they_should() -> None:
    lines = convert(OWN_EVENTS, session="desk:ada", environ={}).otlp_json()

    assert len(lines) == 4
    assert all(line.endswith("}\n") and line.count("\n") == 1 for line in lines)


# --- what goes wrong ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"session": "vectara:support/s1"}, "names its session itself; leave session out"),
        ({"revision": 0}, "the revision is 0; revisions are counted from 1"),
        ({"max_value": 1}, "--max-value is 1"),
        ({"max_trace_bytes": 999}, "--max-trace-bytes is 999"),
        ({"max_trace_bytes": 9999, "traceparent": TRACEPARENT}, "--max-trace-bytes splits it"),
        ({"shift_to": "soon"}, "--shift-to is 'soon'"),
        ({"links": ["00"]}, "'00' is no traceparent"),
        ({"conventions": ["odd"]}, "there is no convention 'odd'"),
        ({"conventions": []}, "no convention was named, and the first one names the spans; there is gen_ai"),
        ({"environ": {"OTEL_RESOURCE_ATTRIBUTES": "odd"}}, "OTEL_RESOURCE_ATTRIBUTES"),
    ],
)
def test_an_option_that_cannot_be_understood_is_told(options: dict[str, Any], said: str) -> None:
    fetched = fetch(DOCUMENTED, environ={})

    with pytest.raises(UsageError, match=said):
        convert(fetched, **{"environ": {}, **options})


@pytest.mark.parametrize("options", [{}, {"shift_to": 5 * SECOND}], ids=["usual", "moved"])
def test_who_asks_it_to_stop_from_another_thread_gets_nothing(options: dict[str, Any]) -> None:
    fetched = fetch(Generated(events=50, seed=3).recording("one").model_dump_json().encode(), environ={})
    stop = Stop()
    thread = threading.Thread(target=stop.ask)
    thread.start()
    thread.join()

    with pytest.raises(SessionError, match=r"^vectara:big/one: stopped while it was converted$"):
        convert(fetched, environ={}, stop=stop, **options)
