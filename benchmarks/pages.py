"""Pages of a Vectara session as its event endpoint gives them, the same for the same seed.

A session is made while it is read, page after page, so that a million events take no memory.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BEGIN = datetime(2026, 11, 18, 8, tzinfo=UTC).replace(tzinfo=None)  # which is written quicker
PER_PAGE = 100

_CORPUS = 4_000_000
"""Characters from which contents are cut: so many that no content repeats within the window of gzip."""

_SECRETS = 0.005
"""The share of contents that hold a key or an address of a person."""

_FOREIGN = 0.3
"""The share of contents that are not all ASCII; one accent makes a text take longer to read and to write."""

_TEXT = """
the a to of and in is that order refund voucher customer shipped arrived since Monday warehouse look up policy says
within days amount please check again status returned item invoice address changed payment failed because card number
expired try retry answer I would we should tell her him them 5512 20881 2026-11-18 12.50 (see above) "quoted" it's
error: none, e.g. https://shop.example/orders/5512?view=full token tokens pass key
"""
_FOREIGN_TEXT = "Straße Köln naïve 日本 über €20 “quoted” 👍"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a session is like.

    Attributes:
        events: how many records.
        content: bytes of what is said in one record, about.
        seed: decides everything else.
        session: its key.
    """

    events: int
    content: int
    seed: int = 7
    session: str = "s"


class Session:
    """The records of a session: messages, thoughts, and tools that are called one, two or three at a time.

    Attributes:
        pairs: calls with their results that were made so far; every call has one.
    """

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._random = random.Random(f"{shape.seed} {shape.session}")  # noqa: S311 - it must be the same again
        self._draw = self._random.random
        self._numbers = itertools.count()
        self._now = BEGIN
        self.pairs = 0

    def records(self) -> Iterator[dict[str, Any]]:
        """Give as many records as the shape says."""
        left = self._shape.events
        while left > 0:
            yield self._record("input_message", messages=[{"type": "text", "content": self._text()}])
            left -= 1
            for _ in range(self._random.randint(2, 8)):
                if left < 4:
                    break
                yield self._record("thinking", content=self._text())
                calls = min(self._random.choice((1, 1, 1, 2, 3)), (left - 2) // 2)
                yield from self._tools(calls)
                left -= 1 + 2 * calls
            if left:
                yield self._record("agent_output", content=self._text())
                left -= 1

    def _tools(self, calls: int) -> Iterator[dict[str, Any]]:
        """Call tools, then give their results in any order."""
        called = []
        for _ in range(calls):
            number = self._random.randrange(9)
            common = {
                "tool_call_id": f"call_{self._random.getrandbits(64):016x}",
                "tool_configuration": f"configured_{number}",
                "tool_name": f"tool_{number}",
            }
            called.append(common)
            arguments = {"query": self._text(), "limit": 5, "filters": {"open": True, "lang": "en"}}
            yield self._record("tool_input", **common, tool_input=arguments)
        self._random.shuffle(called)
        for common in called:
            failed = self._draw() < 0.05
            output = {"results": [{"title": "Order 5512", "text": self._text(), "score": 0.87}], "total": 1}
            yield self._record("tool_output", **common, tool_output=output, error=failed)
            self.pairs += 1

    def _record(self, type_: str, **fields: Any) -> dict[str, Any]:
        self._now += timedelta(seconds=2 * self._draw())
        return {
            "id": f"aev_{next(self._numbers):09d}",
            "session_key": self._shape.session,
            "type": type_,
            **fields,
            "created_at": self._now.isoformat(timespec="microseconds") + "Z",
        }

    def _text(self) -> str:
        corpus = _corpus(foreign=self._draw() < _FOREIGN)
        begin = int(self._draw() * (len(corpus) - 2 * self._shape.content))
        length = int(self._shape.content * (0.5 + self._draw()))
        text = corpus[begin : begin + length]
        if self._draw() < _SECRETS:
            text += f" AKIA{self._random.getrandbits(80):020X}"[:21] + f" jane.doe{len(text)}@mail.example"
        return text


def paged(session: Session, per_page: int = PER_PAGE) -> Iterator[tuple[bytes, str | None]]:
    """Give the bodies of the answers one after the other, each with the key of the next one."""
    records = session.records()
    page = list(itertools.islice(records, per_page))
    number = 0
    while page:
        number += 1
        following = list(itertools.islice(records, per_page))
        key = f"key-{number}" if following else None
        yield to_json({"events": page, "metadata": {"page_key": key}}), key
        page = following


@dataclass(frozen=True, slots=True)
class Written:
    """A file of pages, one a line.

    Attributes:
        spans: how many every contestant has to make of it.
    """

    path: Path
    session: str
    events: int
    spans: int
    bytes: int


def write(shape: Shape, path: Path) -> Written:
    """Write the pages of a session into a file."""
    session = Session(shape)
    with path.open("wb") as file:
        for page, _ in paged(session):
            file.write(page + b"\n")
        size = file.tell()
    made = 1 + shape.events - session.pairs  # call and result are one span, and one is that of the whole
    return Written(path=path, session=shape.session, events=shape.events, spans=made, bytes=size)


@cache
def _corpus(*, foreign: bool) -> str:
    draw = random.Random(1)  # noqa: S311 - it must be the same again
    words = f"{_TEXT} {_FOREIGN_TEXT if foreign else ''}"
    return " ".join(draw.choices(words.split(), k=_CORPUS // 6))
