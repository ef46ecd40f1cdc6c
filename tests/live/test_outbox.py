from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from otel_agent_events.conventions import CONVENTIONS
from otel_agent_events.conversion import Conversion, Options
from otel_agent_events.errors import DestinationError
from otel_agent_events.live.losses import Losses
from otel_agent_events.live.outbox import MOST_EXPORTED, Exporting, Outbox
from otel_agent_events.otlp import Encoded, Endpoint, connect
from otel_agent_events.otlp.encode import Encoder
from otel_agent_events.otlp.lines import read
from tests.live.exporters import Blocked, Failing, Kept
from tests.live.waiting import own_threads, until
from tests.otlp.bodies import HEAD, bodies
from tests.otlp.collectors import HttpReply, free_port, http_collector
from tests.recordings import files, opened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from opentelemetry.sdk.trace.export import SpanExporter

    from otel_agent_events.live.outbox import Making
    from otel_agent_events.otlp import Aside, Destination

PLENTY = 30.0
"""Seconds in which all is over that is over at all."""


def some(count: int, start: int = 1) -> Encoded:
    return Encoded(spans=(), head=HEAD, bodies=bodies(count, start=start))


def soon(seconds: float = PLENTY) -> float:
    return time.monotonic() + seconds


def kept_in(path: Path) -> list[bytes]:
    """Give the bodies in a spill file, sorted."""
    return sorted(body for line in path.read_bytes().splitlines() for _, found in read(line) for body in found)


@contextmanager
def outbox_of(
    make: Making,
    losses: Losses,
    *,
    most_bytes: int = 1_000_000,
    spill: Path | None = None,
    pauses: Sequence[float] = (0.01,),
) -> Iterator[Outbox]:
    outbox = Outbox(make, losses, most_bytes=most_bytes, spill=spill, at_exit=lambda: None, pauses=pauses)
    outbox.start()
    try:
        yield outbox
    finally:
        outbox.close(soon(5))


def to(url: str, deadline: float = 60.0) -> Making:
    return lambda aside: connect(Endpoint(url=url), deadline=deadline, aside=aside)


def through(exporter: SpanExporter) -> Making:
    return lambda aside: Exporting(exporter, aside)


def with_spans() -> Encoded:
    """Give the spans of a bundled session, with what an exporter takes."""
    options = Options()
    plugins = [CONVENTIONS.get(name) for name in options.conventions]
    (encoded,) = Conversion(opened(files()[0]), options, plugins, encoder=Encoder()).encoded()
    return encoded


def many_spans(count: int) -> Encoded:
    encoded = with_spans()
    times = count // len(encoded.spans) + 1
    return replace(encoded, spans=(list(encoded.spans) * times)[:count], bodies=(list(encoded.bodies) * times)[:count])


# --- a collector --------------------------------------------------------------------------------------


def test_what_is_put_arrives_and_a_flush_says_so() -> None:
    losses = Losses("Test")
    with http_collector() as collector, outbox_of(to(collector.url), losses) as outbox:
        outbox.put(some(3))
        outbox.put(some(2, start=4))

        assert outbox.flush(soon())
        assert collector.numbers == [1, 2, 3, 4, 5]
        assert outbox.acknowledged == 5
        assert outbox.close(soon())
    assert (losses.counts, outbox.spilled) == ({}, 0)
    assert own_threads() == []


def test_what_was_acknowledged_is_known_without_a_flush() -> None:
    with http_collector() as collector, outbox_of(to(collector.url), Losses("Test")) as outbox:
        outbox.put(some(3))

        until(lambda: outbox.acknowledged == 3)


def test_a_flush_that_is_not_over_in_time_says_so_and_a_later_one_that_it_is() -> None:
    answered = threading.Event()

    def wait(_: object) -> None:
        answered.wait(PLENTY)

    with http_collector(answer=wait) as collector, outbox_of(to(collector.url), Losses("Test")) as outbox:
        outbox.put(some(1))
        begun = time.monotonic()

        assert not outbox.flush(soon(0.2))
        assert time.monotonic() - begun < PLENTY / 2

        answered.set()
        assert outbox.flush(soon())


def test_what_does_not_fit_goes_to_the_spill_file_and_the_rest_arrives_once(tmp_path: Path) -> None:
    losses, port, path = Losses("Test"), free_port(), tmp_path / "spill.jsonl"
    url = f"http://127.0.0.1:{port}/v1/traces"
    with outbox_of(to(url), losses, most_bytes=len(bodies(1)[0]) * 25, spill=path) as outbox:
        # The sender takes some batches, and waits for the collector; then they wait for the sender.
        count = 0
        while not outbox.spilled:
            outbox.put(some(10, start=count + 1))
            count += 10
        with http_collector(port=port) as collector:
            assert outbox.flush(soon())
            arrived = collector.numbers

    spilled = kept_in(path)
    assert len(spilled) == outbox.spilled
    assert sorted(bodies(count)) == sorted(
        [*spilled, *(each for number in arrived for each in bodies(1, start=number))]
    )
    assert losses.counts == {}


def test_without_a_spill_file_what_does_not_fit_is_counted_and_told_with_advice(
    caplog: pytest.LogCaptureFixture,
) -> None:
    losses, exporter = Losses("Test"), Blocked()
    encoded = with_spans()
    size = sum(map(len, encoded.bodies))
    with outbox_of(through(exporter), losses, most_bytes=2 * size) as outbox:
        outbox.put(encoded)
        assert exporter.asked.wait(PLENTY)
        for _ in range(4):
            outbox.put(encoded)
        exporter.let_go.set()
        assert outbox.flush(soon())

    assert losses.counts == {"spans that did not fit into the queue (queued_bytes)": 3 * len(encoded.spans)}
    assert len(exporter.spans) == 2 * len(encoded.spans)
    (line,) = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert "queued_bytes" in line


def test_one_that_is_larger_than_the_queue_is_taken_when_nothing_else_waits() -> None:
    exporter = Kept()
    with outbox_of(through(exporter), Losses("Test"), most_bytes=1) as outbox:
        outbox.put(with_spans())

        assert outbox.flush(soon())
        assert len(exporter.spans) == len(with_spans().spans)


# --- a destination that fails -------------------------------------------------------------------------


def test_a_destination_that_refuses_is_made_anew_after_a_pause_and_nothing_arrives_twice(tmp_path: Path) -> None:
    losses, path = Losses("Test"), tmp_path / "spill.jsonl"
    refusing = [HttpReply(status=401), HttpReply(status=403)]
    made: list[Destination] = []

    def make(aside: Aside | None) -> Destination:
        made.append(to(collector.url)(aside))
        return made[-1]

    with http_collector(*refusing) as collector, outbox_of(make, losses, spill=path) as outbox:
        for number in range(1, 6):
            outbox.put(some(1, start=number))
            outbox.flush(soon())
        assert outbox.close(soon())

        assert collector.numbers == [3, 4, 5]
    assert kept_in(path) == sorted(bodies(2))
    assert (outbox.acknowledged, outbox.spilled, losses.counts) == (3, 2, {})
    assert len(made) == 3
    assert own_threads() == []


def test_a_failure_is_noticed_before_more_is_given_to_the_destination_that_has_failed() -> None:
    losses = Losses("Test")
    with http_collector(HttpReply(status=401)) as collector, outbox_of(to(collector.url), losses) as outbox:
        outbox.put(some(1))
        until(lambda: losses.total)
        outbox.put(some(1, start=2))
        outbox.put(some(1, start=3))
        assert outbox.flush(soon())

        assert collector.numbers == [2, 3]
    assert losses.counts == {"spans that could not be delivered": 1}


def test_the_log_says_why_nothing_was_delivered_and_what_to_do_and_holds_no_credential(
    caplog: pytest.LogCaptureFixture,
) -> None:
    losses = Losses("Test")

    def make(aside: Aside | None) -> Destination:
        headers = {"authorization": "Bearer s3cret-token"}
        return connect(Endpoint(url=collector.url, headers=headers), aside=aside)

    refused = HttpReply(status=401, body=b"no such token: s3cret-token", content_type="text/plain")
    with http_collector(refused) as collector, outbox_of(make, losses) as outbox:
        outbox.put(some(1))
        outbox.flush(soon())

    assert "answered 401" in caplog.text
    assert "Check the credentials" in caplog.text
    assert "s3cret" not in caplog.text


def test_what_was_spilled_is_told_with_the_command_that_delivers_it_and_once_a_minute_at_most(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exporter = Failing(100)
    with outbox_of(through(exporter), Losses("Test"), spill=tmp_path / "spill.jsonl") as outbox:
        for _ in range(5):
            outbox.put(with_spans())
            outbox.flush(soon())
        (first,) = [record.message for record in caplog.records]
        outbox.close(soon())
    (_, last) = [record.message for record in caplog.records]  # at the end the rest is told

    count = len(with_spans().spans)
    assert f"put {count} spans" in first
    assert f"put {4 * count} spans" in last
    assert "otel-agent-events send" in first
    assert str(tmp_path / "spill.jsonl") in first


def test_spans_wait_for_a_destination_that_cannot_be_made_yet() -> None:
    losses, exporter = Losses("Test"), Kept()
    failures = iter([OSError("no certificate"), OSError("no certificate"), OSError("no certificate")])

    def make(aside: Aside | None) -> Destination:
        error = next(failures, None)
        if error is not None:
            raise error
        return Exporting(exporter, aside)

    encoded = with_spans()
    with outbox_of(make, losses) as outbox:
        outbox.put(encoded)
        outbox.put(encoded)
        assert outbox.flush(soon())

    assert losses.counts == {}
    assert len(exporter.spans) == 2 * len(encoded.spans)


def test_at_the_end_the_pause_is_not_borne_and_a_destination_that_is_back_gets_all() -> None:
    losses, exporter = Losses("Test"), Kept()
    failures = iter([DestinationError("away")])

    class Once(Exporting):
        def submit(self, encoded: Encoded) -> None:
            self.failure = next(failures, None)
            if self.failure is not None:
                raise self.failure
            super().submit(encoded)

    encoded = with_spans()
    with outbox_of(lambda aside: Once(exporter, aside), losses, pauses=(3_600,)) as outbox:
        outbox.put(encoded)
        until(lambda: losses.total)
        outbox.put(encoded)

        assert outbox.close(soon())
    assert len(exporter.spans) == len(encoded.spans)


# --- an exporter --------------------------------------------------------------------------------------


def test_an_exporter_gets_no_more_at_once_than_the_sdk_gives_it_and_is_its_owners_to_shut_down() -> None:
    exporter = Kept()
    with outbox_of(through(exporter), Losses("Test"), most_bytes=1 << 30) as outbox:
        outbox.put(many_spans(2 * MOST_EXPORTED + 1))
        assert outbox.close(soon())

    assert exporter.sizes == [MOST_EXPORTED, MOST_EXPORTED, 1]
    assert not exporter.is_shut_down


@pytest.mark.parametrize("error", [None, ValueError("no"), SystemExit(3)], ids=["fails", "raises", "exits"])
def test_what_an_exporter_does_not_take_is_lost_and_the_next_is_tried(error: BaseException | None) -> None:
    losses, exporter = Losses("Test"), Failing(1, error)
    encoded = with_spans()
    with outbox_of(through(exporter), losses) as outbox:
        outbox.put(encoded)
        outbox.put(encoded)
        outbox.flush(soon())
        assert outbox.close(soon())

    assert losses.counts == {"spans that could not be delivered": len(encoded.spans)}
    assert len(exporter.spans) == len(encoded.spans)
    assert outbox.acknowledged == len(encoded.spans)


def test_what_an_exporter_does_not_take_is_spilled(tmp_path: Path) -> None:
    losses, path = Losses("Test"), tmp_path / "deep" / "spill.jsonl"
    encoded = with_spans()
    with outbox_of(through(Failing(1)), losses, spill=path) as outbox:
        outbox.put(encoded)
        assert outbox.close(soon())

    assert (outbox.spilled, losses.counts) == (len(encoded.bodies), {})
    assert kept_in(path) == sorted(encoded.bodies)


def test_an_exporter_that_was_not_flushed_makes_a_flush_false() -> None:
    class Unflushed(Kept):
        def force_flush(self, timeout_millis: int = 0) -> bool:
            return timeout_millis > 0

    with outbox_of(through(Unflushed()), Losses("Test")) as outbox:
        outbox.put(with_spans())

        assert not outbox.flush(soon())


@pytest.mark.parametrize("spills", [False, True])
def test_an_exporter_that_blocks_for_ever_delays_the_end_a_little_and_all_is_kept_or_counted(
    tmp_path: Path, *, spills: bool
) -> None:
    losses, exporter, path = Losses("Test"), Blocked(), tmp_path / "spill.jsonl"
    encoded = with_spans()
    with outbox_of(through(exporter), losses, spill=path if spills else None) as outbox:
        outbox.put(encoded)
        assert exporter.asked.wait(PLENTY)
        outbox.put(encoded)
        begun = time.monotonic()

        assert not outbox.close(soon(0.1))
        assert time.monotonic() - begun < PLENTY / 2

        outbox.put(encoded)  # what comes afterwards is told as well
        count = len(encoded.bodies)
        assert (outbox.spilled, losses.total) == ((3 * count, 0) if spills else (0, 3 * count))
        exporter.let_go.set()
        until(lambda: own_threads() == [])
    assert (outbox.spilled, losses.total) == ((3 * count, 0) if spills else (0, 3 * count))


# --- the spill file -----------------------------------------------------------------------------------


def test_a_spill_file_that_cannot_be_made_costs_the_spans_and_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    losses = Losses("Test")
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    encoded = with_spans()
    with outbox_of(through(Failing(1)), losses, spill=tmp_path / "file" / "spill.jsonl") as outbox:
        outbox.put(encoded)
        assert outbox.close(soon())

    assert losses.counts == {"spans that could not be delivered": len(encoded.bodies)}
    assert outbox.spilled == 0
    assert "could not record everything" in caplog.text
    assert "spill.jsonl" in caplog.text


def test_after_the_end_nothing_waits() -> None:
    losses, exporter = Losses("Test"), Kept()
    with outbox_of(through(exporter), losses) as outbox:
        assert outbox.close(soon())
        assert outbox.close(soon())
        assert outbox.flush(soon())
        outbox.put(with_spans())

    assert exporter.spans == []
    assert losses.counts == {"spans that could not be delivered before the end": len(with_spans().bodies)}
