"""A ledger's database: what is done in it, each time in one transaction.

This module, `tables` and `opening` import SQLAlchemy; nothing else does.

SQLAlchemy opens the database, makes the tables and compiles each statement once. What is done for every session runs
on the driver's own cursor: going through SQLAlchemy's for each of them takes several times as long as the database.

A *run* is a process that sends. It has one row, which it renews; a session is held by a run as long as that row is
there. Whoever finds the row lapsed, or knows that the process has ended, removes it, and with it the run's hold
on all its sessions at once. So one compare-and-set on one row decides who lives, and a run that slept too long
finds its row gone. Every write names the run that it is made for, and does nothing when the session is another's.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc

from otel_agent_events.events import value
from otel_agent_events.ledger import opening
from otel_agent_events.ledger.entry import Entry, LedgerError
from otel_agent_events.ledger.process import Process, has_ended
from otel_agent_events.ledger.tables import (
    CLOCKS,
    SCHEMA,
    Found,
    Statements,
    columns,
    holder,
    loaded,
    make_tables,
    new_row,
    read_entry,
)
from otel_agent_events.messages import hidden, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

_TRIES = 3
_PAUSE = 0.2


@value()
class Taken:
    """A session that is held now.

    Attributes:
        latest: its latest revision, if one was begun.
    """

    latest: Entry | None


class Write(NamedTuple):
    """What becomes of the row of a session that a run holds.

    Attributes:
        id: the row's.
        entry: what is known now, or None when nothing was begun: then a row with nothing in it goes away.
        release: whether the session is let go.
    """

    id: str
    entry: Entry | None
    release: bool


class Database:
    """A ledger's database, with one connection that is used by one thread at a time.

    Its methods raise LedgerError, in a sentence without credentials.
    """

    def __init__(self, url: sa.URL, engine: sa.Engine) -> None:
        self.name = opening.name_of(url)
        self._secrets = opening.secrets_in(url)
        self._engine = engine
        self._lock = threading.RLock()
        self._connection: sa.PoolProxiedConnection | None = None
        self._driver: Any = engine.dialect.loaded_dbapi
        self._own_clock = engine.dialect.name not in CLOCKS
        self._begin = "BEGIN IMMEDIATE" if engine.dialect.name == "sqlite" else None
        self._statements = Statements(engine.dialect)

    @classmethod
    def open(cls, url: str) -> Database:
        """Open a ledger; what it needs is made where it is missing.

        Raises:
            LedgerError: it cannot be opened.
        """
        parsed = opening.parse(url)
        database = cls(parsed, opening.make_engine(parsed))
        try:
            database._make_folder(parsed)
            database._make_tables()
        except BaseException:
            database.close()
            raise
        return database

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            self._disconnect()
            self._engine.dispose()

    # --- runs -----------------------------------------------------------------------------------------

    def enter(self, run: str, process: Process) -> None:
        """Write the row of a run, and remove those that nobody will ask for again."""
        told = {"machine": process.machine, "host": process.host, "pid": process.pid, "started": process.started}

        def work(cursor: Any) -> None:
            now = self._now()
            self._statements.forget(cursor, now)
            # It is there already on a second try, after an answer that was lost.
            if not self._statements.renew(cursor, {"of_run": run, **now}):
                self._statements.enter(cursor, {"id": run, **told, **now})

        self._transact(work)

    def renew(self, run: str) -> bool:
        """Let a run live on for LAPSE seconds; tell whether it was still there."""
        return self._transact(lambda cursor: self._statements.renew(cursor, {"of_run": run, **self._now()}) > 0)

    def leave(self, run: str) -> None:
        """Remove the row of a run: whatever it held is free."""
        self._transact(lambda cursor: self._statements.leave(cursor, {"of_run": run}))

    # --- sessions -------------------------------------------------------------------------------------

    def take(self, run: str, identity: str, entry: Entry) -> Taken | bool:
        """Try to hold a session for a run.

        Args:
            run: who asks.
            identity: the id of the session's row.
            entry: what is written of it when it is new.

        Returns:
            What is known of it; True when another live run holds it; False when the run that asks is itself gone.
        """
        while True:
            try:
                return self._transact(lambda cursor: self._take(cursor, run, identity, entry))
            except _TakenMeanwhileError:
                # Now there is a row to look at.
                continue

    def _take(self, cursor: Any, run: str, identity: str, entry: Entry) -> Taken | bool:
        known = self._statements
        asked = {"of_session": identity, **self._now()}
        known.alive(cursor, {"of_run": run})
        if cursor.fetchone() is None:
            return False
        known.find(cursor, asked)
        row = cursor.fetchone()
        if row is None:
            try:
                known.insert(cursor, {**new_row(entry), "id": identity, "run": run})
            except self._driver.IntegrityError as error:
                raise _TakenMeanwhileError from error
            return Taken(latest=None)
        found = Found._make(row)
        if found.run == run:
            return Taken(latest=read_entry(found))  # a second try, after an answer that was lost
        if found.run_id is not None:
            told = {"of_run": found.run, **self._now()}
            if found.lapsed:
                removed = known.remove_lapsed(cursor, told)
            elif has_ended(holder(found)):
                removed = known.leave(cursor, told)
            else:
                return True
            if not removed:
                return True  # it was renewed, or somebody else was quicker
        if not known.hold(cursor, {"of_session": identity, "run": run, "seen": found.run or ""}):
            return True
        # Whoever held it may have written until this run held it.
        known.find(cursor, asked)
        return Taken(latest=read_entry(Found._make(cursor.fetchone())))

    def write(self, run: str, writes: Sequence[Write]) -> list[str]:
        """Write what is known of sessions, in one transaction.

        Returns:
            The ids of those that the run holds no longer: nothing was written of them.
        """
        return self._transact(lambda cursor: [each.id for each in writes if not self._write(cursor, run, each)])

    def _write(self, cursor: Any, run: str, write: Write) -> bool:
        key = {"of_session": write.id, "of_run": run}
        if write.entry is None:
            return (self._statements.discard(cursor, key) or self._statements.free(cursor, key)) > 0
        told = {**key, **columns(write.entry), "run": None if write.release else run}
        return self._statements.write(cursor, told) > 0

    def destinations(self) -> list[str]:
        """Give each destination of which there is a session, once."""
        try:
            with self._engine.connect().execution_options(reading=True) as connection:
                return [loaded(destination) for (destination,) in connection.execute(self._statements.destinations)]
        except exc.SQLAlchemyError as error:
            raise self._error("be read", error) from None

    def entries(self) -> Iterator[Entry]:
        """Give what is known of each session, the newest first."""
        try:
            with self._engine.connect().execution_options(reading=True, yield_per=1000) as connection:
                for row in connection.execute(self._statements.entries, self._now()):
                    entry = read_entry(Found._make(row))
                    if entry is not None:
                        yield entry
        except exc.SQLAlchemyError as error:
            raise self._error("be read", error) from None

    # --- how ------------------------------------------------------------------------------------------

    def _now(self) -> dict[str, Any]:
        """Give the time, where the database has no clock of its own to ask."""
        return {"now": time.time()} if self._own_clock else {}

    def _transact(self, work: Callable[[Any], T]) -> T:
        """Do some work in a transaction; once more when the connection broke, since each may be done twice.

        Args:
            work: gets a cursor of the driver.
        """
        with self._lock:
            for tries in range(1, _TRIES + 1):
                try:
                    return self._attempt(work)
                except (exc.SQLAlchemyError, self._driver.Error) as error:
                    broken = self._is_broken(error)
                    if broken:
                        self._disconnect()
                    if tries == _TRIES or not broken:
                        raise self._error("be written", error) from None
                    time.sleep(_PAUSE)
            raise AssertionError  # the last try returns or raises

    def _attempt(self, work: Callable[[Any], T]) -> T:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._engine.raw_connection()
        cursor = connection.cursor()
        try:
            if self._begin is not None:
                cursor.execute(self._begin)
            done = work(cursor)
            connection.commit()
        except BaseException:
            with suppress(self._driver.Error):
                connection.rollback()
            raise
        finally:
            with suppress(self._driver.Error):
                cursor.close()
        return done

    def _is_broken(self, error: Any) -> bool:
        if isinstance(error, exc.SQLAlchemyError):
            return isinstance(error, exc.DBAPIError) and error.connection_invalidated
        connection = None if self._connection is None else self._connection.dbapi_connection
        return connection is None or self._engine.dialect.is_disconnect(error, connection, None)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(exc.SQLAlchemyError, self._driver.Error):  # one that is broken needs no closing
                connection.invalidate()

    def _make_folder(self, url: sa.URL) -> None:
        if url.get_backend_name() != "sqlite" or url.database is None or url.database.startswith("file:"):
            return
        try:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._error("be opened", error) from None

    def _make_tables(self) -> None:
        """Make the tables and the row with their version, or check it."""
        for tries in range(1, _TRIES + 1):
            try:
                with self._engine.begin() as connection:
                    version = make_tables(connection)
                break
            except exc.SQLAlchemyError as error:
                # Another run may have made them at the same time: then they are there now.
                if tries == _TRIES:
                    raise self._error("be opened", error) from None
                time.sleep(_PAUSE)
        if version != SCHEMA:
            raise LedgerError(
                f"the ledger {self.name} was made by a newer release of otel-agent-events (its tables are version "
                f"{version}, this release knows {SCHEMA}); upgrade, or give another --ledger"
            )

    def _error(self, doing: str, error: Exception) -> LedgerError:
        cause = getattr(error, "orig", None) or error
        said = (getattr(cause, "strerror", None) or str(cause)).rstrip(".")
        reason = one_line(hidden(said[:10_000], self._secrets, mask="****"))
        reason = reason or type(cause).__name__
        return LedgerError(f"the ledger {self.name} cannot {doing}: {reason}; {opening.advice_on(reason)}")


class _TakenMeanwhileError(Exception):
    """Another run wrote the row of a new session first."""
