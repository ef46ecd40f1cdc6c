"""`convert`: what was read of a session, or events of your own, as a trace. No network, and no I/O.

How the options of a call are understood is said here as well; `replay` and `convert` have them in common.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from otel_agent_events import times
from otel_agent_events.content import Policy
from otel_agent_events.conventions import plugins_of
from otel_agent_events.conversion import Conversion, Options
from otel_agent_events.errors import SessionError, UsageError
from otel_agent_events.events import KINDS, Caution, Session
from otel_agent_events.fetched import Fetched
from otel_agent_events.fetchers import Answer
from otel_agent_events.otlp.encode import Encoder
from otel_agent_events.otlp.file import LineWriter
from otel_agent_events.reference import Reference
from otel_agent_events.scrub import Scrubber
from otel_agent_events.settings import Settings
from otel_agent_events.sources import Source
from otel_agent_events.spans import Remote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_agent_events.content import Content
    from otel_agent_events.conventions import Convention
    from otel_agent_events.events import Event
    from otel_agent_events.fetchers import Item
    from otel_agent_events.spans import Span
    from otel_agent_events.stopping import Stop

LEAST_TRACE = 1_000
"""Bytes that a part of a session may have at least; a smaller one would hold nothing but its root."""

_EVENTS = tuple(KINDS)
_INCOMPLETE = "what was read of the session is incomplete"


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One session as a trace: the spans that `replay` sends of it.

    Attributes:
        reference: the session.
        trace_id: 32 hex digits. Of the first part.
        parts: the trace ids of all parts, when it was split; else empty.
        spans: all of them in the order in which they are sent; the root of each part behind its children.
        warnings: what should be known of it: what was known of the session, and then what came of the conversion.
    """

    reference: Reference
    trace_id: str
    spans: tuple[Span, ...] = field(repr=False)
    parts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def readable(self) -> list[ReadableSpan]:
        """Give the spans as the SDK knows them, for any `SpanExporter`: `exporter.export(trace.readable())`."""
        from otel_agent_events.otlp.readable import to_readables  # noqa: PLC0415 - the SDK takes a while

        return to_readables(self.spans)

    def otlp_json(self) -> list[str]:
        """Give the lines that the destination `file:PATH` writes: OTLP JSON, one span each, with their line feeds."""
        return list(map(LineWriter().line, self.spans))


def convert(
    fetched: Fetched | Iterable[Event | Session | Caution],
    *,
    session: Session | Reference | str | None = None,
    service_name: str | None = None,
    namespace: str = "",
    revision: int = 1,
    turns: bool = False,
    content: Content | None = None,
    max_value: int | None = None,
    max_trace_bytes: int | None = None,
    shift_to: str | int | None = None,
    scrubber: Scrubber | None = None,
    traceparent: str | None = None,
    links: Sequence[str] = (),
    conventions: Sequence[str] = ("gen_ai",),
    environ: Mapping[str, str] | None = None,
    stop: Stop | None = None,
) -> Trace:
    """Make the trace of one session. Nothing is asked for, and nothing sent.

    The options mean what they mean to `replay`, and give the same spans: `convert(fetch(X))` is what `replay([X])`
    sends. All of it is in memory at once.

    Args:
        fetched: what `fetch` gave, or events of your own (`otel_agent_events.events`), each under a key of its own.
            Facts about the session may stand between them; what is known before the first event is on every span.
        session: which session the events are of: what is known of it, or its name as `FETCHER:PATH`. What was fetched
            names its session itself.
        service_name: of the resource; else the environment's, else the agent's key, else the platform's name.
        namespace: an account or environment; part of the ids.
        revision: the number of the revision; part of the ids.
        turns: show turns as spans.
        content: `full`, `scrubbed` (the default) or `none`.
        max_value: the most bytes of UTF-8 in one attribute value.
        max_trace_bytes: the size of a trace at which a session is split into parts.
        shift_to: moves the session in time, so that it ends then: `now`, a time as RFC 3339 has it, or nanoseconds.
        scrubber: takes out secrets by your own patterns too.
        traceparent: a live span under which the session hangs.
        links: traceparents of spans that the root links to.
        conventions: by name; the first one names the spans.
        environ: instead of the environment of this process.
        stop: asks to stop, from another thread.

    Raises:
        UsageError: the call cannot be carried out as it stands.
        SessionError: it was asked to stop.
    """
    settings = Settings.here() if environ is None else Settings(environ)
    options = options_of(
        settings,
        content=content,
        max_value=max_value,
        scrubber=scrubber,
        conventions=conventions,
        turns=turns,
        namespace=namespace,
        revision=revision,
        service_name=service_name,
        traceparent=traceparent,
        links=links,
        shift_to=shift_to,
        max_trace_bytes=max_trace_bytes,
    )
    plugins = plugins_of(options.conventions)
    if not isinstance(fetched, Fetched):
        fetched = _gathered(fetched, session)
    elif session is not None:
        raise UsageError(f"what was fetched is of {fetched.reference} and names its session itself; leave session out")
    shift = 0
    if options.shift_to is not None:
        survey = _conversion(fetched, options, plugins, spans=False)
        _spans(survey, fetched.reference, stop)
        shift = options.shift(survey)
    conversion = _conversion(fetched, options, plugins)
    spans = _spans(conversion, fetched.reference, stop, shift)
    trace_ids = [each.hex() for each in conversion.trace_ids]
    cautions = sum(isinstance(item, Caution) for item in fetched.items)  # which are among the warnings of both
    return Trace(
        reference=fetched.reference,
        trace_id=trace_ids[0],
        parts=tuple(trace_ids) if len(trace_ids) > 1 else (),
        spans=spans,
        warnings=(*fetched.warnings, *conversion.warnings[cautions:]),
    )


def options_of(
    settings: Settings,
    *,
    content: Content | None,
    max_value: int | None,
    scrubber: Scrubber | None,
    conventions: Sequence[str],
    turns: bool,
    namespace: str,
    revision: int,
    service_name: str | None,
    traceparent: str | None,
    links: Sequence[str],
    shift_to: str | int | None,
    max_trace_bytes: int | None,
) -> Options:
    """Check what a call says of how sessions become spans, with what the environment says where it says nothing.

    Raises:
        UsageError: an option or a variable cannot be understood, or two of them exclude each other.
    """
    options = Options(
        policy=Policy(
            content=settings.content(content),
            max_value=settings.max_value(max_value),
            scrubber=scrubber or Scrubber(),
        ),
        conventions=tuple(conventions),
        turns=turns,
        namespace=namespace,
        revision=_from_one(revision),
        service_name=service_name,
        attributes=settings.resource_attributes(),
        parent=None if traceparent is None else Remote.parse(traceparent),
        links=tuple(Remote.parse(link).link() for link in links),
        shift_to=_moment(shift_to),
        max_trace_bytes=_trace_bytes(max_trace_bytes),
    )
    if options.parent is not None and options.max_trace_bytes is not None:
        raise UsageError("--traceparent puts a session into a trace that is there, and --max-trace-bytes splits it")
    return options


# --- what is converted --------------------------------------------------------------------------------


class _AsTold:
    """Reads what was read before: it is both the fetcher and the reader."""

    name = "fetched"

    def __init__(self, fetched: Fetched) -> None:
        self._fetched = fetched

    def reader(self, _: Reference) -> _AsTold:
        return self

    @property
    def duplicates(self) -> int:
        return self._fetched.duplicates

    def feed(self, _: Answer) -> Iterable[Item]:
        return self._fetched.items

    def close(self) -> Iterable[Item]:
        return ()


def _conversion(fetched: Fetched, options: Options, plugins: Sequence[Convention], *, spans: bool = True) -> Conversion:
    source = Source(
        reference=fetched.reference,
        fetcher=_AsTold(fetched),
        answers=(Answer(label="items", body=None, source="memory"),),
        flaws=() if fetched.complete else (_INCOMPLETE,),
    )
    return Conversion(source, options, plugins, encoder=Encoder(), spans=spans)


def _spans(conversion: Conversion, reference: Reference, stop: Stop | None, shift: int = 0) -> tuple[Span, ...]:
    spans: list[Span] = []
    for encoded in conversion.encoded(shift=shift):
        spans += encoded.spans
        if stop is not None and stop.asked:
            raise SessionError(f"{reference}: stopped while it was converted")
    return tuple(spans)


def _gathered(records: Iterable[Event | Session | Caution], session: Session | Reference | str | None) -> Fetched:
    """Give events of the caller's own as something that was fetched.

    Raises:
        UsageError: nobody says which session it is, or one of them is no event, or has the key of another.
    """
    if session is None:
        raise UsageError("events do not say which session they are of; say it with session, as FETCHER:PATH")
    if isinstance(session, str):
        session = Reference.parse(session)
    known = Session(reference=session) if isinstance(session, Reference) else session
    reference = known.reference
    items: list[Item] = [known]
    keys: dict[str, int] = {}
    for number, record in enumerate(records, 1):
        if isinstance(record, _EVENTS):
            first = keys.setdefault(record.key, number)
            if first != number:
                raise UsageError(
                    f"{reference}: record {number} has the key {record.key!r}, which record {first} has: "
                    "a key names one event of a session"
                )
        elif isinstance(record, Session):
            known = record
        elif not isinstance(record, Caution):
            raise UsageError(
                f"{reference}: record {number} is of the type {type(record).__name__}, and no event: "
                "otel_agent_events.events has their types"
            )
        items.append(record)
    return Fetched(
        reference=reference,
        session=known,
        items=tuple(items),
        warnings=tuple(item.message for item in items if isinstance(item, Caution)),
    )


# --- what the options mean ----------------------------------------------------------------------------


def _from_one(revision: int) -> int:
    if revision < 1:
        raise UsageError(f"the revision is {revision}; revisions are counted from 1")
    return revision


def _trace_bytes(most: int | None) -> int | None:
    if most is not None and most < LEAST_TRACE:
        raise UsageError(f"--max-trace-bytes is {most}; a part of fewer than {LEAST_TRACE} bytes holds nothing")
    return most


def _moment(told: str | int | None) -> int | None:
    """Read a time to which sessions are moved, in nanoseconds since 1970."""
    if told is None:
        return None
    if told == "now":
        return time.time_ns()
    if isinstance(told, int):
        nanoseconds: int | None = told if 0 <= told <= times.LATEST else None
    else:
        stamp = times.parse(told)
        nanoseconds = None if stamp is None else stamp.nanoseconds
    if nanoseconds is None:
        raise UsageError(f"--shift-to is {told!r}; it is now, or a time such as 2026-01-31T12:00:00Z")
    return nanoseconds
