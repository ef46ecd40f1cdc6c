"""Answers from which something was taken out, and the keys that their records had before (docs/decisions/0008)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from otel_agent_events.keys import Changed, changed, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping

    from otel_agent_events.events import JSON

_NUMBER = re.compile(r"0|[1-9][0-9]*")


def changed_parts(before: JSON, after: JSON) -> dict[str, str]:
    """Find what may be a record and is another one now: the answer as a whole, and every item of a list in it.

    Args:
        before: as it was; parts of it may have been changed already, and keep their original keys.
        after: of the same shape, but for members that are gone.

    Returns:
        By JSON pointer (RFC 6901), the key of each part as the platform gave it.
    """
    return dict((*_different(before, after), *_changed_already(before)))


def with_originals(body: JSON, parts: Mapping[str, str]) -> JSON:
    """Give an answer with the original keys of those parts of it that were changed.

    Raises:
        ValueError: a pointer points nowhere.
    """
    # From the innermost one on: each is replaced within the part that holds it.
    for pointer in sorted(parts, key=lambda each: each.count("/"), reverse=True):
        original = parts[pointer]
        if not pointer:
            body = changed(body, original)
            continue
        try:
            holder, place = _place_of(body, pointer)
            holder[place] = changed(holder[place], original)
        except (KeyError, IndexError, TypeError, ValueError):
            raise ValueError(f"{pointer!r} in changed is no part of its answer") from None
    return body


def with_texts(value: JSON, change: Callable[[str], str]) -> JSON:
    """Give a copy of a value with every text in it changed, names of members too; however deep it is."""
    kept: list[Any] = [value]
    pending: list[tuple[Any, Any]] = [(kept, 0)]
    while pending:
        holder, place = pending.pop()
        match holder[place]:
            case str() as text:
                holder[place] = change(text)
            case dict() as inner:
                holder[place] = members = {change(name): told for name, told in inner.items()}
                pending.extend((members, name) for name in members)
            case list() as inner:
                holder[place] = items = list(inner)
                pending.extend((items, number) for number in range(len(items)))
            case _:
                pass
    return kept[0]


def without_members(value: JSON, names: Container[str]) -> JSON:
    """Give a copy of a value without the members of these names, at any depth, however deep it is.

    Args:
        value: stays as it is.
        names: in lower case; those of the members may be in any.
    """
    kept: list[Any] = [value]
    pending: list[tuple[Any, Any]] = [(kept, 0)]
    while pending:
        holder, place = pending.pop()
        match holder[place]:
            case dict() as inner:
                holder[place] = members = {name: told for name, told in inner.items() if name.casefold() not in names}
                pending.extend((members, name) for name in members)
            case list() as inner:
                holder[place] = items = list(inner)
                pending.extend((items, number) for number in range(len(items)))
            case _:
                pass
    return kept[0]


def _different(before: JSON, after: JSON) -> Iterator[tuple[str, str]]:
    pending = [(before, after, "", True)]
    while pending:
        before, after, pointer, may_be_record = pending.pop()
        if before == after:
            continue
        if may_be_record:
            yield pointer, key_of(before)
        match before, after:
            case dict(), dict():
                pending.extend(
                    (inner, after[name], f"{pointer}/{_escaped(name)}", False)
                    for name, inner in before.items()
                    if name in after
                )
            case list(), list():
                pending.extend(
                    (inner, after[number], f"{pointer}/{number}", True) for number, inner in enumerate(before)
                )
            case _:
                pass


def _changed_already(value: JSON) -> Iterator[tuple[str, str]]:
    pending = [(value, "")]
    while pending:
        value, pointer = pending.pop()
        if isinstance(value, Changed):
            yield pointer, value.original
        match value:
            case dict():
                pending.extend((inner, f"{pointer}/{_escaped(name)}") for name, inner in value.items())
            case list():
                pending.extend((inner, f"{pointer}/{number}") for number, inner in enumerate(value))
            case _:
                pass


def _place_of(body: JSON, pointer: str) -> tuple[JSON, Any]:
    """Find what holds the part to which a pointer points, and where in it."""
    start, *way = pointer.split("/")
    if start:
        raise ValueError(pointer)  # it does not begin with a slash
    holder = body
    for step in way[:-1]:
        holder = holder[_step(holder, step)]
    return holder, _step(holder, way[-1])


def _step(holder: JSON, step: str) -> Any:
    if not isinstance(holder, list):
        return step.replace("~1", "/").replace("~0", "~")
    if not _NUMBER.fullmatch(step):
        raise ValueError(step)
    return int(step)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
