"""From what the user named to where its answers come from: a platform, a file, standard input, bytes in memory."""

from __future__ import annotations

import itertools
import math
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING

import httpx

from otel_agent_events.errors import ReadError, SessionError, UsageError
from otel_agent_events.fetchers import FETCHERS, Finder, form_of
from otel_agent_events.fetchers.client import TIMEOUT, Client, Limits, Waiting
from otel_agent_events.fetchers.connections import Connections
from otel_agent_events.fetchers.lines import LARGE, LargeFile
from otel_agent_events.fetchers.neutral import is_neutral, load_neutral
from otel_agent_events.fetchers.saved import load
from otel_agent_events.reference import Reference
from otel_agent_events.stopping import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import ExitStack

    from otel_agent_events.fetchers import Answer, Fetcher, Readable
    from otel_agent_events.settings import Settings
    from otel_agent_events.stopping import Stop

STANDARD_INPUT = "-"

_LONGEST = 86_400
"""Seconds in a day: who waits longer for one answer does not mean it."""

_LEAST_RATE = 0.001
_MOST_CANDIDATES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One session and where its answers come from.

    Attributes:
        fetcher: reads the answers.
        answers: may be gone through more than once.
        flaws: what is known to be missing; a session with flaws counts as failed, and cut short.
        warnings: what should be said of how it was found.
        saved: the answers are in a file or in memory, so that asking again gives no more.
    """

    reference: Reference
    fetcher: Readable
    answers: Iterable[Answer]
    flaws: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    saved: bool = False

    def asked_for(self, stop: Stop | None) -> Iterable[Answer]:
        """Give the answers, and none any more when it is asked to stop.

        Raises:
            Stopped: it was asked to.
        """
        return self.answers if stop is None else stop.reading(self.answers)


@dataclass(frozen=True, slots=True)
class _InMemory:
    """A saved answer that is in no file. The same bytes are the same answer.

    Attributes:
        number: counts those of one call, from 1: they have no other name.
    """

    content: bytes
    number: int = field(compare=False)

    def __str__(self) -> str:
        return f"saved answer {self.number}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user named, checked and not yet opened.

    Attributes:
        name: as the user wrote it; of bytes, which of the saved answers it is.
        open: gives its sessions: one, unless it is a file with several. Raises SessionError when there is none.
    """

    name: str
    open: Callable[[], Sequence[Source]]


class Sources:
    """Resolve references. One client serves all sessions of a platform.

    Args:
        settings: where fetchers find their variables.
        stack: closes what is opened here.
        base_url: of the platform, when all references are of one.
        session: names what a saved answer does not.
        client: does the transport; one of our own is made without it.
        timeout: seconds to wait for one answer.
        rate: the most requests a second to one platform; None for no limit.
        stop: ends the waits between requests, with `Stopped`.

    Raises:
        UsageError: the timeout or the rate is none.
    """

    def __init__(
        self,
        settings: Settings,
        stack: ExitStack,
        *,
        base_url: str | None = None,
        session: str | Reference | None = None,
        client: httpx.Client | None = None,
        timeout: float | None = None,
        rate: float | None = None,
        stop: Stop | None = None,
    ) -> None:
        self._settings = settings
        self._stack = stack
        self._base_url = base_url
        self._session = Reference.parse(session) if isinstance(session, str) else session
        self._http = client
        if timeout is not None and not 0 < timeout <= _LONGEST:
            raise UsageError(f"the timeout is {timeout:g}; it is a number of seconds above 0, and at most {_LONGEST}")
        self._timeout = timeout
        if rate is not None and not _LEAST_RATE <= rate < math.inf:
            raise UsageError(f"the rate is {rate:g}; it is a number of requests a second, and at least {_LEAST_RATE}")
        self._rate = rate
        self._clients: dict[str, Client] = {}
        self._connections = None if client is not None else Connections()
        self._waiting = Waiting() if stop is None else Waiting(sleep=stop.sleep)

    def hang_up(self) -> None:
        """Ask for nothing more, and end the wait for what was asked for. From any thread.

        The connections of the caller's client stay as they are: others may use them. There the answer that is under way
        is waited for, no longer than the timeout.
        """
        if self._connections is not None:
            self._connections.hang_up()

    @contextmanager
    def stopped_by(self, stop: Stop | None, name: str) -> Iterator[None]:
        """Let the reading of one session in this block be stopped from another thread.

        Raises:
            SessionError: it was.
        """
        if stop is None:
            yield
            return
        try:
            with stop.hurrying(self.hang_up, read_no_further=self.hang_up):
                yield
        except Stopped:
            raise SessionError(f"{name}: stopped while it was read") from None

    def resolve(self, references: Iterable[str | bytes | Path | Reference]) -> list[Wanted]:
        """Check all references before anything is fetched; one that is named twice is wanted once.

        Args:
            references: `FETCHER:PATH`, a file, or `-` for standard input; bytes are what is in a file.

        Raises:
            UsageError: one of them is none, or credentials are missing, or an option does not fit them.
        """
        if isinstance(references, (str, bytes, Reference)):
            # Each of them can be gone through, and what comes of it is not what was meant.
            raise UsageError(f"{_shown(references)} stands alone where several may be named; put it in a list")
        numbers = itertools.count(1)
        parsed = list(
            dict.fromkeys(
                _InMemory(reference, next(numbers)) if isinstance(reference, bytes) else self._parsed(reference)
                for reference in references
            )
        )
        if not parsed:
            raise UsageError("no session was named; write FETCHER:PATH, a file, or - for standard input")
        remote = [each for each in parsed if isinstance(each, Reference)]
        if self._base_url is not None and len({each.platform for each in remote}) > 1:
            raise UsageError("--base-url is of one platform; name sessions of one platform with it")
        if self._session is not None:
            fetcher = FETCHERS.get(self._session.platform)
            path = self._session.path
            if len(path) != len(fetcher.path) or not path[-1]:
                raise _no_session(f"--session {self._session}", fetcher)
            if len(parsed) - len(remote) != 1:
                raise UsageError("--session names what one saved answer does not; give one file with it")
        return [self.wanted(each) for each in parsed]

    def _parsed(self, reference: str | Path | Reference) -> Reference | Path | str:
        if not isinstance(reference, str) or reference == STANDARD_INPUT:
            return reference
        platform, colon, _ = reference.partition(":")
        if colon and platform in FETCHERS.names():
            return Reference.parse(reference)
        if os.path.exists(reference):  # noqa: PTH110 - Path raises for a name that is too long
            return Path(reference)
        known = ", ".join(FETCHERS.names())
        raise UsageError(
            f"{reference!r} is neither a file nor FETCHER:PATH; installed fetchers: {known} "
            "(otel-agent-events fetchers lists them)"
        )

    def wanted(self, reference: Reference | Path | str | _InMemory) -> Wanted:
        """Check one reference, and give what opens it.

        Raises:
            UsageError: it names no session, or credentials are missing.
        """
        if not isinstance(reference, Reference):
            return Wanted(str(reference), lambda: self._saved(reference))
        fetcher = FETCHERS.get(reference.platform)
        missing = len(fetcher.path) - len(reference.path)
        if missing < 0 or not reference.path[-1]:
            raise _no_session(str(reference), fetcher)
        whole = Reference(reference.platform, ("",) * missing + reference.path)
        if not all(whole.path) and not isinstance(fetcher, Finder):
            raise _no_session(str(reference), fetcher)
        client, had = self.client(fetcher), _fetched if all(whole.path) else _found
        return Wanted(str(reference), lambda: [had(client, fetcher, whole)])

    def client(self, fetcher: Fetcher) -> Client:
        """Give the one client of a platform.

        Raises:
            UsageError: credentials are missing.
        """
        if fetcher.name not in self._clients:
            connection = fetcher.connect(self._settings.variables(fetcher.variables), self._base_url)
            if self._http is None:
                self._http = self._stack.enter_context(_transport())
            self._clients[fetcher.name] = Client(
                self._http,
                connection,
                timeout=self._timeout or TIMEOUT,
                limits=Limits(rate=self._rate),
                waiting=self._waiting,
                connections=self._connections,
            )
        return self._clients[fetcher.name]

    def _saved(self, place: Path | str | _InMemory) -> list[Source]:
        name = "standard input" if place == STANDARD_INPUT else str(place)
        try:
            content = _content(place, name)
            if not is_neutral(content):
                several = load(content, name, self._session)
            elif self._session is not None:
                raise ReadError(f"{name} names its sessions itself; leave --session out")
            else:
                several = load_neutral(content.whole() if isinstance(content, LargeFile) else content, name)
        except OSError as error:
            raise ReadError(f"{name} cannot be read: {error.strerror}") from None
        return [
            Source(reference=each.reference, fetcher=each.fetcher, answers=each.answers, flaws=each.flaws, saved=True)
            for each in several
        ]


def _fetched(client: Client, fetcher: Fetcher, reference: Reference, *, warnings: tuple[str, ...] = ()) -> Source:
    return Source(reference=reference, fetcher=fetcher, answers=_Fetched(client, fetcher, reference), warnings=warnings)


class _Fetched:
    """The answers of a session, which are asked for each time that somebody goes through them."""

    def __init__(self, client: Client, fetcher: Fetcher, reference: Reference) -> None:
        self._client = client
        self._fetcher = fetcher
        self._reference = reference

    def __iter__(self) -> Iterator[Answer]:
        return self._client.fetch(self._fetcher, self._reference)


def _found(client: Client, fetcher: Fetcher, incomplete: Reference) -> Source:
    """Find the one session that an incomplete reference means.

    Raises:
        SessionError: there is none, or there are several.
    """
    assert isinstance(fetcher, Finder)  # noqa: S101 - else it is not asked to find anything
    found = client.find(fetcher, incomplete)
    session = incomplete.path[-1]
    match found.references:
        case (reference,):
            said = f"{session!r} was looked for in {found.searched}, and is {reference}"
            return _fetched(client, fetcher, reference, warnings=(said,))
        case ():
            raise SessionError(
                f"{incomplete}: {session!r} was looked for in {found.searched}, and is not there; "
                f"name it as {form_of(fetcher)}"
            )
        case several:
            names = ", ".join(map(str, several[:_MOST_CANDIDATES]))
            if len(several) > _MOST_CANDIDATES:
                names += f" and {len(several) - _MOST_CANDIDATES} others"
            raise SessionError(
                f"{incomplete}: {session!r} was looked for in {found.searched}, and is there {len(several)} times; "
                f"name one of {names}"
            )


def _shown(reference: str | bytes | Reference) -> str:
    return "a saved answer" if isinstance(reference, bytes) else repr(str(reference))


def _no_session(told: str, fetcher: Fetcher) -> UsageError:
    return UsageError(f"{told} names no session; write {form_of(fetcher)}")


def _transport() -> httpx.Client:
    try:
        return httpx.Client()
    except (ImportError, OSError, ValueError, httpx.InvalidURL):
        # What httpx says of a proxy that it cannot use holds the proxy's address, and so maybe a password.
        raise UsageError(
            "the proxy or the certificates of the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE, "
            "SSL_CERT_DIR) cannot be used"
        ) from None


def _content(place: Path | str | _InMemory, name: str) -> bytes | LargeFile:
    """Give what is saved somewhere; of a large file in UTF-8, in which one can go back, line by line.

    Raises:
        OSError: it cannot be read.
    """
    if isinstance(place, _InMemory):
        return place.content
    if place == STANDARD_INPUT:
        return _standard_input()
    path = Path(place)
    status = path.stat()
    large = LargeFile(path, name) if S_ISREG(status.st_mode) and status.st_size > LARGE else None
    return large if large is not None and large.is_utf8 else path.read_bytes()


def _standard_input() -> bytes:
    if sys.stdin is None:  # as with `<&-`
        raise ReadError("standard input is closed")
    return sys.stdin.buffer.read()
