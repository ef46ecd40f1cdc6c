"""Which hosts are watched."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from otel_agent_events.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

EVERY = "*"
_PORTS = {"http": 80, "https": 443}


class Hosts:
    """A set of hosts, each with one port or with any.

    Args:
        names: `api.example.org`, `localhost:8080`, `[::1]:8080`, or a URL, of which the host and the port count. `*` is
            every host.

    Raises:
        UsageError: a name is none of these. It is not quoted: there may be a password in a URL.
    """

    def __init__(self, names: Iterable[str]) -> None:
        told = [name.strip() for name in names if name.strip()]
        self._every = EVERY in told
        self._known = {_parse(name) for name in told if name != EVERY}

    def has(self, scheme: str, host: str, port: int | None) -> bool:
        """Say whether a URL with these parts is watched; without a port it has the usual one of its scheme."""
        name = _plain(host)
        return (
            self._every
            or (name, None) in self._known
            or (name, _PORTS.get(scheme) if port is None else port) in self._known
        )


def _parse(name: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(name if "://" in name else f"//{name}")
        host, port = parts.hostname, parts.port
        bare = "://" in name or not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
    except ValueError:
        host, port, bare = None, None, False
    if not host or not bare or " " in host:
        raise UsageError("a host to watch is none; it looks like api.example.org, localhost:8080 or https://host/path")
    return _plain(host), port


def _plain(host: str) -> str:
    """Spell a host in one way: clients show `bücher.example` for what is `xn--bcher-kva.example` on the wire."""
    name = host.lower().rstrip(".")
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        return name
