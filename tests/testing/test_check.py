"""The check of the kit notices what a fetcher does not keep. Each mutant here breaks one promise of the honest one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_events.errors import ReadError
from otel_agent_events.events import Note, Session
from otel_agent_events.fetchers import Answer, Connection, Request
from otel_agent_events.fetchers.auth import ApiKey
from otel_agent_events.fetchers.saved import RecordedAnswer, Recording
from otel_agent_events.keys import Keys
from otel_agent_events.testing import check_fetcher, spoilt

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from otel_agent_events.events import JSON
    from otel_agent_events.fetchers import Asking, Item
    from otel_agent_events.reference import Reference

ENVIRON = {"NOTES_KEY": "opens-nothing"}


class Honest:
    """A notebook: its title, if it has one, and pages of notes."""

    name = "notes"
    path = ("BOOK",)
    labels = ("title", "page")
    variables = ("NOTES_KEY",)
    secrets = ()

    def connect(self, environ: Mapping[str, str], base_url: str | None) -> Connection:
        return Connection(
            base_url=base_url or "http://127.0.0.1:1",
            credentials=ApiKey("x-api-key", environ["NOTES_KEY"], variable="NOTES_KEY"),
        )

    def ask(self, reference: Reference) -> Asking:
        (book,) = reference.path
        yield Request(label="title", path=("books", book), may_fail=True)
        asked = {"1"}
        page = "1"
        while True:
            answer = yield Request(label="page", path=("books", book, "notes"), query={"page": page})
            page = self.further(answer.body)
            if not page or page in asked:
                return
            asked.add(page)

    def further(self, body: JSON) -> str:
        match body:
            case {"next": str(page)}:
                return page
            case _:
                return ""

    def reader(self, reference: Reference) -> HonestReader:
        return HonestReader(reference)

    def recognise(self, body: JSON) -> str | None:
        return "page" if isinstance(body, dict) and "notes" in body else None

    def identify(self, answers: Sequence[Answer]) -> tuple[str, ...]:
        names = (answer.body.get("book") for answer in answers if isinstance(answer.body, dict))
        return (next((name for name in names if isinstance(name, str)), ""),)


class HonestReader:
    def __init__(self, reference: Reference) -> None:
        self.session = Session(reference=reference, id=reference.path[-1])
        self.keys = Keys()

    @property
    def duplicates(self) -> int:
        return self.keys.duplicates

    def feed(self, answer: Answer) -> Iterator[Item]:
        if answer.failure is not None or answer.label == "title":
            yield self.session
            return
        match answer.body:
            case {"notes": list(notes)}:
                for note in notes:
                    yield from self.read(note)
            case _:
                raise ReadError(f"{self.session.reference}: {answer.source} holds no list of notes")

    def read(self, note: JSON) -> Iterator[Item]:
        key = self.keys.claim(note)
        if key is not None:
            yield Note(key=key, name=self.name_of(note), remainder=note)

    def name_of(self, note: JSON) -> str:
        name = note.get("text") if isinstance(note, dict) else None
        return name if isinstance(name, str) else "note"

    def close(self) -> Iterator[Item]:
        return iter(())


def recording(**title: Any) -> Recording:
    path = "/books/b1"
    pages: list[Any] = [
        {"book": "b1", "notes": [{"n": 1, "text": "milk"}, {"n": 2, "text": "tea"}], "next": "2"},
        {
            "book": "b1",
            "notes": [{"n": 2, "text": "tea"}, {"n": 3, "text": "milk"}, {"n": 4, "text": ""}],
            "next": None,
        },
    ]
    return Recording(
        recording=1,
        session="notes:b1",
        answers=[
            RecordedAnswer(label="title", path=path, **{"body": {"title": "Shopping"}, **title}),
            *(
                RecordedAnswer(label="page", path=f"{path}/notes", query={"page": str(number)}, body=body)
                for number, body in enumerate(pages, 1)
            ),
        ],
    )


def complaint(fetcher: Honest, *recordings: Recording) -> str:
    with pytest.raises(AssertionError) as caught:
        check_fetcher(fetcher, recordings or [recording()], environ=ENVIRON)
    return str(caught.value)


# --- the honest one -----------------------------------------------------------------------------------


def test_an_honest_fetcher_passes() -> None:
    check_fetcher(Honest(), [recording(), recording(status=404, body=None)], environ=ENVIRON)


def test_a_recording_may_be_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "b1.json"
    path.write_text(recording().model_dump_json(), encoding="utf-8")

    check_fetcher(Honest(), [path], environ=ENVIRON)
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(ReadError, match=r"^b1\.json is no recording: "):
        check_fetcher(Honest(), [path], environ=ENVIRON)


def test_every_recording_is_looked_at() -> None:
    class OfNothing(HonestReader):
        def feed(self, answer: Answer) -> Iterator[Item]:
            if answer.failure is not None:
                raise KeyError("title")
            yield from super().feed(answer)

    fetcher, untitled = fetcher_with(OfNothing), recording(status=404, body=None)

    check_fetcher(fetcher, [recording()], environ=ENVIRON)
    assert complaint(fetcher, recording(), untitled) == "notes:b1: reading it raises KeyError('title')"


def test_a_recording_that_cannot_be_asked_for_at_all_is_noticed() -> None:
    class Stumbling(Honest):
        def ask(self, reference: Reference) -> Asking:
            yield from super().ask(reference)
            raise LookupError("done")

    assert complaint(Stumbling()) == "notes:b1: asking for it raises LookupError('done')"


def test_a_recording_of_which_nothing_can_be_read_is_noticed() -> None:
    damaged = recording()
    damaged.answers[-1].body["notes"] = None

    assert complaint(Honest(), damaged) == (
        "notes:b1: reading it raises ReadError('notes:b1: GET /books/b1/notes holds no list of notes')"
    )


def test_the_recording_of_another_platform_is_a_mistake_of_the_caller() -> None:
    strange = recording().model_copy(update={"session": "vectara:a/b"})

    assert complaint(Honest(), strange) == "vectara:a/b is of another platform than the fetcher 'notes'"


# --- requests -----------------------------------------------------------------------------------------


def test_a_request_too_many_that_may_fail_is_noticed() -> None:
    class Curious(Honest):
        def ask(self, reference: Reference) -> Asking:
            yield from super().ask(reference)
            yield Request(label="owner", path=("books", "b1", "owner"), query={"full": "1"}, may_fail=True)

    assert complaint(Curious()) == "notes:b1: asks for what is not recorded: /books/b1/owner {'full': '1'}"


def test_a_request_too_many_that_may_not_fail_is_noticed() -> None:
    class Demanding(Honest):
        def ask(self, reference: Reference) -> Asking:
            yield Request(label="owner", path=("books", "b1", "owner"))
            yield from super().ask(reference)

    said = complaint(Demanding())

    assert said.startswith(
        "notes:b1 cannot be fetched from its own recording: notes:b1: GET /books/b1/owner answered 404"
    )


def test_a_request_too_few_is_noticed() -> None:
    class Lazy(Honest):
        def further(self, body: JSON) -> str:
            return super().further(body)[:0]

    assert complaint(Lazy()) == "notes:b1: does not ask for what is recorded: /books/b1/notes {'page': '2'}"


def test_another_query_than_the_recorded_one_is_noticed() -> None:
    class Verbose(Honest):
        def ask(self, reference: Reference) -> Asking:
            asking = super().ask(reference)
            request = next(asking)
            while True:
                answer = yield Request(label=request.label, path=request.path, query={**request.query, "v": "2"})
                request = asking.send(answer)

    assert "cannot be fetched from its own recording" in complaint(Verbose())


def test_asking_for_ever_is_noticed_before_it_takes_for_ever() -> None:
    class Endless(Honest):
        def further(self, body: JSON) -> str:
            return super().further(body) or "2"

        def ask(self, reference: Reference) -> Asking:
            yield from super().ask(reference)
            while True:
                yield Request(label="page", path=("books", "b1", "notes"), query={"page": "2"})

    assert "GET /books/b1/notes?page=2 would be one request too many" in complaint(Endless())


def test_asking_for_ever_when_a_value_is_spoilt_is_noticed() -> None:
    class Trusting(Honest):
        def ask(self, reference: Reference) -> Asking:
            yield Request(label="title", path=("books", *reference.path), may_fail=True)
            page: str | None = "1"
            while page is not None:
                answer = yield Request(label="page", path=("books", *reference.path, "notes"), query={"page": page})
                page = "2" if isinstance(answer.body, dict) and answer.body.get("next") is not None else None

    said = complaint(Trusting())

    assert said.startswith("notes:b1, with /next as 7 in GET /books/b1/notes: ")
    assert said.endswith("it goes on asking: 1000 requests so far")


# --- reading ------------------------------------------------------------------------------------------


def fetcher_with(reader: type[HonestReader]) -> Honest:
    class Mutant(Honest):
        def reader(self, reference: Reference) -> HonestReader:
            return reader(reference)

    return Mutant()


def test_a_key_that_comes_twice_is_noticed() -> None:
    class Repeating(HonestReader):
        def read(self, note: JSON) -> Iterator[Item]:
            for item in super().read(note):
                assert isinstance(item, Note)
                yield Note(key=str(item.name), remainder=note)

    assert complaint(fetcher_with(Repeating)) == "notes:b1: several events have the key milk, tea"


def test_state_that_readers_share_is_noticed() -> None:
    shared = Keys()

    class Sharing(HonestReader):
        def __init__(self, reference: Reference) -> None:
            super().__init__(reference)
            self.keys = shared

    assert complaint(fetcher_with(Sharing)).startswith("notes:b1: reading twice ")


def test_a_reader_that_numbers_across_sessions_is_noticed() -> None:
    numbers = iter(range(10**6))

    class Counting(HonestReader):
        def read(self, note: JSON) -> Iterator[Item]:
            yield Note(key=str(next(numbers)), remainder=note)

    assert complaint(fetcher_with(Counting)).startswith("notes:b1: reading twice is not equal: item 2 is ")


def test_records_that_are_lost_when_they_come_singly_are_noticed() -> None:
    class Forgetful(HonestReader):
        def feed(self, answer: Answer) -> Iterator[Item]:
            return iter(()) if answer.continues else super().feed(answer)

    assert complaint(fetcher_with(Forgetful)).startswith("notes:b1: record by record ")


def test_events_that_depend_on_the_place_in_an_answer_are_noticed() -> None:
    class Placing(HonestReader):
        def feed(self, answer: Answer) -> Iterator[Item]:
            for place, item in enumerate(super().feed(answer)):
                yield Note(key=item.key, name=str(place)) if isinstance(item, Note) else item

    assert complaint(fetcher_with(Placing)).startswith("notes:b1: record by record is not equal: item 2 is ")


# --- spoilt values ------------------------------------------------------------------------------------


def test_a_record_without_a_member_that_raises_is_noticed() -> None:
    class Believing(HonestReader):
        def name_of(self, note: JSON) -> str:
            return str(note["text"]) if isinstance(note, dict) else "note"

    assert complaint(fetcher_with(Believing)) == (
        "notes:b1, with /notes/0 as {} in GET /books/b1/notes: reading it raises KeyError('text')"
    )


def test_a_member_of_another_type_that_raises_is_noticed() -> None:
    class Stripping(HonestReader):
        def name_of(self, note: JSON) -> str:
            return str(note.get("text", "").strip()) if isinstance(note, dict) else "note"

    said = complaint(fetcher_with(Stripping))

    assert said.startswith("notes:b1, with /notes/0/text as None in GET /books/b1/notes: reading it raises Attribute")


def test_an_end_of_reading_that_raises_is_noticed() -> None:
    class Summing(HonestReader):
        total = 0

        def read(self, note: JSON) -> Iterator[Item]:
            self.total += isinstance(note, dict)
            yield from super().read(note)

        def close(self) -> Iterator[Item]:
            if self.total != 5:
                raise LookupError(self.total)
            return iter(())

    assert "reading it raises LookupError(" in complaint(fetcher_with(Summing))


def test_asking_on_that_raises_is_noticed() -> None:
    class Reaching(Honest):
        def further(self, body: JSON) -> str:
            return body["next"] or ""

    said = complaint(Reaching())

    assert said.endswith("""asking on, or recognising it, raises TypeError("'NoneType' object is not subscriptable")""")
    assert "GET /books/b1/notes" in said


@pytest.mark.parametrize("which", ["recognise", "identify"])
def test_recognising_that_raises_is_noticed(which: str) -> None:
    class Recognising(Honest):
        def recognise(self, body: JSON) -> str | None:
            return "page" if which == "recognise" and body["notes" if "notes" in body else "title"] else None

        def identify(self, answers: Sequence[Answer]) -> tuple[str, ...]:
            return (answers[-1].body["book"],) if which == "identify" else super().identify(answers)

    assert ": asking on, or recognising it, raises " in complaint(Recognising())


def test_a_sentence_about_what_is_spoilt_is_fine_and_any_other_error_is_not() -> None:
    class Refusing(HonestReader):
        error: type[Exception] = ReadError

        def name_of(self, note: JSON) -> str:
            if not isinstance(note, dict):
                raise self.error("that is no note")
            return super().name_of(note)

    class Breaking(Refusing):
        error = ValueError

    check_fetcher(fetcher_with(Refusing), [recording()], environ=ENVIRON)
    assert complaint(fetcher_with(Breaking)).endswith("reading it raises ValueError('that is no note')")


def test_only_the_ways_that_are_given_are_tried() -> None:
    class Believing(HonestReader):
        def name_of(self, note: JSON) -> str:
            return "seven" if note == 7 else str(note.get("text"))

    check_fetcher(fetcher_with(Believing), [recording()], environ=ENVIRON, ways=[7])
    assert "reading it raises AttributeError" in complaint(fetcher_with(Believing))


# --- spoiling -----------------------------------------------------------------------------------------


def test_every_part_is_spoilt_in_every_way_and_left_out() -> None:
    assert list(spoilt({"a": [1, {"b": 2}], "c": 3}, [None])) == [
        ("/a left out", {"c": 3}),
        ("/a as None", {"a": None, "c": 3}),
        ("/a/0 as None", {"a": [None, {"b": 2}], "c": 3}),
        ("/a/1 as None", {"a": [1, None], "c": 3}),
        ("/a/1/b left out", {"a": [1, {}], "c": 3}),
        ("/a/1/b as None", {"a": [1, {"b": None}], "c": 3}),
        ("/c left out", {"a": [1, {"b": 2}]}),
        ("/c as None", {"a": [1, {"b": 2}], "c": None}),
    ]


def test_a_value_without_parts_is_not_spoilt_and_none_is_changed_in_place() -> None:
    value: JSON = {"a": [{"b": 1}]}

    assert list(spoilt("text")) == []
    assert len(list(spoilt(value, [None, 7]))) == 3 + 2 + 3
    assert value == {"a": [{"b": 1}]}
