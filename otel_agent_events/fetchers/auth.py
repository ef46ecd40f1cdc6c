"""Credentials, as `httpx.Auth`: an API key in a header, or a token by OAuth2 client credentials."""

from __future__ import annotations

import base64
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

import httpx

from otel_agent_events.errors import FetchError, UsageError
from otel_agent_events.messages import hidden

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

_MASK = "[masked]"
_LEAST_SECRET = 8
"""Characters of a credential for which the data of a platform is searched."""

_MOST_TOKEN = 64 * 1024
"""Bytes of an answer of the token endpoint that are read, before decompression."""


class TokenError(FetchError):
    """The token endpoint did not give a token.

    Attributes:
        retry_after: its header of that name, if it asks to wait.
    """

    def __init__(
        self, message: str, *, request: str, status: int | None = None, retry_after: str | None = None
    ) -> None:
        super().__init__(message, request=request, status=status)
        self.retry_after = retry_after


class Credentials(httpx.Auth):
    """What lets us in, and the words that must never be seen in a message."""

    secrets: tuple[str, ...] = ()

    def mask(self, text: str) -> str:
        """Take our own credentials out of a text, such as an error that quotes them."""
        return hidden(text, self._spellings(), mask=_MASK, ignore_case=True)

    def mask_data(self, text: str) -> str:
        """Take our own credentials out of what a platform tells; what is as short as a word there is taken for one."""
        return hidden(text, self._spellings(_LEAST_SECRET), mask=_MASK, ignore_case=True)

    def may_be_in(self, body: bytes) -> bool:
        """Say whether the body of an answer may quote them: it does, or it is written so that a look does not tell."""
        lower = body.lower()
        if b"\\u00" in lower or b"\0" in lower[:4]:  # escapes of plain characters, or UTF-16
            return True
        return any(spelling.lower().encode() in lower for spelling in self._spellings(_LEAST_SECRET))

    def _spellings(self, least: int = 0) -> set[str]:
        return {spelling for secret in self.secrets if len(secret) >= least for spelling in _spellings(secret)}


class ApiKey(Credentials):
    """A key, or a token, in a header.

    Args:
        header: the name of the header.
        key: the key; white space around it is dropped.
        variable: where it came from, for messages.
        scheme: what stands before the key in the header, such as `Bearer `.

    Raises:
        UsageError: the key has a character that no HTTP header can carry.
    """

    def __init__(self, header: str, key: str, *, variable: str, scheme: str = "") -> None:
        self._header = header
        self._scheme = scheme
        self._key = sendable(key, variable)
        self.secrets = (self._key,)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the header."""
        request.headers[self._header] = f"{self._scheme}{self._key}"
        yield request


class Basic(Credentials):
    """A user and a password in the `Authorization` header (RFC 7617).

    Args:
        user, password: white space around them is dropped.
        variables: where they came from, for messages.

    Raises:
        UsageError: one of them is empty, or has a character that is not in ASCII, or the user has a colon.
    """

    def __init__(self, user: str, password: str, *, variables: str) -> None:
        user, password = (sendable(each, f"one of {variables}") for each in (user, password))
        if ":" in user:
            raise UsageError(f"the first of {variables} holds a colon, which no user name may; copy it again")
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._header = f"Basic {pair}"
        self.secrets = (pair, password)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the header."""
        request.headers["Authorization"] = self._header
        yield request


class ClientCredentials(Credentials):
    """A bearer token by the OAuth2 client credentials grant (RFC 6749 section 4.4), renewed once when refused.

    The token is asked for in the standard's form encoding, and as JSON where form is refused: the platforms'
    documents contradict each other.

    Args:
        token_url: the token endpoint.
        client_id, client_secret: of the client.
        variables: where they came from, for messages.

    Raises:
        UsageError: one of them cannot be sent.
    """

    def __init__(self, token_url: str, client_id: str, client_secret: str, *, variables: str) -> None:
        self._variables = variables
        self._token_url = self._checked(token_url)
        self._where = f"POST {self._token_url.copy_with(query=None)}"
        self._grant = {
            "grant_type": "client_credentials",
            "client_id": sendable(client_id, f"one of {variables}"),
            "client_secret": sendable(client_secret, f"one of {variables}"),
        }
        self._token = ""
        self.secrets = (self._grant["client_secret"],)

    def _checked(self, token_url: str) -> httpx.URL:
        try:
            url = httpx.URL(token_url.strip())
            usable = url.scheme in {"http", "https"} and bool(url.host) and not url.userinfo
        except httpx.InvalidURL:
            usable = False
        if not usable:
            raise UsageError(f"the token URL does not look like https://host/oauth2/token; check {self._variables}")
        return url

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Read only what asks for a token here; the other answers stay streams, so limits hold."""
        flow = self.auth_flow(request)
        outgoing = next(flow)
        while True:
            response = yield outgoing
            if outgoing is not request or response.status_code == HTTPStatus.UNAUTHORIZED:
                # httpx reads the whole of an answer after which there is another request.
                response.stream = _Beginning(cast("httpx.SyncByteStream", response.stream))
            if outgoing is not request:
                self._read(response)
            try:
                outgoing = flow.send(response)
            except StopIteration:
                return

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send the request with a token; when that is refused, once more with a new one."""
        fresh = not self._token
        if fresh:
            yield from self._renew(request)
        request.headers["Authorization"] = f"Bearer {self._token}"
        response = yield request
        if response.status_code == HTTPStatus.UNAUTHORIZED and not fresh:
            yield from self._renew(request)
            request.headers["Authorization"] = f"Bearer {self._token}"
            yield request

    def _renew(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        # A request that is made by hand would wait for ever, and nobody could end its connection.
        extensions = dict(request.extensions)
        response = yield httpx.Request("POST", self._token_url, data=self._grant, extensions=extensions)
        if response.status_code in {400, 406, 415, 422}:
            response = yield httpx.Request("POST", self._token_url, json=self._grant, extensions=extensions)
        if not response.is_success:
            reason = httpx.codes.get_reason_phrase(response.status_code)
            raise TokenError(
                f"{self._where} answered {response.status_code} {reason}: no token; check {self._variables}",
                request=self._where,
                status=response.status_code,
                retry_after=response.headers.get("retry-after"),
            )
        try:
            token = response.json()["access_token"]
        except (ValueError, KeyError, TypeError, RecursionError):
            token = None
        if not isinstance(token, str) or not _can_be_sent(token.strip()):
            raise self._no_token()
        self._token = token.strip()
        self.secrets = (*self.secrets, self._token)

    def _read(self, response: httpx.Response) -> None:
        try:
            response.read()
        except httpx.DecodingError:
            raise self._no_token() from None

    def _no_token(self) -> TokenError:
        return TokenError(
            f"{self._where} answered without an access_token; is this the token endpoint? check {self._variables}",
            request=self._where,
        )


class _Beginning(httpx.SyncByteStream):
    """The beginning of a body, as long as an answer with a token may be; what comes after it is not read."""

    def __init__(self, body: httpx.SyncByteStream) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        left = _MOST_TOKEN
        for chunk in self._body:
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                return

    def close(self) -> None:
        self._body.close()


def sendable(secret: str, origin: str) -> str:
    """Check that a secret can be sent, without ever quoting it.

    Raises:
        UsageError: it is empty, or has a character that no HTTP header can carry.
    """
    secret = secret.strip()
    if not _can_be_sent(secret):
        raise UsageError(f"{origin} is empty or holds a character that no HTTP header can carry; copy it again")
    return secret


def _can_be_sent(secret: str) -> bool:
    return bool(secret) and secret.isascii() and secret.isprintable()


def _spellings(secret: str) -> set[str]:
    """Give the ways in which JSON and URLs write a secret."""
    escaped = json.dumps(secret)[1:-1]
    return {secret, quote(secret, safe=""), escaped, escaped.replace("/", "\\/")}
