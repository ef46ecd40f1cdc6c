"""A destination is known again, and two tenants behind one address are never taken for one."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_events.errors import UsageError
from otel_agent_events.otlp import Endpoint
from otel_agent_events.otlp.identity import known_as, with_other_credentials

if TYPE_CHECKING:
    from pathlib import Path

ADDRESS = "http://tempo:4318/v1/traces"


def named(url: str = ADDRESS, **told: Any) -> str:
    return known_as(Endpoint(url=url, **told))


def bearer(**claims: object) -> str:
    """Return a header with an access token that says so much."""
    parts = ({"alg": "none"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return f"Bearer {'.'.join(encoded)}.c2lnbmF0dXJl"


def test_without_headers_it_is_the_address() -> None:
    assert named() == ADDRESS
    assert named("http://tempo:4317", protocol="grpc", headers={}) == "http://tempo:4317"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"headers": {"X-Scope-OrgID": "team-a"}}, {"headers": {"X-Scope-OrgID": "team-b"}}),
        ({"headers": {"authorization": "Bearer a"}}, {"headers": {"authorization": "Bearer b"}}),
        ({"headers": {"authorization": "Bearer a"}}, {}),
        ({"headers": {"x-api-key": "a"}}, {"headers": {"api-key": "a"}}),
        ({"headers": {"x-api-key": "a", "x": "b"}}, {"headers": {"x-api-key": "b", "x": "a"}}),
        ({"url": "http://tempo:4318/v1/traces?key=a"}, {"url": "http://tempo:4318/v1/traces?key=b"}),
        ({"url": "http://a:x@tempo:4318/v1/traces"}, {"url": "http://a:y@tempo:4318/v1/traces"}),
        ({"tenant": "a"}, {"tenant": "b"}),
        ({"tenant": "a"}, {}),
        ({"tenant": "a"}, {"headers": {"tenant": "a"}}),
        ({"url": "http://tempo:4318/v1/traces?a"}, {"headers": {"query": "a"}}),
        (
            {"headers": {"authorization": bearer(sub="collector", tenant="a")}},
            {"headers": {"authorization": bearer(sub="collector", tenant="b")}},
        ),
        # Nothing but its number tells whose token it is.
        ({"headers": {"authorization": bearer(jti="a")}}, {"headers": {"authorization": bearer(jti="b")}}),
        ({"headers": {"x-scope-orgid": "a" * 41}}, {"headers": {"x-scope-orgid": "a" * 42}}),
    ],
)
def test_two_tenants_are_never_one(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert named(**one) != named(**other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"headers": {"X-Api-Key": "k "}}, {"headers": {"x-api-key": "k"}}),
        ({"headers": {"a": "1", "b": "2"}}, {"headers": {"b": "2", "a": "1"}}),
        (
            {"headers": {"authorization": bearer(sub="s", iss="i", iat=1, exp=2, jti="x")}},
            {"headers": {"authorization": bearer(exp=4, iss="i", jti="y", iat=3, sub="s")}},
        ),
        ({"tenant": "a", "headers": {"x-api-key": "old"}}, {"tenant": "a", "headers": {"x-api-key": "new"}}),
        ({"headers": {"x-api-key": "k"}, "timeout": 1}, {"headers": {"x-api-key": "k"}, "compression": "gzip"}),
        ({"url": "http://a:x@tempo:4318/v1/traces"}, {"headers": {"authorization": "Basic YTp4"}}),
    ],
    ids=["spelling", "order", "a renewed access token", "a tenant with a new key", "how it is sent", "user in address"],
)
def test_one_tenant_is_known_again(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert named(**one) == named(**other)


def test_a_person_sees_which_headers_count_and_no_credential() -> None:
    told = named(
        f"{ADDRESS}?key=query-s3cret",
        headers={"X-Scope-OrgID": "team-a", "authorization": "Bearer s3cret", "x-api-key": "also-s3cret"},
    )

    assert told.startswith(f"{ADDRESS} [x-scope-orgid: team-a; authorization, x-api-key, URL query: #")
    assert "s3cret" not in told
    assert named(tenant="team a") == f"{ADDRESS} [tenant team a]"


def test_a_fingerprint_is_no_bare_digest_and_differs_from_address_to_address() -> None:
    headers = {"x-api-key": "k"}
    one, other = named(headers=headers), named("http://other:4318/v1/traces", headers=headers)

    assert one.partition("[")[2] != other.partition("[")[2]
    assert one == f"{ADDRESS} [x-api-key: #2f5fd98d3f7c]"  # must stay: what is remembered hangs on it


def test_a_client_certificate_counts_by_what_is_in_it(tmp_path: Path) -> None:
    names = []
    for content in ("a", "b", "a"):
        tmp_path.joinpath("client.pem").write_text(content, encoding="utf-8")
        names.append(named(client_certificate=str(tmp_path / "client.pem")))

    assert names[0] == names[2] != names[1]
    assert "[client certificate: #" in names[0]
    assert named(client_certificate="missing.pem") != ADDRESS


@pytest.mark.parametrize(
    "header", ["Bearer a.b.c", "Bearer a.W10.c", "Bearer a.bm8ganNvbg.c", "Bearer a.b", "Basic YTpi", "Bearer"]
)
def test_what_looks_like_a_token_and_is_none_counts_as_it_is(header: str) -> None:
    assert named(headers={"authorization": header}) != named(headers={"authorization": header + "d"})


@pytest.mark.parametrize("tenant", ["", " ", "a\nb"])
def test_a_tenant_has_a_name_that_can_be_shown(tenant: str) -> None:
    with pytest.raises(UsageError, match="tenant"):
        Endpoint(url=ADDRESS, tenant=tenant)


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ([], False),
        ([{}], False),
        ([{"headers": {"x-api-key": "old"}}], True),
        ([{"headers": {"x-api-key": "old"}}, {"headers": {"x-api-key": "new"}}], False),
        ([{"headers": {"authorization": "old"}}], False),
        ([{"headers": {"x-api-key": "old", "x-scope-orgid": "a"}}], False),
        ([{"url": "http://other:4318/v1/traces", "headers": {"x-api-key": "old"}}], False),
    ],
)
def test_only_what_differs_in_its_credentials_alone_has_other_credentials(known: list[Any], told: bool) -> None:  # noqa: FBT001
    name = named(headers={"x-api-key": "new"})

    assert with_other_credentials(name, lambda: [named(**each) for each in known]) is told


def test_a_tenant_that_is_named_has_no_credentials() -> None:
    assert not with_other_credentials(named(tenant="a#1"), lambda: [named(tenant="a#2")])
