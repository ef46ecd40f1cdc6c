"""OTLP: spans leave for a collector, a file or the console, and it is known what became of each.

This module is the interface. It imports neither the SDK nor httpx nor gRPC, so that a program which only names
an endpoint pays for none of them; `connect` imports what the endpoint needs.
"""

from __future__ import annotations

import base64
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from otel_agent_events.errors import UsageError
from otel_agent_events.events import value
from otel_agent_events.messages import hidden

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from otel_agent_events.errors import DestinationError
    from otel_agent_events.otlp.send import Sender
    from otel_agent_events.retry import Backoff
    from otel_agent_events.spans import Span

WireProtocol: TypeAlias = Literal["http/protobuf", "grpc"]
"""As OTEL_EXPORTER_OTLP_PROTOCOL spells them."""

Compression: TypeAlias = Literal["none", "gzip"]
"""As OTEL_EXPORTER_OTLP_COMPRESSION spells them."""

SCHEMA_URL = "https://opentelemetry.io/schemas/1.41.0"
"""Of the scope: the semantic conventions that the names of the attributes follow."""

_HEADER_NAME = {
    "http/protobuf": re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"),
    "grpc": re.compile(r"[0-9A-Za-z_.-]+"),
}
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_SHORT = 6  # characters; a credential is longer


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where and how to send.

    Attributes:
        url: over HTTP the complete URL with its path, such as `http://localhost:4318/v1/traces`. Over gRPC
            `http://host:port` (plaintext), `https://host:port`, or `host:port`. A user and password in it are sent
            as basic authorization, unless `headers` hold one.
        headers: sent with every request. They may hold credentials.
        timeout: seconds for one request.
        certificate: path of the PEM file with the certificates to trust instead of the usual ones.
        client_key, client_certificate: paths of the PEM files that this side shows; the key may be in the
            certificate's file.
        insecure: over gRPC, whether `host:port` is plaintext.
        tenant: what the tenant behind the address is called, so that it is known again when its credentials change.

    Raises:
        UsageError: something in it can be sent nowhere: an address without a host, a header with a line break.
    """

    url: str
    protocol: WireProtocol = "http/protobuf"
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 10.0
    compression: Compression = "none"
    certificate: str | None = None
    client_key: str | None = None
    client_certificate: str | None = None
    insecure: bool = False
    tenant: str | None = None

    def __post_init__(self) -> None:
        self._check_address()
        # What a library says of a header that it cannot send holds the header, so none gets as far as that.
        for name, text in self.headers.items():
            if not _HEADER_NAME[self.protocol].fullmatch(name):
                # It is not shown: with a colon in place of the `=` it holds a credential.
                raise UsageError(f"a header has a name that {self.protocol} cannot send; write NAME=VALUE")
            if not _HEADER_VALUE.fullmatch(text):
                raise UsageError(f"the value of the header {name!r} has a character that {self.protocol} cannot send")
        if not 0 < self.timeout < math.inf:
            raise UsageError(f"a time-out of {self.timeout:g} s cannot be kept: give seconds above 0")
        if self.client_key is not None and self.client_certificate is None:
            raise UsageError(f"the client key {self.client_key!r} is of no use without a client certificate")
        if self.tenant is not None and not (self.tenant.strip() and self.tenant.isprintable()):
            raise UsageError(f"the tenant {self.tenant!r} is no name: give a word such as team-a")

    def __repr__(self) -> str:
        """Everything but what may hold a credential."""
        return (
            f"Endpoint({self.name!r}, protocol={self.protocol!r}, timeout={self.timeout!r}, "
            f"compression={self.compression!r}, certificate={self.certificate!r}, client_key={self.client_key!r}, "
            f"client_certificate={self.client_certificate!r}, insecure={self.insecure!r}, tenant={self.tenant!r})"
        )

    @property
    def name(self) -> str:
        """The address without user, password, query and fragment: what messages call it."""
        parts = self._parts
        scheme = f"{parts.scheme}://" if parts.scheme else ""
        path = "" if self.protocol == "grpc" else parts.path
        return f"{scheme}{_host(parts)}{path}"

    @property
    def target(self) -> str:
        """The `host:port` of the address, as gRPC takes it."""
        parts = self._parts
        if parts.port is None:
            return f"{_host(parts).removesuffix(':')}:{443 if parts.scheme == 'https' else 80}"
        return _host(parts)

    @property
    def plaintext(self) -> bool:
        """Whether nothing is encrypted on the way."""
        scheme = self._parts.scheme
        return scheme == "http" or (not scheme and self.insecure)

    def request_headers(self) -> dict[str, str]:
        """Give the headers of every request, their names in lower case."""
        headers = {name.lower(): text.strip() for name, text in self.headers.items()}
        user = self._parts.netloc.rpartition("@")[0]
        if user:
            name, _, password = user.partition(":")
            basic = base64.b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode()
            headers.setdefault("authorization", f"Basic {basic}")
        return headers

    def hide(self, text: str) -> str:
        """Put `****` in the place of every credential of this endpoint, wherever a text repeats it."""
        return hidden(text, self._secrets(), mask="****")

    def _secrets(self) -> set[str]:
        parts = self._parts
        user = parts.netloc.rpartition("@")[0]
        secrets = {user, *user.split(":", 1), parts.query}
        secrets |= {unquote(secret) for secret in secrets}
        secrets |= {each.partition("=")[2] or each for each in parts.query.split("&")}
        secrets |= {told for _, told in parse_qsl(parts.query)}
        for text in self.request_headers().values():
            # `Bearer x` is a scheme and a credential, and `x` alone gives as much away.
            secrets |= {text, text.partition(" ")[2].strip()}
        return secrets - {""}

    @property
    def _parts(self) -> SplitResult:
        return urlsplit(self.url if "://" in self.url else f"//{self.url}")

    def _check_address(self) -> None:
        # Of an address that cannot be taken apart, only that is shown which cannot be a password.
        shown = re.split(r"[?#]", self.url.rpartition("@")[2])[0]
        form = "http://host:4318/v1/traces" if self.protocol == "http/protobuf" else "http://host:4317 or host:4317"
        wrong = UsageError(f"{shown!r} is no address for {self.protocol}: it looks like {form}")
        try:
            parts = self._parts
            host, port = parts.hostname, parts.port
        except ValueError:
            raise wrong from None
        schemes = ("http", "https") if self.protocol == "http/protobuf" else ("http", "https", "")
        ambiguous = not parts.scheme and (port is None or parts.path)
        if not host or parts.scheme not in schemes or ambiguous or not self.url.isprintable():
            raise wrong
        if "@" in self.url.partition(parts.netloc)[2]:
            raise UsageError(f"the address of {shown!r} has an @ behind its host: it is written %40 there")


@dataclass(frozen=True, slots=True)
class Head:
    """What stands around the spans of one resource and scope in a request: bytes of OTLP, made once a session.

    Attributes:
        resource: the field `resource` of a `ResourceSpans`, with its tag and length.
        scope: the field `scope` of a `ScopeSpans`, with its tag and length.
        scope_end: the field `schema_url` of the `ScopeSpans`, or nothing.
        resource_end: the field `schema_url` of the `ResourceSpans`, or nothing.
    """

    resource: bytes
    scope: bytes
    scope_end: bytes = b""
    resource_end: bytes = b""


@value()
class Encoded:
    """Some spans of one trace, in the order in which they were made, with their bytes.

    Attributes:
        spans: the spans themselves, for destinations that do not speak OTLP's bytes.
        head: what stands around them in a request.
        bodies: of each span the field `spans` of a `ScopeSpans`, with its tag and length.
        owner: whatever the sender wants to know them by again; each outcome concerns spans of one owner.
        first: the place of the first of them among all spans of the owner, from 0.
    """

    spans: Sequence[Span]
    head: Head
    bodies: Sequence[bytes]
    owner: Hashable = None
    first: int = 0


@value()
class Outcome:
    """What became of some spans of one owner at one destination: of one batch, or of an owner's share in one.

    Attributes:
        destination: its name.
        owner: whose they are, as they were submitted.
        first: the place of the first of them among the owner's spans; they stand one after the other from there.
        acknowledged: how many the destination took, as it says itself.
        rejected: how many it refused for what they are; it will never take them.
        set_aside: how many it did not take, and that are kept in a file instead.
        lost: how many it did not take, and that could not be kept either.
        message: why, or what the server had to say besides.
        doubtful: the server rejected some spans of the batch and did not say which, so these may be among them.
    """

    destination: str
    owner: Hashable = None
    first: int = 0
    acknowledged: int = 0
    rejected: int = 0
    set_aside: int = 0
    lost: int = 0
    message: str | None = None
    doubtful: bool = False

    @property
    def spans(self) -> range:
        """Their places among the owner's spans: each of them is counted once."""
        return range(self.first, self.first + self.acknowledged + self.rejected + self.set_aside + self.lost)


class Destination(Protocol):
    """Where spans go: a collector, a file, the console.

    One that has the attribute `wants_spans = False` needs only their bytes; one with `reports_only = True` is a foreign
    exporter, whose word is not the server's; `keeps` is true of one that sets aside what it does not take, and
    `answered` of one that is known to be there.

    Every span that is submitted comes back in exactly one outcome. What concerns one batch is told there; what
    concerns all of them is `failure`, and then everything that is submitted comes back set aside or lost at once.
    """

    @property
    def name(self) -> str:
        """What messages call it: an address without credentials, `file:PATH` or `console`."""
        ...

    @property
    def failure(self) -> DestinationError | None:
        """Why it takes nothing more, once it does not."""
        ...

    def submit(self, encoded: Encoded) -> None:
        """Take what is ready. This may wait, and so holds back whoever makes the spans."""
        ...

    def outcomes(self) -> list[Outcome]:
        """Give the outcomes that came back since the last call."""
        ...

    def flush(self) -> None:
        """Wait until everything submitted so far has its outcome."""
        ...

    def stop(self) -> None:
        """Try nothing again from now on: what is not taken at its next answer is set aside, or lost.

        May be called from a signal handler's thread, at any time.
        """
        ...

    def close(self) -> None:
        """Flush, then finish: a file is put in place. Nothing may be submitted afterwards.

        Raises:
            DestinationError: what was acknowledged could not be put in place after all.
        """
        ...

    def abandon(self) -> None:
        """Finish at once, on an exception: what has no outcome is lost, and nothing half-written stays.

        Harmless after `close`.
        """
        ...


class Aside(Protocol):
    """Where spans are kept that could not be delivered, so that they can be delivered later."""

    @property
    def name(self) -> str:
        """The path of the file, for messages."""
        ...

    def put(self, head: Head, bodies: Sequence[bytes]) -> None:
        """Keep spans. When this returns they are on the disk. For several threads.

        Args:
            head: what stands around them in a request.
            bodies: of each span the field `spans` of a `ScopeSpans`, with its tag and length.

        Raises:
            OSError: they could not be kept, or not all of them: then none of these counts as kept.
        """
        ...


def connect(
    endpoint: Endpoint,
    *,
    deadline: float | None = None,
    aside: Aside | None = None,
    backoff: Backoff | None = None,
    senders: int = 8,
) -> Sender:
    """Make the destination of an endpoint. Nothing is sent before the first batch is full, old or flushed.

    Args:
        endpoint: where and how to send.
        deadline: seconds for which a batch is tried. When nothing is said it is five minutes, and a quarter of a minute
            as long as there was no answer at all: then a mistake in the address is likelier than an outage.
        aside: keeps what could not be delivered; without it that is lost.
        backoff: how long to wait between the tries of a batch.
        senders: the most requests at once. There is one until the answers are slower than the spans are made.

    Raises:
        UsageError: the address, a certificate, a key or the proxy of the environment cannot be used.
    """
    # httpx and gRPC take a fifth of a second to import; who writes a file needs none of them.
    from otel_agent_events.otlp import send  # noqa: PLC0415

    transport: send.Transport
    if endpoint.protocol == "grpc":
        from otel_agent_events.otlp.grpc import GrpcTransport  # noqa: PLC0415

        transport, most_bytes = GrpcTransport(endpoint), send.MOST_BYTES_GRPC
    else:
        from otel_agent_events.otlp.http import HttpTransport  # noqa: PLC0415

        transport, most_bytes = HttpTransport(endpoint), send.MOST_BYTES_HTTP
    return send.Sender(
        transport,
        name=endpoint.name,
        most_bytes=most_bytes,
        deadline=deadline,
        aside=aside,
        backoff=backoff or send.BACKOFF,
        senders=senders,
    )


def _host(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]
