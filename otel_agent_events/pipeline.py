"""Where the stages meet: fetch, read, assemble, label, send.

```
reference ──fetch──▶ answers ──read──▶ events ──policy──▶ assemble ──▶ nodes ──▶ spans ──▶ destinations
```

`replay` is the library call that the command line is a thin face of. `Conversion` is everything between the two
ends, for one session.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from otel_agent_events.assemble import Assembler, SessionNode
from otel_agent_events.attributes import OWN, Finisher
from otel_agent_events.content import Content, Policy
from otel_agent_events.conventions import CONVENTIONS
from otel_agent_events.errors import ReadError, SessionError, UnreachableError, UsageError
from otel_agent_events.events import Caution, Session
from otel_agent_events.otlp import connect
from otel_agent_events.otlp.file import ConsoleDestination, FileDestination
from otel_agent_events.report import Counts, DestinationReport, Report, SessionReport
from otel_agent_events.scrub import Scrubber
from otel_agent_events.settings import Settings
from otel_agent_events.sources import Sources
from otel_agent_events.spans import Identity, Link, Remote, Resource, SpanBuilder, View

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import httpx

    from otel_agent_events.conventions import Convention
    from otel_agent_events.events import Event
    from otel_agent_events.otlp import Destination, Endpoint
    from otel_agent_events.reference import Reference
    from otel_agent_events.sources import Source, Wanted
    from otel_agent_events.spans import Span

HELD = 2_000
"""Spans of a session that are held back until it is complete, so that a failed fetch leaves no torso behind."""

OTLP = "otlp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How sessions become spans.

    Attributes:
        attributes: of the resource, from the environment; `service_name` is above its `service.name`.
        parent: a live span under which the one session hangs.
        links: further links of the root.
    """

    policy: Policy = field(default_factory=Policy)
    conventions: tuple[str, ...] = ("gen_ai",)
    turns: bool = False
    namespace: str = ""
    revision: int = 1
    service_name: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    parent: Remote | None = None
    links: tuple[Link, ...] = ()

    @property
    def identity(self) -> Identity:
        """What ids are derived from."""
        view = View(
            content=self.policy.content,
            max_value=self.policy.max_value,
            turns=self.turns,
            conventions=self.conventions,
            patterns=self.policy.scrubber.fingerprint if self.policy.content == "scrubbed" else "",
        )
        return Identity(view=view, namespace=self.namespace, revision=self.revision)

    def resource(self, session: Session) -> Resource:
        """Say what a trace is about; nothing in it differs from run to run."""
        service = (
            self.service_name or self.attributes.get("service.name") or session.service or session.reference.platform
        )
        told = {**self.attributes, "service.name": service, f"{OWN}origin": "replay"}
        return Resource(Finisher(self.policy.max_value).attributes(told))


class Conversion:
    """The spans of one session, made as its answers come in.

    Attributes:
        events, duplicates: how many events there were, and records that were met again.
        warnings: what the reader of the trace should know.
        flaws: what could not be read.
        root: the session's node, once it is complete.
    """

    def __init__(self, source: Source, options: Options, conventions: Sequence[Convention]) -> None:
        self._source = source
        self._options = options
        self._conventions = conventions
        self._session = Session(reference=source.reference)
        self._builder: SpanBuilder | None = None
        self._assembler: Assembler | None = None
        self.trace_id = options.parent.trace_id if options.parent else options.identity.trace_id(source.reference)
        self.events = 0
        self.duplicates = 0
        self.warnings: list[str] = []
        self.flaws = list(source.flaws)
        self.root: SessionNode | None = None

    def spans(self) -> Iterator[Span]:
        """Give the spans as they are final; the root comes last, and only when the session was read to its end.

        Raises:
            SessionError: the platform did not answer as hoped. The spans given before it are final.
        """
        reader = self._source.fetcher.reader(self._source.reference)
        for answer in self._source.answers:
            try:
                for item in reader.feed(answer):
                    yield from self._take(item)
            except ReadError as error:
                if not self._source.saved:
                    raise
                self.flaws.append(str(error))
            self.duplicates = reader.duplicates
        for item in reader.close():
            yield from self._take(item)
        self.duplicates = reader.duplicates
        yield from self._close()

    def _take(self, item: Event | Session | Caution) -> Iterator[Span]:
        match item:
            case Caution(message=message):
                self.warnings.append(message)
            case Session():
                self._session = self._options.policy.session(item)
                if self._assembler is not None:
                    self._assembler.learn(self._session)
            case _:
                assembler, builder = self._begun()
                self.events += 1
                for node in assembler.feed(self._options.policy.event(item)):
                    yield builder.build(node)

    def _begun(self) -> tuple[Assembler, SpanBuilder]:
        """What spans carry of the session is fixed at its first event."""
        if self._assembler is None or self._builder is None:
            options = self._options
            self._assembler = Assembler(self._session, turns=options.turns)
            self._builder = SpanBuilder(
                self._session,
                identity=options.identity,
                conventions=self._conventions,
                resource=options.resource(self._session),
                parent=options.parent,
                links=options.links,
            )
        return self._assembler, self._builder

    def _close(self) -> Iterator[Span]:
        assembler, builder = self._begun()
        if self.flaws:
            self._session = replace(self._session, complete=False)
        assembler.learn(self._session)
        for node in assembler.close():
            if isinstance(node, SessionNode):
                self.root = node
            yield builder.build(node)
        if assembler.undated:
            self.warnings.append("no record has a time, so all times are invented, beginning in 1970")
        if not self.events:
            self.warnings.append("the session has no events")
        if builder.changed:
            self.warnings.append(
                f"{builder.changed} values held what OTLP cannot hold (unpaired surrogates, integers beyond 64 bits, "
                "NaN) and were written as text"
            )


def convert(source: Source, options: Options | None = None) -> Conversion:
    """Make a session's spans without sending them: iterate over `spans()` of what is returned.

    Raises:
        UsageError: there is no convention of a given name.
    """
    options = options or Options()
    return Conversion(source, options, [CONVENTIONS.get(name) for name in options.conventions])


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
    if settings.disabled and any(isinstance(where, str) for where in to):
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
        sources = Sources(settings, stack, base_url=base_url, session=session, client=client, timeout=timeout)
        wanted = sources.resolve(references)
        if options.parent is not None and len(wanted) > 1:
            raise UsageError("--traceparent puts one session under a live span; give one session")
        target, said = settings.endpoint(url=endpoint, protocol=protocol, headers=headers, timeout=timeout)
        notes = [*settings.unheeded, *said] if OTLP in to else []
        destinations = []
        for where in dict.fromkeys(to):
            destinations.append(_destination(where, target))
            stack.callback(destinations[-1].abandon)
        for note in notes:
            (noted or _ignore)(note)
        reports = []
        for each in wanted:
            reports.append(_replay_one(each, options, plugins, destinations))
            (told or _ignore)(reports[-1])
        for destination in destinations:
            destination.close()
        return Report(
            sessions=tuple(reports),
            unreachable=tuple(each.name for each in destinations if isinstance(each.failure, UnreachableError)),
            notes=tuple(notes),
            seconds=round(time.monotonic() - began, 3),
        )


def _replay_one(
    wanted: Wanted, options: Options, conventions: Sequence[Convention], destinations: Sequence[Destination]
) -> SessionReport:
    """Send one session, and say what became of it."""
    if destinations and all(each.failure for each in destinations):
        return SessionReport(reference=wanted.name, error="not tried: no destination takes anything more")
    try:
        source = wanted.open()
    except SessionError as failure:
        return SessionReport(reference=wanted.name, error=str(failure))
    conversion = Conversion(source, options, conventions)
    made, held = 0, []
    error = None
    try:
        for span in conversion.spans():
            held.append(span)
            if len(held) == HELD:
                made += _submit(held, destinations)
                held = []
                if destinations and all(each.failure for each in destinations):
                    error = "stopped: no destination takes anything more"
                    break
    except SessionError as failure:
        if made:
            error = f"{failure}; {made + len(held)} spans are out, without a root: replay again to complete the trace"
        else:
            error = f"{failure}; nothing of it was sent"
            held = []
    made += _submit(held, destinations)
    counted = tuple(_settle(each) for each in destinations)
    worst = min(counted, key=lambda each: each.acknowledged, default=Counts())
    root = conversion.root
    return SessionReport(
        **{name: getattr(worst, name) for name in Counts.model_fields} | {"made": made},
        reference=str(source.reference),
        trace_id=conversion.trace_id.hex(),
        start=None if root is None else root.start.at,
        end=None if root is None else root.end.at,
        events=conversion.events,
        duplicates=conversion.duplicates,
        destinations=counted,
        warnings=tuple(conversion.warnings),
        error="; ".join([*conversion.flaws, *([error] if error else [])]) or None,
    )


def _submit(spans: Sequence[Span], destinations: Sequence[Destination]) -> int:
    for destination in destinations:
        destination.submit(spans)
    return len(spans)


def _settle(destination: Destination) -> DestinationReport:
    """Wait for what was submitted, and count what became of it."""
    destination.flush()
    outcomes = destination.outcomes()
    messages = [outcome.message for outcome in outcomes if outcome.message]
    return DestinationReport(
        destination=destination.name,
        made=sum(len(outcome.spans) for outcome in outcomes),
        acknowledged=sum(outcome.acknowledged for outcome in outcomes),
        rejected=sum(outcome.rejected for outcome in outcomes),
        lost=sum(outcome.lost for outcome in outcomes),
        messages=tuple(dict.fromkeys(messages)),
    )


def _destination(where: str | Destination, target: Endpoint) -> Destination:
    """Make a destination by its name; what is not needed is not imported."""
    if not isinstance(where, str):
        return where
    kind, _, path = where.partition(":")
    match kind:
        case "otlp" if not path:
            return connect(target)
        case "console" if not path:
            return ConsoleDestination(sys.stdout)
        case "file" if path:
            return FileDestination(Path(path))
        case _:
            raise UsageError(f"there is no destination {where!r}; there are otlp, file:PATH and console")


def _from_one(revision: int) -> int:
    if revision < 1:
        raise UsageError(f"the revision is {revision}; revisions are counted from 1")
    return revision


def _ignore(_: object) -> None:
    """Nobody asked to be told."""
