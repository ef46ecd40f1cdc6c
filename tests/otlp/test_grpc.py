from __future__ import annotations

import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import DebugInfo, RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from otel_agent_events.errors import RefusedError, UnreachableError, UsageError
from otel_agent_events.otlp import Endpoint, Outcome
from otel_agent_events.otlp.grpc import Answer, GrpcTransport, find_trouble, judge, retry_delay
from otel_agent_events.otlp.send import MOST_BYTES_GRPC, Sender
from otel_agent_events.otlp.verdicts import (
    Acknowledged,
    DestinationRefused,
    Malformed,
    Refused,
    Retry,
    TooLarge,
    Unreachable,
)
from tests.otlp.bodies import HEAD, Clock, bodies, body, counted, ids, messages
from tests.otlp.collectors import (
    Certificates,
    Collector,
    GrpcReply,
    free_port,
    grpc_collector,
    http_collector,
    make_certificates,
    partial,
)

ENDPOINT = Endpoint(url="http://collector:4317", protocol="grpc", headers={"api-key": "s3cret-key"})


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def details(*messages: Any) -> bytes:
    """Return the status of a trailer with these messages in it."""
    status = Status(code=8)
    for message in messages:
        packed = AnyMessage()
        packed.Pack(message)
        status.details.append(packed)
    return bytes(status.SerializeToString())


def retry_info(seconds: int, nanoseconds: int = 0) -> RetryInfo:
    return RetryInfo(retry_delay=Duration(seconds=seconds, nanos=nanoseconds))


# --- what an answer means, without a server -----------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", Acknowledged()),
        (partial(0), Acknowledged()),
        (partial(2, "no name"), Acknowledged(rejected=2, message="no name")),
        (partial(0, "old s3cret-key"), Acknowledged(message="old ****")),
    ],
)
def test_an_ok_is_an_acknowledgement_with_what_the_server_adds(body: bytes, expected: Acknowledged) -> None:
    assert judge(Answer(code="OK", body=body), ENDPOINT) == expected


def test_an_ok_with_something_else_in_it_is_no_acknowledgement() -> None:
    assert judge(Answer(code="OK", body=b"<html>"), ENDPOINT) == DestinationRefused(
        message="what answers at http://collector:4317 does not look like an OTLP receiver"
    )


@pytest.mark.parametrize(
    "code", ["CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"]
)
def test_the_codes_of_the_specification_are_tried_again(code: str) -> None:
    message = f"http://collector:4317 answered {code}: it says 'busy'"

    assert judge(Answer(code=code, words="busy"), ENDPOINT) == Retry(message=message)
    assert judge(Answer(code=code, words="busy", details=details(retry_info(3))), ENDPOINT) == Retry(
        message=message, after=3.0
    )


def test_an_exhausted_resource_is_tried_again_only_when_the_server_says_when() -> None:
    message = "http://collector:4317 answered RESOURCE_EXHAUSTED: it says 'full'"

    answer = Answer(code="RESOURCE_EXHAUSTED", words="full", details=details(DebugInfo(), retry_info(1, 500_000_000)))
    assert judge(answer, ENDPOINT) == Retry(message=message, after=1.5)
    assert judge(Answer(code="RESOURCE_EXHAUSTED", words="full"), ENDPOINT) == Refused(message=message)
    assert judge(Answer(code="RESOURCE_EXHAUSTED", words="full", details=details(DebugInfo())), ENDPOINT) == Refused(
        message=message
    )


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (None, None),
        (b"", None),
        (b"\xff", None),
        (details(retry_info(-5)), 0.0),
        (details(retry_info(0)), 0.0),
        (details(retry_info(5, 1_000_000)), 5.001),
        (Status(details=[AnyMessage(type_url="x/google.rpc.RetryInfo", value=b"\xff")]).SerializeToString(), None),
    ],
)
def test_a_retry_delay_is_read_from_the_trailer(told: bytes | None, expected: float | None) -> None:
    assert retry_delay(told) == expected


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("UNAUTHENTICATED", "Check the credentials in --header or OTEL_EXPORTER_OTLP_HEADERS"),
        ("PERMISSION_DENIED", "Check the credentials in --header or OTEL_EXPORTER_OTLP_HEADERS"),
        (
            "UNIMPLEMENTED",
            "Is this an OTLP gRPC port? It is usually 4317; 4318 is HTTP: set the protocol http/protobuf",
        ),
    ],
)
def test_what_concerns_every_batch_refuses_the_destination_with_a_hint(code: str, hint: str) -> None:
    assert judge(Answer(code=code, words="no with s3cret-key"), ENDPOINT) == DestinationRefused(
        message=f"http://collector:4317 answered {code}: it says 'no with ****'. {hint}"
    )


@pytest.mark.parametrize("code", ["RESOURCE_EXHAUSTED", "INVALID_ARGUMENT"])
def test_words_about_the_size_mean_that_the_batch_is_too_large(code: str) -> None:
    words = "received message larger than max"
    message = f"http://collector:4317 answered {code}: it says '{words}'"

    assert judge(Answer(code=code, words=words), ENDPOINT) == TooLarge(message=message)


def test_an_invalid_argument_is_a_malformed_batch() -> None:
    assert judge(Answer(code="INVALID_ARGUMENT", words="bad span"), ENDPOINT) == Malformed(
        message="http://collector:4317 answered INVALID_ARGUMENT: it says 'bad span'"
    )


@pytest.mark.parametrize("code", ["INTERNAL", "UNKNOWN", "NOT_FOUND", "FAILED_PRECONDITION"])
def test_other_codes_refuse_the_batch_and_are_not_tried_again(code: str) -> None:
    assert judge(Answer(code=code, words="x" * 400), ENDPOINT) == Refused(
        message=f"http://collector:4317 answered {code}: it says '{'x' * 299}…'"
    )


@pytest.mark.parametrize(
    ("code", "words", "kind"),
    [
        ("UNAVAILABLE", "failed to connect to all addresses; last error: ...: Connection refused", "absent"),
        ("UNAVAILABLE", "failed to connect to all addresses; last error: ...: Tls handshake failed (...)", "tls"),
        ("UNAVAILABLE", "failed to connect to all addresses; last error: ...: Failed parsing HTTP/2 (...)", "foreign"),
        ("UNAVAILABLE", "failed to connect to all addresses; last error: Trying to connect an http1.x ser", "foreign"),
        ("UNAVAILABLE", "failed to connect to all addresses; last error: ...: Socket closed", "broken"),
        ("UNAVAILABLE", "errors resolving collector.invalid:4317: [...]", "unknown"),
        ("UNAVAILABLE", "Name resolution failure", "unknown"),
        ("UNAVAILABLE", "DNS resolution failed for collector.invalid:4317: ...", "unknown"),
    ],
)
def test_the_words_of_grpc_itself_mean_that_nobody_answered(code: str, words: str, kind: str) -> None:
    trouble = find_trouble(Answer(code=code, words=words))

    assert trouble is not None
    assert (trouble.kind, trouble.detail) == (kind, words)
    assert isinstance(judge(Answer(code=code, words=words), ENDPOINT), Unreachable)


def test_a_deadline_that_passed_here_is_no_answer_and_one_that_passed_behind_the_server_is() -> None:
    here = Answer(code="DEADLINE_EXCEEDED", words="Stream removed (Deadline Exceeded)", late=True)
    behind = Answer(code="DEADLINE_EXCEEDED", words="context deadline exceeded")

    assert isinstance(judge(here, ENDPOINT), Unreachable)
    assert isinstance(judge(behind, ENDPOINT), Retry)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("UNAVAILABLE", "the next hop failed to connect: connection refused"),
        ("UNAVAILABLE", ""),
        ("INTERNAL", "failed to connect to all addresses"),
    ],
)
def test_the_words_of_a_server_are_an_answer(code: str, words: str) -> None:
    assert find_trouble(Answer(code=code, words=words)) is None


# --- over the loopback --------------------------------------------------------------------------------


def send(
    endpoint: Endpoint, clock: Clock | None = None, count: int = 3, **options: Any
) -> tuple[list[Outcome], Sender]:
    """Send some spans; return the outcomes and the destination."""
    clock = clock or Clock()
    transport = GrpcTransport(endpoint)
    sender = Sender(transport, name=endpoint.name, sleep=clock.sleep, clock=clock, draw=lambda: 0.5, **options)
    sender.put(HEAD, bodies(count))
    sender.close()
    return sender.outcomes(), sender


def at(url: str, **options: Any) -> Endpoint:
    return Endpoint(url=url, protocol="grpc", **options)


def counts(outcomes: list[Outcome]) -> tuple[int, int, int]:
    total = counted(outcomes)
    return total.acknowledged, total.rejected, total.lost


def said(outcomes: list[Outcome]) -> str | None:
    """Return the one sentence of the outcomes, if there is one."""
    told = messages(outcomes)
    assert len(told) <= 1
    return told[0] if told else None


def test_a_request_carries_our_headers_in_lower_case() -> None:
    with grpc_collector() as collector:
        outcome, _ = send(at(collector.url, headers={"Api-Key": "blue", "X-Trace-Bin": "raw"}))

    assert counts(outcome) == (3, 0, 0)
    assert collector.ids == ids(3)
    (request,) = collector.requests
    assert request.headers["api-key"] == "blue"
    assert request.headers["x-trace-bin"] == "b'raw'"
    assert request.headers["user-agent"].startswith("otel-agent-events/")


def test_an_address_without_a_scheme_is_plaintext_when_it_is_insecure() -> None:
    with grpc_collector() as collector:
        outcome, _ = send(at(collector.url.removeprefix("http://"), insecure=True))

    assert counts(outcome) == (3, 0, 0)


def test_gzip_is_decompressed_by_the_server_into_the_same_spans() -> None:
    with grpc_collector() as collector:
        outcome, _ = send(at(collector.url, compression="gzip"), count=50)

    assert counts(outcome) == (50, 0, 0)
    assert collector.ids == ids(50)


@pytest.mark.parametrize(
    ("reply", "expected", "words"),
    [
        (GrpcReply(), (3, 0, 0), None),
        (GrpcReply(body=partial(2, "no name")), (1, 2, 0), "no name"),
        (GrpcReply(body=partial(0, "old schema")), (3, 0, 0), "old schema"),
        (GrpcReply(code="RESOURCE_EXHAUSTED", words="full"), (0, 0, 3), "RESOURCE_EXHAUSTED: it says 'full'"),
        (GrpcReply(code="INTERNAL"), (0, 0, 3), "answered INTERNAL"),
    ],
)
def test_an_answer_about_one_batch(reply: GrpcReply, expected: tuple[int, int, int], words: str | None) -> None:
    clock = Clock()
    with grpc_collector(reply) as collector:
        outcome, destination = send(at(collector.url), clock)

    assert counts(outcome) == expected
    assert (said(outcome) is None) == (words is None)
    assert (words or "") in (said(outcome) or "")
    assert destination.failure is None
    assert clock.slept == []
    assert len(collector.requests) == 1


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (
            GrpcReply(code="UNAUTHENTICATED", words="no key"),
            "answered UNAUTHENTICATED: it says 'no key'. Check the cre",
        ),
        (GrpcReply(code="PERMISSION_DENIED"), "answered PERMISSION_DENIED. Check the credentials"),
        (GrpcReply(body=b"<html>"), "does not look like an OTLP receiver"),
    ],
)
def test_an_answer_that_concerns_every_batch_is_a_failure(reply: GrpcReply, words: str) -> None:
    with grpc_collector(reply) as collector:
        outcome, destination = send(at(collector.url))
        destination.put(HEAD, bodies(1, start=4), first=3)

    assert counts(outcome) == (0, 0, 3)
    assert isinstance(destination.failure, RefusedError)
    assert words in str(destination.failure)
    assert [each.lost for each in destination.outcomes()] == [1]
    assert len(collector.requests) == 1


def test_a_grpc_server_that_is_no_otlp_receiver_is_told() -> None:
    with grpc_collector(method="/some.other.Service/Method") as collector:
        _, destination = send(at(collector.url))

    assert isinstance(destination.failure, RefusedError)
    assert "answered UNIMPLEMENTED" in str(destination.failure)
    assert "Is this an OTLP gRPC port?" in str(destination.failure)


def test_what_passes_is_tried_again_until_it_is_taken() -> None:
    clock = Clock()
    replies = [
        GrpcReply(code="UNAVAILABLE", words="restarting"),
        GrpcReply(code="RESOURCE_EXHAUSTED", details=details(retry_info(9))),
        GrpcReply(code="DATA_LOSS"),
    ]
    with grpc_collector(*replies) as collector:
        outcome, _ = send(at(collector.url), clock)

    assert counts(outcome) == (3, 0, 0)
    assert clock.slept == [0.5, 9.0, 2.0]
    assert len(collector.requests) == 4
    assert collector.ids == ids(3)


def test_a_server_that_stays_busy_loses_the_batch_with_its_words() -> None:
    with grpc_collector(answer=lambda _: GrpcReply(code="UNAVAILABLE", words="over quota")) as collector:
        outcome, destination = send(at(collector.url), deadline=3.0)

    assert counts(outcome) == (0, 0, 3)
    assert said(outcome) == (
        f"{collector.url} answered UNAVAILABLE: it says 'over quota'; "
        "given up after 4 tries in 3 s (--deadline gives it longer)"
    )
    assert isinstance(destination.failure, RefusedError)


def test_no_credential_is_in_what_a_server_repeats() -> None:
    with grpc_collector(GrpcReply(code="UNAUTHENTICATED", words="bad key s3cret-key")) as collector:
        outcome, destination = send(at(collector.url, headers={"api-key": "s3cret-key"}))

    assert "it says 'bad key ****'" in str(destination.failure)
    assert "s3cret" not in repr(outcome) + repr(destination.failure) + repr(destination)


def test_nobody_listening_is_told_after_a_quarter_of_a_minute() -> None:
    clock = Clock()
    outcome, destination = send(at(f"http://127.0.0.1:{free_port()}"), clock)

    assert counts(outcome) == (0, 0, 3)
    assert isinstance(destination.failure, UnreachableError)
    assert str(destination.failure).startswith("nobody listens at http://127.0.0.1:")
    assert clock.now == 15.0


def test_a_host_that_nobody_knows_is_told() -> None:
    _, destination = send(at("http://collector.invalid:4317"))

    assert isinstance(destination.failure, UnreachableError)
    assert "cannot be found: no host is known by that name" in str(destination.failure)


def test_an_http_port_is_told_apart() -> None:
    with http_collector() as collector:
        _, destination = send(at(collector.url))

    assert isinstance(destination.failure, UnreachableError)
    assert "does not speak gRPC" in str(destination.failure)
    assert "Port 4318 is HTTP: set the protocol http/protobuf" in str(destination.failure)


def test_a_server_that_does_not_answer_in_time_is_told_with_the_unit_of_the_variable() -> None:
    with grpc_collector(answer=lambda _: GrpcReply(pause=0.6)) as collector:
        _, destination = send(at(collector.url, timeout=0.2), deadline=0.1)

    assert isinstance(destination.failure, UnreachableError)
    assert "did not answer within 0.2 s. OTEL_EXPORTER_OTLP_TIMEOUT is in milliseconds" in str(destination.failure)


@pytest.mark.parametrize("greets", [False, True])
def test_an_answer_that_comes_a_byte_at_a_time_has_one_time_in_all(greets: bool) -> None:  # noqa: FBT001
    settings = b"\0\0\0\x04\0\0\0\0\0"
    headers = b"\0\x10\0\x01\x04\0\0\0\x01" + b"\x88" * 4_096  # of the first request's answer
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if greets:
                connection.sendall(settings)
            for at in range(4_096):
                if over.wait(0.02):
                    return
                connection.sendall((headers if greets else settings * 500)[at : at + 1])

    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor() as pool:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    pool.submit(drip, listening.accept()[0])

        pool.submit(accept)
        begun = time.monotonic()
        _, destination = send(at(f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=0.4), deadline=0.1)
        seconds = time.monotonic() - begun
        over.set()
        listening.shutdown(socket.SHUT_RDWR)

    assert isinstance(destination.failure, UnreachableError)
    assert seconds < 2.0


def test_a_server_that_hangs_up_before_it_speaks_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up() -> None:
            with contextlib.suppress(OSError):
                while True:
                    listening.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        _, destination = send(at(f"http://127.0.0.1:{listening.getsockname()[1]}"))
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()

    assert isinstance(destination.failure, UnreachableError)
    assert "the connection to" in str(destination.failure)


def test_a_collector_that_comes_back_gets_what_was_not_acknowledged() -> None:
    port = free_port()
    endpoint = at(f"http://127.0.0.1:{port}")
    with ExitStack() as stack:
        returned: list[Collector] = []

        def come_back(_: float) -> None:
            if not returned:
                returned.append(stack.enter_context(grpc_collector(port=port)))
            time.sleep(0.2)  # gRPC looks again after a moment of its own

        destination = Sender(GrpcTransport(endpoint), name=endpoint.name, most_spans=1, sleep=come_back)
        with grpc_collector(port=port) as first:
            destination.put(HEAD, bodies(1))
            destination.flush()
        destination.put(HEAD, bodies(1, start=2))
        destination.close()

    assert [outcome.acknowledged for outcome in destination.outcomes()] == [1, 1]
    assert first.ids == ids(1)
    assert returned[0].ids == ids(1, start=2)


def test_requests_stay_below_what_a_grpc_server_takes_by_default() -> None:
    with grpc_collector() as collector:
        destination = Sender(GrpcTransport(at(collector.url)), name="collector", most_bytes=MOST_BYTES_GRPC)
        destination.put(HEAD, bodies(100, size=60_000))
        destination.close()

    assert counts(destination.outcomes()) == (100, 0, 0)
    assert [request.size <= MOST_BYTES_GRPC for request in collector.requests] == [True, True]
    assert sorted(collector.ids) == ids(100)


def test_a_single_span_that_the_server_finds_too_large_is_shortened_alone() -> None:
    with grpc_collector() as collector:
        destination = Sender(GrpcTransport(at(collector.url)), name="collector", most_bytes=MOST_BYTES_GRPC)
        destination.put(HEAD, [body(1), body(2, "x" * 5_000_000), body(3)])
        destination.close()

    outcomes = destination.outcomes()
    assert counts(outcomes) == (3, 0, 0)
    assert sorted(collector.ids) == ids(3)
    assert "RESOURCE_EXHAUSTED: it says " in (said(outcomes) or "")
    assert "larger than max" in (said(outcomes) or "")
    assert "It took the span shortened from 50" in (said(outcomes) or "")


# --- TLS ----------------------------------------------------------------------------------------------


def test_a_certificate_of_ones_own_is_trusted(certificates: Certificates) -> None:
    with grpc_collector(certificates=certificates) as collector:
        outcome, _ = send(at(collector.url, certificate=certificates.authority))

    assert counts(outcome) == (3, 0, 0)


def test_an_address_without_a_scheme_is_encrypted_unless_it_is_insecure(certificates: Certificates) -> None:
    with grpc_collector(certificates=certificates) as collector:
        outcome, _ = send(at(collector.url.removeprefix("https://"), certificate=certificates.authority))

    assert counts(outcome) == (3, 0, 0)


def test_a_client_certificate_is_shown_with_its_key_in_the_same_file(
    certificates: Certificates, tmp_path: Path
) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(Path(certificates.client).read_bytes() + Path(certificates.client_key).read_bytes())
    with grpc_collector(certificates=certificates, client_certificate=True) as collector:
        outcome, _ = send(at(collector.url, certificate=certificates.authority, client_certificate=str(both)))

    assert counts(outcome) == (3, 0, 0)


def test_a_certificate_that_is_not_trusted_is_told_with_the_variable(certificates: Certificates) -> None:
    with grpc_collector(certificates=certificates) as collector:
        _, destination = send(at(collector.url))

    assert isinstance(destination.failure, UnreachableError)
    assert "there is no encrypted connection to https://127.0.0.1:" in str(destination.failure)
    assert "OTEL_EXPORTER_OTLP_CERTIFICATE names the certificate to trust" in str(destination.failure)


def test_certificates_that_cannot_be_read_are_told_before_anything_is_sent() -> None:
    with pytest.raises(UsageError, match=r"the certificate 'absent\.pem' cannot be used: No such file or directory"):
        GrpcTransport(at("https://collector:4317", certificate="absent.pem"))
