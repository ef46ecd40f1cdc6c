"""What sends spans makes none: the clients of a service may be instrumented, and ours are made like its own."""

from __future__ import annotations

from opentelemetry import context as contexts


def leave_uninstrumented() -> None:
    """Let nothing that this thread does from now on become spans of its own."""
    suppressed = True
    contexts.attach(contexts.set_value("suppress_instrumentation", suppressed))
