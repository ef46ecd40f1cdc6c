"""The recordings that tests play: the bundled ones, and every file with saved answers in `data/`."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from otel_agent_events import demo
from otel_agent_events.fetchers import FETCHERS
from otel_agent_events.fetchers.saved import Recording, load, load_recording
from otel_agent_events.reference import Reference
from otel_agent_events.sources import Source
from tests.traces import DATA

INSTALLED = ", ".join(FETCHERS.names())
"""The platforms, as messages name them."""

DEMO = Path(demo.__file__).parent


def bundled(platform: str) -> list[Recording]:
    """Give the recordings of the demo that are of one platform."""
    return [recording for recording in demo.recordings() if recording.reference.platform == platform]


def files() -> list[Path]:
    """Give every file with saved answers: those of the demo, and those of each platform."""
    return [*sorted(DEMO.glob("*.json")), *sorted(DATA.glob("*/*.json"))]


def recordings(platform: str) -> list[Recording]:
    """Give every recording of a platform, the bundled ones first; a file may hold saved answers that are none."""
    contents = {path.name: path.read_bytes() for path in sorted((DATA / platform).glob("*.json"))}
    recorded = {name: content for name, content in contents.items() if b'"recording"' in content}
    return [*bundled(platform), *(load_recording(content, name) for name, content in recorded.items())]


def renamed(recording: Recording, session: str) -> Recording:
    """Give a recording under another name: in its paths, its queries and its bodies."""
    reference = Reference.parse(session)
    names = dict(zip(recording.reference.path, reference.path, strict=True))

    def through(told: Any) -> Any:
        match told:
            case str():
                return names.get(told, told)
            case dict():
                return {name: through(inner) for name, inner in told.items()}
            case list():
                return [through(inner) for inner in told]
            case _:
                return told

    answers = [
        answer.model_copy(
            update={
                "path": "/".join(quote(through(unquote(segment)), safe="") for segment in answer.path.split("/")),
                "query": through(answer.query),
                "body": through(answer.body),
            }
        )
        for answer in recording.answers
    ]
    return Recording(recording=1, session=str(reference), answers=answers)


def session_for(path: Path) -> Reference | None:
    """Give a name for the session of a file in which answers may not name it; None where a recording does."""
    platform = path.parent.name
    if platform not in FETCHERS.names() or b'"recording"' in path.read_bytes():
        return None
    *_, last = ("", *FETCHERS.get(platform).path)
    missing = len(FETCHERS.get(platform).path) - 1
    return Reference(platform, ("",) * missing + (last.lower(),))


def opened(path: Path) -> Source:
    """Open a file; an answer that does not name its session is given one."""
    (saved,) = load(path.read_bytes(), path.name, session_for(path))
    return Source(
        reference=saved.reference, fetcher=saved.fetcher, answers=saved.answers, flaws=saved.flaws, saved=True
    )


def name_of(path: Path) -> str:
    """Give a file's name within the tests: its folder and its own."""
    return f"{path.parent.name}/{path.stem}"
