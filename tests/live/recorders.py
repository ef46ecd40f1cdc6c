"""Recorders that keep what they are told, and one that fails at everything."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from opentelemetry import trace

if TYPE_CHECKING:
    from otel_agent_events.live.turns import TurnRecorder


LONG = 20.0
"""Seconds after which a wait has failed."""


@dataclass
class KeptTurn:
    """What one turn was told."""

    session: str
    recording: bool = True
    span: trace.Span = trace.INVALID_SPAN
    started: bool = False
    told: list[tuple[Any, int | None]] = field(default_factory=list)
    ends: list[tuple[BaseException | None, bool, str | None]] = field(default_factory=list)
    heard: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def records(self) -> list[Any]:
        return [json.loads(record) if isinstance(record, (bytes, str)) else record for record, _ in self.told]

    @property
    def types(self) -> list[str]:
        return [record["type"] for record in self.records]

    @property
    def complete(self) -> bool:
        """Whether the turn ended once, well and whole."""
        return self.ended == (None, True, None)

    @property
    def ended(self) -> tuple[BaseException | None, bool, str | None]:
        """How it ended: the error, whether it is complete, the type of its error."""
        assert self.over.wait(LONG)
        assert len(self.ends) == 1
        return self.ends[0]

    def start(self) -> None:
        self.started = True

    def record(self, record: object, *, at: int | None = None) -> None:
        self.told.append((record, at))
        self.heard.set()

    def end(self, error: BaseException | None = None, *, complete: bool = True, error_type: str | None = None) -> None:
        self.ends.append((error, complete, error_type))
        self.over.set()


class Kept:
    """A recorder that keeps what it is told."""

    def __init__(self, *, recording: bool = True) -> None:
        self.turns: list[KeptTurn] = []
        self.lost: list[tuple[int, str]] = []
        self._recording = recording

    @property
    def it(self) -> TurnRecorder:
        """This, as what takes a recorder sees it."""
        return cast("TurnRecorder", self)

    @property
    def turn_(self) -> KeptTurn:
        """The only turn."""
        assert len(self.turns) == 1
        return self.turns[0]

    def turn(self, session: object, **_: object) -> KeptTurn:
        self.turns.append(KeptTurn(str(session), recording=self._recording))
        return self.turns[-1]

    def lose(self, count: int, why: str) -> None:
        self.lost.append((count, why))


class BrokenError(Exception):
    """What a broken recorder raises."""


class _BrokenTurn:
    recording = True

    def __getattr__(self, name: str) -> Any:
        raise BrokenError(name)


class Broken:
    """A recorder that fails: at once, or when its turns are told something."""

    def __init__(self, *, at_once: bool) -> None:
        self._at_once = at_once

    @property
    def it(self) -> TurnRecorder:
        return cast("TurnRecorder", self)

    def turn(self, *_: object, **__: object) -> Any:
        if self._at_once:
            raise BrokenError("turn")
        return _LateTurn()

    def lose(self, *_: object) -> None:
        raise BrokenError("lose")


class _LateTurn(_BrokenTurn):
    def start(self) -> None:
        """Start well, and fail later."""
