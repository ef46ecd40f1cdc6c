"""Processes in which coverage does not start itself, as it does in all others that a measured test starts."""

from __future__ import annotations

import os
import subprocess
import sys

_COVERAGE = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")


def unmeasured() -> dict[str, str]:
    """Give the variables of this process but those that start coverage.

    Coverage takes a lock at every call of a function that it measures. A signal whose handler raises, as that of a run
    that is stopped, may come right then; the lock is never given back, and the process hangs.
    """
    return {name: value for name, value in os.environ.items() if name not in _COVERAGE}


def imported_by(statement: str) -> set[str]:
    """Give the packages, and the modules right below them, that are imported by a statement in a new interpreter.

    Coverage would import a good deal more: json, sqlite3, pathlib.
    """
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=unmeasured(), capture_output=True, text=True, check=True, timeout=60
    )
    return {".".join(name.split(".")[:2]) for name in done.stdout.split()}
