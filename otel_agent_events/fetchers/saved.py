"""Saved answers: what `curl` printed, a list of pages, or a recording; from a file or standard input."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from otel_agent_events.errors import ReadError
from otel_agent_events.events import value
from otel_agent_events.fetchers import FETCHERS, Answer, Fetcher
from otel_agent_events.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_agent_events.events import JSON

_MODEL = ConfigDict(frozen=True, extra="forbid")


class RecordedAnswer(BaseModel):
    """One answer of a recording, with the request that asked for it.

    Attributes:
        label: what the fetcher calls it: `events`, `agent`.
        path: of the request, encoded, with a leading slash.
        query: of the request, decoded.
        status: of the answer; an answer that is not 200 is played, and not read.
    """

    model_config = _MODEL

    label: str
    path: str
    query: dict[str, str] = {}
    status: int = 200
    body: Any = None


class Recording(BaseModel):
    """The raw answers of one session, as they came. `recording` is the version of this format.

    It can be replayed like any saved answer, and played by the loopback platform.
    """

    model_config = _MODEL

    recording: Literal[1]
    session: str
    answers: Annotated[list[RecordedAnswer], Field(min_length=1)]

    @property
    def reference(self) -> Reference:
        """The session that it is of."""
        return Reference.parse(self.session)


@value()
class Saved:
    """The answers in a file.

    Attributes:
        flaws: what could not be read beside them; each makes the session count as failed, and cut short.
    """

    reference: Reference
    fetcher: Fetcher
    answers: tuple[Answer, ...]
    flaws: tuple[str, ...] = ()


def load_recording(content: bytes, name: str) -> Recording:
    """Read a recording.

    Raises:
        ReadError: it is none; says where it differs.
    """
    try:
        return Recording.model_validate_json(content)
    except ValidationError as error:
        raise ReadError(f"{name} is no recording: {_first_error(error)}") from None


def load(content: bytes, name: str, session: Reference | None = None) -> Saved:
    """Read saved answers of one session.

    Args:
        content: a JSON value, or several one after the other: pages, lists of pages, look-ups, a recording.
        name: of the file, for messages.
        session: names what the answers do not.

    Raises:
        ReadError: no answer of a known platform is in it, or nobody says which session it is.
    """
    values, flaws = _values(content, name)
    if len(values) == 1 and isinstance(values[0], dict) and "recording" in values[0]:
        recording = load_recording(content, name)
        fetcher = FETCHERS.get(recording.reference.platform)
        answers = tuple(
            Answer(label=answer.label, body=answer.body, source=f"GET {answer.path}")
            for answer in recording.answers
            if answer.status == 200  # noqa: PLR2004 - as HTTP has it
        )
        return Saved(reference=session or recording.reference, fetcher=fetcher, answers=answers)
    found = list(_recognised(values, name, flaws))
    if not found:
        known = ", ".join(FETCHERS.names())
        said = "; ".join(flaws) or f"{name} holds no answer of a platform that is known here ({known})"
        raise ReadError(said)
    fetcher = found[0][0]
    if session is not None:
        fetcher = FETCHERS.get(session.platform)
    answers = tuple(answer for each, answer in found if each.name == fetcher.name)
    if len(answers) < len(found):
        flaws.append(f"{name} holds answers of several platforms; only those of {fetcher.name} were read")
    return Saved(
        reference=session or _identified(fetcher, answers, name), fetcher=fetcher, answers=answers, flaws=tuple(flaws)
    )


def _identified(fetcher: Fetcher, answers: Sequence[Answer], name: str) -> Reference:
    path = fetcher.identify(answers)
    if not path[-1]:
        wanted = f"{fetcher.name}:{'/'.join(fetcher.path)}"
        raise ReadError(f"{name} does not say which session it is; say it with --session {wanted}")
    return Reference(fetcher.name, path)


def _values(content: bytes, name: str) -> tuple[list[JSON], list[str]]:
    """Parse one JSON value after the other; where one is broken, what came before it is good."""
    values: list[JSON] = []
    decoder = json.JSONDecoder()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return values, [f"{name} is no text in UTF-8: byte {error.start} is not"]
    at = _skip_space(text, 0)
    while at < len(text):
        try:
            parsed, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            what = "is a web page (HTML), not JSON" if text[at] == "<" else f"is broken or cut off: {error.msg}"
            return values, [f"{name} {what} at line {error.lineno}, column {error.colno}"]
        except RecursionError:
            return values, [f"{name} is nested too deeply to be read"]
        except ValueError as error:
            return values, [f"{name} cannot be read: {error}"]
        values.append(parsed)
        at = _skip_space(text, at)
    return values, [] if values else [f"{name} is empty"]


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _recognised(values: list[JSON], name: str, flaws: list[str]) -> Iterator[tuple[Fetcher, Answer]]:
    """Find out of which platform each value is; a list that is no answer itself is a list of answers."""
    fetchers = [FETCHERS.get(each) for each in FETCHERS.names()]
    number = 0
    pending = list(reversed(values))
    while pending:
        body = pending.pop()
        for fetcher in fetchers:
            label = fetcher.recognise(body)
            if label is not None:
                number += 1
                yield fetcher, Answer(label=label, body=body, source=f"answer {number} of {name}")
                break
        else:
            if isinstance(body, list) and body:
                pending.extend(reversed(body))
            else:
                flaws.append(f"{name} holds something that is no answer of a platform known here: {_glimpse(body)}")


def _glimpse(body: JSON) -> str:
    """Say what it is without quoting it: it may be anything."""
    if isinstance(body, dict):
        return f"an object with the members {', '.join(sorted(body)[:8]) or '(none)'}"
    return "an empty list" if body == [] else f"a {type(body).__name__}"


def _first_error(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{first['msg']}{f' at {where}' if where else ''}"
