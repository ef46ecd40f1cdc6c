"""What an import brings with it, seen in a new interpreter."""

from __future__ import annotations

import os
import subprocess
import sys

# Coverage starts itself in every interpreter that is told of one of these, and imports json, sqlite3, pathlib and more.
_COVERAGE = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")


def imported_by(statement: str) -> set[str]:
    """Give the packages, and the modules right below them, that are imported by a statement in a new interpreter."""
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    environ = {name: value for name, value in os.environ.items() if name not in _COVERAGE}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True, timeout=60
    )
    return {".".join(name.split(".")[:2]) for name in done.stdout.split()}
