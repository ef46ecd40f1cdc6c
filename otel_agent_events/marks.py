"""What is known of a file that is sent: what its destination has answered, and the mark in which that is written down.

The mark is `FILE.sent`, beside the file. It is written after an answer and never before: who is killed on the way sends
at worst again what was in flight.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from otel_agent_events.ledger import ranges
from otel_agent_events.messages import MOST_TOLD
from otel_agent_events.report import Counts

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from pathlib import Path

    from otel_agent_events.otlp import Outcome
    from otel_agent_events.otlp.lines.files import Line

_DIGESTED = 64 << 10  # of the beginning of a file, by which it is known again

_MODEL = ConfigDict(frozen=True, extra="forbid")


class FileError(Exception):
    """A file cannot be sent, or not to its end. The others go on."""


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


# --- what is written down -----------------------------------------------------------------------------


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
    lines: ranges.Ranges = ()
    within: dict[int, ranges.Ranges] = {}
    finished: int | None = None


class MarkFile(BaseModel):
    """What `FILE.sent` holds.

    Attributes:
        mark: the version of this form.
        size: of FILE, in bytes; it may have grown since.
        digested: how many of its first bytes have the digest `sha256`.
        destinations: what each of them has answered, by what it is known as.
    """

    model_config = _MODEL

    mark: int = 1
    size: int
    digested: int
    sha256: str
    destinations: dict[str, Sent] = {}


class Mark:
    """`FILE.sent`, for one destination.

    Args:
        path: of FILE.
        file: FILE, opened.
        again: what this destination has answered before does not count.

    Attributes:
        path: of the mark.
        sent: what the destination had answered before.

    Raises:
        FileError: it cannot be read, or written, or is of another file.
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
            raise FileError(
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
            raise FileError(
                f"{self.path} cannot be read, so it is not known what of {path} was sent: --again sends all of it"
            ) from error
        if known.size <= self.size() and self._digest(known.digested) == known.sha256:
            return known
        if again:
            return None
        raise FileError(f"{path} is not the file of which {self.path} tells what was sent: --again sends all of it")

    def _digest(self, size: int) -> str:
        self._file.seek(0)
        content = self._file.read(size)
        self._file.seek(0)
        return hashlib.sha256(content).hexdigest()


def lock(path: Path, file: IO[bytes]) -> None:
    """Keep other processes from sending the same file. The lock ends with the process, however that ends.

    Raises:
        FileError: another process is sending it.
    """
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FileError(f"{path} is being sent by another process; wait for it to end") from None
        except OSError:
            pass  # a file system without locks: then it is on the caller not to send it twice at once


# --- what is known ------------------------------------------------------------------------------------


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
class Entry:
    """A line on its way: its place, and how many of its spans are not answered."""

    begin: int
    end: int
    left: int


class Book:
    """What became of the spans of one file. For several threads.

    Args:
        mark: what runs before this one have written down, and what is written on; None for standard input.

    Attributes:
        owner: of the outcomes that concern this file.
        settled: the lines all of whose spans were answered, as `Sent.lines`.
        said: what the destination said.
        there: how many spans were not sent, since their sessions are there.
        unsaved: why the mark could not be written the last time, if so.
    """

    def __init__(self, mark: Mark | None = None) -> None:
        sent = Sent() if mark is None else mark.sent
        self.owner = object()
        self.settled = sent.lines
        self._within = dict(sent.within)
        self.said = _Sayings()
        self.there = 0
        self.unsaved: str | None = None
        self._mark = mark
        self._before = sent
        self._flaws = _Sayings()
        self._counts: dict[str, int] = dict.fromkeys(("acknowledged", "rejected", "set_aside", "lost"), 0)
        self._expected: dict[int, tuple[Entry, int]] = {}
        self._numbers = 0
        self._is_new = False  # whether something was answered that is not written down
        self._lock = threading.Lock()

    def answered_within(self, line: Line) -> ranges.Ranges:
        """Give the places of those spans of a line that were answered before."""
        with self._lock:
            return self._within.get(line.begin, ())

    def expect(self, entry: Entry, at: int) -> int:
        """Await the answer to the span at a place in its line; give its number among all."""
        with self._lock:
            self._expected[self._numbers] = entry, at
            self._numbers += 1
            return self._numbers - 1

    def pass_over(self, line: Line, *, there: int = 0) -> None:
        """Note a line that needs not be sent: it has no spans, or as many as this whose sessions are there."""
        self.there += there
        with self._lock:
            self._within.pop(line.begin, None)
            self.settled = ranges.with_range(self.settled, line.begin, line.end - line.begin)
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
            entries = [self._expected.pop(outcome.first + place) for place in range(len(outcome.spans))]
            if outcome.set_aside or outcome.lost or not entries:
                return
            self._is_new = True
            begin = end = 0  # of lines that follow each other: they are added at once, since ranges may be many
            for entry, at in entries:
                entry.left -= 1
                if entry.left:
                    known = self._within.get(entry.begin, ())
                    self._within[entry.begin] = ranges.with_range(known, at, 1)
                    continue
                self._within.pop(entry.begin, None)
                if entry.begin != end:
                    self.settled = ranges.with_range(self.settled, begin, end - begin)
                    begin = entry.begin
                end = entry.end
            self.settled = ranges.with_range(self.settled, begin, end - begin)

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
                lines=self.settled,
                within=dict(self._within),
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
