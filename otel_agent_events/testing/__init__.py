"""The kit for fetcher authors, and for everybody who wants to see a platform answer without one.

- `LoopbackPlatform` plays recordings over real HTTP on this machine.
- `check_fetcher` holds a fetcher against what every fetcher must keep.
- `trace` and `outline` give the spans of a recording, and draw them as text that a test can compare.
"""

from otel_agent_events.testing.check import check_fetcher, spoilt
from otel_agent_events.testing.loopback import LoopbackPlatform, LoopbackServer, Received, Reply
from otel_agent_events.testing.outline import outline, trace

__all__ = [
    "LoopbackPlatform",
    "LoopbackServer",
    "Received",
    "Reply",
    "check_fetcher",
    "outline",
    "spoilt",
    "trace",
]
