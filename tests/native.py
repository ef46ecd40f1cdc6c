"""The compiled modules, for tests that hold them against what Python does in their place."""

from __future__ import annotations

import os
import sys

import pytest

try:
    from otel_agent_events import _native as native
    from otel_agent_events.scrub import _sieve as sieve
except ImportError:  # pragma: no cover - installed without a C compiler
    if os.environ.get("CI") and "tests.pure" not in sys.modules:
        raise
    pytest.skip("the compiled modules are not there: they were left out, or no C compiler was", allow_module_level=True)

__all__ = ["native", "sieve"]
