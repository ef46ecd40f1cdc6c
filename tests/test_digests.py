"""A running digest is that of all bytes so far, in whatever pieces and in whatever thread it is taken."""

from __future__ import annotations

from hashlib import sha256
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agent_events import digests
from otel_agent_events.digests import RunningDigest
from tests.native import native

if TYPE_CHECKING:
    from collections.abc import Callable


@given(st.lists(st.lists(st.binary(max_size=9), max_size=4)), st.integers(0, 20))
def test_what_was_told_of_a_place_stays_however_much_comes_after_it(runs: list[list[bytes]], worth: int) -> None:
    running, whole = RunningDigest(), b""
    told: list[tuple[Callable[[], str], str]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digests, "_WORTH", worth)
        for pieces in runs:
            whole += b"".join(pieces)
            told.append((running.update(pieces), sha256(whole).hexdigest()))

        assert running.hexdigest() == sha256(whole).hexdigest()
        assert [ask() for ask, _ in told] == [digest for _, digest in told]


def test_where_no_thread_can_be_had_the_digest_is_taken_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    running = RunningDigest()
    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", refuse)
        running.update([b"a" * 1_000_000])
    told = running.update([b"b" * 1_000_000])

    assert told() == running.hexdigest() == sha256(b"a" * 1_000_000 + b"b" * 1_000_000).hexdigest()


@given(st.lists(st.binary(max_size=20)))
def test_pieces_are_put_together_as_python_does_it(pieces: list[bytes]) -> None:
    assert native.joined(pieces) == b"".join(pieces)


def test_what_is_no_bytes_is_not_put_together() -> None:
    with pytest.raises(TypeError):
        native.joined([b"a", "b"])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        native.joined([None])  # type: ignore[list-item]
