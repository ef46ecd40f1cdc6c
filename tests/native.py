"""The compiled module, for tests that hold it against what Python does in its place."""

from __future__ import annotations

import os
import sys

import pytest

try:
    from otel_agent_events import _native as native
except ImportError:  # pragma: no cover - installed without a C compiler
    if os.environ.get("CI") and "tests.pure" not in sys.modules:
        raise
    pytest.skip("the compiled module is not there: it was left out, or no C compiler was", allow_module_level=True)

__all__ = ["native"]
