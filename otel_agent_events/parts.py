"""A session in several parts (mapping.md section 8): each part is a trace with a root of its own."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

from otel_agent_events.assemble import EventNode, Extent, Node, SessionNode, ToolNode, TurnNode
from otel_agent_events.events import AgentMessage, UserMessage

if TYPE_CHECKING:
    from otel_agent_events.assemble import Failure
    from otel_agent_events.events import Session


class Part:
    """What is in one part, counted as its nodes close; the numbers of events and turns go on from part to part.

    Args:
        turns_before: how many turns began in the parts before it.

    Attributes:
        size: bytes of its spans.
        nodes: how many are in it.
    """

    def __init__(self, turns_before: int = 0) -> None:
        self.size = 0
        self.nodes = 0
        self._turns_before = self.turns = turns_before
        self._extent = Extent()
        self._first: UserMessage | None = None
        self._last: AgentMessage | None = None
        self._events = self._calls = self._errors = self._missing = 0
        self._open: set[int] = set()

    def take(self, node: Node, size: int) -> None:
        """Take a node that has closed, and the bytes of its span."""
        self.size += size
        self.nodes += 1
        match node:
            case EventNode():
                self._events += 1
                self._message(node.event)
                self._begun(node.turn)
            case ToolNode():
                self._events += (node.call is not None) + (node.result is not None)
                self._calls += node.call is not None
                self._errors += node.result is not None and node.result.failed is True
                self._missing += node.outcome == "missing_output"
                self._begun(node.turn)
            case TurnNode():
                self._open.discard(node.number)
            case SessionNode():
                return
        self._extent.cover(node.start, node.end)

    @property
    def may_end(self) -> bool:
        """Whether every turn that has events in it has closed: with turns as spans, children stay with their parent."""
        return not self._open

    def root(self, session: Session, *, failure: Failure | None = None, complete: bool = False) -> SessionNode:
        """Give the root of this part.

        Args:
            session: what is known of it now.
            failure: of the session's last turn, for the last part.
            complete: whether the session is complete with this part.
        """
        start, end = self._extent.span()
        return SessionNode(
            session=session,
            failure=failure,
            complete=complete,
            start=start,
            end=end,
            first=self._first,
            last=self._last,
            event_count=self._events,
            turn_count=self.turns - self._turns_before,
            tool_call_count=self._calls,
            tool_error_count=self._errors,
            missing_output_count=self._missing,
        )

    def root_with(self, node: Node, session: Session) -> SessionNode:
        """Give the root that this part would have with one more node."""
        fuller = copy(self)
        fuller.take(node, 0)
        return fuller.root(session)

    def __copy__(self) -> Part:
        other = Part(self._turns_before)
        for name, told in vars(self).items():
            setattr(other, name, told)
        other._extent, other._open = Extent(), set(self._open)
        other._extent.add(self._extent)
        return other

    def _message(self, event: object) -> None:
        match event:
            case UserMessage():
                self._first = self._first or event
            case AgentMessage():
                self._last = event
            case _:
                pass

    def _begun(self, turn: int) -> None:
        self.turns = max(self.turns, turn)
        if turn:
            self._open.add(turn)
