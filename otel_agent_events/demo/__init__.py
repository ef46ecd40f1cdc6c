"""The bundled recordings: invented sessions of a web shop's agents, in the platforms' documented shapes."""

from __future__ import annotations

from base64 import b64encode
from importlib.resources import files
from typing import TYPE_CHECKING

from otel_agent_events.fetchers.saved import load_recording

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_agent_events.fetchers.saved import Recording

_KEY = "demo-key"
_TOKEN = "demo-token"  # noqa: S105 - it opens nothing

HEADERS = (
    ("x-api-key", _KEY),
    ("Authorization", f"Basic {b64encode(f'demo:{_KEY}'.encode()).decode()}"),
    ("Authorization", f"Bearer {_TOKEN}"),
)
"""What lets a request in at the loopback platform of the demo; it opens nothing else."""

TOKENS = {"/connect/token": _TOKEN}
"""The token that its token endpoint gives, by path."""


def recordings() -> list[Recording]:
    """Read all bundled recordings, in the order in which they are numbered."""
    folder = files("otel_agent_events.demo")
    names = sorted(each.name for each in folder.iterdir() if each.name.endswith(".json"))
    return [load_recording(folder.joinpath(name).read_bytes(), name) for name in names]


def environment(base_url: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Give an environment in which all fetchers ask the loopback platform, and nobody's own account is left.

    Args:
        base_url: of the loopback platform.
        environ: the environment as it is.
    """
    platforms = tuple(f"{name}_" for name in ("VECTARA", "LYZR", "AGORA", "HUBSTER"))
    others = {name: told for name, told in environ.items() if not name.startswith(platforms)}
    return others | {
        "VECTARA_BASE_URL": base_url,
        "VECTARA_API_KEY": _KEY,
        "LYZR_BASE_URL": base_url,
        "LYZR_API_KEY": _KEY,
        "AGORA_BASE_URL": base_url,
        "AGORA_CUSTOMER_ID": "demo",
        "AGORA_CUSTOMER_SECRET": _KEY,
        "HUBSTER_BASE_URL": base_url,
        "HUBSTER_IDENTITY_URL": base_url,
        "HUBSTER_CLIENT_ID": "demo",
        "HUBSTER_CLIENT_SECRET": _KEY,
    }
