"""A large file is read line by line, and gives what it gives when all of it is in memory."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agent_events import replay, sources
from otel_agent_events.errors import ReadError
from otel_agent_events.fetchers import lines, saved
from otel_agent_events.fetchers.lines import LargeFile
from otel_agent_events.fetchers.vectara_pages import UsualPage, _first_session
from tests.generate import Generated

if TYPE_CHECKING:
    from otel_agent_events.report import SessionReport

SESSION = "vectara:big/generated"


def page(*ids: str, **more: Any) -> bytes:
    records = [
        {
            "id": each,
            "session_key": "generated",
            "type": "thinking",
            "created_at": "2026-01-01T00:00:00Z",
            "content": "a",
        }
        for each in ids
    ]
    return json.dumps({"events": records, **more}).encode()


def replayed(path: Path, *, large: bool, monkeypatch: pytest.MonkeyPatch) -> tuple[SessionReport, bytes]:
    """Replay a file into another one, kept in memory or read line by line; give the report and the trace."""
    target = path.parent / "trace.otlp.jsonl"
    monkeypatch.setattr(sources, "LARGE", 0 if large else 1 << 60)
    report = replay([path], to=[f"file:{target}"], session=SESSION, content="full", ledger="off")
    (session,) = report.sessions
    return session, target.read_bytes() if target.exists() else b""


@given(
    st.lists(st.binary(max_size=30).map(lambda each: each.replace(b"\n", b"")), max_size=12),
    st.sampled_from([b"", b"\n"]),
)
def test_lines_are_those_of_the_file_and_can_be_read_once_more(
    tmp_path_factory: Any, given: list[bytes], end: bytes
) -> None:
    path = tmp_path_factory.mktemp("lines") / "file"
    path.write_bytes(b"\n".join(given) + end)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "_PIECE", 8)
        file = LargeFile(path, "file")
        found = [(bytes(line), again) for line, again in file.lines()]

    told = path.read_bytes().split(b"\n")
    assert [line for line, _ in found] == (told[:-1] if told[-1] == b"" else told)
    for line, again in reversed(found):
        assert again is not None
        assert bytes(again()) == line
    assert file.whole() == path.read_bytes()


@pytest.mark.parametrize("strange", [None, b'{"events":[]}', b" ", page("x", more=1)])
def test_a_session_is_the_same_bytes_whether_its_file_is_kept_or_read_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strange: bytes | None
) -> None:
    path = tmp_path / "pages.jsonl"
    pages = [json.dumps(each).encode() for each in Generated(events=700).pages]
    path.write_bytes(b"\n".join([*pages[:3], *([] if strange is None else [strange]), *pages[3:]]))

    kept = replayed(path, large=False, monkeypatch=monkeypatch)
    by_line = replayed(path, large=True, monkeypatch=monkeypatch)

    assert kept == by_line
    assert kept[0].error is None
    assert kept[0].events >= 700


def test_only_the_beginning_of_a_page_is_looked_at_until_its_records_are_wanted(tmp_path: Path) -> None:
    path = tmp_path / "pages.jsonl"
    path.write_bytes(page("a", metadata={"page_key": "next"}) + b"\n" + page("b"))

    (found,) = saved.load(LargeFile(path, "pages.jsonl"), "pages.jsonl")

    first, second = (answer.body for answer in found.answers)
    assert isinstance(first, UsualPage)
    assert (first.session, first.around) == ("generated", {})
    assert first.look()
    assert first.around == {"metadata": {"page_key": "next"}}
    assert first.read("generated", {}) is not None
    assert second.parsed() == json.loads(page("b"))


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (page("x", "y")[:-20], "cut off"),
        (page("x", "y")[:-20] + b"\xff", "UTF-8"),
        (page("x", "y").replace(b'"y"', b"y"), "Expecting value"),
    ],
    ids=["cut off", "no text", "no JSON"],
)
def test_a_broken_page_of_a_large_file_costs_nothing_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bytes, told: str
) -> None:
    path = tmp_path / "pages.jsonl"
    path.write_bytes(page("a", "b") + b"\n" + broken + b"\n" + page("c"))

    session, _ = replayed(path, large=True, monkeypatch=monkeypatch)

    assert "answer 2 of" in str(session.error)
    assert told in str(session.error)
    assert (session.events, session.made) == (3, 4)


def test_several_pages_on_one_line_of_a_large_file_are_all_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pages.jsonl"
    path.write_bytes(page("a") + b"\n" + page("b") + page("c") + b"\n" + page("d"))

    kept = replayed(path, large=False, monkeypatch=monkeypatch)
    by_line = replayed(path, large=True, monkeypatch=monkeypatch)

    assert kept == by_line
    assert (kept[0].error, kept[0].events) == (None, 4)


@pytest.mark.parametrize("levels", [150, 5_000])
def test_a_record_that_is_nested_deeply_is_read_or_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, levels: int
) -> None:
    path = tmp_path / "pages.jsonl"
    deep = page("x").replace(b'"content": "a"', b'"content": ' + b"[" * levels + b"]" * levels)
    path.write_bytes(page("a") + b"\n" + deep + b"\n" + page("c"))

    kept = replayed(path, large=False, monkeypatch=monkeypatch)
    by_line = replayed(path, large=True, monkeypatch=monkeypatch)

    assert (by_line[0].error is None) == (kept[0].error is None) == (levels == 150)
    assert by_line[0].events >= kept[0].events


def test_a_long_text_that_is_cut_off_is_looked_through_once() -> None:
    inner = json.dumps([{"a": "b"}] * 40_000)
    text = page("x").replace(b'"content": "a"', b'"content": ' + json.dumps(inner).encode())[:-60]

    assert len(text) > 500_000
    assert _first_session(text) == ""  # which took minutes, when each quote in it was tried


def test_a_file_that_cannot_be_read_any_more_is_told(tmp_path: Path) -> None:
    path = tmp_path / "pages.jsonl"
    path.write_bytes(page("a"))
    file = LargeFile(path, "pages.jsonl")
    ((_, again),) = list(file.lines())
    assert again is not None
    file._file = _Broken()  # type: ignore[assignment]

    with pytest.raises(ReadError, match=r"^pages\.jsonl cannot be read: Input/output error$"):
        again()


class _Broken:
    def seek(self, _: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_file_that_becomes_shorter_while_it_is_read_costs_what_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "pages.jsonl"
    path.write_bytes(page("a") + b"\n" + page("b"))
    (found,) = saved.load(LargeFile(path, "pages.jsonl"), "pages.jsonl")

    os.truncate(path, len(page("a")) + 9)

    assert found.answers[0].body.look()
    with pytest.raises(ReadError, match=r"pages\.jsonl has become shorter while it was read"):
        found.answers[1].body.look()


def test_a_file_of_a_windows_shell_is_read_however_large_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pages.jsonl"
    path.write_bytes((page("a") + b"\r\n" + page("b") + b"\r\n").decode().encode("utf-16"))

    session, _ = replayed(path, large=True, monkeypatch=monkeypatch)

    assert (session.error, session.events) == (None, 2)


def test_a_file_is_closed_when_nothing_of_it_is_wanted_any_more(tmp_path: Path) -> None:
    path = tmp_path / "pages.jsonl"
    path.write_bytes(page("a"))
    found = saved.load(LargeFile(path, "pages.jsonl"), "pages.jsonl")
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))

    del found

    assert len(list(descriptors.iterdir())) == before - 1
