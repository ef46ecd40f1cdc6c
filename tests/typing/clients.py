"""A user's program whose HTTP clients are watched."""

import httpx
import httpx2
from opentelemetry.sdk.trace import TracerProvider

from otel_agent_events import TurnRecorder, instrument_httpx, uninstrument_httpx


class Client(httpx.AsyncClient):
    """A client of one's own."""


def every_client(provider: TracerProvider) -> None:
    """Give every option."""
    instrument_httpx()
    instrument_httpx(hosts=["api.example.org"], tracer_provider=provider, content="none")
    instrument_httpx(hosts="api.example.org", recorder=TurnRecorder())
    uninstrument_httpx()


async def one_client() -> None:
    """Name clients of each kind, and of a kind of one's own."""
    with httpx.Client() as client, httpx2.Client() as client2:
        instrument_httpx(client)
        instrument_httpx(client2, hosts={"localhost:8080"})
        uninstrument_httpx(client)
    async with httpx.AsyncClient() as aclient, httpx2.AsyncClient() as aclient2, Client() as own:
        for each in (aclient, aclient2, own):
            instrument_httpx(each)
            uninstrument_httpx(each)
