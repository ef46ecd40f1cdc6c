"""The stream of a Vectara session: chunks joined to the records that they are of.

While an agent answers, Vectara tells what it thinks and says in chunks (`streaming_thinking`,
`streaming_agent_output`), and when it is through with either (`..._end`). What it stores afterwards is one record of
each. Types and fields are those of the stream union of Vectara's Python SDK 0.4.3; the guide's samples leave
`created_at` out.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from otel_agent_events import times
from otel_agent_events.events import AgentMessage, Event, Note, Text, Thinking, value
from otel_agent_events.fetchers.fields import Fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_agent_events.events import JSON

_CHUNKS = {"streaming_thinking": "thinking", "streaming_agent_output": "agent_output"}
"""By the type of a chunk, the type of the record that is stored of it."""
_ENDS = {f"{chunk}_end": stored for chunk, stored in _CHUNKS.items()}

USAGE = "context_consumed"
STREAMED = frozenset({*_CHUNKS, *_ENDS, USAGE, "compaction_started", "error", "end"})
"""The types that are in streams only."""

BREAKS = frozenset({"end", "input_message", "session_interrupted"})
"""The types after which nothing that was begun goes on: what comes next is of another stream, or of another answer."""

_OF_USAGE = {
    "input_tokens": ("input_tokens", "count"),
    "output_tokens": ("output_tokens", "count"),
    "reasoning_tokens": ("output_tokens", "reasoning_tokens"),
    "total_tokens": ("total_tokens",),
    "model_context_window": ("model_context_window",),
}


@value()
class Moments:
    """When something was: as the platform says, and as it came here. Nanoseconds since 1970; None for not known."""

    told: int | None
    arrived: int | None


@value()
class Joined:
    """What some chunks are together.

    Attributes:
        stored: the record as it will be stored, but for what only the platform knows: its type and its content, and its
            id where the stream names it.
        id: that id.
        start, end: nanoseconds since 1970 of the first and the last of it, by one and the same clock.
        waited: nanoseconds from what came before the first chunk until that one.
        chunks: how many there were.
        whole: whether its end was told; else the stream broke off.
        remainder: what is held by none of these.
    """

    stored: Mapping[str, JSON]
    id: str | None
    start: int | None
    end: int | None
    waited: int | None
    chunks: int
    whole: bool
    remainder: JSON

    def event(self, key: str) -> Event:
        """Give it as an event: its two times are recorded, none is inferred."""
        content = self.stored["content"]
        common: dict[str, Any] = {
            "key": key,
            "id": self.id,
            "type": self.stored["type"],
            "start": self.start,
            "end": self.end,
            "measurements": {} if self.waited is None else {FIRST_CHUNK: self.waited / times.SECOND},
            "details": {"chunks": self.chunks, **({} if self.whole else {BROKEN_OFF: True})},
            "remainder": self.remainder,
        }
        if self.stored["type"] == "thinking":
            return Thinking(**common, text=content)
        return AgentMessage(**common, parts=(Text(text=content),))


FIRST_CHUNK = "time_to_first_chunk"
"""The measurement, in seconds: the name that the GenAI conventions have for it."""
BROKEN_OFF = "broken_off"
"""The detail of what was not told to its end."""


@value()
class _Open:
    """Chunks of which the end was not told yet."""

    stored: str
    first: Moments
    waited: int | None
    texts: list[str] = field(default_factory=list)
    rests: list[JSON] = field(default_factory=list)


class Stream:
    """Join the chunks of one session's stream, as they come.

    Args:
        session: its key; what names it need not be kept.
    """

    def __init__(self, session: str | None) -> None:
        self._session = session
        self._open: dict[str, _Open] = {}  # by the type that is stored
        self._last: dict[str, Moments] = {}  # of the same, when its last chunk came
        self._before: int | None = None  # when the last record came that is no further chunk, by our clock
        self._told_before: int | None = None  # the same by the platform's

    def note(self, arrived: int | None, told: int | None = None) -> None:
        """Note when a record came: what is said next was waited for since then."""
        self._before, self._told_before = arrived, told

    def take(self, record: Mapping[str, JSON], moments: Moments) -> Iterator[Joined | Note]:
        """Take what is in streams only: give what is whole now.

        Args:
            record: its type is one of `STREAMED`.
            moments: when it was.
        """
        type_ = record["type"]
        fields = Fields(record)
        fields.name("type")
        fields.drop("session_key", self._session)
        if type_ in _CHUNKS:
            self._take_chunk(_CHUNKS[type_], fields, moments)
            return
        if type_ in BREAKS:
            yield from self.close()
        if type_ in _ENDS:
            yield self._end(_ENDS[type_], fields, moments)
        else:
            note = _note(type_, fields, moments)
            if note is not None:
                yield note
        self.note(moments.arrived, moments.told)

    def close(self) -> Iterator[Joined]:
        """Give what was never told to its end, in the order in which it began."""
        while self._open:
            stored, chunks = next(iter(self._open.items()))
            del self._open[stored]
            yield _joined(chunks, self._last[stored], None, whole=False)

    def _take_chunk(self, stored: str, fields: Fields, moments: Moments) -> None:
        chunks = self._open.get(stored)
        if chunks is None:
            chunks = self._open[stored] = _Open(stored=stored, first=moments, waited=self._waited(moments))
        self._last[stored] = moments
        text = fields.text("content")
        chunks.texts.append(text or "")
        self._keep(chunks, fields, text_is_there=text is not None)

    def _end(self, stored: str, fields: Fields, moments: Moments) -> Joined:
        chunks = self._open.pop(stored, None) or _Open(stored=stored, first=moments, waited=None)
        identifier = fields.name("event_id")
        self._keep(chunks, fields, text_is_there=True)
        return _joined(chunks, moments, identifier, whole=True)

    def _keep(self, chunks: _Open, fields: Fields, *, text_is_there: bool) -> None:
        fields.nanoseconds("created_at")  # of the chunks between the first and the last nobody wants to know when
        rest = fields.rest()
        if rest is not None or not text_is_there:
            chunks.rests.append(rest or {})

    def _waited(self, moments: Moments) -> int | None:
        if self._before is not None and moments.arrived is not None:
            return max(0, moments.arrived - self._before)
        if self._told_before is not None and moments.told is not None:
            return max(0, moments.told - self._told_before)
        return None


def _joined(chunks: _Open, last: Moments, identifier: str | None, *, whole: bool) -> Joined:
    first = chunks.first
    # Platform and service have two clocks: of one span both times are by one of them.
    by_platform = first.told is not None and last.told is not None
    stored: dict[str, JSON] = {"type": chunks.stored, "content": "".join(chunks.texts)}
    if identifier is not None:
        stored["id"] = identifier
    return Joined(
        stored=stored,
        id=identifier,
        start=first.told if by_platform or first.arrived is None else first.arrived,
        end=last.told if by_platform or last.arrived is None else last.arrived,
        waited=chunks.waited,
        chunks=len(chunks.texts),
        whole=whole,
        remainder={"chunks": chunks.rests} if chunks.rests else None,
    )


def _note(type_: str, fields: Fields, moments: Moments) -> Note | None:
    """Give what is no chunk; None for an end of the stream that says nothing else."""
    at = fields.nanoseconds("created_at")
    common: dict[str, Any] = {"type": type_, "id": fields.name("id"), "name": type_}
    common["start"] = common["end"] = moments.arrived if at is None else at
    if type_ == USAGE:
        usage = fields.value("session_context_usage")
        counts, left = _counts(usage)
        rest = dict(fields.rest() or {}) | ({} if left is None else {"session_context_usage": left})
        return Note(key="", **common, attributes=counts, remainder=rest or None)
    if type_ == "error":
        messages = fields.value("messages")
        said = {} if messages is None else {"messages": messages}
        return Note(key="", **common, content=said, failure="error", remainder=fields.rest())
    rest = fields.rest()
    return None if type_ == "end" and rest is None else Note(key="", **common, remainder=rest)


def _counts(usage: JSON) -> tuple[dict[str, int], JSON]:
    """Take the counts of tokens, each under a name; give what else there is."""
    counts: dict[str, int] = {}
    for name, path in _OF_USAGE.items():
        told = usage
        for member in path:
            told = told.get(member) if isinstance(told, dict) else None
        if isinstance(told, int) and not isinstance(told, bool):
            counts[name] = told
    known = {path for name, path in _OF_USAGE.items() if name in counts}
    return counts, _without(usage, known)


def _without(usage: JSON, known: set[tuple[str, ...]]) -> JSON:
    if not isinstance(usage, dict):
        return usage
    left: dict[str, JSON] = {}
    for name, told in usage.items():
        if (name,) in known:
            continue
        inner = {path[1] for path in known if path[0] == name and len(path) > 1}
        rest = {each: more for each, more in told.items() if each not in inner} if inner else told
        if rest or not inner:
            left[name] = rest
    return left or None
