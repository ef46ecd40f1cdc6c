"""Time `otel-agent-events --help` against a bare click program, and show what it does not import.

Both run in turn, in processes of their own. What is compared is the median of wall time.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 15
MOST = 1.5
HEAVY = ("opentelemetry.sdk", "grpc", "sqlalchemy")

_OURS = "from otel_agent_events.cli import main; main(['--help'])"
_BARE = '''
import click

@click.group()
def program():
    """A program."""

@program.command()
@click.argument("name")
@click.option("--often", type=int, default=1, help="How often.")
def greet(name, often):
    """Greet somebody."""

program(["--help"])
'''
_IMPORTED = f"""
import sys
from otel_agent_events.cli import main
main(["--help"], standalone_mode=False)
print(*(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)
"""


def seconds(program: str) -> float:
    """Time a Python program from its start to its end.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def imported() -> list[str]:
    """Give what `--help` imports of what it must not.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    done = subprocess.run([sys.executable, "-c", _IMPORTED], check=True, capture_output=True, text=True)
    return done.stderr.split()


def measure(rounds: int = ROUNDS) -> tuple[float, float]:
    """Give the median seconds of ours and of the bare program."""
    for program in (_OURS, _BARE):
        seconds(program)  # the compiled files of what it imports are there afterwards
    ours, bare = zip(*((seconds(_OURS), seconds(_BARE)) for _ in range(rounds)), strict=True)
    return statistics.median(ours), statistics.median(bare)


def verdicts(rounds: int = ROUNDS) -> Iterator[tuple[bool, str]]:
    """Say how long it takes to start, and what it imports."""
    ours, bare = measure(rounds)
    yield (
        ours / bare <= MOST,
        (
            f"otel-agent-events --help: {ours / bare:.2f} times a bare click program, at most {MOST} "
            f"({1e3 * ours:.0f} and {1e3 * bare:.0f} ms, medians of {rounds})"
        ),
    )
    heavy = imported()
    yield not heavy, f"otel-agent-events --help imports {' and '.join(heavy) or 'none of ' + ', '.join(HEAVY)}"


def main() -> int:
    """Print the verdicts; 1 when it takes too long or imports something heavy."""
    fine = True
    for reached, words in verdicts():
        print(words, flush=True)
        fine &= reached
    return int(not fine)


if __name__ == "__main__":
    sys.exit(main())
