"""One run over many sessions: each is opened, looked up in the ledger, made into spans and handed on.

Spans of several sessions are on their way at once, so that a batch may hold many small sessions; a session is told of
when all its spans have an outcome, in the order in which the sessions were named.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from otel_agent_events.conversion import MOST, Conversion
from otel_agent_events.errors import SessionError, UsageError
from otel_agent_events.ledger import POLL
from otel_agent_events.messages import first_of
from otel_agent_events.otlp.encode import Encoder
from otel_agent_events.report import SessionReport
from otel_agent_events.stopping import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from otel_agent_events.conventions import Convention
    from otel_agent_events.conversion import Options
    from otel_agent_events.delivery import Delivery, Shipment
    from otel_agent_events.fetchers import Answer
    from otel_agent_events.ledger import Lease, Ledger, Prefix, Seal
    from otel_agent_events.otlp import Encoded
    from otel_agent_events.reference import Reference
    from otel_agent_events.sources import Source, Sources, Wanted
    from otel_agent_events.stopping import Stop

MOST_STORED = 5_000_000
"""Bytes of a trace that a Tempo with stock settings stores (`max_bytes_per_trace`)."""

_MOST_KEPT = 30
"""Answers that are kept while a session is looked through, so that they need not be fetched again."""

_STEP = 100
"""Spans after which it is looked whether those are through that an earlier run has sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """The ledger of a run, and the destination that it is kept for.

    Attributes:
        destination: what the ledger knows it as.
        asked: whether somebody asked for this ledger: then nothing is sent that it cannot remember.
    """

    ledger: Ledger
    destination: str
    asked: bool = False

    @property
    def fails(self) -> bool:
        """Whether nothing can be remembered any more, and that was asked for."""
        return self.asked and self.ledger.failure is not None


class _Job(NamedTuple):
    """Something to replay, and the session whose sub-agent ran it, unless it was named."""

    wanted: Wanted
    options: Options
    subagent_of: str | None = None


class _Plan(NamedTuple):
    """What the ledger makes of a session.

    Attributes:
        resumes: what was sealed of a revision that was begun in an earlier run, and is gone on with.
        prefix: what was sent of it, when it was not sealed.
        warning: what a person should know of it.
    """

    revision: int
    withheld: bool = False
    resumes: Seal | None = None
    prefix: Prefix | None = None
    warning: str | None = None


class _Pending(NamedTuple):
    """A session that was read, whose spans are on their way."""

    shipment: Shipment
    conversion: Conversion
    told: dict[str, object]
    whole: bool


class Run:
    """Replay sessions, one after the other.

    Args:
        delivery: where the spans go.
        conventions: the plug-ins that the options name.
        stop: asks it to stop.
        book: remembers what was acknowledged; None for no ledger.
        again: send what a destination has unchanged as its next revision.
        followed: opens the sessions that sub-agents ran; None when they are not followed.
        spans: whether a destination wants the spans themselves.
        stored: whether the spans go to a store that may be too small for them.
        noted: is called with what concerns all sessions.
    """

    def __init__(
        self,
        delivery: Delivery,
        conventions: Sequence[Convention],
        *,
        stop: Stop,
        book: Book | None = None,
        again: bool = False,
        followed: Sources | None = None,
        spans: bool = True,
        stored: bool = False,
        noted: Callable[[str], None] = print,
    ) -> None:
        self._delivery = delivery
        self._conventions = conventions
        self._stop = stop
        self._book = book
        self._again = again
        self._followed = followed
        self._wants_spans = spans
        self._stored = stored
        self._noted = noted
        self._encoder = Encoder()
        self._pending: deque[_Pending | SessionReport] = deque()
        self._met: set[Reference] = set()  # a file counts when it was read to its end
        self._followed_on: set[Reference] = set()
        self._jobs: deque[_Job] = deque()

    def reports(self, named: Sequence[Wanted], options: Options) -> Iterator[SessionReport]:
        """Replay what was named, and then what sub-agents ran; say of each session what became of it, in order."""
        # A child's trace is the same whether it was named or followed.
        as_child = replace(options, parent=None, links=())
        self._jobs.extend(_Job(wanted, options) for wanted in named)
        while self._jobs:  # of which none is opened any more when the run is asked to stop
            job = self._jobs.popleft()
            for source in self._opened(job):
                if self._stop.asked:
                    break
                if isinstance(source, SessionReport):
                    self._pending.append(source)
                else:
                    self._replay(source, job, as_child)
                yield from self._settled()
        self._delivery.flush()
        yield from self._settled()

    # --- one after the other --------------------------------------------------------------------------

    def _opened(self, job: _Job) -> Iterable[Source | SessionReport]:
        """Open what was named; one that cannot be had is a report, and the others go on."""
        if self._delivery.is_over():
            why = "not tried: no destination takes anything more"
        elif self._book is not None and self._book.fails:
            why = "not tried: the ledger can remember nothing more"
        else:
            try:
                with self._stop.interruptible():
                    return job.wanted.open()
            except SessionError as error:
                why = str(error)
            except Stopped:
                return []
        return [SessionReport(reference=job.wanted.name, error=why, subagent_of=job.subagent_of)]

    def _replay(self, source: Source, job: _Job, as_child: Options) -> None:
        if source.reference in self._met and not source.saved:
            if job.subagent_of is None:
                told = f"{source.reference} was replayed above, and is not replayed twice"
                self._pending.append(SessionReport(reference=job.wanted.name, warnings=(*source.warnings, told)))
            return
        conversion = self._send(source, job)
        if conversion is None:
            return
        if conversion.root is not None or not source.saved:
            self._met.add(source.reference)
        for child in conversion.subagents:
            if self._followed is None or child in self._met or child in self._followed_on:
                continue
            self._followed_on.add(child)
            parent = str(source.reference)
            try:
                self._jobs.append(_Job(self._followed.wanted(child), as_child, parent))
            except UsageError as error:
                told = f"{child} was not followed: {error}"
                self._pending.append(SessionReport(reference=str(child), error=told, subagent_of=parent))

    def _settled(self) -> Iterator[SessionReport]:
        """Tell of the sessions of which everything is known, in order."""
        self._take_in()
        while self._pending:
            first = self._pending[0]
            if isinstance(first, _Pending):
                if not first.shipment.settled:
                    return
                first = self._finished(first)
            self._pending.popleft()
            yield first

    def _take_in(self) -> None:
        """Note what came back, and let go of the sessions that are through: another run may wait for them."""
        self._delivery.collect()
        self._finish_leases()

    # --- one session ----------------------------------------------------------------------------------

    def _send(self, source: Source, job: _Job) -> Conversion | None:
        """Send one session; give what is known of it then, or None when it was not begun."""
        stop, options = self._stop, job.options
        if not source.saved:
            source = replace(source, answers=_Again(source.answers, stop, self._take_in))
        told: dict[str, object] = {"reference": str(source.reference), "subagent_of": job.subagent_of}
        shipment = self._delivery.shipment()
        conversion = self._conversion(source, options, digest=False)  # which tells of the session if nothing else does
        failure: str | None = None
        streaming = False
        try:
            shift = self._shift(source, options)
            plan, surveyed = self._looked_up(source, options, shift, shipment)
            told["revision"] = plan.revision
            shipment.withheld = plan.withheld
            if plan.withheld and surveyed is not None and self._delivery.has_only_the_ledgered:
                conversion = surveyed  # nobody else wants it
            else:
                options = replace(options, revision=plan.revision)
                mark = 0 if plan.prefix is None else plan.prefix.spans
                conversion = self._conversion(source, options, digest=shipment.lease is not None, mark=mark)
                conversion.warnings += [] if plan.warning is None else [plan.warning]
                for ready in self._ready(conversion, shift, shipment, plan, told["reference"]):
                    streaming = True
                    self._delivery.submit(ready)
                    if conversion.seal is None and self._delivery.is_over():
                        failure = "stopped: no destination takes anything more"
                        break
                    if conversion.seal is None and stop.hurries:
                        failure = "stopped while it was sent"
                        break
        except SessionError as error:
            failure = str(error)
        except Stopped:
            failure = "stopped while it was read"
        if failure is not None:
            told["error"] = failure
            told["streaming"] = streaming
        self._pending.append(_Pending(shipment, conversion, told, failure is None))
        return conversion

    def _ready(
        self, conversion: Conversion, shift: int, shipment: Shipment, plan: _Plan, reference: object
    ) -> Iterator[Encoded]:
        """Give the spans that may go out: none before there are more of them than are held back, or all.

        The latest stay here until more are made: meanwhile their digest is taken.
        """
        held: deque[tuple[Encoded, Callable[[], Prefix] | None]] = deque()
        begun = sealed = False
        encoded = conversion.encoded(shift=shift, owner=shipment)
        failure: SessionError | None = None
        following: Encoded | None = None
        while True:
            try:
                following = next(encoded, None)
            except SessionError as error:
                following, failure = None, error
            over = following is None and failure is None
            if begun or over or sum(len(each.bodies) for each, _ in held) >= MOST:
                while held:
                    ready, prefix = held.popleft()
                    sealed = self._remembered(conversion, shipment, plan, reference, prefix, begun=begun, sealed=sealed)
                    begun = True
                    yield ready
            if failure is not None:
                raise failure
            if following is None:
                return
            held.append((following, conversion.given))

    def _remembered(
        self,
        conversion: Conversion,
        shipment: Shipment,
        plan: _Plan,
        reference: object,
        prefix: Callable[[], Prefix] | None,
        *,
        begun: bool,
        sealed: bool,
    ) -> bool:
        """Write down what must be known before more spans of a session go out: with them it will be `prefix`, or all.

        Returns:
            Whether it is sealed.

        Raises:
            SessionError: no more of them may go out.
        """
        lease, seal = shipment.lease, conversion.seal
        if lease is None or plan.withheld:  # what is known of it stays as it is
            return sealed
        if _has_changed(conversion, plan):
            raise SessionError(f"{reference} has changed while it was read: run the same command again")
        if lease.lost:
            raise SessionError(f"another run has taken {reference} over, as this one seemed dead")
        if not begun:
            told = None if prefix is None else prefix()
            lease.begin(plan.revision, conversion.trace_ids[0].hex(), seal=seal, prefix=told)
        elif seal is None and prefix is not None:
            lease.sending(prefix())
        elif seal is not None and not sealed:
            lease.seal(seal)
        if self._book is not None and self._book.fails:
            raise SessionError("stopped: the ledger can remember nothing more")
        return seal is not None

    def _conversion(
        self, source: Source, options: Options, *, digest: bool, spans: bool | None = None, mark: int = 0
    ) -> Conversion:
        return Conversion(
            source,
            options,
            self._conventions,
            encoder=self._encoder,
            spans=self._wants_spans if spans is None else spans,
            digest=digest,
            mark=mark,
        )

    def _shift(self, source: Source, options: Options) -> int:
        """Work out by how many nanoseconds a session is moved; its end is only known when it was read."""
        if options.shift_to is None:
            return 0
        return options.shift(self._surveyed(source, options))

    def _surveyed(self, source: Source, options: Options, shift: int = 0) -> Conversion:
        """Look a session through, and send nothing of it."""
        survey = self._conversion(source, options, digest=True, spans=False)
        if isinstance(source.answers, _Again):
            source.answers.keep()
        survey.survey(shift)
        return survey

    # --- the ledger -----------------------------------------------------------------------------------

    def _looked_up(
        self, source: Source, options: Options, shift: int, shipment: Shipment
    ) -> tuple[_Plan, Conversion | None]:
        """Ask the ledger what the destination has of a session, and say what is to be sent."""
        asked = _Plan(options.revision)
        if self._book is None:
            return asked, None
        lease = shipment.lease = self._lease(self._book, source, options)
        if self._book.fails:
            raise SessionError("the ledger can remember nothing more")
        latest = lease.latest
        if latest is None or latest.revision < options.revision:
            return asked, None
        there = latest.state == "sent"
        if latest.seal is None and not there and not self._again:
            # It was cut short while it was read.
            same_revision = replace(options, revision=latest.revision)
            if latest.prefix is None or not self._begins_with(latest.prefix, source, same_revision, shift):
                return _Plan(latest.revision + 1, warning=_begun_anew(latest.revision)), None
            shipment.had = latest.acknowledged
            return _Plan(latest.revision, prefix=latest.prefix), None
        survey = self._surveyed(source, replace(options, revision=latest.revision), shift)
        same = survey.seal is not None and latest.seal is not None and survey.seal.digest == latest.seal.digest
        if self._again or not same:
            return _Plan(latest.revision + 1), None
        if there:
            return _Plan(latest.revision, withheld=True), survey
        shipment.had = latest.acknowledged
        return _Plan(latest.revision, resumes=latest.seal), None

    def _begins_with(self, prefix: Prefix, source: Source, options: Options, shift: int) -> bool:
        """Look a session through as far as it was sent before; say whether the same would be sent now."""
        survey = self._conversion(source, options, digest=True, spans=False, mark=prefix.spans)
        for _ in survey.encoded(shift=shift, most=_STEP):
            if survey.marked is not None:
                break
        return survey.marked == prefix

    def _lease(self, book: Book, source: Source, options: Options) -> Lease:
        """Hold a session, and wait as long as another run does."""
        reference, identity = str(source.reference), options.identity
        waiting = False
        while True:
            lease = book.ledger.lease(
                book.destination,
                identity.family(source.reference),
                reference=reference,
                namespace=identity.namespace,
                view=str(identity.view),
            )
            if lease is not None:
                return lease
            # What this run holds must not keep the other one waiting, and it may be this very session.
            self._delivery.flush()
            self._finish_leases()
            if not book.ledger.holding(book.destination, identity.family(source.reference)) and not waiting:
                waiting = True
                self._noted(f"another run is sending {reference}; waiting for it")
            if self._stop.wait(POLL):
                raise Stopped

    def _finish_leases(self) -> None:
        for each in self._pending:
            if isinstance(each, _Pending) and each.shipment.settled:
                self._finish_lease(each)

    def _finish_lease(self, pending: _Pending) -> None:
        lease, fate = pending.shipment.lease, self._delivery.under_ledger(pending.shipment)
        if lease is None or fate is None:
            return
        pending.shipment.lease = None
        if pending.shipment.withheld or not pending.whole:
            lease.release()
        elif fate.acknowledged == fate.made and not pending.shipment.doubtful:
            lease.finish("sent")
        else:
            lease.finish("set_aside" if fate.set_aside else "failed")

    # --- what is said ---------------------------------------------------------------------------------

    def _finished(self, pending: _Pending) -> SessionReport:
        """Say what became of a session, now that all is known."""
        self._finish_lease(pending)
        shipment, conversion, told, _ = pending
        had = self._delivery.under_ledger(shipment)
        if shipment.withheld and had is not None:
            had.had = 0 if conversion.seal is None else conversion.seal.spans
        counted = self._delivery.reports(shipment)
        stopped, streaming = told.pop("error", None), told.pop("streaming", False)
        warnings = list(conversion.warnings)
        if stopped is not None:
            arrived = max((each.acknowledged + each.reported for each in counted), default=0)
            stopped = f"{stopped}; {_what_is_out(arrived) if streaming else 'nothing of it was sent'}"
            if not streaming:
                warnings = []  # what a trace lacks is of no interest where there is none
        if self._stored and conversion.largest > MOST_STORED:
            warnings.append(
                f"the trace has {conversion.largest / 1e6:.1f} MB; a Tempo with stock settings stores 5 MB of a trace "
                "and drops the rest (--max-trace-bytes 4000000 sends the session in parts)"
            )
        traces = [trace_id.hex() for trace_id in conversion.trace_ids]
        root = conversion.root
        return SessionReport.counting(
            counted,
            **told,
            trace_id=traces[0],
            parts=tuple(traces) if len(traces) > 1 else (),
            unchanged=shipment.withheld,
            start=None if root is None else conversion.moved(root.start.at),
            end=None if root is None else conversion.moved(root.end.at),
            events=conversion.events,
            duplicates=conversion.duplicates,
            warnings=tuple(warnings),
            error="; ".join([*first_of(conversion.flaws), *([stopped] if stopped else [])]) or None,
        )


def _has_changed(conversion: Conversion, plan: _Plan) -> bool:
    """Tell whether a revision that is gone on with is seen to be another one than when it was looked through."""
    seal, marked = conversion.seal, conversion.marked
    if plan.resumes is not None and seal is not None and seal.digest != plan.resumes.digest:
        return True
    return plan.prefix is not None and (seal or marked) is not None and marked != plan.prefix


def _begun_anew(revision: int) -> str:
    return (
        f"revision {revision} was cut short in an earlier run, and what is out of it would not be the same now: "
        f"the whole goes out as revision {revision + 1}"
    )


def _what_is_out(arrived: int) -> str:
    if not arrived:
        return "nothing of it arrived"
    return f"{arrived} of its spans arrived, without a root: replay again to complete the trace"


class _Again:
    """The answers of a session, that can be had a second time: kept when they are few, and else fetched again."""

    def __init__(self, answers: Iterable[Answer], stop: Stop, meanwhile: Callable[[], None]) -> None:
        self._answers = answers
        self._meanwhile = meanwhile
        self._stop = stop
        self._kept: list[Answer] = []
        self._keeps = self._complete = False

    def keep(self) -> None:
        """From now on keep what is read, if it is little."""
        self._keeps = True

    def __iter__(self) -> Iterator[Answer]:
        if self._complete:
            return iter(self._kept)
        return self._read()

    def _read(self) -> Iterator[Answer]:
        keeps = self._keeps
        self._kept.clear()
        for answer in self._stop.reading(self._answers):
            self._meanwhile()  # what is acknowledged while a platform is slow is written down nevertheless
            keeps = keeps and len(self._kept) < _MOST_KEPT
            if keeps:
                self._kept.append(answer)
            else:
                self._kept.clear()
            yield answer
        self._complete = keeps
