"""`areplay`, `afetch`, `aconvert`, `arecord`: the same calls, in threads of their own, beside a loop that goes on."""

from __future__ import annotations

import asyncio
import inspect
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_events import (
    FetchError,
    SessionError,
    Stop,
    UsageError,
    aconvert,
    afetch,
    arecord,
    areplay,
    convert,
    fetch,
    record,
    replay,
    stopping,
)
from otel_agent_events.events import Thinking
from otel_agent_events.testing import LoopbackPlatform, Reply
from tests.otlp.collectors import HttpReply, http_collector
from tests.reruns import KEY, SESSION, doubled, recorded, run, url_of
from tests.traces import DATA

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from otel_agent_events.events import Event
    from otel_agent_events.report import SessionReport

pytestmark = pytest.mark.usefixtures("here")

DOCUMENTED = DATA / "vectara" / "documented.json"
PATH = recorded().answers[0].path
TWINS: dict[Callable[..., Awaitable[object]], Callable[..., object]] = {
    areplay: replay,
    afetch: fetch,
    aconvert: convert,
    arecord: record,
}
PATIENCE = 20
"""Seconds after which a test fails that should be through long before; what is waited for in vain takes a minute."""


@pytest.fixture
def platform() -> Iterator[LoopbackPlatform]:
    with LoopbackPlatform([recorded()], headers={"x-api-key": KEY}) as platform:
        yield platform


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert ours() == []


def ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("otel-agent-events ")]


def reached(platform: LoopbackPlatform) -> dict[str, Any]:
    return {"base_url": platform.base_url, "environ": {"VECTARA_API_KEY": KEY}}


def asked(platform: LoopbackPlatform) -> int:
    """Count the requests for the events of the session; there are others before them."""
    return sum(each.partition(" ")[2].partition("?")[0] == PATH for each in platform.asked)


async def until(happened: Callable[[], object]) -> None:
    """Wait until something has happened; the loop goes round meanwhile."""
    async with asyncio.timeout(PATIENCE):
        while not happened():  # noqa: ASYNC110 - it happens elsewhere, and no event tells of it
            await asyncio.sleep(0.01)


async def cancelled(task: asyncio.Task[Any]) -> None:
    """Cancel a task, and wait for its end."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(PATIENCE):
            await task


# --- the same -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.__name__)
def test_a_twin_takes_what_its_twin_takes_and_says_so(twin: Callable[..., Awaitable[object]]) -> None:
    sync = TWINS[twin]

    assert inspect.signature(twin) == inspect.signature(sync)
    assert inspect.iscoroutinefunction(twin)
    assert f"`{sync.__name__}`" in (twin.__doc__ or "")


def test_a_session_is_replayed_as_without_the_loop(here: Path) -> None:
    report = asyncio.run(areplay([DOCUMENTED], to=["file:async"], turns=True, environ={}))
    expected = replay([DOCUMENTED], to=["file:sync"], turns=True, environ={})

    assert report.sessions[0].trace_id == expected.sessions[0].trace_id
    assert (here / "async").read_bytes() == (here / "sync").read_bytes()


def test_a_session_is_fetched_and_converted_as_without_the_loop(platform: LoopbackPlatform) -> None:
    async def main() -> object:
        fetched = await afetch(SESSION, **reached(platform))
        return fetched, await aconvert(fetched, environ={}, content="full")

    fetched = fetch(SESSION, **reached(platform))

    assert asyncio.run(main()) == (fetched, convert(fetched, environ={}, content="full"))


def test_a_session_is_recorded_as_without_the_loop(platform: LoopbackPlatform, here: Path) -> None:
    report = asyncio.run(arecord(SESSION, "async.json", **reached(platform)))

    assert report == record(SESSION, "sync.json", **reached(platform))
    assert (here / "async.json").read_bytes() == (here / "sync.json").read_bytes()


def test_what_its_twin_raises_is_raised_where_it_is_awaited(platform: LoopbackPlatform) -> None:
    with pytest.raises(UsageError, match="no session was named"):
        asyncio.run(areplay([]))
    with pytest.raises(FetchError, match="answered 404"):
        asyncio.run(afetch("vectara:big/two", **reached(platform)))
    with pytest.raises(TypeError, match="odd"):
        asyncio.run(afetch(SESSION, odd=1))  # type: ignore[call-arg]


# --- beside a loop that goes on -----------------------------------------------------------------------


def test_the_loop_goes_on_while_a_collector_is_waited_for(platform: LoopbackPlatform, here: Path) -> None:
    # The collector answers when the loop says so: one that does not go on waits for it forever.
    may_answer = threading.Event()

    def answer(_: object) -> HttpReply | None:
        return None if may_answer.wait(PATIENCE) else HttpReply(status=400)

    async def main(endpoint: str) -> int:
        task = asyncio.create_task(areplay([SESSION], endpoint=endpoint, ledger=url_of(here), **reached(platform)))
        await until(lambda: collector.requests)
        assert not task.done()
        may_answer.set()
        return (await task).totals.acknowledged

    with http_collector(answer=answer) as collector:
        acknowledged = asyncio.run(main(collector.url))

    assert acknowledged == len(collector.ids) > 0


def test_more_run_at_once_than_the_loop_has_threads_and_those_are_free(platform: LoopbackPlatform) -> None:
    calls = 40  # the loop has 32 threads at most
    platform.faults[PATH].extend([Reply(delay=60)] * calls)

    async def main() -> str:
        tasks = [asyncio.create_task(afetch(SESSION, **reached(platform))) for _ in range(calls)]
        await until(lambda: asked(platform) == calls)
        free = await asyncio.to_thread(lambda: "free")
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)
        return free

    assert asyncio.run(main()) == "free"


def test_callbacks_are_called_in_the_thread_of_the_loop_and_before_the_end(platform: LoopbackPlatform) -> None:
    told: list[tuple[object, threading.Thread]] = []

    def hear(what: object) -> None:
        told.append((what, threading.current_thread()))

    async def main(endpoint: str) -> object:
        report = await areplay(
            [SESSION, "vectara:big/two"],
            endpoint=endpoint,
            ledger="off",
            told=hear,
            noted=hear,
            **{**reached(platform), "environ": {"VECTARA_API_KEY": KEY, "OTEL_TRACES_SAMPLER": "always_on"}},
        )
        return report.notes, report.sessions, len(told)

    with http_collector() as collector:
        notes, sessions, count = asyncio.run(main(collector.url))  # type: ignore[misc]

    assert [what for what, _ in told] == [*notes, *sessions]  # type: ignore[has-type]
    assert count == 3  # type: ignore[has-type]
    assert {thread for _, thread in told} == {threading.current_thread()}


def test_a_callback_that_raises_stops_the_replay_and_is_heard_of(platform: LoopbackPlatform) -> None:
    def hear(_: SessionReport) -> None:
        raise ZeroDivisionError

    platform.faults["/v2/agents/big/sessions/two/events"].append(Reply(delay=60))

    async def main() -> None:
        async with asyncio.timeout(PATIENCE):
            await areplay([SESSION, "vectara:big/two"], to=["file:out"], told=hear, **reached(platform))

    with pytest.raises(ZeroDivisionError):
        asyncio.run(main())


def test_context_variables_are_carried_into_the_thread() -> None:
    tenant = ContextVar[str]("tenant")

    def events() -> Iterator[Event]:
        assert threading.current_thread() is not threading.main_thread()
        yield Thinking(key="1", text=tenant.get())

    async def main() -> str:
        tenant.set("acme")
        return "".join((await aconvert(events(), session="x:a", environ={})).otlp_json())

    assert "acme" in asyncio.run(main())


# --- to cancel it -------------------------------------------------------------------------------------

CALLS: dict[str, Callable[..., Any]] = {
    "areplay": lambda **options: areplay([SESSION], to=["file:out"], **options),
    "afetch": lambda **options: afetch(SESSION, **options),
    "arecord": lambda **options: arecord(SESSION, "out", **options),
}
REPLIES = {
    "silent": Reply(delay=60),
    "busy": Reply(status=503, headers={"Retry-After": "50"}),
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_cancelled_while_a_platform_is_waited_for_it_ends_and_leaves_nothing(
    call: Callable[..., Any], reply: Reply, platform: LoopbackPlatform, here: Path
) -> None:
    platform.faults[PATH].append(reply)

    async def main() -> None:
        task = asyncio.create_task(call(**reached(platform)))
        await until(lambda: asked(platform))
        await cancelled(task)
        assert ours() == []

    asyncio.run(main())

    assert list(here.iterdir()) == []
    assert asked(platform) == 1


def test_cancelled_by_a_time_out_it_is_a_time_out(platform: LoopbackPlatform) -> None:
    platform.faults[PATH].append(Reply(delay=60))

    async def main() -> None:
        async with asyncio.timeout(0.2):
            await afetch(SESSION, **reached(platform))

    with pytest.raises(TimeoutError):
        asyncio.run(main())


def test_cancelled_while_a_collector_is_away_what_is_on_its_way_is_set_aside_and_told_and_sent_by_the_next(
    platform: LoopbackPlatform, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "GRACE", 0.1)
    away = threading.Event()
    told: list[SessionReport] = []

    async def main(endpoint: str) -> None:
        options: dict[str, Any] = {"endpoint": endpoint, "ledger": url_of(here), "set_aside": here / "left.jsonl"}
        task = asyncio.create_task(areplay([SESSION], told=told.append, **options, **reached(platform)))
        await until(lambda: len(collector.requests) > 1)
        await cancelled(task)

    with http_collector(answer=lambda _: None if away.is_set() else HttpReply(status=503)) as collector:
        asyncio.run(main(collector.url))
        (session,) = told
        away.set()
        second = run(platform, collector, here)

    assert session.set_aside == session.made > 0
    assert (here / "left.jsonl").exists()
    assert second.totals.acknowledged == len(collector.ids) == session.made
    assert doubled(collector) == 0


def test_cancelled_twice_it_waits_for_nothing_and_nobody_is_told(platform: LoopbackPlatform, here: Path) -> None:
    may_answer = threading.Event()
    told: list[object] = []

    def answer(_: object) -> HttpReply:
        may_answer.wait(PATIENCE)
        return HttpReply(status=503)

    async def main(endpoint: str) -> None:
        options: dict[str, Any] = {"endpoint": endpoint, "ledger": "off", "set_aside": here / "left.jsonl"}
        task = asyncio.create_task(
            areplay([SESSION], told=told.append, noted=told.append, **options, **reached(platform))
        )
        await until(lambda: collector.requests)
        told.clear()
        task.cancel()
        await asyncio.sleep(0.1)
        assert not task.done()  # the first time it waits for the thread
        await cancelled(task)
        (thread,) = ours()
        may_answer.set()
        await until(lambda: not thread.is_alive())
        await asyncio.sleep(0)

    with http_collector(answer=answer) as collector:
        asyncio.run(main(collector.url))

    assert told == []
    assert (here / "left.jsonl").exists()


def test_cancelled_it_waits_for_what_cannot_be_called_off() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def events() -> Iterator[Event]:
        begun.set()
        may_end.wait(PATIENCE)
        yield Thinking(key="1")

    async def main() -> None:
        task = asyncio.create_task(aconvert(events(), session="x:a", environ={}))
        await until(begun.is_set)
        task.cancel()
        await asyncio.sleep(0.1)
        assert not task.done()
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_a_stop_of_the_callers_own_ends_it_with_a_report(platform: LoopbackPlatform) -> None:
    platform.faults[PATH].append(Reply(delay=60))
    stop = Stop()

    async def main() -> bool:
        task = asyncio.create_task(areplay([SESSION], to=["file:out"], stop=stop, **reached(platform)))
        await until(lambda: asked(platform))
        stop.ask()
        async with asyncio.timeout(PATIENCE):
            return (await task).stopped

    assert asyncio.run(main())
    with pytest.raises(SessionError, match="stopped while it was converted"):
        asyncio.run(aconvert([], session="x:a", environ={}, stop=stop))


def test_a_loop_that_ends_waits_for_what_nobody_awaits(platform: LoopbackPlatform) -> None:
    platform.faults[PATH].append(Reply(delay=60))
    tasks: list[asyncio.Task[Any]] = []

    async def main() -> None:
        tasks.append(asyncio.create_task(afetch(SESSION, **reached(platform))))
        await until(lambda: asked(platform))

    asyncio.run(main())

    assert tasks[0].cancelled()
