"""Server-sent events out of bytes, as they come: the parsing rules of the WHATWG's HTML standard, section 9.2.6.

Of the fields only `data` is of interest: the platforms name the type of an event inside it. What is invalid as UTF-8
is passed on as it is, where the standard puts U+FFFD in its place.
"""

from __future__ import annotations

MOST_OF_AN_EVENT = 16 << 20
"""Bytes that the data of one event may have."""

_BOM = b"\xef\xbb\xbf"


class EventStream:
    """Take a stream of server-sent events in chunks, and give the data of its events.

    Total: how the stream is cut into chunks makes no difference, and no bytes at all are an error. An event is given as
    soon as its blank line is there. It holds one event at most.

    Args:
        most: bytes that one line, and the data of one event, may have. An event with more is dropped.

    Attributes:
        dropped: how many events had more.
    """

    def __init__(self, most: int = MOST_OF_AN_EVENT) -> None:
        self.dropped = 0
        self._most = most
        self._pieces: list[bytes] = []  # of the line that has no end yet
        self._length = 0  # of these pieces
        self._data: list[bytes] = []
        self._size = 0  # of the data, with a line feed after each line
        self._first = True  # no line has ended yet
        self._carriage = False  # the last byte was CR: an LF that comes next belongs to it
        self._over = False  # this event has too many bytes

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes; give the data of the events that end in them, in order."""
        if not chunk:
            return []
        if self._carriage and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._carriage = chunk.endswith(b"\r")
        # Of bytes, this splits at CR, LF and CRLF, and at nothing else.
        lines = chunk.splitlines()
        rest = b"" if chunk.endswith((b"\r", b"\n")) or not lines else lines.pop()
        events = [event for line in lines if (event := self._end_line(line)) is not None]
        if rest:
            self._keep(rest)
        return events

    def end(self) -> list[bytes]:
        """Say that no more bytes come; give the data of an event whose blank line never came.

        The standard discards it. Here it is given: what a server wrote before it closed has arrived.
        """
        last = [self._end_line(b"") if self._pieces else None, self._end_line(b"")]
        return [event for event in last if event is not None]

    def _keep(self, piece: bytes) -> None:
        self._length += len(piece)
        if self._length > self._most:
            self._drop()
        if not self._over:
            self._pieces.append(piece)
        else:
            self._pieces = [b":"]  # that it is no blank line is all that counts now

    def _end_line(self, last: bytes) -> bytes | None:
        line = b"".join([*self._pieces, last]) if self._pieces else last
        long = self._length + len(last) > self._most
        self._pieces, self._length = [], 0
        if self._first:
            self._first = False
            line = line if long else line.removeprefix(_BOM)
        if long:
            self._drop()
        elif not line:
            return self._dispatch()
        elif not self._over:
            name, _, value = line.partition(b":")
            if name == b"data":  # a comment has an empty name
                self._data.append(value.removeprefix(b" "))
                self._size += len(self._data[-1]) + 1
                if self._size > self._most:
                    self._drop()
        return None

    def _drop(self) -> None:
        self._over = True
        self._data = []

    def _dispatch(self) -> bytes | None:
        over, data = self._over, self._data
        self._over, self._data, self._size = False, [], 0
        if over:
            self.dropped += 1
            return None
        return b"\n".join(data) if data else None
