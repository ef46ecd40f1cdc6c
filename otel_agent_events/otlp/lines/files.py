"""Files of lines of OTLP JSON, packed or not, read line by line with the place of each."""

from __future__ import annotations

import gzip
import zlib
from collections import deque
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from otel_agent_events.errors import ReadError
from otel_agent_events.messages import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import ExitStack

    from otel_agent_events.ledger.ranges import Ranges

MOST_LINE = 64 << 20
"""Bytes; a collector's longest lines have a few MB."""

_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"


class Line(NamedTuple):
    """A line, and the bytes of the file where it begins and ends. `content` is None for one that is too long."""

    number: int
    begin: int
    end: int
    content: bytes | None


def numbered(file: IO[bytes], settled: Ranges = ()) -> Iterator[Line]:
    """Read the lines of a file that are not settled, each with its place.

    Args:
        file: unpacked, at its beginning.
        settled: where lines begin and end that are passed over, in bytes of the file.

    Raises:
        ReadError: it cannot be read any further.
    """
    at = number = 0
    passed = deque(settled)
    try:
        while True:
            while passed and passed[0][1] <= at:
                passed.popleft()
            if passed and passed[0][0] <= at:
                end = passed[0][1]
                number += _skip(file, end - at)
                at = end
                continue
            content: bytes | None = file.readline(MOST_LINE)
            if not content:
                return
            begin, at, number = at, at + len(content), number + 1
            rest = content
            while len(rest) == MOST_LINE and not rest.endswith(b"\n"):
                rest, content = file.readline(MOST_LINE), None
                at += len(rest)
            yield Line(number, begin, at, content)
    except (OSError, EOFError, zlib.error) as error:
        words = (isinstance(error, OSError) and error.strerror) or one_line(str(error))
        raise ReadError(f"it cannot be read any further behind line {number}: {words}") from error


def _skip(file: IO[bytes], size: int) -> int:
    """Read so many bytes and give the number of lines that end in them."""
    lines = 0
    while size and (chunk := file.read(min(size, _CHUNK))):
        size -= len(chunk)
        lines += chunk.count(b"\n")
    return lines


def unpacked(file: IO[bytes], stack: ExitStack) -> IO[bytes]:
    """Give what is packed in a file with gzip, or the file itself; a stream is waited for."""
    peek: Callable[[int], bytes] | None = getattr(file, "peek", None)
    if peek is None or not peek(len(_GZIP)).startswith(_GZIP):
        return file
    content: Any = stack.enter_context(gzip.GzipFile(fileobj=file))
    return content  # type: ignore[no-any-return]
