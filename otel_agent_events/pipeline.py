"""Where the stages meet: fetch, read, assemble, label, send.

```
reference ──fetch──▶ answers ──read──▶ events ──policy──▶ assemble ──▶ nodes ──▶ spans ──▶ destinations
```

`replay` is the library call that the command line is a thin face of. It makes what a run needs; the run itself is
`Run`, and what lies between the two ends, for one session, is `Conversion`.
"""

from __future__ import annotations

import math
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from otel_agent_events.conventions import plugins_of
from otel_agent_events.converting import options_of
from otel_agent_events.delivery import Delivery
from otel_agent_events.errors import UsageError
from otel_agent_events.ledger import Ledger, LedgerError
from otel_agent_events.otlp import connect
from otel_agent_events.otlp.aside import AsideFile, aside_file
from otel_agent_events.otlp.file import ConsoleDestination, FileDestination
from otel_agent_events.otlp.identity import known_as, with_other_credentials
from otel_agent_events.report import Report, SessionReport
from otel_agent_events.run import Book, Run
from otel_agent_events.settings import Settings
from otel_agent_events.sources import Sources
from otel_agent_events.stopping import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import httpx

    from otel_agent_events.content import Content
    from otel_agent_events.otlp import Destination
    from otel_agent_events.otlp.send import Sender
    from otel_agent_events.reference import Reference
    from otel_agent_events.scrub import Scrubber

OTLP = "otlp"
_EXPORTER = "exporter"


def replay(  # noqa: C901 - one step after the other, each said in a line
    references: Iterable[str | bytes | Path | Reference],
    *,
    to: Sequence[str | Destination] | None = None,
    exporters: Sequence[str] = (),
    endpoint: str | None = None,
    protocol: str | None = None,
    headers: Mapping[str, str] | None = None,
    tenant: str | None = None,
    timeout: float | None = None,
    deadline: float | None = None,
    set_aside: str | Path | None = None,
    ledger: str | None = None,
    again: bool = False,
    base_url: str | None = None,
    session: str | Reference | None = None,
    rate: float | None = None,
    follow_subagents: bool = False,
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
    client: httpx.Client | None = None,
    stop: Stop | None = None,
    told: Callable[[SessionReport], None] | None = None,
    noted: Callable[[str], None] | None = None,
) -> Report:
    """Fetch sessions, turn each into a trace and send it. One bad session is a result, and the others go on.

    Args:
        references: `FETCHER:PATH`, a file with a saved answer, or `-` for standard input. Bytes are a saved answer that
            is in memory, such as the body of a webhook; messages call it `saved answer 1`, and so on.
        to: destinations: `otlp`, `file:PATH`, `console`, or one of your own. Without it, and without `exporters`, what
            `OTEL_TRACES_EXPORTER` says, which is `otlp` when it says nothing.
        exporters: names of the entry point group `opentelemetry_traces_exporter`: the SDK's exporters, and those that
            vendors ship. What they do is called reported, since they do not tell what the server said.
        endpoint: of the OTLP destination; without it `OTEL_EXPORTER_OTLP_*` and then the default of the
            specification hold, as for the next two.
        protocol: `http/protobuf` or `grpc`.
        headers: sent to the endpoint.
        tenant: what the ledger calls whoever gets the spans at the endpoint, instead of a fingerprint of the headers:
            so new credentials make no other destination.
        timeout: seconds to wait for one answer, of a platform or of the destination.
        deadline: seconds for which a batch is tried; five minutes when nothing is said, and a quarter of a minute as
            long as nothing has answered.
        set_aside: the file that takes what could not be delivered, as OTLP JSON lines; without it one in the user's
            state folder. `send` delivers it.
        ledger: where it is remembered what was acknowledged: a URL, as SQLAlchemy has it, or `off`. Without it what
            `OTEL_AGENT_EVENTS_LEDGER` says, and then a SQLite file in the user's state folder.
        again: send what the destination has unchanged as its next revision.
        base_url: of the platform, when all references are of one.
        session: names what a saved answer does not.
        rate: the most requests a second to one platform.
        follow_subagents: replay the sessions that sub-agents ran as well, each once.
        service_name: of the resource; else the environment's, else the agent's key, else the platform's name.
        namespace: an account or environment; part of the ids.
        revision: the number of the revision, or, with a ledger, the least one; part of the ids.
        turns: show turns as spans.
        content: `full`, `scrubbed` (the default) or `none`.
        max_value: the most bytes of UTF-8 in one attribute value.
        max_trace_bytes: the size of a trace at which a session is split into parts.
        shift_to: moves each session in time, so that it ends then: `now`, a time as RFC 3339 has it, or nanoseconds.
        scrubber: takes out secrets by your own patterns too.
        traceparent: a live span under which the one session hangs.
        links: traceparents of spans that the root links to.
        conventions: by name; the first one names the spans.
        environ: instead of the environment of this process.
        client: does the fetching; one of our own is made without it.
        stop: asks the run to stop, from a signal or another thread.
        told: is called with each session's report as soon as it is known.
        noted: is called with each line that concerns all sessions.

    Returns:
        What became of every session; `exit_code` of it says how it went.

    Raises:
        UsageError: the call cannot be carried out as it stands; nothing was fetched or sent.
    """
    began = time.monotonic()
    stop = stop or Stop()
    settings = Settings.here() if environ is None else Settings(environ)
    where = _named(to, exporters, settings)
    if settings.disabled and OTLP in where:
        raise UsageError("OTEL_SDK_DISABLED is true, so nothing was sent; unset it to replay")
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
    notes: list[str] = []

    def note(line: str) -> None:
        if line not in notes:
            notes.append(line)
            (noted or _ignore)(line)

    with ExitStack() as stack:
        sources = Sources(
            settings, stack, base_url=base_url, session=session, client=client, timeout=timeout, rate=rate, stop=stop
        )
        wanted = sources.resolve(references)
        if options.parent is not None and len(wanted) > 1:
            raise UsageError("--traceparent puts one session under a live span; give one session")
        otlp: Sender | None = None
        book: Book | None = None
        aside: AsideFile | None = None
        said: list[str] = []
        if OTLP in where:
            target, said = settings.endpoint(
                url=endpoint, protocol=protocol, headers=headers, timeout=timeout, tenant=tenant
            )
            destination = known_as(target)
            aside = aside_file(set_aside, settings.state_folder, destination)
            otlp = connect(target, deadline=_seconds(deadline), aside=aside)
            stack.callback(otlp.abandon)
            said = [*settings.unheeded, *said]
            book = _book(ledger, settings, destination, said, stack)
        destinations = _destinations(where, otlp)
        delivery = stack.enter_context(Delivery(destinations, otlp if book is not None else None))
        for line in said:
            note(line)
        run = Run(
            delivery,
            plugins,
            stop=stop,
            book=book,
            again=again,
            followed=sources if follow_subagents else None,
            spans=any(getattr(each, "wants_spans", True) for each in destinations),
            stored=otlp is not None,
            noted=note,
        )
        reports = []
        with stop.hurrying(delivery.give_up, read_no_further=sources.hang_up):
            for report in run.reports(wanted, options):
                reports.append(report)
                (told or _ignore)(report)
            unplaced = delivery.close()
        for why in unplaced.values():
            note(why)
        if book is not None:
            book.ledger.close()
            if book.ledger.failure is not None:
                note(book.ledger.failure)
        kept = aside.name if aside is not None and aside.count else None
        done = sum(report.error is None and report.subagent_of is None for report in reports)
        for line in _what_next(
            stopped=f"stopped after {done} of {len(wanted)} sessions" if stop.asked else None,
            aside=None if kept is None or aside is None else f"{aside.count} spans were set aside in {kept}",
            command=None if book is None or book.ledger.failure else f"the same command{again * ' without --again'}",
        ):
            note(line)
        return Report(
            sessions=tuple(report.without(unplaced) for report in reports),
            unreachable=delivery.unreachable,
            set_aside=kept,
            stopped=stop.asked,
            notes=tuple(notes),
            seconds=round(time.monotonic() - began, 3),
        )


def _named(
    to: Sequence[str | Destination] | None, exporters: Sequence[str], settings: Settings
) -> list[str | Destination]:
    """Say where spans go; what is named twice, in whatever way, is one destination."""
    named: list[str | Destination]
    if to is None and not exporters:
        named = [name if name == OTLP else f"{_EXPORTER}:{name}" for name in settings.exporters()]
        if not named:
            raise UsageError("OTEL_TRACES_EXPORTER is none, so nothing was sent; --to says where spans go")
    else:
        named = [*(to or ()), *(f"{_EXPORTER}:{name}" for name in exporters)]
    if not named:
        raise UsageError("there is no destination to send to; there are otlp, file:PATH and console")
    # One file may be named in several ways.
    return list({_place(where) if isinstance(where, str) else id(where): where for where in named}.values())


def _book(option: str | None, settings: Settings, destination: str, notes: list[str], stack: ExitStack) -> Book | None:
    """Open the ledger. One that was asked for must be there; without the default one it goes on, and says so.

    Raises:
        UsageError: the ledger that was asked for cannot be opened.
    """
    url, asked = settings.ledger(option)
    if url is None:
        return None
    try:
        ledger = Ledger.open(url)
        stack.callback(ledger.close)
        is_new = with_other_credentials(destination, ledger.destinations)
    except LedgerError as error:
        if asked:
            raise
        notes.append(f"{error}. Going on without a ledger: a second replay sends everything again (--no-ledger)")
        return None
    if is_new:
        notes.append(
            "the ledger knows this destination with other credentials, and what went out with those counts as unsent; "
            "--tenant NAME remembers a tenant whose credentials change"
        )
    return Book(ledger=ledger, destination=destination, asked=asked)


def _what_next(*, stopped: str | None, aside: str | None, command: str | None) -> list[str]:
    """Say what is left to be done, and one way to do it: who does both sends twice.

    Args:
        stopped: how far the run came, when it was stopped.
        aside: what was set aside, if anything was.
        command: which one goes on with what was not acknowledged, where that is remembered.
    """
    if command is None:
        lost = "those that are not told of above were not sent"
        return [
            *([f"{aside}; otel-agent-events send delivers them"] if aside else []),
            *([f"{stopped}; {lost}"] if stopped else []),
        ]
    if stopped is None:
        return [f"{aside}; {command} sends them once the destination takes them"] if aside else []
    if aside is None:
        return [f"{stopped}; {command} goes on from here"]
    return [f"{stopped}, and {aside}; {command} goes on from here, and sends those too"]


def _destinations(named: Sequence[str | Destination], otlp: Destination | None) -> list[Destination]:
    """Make the destinations; when one of them cannot be made, the others leave nothing behind."""
    made: list[Destination] = []
    try:
        made.extend(_destination(where, otlp) for where in named)
    except UsageError:
        for destination in made:
            destination.abandon()
        raise
    return made


def _place(where: str) -> str:
    kind, _, path = where.partition(":")
    return f"{kind}:{Path(path).resolve()}" if kind == "file" and path else where


def _destination(where: str | Destination, otlp: Destination | None) -> Destination:
    """Make a destination by its name; what is not needed is not imported."""
    if not isinstance(where, str):
        return where
    kind, _, path = where.partition(":")
    match kind:
        case "otlp" if otlp is not None and not path:
            return otlp
        case "exporter" if path:
            from otel_agent_events.otlp.exporter import exporter  # noqa: PLC0415 - the SDK takes a while

            return exporter(path)
        case "console" if not path:
            return ConsoleDestination(sys.stdout)
        case "file" if path:
            return FileDestination(path)
        case _:
            raise UsageError(f"there is no destination {where!r}; there are otlp, file:PATH and console")


def _seconds(deadline: float | None) -> float | None:
    if deadline is not None and not 0 <= deadline < math.inf:
        raise UsageError(f"the deadline is {deadline:g}; it is a number of seconds, and not below 0")
    return deadline


def _ignore(_: object) -> None:
    """Nobody asked to be told."""
