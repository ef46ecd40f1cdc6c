"""How the sessions of one platform are asked for, and how its answers are read.

A fetcher is a plug-in in one file, found under the entry point group `otel_agent_events.fetchers`. It does no I/O of
its own: `ask` yields requests and is sent the answers, `reader` turns answers into events. The client that carries
the requests out is the same for every platform, and so are retries, limits and error messages.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from otel_agent_events.events import Caution, Event, Session, value
from otel_agent_events.plugins import Plugins

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    from otel_agent_events.errors import FetchError
    from otel_agent_events.events import JSON
    from otel_agent_events.fetchers.auth import Credentials
    from otel_agent_events.reference import Reference


@value()
class Request:
    """One GET request.

    Attributes:
        label: what the answer is (`agent`, `session`, `events`); the reader goes by it.
        path: the segments of the path, unencoded.
        may_fail: a failure comes back as an answer with `failure`, and is not raised.
        shared: the answer is the same for every session, and is asked for once a run.
    """

    label: str
    path: tuple[str, ...]
    query: Mapping[str, str] = field(default_factory=dict)
    may_fail: bool = False
    shared: bool = False


@value()
class Answer:
    """What came back.

    Attributes:
        label: that of the request.
        body: the parsed JSON, or what a `Quick` fetcher made of it; None when it failed.
        source: the request, or the file, in words for messages.
        failure: why there is no body, when the request was allowed to fail.
        continues: this is a further piece of the answer before it, such as one more record of the same list, and no
            answer of its own.
        request: what it answers, when it was asked for.
    """

    label: str
    body: JSON
    source: str
    failure: FetchError | None = None
    continues: bool = False
    request: Request | None = None


@value()
class Found:
    """The sessions that an incomplete reference may mean.

    Attributes:
        references: complete ones; more than one when the session's id occurs in several places.
        searched: where they were looked for, in words: `12 agents that this key can list`.
    """

    references: tuple[Reference, ...]
    searched: str


Asking: TypeAlias = "Generator[Request, Answer, None]"
Finding: TypeAlias = "Generator[Request, Answer, Found]"
Item: TypeAlias = Event | Session | Caution


@value()
class Connection:
    """Where a platform is and how to be let in.

    Attributes:
        base_url: without a trailing slash; may have a path.
        credentials: let us in; they are masked in every message.
        advice: by HTTP status, what the user can do about it.
    """

    base_url: str
    credentials: Credentials
    advice: Mapping[int, str] = field(default_factory=dict)


class Reader(Protocol):
    """Turns the answers of one session into events. Stateful, pure: no clock, no I/O.

    Feeding a session's answers in order gives its events in the platform's order. An answer may hold any number of
    records: feeding a list at once, or record by record as answers that continue the first, gives the same events.
    Facts about the session come as a `Session` with all that is known by then. No value in an answer makes it raise
    anything but `ReadError`, and that only where the list of records itself cannot be found.
    """

    @property
    def duplicates(self) -> int:
        """How many records were met again, and gave no event."""
        ...

    def feed(self, answer: Answer) -> Iterable[Item]:
        """Read one answer."""
        ...

    def close(self) -> Iterable[Item]:
        """Say what can be said only when everything has been read."""
        ...


@runtime_checkable
class LiveReader(Reader, Protocol):
    """What a reader has as well when a service can hand on single records, as they come.

    It has all three of these, the same for every session.
    """

    @property
    def at_once(self) -> bool:
        """Whether the events of a record are told as soon as it is taken; else they come with `close`."""
        ...

    @property
    def takes_dicts(self) -> bool:
        """Whether a dict may hold what is no JSON as well, and events keep only scalars of it beside contents.

        Such a dict need not be made JSON first where no contents leave. False is always good.
        """
        ...

    def take(self, record: JSON, arrived: int | None, *, anyhow: bool = False) -> Iterable[Item] | None:
        """Read one record; the same records one by one give the same events as the answers that hold them.

        Args:
            record: as parsed JSON.
            arrived: nanoseconds since 1970 at which it came, which is the time of a record that tells none; None to
                leave such a record undated.
            anyhow: it is known to be no answer: a record of a kind that nobody knows is kept as well.

        Returns:
            What it tells; None when it is not known for a single record. It may be an answer then, for `feed`.

        Raises:
            ReadError: it is kept in no way.
        """
        ...


class Readable(Protocol):
    """What answers are read with: a fetcher, or a format of files for which nothing is fetched."""

    @property
    def name(self) -> str:
        """The word before the colon of a reference, and the platform's name in ids."""
        ...

    def reader(self, reference: Reference) -> Reader:
        """Make a reader for the answers of one session."""
        ...


class Fetcher(Readable, Protocol):
    """One platform."""

    @property
    def path(self) -> tuple[str, ...]:
        """What the parts of the path are called, for messages: `("AGENT", "SESSION")`."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of its answers, in the order in which it asks; saved answers are read in that order."""
        ...

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that `connect` may read."""
        ...

    @property
    def secrets(self) -> tuple[str, ...]:
        """The members of its answers that the platform marks as secrets of its own; they never leave."""
        ...

    def connect(self, environ: Mapping[str, str], base_url: str | None) -> Connection:
        """Find host and credentials.

        Raises:
            UsageError: credentials are missing; names the variables to set.
        """
        ...

    def ask(self, reference: Reference) -> Asking:
        """Yield the requests that fetch a session; each is answered by `send`."""
        ...

    def recognise(self, body: JSON) -> str | None:
        """Give the label under which a saved answer is read, or None when it is not of this platform."""
        ...

    def identify(self, answers: Sequence[Answer]) -> tuple[str, ...]:
        """Give the path of the session that saved answers are of; a part that they do not name is ""."""
        ...


def form_of(fetcher: Fetcher) -> str:
    """Say how a session of a platform is named: `vectara:AGENT/SESSION`."""
    return f"{fetcher.name}:{'/'.join(fetcher.path)}"


@runtime_checkable
class Finder(Protocol):
    """What a fetcher has as well when its API tells where a session is of which only the id is known."""

    def find(self, reference: Reference) -> Finding:
        """Yield the requests that complete a reference of which parts are ""; the last part never is."""
        ...


@runtime_checkable
class Usual(Protocol):
    """The body of an answer in a form of a fetcher's own, which its reader takes more quickly than parsed JSON."""

    def parsed(self) -> JSON:
        """Give it as parsed JSON."""
        ...


@runtime_checkable
class Quick(Fetcher, Protocol):
    """What a fetcher has as well when it can read usual answers without parsing all that is in them."""

    def usual(
        self, content: bytes | memoryview, label: str | None = None, again: Callable[[], memoryview] | None = None
    ) -> Usual | None:
        """Take a body, if everything in it is as usual; None for any other, which is parsed then.

        Args:
            content: the body as it came. Without `again` it is not changed while what comes of it is in use; with it,
                it is gone as soon as this returns.
            label: that of the request, if it was asked for.
            again: gives the body once more, until it is called again: it is one of a file that is too large to be kept.
                It raises `ReadError`.

        Where the fetcher and its reader take a body, they must take what comes out here as well, and make the same of
        both.
        """
        ...


FETCHERS: Plugins[Fetcher] = Plugins("otel_agent_events.fetchers", "fetcher")
