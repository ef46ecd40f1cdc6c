"""The certificates of an endpoint, checked before anything is sent."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from otel_agent_events.errors import UsageError

if TYPE_CHECKING:
    from otel_agent_events.otlp import Endpoint


def load(endpoint: Endpoint, context: ssl.SSLContext) -> None:
    """Load the certificates and the key of an endpoint into a context.

    Raises:
        UsageError: one of them cannot be read, or is none.
    """
    if endpoint.certificate is not None:
        try:
            context.load_verify_locations(cafile=endpoint.certificate)
        except OSError as error:  # which an SSLError is, too
            raise _unreadable("certificate", endpoint.certificate, error) from error
    if endpoint.client_certificate is not None:
        try:
            # With an empty password, an encrypted key is an error and no question in the terminal.
            context.load_cert_chain(endpoint.client_certificate, endpoint.client_key, password="")
        except OSError as error:
            raise _unreadable("client certificate", endpoint.client_certificate, error) from error


def read(endpoint: Endpoint) -> tuple[bytes | None, bytes | None, bytes | None]:
    """Read the certificate to trust, the client's key and the client's certificate, as PEM.

    Raises:
        UsageError: one of them cannot be read, or is none.
    """
    # gRPC itself tells of a bad file only in its own log, and then fails to connect.
    load(endpoint, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    key = endpoint.client_key or endpoint.client_certificate
    return _bytes(endpoint.certificate), _bytes(key), _bytes(endpoint.client_certificate)


def _bytes(path: str | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()


def _unreadable(noun: str, path: str, error: OSError) -> UsageError:
    return UsageError(f"the {noun} {path!r} cannot be used: {error.strerror or error}")
