"""What was read of one session, before anything is made of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from otel_agent_events.errors import ReadError
from otel_agent_events.events import Caution, Session, parsed
from otel_agent_events.messages import first_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_agent_events.events import Event
    from otel_agent_events.fetchers import Item
    from otel_agent_events.reference import Reference
    from otel_agent_events.sources import Source


class Reading:
    """What a reader makes of the answers of one session, one item after the other. Gone through once.

    Attributes:
        duplicates: how many records were met again so far.
        flaws: what could not be read so far; of a saved answer that costs no more than itself.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.duplicates = 0
        self.flaws = list(source.flaws)

    def __iter__(self) -> Iterator[Item]:
        """Give what was read.

        Raises:
            SessionError: the platform did not answer as hoped. What was given before it is good.
        """
        reader = self._source.fetcher.reader(self._source.reference)
        for answer in self._source.answers:
            try:
                yield from reader.feed(answer)
            except ReadError as error:
                # Asking again for a file gives no more, so it is told, and the file read on.
                if not self._source.saved:
                    raise
                self.flaws.append(str(error))
            self.duplicates = reader.duplicates
        self._source = replace(self._source, answers=())  # all was read, and a file need not stay open
        yield from reader.close()
        self.duplicates = reader.duplicates


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """One session as it was read: what happened, in our own words, in the platform's order.

    Attributes:
        reference: the session, in full.
        session: what is known of it, by the latest that was told.
        items: all that was told, in that order: events, and between them what was learnt of the session and what the
            reader should know. `convert` makes the trace of these, the very one that `replay` sends.
        duplicates: how many records were met again, and gave no event.
        warnings: what should be known of it: how it was found, what the platform would not tell, and what in a saved
            answer could not be read.
    """

    reference: Reference
    session: Session
    items: tuple[Item, ...] = field(repr=False)
    duplicates: int = 0
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, source: Source) -> Fetched:
        """Read a session to its end.

        Raises:
            SessionError: the platform did not answer as hoped.
        """
        reading = Reading(source)
        items = tuple(reading)
        cautions = [item.message for item in items if isinstance(item, Caution)]
        session = next((item for item in reversed(items) if isinstance(item, Session)), None)
        session = session or Session(reference=source.reference)
        return cls(
            reference=source.reference,
            session=replace(session, complete=False) if reading.flaws else session,
            items=items,
            duplicates=reading.duplicates,
            warnings=(*source.warnings, *cautions, *first_of(reading.flaws)),
        )

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """What happened. Contents are values, also where `items` holds them as they are written."""
        return tuple(parsed(item) for item in self.items if not isinstance(item, (Session, Caution)))

    @property
    def complete(self) -> bool:
        """Whether all of it is there, as far as is known."""
        return self.session.complete
