"""The check of the kit notices what a fetcher does not keep. Each mutant here breaks one promise of the honest one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace as renewed

from otel_agent_events import demo, times
from otel_agent_events.errors import ReadError
from otel_agent_events.events import Note, Session
from otel_agent_events.fetchers import Answer, Connection, Found, Request
from otel_agent_events.fetchers.auth import ApiKey
from otel_agent_events.fetchers.fields import Fields
from otel_agent_events.fetchers.hubster import Hubster
from otel_agent_events.fetchers.saved import RecordedAnswer, Recording
from otel_agent_events.keys import Keys
from otel_agent_events.originals import without_members
from otel_agent_events.reference import Reference
from otel_agent_events.testing import check_fetcher, spoilt
from tests.recordings import bundled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otel_agent_events.events import JSON
    from otel_agent_events.fetchers import Asking, Item
    from otel_agent_events.times import Stamp

ENVIRON = {"NOTES_KEY": "opens-nothing"}
GUIDE = Path(__file__).parents[2] / "docs" / "fetchers.md"


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


def recording_of(*bodies: JSON) -> Recording:
    """Give a recording of a book without a title whose pages are these."""
    pages = [
        RecordedAnswer(label="page", path="/books/b1/notes", query={"page": str(number)}, body=body)
        for number, body in enumerate(bodies, 1)
    ]
    untitled = RecordedAnswer(label="title", path="/books/b1", status=404)
    return Recording(recording=1, session="notes:b1", answers=[untitled, *pages])


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


@pytest.mark.parametrize("kind", [Path, str, Recording.model_validate_json])
def test_one_recording_may_be_given_as_it_is(kind: Any, tmp_path: Path) -> None:
    path = tmp_path / "b1.json"
    path.write_text(recording().model_dump_json(), encoding="utf-8")
    given = kind(path if kind in {Path, str} else path.read_bytes())

    check_fetcher(Honest(), given, environ=ENVIRON, ways=[])
    check_fetcher(Honest(), [given], environ=ENVIRON, ways=[])


def test_a_check_against_nothing_is_none() -> None:
    with pytest.raises(
        AssertionError, match=r"^the fetcher 'notes' is checked against recordings, and there are none$"
    ):
        check_fetcher(Honest(), Path("nowhere").glob("*.json"), environ=ENVIRON)


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


def test_a_session_of_another_path_than_the_fetchers_is_noticed() -> None:
    strange = recording().model_copy(update={"session": "notes:shelf/b1"})

    assert complaint(Honest(), strange) == "notes:shelf/b1 is no session of the fetcher, whose path is notes:BOOK"


def test_a_recorded_label_that_the_fetcher_does_not_name_is_noticed() -> None:
    strange = recording()
    strange.answers[0] = strange.answers[0].model_copy(update={"label": "name"})

    assert complaint(Honest(), strange) == ("notes:b1: the label 'name' is recorded, and is none of title, page")


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("title", "recognised as 'title', and it is recorded as 'page'"),
        ("pages", "recognised as 'pages', which is none of title, page"),
    ],
)
def test_an_answer_that_is_recognised_as_another_one_is_noticed(label: str, said: str) -> None:
    class Mistaken(Honest):
        def recognise(self, body: JSON) -> str | None:
            return super().recognise(body) and label

    assert complaint(Mistaken()) == f"notes:b1, GET /books/b1/notes: {said}"


def test_an_answer_that_is_not_recognised_at_all_is_fine() -> None:
    class Blind(Honest):
        def recognise(self, _: JSON) -> str | None:
            return None

    check_fetcher(Blind(), recording(), environ=ENVIRON, ways=[])


@pytest.mark.parametrize("path", [(), ("b1", "b2"), (None,), "b"])
def test_identifying_by_anything_but_a_text_for_each_part_is_noticed(path: Any) -> None:
    class Vague(Honest):
        def identify(self, _: Sequence[Answer]) -> tuple[str, ...]:
            given: tuple[str, ...] = path
            return given

    assert complaint(Vague()) == (
        f"notes:b1, GET /books/b1: identified as {path!r}, and not by a text for each of BOOK"
    )


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

    assert complaint(Endless()) == (
        "notes:b1: its paging never ends: 1000 requests so far, the last one for /books/b1/notes {'page': '2'}"
    )


def test_paging_that_trusts_the_platform_not_to_give_a_page_again_is_noticed() -> None:
    class Trusting(Honest):
        def ask(self, reference: Reference) -> Asking:
            yield Request(label="title", path=("books", *reference.path), may_fail=True)
            page = "1"
            while page:
                answer = yield Request(label="page", path=("books", *reference.path, "notes"), query={"page": page})
                page = self.further(answer.body)

    assert complaint(Trusting()).startswith(
        "notes:b1, when every page is like the first: its paging never ends: 1000 requests so far"
    )


def test_a_session_of_many_pages_may_take_more_requests_than_that() -> None:
    pages: list[Any] = [{"notes": [], "next": str(number + 2)} for number in range(1_100)]
    pages[-1] = {"notes": [{"n": 1}]}

    check_fetcher(Honest(), recording_of(*pages), environ=ENVIRON, ways=[])


def test_asking_for_ever_when_a_value_is_spoilt_is_noticed() -> None:
    class Counting(Honest):
        def ask(self, reference: Reference) -> Asking:
            yield Request(label="title", path=("books", *reference.path), may_fail=True)
            page, asked = "1", {""}
            while page not in asked:
                asked.add(page)
                answer = yield Request(label="page", path=("books", *reference.path, "notes"), query={"page": page})
                is_odd = isinstance(answer.body, dict) and answer.body.get("next") == 7
                page = str(len(asked)) if is_odd else self.further(answer.body)

    said = complaint(Counting())

    assert said.startswith("notes:b1, with /next as 7 in GET /books/b1/notes: its paging never ends: ")
    assert said.endswith("1000 requests so far, the last one for /books/b1/notes {'page': '999'}")


def test_a_request_under_a_label_that_the_fetcher_does_not_name_is_noticed() -> None:
    class Mumbling(Honest):
        def ask(self, reference: Reference) -> Asking:
            yield from super().ask(reference)
            yield Request(label="it", path=("books", *reference.path), may_fail=True)

    assert complaint(Mumbling()) == "notes:b1: the label 'it' is asked for, and is none of title, page"


def test_connecting_with_a_variable_that_the_fetcher_does_not_name_is_noticed() -> None:
    class Secretive(Honest):
        variables = ("NOTES_URL",)

    said = complaint(Secretive())

    assert said == (
        "notes:b1: connecting raises KeyError('NOTES_KEY'); of the variables that the fetcher names, none were given"
    )


def test_asking_another_host_is_noticed_before_anything_leaves_this_machine() -> None:
    class Outgoing(Honest):
        def connect(self, environ: Mapping[str, str], _: str | None) -> Connection:
            return super().connect(environ, "https://notes.example")

    assert complaint(Outgoing()) == ("notes:b1: asks notes.example, and not the base URL that `connect` was given")


def test_a_fetcher_that_gets_its_token_by_oauth2_can_be_checked() -> None:
    def environ(base_url: str) -> dict[str, str]:
        return demo.environment(base_url, {})

    (chat,) = bundled("hubster")

    check_fetcher(Hubster(), chat, environ=environ, tokens=demo.TOKENS, ways=[7])
    with pytest.raises(AssertionError, match=r"POST http://127\.0\.0\.1:\d+/connect/token answered 404"):
        check_fetcher(Hubster(), chat, environ=environ, ways=[7])


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


# --- which list holds the records ----------------------------------------------------------------------


TAGS = ["a", "b", "c", "d", "e", "f"]


@pytest.mark.parametrize(
    "body",
    [
        {"tags": TAGS, "notes": [{"n": 1}]},
        {"notes": [{"n": 1}], "tags": TAGS},
        {"about": {"tags": [TAGS]}, "notes": [{"n": 1, "tags": TAGS}]},
        {"tags": TAGS, "notes": []},
    ],
)
def test_a_list_that_gives_no_events_holds_no_records(body: JSON) -> None:
    check_fetcher(Honest(), recording_of(body), environ=ENVIRON)


def test_a_list_within_the_one_record_of_an_answer_holds_no_records() -> None:
    class OfOne(HonestReader):
        def feed(self, answer: Answer) -> Iterator[Item]:
            return iter(()) if answer.failure is not None else self.read(answer.body)

    class Single(Honest):
        def recognise(self, _: JSON) -> str | None:
            return None

        def reader(self, reference: Reference) -> HonestReader:
            return OfOne(reference)

    check_fetcher(Single(), recording_of({"n": 1, "tags": TAGS}), environ=ENVIRON)


def test_records_may_lie_deeper_and_in_several_lists() -> None:
    class OfTwo(HonestReader):
        loses_the_second = False

        def feed(self, answer: Answer) -> Iterator[Item]:
            match answer.body:
                case {"data": {"notes": list(notes)}, "more": list(more)}:
                    notes = [*more, *notes[: 1 if self.loses_the_second else None]]
                    yield from super().feed(replace(answer, body={"notes": notes}))
                case _:
                    yield from super().feed(answer)

    class Losing(OfTwo):
        loses_the_second = True

    class Deep(Honest):
        def recognise(self, _: JSON) -> str | None:
            return None

    def deep(reader: type[HonestReader]) -> Deep:
        fetcher = Deep()
        fetcher.reader = reader  # type: ignore[method-assign]
        return fetcher

    pages = recording_of({"data": {"notes": [{"n": 1}, {"n": 2}]}, "more": [{"n": 3}, {"n": 4}]})

    check_fetcher(deep(OfTwo), pages, environ=ENVIRON)
    assert complaint(deep(Losing), pages).startswith("notes:b1: record by record ")


def test_pages_that_hide_each_other_hold_records_all_the_same() -> None:
    class Forgetful(HonestReader):
        def read(self, note: JSON) -> Iterator[Item]:
            return (renewed(item, remainder=None) for item in super().read(note) if isinstance(item, Note))

    page = {"notes": [{"n": 1, "text": "milk", "due": "soon"}]}
    twice = recording_of({**page, "next": "2"}, page)

    class Listing(HonestReader):
        def read(self, note: JSON) -> Iterator[Item]:
            key = self.keys.claim(note, str(note["n"]) if isinstance(note, dict) and "n" in note else None)
            return iter(() if key is None else (Note(key=key, remainder=note),))

    check_fetcher(fetcher_with(Listing), twice, environ=ENVIRON)
    assert complaint(fetcher_with(Forgetful), twice) == (
        "notes:b1: the trace lacks 1, /notes/0/n in GET /books/b1/notes, and 1 more"
    )


# --- the trace -----------------------------------------------------------------------------------------


def test_a_remainder_that_is_dropped_is_noticed() -> None:
    class Dropping(HonestReader):
        def read(self, note: JSON) -> Iterator[Item]:
            return (renewed(item, remainder=None) for item in super().read(note) if isinstance(item, Note))

    assert complaint(fetcher_with(Dropping)) == (
        "notes:b1: the trace lacks 1, /notes/0/n in GET /books/b1/notes, and 1 more"
    )


@pytest.mark.parametrize(
    "record", ["bare", "7", '"quoted"', 7, True, 1.5, [["x"]], {"at": None}, {"long": 70_000 * "x"}]
)
def test_a_record_of_any_kind_can_be_found_in_the_trace(record: JSON) -> None:
    check_fetcher(Honest(), recording_of({"notes": [record]}), environ=ENVIRON, ways=[])


def test_a_time_counts_as_told_and_one_of_the_platforms_own_spelling_when_it_is_explained() -> None:
    def day(told: JSON) -> Stamp | None:
        dotted = told.split(".") if isinstance(told, str) else []
        return times.parse(f"{'-'.join(reversed(dotted))}T00:00:00Z") if len(dotted) == 3 else None

    class Dated(HonestReader):
        def read(self, note: JSON) -> Iterator[Item]:
            for item in super().read(note):
                if isinstance(item, Note) and isinstance(note, dict):
                    fields = Fields(note)
                    at = fields.nanoseconds("on", day) or fields.nanoseconds("at")
                    yield renewed(item, start=at, end=at, remainder=fields.rest())
                else:
                    yield item

    stamped = recording_of({"notes": [{"at": "2026-11-18T09:00:00.25Z"}]})
    dotted = recording_of({"notes": [{"on": "18.11.2026"}]})

    check_fetcher(fetcher_with(Dated), stamped, environ=ENVIRON, ways=[])
    check_fetcher(fetcher_with(Dated), dotted, environ=ENVIRON, ways=[], stamps=[day])
    assert complaint(fetcher_with(Dated), dotted).startswith("notes:b1: the trace lacks '18.11.2026', /notes/0/on in ")


class Guarded(Honest):
    secrets = ("Pin",)  # type: ignore[assignment]


def guarded(*, leaks: bool) -> Guarded:
    class Guarding(HonestReader):
        def read(self, note: JSON) -> Iterator[Item]:
            for item in super().read(note):
                yield (
                    item
                    if leaks or not isinstance(item, Note)
                    else renewed(item, remainder=without_members(note, {"pin"}))
                )

    fetcher = Guarded()
    fetcher.reader = Guarding  # type: ignore[method-assign]
    return fetcher


def test_a_secret_of_the_platform_in_the_trace_is_noticed() -> None:
    pages = recording_of({"notes": [{"n": 1, "by": {"pIN": ["hunter22"]}}]})

    check_fetcher(guarded(leaks=False), pages, environ=ENVIRON)
    assert complaint(guarded(leaks=True), pages) == ("notes:b1: a value of 'pIN' is in the trace, and that is a secret")


@pytest.mark.parametrize("note", [{"pin": "short"}, {"pin": 12345678}, {"pin": "hunter22", "text": "I am hunter22!"}])
def test_a_secret_that_may_stand_in_a_trace_by_chance_is_none(note: JSON) -> None:
    check_fetcher(guarded(leaks=True), recording_of({"notes": [note]}), environ=ENVIRON, ways=[])


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

    assert said.endswith("""asking on raises TypeError("'NoneType' object is not subscriptable")""")
    assert "GET /books/b1/notes" in said


def test_recognising_that_raises_is_noticed() -> None:
    class Recognising(Honest):
        def recognise(self, body: JSON) -> str | None:
            return "page" if body and "notes" in body else None

    assert complaint(Recognising()) == (
        "notes:b1, with GET /books/b1 as 7: recognising it raises "
        """TypeError("argument of type 'int' is not iterable")"""
    )


def test_identifying_that_raises_is_noticed() -> None:
    class Identifying(Honest):
        def identify(self, answers: Sequence[Answer]) -> tuple[str, ...]:
            return (answers[-1].body["book"],)

    assert complaint(Identifying()) == "notes:b1, GET /books/b1: identifying its session raises KeyError('book')"


def test_the_work_grows_as_the_recording_does() -> None:
    class Counting(HonestReader):
        read_so_far = 0

        def read(self, note: JSON) -> Iterator[Item]:
            Counting.read_so_far += 1
            return super().read(note)

    def work(pages: int) -> int:
        Counting.read_so_far = 0
        bodies: list[Any] = [
            {"notes": [{"n": 10 * page + each, "text": "tea"} for each in range(8)], "next": str(page + 2)}
            for page in range(pages)
        ]
        bodies[-1]["next"] = None
        check_fetcher(fetcher_with(Counting), recording_of(*bodies), environ=ENVIRON)
        return Counting.read_so_far

    assert work(12) < 2.5 * work(6)
    assert work(6) < 6 * 8 * 300


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


# --- the guide -----------------------------------------------------------------------------------------


def test_the_paging_and_the_finding_of_the_guide_work() -> None:
    blocks = re.findall(r"```python\n(def .*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {"Request": Request, "Found": Found, "Reference": Reference}
    for block in blocks:
        exec(compile(f"from __future__ import annotations\n{block}", GUIDE.name, "exec"), names)  # noqa: S102

    class Guided(Honest):
        name = "acme"
        labels = ("ticket", "log")
        ask = names["ask"]

        def recognise(self, _: JSON) -> str | None:
            return None

    path = "/api/tickets/T-1"
    pages = [({}, {"notes": [1], "next": "b"}), ({"cursor": "b"}, {"notes": [2], "next": ""})]
    answers = [
        RecordedAnswer(label="ticket", path=path, status=404),
        *(RecordedAnswer(label="log", path=f"{path}/log", query=query, body=body) for query, body in pages),
    ]
    finding = names["find"](Guided(), Reference("acme", ("", "T-1")))
    asked = next(finding)
    with pytest.raises(StopIteration) as end:
        finding.send(Answer(label="ticket", body={"desk": "north"}, source="it", request=asked))

    check_fetcher(Guided(), Recording(recording=1, session="acme:T-1", answers=answers), environ=ENVIRON)
    assert end.value.value.references == (Reference("acme", ("north", "T-1")),)
