"""One answer of Vectara's `POST .../events`, watched while it passes: what its bytes say becomes records of a turn.

Nothing here raises, waits or changes what passes, whatever the bytes are and whatever the recorder does: see
`unharmed`. It knows no HTTP client.
"""

from __future__ import annotations

import functools
import logging
import re
import time
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

import msgspec
from opentelemetry import context
from opentelemetry.trace import set_span_in_context

from otel_agent_events.live.codings import UnknownCodingError, decoder
from otel_agent_events.live.sse import EventStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextvars import Token

    from opentelemetry.context import Context

    from otel_agent_events.live.turns import Turn, TurnRecorder

MOST_OF_A_BODY = 64 << 20
"""Bytes that a JSON answer may have, decompressed: it is gathered until it is whole."""

MOST_OF_A_QUESTION = 16 << 20
"""Bytes of the request in which the user's message is looked for."""

_NOT_RECORDS = {b"", b"[DONE]"}
"""Data of events that hold no record: a sign of life, and what gateways put at the end of a stream."""

_P = ParamSpec("_P")
_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_told: set[str] = set()


def unharmed(function: Callable[_P, _T]) -> Callable[_P, _T | None]:
    """Keep what goes wrong in a function from its caller, who sends requests and has nothing to do with it.

    It returns None then. The first time it is logged as a warning, and afterwards for debugging only; of the exception
    nothing but its type is told, since contents may be quoted in it.
    """
    name = function.__qualname__

    @functools.wraps(function)
    def quiet(*args: _P.args, **options: _P.kwargs) -> _T | None:
        try:
            return function(*args, **options)
        except Exception as error:  # noqa: BLE001 - whatever it is
            level = logging.DEBUG if name in _told else logging.WARNING
            _told.add(name)
            _log.log(level, "a turn is not recorded as it should be: %s in %s", type(error).__qualname__, name)
            return None

    return quiet


class _Head(msgspec.Struct):
    """What is looked at of a record; the rest is checked to be JSON, and passed on as it is."""

    type: Any = None


class _Asked(msgspec.Struct):
    type: Any = None
    messages: msgspec.Raw = msgspec.Raw()


class _Answered(msgspec.Struct):
    type: Any = None
    events: msgspec.Raw = msgspec.Raw()


_head = msgspec.json.Decoder(_Head).decode
_asked = msgspec.json.Decoder(_Asked).decode
_answered = msgspec.json.Decoder(_Answered).decode
_each = msgspec.json.Decoder(list[msgspec.Raw]).decode


def question(body: bytes) -> bytes | None:
    """Give the user's message in the body of a request as a record, or None when there is none."""
    if len(body) > MOST_OF_A_QUESTION:
        return None
    try:
        asked = _asked(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    # Vectara tells bodies apart by their type; an interruption and an order to compact are no messages.
    if asked.type not in ("input_message", None) or not bytes(asked.messages).startswith(b"["):
        return None
    return b'{"type":"input_message","messages":' + bytes(asked.messages) + b"}"


class _Reader(Protocol):
    def feed(self, piece: bytes, at: int) -> None: ...

    def end(self, at: int, *, whole: bool) -> None: ...


class Watch:
    """Watch one answer, and record it as a turn.

    A turn ends once, whatever comes first: the answer's end, a failure, or nobody's wish to read on.

    Args:
        recorder: is told what could not be recorded.
        turn: not started yet.
        asked: the body of the request, when it is in memory.

    Attributes:
        watching: whether the turn is recorded at all; if not there is nothing to do.
        ended: whether the turn has ended.
    """

    def __init__(self, recorder: TurnRecorder, turn: Turn, asked: bytes = b"") -> None:
        self.watching = False
        self.ended = False
        self._recorder = recorder
        self._turn = turn
        self._asked: bytes | None = asked
        self._sent = time.time_ns()
        self._decode: Callable[[bytes], Iterable[bytes]] | None = None
        self._reader: _Reader | None = None
        self._token: Token[Context] | None = None
        self._complete = False
        self._start()

    @unharmed
    def _start(self) -> None:
        self._turn.start()
        self.watching = self._turn.recording
        if not self.watching:
            self.ended = True
            self._turn.end()

    def __enter__(self) -> None:
        """Make the turn's span the current one, so that the span of the HTTP client becomes its child.

        That holds for a turn which is sampled out as well: the client's span is then sampled out with it.
        """
        self._attach()

    def __exit__(self, *_: object) -> None:
        self._detach()

    @unharmed
    def _attach(self) -> None:
        if self._turn.span.get_span_context().is_valid:
            self._token = context.attach(set_span_in_context(self._turn.span))

    @unharmed
    def _detach(self) -> None:
        if self._token is not None:
            context.detach(self._token)
            self._token = None

    @unharmed
    def refuse(self, status: int) -> None:
        """Take an answer that says that the platform did not do it: the body is of no interest."""
        self._end(error_type=str(status))

    @unharmed
    def answer(self, content_type: str, codings: Sequence[str]) -> None:
        """Take the headers of an answer, and choose how to read its body.

        Args:
            content_type: the value of `Content-Type`; the empty string for none.
            codings: the values of `Content-Encoding`, in their order, in lower case.
        """
        media = content_type.partition(";")[0].strip().lower()
        if media == "text/event-stream":
            self._reader = _Events(self)
        elif media in {"", "application/json"} or media.endswith("+json"):
            self._reader = _Body(self)
        else:
            self.lose(1, f"an answer of type {_shown(media)} cannot be watched")
            return
        try:
            self._decode = decoder(codings)
        except UnknownCodingError as error:
            self._reader = None
            self.lose(1, f"an answer in content-encoding {_shown(error.name)} cannot be watched")

    @unharmed
    def take(self, chunk: bytes) -> None:
        """Take the next bytes of the body, as they came."""
        if self._reader is None or self._decode is None or self.ended:
            return
        at = time.time_ns()
        pieces = iter(self._decode(chunk))
        while True:
            try:
                piece = next(pieces, None)
            except Exception:  # noqa: BLE001 - each library that decompresses has its own
                self.stop("an answer could not be decompressed")
                return
            if piece is None or self._reader is None:
                return
            self._reader.feed(piece, at)

    @unharmed
    def exhaust(self) -> None:
        """Say that the body has come to its end."""
        self._end(whole=True)

    @unharmed
    def end(self, error: BaseException | None = None) -> None:
        """Say that nothing more comes: the body failed with an error, or nobody reads on."""
        self._end(error)

    def _end(self, error: BaseException | None = None, *, whole: bool = False, error_type: str | None = None) -> None:
        if self.ended:
            return
        self.ended = True
        self._last(whole=whole)
        if error_type is not None:
            self._turn.end(error_type=error_type)
        else:
            self._turn.end(error, complete=self._complete)

    @unharmed
    def _last(self, *, whole: bool) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.end(time.time_ns(), whole=whole)
        self._ask()

    def _ask(self) -> None:
        """Record the user's message, once."""
        asked, self._asked = self._asked, None
        record = question(asked) if asked else None
        if record is not None:
            self._record(record, self._sent)

    def pass_on(self, record: bytes, at: int) -> bool:
        """Hand a record on, and the user's message before the first one unless that tells it itself.

        Args:
            record: what may be one.
            at: when it came, in nanoseconds since 1970.

        Returns:
            Whether it is a record: a JSON object.
        """
        try:
            kind = _head(record).type
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return False
        if kind == "input_message":
            self._asked = None
        elif self._asked is not None:
            self._ask()
        self._record(record, at)
        if kind == "end":
            self._complete = True
        return True

    def complete(self) -> None:
        """Say that the platform has told all of the turn."""
        self._complete = True

    def stop(self, why: str) -> None:
        """Read no further, and say why."""
        self._reader = None
        self.lose(1, why)

    @unharmed
    def lose(self, count: int, why: str) -> None:
        """Tell the recorder what is lost."""
        self._recorder.lose(count, why)

    @unharmed
    def _record(self, record: bytes, at: int) -> None:
        self._turn.record(record, at=at)


class _Events:
    """Server-sent events: each holds one record."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._stream = EventStream()
        self._dropped = 0

    def feed(self, piece: bytes, at: int) -> None:
        self._take(self._stream.feed(piece), at, whole=True)

    def end(self, at: int, *, whole: bool) -> None:
        self._take(self._stream.end(), at, whole=whole)

    def _take(self, events: list[bytes], at: int, *, whole: bool) -> None:
        for data in events:
            # What a stream that was cut off ends with may be half a record: that it was cut off is told as it is.
            if data not in _NOT_RECORDS and not self._watch.pass_on(data, at) and whole:
                self._watch.lose(1, "an event holds no JSON object")
        if self._stream.dropped > self._dropped:
            self._watch.lose(self._stream.dropped - self._dropped, "an event is larger than 16 MiB")
            self._dropped = self._stream.dropped


class _Body:
    """A JSON answer: it is gathered, and read when it is whole."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes, at: int) -> None:  # noqa: ARG002 - what counts is when it is whole
        self._size += len(piece)
        if self._size > MOST_OF_A_BODY:
            self._pieces = []
            self._watch.stop("an answer is larger than 64 MiB")
        else:
            self._pieces.append(piece)

    def end(self, at: int, *, whole: bool) -> None:
        body = b"".join(self._pieces).strip()
        if not whole:
            return
        try:
            records = _records(body)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            self._watch.lose(1, "an answer is not of the form that Vectara documents")
            return
        strays = sum(not self._watch.pass_on(record, at) for record in records)
        if strays:
            self._watch.lose(strays, "an event is no JSON object")
        self._watch.complete()


def _records(body: bytes) -> Sequence[bytes]:
    """Give the records of a JSON answer: its `events`, those of a bare list, or the one that it is itself.

    Nothing at all (as with status 204) holds no records.

    Raises:
        msgspec.MsgspecError: it is nothing of the kind.
    """
    if not body:
        return ()
    if body.startswith(b"["):
        return [bytes(each) for each in _each(body)]
    answered = _answered(body)
    if bytes(answered.events):
        return [bytes(each) for each in _each(answered.events)]
    if isinstance(answered.type, str):
        return (body,)
    raise msgspec.ValidationError("an object with neither events nor a type")


def _shown(word: str) -> str:
    """Give a word of a header for a message: the names of codings and of media types are tokens, and short."""
    return repr(word) if re.fullmatch(r"[a-z0-9.+*_/-]{1,64}", word) else "that cannot be named"
