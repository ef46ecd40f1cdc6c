from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agent_events.live.sse import EventStream

CASES = {
    "one event": (b"data: a\n\n", [b"a"]),
    "no space": (b"data:a\n\n", [b"a"]),
    "one space of two": (b"data:  a\n\n", [b" a"]),
    "several lines of data": (b"data: a\ndata: b\n\n", [b"a\nb"]),
    "carriage returns": (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
    "both": (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
    "mixed": (b"data: a\r\n\ndata: b\n\rdata: c\r\n\r", [b"a", b"b", b"c"]),
    "a mark of the byte order": (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
    "such a mark later on": (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [b"a"]),
    "only one such mark": (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
    "comments": (b": hello\ndata: a\n:\n\n: bye\n\n", [b"a"]),
    "other fields": (b"event: x\nid: 1\nretry: 3\ndata: a\nfoo: bar\n\n", [b"a"]),
    "other fields alone": (b"event: x\nid: 1\n\n", []),
    "a field without a colon": (b"data\n\n", [b""]),
    "two of them": (b"data\ndata\n\n", [b"\n"]),
    "empty data": (b"data:\n\n", [b""]),
    "a field that begins like it": (b"database: a\nData: b\n data: c\n\n", []),
    "colons in the data": (b"data: a: b:c\n\n", [b"a: b:c"]),
    "other ends of lines are none": (b"data: \x0b\x0c\xc2\x85\x1c\n\n", [b"\x0b\x0c\xc2\x85\x1c"]),
    "no blank line at the end": (b"data: a\n\ndata: b\n", [b"a", b"b"]),
    "no line at the end": (b"data: a\n\ndata: b", [b"a", b"b"]),
    "bytes that are no text": (b"data: \xff\xfe\x00\n\n", [b"\xff\xfe\x00"]),
    "nothing": (b"", []),
}  # fmt: skip


def parse(*chunks: bytes, most: int = 1 << 20) -> tuple[list[bytes], int]:
    stream = EventStream(most)
    found = [event for chunk in chunks for event in stream.feed(chunk)]
    return found + stream.end(), stream.dropped


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_the_rules_of_the_standard_hold_in_one_chunk_and_byte_by_byte(text: bytes, expected: list[bytes]) -> None:
    assert parse(text) == (expected, 0)
    assert parse(*(text[index : index + 1] for index in range(len(text)))) == (expected, 0)


def test_an_event_is_given_with_its_blank_line_and_not_later() -> None:
    stream = EventStream()

    assert stream.feed(b"data: a\r\n") == []
    assert stream.feed(b"\r") == [b"a"]
    assert stream.feed(b"\ndata: b\n\n") == [b"b"]


def test_an_event_that_is_too_large_is_dropped_and_counted_and_the_next_one_is_given() -> None:
    assert parse(b"data: 123456789\n\ndata: 1\n\n", most=10) == ([b"1"], 1)
    assert parse(b"data: 1234", b"5678", b"9", b"0" * 100, b"\ndata: x\n\ndata: 1\n\n", most=10) == ([b"1"], 1)
    assert parse(b"data: 1\ndata: 2\ndata: 3\ndata: 4\ndata: 5\ndata: 6\n\ndata: 1\n\n", most=10) == ([b"1"], 1)
    assert parse(b"data: " + b"1" * 100, most=10) == ([], 1)


def test_what_is_held_of_a_line_without_end_is_bounded() -> None:
    stream = EventStream(most=1000)
    for _ in range(1000):
        stream.feed(b"data: x" * 10)

    assert sum(map(len, stream._pieces)) + sum(map(len, stream._data)) < 1000
    assert (stream.end(), stream.dropped) == ([], 1)


def by_the_standard(text: bytes) -> list[bytes]:
    """Read a whole stream, as the standard words it."""
    lines = re.split(rb"\r\n|\n|\r", text.removeprefix(b"\xef\xbb\xbf"))
    found, data = [], b""
    for line in [*lines, b""]:
        if not line:
            if data:
                found.append(data[:-1])
            data = b""
        elif line == b"data":
            data += b"\n"
        elif line.startswith(b"data:"):
            value = line[5:]
            data += (value[1:] if value.startswith(b" ") else value) + b"\n"
    return found


words = (
    b"data",
    b"data:",
    b"data: ",
    b":",
    b" ",
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"event: x",
    b"\xef\xbb\xbf",
    b"\xbb",
    b"a",
)
pieces = st.sampled_from(words)
streams = st.lists(st.one_of(pieces, st.binary(max_size=4)), max_size=40).map(b"".join)


@given(streams, st.data(), st.sampled_from([1, 2, 3, 5, 8, 20, 1000]))
def test_how_a_stream_is_cut_makes_no_difference(text: bytes, data: st.DataObject, most: int) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=20)))
    chunks = [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    assert parse(*chunks, most=most) == parse(text, most=most)


@given(streams)
def test_every_stream_is_read_as_the_standard_words_it(text: bytes) -> None:
    assert parse(text) == (by_the_standard(text), 0)
