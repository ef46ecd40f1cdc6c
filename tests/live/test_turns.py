"""A turn in a request: spans of the service's own tracer, and nothing that hurts the service."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import json
import logging
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import fastapi
import pytest
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, context, trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Decision, ParentBased, Sampler, StaticSampler

from otel_agent_events import Reference, TurnRecorder, UsageError
from otel_agent_events.conventions import CONVENTIONS, Labels
from otel_agent_events.conventions.gen_ai import GenAI
from otel_agent_events.events import EventLink, Note, Thinking, ToolCall, ToolResult, UserMessage
from otel_agent_events.live.turns import REFERENCE, TRACE_ID
from otel_agent_events.spans import Identity, View
from tests.live.streams import NAMES, stream, words_in
from tests.live.test_equals_replay import handed_on, without_failures
from tests.live.waiting import until
from tests.recordings import files, name_of, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

SESSION = "vectara:gardener/greenhouse_7"
OWN = "otel_agent_events."


class Service:
    """A service with a tracer provider of its own."""

    def __init__(self, sampler: Sampler | None = None) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("service")

    def recorder(self, **options: Any) -> TurnRecorder:
        return TurnRecorder(**{"tracer_provider": self.provider, "environ": {}, **options})

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def named(self, name: str) -> ReadableSpan:
        (span,) = (span for span in self.spans if span.name == name)
        return span

    @property
    def turn(self) -> ReadableSpan:
        return self.named("invoke_agent gardener")


@pytest.fixture
def service() -> Service:
    return Service()


def said(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def ids(told: trace.SpanContext | None) -> tuple[int, int] | None:
    return None if told is None else (told.trace_id, told.span_id)


def thought(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "type": "thinking",
        "id": f"aev_{number}",
        "created_at": f"2026-05-04T09:00:{number % 60:02}Z",
        "content": "hm",
        **fields,
    }


def played(recorder: TurnRecorder, records: Sequence[Any], session: str = SESSION, **options: Any) -> None:
    with recorder.turn(session, **options) as turn:
        for number, record in enumerate(records):
            turn.record(record, at=1_800_000_000_000_000_000 + number * 1_000_000_000)


# --- the contract -------------------------------------------------------------------------------------


def test_a_turn_is_a_child_of_the_span_of_the_host_and_what_was_recorded_are_its_children(service: Service) -> None:
    with service.tracer.start_as_current_span("POST /ask"):
        played(service.recorder(), stream("with_times"))

    host, turn = service.named("POST /ask"), service.turn
    assert ids(turn.parent) == ids(host.context)
    children = [span for span in service.spans if span not in (host, turn)]
    assert [span.name for span in children] == [
        "user_message",
        "thinking",
        "execute_tool read_sensor",
        "agent_output",
        "context_consumed",
    ]
    assert {ids(span.parent) for span in children} == {ids(turn.context)}
    assert {span.instrumentation_scope.name for span in (turn, *children)} == {"otel_agent_events"}  # type: ignore[union-attr]
    assert {span.resource for span in children} == {host.resource}


def test_no_root_of_the_session_is_sent(service: Service) -> None:
    played(service.recorder(), stream("with_times"))

    assert [span for span in service.spans if f"{OWN}session.event_count" in said(span)] == []
    assert [span.name for span in service.spans if span.parent is None] == ["invoke_agent gardener"]


def test_a_child_leaves_as_soon_as_it_is_closed(service: Service) -> None:
    with service.recorder().turn(SESSION) as turn:
        counts = []
        for record in stream("with_times"):
            turn.record(record)
            counts.append(len(service.spans))

    assert counts == [1, 1, 1, 1, 2, 2, 3, 3, 3, 4, 5, 5]


def test_children_have_their_own_times(service: Service) -> None:
    played(service.recorder(), stream("with_times"))

    tool, thinking = service.named("execute_tool read_sensor"), service.named("thinking")
    second = 1_000_000_000
    begin = 1_777_885_200 * second  # 2026-05-04T09:00:00Z
    assert (tool.start_time, tool.end_time) == (begin + 900_000_000, begin + 1_400_000_000)
    assert (thinking.start_time, thinking.end_time) == (begin + 600_000_000, begin + 850_000_000)
    assert said(thinking)[f"{OWN}timing"] == "recorded"
    assert said(thinking)["gen_ai.response.time_to_first_chunk"] == 1.0
    assert said(thinking)[f"{OWN}detail.chunks"] == 3


def test_turn_and_host_name_the_session_and_link_the_root_that_its_replay_has(service: Service) -> None:
    with service.tracer.start_as_current_span("host"):
        played(service.recorder(), [])

    reference = Reference.parse(SESSION)
    root = Identity(view=View()).root_of(reference)
    for span in (service.named("host"), service.turn):
        assert said(span)[REFERENCE] == SESSION
        assert said(span)[TRACE_ID] == root.trace_id.hex()
        (link,) = span.links
        assert ids(link.context) == (int.from_bytes(root.trace_id, "big"), int.from_bytes(root.span_id, "big"))
        assert link.context.is_remote
        assert dict(link.attributes or {}) == {REFERENCE: SESSION}


def test_the_namespace_is_part_of_the_trace_id_that_is_told(service: Service) -> None:
    played(service.recorder(namespace="eu", content="full", max_value=100), [])

    # The view is that of a replay without options, whatever the content here.
    assert said(service.turn)[TRACE_ID] == Identity(namespace="eu").trace_id(Reference.parse(SESSION)).hex()


def test_what_a_turn_says_of_itself_from_its_beginning_on_is_there_for_a_sampler() -> None:
    asked: list[dict[str, Any]] = []

    class Asked(StaticSampler):
        def should_sample(self, *arguments: Any, **options: Any) -> Any:
            asked.append(dict(options["attributes"] if "attributes" in options else arguments[4]))
            return super().should_sample(*arguments, **options)

    played(Service(Asked(Decision.RECORD_AND_SAMPLE)).recorder(), [], user="ada", number=4)

    assert asked[0] == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.conversation.id": "greenhouse_7",
        "gen_ai.agent.name": "gardener",
        "gen_ai.agent.id": "gardener",
        "gen_ai.provider.name": "vectara",
        "session.id": "greenhouse_7",
        "user.id": "ada",
        f"{OWN}event.kind": "turn",
        f"{OWN}event.turn": 4,
        f"{OWN}timing": "recorded",
        REFERENCE: SESSION,
        TRACE_ID: asked[0][TRACE_ID],
    }


def test_the_turn_says_whether_it_is_complete_and_how_full_the_context_is(service: Service) -> None:
    played(service.recorder(), stream("with_times"))

    attributes = said(service.turn)
    assert attributes[f"{OWN}turn.complete"] is True
    assert attributes[f"{OWN}session.context.input_tokens"] == 812
    assert attributes[f"{OWN}session.context.reasoning_tokens"] == 21
    assert service.turn.status.status_code is trace.StatusCode.UNSET


def test_with_contents_the_turn_tells_what_was_asked_and_answered(service: Service) -> None:
    played(service.recorder(content="full"), stream("with_times"))

    attributes = said(service.turn)
    assert "too warm?" in attributes["gen_ai.input.messages"]
    assert "Open the vents" in attributes["gen_ai.output.messages"]
    assert attributes[f"{OWN}summary"] == "Is the tomato house too warm?"
    assert attributes[f"{OWN}timing"] == "recorded"


@pytest.mark.parametrize("name", ["broken_off", "interrupted", "error"])
def test_a_stream_that_breaks_off_leaves_what_came_marked(service: Service, name: str) -> None:
    played(service.recorder(), stream(name))

    (broken,) = (span for span in service.spans if f"{OWN}detail.broken_off" in said(span))
    assert said(broken)[f"{OWN}detail.broken_off"] is True
    assert said(service.turn)[f"{OWN}turn.complete"] is False


@pytest.mark.parametrize(("name", "kind"), [("error", "error"), ("interrupted", "session_interrupted")])
def test_a_turn_that_ends_in_an_error_or_an_interrupt_is_an_error(service: Service, name: str, kind: str) -> None:
    records = [record for record in stream(name) if "agent_output" not in record["type"]]

    played(service.recorder(), records)

    assert said(service.turn)["error.type"] == kind
    assert service.turn.status.status_code is trace.StatusCode.ERROR
    assert service.turn.status.description is None


def test_a_call_whose_result_never_came_is_told_when_the_turn_ends(service: Service) -> None:
    calls = [record for record in stream("parallel_tools") if record["type"] == "tool_input"]

    played(service.recorder(), calls)

    assert [said(span)[f"{OWN}tool.outcome"] for span in service.spans[:2]] == ["unfinished"] * 2
    assert said(service.turn)[f"{OWN}turn.complete"] is False


# --- numbers ------------------------------------------------------------------------------------------


PLACES = (f"{OWN}event.index", f"{OWN}result.event.index", f"{OWN}event.turn")


@pytest.mark.parametrize("content", ["none", "full"])
def test_number_and_places_are_told_when_the_caller_knows_them(service: Service, content: Any) -> None:
    played(service.recorder(content=content), stream("parallel_tools"), number=3, first_index=11)

    places: dict[str, list[Any]] = {span.name: [] for span in service.spans}
    for span in service.spans:
        places[span.name].append([said(span).get(name) for name in PLACES])
    assert places == {
        "user_message": [[11, None, 3]],
        "execute_tool read_sensor": [[13, 14, 3], [12, 15, 3]],
        "agent_output": [[16, None, 3]],
        "invoke_agent gardener": [[None, None, 3]],
    }


@pytest.mark.parametrize("content", ["none", "full"])
def test_number_and_places_are_told_by_nobody_else(service: Service, content: Any) -> None:
    played(service.recorder(content=content), stream("parallel_tools"))

    assert not [name for span in service.spans for name in said(span) if name in PLACES]


def test_a_number_that_is_none_is_left_out(service: Service) -> None:
    recorder = service.recorder()

    played(recorder, stream("parallel_tools"), number="three", first_index=2**80)

    assert not [name for span in service.spans for name in said(span) if name in PLACES]
    assert recorder.lost == {}


# --- contents -----------------------------------------------------------------------------------------


def everything(spans: Sequence[ReadableSpan]) -> str:
    """Give all that the spans say, as one text."""
    return "\n".join(
        repr(each)
        for span in spans
        for each in (
            span.name,
            span.attributes,
            span.status.description,
            [event.attributes for event in span.events],
            [(link.attributes) for link in span.links],
        )
    )


def as_written(words: str) -> set[str]:
    """Give a text in the ways in which it may be found in the text of spans."""
    return {words, repr(words)[1:-1], json.dumps(words)[1:-1], json.dumps(words, ensure_ascii=False)[1:-1]}


@pytest.mark.parametrize("name", NAMES)
def test_without_contents_nothing_that_people_or_models_wrote_leaves_of_a_stream(service: Service, name: str) -> None:
    records = stream(name)
    recorder = service.recorder()

    played(recorder, records)

    told = everything(service.spans)
    words = words_in(records)
    assert words
    assert [each for each in words if each in told] == []
    assert recorder.lost == {}


NAMES_OF_THINGS = {"Support desk", "Policy expert", "Shop line", "a word that is new"}
"""Three agents, and a type of Hubster's: what things are called is no content."""


@pytest.mark.parametrize("path", files(), ids=name_of)
def test_without_contents_nothing_that_people_or_models_wrote_leaves_of_a_recording(
    service: Service, path: Path
) -> None:
    source = without_failures(opened(path))
    records = [record for record, _ in handed_on(source, whole=False)]

    played(service.recorder(), records, session=str(source.reference))

    told = everything(service.spans)
    names = {str(source.reference), *source.reference.path, *NAMES_OF_THINGS}
    assert [each for each in words_in(records) - names if each in told] == []


@pytest.mark.parametrize("name", NAMES)
def test_with_all_contents_every_word_of_a_stream_leaves(service: Service, name: str) -> None:
    records = stream(name)

    played(service.recorder(content="full"), records)

    told = everything(service.spans).replace("\\\\", "\\")
    cut = {each["content"] for each in records if each["type"].startswith("streaming_") and "content" in each}
    assert [each for each in words_in(records) - cut if not any(form in told for form in as_written(each))] == []


def test_scrubbed_contents_hold_no_secret(service: Service) -> None:
    played(service.recorder(content="scrubbed"), stream("parallel_tools"))

    told = everything(service.spans)
    assert "sk-live-4f9d8a7b6c5e4d3c2b1a0f9e8d7c6b5a" not in told
    assert "hunter2" not in told
    assert "Compare both houses" in told
    assert "north house" in told


def test_words_of_an_exception_do_not_leave(service: Service) -> None:
    with pytest.raises(ZeroDivisionError), service.recorder(content="full").turn(SESSION):
        raise ZeroDivisionError("the secret sum")

    assert "secret sum" not in everything(service.spans)


@pytest.mark.parametrize(
    ("variable", "content", "leaves"),
    [
        (None, None, False),
        ("", None, False),
        ("NO_CONTENT", None, False),
        ("EVENT_ONLY", None, False),
        ("perhaps", None, False),
        ("false", None, False),
        ("SPAN_ONLY", None, True),
        ("span_and_event", None, True),
        ("true", None, True),
        ("true", "none", False),
        ("NO_CONTENT", "full", True),
        (None, "scrubbed", True),
    ],
)
def test_contents_leave_when_an_argument_or_the_variable_says_so(
    service: Service, variable: str | None, content: Any, *, leaves: bool
) -> None:
    environ = {} if variable is None else {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": variable}

    played(service.recorder(content=content, environ=environ), stream("with_times"))

    assert ("vents are closed" in everything(service.spans)) is leaves


def test_the_variable_of_this_process_counts_when_no_environment_is_given(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")

    played(TurnRecorder(tracer_provider=service.provider), stream("parallel_tools"))

    assert "north house" in everything(service.spans)
    assert "hunter2" not in everything(service.spans)


def test_a_value_is_cut_to_what_is_allowed(service: Service) -> None:
    played(service.recorder(content="full", max_value=64), [thought(content="x" * 500)])

    assert len(said(service.named("thinking"))["gen_ai.output.messages"]) <= 64


def test_what_cannot_be_understood_is_said_when_the_recorder_is_made() -> None:
    with pytest.raises(UsageError):
        TurnRecorder(environ={"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "many"})
    with pytest.raises(UsageError):
        TurnRecorder(conventions=["unheard_of"], environ={})


# --- sampling -----------------------------------------------------------------------------------------


def test_a_turn_that_is_sampled_out_records_nothing_and_loses_nothing() -> None:
    service = Service(ALWAYS_OFF)
    recorder = service.recorder()

    with recorder.turn(SESSION) as turn:
        assert not turn.recording
        for record in [*stream("with_times"), object(), "no json"]:
            turn.record(record)
    turn.record(thought())

    assert service.spans == []
    assert recorder.lost == {}


def test_children_of_a_turn_that_is_sampled_out_are_sampled_out() -> None:
    service = Service(ParentBased(ALWAYS_OFF))

    with service.recorder().turn(SESSION), service.tracer.start_as_current_span("inner") as inner:
        assert not inner.is_recording()

    assert service.spans == []


@pytest.mark.parametrize("sampled", [True, False])
def test_the_sampler_of_the_host_decides_by_the_request_that_came_in(*, sampled: bool) -> None:
    service = Service(ParentBased(ALWAYS_OFF))
    remote = trace.NonRecordingSpan(trace.SpanContext(7, 8, is_remote=True, trace_flags=trace.TraceFlags(int(sampled))))

    with trace.use_span(remote), service.tracer.start_as_current_span("host"):
        played(service.recorder(), stream("with_times"))

    assert {span.context.trace_id for span in service.spans} == ({7} if sampled else set())
    assert len(service.spans) == (7 if sampled else 0)


def test_without_a_provider_nothing_is_recorded_and_nothing_is_lost() -> None:
    recorder = TurnRecorder(environ={})

    with recorder.turn(SESSION) as turn:
        assert not turn.recording
        turn.record(thought())

    assert not turn.span.is_recording()
    assert recorder.lost == {}
    assert recorder.force_flush()
    assert recorder.shutdown()


def test_a_provider_that_records_without_sampling_gets_no_span_of_ours_exported() -> None:
    service = Service(StaticSampler(Decision.RECORD_ONLY))

    played(service.recorder(), stream("with_times"))

    assert service.spans == []


# --- the block ----------------------------------------------------------------------------------------


def test_the_span_of_the_turn_is_the_current_one_in_its_block_and_only_there(service: Service) -> None:
    with service.tracer.start_as_current_span("host") as host:
        with service.recorder().turn(SESSION) as turn:
            assert trace.get_current_span() is turn.span
            with service.tracer.start_as_current_span("GET /sensors"):
                pass
        assert trace.get_current_span() is host

    assert ids(service.named("GET /sensors").parent) == ids(service.turn.context)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ZeroDivisionError, "ZeroDivisionError"),
        (json.JSONDecodeError("x", "y", 0), "json.decoder.JSONDecodeError"),
        (asyncio.CancelledError, "asyncio.exceptions.CancelledError"),
        (KeyboardInterrupt, "KeyboardInterrupt"),
        (SystemExit, "SystemExit"),
    ],
)
def test_an_exception_of_the_block_passes_through_and_marks_the_span(
    service: Service, error: BaseException | type[BaseException], kind: str
) -> None:
    recorder = service.recorder()

    def ask() -> None:
        with recorder.turn(SESSION) as turn:
            turn.record(thought())
            raise error

    with pytest.raises(BaseException) as caught:  # noqa: PT011 - some are no exceptions
        ask()

    assert caught.type is (error if isinstance(error, type) else type(error))
    assert said(service.turn)["error.type"] == kind
    assert service.turn.status.status_code is trace.StatusCode.ERROR
    assert said(service.turn)[f"{OWN}turn.complete"] is False
    assert service.turn.events == ()
    assert recorder.lost == {}


def test_turns_may_be_nested_and_the_outer_one_keeps_its_name(service: Service) -> None:
    recorder = service.recorder()

    with recorder.turn("vectara:head/outer") as outer:
        outer.record(thought(1))
        with recorder.turn("vectara:hand/inner") as inner:
            inner.record(thought(2))
        outer.record(thought(3))

    head, hand = service.named("invoke_agent head"), service.named("invoke_agent hand")
    assert ids(hand.parent) == ids(head.context)
    assert said(head)[REFERENCE] == "vectara:head/outer"
    assert said(hand)[REFERENCE] == "vectara:hand/inner"
    assert [dict(link.attributes or {})[REFERENCE] for link in head.links] == [
        "vectara:head/outer",
        "vectara:hand/inner",
    ]
    assert Counter(ids(span.parent) for span in service.spans if span.name == "thinking") == {
        ids(head.context): 2,
        ids(hand.context): 1,
    }


def test_a_request_that_serves_two_sessions_is_named_by_the_first_and_linked_to_both(service: Service) -> None:
    recorder = service.recorder()

    with service.tracer.start_as_current_span("host"):
        for session in ("vectara:a/1", "vectara:b/2", "vectara:a/1"):
            played(recorder, [thought()], session=session)

    host = service.named("host")
    assert said(host)[REFERENCE] == "vectara:a/1"
    assert [dict(link.attributes or {})[REFERENCE] for link in host.links] == ["vectara:a/1", "vectara:b/2"]


def test_two_workers_with_a_turn_each_of_one_session_send_two_turns_and_no_root() -> None:
    workers = [Service(), Service()]
    for worker in workers:
        with worker.tracer.start_as_current_span("host"):
            played(worker.recorder(), stream("with_times"))

    turns = [worker.turn for worker in workers]
    assert len({turn.context.trace_id for turn in turns}) == 2
    assert {said(turn)[REFERENCE] for turn in turns} == {SESSION}
    assert len({said(turn)[TRACE_ID] for turn in turns}) == 1
    roots = {span.name for worker in workers for span in worker.spans if span.parent is None}
    assert roots == {"host"}


def test_a_turn_that_is_entered_twice_ends_once_and_leaves_the_host_its_span(service: Service) -> None:
    with service.tracer.start_as_current_span("host") as host:
        turn = service.recorder().turn(SESSION)
        with turn:
            with turn:
                pass
            turn.record(thought())
        with turn:
            assert trace.get_current_span() is host
        assert trace.get_current_span() is host

    assert len([span for span in service.spans if span.name == "invoke_agent gardener"]) == 1
    assert service.named("thinking").name


def test_a_turn_may_be_opened_and_ended_without_a_block(service: Service) -> None:
    with service.tracer.start_as_current_span("host") as host:
        turn = service.recorder().turn(SESSION)
        turn.start()
        turn.start()
        assert trace.get_current_span() is host
        with turn.current():
            assert trace.get_current_span() is turn.span
        assert trace.get_current_span() is host
        turn.record(thought())
        turn.end(error_type="503", complete=False)
        turn.end()

    assert said(service.turn)["error.type"] == "503"
    assert said(service.turn)[f"{OWN}turn.complete"] is False
    assert ids(service.named("thinking").parent) == ids(service.turn.context)


def test_what_the_host_has_put_into_the_context_since_is_still_there_when_the_turn_is_made_the_current_one(
    service: Service,
) -> None:
    turn = service.recorder().turn(SESSION)
    turn.start()
    token = context.attach(baggage.set_baggage("shop", "eu"))
    try:
        with turn.current():
            assert baggage.get_baggage("shop") == "eu"
        with turn:
            assert baggage.get_baggage("shop") == "eu"
    finally:
        context.detach(token)


def test_what_is_recorded_before_or_after_a_turn_is_counted(service: Service) -> None:
    recorder = service.recorder()
    turn = recorder.turn(SESSION)
    turn.record(thought())
    with turn:
        pass
    turn.record(thought())

    assert recorder.lost == {"records of a turn that is not open": 2}
    assert len(service.spans) == 1


# --- generators and tasks -----------------------------------------------------------------------------


async def answered(recorder: TurnRecorder, *, name: str = "with_times") -> AsyncIterator[str]:
    """Answer as a service does that streams."""
    async with recorder.turn(SESSION) as turn:
        for record in stream(name):
            turn.record(record)
            await asyncio.sleep(0)
            yield record.get("content", "")


def test_a_streaming_answer_is_a_turn(service: Service) -> None:
    async def request() -> list[str]:
        with service.tracer.start_as_current_span("host"):
            return [chunk async for chunk in answered(service.recorder())]

    assert "Open the vents, please." in asyncio.run(request())
    assert ids(service.turn.parent) == ids(service.named("host").context)
    assert said(service.turn)[f"{OWN}turn.complete"] is True


@pytest.fixture
def _no_words_of_the_sdk(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    gc.collect()
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.WARNING] == []


@pytest.mark.usefixtures("_no_words_of_the_sdk")
def test_a_generator_that_is_closed_in_another_task_ends_its_turn_and_no_other_context(service: Service) -> None:
    recorder = service.recorder()

    async def request() -> None:
        chunks = answered(recorder)
        await asyncio.create_task(anext(chunks))  # type: ignore[arg-type]
        await asyncio.create_task(chunks.aclose())  # type: ignore[attr-defined]
        assert trace.get_current_span() is trace.INVALID_SPAN

    asyncio.run(request())

    assert said(service.turn)[f"{OWN}turn.complete"] is False
    assert service.turn.status.status_code is trace.StatusCode.UNSET
    assert recorder.lost == {}


@pytest.mark.usefixtures("_no_words_of_the_sdk")
def test_a_generator_that_is_closed_in_a_task_that_was_begun_within_its_turn_leaves_that_task_alone(
    service: Service,
) -> None:
    recorder = service.recorder()

    async def request() -> None:
        chunks = answered(recorder)
        await anext(chunks)  # the context of this task is now that of the turn
        await asyncio.create_task(chunks.aclose())  # type: ignore[attr-defined]

    asyncio.run(request())

    assert said(service.turn)[f"{OWN}turn.complete"] is False


@pytest.mark.usefixtures("_no_words_of_the_sdk")
def test_a_generator_that_nobody_closes_ends_its_turn_when_the_loop_does(service: Service) -> None:
    async def request() -> None:
        await anext(answered(service.recorder()))
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(request())

    assert said(service.turn)[f"{OWN}turn.complete"] is False


@pytest.mark.usefixtures("_no_words_of_the_sdk")
def test_a_generator_each_step_of_which_runs_in_another_context_is_a_turn(service: Service) -> None:
    """So does a server that hands a plain generator to a pool of threads."""
    recorder = service.recorder()

    def answer() -> Iterator[int]:
        with recorder.turn(SESSION) as turn:
            for number in range(3):
                turn.record(thought(number))
                yield number

    chunks = answer()
    with ThreadPoolExecutor(2) as pool:
        for _ in range(4):
            pool.submit(contextvars.copy_context().run, lambda: next(chunks, None)).result()
    assert trace.get_current_span() is trace.INVALID_SPAN

    assert Counter(span.name for span in service.spans) == {"thinking": 3, "invoke_agent gardener": 1}
    assert said(service.turn)[f"{OWN}turn.complete"] is True


@pytest.mark.usefixtures("_no_words_of_the_sdk")
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_generators_may_be_closed_in_any_order_and_the_host_has_its_span_again(
    service: Service, order: tuple[int, ...]
) -> None:
    recorder = service.recorder()

    def answer() -> Iterator[int]:
        with recorder.turn(SESSION) as turn:
            turn.record(thought())
            yield 1

    with service.tracer.start_as_current_span("host") as host:
        begun = [answer() for _ in range(3)]
        for each in begun:
            next(each)
        for number in order:
            begun[number].close()  # type: ignore[attr-defined]
        assert trace.get_current_span() is host

    assert len(service.spans) == 7


@pytest.mark.usefixtures("_no_words_of_the_sdk")
def test_a_block_of_current_that_is_left_in_another_context_leaves_that_one_alone(service: Service) -> None:
    turn = service.recorder().turn(SESSION)
    turn.start()
    block = turn.current()
    contextvars.copy_context().run(block.__enter__)
    block.__exit__(None, None, None)
    turn.end()

    assert trace.get_current_span() is trace.INVALID_SPAN


def test_a_task_that_is_cancelled_ends_its_turn_as_cancelled(service: Service) -> None:
    async def request() -> None:
        async with service.recorder().turn(SESSION) as turn:
            turn.record(thought())
            await asyncio.sleep(60)

    async def cancelled() -> None:
        task = asyncio.create_task(request())
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(cancelled())

    assert said(service.turn)["error.type"] == "asyncio.exceptions.CancelledError"
    assert service.named("thinking").name


def test_turns_of_tasks_that_run_at_once_do_not_mix(service: Service) -> None:
    recorder = service.recorder()

    async def request(number: int) -> None:
        async with recorder.turn(f"vectara:gardener/s{number}") as turn:
            for step in range(10):
                turn.record(thought(step, id=f"{number}/{step}"))
                await asyncio.sleep(0)

    async def requests() -> None:
        await asyncio.gather(*map(request, range(20)))

    asyncio.run(requests())

    turns = {ids(span.context): said(span)["session.id"] for span in service.spans if span.name != "thinking"}
    assert len(turns) == 20
    told = Counter(
        (turns[ids(span.parent)], said(span)[f"{OWN}event.id"]) for span in service.spans if span.name == "thinking"
    )
    assert told == {(f"s{number}", f"{number}/{step}"): 1 for number in range(20) for step in range(10)}


# --- threads ------------------------------------------------------------------------------------------


def test_many_threads_record_into_one_turn_and_every_event_is_told_once(service: Service) -> None:
    recorder = service.recorder()

    def record(thread: int) -> None:
        for number in range(60):
            common = {"tool_call_id": f"{thread}/{number}", "tool_name": "t", "created_at": "2026-05-04T09:00:01Z"}
            turn.record({"type": "tool_input", "id": f"c{thread}/{number}", "tool_input": {}, **common})
            turn.record(thought(number, id=f"t{thread}/{number}"))
            turn.record({"type": "tool_output", "id": f"r{thread}/{number}", "tool_output": {}, **common})

    with recorder.turn(SESSION) as turn, ThreadPoolExecutor(8) as pool:
        list(pool.map(record, range(8)))

    told = Counter(said(span)[f"{OWN}event.id"] for span in service.spans if span is not service.turn)
    every = [f"{kind}{thread}/{number}" for kind in "ct" for thread in range(8) for number in range(60)]
    assert told == Counter(every)
    assert recorder.lost == {}


def test_a_turn_that_ends_while_threads_record_tells_each_event_once_or_counts_it(service: Service) -> None:
    recorder = service.recorder()
    turn = recorder.turn(SESSION)
    turn.start()
    under_way = threading.Event()

    def record(thread: int) -> None:
        for number in range(300):
            turn.record(thought(number, id=f"{thread}/{number}"))
            if number == 20:
                under_way.set()

    threads = [threading.Thread(target=record, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    under_way.wait(30)
    turn.end()
    for thread in threads:
        thread.join()

    told = Counter(said(span)[f"{OWN}event.id"] for span in service.spans if span.name == "thinking")
    assert set(told.values()) == {1}
    assert len(told) + recorder.lost.get("records of a turn that is not open", 0) == 1200
    assert len([span for span in service.spans if span.name == "invoke_agent gardener"]) == 1


def test_a_processor_that_records_itself_does_not_wait_for_ever(service: Service) -> None:
    class Echoing(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            if span.name == "thinking":
                turn.record({"kind": "note", "name": "echoed"})

    service.provider.add_span_processor(Echoing())
    with service.recorder().turn(SESSION) as turn:
        turn.record(thought())

    assert service.named("echoed").name


# --- what is broken -----------------------------------------------------------------------------------


class Broken(SpanProcessor):
    def __init__(self, when: str, name: str) -> None:
        self.when, self.name = when, name

    def on_start(self, span: Any, parent_context: Any = None) -> None:  # noqa: ARG002
        if self.when == "start" and span.name == self.name:
            raise ZeroDivisionError(span.name)

    def on_end(self, span: ReadableSpan) -> None:
        if self.when == "end" and span.name == self.name:
            raise ZeroDivisionError(span.name)


@pytest.mark.parametrize("when", ["start", "end"])
def test_a_processor_that_raises_costs_the_spans_for_which_it_does_and_no_other(service: Service, when: str) -> None:
    service.provider.add_span_processor(Broken(when, "thinking"))
    recorder = service.recorder()

    played(recorder, stream("with_times"))

    assert recorder.lost == {"spans: ZeroDivisionError": 1}
    names = [span.name for span in service.spans if span.name != "thinking"]
    assert names == [
        "user_message",
        "execute_tool read_sensor",
        "agent_output",
        "context_consumed",
        "invoke_agent gardener",
    ]


def test_a_span_that_fails_at_the_end_costs_neither_the_others_nor_what_the_turn_says(service: Service) -> None:
    service.provider.add_span_processor(Broken("start", "execute_tool read_sensor"))
    records = stream("parallel_tools")
    more = [{**record, "tool_name": "other", "tool_call_id": "o"} for record in records[1:2]]

    played(service.recorder(), [*records[:3], *[{**each, "id": "aev_o"} for each in more]])

    assert [span.name for span in service.spans] == ["user_message", "execute_tool other", "invoke_agent gardener"]
    assert said(service.turn)[f"{OWN}turn.complete"] is False


def test_a_turn_that_cannot_be_opened_leaves_the_host_its_span_and_is_counted_with_its_records(
    service: Service,
) -> None:
    service.provider.add_span_processor(Broken("start", "invoke_agent gardener"))
    recorder = service.recorder()

    with service.tracer.start_as_current_span("host") as host, recorder.turn(SESSION) as turn:
        assert trace.get_current_span() is host
        turn.record(thought())
        turn.record(thought(2))

    assert recorder.lost == {"turns: ZeroDivisionError": 1, "records of a turn that is not open": 2}
    assert [span.name for span in service.spans] == ["host"]


def test_an_exporter_that_raises_is_the_business_of_its_provider(service: Service) -> None:
    class Raising(InMemorySpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> Any:
            raise ZeroDivisionError(len(spans))

    service.provider.add_span_processor(SimpleSpanProcessor(Raising()))
    recorder = service.recorder()

    played(recorder, stream("with_times"))

    assert recorder.lost == {}
    assert len(service.spans) == 6


def test_a_turn_that_cannot_be_ended_is_counted(service: Service) -> None:
    service.provider.add_span_processor(Broken("end", "invoke_agent gardener"))
    recorder = service.recorder()

    played(recorder, [thought()])

    assert recorder.lost == {"turns: ZeroDivisionError": 1}


def test_a_sampler_that_raises_hurts_nobody() -> None:
    class Raising(StaticSampler):
        def should_sample(self, parent_context: Any, trace_id: int, name: str, *more: Any, **options: Any) -> Any:
            if name == "thinking":
                raise ZeroDivisionError(name)
            return super().should_sample(parent_context, trace_id, name, *more, **options)

    service = Service(Raising(Decision.RECORD_AND_SAMPLE))
    recorder = service.recorder()

    played(recorder, stream("with_times"))

    assert recorder.lost == {"spans: ZeroDivisionError": 1}
    assert len(service.spans) == 5


def test_a_span_of_the_host_that_cannot_be_named_costs_no_turn(service: Service) -> None:
    class Odd(trace.NonRecordingSpan):
        def is_recording(self) -> bool:
            return True

        def set_attributes(self, attributes: Any) -> None:
            raise ZeroDivisionError(attributes)

    recorder = service.recorder()
    with trace.use_span(Odd(trace.SpanContext(7, 8, is_remote=False, trace_flags=trace.TraceFlags(1)))):
        played(recorder, [thought()])

    assert recorder.lost == {"names on the span of a host: ZeroDivisionError": 1}
    assert service.turn.context.trace_id == 7


@pytest.mark.parametrize("session", ["", "no colon", ":x", None, 7, b"vectara:a/b"])
def test_a_session_that_is_none_is_counted_and_the_block_runs(service: Service, session: Any) -> None:
    recorder = service.recorder()

    with recorder.turn(session) as turn:
        turn.record(thought())

    assert sum(recorder.lost.values()) == 2
    assert service.spans == []
    assert trace.get_current_span() is trace.INVALID_SPAN


@pytest.mark.parametrize("odd", ["\ud800", "x" * 100_000, "", 5])
def test_odd_names_reach_the_exporter_as_it_can_write_them(service: Service, odd: Any) -> None:
    recorder = service.recorder()
    session = Reference("vectara", (str(odd), str(odd)))

    played(recorder, [thought()], session=session, agent=odd, user=odd)  # type: ignore[arg-type]

    assert len(service.spans) == 2
    for span in service.spans:
        json.dumps([span.name, said(span)]).encode().decode()
        for text in (span.name, *(each for each in said(span).values() if isinstance(each, str))):
            assert len(text.encode()) <= 65_536


def test_numbers_that_otlp_cannot_hold_do_not_reach_the_exporter(service: Service) -> None:
    played(service.recorder(), stream("unknown_type"))

    numbers = [each for span in service.spans for each in said(span).values() if type(each) is int]
    assert max(numbers) < 2**63
    assert said(service.turn)[f"{OWN}session.context.input_tokens"] == str(2**63)


GARBAGE = [
    None,
    object(),
    5,
    float("nan"),
    b"\xff",
    "not json",
    [],
    {"type": []},
    {"kind": []},
    {"kind": "note"},
    {"events": 5},
    {"type": "tool_input", "tool_call_id": {}, "created_at": 5},
    {1: 2, "a": 3},
    Thinking(key="k", start=-5, end="now"),  # type: ignore[arg-type]
    ToolCall(key=5, call_id=["unhashable"], tool={"a": 1}, start=3, end=3),  # type: ignore[arg-type]
    ToolResult(key="r", call_id={}, failed="perhaps"),  # type: ignore[arg-type]
    UserMessage(key="u", parts=5),  # type: ignore[arg-type]
    Note(key="n", name=None, attributes=7),  # type: ignore[arg-type]
    SimpleNamespace(model_dump=lambda **_: 1 / 0),
]


@pytest.mark.parametrize("content", ["none", "scrubbed", "full"])
@pytest.mark.parametrize("reference", [SESSION, "acme:s", "lyzr:u/s", "agora:a/b", "hubster:c"])
def test_garbage_costs_no_good_record_around_it(service: Service, content: Any, reference: str) -> None:
    recorder = service.recorder(content=content)

    with recorder.turn(reference) as turn:
        for number, odd in enumerate(GARBAGE):
            turn.record({"kind": "note", "name": f"good_{number}"})
            turn.record(odd)
        turn.record({"kind": "note", "name": "last"})
        turn.record({"kind": "agent_message", "text": "done"})

    names = {span.name for span in service.spans}
    assert {*(f"good_{number}" for number in range(len(GARBAGE))), "last", "agent_output"} <= names
    assert f"{OWN}turn.complete" in said(service.spans[-1])


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(alphabet=st.characters(), max_size=6)
    | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)
_FIELDS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        (
            *("content", "messages", "tool_call_id", "tool_name", "tool_input", "tool_output", "created_at", "id"),
            *("text", "role", "log_data", "_id", "sender", "message", "eventId", "turn_id", "error", "event_id"),
        ),
        _JSON,
    )
    | {
        "type": st.sampled_from(
            ["thinking", "tool_input", "tool_output", "agent_output", "streaming_thinking", "end", "error", "message"]
        )
        | _JSON,
        "kind": st.sampled_from(["note", "user_message", "tool_call", "tool_result", "thinking"]) | _JSON,
    },
)


@given(
    st.lists(_FIELDS | _JSON | st.binary(max_size=20), max_size=6),
    st.sampled_from([SESSION, "acme:s", "lyzr:u/s", "agora:a/b", "hubster:c"]),
    st.sampled_from(["none", "full"]),
)
def test_whatever_is_recorded_nothing_is_raised_and_every_span_can_be_sent(
    records: list[Any], reference: str, content: Any
) -> None:
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans  # noqa: PLC0415 - it is heavy

    service = Service()

    with service.recorder(content=content).turn(reference) as turn:
        turn.record({"kind": "note", "name": "first"})
        for record in records:
            turn.record(record)
        turn.record({"kind": "note", "name": "last"})

    names = [span.name for span in service.spans]
    assert names.count("first") == 1
    assert names.count("last") == 1
    assert encode_spans(service.spans).SerializeToString()


def test_a_record_that_is_changed_afterwards_was_recorded_as_it_was(service: Service) -> None:
    call = {
        "type": "tool_input",
        "id": "c",
        "tool_call_id": "c",
        "tool_name": "t",
        "tool_input": {"rows": [1]},
        "x": {},
    }
    with service.recorder(content="full").turn(SESSION) as turn:
        turn.record(call)
        call["tool_input"]["rows"].append(2)  # type: ignore[index]
        turn.record({"type": "tool_output", "id": "r", "tool_call_id": "c", "tool_name": "t", "tool_output": {}})

    assert said(service.named("execute_tool t"))["gen_ai.tool.call.arguments"] == '{"rows":[1]}'


@pytest.mark.parametrize("at", [1.5, -1, 2**64, "now", True])
def test_a_time_of_arrival_that_is_none_is_now(service: Service, at: Any) -> None:
    with service.recorder().turn(SESSION) as turn:
        turn.record({"type": "session_interrupted"}, at=at)

    span = service.named("session_interrupted")
    assert service.turn.start_time <= span.start_time <= service.turn.end_time  # type: ignore[operator]


def test_a_record_without_a_time_has_that_of_its_arrival(service: Service) -> None:
    with service.recorder().turn(SESSION) as turn:
        turn.record({"type": "session_interrupted"}, at=1_700_000_000_000_000_000)

    span = service.named("session_interrupted")
    assert (span.start_time, span.end_time) == (1_700_000_000_000_000_000,) * 2
    assert said(span)[f"{OWN}timing"] == "recorded"


def test_losses_are_told_without_contents_and_without_a_reason_for_each_session(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = service.recorder()

    for number in range(5):
        played(recorder, [{"events": "my secret words"}], session=f"vectara:gardener/s{number}")

    assert recorder.lost == {"records: a record holds no list of events": 5}
    assert "secret words" not in caplog.text


def test_a_caller_may_count_what_it_has_lost_itself(service: Service) -> None:
    recorder = service.recorder()

    recorder.lose(3, "bodies that were too long")

    assert recorder.lost == {"bodies that were too long": 3}


# --- what is said of the session ----------------------------------------------------------------------


def test_what_events_say_of_their_session_is_fixed_at_the_first_one_and_the_turn_has_the_latest(
    service: Service,
) -> None:
    with service.recorder(content="full").turn("acme:s1") as turn:
        turn.record({"session": {"id": "s1", "platform": "acme", "agent": "First"}})
        turn.record({"kind": "note", "name": "one"})
        turn.record({"session": {"id": "s1", "platform": "acme", "agent": "Second"}})
        turn.record({"kind": "note", "name": "two"})

    assert [said(service.named(name))["gen_ai.agent.name"] for name in ("one", "two")] == ["First", "First"]
    assert said(service.spans[-1])["gen_ai.agent.name"] == "Second"
    assert service.spans[-1].name == "invoke_agent Second"


def test_what_is_known_of_sessions_is_bounded(service: Service) -> None:
    recorder = service.recorder()

    for number in range(300):
        played(recorder, [], session=f"vectara:gardener/s{number}")

    assert len(recorder._making._known) == 256
    assert {said(span)["session.id"] for span in service.spans} == {f"s{number}" for number in range(300)}


def test_what_the_caller_says_of_agent_and_user_counts(service: Service) -> None:
    played(service.recorder(), [thought()], agent="Garden desk", user="ada")

    assert service.spans[-1].name == "invoke_agent Garden desk"
    assert {(said(span)["gen_ai.agent.name"], said(span)["user.id"]) for span in service.spans} == {
        ("Garden desk", "ada")
    }


def test_an_event_that_points_to_another_one_links_to_it_in_the_trace_of_the_session(service: Service) -> None:
    played(service.recorder(), [Note(key="echo", name="echo", start=5, end=5, links=(EventLink(key="aev_1"),))])

    (link,) = service.named("echo").links
    assert f"{link.context.trace_id:032x}" == said(service.turn)[TRACE_ID]


def test_a_sub_agent_is_linked_to_the_trace_that_its_replay_has(service: Service) -> None:
    agent = {
        "key": "gardener",
        "tool_configurations": {"ask": {"sub_agent_configuration": {"agent_key": "botanist"}}},
        "first_step": {},
    }
    call = {"tool_call_id": "c", "tool_name": "sub_agent", "tool_configuration_name": "ask"}
    played(
        service.recorder(),
        [
            agent,
            {"type": "tool_input", "id": "1", "tool_input": {}, **call},
            {"type": "tool_output", "id": "2", "tool_output": {"session_key": "child"}, **call},
        ],
    )

    span = service.named("execute_tool sub_agent")
    assert said(span)[f"{OWN}subagent.reference"] == "vectara:botanist/child"
    root = Identity().root_of(Reference("vectara", ("botanist", "child")))
    assert [f"{link.context.span_id:016x}" for link in span.links] == [root.span_id.hex()]


def test_a_stored_record_that_comes_after_its_stream_is_told_once(service: Service) -> None:
    stored = {"type": "agent_output", "id": "aev_s3_06", "content": "Only the north house answers."}

    played(service.recorder(), [*stream("parallel_tools"), stored])

    assert said(service.named("agent_output"))[f"{OWN}detail.chunks"] == 1


@pytest.mark.parametrize("path", files(), ids=name_of)
def test_the_records_of_every_platform_can_be_recorded_one_by_one(service: Service, path: Path) -> None:
    source = without_failures(opened(path))
    recorder = service.recorder(content="full")

    played(recorder, [record for record, _ in handed_on(source, whole=False)], session=str(source.reference))

    assert recorder.lost == {}
    assert len(service.spans) > 1 or "empty" in path.stem


def test_a_convention_of_somebody_else_may_say_what_varies(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    class Placing(GenAI):
        name = "placing"

        def label(self, node: Any, session: Any) -> Labels:
            label = super().label(node, session)
            return Labels(name=label.name, attributes={"place": getattr(node, "index", 0)}, kind=label.kind)

    found = CONVENTIONS.get
    monkeypatch.setattr(CONVENTIONS, "get", lambda name: Placing() if name == "placing" else found(name))
    played(service.recorder(conventions=["placing"]), [thought(1), thought(2)])

    assert [said(span)["place"] for span in service.spans[:2]] == [1, 2]


# --- flush and end ------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [True, False])
def test_a_flush_says_what_the_provider_says(*, answer: bool) -> None:
    asked: list[int] = []

    class Provider(TracerProvider):
        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            asked.append(timeout_millis)
            return answer

    recorder = TurnRecorder(tracer_provider=Provider(shutdown_on_exit=False), environ={})

    assert recorder.force_flush(70) is answer
    assert recorder.shutdown(80) is answer
    assert asked == [70, 80]


def test_a_flush_that_raises_has_failed() -> None:
    class Provider(TracerProvider):
        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            raise ZeroDivisionError(timeout_millis)

    recorder = TurnRecorder(tracer_provider=Provider(shutdown_on_exit=False), environ={})

    assert not recorder.force_flush()
    assert recorder.lost == {"flushes: ZeroDivisionError": 1}


def test_after_a_shutdown_nothing_is_recorded_and_the_provider_goes_on(service: Service) -> None:
    recorder = service.recorder()
    assert recorder.shutdown()

    played(recorder, [thought()])
    with service.tracer.start_as_current_span("after"):
        pass

    assert [span.name for span in service.spans] == ["after"]
    assert recorder.lost == {"turns after the recorder was shut down": 1, "records of a turn that is not open": 1}


def test_a_turn_that_is_open_when_the_recorder_is_shut_down_is_recorded_to_its_end(service: Service) -> None:
    recorder = service.recorder()

    with recorder.turn(SESSION) as turn:
        recorder.shutdown()
        turn.record(thought())

    assert [span.name for span in service.spans] == ["thinking", "invoke_agent gardener"]


# --- in a server --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_no_words_of_the_sdk")
@pytest.mark.parametrize("path", ["/plain", "/async"])
def test_an_answer_that_fastapi_streams_is_a_turn_below_its_request(service: Service, path: str) -> None:
    recorder = service.recorder()
    app = fastapi.FastAPI()

    def answer() -> Iterator[str]:
        with recorder.turn(SESSION) as turn:
            for record in stream("with_times"):
                turn.record(record)
                yield record.get("content", "")

    @app.get("/plain")
    def plain() -> StreamingResponse:
        return StreamingResponse(answer())

    @app.get("/async")
    async def asynchronous() -> StreamingResponse:
        return StreamingResponse(answered(recorder))

    FastAPIInstrumentor.instrument_app(app, tracer_provider=service.provider)
    with TestClient(app) as client:
        answers = [client.get(path).text for _ in range(3)]

    assert set(answers) == {
        "The user asks about temperature; I read the sensor.Yes, at 31.5 degrees. Open the vents, please."
    }
    requests = [span for span in service.spans if span.kind is trace.SpanKind.SERVER]
    turns = [span for span in service.spans if span.name == "invoke_agent gardener"]
    assert len(requests) == 3
    assert {ids(turn.parent) for turn in turns} == {ids(request.context) for request in requests}
    assert {said(request)[REFERENCE] for request in requests} == {SESSION}
    assert {said(turn)[f"{OWN}turn.complete"] for turn in turns} == {True}
    assert recorder.lost == {}


# --- what a recorder is made with, and what it does for its host ---------------------------------------


@pytest.mark.parametrize(
    "options", [{"content": "Full"}, {"content": ""}, {"conventions": ()}, {"conventions": ("odd",)}]
)
def test_a_recorder_that_could_record_nothing_is_not_made(service: Service, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        service.recorder(**options)


def test_a_host_keeps_its_own_links_however_many_sessions_it_serves(service: Service) -> None:
    own = trace.SpanContext(1, 2, is_remote=True, trace_flags=trace.TraceFlags.get_default())
    recorder = service.recorder()
    with service.tracer.start_as_current_span("consumer", links=[trace.Link(own)]):
        for number in range(200):
            with recorder.turn(f"vectara:gardener/{number}"):
                pass

    links = service.named("consumer").links
    assert links[0].context == own
    assert len(links) == 32


def test_a_turn_that_is_dropped_ends_as_not_complete(service: Service) -> None:
    turn = service.recorder().turn(SESSION)
    turn.start()
    turn.record(thought())

    del turn
    gc.collect()

    until(lambda: len(service.spans) == 2)
    assert said(service.turn)[f"{OWN}turn.complete"] is False


@pytest.mark.parametrize("odd", ["no colon", "", None, 7, "a\nb"])
def test_a_session_that_is_not_named_rightly_is_counted_under_one_reason_that_does_not_quote_it(
    service: Service, odd: Any
) -> None:
    recorder = service.recorder()

    with recorder.turn(odd):
        pass

    (reason,) = recorder.lost
    assert reason == "turns: a session's name is none: write FETCHER:PATH, such as vectara:AGENT/SESSION"
    assert service.spans == []


def test_what_is_no_name_of_an_agent_or_a_user_counts_as_not_told(service: Service) -> None:
    recorder = service.recorder()
    for odd in ("", 5, None):
        with recorder.turn(SESSION, agent=odd, user=odd, number=True):  # type: ignore[arg-type]
            pass

    for span in service.spans:
        assert span.name == "invoke_agent gardener"
        assert said(span)["gen_ai.agent.name"] == "gardener"
        assert "user.id" not in said(span)
        assert f"{OWN}event.turn" not in said(span)


def test_a_turn_warns_of_records_that_name_another_session(service: Service) -> None:
    with service.recorder().turn(SESSION) as turn:
        turn.record(thought(session_key="another"))

    (warning,) = said(service.turn)[f"{OWN}turn.warnings"]
    assert "1 name another session" in warning
