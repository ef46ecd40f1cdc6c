from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otel_agent_events.otlp.aside import AsideFile, aside_file, default_path
from otel_agent_events.otlp.lines import read
from tests.otlp.bodies import HEAD, bodies, head

if TYPE_CHECKING:
    from collections.abc import Iterator


def kept(path: Path) -> list[bytes]:
    """Return the bodies in a file."""
    return [body for line in path.read_bytes().splitlines() for _, found in read(line) for body in found]


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


def test_the_file_is_made_when_the_first_spans_come_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "state" / "set-aside" / "left.otlp.jsonl"
    aside = AsideFile(path)
    aside.put(HEAD, [])
    assert list(tmp_path.iterdir()) == []

    aside.put(HEAD, bodies(2))
    aside.put(head("sales"), bodies(1, start=3))

    assert kept(path) == bodies(3)
    assert [read(line)[0][0] for line in path.read_bytes().splitlines()] == [HEAD, HEAD, head("sales")]
    assert (aside.count, aside.name) == (3, str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_what_was_there_before_stays_and_a_line_that_was_cut_short_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "left.jsonl"
    AsideFile(path).put(HEAD, bodies(2))
    path.write_bytes(path.read_bytes()[:-10])

    AsideFile(path).put(HEAD, bodies(1, start=3))

    first, cut, last = path.read_bytes().splitlines()
    assert read(first)[0][1] + read(last)[0][1] == [*bodies(1), *bodies(1, start=3)]
    assert cut.startswith(b'{"resourceSpans"')
    assert not cut.endswith(b"}]}")


def test_several_threads_keep_all_of_their_spans(tmp_path: Path) -> None:
    path = tmp_path / "left.jsonl"
    aside = AsideFile(path)

    def put(start: int) -> None:
        for number in range(start, start + 100, 10):
            aside.put(HEAD, bodies(10, start=number))

    threads = [threading.Thread(target=put, args=(start,)) for start in (1, 101, 201)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(kept(path)) == sorted(bodies(300))
    assert aside.count == 300


@pytest.mark.parametrize("room", [0, 10, 1000, 2500])
def test_on_a_full_disk_nothing_of_a_put_stays_and_a_later_one_may_succeed(room: int, tmp_path: Path) -> None:
    path = tmp_path / "left.jsonl"
    aside = AsideFile(path)
    aside.put(HEAD, bodies(1))
    with room_for(path.stat().st_size + room), pytest.raises(OSError, match="too large") as raised:
        aside.put(HEAD, bodies(20, start=2))
    assert raised.value.errno == errno.EFBIG
    assert (kept(path), aside.count) == (bodies(1), 1)

    aside.put(HEAD, bodies(1, start=30))

    assert kept(path) == [*bodies(1), *bodies(1, start=30)]
    assert aside.count == 2


def test_a_folder_that_cannot_be_made_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(OSError, match="exists"):
        AsideFile(tmp_path / "file" / "left.jsonl").put(HEAD, bodies(1))


def test_bytes_that_are_no_otlp_are_not_kept_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no OTLP"):
        AsideFile(tmp_path / "left.jsonl").put(HEAD, [*bodies(1), b"\x12\x05ab"])

    assert list(tmp_path.iterdir()) == []


def test_the_default_path_names_the_destination_the_time_and_the_process() -> None:
    path = default_path(Path("state"), "http://localhost:4318/v1/traces")

    assert path.parent == Path("state/set-aside")
    assert path.name.startswith("localhost-4318-v1-traces-2")
    assert path.name.endswith(f"Z-{os.getpid()}.otlp.jsonl")


@pytest.mark.parametrize("destination", ["", "//", "../..", "x" * 500, "ü"])
def test_the_default_path_is_one_name_in_the_folder_whatever_the_destination(destination: str, tmp_path: Path) -> None:
    path = default_path(tmp_path, destination)

    AsideFile(path).put(HEAD, bodies(1))

    assert kept(tmp_path / "set-aside" / path.name) == bodies(1)
    assert not path.name.startswith(".")


def test_what_is_set_aside_goes_where_it_was_asked_for_else_into_the_state_folder_else_nowhere() -> None:
    asked = aside_file("left.jsonl", Path("state"), "collector:4317")
    default = aside_file(None, Path("state"), "collector:4317")

    assert asked is not None
    assert asked.name == "left.jsonl"
    assert default is not None
    assert Path(default.name).parent == Path("state/set-aside")
    assert aside_file(None, None, "collector:4317") is None
