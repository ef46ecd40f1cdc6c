"""What the environment says: the only place that reads it.

The `OTEL_*` variables are those of the OpenTelemetry specification, with its meaning and units; an empty one counts
as unset. An option always wins over a variable.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast, get_args
from urllib.parse import unquote, urlsplit

from otel_agent_events.content import DEFAULT_MAX_VALUE, Content
from otel_agent_events.errors import UsageError
from otel_agent_events.otlp import Compression, Endpoint, WireProtocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TRACES_PATH = "/v1/traces"
DEFAULT_TIMEOUT = 10.0
LEAST_MAX_VALUE = 64
GRPC_PORT = 4317
PROTOCOLS: tuple[WireProtocol, ...] = get_args(WireProtocol)

_CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_UNHEEDED = {
    "OTEL_TRACES_SAMPLER": "sampling does not apply to recorded history: every span is sent",
    "OTEL_ATTRIBUTE_COUNT_LIMIT": "count limits do not apply to recorded history: no attribute is left out",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "count limits do not apply to recorded history: no attribute is left out",
    "OTEL_SPAN_LINK_COUNT_LIMIT": "count limits do not apply to recorded history: no link is left out",
    "OTEL_TRACES_EXPORTER": "where spans go is said with --to",
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
        return next((self.environ[name].strip() for name in names if self.environ.get(name, "").strip()), None)

    def variables(self, names: Sequence[str]) -> dict[str, str]:
        """Give those of the named variables that are set to something, for a fetcher."""
        return {name: self.environ[name] for name in names if self.environ.get(name, "").strip()}

    @property
    def disabled(self) -> bool:
        """Whether `OTEL_SDK_DISABLED` says that nothing may be sent."""
        return (self.get("OTEL_SDK_DISABLED") or "").lower() == "true"

    @property
    def unheeded(self) -> list[str]:
        """One line for each variable that is set and does not apply to recorded history."""
        return [
            f"{name} is set; {why}"
            for name, why in _UNHEEDED.items()
            if self.get(name) is not None and not (name == "OTEL_TRACES_EXPORTER" and self.get(name) == "otlp")
        ]

    def content(self, option: Content | None) -> Content:
        """Say what of the contents may leave: the option, else what the conventions' variable says."""
        if option is not None:
            return option
        capture = (self.get(_CAPTURE) or "").upper()
        return "scrubbed" if capture in {"", "SPAN_ONLY", "SPAN_AND_EVENT", "TRUE"} else "none"

    def max_value(self, option: int | None) -> int:
        """Say how many bytes one attribute value may have.

        Raises:
            UsageError: it is no number, or too small to hold anything.
        """
        if option is not None:
            return _at_least("--max-value", str(option))
        for name in ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"):
            told = self.get(name)
            if told is not None:
                return _at_least(name, told)
        return DEFAULT_MAX_VALUE

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
    ) -> tuple[Endpoint, list[str]]:
        """Work out where and how to send, and what should be said about it.

        Raises:
            UsageError: a value cannot be understood, or is not supported; names the option or variable.
        """
        notes: list[str] = []
        traces, general = "OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"
        if url is not None and "://" not in url:
            url = f"http://{url}"
            notes.append(f"--endpoint has no scheme; taken as {url}")
        given, origin = self._given(url)
        chosen = self._protocol(protocol)
        if chosen is None:
            chosen = "http/protobuf"
            if given is not None and _port(given, origin) == GRPC_PORT:
                chosen = "grpc"
                notes.append(f"port {GRPC_PORT} without a protocol: sending over gRPC (--protocol says otherwise)")
        merged = _pairs("OTEL_EXPORTER_OTLP_HEADERS", self.get(f"{traces}HEADERS", f"{general}HEADERS"))
        merged |= headers or {}
        return (
            Endpoint(
                url=_complete(given, origin, chosen),
                protocol=chosen,
                headers={name.lower(): value for name, value in merged.items()},
                timeout=self._timeout(timeout),
                compression=_compression(self.get(f"{traces}COMPRESSION", f"{general}COMPRESSION")),
                certificate=self.get(f"{traces}CERTIFICATE", f"{general}CERTIFICATE"),
                client_key=self.get(f"{traces}CLIENT_KEY", f"{general}CLIENT_KEY"),
                client_certificate=self.get(f"{traces}CLIENT_CERTIFICATE", f"{general}CLIENT_CERTIFICATE"),
                insecure=(self.get(f"{traces}INSECURE", f"{general}INSECURE") or "").lower() == "true",
            ),
            notes,
        )

    def _given(self, option: str | None) -> tuple[str | None, str]:
        """Give the endpoint that was asked for, and where that was said."""
        if option is not None:
            return option, "--endpoint"
        for name in ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
            told = self.get(name)
            if told is not None:
                return told, name
        return None, "the default"

    def _protocol(self, option: str | None) -> WireProtocol | None:
        name = "--protocol"
        told = option
        for variable in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
            if told is None:
                name, told = variable, self.get(variable)
        if told is None:
            return None
        if told not in PROTOCOLS:
            raise UsageError(f"{name} is {told!r}, which is not supported; supported are {' and '.join(PROTOCOLS)}")
        return told

    def _timeout(self, option: float | None) -> float:
        if option is not None:
            return option
        for name in ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"):
            told = self.get(name)
            if told is not None:
                try:
                    milliseconds = float(told)
                except ValueError:
                    raise UsageError(f"{name} is {told!r}; it is a number of milliseconds") from None
                if milliseconds > 0:
                    return milliseconds / 1000
        return DEFAULT_TIMEOUT


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
    _port(given, origin)
    if protocol == "grpc":
        return given
    if "://" not in given:
        given = f"http://{given}"
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
    parts = urlsplit(url if "://" in url else f"//{url}")
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in {"", "http", "https"} or not parts.hostname or port == -1:
        raise UsageError(f"{origin} is no endpoint; it looks like http://localhost:4318 or https://host/path")
    return port


def _compression(told: str | None) -> Compression:
    if told not in {None, *get_args(Compression)}:
        raise UsageError(f"OTEL_EXPORTER_OTLP_COMPRESSION is {told!r}; supported are gzip and none")
    return cast("Compression", told or "none")


def _at_least(origin: str, told: str) -> int:
    try:
        number = int(told)
    except ValueError:
        raise UsageError(f"{origin} is {told!r}; it is a number of bytes") from None
    if number < LEAST_MAX_VALUE:
        raise UsageError(f"{origin} is {number}; an attribute of fewer than {LEAST_MAX_VALUE} bytes holds nothing")
    return number
