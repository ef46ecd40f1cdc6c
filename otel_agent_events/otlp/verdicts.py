"""What the answer to one request means, whatever the protocol, and the words for it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, TypeAlias, assert_never

from otel_agent_events.events import value
from otel_agent_events.messages import MOST_READ, one_line

if TYPE_CHECKING:
    from otel_agent_events.otlp import Endpoint

_SIZE = re.compile(
    r"larger than|too (?:large|big)|(?:message|request|body|payload) (?:size|length)"
    r"|exceed\w* (?:the )?max\w* (?:size|length|message|body)",
    re.IGNORECASE,
)


@value()
class Acknowledged:
    """The batch was taken, but for the rejected spans."""

    rejected: int = 0
    message: str | None = None


@value()
class Retry:
    """The same batch may be taken later. `after`: seconds that the server asks to wait."""

    message: str
    after: float | None = None


@value()
class TooLarge:
    """The batch is not taken at its size; less of it may be."""

    message: str


@value()
class Malformed:
    """Something in the batch is not as the server wants it; the rest of it may be taken."""

    message: str


@value()
class Refused:
    """This batch is not taken, now or later, and not in parts; another one may be."""

    message: str


@value()
class DestinationRefused:
    """No batch is taken until somebody changes something: credentials, the address, the protocol."""

    message: str


@value()
class Unreachable:
    """There was no answer.

    Attributes:
        mistaken: somebody is there and cannot be talked to, so that the address is likelier wrong than the network.
    """

    message: str
    mistaken: bool = False


Verdict: TypeAlias = Acknowledged | Retry | TooLarge | Malformed | Refused | DestinationRefused | Unreachable


@value()
class Trouble:
    """Why there was no answer.

    Attributes:
        kind: `absent`: nobody listens; `unknown`: no host has the name; `tls`: no encrypted connection; `slow`: not in
            time; `foreign`: something speaks another protocol; `broken`: everything else.
        detail: what the library says of it.
    """

    kind: Literal["absent", "unknown", "tls", "slow", "foreign", "broken"]
    detail: str


def judge_trouble(trouble: Trouble, endpoint: Endpoint) -> Unreachable:
    """Say in a sentence why there was no answer, and what to look at."""
    name, grpc = endpoint.name, endpoint.protocol == "grpc"
    detail = plain(trouble.detail, endpoint)
    detail = f" ({detail})" if detail else ""
    match trouble.kind:
        case "absent":
            usual = "gRPC usually listens on port 4317" if grpc else "OTLP over HTTP usually listens on port 4318"
            text = f"nobody listens at {name}: is a collector running there? {usual}"
        case "unknown":
            text = f"{name} cannot be found: no host is known by that name{detail}"
        case "tls":
            text = (
                f"there is no encrypted connection to {name}{detail}. OTEL_EXPORTER_OTLP_CERTIFICATE names the "
                "certificate to trust; a receiver without TLS has an address that begins with http://"
            )
        case "slow":
            text = (
                f"{name} did not answer within {endpoint.timeout:g} s. "
                "OTEL_EXPORTER_OTLP_TIMEOUT is in milliseconds: 10000 is ten seconds"
            )
        case "foreign":
            other = (
                "Port 4318 is HTTP: set the protocol http/protobuf"
                if grpc
                else "Port 4317 is gRPC: set the protocol grpc"
            )
            text = f"what answers at {name} does not speak {'gRPC' if grpc else 'HTTP'}{detail}. {other}"
        case "broken":
            text = f"the connection to {name} broke{detail}"
        case _:
            assert_never(trouble.kind)
    return Unreachable(message=text, mistaken=trouble.kind in {"tls", "foreign"})


def plain(words: str, endpoint: Endpoint) -> str:
    """Give words from outside for a message: one printable line, at most 300 characters, without credentials."""
    return one_line(endpoint.hide(words[:MOST_READ]))


def quoted(words: str, endpoint: Endpoint) -> str:
    """Give what a server says for the end of a sentence, or nothing when it says nothing."""
    line = plain(words, endpoint)
    return f": it says {line!r}" if line else ""


def speaks_of_size(words: str) -> bool:
    """Whether a server's words mean that the request is too large, and not that there are too many of them."""
    return _SIZE.search(words[:MOST_READ]) is not None
