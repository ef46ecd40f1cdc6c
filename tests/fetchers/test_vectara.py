from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_events import testing as kit
from otel_agent_events.content import Policy
from otel_agent_events.conversion import Options
from otel_agent_events.errors import FetchError, ReadError, UsageError
from otel_agent_events.fetchers.client import Client
from otel_agent_events.fetchers.saved import RecordedAnswer, Recording
from otel_agent_events.fetchers.vectara import Vectara
from otel_agent_events.ids import ROOT, span_id
from otel_agent_events.pipeline import replay
from otel_agent_events.reference import Reference
from otel_agent_events.sources import Source
from otel_agent_events.testing import LoopbackPlatform, Reply
from otel_agent_events.times import SECOND
from tests.recordings import bundled
from tests.traces import DATA, Trace, holds, leaves, source_of, told_by, trace_from, trace_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

OWN = "otel_agent_events."
FULL = Options(policy=Policy(content="full"))
DOCUMENTED = (DATA / "vectara" / "documented.json").read_bytes()
EVERY_SHAPE = (DATA / "vectara" / "every_shape.json").read_bytes()
DEMO = bundled("vectara")
RECORDINGS = [EVERY_SHAPE, *(recording.model_dump_json().encode() for recording in DEMO)]


def page(*records: Any, **metadata: Any) -> bytes:
    return json.dumps({"events": records, "metadata": metadata}).encode()


def event(type_: str, **fields: Any) -> dict[str, Any]:
    return {"id": "aev_1", "session_key": "s", "type": type_, "created_at": "2026-01-01T00:00:00Z"} | fields


@pytest.fixture(scope="module")
def every_shape() -> Trace:
    return trace_of(EVERY_SHAPE, FULL)


# --- the documented sample ----------------------------------------------------------------------------


def test_the_documented_sample_is_a_trace_of_five_spans() -> None:
    trace = trace_of(DOCUMENTED)

    assert [(span.name, (span.end - span.start) // SECOND) for span in trace.spans] == [
        ("user_message", 0),
        ("thinking", 1),
        ("execute_tool knowledge_base_search", 1),
        ("agent_output", 1),
        ("invoke_agent", 4),
    ]
    assert all(span.parent_id == trace.root.span_id for span in trace.spans[:-1])
    assert trace.named("thinking").attributes[f"{OWN}timing"] == "inferred"
    tool = trace.named("execute_tool knowledge_base_search").attributes
    assert tool[f"{OWN}timing"] == "recorded"
    assert tool["gen_ai.tool.call.id"] == "call_knowledge_search_001"
    assert json.loads(str(tool["gen_ai.tool.call.arguments"])) == {"query": "install widget", "max_results": 5}
    assert json.loads(str(tool["gen_ai.tool.call.result"]))["results"][0]["title"] == "How to install a widget"
    assert tool[f"{OWN}tool.configuration"] == "knowledge_search"


def test_a_saved_page_names_its_session_and_not_its_agent() -> None:
    assert trace_of(DOCUMENTED).root.attributes[f"{OWN}session.reference"] == "vectara:/ase_customer_support_001"


def test_a_saved_page_is_given_its_agent_by_the_session_option() -> None:
    trace = trace_of(DOCUMENTED, session=Reference("vectara", ("agt_support", "ase_customer_support_001")))

    assert trace.root.name == "invoke_agent agt_support"
    assert trace.root.resource.attributes["service.name"] == "agt_support"


# --- every type of event ------------------------------------------------------------------------------


def test_every_type_of_event_has_its_span(every_shape: Trace) -> None:
    assert [span.name for span in every_shape.spans] == [
        "skill_load",
        "user_message",
        "artifact_upload",
        "image_read",
        "thinking",
        "execute_tool order_lookup",
        "execute_tool sub_agent",
        "compaction",
        "step_transition",
        "agent_output",
        "thinking",
        "agent_output",
        "user_message",
        "context_limit_exceeded",
        "step_transition_limit_exceeded",
        "budget_exceeded",
        "session_interrupted",
        "unknown_event",
        "thinking",
        "agent_output",
        "execute_tool order_cancel",
        "execute_tool lost_tool",
        "invoke_agent Support desk",
    ]
    assert (every_shape.events, every_shape.duplicates) == (25, 1)


@pytest.mark.parametrize("content", RECORDINGS, ids=["every shape", "demo 1", "demo 2", "demo 3"])
def test_every_leaf_value_of_every_record_is_found_on_the_span_of_that_record(content: bytes) -> None:
    trace = trace_of(content, FULL)

    for answer in json.loads(content)["answers"]:
        if answer["label"] != "events":
            continue
        for record in answer["body"]["events"]:
            spans = [trace.of(record["id"])] if "id" in record else trace.spans
            told = told_by(spans)
            missing = [leaf for leaf in leaves(record) if not holds(told, leaf)]
            assert not missing, record


@pytest.mark.parametrize("content", RECORDINGS, ids=["every shape", "demo 1", "demo 2", "demo 3"])
def test_every_leaf_value_of_the_sessions_own_record_is_found_on_the_root(content: bytes) -> None:
    trace = trace_of(content, FULL)

    (own,) = (answer["body"] for answer in json.loads(content)["answers"] if answer["label"] == "session")
    told = told_by([trace.root])
    assert [leaf for leaf in leaves(own) if not holds(told, leaf)] == []


def test_a_message_keeps_parts_of_unknown_kinds_as_they_are(every_shape: Trace) -> None:
    (message,) = json.loads(str(every_shape.of("aev_02").attributes["gen_ai.input.messages"]))

    assert message == {
        "role": "user",
        "parts": [
            {"type": "text", "content": "Refund order 5512, please."},
            {"type": "skill", "skill_name": "refunds"},
            {"type": "image", "artifact_id": "art_1", "alt": "the box"},
            {"type": "text", "content": "Now.", "lang": "en"},
        ],
    }


def test_the_three_names_of_the_tool_configuration_are_read(every_shape: Trace) -> None:
    assert every_shape.of("aev_06").attributes[f"{OWN}tool.configuration"] == "orders"
    assert every_shape.of("aev_07").attributes[f"{OWN}tool.configuration"] == "policy_agent"
    assert every_shape.of("aev_10").attributes[f"{OWN}tool.configuration"] == "lost"


def test_parameters_and_result_are_read_where_the_guide_calls_them_so(every_shape: Trace) -> None:
    attributes = every_shape.of("aev_07").attributes

    assert json.loads(str(attributes["gen_ai.tool.call.arguments"])) == {"message": "Late delivery?"}
    assert json.loads(str(attributes["gen_ai.tool.call.result"]))["sub_agent_response"] == "After 10 days."


def test_a_failed_call_is_an_error_with_the_whole_result_and_its_beginning_as_description(every_shape: Trace) -> None:
    span = every_shape.of("aev_06")

    assert (span.status, span.description) == ("error", '{"error":"upstream timeout"}')
    assert span.attributes["error.type"] == "tool_error"
    assert span.attributes[f"{OWN}tool.error"] == '{"error":"upstream timeout"}'
    assert "gen_ai.tool.call.result" not in span.attributes


def test_a_result_before_its_call_is_clamped_and_its_own_time_is_kept(every_shape: Trace) -> None:
    span = every_shape.of("aev_06")

    assert span.start == span.end
    assert span.attributes[f"{OWN}clamped"] is True
    assert json.loads(str(span.attributes[f"{OWN}result.event.raw"])) == {"time": "2026-04-22T08:00:03.05Z"}


def test_limits_known_and_unknown_and_an_interrupt_are_errors(every_shape: Trace) -> None:
    failed = {span.name: span.attributes["error.type"] for span in every_shape.spans if span.status == "error"}

    assert failed == {
        "execute_tool order_lookup": "tool_error",
        "context_limit_exceeded": "context_limit_exceeded",
        "step_transition_limit_exceeded": "step_transition_limit_exceeded",
        "budget_exceeded": "budget_exceeded",
        "session_interrupted": "session_interrupted",
    }


def test_an_unknown_type_is_kept_whole(every_shape: Trace) -> None:
    span = every_shape.of("aev_22")

    assert span.attributes[f"{OWN}event.type"] == "something_new"
    assert json.loads(str(span.attributes[f"{OWN}event.raw"])) == {"payload": {"x": [1, {"y": "z"}]}, "flag": False}


def test_a_result_that_names_another_tool_than_its_call_says_so(every_shape: Trace) -> None:
    attributes = every_shape.of("aev_25").attributes

    assert attributes[f"{OWN}result.tool.name"] == "order_cancel_v2"
    assert attributes[f"{OWN}result.tool.configuration"] == "renamed"


def test_agent_and_session_give_names_model_and_context(every_shape: Trace) -> None:
    root = every_shape.root.attributes

    assert root["gen_ai.agent.name"] == "Support desk"
    assert root["gen_ai.agent.id"] == "support"
    assert root["gen_ai.request.model"] == "gpt-4o"
    assert root["gen_ai.provider.name"] == "vectara"
    assert root[f"{OWN}session.created_at"] == "2026-04-22T07:59:59.5Z"
    assert root[f"{OWN}session.name"] == "All of it"
    assert (root[f"{OWN}session.context.input_tokens"], root[f"{OWN}session.context.window"]) == (2841, 128000)
    assert every_shape.root.resource.attributes == {"service.name": "support", f"{OWN}origin": "replay"}


def test_a_sub_agents_tool_span_links_to_the_root_of_the_childs_trace(every_shape: Trace) -> None:
    child = Reference("vectara", ("policies", "policy_run_17"))
    trace = FULL.identity.trace_id(child)

    span = every_shape.of("aev_07")

    (link,) = span.links
    assert (link.trace_id, link.span_id) == (trace, span_id(trace, ROOT))
    assert span.attributes[f"{OWN}subagent.reference"] == "vectara:policies/policy_run_17"


def test_a_sub_agent_that_is_not_known_gets_no_link() -> None:
    output = event("tool_output", tool_call_id="c", tool_configuration_name="x", tool_output={"session_key": "child"})

    trace = trace_of(page(output))

    assert trace.of("aev_1").links == ()
    assert f"{OWN}subagent.reference" not in trace.of("aev_1").attributes


# --- odd records --------------------------------------------------------------------------------------


def test_records_that_are_no_objects_are_kept_too() -> None:
    trace = trace_of(page("a text", None, 7, ["x"], event("thinking")))

    raws = [span.attributes.get(f"{OWN}event.raw") for span in trace.spans if span.name == "unknown_event"]
    assert raws == ['"a text"', None, "7", '["x"]']
    assert trace.events == 5


WAYS: tuple[Any, ...] = (None, 0, "odd", [], {}, True, [[{}]])


def spoilt(value: Any, ways: tuple[Any, ...] = WAYS) -> Iterator[Any]:
    """Give the value once for each of its parts and each way to spoil that part."""
    return (each for _, each in kit.spoilt(value, ways))


def with_body(source: Source, label: str, body: Any, *, number: int = 0) -> Source:
    """Give the source with the body of one of its answers exchanged."""
    answers = list(source.answers)
    places = [place for place, answer in enumerate(answers) if answer.label == label]
    answers[places[number]] = replace(answers[places[number]], body=body)
    return replace(source, answers=answers)


@pytest.mark.parametrize("content", RECORDINGS, ids=["every shape", "demo 1", "demo 2", "demo 3"])
def test_one_spoilt_value_of_a_record_costs_no_other_event(content: bytes) -> None:
    source = source_of(content)
    whole = trace_from(source, FULL).events
    pages = [answer.body for answer in source.answers if answer.label == "events"]

    for number, body in enumerate(pages):
        for place, record in enumerate(body["events"]):
            for each in (None, 7, "odd", [], *spoilt(record)):
                events = [*body["events"][:place], each, *body["events"][place + 1 :]]
                trace = trace_from(with_body(source, "events", {**body, "events": events}, number=number), FULL)
                # A duplicate that was spoilt is an event of its own.
                assert trace.events >= whole, each
                assert not trace.flaws


@pytest.mark.parametrize("label", ["agent", "session"])
@pytest.mark.parametrize("content", RECORDINGS, ids=["every shape", "demo 1", "demo 2", "demo 3"])
def test_a_spoilt_look_up_costs_no_event(content: bytes, label: str) -> None:
    source = source_of(content)
    whole = trace_from(source, FULL).events
    (body,) = (answer.body for answer in source.answers if answer.label == label)

    for each in (None, 7, "odd", [], *spoilt(body)):
        assert trace_from(with_body(source, label, each), FULL).events == whole, each


@pytest.mark.parametrize("content", RECORDINGS, ids=["every shape", "demo 1", "demo 2", "demo 3"])
def test_any_spoilt_value_of_a_recording_is_a_trace_or_a_clear_error(content: bytes) -> None:
    for each in spoilt(json.loads(content), ways=(None, 7)):
        try:
            trace = trace_of(json.dumps(each).encode())
        except ReadError as error:
            assert str(error).startswith("saved ")  # noqa: PT017 - the file is named, whatever is wrong in it
        else:
            assert trace.root.name.startswith("invoke_agent")


def test_page_keys_and_metadata_that_are_spoilt_cost_no_event_and_are_said_to_cut_the_session_short() -> None:
    for metadata in (7, "odd", [1], {"page_key": 7}, {"page_key": ["x"]}):
        body = {"events": [event("thinking")], "metadata": metadata}
        trace = trace_of(json.dumps(body).encode())
        assert trace.events == 1
        assert trace.root.attributes[f"{OWN}session.complete"] is False
        assert trace.warnings == ["the page key of the last page is not a text: there may be more events than these"]


def test_a_saved_page_that_names_a_further_one_is_cut_short_and_says_so() -> None:
    trace = trace_of(page(event("agent_output", content="hi"), page_key="more"))

    assert trace.root.attributes[f"{OWN}session.complete"] is False
    assert trace.warnings == ["the last page names a further one that is not here: there are more events than these"]


@pytest.mark.parametrize("metadata", [{}, {"page_key": None}, {"page_key": ""}])
def test_a_page_key_that_is_absent_null_or_empty_ends_the_session(metadata: dict[str, Any]) -> None:
    trace = trace_of(page(event("agent_output", content="hi"), **metadata))

    assert trace.root.attributes[f"{OWN}session.complete"] is True
    assert trace.warnings == []


def test_records_of_another_session_are_kept_and_told() -> None:
    trace = trace_of(page(event("thinking"), event("thinking", id="aev_2", session_key="other")))

    assert trace.events == 2
    assert trace.warnings == ["of these records, 1 name another session than 's'"]
    assert json.loads(str(trace.of("aev_2").attributes[f"{OWN}event.raw"])) == {"session_key": "other"}


def nested(depth: int) -> Any:
    value: Any = "bottom"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("depth", [60, 99, 101, 400, 850, 900, 940])
def test_a_record_of_any_depth_that_can_be_parsed_is_kept(depth: int) -> None:
    content = '{"events": [{"type": "odd", "x": ' + "[" * depth + '"bottom"' + "]" * depth + '}, {"type": "thinking"}]}'

    trace = trace_of(content.encode(), session=Reference("vectara", ("a", "s")))

    assert trace.events == 2
    assert "bottom" in str(trace.named("unknown_event").attributes[f"{OWN}event.raw"])


def test_deep_look_ups_cost_no_event() -> None:
    recording = json.loads(EVERY_SHAPE)
    for answer in recording["answers"][:2]:
        answer["body"]["metadata"] = {"deep": nested(600), "n": float("nan")}

    assert trace_of(json.dumps(recording).encode(), FULL).events == 25


def test_a_saved_agent_names_the_agent() -> None:
    agent = {"key": "support", "name": "Support desk", "first_step": {}}
    content = json.dumps([json.loads(page(event("thinking"))), agent]).encode()

    trace = trace_of(content)

    assert trace.root.attributes[f"{OWN}session.reference"] == "vectara:support/s"
    assert trace.root.name == "invoke_agent Support desk"


def test_words_that_end_in_exceeded_are_no_name_of_a_span() -> None:
    trace = trace_of(page(event("my patience is_exceeded"), event("x" * 99 + "_exceeded", id="aev_2")))

    assert [span.name for span in trace.spans[:-1]] == ["unknown_event", "unknown_event"]
    assert trace.root.status == "unset"


def test_a_session_start_that_is_no_time_is_kept_beside() -> None:
    session = {"key": "s", "agent_key": "a", "created_at": "call me"}

    trace = trace_of(json.dumps([session, json.loads(page(event("thinking")))]).encode())

    assert f"{OWN}session.created_at" not in trace.root.attributes
    assert json.loads(str(trace.root.attributes[f"{OWN}session.raw"])) == {"created_at": "call me"}


def marked(value: Any, path: str = "") -> Any:
    """Give the value with every text replaced by a mark that tells where it stood."""
    if isinstance(value, dict):
        return {name: marked(inner, f"{path}/{name}") for name, inner in value.items()}
    if isinstance(value, list):
        return [marked(inner, path) for inner in value]
    kept = path.rpartition("/")[2] in {"type", "created_at", "session_key", "key", "agent_key", "page_key"}
    return f"<{path}>" if isinstance(value, str) and not kept else value


def test_with_content_none_only_names_and_ids_leave() -> None:
    source = source_of(EVERY_SHAPE)
    answers = [replace(answer, body=marked(answer.body, answer.label)) for answer in source.answers]

    trace = trace_from(replace(source, answers=answers), Options(policy=Policy(content="none")))

    told = {found for span in trace.spans for found in re.findall(r"<([^<>]*)>", repr(span))}
    assert told == {
        "agent/name",
        "agent/model/name",
        "events/events/artifact_id",
        "events/events/from_step",
        "events/events/to_step",
        "events/events/id",
        "events/events/skill_name",
        "events/events/summary_key",
        "events/events/tool_call_id",
        "events/events/tool_configuration",
        "events/events/tool_configuration_name",
        "events/events/tool_key",
        "events/events/tool_name",
    }
    assert not any(f"{OWN}summary" in span.attributes for span in trace.spans)


@pytest.mark.parametrize("content", RECORDINGS, ids=["every shape", "demo 1", "demo 2", "demo 3"])
@pytest.mark.parametrize("limit", [64, 100, 2000])
def test_every_attribute_is_within_the_limit_and_valid_json_where_it_was(content: bytes, limit: int) -> None:
    options = Options(policy=Policy(content="full", max_value=limit))

    for span in trace_of(content, options).spans:
        assert len(span.attributes) <= 128
        for told in (*span.attributes.items(), *(pair for link in span.links for pair in link.attributes.items())):
            name, value = told
            assert len(str(value).encode()) <= limit, name
            if isinstance(value, str) and value[:1] in {"[", "{"} and name != f"{OWN}summary":
                json.loads(value)


# --- over HTTP ----------------------------------------------------------------------------------------


def play(*answers: tuple[str, dict[str, str], Any], status: int = 200) -> Recording:
    return Recording(
        recording=1,
        session="vectara:a/s",
        answers=[
            RecordedAnswer(label="events", path=path, query=query, body=body, status=status)
            for path, query, body in answers
        ],
    )


EVENTS = "/v2/agents/a/sessions/s/events"
QUERY = {"limit": "100", "include_hidden": "true"}


def fetched(platform: LoopbackPlatform, client: httpx.Client) -> Trace:
    fetcher, reference = Vectara(), Reference("vectara", ("a", "s"))
    connection = fetcher.connect({"VECTARA_API_KEY": "vectara-key"}, platform.base_url)
    answers = Client(client, connection).fetch(fetcher, reference)
    return trace_from(Source(reference=reference, fetcher=fetcher, answers=answers))


def test_pages_are_asked_for_until_none_names_a_further_one(http: httpx.Client) -> None:
    recording = play(
        (EVENTS, QUERY, {"events": [event("thinking")], "metadata": {"page_key": "p/2 &x"}}),
        (
            EVENTS,
            {**QUERY, "page_key": "p/2 &x"},
            {"events": [event("agent_output", id="aev_2")], "metadata": {"page_key": ""}},
        ),
    )
    with LoopbackPlatform([recording]) as platform:
        trace = fetched(platform, http)

    assert trace.events == 2
    assert platform.asked == [
        "GET /v2/agents/a",
        "GET /v2/agents/a/sessions/s",
        f"GET {EVENTS}?limit=100&include_hidden=true",
        f"GET {EVENTS}?limit=100&include_hidden=true&page_key=p%2F2+%26x",
    ]


def test_a_page_key_that_repeats_ends_the_paging_and_is_told(http: httpx.Client) -> None:
    recording = play(
        (EVENTS, QUERY, {"events": [event("thinking")], "metadata": {"page_key": "p2"}}),
        (EVENTS, {**QUERY, "page_key": "p2"}, {"events": [], "metadata": {"page_key": "p2"}}),
    )
    with LoopbackPlatform([recording]) as platform:
        trace = fetched(platform, http)

    assert len(platform.asked) == 4
    assert trace.warnings[-1] == "Vectara gave the same page key twice: there may be more events than these"
    assert trace.root.attributes[f"{OWN}session.complete"] is False


def test_look_ups_that_are_refused_cost_a_warning_and_not_the_trace(http: httpx.Client) -> None:
    recording = play((EVENTS, QUERY, {"events": [event("agent_output", content="hi")]}))
    with LoopbackPlatform([recording]) as platform:
        platform.faults["/v2/agents/a"].append(Reply(status=403))
        trace = fetched(platform, http)

    assert trace.events == 1
    refused, unknown = trace.warnings
    assert "403 Forbidden" in refused
    assert "the agent's name" in refused
    assert "404 Not Found" in unknown
    assert "the session's name" in unknown
    assert trace.root.name == "invoke_agent a"


def test_events_are_asked_for_again_without_include_hidden_where_it_is_refused(http: httpx.Client) -> None:
    recording = play(
        (EVENTS, {"limit": "100"}, {"events": [event("thinking")], "metadata": {"page_key": "p2"}}),
        (EVENTS, {"limit": "100", "page_key": "p2"}, {"events": [event("thinking", id="aev_2")]}),
    )
    with LoopbackPlatform([recording]) as platform:
        platform.faults[EVENTS].append(Reply(status=400, body=b'{"messages":["unknown parameter include_hidden"]}'))
        trace = fetched(platform, http)

    assert trace.events == 2
    assert "events that compaction has hidden are missing" in trace.warnings[-1]


def test_a_session_that_cannot_be_had_is_not_said_to_lack_hidden_events(here: Path) -> None:
    with LoopbackPlatform([]) as platform:
        report = replay(
            ["vectara:a/s"],
            to=[f"file:{here / 'out'}"],
            base_url=platform.base_url,
            environ={"VECTARA_API_KEY": "vectara-key"},
        )

    assert not any("hidden" in warning for warning in report.sessions[0].warnings)


def test_a_refusal_that_is_not_about_include_hidden_fails_the_session(http: httpx.Client) -> None:
    with LoopbackPlatform([]) as platform:
        platform.faults[EVENTS].extend([Reply(status=400), Reply(status=400, body=b'{"messages":["bad key"]}')])
        with pytest.raises(FetchError, match=r"vectara:a/s: GET /v2/agents/a/.* answered 400 Bad Request: bad key"):
            fetched(platform, http)


def test_a_session_that_is_not_there_says_what_may_have_happened(http: httpx.Client) -> None:
    with LoopbackPlatform([]) as platform, pytest.raises(FetchError, match="an idle session is deleted"):
        fetched(platform, http)


def test_the_agent_is_looked_up_once_a_run(here: Path) -> None:
    played = DEMO
    with LoopbackPlatform(played) as platform:
        report = replay(
            [recording.session for recording in played],
            to=[f"file:{here / 'out.jsonl'}"],
            base_url=platform.base_url,
            environ={"VECTARA_API_KEY": "vectara-key"},
        )

    assert report.exit_code == 0
    assert platform.asked.count("GET /v2/agents/support") == 1
    assert platform.asked.count("GET /v2/agents/policies") == 1


def test_a_link_to_a_sub_agent_is_the_id_that_its_own_replay_gives(here: Path) -> None:
    played = DEMO
    with LoopbackPlatform(played) as platform:
        report = replay(
            ["vectara:policies/policy_run_17"],
            to=[f"file:{here / 'out.jsonl'}"],
            base_url=platform.base_url,
            environ={"VECTARA_API_KEY": "vectara-key"},
        )
    parent = trace_of(played[0].model_dump_json().encode())

    (link,) = parent.named("execute_tool sub_agent").links
    assert link.trace_id.hex() == report.sessions[0].trace_id


def test_without_credentials_the_variables_are_named() -> None:
    with pytest.raises(UsageError, match=r"VECTARA_API_KEY .* VECTARA_CLIENT_ID and VECTARA_CLIENT_SECRET"):
        Vectara().connect({}, None)


def test_an_api_key_wins_over_client_credentials() -> None:
    both = {"VECTARA_API_KEY": "key", "VECTARA_CLIENT_ID": "i", "VECTARA_CLIENT_SECRET": "s"}

    assert Vectara().connect(both, None).credentials.secrets == ("key",)
    assert Vectara().connect({**both, "VECTARA_API_KEY": ""}, None).credentials.secrets == ("s",)


def test_a_reference_that_lacks_a_part_is_refused() -> None:
    with pytest.raises(UsageError, match="write vectara:AGENT/SESSION"):
        next(Vectara().ask(Reference("vectara", ("only",))))
