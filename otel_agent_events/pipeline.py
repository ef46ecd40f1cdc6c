"""Where the stages meet: fetch, read, assemble, label, send.

```
reference ──fetch──▶ answers ──read──▶ events ──policy──▶ assemble ──▶ nodes ──▶ spans ──▶ destinations
```

`replay` is the library call that the command line is a thin face of. What lies between the two ends, for one
session, is `Conversion`.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from otel_agent_events.content import Content, Policy
from otel_agent_events.conventions import CONVENTIONS
from otel_agent_events.conversion import Conversion, Options
from otel_agent_events.delivery import Delivery
from otel_agent_events.errors import SessionError, UsageError
from otel_agent_events.messages import first_of
from otel_agent_events.otlp import connect
from otel_agent_events.otlp.file import ConsoleDestination, FileDestination
from otel_agent_events.report import DestinationReport, Report, SessionReport
from otel_agent_events.scrub import Scrubber
from otel_agent_events.settings import Settings
from otel_agent_events.sources import Sources
from otel_agent_events.spans import Remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import httpx

    from otel_agent_events.conventions import Convention
    from otel_agent_events.otlp import Destination, Endpoint
    from otel_agent_events.reference import Reference
    from otel_agent_events.sources import Source, Wanted
    from otel_agent_events.spans import Span

HELD = 2_000
"""Spans of a session that are held back until it is complete, so that a failed fetch leaves no torso behind."""

OTLP = "otlp"


def replay(
    references: Iterable[str | Path | Reference],
    *,
    to: Sequence[str | Destination] = (OTLP,),
    endpoint: str | None = None,
    protocol: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float | None = None,
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
    scrubber: Scrubber | None = None,
    traceparent: str | None = None,
    links: Sequence[str] = (),
    conventions: Sequence[str] = ("gen_ai",),
    environ: Mapping[str, str] | None = None,
    client: httpx.Client | None = None,
    told: Callable[[SessionReport], None] | None = None,
    noted: Callable[[str], None] | None = None,
) -> Report:
    """Fetch sessions, turn each into a trace and send it. One bad session is a result, and the others go on.

    Args:
        references: `FETCHER:PATH`, a file with a saved answer, or `-` for standard input.
        to: destinations: `otlp`, `file:PATH`, `console`, or one of your own.
        endpoint: of the OTLP destination; without it `OTEL_EXPORTER_OTLP_*` and then the default of the
            specification hold, as for the next two.
        protocol: `http/protobuf` or `grpc`.
        headers: sent to the endpoint.
        timeout: seconds to wait for one answer, of a platform or of the destination.
        base_url: of the platform, when all references are of one.
        session: names what a saved answer does not.
        rate: the most requests a second to one platform.
        follow_subagents: replay the sessions that sub-agents ran as well, each once.
        service_name: of the resource; else the environment's, else the agent's key, else the platform's name.
        namespace: an account or environment; part of the ids.
        revision: raise it to send a session that has grown since; part of the ids.
        turns: show turns as spans.
        content: `full`, `scrubbed` (the default) or `none`.
        max_value: the most bytes of UTF-8 in one attribute value.
        scrubber: takes out secrets by your own patterns too.
        traceparent: a live span under which the one session hangs.
        links: traceparents of spans that the root links to.
        conventions: by name; the first one names the spans.
        environ: instead of the environment of this process.
        client: does the fetching; one of our own is made without it.
        told: is called with each session's report as soon as it is known.
        noted: is called with each line that concerns all sessions.

    Returns:
        What became of every session; `exit_code` of it says how it went.

    Raises:
        UsageError: the call cannot be carried out as it stands; nothing was fetched or sent.
    """
    began = time.monotonic()
    settings = Settings.here() if environ is None else Settings(environ)
    if settings.disabled and OTLP in to:
        raise UsageError("OTEL_SDK_DISABLED is true, so nothing was sent; unset it to replay")
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
    )
    plugins = [CONVENTIONS.get(name) for name in options.conventions]
    with ExitStack() as stack:
        sources = Sources(
            settings, stack, base_url=base_url, session=session, client=client, timeout=timeout, rate=rate
        )
        wanted = sources.resolve(references)
        if options.parent is not None and len(wanted) > 1:
            raise UsageError("--traceparent puts one session under a live span; give one session")
        notes: list[str] = []
        target: Endpoint | None = None
        if OTLP in to:
            target, said = settings.endpoint(url=endpoint, protocol=protocol, headers=headers, timeout=timeout)
            notes = [*settings.unheeded, *said]
        delivery = stack.enter_context(Delivery(_destinations(to, target)))
        for note in notes:
            (noted or _ignore)(note)
        reports = []
        for report in _replay_all(wanted, sources if follow_subagents else None, options, plugins, delivery):
            reports.append(report)
            (told or _ignore)(report)
        unplaced = delivery.close()
        for why in unplaced.values():
            (noted or _ignore)(why)
        return Report(
            sessions=tuple(report.without(unplaced) for report in reports),
            unreachable=delivery.unreachable,
            notes=(*notes, *unplaced.values()),
            seconds=round(time.monotonic() - began, 3),
        )


class _Job(NamedTuple):
    """Something to replay, and the session whose sub-agent ran it, unless it was named."""

    wanted: Wanted
    options: Options
    subagent_of: str | None = None


def _replay_all(
    named: Sequence[Wanted],
    followed: Sources | None,
    options: Options,
    conventions: Sequence[Convention],
    delivery: Delivery,
) -> Iterator[SessionReport]:
    """Send what was named, and then, with `followed`, what sub-agents ran; say of each session what became of it."""
    # A child's trace is the same whether it was named or followed.
    as_child = replace(options, parent=None, links=())
    met: set[Reference] = set()  # a file counts when it was read to its end
    followed_on: set[Reference] = set()
    jobs = deque(_Job(wanted, options) for wanted in named)
    while jobs:
        job = jobs.popleft()
        for source in _opened(job, delivery):
            if isinstance(source, SessionReport):
                yield source
                continue
            if source.reference in met and not source.saved:
                if job.subagent_of is None:
                    told = f"{source.reference} was replayed above, and is not replayed twice"
                    yield SessionReport(reference=job.wanted.name, warnings=(*source.warnings, told))
                continue
            report, subagents = _replay_one(source, job.options, conventions, delivery)
            if report.error is None or not source.saved:
                met.add(source.reference)
            yield report.model_copy(update={"subagent_of": job.subagent_of})
            for child in subagents:
                if followed is None or child in met or child in followed_on:
                    continue
                followed_on.add(child)
                try:
                    jobs.append(_Job(followed.wanted(child), as_child, report.reference))
                except UsageError as error:
                    told = f"{child} was not followed: {error}"
                    yield SessionReport(reference=str(child), error=told, subagent_of=report.reference)


def _opened(job: _Job, delivery: Delivery) -> Iterable[Source | SessionReport]:
    """Open what was named; one that cannot be had is a report, and the others go on."""
    if delivery.is_over():
        why = "not tried: no destination takes anything more"
    else:
        try:
            return job.wanted.open()
        except SessionError as error:
            why = str(error)
    return [SessionReport(reference=job.wanted.name, error=why, subagent_of=job.subagent_of)]


def _replay_one(
    source: Source, options: Options, conventions: Sequence[Convention], delivery: Delivery
) -> tuple[SessionReport, tuple[Reference, ...]]:
    """Send one session; say what became of it, and which sessions its sub-agents ran."""
    conversion = Conversion(source, options, conventions)
    failure: SessionError | None = None
    stopped: str | None = None
    streaming = False
    held: list[Span] = []
    try:
        for span in conversion.spans():
            held.append(span)
            if len(held) == HELD:
                streaming = True
                delivery.submit(held)
                held = []
                if delivery.is_over():
                    stopped = "stopped: no destination takes anything more"
                    break
    except SessionError as error:
        failure = error
    if failure is None or streaming:
        delivery.submit(held)
    counted = delivery.settle()
    if failure is not None:
        stopped = f"{failure}; {_what_is_out(counted) if streaming else 'nothing of it was sent'}"
    report = SessionReport.counting(
        counted,
        reference=str(source.reference),
        trace_id=conversion.trace_id.hex(),
        start=None if conversion.root is None else conversion.root.start.at,
        end=None if conversion.root is None else conversion.root.end.at,
        events=conversion.events,
        duplicates=conversion.duplicates,
        # What a trace lacks is of no interest where there is none.
        warnings=source.warnings if failure is not None and not streaming else tuple(conversion.warnings),
        error="; ".join([*first_of(conversion.flaws), *([stopped] if stopped else [])]) or None,
    )
    return report, tuple(conversion.subagents)


def _what_is_out(counted: Sequence[DestinationReport]) -> str:
    arrived = max(each.acknowledged for each in counted)
    if not arrived:
        return "nothing of it arrived"
    return f"{arrived} of its spans arrived, without a root: replay again to complete the trace"


def _destinations(to: Sequence[str | Destination], target: Endpoint | None) -> list[Destination]:
    """Make the destinations; when one of them cannot be made, the others leave nothing behind."""
    if not to:
        raise UsageError("there is no destination to send to; there are otlp, file:PATH and console")
    # One file may be named in several ways.
    each_once = {_place(where) if isinstance(where, str) else id(where): where for where in to}
    made: list[Destination] = []
    try:
        made.extend(_destination(where, target) for where in each_once.values())
    except UsageError:
        for destination in made:
            destination.abandon()
        raise
    return made


def _place(where: str) -> str:
    kind, _, path = where.partition(":")
    return f"{kind}:{Path(path).resolve()}" if kind == "file" and path else where


def _destination(where: str | Destination, target: Endpoint | None) -> Destination:
    """Make a destination by its name; what is not needed is not imported."""
    if not isinstance(where, str):
        return where
    kind, _, path = where.partition(":")
    match kind:
        case "otlp" if target is not None and not path:
            return connect(target)
        case "console" if not path:
            return ConsoleDestination(sys.stdout)
        case "file" if path:
            return FileDestination(path)
        case _:
            raise UsageError(f"there is no destination {where!r}; there are otlp, file:PATH and console")


def _from_one(revision: int) -> int:
    if revision < 1:
        raise UsageError(f"the revision is {revision}; revisions are counted from 1")
    return revision


def _ignore(_: object) -> None:
    """Nobody asked to be told."""
