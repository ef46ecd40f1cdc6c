"""Windows of an Agora history, asked for one after the other, merged into one list.

The history holds the last entries of a call (32, if nothing else was set): the window slides on while the call goes
on. Entries have no ids, so two windows are laid over one another where most of their entries agree.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from otel_agent_events.events import value
from otel_agent_events.keys import key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otel_agent_events.events import JSON

FAR = 1_000
"""Entries before the length of a window in which an older window is still looked for."""


@value()
class Entry:
    """One entry of the history.

    Attributes:
        record: as it stands in the answer.
        key: by its content.
        earlier: contents that it had when it was met before, while it was still being spoken.
        arrived: nanosecond at which it came, when it came by itself.
    """

    record: JSON
    key: str
    earlier: tuple[str, ...] = ()
    arrived: int | None = None


class Windows:
    """Merge windows as they come.

    Attributes:
        entries: all entries so far, in order.
        duplicates: how many were met again.
        gaps: how often a window had nothing in common with those before it.
        whole_from: the position of the first entry after the last gap.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.duplicates = 0
        self.gaps = 0
        self.whole_from = 0
        self._longest = 0

    def add(self, records: Iterable[JSON]) -> None:
        """Add the next window. It takes time in proportion to its length."""
        self.add_entries([Entry(record=record, key=key_of(record)) for record in records])

    def add_entries(self, window: list[Entry]) -> None:
        """Add the entries of the next window."""
        if not window:
            return
        shrunk = len(window) < self._longest  # a window only grows: this one is older than others
        self._longest = max(self._longest, len(window))
        if not self.entries:
            self.entries = window
            return
        pattern = _Pattern([entry.key for entry in window])
        tail = [entry.key for entry in self.entries[-len(window) - 1 :]]
        overlap, _ = pattern.at_end_of(tail)
        if shrunk or not overlap:
            _, contained = pattern.at_end_of(entry.key for entry in self.entries[-len(window) - FAR :])
            if contained:
                self.duplicates += len(window)
                return
        changed = self._changed(window, pattern, tail)
        if changed is not None and changed >= overlap:
            before = self.entries[-1]
            earlier = (*before.earlier, before.record["content"])
            self.entries[-1] = replace(window[changed], earlier=earlier)
            overlap = changed + 1
        if not overlap:
            self.gaps += 1
            self.whole_from = len(self.entries)
        self.duplicates += overlap
        self.entries += window[overlap:]

    def _changed(self, window: Sequence[Entry], pattern: _Pattern, tail: Sequence[str]) -> int | None:
        """Find the last entry so far in the window, grown or cut since; all before it must agree."""
        length, _ = pattern.at_end_of(tail[:-1])
        while True:
            agrees = length > 0 or len(self.entries) == 1
            if agrees and length < len(window) and _same_but_longer(self.entries[-1].record, window[length].record):
                return length
            if not length:
                return None
            length = pattern.shorter[length - 1]


def _same_but_longer(before: JSON, after: JSON) -> bool:
    """Say whether two records are of one thing that the agent says: one content is the beginning of the other."""
    match before, after:
        case {"role": "assistant", "content": str(old), **rest}, {"role": "assistant", "content": str(new), **others}:
            return old != new and (old.startswith(new) or new.startswith(old)) and key_of(rest) == key_of(others)
        case _:
            return False


class _Pattern:
    """A sequence of keys to look for, by Knuth, Morris and Pratt: in time linear in what is looked through.

    Attributes:
        shorter: by each length less one, the longest beginning that also ends there.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = keys
        self.shorter = [0]
        for key in keys[1:]:
            self.shorter.append(self._step(self.shorter[-1], key))

    def at_end_of(self, keys: Iterable[str]) -> tuple[int, bool]:
        """Give how much of the pattern's beginning these end with, and whether all of it is anywhere in them."""
        length, contained = 0, False
        for key in keys:
            length = self._step(length, key)
            contained = contained or length == len(self._keys)
        return length, contained

    def _step(self, length: int, key: str) -> int:
        while length and (length == len(self._keys) or self._keys[length] != key):
            length = self.shorter[length - 1]
        return length + (self._keys[length] == key)
