"""What was lost is counted by its reason, and said once a minute at most."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
from typing import TYPE_CHECKING

import httpx
import pytest

from otel_agent_events.errors import ReadError
from otel_agent_events.live import losses as module
from otel_agent_events.live.losses import LOGGER, PAUSE, Losses, after_fork, words_of
from otel_agent_events.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterator


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_losses_are_counted_by_their_reason() -> None:
    losses = Losses("Recorder")

    losses.count(2, "records: odd")
    losses.count(1, "spans: odd")
    losses.count(3, "records: odd")
    losses.count(0, "nothing")

    assert losses.counts == {"records: odd": 5, "spans: odd": 1}
    assert losses.total == 6


def test_what_is_given_of_the_counts_is_not_the_counts_themselves() -> None:
    losses = Losses("Recorder")
    losses.count(1, "odd")

    losses.counts.clear()

    assert losses.counts == {"odd": 1}


def test_the_first_loss_is_said_at_once_and_the_others_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    losses = Losses("Recorder", clock)

    losses.count(1, "odd")
    for _ in range(100):
        clock.now += 0.5
        losses.count(1, "odd")
    assert len(caplog.records) == 1
    clock.now = 1000.0 + PAUSE
    losses.count(1, "even")

    assert [record.getMessage() for record in caplog.records] == [
        "Recorder could not record everything. Not recorded: 1 odd",
        "Recorder could not record everything. Not recorded: 100 odd; 1 even",
    ]
    assert {record.name for record in caplog.records} == {"otel_agent_events"}
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_at_the_end_what_was_not_said_yet_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    losses = Losses("Recorder", Clock())
    losses.count(1, "odd")
    losses.count(1, "odd")

    losses.tell()
    losses.tell()

    assert len(caplog.records) == 2


def test_reasons_are_bounded_and_no_loss_goes_uncounted() -> None:
    losses = Losses("Recorder", Clock())

    for number in range(1000):
        losses.count(1, f"reason {number}")
    losses.count(1, "reason 0")

    assert len(losses.counts) == 51
    assert losses.counts["for other reasons"] == 950
    assert losses.counts["reason 0"] == 2
    assert losses.total == 1001


def test_a_handler_of_the_host_that_raises_hurts_nobody() -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ZeroDivisionError(record.name)

    handler = Broken()
    LOGGER.addHandler(handler)
    try:
        losses = Losses("Recorder")
        losses.count(1, "odd")
        losses.count(1, "odd")
        losses.tell()
    finally:
        LOGGER.removeHandler(handler)

    assert losses.counts == {"odd": 2}


def test_a_handler_that_loses_something_itself_does_not_wait_for_ever() -> None:
    losses = Losses("Recorder", Clock())

    class Losing(logging.Handler):
        def emit(self, _: logging.LogRecord) -> None:
            losses.count(1, "in a handler")

    handler = Losing()
    LOGGER.addHandler(handler)
    try:
        losses.count(1, "odd")
    finally:
        LOGGER.removeHandler(handler)

    assert losses.counts == {"odd": 1, "in a handler": 1}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ReadError("vectara:desk/s%201: an answer holds no list of events"), "an answer holds no list of events"),
        (ReadError("vectara:desk/s2: an answer"), "vectara:desk/s2: an answer"),
        (ReadError(f"odd:\n{'x' * 400}"), f"odd: {'x' * 294}…"),
        (KeyError("s3cret"), "KeyError"),
        (httpx.ConnectError("s3cret"), "httpx.ConnectError"),
    ],
)
def test_a_reason_names_neither_the_session_nor_what_others_say(error: Exception, words: str) -> None:
    assert words_of(error, Reference("vectara", ("desk", "s 1"))) == words


@pytest.fixture
def _handled() -> Iterator[None]:
    before = signal.getsignal(signal.SIGUSR1)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("_handled")
def test_a_signal_handler_may_count_while_its_thread_is_counting() -> None:
    told = threading.Event()

    class Signalled(Clock):
        def __call__(self) -> float:  # asked while the lock is held
            if not told.is_set():
                told.set()
                signal.raise_signal(signal.SIGUSR1)
            return 1.0

    losses = Losses("Recorder", Signalled())
    signal.signal(signal.SIGUSR1, lambda *_: losses.count(1, "in a handler"))
    losses.count(1, "odd")

    assert told.is_set()
    assert losses.counts == {"odd": 1, "in a handler": 1}


def test_many_threads_lose_nothing_of_what_is_lost() -> None:
    losses = Losses("Recorder")

    def lose() -> None:
        for _ in range(500):
            losses.count(1, "odd")

    threads = [threading.Thread(target=lose) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert losses.counts == {"odd": 4000}


# --- forks --------------------------------------------------------------------------------------------


def in_a_child(losses: Losses) -> str:
    """Fork while another thread holds the lock; give what the child says of its losses."""
    reading, writing = os.pipe()
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with losses._lock:
            held.set()
            free.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    child = os.fork()
    if not child:
        signal.alarm(20)  # a child that waits for a lock for ever is ended
        losses.count(1, "in the child")
        os.write(writing, repr(losses.counts).encode())
        os._exit(0)
    free.set()
    thread.join()
    os.close(writing)
    with os.fdopen(reading) as told:
        said = told.read()
    assert os.waitpid(child, 0)[1] == 0
    return said


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # that it has several threads is the point
def test_a_child_counts_anew_and_waits_for_no_lock_of_its_parent() -> None:
    losses = Losses("Recorder")
    losses.count(1, "in the parent")

    assert in_a_child(losses) == "{'in the child': 1}"
    assert losses.counts == {"in the parent": 1}


def test_what_is_called_after_a_fork_keeps_nothing_alive() -> None:
    class Called:
        def forked(self) -> None:
            """Do nothing."""

    def those_called() -> int:
        return sum(isinstance(getattr(kept(), "__self__", None), Called) for kept in module._AFTER_FORK)

    kept = [Called() for _ in range(10)]
    for each in kept:
        after_fork(each.forked)
    assert those_called() == 10

    kept.clear()
    del each
    gc.collect()
    assert those_called() == 0
    last = Losses("Recorder")

    assert all(called() is not None for called in module._AFTER_FORK)
    assert last.total == 0
