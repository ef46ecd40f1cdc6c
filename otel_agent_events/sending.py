"""`send`: deliver files of OTLP JSON lines, such as what was set aside. A second run goes on where one ended.

What a destination has answered of a file is written down beside it, in `FILE.sent`, after the answer and never before:
who is killed on the way sends at worst again what was in flight. What it did not take stays in the file.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import stat
import sys
import threading
import time
import zlib
from bisect import bisect_right
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError, computed_field

from otel_agent_events.errors import ReadError, UnreachableError, UsageError
from otel_agent_events.messages import MOST_TOLD, one_line
from otel_agent_events.otlp import connect
from otel_agent_events.otlp.lines import read
from otel_agent_events.report import Counts
from otel_agent_events.settings import Settings

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Self

    from otel_agent_events.otlp import Aside, Head, Outcome
    from otel_agent_events.otlp.send import Sender

STANDARD_INPUT = "-"

_EVERY = 0.2  # seconds between two looks at what was answered
_MOST_LINE = 64 << 20  # bytes; a collector's longest lines have a few MB
_MOST_SPANS = 256  # that are handed over at once
_MOST_BYTES = 256 << 10
_DIGESTED = 64 << 10  # of the beginning of a file, by which it is known again
_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"

_MODEL = ConfigDict(frozen=True, extra="forbid")


class FileReport(Counts):
    """What became of the spans of one file, in this run. `set_aside` are those that stay in it for another run.

    Attributes:
        file: as it was named.
        destination: its name.
        acknowledged_before, rejected_before: in runs before this one.
        flawed: how many lines are no OTLP; they were skipped.
        finished: nothing is left in the file that could be sent.
        messages: what the destination said, and of the first flawed lines what is wrong with them.
        error: why the file was not sent, or not to its end.
    """

    file: str
    destination: str
    acknowledged_before: int = 0
    rejected_before: int = 0
    flawed: int = 0
    finished: bool = False
    messages: tuple[str, ...] = ()
    error: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether every span of the file was acknowledged, now or before."""
        return self.finished and self.arrived and self.error is None and not (self.rejected_before or self.flawed)


class SendReport(BaseModel):
    """What `send` did.

    Attributes:
        unreachable: the destination, when it did not answer at all.
        notes: what concerns all files: how options and variables were understood.
        interrupted: it was stopped by Ctrl-C.
        seconds: how long it took.
    """

    model_config = _MODEL

    files: tuple[FileReport, ...]
    unreachable: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    interrupted: bool = False
    seconds: float

    @computed_field  # type: ignore[prop-decorator]
    @property
    def totals(self) -> Counts:
        """The sum over all files, of this run."""
        return sum(self.files, Counts())

    @property
    def exit_code(self) -> int:
        """0: all acknowledged, now or before. 1: something was not. 3: no answer at all. 130: interrupted."""
        if self.interrupted:
            return 130
        if self.unreachable:
            return 3
        return 0 if all(file.succeeded for file in self.files) else 1


def send(
    files: Iterable[str | Path],
    *,
    endpoint: str | None = None,
    protocol: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float | None = None,
    deadline: float | None = None,
    again: bool = False,
    set_aside: Aside | None = None,
    environ: Mapping[str, str] | None = None,
    told: Callable[[FileReport], None] | None = None,
    noted: Callable[[str], None] | None = None,
) -> SendReport:
    """Deliver files of OTLP JSON lines. What was acknowledged in a run before is not sent again.

    Args:
        files: paths, of gzip files as well, or `-` for standard input. Beside each, `FILE.sent` says what of it was
            answered, for each destination. Of standard input and pipes nothing is remembered.
        endpoint: where to; without it `OTEL_EXPORTER_OTLP_*` and then the default of the specification hold, as for
            the next three.
        protocol: `http/protobuf` or `grpc`.
        headers: sent to the endpoint.
        timeout: seconds to wait for one answer.
        deadline: seconds for which a batch is tried.
        again: send also what this destination has answered before.
        set_aside: keeps what was not taken of standard input; without it that is lost.
        environ: instead of the environment of this process.
        told: is called with each file's report as soon as it is known.
        noted: is called with each line that concerns all files.

    Returns:
        What became of every file; `exit_code` of it says how it went.

    Raises:
        UsageError: the call cannot be carried out as it stands; nothing was sent.
    """
    began = time.monotonic()
    settings = Settings.here() if environ is None else Settings(environ)
    if settings.disabled:
        raise UsageError("OTEL_SDK_DISABLED is true, so nothing was sent; unset it to send")
    target, notes = settings.endpoint(url=endpoint, protocol=protocol, headers=headers, timeout=timeout)
    wanted = [Path(file) for file in files]
    _check(wanted)
    for file in [each for each in wanted if _is_mark(each)]:
        wanted.remove(file)
        notes.append(f"{file} says what of the file beside it was sent, and holds no spans: it was passed over")
    for note in notes:
        (noted or _ignore)(note)
    kept = _Kept()
    delivery = _Delivery(connect(target, deadline=deadline, aside=kept))
    reports: list[FileReport] = []
    with delivery:
        for file in wanted:
            name = os.fspath(file)
            kept.aside = (set_aside or _Nowhere()) if _is_stream(file) else None
            kept.name = name if kept.aside is None else kept.aside.name
            if delivery.sender.failure is not None:
                why = f"not tried: {delivery.sender.name} takes nothing more"
                report = FileReport(file=name, destination=delivery.sender.name, error=why)
            else:
                report = _send_one(file, delivery, again=again)
            reports.append(report)
            (told or _ignore)(report)
            if delivery.interrupted:
                break
    return SendReport(
        files=tuple(reports),
        unreachable=delivery.unreachable,
        notes=tuple(notes),
        interrupted=delivery.interrupted,
        seconds=round(time.monotonic() - began, 3),
    )


# --- one file -----------------------------------------------------------------------------------------


class _FileError(Exception):
    """A file cannot be sent, or not to its end. The others go on."""


def _send_one(path: Path, delivery: _Delivery, *, again: bool) -> FileReport:
    """Send what of a file was not answered before."""
    destination = delivery.sender.name
    with ExitStack() as stack:
        try:
            file, mark = _opened(path, stack, destination, again=again)
        except _FileError as error:
            return FileReport(file=os.fspath(path), destination=destination, error=str(error))
        book = _Book(mark)
        if mark is not None and mark.sent.finished == mark.size():
            book.said.add(
                f"{path} was sent to {destination} already: --again sends all of it again, and so does `send` when "
                f"{mark.path} is gone"
            )
            return book.report(path, destination, finished=True)
        ended, errors = False, []
        try:
            with delivery.of(book):
                ended = _hand_over(file, book, delivery.sender, at_once=mark is None)
        except _FileError as raised:
            errors.append(str(raised))
        finished = book.close(ended=ended)
        failure = delivery.sender.failure
        stays = (
            "" if mark is None else f"; what was not acknowledged stays in {path}: the same command goes on from there"
        )
        if delivery.interrupted:
            errors.append(f"interrupted{stays}")
        elif failure is not None:
            book.said.discard(str(failure))
            errors.append(f"{failure}{stays}")
        if book.unsaved is not None:
            errors.append(book.unsaved)
        return book.report(path, destination, "; ".join(errors) or None, finished=finished)


def _hand_over(file: IO[bytes], book: _Book, sender: Sender, *, at_once: bool) -> bool:
    """Hand the spans of a file over until it ends, or the destination takes nothing more; say whether it ended."""
    group = _Group(sender, book, most=1 if at_once else _MOST_SPANS)
    for line in _lines(file, book.settled.copy()):
        if sender.failure is not None:
            return False
        if line.content is None:
            book.flaw(f"line {line.number}: it has more than {_MOST_LINE >> 20} MiB")
            continue
        if not line.content.strip():
            book.pass_over(line)
            continue
        try:
            groups = read(line.content)
        except ReadError as error:
            book.flaw(f"line {line.number}: {error}")
            continue
        if groups:
            group.add(line, groups)
        else:
            book.pass_over(line)
    group.put()
    return True


class _Line(NamedTuple):
    """A line, and the bytes of the file where it begins and ends. `content` is None for one that is too long."""

    number: int
    begin: int
    end: int
    content: bytes | None


class _Group:
    """Spans with one head that stand one after the other, to be handed over at once."""

    def __init__(self, sender: Sender, book: _Book, most: int) -> None:
        self._sender = sender
        self._book = book
        self._most = most
        self._head: Head | None = None
        self._bodies: list[bytes] = []
        self._size = 0
        self._first = 0

    def add(self, line: _Line, groups: Sequence[tuple[Head, list[bytes]]]) -> None:
        """Take the spans of a line, but for those that were answered before."""
        settled = self._book.answered_within(line)
        at = 0
        entry = _Entry(line.begin, line.end, left=sum(len(bodies) for _, bodies in groups))
        entry.left -= settled.size
        for head, bodies in groups:
            if head is not self._head:
                self.put()
                self._head = head
            for body in bodies:
                if settled.end_of(at) is None:
                    number = self._book.expect(entry, at)
                    self._first = self._first if self._bodies else number
                    self._bodies.append(body)
                    self._size += len(body)
                at += 1
                if len(self._bodies) >= self._most or self._size >= _MOST_BYTES:
                    self.put()

    def put(self) -> None:
        """Hand over what there is. This may wait."""
        bodies, self._bodies, self._size = self._bodies, [], 0
        if bodies and self._head is not None:
            self._sender.put(self._head, bodies, owner=self._book.owner, first=self._first)


def _lines(file: IO[bytes], settled: _Ranges) -> Iterator[_Line]:
    """Read the lines of a file that are not settled, each with its place."""
    at = number = 0
    try:
        while True:
            end = settled.end_of(at)
            if end is not None:
                number += _skip(file, end - at)
                at = end
                continue
            content: bytes | None = file.readline(_MOST_LINE)
            if not content:
                return
            begin, at, number = at, at + len(content), number + 1
            rest = content
            while len(rest) == _MOST_LINE and not rest.endswith(b"\n"):
                rest, content = file.readline(_MOST_LINE), None
                at += len(rest)
            yield _Line(number, begin, at, content)
    except (OSError, EOFError, zlib.error) as error:
        words = (isinstance(error, OSError) and error.strerror) or one_line(str(error))
        raise _FileError(f"it cannot be read any further behind line {number}: {words}") from error


def _skip(file: IO[bytes], size: int) -> int:
    """Read so many bytes and give the number of lines that end in them."""
    lines = 0
    while size and (chunk := file.read(min(size, _CHUNK))):
        size -= len(chunk)
        lines += chunk.count(b"\n")
    return lines


# --- what is known of a file --------------------------------------------------------------------------


class _Ranges:
    """Whole numbers, as ranges that neither touch nor overlap, in their order."""

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        self._begins: list[int] = []
        self._ends: list[int] = []
        for begin, end in sorted(pairs):
            self.add(begin, end)

    def add(self, begin: int, end: int) -> None:
        """Add all numbers from `begin`, up to `end` without it."""
        low = bisect_right(self._begins, begin)
        if low and self._ends[low - 1] >= begin:
            low -= 1
        high = bisect_right(self._begins, end)
        if low < high:
            begin, end = min(begin, self._begins[low]), max(end, self._ends[high - 1])
        self._begins[low:high] = [begin]
        self._ends[low:high] = [end]

    def end_of(self, number: int) -> int | None:
        """Give the end of the range that holds a number, or None when there is none."""
        place = bisect_right(self._begins, number) - 1
        return self._ends[place] if place >= 0 and self._ends[place] > number else None

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return sum(self._ends) - sum(self._begins)

    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Give the beginning and the end of each range."""
        return tuple(zip(self._begins, self._ends, strict=True))

    def copy(self) -> _Ranges:
        """Give the same ranges, which do not change with these."""
        return _Ranges(self.pairs())


_NONE = _Ranges()


class _Sayings:
    """Sentences, each once: the first ten, and how many more there were."""

    def __init__(self) -> None:
        self._first: dict[str, None] = {}
        self.count = 0

    def add(self, sentence: str) -> None:
        """Take a sentence."""
        if sentence in self._first:
            return
        self.count += 1
        if len(self._first) < MOST_TOLD:
            self._first[sentence] = None

    def discard(self, sentence: str) -> None:
        """Forget a sentence that is told elsewhere."""
        if self._first.pop(sentence, sentence) is None:
            self.count -= 1

    def told(self) -> list[str]:
        """Give the sentences."""
        more = self.count - len(self._first)
        return [*self._first, *([f"and {more} more of this kind"] if more > 0 else [])]


@dataclass(slots=True)
class _Entry:
    """A line on its way: its place, and how many of its spans are not answered."""

    begin: int
    end: int
    left: int


class _Book:
    """What became of the spans of one file. For several threads.

    Args:
        mark: what runs before this one have written down, and what is written on; None for standard input.
    """

    def __init__(self, mark: _Mark | None = None) -> None:
        sent = Sent() if mark is None else mark.sent
        self.owner = object()
        self.settled = _Ranges(sent.lines)
        self._within = {begin: _Ranges(pairs) for begin, pairs in sent.within.items()}
        self.said = _Sayings()
        self.unsaved: str | None = None
        self._mark = mark
        self._before = sent
        self._flaws = _Sayings()
        self._counts: dict[str, int] = dict.fromkeys(("acknowledged", "rejected", "set_aside", "lost"), 0)
        self._expected: dict[int, tuple[_Entry, int]] = {}
        self._numbers = 0
        self._is_new = False  # whether something was answered that is not written down
        self._lock = threading.Lock()

    def answered_within(self, line: _Line) -> _Ranges:
        """Give the places of those spans of a line that were answered before."""
        with self._lock:
            known = self._within.get(line.begin)
            return _NONE if known is None else known.copy()

    def expect(self, entry: _Entry, at: int) -> int:
        """Await the answer to the span at a place in its line; give its number among all."""
        with self._lock:
            self._expected[self._numbers] = entry, at
            self._numbers += 1
            return self._numbers - 1

    def pass_over(self, line: _Line) -> None:
        """Note a line without spans."""
        with self._lock:
            self.settled.add(line.begin, line.end)
            self._is_new = True

    def flaw(self, words: str) -> None:
        """Note a line that cannot be sent."""
        self._flaws.add(words)

    def settle(self, outcome: Outcome) -> None:
        """Note what became of spans. Those that were rejected are settled, too.

        Of a batch that was taken in part nobody knows which of its spans were rejected.
        """
        with self._lock:
            for name in self._counts:
                self._counts[name] += getattr(outcome, name)
            if outcome.message:
                self.said.add(outcome.message)
            answered = not (outcome.set_aside or outcome.lost)
            for number in range(outcome.first, outcome.first + len(outcome.spans)):
                entry, at = self._expected.pop(number)
                if not answered:
                    continue
                self._is_new = True
                entry.left -= 1
                if not entry.left:
                    self.settled.add(entry.begin, entry.end)
                    self._within.pop(entry.begin, None)
                else:
                    self._within.setdefault(entry.begin, _Ranges()).add(at, at + 1)

    def save(self, finished: int | None = None) -> None:
        """Write down what was answered, when there is something new.

        Args:
            finished: the size of the file when nothing in it is left to be sent.
        """
        if self._mark is None:
            return
        with self._lock:
            if not self._is_new and finished is None:
                return
            sent = Sent(
                acknowledged=self._before.acknowledged + self._counts["acknowledged"],
                rejected=self._before.rejected + self._counts["rejected"],
                lines=self.settled.pairs(),
                within={begin: ranges.pairs() for begin, ranges in self._within.items()},
                finished=finished,
            )
            self._is_new = False
        try:
            self._mark.write(sent)
            self.unsaved = None
        except OSError as error:
            self._is_new = True
            why = f"{self._mark.path} could not be written: {error.strerror}"
            self.unsaved = f"{why}; another run sends again what this one has sent"

    def close(self, *, ended: bool) -> bool:
        """Count what never got an answer, and write down the rest. Say whether nothing is left to be sent.

        Args:
            ended: the file was read to its end.
        """
        with self._lock:
            left = len(self._expected)
            self._counts["lost" if self._mark is None else "set_aside"] += left
            kept = self._counts["set_aside"] + self._counts["lost"]
        finished = ended and not kept
        if self._mark is not None:
            self.save(self._mark.size() if finished and not self._flaws.count else None)
        return finished

    @property
    def answered(self) -> bool:
        """Whether the destination has said anything of a span."""
        return self._counts["acknowledged"] + self._counts["rejected"] > 0

    def report(self, path: Path, destination: str, error: str | None = None, *, finished: bool = False) -> FileReport:
        """Say what became of the file."""
        return FileReport(
            **self._counts,
            made=sum(self._counts.values()),
            file=os.fspath(path),
            destination=destination,
            acknowledged_before=self._before.acknowledged,
            rejected_before=self._before.rejected,
            flawed=self._flaws.count,
            finished=finished,
            messages=(*self.said.told(), *self._flaws.told()),
            error=error,
        )


# --- the mark -----------------------------------------------------------------------------------------


_Pairs: TypeAlias = tuple[tuple[int, int], ...]


class Sent(BaseModel):
    """What a destination has answered of a file.

    Attributes:
        acknowledged, rejected: how many spans. Of those that were rejected nothing is sent again by itself.
        lines: the lines all of whose spans were answered: where they begin and end, in bytes of the file, or of what is
            packed in it.
        within: of the other lines, by their beginning, the places of the spans that were answered, from 0.
        finished: the size of the file in bytes when nothing in it was left to be sent.
    """

    model_config = _MODEL

    acknowledged: int = 0
    rejected: int = 0
    lines: _Pairs = ()
    within: dict[int, _Pairs] = {}
    finished: int | None = None


class MarkFile(BaseModel):
    """What `FILE.sent` holds.

    Attributes:
        mark: the version of this form.
        size: of FILE, in bytes; it may have grown since.
        digested: how many of its first bytes have the digest `sha256`.
        destinations: what each of them has answered, by its name.
    """

    model_config = _MODEL

    mark: int = 1
    size: int
    digested: int
    sha256: str
    destinations: dict[str, Sent] = {}


class _Mark:
    """`FILE.sent`, for one destination.

    Args:
        path: of FILE.
        file: FILE, opened.
        again: what this destination has answered before does not count.

    Attributes:
        path: of the mark.
        sent: what the destination had answered before.

    Raises:
        _FileError: it cannot be read, or written, or is of another file.
    """

    def __init__(self, path: Path, file: IO[bytes], destination: str, *, again: bool) -> None:
        self.path = path.with_name(f"{path.name}.sent")
        self._file = file
        self._destination = destination
        known = self._load(path, again=again)
        digested = min(self.size(), _DIGESTED)
        others = {} if known is None else dict(known.destinations)
        mine = others.pop(destination, Sent())
        self.sent = Sent() if again else mine
        self._others = MarkFile(size=self.size(), digested=digested, sha256=self._digest(digested), destinations=others)
        self._is_new = known is None
        try:
            self.write(self.sent)
        except OSError as error:
            raise _FileError(
                f"{self.path} cannot be written ({error.strerror}), so it would not be known what was sent: "
                "send a copy in another folder, or from standard input"
            ) from error

    def size(self) -> int:
        """Give the bytes of FILE."""
        return os.fstat(self._file.fileno()).st_size

    def write(self, sent: Sent) -> None:
        """Put a new mark in the place of the old one.

        Raises:
            OSError: it cannot be written. The old one stays.
        """
        content = self._others.model_copy(
            update={"destinations": {**self._others.destinations, self._destination: sent}}
        ).model_dump_json()
        part = self.path.with_name(f".{self.path.name}.part")
        try:
            with part.open("wb") as file:
                file.write(content.encode())
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)
        except OSError:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        if sent.lines or sent.within:
            self._is_new = False

    def close(self) -> None:
        """Take a mark away that says nothing."""
        if self._is_new:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)

    def _load(self, path: Path, *, again: bool) -> MarkFile | None:
        try:
            known = MarkFile.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            if again:
                return None
            raise _FileError(
                f"{self.path} cannot be read, so it is not known what of {path} was sent: --again sends all of it"
            ) from error
        if known.size <= self.size() and self._digest(known.digested) == known.sha256:
            return known
        if again:
            return None
        raise _FileError(f"{path} is not the file of which {self.path} tells what was sent: --again sends all of it")

    def _digest(self, size: int) -> str:
        self._file.seek(0)
        content = self._file.read(size)
        self._file.seek(0)
        return hashlib.sha256(content).hexdigest()


# --- files --------------------------------------------------------------------------------------------


def _check(paths: Sequence[Path]) -> None:
    """See that there are files to send.

    Raises:
        UsageError: there are none, or one of them is no file.
    """
    if not paths:
        raise UsageError("there is no file to send; name files of OTLP JSON lines, or - for standard input")
    for path in paths:
        told = os.fspath(path)
        if told == STANDARD_INPUT:
            continue
        try:
            mode = path.stat().st_mode
        except (OSError, ValueError) as error:
            words = (isinstance(error, OSError) and error.strerror) or "it is no path of a file"
            raise UsageError(f"{told!r} cannot be read: {words}") from error
        if stat.S_ISDIR(mode):
            raise UsageError(f"{told!r} is a folder; name the files in it")


def _is_stream(path: Path) -> bool:
    """Say whether something can be read once only."""
    return os.fspath(path) == STANDARD_INPUT or not path.is_file()


def _is_mark(path: Path) -> bool:
    return path.suffix == ".sent" and path.with_suffix("").is_file()


def _opened(path: Path, stack: ExitStack, destination: str, *, again: bool) -> tuple[IO[bytes], _Mark | None]:
    """Open a file for this process alone, and read its mark; standard input and pipes have none."""
    if os.fspath(path) == STANDARD_INPUT:
        return _unpacked(sys.stdin.buffer, stack), None
    try:
        file = stack.enter_context(path.open("rb"))
    except OSError as error:
        raise _FileError(f"{path} cannot be read: {error.strerror}") from error
    if _is_stream(path):
        return _unpacked(file, stack), None
    _lock(path, file)
    mark = _Mark(path, file, destination, again=again)
    stack.callback(mark.close)
    return _unpacked(file, stack), mark


def _unpacked(file: IO[bytes], stack: ExitStack) -> IO[bytes]:
    peek: Callable[[int], bytes] | None = getattr(file, "peek", None)
    if peek is None or not peek(len(_GZIP)).startswith(_GZIP):
        return file
    unpacked: Any = stack.enter_context(gzip.GzipFile(fileobj=file))
    return unpacked  # type: ignore[no-any-return]


def _lock(path: Path, file: IO[bytes]) -> None:
    """Keep other processes from sending the same file. The lock ends with the process, however that ends."""
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _FileError(f"{path} is being sent by another process; wait for it to end") from None
        except OSError:
            pass  # a file system without locks: then it is on the caller not to send it twice at once


# --- the destination ----------------------------------------------------------------------------------


class _Kept:
    """Where the sender puts what was not taken: it is in its file already, and stays there.

    Attributes:
        name: of the file.
        aside: keeps what comes from standard input, which cannot be read again.
    """

    def __init__(self) -> None:
        self.name = STANDARD_INPUT
        self.aside: Aside | None = None

    def put(self, head: Head, bodies: Sequence[bytes]) -> None:
        """Do nothing for a file."""
        if self.aside is not None:
            self.aside.put(head, bodies)


class _Nowhere:
    """Keeps nothing."""

    name = "standard input"

    def put(self, head: Head, bodies: Sequence[bytes]) -> None:  # noqa: ARG002 - as everything that keeps spans
        """Say that it cannot."""
        raise OSError(errno.ESPIPE, "it cannot be read again; --set-aside PATH keeps what is not taken")


class _Delivery:
    """The sender, and a thread that notes what was answered while others wait.

    Attributes:
        interrupted: Ctrl-C was pressed.
    """

    def __init__(self, sender: Sender) -> None:
        self.sender = sender
        self.interrupted = False
        self._answered = False
        self._book: _Book | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="note what was sent", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.sender.close()
        else:
            self.sender.abandon()
        self._over.set()
        self._thread.join()
        self._collect()

    @property
    def unreachable(self) -> tuple[str, ...]:
        """The destination, when it never answered at all."""
        silent = isinstance(self.sender.failure, UnreachableError) and not self._answered
        return (self.sender.name,) if silent else ()

    @contextmanager
    def of(self, book: _Book) -> Iterator[None]:
        """Send spans of one file; in the end all of them have their outcome, also after Ctrl-C, which ends here."""
        self._book = book
        try:
            try:
                yield
            finally:
                self.sender.flush()
        except KeyboardInterrupt:
            self.interrupted = True
            self.sender.stop()
            self.sender.flush()
        finally:
            self._collect()
            self._book = None

    def _look(self) -> None:
        while not self._over.wait(_EVERY):
            self._collect()

    def _collect(self) -> None:
        with self._lock:
            book = self._book
            for outcome in self.sender.outcomes():
                if book is not None and outcome.owner is book.owner:
                    book.settle(outcome)
            if book is not None:
                self._answered |= book.answered
                book.save()


def _ignore(_: object) -> None:
    """Nobody asked to be told."""
