"""What is recorded live, as the platform stores it, is the trace that a replay makes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from otel_agent_events.content import Policy
from otel_agent_events.conventions import CONVENTIONS
from otel_agent_events.conversion import Conversion, Options
from otel_agent_events.keys import key_of
from otel_agent_events.live.sessions import SessionRecorder
from otel_agent_events.otlp.encode import Encoder
from otel_agent_events.otlp.readable import to_readables
from otel_agent_events.pipeline import replay
from tests.live.exporters import Kept, told
from tests.otlp.collectors import grpc_collector, http_collector
from tests.recordings import files, name_of, opened
from tests.traces import body_of, trace_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from otel_agent_events.fetchers import Answer
    from otel_agent_events.sources import Source
    from tests.otlp.collectors import Collector

LISTS = ("events", "activities", "activity", "history", "contents", "turns")
"""The members of answers that hold records."""


def one_by_one(answer: Answer) -> Iterator[Any]:
    """Give an answer as a service would hand it on: its records one by one, and first what else it tells."""
    body = body_of(answer)
    if isinstance(body, list):
        yield from body
        return
    held = next((name for name in LISTS if isinstance(body, dict) and isinstance(body.get(name), list)), None)
    if held is None:
        yield body
        return
    if len(body) > 1:
        yield {**body, held: []}
    yield from body[held]


def without_failures(source: Source) -> Source:
    """A service hands on what it has; what was asked for in vain is no record."""
    return replace(source, answers=[answer for answer in source.answers if answer.failure is None])


def handed_on(source: Source, *, whole: bool) -> Iterator[tuple[Any, str | None]]:
    """Give all that the answers hold, each record once although several lists hold it; windows stay whole."""
    met: Counter[str] = Counter()
    windows = sum(answer.label == "history" for answer in source.answers) > 1
    for answer in source.answers:
        if whole or windows or answer.label == "notification":
            yield body_of(answer), answer.label
            continue
        met_here: Counter[str] = Counter()
        for record in one_by_one(answer):
            key = key_of(record)
            met_here[key] += 1
            if answer.label == "events" or met_here[key] > met[key]:
                met[key] = max(met[key], met_here[key])
                yield record, None


ODD = {"agora/empty", "agora/turns_that_lack_parts", "lyzr/envelopes", "lyzr/odd_records"}
"""What is in these is only known for what it is by the answer that holds it; so these are handed on as answers."""


VIEWS: dict[str, dict[str, Any]] = {
    "full": {"content": "full"},
    "scrubbed": {"content": "scrubbed", "max_value": 200},
    "none": {"content": "none"},
    "turns": {"content": "full", "turns": True},
    "named": {"content": "none", "namespace": "eu", "revision": 3, "conventions": ("gen_ai", "gen_ai")},
}


def options_of(view: dict[str, Any]) -> Options:
    """Give the options of a replay under this view."""
    others = {name: told for name, told in view.items() if name not in {"content", "max_value"}}
    policy = Policy(**{name: told for name, told in view.items() if name in {"content", "max_value"}})
    return Options(policy=policy, **others)


def record_all(recorder: SessionRecorder, source: Source, *, whole: bool) -> str | None:
    """Record a session as it is stored; give the id of its trace."""
    session = recorder.session(source.reference)
    for record, label in handed_on(source, whole=whole):
        session.record(record, label=label)
    session.close()
    assert recorder.shutdown()
    assert recorder.lost == {}
    return session.trace_id


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("path", files(), ids=name_of)
def test_a_recording_that_is_recorded_live_gives_the_spans_of_its_replay(path: Path, view: str) -> None:
    replayed = trace_from(without_failures(opened(path)), options_of(VIEWS[view]))
    exporter = Kept()
    recorder = SessionRecorder(exporter=exporter, stamp=False, **VIEWS[view])

    trace_id = record_all(recorder, without_failures(opened(path)), whole=name_of(path) in ODD)

    assert [told(span) for span in exporter.spans] == [told(span) for span in to_readables(replayed.spans)]
    assert {span.resource.attributes["otel_agent_events.origin"] for span in exporter.spans} == {"live"}
    assert {f"{span.context.trace_id:032x}" for span in exporter.spans} == {trace_id}


@pytest.mark.parametrize("collecting", [http_collector, grpc_collector], ids=["http", "grpc"])
@pytest.mark.parametrize("path", files(), ids=name_of)
def test_a_recording_that_is_recorded_live_arrives_at_a_collector_as_its_replay_does(
    path: Path, collecting: Callable[[], AbstractContextManager[Collector]]
) -> None:
    protocol = "grpc" if collecting is grpc_collector else None
    with collecting() as collector:
        recorder = SessionRecorder(endpoint=collector.url, protocol=protocol, stamp=False, environ={})
        record_all(recorder, without_failures(opened(path)), whole=name_of(path) in ODD)
        live = [span.SerializeToString() for span in collector.spans]

    assert live == [span.SerializeToString() for span in replayed(without_failures(opened(path)))]
    (resource,) = {
        (each.key, each.value.string_value)
        for received in collector.taken
        for resources in received.request.resource_spans
        for each in resources.resource.attributes
        if each.key == "otel_agent_events.origin"
    }
    assert resource == ("otel_agent_events.origin", "live")


def replayed(source: Source) -> Iterator[Any]:
    """Give the spans of a replay as they are in a request."""
    options = options_of({"content": "none"})
    plugins = [CONVENTIONS.get(name) for name in options.conventions]
    for encoded in Conversion(source, options, plugins, encoder=Encoder(), spans=False).encoded():
        for body in encoded.bodies:
            yield from ScopeSpans.FromString(body).spans


def test_a_replay_after_a_recording_that_was_streamed_is_the_next_revision_and_links_to_it() -> None:
    path = files()[0]
    with http_collector() as collector:
        recorder = SessionRecorder(endpoint=collector.url, environ={})
        live = record_all(recorder, without_failures(opened(path)), whole=False)
        report = replay([path], endpoint=collector.url, content="none", revision=2, ledger="off", environ={})
        again = report.sessions[0].trace_id
        (root,) = [span for span in collector.spans if span.trace_id.hex() == again and not span.parent_span_id]

    assert again != live
    assert live in {link.trace_id.hex() for link in root.links}
    assert len(set(collector.ids)) == len(collector.ids)
