"""The outlines of all recordings, as files to look at. `python -m tests.outlines` writes them anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_agent_events.content import Policy
from otel_agent_events.conversion import Options
from otel_agent_events.testing import outline
from tests.recordings import files, name_of, opened
from tests.traces import DATA, trace_from

if TYPE_CHECKING:
    from pathlib import Path


def place(path: Path) -> Path:
    """Give the file that holds the outline of a recording."""
    return DATA / "outlines" / path.parent.name / f"{path.stem}.txt"


def main() -> None:
    """Write the outlines of all recordings, and take away those of recordings that are gone."""
    wanted = {place(path): path for path in files()}
    for old in (DATA / "outlines").glob("*/*.txt"):
        if old not in wanted:
            old.unlink()
    for outlined, path in wanted.items():
        outlined.parent.mkdir(parents=True, exist_ok=True)
        spans = trace_from(opened(path), Options(policy=Policy(content="full"))).spans
        outlined.write_text(outline(spans), encoding="utf-8")
        print(f"{name_of(path)}: {len(spans)} spans")  # noqa: T201 - it is a command


if __name__ == "__main__":
    main()
