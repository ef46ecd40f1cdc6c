from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agent_events.errors import UsageError
from otel_agent_events.otlp import Destination, Endpoint, Outcome, connect
from otel_agent_events.otlp.file import FileDestination
from otel_agent_events.retry import Backoff
from tests.otlp.collectors import free_port, grpc_collector, http_collector
from tests.otlp.examples import deliver, ids, spans


def test_naming_an_endpoint_imports_neither_the_sdk_nor_httpx_nor_grpc() -> None:
    script = (
        "import sys, otel_agent_events.otlp.file as file; file.LineWriter\n"
        "heavy = {name.partition('.')[0] for name in sys.modules} & {'httpx', 'grpc', 'opentelemetry', 'google'}\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )

    subprocess.run([sys.executable, "-c", script], check=True)


def test_connect_sends_over_http() -> None:
    with http_collector() as collector:
        outcome = deliver(connect(Endpoint(url=collector.url)), spans(3))

    assert outcome == Outcome(destination=collector.url, acknowledged=3)
    assert collector.ids == ids(spans(3))


def test_connect_sends_over_grpc() -> None:
    with grpc_collector() as collector:
        outcome = deliver(connect(Endpoint(url=collector.url, protocol="grpc")), spans(3))

    assert outcome == Outcome(destination=collector.url, acknowledged=3)
    assert collector.ids == ids(spans(3))


def test_what_connects_and_what_writes_are_destinations(tmp_path: Any) -> None:
    destinations: list[Destination] = [
        connect(Endpoint(url=f"http://127.0.0.1:{free_port()}"), backoff=Backoff(tries=1)),
        FileDestination(tmp_path / "spans.jsonl"),
    ]

    assert [destination.failure for destination in destinations] == [None, None]
    for destination in destinations:
        destination.abandon()


def test_a_name_has_neither_user_nor_password_nor_query() -> None:
    endpoint = Endpoint(url="https://ann:s3cret@otlp.example.org:4318/v1/traces?api_key=hidden#part")

    assert endpoint.name == "https://otlp.example.org:4318/v1/traces"


@pytest.mark.parametrize(
    ("url", "name", "target", "plaintext"),
    [
        ("http://collector:4317", "http://collector:4317", "collector:4317", True),
        ("https://ann:pass@collector:4317/", "https://collector:4317", "collector:4317", False),
        ("https://collector", "https://collector", "collector:443", False),
        ("http://collector:", "http://collector:", "collector:80", True),
        ("http://[::1]:4317", "http://[::1]:4317", "[::1]:4317", True),
        ("collector:4317", "collector:4317", "collector:4317", False),
    ],
)
def test_an_address_of_grpc(url: str, name: str, target: str, plaintext: bool) -> None:  # noqa: FBT001
    endpoint = Endpoint(url=url, protocol="grpc")

    assert (endpoint.name, endpoint.target, endpoint.plaintext) == (name, target, plaintext)


def test_insecure_is_for_an_address_without_a_scheme() -> None:
    assert Endpoint(url="collector:4317", protocol="grpc", insecure=True).plaintext
    assert not Endpoint(url="https://collector:4317", protocol="grpc", insecure=True).plaintext


def test_a_user_without_a_password_has_an_empty_one() -> None:
    assert Endpoint(url="http://ann@collector/v1/traces").request_headers() == {"authorization": "Basic YW5uOg=="}


def test_a_user_in_the_address_is_sent_as_basic_authorization_unless_a_header_is_given() -> None:
    url = "http://ann:p%40ss@collector:4318/v1/traces"

    assert Endpoint(url=url).request_headers() == {"authorization": "Basic YW5uOnBAc3M="}
    assert Endpoint(url=url, headers={"Authorization": " Bearer x "}).request_headers() == {"authorization": "Bearer x"}


@pytest.mark.parametrize(
    "url",
    [
        "localhost:4318",
        "ftp://collector/v1/traces",
        "http://",
        "http:///v1/traces",
        "http://collector:99999/",
        "http://collector:port/",
        "http://[::1/v1/traces",
        "http://collector\n/v1/traces",
        "",
    ],
)
def test_an_address_that_http_cannot_send_to_is_told(url: str) -> None:
    with pytest.raises(UsageError, match="is no address for http/protobuf: it looks like http://host:4318/v1/traces"):
        Endpoint(url=url)


@pytest.mark.parametrize("url", ["collector", "collector:4317/v1/traces", "unix:/tmp/socket", "dns://collector:4317"])
def test_an_address_that_grpc_cannot_send_to_is_told(url: str) -> None:
    with pytest.raises(UsageError, match="is no address for grpc: it looks like http://host:4317 or host:4317"):
        Endpoint(url=url, protocol="grpc")


@pytest.mark.parametrize(
    "url",
    [
        "http://ann:s3/cret@collector:4318/v1/traces",
        "http://ann:12/cret@collector:4318/v1/traces",
        "http://ann:12?cret@collector:4318/v1/traces",
        "http://ann:s3cret@collector:port/?key=cret",
        "ftp://ann:s3cret@collector",
    ],
)
def test_a_password_is_in_no_message_about_its_address(url: str) -> None:
    with pytest.raises(UsageError) as raised:
        Endpoint(url=url)

    assert "s3" not in str(raised.value)
    assert "cret" not in str(raised.value)
    assert "collector" in str(raised.value)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize(
    ("name", "text"), [("x y", "s3cret"), ("", "s3cret"), ("x", "s3cret\n"), ("x", "s3cret\t"), ("x", "s3crét")]
)
def test_a_header_that_cannot_be_sent_is_told_without_its_value(protocol: Any, name: str, text: str) -> None:
    with pytest.raises(UsageError) as raised:
        Endpoint(url="http://collector:4317", protocol=protocol, headers={name: text})

    assert "header" in str(raised.value)
    assert "s3cr" not in str(raised.value)


def test_a_credential_that_was_taken_for_a_name_is_not_shown() -> None:
    with pytest.raises(UsageError) as raised:
        Endpoint(url="http://collector:4317", headers={"authorization: bearer c2VjcmV0": "="})

    assert "c2VjcmV0" not in str(raised.value)


def test_a_header_name_that_only_http_can_send_is_told_over_grpc() -> None:
    assert Endpoint(url="http://collector", headers={"x!y": "1"}).request_headers() == {"x!y": "1"}
    with pytest.raises(UsageError, match="a header has a name that grpc cannot send"):
        Endpoint(url="http://collector", protocol="grpc", headers={"x!y": "1"})


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("inf"), float("nan")])
def test_a_time_out_that_cannot_be_kept_is_told(timeout: float) -> None:
    with pytest.raises(UsageError, match="cannot be kept: give seconds above 0"):
        Endpoint(url="http://collector", timeout=timeout)


def test_a_client_key_alone_is_of_no_use() -> None:
    with pytest.raises(UsageError, match=r"the client key 'key\.pem' is of no use without a client certificate"):
        Endpoint(url="http://collector", client_key="key.pem")


def test_a_repr_shows_what_is_no_credential() -> None:
    endpoint = Endpoint(
        url="http://ann:s3cret@collector/v1/traces?key=s3cret",
        headers={"authorization": "Bearer s3cret"},
        certificate="ca.pem",
    )

    assert repr(endpoint) == (
        "Endpoint('http://collector/v1/traces', protocol='http/protobuf', timeout=10.0, compression='none', "
        "certificate='ca.pem', client_key=None, client_certificate=None, insecure=False, tenant=None)"
    )


@pytest.mark.parametrize(
    "secret",
    [
        "Bearer abcdef",
        "abcdef",
        "ann:p@sswd",
        "ann",
        "p@sswd",
        "p%40sswd",
        "YW5uOnBAc3N3ZA==",
        "q u e r y",
        "q+u+e+r+y",
        "flagged",
    ],
)
def test_every_spelling_of_a_credential_is_hidden(secret: str) -> None:
    endpoint = Endpoint(
        url="http://ann:p%40sswd@collector/v1/traces?key=q+u+e+r+y&flagged", headers={"x-token": "Bearer abcdef"}
    )
    hidden = endpoint.hide(f"no access with {secret}.")

    assert secret not in hidden
    assert hidden.startswith("no access with ****")


def test_basic_authorization_of_the_address_is_hidden_too() -> None:
    endpoint = Endpoint(url="http://ann:p%40sswd@collector/v1/traces")

    assert endpoint.hide("Basic YW5uOnBAc3N3ZA== is wrong") == "**** is wrong"


def test_a_short_header_is_hidden_where_it_stands_alone() -> None:
    endpoint = Endpoint(url="http://collector", headers={"x-scope-orgid": "1", "x-empty": ""})

    assert endpoint.hide("tenant 1: 5100000 bytes, tenant=1") == "tenant ****: 5100000 bytes, tenant=****"


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=6), st.text(), st.text())
def test_no_header_value_survives(secret: str, before: str, after: str) -> None:
    endpoint = Endpoint(url="http://collector", headers={"authorization": secret})

    hidden = endpoint.hide(f"{before}{secret}{after}")

    assert secret == "*" * len(secret) or secret not in hidden.replace("****", "")
