"""By what a destination is known again: its address, and whatever tells one tenant behind it from another.

A header, a query, a user or a client certificate may decide whose spans they are. So all of them count. Nothing of them
is kept but a fingerprint, and in the open only the value of headers that are no credential.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otel_agent_events.otlp import Endpoint

_SHOWN = frozenset({"organization", "stream-name", "tenant", "tenant-id", "x-scope-orgid", "x-tenant", "x-tenant-id"})
"""Headers that name a tenant, as Tempo, OpenObserve and gateways have it, and prove nothing."""

_SHORT = re.compile(r"[\w.:|/@+-]{1,40}", re.ASCII)
_TOKEN = re.compile(r"bearer +[\w-]+\.([\w-]+)\.[\w-]*", re.ASCII | re.IGNORECASE)
_PASSING = frozenset({"aio", "auth_time", "exp", "iat", "jti", "nbf", "rh", "uti"})
"""Claims that differ from one token to the next of the same client: of time, numbers, and Entra's own."""

_ROUNDS = 100_000  # some hundredths of a second: so a password that is easily guessed is not as easily found
_DIGITS = 12
_SIGN = "#"  # keeps a fingerprint from being taken for the value of a header
_SIGNED = re.compile(rf"{_SIGN}[0-9a-f]{{{_DIGITS}}}\]$")


def known_as(endpoint: Endpoint) -> str:
    """Give the name by which a destination is remembered: without a credential, and another one for another tenant.

    It is the address alone where nothing is sent that could tell tenants apart, and the tenant's name where somebody
    gave one.
    """
    if endpoint.tenant is not None:
        return f"{endpoint.name} [tenant {endpoint.tenant}]"
    # What is no header has a space in its name, so that it is not taken for one.
    shown, hidden = [], []
    for name, text in sorted(endpoint.request_headers().items()):
        if name in _SHOWN and _SHORT.fullmatch(text):
            shown.append(f"{name}: {text}")
        else:
            hidden.append((name, _lasting(text)))
    query = urlsplit(endpoint.url).query if endpoint.protocol == "http/protobuf" else ""
    if query:
        hidden.append(("URL query", query))
    if endpoint.client_certificate is not None:
        hidden.append(("client certificate", _content(endpoint.client_certificate)))
    if hidden:
        shown.append(f"{', '.join(name for name, _ in hidden)}: {_SIGN}{_fingerprint(endpoint.name, hidden)}")
    return f"{endpoint.name} [{'; '.join(shown)}]" if shown else endpoint.name


def with_other_credentials(name: str, known: Callable[[], Iterable[str]]) -> bool:
    """Tell whether a destination that is not known differs from a known one in nothing but credentials.

    Args:
        name: what `known_as` gave.
        known: gives the names that are remembered. It is asked only when there are credentials.
    """
    signed = _SIGNED.search(name)
    if signed is None:
        return False
    begin = name[: signed.start()]
    others = {other for other in known() if _SIGNED.sub("", other) == begin}
    return bool(others) and name not in others


def _lasting(text: str) -> str:
    """Give what stays of a header when its access token is renewed: the claims of a JWT, and else all of it."""
    token = _TOKEN.fullmatch(text)
    if token is None:
        return text
    encoded = token[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return text
    if not isinstance(claims, dict) or not claims.get("sub"):
        return text  # only its number may say whose it is
    return json.dumps({name: told for name, told in claims.items() if name not in _PASSING}, sort_keys=True)


def _content(path: str) -> str:
    try:
        return Path(path).read_bytes().hex()
    except OSError:
        return path  # whoever connects says that it cannot be read


def _fingerprint(address: str, parts: list[tuple[str, str]]) -> str:
    told = json.dumps(parts).encode()
    return hashlib.pbkdf2_hmac("sha256", told, address.encode(), _ROUNDS).hex()[:_DIGITS]
