from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_agent_events.errors import DestinationError, UsageError
from otel_agent_events.otlp import exporter as exporters
from otel_agent_events.otlp.exporter import ExporterDestination, exporter
from otel_agent_events.plugins import Plugins
from tests.otlp.collectors import HttpReply, http_collector
from tests.otlp.examples import OTHER_RESOURCE, deliver, encoded, ids, span, spans

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_agent_events.otlp import Outcome
    from otel_agent_events.spans import Span

SUCCESS, FAILURE = SpanExportResult.SUCCESS, SpanExportResult.FAILURE


class Scripted(SpanExporter):
    """An exporter that returns or raises these results, one for each batch, and then the last of them for ever."""

    def __init__(self, *results: Any) -> None:
        self.results = list(results) or [SUCCESS]
        self.batches: list[list[int | None]] = []
        self.calls: list[str] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.batches.append([each.context.span_id for each in spans])
        self.calls.append("export")
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, BaseException):
            raise result
        return result  # type: ignore[no-any-return]

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        self.calls.append(f"force_flush {timeout_millis}")
        return True

    def shutdown(self) -> None:
        self.calls.append("shutdown")


def destination(scripted: SpanExporter) -> ExporterDestination:
    return ExporterDestination(scripted, name="exporter:scripted")


def counts(outcome: Outcome) -> tuple[int, int, int, int, str | None]:
    return outcome.acknowledged, outcome.rejected, outcome.set_aside, outcome.lost, outcome.message


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporters, "MOST_SPANS", 2)


@pytest.fixture
def switching() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


# --- those that are installed -------------------------------------------------------------------------


def test_an_installed_exporter_sends_all_spans_to_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = [replace(each, varying={"n": number}) for number, each in enumerate(spans(600))]
    with http_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.removesuffix("/v1/traces"))
        made = exporter("otlp_proto_http")
        made.submit(encoded(sent))
        made.close()

    assert made.name == "exporter:otlp_proto_http"
    assert made.reports_only
    assert collector.ids == ids(sent)
    assert [len(received.spans) for received in collector.requests] == [512, 88]
    assert [each.attributes[0].value.int_value for each in collector.spans] == list(range(600))
    assert [counts(outcome) for outcome in made.outcomes()] == [(512, 0, 0, 0, None), (88, 0, 0, 0, None)]


def test_an_installed_exporter_whose_collector_refuses_loses_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    with http_collector(HttpReply(status=400)) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.removesuffix("/v1/traces"))
        outcome = deliver(exporter("otlp_proto_http"), spans(3))

    assert counts(outcome) == (
        *(0, 0, 0, 3),
        "exporter:otlp_proto_http did not take a batch of 3: it reports a failure; what it logs may tell why",
    )


def test_the_console_exporter_prints_the_spans() -> None:
    code = (
        "from otel_agent_events.otlp.exporter import exporter\n"
        "from tests.otlp.examples import encoded, spans\n"
        "console = exporter('console')\n"
        "console.submit(encoded(spans(2)))\n"
        "console.close()\n"
        "assert [outcome.acknowledged for outcome in console.outcomes()] == [2]\n"
    )

    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)

    assert done.stdout.count('"name": "chat"') == 2
    assert '"span_id": "0x0000000000000002"' in done.stdout
    assert done.stderr == ""


def test_a_name_that_no_exporter_has_is_told_with_those_that_are_installed() -> None:
    with pytest.raises(UsageError, match=r"there is no exporter 'consol'; installed: .*console, .*otlp_proto_http"):
        exporter("consol")


def test_what_cannot_export_is_no_exporter(monkeypatch: pytest.MonkeyPatch) -> None:
    plugins: Plugins[SpanExporter] = Plugins("opentelemetry_traces_exporter", "exporter")
    entry = EntryPoint(name="number", value="builtins:int", group="opentelemetry_traces_exporter")
    plugins.__dict__["_entries"] = (entry,)
    monkeypatch.setattr(exporters, "EXPORTERS", plugins)

    with pytest.raises(UsageError, match="the exporter 'number' is of no use: int has no method `export`"):
        exporter("number")


# --- batches ------------------------------------------------------------------------------------------


def test_what_an_exporter_takes_is_counted_and_it_is_flushed_and_shut_down_once() -> None:
    scripted = Scripted()
    made = destination(scripted)

    outcome = deliver(made, spans(3))
    made.close()
    made.abandon()

    assert counts(outcome) == (3, 0, 0, 0, None)
    assert outcome.spans == range(3)
    assert scripted.batches == [[1, 2, 3]]
    assert scripted.calls == ["export", "force_flush 30000", "shutdown"]
    assert made.failure is None


def test_spans_of_several_sessions_go_in_one_batch_and_have_an_outcome_each() -> None:
    scripted = Scripted()
    made = destination(scripted)

    made.submit(encoded(spans(2), owner="a", first=5))
    made.submit(encoded([span(3, resource=OTHER_RESOURCE)], owner="b"))
    made.submit(encoded([span(4)], owner="b", first=1))
    made.submit(encoded([span(5)], owner="b", first=9))
    assert made.outcomes() == []
    made.flush()

    assert scripted.batches == [[1, 2, 3, 4, 5]]
    assert [(outcome.owner, outcome.first, outcome.acknowledged) for outcome in made.outcomes()] == [
        ("a", 5, 2),
        ("b", 0, 2),
        ("b", 9, 1),
    ]


def test_a_flush_without_spans_exports_nothing() -> None:
    scripted = Scripted()
    made = destination(scripted)

    made.flush()
    made.submit(encoded(spans(1)))
    made.flush()
    made.flush()

    assert scripted.calls == ["export", "force_flush 30000"]


def test_a_batch_is_capped_by_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporters, "MOST_BYTES", 1_000)
    scripted = Scripted()
    made = destination(scripted)

    made.submit(encoded([span(1), span(2, content="x" * 5_000), span(3), span(4)]))
    made.close()

    assert scripted.batches == [[1], [2], [3, 4]]


# --- what goes wrong ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (FAILURE, "it reports a failure; what it logs may tell why"),
        (None, "it returned None instead of SpanExportResult.SUCCESS"),
        (ValueError("no\nroom"), "it raised ValueError: no room"),
        (RuntimeError(), "it raised RuntimeError"),
        (
            ValueError("cannot reach https://ada:hunter2secret@host/ with Authorization: Bearer 4f9c1a7be2d0936b"),
            "it raised ValueError: cannot reach https://ada:[scrubbed]@host/ with Authorization: Bearer [scrubbed]",
        ),
    ],
)
@pytest.mark.usefixtures("small_batches")
def test_a_batch_that_is_not_taken_is_lost_and_the_next_one_tried(result: Any, told: str) -> None:
    made = destination(Scripted(result, SUCCESS))

    made.submit(encoded(spans(4)))

    lost = f"exporter:scripted did not take a batch of 2: {told}"
    assert [counts(outcome) for outcome in made.outcomes()] == [(0, 0, 0, 2, lost), (2, 0, 0, 0, None)]
    assert made.failure is None


@pytest.mark.usefixtures("small_batches")
def test_after_three_failed_batches_in_a_row_the_exporter_is_given_up() -> None:
    scripted = Scripted(FAILURE, FAILURE, SUCCESS, FAILURE)
    made = destination(scripted)

    made.submit(encoded(spans(16)))

    assert len(scripted.batches) == 6
    assert isinstance(made.failure, DestinationError)
    assert str(made.failure).startswith("exporter:scripted did not take 3 batches in a row, and is given up: it rep")
    outcomes = made.outcomes()
    assert [outcome.acknowledged for outcome in outcomes] == [0, 0, 2, 0, 0, 0, 0]
    assert [place for outcome in outcomes for place in outcome.spans] == list(range(16))
    made.submit(encoded(spans(1)))
    assert [counts(outcome) for outcome in made.outcomes()] == [(0, 0, 0, 1, str(made.failure))]
    assert len(scripted.batches) == 6


@pytest.mark.usefixtures("small_batches")
def test_once_stopped_the_exporter_is_given_up_at_the_first_failure() -> None:
    scripted = Scripted(SUCCESS, FAILURE)
    made = destination(scripted)

    made.stop()
    made.submit(encoded(spans(6)))

    assert len(scripted.batches) == 2
    assert [outcome.lost for outcome in made.outcomes()] == [0, 2, 2]
    assert str(made.failure).startswith("exporter:scripted did not take a batch, and is given up: it reports a fail")


def test_what_is_interrupted_is_lost_when_it_is_abandoned() -> None:
    scripted = Scripted(KeyboardInterrupt())
    made = destination(scripted)

    made.submit(encoded(spans(2)))
    with pytest.raises(KeyboardInterrupt):
        made.flush()
    made.abandon()

    (outcome,) = made.outcomes()
    assert counts(outcome) == (0, 0, 0, 2, "it was not exported: the run was broken off")
    assert scripted.calls == ["export", "shutdown"]


@pytest.mark.usefixtures("small_batches")
def test_of_what_is_interrupted_while_it_is_submitted_everything_is_told() -> None:
    made = destination(Scripted(SUCCESS, KeyboardInterrupt()))

    with pytest.raises(KeyboardInterrupt):
        made.submit(encoded(spans(7)))
    made.abandon()

    outcomes = made.outcomes()
    assert [(outcome.acknowledged, outcome.lost) for outcome in outcomes] == [(2, 0), (0, 5)]
    assert [place for outcome in outcomes for place in outcome.spans] == list(range(7))


def test_what_comes_after_the_end_is_lost_at_once() -> None:
    scripted = Scripted()
    made = destination(scripted)
    made.close()

    made.submit(encoded(spans(2)))

    assert [counts(outcome) for outcome in made.outcomes()] == [
        (0, 0, 0, 2, "it was not exported: it came after the end")
    ]
    assert scripted.batches == []


@pytest.mark.parametrize("end", ["flush", "abandon"])
def test_what_is_submitted_while_another_thread_exports_is_not_told_with_that_batch(end: str) -> None:
    exporting, go_on = threading.Event(), threading.Event()

    class Slow(Scripted):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            result = super().export(spans)
            exporting.set()
            assert go_on.wait(10)
            return result

    scripted = Slow()
    made = destination(scripted)
    made.submit(encoded(spans(2)))
    flushing = threading.Thread(target=made.flush)
    flushing.start()
    assert exporting.wait(10)
    submitting = threading.Thread(target=made.submit, args=[encoded([span(3)], first=2)])
    submitting.start()
    submitting.join(0.1)
    assert made.outcomes() == []
    go_on.set()
    flushing.join()
    submitting.join()
    getattr(made, end)()

    reported = [place for each in made.outcomes() for place in range(each.first, each.first + each.acknowledged)]
    assert reported == [number - 1 for batch in scripted.batches for number in batch if number is not None]
    assert reported == ([0, 1, 2] if end == "flush" else [0, 1])


@pytest.mark.usefixtures("switching")
def test_no_outcome_is_lost_between_the_thread_that_exports_and_the_one_that_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exporters, "MOST_SPANS", 1)
    made = destination(Scripted())
    told: list[Outcome] = []
    over = threading.Event()

    def count() -> None:
        while not over.is_set():
            told.extend(made.outcomes())

    counting = threading.Thread(target=count)
    counting.start()
    for number in range(0, 6_000, 100):
        made.submit(encoded(spans(100), first=number))
    over.set()
    counting.join()
    told += made.outcomes()

    assert sorted(outcome.first for outcome in told) == list(range(6_000))


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([False], "it was not flushed within 30 s"),
        ([ValueError("full")], "it raised ValueError: full"),
        ([True, False], "it was not flushed within 30 s"),
        ([False, True], None),
        ([None], None),
    ],
    ids=str,
)
def test_an_exporter_that_cannot_finish_what_it_held_back_is_an_error(answers: list[Any], told: str | None) -> None:
    class Holding(Scripted):
        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            super().force_flush(timeout_millis)
            answer = answers[self.calls.count("export") - 1]
            if isinstance(answer, Exception):
                raise answer
            return answer  # type: ignore[no-any-return]

    scripted = Holding()
    made = destination(scripted)
    for number in range(len(answers) - 1):
        made.submit(encoded([span(number + 1)]))
        made.flush()
    made.submit(encoded([span(9)]))

    if told is None:
        made.close()
        assert made.failure is None
    else:
        with pytest.raises(DestinationError) as raised:
            made.close()
        assert str(raised.value) == (
            f"exporter:scripted did not finish, so what it has reported may not have arrived: {told}"
        )
        assert made.failure is raised.value
    assert scripted.calls[-1] == "shutdown"


def test_an_exporter_that_cannot_be_shut_down_is_an_error() -> None:
    class Stuck(Scripted):
        def shutdown(self) -> None:
            raise OSError("stuck")

    made = destination(Stuck())
    made.submit(encoded(spans(1)))

    with pytest.raises(DestinationError, match=r"did not finish, .*: it raised OSError: stuck"):
        made.close()

    assert [outcome.acknowledged for outcome in made.outcomes()] == [1]
    made.abandon()  # raises nothing


def test_an_exporter_that_is_given_up_keeps_its_failure_when_it_cannot_be_shut_down_either() -> None:
    class Stuck(Scripted):
        def shutdown(self) -> None:
            raise OSError("stuck")

    made = destination(Stuck(FAILURE))
    made.stop()
    made.submit(encoded(spans(1)))

    with pytest.raises(DestinationError, match="stuck"):
        made.close()

    assert "is given up" in str(made.failure)


def test_exporters_with_older_signatures_are_flushed_too() -> None:
    class Older(Scripted):
        def force_flush(self) -> bool:  # type: ignore[override]
            self.calls.append("force_flush")
            return True

    scripted = Older()
    deliver(destination(scripted), spans(1))

    assert scripted.calls == ["export", "force_flush", "shutdown"]


def test_an_exporter_without_a_flush_holds_nothing_back() -> None:
    class Oldest:
        def export(self, _: Sequence[ReadableSpan]) -> SpanExportResult:
            return SUCCESS

        def shutdown(self) -> None:
            pass

    oldest: Any = Oldest()

    assert deliver(destination(oldest), spans(1)).acknowledged == 1


@given(
    st.lists(st.sampled_from([SUCCESS, FAILURE, None, ValueError("no")]), min_size=1, max_size=8),
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 6), st.booleans()), max_size=6),
    st.booleans(),
)
def test_whatever_an_exporter_does_every_span_has_one_outcome_and_the_counts_add_up(
    results: list[Any],
    submitted: list[tuple[str, int, bool]],
    abandoned: bool,  # noqa: FBT001
) -> None:
    made = destination(Scripted(*results))
    sent: list[Span] = []
    places = {"a": 0, "b": 0}
    outcomes: list[Outcome] = []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporters, "MOST_SPANS", 4)
        for owner, count, flushed in submitted:
            batch = [span(len(sent) + number) for number in range(1, count + 1)]
            sent += batch
            made.submit(encoded(batch, owner=owner, first=places[owner]))
            places[owner] += count
            if flushed:
                made.flush()
            outcomes += made.outcomes()
        if abandoned:
            made.abandon()
        made.close()
    outcomes += made.outcomes()

    for outcome in outcomes:
        assert outcome.acknowledged + outcome.lost == len(outcome.spans) > 0
        assert outcome.message or not outcome.lost
    for owner, count in places.items():
        told = [outcome.spans for outcome in outcomes if outcome.owner == owner]
        assert [place for each in told for place in each] == list(range(count))
