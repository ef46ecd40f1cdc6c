"""Record a session: its raw answers in a file that replays to the same ids, with what is secret taken out."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from otel_agent_events.errors import ReadError, UsageError
from otel_agent_events.events import Caution, Session
from otel_agent_events.fetchers import FETCHERS, Usual
from otel_agent_events.fetchers.client import encoded_path
from otel_agent_events.fetchers.saved import RecordedAnswer, Recording
from otel_agent_events.originals import changed_parts, with_texts, without_members
from otel_agent_events.reference import Reference
from otel_agent_events.replacement import Replacement
from otel_agent_events.scrub import Scrubber
from otel_agent_events.settings import Settings
from otel_agent_events.sources import STANDARD_INPUT, Sources

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import httpx

    from otel_agent_events.content import Content
    from otel_agent_events.events import JSON
    from otel_agent_events.fetchers import Answer, Readable
    from otel_agent_events.stopping import Stop


class RecordingReport(BaseModel):
    """What was recorded.

    Attributes:
        reference: the session, in full.
        answers: how many answers the recording holds.
        changed: how many records had something taken out; the recording holds their original keys.
        warnings: what should be known of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reference: str
    answers: int
    changed: int
    warnings: tuple[str, ...] = ()


def record(
    reference: str | Reference,
    path: str | os.PathLike[str],
    *,
    content: Content | None = None,
    scrubber: Scrubber | None = None,
    base_url: str | None = None,
    timeout: float | None = None,
    rate: float | None = None,
    environ: Mapping[str, str] | None = None,
    client: httpx.Client | None = None,
    stop: Stop | None = None,
) -> RecordingReport:
    """Fetch a session and save its raw answers as a recording, which `replay` reads and the loopback platform plays.

    Requests are saved without headers. Our own credentials, and what the platform marks as its secrets, are always
    taken out.

    Args:
        reference: `FETCHER:PATH`.
        path: of the file; one that is there is replaced.
        content: `scrubbed` (the default) takes out secrets as in traces, `full` leaves them in.
        scrubber: takes out secrets by your own patterns too.
        base_url: of the platform.
        timeout: seconds to wait for one answer.
        rate: the most requests a second.
        environ: instead of the environment of this process.
        client: does the fetching; one of our own is made without it.
        stop: asks to stop, from another thread.

    Raises:
        UsageError: the call cannot be carried out as it stands.
        SessionError: the session could not be had to its end, or it was asked to stop; nothing was written.
    """
    settings = Settings.here() if environ is None else Settings(environ)
    if os.fspath(path) == STANDARD_INPUT:
        raise UsageError("a recording goes into a file: name one, such as session.json")
    policy = settings.content(content)
    if policy == "none":
        raise UsageError("a recording without contents would be none: use --content scrubbed or full")
    asked = _of_a_platform(reference) if isinstance(reference, str) else reference
    with ExitStack() as stack:
        sources = Sources(settings, stack, base_url=base_url, client=client, timeout=timeout, rate=rate, stop=stop)
        fetcher = FETCHERS.get(asked.platform)
        wanted = sources.wanted(asked)
        file = Replacement(path)
        stack.callback(file.abandon)
        with sources.stopped_by(stop, str(asked)):
            (source,) = wanted.open()
            answers = [_parsed(answer) for answer in source.asked_for(stop)]
        take_out = _TakeOut(
            names=fetcher.secrets,
            mask=sources.client(fetcher).mask,
            scrubber=(scrubber or Scrubber()) if policy == "scrubbed" else None,
        )
        try:
            recording = recording_of(source.reference, answers, take_out)
            written = _written(recording)
        except RecursionError:
            raise ReadError(f"{source.reference}: an answer is nested too deeply to be recorded") from None
        warnings = list(source.warnings)
        if _keys_of(fetcher, source.reference, answers) != _keys_of(
            fetcher, source.reference, [answer.answer() for answer in recording.answers]
        ):
            warnings.append("what was taken out changes ids of this session: the recording replays to other ones")
        _put(file, written, path)
    return RecordingReport(
        reference=str(source.reference),
        answers=len(recording.answers),
        changed=sum(_outermost(answer.changed) for answer in recording.answers),
        warnings=tuple(warnings),
    )


def recording_of(reference: Reference, answers: Sequence[Answer], take_out: Callable[[JSON], JSON]) -> Recording:
    """Make a recording of answers, each of which has its request.

    Args:
        reference: the session, in full.
        answers: in the order in which they came.
        take_out: gives a value without what is secret.
    """
    return Recording(recording=1, session=str(reference), answers=[_recorded(answer, take_out) for answer in answers])


def _recorded(answer: Answer, take_out: Callable[[JSON], JSON]) -> RecordedAnswer:
    request = answer.request
    assert request is not None  # noqa: S101 - it was asked for
    body = take_out(answer.body)
    return RecordedAnswer(
        label=answer.label,
        path=encoded_path(request.path),
        query=take_out(dict(request.query)),
        status=200 if answer.failure is None else answer.failure.status or 0,
        body=body,
        changed=changed_parts(answer.body, body),
    )


def _parsed(answer: Answer) -> Answer:
    """Give an answer with its body as parsed JSON, as it is recorded."""
    return replace(answer, body=answer.body.parsed()) if isinstance(answer.body, Usual) else answer


def _outermost(pointers: Mapping[str, str]) -> int:
    """Count the records among what was changed: the items of lists that lie in no other one, else the whole answer."""
    counted, outer = 0, None
    for pointer in sorted(filter(None, pointers)):
        if outer is None or not pointer.startswith(f"{outer}/"):
            counted, outer = counted + 1, pointer
    return counted or len(pointers)


class _TakeOut:
    """Take out of a value what must not be in a recording.

    Args:
        names: of members that go altogether, at any depth and in any case: the platform's own secrets.
        mask: hides our own credentials in a text.
        scrubber: takes out secrets by form and by name; None leaves them.
    """

    def __init__(self, *, names: Sequence[str], mask: Callable[[str], str], scrubber: Scrubber | None) -> None:
        self._names = {name.casefold() for name in names}
        self._mask = mask
        self._scrubber = scrubber

    def __call__(self, told: JSON) -> Any:
        """Give the value without them."""
        kept = without_members(told, self._names)
        return with_texts(kept if self._scrubber is None else self._scrubber.value(kept), self._mask)


def _keys_of(readable: Readable, reference: Reference, answers: Sequence[Answer]) -> list[str]:
    """Give the keys of the events that answers are read to."""
    reader = readable.reader(reference)
    items = [*(item for answer in answers for item in reader.feed(answer)), *reader.close()]
    return [item.key for item in items if not isinstance(item, (Session, Caution))]


def _of_a_platform(told: str) -> Reference:
    platform, colon, _ = told.partition(":")
    if colon and platform in FETCHERS.names():
        return Reference.parse(told)
    raise UsageError(
        f"{told!r} is no session of a platform, and only those are recorded; write FETCHER:PATH, "
        f"such as vectara:AGENT/SESSION; installed fetchers: {', '.join(FETCHERS.names())}"
    )


def _written(recording: Recording) -> bytes:
    told = recording.model_dump(exclude_defaults=True) | {"recording": recording.recording}
    return f"{json.dumps(told, indent=2)}\n".encode("ascii")


def _put(file: Replacement, written: bytes, path: str | os.PathLike[str]) -> None:
    try:
        file.write(written)
        file.put()
    except OSError as error:
        raise UsageError(f"{os.fspath(path)!r} cannot be written: {error.strerror}") from None
