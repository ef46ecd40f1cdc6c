"""A large file, line by line, of which no more than a line or two is in memory.

What is wanted of a line later is read once more then. That takes less time than to keep it: memory that was never used
before is hard to get.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, TypeAlias
from weakref import finalize

from otel_agent_events.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LARGE = 4_000_000
"""Bytes above which a file is not kept in memory, and stays open instead: of smaller ones there may be very many."""

_PIECE = 2_000_000  # bytes that are read at once

Line: TypeAlias = "tuple[memoryview, Callable[[], memoryview] | None]"
"""A line without its end; and what reads it once more, if it is gone when the next one comes."""


class LargeFile:
    """A file that is read line by line. It is closed when nothing of it is wanted any more.

    Args:
        path: of a file in which one can go back.
        name: of the file, for messages.

    Raises:
        OSError: it cannot be opened, or read while one goes through its lines or asks for all of it.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._file = path.open("rb", buffering=0)
        finalize(self, self._file.close)
        self._name = name
        self._line = bytearray()  # which is read once more

    def lines(self) -> Iterator[Line]:
        """Give its lines in order, also those that are empty."""
        piece = bytearray(_PIECE)
        offset = begin = filled = 0  # where the piece begins in the file, what of it is given, and what is read
        while True:
            end = piece.find(b"\n", begin, filled)
            if end < 0:
                # Of what is given nothing is wanted any more; what is left is the beginning of a line.
                left = piece[begin:filled]
                if len(left) > len(piece) // 2:
                    piece = bytearray(2 * len(piece))
                piece[: len(left)] = left
                offset, begin, filled = offset + begin, 0, len(left)
                self._file.seek(offset + filled)
                more = self._file.readinto(memoryview(piece)[filled:])
                if more:
                    filled += more
                    continue
                end = filled
            if end > begin or end < filled:
                yield memoryview(piece)[begin:end], partial(self._read, offset + begin, end - begin)
            if end >= filled:
                return
            begin = end + 1

    @property
    def is_utf8(self) -> bool:
        """Whether it seems to be in UTF-8, by its first bytes: a shell of Windows writes UTF-16 into a file."""
        self._file.seek(0)
        return json.detect_encoding(self._file.read(4)) == "utf-8"

    def whole(self) -> bytes:
        """Give all of it."""
        self._file.seek(0)
        return self._file.readall()

    def _read(self, at: int, size: int) -> memoryview:
        """Read what is gone when this is called the next time."""
        if len(self._line) < size:
            self._line = bytearray(2 * size)
        line = memoryview(self._line)[:size]
        filled = 0
        try:
            self._file.seek(at)
            while filled < size and (more := self._file.readinto(line[filled:])):
                filled += more
        except OSError as error:
            raise ReadError(f"{self._name} cannot be read: {error.strerror}") from None
        if filled < size:
            raise ReadError(f"{self._name} has become shorter while it was read")
        return line
