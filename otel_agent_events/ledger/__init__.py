"""The ledger: what each destination acknowledged of each session, so that a second run sends nothing twice.

A session is leased to one run at a time. While it is being sent, what was acknowledged is written a moment later by a
thread of the ledger, many sessions at once; what must be known before spans go out is written before the call
returns. A process that ends at any moment leaves a ledger from which the next run goes on.

Nothing of this raises into the sending of spans: when the database fails, `Ledger.failure` says so, and from then on
the calls do nothing. Importing this module imports no database; `Ledger.open` does.
"""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from otel_agent_events.ledger.entry import Entry, LedgerError, Prefix, Seal, State
from otel_agent_events.ledger.process import this_process
from otel_agent_events.ledger.ranges import Ranges, gaps, holds, size, with_range

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from otel_agent_events.ledger.database import Database, Write

__all__ = [
    "POLL",
    "Entry",
    "Lease",
    "Ledger",
    "LedgerError",
    "Prefix",
    "Ranges",
    "Seal",
    "State",
    "gaps",
    "holds",
    "is_absent",
    "size",
]

POLL = 0.25
"""Seconds between two tries for a lease that another run holds."""

RENEWAL = 5.0
"""Seconds between two renewals."""

_DOUBT = 10.0  # seconds without a renewal, after which it is asked for at once: something held this process up
_GROUP = 0.01  # seconds for which writes are gathered
_MOST = 500  # sessions in one group
_BEHIND = 4  # answers of a destination that may be told of and not written

# Time goes on for others while this machine sleeps.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC) if hasattr(time, "clock_gettime") else None


class Ledger:
    """What destinations have, in a database that several runs and machines may share. For several threads.

    Attributes:
        failure: why nothing is remembered any more, once that is so. The next run may send again what was sent since.
    """

    def __init__(self, database: Database) -> None:
        self.failure: str | None = None
        self._database = database
        self._order = threading.RLock()  # one thread at a time gathers and writes; taken before `_wake`
        self._wake = threading.Condition()  # over everything below, and over what leases know
        self._run: str | None = None
        self._renewed = 0.0
        self._held: dict[str, Lease] = {}
        self._changed: dict[str, Lease] = {}
        self._answers = 0  # told of since the last group was written
        self._thread: threading.Thread | None = None
        self._closed = False

    @classmethod
    def open(cls, url: str) -> Ledger:
        """Open a ledger; its file and tables are made where they are missing.

        Args:
            url: as SQLAlchemy has it, such as `sqlite:////var/lib/x/ledger.db` or `postgresql://user@host/database`.

        Raises:
            LedgerError: it cannot be opened. The message holds no password.
        """
        try:
            from otel_agent_events.ledger.database import Database  # noqa: PLC0415 - SQLAlchemy takes a while
        except ImportError as error:
            raise LedgerError(f"the ledger needs SQLAlchemy ({error}); pip install 'sqlalchemy>=2'") from None
        return cls(Database.open(url))

    @property
    def name(self) -> str:
        """The path of the file, or the address of the database without credentials."""
        return self._database.name

    def __enter__(self) -> Self:
        """Give the ledger; it is closed when the block ends."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def lease(  # noqa: D417 - the last three are alike
        self, destination: str, family: str, *, reference: str = "", namespace: str = "", view: str = ""
    ) -> Lease | None:
        """Try to hold a session at a destination. Returns at once.

        Args:
            destination: what it is known as, without credentials.
            family: names the session and the view of it: platform, namespace, path and options.
            reference, namespace, view: for people.

        Returns:
            The lease, or None while a live run holds the session (when `holding` says that it is this one, its own
            outcomes must come in first). Once there is a `failure`, a lease that knows nothing and writes nothing.
        """
        now = time.time()
        asked = Entry(
            destination=destination,
            family=family,
            reference=reference,
            namespace=namespace,
            view=view,
            revision=0,
            trace_id="",
            state="in_flight",
            updated=now,
        )
        identity = _identity(destination, family)
        with self._order:
            if self._closed or self.failure is not None:
                return Lease(self, identity, asked, None, held=False)
            if identity in self._held:
                self.flush()  # it may have been finished a moment ago
                if identity in self._held:
                    return None
            try:
                while True:
                    run = self._enter()
                    taken = self._database.take(run, identity, asked)
                    if taken is True:
                        return None
                    if taken is not False:
                        break
                    self._lose_all()
            except LedgerError as error:
                self._fail(error)
                return Lease(self, identity, asked, None, held=False)
            lease = Lease(self, identity, asked, taken.latest, held=True)
            with self._wake:
                self._held[identity] = lease
            return lease

    def holding(self, destination: str, family: str) -> bool:
        """Tell whether this ledger itself holds a lease of the session."""
        with self._wake:
            return _identity(destination, family) in self._held

    def destinations(self) -> list[str]:
        """Give each destination of which something is known, once.

        Raises:
            LedgerError: they cannot be read.
        """
        return self._database.destinations()

    def entries(self, destination: str | None = None) -> Iterator[Entry]:
        """Give the latest revision of each session, the newest change first.

        Args:
            destination: only what this one has.

        Raises:
            LedgerError: they cannot be read.
        """
        for entry in self._database.entries():
            if destination is None or entry.destination == destination:
                yield entry

    def flush(self) -> None:
        """Write what was told so far, before this returns."""
        with self._order:
            with self._wake:
                changed, self._changed = self._changed, {}
                self._answers = 0
                writes = [lease._write() for lease in changed.values()]  # noqa: SLF001 - the two are one thing
            self._put(writes)

    def close(self) -> None:
        """Write what was told, let every session go that is still held, and close the database.

        What is not finished stays in flight, and the next run goes on with it.
        """
        with self._wake:
            held = list(self._held.values())
        for lease in held:
            lease.release()
        self.flush()
        with self._order, self._wake:
            self._closed = True
            run, self._run = self._run, None
            thread, self._thread = self._thread, None
            self._wake.notify_all()
        if thread is not None:
            thread.join()
        with self._order:
            if run is not None:
                try:
                    self._database.leave(run)
                except LedgerError as error:
                    self._fail(error)
            self._database.close()

    # --- for leases -----------------------------------------------------------------------------------

    def _put_now(self, lease: Lease) -> None:
        """Write what a lease knows, before this returns."""
        with self._order:
            with self._wake:
                self._changed.pop(lease.identity, None)
                writes = [lease._write()] if lease.held else []  # noqa: SLF001
            self._put(writes)

    def _put_soon(self, lease: Lease) -> None:
        """Let what a lease knows be written with the next group. The caller has `_wake`."""
        if not self._changed or len(self._changed) >= _MOST:
            self._wake.notify_all()
        self._changed[lease.identity] = lease

    def _look(self) -> None:
        """Make sure of the run when something held this process up for so long that others may hold it for dead."""
        if self._run is not None and _seconds() - self._renewed > _DOUBT:
            self._renew()

    # --- inside ---------------------------------------------------------------------------------------

    def _put(self, writes: list[Write]) -> None:
        """Write; the caller has `_order`."""
        run = self._run
        if not writes or self.failure is not None:
            return
        if run is None:
            return  # what was held has been lost
        try:
            lost = self._database.write(run, writes)
        except LedgerError as error:
            self._fail(error)
            return
        with self._wake:
            for identity in lost:
                if (lease := self._held.pop(identity, None)) is not None:
                    lease._lose()  # noqa: SLF001
            for write in writes:
                if write.release and (lease := self._held.pop(write.id, None)) is not None:
                    lease.held = False

    def _enter(self) -> str:
        """Give the run that leases are held by, made anew when there is none; the caller has `_order`."""
        if self._run is None:
            run = uuid.uuid4().hex
            self._database.enter(run, this_process())
            self._run, self._renewed = run, _seconds()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="ledger", daemon=True)
                self._thread.start()
        return self._run

    def _renew(self) -> None:
        with self._order:
            if self._run is None:
                return
            try:
                alive = self._database.renew(self._run)
            except LedgerError as error:
                self._fail(error)
                return
            self._renewed = _seconds()
            if not alive:
                self._lose_all()

    def _lose_all(self) -> None:
        """Another run took this one for dead; the caller has `_order`."""
        with self._wake:
            held, self._held, self._changed = self._held, {}, {}
            self._run = None
            for lease in held.values():
                lease._lose()  # noqa: SLF001

    def _fail(self, error: LedgerError) -> None:
        with self._wake:
            self._changed.clear()
            if self.failure is None:
                self.failure = f"{error}. What is sent from now on is not remembered: the next run may send it again"

    def _work(self) -> None:
        """Write groups and renew the run, until the ledger is closed."""
        due = _seconds() + RENEWAL
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closed or self._changed, max(0.0, due - _seconds()))
                if self._changed:
                    self._wake.wait_for(lambda: self._closed or len(self._changed) >= _MOST, _GROUP)
                if self._closed:
                    return
            self.flush()
            if _seconds() >= due:
                # After a failure too: as long as it can be said, no other run sends what this one is sending.
                self._renew()
                due = _seconds() + RENEWAL


class Lease:
    """A session at a destination, held by this run until it is finished or released.

    Once it is lost, finished or released, or the ledger has failed, its calls do nothing.

    Attributes:
        latest: what was known of the session when the lease was given, if anything.
        held: whether what it is told is written.
    """

    def __init__(self, ledger: Ledger, identity: str, asked: Entry, latest: Entry | None, *, held: bool) -> None:
        self.identity = identity
        self.latest = latest
        self.held = held
        self._ledger = ledger
        self._asked = asked
        self._begun: Entry | None = None
        self._acknowledged: Ranges = ()
        self._letting_go = False
        self._lost = False

    @property
    def lost(self) -> bool:
        """Whether another run has taken the session, as this one seemed dead: send nothing more of it.

        After this process was held up for long, this asks the database.
        """
        if self.held:
            self._ledger._look()  # noqa: SLF001
        return self._lost

    @property
    def acknowledged_ranges(self) -> Ranges:
        """What was acknowledged of the revision that was begun, in this run and before."""
        return self._acknowledged

    def begin(self, revision: int, trace_id: str, *, seal: Seal | None = None, prefix: Prefix | None = None) -> None:
        """Say that a revision is about to be sent. It is written when this returns.

        The revision that `latest` tells of is gone on with, and what was acknowledged of it stays acknowledged; any
        other one starts from nothing and takes its place.

        Args:
            revision: its number, from 1.
            trace_id: of part 1, 32 hex digits.
            seal: what the whole of it is, when that is known already; then there is no need to call `seal`.
            prefix: what is about to be sent first, as long as the whole is not known.
        """
        known = self.latest
        if known is not None and (known.revision, known.trace_id) != (revision, trace_id):
            known = None
        with self._ledger._wake:  # noqa: SLF001
            if not self._writable:
                return
            self._begun = replace(
                self._asked,
                revision=revision,
                trace_id=trace_id,
                seal=seal if known is None else seal or known.seal,
                prefix=prefix if known is None else _longer(known.prefix, prefix),
                updated=time.time(),
            )
            self._acknowledged = known.acknowledged if known else ()
        self._ledger._put_now(self)  # noqa: SLF001

    def acknowledged(self, first: int, count: int) -> None:
        """Say that the destination took some spans of the revision. It is written a moment later.

        Args:
            first: the place of the first of them among all spans of the revision, from 0.
            count: how many, one after the other.
        """
        with self._ledger._wake:  # noqa: SLF001
            if self._begun is None or not self._writable:
                return
            self._acknowledged = with_range(self._acknowledged, first, count)
            self._ledger._put_soon(self)  # noqa: SLF001

    def keep_up(self) -> None:
        """Say that all was told of one answer; when several answers are not written yet, they are when this returns.

        So what may come twice when the process dies is bounded, however quickly the answers come.
        """
        with self._ledger._wake:  # noqa: SLF001
            self._ledger._answers += 1  # noqa: SLF001
            behind = self._ledger._answers >= _BEHIND  # noqa: SLF001
        if behind:
            self._ledger.flush()

    def sending(self, prefix: Prefix) -> None:
        """Say what is about to be sent of the revision, from its first span on. It is written when this returns."""
        with self._ledger._wake:  # noqa: SLF001
            if self._begun is None or not self._writable:
                return
            longer = _longer(self._begun.prefix, prefix)
            if longer is self._begun.prefix:
                return
            self._begun = replace(self._begun, prefix=longer, updated=time.time())
        self._ledger._put_now(self)  # noqa: SLF001

    def seal(self, seal: Seal) -> None:
        """Say what the whole of the revision is, before its last spans are sent. It is written when this returns."""
        with self._ledger._wake:  # noqa: SLF001
            if self._begun is None or not self._writable:
                return
            self._begun = replace(self._begun, seal=seal, updated=time.time())
        self._ledger._put_now(self)  # noqa: SLF001

    def finish(self, state: State) -> None:
        """Say how the revision ended, and let the session go. Both are written together a moment later."""
        self._let_go(state)

    def release(self) -> None:
        """Let the session go as it is: what was begun stays in flight, and a run can go on with it."""
        self._let_go(None)

    def _let_go(self, state: State | None) -> None:
        with self._ledger._wake:  # noqa: SLF001
            if not self._writable:
                return
            if self._begun is not None:
                self._begun = replace(self._begun, state=state or self._begun.state, updated=time.time())
            self._letting_go = True
            self._ledger._put_soon(self)  # noqa: SLF001

    @property
    def _writable(self) -> bool:
        return self.held and not self._letting_go

    def _write(self) -> Write:
        """Give what is to be written; the caller has the ledger's `_wake`."""
        from otel_agent_events.ledger.database import Write  # noqa: PLC0415 - SQLAlchemy takes a while

        begun = None if self._begun is None else replace(self._begun, acknowledged=self._acknowledged)
        return Write(self.identity, begun, self._letting_go)

    def _lose(self) -> None:
        self.held, self._lost = False, True


def _longer(one: Prefix | None, other: Prefix | None) -> Prefix | None:
    """Give the prefix that reaches further, the first of two that reach as far."""
    if one is None or other is None:
        return one or other
    return other if other.spans > one.spans else one


def _identity(destination: str, family: str) -> str:
    return hashlib.sha256(f"{destination}\n{family}".encode("utf-8", "surrogatepass")).hexdigest()


def _seconds() -> float:
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)


def is_absent(url: str) -> bool:
    """Tell whether a ledger is a file that is not there yet, so that reading it need not make it."""
    scheme, _, path = url.partition(":///")
    path = path.partition("?")[0]
    return scheme.partition("+")[0] == "sqlite" and not path.startswith("file:") and not Path(path).exists()
