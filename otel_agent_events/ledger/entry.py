"""What a ledger knows of a session at a destination."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from otel_agent_events.errors import UsageError
from otel_agent_events.events import value
from otel_agent_events.ledger import ranges

if TYPE_CHECKING:
    from otel_agent_events.ledger.ranges import Ranges

State: TypeAlias = Literal["in_flight", "sent", "set_aside", "failed"]
"""`sent` when every span was acknowledged; `in_flight` as long as nobody said how it ended."""


class LedgerError(UsageError):
    """The ledger cannot be opened or read: change its URL, or do without it."""


@value()
class Seal:
    """What the whole of a revision is, known once the session was read to its end.

    Attributes:
        events: how many there are.
        last_key: the key of the last one.
        digest: of the keys, and of whatever else decides whether the session has changed.
        spans: how many they became, in all parts.
        parts: how many traces they are in.
    """

    events: int
    last_key: str
    digest: str
    spans: int
    parts: int = 1


@value()
class Prefix:
    """What of a revision was about to be sent when nobody knew the whole of it yet.

    Attributes:
        spans: how many, from the first one on.
        digest: of whatever decides whether they are still the same.
    """

    spans: int
    digest: str


@value()
class Entry:
    """The latest revision of a session at a destination.

    Attributes:
        destination: what it is known as, without credentials.
        family: what all revisions of the session share, as the caller names it.
        reference, namespace, view: of the session, for people.
        revision: its number, from 1.
        trace_id: of part 1, 32 hex digits.
        state: how far it came.
        seal: what the whole of it is, or None as long as that was not known.
        prefix: what was sent of it, at most, as long as there is no seal.
        acknowledged: the places of the spans that the destination took, as `(first, end)`.
        updated: seconds since 1970 of the last change, by the clock of the machine that made it.
        held_by: `HOST:PID` of the live run that is sending it, if one is.
    """

    destination: str
    family: str
    reference: str
    namespace: str
    view: str
    revision: int
    trace_id: str
    state: State
    seal: Seal | None = None
    prefix: Prefix | None = None
    acknowledged: Ranges = ()
    updated: float = 0.0
    held_by: str | None = None

    @property
    def spans_acknowledged(self) -> int:
        """How many spans the destination took."""
        return ranges.size(self.acknowledged)
