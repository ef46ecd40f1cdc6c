"""Whether a body was signed with a secret that we share with the platform."""

from __future__ import annotations

import hmac
from http import HTTPStatus
from typing import TYPE_CHECKING

from otel_agent_events.errors import UsageError, WebhookError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SHA1 = "sha1"
SHA256 = "sha256"


class Secrets:
    """The secrets with any of which a body may be signed: several while one is replaced by the next.

    Args:
        told: one secret, or several. White space around one is no part of it.
        name: what the platform calls one, for messages.
        place: where the platform shows it, for messages.

    Raises:
        UsageError: there is none, or an empty one, with which everybody could sign.
    """

    def __init__(self, told: str | Sequence[str], *, name: str, place: str) -> None:
        given: Sequence[object] = told if isinstance(told, (list, tuple)) else [told]
        # A variable that is not set gives None.
        secrets = [secret.strip() for secret in given if isinstance(secret, str)]
        if len(secrets) < len(given):
            raise UsageError(f"the {name} is no text; give it as {place} shows it")
        if not all(secrets) or not secrets:
            raise UsageError(f"the {name} is empty, so that nothing can be verified; {place} shows it")
        # What cannot be written in UTF-8 would be quoted by the error that says so.
        if any(0xD800 <= ord(each) <= 0xDFFF for secret in secrets for each in secret):  # noqa: PLR2004 - surrogates
            raise UsageError(f"the {name} is no text in UTF-8; give it as {place} shows it")
        self._secrets = tuple(secret.encode() for secret in secrets)
        self._name = name
        self._place = place

    def verify(self, body: bytes, signature: str, algorithm: str, spell: Callable[[bytes], str]) -> None:
        """Compare a signature with that of the body, in a time that does not tell how much of it is right.

        A signature in any other spelling (upper case, no padding) is none: a platform has one spelling.

        Args:
            body: as it came: parsed and written anew it is another one.
            signature: of the header.
            algorithm: of the HMAC: `SHA256`, `SHA1`.
            spell: gives a digest as the platform writes it.

        Raises:
            WebhookError: it was made with none of the secrets, or of another body; 401.
        """
        given = signature.encode("utf-8", "surrogatepass")
        fits = False
        for secret in self._secrets:
            # All are tried, so that the time does not tell which one fits either.
            fits |= hmac.compare_digest(given, spell(hmac.digest(secret, body, algorithm)).encode())
        if not fits:
            count = len(self._secrets)
            set_ = f"the {self._name} that is set" if count == 1 else f"any {self._name} of the {count} that are set"
            raise WebhookError(
                f"the signature was not made of this body with {set_}: check that it is the one that {self._place} "
                "shows, and that the body is handed over as it came, not parsed and written anew",
                status=HTTPStatus.UNAUTHORIZED,
            )


def header(headers: Mapping[str, str], name: str) -> str | None:
    """Give a header, whatever the case of its name; None when it is missing or empty.

    Raises:
        WebhookError: it is there twice and says two things, so that nobody can tell which one counts; 400.
    """
    wanted = name.casefold()
    told = {value for each, value in headers.items() if each.casefold() == wanted and value}
    if len(told) > 1:
        raise WebhookError(
            f"the request has several {name} headers that differ; a platform sends one", status=HTTPStatus.BAD_REQUEST
        )
    return next(iter(told), None)


def missing(name: str, platform: str) -> WebhookError:
    """Give the error for a request without a signature; 401."""
    return WebhookError(
        f"the request has no {name} header: it does not come from {platform}, or a proxy has dropped the header",
        status=HTTPStatus.UNAUTHORIZED,
    )
