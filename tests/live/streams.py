"""Streams that were written by hand after the shapes that Vectara documents: `data/streams`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.traces import DATA

if TYPE_CHECKING:
    from pathlib import Path

STREAMS = sorted((DATA / "streams").glob("*.sse"))
NAMES = [path.stem for path in STREAMS]


def stream(name: str) -> list[dict[str, Any]]:
    """Give the records of a stream: what stands behind each `data:`."""
    return records_in(DATA / "streams" / f"{name}.sse")


def records_in(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line.removeprefix("data:")) for line in lines if line.startswith("data:")]


def words_in(told: Any) -> set[str]:
    """Give every text of several words that is in a record: those who write such ones are people and models."""
    match told:
        case str():
            return {told} if " " in told.strip() and not told[:4].isdigit() else set()
        case dict():
            return set().union(*map(words_in, told.values()), *map(words_in, told))
        case list():
            return set().union(*map(words_in, told))
        case _:
            return set()
