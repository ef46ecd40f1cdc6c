"""`send`: deliver files of OTLP JSON lines, such as what was set aside. A second run goes on where one ended.

What a destination has answered of a file is written down beside it, in `FILE.sent`, after the answer and never before:
who is killed on the way sends at worst again what was in flight. What it did not take stays in the file.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, computed_field

from otel_agent_events.errors import ReadError, UnreachableError, UsageError
from otel_agent_events.ledger import Ledger, LedgerError, holds, is_absent, size
from otel_agent_events.marks import Book, Entry, FileError, FileReport, Mark, lock
from otel_agent_events.otlp import connect
from otel_agent_events.otlp.aside import aside_file
from otel_agent_events.otlp.batches import trace_id_of
from otel_agent_events.otlp.identity import known_as
from otel_agent_events.otlp.lines import files as linefiles
from otel_agent_events.otlp.lines import read
from otel_agent_events.report import Counts
from otel_agent_events.settings import Settings
from otel_agent_events.stopping import Stop, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Self

    from otel_agent_events.otlp import Aside, Head
    from otel_agent_events.otlp.lines.files import Line
    from otel_agent_events.otlp.send import Sender

__all__ = ["STANDARD_INPUT", "FileReport", "SendReport", "send"]

STANDARD_INPUT = "-"

_EVERY = 0.2  # seconds between two looks at what was answered
_MOST_SPANS = 256  # that are handed over at once
_MOST_BYTES = 256 << 10


class SendReport(BaseModel):
    """What `send` did.

    Attributes:
        unreachable: the destination, when it did not answer at all.
        set_aside: the file that took what was not taken of standard input, if there was anything.
        stopped: whether it was stopped before it was through.
        notes: what concerns all files: how options and variables were understood.
        seconds: how long it took.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: tuple[FileReport, ...]
    unreachable: tuple[str, ...] = ()
    set_aside: str | None = None
    stopped: bool = False
    notes: tuple[str, ...] = ()
    seconds: float

    @computed_field  # type: ignore[prop-decorator]
    @property
    def totals(self) -> Counts:
        """The sum over all files, of this run."""
        return sum(self.files, Counts())

    @property
    def exit_code(self) -> int:
        """0: all acknowledged, now or before. 1: something was not. 3: no answer at all. 130: stopped."""
        if self.stopped:
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
    tenant: str | None = None,
    timeout: float | None = None,
    deadline: float | None = None,
    again: bool = False,
    set_aside: str | Path | None = None,
    ledger: str | None = None,
    environ: Mapping[str, str] | None = None,
    stop: Stop | None = None,
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
        tenant: what `FILE.sent` calls whoever gets the spans at the endpoint, instead of a fingerprint of the headers.
        timeout: seconds to wait for one answer.
        deadline: seconds for which a batch is tried.
        again: send also what this destination has answered before, and what the ledger says is there.
        set_aside: the file that takes what is not taken of standard input and pipes, which cannot be read again;
            without it one in the user's state folder.
        ledger: of the replays that may have sent since what was set aside: a URL, as SQLAlchemy has it, or `off`.
            Without it what `OTEL_AGENT_EVENTS_LEDGER` says, and then the file in the user's state folder.
        environ: instead of the environment of this process.
        stop: asks the run to stop, from a signal or another thread.
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
    target, said = settings.endpoint(url=endpoint, protocol=protocol, headers=headers, timeout=timeout, tenant=tenant)
    destination = known_as(target)
    wanted, passed_over = _named(files, set_aside)
    notes: list[str] = []

    def note(line: str) -> None:
        notes.append(line)
        (noted or _ignore)(line)

    for line in (*said, *passed_over):
        note(line)
    stop = stop or Stop()
    aside = aside_file(set_aside, settings.state_folder, destination)
    kept = _Kept()
    there = frozenset[bytes]() if again else _there(ledger, settings, destination, note)
    sender = connect(target, deadline=deadline, aside=kept)
    delivery = _Delivery(sender, stop, known_as=destination, there=there)
    reports: list[FileReport] = []
    with delivery, stop.hurrying(delivery.sender.stop):
        for file in wanted:
            if stop.asked:
                break
            name = os.fspath(file)
            kept.aside = (aside or _Nowhere()) if _is_stream(file) else None
            kept.name = name if kept.aside is None else kept.aside.name
            if delivery.sender.failure is not None:
                why = f"not tried: {delivery.sender.name} takes nothing more"
                report = FileReport(file=name, destination=delivery.sender.name, error=why)
            else:
                report = _send_one(file, delivery, again=again)
            reports.append(report)
            (told or _ignore)(report)
    left = aside.name if aside is not None and aside.count else None
    if left is not None:
        note(f"{aside.count if aside else 0} spans were set aside in {left}; otel-agent-events send delivers them")
    if stop.asked:
        note(_how_far(reports, wanted))
    return SendReport(
        files=tuple(reports),
        unreachable=delivery.unreachable,
        set_aside=left,
        stopped=stop.asked,
        notes=tuple(notes),
        seconds=round(time.monotonic() - began, 3),
    )


def _there(option: str | None, settings: Settings, destination: str, note: Callable[[str], None]) -> frozenset[bytes]:
    """Give the trace ids of sessions that are out, as the ledger says: who set them aside may have sent them since.

    Raises:
        UsageError: the ledger that was asked for cannot be read.
    """
    url, asked = settings.ledger(option)
    if url is None or is_absent(url):
        return frozenset()
    try:
        with Ledger.open(url) as ledger:
            known = ledger.entries(destination)
            return frozenset(bytes.fromhex(entry.trace_id) for entry in known if entry.state == "sent")
    except LedgerError as error:
        if asked:
            raise
        note(f"{error}. Going on without a ledger: what a replay has sent since is sent again")
        return frozenset()


def _how_far(reports: Sequence[FileReport], wanted: Sequence[Path]) -> str:
    told = f"stopped after {sum(report.finished for report in reports)} of {len(wanted)} files"
    return told if any(map(_is_stream, wanted)) else f"{told}; the same command goes on from here"


# --- one file -----------------------------------------------------------------------------------------


def _send_one(path: Path, delivery: _Delivery, *, again: bool) -> FileReport:
    """Send what of a file was not answered before."""
    destination = delivery.sender.name
    with ExitStack() as stack:
        try:
            file, mark = _opened(path, stack, delivery, again=again)
        except FileError as error:
            return FileReport(file=os.fspath(path), destination=destination, error=str(error))
        except Stopped:
            return FileReport(file=os.fspath(path), destination=destination, error="stopped before it was read")
        book = Book(mark)
        if mark is not None and mark.sent.finished == mark.size():
            book.said.add(
                f"{path} was sent to {destination} already: --again sends all of it again, and so does `send` when "
                f"{mark.path} is gone"
            )
            return book.report(path, destination, finished=True)
        ended, errors = False, []
        try:
            with delivery.of(book):
                ended = _hand_over(file, book, delivery, at_once=mark is None)
        except ReadError as raised:
            errors.append(str(raised))
        if book.there:
            book.said.add(
                f"{book.there} spans were passed over: the ledger says that a replay has sent their sessions since "
                "(--again sends them)"
            )
        finished = book.close(ended=ended)
        failure = delivery.sender.failure
        stays = (
            "" if mark is None else f"; what was not acknowledged stays in {path}: the same command goes on from there"
        )
        if delivery.stop.asked and not finished:
            unread = "; what was not read of it was not sent" if mark is None and not ended else ""
            errors.append(f"stopped{stays}{unread}")
        elif failure is not None:
            book.said.discard(str(failure))
            errors.append(f"{failure}{stays}")
        if book.unsaved is not None:
            errors.append(book.unsaved)
        return book.report(path, destination, "; ".join(errors) or None, finished=finished)


def _hand_over(file: IO[bytes], book: Book, delivery: _Delivery, *, at_once: bool) -> bool:
    """Hand the spans of a file over until it ends, or the destination takes nothing more, or somebody asks to stop.

    Returns:
        Whether it ended.
    """
    sender = delivery.sender
    group = _Group(sender, book, most=1 if at_once else _MOST_SPANS)
    try:
        for line in delivery.stop.reading(linefiles.numbered(file, book.settled)):
            if sender.failure is not None:
                return False
            _take(line, book, group, delivery.there)
    except Stopped:
        group.put()
        return False
    except ReadError:  # the file breaks off; what came before goes out
        group.put()
        raise
    group.put()
    return True


def _take(line: Line, book: Book, group: _Group, there: frozenset[bytes]) -> None:
    """Take the spans of a line, or note why there are none."""
    if line.content is None:
        book.flaw(f"line {line.number}: it has more than {linefiles.MOST_LINE >> 20} MiB")
        return
    try:
        groups = read(line.content) if line.content.strip() else []
    except ReadError as error:
        book.flaw(f"line {line.number}: {error}")
        return
    if groups and not (there and _is_there(groups, there)):
        group.add(line, groups)
    else:
        book.pass_over(line, there=sum(len(bodies) for _, bodies in groups))


def _is_there(groups: Sequence[tuple[Head, list[bytes]]], there: frozenset[bytes]) -> bool:
    """Tell whether a line holds nothing but spans of sessions that are out."""
    return all(trace_id_of(body) in there for _, bodies in groups for body in bodies)


class _Group:
    """Spans with one head that stand one after the other, to be handed over at once."""

    def __init__(self, sender: Sender, book: Book, most: int) -> None:
        self._sender = sender
        self._book = book
        self._most = most
        self._head: Head | None = None
        self._bodies: list[bytes] = []
        self._size = 0
        self._first = 0

    def add(self, line: Line, groups: Sequence[tuple[Head, list[bytes]]]) -> None:
        """Take the spans of a line, but for those that were answered before."""
        settled = self._book.answered_within(line)
        at = 0
        entry = Entry(line.begin, line.end, left=sum(len(bodies) for _, bodies in groups) - size(settled))
        for head, bodies in groups:
            if head is not self._head:
                self.put()
                self._head = head
            for body in bodies:
                if not holds(settled, at):
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


# --- files --------------------------------------------------------------------------------------------


def _named(files: Iterable[str | Path], set_aside: str | Path | None) -> tuple[list[Path], list[str]]:
    """Say which files are to be sent, and what should be said about those that are not.

    Raises:
        UsageError: there are none, or one of them is no file, or nothing could be set aside of them.
    """
    paths = [Path(file) for file in files]
    _check(paths)
    wanted = [path for path in paths if not _is_mark(path)]
    if set_aside is not None and not any(map(_is_stream, wanted)):
        raise UsageError("--set-aside is for standard input; what is not taken of a file stays in it")
    said = "says what of the file beside it was sent, and holds no spans: it was passed over"
    return wanted, [f"{path} {said}" for path in paths if _is_mark(path)]


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


def _opened(path: Path, stack: ExitStack, delivery: _Delivery, *, again: bool) -> tuple[IO[bytes], Mark | None]:
    """Open a file for this process alone, and read its mark; standard input and pipes have none.

    Raises:
        FileError: it cannot be sent.
        Stopped: somebody asked to stop while a pipe was waited for.
    """
    if os.fspath(path) == STANDARD_INPUT:
        with delivery.stop.interruptible():
            return linefiles.unpacked(sys.stdin.buffer, stack), None
    try:
        with delivery.stop.interruptible():
            file = stack.enter_context(path.open("rb"))
            if _is_stream(path):
                return linefiles.unpacked(file, stack), None
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}") from error
    lock(path, file)
    mark = Mark(path, file, delivery.known_as, again=again)
    stack.callback(mark.close)
    return linefiles.unpacked(file, stack), mark


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
        stop: asks to stop.
        known_as: what the mark of a file calls the destination.
        there: the ids of traces that it has.
    """

    def __init__(self, sender: Sender, stop: Stop, *, known_as: str, there: frozenset[bytes]) -> None:
        self.known_as = known_as
        self.there = there
        self.sender = sender
        self.stop = stop
        self._book: Book | None = None
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
        silent = isinstance(self.sender.failure, UnreachableError) and not self.sender.answered
        return (self.sender.name,) if silent else ()

    @contextmanager
    def of(self, book: Book) -> Iterator[None]:
        """Send spans of one file; in the end all of them have their outcome, also after an exception."""
        self._book = book
        try:
            yield
        except KeyboardInterrupt:
            self.sender.stop()
            raise
        finally:
            self.sender.flush()
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
                book.save()


def _ignore(_: object) -> None:
    """Nobody asked to be told."""
