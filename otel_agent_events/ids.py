"""Ids that are derived, never drawn: the same records and options give the same ids (mapping.md section 4)."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_agent_events.events import JSON
    from otel_agent_events.reference import Reference

SCHEME = "otel-agent-events/1"
"""Raised, together with the scope's version, when the contract changes; never with the package's version."""

ROOT = "root"

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def trace_id(reference: Reference, *, namespace: str, view: str, revision: int = 1, part: int = 1) -> bytes:
    """Derive the 16 bytes that name the trace of a session under one set of options.

    Args:
        reference: platform and all parts of the path, decoded.
        namespace: the user's own: an account, an environment.
        view: the options that decide the bytes, spelled as mapping.md section 4 says.
        revision: raised when a session that has grown is sent anew.
        part: which part of a session that is sent in parts.
    """
    named = [SCHEME, reference.platform, namespace, list(reference.path), view, revision, part]
    return _nonzero(sha256(_compact(named).encode()).digest()[:16])


def family(reference: Reference, *, namespace: str, view: str) -> str:
    """Name what all revisions and parts of a session's trace share: 64 hex digits."""
    return sha256(_compact([SCHEME, reference.platform, namespace, list(reference.path), view]).encode()).hexdigest()


def span_id(trace: bytes, key: str) -> bytes:
    """Derive the 8 bytes that name a span: `root`, `turn:N`, or `event:` and the event's key."""
    return _nonzero(sha256(trace + b"\0" + key.encode("utf-8", "surrogatepass")).digest()[:8])


def turn_key(number: int) -> str:
    """The key of the span of turn `number`, counted from 1."""
    return f"turn:{number}"


def event_key(key: str) -> str:
    """The key of the span of an event, or of a pair by its call."""
    return f"event:{key}"


def canonical(record: JSON) -> str:
    """The one spelling of a record: sorted keys, no spaces, ASCII escapes, numbers as Python reads them."""
    return _CANONICAL.encode(record)


def content_key(canonical_record: str) -> str:
    """The key of a record to which its platform gave no id: `c:` and 16 hex digits of its SHA-256."""
    return "c:" + sha256(canonical_record.encode()).hexdigest()[:16]


def _compact(named: JSON) -> str:
    return json.dumps(named, separators=(",", ":"))


def _nonzero(digest: bytes) -> bytes:
    """OpenTelemetry reads zero as "no id"."""
    return digest if any(digest) else digest[:-1] + b"\1"
