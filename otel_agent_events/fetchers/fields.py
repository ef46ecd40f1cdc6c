"""Take the fields of a record one by one; what nobody took, or had the wrong type, is the remainder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_agent_events import times

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_agent_events.events import JSON


class Fields:
    """The fields of one record that are still to be taken.

    A field of the wrong type is not taken: it is kept in the remainder, and the record is read as if it were absent.
    """

    __slots__ = ("_left",)

    def __init__(self, record: Mapping[str, JSON]) -> None:
        self._left = dict(record)

    def text(self, *names: str) -> str | None:
        """Take the first of these fields that is a string. Platforms call the same thing by several names."""
        for name in names:
            told = self._left.get(name)
            if isinstance(told, str):
                del self._left[name]
                return told
        return None

    def name(self, *names: str) -> str | None:
        """Take the first of these fields that is a string with something in it: a name, an id."""
        left = self._left
        for name in names:
            told = left.get(name)
            if told and isinstance(told, str):
                del left[name]
                return told
        return None

    def integer(self, name: str) -> int | None:
        """Take an integer."""
        told = self._left.get(name)
        if isinstance(told, int) and not isinstance(told, bool):
            del self._left[name]
            return told
        return None

    def flag(self, name: str) -> bool | None:
        """Take a boolean."""
        told = self._left.get(name)
        if isinstance(told, bool):
            del self._left[name]
            return told
        return None

    def value(self, *names: str) -> JSON:
        """Take the first of these fields that is there and not null."""
        for name in names:
            if self._left.get(name) is not None:
                return self._left.pop(name)
        return None

    def listed(self, name: str) -> list[JSON] | None:
        """Take a list."""
        told = self._left.get(name)
        return self._left.pop(name) if isinstance(told, list) else None

    def nanoseconds(self, name: str, read: Callable[[JSON], times.Stamp | None] = times.parse) -> int | None:
        """Take a time; one that is more exact than nanoseconds stays in the remainder as well.

        Args:
            name: of the field.
            read: understands how the platform writes it.
        """
        stamp = read(self._left.get(name))
        if stamp is None:
            return None
        if stamp.exact:
            del self._left[name]
        return stamp.nanoseconds

    def drop(self, name: str, told: JSON) -> None:
        """Leave out a field that says what is known anyway."""
        left = self._left
        if name in left and left[name] == told and type(left[name]) is type(told):
            del left[name]

    def rest(self) -> JSON:
        """Give what nobody took; None when that is nothing."""
        return self._left or None
