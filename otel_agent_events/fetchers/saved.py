"""Saved answers: what `curl` printed, a list of pages, or a recording; from a file or standard input."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from otel_agent_events.errors import FetchError, ReadError, UsageError
from otel_agent_events.events import value
from otel_agent_events.fetchers import FETCHERS, Answer, Fetcher, Quick, Readable, Usual, form_of
from otel_agent_events.fetchers.client import integer
from otel_agent_events.fetchers.lines import LargeFile
from otel_agent_events.originals import with_originals
from otel_agent_events.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from otel_agent_events.events import JSON
    from otel_agent_events.fetchers.lines import Line

_MODEL = ConfigDict(frozen=True, extra="forbid")
_EMPTY_LIST = "an empty list"
_SPACE = b" \t\r\n"
_SEVERAL = 2
_MOST_STRANGE = 3
_MOST_NAMES = 8
_MOST_NAME = 40


class RecordedAnswer(BaseModel):
    """One answer of a recording, with the request that asked for it.

    Attributes:
        label: what the fetcher calls it: `events`, `agent`.
        path: of the request, encoded, with a leading slash.
        query: of the request, decoded.
        status: of the answer; one that is not 200 is a failure that the fetcher could live with.
        changed: what was taken out of the body changed these parts of it: by JSON pointer (RFC 6901), the key that each
            had as the platform gave it. Ids are derived from that one.
    """

    model_config = _MODEL

    label: str
    path: str
    query: dict[str, str] = {}
    status: int = 200
    body: Any = None
    changed: dict[str, str] = {}

    def answer(self) -> Answer:
        """Give it as it was when it was recorded.

        Raises:
            ValueError: a pointer in `changed` points nowhere.
        """
        source = f"GET {self.path}"
        if self.status != HTTPStatus.OK:
            failure = FetchError(
                f"{source} answered {self.status} when it was recorded", request=source, status=self.status
            )
            return Answer(label=self.label, body=None, source=source, failure=failure)
        return Answer(label=self.label, body=with_originals(self.body, self.changed), source=source)


class Recording(BaseModel):
    """The raw answers of one session, as they came. `recording` is the version of this format.

    It can be replayed like any saved answer, and played by the loopback platform.
    """

    model_config = _MODEL

    recording: Literal[1]
    session: str
    answers: Annotated[list[RecordedAnswer], Field(min_length=1)]

    @property
    def reference(self) -> Reference:
        """The session that it is of."""
        return Reference.parse(self.session)


@value()
class Saved:
    """The answers in a file.

    Attributes:
        flaws: what could not be read beside them; each makes the session count as failed, and cut short.
    """

    reference: Reference
    fetcher: Readable
    answers: tuple[Answer, ...]
    flaws: tuple[str, ...] = ()


def load_recording(content: bytes, name: str) -> Recording:
    """Read a recording.

    Raises:
        ReadError: it is none; says where it differs.
    """
    values, flaws = _values(content, name)
    if flaws or len(values) != 1:
        raise ReadError(f"{name} is no recording: {'; '.join(flaws) or 'there are several values in it'}")
    return _recording(values[0], name)


def load(content: bytes | LargeFile, name: str, session: Reference | None = None) -> list[Saved]:
    """Read saved answers, of one session or of several.

    Args:
        content: a JSON value, or several one after the other: pages, lists of pages, look-ups, a recording.
        name: of the file, for messages.
        session: names what the answers do not; of several sessions, only this one is read.

    Raises:
        ReadError: no answer of a known platform is in it, or nobody says which session it is.
    """
    values, flaws = _values(content, name)
    if len(values) == 1 and isinstance(values[0], dict) and "recording" in values[0]:
        return [_of_recording(_recording(values[0], name), name, session, flaws)]
    found, strange = _recognised(values, name, empty_is_fine=session is not None)
    flaws += strange
    if not found and (flaws or session is None):
        raise ReadError("; ".join(flaws))
    fetcher = found[0][0] if found else None
    if session is not None and (fetcher is None or session.platform != fetcher.name):
        fetcher = FETCHERS.get(session.platform)
    assert fetcher is not None  # noqa: S101 - of what was found, or of the session that was named
    of_one = [answer for each, answer in found if each.name == fetcher.name]
    if len(of_one) < len(found):
        others = ", ".join(sorted({each.name for each, _ in found} - {fetcher.name}))
        if not of_one:
            raise ReadError(f"{name} holds answers of {others}, and --session names one of {fetcher.name}")
        flaws.append(f"{name} holds answers of several platforms; only those of {fetcher.name} were read")
    return _of_answers(fetcher, of_one, session, name, flaws)


def _of_answers(
    fetcher: Fetcher, answers: Sequence[Answer], session: Reference | None, name: str, flaws: list[str]
) -> list[Saved]:
    """Tell sessions apart: what one said is not told in the trace of another."""
    sessions, unnamed = _by_session(fetcher, answers)
    if session is not None:
        read, left_out = _only(session, sessions, unnamed, answers)
        if left_out:
            flaws.append(f"{name} holds answers of other sessions, which were not read: {', '.join(left_out)}")
        return [_saved(fetcher, session, read, flaws)]
    if len(sessions) < _SEVERAL:
        return [_saved(fetcher, _identified(fetcher, _in_order(fetcher, answers), name), answers, flaws)]
    lost = sum(not any(path) for _, path in unnamed)
    if lost:
        flaws.append(
            f"{name} holds answers that name no session beside those of {len(sessions)} sessions, which were not read: "
            f"{lost} of them; give them in a file of their own"
        )
    several: list[Saved] = []
    for path, of_it in sessions:
        shared = [answer for answer, partly in unnamed if any(partly) and _may_be_one(partly, path)]
        several.append(_saved(fetcher, Reference(fetcher.name, path), [*shared, *of_it], [] if several else flaws))
    return several


def _saved(fetcher: Fetcher, reference: Reference, answers: Sequence[Answer], flaws: Sequence[str]) -> Saved:
    return Saved(reference=reference, fetcher=fetcher, answers=_in_order(fetcher, answers), flaws=tuple(flaws))


def _in_order(fetcher: Fetcher, answers: Sequence[Answer]) -> tuple[Answer, ...]:
    return tuple(sorted(answers, key=lambda answer: _place(fetcher, answer)))


def _of_recording(recording: Recording, name: str, session: Reference | None, flaws: list[str]) -> Saved:
    fetcher = _fetcher_of(recording, name)
    try:
        answers = [answer.answer() for answer in recording.answers]
    except ValueError as error:
        raise ReadError(f"{name} is no recording: {error}") from None
    if all(answer.failure is not None for answer in answers):
        raise ReadError(f"{name} is a recording of failures: no answer in it has the status 200")
    unknown = sorted({answer.label for answer in answers} - set(fetcher.labels))
    if unknown:
        labels = ", ".join(fetcher.labels)
        raise ReadError(
            f"{name} is no recording: {', '.join(map(repr, unknown))} is no label of {fetcher.name} ({labels})"
        )
    if session is not None and session.platform != fetcher.name:
        raise ReadError(f"{name} holds answers of {fetcher.name}, and --session names one of {session.platform}")
    return _saved(fetcher, session or recording.reference, answers, flaws)


_Path: TypeAlias = tuple[str, ...]


def _by_session(
    fetcher: Fetcher, answers: Sequence[Answer]
) -> tuple[list[tuple[_Path, list[Answer]]], list[tuple[Answer, _Path]]]:
    """Sort answers by the session that they name; give those that name none beside, with what they do name."""
    sessions: list[tuple[_Path, list[Answer]]] = []
    unnamed: list[tuple[Answer, _Path]] = []
    for answer in answers:
        path = fetcher.identify([answer])
        if not path[-1]:
            unnamed.append((answer, path))
            continue
        for number, (known, of_it) in enumerate(sessions):
            if _may_be_one(known, path):
                sessions[number] = (tuple(one or other for one, other in zip(known, path, strict=True)), of_it)
                of_it.append(answer)
                break
        else:
            sessions.append((path, [answer]))
    return sessions, unnamed


def _may_be_one(first: _Path, second: _Path) -> bool:
    """Say whether two paths may be of one session: no part of them is known to differ."""
    return all(not one or not other or one == other for one, other in zip(first, second, strict=True))


def _only(
    session: Reference,
    sessions: Sequence[tuple[_Path, list[Answer]]],
    unnamed: Sequence[tuple[Answer, _Path]],
    answers: Sequence[Answer],
) -> tuple[Sequence[Answer], list[str]]:
    """Take the answers of one session, and name the other ones; a file of one session is of the one that is named."""
    of_it = [answer for path, group in sessions for answer in group if _may_be_one(path, session.path)]
    if len(sessions) < _SEVERAL:
        return answers, []
    others = [str(Reference(session.platform, path)) for path, _ in sessions if not _may_be_one(path, session.path)]
    return [*(answer for answer, path in unnamed if _may_be_one(path, session.path)), *of_it], others


def _place(fetcher: Fetcher, answer: Answer) -> int:
    """Look-ups come before what they are needed for, in whatever order they were saved."""
    return fetcher.labels.index(answer.label) if answer.label in fetcher.labels else len(fetcher.labels)


def _recording(parsed: JSON, name: str) -> Recording:
    try:
        return Recording.model_validate(parsed)
    except ValidationError as error:
        raise ReadError(f"{name} is no recording: {first_error(error)}") from None


def _fetcher_of(recording: Recording, name: str) -> Fetcher:
    """Find the fetcher of a recording; that there is none costs this file, and not the others."""
    try:
        fetcher = FETCHERS.get(recording.reference.platform)
    except UsageError as error:
        raise ReadError(f"{name} is no recording that can be read here: {error}") from None
    path = recording.reference.path
    if len(path) != len(fetcher.path) or not path[-1]:
        wanted = form_of(fetcher)
        raise ReadError(f"{name} is no recording: its session is {recording.session!r}, which is not {wanted}")
    return fetcher


def _identified(fetcher: Fetcher, answers: Sequence[Answer], name: str) -> Reference:
    path = fetcher.identify(answers)
    if not path[-1]:
        raise ReadError(f"{name} does not say which session it is; say it with --session {form_of(fetcher)}")
    return Reference(fetcher.name, path)


def _values(content: bytes | LargeFile, name: str) -> tuple[list[JSON], list[str]]:
    """Parse one JSON value after the other; where one is broken, what came before it is good."""
    if isinstance(content, LargeFile):
        with suppress(ValueError):
            if values := _usual_values(content.lines()):
                return values, []
        content = content.whole()
    content = utf8(content)
    try:
        return _usual_values(_lines(content)) or _values_of_lines(content), []
    except ValueError:
        return values_one_by_one(content, name)


class _Taken(NamedTuple):
    """An answer that one fetcher has taken without parsing it, so that no other one is asked."""

    fetcher: Fetcher
    label: str
    body: Usual


def _usual_values(lines: Iterable[Line]) -> list[JSON]:
    """Take a file of one answer a line, when the first one is as usual; an empty list for any other file.

    Raises:
        ValueError: a line is no JSON value, or one that only the standard library can read.
    """
    fetchers = _loaded()[0]
    values: list[JSON] = []
    quick: Quick | None = None
    for line, again in lines if any(isinstance(fetcher, Quick) for fetcher in fetchers) else ():
        if not bytes(line[:1]).strip(_SPACE) and not bytes(line).strip(_SPACE):
            continue
        if not values:
            quick = _quick_for(line, fetchers)
            if quick is None:
                break
        assert quick is not None  # noqa: S101 - else there is no second line
        usual = quick.usual(line) if again is None else quick.usual(line, again=again)
        label = None if usual is None else quick.recognise(usual)
        if usual is None or label is None:
            values.append(from_json(bytes(line), cache_strings="keys"))
        else:
            values.append(_Taken(quick, label, usual))
    return values


def _quick_for(line: memoryview, fetchers: Sequence[Fetcher]) -> Quick | None:
    """Find the fetcher that reads a file quickly: the one that its first answer is of, when all are asked."""
    if not any(isinstance(fetcher, Quick) and fetcher.usual(line) is not None for fetcher in fetchers):
        return None
    body = from_json(bytes(line), cache_strings="keys")
    known = next((fetcher for fetcher in fetchers if fetcher.recognise(body) is not None), None)
    return known if isinstance(known, Quick) else None


def _lines(content: bytes) -> Iterator[Line]:
    """Give the lines of what is in memory, without copying them."""
    view, begin = memoryview(content), 0
    while begin < len(content):
        end = content.find(b"\n", begin)
        end = len(content) if end < 0 else end
        yield view[begin:end], None
        begin = end + 1


def _values_of_lines(content: bytes) -> list[JSON]:
    """Parse one JSON value, or one in each line, in the quick way.

    Raises:
        ValueError: it is something else, or nothing at all, or what only the standard library can read.
    """
    try:
        return [from_json(content, cache_strings="keys")]
    except ValueError:
        values = [from_json(line, cache_strings="keys") for line in content.split(b"\n") if line.strip(_SPACE)]
        if not values:
            raise
        return values


def values_one_by_one(content: bytes, name: str) -> tuple[list[JSON], list[str]]:
    """Parse one JSON value after the other, however they are written; say what could not be read behind them."""
    values: list[JSON] = []
    decoder = json.JSONDecoder(parse_int=integer)
    try:
        text = content.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        return values, [f"{name} is no text in UTF-8: byte {error.start} is not"]
    at = _skip_space(text, 0)
    while at < len(text):
        try:
            parsed, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            where = f"at line {error.lineno}, column {error.colno}"
            if text[at] == "<":
                return values, [f"{name} holds a web page (HTML) {where}, not JSON"]
            return values, [f"{name} is broken or cut off {where} ({error.msg})"]
        except RecursionError:
            return values, [f"{name} is nested too deeply to be read"]
        values.append(parsed)
        at = _skip_space(text, at)
    return values, [] if values else [f"{name} is empty"]


def utf8(content: bytes) -> bytes:
    """Give the content of a file in UTF-8 without a mark: a shell of Windows writes UTF-16 into a file.

    What cannot be decoded is given as it is.
    """
    encoding = json.detect_encoding(content)
    if encoding == "utf-8":
        return content
    try:
        return content.decode(encoding, "surrogatepass").encode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return content


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _recognised(
    values: list[JSON], name: str, *, empty_is_fine: bool
) -> tuple[list[tuple[Fetcher, Answer]], list[str]]:
    """Find out of which platform each value is; a list that is no answer itself is a list of answers.

    An empty list is the answer of a platform that has nothing to tell, when something else says which platform it is.
    """
    fetchers, flaws = _loaded()
    found: list[tuple[Fetcher, Answer]] = []
    strange: Counter[str] = Counter()
    pending = list(reversed(values))
    while pending:
        body = pending.pop()
        source = f"answer {len(found) + 1} of {name}"
        if isinstance(body, _Taken):
            found.append((body.fetcher, Answer(label=body.label, body=body.body, source=source)))
            continue
        known = next(((each, label) for each in fetchers if (label := each.recognise(body)) is not None), None)
        if known is not None:
            fetcher, label = known
            found.append((fetcher, Answer(label=label, body=body, source=source)))
        elif isinstance(body, list) and body:
            pending.extend(reversed(body))
        else:
            strange[_glimpse(body)] += 1
    if found or empty_is_fine:
        del strange[_EMPTY_LIST]
    if not strange:
        # A plug-in that cannot be loaded is told where it might have been the one that is missing.
        return found, []
    shown = [f"{what}{f' ({count} times)' if count > 1 else ''}" for what, count in strange.most_common(_MOST_STRANGE)]
    more = f" and {len(strange) - len(shown)} other kinds of things" if len(strange) > len(shown) else ""
    names = ", ".join(each.name for each in fetchers)
    told = f"{name} holds what is no answer of a platform known here ({names}): {'; '.join(shown)}{more}"
    return found, [told, *flaws]


def _loaded() -> tuple[list[Fetcher], list[str]]:
    """Load all fetchers; one that cannot be loaded does not keep the others from their answers."""
    fetchers: list[Fetcher] = []
    flaws: list[str] = []
    for name in FETCHERS.names():
        try:
            fetchers.append(FETCHERS.get(name))
        except UsageError as error:
            flaws.append(str(error))
    return fetchers, flaws


def _glimpse(body: JSON) -> str:
    """Say what it is without quoting it: it may be anything."""
    match body:
        case {"session": {"id": _, "platform": _}}:
            return "a session of neutral events, which go one object a line"
        case dict() if body:
            names = ", ".join(name[:_MOST_NAME] for name in sorted(body)[:_MOST_NAMES])
            return f"an object with the members {names!r}"
        case dict():
            return "an empty object"
        case list():
            return _EMPTY_LIST
        case str():
            return "a text"
        case bool() | None:
            return "true, false or null"
        case _:
            return "a number"


def first_error(error: ValidationError) -> str:
    """Say the first thing that is wrong, and where, without quoting what was there."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{first['msg']}{f' at {where}' if where else ''}"
