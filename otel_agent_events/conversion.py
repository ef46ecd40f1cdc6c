"""From answers to final spans, for one session: read, apply the content policy, assemble, label. No I/O of its own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from otel_agent_events.assemble import Assembler, SessionNode
from otel_agent_events.attributes import OWN, Finisher
from otel_agent_events.content import Policy
from otel_agent_events.errors import ReadError
from otel_agent_events.events import Caution, Session, ToolResult
from otel_agent_events.spans import Identity, Link, Remote, Resource, SpanBuilder, View

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otel_agent_events.conventions import Convention
    from otel_agent_events.events import Event
    from otel_agent_events.fetchers import Answer, Item, Reader
    from otel_agent_events.reference import Reference
    from otel_agent_events.sources import Source
    from otel_agent_events.spans import Span


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
        subagents: the sessions that sub-agents ran, each once, in the order in which they were met.
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
        self.warnings = list(source.warnings)
        self.subagents: dict[Reference, None] = {}
        self.flaws = list(source.flaws)
        self.root: SessionNode | None = None

    def spans(self) -> Iterator[Span]:
        """Give the spans as they are final; the root comes last, and only when the session was read to its end.

        Raises:
            SessionError: the platform did not answer as hoped. The spans given before it are final.
        """
        reader = self._source.fetcher.reader(self._source.reference)
        for answer in self._source.answers:
            for item in self._read(reader, answer):
                yield from self._take(item)
            self.duplicates = reader.duplicates
        for item in reader.close():
            yield from self._take(item)
        self.duplicates = reader.duplicates
        yield from self._close()

    def _read(self, reader: Reader, answer: Answer) -> Iterator[Item]:
        """Read an answer. What cannot be read in a file is told, and the file read on: asking again gives no more."""
        try:
            yield from reader.feed(answer)
        except ReadError as error:
            if not self._source.saved:
                raise
            self.flaws.append(str(error))

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
                if isinstance(item, ToolResult) and item.subagent is not None:
                    self.subagents[item.subagent.reference] = None
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
