"""The one HTTP client of all fetchers: time-outs, retries, limits, and errors that say what to do.

It carries out what a fetcher asks, one request after the other, and hands each answer to the fetcher (which decides
what to ask next) and to the caller (who has it read).
"""

from __future__ import annotations

import itertools
import json
import math
import random
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote, urlencode, urlsplit

import httpx
from pydantic_core import from_json

from otel_agent_events.errors import FetchError, UsageError
from otel_agent_events.fetchers import Answer, Quick
from otel_agent_events.fetchers.auth import TokenError
from otel_agent_events.messages import MOST_READ, one_line, user_agent
from otel_agent_events.originals import changed_parts, with_originals, with_texts
from otel_agent_events.retry import Backoff, retry_after
from otel_agent_events.scrub import Scrubber

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from otel_agent_events.events import JSON
    from otel_agent_events.fetchers import Connection, Fetcher, Finder, Found, Request, Usual
    from otel_agent_events.fetchers.connections import Connections
    from otel_agent_events.reference import Reference

RETRIED = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
"""Statuses below 500 after which the same request may succeed."""

TIMEOUT = 30.0
"""Seconds to wait for an answer to begin, or to go on."""

MOST_TIMEOUTS = 20
"""How many time-outs a whole answer may take that goes on and on."""

_SCRUBBER = Scrubber()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one session may cost.

    Attributes:
        requests: the most requests for one session.
        answer: the most bytes of one answer, after decompression.
        rate: the most requests a second, of all sessions; None for no limit.
    """

    rate: float | None = None
    requests: int = 100_000
    answer: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How retries wait; a test brings its own clock.

    Attributes:
        now: the seconds since 1970, against which a date in `Retry-After` is told.
        clock: seconds that pass evenly, by which it is time to give up.
    """

    backoff: Backoff = field(default_factory=Backoff)
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic
    draw: Callable[[], float] = random.random


_TakeUsual: TypeAlias = "Callable[[bytes, str], Usual | None]"


def _nothing_usual(_: bytes, __: str) -> None:
    """Most fetchers read everything from parsed JSON."""


class Client:
    """Carry out the requests of one platform's fetcher.

    Args:
        http: does the transport; it is not closed here.
        connection: host and credentials.
        timeout: seconds to wait for an answer to begin or go on.
        connections: is told of those that are opened, so that they can be ended from elsewhere.
    """

    def __init__(
        self,
        http: httpx.Client,
        connection: Connection,
        *,
        timeout: float = TIMEOUT,
        limits: Limits | None = None,
        waiting: Waiting | None = None,
        connections: Connections | None = None,
    ) -> None:
        self._http = http
        self._connection = connection
        self._timeout = timeout
        self._limits = limits or Limits()
        self._waiting = waiting or Waiting()
        self._extensions = None if connections is None else {"trace": connections.note}
        self._next_at = -math.inf  # by the clock of waiting, when the rate allows the next request
        self._shared: dict[str, tuple[JSON, FetchError | None]] = {}

    def fetch(self, fetcher: Fetcher, reference: Reference) -> Iterator[Answer]:
        """Ask for one session; give its answers as they come.

        Raises:
            FetchError: the platform did not answer as hoped. The answers given before it are good.
        """
        asking = fetcher.ask(reference)
        usual = fetcher.usual if isinstance(fetcher, Quick) else _nothing_usual
        request = next(asking, None)
        for asked in itertools.count():
            if request is None:
                return
            answer = self._answer(request, reference, asked, usual)
            if answer.failure is None:
                yield answer
            # Of a failure the fetcher says first whether it is one of the session; then it is raised here.
            try:
                request = asking.send(answer)
            except StopIteration:
                request = None
            if answer.failure is not None:
                yield answer

    def mask(self, text: str) -> str:
        """Take our own credentials out of a text."""
        return self._connection.credentials.mask(text)

    def find(self, finder: Finder, reference: Reference) -> Found:
        """Ask where a session is of which only the id is known.

        Raises:
            FetchError: the platform did not answer as hoped.
        """
        finding = finder.find(reference)
        try:
            request = next(finding)
            for asked in itertools.count():
                request = finding.send(self._answer(request, reference, asked))
        except StopIteration as end:
            found: Found = end.value
        return found

    def _answer(self, request: Request, reference: Reference, asked: int, usual: _TakeUsual = _nothing_usual) -> Answer:
        """Give the answer to a request, of which so many were made before it on behalf of a session."""
        words = self._words(request)
        if asked >= self._limits.requests:
            raise FetchError(
                f"{reference}: {words} would be one request too many; "
                f"a session may take {self._limits.requests} of them",
                request=words,
            )
        got = self._shared.get(words) or self._get(request, usual)
        if request.shared and not _may_pass(got[1]):
            self._shared[words] = got
        body, trouble = got
        if trouble is None:
            return Answer(label=request.label, body=body, source=words, request=request)
        # What is shared may have been asked for on behalf of another session.
        failure = FetchError(f"{reference}: {trouble}", request=trouble.request, status=trouble.status or None)
        if not request.may_fail:
            raise failure
        return Answer(label=request.label, body=None, source=words, failure=failure, request=request)

    def _get(self, request: Request, usual: _TakeUsual) -> tuple[JSON, FetchError | None]:
        """Give what was answered, or why there is nothing; the message does not name the session yet."""
        try:
            body = self._persist(request)
            try:
                quoted = self._connection.credentials.may_be_in(body)
                told = None if quoted else usual(body, request.label)
                if told is not None:
                    return told, None
                answer = parse_json(body)
                return self._without_ours(answer) if quoted else answer, None
            except ValueError as error:
                raise self._error(request, f"answered 200 with {error}") from None
        except FetchError as error:
            return None, error

    def _without_ours(self, answer: JSON) -> JSON:
        """Give an answer that quotes our own credentials without them; its records keep their keys."""
        masked = with_texts(answer, self._connection.credentials.mask_data)
        return with_originals(masked, changed_parts(answer, masked))

    def _persist(self, request: Request) -> bytes:
        """Ask until there is an answer to keep, or no more sense in asking."""
        waiting = self._waiting
        began, attempt = waiting.clock(), 0
        while True:
            asked = None
            began += self._take_turn()  # that is no time in which it was tried
            try:
                status, headers, body = self._once(request)
                if status == HTTPStatus.OK:
                    return body
                failure = self._refusal(request, status, headers, body)
                asked = retry_after(headers.get("retry-after"), now=waiting.now())
            except httpx.TransportError as error:
                failure = self._broken(request, error)
            except TokenError as error:
                message = self._connection.credentials.mask(str(error))
                failure = FetchError(message, request=error.request, status=error.status)
                asked = retry_after(error.retry_after, now=waiting.now())
            if not _worth_a_retry(failure.status):
                raise failure from None
            waited = waiting.clock() - began
            wait = waiting.backoff.wait(attempt, asked=asked, waited=waited, draw=waiting.draw())
            if wait is None:
                raise self._given_up(failure, attempt + 1, asked) from None
            waiting.sleep(wait)
            attempt += 1

    def _take_turn(self) -> float:
        """Wait until the rate allows one more request; give the seconds that it took."""
        if self._limits.rate is None:
            return 0.0
        now = self._waiting.clock()
        wait = max(self._next_at - now, 0.0)
        if wait:
            self._waiting.sleep(wait)
        self._next_at = max(now, self._next_at) + 1 / self._limits.rate
        return wait

    def _once(self, request: Request) -> tuple[int, httpx.Headers, bytes]:
        latest = self._waiting.clock() + MOST_TIMEOUTS * self._timeout
        try:
            with self._http.stream(
                "GET",
                self._url(request),
                headers={"Accept": "application/json", "User-Agent": user_agent()},
                auth=self._connection.credentials,
                timeout=self._timeout,
                follow_redirects=False,
                extensions=self._extensions,
            ) as response:
                body = bytearray()
                for chunk in response.iter_bytes():
                    body += chunk
                    if self._waiting.clock() > latest:
                        raise self._error(request, f"was not answered to the end within {MOST_TIMEOUTS} time-outs")
                    if len(body) > self._limits.answer:
                        limit = f"more than {self._limits.answer} bytes; an answer may not be larger"
                        raise self._error(request, f"answered with {limit}")
                return response.status_code, response.headers, bytes(body)
        except httpx.DecodingError as error:
            raise self._error(request, f"answered with a body that cannot be decompressed: {error}") from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, UnicodeError) as error:
            raise self._error(request, f"cannot be sent: {error}") from None

    # --- what is said ---------------------------------------------------------------------------------

    def _refusal(self, request: Request, status: int, headers: httpx.Headers, body: bytes) -> FetchError:
        said = f"answered {status} {httpx.codes.get_reason_phrase(status)}".rstrip()
        if status == HTTPStatus.NO_CONTENT:
            said += ": there is no content where a JSON answer was expected"
        elif HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            said += f" to {_place(headers.get('location'))}, which is not followed; is the base URL right?"
        else:
            words = words_of(body)
            said += f": {words}" if words else ""
        return self._error(request, said, status=status)

    def _broken(self, request: Request, error: httpx.TransportError) -> FetchError:
        url = error.request.url
        host = f"{url.scheme}://{url.netloc.decode()}"
        if isinstance(error, httpx.TimeoutException):
            said = f"was not answered by {host} within {self._timeout:g} s; --timeout sets how long to wait"
        else:
            said = f"could not be answered: {str(error) or type(error).__name__}; is {host} right?"
        return self._error(request, said, status=0)

    def _error(self, request: Request, said: str, *, status: int | None = None) -> FetchError:
        words = self._words(request)
        advice = self._connection.advice.get(status or 0)
        message = f"{words} {self._plain(said)}"
        if advice:
            message = f"{message.rstrip('.')}. {advice}"
        return FetchError(message, request=words, status=status)

    def _plain(self, said: str) -> str:
        """Make one printable line of it, of bounded length and without secrets."""
        return one_line(_SCRUBBER.text(self._connection.credentials.mask(said)[:MOST_READ]))

    def _given_up(self, failure: FetchError, tries: int, asked: float | None) -> FetchError:
        said = f" (tried {tries} times)" if tries > 1 else ""
        if asked is not None:
            said += f"; the platform asks to wait {asked:g} s"
        return FetchError(f"{failure}{said}", request=failure.request, status=failure.status)

    def _words(self, request: Request) -> str:
        return f"GET {_path(request)}"

    def _url(self, request: Request) -> str:
        return self._connection.base_url + _path(request)


def parse_json(body: bytes) -> JSON:
    """Parse the body of an answer.

    Raises:
        ValueError: it is none; the message completes the sentence "answered with ...".
    """
    try:
        return from_json(body, cache_strings="keys")
    except ValueError:
        # It refuses more than Python does (half a character, 200 levels, UTF-16), and says less.
        return _parse_carefully(body)


def _parse_carefully(body: bytes) -> JSON:
    if not body.strip():
        raise ValueError("an empty body")
    try:
        try:
            return json.loads(body)
        except json.JSONDecodeError:
            raise
        except ValueError:  # an integer of more than 4300 digits: it stays text, and the answer is not lost
            return json.loads(body, parse_int=integer)
    except UnicodeDecodeError as error:
        raise ValueError(f"a body that is no text in UTF-8 ({error.reason})") from None
    except RecursionError:
        raise ValueError("JSON that is nested too deeply to be read") from None
    except json.JSONDecodeError as error:
        if body.lstrip()[:1] == b"<":
            raise ValueError("a web page (HTML) where JSON was expected; is the base URL right?") from None
        raise ValueError(f"JSON that is broken or cut off at character {error.pos} ({error.msg})") from None


def integer(digits: str) -> int | str:
    """Read an integer, or leave its digits as text where Python refuses to."""
    try:
        return int(digits)
    except ValueError:
        return digits


def words_of(body: bytes) -> str:
    """Find the sentence in the body of an error: platforms keep it under different names."""
    text = body.decode("utf-8", "replace").strip()
    try:
        words = list(_sentences(json.loads(text)))
    except (ValueError, RecursionError):
        return "a web page (HTML)" if text.startswith("<") else text
    return "; ".join(words) or text


def _sentences(told: object) -> Generator[str, None, None]:
    """Walk the members under which Vectara, Lyzr, Agora, Hubster and OAuth2 put their words."""
    if isinstance(told, str):
        yield told
    elif isinstance(told, list):
        for each in told:
            yield from _sentences(each)
    elif isinstance(told, dict):
        for name in ("messages", "message", "detail", "msg", "errors", "description", "error_description", "error"):
            yield from _sentences(told.get(name))


def checked_base_url(url: str, origin: str) -> str:
    """Check a base URL and drop its trailing slash.

    Raises:
        UsageError: it is no http or https URL, or has a user or a query. It is not quoted: there may be a password in
            it.
    """
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc
        usable = usable and not parts.query and not parts.fragment
        _ = parts.port
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(f"{origin} is no base URL; it looks like https://host or https://host/path")
    return parts.geturl().rstrip("/")


def _place(location: str | None) -> str:
    """Give the target of a redirect without user and query, in which a log-in page gets its secrets."""
    try:
        parts = urlsplit(location or "nowhere")
    except ValueError:
        return "what is no address"
    host = parts.netloc.rpartition("@")[2]
    return repr(parts._replace(netloc=host, query="", fragment="").geturl())


def _may_pass(trouble: FetchError | None) -> bool:
    """Say whether another session may fare better: a refusal is one for all of them."""
    return trouble is not None and _worth_a_retry(trouble.status)


def _worth_a_retry(status: int | None) -> bool:
    """A broken connection has status 0 here; None is what no retry can mend."""
    return status is not None and (status == 0 or status in RETRIED or status >= HTTPStatus.INTERNAL_SERVER_ERROR)


def encoded_path(segments: tuple[str, ...]) -> str:
    """Write the segments of a path as they stand in a URL, with a leading slash."""
    return "".join("/" + _segment(segment) for segment in segments)


def _path(request: Request) -> str:
    path = encoded_path(request.path)
    return f"{path}?{urlencode(request.query, errors='surrogatepass')}" if request.query else path


def _segment(segment: str) -> str:
    """Encode one segment; `.` and `..` would be taken as steps through the path."""
    if segment in {".", ".."}:
        return segment.replace(".", "%2E")
    return quote(segment, safe="", errors="surrogatepass")
