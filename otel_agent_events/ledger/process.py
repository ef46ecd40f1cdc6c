"""Which process holds a lease, and whether it is certain that it holds it no longer."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path

from otel_agent_events.events import value

_START = 19  # the place of the start time among the fields of /proc/PID/stat behind the name
_GONE = frozenset("ZX")


@value()
class Process:
    """A process, so that another one on the same machine knows it again.

    Attributes:
        machine: the start of the machine and the space of process ids in it; two containers on one machine do not
            see one another's processes. Empty where the system does not tell.
        host: the name of the machine, for people.
        pid: the process id.
        started: ticks from the start of the machine to that of the process; process ids are given again.
    """

    machine: str
    host: str
    pid: int
    started: int


def this_process() -> Process:
    """Describe the process that asks."""
    pid = os.getpid()
    told = _stat(pid)
    machine = "" if told is None else _machine()
    return Process(machine=machine, host=socket.gethostname(), pid=pid, started=0 if told is None else told[1])


def has_ended(process: Process) -> bool:
    """Tell whether it is certain that a process has ended; False as well when this cannot be known from here."""
    if not process.machine or process.machine != _machine():
        return False
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        # It is another user's: it may well live.
        pass
    told = _stat(process.pid)
    return told is not None and (told[0] in _GONE or told[1] != process.started)


@cache
def _machine() -> str:
    """Name the start of this machine and the space of process ids, or give nothing."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _stat(pid: int) -> tuple[str, int] | None:
    """Give the state letter and the start time of a process, or None where they cannot be read."""
    try:
        # The name of the program stands in parentheses and may hold anything, parentheses too.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return fields[0].decode(), int(fields[_START])
    except (OSError, IndexError, ValueError):
        return None
