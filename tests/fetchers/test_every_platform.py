"""What holds for every recording of every platform."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_events import demo, replay
from otel_agent_events.attributes import OWN
from otel_agent_events.content import Policy
from otel_agent_events.conversion import Options
from otel_agent_events.fetchers import FETCHERS
from otel_agent_events.otlp.encode import request as encode
from otel_agent_events.reference import Reference
from otel_agent_events.testing import LoopbackPlatform, check_fetcher, outline
from tests.outlines import place
from tests.recordings import bundled, files, name_of, opened, recordings, renamed
from tests.traces import holds, leaves, lines_of, told_by, trace_from

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_agent_events.fetchers.saved import Recording

PLATFORMS = ("agora", "hubster", "lyzr", "vectara")
FULL = Options(policy=Policy(content="full"))
CREDENTIALS = {
    "AGORA_TOKEN": "any",
    "HUBSTER_ACCESS_TOKEN": "any",
    "LYZR_API_KEY": "any",
    "VECTARA_API_KEY": "any",
}

every_file = pytest.mark.parametrize("path", files(), ids=name_of)


def test_every_platform_has_its_documented_sample_a_rich_recording_and_a_bundled_one() -> None:
    names = {name_of(path) for path in files()}

    for platform in PLATFORMS:
        assert f"{platform}/documented" in names
        assert len(recordings(platform)) > 1
    assert {recording.reference.platform for name in PLATFORMS for recording in recordings(name)} == set(PLATFORMS)


@every_file
def test_a_recording_is_the_trace_that_was_looked_at(path: Path) -> None:
    spans = trace_from(opened(path), FULL).spans

    assert outline(spans) == place(path).read_text(encoding="utf-8"), "make outlines writes it anew; look at it"


PAGING = {"metadata", "pagination", "total_turn_count"}
"""Members of answers that say how they were cut into pages, and nothing of the session."""


def told_leaves(fetcher: str, label: str, body: Any) -> Iterator[Any]:
    """Give the leaves of an answer that must be in the trace."""
    if body is None or (fetcher == "vectara" and label == "agent"):
        return  # it failed; or it is the agent as it is now, looked up for its name and its model
    if isinstance(body, dict):
        body = {name: inner for name, inner in body.items() if name not in PAGING}
    yield from leaves(without(body, {name.casefold() for name in FETCHERS.get(fetcher).secrets}))


def without(value: Any, names: set[str]) -> Any:
    if isinstance(value, dict):
        return {name: without(inner, names) for name, inner in value.items() if name.casefold() not in names}
    return [without(inner, names) for inner in value] if isinstance(value, list) else value


@every_file
def test_every_leaf_value_of_every_record_is_in_the_trace(path: Path) -> None:
    source = opened(path)

    told = told_by(trace_from(source, FULL).spans)

    for answer in source.answers:
        missing = [
            leaf for leaf in told_leaves(source.fetcher.name, answer.label, answer.body) if not holds(told, leaf)
        ]
        assert not missing, answer.source


@every_file
def test_no_secret_of_a_platform_leaves(path: Path) -> None:
    source = opened(path)
    names = {name.casefold() for name in FETCHERS.get(source.fetcher.name).secrets}
    bodies = [answer.body for answer in source.answers]
    secret = set(map(str, leaves(bodies))) - set(map(str, leaves(without(bodies, names))))

    told = {str(value) for _, value in told_by(trace_from(source, FULL).spans)}

    assert not {each for each in secret if any(each in value for value in told)}


@every_file
def test_the_same_answers_give_the_same_bytes(path: Path) -> None:
    first, second = (encode(trace_from(opened(path), FULL).spans) for _ in range(2))

    assert first == second


@every_file
@pytest.mark.parametrize("limit", [64, 2000])
def test_every_attribute_is_within_the_limit_and_valid_json_where_it_was(path: Path, limit: int) -> None:
    for span in trace_from(opened(path), Options(policy=Policy(content="full", max_value=limit))).spans:
        assert len(span.attributes) <= 128
        for name, value in span.attributes.items():
            assert len(str(value).encode()) <= limit, name
            if isinstance(value, str) and value[:1] in {"[", "{"} and name != f"{OWN}summary":
                json.loads(value)


@every_file
def test_spans_have_ids_of_their_own_lie_within_their_parents_and_are_never_open(path: Path) -> None:
    for options in (FULL, Options(turns=True)):
        spans = trace_from(opened(path), options).spans
        by_id = {span.span_id: span for span in spans}
        assert len(by_id) == len(spans)
        for span in spans:
            assert span.start <= span.end
            if span.parent_id is not None:
                parent = by_id[span.parent_id]
                assert parent.start <= span.start
                assert span.end <= parent.end


@pytest.mark.parametrize("name", ["a/b", "a b+c", "ada@shop.example", "日本 é", "a%2Fb", "?x=1&y#z", "..", "-", "{}"])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_names_of_any_characters_survive_the_way_to_the_platform(platform: str, name: str, here: Path) -> None:
    parts = [f"{name}{number}" if number else name for number, _ in enumerate(FETCHERS.get(platform).path)]
    reference = Reference(platform, tuple(parts))
    recording = renamed(bundled(platform)[0], str(reference))

    with LoopbackPlatform([recording], headers=demo.HEADERS, tokens=demo.TOKENS) as loopback:
        report = replay([str(reference)], to=["file:out"], environ=demo.environment(loopback.base_url, {}))

    (session,) = report.sessions
    assert (session.error, report.exit_code) == (None, 0)
    root = lines_of(here / "out")[-1]["attributes"]
    assert root["session.id"] == parts[-1]
    assert Reference.parse(root[f"{OWN}session.reference"]) == reference


EVERY_RECORDING = [recording for platform in PLATFORMS for recording in recordings(platform)]


@pytest.mark.parametrize("recording", EVERY_RECORDING, ids=lambda recording: recording.session)
def test_every_platform_passes_the_public_check(recording: Recording) -> None:
    check_fetcher(FETCHERS.get(recording.reference.platform), recording, environ=CREDENTIALS)
