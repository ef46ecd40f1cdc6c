"""What a replay did, said truthfully: the same values for a person, for `--json` and for Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, computed_field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MODEL = ConfigDict(frozen=True, extra="forbid")


class Counts(BaseModel):
    """What became of spans. `made` is the sum of the others, always.

    Attributes:
        made: how many were to be sent; what a destination had from an earlier run is not among them.
        acknowledged: how many the destination said that it took.
        reported: how many a foreign exporter called exported; it does not tell what the server said.
        rejected: how many it refused for what they are.
        set_aside: how many are kept in a file, to be delivered by `send`.
        lost: how many are nowhere.
    """

    model_config = _MODEL

    made: int = 0
    acknowledged: int = 0
    reported: int = 0
    rejected: int = 0
    set_aside: int = 0
    lost: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in Counts.model_fields})

    @property
    def arrived(self) -> bool:
        """Whether every span was acknowledged, or reported."""
        return self.acknowledged + self.reported == self.made


class DestinationReport(Counts):
    """What became of a session's spans at one destination.

    Attributes:
        had: how many spans it acknowledged in an earlier run; they were not sent again.
        messages: what the destination said, when not all went well; never with a credential in it.
    """

    destination: str
    had: int = 0
    messages: tuple[str, ...] = ()

    @classmethod
    def of(cls, **told: Any) -> DestinationReport:
        """Make one of what was counted."""
        return cls.model_construct(_fields_set=_COUNTED, **told)


_COUNTED = set(DestinationReport.model_fields)


class SessionReport(Counts):
    """What became of one session. With several destinations the counts are those of the worst one.

    Attributes:
        reference: the session, or the file, as it was asked for.
        trace_id: 32 hex digits; None when it is not even known which session it is. Of the first part.
        parts: the trace ids of all parts, when it was split.
        revision: 1, unless it was asked for or the ledger knows of earlier ones.
        unchanged: the destination has the session as it is from an earlier run, and nothing was sent to it.
        start, end: the time that the trace covers, in nanoseconds since 1970.
        events: how many events there were; duplicates: how many records were met again.
        error: why the session could not be had, or not to its end.
        subagent_of: the session whose sub-agent ran this one, when it was followed and not named.
    """

    reference: str
    trace_id: str | None = None
    parts: tuple[str, ...] = ()
    revision: int = 1
    unchanged: bool = False
    start: int | None = None
    end: int | None = None
    events: int = 0
    duplicates: int = 0
    destinations: tuple[DestinationReport, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str | None = None
    subagent_of: str | None = None

    @classmethod
    def counting(cls, destinations: Sequence[DestinationReport], **told: Any) -> SessionReport:
        """Make the report of a session from what became of it at each destination."""
        worst = min(destinations, key=lambda each: each.acknowledged + each.reported - each.made)
        counts = {name: getattr(worst, name) for name in Counts.model_fields}
        # Of many sessions the reports are what takes up memory. What comes from ourselves is not validated, and which
        # fields were set is noted once for all.
        return cls.model_construct(_fields_set=_FIELDS, **counts, destinations=tuple(destinations), **told)

    def without(self, unplaced: Mapping[str, str]) -> SessionReport:
        """Give the report after all, when what a destination had acknowledged could not be put in place.

        Args:
            unplaced: why, by the name of the destination.
        """
        if not any(each.destination in unplaced for each in self.destinations):
            return self
        changed = [
            each.model_copy(update={"acknowledged": 0, "lost": each.lost + each.acknowledged})
            if each.destination in unplaced
            else each
            for each in self.destinations
        ]
        counted = {*Counts.model_fields, "destinations"}
        return SessionReport.counting(changed, **{name: told for name, told in self if name not in counted})

    @property
    def succeeded(self) -> bool:
        """Whether the session was had to its end, and every span was acknowledged everywhere."""
        return self.error is None and all(destination.arrived for destination in self.destinations)


_FIELDS = set(SessionReport.model_fields)


class Report(BaseModel):
    """What a replay did.

    Attributes:
        unreachable: destinations that did not answer at all.
        set_aside: the file in which spans were set aside, if any were.
        stopped: whether it was stopped before it was through.
        notes: what concerns all sessions: how options and variables were understood.
        seconds: how long it took.
    """

    model_config = _MODEL

    sessions: tuple[SessionReport, ...]
    unreachable: tuple[str, ...] = ()
    set_aside: str | None = None
    stopped: bool = False
    notes: tuple[str, ...] = ()
    seconds: float

    @computed_field  # type: ignore[prop-decorator]
    @property
    def totals(self) -> Counts:
        """The sum over all sessions."""
        return sum(self.sessions, Counts())

    @property
    def exit_code(self) -> int:
        """How it went.

        0: all acknowledged. 1: a session failed, or a span was not acknowledged. 3: a destination did not answer at
        all. 130: it was stopped before it was through.
        """
        if self.stopped:
            return 130
        if self.unreachable:
            return 3
        return 0 if all(session.succeeded for session in self.sessions) else 1
