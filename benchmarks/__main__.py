"""Speed of the public path: JSON pages in, acknowledged OTLP out, against the usual script and against the floor.

The contestants are (a) the usual script, flushed so that it loses nothing; (b) the same without flushing; (c) the SDK's
`ReadableSpan` and the official exporter; (d) the floor, which nobody can go below; and ours, `replay`. Each runs in a
process of its own for every round, and they take turns. docs/performance.md says how to read what is printed.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import floor, pages, replay, start
from benchmarks.collector import Collector
from benchmarks.rounds import BenchmarkError, Case, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.contestant import Protocol
    from benchmarks.pages import Written
    from benchmarks.rounds import Round

CONTENTS = {"small": 500, "big": 5_000}
DELAY = 0.05

_WARM = pages.Shape(events=100, content=500, session="warm")
_NAMES = {
    "ours": "ours",
    "a": "(a) usual script",
    "b": "(b) without flushing",
    "c": "(c) ReadableSpan",
    "d": "(d) floor",
}
_HEAD = ("content", "protocol", "answers", "way", "µs a span", "CPU µs", "times (a)", "of (d)", "peak MB")


@dataclass(frozen=True, slots=True)
class Group:
    """What is compared with each other: the same pages, the same protocol, the same collector."""

    size: str
    protocol: Protocol
    delay: float

    def cases(self, *, quick: bool) -> list[Case]:
        """Give who takes part, in the order in which they take turns: ours between all others."""
        base = Case(name="ours", size=self.size, protocol=self.protocol, delay=self.delay)
        ours = [base, replace(base, compressed=True), replace(base, scrubbed=True)]
        if not quick:
            ours.append(replace(base, scrubbed=True, compressed=True))
        others = [replace(base, name="a"), replace(base, name="d")]
        if self.protocol == "http/protobuf":
            others.append(replace(base, name="b"))
            if not self.delay:
                others.append(replace(base, name="c"))
        turns: list[Case] = []
        for number in range(max(len(ours), len(others))):
            turns += [*others[number : number + 1], *ours[number : number + 1]]
        return turns


@dataclass(frozen=True, slots=True)
class Result:
    """The rounds of one case."""

    rounds: Sequence[Round]

    @property
    def wall(self) -> float:
        """The median of the time on the wall, in microseconds a span."""
        return statistics.median(1e6 * each.timing.seconds / each.timing.made for each in self.rounds)

    @property
    def spread(self) -> tuple[float, float]:
        """The quickest and the slowest round, in microseconds a span."""
        every = [1e6 * each.timing.seconds / each.timing.made for each in self.rounds]
        return min(every), max(every)

    @property
    def cpu(self) -> float:
        """The median of the processor time of all threads, in microseconds a span."""
        return statistics.median(1e6 * each.timing.cpu / each.timing.made for each in self.rounds)

    @property
    def peak(self) -> float:
        """The most megabytes in memory, of all rounds."""
        return max(each.timing.peak for each in self.rounds) / 1e6


def groups(*, quick: bool) -> list[Group]:
    """Give what is measured; the quick form leaves out what differs from the rest by one thing only."""
    if quick:
        return [
            Group("small", "http/protobuf", 0),
            Group("small", "grpc", 0),
            Group("big", "http/protobuf", 0),
            Group("small", "http/protobuf", DELAY),
        ]
    protocols: tuple[Protocol, ...] = ("http/protobuf", "grpc")
    return [Group(size, protocol, delay) for delay in (0, DELAY) for size in CONTENTS for protocol in protocols]


def measured(
    group: Group, collector: Collector, written: Mapping[str, Written], *, rounds: int, quick: bool, ledger: bool
) -> dict[Case, Result]:
    """Let the cases of a group take turns, round after round."""
    cases = group.cases(quick=quick)
    done: dict[Case, list[Round]] = {case: [] for case in cases}
    for _ in range(rounds):
        for case in cases:
            done[case].append(run(case, collector, written[group.size], written["warm"], ledger=ledger))
    return {case: Result(results) for case, results in done.items()}


def rows(results: Mapping[Case, Result]) -> Iterator[tuple[str, ...]]:
    """Write a group as rows of the table."""
    first = next(iter(results))
    usual, lowest = (results[_other(first, name)] for name in ("a", "d"))
    for case, result in sorted(results.items(), key=lambda each: (each[0].name == "ours", each[0].name)):
        way = _NAMES[case.name]
        if case.name == "ours":
            way += f", {'scrubbed' if case.scrubbed else 'full'}{', gzip' if case.compressed else ''}"
        low, high = result.spread
        yield (
            case.size,
            "HTTP" if case.protocol == "http/protobuf" else "gRPC",
            f"after {1e3 * case.delay:.0f} ms" if case.delay else "at once",
            way + _lost(case, result),
            f"{result.wall:.1f} ({low:.1f}-{high:.1f})",
            f"{result.cpu:.1f}",
            f"{usual.wall / result.wall:.1f}",
            f"{result.wall / lowest.wall:.2f}",
            # The floor holds its finished requests from the start, which says nothing.
            "" if case.name == "d" else f"{result.peak:.0f}",
        )


def verdicts(results: Mapping[Case, Result]) -> Iterator[tuple[bool, str]]:
    """Say of each ratio that must be reached whether it is, and what it is."""
    ours = Case(name="ours", size="small")
    least = [
        (ours, 12.0, "small, over HTTP"),
        (replace(ours, size="big"), 6.0, "big, over HTTP"),
        (replace(ours, protocol="grpc"), 8.0, "small, over gRPC"),
        (replace(ours, scrubbed=True), 6.0, "small, over HTTP, scrubbed"),
        (replace(ours, delay=DELAY), 15.0, "small, over HTTP, a collector that answers after 50 ms"),
    ]
    for case, wanted, told in least:
        ratio = results[_other(case, "a")].wall / results[case].wall
        yield ratio >= wanted, f"{told}: {ratio:.1f} times (a), at least {wanted:g}"
    for size in CONTENTS:
        case = replace(ours, size=size)
        ratio = results[case].wall / results[_other(case, "d")].wall
        yield ratio <= 2.5, f"{size}, over HTTP: {ratio:.2f} of the floor (d), at most 2.5"


def _other(case: Case, name: str) -> Case:
    return Case(name=name, size=case.size, protocol=case.protocol, delay=case.delay)  # type: ignore[arg-type]


def _lost(case: Case, result: Result) -> str:
    if case.name != "b":
        return ""  # of the others a round in which something is lost is an error
    lost = sum(each.lost for each in result.rounds)
    return f": loses {100 * lost / sum(each.timing.made for each in result.rounds):.0f} %"


def _prepared(folder: Path, events: int) -> dict[str, Written]:
    shapes = {
        "warm": _WARM,
        "small": pages.Shape(events=events, content=CONTENTS["small"]),
        "big": pages.Shape(events=events // 4, content=CONTENTS["big"]),
    }
    written = {name: pages.write(shape, folder / f"{name}.jsonl") for name, shape in shapes.items()}
    for each in written.values():
        floor.finish(each.path, each.session, Path(f"{each.path}.bodies"))
    return written


def main() -> int:
    """Print the table and what is reached; 1 when something is not.

    Raises:
        BenchmarkError: a contestant failed, or the collector does not have what was sent.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--events", type=int, default=100_000, help="events of the small session; the big has a quarter"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-ledger", action="store_true", help="ours without its ledger")
    parser.add_argument("--quick", action="store_true", help="small sizes, one round, and no judgement")
    arguments = parser.parse_args()
    events, rounds = (2_000, 1) if arguments.quick else (arguments.events, arguments.rounds)
    results: dict[Case, Result] = {}
    with tempfile.TemporaryDirectory() as folder, Collector() as collector:
        written = _prepared(Path(folder), events)
        for each in (written["small"], written["big"]):
            print(
                f"{each.path.stem}: {each.events} events on pages of 100, {each.bytes / 1e6:.0f} MB, {each.spans} spans"
            )
        print(f"rounds: {rounds}; {_versions()}\n")
        _print(_HEAD)
        _print(("---",) * 4 + ("---:",) * 5)
        for group in groups(quick=arguments.quick):
            found = measured(
                group, collector, written, rounds=rounds, quick=arguments.quick, ledger=not arguments.no_ledger
            )
            results |= found
            for row in rows(found):
                _print(row)
    print()
    for case in (Case(name="a", size="small"), Case(name="ours", size="small")):
        count = results[case].rounds[0].count
        print(
            f"{_NAMES[case.name]}: {count.attributes / count.spans:.1f} attributes and "
            f"{count.bytes / count.spans:.0f} bytes a span of small contents, {count.requests} requests"
        )
    if arguments.quick:
        return 0
    return judged(itertools.chain(verdicts(results), start.verdicts(), replay.verdicts()))


def judged(told: Iterator[tuple[bool, str]]) -> int:
    """Print each verdict; 1 when one of them is not reached."""
    all_reached = True
    print("\nreached")
    for reached, words in told:
        print(f"  {'yes' if reached else 'NO '}  {words}")
        all_reached &= reached
    return int(not all_reached)


def _versions() -> str:
    names = ("opentelemetry-sdk", "opentelemetry-exporter-otlp", "pydantic", "grpcio", "httpx")
    return ", ".join([f"Python {sys.version.split()[0]}", *(f"{name} {version(name)}" for name in names)])


def _print(row: tuple[str, ...]) -> None:
    print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchmarkError as error:
        print(f"\nthis run says nothing: {error}", file=sys.stderr)
        sys.exit(2)
