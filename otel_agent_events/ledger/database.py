"""The ledger's tables, and every statement on them. This module imports SQLAlchemy; nothing else does.

SQLAlchemy opens the database, makes the tables and compiles each statement once. What is done for every session runs
on the driver's own cursor: going through SQLAlchemy's for each of them takes several times as long as the database.

A *run* is a process that sends. It has one row, which it renews; a session is held by a run as long as that row is
there. Whoever finds the row lapsed, or knows that the process has ended, removes it, and with it the run's hold
on all its sessions at once. So one compare-and-set on one row decides who lives, and a run that slept too long
finds its row gone. Every write names the run that it is made for, and does nothing when the session is another's.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast
from urllib.parse import quote, quote_plus

import sqlalchemy as sa
from sqlalchemy import exc

from otel_agent_events.events import value
from otel_agent_events.ledger import ranges
from otel_agent_events.ledger.entry import Entry, LedgerError, Seal, State
from otel_agent_events.ledger.process import Process, has_ended
from otel_agent_events.messages import hidden, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

T = TypeVar("T")

SCHEMA = 1
"""The version of the tables that this module reads and writes."""

LAPSE = 15.0
"""Seconds after which a run that was not renewed holds nothing any more."""

_BUSY = 8.0  # seconds to wait for another process's write; with the time between two renewals it stays below LAPSE
_FORGOTTEN = 24 * 3600.0  # seconds after which nobody comes back for a lapsed run
_TRIES = 3
_PAUSE = 0.2

_DRIVERS = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
    "pymysql": "pymysql",
    "oracledb": "oracledb",
    "pyodbc": "pyodbc",
    "pg8000": "pg8000",
}

_CLOCKS = {
    "postgresql": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)",
    "mysql": "UNIX_TIMESTAMP(NOW(6))",
    "mariadb": "UNIX_TIMESTAMP(NOW(6))",
}
"""What a server calls its clock. Several machines share it, and their own clocks differ."""

_METADATA = sa.MetaData()
_VERSION = sa.Table(
    "otel_agent_events_ledger",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("version", sa.Integer, nullable=False),
)
_RUN = sa.Table(
    "otel_agent_events_run",
    _METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("machine", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.BigInteger, nullable=False),
    sa.Column("started", sa.BigInteger, nullable=False),
    sa.Column("expires", sa.Double, nullable=False),
)
_SESSION = sa.Table(
    "otel_agent_events_session",
    _METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("destination", sa.Text, nullable=False),
    sa.Column("family", sa.Text, nullable=False),
    sa.Column("reference", sa.Text, nullable=False),
    sa.Column("namespace", sa.Text, nullable=False),
    sa.Column("view", sa.Text, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),  # 0 until something of the session was begun
    sa.Column("trace_id", sa.String(32), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("sealed", sa.Integer, nullable=False),
    sa.Column("events", sa.BigInteger, nullable=False),
    sa.Column("last_key", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("spans", sa.BigInteger, nullable=False),
    sa.Column("parts", sa.BigInteger, nullable=False),
    sa.Column("acknowledged", sa.Text, nullable=False),
    sa.Column("updated", sa.Double, nullable=False),
    sa.Column("run", sa.String(32), nullable=True),
)


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


class _Found(NamedTuple):
    """A row of a session, with that of the run that holds it: the columns of `find` and `entries`, in their order."""

    destination: str
    family: str
    reference: str
    namespace: str
    view: str
    revision: int
    trace_id: str
    state: str
    sealed: int
    events: int
    last_key: str
    digest: str
    spans: int
    parts: int
    acknowledged: str
    updated: float
    run: str | None
    run_id: str | None
    machine: str
    host: str
    pid: int
    started: int
    lapsed: bool | None


class Database:
    """A ledger's database, with one connection that is used by one thread at a time.

    Its methods raise LedgerError, in a sentence without credentials.
    """

    def __init__(self, url: sa.URL, engine: sa.Engine) -> None:
        self.name = _name(url)
        self._secrets = _secrets(url)
        self._engine = engine
        self._lock = threading.RLock()
        self._connection: sa.PoolProxiedConnection | None = None
        self._driver: Any = engine.dialect.loaded_dbapi
        self._own_clock = engine.dialect.name not in _CLOCKS
        self._begin = "BEGIN IMMEDIATE" if engine.dialect.name == "sqlite" else None
        self._statements = _Statements(engine.dialect)

    @classmethod
    def open(cls, url: str) -> Database:
        """Open a ledger; what it needs is made where it is missing.

        Raises:
            LedgerError: it cannot be opened.
        """
        parsed = _parsed(url)
        database = cls(parsed, _engine(parsed))
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
                known.insert(cursor, {**_row(entry), "id": identity, "run": run})
            except self._driver.IntegrityError as error:
                raise _TakenMeanwhileError from error
            return Taken(latest=None)
        found = _Found._make(row)
        if found.run == run:
            return Taken(latest=_entry(found))  # a second try, after an answer that was lost
        if found.run_id is not None:
            told = {"of_run": found.run, **self._now()}
            if found.lapsed:
                removed = known.remove_lapsed(cursor, told)
            elif has_ended(_process(found)):
                removed = known.leave(cursor, told)
            else:
                return True
            if not removed:
                return True  # it was renewed, or somebody else was quicker
        if not known.hold(cursor, {"of_session": identity, "run": run, "seen": found.run or ""}):
            return True
        # Whoever held it may have written until this run held it.
        known.find(cursor, asked)
        return Taken(latest=_entry(_Found._make(cursor.fetchone())))

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
        told = {**key, **_known(write.entry), "run": None if write.release else run}
        return self._statements.write(cursor, told) > 0

    def entries(self) -> Iterator[Entry]:
        """Give what is known of each session, the newest first."""
        try:
            with self._engine.connect().execution_options(reading=True, yield_per=1000) as connection:
                for row in connection.execute(self._statements.entries, self._now()):
                    entry = _entry(_Found._make(row))
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
                    version = _made(connection)
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
        return LedgerError(f"the ledger {self.name} cannot {doing}: {reason}; {_advice(reason)}")


class _TakenMeanwhileError(Exception):
    """Another run wrote the row of a new session first."""


class _Statement:
    """A statement, compiled for a database and run on its driver's cursor.

    Its parameters are texts, integers and floats, which every driver takes as they are.
    """

    def __init__(self, statement: sa.sql.expression.ClauseElement, dialect: sa.Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        self._text: str = compiled.string
        self._constants: dict[str, Any] = {name: each for name, each in compiled.params.items() if each is not None}
        self._names: Sequence[str] | None = compiled.positiontup
        self._known: tuple[str, ...] = tuple(compiled.params)

    def __call__(self, cursor: Any, told: Mapping[str, Any]) -> int:
        """Run it; give the number of rows that it concerned."""
        constants = self._constants
        if self._names is not None:
            cursor.execute(self._text, [told[name] if name in told else constants[name] for name in self._names])
        else:
            cursor.execute(self._text, {name: told[name] if name in told else constants[name] for name in self._known})
        return int(cursor.rowcount)


class _Statements:
    """Every statement, made once."""

    def __init__(self, dialect: sa.Dialect) -> None:
        clock = _CLOCKS.get(dialect.name)
        now: sa.ColumnElement[float] = (
            sa.literal_column(clock, sa.Double()) if clock else sa.bindparam("now", type_=sa.Double())
        )
        run, session = _RUN.c, _SESSION.c
        of_run, of_session = sa.bindparam("of_run", type_=sa.String()), sa.bindparam("of_session", type_=sa.String())
        seen = sa.bindparam("seen", type_=sa.String())
        mine = sa.and_(session.id == of_session, session.run == of_run)
        both = _SESSION.outerjoin(_RUN, run.id == session.run)
        found = (
            *(each for each in session if each.name != "id"),
            run.id.label("run_id"),
            run.machine,
            run.host,
            run.pid,
            run.started,
            (run.expires < now).label("lapsed"),
        )
        known = {each.name: sa.bindparam(each.name, type_=each.type) for each in session}
        changing = {name: each for name, each in known.items() if name not in {"id", "destination", "family"}}
        entering = {each.name: sa.bindparam(each.name, type_=each.type) for each in run if each.name != "expires"}
        lapses = now + sa.literal(LAPSE, sa.Double())

        def made(statement: sa.sql.expression.ClauseElement) -> _Statement:
            return _Statement(statement, dialect)

        self.forget = made(sa.delete(_RUN).where(run.expires < now - sa.literal(_FORGOTTEN, sa.Double())))
        self.enter = made(sa.insert(_RUN).values(**entering, expires=lapses))
        self.renew = made(sa.update(_RUN).where(run.id == of_run).values(expires=lapses))
        self.leave = made(sa.delete(_RUN).where(run.id == of_run))
        self.remove_lapsed = made(sa.delete(_RUN).where(run.id == of_run, run.expires < now))
        # The row is locked until the transaction ends, so a run that is alive here cannot be removed meanwhile.
        self.alive = made(sa.select(run.id).where(run.id == of_run).with_for_update(read=True))
        self.find = made(sa.select(*found).select_from(both).where(session.id == of_session))
        self.insert = made(sa.insert(_SESSION).values(known))
        self.hold = made(
            sa.update(_SESSION)
            .where(session.id == of_session, sa.func.coalesce(session.run, "") == seen)
            .values(run=known["run"])
        )
        self.write = made(sa.update(_SESSION).where(mine).values(changing))
        self.free = made(sa.update(_SESSION).where(mine).values(run=sa.null()))
        self.discard = made(sa.delete(_SESSION).where(mine, session.revision == sa.literal_column("0")))
        self.entries = sa.select(*found).select_from(both).order_by(session.updated.desc(), session.id)


# --- rows ---------------------------------------------------------------------------------------------


def _row(entry: Entry) -> dict[str, Any]:
    return {"destination": _stored(entry.destination), "family": _stored(entry.family), **_known(entry)}


def _known(entry: Entry) -> dict[str, Any]:
    seal = entry.seal
    return {
        "reference": _stored(entry.reference),
        "namespace": _stored(entry.namespace),
        "view": _stored(entry.view),
        "revision": entry.revision,
        "trace_id": entry.trace_id,
        "state": entry.state,
        "sealed": int(seal is not None),
        "events": seal.events if seal else 0,
        "last_key": _stored(seal.last_key) if seal else "",
        "digest": _stored(seal.digest) if seal else "",
        "spans": seal.spans if seal else 0,
        "parts": seal.parts if seal else 0,
        "acknowledged": ranges.written(entry.acknowledged),
        "updated": entry.updated,
    }


def _process(row: _Found) -> Process:
    return Process(machine=row.machine, host=row.host, pid=row.pid, started=row.started)


def _entry(row: _Found) -> Entry | None:
    """Read a row, or give None when nothing of the session was begun."""
    if not row.revision:
        return None
    held = row.run_id is not None and not row.lapsed and not has_ended(_process(row))
    return Entry(
        destination=_loaded(row.destination),
        family=_loaded(row.family),
        reference=_loaded(row.reference),
        namespace=_loaded(row.namespace),
        view=_loaded(row.view),
        revision=row.revision,
        trace_id=row.trace_id,
        state=cast("State", row.state),
        seal=Seal(
            events=row.events,
            last_key=_loaded(row.last_key),
            digest=_loaded(row.digest),
            spans=row.spans,
            parts=row.parts,
        )
        if row.sealed
        else None,
        acknowledged=ranges.read(row.acknowledged),
        updated=row.updated,
        held_by=f"{row.host}:{row.pid}" if held else None,
    )


def _stored(text: str) -> str:
    """Give a text that every database stores: NUL and lone surrogates, which some refuse, as a JSON string."""
    if text.isascii() and "\0" not in text and not text.startswith('"'):
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(text)
    return json.dumps(text) if "\0" in text or text.startswith('"') else text


def _loaded(text: str) -> str:
    return json.loads(text) if text.startswith('"') else text


# --- opening ------------------------------------------------------------------------------------------


def _parsed(url: str) -> sa.URL:
    form = "it looks like sqlite:///PATH or postgresql://USER@HOST/DATABASE"
    try:
        parsed = sa.make_url(url)
    except (exc.ArgumentError, ValueError):
        # It is not quoted: there may be a password in it.
        raise LedgerError(f"the URL of the ledger cannot be understood; {form}") from None
    if parsed.drivername in {"postgresql", "postgres"}:
        # Releases of SQLAlchemy differ in what they take when no driver is named.
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise LedgerError("a ledger in memory forgets everything; give it a file (sqlite:///PATH), or use --no-ledger")
    return parsed


def _engine(url: sa.URL) -> sa.Engine:
    backend = url.get_backend_name()
    arguments: dict[str, Any] = {}
    if backend == "sqlite":
        arguments = {"timeout": _BUSY, "check_same_thread": False}
    elif url.drivername == "postgresql+psycopg":
        arguments = {"connect_timeout": 10}
    try:
        engine = sa.create_engine(url, connect_args={**arguments, **_told(url, arguments)}, hide_parameters=True)
    except exc.NoSuchModuleError:
        raise LedgerError(
            f"SQLAlchemy knows no database {url.drivername!r}; use sqlite or postgresql, or install the package "
            f"that adds it"
        ) from None
    except ImportError as error:
        module = (error.name or url.get_driver_name()).partition(".")[0]
        raise LedgerError(
            f"a ledger at {backend}:// needs the package {module}, which cannot be imported; "
            f"pip install {_DRIVERS.get(module, module)!r}"
        ) from None
    except (exc.SQLAlchemyError, TypeError, ValueError):
        raise LedgerError(
            f"the URL of the ledger {_name(url)} cannot be used; check what stands behind the ?"
        ) from None
    if engine.dialect.is_async:
        raise LedgerError(
            f"{url.drivername} is an asynchronous driver, which the ledger does not use; write {backend}:// alone"
        )
    if backend == "sqlite":
        sa.event.listen(engine, "connect", _set_up_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _told(url: sa.URL, arguments: dict[str, Any]) -> dict[str, Any]:
    """Give those arguments that the URL itself says otherwise."""
    return {name: float(str(url.query[name])) for name in arguments if name in url.query}


def _set_up_sqlite(connection: Any, _: Any) -> None:
    """Let readers read while one writes, and survive the end of a process at any moment."""
    connection.isolation_level = None  # the transaction is begun below, not by the driver's rules
    cursor = connection.cursor()
    try:
        mode = cursor.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        # Without the log beside the file, less than FULL could spoil the file when the power fails.
        cursor.execute(f"PRAGMA synchronous={'NORMAL' if mode == 'wal' else 'FULL'}")
    finally:
        cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    # A transaction that reads before it writes may not become a writer later, so it is one from the start.
    connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get("reading") else "BEGIN IMMEDIATE")


def _made(connection: sa.Connection) -> int:
    """Make what is missing of the tables; give their version."""
    _METADATA.create_all(connection)
    version = connection.execute(sa.select(_VERSION.c.version)).scalar()
    if version is None:
        connection.execute(sa.insert(_VERSION), {"id": 1, "version": SCHEMA})
        return SCHEMA
    return int(version)


def _name(url: sa.URL) -> str:
    """Give the URL without user, password and options."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    port = f":{url.port}" if url.port else ""
    return f"{url.get_backend_name()}://{url.host or ''}{port}/{url.database or ''}"


def _secrets(url: sa.URL) -> set[str]:
    told = {str(url.password or ""), *(str(each) for name, each in url.query.items() if "pass" in name.lower())}
    return {form for each in told for form in (each, quote(each), quote_plus(each)) if form}


def _advice(reason: str) -> str:
    low = reason.lower()
    if "full" in low or "no space" in low or "too large" in low:
        return "make room on the disk, or give another --ledger"
    if "locked" in low:
        return "another program keeps it locked: end that, or give another --ledger"
    if "readonly" in low or "read-only" in low or "permission" in low or "unable to open" in low:
        return "make the file and its folder writable, or give another --ledger"
    if "not a database" in low or "malformed" in low:
        return "move that file away, or give another --ledger"
    return "check its URL (--ledger) and the database, or use --no-ledger"
