"""From answers to encoded spans, for one session: read, apply the content policy, assemble, label, encode. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Literal

from otel_agent_events.assemble import Assembler, EventNode, SessionNode, ToolNode
from otel_agent_events.attributes import Finisher
from otel_agent_events.claims import new_claims
from otel_agent_events.content import Policy
from otel_agent_events.digests import RunningDigest
from otel_agent_events.errors import SessionError
from otel_agent_events.events import KINDS, Caution, Session, ToolResult
from otel_agent_events.fetched import Reading
from otel_agent_events.ledger import Prefix, Seal
from otel_agent_events.otlp import Encoded
from otel_agent_events.otlp.plans import Plans
from otel_agent_events.parts import Part
from otel_agent_events.spans import Identity, Link, Remote, Resource, SpanBuilder, View
from otel_agent_events.times import LATEST

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    from otel_agent_events.assemble import Node
    from otel_agent_events.conventions import Convention
    from otel_agent_events.events import Event
    from otel_agent_events.fetchers import Item
    from otel_agent_events.otlp.encode import Encoder
    from otel_agent_events.reference import Reference
    from otel_agent_events.sources import Source
    from otel_agent_events.spans import Span

MOST_BYTES = 4_000_000
"""Bytes of spans that are given at once: more of them would wait for each other in memory."""

MOST = 2_000
"""Spans that are given at once. As many are held back until more are there, so that a failed fetch leaves no torso."""

_STRIDE = 128
"""Items that are taken at once."""

_FACTS = (Caution, Session)
_NO_EVENTS = frozenset(_FACTS)
"""Items that are no events."""

_ROOM_FOR_ROOT = 16_384
"""Bytes of a root, but for the values in it that may be as long as a value may be."""
_LONG_VALUES = 4
_STILL_COMING = 512
"""Bytes by which the root of a part may grow after it was looked at: the session's end tells more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How sessions become spans.

    Attributes:
        attributes: of the resource, from the environment; `service_name` is above its `service.name`.
        parent: a live span under which the one session hangs.
        links: further links of the root.
        shift_to: the nanosecond at which the end of each session is to land.
        max_trace_bytes: the size at which a session is split into parts.
        origin: `replay`, or `live` for what was recorded while it happened; of the resource.
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
    shift_to: int | None = None
    max_trace_bytes: int | None = None
    origin: Literal["replay", "live"] = "replay"

    @property
    def identity(self) -> Identity:
        """What ids are derived from."""
        view = View(
            content=self.policy.content,
            max_value=self.policy.max_value,
            turns=self.turns,
            conventions=self.conventions,
            patterns=self.policy.scrubber.fingerprint if self.policy.content == "scrubbed" else "",
            shift=self.shift_to,
            max_trace_bytes=self.max_trace_bytes,
        )
        return Identity(view=view, namespace=self.namespace, revision=self.revision)

    def shift(self, survey: Conversion) -> int:
        """Say by how many nanoseconds a session is moved, of which the end is known by now."""
        return 0 if self.shift_to is None or survey.root is None else self.shift_to - survey.root.end.at

    def resource(self, session: Session) -> Resource:
        """Say what a trace is about; nothing in it differs from run to run."""
        service = (
            self.service_name or self.attributes.get("service.name") or session.service or session.reference.platform
        )
        told = {**self.attributes, "service.name": service, "otel_agent_events.origin": self.origin}
        return Resource(Finisher(self.policy.max_value).attributes(told))


class Conversion:
    """The spans of one session, made as its answers come in.

    Args:
        source: where the answers come from.
        options: how they become spans.
        conventions: the plug-ins that the options name.
        encoder: one for all sessions.
        spans: whether somebody wants the spans themselves, and not only their bytes.
        digest: whether somebody wants to know later whether this very session went out.
        mark: after how many spans the digest is noted, as `marked`.

    Attributes:
        trace_ids: 16 bytes for each part.
        events: how many there were.
        warnings: what the reader of the trace should know.
        flaws: what could not be read.
        subagents: the sessions that sub-agents ran, each once, in the order in which they were met.
        root: the session's node, once it is complete.
        seal: what the whole was, once everything has been read. The spans that are given before it stay as they are
            when the session grows; those that are given after it may not.
        marked: the first spans, as many as `mark` says, once so many were given.
        largest: bytes of the largest of its traces.
    """

    def __init__(
        self,
        source: Source,
        options: Options,
        conventions: Sequence[Convention],
        *,
        encoder: Encoder,
        spans: bool = True,
        digest: bool = False,
        mark: int = 0,
    ) -> None:
        self._reference = source.reference
        self._reading = Reading(source)
        self._options = options
        self._conventions = conventions
        self._session = Session(reference=source.reference)
        self._identity = options.identity
        self._shift = 0
        self._assembler: Assembler | None = None
        self._builder: SpanBuilder | None = None
        self._plans: Plans | None = None
        self._encoder = encoder
        self._owner: Hashable = None
        self._first_known = self._session
        self._resource: Resource | None = None
        self._wants_spans = spans
        self._digest = RunningDigest() if digest else None
        self._digest_given: Callable[[], str] | None = None
        self._mark = mark
        self._spans: list[Span] = []
        self._bodies: list[bytes] = []
        self._made = 0
        self._size = 0  # of the part
        self._taken_at = 0  # the size of the part when spans of it were taken last
        self._part = Part()
        self._parts = new_claims()  # by the hash of an event's key, the part in which it went out
        self._changed = 0
        self._last_key = ""
        self.trace_ids = [options.parent.trace_id if options.parent else self._identity.trace_id(source.reference)]
        self.events = 0
        self.warnings = list(source.warnings)
        self.subagents: dict[Reference, None] = {}
        self.flaws = self._reading.flaws
        self.root: SessionNode | None = None
        self.seal: Seal | None = None
        self.marked: Prefix | None = None
        self.largest = 0

    def encoded(self, *, shift: int = 0, owner: Hashable = None, most: int = MOST) -> Iterator[Encoded]:
        """Give the spans as they are final; the root comes last, and only when the session was read to its end.

        Args:
            shift: nanoseconds by which all times are moved.
            owner: of the spans.
            most: how many are given at once; a part that ends gives fewer, and so do `MOST_BYTES`.

        Raises:
            SessionError: the platform did not answer as hoped. The spans given before it are final.
        """
        self._shift, self._owner = shift, owner
        try:
            # Each step is done for some events at once: going to and fro between the steps for every event takes half
            # as long again, since a processor has little room for what it did a moment ago.
            for some in self._strides():
                yield from self.take(some)
                if len(self._bodies) >= most or self._size - self._taken_at >= MOST_BYTES:
                    yield self._taken()
        except SessionError:
            if self._made and self._bodies:
                yield self._taken()
            raise
        yield from self.close(most)

    def take(self, items: Sequence[Item]) -> Sequence[Encoded]:
        """Take what was read; the spans that are final by it gather.

        Returns:
            The parts that are over, when the session is split.
        """
        nodes = self._assembled(items)
        bodies = self._planned(nodes)
        whole = [body for body in bodies if body is not None]
        if len(whole) < len(bodies):
            return list(self._added(nodes, bodies))
        self._size += sum(map(len, whole))  # most often
        self._bodies += whole
        return ()

    def gathered(self) -> Encoded | None:
        """Give the spans that have gathered; None when there are none."""
        return self._taken() if self._bodies else None

    @property
    def duplicates(self) -> int:
        """How many records were met again so far."""
        return self._reading.duplicates

    @property
    def given(self) -> Callable[[], Prefix] | None:
        """What was given so far, when there is a digest; to be called later, since a digest takes a while."""
        spans, digest = self._made, self._digest_given
        return None if digest is None else lambda: Prefix(spans=spans, digest=digest())

    def moved(self, at: int) -> int:
        """Give the nanosecond at which something lies in the trace that lies at this one in the session."""
        return min(max(at + self._shift, 0), LATEST)

    def survey(self, shift: int = 0) -> None:
        """Read the whole session and give nothing: what there is of it is known afterwards.

        Raises:
            SessionError: the platform did not answer as hoped.
        """
        for _ in self.encoded(shift=shift):
            pass

    # --- reading --------------------------------------------------------------------------------------

    def _strides(self) -> Iterator[Sequence[Item]]:
        """Give some items at a time; when the platform fails, those that came before it first."""
        items = iter(self._reading)
        while True:
            some: list[Item] = []
            try:
                some.extend(islice(items, _STRIDE))
            except SessionError:
                if some:
                    yield some
                raise
            if not some:
                return
            yield some

    def _assembled(self, items: Sequence[Item]) -> Sequence[Node]:
        """Take what was read; give the nodes that are closed by it."""
        events: Sequence[Event] = items  # type: ignore[assignment]  # most often nothing else
        if not _NO_EVENTS.isdisjoint(map(type, items)):
            events = []
            for item in items:
                if isinstance(item, _FACTS):
                    self._learn(item)
                    continue
                if self._assembler is None:
                    self._begun()
                events.append(item)
        if not events:
            return ()
        assembler = self._assembler or self._begun()
        for event in events:
            kind = event.__class__
            if (kind is ToolResult or kind not in KINDS) and (ran := getattr(event, "subagent", None)) is not None:
                self.subagents[ran.reference] = None
        self.events += len(events)
        self._last_key = events[-1].key
        return assembler.feed(*self._options.policy.events(events))

    def _planned(self, nodes: Sequence[Node]) -> Sequence[bytes | None]:
        return [None] * len(nodes) if self._plans is None else self._plans.bodies(nodes)

    def _learn(self, item: Session | Caution) -> None:
        """Take what is no event of its own, or tells of more than itself."""
        match item:
            case Caution(message=message):
                self.warnings.append(message)
            case Session():
                self._session = self._options.policy.session(item)
                if self._assembler is not None:
                    self._assembler.learn(self._session)

    def _begun(self) -> Assembler:
        """What spans carry of the session is fixed at its first event."""
        self._assembler = Assembler(self._session, turns=self._options.turns)
        self._first_known = self._session
        self._resource = self._options.resource(self._session)
        self._build(self._identity)
        return self._assembler

    def _build(self, identity: Identity) -> None:
        assert self._resource is not None  # noqa: S101 - it is there before anything is built
        if self._builder is not None:
            self._changed += self._builder.changed
        self._builder = SpanBuilder(
            self._first_known,
            identity=identity,
            conventions=self._conventions,
            resource=self._resource,
            parent=self._options.parent,
            links=self._options.links,
            shift=self._shift,
            part_of=lambda key: self._parts.holder(hash(key)),
        )
        wants_nodes = self._wants_spans or self._options.max_trace_bytes is not None
        self._plans = None if wants_nodes else Plans.of(self._builder, self._conventions)

    # --- spans ----------------------------------------------------------------------------------------

    def _added(self, nodes: Sequence[Node], bodies: Sequence[bytes | None]) -> Iterator[Encoded]:
        """Take the spans of nodes of which some have no plan; give those that end a part."""
        for node, body in zip(nodes, bodies, strict=True):
            if body is not None:
                self._size += len(body)
                self._bodies.append(body)
            elif (ended := self._add(node)) is not None:
                yield ended

    def _add(self, node: Node) -> Encoded | None:
        """Make the span of a node the general way; give what went before it when it begins another part."""
        assert self._builder is not None  # noqa: S101 - it is made before the first node
        span = self._builder.build(node)
        body = self._encoder.body(span)
        self._size += len(body)
        most = self._options.max_trace_bytes
        if most is None:
            self._keep(span, body)
            return None
        return self._add_to_part(node, span, body, most)

    def _keep(self, span: Span, body: bytes) -> None:
        self._bodies.append(body)
        if self._wants_spans:
            self._spans.append(span)

    def _add_to_part(self, node: Node, span: Span, body: bytes, most: int) -> Encoded | None:
        """Add a span to the part in which there is room for it, and for the root that the part will have."""
        ended = None
        part = self._part
        is_full = part.nodes > 0 and (part.may_end or not self._options.turns) and self._overflows(node, body, most)
        if is_full:
            self._size -= len(body)
            # With what was known first: later facts must not change what is out, should the session grow.
            self._keep_root(part.root(self._first_known))
            ended = self._taken()
            self.largest, self._size, self._taken_at = max(self.largest, self._size), 0, 0
            self._part = part = Part(part.turns)
            self._identity = replace(self._identity, part=self._identity.part + 1)
            self.trace_ids.append(self._identity.trace_id(self._reference))
            self._build(self._identity)
            builder = self._builder
            assert builder is not None  # noqa: S101 - it was just made
            span = builder.build(node)
            body = self._encoder.body(span)
            self._size += len(body)
        part.take(node, len(body))
        if isinstance(node, (EventNode, ToolNode)):
            key = (node.event if isinstance(node, EventNode) else node.either).key
            self._parts.add(hash(key), self._identity.part)
        self._keep(span, body)
        return ended

    def _overflows(self, node: Node, body: bytes, most: int) -> bool:
        """Tell whether a part would be too large with this span and its root."""
        size = self._part.size + len(body)
        if size + _ROOM_FOR_ROOT + _LONG_VALUES * self._options.policy.max_value <= most:
            return False  # most often there is no need to look at the root
        assert self._builder is not None  # noqa: S101 - it is made before the first node
        root = self._builder.build(self._part.root_with(node, self._first_known))
        return size + len(self._encoder.body(root)) + _STILL_COMING > most

    def _keep_root(self, root: SessionNode) -> None:
        assert self._builder is not None  # noqa: S101 - it is made before the first node
        span = self._builder.build(root)
        body = self._encoder.body(span)
        self._size += len(body)
        self._keep(span, body)

    def _taken(self) -> Encoded:
        """Give the spans that have gathered."""
        assert self._resource is not None  # noqa: S101 - it is made before the first span
        first, bodies, spans = self._made, self._bodies, self._spans
        self._made += len(bodies)
        self._bodies, self._spans, self._taken_at = [], [], self._size
        head = self._encoder.head(self._resource)
        if self._digest is not None:
            if not first:
                self._digest.update([head.resource, head.scope])
            done = 0
            if 0 < self._mark - first <= len(bodies):
                done = self._mark - first
                marked = self._digest.update(bodies[:done])
                self.marked = Prefix(spans=self._mark, digest=marked())
            self._digest_given = self._digest.update(bodies[done:])
        return Encoded(spans=spans, head=head, bodies=bodies, owner=self._owner, first=first)

    # --- the end --------------------------------------------------------------------------------------

    def close(self, most: int = MOST, *, complete: bool = True) -> Iterator[Encoded]:
        """End the session: give what still waits, and then the root.

        Args:
            most: how many spans are given at once.
            complete: False when it is known that records are missing.
        """
        assembler = self._assembler or self._begun()
        if self.flaws or not complete:
            self._session = replace(self._session, complete=False)
        assembler.learn(self._session)
        ended = []
        for node in assembler.close():
            if isinstance(node, SessionNode):
                self.root = node
                if len(self.trace_ids) > 1:
                    node = self._part.root(self._session, failure=node.failure, complete=node.complete)  # noqa: PLW2901
                self._keep_root(node)
            elif (before := self._add(node)) is not None:
                ended.append(before)
        # Until here nothing of this was given: a session that grows may end otherwise.
        last = self._taken()
        self.largest = max(self.largest, self._size)
        self._warn(assembler)
        self.seal = Seal(
            events=self.events,
            last_key=self._last_key,
            digest="" if self._digest is None else self._digest.hexdigest(),
            spans=self._made,
            parts=len(self.trace_ids),
        )
        yield from ended
        for begin in range(0, len(last.bodies), most):
            yield replace(
                last,
                spans=last.spans[begin : begin + most],
                bodies=last.bodies[begin : begin + most],
                first=last.first + begin,
            )

    def _warn(self, assembler: Assembler) -> None:
        assert self._builder is not None  # noqa: S101 - it is made before the end
        if assembler.undated:
            self.warnings.append("no record has a time, so all times are invented, beginning in 1970")
        most = self._options.max_trace_bytes
        if most is not None and self.largest > most:
            whole = "a turn, a span and a root stay whole" if self._options.turns else "a span and a root stay whole"
            self.warnings.append(f"a part has {self.largest} bytes, which is more than --max-trace-bytes: {whole}")
        if not self.events:
            self.warnings.append("the session has no events")
        changed = self._changed + self._builder.changed
        if changed:
            self.warnings.append(
                f"{changed} values held what OTLP cannot hold (unpaired surrogates, integers beyond 64 bits, "
                "NaN) and were written as text"
            )
