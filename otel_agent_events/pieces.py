"""Many pieces of bytes as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

joined: Callable[[Sequence[bytes]], bytes]
"""Put pieces together. Where it is compiled, other threads run while it copies."""
try:
    from otel_agent_events._native import joined as compiled_joined
except ImportError:  # it was installed without a C compiler
    joined = b"".join
else:
    joined = compiled_joined
