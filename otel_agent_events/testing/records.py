"""Where in answers their records stand, and answers with other records in that place."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from otel_agent_events.events import JSON
    from otel_agent_events.fetchers import Answer

Place: TypeAlias = tuple[str, ...]
"""The names of the members that lead to a list; none when the answer is that list."""

FEW = 3
"""Records of an answer that is read only because another one is looked at."""


_ONE_MORE = {"": "one more record"}


class Layout:
    """Where the records of a session's answers stand.

    They are the lists without which the reader gives other events: a list of tags is none, however long it is, and
    neither is a list within a record, to which nothing can be added that would be one event more. It is found out for
    all answers of a label at once, since pages may overlap so that no single one of them is missed.

    Args:
        answers: of one session.
        keys: gives the keys of the events that are read from answers; it is told what was done to them.
    """

    def __init__(self, answers: Sequence[Answer], keys: Callable[[Sequence[Answer], str], Sequence[str]]) -> None:
        whole = Counter(keys(answers, ""))
        self._places: set[tuple[str, Place]] = set()
        for label, place in dict.fromkeys((each.label, place) for each in answers for place in _lists(each.body)):
            said = f"{pointer(place)} of all answers {label!r}"
            left = Counter(keys(list(_with(answers, label, place, lambda _: [])), f"{said} emptied"))
            lost, gained = (whole - left).total(), (left - whole).total()
            if lost == gained == 0:
                continue
            if lost <= gained:
                # Either the list is a part of a record, which has another key now, or these records hid others.
                longer = list(_with(answers, label, place, lambda records: [*records, _ONE_MORE]))
                if len(keys(longer, f"one record more in {said}")) <= whole.total():
                    continue
            self._places.add((label, place))

    def known(self, answer: Answer) -> list[Place]:
        """Give the places of its records, in order."""
        return [place for place in _lists(answer.body) if (answer.label, place) in self._places]

    def of(self, answer: Answer) -> list[Place]:
        """Give the places of its records, in order; a list is one of records, whatever is read from it."""
        return [()] if isinstance(answer.body, list) else self.known(answer)

    def few(self, answer: Answer) -> Answer:
        """Give an answer with its first records only."""
        body = answer.body
        for place in self.of(answer):
            body = put(body, place, at(body, place)[:FEW])
        return replace(answer, body=body)

    def pieces(self, answer: Answer, *, others_last: bool = True) -> Iterator[Answer]:
        """Give an answer as one for each record of its first list.

        Args:
            answer: one without records is one piece.
            others_last: the records of its other lists come with the last piece, and not with the first.
        """
        first, *others = self.of(answer) or [()]
        records = at(answer.body, first) if self.of(answer) else []
        bare = answer.body
        for place in others:
            bare = put(bare, place, [])
        full = len(records) - 1 if others_last else 0
        for number, record in enumerate(records):
            body = put(answer.body if number == full else bare, first, [record])
            yield replace(answer, body=body, continues=answer.continues or number > 0)
        if not records:
            yield answer


def _with(
    answers: Iterable[Answer], label: str, place: Place, change: Callable[[list[JSON]], list[JSON]]
) -> Iterator[Answer]:
    """Give the answers, those of a label with other records in a place."""
    for answer in answers:
        if answer.label == label and place in _lists(answer.body):
            yield replace(answer, body=put(answer.body, place, change(at(answer.body, place))))
        else:
            yield answer


def at(body: JSON, place: Place) -> list[JSON]:
    """Give the list in that place."""
    for name in place:
        body = body[name]
    listed: list[JSON] = body
    return listed


def put(body: JSON, place: Place, records: Any) -> JSON:
    """Give a copy of the body with something else in that place."""
    if not place:
        return records
    return {**body, place[0]: put(body[place[0]], place[1:], records)}


def pointer(place: Place) -> str:
    """Write a place as a JSON pointer."""
    return "".join(f"/{name}" for name in place)


def _lists(body: JSON) -> list[Place]:
    """Give the places of all lists that lie in no other list, in order."""
    if isinstance(body, list):
        return [()]
    if isinstance(body, dict):
        return [(name, *place) for name, inner in body.items() for place in _lists(inner)]
    return []


class _Kept:
    """Stands for records while what is around them is spoilt."""


def around(body: JSON, places: Sequence[Place]) -> tuple[JSON, Callable[[JSON, Mapping[Place, list[JSON]]], JSON]]:
    """Give a body without its records, and what puts records back into it, or into a spoilt copy of it."""
    kept = {place: _Kept() for place in places}
    for place in places:
        body = put(body, place, kept[place])

    def back(spoilt: JSON, records: Mapping[Place, list[JSON]]) -> JSON:
        for place in places:
            inner = spoilt
            for name in place:
                inner = inner.get(name) if isinstance(inner, dict) else None
            if inner is kept[place]:
                spoilt = put(spoilt, place, records[place])
        return spoilt

    return body, back
