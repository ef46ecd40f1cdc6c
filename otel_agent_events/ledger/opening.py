"""Where a ledger is, how its database is opened, and what to do when that fails."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, quote_plus

import sqlalchemy as sa
from sqlalchemy import exc

from otel_agent_events.ledger.entry import LedgerError

_BUSY = 8.0  # seconds to wait for another process's write; with the time between two renewals it stays below LAPSE

_DRIVERS = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
    "pymysql": "pymysql",
    "oracledb": "oracledb",
    "pyodbc": "pyodbc",
    "pg8000": "pg8000",
}


def parse(url: str) -> sa.URL:
    """Read the URL of a ledger.

    Raises:
        LedgerError: it cannot be understood, or forgets everything.
    """
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


def make_engine(url: sa.URL) -> sa.Engine:
    """Make what connects to a database. Nothing is opened yet.

    Raises:
        LedgerError: its driver is not there, or the URL says what it does not know.
    """
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
            f"the URL of the ledger {name_of(url)} cannot be used; check what stands behind the ?"
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


def name_of(url: sa.URL) -> str:
    """Give the URL without user, password and options."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    port = f":{url.port}" if url.port else ""
    return f"{url.get_backend_name()}://{url.host or ''}{port}/{url.database or ''}"


def secrets_in(url: sa.URL) -> set[str]:
    """Give the credentials in a URL, in every form in which a message may quote them."""
    told = {str(url.password or ""), *(str(each) for name, each in url.query.items() if "pass" in name.lower())}
    return {form for each in told for form in (each, quote(each), quote_plus(each)) if form}


def advice_on(reason: str) -> str:
    """Say what to do, given what the database says."""
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
