"""The same calls for programs that run on asyncio: `areplay`, `afetch`, `aconvert`, `arecord`.

Each does what its twin without the `a` does, with the same arguments, in a thread of its own, and the loop goes on
meanwhile. The loop's own threads are few, and are left to others: a replay may take hours. So as many calls run at once
as are awaited at once; a semaphore makes them fewer. Context variables are carried into the thread.

Who cancels one asks it to stop, as `Stop.ask` does, and the `CancelledError` comes when the thread is through, so that
nothing goes on behind the caller's back with what is closed by then. The thread reads no further, and waits for no
answer of a platform. What is on its way to a destination has five seconds to be acknowledged; what is not by then is
set aside when the destination answers, or its time-out is over. What cannot be called off is waited for: a connection
that is being made, the answer to a request of a client that was handed in, a read of standard input. Cancelled a second
time it waits for nothing, and the thread ends by itself as soon as it can.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeAlias, TypeVar

from otel_agent_events.converting import convert
from otel_agent_events.fetching import fetch
from otel_agent_events.pipeline import replay
from otel_agent_events.recording import record
from otel_agent_events.stopping import Stop

if TYPE_CHECKING:
    from otel_agent_events.converting import Trace
    from otel_agent_events.fetched import Fetched
    from otel_agent_events.recording import RecordingReport
    from otel_agent_events.report import Report

P = ParamSpec("P")
T = TypeVar("T")

_Async: TypeAlias = Callable[P, Coroutine[Any, Any, T]]

_CALLBACKS = ("told", "noted")


def _like(twin: Callable[P, T]) -> Callable[[_Async[..., T]], _Async[P, T]]:
    """Say that a function takes the arguments of its twin: to type checkers, and to whoever asks for its signature."""

    def declared(function: _Async[..., T]) -> _Async[P, T]:
        signature = inspect.signature(twin)
        function.__signature__ = signature  # type: ignore[attr-defined]
        return function

    return declared


@_like(replay)
async def areplay(*arguments: Any, **options: Any) -> Report:
    """Do what `replay` does, and leave the loop to others meanwhile.

    `told` and `noted` are called in the loop's thread, in order, and never after this has returned. When one of them
    raises, the replay is asked to stop, and the exception comes out here. Cancelled, it sets aside what is on its way,
    and they hear of it: see `otel_agent_events.aio`.
    """
    return await _apart(replay, arguments, options)


@_like(fetch)
async def afetch(*arguments: Any, **options: Any) -> Fetched:
    """Do what `fetch` does, and leave the loop to others meanwhile."""
    return await _apart(fetch, arguments, options)


@_like(convert)
async def aconvert(*arguments: Any, **options: Any) -> Trace:
    """Do what `convert` does, and leave the loop to others meanwhile: as much of it as Python's threads allow."""
    return await _apart(convert, arguments, options)


@_like(record)
async def arecord(*arguments: Any, **options: Any) -> RecordingReport:
    """Do what `record` does, and leave the loop to others meanwhile. Cancelled while it reads, it writes nothing."""
    return await _apart(record, arguments, options)


async def _apart(call: Callable[..., T], arguments: tuple[Any, ...], options: dict[str, Any]) -> T:
    """Make a call in a thread of its own, and wait for its end."""
    loop = asyncio.get_running_loop()
    stop: Stop = options.get("stop") or Stop()
    callbacks = _Callbacks(loop, stop)
    options = {**options, "stop": stop}
    for name in _CALLBACKS:
        if options.get(name) is not None:
            options[name] = callbacks.in_loop(options[name])
    outcome = _Outcome[T]()
    ended: asyncio.Future[None] = loop.create_future()
    context = contextvars.copy_context()

    def work() -> None:
        context.run(outcome.take, call, arguments, options)
        with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            loop.call_soon_threadsafe(_end, ended)

    thread = threading.Thread(target=work, name=f"otel-agent-events {call.__name__}", daemon=True)
    thread.start()
    cancelled: asyncio.CancelledError | None = None
    while not ended.done():
        try:
            await asyncio.wait([ended])  # which leaves it alone when this is cancelled
        except asyncio.CancelledError as error:
            stop.ask()
            if cancelled is not None:
                callbacks.over = True
                raise
            cancelled = error
    thread.join()  # it has nothing left to do
    if cancelled is not None:
        raise cancelled
    if callbacks.failure is not None:
        raise callbacks.failure
    return outcome.told()


class _Outcome(Generic[T]):
    """What came of a call: what it returned, or what it raised."""

    def __init__(self) -> None:
        self._returned: list[T] = []
        self._raised: BaseException | None = None

    def take(self, call: Callable[..., T], arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        """Make the call."""
        try:
            self._returned.append(call(*arguments, **options))
        except BaseException as error:  # noqa: BLE001 - it is raised where somebody waits for it
            self._raised = error

    def told(self) -> T:
        """Return or raise it."""
        if self._raised is not None:
            raise self._raised
        return self._returned[0]


class _Callbacks:
    """Callbacks that are called in the loop's thread, one after the other, whatever thread has something to tell.

    Args:
        stop: is asked when one of them raises.

    Attributes:
        failure: what the first one raised that did.
        over: nobody waits for the call any more, so none is called.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, stop: Stop) -> None:
        self._loop = loop
        self._stop = stop
        self.failure: Exception | None = None
        self.over = False

    def in_loop(self, told: Callable[[Any], object]) -> Callable[[Any], None]:
        """Give what is called in the thread."""

        def hand_over(what: object) -> None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._call, told, what)

        return hand_over

    def _call(self, told: Callable[[Any], object], what: object) -> None:
        if self.over or self.failure is not None:
            return
        try:
            told(what)
        except Exception as error:  # noqa: BLE001 - it is raised where somebody waits for the call
            self.failure = error
            self._stop.ask()


def _end(ended: asyncio.Future[None]) -> None:
    ended.set_result(None)
