"""A file that is there whole, or not at all: until it is, one beside it stands for it."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from otel_agent_events.errors import UsageError


class Replacement:
    """Write a file beside its place, and put it there in the end.

    Args:
        path: of the file; one that is there stays until `put`. Of a link, what it points to is replaced.

    Attributes:
        size: bytes that were written whole.

    Raises:
        UsageError: it cannot be written there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        told = os.fspath(path)
        self.size = 0
        try:
            self._path = Path(os.path.realpath(path))
            if self._path.exists() and not self._path.is_file():
                raise UsageError(f"{told!r} cannot be written as a file: it is something else")
            # Its name is short, so that a long one beside it is not too long with something added.
            self._part = self._path.with_name(f".otel-{secrets.token_hex(8)}.part")
            self._file = self._part.open("xb", buffering=0)
        except OSError as error:
            raise UsageError(f"{told!r} cannot be written: {error.strerror}") from error
        except ValueError as error:  # of a NUL
            raise UsageError(f"{told!r} is no path of a file") from error

    @property
    def closed(self) -> bool:
        """Whether it was put in place, or abandoned."""
        return self._file.closed

    def write(self, content: bytes) -> None:
        """Add to the file. When the disk is full, it ends after what was written whole before.

        Raises:
            OSError: not all of it could be written.
        """
        rest = memoryview(content)
        while rest:
            rest = rest[self._file.write(rest) :]
        self.size += len(content)

    def put(self) -> None:
        """Put the file in place.

        Raises:
            OSError: it cannot be put there. Nothing stays of it, and one that was there before stays.
        """
        try:
            self._file.truncate(self.size)
            os.fsync(self._file.fileno())
            self._file.close()
            if self._path.exists():
                shutil.copymode(self._path, self._part)
            self._part.replace(self._path)
        except OSError:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Take away what was written; a file that was there before stays as it is."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._part.unlink(missing_ok=True)
