"""The ledger's tables, every statement on them, and what a row says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import sqlalchemy as sa

from otel_agent_events.ledger import ranges
from otel_agent_events.ledger.entry import Entry, Prefix, Seal, State
from otel_agent_events.ledger.process import Process, has_ended

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCHEMA = 1
"""The version of the tables that this module reads and writes."""

LAPSE = 15.0
"""Seconds after which a run that was not renewed holds nothing any more."""

_FORGOTTEN = 24 * 3600.0  # seconds after which nobody comes back for a lapsed run

CLOCKS = {
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


# --- statements ---------------------------------------------------------------------------------------


def make_tables(connection: sa.Connection) -> int:
    """Make what is missing of the tables; give their version."""
    _METADATA.create_all(connection)
    version = connection.execute(sa.select(_VERSION.c.version)).scalar()
    if version is None:
        connection.execute(sa.insert(_VERSION), {"id": 1, "version": SCHEMA})
        return SCHEMA
    return int(version)


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


class Statements:
    """Every statement, made once."""

    def __init__(self, dialect: sa.Dialect) -> None:
        clock = CLOCKS.get(dialect.name)
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
        self.destinations = sa.select(session.destination).distinct()
        self.entries = sa.select(*found).select_from(both).order_by(session.updated.desc(), session.id)


# --- rows ---------------------------------------------------------------------------------------------


class Found(NamedTuple):
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


def new_row(entry: Entry) -> dict[str, Any]:
    """Give every column of a session that is new, but for its id and its run."""
    return {"destination": _stored(entry.destination), "family": _stored(entry.family), **columns(entry)}


def columns(entry: Entry) -> dict[str, Any]:
    """Give the columns that change with what is known of a session.

    Until it is sealed, `digest` and `spans` are those of its prefix.
    """
    seal = entry.seal
    known = seal or entry.prefix
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
        "digest": _stored(known.digest) if known else "",
        "spans": known.spans if known else 0,
        "parts": seal.parts if seal else 0,
        "acknowledged": ranges.written(entry.acknowledged),
        "updated": entry.updated,
    }


def holder(row: Found) -> Process:
    """Give the process of the run that holds a session."""
    return Process(machine=row.machine, host=row.host, pid=row.pid, started=row.started)


def read_entry(row: Found) -> Entry | None:
    """Read a row, or give None when nothing of the session was begun."""
    if not row.revision:
        return None
    held = row.run_id is not None and not row.lapsed and not has_ended(holder(row))
    return Entry(
        destination=loaded(row.destination),
        family=loaded(row.family),
        reference=loaded(row.reference),
        namespace=loaded(row.namespace),
        view=loaded(row.view),
        revision=row.revision,
        trace_id=row.trace_id,
        state=cast("State", row.state),
        seal=Seal(
            events=row.events,
            last_key=loaded(row.last_key),
            digest=loaded(row.digest),
            spans=row.spans,
            parts=row.parts,
        )
        if row.sealed
        else None,
        prefix=Prefix(spans=row.spans, digest=loaded(row.digest)) if row.digest and not row.sealed else None,
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


def loaded(text: str) -> str:
    """Read what `_stored` gave."""
    return json.loads(text) if text.startswith('"') else text
