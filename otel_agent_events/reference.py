"""`FETCHER:PATH`, the one way to name a session, everywhere the same.

The parts of the path are URL-encoded, so that `vectara:support/refund%20case%2F88` names the session
`refund case/88` of the agent `support`.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, unquote

from otel_agent_events.errors import UsageError


class Reference(NamedTuple):
    """A session by the name of its platform and all parts of its path, decoded.

    A part that is not known (a saved answer that does not name its agent) is the empty string.
    """

    platform: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.platform}:{'/'.join(quote(part, safe='', errors='surrogatepass') for part in self.path)}"

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read `FETCHER:PATH`.

        Raises:
            UsageError: there is no colon, or nothing on one side of it.
        """
        platform, colon, path = text.partition(":")
        if not (platform and colon and path):
            raise UsageError(f"{text!r} is no session: write FETCHER:PATH, such as vectara:AGENT/SESSION")
        return cls(platform, tuple(unquote(part) for part in path.split("/")))
