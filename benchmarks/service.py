"""The example's service under load, with and without the hook: what is lost, what it costs, and whether memory grows.

python -m benchmarks.service            # about twenty minutes
python -m benchmarks.service --quick    # some seconds, to see that it works

Three processes take part, and a fourth makes the load: a stand-in for Vectara that streams, the service with the hook,
and the service without it. Both services are traced by OpenTelemetry's own instrumentation of FastAPI and httpx. Each
request is one turn: a message, a thought, a call with its result, an answer, and the usage of the context.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

EVENTS = ("user_message", "thinking", "execute_tool order_lookup", "agent_output", "context_consumed")
"""The spans of one turn, beside its own."""
STREAMS = 200
PAIRS = 5
MOST_RATIO = 1.1
PAUSES = 9
"""That the agent of the example makes in one turn."""
MOST_GROWTH = 1.1
"""Of the memory, from the turn at which the service is warm to the last one."""
WARM = 0.3
"""Of all turns, those after which it is."""


class BenchmarkError(Exception):
    """Something was lost, or went wrong in the service, or its memory grows."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done.

    Attributes:
        turns: under full load.
        streams: at once, then; half of it in the rounds.
        of_a_round: turns of one round.
        pause: seconds between two chunks of the agent.
        grows_no_more: the turns are so many that the service is warm before the last of them.
    """

    turns: int = 20_000
    streams: int = STREAMS
    of_a_round: int = 600
    pause: float = 0.5
    grows_no_more: bool = True


QUICK = Size(turns=400, of_a_round=100, pause=0.02, grows_no_more=False)


@contextlib.contextmanager
def served(*what: str, **environ: str) -> Iterator[int]:
    """Serve something in a process of its own; give its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.serving", *what],
        env={**os.environ, **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    if process.stdin is None or process.stdout is None:
        raise BenchmarkError("a process has no standard streams")
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(timeout=30)
        process.stdout.close()


def counted(port: int) -> dict[str, Any]:
    """Ask a service what it has counted."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/counted", timeout=30) as answer:
        told: dict[str, Any] = json.load(answer)
    return told


async def _ask(port: int, session: str) -> float:
    """Make one request, read its answer to the end, and give the seconds that it took."""
    body = json.dumps({"session": session, "text": "Where is order 5512?"}).encode()
    head = (
        f"POST /chat HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    begun = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode() + body)
    answer = await reader.read(-1)
    took = time.perf_counter() - begun
    writer.close()
    if not answer.startswith(b"HTTP/1.1 200") or b"tomorrow." not in answer or not answer.endswith(b"0\r\n\r\n"):
        raise BenchmarkError(f"the service answered {answer[:200]!r}")
    return took


async def _load(
    port: int, turns: int, streams: int, *, name: str, seen: list[tuple[int, int]] | None, spread: float
) -> list[float]:
    took: list[float] = []
    left = iter(range(turns))

    async def one_after_the_other(number: int) -> None:
        await asyncio.sleep(number / streams * spread)  # users ask when they will, and not all at once
        for turn in left:
            took.append(await _ask(port, f"{name}-{turn % 1000}"))
            if seen is not None and len(took) % max(1, turns // 10) == 0:
                told = await asyncio.to_thread(counted, port)
                seen.append((len(took), told["bytes"]))

    await asyncio.gather(*map(one_after_the_other, range(streams)))
    return took


def load(
    port: int, turns: int, streams: int, name: str, seen: list[tuple[int, int]] | None = None, *, spread: float = 1.0
) -> list[float]:
    """Load a service; give the seconds of each request.

    Args:
        port: of the service.
        turns: how many requests.
        streams: how many of them at once.
        name: of the sessions.
        seen: takes how many turns there were, and the bytes that the service had then.
        spread: seconds over which the streams begin.
    """
    return asyncio.run(_load(port, turns, streams, name=name, seen=seen, spread=spread))


def p99(took: Sequence[float]) -> float:
    """Give the time below which 99 of 100 requests stay."""
    return statistics.quantiles(took, n=100)[98]


def check_memory(seen: Sequence[tuple[int, int]], turns: int) -> None:
    """Hold the memory at the end against that of the warm service: what grows with every turn has no end.

    Args:
        seen: after how many turns there were how many bytes, in this order.
        turns: how many there were in all.

    Raises:
        BenchmarkError: it grows.
    """
    warm = next(((count, at) for count, at in seen if count >= WARM * turns), None)
    if warm is None or warm == seen[-1]:
        raise BenchmarkError(f"the memory of the warm service was not measured: {list(seen)}")
    growth = seen[-1][1] / warm[1]
    if growth > MOST_GROWTH:
        raise BenchmarkError(
            f"the memory grows: {warm[1] / 1e6:.0f} MB after {warm[0]} turns, {seen[-1][1] / 1e6:.0f} MB after "
            f"{seen[-1][0]}: {growth:.2f} of that (at most {MOST_GROWTH})"
        )


def under_full_load(port: int, size: Size) -> None:
    """Load the service with the hook with all streams, and hold it against what must have come of it.

    Raises:
        BenchmarkError: something else came of it, or its memory grows.
    """
    seen: list[tuple[int, int]] = []
    before = counted(port)["spans"]
    begun = time.monotonic()
    load(port, size.turns, size.streams, "full", seen)
    seconds = time.monotonic() - begun
    told = counted(port)
    wanted = dict.fromkeys((*EVENTS, "invoke_agent support"), size.turns)
    found = {name: told["spans"].get(name, 0) - before.get(name, 0) for name in wanted}
    if found != wanted or told["errors"] or told["lost"]:
        raise BenchmarkError(f"of {size.turns} turns came {found}; lost {told['lost']}; errors {told['errors']}")
    print(
        f"{size.turns} turns, {size.streams} streams at once: {size.turns / seconds:.0f} turns/s, "
        f"{size.turns * len(EVENTS)} events on as many spans, nothing lost, no error in the service"
    )
    print("memory: " + ", ".join(f"{count} turns {at / 1e6:.0f} MB" for count, at in seen))
    if size.grows_no_more:
        check_memory(seen, size.turns)


def rounds(ports: dict[str, int], size: Size) -> float:
    """Let both services take turns at half of the load; give the median of the paired ratios of their p99."""
    ratios: list[float] = []
    costs: dict[str, list[float]] = {name: [] for name in ports}
    for pair in range(PAIRS):
        found: dict[str, float] = {}
        # Who goes first changes, so that what grows over time is nobody's.
        for name in list(ports) if pair % 2 else list(reversed(ports)):
            before = counted(ports[name])["cpu"]
            took = load(ports[name], size.of_a_round, size.streams // 2, f"round-{pair}", spread=PAUSES * size.pause)
            found[name] = p99(took)
            costs[name].append((counted(ports[name])["cpu"] - before) / size.of_a_round)
        ratios.append(found["with"] / found["without"])
        print(f"pair {pair + 1}: p99 {found['with']:.3f} s with, {found['without']:.3f} s without: {ratios[-1]:.3f}")
    cpu = {name: statistics.median(each) * 1e3 for name, each in costs.items()}
    print(f"CPU of the service: {cpu['with']:.2f} ms a request with, {cpu['without']:.2f} ms without")
    return statistics.median(ratios)


def main() -> int:
    """Run all of it; give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--only", choices=["load", "rounds"], help="one of the two parts")
    options = parser.parse_args()
    quick = options.quick
    size = QUICK if quick else Size()
    with (
        served("agent", AGENT_PAUSE=str(size.pause)) as agent,
        served("service", "--hook", VECTARA_BASE_URL=f"http://127.0.0.1:{agent}") as hooked,
        served("service", VECTARA_BASE_URL=f"http://127.0.0.1:{agent}") as plain,
    ):
        try:
            for port in (plain, hooked):
                load(port, size.streams, size.streams, "warm")
            if options.only != "rounds":
                under_full_load(hooked, size)
            if options.only == "load":
                return 0
            ratio = rounds({"with": hooked, "without": plain}, size)
        except (BenchmarkError, OSError) as error:
            print(error, file=sys.stderr)
            return 1
    print(f"median of {PAIRS} paired ratios of p99: {ratio:.3f} (at most {MOST_RATIO})")
    return 0 if quick or ratio <= MOST_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
