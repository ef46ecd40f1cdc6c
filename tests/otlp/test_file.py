from __future__ import annotations

import base64
import errno
import io
import json
import os
import resource
import signal
import stat
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_agent_events.errors import DestinationError, UsageError
from otel_agent_events.otlp.encode import request as encode
from otel_agent_events.otlp.file import ConsoleDestination, FileDestination, LineWriter
from tests.otlp.examples import OTHER_RESOURCE, any_span, encoded, ids, span, spans

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_agent_events.otlp import Encoded
    from otel_agent_events.spans import Span


# --- the lines ----------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(any_span(), min_size=1, max_size=3))
def test_a_line_says_what_the_protobuf_says(sent: list[Span]) -> None:
    writer = LineWriter()

    for each in sent:
        line = writer.line(each)
        assert len(line.splitlines()) == 1
        assert from_json(line) == ExportTraceServiceRequest.FromString(encode([each]))


@settings(deadline=None)
@given(any_span())
def test_the_same_span_gives_the_same_line_whatever_came_before(sent: Span) -> None:
    writer = LineWriter()
    writer.line(span(resource=OTHER_RESOURCE))

    assert writer.line(sent) == LineWriter().line(sent)


def test_a_line_is_spelled_as_otlp_json_wants_it() -> None:
    line = LineWriter().line(span(255, content="é"))

    assert line == (
        '{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"support"}}]},'
        '"scopeSpans":[{"scope":{"name":"otel_agent_events","version":"1"},"spans":[{'
        '"traceId":"000102030405060708090a0b0c0d0e0f","spanId":"00000000000000ff","flags":256,"name":"chat","kind":1,'
        '"startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000000500000000",'
        '"attributes":[{"key":"content","value":{"stringValue":"é"}}],"status":{}}],'
        '"schemaUrl":"https://opentelemetry.io/schemas/1.41.0"}]}]}\n'
    )


def from_json(line: str) -> ExportTraceServiceRequest:
    """Read a line with protobuf's own parser, which wants ids in base64."""
    told = json.loads(line)
    for each in told["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        for part in (each, *each.get("links", ())):
            for name in ("traceId", "spanId", "parentSpanId"):
                if name in part:
                    part[name] = base64.b64encode(bytes.fromhex(part[name])).decode()
    return json_format.ParseDict(told, ExportTraceServiceRequest())


def nothing() -> Encoded:
    return replace(encoded(spans(1)), spans=[], bodies=[])


def read(path: Path) -> list[tuple[bytes, bytes]]:
    return [ids_of(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def ids_of(line: dict[str, Any]) -> tuple[bytes, bytes]:
    (each,) = line["resourceSpans"][0]["scopeSpans"][0]["spans"]
    return bytes.fromhex(each["traceId"]), bytes.fromhex(each["spanId"])


# --- a file -------------------------------------------------------------------------------------------


def test_a_file_is_replaced_on_close_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "spans.otlp.jsonl"
    path.write_text("what was there before", encoding="utf-8")
    destination = FileDestination(path)

    destination.submit(encoded(spans(2)))
    destination.flush()
    assert path.read_text(encoding="utf-8") == "what was there before"

    destination.submit(encoded([span(3)]))
    destination.close()
    assert read(path) == ids(spans(3))
    assert list(tmp_path.iterdir()) == [path]
    assert destination.name == f"file:{path}"
    assert [(each.acknowledged, each.spans) for each in destination.outcomes()] == [(2, range(2)), (1, range(1))]
    assert destination.outcomes() == []


def test_closing_twice_and_abandoning_afterwards_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    destination = FileDestination(path)
    destination.submit(encoded(spans(1)))
    destination.close()

    destination.close()
    destination.abandon()

    assert read(path) == ids(spans(1))


def test_how_spans_are_submitted_does_not_change_the_bytes(tmp_path: Path) -> None:
    one, many = FileDestination(tmp_path / "one"), FileDestination(tmp_path / "many")

    one.submit(encoded(spans(3)))
    for each in spans(3):
        many.submit(encoded([each]))
        many.submit(nothing())
        many.flush()
    one.close()
    many.close()

    assert (tmp_path / "one").read_bytes() == (tmp_path / "many").read_bytes()


def test_no_spans_make_no_file_and_leave_the_one_that_was_there(tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    kept.write_text("before", encoding="utf-8")
    for path in (kept, tmp_path / "new.jsonl"):
        FileDestination(path).close()

    assert [each.name for each in tmp_path.iterdir()] == ["kept.jsonl"]
    assert kept.read_text(encoding="utf-8") == "before"


def test_what_a_terminal_would_obey_is_written_as_an_escape() -> None:
    odd = "a\x7f\x85\x9b2J\u200b\u202e\u2028\u2066\ufeffé日"

    line = LineWriter().line(span(content=odd))

    assert line.removesuffix("\n").isprintable()
    assert odd in json.dumps(json.loads(line), ensure_ascii=False)


def test_an_unbuffered_console_is_written_to_the_end(tmp_path: Path) -> None:
    class Short(io.FileIO):
        def write(self, data: Any) -> int:
            return super().write(bytes(data[:7]))

    with Short(tmp_path / "out", "w") as raw:
        destination = ConsoleDestination(io.TextIOWrapper(raw, encoding="utf-8", write_through=True))
        destination.submit(encoded(spans(2)))

    assert destination.outcomes()[0].acknowledged == 2
    assert len((tmp_path / "out").read_text(encoding="utf-8").splitlines()) == 2


def test_a_console_that_is_closed_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="standard output is closed"):
        ConsoleDestination(None)


def test_abandoning_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    kept.write_text("before", encoding="utf-8")
    for path in (kept, tmp_path / "new.jsonl"):
        destination = FileDestination(path)
        destination.submit(encoded(spans(1)))
        destination.abandon()

    assert list(tmp_path.iterdir()) == [kept]
    assert kept.read_text(encoding="utf-8") == "before"


def test_a_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    path.touch(mode=0o600)
    FileDestination(path).close()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "spans.jsonl")
    destination = FileDestination(tmp_path / "link")
    destination.submit(encoded(spans(1)))
    destination.close()

    assert (tmp_path / "link").is_symlink()
    assert read(tmp_path / "real" / "spans.jsonl") == ids(spans(1))


def test_a_file_whose_name_is_as_long_as_a_name_may_be(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    destination = FileDestination(path)
    destination.submit(encoded(spans(1)))
    destination.close()

    assert path.exists()


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("absent/spans.jsonl", "'absent/spans.jsonl' cannot be written: No such file or directory"),
        (".", "'.' cannot be written as a file: it is something else"),
        ("/dev/null", "'/dev/null' cannot be written as a file: it is something else"),
    ],
)
def test_a_file_that_cannot_be_written_is_told_at_once(
    where: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UsageError) as raised:
        FileDestination(where)

    assert str(raised.value) == words
    assert list(tmp_path.iterdir()) == []


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_on_a_full_disk_what_was_written_whole_stays_and_the_rest_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    destination = FileDestination(path)
    with room_for(1000):
        destination.submit(encoded(spans(1)))
        destination.submit(encoded([span(2), span(3, content="x" * 2000)]))
    assert isinstance(destination.failure, DestinationError)
    assert str(destination.failure) == f"file:{path} cannot be written any further: {os.strerror(errno.EFBIG)}"
    destination.submit(encoded([span(4)]))  # there is room again, and yet
    destination.close()

    assert read(path) == ids([span(1)])
    outcomes = destination.outcomes()
    assert [(each.acknowledged, each.lost) for each in outcomes] == [(1, 0), (0, 2), (0, 1)]
    assert outcomes[1].message == outcomes[2].message == str(destination.failure)


def test_a_disk_that_is_full_from_the_start_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    path.write_text("before", encoding="utf-8")
    destination = FileDestination(path)
    with room_for(10):
        destination.submit(encoded(spans(1)))
    destination.close()

    assert path.read_text(encoding="utf-8") == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_put_in_place_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    destination = FileDestination(path)
    destination.submit(encoded(spans(1)))
    (path / "in the way").mkdir(parents=True)

    with pytest.raises(DestinationError, match="cannot be put in place") as raised:
        destination.close()

    assert destination.failure is raised.value
    assert list(tmp_path.iterdir()) == [path]


# --- the console --------------------------------------------------------------------------------------


def test_the_console_gets_the_same_lines_as_a_file(tmp_path: Path) -> None:
    stream = io.StringIO()
    console, file = ConsoleDestination(stream), FileDestination(tmp_path / "spans.jsonl")
    for destination in (console, file):
        destination.submit(encoded(spans(2)))
        destination.submit(nothing())
        destination.flush()
        destination.close()
        destination.abandon()

    assert stream.getvalue() == (tmp_path / "spans.jsonl").read_text(encoding="utf-8")
    (outcome,) = console.outcomes()
    assert (outcome.destination, outcome.acknowledged, outcome.lost) == ("console", 2, 0)


def test_a_console_that_cannot_hold_a_character_gets_it_escaped() -> None:
    sent = [span(1, content="naïve 🎈"), span(2)]
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    console = ConsoleDestination(stream)

    console.submit(encoded(sent))

    lines = raw.getvalue().decode("ascii").splitlines()
    assert [from_json(line) for line in lines] == [
        ExportTraceServiceRequest.FromString(encode([each])) for each in sent
    ]
    assert console.failure is None
    stream.close()


def test_a_pipe_that_nobody_reads_is_a_failure_and_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w", encoding="utf-8")
    console = ConsoleDestination(stream)

    console.submit(encoded(spans(2)))
    console.submit(encoded([span(3)]))

    assert str(console.failure) == "nobody reads the console's output any more"
    assert [(each.acknowledged, each.lost, each.message) for each in console.outcomes()] == [
        (0, 2, str(console.failure)),
        (0, 1, str(console.failure)),
    ]
    with pytest.raises(BrokenPipeError):
        stream.close()  # what Python still holds of it


def test_a_stream_that_is_closed_is_a_failure() -> None:
    stream = io.StringIO()
    stream.close()
    console = ConsoleDestination(stream)

    console.submit(encoded(spans(1)))

    assert str(console.failure) == "the console cannot be written: I/O operation on closed file"
