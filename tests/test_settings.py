from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_events.content import DEFAULT_MAX_VALUE, Content
from otel_agent_events.errors import UsageError
from otel_agent_events.settings import Settings, parse_pair

if TYPE_CHECKING:
    from otel_agent_events.otlp import Endpoint

GENERAL = "OTEL_EXPORTER_OTLP_"
TRACES = "OTEL_EXPORTER_OTLP_TRACES_"


def endpoint(_environ: dict[str, str] | None = None, /, **options: Any) -> Endpoint:
    return Settings(_environ or {}).endpoint(**options)[0]


def notes(_environ: dict[str, str] | None = None, /, **options: Any) -> list[str]:
    return Settings(_environ or {}).endpoint(**options)[1]


def refusal(_environ: dict[str, str] | None = None, /, **options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        endpoint(_environ, **options)
    return str(caught.value)


# --- the environment ----------------------------------------------------------------------------------


def test_the_environment_of_the_process_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "before")
    settings = Settings.here()
    monkeypatch.setenv("OTEL_SERVICE_NAME", "after")

    assert settings.get("OTEL_SERVICE_NAME") == "before"


def test_nothing_of_the_environment_is_shown() -> None:
    assert "s3cr3t" not in repr(Settings({"VECTARA_API_KEY": "s3cr3t"}))


def test_an_empty_variable_counts_as_unset() -> None:
    settings = Settings({"A": "", "B": " \n", "C": " c\n"})

    assert settings.get("A", "B") is None
    assert settings.get("A", "B", "C") == "c"
    assert settings.get("D") is None


def test_a_fetcher_is_given_its_variables_and_no_others() -> None:
    settings = Settings({"A": "", "B": " b\n", "C": "c"})

    assert settings.variables(("A", "B", "D")) == {"B": "b"}


@pytest.mark.parametrize(
    ("told", "disabled"), [(None, False), ("", False), ("false", False), ("1", False), ("true", True), ("TRUE", True)]
)
def test_only_true_disables(told: str | None, disabled: bool) -> None:  # noqa: FBT001
    assert Settings({} if told is None else {"OTEL_SDK_DISABLED": told}).disabled is disabled


def test_variables_that_do_not_apply_are_named_one_line_each() -> None:
    settings = Settings(
        {
            "OTEL_TRACES_SAMPLER": "traceidratio",
            "OTEL_ATTRIBUTE_COUNT_LIMIT": "1",
            "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "1",
            "OTEL_SPAN_LINK_COUNT_LIMIT": "1",
        }
    )

    assert [line.partition(" is set; ")[0] for line in settings.unheeded] == list(settings.environ)
    assert settings.unheeded[-1] == (
        "OTEL_SPAN_LINK_COUNT_LIMIT is set; count limits do not apply to recorded history: no link is left out"
    )


def test_variables_that_ask_for_what_happens_anyway_are_not_named() -> None:
    assert Settings({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_TRACES_SAMPLER": ""}).unheeded == []


# --- where to send ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, "http://localhost:4318/v1/traces"),
        ({"ENDPOINT": ""}, "http://localhost:4318/v1/traces"),
        # The general one is a base for all signals; that of traces is used as it is.
        ({"ENDPOINT": "http://a:4318"}, "http://a:4318/v1/traces"),
        ({"ENDPOINT": "http://a:4318/"}, "http://a:4318/v1/traces"),
        ({"ENDPOINT": "https://a/otlp/"}, "https://a/otlp/v1/traces"),
        ({"ENDPOINT": "https://a/v1/traces"}, "https://a/v1/traces/v1/traces"),
        ({"ENDPOINT": "https://a/otlp?x=1"}, "https://a/otlp/v1/traces?x=1"),
        ({"TRACES_ENDPOINT": "http://a:4318"}, "http://a:4318"),
        ({"TRACES_ENDPOINT": "http://a:4318/x"}, "http://a:4318/x"),
        ({"TRACES_ENDPOINT": "http://a/x", "ENDPOINT": "http://b"}, "http://a/x"),
        ({"TRACES_ENDPOINT": " ", "ENDPOINT": "http://b"}, "http://b/v1/traces"),
    ],
)
def test_endpoints_of_the_environment(environ: dict[str, str], url: str) -> None:
    assert endpoint({f"{GENERAL}{name}": told for name, told in environ.items()}).url == url


@pytest.mark.parametrize(
    ("option", "url"),
    [
        ("http://a:4318", "http://a:4318/v1/traces"),
        ("http://a:4318/", "http://a:4318/v1/traces"),
        ("https://a/x", "https://a/x"),
        ("https://a/x/", "https://a/x/"),
        ("https://a?x=1", "https://a/v1/traces?x=1"),
        ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
    ],
)
def test_an_endpoint_without_a_path_gets_that_of_traces(option: str, url: str) -> None:
    assert endpoint({f"{GENERAL}ENDPOINT": "http://other", f"{TRACES}ENDPOINT": "http://other"}, url=option).url == url
    assert notes(url=option) == []


@pytest.mark.parametrize(
    ("environ", "options"),
    [
        ({}, {"url": "http://a:4317"}),
        ({f"{GENERAL}ENDPOINT": "http://a:4317"}, {}),
        ({f"{TRACES}ENDPOINT": "http://a:4317"}, {}),
    ],
)
def test_port_4317_without_a_protocol_is_grpc_and_it_says_so(environ: dict[str, str], options: dict[str, str]) -> None:
    found = endpoint(environ, **options)

    assert (found.protocol, found.url, found.plaintext) == ("grpc", "http://a:4317", True)
    assert notes(environ, **options) == ["port 4317 without a protocol: sending over gRPC (--protocol says otherwise)"]


@pytest.mark.parametrize("environ", [{}, {f"{GENERAL}PROTOCOL": "grpc"}])
def test_port_4317_with_a_protocol_is_left_alone(environ: dict[str, str]) -> None:
    found = endpoint(environ, url="http://a:4317", protocol="http/protobuf")

    assert (found.protocol, found.url) == ("http/protobuf", "http://a:4317/v1/traces")
    assert notes(environ, url="http://a:4317", protocol="http/protobuf") == []


@pytest.mark.parametrize("option", ["a:4318", "user:s3cr3t@a:4318"])
def test_an_endpoint_without_a_scheme_is_plain_http_and_it_says_so(option: str) -> None:
    assert endpoint(url=option).url == f"http://{option}/v1/traces"
    assert notes(url=option) == ["--endpoint has no scheme; taken as http://, without encryption"]
    assert notes({f"{GENERAL}ENDPOINT": option}) == [
        "OTEL_EXPORTER_OTLP_ENDPOINT has no scheme; taken as http://, without encryption"
    ]


def test_a_grpc_endpoint_without_a_scheme_is_plain_when_typed_and_says_so() -> None:
    assert endpoint(url="a:4317").plaintext is True
    assert len(notes(url="a:4317")) == 2


@pytest.mark.parametrize(("insecure", "plaintext"), [(None, False), ("false", False), ("true", True), ("True", True)])
@pytest.mark.parametrize("prefix", [GENERAL, TRACES])
def test_a_grpc_endpoint_of_the_environment_without_a_scheme_is_encrypted_unless_insecure(
    insecure: str | None,
    plaintext: bool,  # noqa: FBT001
    prefix: str,
) -> None:
    environ = {f"{prefix}ENDPOINT": "a:4317", f"{prefix}PROTOCOL": "grpc"}
    if insecure is not None:
        environ[f"{prefix}INSECURE"] = insecure

    assert endpoint(environ).plaintext is plaintext
    assert notes(environ) == []


def test_grpc_is_sent_to_4317_by_default() -> None:
    assert endpoint(protocol="grpc").url == "http://localhost:4317"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://",
        "ftp://ada:s3cr3t@host",
        "http://ada:s3cr3t@host:port",
        "http://ada:s3cr3t@host:99999",
        "http://ada:s3cr3t@[::1",
        "http://ada:s3cr3t@ho\u2100st",
        "http://ada:s3cr3t@",
        "ada:s3cr3t@",
        "http://:s3cr3t",
    ],
)
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf", None])
def test_what_is_no_endpoint_is_refused_and_never_quoted(url: str, protocol: str | None) -> None:
    said = "is no endpoint; it looks like http://localhost:4318 or https://host/path"

    assert refusal(url=url, protocol=protocol) == f"--endpoint {said}"
    if url:
        assert refusal({f"{TRACES}ENDPOINT": url}, protocol=protocol) == f"{TRACES}ENDPOINT {said}"


@pytest.mark.parametrize("url", ["http://ada:s3/cr3t@host", "http://ada:s3\ncr3t@host/x", "http://ada@host:1/x@y"])
def test_what_the_endpoint_itself_refuses_is_not_quoted_either(url: str) -> None:
    assert "cr3t" not in refusal(url=url)


# --- how to send --------------------------------------------------------------------------------------


def test_the_protocol_is_the_option_then_that_of_traces_then_the_general_one() -> None:
    general, traces = {f"{GENERAL}PROTOCOL": "grpc"}, {f"{TRACES}PROTOCOL": "http/protobuf"}

    assert endpoint().protocol == "http/protobuf"
    assert endpoint(general).protocol == "grpc"
    assert endpoint(general | traces).protocol == "http/protobuf"
    assert endpoint(general | traces, protocol="grpc").protocol == "grpc"
    assert endpoint({f"{TRACES}PROTOCOL": "", **general}).protocol == "grpc"


@pytest.mark.parametrize("name", [f"{GENERAL}PROTOCOL", f"{TRACES}PROTOCOL"])
def test_http_json_is_refused_with_what_is_supported(name: str) -> None:
    said = "is 'http/json', which is not supported; supported are http/protobuf and grpc"

    assert refusal({name: "http/json"}) == f"{name} {said}"
    assert refusal(protocol="http/json") == f"--protocol {said}"


def test_headers_are_decoded() -> None:
    environ = {f"{GENERAL}HEADERS": " Authorization = Bearer%20a%3Db , x-scope-orgid=1,,empty=,eq=a=b "}

    assert endpoint(environ).headers == {
        "authorization": "Bearer a=b",
        "x-scope-orgid": "1",
        "empty": "",
        "eq": "a=b",
    }


def test_headers_of_traces_take_the_place_of_the_general_ones() -> None:
    assert endpoint({f"{GENERAL}HEADERS": "a=1,b=1", f"{TRACES}HEADERS": "b=2"}).headers == {"b": "2"}


@pytest.mark.parametrize("name", ["authorization", "Authorization", "AUTHORIZATION"])
def test_a_header_that_is_typed_wins_in_whatever_case(name: str) -> None:
    environ = {f"{GENERAL}HEADERS": "Authorization=general,a=1"}

    assert endpoint(environ, headers={name: "typed"}).headers == {"authorization": "typed", "a": "1"}


@pytest.mark.parametrize("name", [f"{GENERAL}HEADERS", f"{TRACES}HEADERS"])
@pytest.mark.parametrize("told", ["s3cr3t", "=s3cr3t", "a=1,s3cr3t", "Authorization: s3cr3t"])
def test_a_malformed_header_is_never_quoted(name: str, told: str) -> None:
    assert refusal({name: told}) == f"{name}: an entry is not of the form NAME=VALUE"


def test_a_header_that_cannot_be_sent_is_never_quoted() -> None:
    assert "s3cr3t" not in refusal({f"{GENERAL}HEADERS": "a=s3cr3t%0Ax"})


@pytest.mark.parametrize(
    ("environ", "option", "seconds"),
    [
        ({}, None, 10.0),
        ({f"{GENERAL}TIMEOUT": "2500"}, None, 2.5),
        ({f"{GENERAL}TIMEOUT": "2500", f"{TRACES}TIMEOUT": "1"}, None, 0.001),
        ({f"{GENERAL}TIMEOUT": " "}, None, 10.0),
        ({f"{GENERAL}TIMEOUT": "2500"}, 3.0, 3.0),
    ],
)
def test_the_time_out_of_the_environment_is_in_milliseconds(
    environ: dict[str, str], option: float | None, seconds: float
) -> None:
    assert endpoint(environ, timeout=option).timeout == seconds


@pytest.mark.parametrize("told", ["soon", "0", "-1", "nan", "inf", "10s"])
def test_a_time_out_that_is_none_is_refused(told: str) -> None:
    environ = {f"{TRACES}TIMEOUT": told, f"{GENERAL}TIMEOUT": "1000"}

    assert refusal(environ) == f"{TRACES}TIMEOUT is {told!r}; it is a number of milliseconds above 0"


def test_compression() -> None:
    assert endpoint().compression == "none"
    assert endpoint({f"{GENERAL}COMPRESSION": "gzip"}).compression == "gzip"
    assert endpoint({f"{GENERAL}COMPRESSION": "gzip", f"{TRACES}COMPRESSION": "none"}).compression == "none"
    assert refusal({f"{TRACES}COMPRESSION": "zstd"}) == f"{TRACES}COMPRESSION is 'zstd'; supported are gzip and none"


@pytest.mark.parametrize("prefix", [GENERAL, TRACES])
def test_certificates(prefix: str) -> None:
    environ = {
        f"{prefix}CERTIFICATE": "/ca.pem",
        f"{prefix}CLIENT_KEY": "/key.pem",
        f"{prefix}CLIENT_CERTIFICATE": "/cert.pem",
    }

    found = endpoint(environ)

    assert (found.certificate, found.client_key, found.client_certificate) == ("/ca.pem", "/key.pem", "/cert.pem")


def test_certificates_of_traces_come_before_the_general_ones() -> None:
    assert endpoint({f"{GENERAL}CERTIFICATE": "/a.pem", f"{TRACES}CERTIFICATE": "/b.pem"}).certificate == "/b.pem"


# --- the resource -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "service", "expected"),
    [
        (None, None, {}),
        ("", "", {}),
        ("team=a%20b,service.name=x", None, {"team": "a b", "service.name": "x"}),
        ("service.name=x", "y", {"service.name": "y"}),
        (None, " y ", {"service.name": "y"}),
        (" team = é , x=1=2 ", None, {"team": "é", "x": "1=2"}),
    ],
)
def test_resource_attributes(attributes: str | None, service: str | None, expected: dict[str, str]) -> None:
    told = {"OTEL_RESOURCE_ATTRIBUTES": attributes, "OTEL_SERVICE_NAME": service}
    settings = Settings({name: each for name, each in told.items() if each is not None})

    assert settings.resource_attributes() == expected


def test_malformed_resource_attributes_are_refused() -> None:
    with pytest.raises(UsageError, match=r"^OTEL_RESOURCE_ATTRIBUTES: an entry is not of the form NAME=VALUE$"):
        Settings({"OTEL_RESOURCE_ATTRIBUTES": "team"}).resource_attributes()


def test_a_pair_is_split_at_the_first_equals_sign() -> None:
    assert parse_pair(" Authorization = Basic YQ== ", "--header") == ("Authorization", "Basic YQ==")


@pytest.mark.parametrize("told", ["s3cr3t", "=s3cr3t", " =s3cr3t", ""])
def test_what_is_no_pair_is_never_quoted(told: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_pair(told, "--header")

    assert str(caught.value) == "--header is not of the form NAME=VALUE"


# --- contents -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "content"),
    [
        (None, "scrubbed"),
        ("", "scrubbed"),
        ("SPAN_ONLY", "scrubbed"),
        ("span_and_event", "scrubbed"),
        ("true", "scrubbed"),
        ("NO_CONTENT", "none"),
        ("EVENT_ONLY", "none"),
        ("false", "none"),
        ("whatever comes next", "none"),
    ],
)
def test_what_is_captured_is_what_the_variable_says_unless_an_option_does(told: str | None, content: Content) -> None:
    name = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
    settings = Settings({} if told is None else {name: told})

    assert settings.content(None) == content
    assert settings.content("full") == "full"


@pytest.mark.parametrize(
    ("environ", "option", "expected"),
    [
        ({}, None, DEFAULT_MAX_VALUE),
        ({}, 64, 64),
        ({"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "2000"}, None, 2000),
        ({"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "2000", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "100"}, None, 100),
        ({"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "2000", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": ""}, None, 2000),
        ({"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "none"}, 100, 100),
    ],
)
def test_the_length_limit_is_the_option_then_that_of_spans_then_the_general_one(
    environ: dict[str, str], option: int | None, expected: int
) -> None:
    assert Settings(environ).max_value(option) == expected


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("63", "is 63; an attribute of fewer than 64 bytes holds nothing"),
        ("-1", "is -1; an attribute of fewer than 64 bytes holds nothing"),
        ("2k", "is '2k'; it is a number of bytes"),
        ("1e5", "is '1e5'; it is a number of bytes"),
    ],
)
def test_a_length_limit_that_is_none_is_refused(told: str, said: str) -> None:
    name = "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"
    with pytest.raises(UsageError) as caught:
        Settings({name: told}).max_value(None)

    assert str(caught.value) == f"{name} {said}"


def test_a_length_limit_that_is_typed_too_small_names_the_option() -> None:
    with pytest.raises(UsageError, match=r"^--max-value is 0; "):
        Settings({}).max_value(0)
