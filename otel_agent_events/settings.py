"""What the environment says: the only place that reads it.

The `OTEL_*` variables are those of the OpenTelemetry specification, with its meaning and units; an empty one counts
as unset. An option always wins over a variable.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args
from urllib.parse import unquote, urlsplit

from otel_agent_events.content import CONTENTS, DEFAULT_MAX_VALUE, Content
from otel_agent_events.errors import UsageError
from otel_agent_events.otlp import Compression, Endpoint, WireProtocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TRACES_PATH = "/v1/traces"
DEFAULT_TIMEOUT = 10.0
LEAST_MAX_VALUE = 64
GRPC_PORT = 4317
STATE_FOLDER = "otel-agent-events"
VECTARA_HOST = "api.vectara.io"
PROTOCOLS: tuple[WireProtocol, ...] = get_args(WireProtocol)

_CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_UNHEEDED = {
    "OTEL_TRACES_SAMPLER": "sampling does not apply to recorded history: every span is sent",
    "OTEL_ATTRIBUTE_COUNT_LIMIT": "count limits do not apply to recorded history: no attribute is left out",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "count limits do not apply to recorded history: no attribute is left out",
    "OTEL_SPAN_LINK_COUNT_LIMIT": "count limits do not apply to recorded history: no link is left out",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment, and what follows from it.

    Args:
        environ: the variables; `Settings.here()` takes those of this process.
    """

    environ: Mapping[str, str] = field(repr=False)

    @classmethod
    def here(cls) -> Settings:
        """Read the environment of this process."""
        return cls(dict(os.environ))

    def get(self, *names: str) -> str | None:
        """Give the first of these variables that is set to something."""
        return next(iter(self.variables(names).values()), None)

    def variables(self, names: Sequence[str]) -> dict[str, str]:
        """Give those of the named variables that are set to something, without the white space around it."""
        told = ((name, self.environ.get(name, "").strip()) for name in names)
        return {name: value for name, value in told if value}

    def exporter(self, what: str) -> tuple[str, str | None]:
        """Give a variable of the exporter, the one of traces before the general one, and its name."""
        names = (f"OTEL_EXPORTER_OTLP_TRACES_{what}", f"OTEL_EXPORTER_OTLP_{what}")
        return next(iter(self.variables(names).items()), (names[-1], None))

    @property
    def disabled(self) -> bool:
        """Whether `OTEL_SDK_DISABLED` says that nothing may be sent."""
        return (self.get("OTEL_SDK_DISABLED") or "").lower() == "true"

    @property
    def unheeded(self) -> list[str]:
        """One line for each variable that is set and does not apply to recorded history."""
        return [f"{name} is set; {why}" for name, why in _UNHEEDED.items() if self.get(name) is not None]

    def exporters(self) -> list[str]:
        """Give the names in `OTEL_TRACES_EXPORTER`: `otlp` when it says nothing, and none for `none`."""
        told = [name.strip() for name in (self.get("OTEL_TRACES_EXPORTER") or "otlp").split(",")]
        return [name for name in dict.fromkeys(told) if name not in {"", "none"}]

    @property
    def state_folder(self) -> Path | None:
        """Where things are kept between runs, or None when nobody says where the user's own folder is."""
        xdg, local, home = self.get("XDG_STATE_HOME"), self.get("LOCALAPPDATA"), self.get("HOME", "USERPROFILE")
        # The XDG specification has it that a relative path is ignored.
        if xdg is not None and Path(xdg).is_absolute():
            return Path(xdg) / STATE_FOLDER
        if local is not None:
            return Path(local) / STATE_FOLDER
        return None if home is None else Path(home) / ".local" / "state" / STATE_FOLDER

    def ledger(self, option: str | None) -> tuple[str | None, bool]:
        """Say where the ledger is.

        Args:
            option: a URL, as SQLAlchemy has it, or `off`; None when nothing is said.

        Returns:
            The URL, or None for no ledger; and whether it was asked for, so that one that cannot be opened is an error.
        """
        told = option or self.get("OTEL_AGENT_EVENTS_LEDGER")
        if told is not None:
            return (None, True) if told.lower() == "off" else (told, True)
        folder = self.state_folder
        return (None if folder is None else f"sqlite:///{folder / 'ledger.db'}"), False

    def content(self, option: Content | None) -> Content:
        """Say what of the contents may leave: the option, else what the conventions' variable says.

        Raises:
            UsageError: the option is none of the three.
        """
        if option is not None:
            if option not in CONTENTS:
                raise UsageError(f"the content is {option!r}; it is one of {', '.join(CONTENTS)}")
            return option
        capture = (self.get(_CAPTURE) or "").upper()
        return "scrubbed" if capture in {"", "SPAN_ONLY", "SPAN_AND_EVENT", "TRUE"} else "none"

    def live_content(self, option: Content | None) -> Content:
        """Say the same for what is recorded live: none, unless the option or the variable turns it on."""
        return "none" if option is None and self.get(_CAPTURE) is None else self.content(option)

    def max_value(self, option: int | None) -> int:
        """Say how many bytes one attribute value may have.

        Raises:
            UsageError: it is no number, or too small to hold anything.
        """
        if option is not None:
            return _at_least("--max-value", str(option))
        limits = self.variables(("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"))
        return next((_at_least(name, told) for name, told in limits.items()), DEFAULT_MAX_VALUE)

    def watched_hosts(self) -> list[str]:
        """Name the hosts on which turns of agents are watched: those of `OTEL_AGENT_EVENTS_HOSTS`, else Vectara's.

        That is its own host, and the one to which `VECTARA_BASE_URL` leads. A name may be a URL, and is not checked.
        """
        told = self.get("OTEL_AGENT_EVENTS_HOSTS")
        if told is not None:
            return [name.strip() for name in told.split(",") if name.strip()]
        base = self.get("VECTARA_BASE_URL")
        return [VECTARA_HOST] if base is None else [VECTARA_HOST, base]

    def resource_attributes(self) -> dict[str, str]:
        """Give `OTEL_RESOURCE_ATTRIBUTES`, with `OTEL_SERVICE_NAME` above its `service.name`."""
        attributes = _pairs("OTEL_RESOURCE_ATTRIBUTES", self.get("OTEL_RESOURCE_ATTRIBUTES"))
        service = self.get("OTEL_SERVICE_NAME")
        return {**attributes, "service.name": service} if service else attributes

    def endpoint(
        self,
        *,
        url: str | None = None,
        protocol: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        tenant: str | None = None,
    ) -> tuple[Endpoint, list[str]]:
        """Work out where and how to send, and what should be said about it.

        Raises:
            UsageError: a value cannot be understood, or is not supported; names the option or variable.
        """
        notes: list[str] = []
        name, told = self.exporter("ENDPOINT")
        origin, given = (name, told) if url is None else ("--endpoint", url)
        port = None if given is None else _port(given, origin)
        chosen = self._protocol(protocol)
        if chosen is None:
            chosen = "http/protobuf"
            if port == GRPC_PORT:
                chosen = "grpc"
                notes.append(f"port {GRPC_PORT} without a protocol: sending over gRPC (--protocol says otherwise)")
        if given is not None and "://" not in given and (chosen != "grpc" or url is not None):
            given = f"http://{given}"
            notes.append(f"{origin} has no scheme; taken as http://, without encryption")
        merged = {name.lower(): told for name, told in _pairs(*self.exporter("HEADERS")).items()}
        merged |= {name.lower(): told for name, told in (headers or {}).items()}
        return (
            Endpoint(
                url=_complete(given, origin, chosen),
                protocol=chosen,
                headers=merged,
                timeout=self._timeout(timeout),
                compression=_compression(*self.exporter("COMPRESSION")),
                certificate=self.exporter("CERTIFICATE")[1],
                client_key=self.exporter("CLIENT_KEY")[1],
                client_certificate=self.exporter("CLIENT_CERTIFICATE")[1],
                insecure=(self.exporter("INSECURE")[1] or "").lower() == "true",
                tenant=self.get("OTEL_AGENT_EVENTS_TENANT") if tenant is None else tenant,
            ),
            notes,
        )

    def _protocol(self, option: str | None) -> WireProtocol | None:
        name, told = self.exporter("PROTOCOL") if option is None else ("--protocol", option)
        if told is None:
            return None
        if told not in PROTOCOLS:
            raise UsageError(f"{name} is {told!r}, which is not supported; supported are {' and '.join(PROTOCOLS)}")
        return told

    def _timeout(self, option: float | None) -> float:
        name, told = self.exporter("TIMEOUT")
        if option is not None or told is None:
            return DEFAULT_TIMEOUT if option is None else option
        try:
            seconds = float(told) / 1000
        except ValueError:
            seconds = math.nan
        if not 0 < seconds < math.inf:
            raise UsageError(f"{name} is {told!r}; it is a number of milliseconds above 0")
        return seconds


def parse_pair(text: str, origin: str) -> tuple[str, str]:
    """Read `NAME=VALUE`, without ever quoting the value: it may be a credential.

    Raises:
        UsageError: there is no `=`, or no name.
    """
    name, equals, told = text.partition("=")
    if not equals or not name.strip():
        raise UsageError(f"{origin} is not of the form NAME=VALUE")
    return name.strip(), told.strip()


def _pairs(origin: str, told: str | None) -> dict[str, str]:
    """Read `k=v,k=v` as the specification has it: percent-encoded, white space ignored."""
    pairs = (parse_pair(pair, f"{origin}: an entry") for pair in (told or "").split(",") if pair.strip())
    return {unquote(name): unquote(value) for name, value in pairs}


def _complete(given: str | None, origin: str, protocol: WireProtocol) -> str:
    """Give the URL that is sent to: the general variable and a bare option get the path of traces."""
    if given is None:
        return f"http://localhost:{GRPC_PORT}" if protocol == "grpc" else f"http://localhost:4318{TRACES_PATH}"
    if protocol == "grpc":
        return given
    parts = urlsplit(given)
    if origin == "OTEL_EXPORTER_OTLP_ENDPOINT":
        return parts._replace(path=parts.path.rstrip("/") + TRACES_PATH).geturl()
    if origin == "--endpoint" and parts.path in {"", "/"}:
        return parts._replace(path=TRACES_PATH).geturl()
    return given


def _port(url: str, origin: str) -> int | None:
    """Check a URL and give its port.

    Raises:
        UsageError: it is none. The URL is not quoted: there may be a password in it.
    """
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        port = parts.port
        usable = parts.scheme in {"", "http", "https"} and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(f"{origin} is no endpoint; it looks like http://localhost:4318 or https://host/path")
    return port


def _compression(origin: str, told: str | None) -> Compression:
    if told not in {None, *get_args(Compression)}:
        raise UsageError(f"{origin} is {told!r}; supported are gzip and none")
    return cast("Compression", told or "none")


def _at_least(origin: str, told: str) -> int:
    try:
        number = int(told)
    except ValueError:
        raise UsageError(f"{origin} is {told!r}; it is a number of bytes") from None
    if number < LEAST_MAX_VALUE:
        raise UsageError(f"{origin} is {number}; an attribute of fewer than {LEAST_MAX_VALUE} bytes holds nothing")
    return number
