"""Credentials, as `httpx.Auth`: an API key in a header, or a token by OAuth2 client credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from otel_agent_events.errors import FetchError, UsageError

if TYPE_CHECKING:
    from collections.abc import Generator

UNAUTHORIZED = 401
_MASK = "[masked]"


class TokenError(FetchError):
    """The token endpoint did not give a token."""


class Credentials(httpx.Auth):
    """What lets us in, and the words that must never be seen in a message."""

    secrets: tuple[str, ...] = ()

    def mask(self, text: str) -> str:
        """Take our own credentials out of a text, such as an error that quotes them."""
        for secret in self.secrets:
            text = text.replace(secret, _MASK)
        return text


class ApiKey(Credentials):
    """A key in a header of its own.

    Args:
        header: the name of the header.
        key: the key; white space around it is dropped.
        variable: where it came from, for messages.

    Raises:
        UsageError: the key has a character that no HTTP header can carry.
    """

    def __init__(self, header: str, key: str, *, variable: str) -> None:
        self._header = header
        self._key = sendable(key, variable)
        self.secrets = (self._key,)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the header."""
        request.headers[self._header] = self._key
        yield request


class ClientCredentials(Credentials):
    """A bearer token by the OAuth2 client credentials grant (RFC 6749 section 4.4), renewed once when refused.

    The token is asked for in the standard's form encoding, and as JSON where form is refused: the platforms'
    documents contradict each other.

    Args:
        token_url: the token endpoint.
        client_id, client_secret: of the client.
        variables: where they came from, for messages.
    """

    def __init__(self, token_url: str, client_id: str, client_secret: str, *, variables: str) -> None:
        self._token_url = token_url
        self._grant = {
            "grant_type": "client_credentials",
            "client_id": client_id.strip(),
            "client_secret": client_secret.strip(),
        }
        self._variables = variables
        self._token = ""
        self.secrets = (client_secret.strip(),)

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Read only the answers of the token endpoint here; those of the platform stay streams, so limits hold."""
        flow = self.auth_flow(request)
        outgoing = next(flow)
        while True:
            response = yield outgoing
            if outgoing is not request:
                response.read()
            try:
                outgoing = flow.send(response)
            except StopIteration:
                return

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send the request with a token; when that is refused, once more with a new one."""
        fresh = not self._token
        if fresh:
            yield from self._renew()
        request.headers["Authorization"] = f"Bearer {self._token}"
        response = yield request
        if response.status_code == UNAUTHORIZED and not fresh:
            yield from self._renew()
            request.headers["Authorization"] = f"Bearer {self._token}"
            yield request

    def _renew(self) -> Generator[httpx.Request, httpx.Response, None]:
        response = yield httpx.Request("POST", self._token_url, data=self._grant)
        if response.status_code in {400, 406, 415, 422}:
            response = yield httpx.Request("POST", self._token_url, json=self._grant)
        where = f"POST {self._token_url}"
        if not response.is_success:
            raise TokenError(
                f"{where} answered {response.status_code} {response.reason_phrase}: no token; check {self._variables}",
                request=where,
                status=response.status_code,
            )
        try:
            token = response.json()["access_token"]
        except (ValueError, KeyError, TypeError, RecursionError):
            token = None
        if not isinstance(token, str) or not token:
            raise TokenError(
                f"{where} answered without an access_token; is this the token endpoint? check {self._variables}",
                request=where,
            )
        self._token = sendable(token, "the access token")
        self.secrets = (self._grant["client_secret"], self._token)


def sendable(secret: str, origin: str) -> str:
    """Check that a secret can be sent in a header, without ever quoting it.

    Raises:
        UsageError: it is empty, or has a character that no HTTP header can carry.
    """
    secret = secret.strip()
    if not secret or not secret.isascii() or not secret.isprintable():
        raise UsageError(f"{origin} is empty or holds a character that no HTTP header can carry; copy it again")
    return secret
