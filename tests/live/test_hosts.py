from __future__ import annotations

import pytest

from otel_agent_events.errors import UsageError
from otel_agent_events.live.hosts import Hosts
from otel_agent_events.settings import Settings


@pytest.mark.parametrize(
    ("name", "scheme", "host", "port"),
    [
        ("api.vectara.io", "https", "api.vectara.io", None),
        ("api.vectara.io", "http", "api.vectara.io", 8080),
        (" API.Vectara.io. ", "https", "api.vectara.io", None),
        ("api.vectara.io", "https", "API.vectara.io.", None),
        ("api.vectara.io:443", "https", "api.vectara.io", None),
        ("localhost:8080", "http", "localhost", 8080),
        ("[::1]:8080", "http", "::1", 8080),
        ("https://proxy.example.org/vectara?x=1", "https", "proxy.example.org", None),
        ("https://ann:s3cret@proxy.example.org", "https", "proxy.example.org", None),
        ("*", "http", "anything.example.org", 1),
        ("xn--bcher-kva.example", "https", "bücher.example", None),
        ("bücher.example", "https", "xn--bcher-kva.example", None),
    ],
)
def test_a_host_is_watched(name: str, scheme: str, host: str, port: int | None) -> None:
    assert Hosts([name]).has(scheme, host, port)


@pytest.mark.parametrize(
    ("names", "scheme", "host", "port"),
    [
        ([], "https", "api.vectara.io", None),
        (["api.vectara.io"], "https", "vectara.io", None),
        (["vectara.io"], "https", "api.vectara.io", None),
        (["api.vectara.io:443"], "http", "api.vectara.io", None),
        (["localhost:8080"], "http", "localhost", 8081),
        (["", " "], "http", "", None),
    ],
)
def test_other_hosts_are_not(names: list[str], scheme: str, host: str, port: int | None) -> None:
    assert not Hosts(names).has(scheme, host, port)


@pytest.mark.parametrize(
    "name", ["/v2", "host:port", "host:99999", "ann:s3cret@host", "http://", "my host", "host:1/path", "[::1"]
)
def test_what_is_no_host_is_refused_and_not_quoted(name: str) -> None:
    with pytest.raises(UsageError, match="a host to watch is none") as caught:
        Hosts([name])

    assert name not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ["api.vectara.io"]),
        ({"VECTARA_BASE_URL": "https://vectara.example.org/x"}, ["api.vectara.io", "https://vectara.example.org/x"]),
        (
            {"OTEL_AGENT_EVENTS_HOSTS": " a.example.org, ,b:1 ", "VECTARA_BASE_URL": "https://c"},
            ["a.example.org", "b:1"],
        ),
        ({"OTEL_AGENT_EVENTS_HOSTS": " "}, ["api.vectara.io"]),
    ],
)
def test_the_environment_says_which_hosts_are_watched(environ: dict[str, str], expected: list[str]) -> None:
    assert Settings(environ).watched_hosts() == expected
