"""What every fetcher must keep, held against its recordings."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote

import httpx

from otel_agent_events.content import Policy
from otel_agent_events.conventions import CONVENTIONS
from otel_agent_events.conversion import Conversion, Options
from otel_agent_events.errors import FetchError, SessionError
from otel_agent_events.events import Caution, Session, value
from otel_agent_events.fetchers import Answer, form_of
from otel_agent_events.fetchers.client import Client, Limits, Waiting, encoded_path
from otel_agent_events.fetchers.saved import Recording, load_recording
from otel_agent_events.originals import without_members
from otel_agent_events.otlp.encode import Encoder
from otel_agent_events.sources import Source
from otel_agent_events.testing.leaves import holds, leaves, placed_leaves, told_by
from otel_agent_events.testing.loopback import LoopbackPlatform
from otel_agent_events.testing.records import Layout, around, at, pointer, put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from otel_agent_events.events import JSON
    from otel_agent_events.fetchers import Connection, Fetcher, Item, Request
    from otel_agent_events.spans import Span
    from otel_agent_events.times import Stamp

WAYS: tuple[Any, ...] = (None, 7, "odd", {}, [[{}]])
"""What is put in the place of a value to spoil it."""

Environ: TypeAlias = "Mapping[str, str] | Callable[[str], Mapping[str, str]]"

_MOST_REQUESTS = 1_000
_ASKED_WITH = 5
"""Answers of one label, and the last one, with which the fetcher is asked on when something in them is spoilt."""

_SHORTEST_SECRET = 6
"""Characters; a shorter text may stand in a trace by chance."""

_FULL = Options(policy=Policy(content="full", max_value=sys.maxsize))
_Asked: TypeAlias = tuple[str, frozenset[tuple[str, str]]]


def check_fetcher(
    fetcher: Fetcher,
    recordings: Iterable[Recording | Path | str] | Recording | Path | str,
    *,
    environ: Environ,
    tokens: Mapping[str, str] | None = None,
    stamps: Sequence[Callable[[Any], Stamp | None]] = (),
    ways: Sequence[Any] = WAYS,
) -> None:
    """Hold a fetcher against what every fetcher must keep; it need not be installed.

    Of each recording:

    - its session and its labels are such as the fetcher names, and so is what `recognise` and `identify` say of it;
    - it asks for nothing that is not recorded, leaves nothing that is recorded unasked, and comes to an end even when
      the platform gives the same page again and again;
    - the keys of its events are unique;
    - reading twice is equal, and so is feeding record by record, as answers that continue the first;
    - every value of every record is in the trace, but for null and the platform's secrets, which are not;
    - whatever value in an answer is spoilt or missing: there is a trace, or a `SessionError` that says why not.

    The records of an answer are the list without which there are other events. Of several the first is fed record by
    record; an answer without any is one piece.

    Args:
        fetcher: the one to check.
        recordings: of its sessions, or files that hold one each; one alone may be given as it is.
        environ: the variables of which `connect` takes credentials, or what gives them when it is told the base URL
            of the loopback platform. They open nothing. `connect` is given those only that `variables` names.
        tokens: by the path of a token endpoint of the loopback platform, the token that it gives.
        stamps: read times that the platform writes neither as RFC 3339 nor as seconds or milliseconds since 1970.
        ways: what is put in the place of each value to spoil it.

    Raises:
        AssertionError: it does not keep something; says what, in which session, and where. Or there is no recording.
        ReadError: a file holds no recording.
    """
    every = [recordings] if isinstance(recordings, (Recording, Path, str)) else list(recordings)
    assert every, f"the fetcher {fetcher.name!r} is checked against recordings, and there are none"  # noqa: S101
    for each in every:
        recording = each if isinstance(each, Recording) else _loaded(Path(each))
        check = _Check(fetcher, recording, stamps)
        check.names()
        check.requests(environ, tokens)
        check.reading()
        check.trace()
        check.spoiling(ways)


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


def _loaded(path: Path) -> Recording:
    return load_recording(path.read_bytes(), path.name)


def _must(kept: bool, what: str) -> None:  # noqa: FBT001 - it reads like an assertion, and is one
    if not kept:
        raise AssertionError(what)


@value()
class _Spoilt:
    """An answer with a value spoilt.

    Attributes:
        where: what was spoilt, in words.
        body: what is read: with few records beside the spoilt value.
        asked_with: with all records, when it is worth while to have the fetcher ask on with it.
    """

    where: str
    body: JSON
    asked_with: Answer | None


class _Check:
    """One fetcher, and one recording of it."""

    def __init__(self, fetcher: Fetcher, recording: Recording, stamps: Sequence[Callable[[Any], Stamp | None]]) -> None:
        self._fetcher = fetcher
        self._recording = recording
        self._session = recording.session
        self._stamps = stamps
        self._encoder = Encoder()
        self._answers = [answer.answer() for answer in recording.answers]
        self._good = [answer for answer in self._answers if answer.failure is None]
        self._met: set[tuple[str, str]] = set()
        self._most = max(_MOST_REQUESTS, 2 * len(self._answers))

    # --- names ----------------------------------------------------------------------------------------

    def names(self) -> None:
        """Session and labels are such as the fetcher names; saved answers are recognised as what they are."""
        fetcher, reference = self._fetcher, self._recording.reference
        _must(
            reference.platform == fetcher.name,
            f"{self._session} is of another platform than the fetcher {fetcher.name!r}",
        )
        _must(
            len(reference.path) == len(fetcher.path),
            f"{self._session} is no session of the fetcher, whose path is {form_of(fetcher)}",
        )
        for answer in self._answers:
            self._know(answer.label, "is recorded")
        for answer in self._good:
            where = f"{self._session}, {answer.source}"
            try:
                label = self._recognised(answer, where)
            except SessionError as error:
                raise AssertionError(f"{where}: recognising it raises {error!r}") from error
            _must(
                label in {None, answer.label},
                f"{where}: recognised as {label!r}, and it is recorded as {answer.label!r}",
            )
        self._identified(self._good, self._session)

    def _know(self, label: str, said: str) -> None:
        known = ", ".join(self._fetcher.labels)
        _must(label in self._fetcher.labels, f"{self._session}: the label {label!r} {said}, and is none of {known}")

    def _recognised(self, answer: Answer, where: str) -> str | None:
        """Have an answer recognised, and its session identified by it alone."""
        try:
            label = self._fetcher.recognise(answer.body)
        except SessionError:
            raise
        except Exception as error:
            raise AssertionError(f"{where}: recognising it raises {error!r}") from error
        _must(
            label is None or label in self._fetcher.labels,
            f"{where}: recognised as {label!r}, which is none of {', '.join(self._fetcher.labels)}",
        )
        self._identified([answer], where)
        return label

    def _identified(self, answers: Sequence[Answer], where: str) -> None:
        try:
            path = self._fetcher.identify(answers)
        except SessionError:
            return
        except Exception as error:
            raise AssertionError(f"{where}: identifying its session raises {error!r}") from error
        named: Any = path
        _must(
            isinstance(named, tuple)
            and len(named) == len(self._fetcher.path)
            and all(isinstance(part, str) for part in named),
            f"{where}: identified as {path!r}, and not by a text for each of {', '.join(self._fetcher.path)}",
        )

    # --- requests -------------------------------------------------------------------------------------

    def requests(self, environ: Environ, tokens: Mapping[str, str] | None) -> None:
        """It asks for what is recorded, for no more and no less, and comes to an end."""
        self._ask_the_same_again()
        asked, labels = self._fetched(environ, tokens)
        recorded = {_asked(answer.path, answer.query) for answer in self._recording.answers}
        strange = [each for each in asked if each not in recorded]
        _must(not strange, f"{self._session}: asks for what is not recorded: {_shown(strange)}")
        unasked = recorded - set(asked)
        _must(not unasked, f"{self._session}: does not ask for what is recorded: {_shown(unasked)}")
        for label in labels:
            self._know(label, "is asked for")

    def _fetched(self, environ: Environ, tokens: Mapping[str, str] | None) -> tuple[list[_Asked], list[str]]:
        """Fetch the session over HTTP, from this machine only."""
        with LoopbackPlatform([self._recording], tokens=tokens) as platform:

            def stay_here(request: httpx.Request) -> None:
                _must(
                    str(request.url).startswith(f"{platform.base_url}/"),
                    f"{self._session}: asks {request.url.host}, and not the base URL that `connect` was given",
                )

            with httpx.Client(trust_env=False, event_hooks={"request": [stay_here]}) as http:
                connection = self._connected(environ, platform.base_url)
                waiting = Waiting(sleep=lambda _: None)
                client = Client(http, connection, limits=Limits(requests=self._most), waiting=waiting)
                asked: list[_Asked] = []
                labels: list[str] = []
                try:
                    for answer in client.fetch(self._fetcher, self._recording.reference):
                        assert answer.request is not None  # noqa: S101
                        labels.append(answer.label)
                        asked.append(_asked(encoded_path(answer.request.path), answer.request.query))
                except AssertionError:
                    raise
                except FetchError as error:
                    raise AssertionError(f"{self._session} cannot be fetched from its own recording: {error}") from None
                except Exception as error:
                    raise AssertionError(f"{self._session}: asking for it raises {error!r}") from error
        return asked, labels

    def _connected(self, environ: Environ, base_url: str) -> Connection:
        given = environ if isinstance(environ, Mapping) else environ(base_url)
        named = {name: given[name] for name in self._fetcher.variables if name in given}
        try:
            return self._fetcher.connect(named, base_url)
        except Exception as error:
            raise AssertionError(
                f"{self._session}: connecting raises {error!r}; of the variables that the fetcher names, "
                f"{', '.join(named) or 'none'} were given"
            ) from error

    def _ask_the_same_again(self) -> None:
        """Have the fetcher ask a platform that gives one page of a list again and again."""
        self._ask_safely(self._answers, self._session)
        first: dict[str, Answer] = {}
        for recorded, answer in zip(self._recording.answers, self._answers, strict=True):
            first.setdefault(unquote(recorded.path), answer)
        same = [first[unquote(recorded.path)] for recorded in self._recording.answers]
        self._ask_safely(same, f"{self._session}, when every page is like the first")

    def _ask_safely(self, answers: Sequence[Answer], where: str) -> None:
        """Find out that it never ends; what else may be wrong is seen when it is asked for over HTTP."""
        try:
            self._ask(answers)
        except _EndlessError as error:
            raise AssertionError(f"{where}: {error}") from None
        except Exception:  # noqa: BLE001, S110
            pass

    def _ask(self, answers: Sequence[Answer]) -> None:
        """Have the fetcher ask; it gets the last answer of the same path, and a refusal for every other path."""
        by_request: dict[_Asked, Answer] = {}
        by_path: dict[str, Answer] = {}
        for recorded, answer in zip(self._recording.answers, answers, strict=True):
            asked = _asked(recorded.path, recorded.query)
            by_request[asked] = by_path[asked[0]] = answer
        asking = self._fetcher.ask(self._recording.reference)
        request = next(asking, None)
        for _ in range(self._most):
            if request is None:
                return
            asked = _asked(encoded_path(request.path), request.query)
            answer = by_request.get(asked) or by_path.get(asked[0]) or _refusal(request)
            if answer.failure is not None and not request.may_fail:
                return
            try:
                request = asking.send(replace(answer, label=request.label, request=request))
            except StopIteration:
                return
        raise _EndlessError(f"its paging never ends: {self._most} requests so far, the last one for {_shown([asked])}")

    # --- reading --------------------------------------------------------------------------------------

    def reading(self) -> None:
        """Keys are unique; reading twice is equal, and so is reading record by record."""
        items = self._items(self._answers)
        keys = Counter(item.key for item in items if not isinstance(item, (Session, Caution)))
        twice = sorted(key for key, times in keys.items() if times > 1)
        _must(not twice, f"{self._session}: several events have the key {', '.join(twice)}")
        different = _difference(items, self._items(self._answers))
        _must(not different, f"{self._session}: reading twice {different}")
        layout = self._layout = Layout(self._answers, self._keys)
        # The reader may take the lists of an answer in any order.
        for others_last in (True, False):
            pieces = [piece for each in self._answers for piece in layout.pieces(each, others_last=others_last)]
            # Between the pieces more may be said of the session, and sooner; what counts is what is known in the end.
            different = _difference(_in_the_end(items), _in_the_end(self._items(pieces)))
            if not different or all(len(layout.of(answer)) < 2 for answer in self._answers):  # noqa: PLR2004
                break
        _must(not different, f"{self._session}: record by record {different}")

    def _items(self, answers: Iterable[Answer]) -> list[Item]:
        try:
            reader = self._fetcher.reader(self._recording.reference)
            return [*(item for answer in answers for item in reader.feed(answer)), *reader.close()]
        except Exception as error:
            raise AssertionError(f"{self._session}: reading it raises {error!r}") from error

    def _keys(self, answers: Sequence[Answer], done: str) -> list[str]:
        """Give the keys of the events up to where the answers cannot be read."""
        keys: list[str] = []
        try:
            reader = self._fetcher.reader(self._recording.reference)
            for items in (*map(reader.feed, answers), reader.close()):
                keys += [item.key for item in items if not isinstance(item, (Session, Caution))]
        except SessionError:
            pass
        except Exception as error:
            raise AssertionError(f"{self._session}, with {done}: reading it raises {error!r}") from error
        return keys

    # --- the trace ------------------------------------------------------------------------------------

    def trace(self) -> None:
        """Every value of every record is in the trace, and no secret of the platform."""
        secret = {name.casefold() for name in self._fetcher.secrets}
        try:
            spans = self._spans(self._answers)
        except Exception as error:
            raise AssertionError(f"{self._session}: the trace of it raises {error!r}") from error
        told = told_by(spans)
        for answer in self._good:
            lost = [
                (where, leaf)
                for place in self._layout.known(answer)
                for number, record in enumerate(at(answer.body, place))
                for where, leaf in placed_leaves(without_members(record, secret), f"{pointer(place)}/{number}")
                if leaf is not None and not holds(told, leaf, self._stamps)
            ]
            if lost:
                (where, leaf), *more = lost
                also = f", and {len(more)} more" if more else ""
                raise AssertionError(f"{self._session}: the trace lacks {leaf!r}, {where} in {answer.source}{also}")
        words = {str(each) for _, each in told} | {
            each for span in spans for each in (span.name, span.description or "")
        }
        for name, text in self._secrets(secret):
            if any(text in each for each in words):
                raise AssertionError(f"{self._session}: a value of {name!r} is in the trace, and that is a secret")

    def _secrets(self, names: set[str]) -> Iterator[tuple[str, str]]:
        """Give the texts of secret members that stand nowhere else, each behind the name of its member."""
        texts: dict[str, str] = {}
        open_: list[str] = [self._session, *(unquote(each.path) for each in self._recording.answers)]
        open_.extend(told for each in self._recording.answers for told in each.query.values())
        for answer in self._good:
            open_.extend(leaf for leaf in leaves(without_members(answer.body, names)) if isinstance(leaf, str))
            for where, leaf in placed_leaves(answer.body) if names else ():
                name = next((each for each in where.split("/") if each.casefold() in names), None)
                if name is not None and isinstance(leaf, str) and len(leaf) >= _SHORTEST_SECRET:
                    texts[leaf] = name
        for text, name in texts.items():
            if not any(text in each for each in open_):
                yield name, text

    def _spans(self, answers: Sequence[Answer]) -> list[Span]:
        source = Source(reference=self._recording.reference, fetcher=self._fetcher, answers=answers)
        conversion = Conversion(source, _FULL, [CONVENTIONS.get("gen_ai")], encoder=self._encoder)
        return [span for encoded in conversion.encoded() for span in encoded.spans]

    # --- spoilt values --------------------------------------------------------------------------------

    def spoiling(self, ways: Sequence[Any]) -> None:
        """Whatever is spoilt, there is a trace, or a sentence that says why not; and the fetcher comes to an end."""
        few = [self._layout.few(answer) for answer in self._answers]
        for number, answer in enumerate(self._answers):
            if answer.failure is not None:
                continue
            beside, is_asked_with = self._beside(number), self._is_asked_with(number)
            for each in self._spoilt(answer, few[number], ways):
                where = f"{self._session}, with {each.where}"
                spoilt_one = replace(answer, body=each.body)
                self._read([spoilt_one if other == number else few[other] for other in beside], where)
                with suppress(SessionError):
                    self._recognised(spoilt_one, where)
                if each.asked_with is not None and is_asked_with:
                    self._ask_with([*self._answers[:number], each.asked_with, *self._answers[number + 1 :]], where)

    def _beside(self, number: int) -> list[int]:
        """Give the answers that are read when one of them is spoilt: all would take too long."""
        labels = [answer.label for answer in self._answers]
        before = [other for other in range(number) if labels[other] == labels[number]][-1:]
        others = [labels.index(label) for label in dict.fromkeys(labels) if label != labels[number]]
        return sorted({number, *before, *others})

    def _is_asked_with(self, number: int) -> bool:
        same = [other for other, answer in enumerate(self._answers) if answer.label == self._answers[number].label]
        return number in {*same[:_ASKED_WITH], same[-1]}

    def _spoilt(self, answer: Answer, few: Answer, ways: Sequence[Any]) -> Iterator[_Spoilt]:
        """Give an answer once for each of its values and ways: what is around the records, then each record."""
        source, places = answer.source, self._layout.of(answer)
        for each in ways:
            yield _Spoilt(where=f"{source} as {each!r}", body=each, asked_with=replace(answer, body=each))
        frame, back = around(answer.body, places)
        all_of, few_of = ({place: at(body, place) for place in places} for body in (answer.body, few.body))
        for where, body in spoilt(frame, ways):
            asked_with = replace(answer, body=back(body, all_of))
            yield _Spoilt(where=f"{where} in {source}", body=back(body, few_of), asked_with=asked_with)
        for place in places:
            records = all_of[place]
            for number, record in enumerate(records):
                # Requests go by what is around the records, or by the last one of them.
                is_last = number == len(records) - 1
                if not is_last and self._is_known(answer.label, record):
                    continue
                start = max(0, number - 1)
                before, after = records[start:number], records[number + 1 : number + 2]
                for told, (changed,) in spoilt([record], ways):
                    yield _Spoilt(
                        where=f"{pointer(place)}/{number}{told.removeprefix('/0')} in {source}",
                        body=put(few.body, place, [*before, changed, *after]),
                        asked_with=replace(answer, body=put(answer.body, place, [*records[:-1], changed]))
                        if is_last
                        else None,
                    )

    def _is_known(self, label: str, record: JSON) -> bool:
        """Say whether this record was met before, since pages overlap: it need not be spoilt again."""
        spelled = label, json.dumps(record, sort_keys=True)
        known = spelled in self._met
        self._met.add(spelled)
        return known

    def _read(self, answers: Sequence[Answer], where: str) -> None:
        try:
            self._spans(answers)
        except SessionError:
            pass  # it is said what is wrong
        except Exception as error:
            raise AssertionError(f"{where}: reading it raises {error!r}") from error

    def _ask_with(self, answers: Sequence[Answer], where: str) -> None:
        try:
            self._ask(answers)
        except SessionError:
            pass
        except _EndlessError as error:
            raise AssertionError(f"{where}: {error}") from None
        except Exception as error:
            raise AssertionError(f"{where}: asking on raises {error!r}") from error


class _EndlessError(Exception):
    """A fetcher does not come to an end."""


def _asked(path: str, query: Mapping[str, str]) -> _Asked:
    return unquote(path), frozenset(query.items())


def _shown(asked: Iterable[_Asked]) -> str:
    return ", ".join(sorted(f"{path} {dict(sorted(query))}" for path, query in asked))


def _refusal(request: Request) -> Answer:
    words = f"GET {encoded_path(request.path)}"
    failure = FetchError(f"{words} is not recorded", request=words, status=404)
    return Answer(label=request.label, body=None, source=words, failure=failure)


def _in_the_end(items: Sequence[Item]) -> list[Item]:
    sessions = [item for item in items if isinstance(item, Session)]
    return [*(item for item in items if not isinstance(item, Session)), *sessions[-1:]]


def _difference(expected: Sequence[Item], given: Sequence[Item]) -> str:
    """Say in what way two readings differ; nothing when they are equal."""
    for number, (first, second) in enumerate(zip(expected, given, strict=False), 1):
        if first != second:
            return f"is not equal: item {number} is {first!r}, and then {second!r}"
    return "" if len(expected) == len(given) else f"gives {len(given)} items, and not {len(expected)}"
