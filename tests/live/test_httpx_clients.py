"""What passes through clients of httpx and httpx2 is recorded, and nothing about it changes."""

from __future__ import annotations

import asyncio
import gc
import gzip
import inspect
import json
import subprocess
import sys
import threading
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context, trace
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor, HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from otel_agent_events import TurnRecorder, instrument_httpx, uninstrument_httpx
from otel_agent_events.errors import UsageError
from otel_agent_events.live import httpx_clients
from tests.live.clients import KINDS, NAMES, Caller, opened
from tests.live.platform import CUT, Answer, StreamingPlatform, answer, event, events
from tests.live.recorders import LONG, Broken, Kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.sdk.trace import ReadableSpan

MESSAGES = [{"type": "text", "content": "Where is order 5512?"}]
ASKED = {"type": "input_message", "messages": MESSAGES, "stream_response": True}
QUESTION = {"type": "input_message", "messages": MESSAGES}
RECORDS = [{"type": "thinking", "id": "1"}, {"type": "agent_output", "id": "2"}, {"type": "end"}]

kinds = pytest.mark.parametrize("kind", KINDS, ids=NAMES)


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    uninstrument_httpx()


@pytest.fixture
def platform() -> Iterator[StreamingPlatform]:
    with StreamingPlatform() as platform:
        yield platform


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(spans: InMemorySpanExporter) -> TracerProvider:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return provider


@contextmanager
def watched(kind: Any, kept: Any, **options: Any) -> Iterator[Caller]:
    with opened(kind, **options) as caller:
        instrument_httpx(caller.client, recorder=kept.it, hosts=["127.0.0.1"])
        yield caller


def named(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    (found,) = [span for span in spans.get_finished_spans() if span.name == name]
    return found


# --- what is recorded ---------------------------------------------------------------------------------


@kinds
def test_a_turn_that_is_streamed_is_recorded(kind: Any, platform: StreamingPlatform) -> None:
    platform.answers.append(events(*RECORDS))
    kept = Kept()
    with watched(kind, kept) as caller:
        response = caller.post(platform.url("my agent", "case/1"), json=ASKED)

    assert response.text == "".join(event(record).decode() for record in RECORDS)
    assert kept.turn_.session == "vectara:my%20agent/case%2F1"
    assert kept.turn_.records == [QUESTION, *RECORDS]
    assert kept.turn_.complete


@kinds
def test_a_turn_that_is_answered_at_once_is_recorded(kind: Any, platform: StreamingPlatform) -> None:
    platform.answers.append(answer({"events": RECORDS[:2], "session_key": "case-1"}, status=201))
    kept = Kept()
    with watched(kind, kept) as caller:
        response = caller.post(platform.url(), json={**ASKED, "stream_response": False})

    assert response.json()["events"] == RECORDS[:2]
    assert kept.turn_.records == [QUESTION, *RECORDS[:2]]
    assert kept.turn_.complete


@kinds
def test_a_turn_is_a_span_of_the_service(
    kind: Any, platform: StreamingPlatform, provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    platform.answers.append(events(*RECORDS))
    with opened(kind) as caller:
        instrument_httpx(caller.client, hosts=[platform.host], tracer_provider=provider)
        with provider.get_tracer("service").start_as_current_span("GET /chat") as server:
            caller.post(platform.url("support"), json=ASKED)
            assert trace.get_current_span() is server

    turn = named(spans, "invoke_agent support")
    assert turn.parent == server.get_span_context()
    assert turn.end_time is not None
    assert turn.status.is_ok
    assert "error.type" not in (turn.attributes or {})


@kinds
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/agents/a/sessions/s/events"),
        ("PUT", "/v2/agents/a/sessions/s/events"),
        ("POST", "/v2/agents/a/sessions/s/events/e"),
        ("POST", "/v2/agents/a/sessions/s/events/e/hide"),
        ("POST", "/v2/agents/a/sessions"),
        ("POST", "/v2/agents/a/b/sessions/s/events"),
        ("POST", "/v2/agents//sessions/s/events"),
        ("POST", "/v1/agents/a/sessions/s/events"),
        ("POST", "/x?y=/v2/agents/a/sessions/s/events"),
    ],
)
def test_other_requests_are_left_alone(kind: Any, method: str, path: str, platform: StreamingPlatform) -> None:
    platform.answers.append(answer({"type": "x"}))
    kept = Kept()
    with watched(kind, kept) as caller:
        response = caller.run(caller.client.request(method, f"http://{platform.host}{path}"))

    assert response.json() == {"type": "x"}
    assert kept.turns == []


@pytest.mark.parametrize("options", [{"prefix": "/vectara/eu"}, {"end": "/"}, {"end": "?x=1"}, {"end": "/?x=/events"}])
def test_what_comes_before_and_after_the_path_does_not_matter(options: Any, platform: StreamingPlatform) -> None:
    platform.answers.append(events(*RECORDS))
    kept = Kept()
    with watched(httpx.Client, kept) as caller:
        caller.post(platform.url("a", "s", **options), json=ASKED)

    assert kept.turn_.session == "vectara:a/s"


def test_other_hosts_are_left_alone(platform: StreamingPlatform) -> None:
    platform.answers.append(events(*RECORDS))
    kept = Kept()
    with httpx.Client() as client:
        instrument_httpx(client, recorder=kept.it)
        client.post(platform.url(), json=ASKED)

    assert kept.turns == []


@pytest.mark.parametrize("name", ["OTEL_AGENT_EVENTS_HOSTS", "VECTARA_BASE_URL"])
def test_the_environment_names_hosts(name: str, platform: StreamingPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    platform.answers.append(events(*RECORDS))
    monkeypatch.setenv(name, f"http://{platform.host}/x" if name == "VECTARA_BASE_URL" else f"b, {platform.host}")
    kept = Kept()
    with httpx.Client() as client:
        instrument_httpx(client, recorder=kept.it)
        client.post(platform.url(), json=ASKED)

    assert kept.turn_.complete


@kinds
@pytest.mark.parametrize("how", ["multipart", "generator"])
def test_a_body_that_is_not_in_memory_is_sent_and_not_read(kind: Any, how: str, platform: StreamingPlatform) -> None:
    platform.answers.append(events(*RECORDS))
    kept = Kept()
    parts = [b'{"type":"input_message",', b'"messages":[]}']

    async def later() -> Any:
        for part in parts:
            yield part

    with watched(kind, kept) as caller:
        asynchronous = inspect.iscoroutinefunction(kind.send)
        content = later() if asynchronous else iter(parts)
        options = {"files": {"file": ("a.txt", b"hello")}} if how == "multipart" else {"content": content}
        caller.post(platform.url(), **options)

    assert (b"hello" if how == "multipart" else b"".join(parts)) in platform.received[0].body
    assert kept.turn_.records == RECORDS


# --- nothing is held back, and nothing changes --------------------------------------------------------


@kinds
@pytest.mark.parametrize("how", ["iter_raw", "iter_bytes", "iter_lines"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_what_came_is_given_and_recorded_before_the_rest_is_there(
    kind: Any,
    how: str,
    packed: bool,  # noqa: FBT001
    platform: StreamingPlatform,
) -> None:
    made = zlib.compressobj(wbits=31)
    headers = {"Content-Type": "text/event-stream", **({"Content-Encoding": "gzip"} if packed else {})}

    def part(record: object) -> bytes:
        return made.compress(event(record)) + made.flush(zlib.Z_SYNC_FLUSH) if packed else event(record)

    gates = [threading.Event() for _ in RECORDS]
    parts = [each for record, gate in zip(RECORDS, gates, strict=True) for each in (part(record), gate)]
    platform.answers.append(Answer(parts, headers=headers))
    kept = Kept()
    with watched(kind, kept) as caller:
        response = caller.start(platform.url())
        chunks = caller.chunks(response, how)
        # The platform waits at each gate until this side has got, and recorded, what was sent before.
        for count, gate in enumerate(gates, 1):
            assert next(chunks)
            if how == "iter_lines" and count < len(gates):
                assert next(chunks) == ""
            assert kept.turn_.records == RECORDS[:count]
            gate.set()
        for _ in chunks:
            pass

    assert kept.turn_.complete


ANSWERS: dict[str, Callable[[], Answer]] = {
    "events": lambda: events(*RECORDS),
    "json": lambda: answer({"events": RECORDS}),
    "gzip": lambda: Answer(
        [gzip.compress(event(RECORDS[0]))], headers={"Content-Type": "text/event-stream", "Content-Encoding": "gzip"}
    ),
    "bytes": lambda: Answer([bytes(range(256)) * 50, b"\r", b"\n\xff"], headers={"Content-Type": "application/json"}),
    "bad gzip": lambda: Answer(
        [b"x" * 100], headers={"Content-Type": "text/event-stream", "Content-Encoding": "gzip"}
    ),
    "unknown coding": lambda: Answer(
        [b"x" * 100, b"y"], headers={"Content-Type": "text/event-stream", "Content-Encoding": "snappy"}
    ),
    "page": lambda: Answer([b"<html>"], headers={"Content-Type": "text/html"}),
    "nothing": lambda: Answer([], status=204, headers={}, length=True),
    "refusal": lambda: answer({"messages": ["no"]}, status=403),
    "failure": lambda: Answer([b"oh"], status=503, headers={}),
    "cut": lambda: Answer([event(RECORDS[0]), CUT]),
    "cut at once": lambda: Answer([CUT]),
    "elsewhere": lambda: Answer([], status=302, headers={"Location": "/other"}, length=True),
}  # fmt: skip


def told(caller: Caller, url: str, how: str) -> Any:
    """Use a client, and tell all that is seen of the answer."""
    try:
        if how == "post":
            response = caller.post(url, json=ASKED)
            seen = [response.content]
        else:
            response = caller.start(url, json=ASKED)
            try:
                seen = list(caller.chunks(response, how))
            finally:
                caller.close(response)
    except (httpx.HTTPError, httpx2.HTTPError) as error:
        return type(error), str(error), type(error.request.url).__module__.partition(".")[0]
    headers = {name: value for name, value in response.headers.items() if name != "date"}
    joined = b"".join(seen) if how in {"post", "iter_raw", "iter_bytes"} else seen
    return joined, response.status_code, headers, response.is_closed, response.elapsed.total_seconds() > 0


@kinds
@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("how", ["post", "iter_raw", "iter_lines"])
def test_a_client_gives_the_same_with_and_without(kind: Any, name: str, how: str, platform: StreamingPlatform) -> None:
    platform.answers.extend([ANSWERS[name](), ANSWERS[name]()])
    kept = Kept()
    with opened(kind) as caller:
        without = told(caller, platform.url(), how)
        instrument_httpx(caller.client, recorder=kept.it, hosts=["127.0.0.1"])

        assert told(caller, platform.url(), how) == without
        assert kept.turn_.ended
        first, second = platform.received
        assert (first.body, first.headers, first.target) == (second.body, second.headers, second.target)


chunked = st.lists(st.one_of(st.binary(min_size=1, max_size=100), st.just(event(RECORDS[0]))), max_size=8)


@pytest.mark.parametrize("kind", [httpx.Client, httpx2.AsyncClient], ids=["httpx-sync", "httpx2-async"])
def test_every_byte_goes_through_whatever_the_bytes_are(kind: Any, platform: StreamingPlatform) -> None:
    kept = Kept()
    with watched(kind, kept) as caller:

        @given(chunked, st.sampled_from(["text/event-stream", "application/json", "text/html"]))
        def goes_through(chunks: list[bytes], content_type: str) -> None:
            kept.turns.clear()
            platform.answers.append(Answer(chunks, headers={"Content-Type": content_type}))

            assert b"".join(caller.chunks(caller.start(platform.url()))) == b"".join(chunks)
            assert kept.turn_.ended[0] is None

        goes_through()


@kinds
@pytest.mark.parametrize("broken", [Broken(at_once=True), Broken(at_once=False)], ids=["at once", "later"])
@pytest.mark.parametrize("name", ["events", "json", "refusal", "cut", "bad gzip", "page"])
def test_a_client_gives_the_same_when_the_recorder_is_broken(
    kind: Any, broken: Broken, name: str, platform: StreamingPlatform
) -> None:
    platform.answers.extend([ANSWERS[name](), ANSWERS[name]()])
    with opened(kind) as caller:
        without = told(caller, platform.url(), "post")
        instrument_httpx(caller.client, recorder=broken.it, hosts=["127.0.0.1"])

        assert told(caller, platform.url(), "post") == without


@kinds
def test_a_turn_that_is_not_recorded_is_sent_as_it_is(kind: Any, platform: StreamingPlatform) -> None:
    platform.answers.append(events(*RECORDS))
    kept = Kept(recording=False)
    with watched(kind, kept) as caller:
        response = caller.start(platform.url(), json=ASKED)

        assert "otel_agent_events" not in type(response.stream).__module__
        assert caller.read(response)
    assert (kept.turn_.started, kept.turn_.records) == (True, [])
    assert kept.turn_.ended == (None, True, None)


# --- how turns end ------------------------------------------------------------------------------------


@kinds
def test_a_refusal_is_an_error_of_the_turn(
    kind: Any, platform: StreamingPlatform, provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    platform.answers.append(answer({"messages": ["slower"]}, status=429))
    with opened(kind) as caller:
        instrument_httpx(caller.client, hosts=["127.0.0.1"], tracer_provider=provider)
        assert caller.post(platform.url("support"), json=ASKED).status_code == 429

    turn = named(spans, "invoke_agent support")
    assert not turn.status.is_ok
    assert (turn.attributes or {})["error.type"] == "429"


@kinds
def test_a_platform_that_is_not_there_is_an_error_of_the_turn(
    kind: Any, provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    with StreamingPlatform() as platform:
        url = platform.url("support")
    with opened(kind) as caller:
        instrument_httpx(caller.client, hosts=["127.0.0.1"], tracer_provider=provider)
        with pytest.raises(caller.library.ConnectError):
            caller.post(url, json=ASKED)

    turn = named(spans, "invoke_agent support")
    assert not turn.status.is_ok
    assert (turn.attributes or {})["error.type"] == f"{caller.library.__name__}.ConnectError"


@kinds
@pytest.mark.parametrize("how", ["post", "iter_raw"])
def test_a_connection_that_breaks_is_an_error_and_what_came_is_recorded(
    kind: Any, how: str, platform: StreamingPlatform
) -> None:
    platform.answers.append(Answer([event(RECORDS[0]), event(RECORDS[1])[:15], CUT]))
    kept = Kept()
    with watched(kind, kept) as caller:
        seen = told(caller, platform.url(), how)

    error, complete, _ = kept.turn_.ended
    assert seen[0] is type(error) is caller.library.RemoteProtocolError
    assert not complete
    assert kept.turn_.records == [QUESTION, RECORDS[0]]
    assert kept.lost == []


@kinds
def test_a_reader_that_stops_early_leaves_a_turn_that_is_not_complete(kind: Any, platform: StreamingPlatform) -> None:
    gate = threading.Event()
    platform.answers.append(Answer([event(RECORDS[0]), gate, event(RECORDS[1])]))
    kept = Kept()
    with watched(kind, kept) as caller:
        response = caller.start(platform.url(), json=ASKED)
        next(caller.chunks(response))
        caller.close(response)
        assert kept.turn_.ended == (None, False, None)
        gate.set()

    assert kept.turn_.records == [QUESTION, RECORDS[0]]


@kinds
def test_a_reader_that_stops_after_the_end_was_told_leaves_a_complete_turn(
    kind: Any, platform: StreamingPlatform
) -> None:
    gate = threading.Event()
    platform.answers.append(Answer([event(RECORDS[2]), gate]))
    kept = Kept()
    with watched(kind, kept) as caller:
        response = caller.start(platform.url())
        next(caller.chunks(response))
        caller.close(response)
        assert kept.turn_.complete
        gate.set()


@kinds
def test_an_answer_that_nobody_reads_leaves_a_turn_that_is_not_complete(kind: Any, platform: StreamingPlatform) -> None:
    platform.answers.append(events(*RECORDS))
    kept = Kept()
    with watched(kind, kept) as caller:
        response = caller.start(platform.url(), json=ASKED)
        assert not kept.turn_.over.is_set()
        del response
        gc.collect()

        assert kept.turn_.ended == (None, False, None)
    assert kept.turn_.records == [QUESTION]


@pytest.mark.parametrize("kind", [httpx.AsyncClient, httpx2.AsyncClient], ids=["httpx", "httpx2"])
@pytest.mark.parametrize("when", ["before the answer", "within the answer"])
def test_a_task_that_is_cancelled_is_an_error_of_the_turn(kind: Any, when: str, platform: StreamingPlatform) -> None:
    gate = threading.Event()
    reply = Answer([gate] if when == "before the answer" else [event(RECORDS[0]), gate])
    platform.answers.append(reply)
    kept = Kept()

    async def cancel() -> None:
        async with kind() as client:
            instrument_httpx(client, recorder=kept.it, hosts=["127.0.0.1"])
            task = asyncio.create_task(client.post(platform.url(), json=ASKED))
            await asyncio.to_thread(reply.started.wait, LONG)
            if when == "within the answer":
                await asyncio.to_thread(kept.turn_.heard.wait, LONG)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(cancel())
    gate.set()

    error, complete, _ = kept.turn_.ended
    assert isinstance(error, asyncio.CancelledError)
    assert not complete


@kinds
def test_turns_at_the_same_time_are_told_apart(kind: Any, platform: StreamingPlatform) -> None:
    gates = [threading.Event() for _ in range(3)]
    for number, gate in enumerate(gates):
        platform.answers.append(Answer([event({"type": "a", "n": number}), gate, event({"type": "end", "n": number})]))
    kept = Kept()
    with watched(kind, kept) as caller:
        started = [caller.start(platform.url("a", f"s{number}")) for number in range(3)]
        readers = [caller.chunks(response) for response in started]
        for reader in readers:
            next(reader)
        for gate, reader in reversed(list(zip(gates, readers, strict=True))):
            gate.set()
            for _ in reader:
                pass

    assert [turn.session for turn in kept.turns] == ["vectara:a/s0", "vectara:a/s1", "vectara:a/s2"]
    for number, turn in enumerate(kept.turns):
        assert turn.records == [{"type": "a", "n": number}, {"type": "end", "n": number}]
        assert turn.complete


# --- all that clients can do --------------------------------------------------------------------------


@kinds
def test_a_redirected_request_is_one_turn(kind: Any, platform: StreamingPlatform) -> None:
    platform.answers.append(Answer([b"moved"], status=307, headers={"Location": "/v2/agents/a/sessions/s/events"}))
    platform.answers.append(events(*RECORDS))
    kept = Kept()
    with watched(kind, kept, follow_redirects=True) as caller:
        response = caller.post(platform.url("a", "s"), json=ASKED)

    assert [each.status_code for each in response.history] == [307]
    assert kept.turn_.records == [QUESTION, *RECORDS]
    assert kept.turn_.complete


@kinds
def test_a_request_that_is_sent_again_with_credentials_is_one_turn(kind: Any, platform: StreamingPlatform) -> None:
    challenge = 'Digest realm="here", nonce="abc", qop="auth", algorithm=MD5'
    platform.answers.append(Answer([b"who?"], status=401, headers={"WWW-Authenticate": challenge}))
    platform.answers.append(events(*RECORDS))
    kept = Kept()
    with watched(kind, kept) as caller:
        response = caller.post(platform.url(), json=ASKED, auth=caller.library.DigestAuth("ann", "s3cret"))

    assert (response.status_code, len(platform.received)) == (200, 2)
    assert kept.turn_.complete
    assert "s3cret" not in repr(kept.turn_)


@kinds
def test_an_answer_that_a_hook_of_the_service_has_read_is_recorded(kind: Any, platform: StreamingPlatform) -> None:
    packed = {"Content-Type": "text/event-stream", "Content-Encoding": "gzip"}
    platform.answers.append(Answer([gzip.compress(b"".join(map(event, RECORDS)))], headers=packed))
    kept, seen = Kept(), []

    def hook(response: Any) -> None:
        seen.append(response.read())

    async def async_hook(response: Any) -> None:
        seen.append(await response.aread())

    chosen = async_hook if inspect.iscoroutinefunction(kind.send) else hook
    with watched(kind, kept, event_hooks={"response": [chosen]}) as caller:
        response = caller.post(platform.url(), json=ASKED)

    assert seen == [response.content]
    assert kept.turn_.records == [QUESTION, *RECORDS]
    assert kept.turn_.complete


@kinds
def test_a_transport_that_makes_up_its_answers_is_watched_as_well(kind: Any) -> None:
    kept = Kept()
    with opened(
        kind, transport=_library(kind).MockTransport(lambda _: _library(kind).Response(200, json=RECORDS))
    ) as it:
        instrument_httpx(it.client, recorder=kept.it)
        response = it.post("https://api.vectara.io/v2/agents/a/sessions/s/events", json=ASKED)

    assert response.json() == RECORDS
    assert kept.turn_.records == [QUESTION, *RECORDS]
    assert kept.turn_.complete


def _library(kind: Any) -> Any:
    return httpx2 if kind in {httpx2.Client, httpx2.AsyncClient} else httpx


@kinds
def test_a_subclass_whose_send_looks_at_the_body_gets_what_it_asked_for(kind: Any, platform: StreamingPlatform) -> None:
    seen = []

    class Sync(kind):  # type: ignore[misc]
        def send(self, request: Any, **options: Any) -> Any:
            response = super().send(request, **options)
            seen.append(response.text)
            return response

    class Async(kind):  # type: ignore[misc]
        async def send(self, request: Any, **options: Any) -> Any:
            response = await super().send(request, **options)
            seen.append(response.text)
            return response

    platform.answers.append(events(*RECORDS))
    kept = Kept()
    with watched(Async if inspect.iscoroutinefunction(kind.send) else Sync, kept) as caller:
        response = caller.post(platform.url(), json=ASKED)

    assert seen == [response.text]
    assert kept.turn_.complete


@kinds
def test_what_others_have_wrapped_before_gets_what_it_asked_for(
    kind: Any, platform: StreamingPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, seen = kind.send, []

    def send(self: Any, request: Any, **options: Any) -> Any:
        response = original(self, request, **options)
        seen.append(response.text)
        return response

    async def async_send(self: Any, request: Any, **options: Any) -> Any:
        response = await original(self, request, **options)
        seen.append(response.text)
        return response

    monkeypatch.setattr(kind, "send", async_send if inspect.iscoroutinefunction(original) else send)
    platform.answers.append(events(*RECORDS))
    kept = Kept()
    with watched(kind, kept) as caller:
        response = caller.post(platform.url(), json=ASKED)
        uninstrument_httpx()

    assert seen == [response.text]
    assert kept.turn_.records == [QUESTION, *RECORDS]
    assert kept.turn_.complete


def test_what_others_give_in_place_of_a_response_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpx.Client, "send", lambda *_, **__: "hello")
    kept = Kept()
    with watched(httpx.Client, kept) as caller:
        assert caller.post("http://127.0.0.1/v2/agents/a/sessions/s/events", json=ASKED) == "hello"
        uninstrument_httpx()

    assert kept.turn_.ended == (None, False, None)
    assert kept.turn_.records == [QUESTION]


@kinds
def test_what_others_wrap_afterwards_stays_and_nothing_is_recorded_twice(
    kind: Any, platform: StreamingPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = kind.send
    kept = Kept()
    with watched(kind, kept) as caller, monkeypatch.context() as theirs_only:
        ours = kind.send

        def theirs(self: Any, *args: Any, **options: Any) -> Any:
            return ours(self, *args, **options)

        theirs_only.setattr(kind, "send", theirs)
        uninstrument_httpx()
        assert kind.send is theirs
        platform.answers.extend([events(*RECORDS), events(*RECORDS)])
        caller.post(platform.url())
        assert kept.turns == []

        instrument_httpx(caller.client, recorder=kept.it, hosts=["127.0.0.1"])
        caller.post(platform.url())
        assert kept.turn_.complete

    uninstrument_httpx()
    assert kind.send is own


@pytest.mark.parametrize(
    "key", ["suppress_instrumentation", context._SUPPRESS_INSTRUMENTATION_KEY], ids=["plain", "of the API"]
)
def test_what_suppresses_instrumentation_is_heeded(platform: StreamingPlatform, key: str) -> None:
    platform.answers.append(events(*RECORDS))
    kept = Kept()
    token = context.attach(context.set_value(key, True))  # noqa: FBT003 - as it is there
    try:
        with watched(httpx.Client, kept) as caller:
            caller.post(platform.url(), json=ASKED)
    finally:
        context.detach(token)

    assert kept.turns == []


@kinds
def test_a_turn_that_is_recorded_by_hand_is_recorded_once(
    kind: Any, platform: StreamingPlatform, provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    platform.answers.extend([events(*RECORDS), events(*RECORDS)])
    by_hand = TurnRecorder(tracer_provider=provider)
    with opened(kind) as caller:
        instrument_httpx(caller.client, hosts=["127.0.0.1"], tracer_provider=provider)
        with by_hand.turn("vectara:support/case-1"):
            caller.post(platform.url("support", "case-1"), json=ASKED)
        with by_hand.turn("vectara:support/another"):
            caller.post(platform.url("support", "case-1"), json=ASKED)
        uninstrument_httpx()

    turns = [span for span in spans.get_finished_spans() if span.name == "invoke_agent support"]
    assert sorted(str((span.attributes or {})["session.id"]) for span in turns) == ["another", "case-1", "case-1"]


# --- beside OpenTelemetry's own instrumentation -------------------------------------------------------


@kinds
@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_the_span_of_the_http_client_is_a_child_of_the_turn(
    kind: Any, first: str, platform: StreamingPlatform, provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    theirs = (HTTPX2ClientInstrumentor if _library(kind) is httpx2 else HTTPXClientInstrumentor)()
    steps: list[Callable[[], object]] = [
        lambda: instrument_httpx(hosts=["127.0.0.1"], tracer_provider=provider),
        lambda: theirs.instrument(tracer_provider=provider),
    ]
    try:
        for step in steps if first == "ours" else reversed(steps):
            step()
        platform.answers.append(events(*RECORDS))
        with provider.get_tracer("service").start_as_current_span("GET /chat") as server, opened(kind) as caller:
            caller.post(platform.url("support"), json=ASKED)
    finally:
        theirs.uninstrument()

    turn, client = named(spans, "invoke_agent support"), named(spans, "POST")
    assert turn.parent == server.get_span_context()
    assert client.parent == turn.get_span_context()
    assert client.context is not None
    assert platform.received[0].headers["traceparent"].split("-")[2] == f"{client.context.span_id:016x}"


def test_a_turn_that_is_sampled_out_takes_the_span_of_the_http_client_with_it(
    platform: StreamingPlatform, provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    theirs = HTTPXClientInstrumentor()
    theirs.instrument(tracer_provider=provider)
    try:
        platform.answers.append(events(*RECORDS))
        with httpx.Client() as client:
            instrument_httpx(client, hosts=["127.0.0.1"], tracer_provider=TracerProvider(sampler=ALWAYS_OFF))
            client.post(platform.url(), json=ASKED)
    finally:
        theirs.uninstrument()

    assert spans.get_finished_spans() == ()
    assert int(platform.received[0].headers["traceparent"].split("-")[3], 16) & 1 == 0  # not sampled


# --- on and off ---------------------------------------------------------------------------------------

METHODS = [(kind, name) for kind in KINDS for name in ("send", "__init__")]


def methods() -> list[Any]:
    return [kind.__dict__[name] for kind, name in METHODS]


@kinds
def test_every_client_made_afterwards_is_watched(kind: Any, platform: StreamingPlatform) -> None:
    kept = Kept()
    with opened(kind) as before:
        instrument_httpx(recorder=kept.it, hosts=["127.0.0.1"])
        platform.answers.extend([events(*RECORDS), events(*RECORDS)])
        before.post(platform.url("before"))
        with opened(kind) as after:
            after.post(platform.url("after"))

    assert [turn.session for turn in kept.turns] == ["vectara:after/case-1"]


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_what_the_module_posts_is_watched(library: Any, platform: StreamingPlatform) -> None:
    kept = Kept()
    instrument_httpx(recorder=kept.it, hosts=["127.0.0.1"])
    platform.answers.extend([events(*RECORDS), events(*RECORDS)])
    library.post(platform.url(), json=ASKED)
    with library.stream("POST", platform.url(), json=ASKED) as response:
        lines = list(response.iter_lines())

    assert len(lines) == 6
    assert [turn.records for turn in kept.turns] == [[QUESTION, *RECORDS]] * 2


@kinds
def test_instrumenting_twice_records_once_and_the_last_call_holds(kind: Any, platform: StreamingPlatform) -> None:
    first, second = Kept(), Kept()
    instrument_httpx(recorder=first.it, hosts=["127.0.0.1"])
    instrument_httpx(recorder=first.it, hosts=["127.0.0.1"])
    platform.answers.extend([events(*RECORDS), events(*RECORDS)])
    with opened(kind) as caller:
        caller.post(platform.url())
        instrument_httpx(caller.client, recorder=second.it, hosts=["127.0.0.1"])
        instrument_httpx(caller.client, recorder=second.it, hosts=["127.0.0.1"])
        caller.post(platform.url())

    assert first.turn_.complete
    assert second.turn_.complete


def test_uninstrumenting_leaves_everything_as_it_was(platform: StreamingPlatform) -> None:
    before, finders = methods(), list(sys.meta_path)
    kept = Kept()
    uninstrument_httpx()
    assert methods() == before

    with opened(httpx.Client) as mine:
        instrument_httpx(recorder=kept.it, hosts=["127.0.0.1"])
        instrument_httpx(mine.client, recorder=kept.it, hosts=["127.0.0.1"])
        with opened(httpx2.AsyncClient) as made, opened(httpx.Client) as other:
            assert all(now is not then for now, then in zip(methods(), before, strict=True))
            uninstrument_httpx()
            uninstrument_httpx()

            assert all(now is then for now, then in zip(methods(), before, strict=True))
            assert sys.meta_path == finders
            for caller in (mine, made, other):
                assert "send" not in vars(caller.client)
                platform.answers.append(events(*RECORDS))
                caller.post(platform.url())
    assert kept.turns == []


@kinds
def test_one_client_can_be_left_alone(kind: Any, platform: StreamingPlatform) -> None:
    before, kept = methods(), Kept()
    with opened(kind) as one, watched(kind, kept) as other:
        instrument_httpx(one.client, recorder=kept.it, hosts=["127.0.0.1"])
        uninstrument_httpx(one.client)
        uninstrument_httpx(one.client)
        platform.answers.extend([events(*RECORDS), events(*RECORDS)])
        one.post(platform.url("one"))
        other.post(platform.url("other"))

        assert [turn.session for turn in kept.turns] == ["vectara:other/case-1"]
        uninstrument_httpx(other.client)
    assert all(now is then for now, then in zip(methods(), before, strict=True))


@kinds
def test_a_turn_that_is_under_way_is_recorded_to_its_end(kind: Any, platform: StreamingPlatform) -> None:
    gate = threading.Event()
    platform.answers.append(Answer([event(RECORDS[0]), gate, event(RECORDS[2])]))
    kept = Kept()
    with watched(kind, kept) as caller:
        chunks = caller.chunks(caller.start(platform.url()))
        next(chunks)
        uninstrument_httpx()
        gate.set()
        for _ in chunks:
            pass

    assert kept.turn_.records == [RECORDS[0], RECORDS[2]]
    assert kept.turn_.complete


def test_a_client_that_is_gone_is_forgotten() -> None:
    instrument_httpx(recorder=Kept().it)
    clients = [httpx.Client() for _ in range(3)]
    for client in clients:
        client.close()
    assert httpx_clients._clients
    del client, clients
    gc.collect()

    assert not httpx_clients._clients


def test_a_client_with_an_equality_of_its_own_is_watched(platform: StreamingPlatform) -> None:
    class Odd(httpx.Client):
        def __eq__(self, other: object) -> bool:
            raise AssertionError

        __hash__ = None  # type: ignore[assignment]

    kept = Kept()
    instrument_httpx(recorder=kept.it, hosts=["127.0.0.1"])
    platform.answers.append(events(*RECORDS))
    with Odd() as client:
        client.post(platform.url())

    assert kept.turn_.complete


def test_the_signatures_of_the_clients_are_still_told() -> None:
    before = [inspect.signature(method) for method in methods()]
    instrument_httpx(recorder=Kept().it)

    assert [inspect.signature(method) for method in methods()] == before
    assert inspect.iscoroutinefunction(httpx.AsyncClient.send)


@pytest.mark.parametrize("client", [3, httpx, httpx.Client, httpx.Request("GET", "http://a")])
def test_what_is_no_client_is_refused(client: Any) -> None:
    with pytest.raises(UsageError, match="is no client of httpx or httpx2"):
        instrument_httpx(client)


def test_a_recorder_and_what_it_would_be_made_of_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="a recorder has its own"):
        instrument_httpx(recorder=Kept().it, content="full")


def test_one_host_may_be_given_as_a_text(platform: StreamingPlatform) -> None:
    kept = Kept()
    platform.answers.append(events(*RECORDS))
    with httpx.Client() as client:
        instrument_httpx(client, recorder=kept.it, hosts="127.0.0.1")
        client.post(platform.url())

    assert kept.turn_.complete


# --- what is imported, and when -----------------------------------------------------------------------


def run(script: str, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, *args], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_instrumenting_does_not_import_httpx2() -> None:
    script = "import sys, otel_agent_events; otel_agent_events.instrument_httpx(); print('httpx2' in sys.modules)"

    assert run(script).strip() == "False"


@pytest.mark.parametrize("made", ["before", "after"])
def test_what_was_imported_before_and_what_is_imported_later_are_watched(
    made: str, platform: StreamingPlatform
) -> None:
    library = "httpx" if made == "before" else "httpx2"
    platform.answers.append(events(*RECORDS))
    script = f"""
import json, sys
from otel_agent_events import instrument_httpx, uninstrument_httpx
from tests.live.recorders import Kept
assert ("{library}" in sys.modules) == ("{made}" == "before")
kept = Kept()
instrument_httpx(recorder=kept.it, hosts=["127.0.0.1"])
import {library}
{library}.post(sys.argv[1], json={ASKED!r})
print(json.dumps(kept.turn_.records))
assert {library}.__spec__.loader.get_filename().endswith("__init__.py")
uninstrument_httpx()
assert {library}.Client.send.__module__.startswith("{library}")
assert not hasattr({library}.Client.send, "__wrapped__")
assert not any("otel_agent_events" in type(finder).__module__ for finder in sys.meta_path)
"""

    assert json.loads(run(script, platform.url())) == [QUESTION, *RECORDS]


def test_a_library_that_is_imported_after_all_was_undone_is_left_alone() -> None:
    script = """
import sys
from otel_agent_events import instrument_httpx, uninstrument_httpx
instrument_httpx()
spec = __import__("importlib.util").util.find_spec("httpx2")
uninstrument_httpx()
import httpx2
assert not hasattr(httpx2.Client.send, "__wrapped__")
"""

    run(script)


def test_httpx2_that_stands_in_for_httpx_is_watched_once(platform: StreamingPlatform) -> None:
    platform.answers.append(events(*RECORDS))
    script = f"""
import httpx2; httpx2.alias_httpx()  # before anything imports httpx, as it says itself
import json, sys
from otel_agent_events import instrument_httpx
from tests.live.recorders import Kept
kept = Kept()
instrument_httpx(recorder=kept.it, hosts=["127.0.0.1"])
import httpx
httpx.post(sys.argv[1], json={ASKED!r})
assert httpx is httpx2
print(json.dumps(kept.turn_.records))
"""

    assert json.loads(run(script, platform.url())) == [QUESTION, *RECORDS]


def test_an_import_that_fails_fails_as_before() -> None:
    script = """
import sys
from otel_agent_events import instrument_httpx
instrument_httpx()
sys.path = [path for path in sys.path if "site-packages" not in path]
sys.path_importer_cache.clear()
try:
    import httpx2
except ModuleNotFoundError as error:
    assert error.name == "httpx2"
else:
    raise AssertionError
"""

    run(script)
