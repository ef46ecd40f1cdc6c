"""What every fetcher must keep, held against its recordings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote

import httpx

from otel_agent_events.content import Policy
from otel_agent_events.conventions import CONVENTIONS
from otel_agent_events.conversion import Conversion, Options
from otel_agent_events.errors import FetchError, SessionError
from otel_agent_events.events import Caution, Session
from otel_agent_events.fetchers import Answer
from otel_agent_events.fetchers.client import Client, Limits, Waiting, encoded_path
from otel_agent_events.fetchers.saved import Recording, load_recording
from otel_agent_events.sources import Source
from otel_agent_events.testing.loopback import LoopbackPlatform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from otel_agent_events.events import JSON
    from otel_agent_events.fetchers import Fetcher, Item, Request

WAYS: tuple[Any, ...] = (None, 7, "odd", {}, [[{}]])
"""What is put in the place of a value to spoil it."""

_MOST_REQUESTS = 1_000
_FULL = Options(policy=Policy(content="full"))
_Asked: TypeAlias = tuple[str, frozenset[tuple[str, str]]]


def check_fetcher(
    fetcher: Fetcher, recordings: Iterable[Recording | Path], *, environ: Mapping[str, str], ways: Sequence[Any] = WAYS
) -> None:
    """Hold a fetcher against what every fetcher must keep; it need not be installed.

    Of each recording:

    - it asks for nothing that is not recorded, and leaves nothing that is recorded unasked;
    - the keys of its events are unique;
    - reading twice is equal, and so is feeding record by record, as answers that continue the first;
    - whatever value in an answer is spoilt or missing: there is a trace, or a `SessionError` that says why not.

    Args:
        fetcher: the one to check.
        recordings: of its sessions, or files that hold one each.
        environ: the variables of which `connect` takes credentials; they open nothing.
        ways: what is put in the place of each value to spoil it.

    Raises:
        AssertionError: it does not keep something; says what, in which session, and where.
    """
    for each in recordings:
        recording = load_recording(each.read_bytes(), each.name) if isinstance(each, Path) else each
        assert recording.reference.platform == fetcher.name, (  # noqa: S101 - that is what a check does
            f"{recording.session} is of another platform than the fetcher {fetcher.name!r}"
        )
        _check_requests(fetcher, recording, environ)
        _check_reading(fetcher, recording)
        for where, answers in _spoilt_answers(recording, ways):
            _check_spoilt(fetcher, recording, answers, f"{recording.session}, with {where}")


def spoilt(value: JSON, ways: Sequence[Any] = WAYS, where: str = "") -> Iterator[tuple[str, JSON]]:
    """Give a JSON value once for each of its parts and each way to spoil that part; leaving it out is one.

    Yields:
        What was spoilt, in words with a JSON pointer, and the whole value with that part spoilt.
    """
    if isinstance(value, dict):
        for name, inner in value.items():
            pointer = f"{where}/{name}"
            yield f"{pointer} left out", {other: told for other, told in value.items() if other != name}
            for each in ways:
                yield f"{pointer} as {each!r}", {**value, name: each}
            for told, part in spoilt(inner, ways, pointer):
                yield told, {**value, name: part}
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            pointer = f"{where}/{number}"
            for each in ways:
                yield f"{pointer} as {each!r}", [*value[:number], each, *value[number + 1 :]]
            for told, part in spoilt(inner, ways, pointer):
                yield told, [*value[:number], part, *value[number + 1 :]]


# --- requests -----------------------------------------------------------------------------------------


def _check_requests(fetcher: Fetcher, recording: Recording, environ: Mapping[str, str]) -> None:
    with LoopbackPlatform([recording]) as platform, httpx.Client(trust_env=False) as http:
        connection = fetcher.connect(environ, platform.base_url)
        waiting = Waiting(sleep=lambda _: None)
        client = Client(http, connection, limits=Limits(requests=_MOST_REQUESTS), waiting=waiting)
        asked: list[_Asked] = []
        try:
            for answer in client.fetch(fetcher, recording.reference):
                assert answer.request is not None  # noqa: S101
                asked.append(_asked(encoded_path(answer.request.path), answer.request.query))
        except FetchError as error:
            raise AssertionError(f"{recording.session} cannot be fetched from its own recording: {error}") from None
        except Exception as error:
            raise AssertionError(f"{recording.session}: asking for it raises {error!r}") from error
    recorded = {_asked(answer.path, answer.query) for answer in recording.answers}
    strange = [each for each in asked if each not in recorded]
    assert not strange, f"{recording.session}: asks for what is not recorded: {_shown(strange)}"  # noqa: S101
    unasked = recorded - set(asked)
    assert not unasked, f"{recording.session}: does not ask for what is recorded: {_shown(unasked)}"  # noqa: S101


def _asked(path: str, query: Mapping[str, str]) -> _Asked:
    return unquote(path), frozenset(query.items())


def _shown(asked: Iterable[_Asked]) -> str:
    return ", ".join(sorted(f"{path} {dict(sorted(query))}" for path, query in asked))


# --- reading ------------------------------------------------------------------------------------------


def _check_reading(fetcher: Fetcher, recording: Recording) -> None:
    answers = [answer.answer() for answer in recording.answers]
    items = _items(fetcher, recording, answers)
    keys = [item.key for item in items if not isinstance(item, (Session, Caution))]
    twice = {key for key in keys if keys.count(key) > 1}
    assert not twice, f"{recording.session}: several events have the key {', '.join(sorted(twice))}"  # noqa: S101
    _compare(items, _items(fetcher, recording, answers), f"{recording.session}: reading twice")
    pieces = [piece for answer in answers for piece in _pieces(answer)]
    # Between the pieces more may be said of the session, and sooner; what counts is what is known in the end.
    _compare(
        _in_the_end(items), _in_the_end(_items(fetcher, recording, pieces)), f"{recording.session}: record by record"
    )


def _items(fetcher: Fetcher, recording: Recording, answers: Iterable[Answer]) -> list[Item]:
    try:
        reader = fetcher.reader(recording.reference)
        return [*(item for answer in answers for item in reader.feed(answer)), *reader.close()]
    except Exception as error:
        raise AssertionError(f"{recording.session}: reading it raises {error!r}") from error


def _in_the_end(items: Sequence[Item]) -> list[Item]:
    sessions = [item for item in items if isinstance(item, Session)]
    return [*(item for item in items if not isinstance(item, Session)), *sessions[-1:]]


def _compare(expected: Sequence[Item], given: Sequence[Item], what: str) -> None:
    for number, (first, second) in enumerate(zip(expected, given, strict=False), 1):
        assert first == second, f"{what} is not equal: item {number} is {first!r}, and then {second!r}"  # noqa: S101
    assert len(expected) == len(given), f"{what} gives {len(given)} items, and not {len(expected)}"  # noqa: S101


def _pieces(answer: Answer) -> Iterator[Answer]:
    """Give an answer as one for each of its records."""
    records, whole = _list_of(answer.body)
    if not records:
        yield answer
    for number, record in enumerate(records):
        yield replace(answer, body=whole([record]), continues=answer.continues or number > 0)


def _list_of(body: JSON) -> tuple[list[JSON], Callable[[list[JSON]], JSON]]:
    """Give the records of an answer, and what makes an answer like it of others.

    They are those of the list that it is, or of its longest list.
    """
    if isinstance(body, list):
        return body, lambda records: records
    if isinstance(body, dict):
        lists = [name for name, inner in body.items() if isinstance(inner, list)]
        longest = max(lists, key=lambda name: len(body[name]), default=None)
        if longest is not None:
            return body[longest], lambda records: {**body, longest: records}
    return [], lambda _: body


# --- spoilt values ------------------------------------------------------------------------------------


def _spoilt_answers(recording: Recording, ways: Sequence[Any]) -> Iterator[tuple[str, list[Answer]]]:
    """Give the answers with one value spoilt, once for each value and way.

    A record is spoilt beside its neighbours, and the other answers have few records then: all would take long.
    """
    answers = [answer.answer() for answer in recording.answers]
    few = [_with_few(answer) for answer in answers]
    for number, answer in enumerate(answers):
        if answer.failure is not None:
            continue
        for each in ways:
            yield f"{answer.source} as {each!r}", _exchanged(answers, number, each)
        records, whole = _list_of(answer.body)
        for where, body in spoilt(whole(records[:2]), ways) if not isinstance(answer.body, list) else ():
            yield f"{where} in {answer.source}", _exchanged(answers, number, body)
        for place, record in enumerate(records):
            before, after = records[max(0, place - 1) : place], records[place + 1 : place + 2]
            told = f"record {place} of {answer.source}"
            for each in ways:
                yield f"{told} as {each!r}", _exchanged(few, number, whole([*before, each, *after]))
            for where, spoilt_record in spoilt(record, ways):
                yield f"{where} in {told}", _exchanged(few, number, whole([*before, spoilt_record, *after]))


def _with_few(answer: Answer) -> Answer:
    records, whole = _list_of(answer.body)
    return replace(answer, body=whole(records[:3])) if records else answer


def _exchanged(answers: Sequence[Answer], number: int, body: JSON) -> list[Answer]:
    return [*answers[:number], replace(answers[number], body=body), *answers[number + 1 :]]


def _check_spoilt(fetcher: Fetcher, recording: Recording, answers: list[Answer], where: str) -> None:
    try:
        conversion = Conversion(
            Source(reference=recording.reference, fetcher=fetcher, answers=answers),
            _FULL,
            [CONVENTIONS.get("gen_ai")],
        )
        for _ in conversion.spans():
            pass
    except SessionError:
        pass  # it is said what is wrong
    except Exception as error:
        raise AssertionError(f"{where}: reading it raises {error!r}") from error
    try:
        for answer in answers:
            fetcher.recognise(answer.body)
        fetcher.identify([answer for answer in answers if answer.failure is None])
        _ask(fetcher, recording, answers)
    except SessionError:
        pass
    except _EndlessError as error:
        raise AssertionError(f"{where}: {error}") from None
    except Exception as error:
        raise AssertionError(f"{where}: asking on, or recognising it, raises {error!r}") from error


class _EndlessError(Exception):
    """A fetcher does not come to an end."""


def _ask(fetcher: Fetcher, recording: Recording, answers: Sequence[Answer]) -> None:
    """Have the fetcher ask; it gets the spoilt answer to what is recorded, and a refusal for everything else."""
    by_request = {
        _asked(recorded.path, recorded.query): answer
        for recorded, answer in zip(recording.answers, answers, strict=True)
    }
    asking = fetcher.ask(recording.reference)
    asked = 0
    request = next(asking, None)
    while request is not None:
        asked += 1
        if asked == _MOST_REQUESTS:
            raise _EndlessError(f"it goes on asking: {_MOST_REQUESTS} requests so far")
        answer = by_request.get(_asked(encoded_path(request.path), request.query)) or _refusal(request)
        if answer.failure is not None and not request.may_fail:
            return
        try:
            request = asking.send(answer)
        except StopIteration:
            return


def _refusal(request: Request) -> Answer:
    words = f"GET {encoded_path(request.path)}"
    failure = FetchError(f"{words} is not recorded", request=words, status=404)
    return Answer(label=request.label, body=None, source=words, failure=failure)
