"""Connections that are ended from another thread than the one that waits for an answer."""

from __future__ import annotations

import ssl
import threading
from typing import TYPE_CHECKING

import httpx
import pytest

from otel_agent_events.fetchers.connections import Connections
from otel_agent_events.testing import LoopbackPlatform, Reply
from tests.otlp.collectors import Certificates, HttpReply, http_collector, make_certificates
from tests.test_stopping import until

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 20


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def ended(ask: Callable[[], httpx.Response], connections: Connections, asked: Callable[[], object]) -> Exception | None:
    """Ask in another thread, hang up once it waits, and give what it was told."""
    said: list[Exception] = []

    def asking() -> None:
        try:
            ask()
        except httpx.HTTPError as error:
            said.append(error)

    thread = threading.Thread(target=asking, daemon=True)
    thread.start()
    until(asked)
    connections.hang_up()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    return said[0] if said else None


def test_who_waits_for_an_answer_is_told_that_there_will_be_none() -> None:
    connections = Connections()
    with LoopbackPlatform() as platform, httpx.Client() as client:
        platform.faults["/a"].append(Reply(delay=60))
        error = ended(
            lambda: client.get(f"{platform.base_url}/a", timeout=50, extensions={"trace": connections.note}),
            connections,
            lambda: platform.asked,
        )

    assert isinstance(error, httpx.TransportError)


def test_so_is_who_waits_on_an_encrypted_connection(certificates: Certificates) -> None:
    connections, may_answer = Connections(), threading.Event()

    def answer(_: object) -> HttpReply:
        may_answer.wait(60)
        return HttpReply()

    known = ssl.create_default_context(cafile=certificates.authority)
    with (
        http_collector(answer=answer, certificates=certificates) as collector,
        httpx.Client(verify=known) as client,
    ):
        error = ended(
            lambda: client.post(collector.url, content=b"", timeout=50, extensions={"trace": connections.note}),
            connections,
            lambda: collector.requests,
        )
        may_answer.set()

    assert isinstance(error, httpx.TransportError)


def test_a_connection_that_is_kept_open_is_ended_too() -> None:
    connections = Connections()
    with LoopbackPlatform() as platform, httpx.Client() as client:
        platform.faults["/a"].append(Reply())
        traced = {"trace": connections.note}
        client.get(f"{platform.base_url}/a", extensions=traced)
        platform.faults["/b"].append(Reply(delay=60))
        error = ended(
            lambda: client.get(f"{platform.base_url}/b", timeout=50),  # over the one from before
            connections,
            lambda: len(platform.asked) > 1,
        )

    assert isinstance(error, httpx.TransportError)


def test_what_is_opened_afterwards_is_ended_at_once() -> None:
    connections = Connections()
    connections.hang_up()
    with LoopbackPlatform() as platform, httpx.Client() as client:
        platform.faults["/a"].append(Reply(delay=60))
        with pytest.raises(httpx.TransportError):
            client.get(f"{platform.base_url}/a", timeout=50, extensions={"trace": connections.note})


def test_the_connections_of_others_stay() -> None:
    connections = Connections()
    with LoopbackPlatform() as platform, httpx.Client() as client:
        platform.faults["/a"].extend([Reply(), Reply()])
        client.get(f"{platform.base_url}/a")
        connections.hang_up()

        assert client.get(f"{platform.base_url}/a").status_code == 200
