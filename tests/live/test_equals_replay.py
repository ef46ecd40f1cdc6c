"""What is recorded live, as the platform stores it, is the trace that a replay makes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_events.content import Policy
from otel_agent_events.conversion import Options
from otel_agent_events.keys import key_of
from otel_agent_events.live.sessions import SessionRecorder
from otel_agent_events.otlp.readable import to_readables
from tests.live.exporters import Kept, told
from tests.recordings import files, name_of, opened
from tests.traces import body_of, trace_from

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_agent_events.fetchers import Answer
    from otel_agent_events.sources import Source

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


def recorded(source: Source, *, whole: bool = False, **options: Any) -> list[Any]:
    exporter = Kept()
    recorder = SessionRecorder(exporter=exporter, content="full", stamp=False, **options)
    session = recorder.session(source.reference)
    for record, label in handed_on(source, whole=whole):
        session.record(record, label=label)
    session.close()
    assert recorder.shutdown()
    assert recorder.lost == {}
    return exporter.spans


@pytest.mark.parametrize("path", files(), ids=name_of)
def test_a_recording_that_is_recorded_live_gives_the_spans_of_its_replay(path: Path) -> None:
    source = without_failures(opened(path))
    policy = Policy(content="full")
    replayed = trace_from(source, Options(policy=policy))

    live = recorded(without_failures(opened(path)), whole=name_of(path) in ODD)

    assert [told(span) for span in live] == [told(span) for span in to_readables(replayed.spans)]
    assert {span.resource.attributes["otel_agent_events.origin"] for span in live} == {"live"}
