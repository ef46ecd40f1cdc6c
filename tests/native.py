"""The compiled module, for tests that hold it against what Python does in its place."""

from __future__ import annotations

import os

import pytest

try:
    from otel_agent_events import _native as native
except ImportError:  # pragma: no cover - installed without a C compiler
    if os.environ.get("CI"):
        raise
    pytest.skip("the compiled module was not built: there was no C compiler", allow_module_level=True)

__all__ = ["native"]
