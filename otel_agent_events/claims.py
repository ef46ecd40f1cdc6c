"""Which hashes were met, and what each is held by; of millions, in little memory."""

from __future__ import annotations

import sys
from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence


class Claims:
    """Hashes and what each is held by; of many, in a flat table of 16 bytes each: a session may have millions.

    Two of a million texts are taken for one another once in some ten million sessions.
    """

    _FULLEST = 0.6
    _FEW = 50_000
    """Up to here a dictionary is as good, and quicker."""

    def __init__(self) -> None:
        self._few: dict[int, int] | None = {}
        self._table = array("q")

    def add(self, hashed: int, holder: int) -> int | None:
        """Add a hash and its holder; give the holder instead when it is there already."""
        few = self._few
        if few is None:
            return self._add_to_table(hashed or 1, holder)  # zero is an empty place
        many = len(few)
        known = few.setdefault(hashed or 1, holder)
        if len(few) == many:
            return known
        if many >= self._FEW:
            self._few = None
            self._make_table(4 * len(few), few.items())
        return None

    def __sizeof__(self) -> int:
        """Give the bytes that the table takes."""
        return sys.getsizeof(self._table if self._few is None else self._few)

    def holder(self, hashed: int) -> int | None:
        """Give what a hash is held by."""
        hashed = hashed or 1
        if self._few is not None:
            return self._few.get(hashed)
        place = hashed & self._mask
        while held := self._table[place]:
            if held == hashed:
                return self._table[place + 1]
            place = (place + 2) & self._mask
        return None

    def add_new(self, keys: Sequence[Hashable], holders: Sequence[int]) -> bool:
        """Add the hashes of keys with their holders if none of them is there yet; else add nothing, and give False."""
        few, several = self._few, [hash(key) or 1 for key in keys]
        if len(set(several)) < len(several):
            return False
        if few is None:
            if any(self.holder(hashed) is not None for hashed in several):
                return False
            for hashed, holder in zip(several, holders, strict=True):
                self._add_to_table(hashed, holder)
            return True
        if not few.keys().isdisjoint(several):
            return False
        few.update(zip(several, holders, strict=True))
        if len(few) > self._FEW:
            self._few = None
            self._make_table(4 * len(few), few.items())
        return True

    def _add_to_table(self, hashed: int, holder: int) -> int | None:
        table, mask = self._table, self._mask
        place = hashed & mask
        while held := table[place]:
            if held == hashed:
                return table[place + 1]
            place = (place + 2) & mask
        table[place] = hashed
        table[place + 1] = holder
        self._room -= 1
        if not self._room:
            old = self._table
            self._make_table(len(old) - 1, ((old[at], old[at + 1]) for at in range(0, len(old), 2) if old[at]))
        return None

    def _make_table(self, places: int, entries: Iterable[tuple[int, int]]) -> None:
        """Make a table with as many places as the next power of two above, and fill it."""
        places = 1 << places.bit_length()
        self._table = array("q", (0,)) * (2 * places)  # made in one piece: a copy would be as large again
        self._mask = 2 * places - 2  # of an even number: the hash stands there, and its holder beside it
        self._room = int(self._FULLEST * places)
        for hashed, holder in entries:
            self._add_to_table(hashed, holder)


try:
    from otel_agent_events._native import Claims as CompiledClaims
except ImportError:  # it was installed without a C compiler
    new_claims: Callable[[], Claims | CompiledClaims] = Claims
else:
    new_claims = CompiledClaims
