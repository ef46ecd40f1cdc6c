"""A file for spans that could not be delivered: lines of OTLP JSON, which `send` delivers later."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from otel_agent_events.errors import ReadError
from otel_agent_events.otlp.lines import written

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_agent_events.otlp import Head

_MOST_SLUG = 120
_UNSLUGGED = re.compile(r"[^0-9A-Za-z.]+")


class AsideFile:
    """Keep spans in a file, which is made when the first of them come.

    What is in it may be private, so nobody but its owner may read it. Lines are added at its end; what was there before
    stays. For several threads and processes.

    Args:
        path: of the file. Its folder is made as well.

    Attributes:
        name: the path, for messages.
        count: how many spans were kept.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self.name = os.fspath(path)
        self.count = 0
        self._lock = threading.Lock()

    def put(self, head: Head, bodies: Sequence[bytes]) -> None:
        """Keep spans. When this returns they are on the disk.

        Args:
            head: what stands around them in a request.
            bodies: of each span the field `spans` of a `ScopeSpans`, with its tag and length.

        Raises:
            OSError: they could not be kept, or not all of them: then none of them is in the file. A later put may
                succeed.
        """
        if not bodies:
            return
        try:
            lines = "".join(written(head, bodies)).encode()
        except ReadError as error:
            raise OSError(str(error)) from error
        with self._lock:
            self._add(lines)
            self.count += len(bodies)

    def _add(self, lines: bytes) -> None:
        file, is_new = self._open()
        try:
            _lock(file)
            begin = os.lseek(file, 0, os.SEEK_END)
            if begin and os.pread(file, 1, begin - 1) != b"\n":
                # Somebody was killed in the middle of a line: it costs that line, and not ours as well.
                lines = b"\n" + lines
            try:
                _write(file, lines)
                os.fsync(file)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(file, begin)
                raise
        finally:
            os.close(file)
        if is_new:
            _sync_folder(self._path.parent)

    def _open(self) -> tuple[int, bool]:
        """Open the file, or make it; say whether it was made."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
        try:
            return os.open(self._path, flags | os.O_CREAT | os.O_EXCL, 0o600), True
        except FileExistsError:
            return os.open(self._path, flags), False


def aside_file(path: str | os.PathLike[str] | None, folder: Path | None, destination: str) -> AsideFile | None:
    """Give the file for what a destination does not take; None when nobody says where it could be.

    Args:
        path: of the file that was asked for, if one was.
        folder: where this program keeps its state, where that is known.
        destination: its name, without credentials.
    """
    if path is not None:
        return AsideFile(path)
    return None if folder is None else AsideFile(default_path(folder, destination))


def default_path(folder: Path, destination: str) -> Path:
    """Give the path of a new file for what a destination does not take, in the folder `set-aside`.

    Args:
        folder: where this program keeps its state.
        destination: its name, without credentials.
    """
    slug = _UNSLUGGED.sub("-", destination.partition("://")[2] or destination).strip("-.")[:_MOST_SLUG]
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    return folder / "set-aside" / f"{slug or 'spans'}-{stamp}-{os.getpid()}.otlp.jsonl"


def _lock(file: int) -> None:
    """Wait for other processes that add to the file, so that none takes back what another one has added.

    This is not the lock of `send`, which reads the file meanwhile.
    """
    if sys.platform != "win32":
        with suppress(OSError):  # a file system without locks
            fcntl.lockf(file, fcntl.LOCK_EX)


def _write(file: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]


def _sync_folder(folder: Path) -> None:
    """Put the name of a new file on the disk; where a folder cannot be opened, that is not needed."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
