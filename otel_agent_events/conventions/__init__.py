"""What a node is called and which attributes it gets, in the words of one convention.

A convention is a plug-in: an object with the methods of `Convention`, found under the entry point group
`otel_agent_events.conventions`. What is constant in a session is told apart from what varies with each node, so
that it is worked out, and encoded, once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from otel_agent_events.errors import UsageError
from otel_agent_events.events import value
from otel_agent_events.plugins import Plugins

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_agent_events.assemble import Node, NodeKind
    from otel_agent_events.attributes import Attribute
    from otel_agent_events.events import Session

SpanKind: TypeAlias = Literal["internal", "client"]


@value()
class Labels:
    """What a convention says of one node.

    Attributes:
        name: of the span; never content. The first of several conventions names it.
        attributes: None is left out.
    """

    name: str
    attributes: Mapping[str, Attribute | None]
    kind: SpanKind = "internal"


class Convention(Protocol):
    """The words of one convention. Pure: the same node gives the same labels."""

    @property
    def name(self) -> str:
        """The name under which it is installed; part of the view, so it must not change."""
        ...

    def constants(self, session: Session, kind: NodeKind) -> Mapping[str, Attribute | None]:
        """Give what every span of the session that is of this kind carries.

        Asked once for each kind, with what is known at the session's first event; for the root with what is known last.
        """
        ...

    def label(self, node: Node, session: Session) -> Labels:
        """Name a node and give what varies with it. Its event has been through the content policy."""
        ...


CONVENTIONS: Plugins[Convention] = Plugins("otel_agent_events.conventions", "convention")


def plugins_of(names: Sequence[str]) -> list[Convention]:
    """Give the conventions of these names.

    Raises:
        UsageError: one of them is not installed, or there is none.
    """
    if not names:
        raise UsageError("no convention was named, and the first one names the spans; there is gen_ai")
    return [CONVENTIONS.get(name) for name in names]
