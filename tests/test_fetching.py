"""`fetch`: one session as it was read."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from otel_agent_events import Fetched, FetchError, ReadError, Reference, SessionError, Stop, UsageError, demo, fetch
from otel_agent_events.events import KINDS, Caution, Session, Text, ToolCall, UserMessage
from otel_agent_events.fetchers.neutral import Neutral
from otel_agent_events.fetchers.saved import RecordedAnswer, Recording
from otel_agent_events.sources import Source
from otel_agent_events.testing import LoopbackPlatform, Reply
from tests.recordings import bundled, files, name_of, opened, session_for
from tests.test_stopping import until
from tests.traces import DATA, trace_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx

KEY = "vectara-key-of-this-test"
REFUND = "vectara:support/refund_case_88"
NEUTRAL = DATA / "neutral"
PATIENCE = 30
"""Seconds after which a test fails; what is waited for in vain takes longer."""

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def platform() -> Iterator[LoopbackPlatform]:
    with LoopbackPlatform(bundled("vectara"), headers={"x-api-key": KEY}) as platform:
        yield platform


def had(platform: LoopbackPlatform, reference: str = REFUND, **options: Any) -> Fetched:
    return fetch(reference, **{"base_url": platform.base_url, "environ": {"VECTARA_API_KEY": KEY}, **options})


# --- what is given ------------------------------------------------------------------------------------


def test_a_session_is_given_with_its_events_in_order_and_what_is_known_of_it(platform: LoopbackPlatform) -> None:
    fetched = had(platform)

    first, *_ = fetched.events
    assert fetched.reference == Reference("vectara", ("support", "refund_case_88"))
    assert (fetched.session.reference, fetched.session.agent_name) == (fetched.reference, "Support desk")
    assert (len(fetched.events), fetched.duplicates, fetched.warnings, fetched.complete) == (16, 0, (), True)
    assert isinstance(first, UserMessage)
    assert first.parts == (Text(text="Where is order 5512? It was due on Monday."),)
    assert [event.end for event in fetched.events] == sorted(event.end or 0 for event in fetched.events)


def test_events_hold_values_where_the_items_hold_what_is_written(platform: LoopbackPlatform) -> None:
    fetched = had(platform)

    in_items = [item.arguments for item in fetched.items if isinstance(item, ToolCall)]
    in_events = [event.arguments for event in fetched.events if isinstance(event, ToolCall)]
    assert all(isinstance(each, bytes) for each in in_items)
    assert [json.loads(each) for each in in_items] == in_events
    assert {"order": "5512"} in in_events


@pytest.mark.parametrize("path", files(), ids=name_of)
def test_what_was_read_is_all_that_a_replay_reads(path: Path) -> None:
    replayed = trace_from(opened(path))

    fetched = fetch(path, session=session_for(path), environ={})

    assert len(fetched.events) == replayed.events
    assert all(type(event) in KINDS for event in fetched.events)
    assert fetched.duplicates == replayed.duplicates
    # What comes of the conversion is said behind what comes of the reading.
    said = [item.message for item in fetched.items if isinstance(item, Caution)]
    assert [*fetched.warnings] == [*said, *replayed.flaws]
    assert replayed.warnings[: len(said)] == said


def test_the_session_is_as_it_was_told_last() -> None:
    session = {"id": "a", "platform": "x"}
    lines = [{"session": session}, {"kind": "thinking"}, {"session": {**session, "agent": "Desk"}}]

    fetched = fetch("\n".join(map(json.dumps, lines)).encode(), environ={})

    facts = [item for item in fetched.items if isinstance(item, Session)]
    assert [each.agent_name for each in facts] == [None, "Desk"]
    assert fetched.session == facts[-1]


def test_a_session_of_which_nothing_is_known_has_its_name() -> None:
    reference = Reference("x", ("a",))

    fetched = Fetched.of(Source(reference=reference, fetcher=Neutral(), answers=()))

    assert (fetched.items, fetched.session) == ((), Session(reference=reference))


def test_how_a_session_was_found_is_among_the_warnings() -> None:
    (_, recording, _) = bundled("vectara")
    agent = RecordedAnswer(
        label="agents", path="/v2/agents", query={"limit": "100"}, body={"agents": [{"key": "policies"}]}
    )
    session = RecordedAnswer(label="session", path="/v2/agents/policies/sessions/policy_run_17", body={})
    played = Recording(recording=1, session=recording.session, answers=[agent, session, *recording.answers])
    with LoopbackPlatform([played]) as platform:
        fetched = had(platform, "vectara:policy_run_17")

    assert str(fetched.reference) == "vectara:policies/policy_run_17"
    (said,) = fetched.warnings
    assert said.startswith("'policy_run_17' was looked for in ")


# --- saved answers ------------------------------------------------------------------------------------


def test_bytes_give_what_the_file_gives() -> None:
    path = DATA / "vectara" / "documented.json"

    assert fetch(path.read_bytes(), environ={}) == fetch(path, environ={}) == fetch(str(path), environ={})


@pytest.mark.parametrize("cut", [b"", b'{"events": [{"id"'])
def test_a_broken_end_costs_no_good_record_and_is_told(cut: bytes) -> None:
    content = (DATA / "vectara" / "documented.json").read_bytes()
    whole = fetch(content, environ={})

    fetched = fetch(content + b"\n" + cut, environ={})

    assert fetched.events == whole.events
    assert fetched.complete == (not cut)
    assert fetched.session.complete == fetched.complete
    assert ["is broken or cut off" in warning for warning in fetched.warnings] == ([True] if cut else [])


def test_lines_that_are_no_events_are_told_and_the_others_are_there() -> None:
    fetched = fetch(NEUTRAL / "flawed.jsonl", environ={})

    assert fetched.events
    assert not fetched.complete
    assert any("it was skipped" in warning for warning in fetched.warnings)


def test_of_very_many_flaws_the_first_ones_are_told() -> None:
    lines = [b'{"session":{"id":"a","platform":"x"}}', *[b'{"kind":"odd"}'] * 1000, b'{"kind":"thinking"}']

    fetched = fetch(b"\n".join(lines), environ={})

    assert len(fetched.events) == 1
    assert len(fetched.warnings) == 11
    assert fetched.warnings[-1] == "and 990 more of this kind"


def test_a_file_of_several_sessions_is_refused_and_the_sessions_are_named() -> None:
    pages = [{"events": [{"id": name, "type": "thinking", "session_key": name}]} for name in ("a", "b")]
    body = json.dumps(pages).encode()

    with pytest.raises(UsageError) as caught:
        fetch(body, environ={})
    one = fetch(body, session="vectara:support/b", environ={})

    assert str(caught.value) == (
        "saved answer 1 holds 2 sessions (vectara:/a, vectara:/b), and one is fetched: "
        "say which one is meant with session, or replay them"
    )
    assert [event.id for event in one.events] == ["b"]
    assert one.warnings == ("saved answer 1 holds answers of other sessions, which were not read: vectara:/a",)


def test_neutral_events_of_several_sessions_are_refused_with_what_can_be_done() -> None:
    lines = b"".join(b'{"session":{"id":"%d","platform":"x"}}\n' % number for number in range(12))

    with pytest.raises(UsageError) as caught:
        fetch(lines, environ={})

    assert str(caught.value).startswith("saved answer 1 holds 12 sessions (x:0, x:1, ")
    assert str(caught.value).endswith(
        "x:9 and 2 others), and one is fetched: give each in a file of its own, or replay them"
    )


# --- what goes wrong ----------------------------------------------------------------------------------


def test_a_session_that_breaks_off_is_an_error_and_not_a_part(platform: LoopbackPlatform) -> None:
    with pytest.raises(FetchError, match=r"^vectara:support/unknown: .* answered 404") as caught:
        had(platform, "vectara:support/unknown")

    assert caught.value.status == 404


def test_an_answer_that_cannot_be_read_is_an_error(platform: LoopbackPlatform) -> None:
    path = bundled("vectara")[0].answers[-1].path
    platform.faults[path].append(Reply(body=b'{"events": 7}'))

    with pytest.raises(ReadError):
        had(platform)


@pytest.mark.parametrize(
    ("reference", "options", "said"),
    [
        (REFUND, {"environ": {}}, "VECTARA_API_KEY"),
        ("nothing.json", {}, "is neither a file nor FETCHER:PATH"),
        (REFUND, {"session": "vectara:support/s1"}, "--session names what one saved answer does not"),
        (REFUND, {"timeout": 0}, "the timeout is 0"),
        (REFUND, {"rate": 0}, "the rate is 0"),
    ],
)
def test_a_call_that_cannot_be_carried_out_is_told_before_anything_is_asked(
    reference: str, options: dict[str, Any], said: str, platform: LoopbackPlatform
) -> None:
    with pytest.raises(UsageError, match=said):
        had(platform, reference, **options)

    assert platform.asked == []


def test_a_file_that_is_gone_is_an_error(here: Path) -> None:
    with pytest.raises(ReadError, match=r"gone\.json cannot be read: No such file or directory$"):
        fetch(here / "gone.json", environ={})


def test_the_client_of_the_caller_is_used_and_left_open(platform: LoopbackPlatform, http: httpx.Client) -> None:
    http.headers["x-caller"] = "me"

    had(platform, client=http)

    assert platform.received[0].headers["x-caller"] == "me"
    assert not http.is_closed


# --- to stop it ---------------------------------------------------------------------------------------


def test_who_asked_it_to_stop_before_gets_nothing(platform: LoopbackPlatform) -> None:
    stop = Stop()
    stop.ask()

    with pytest.raises(SessionError, match=f"^{REFUND}: stopped while it was read$"):
        had(platform, stop=stop)

    assert platform.asked == []


@pytest.mark.parametrize(
    "reply",
    [Reply(delay=60), Reply(status=503, headers={"Retry-After": "50"}), Reply(body=b"x" * 99, delay=60)],
    ids=["silent", "busy", "late"],
)
def test_asked_from_another_thread_it_waits_for_no_answer(reply: Reply, platform: LoopbackPlatform) -> None:
    first = platform.faults[bundled("vectara")[0].answers[0].path]
    first.append(reply)
    stop = Stop()
    ended = in_a_thread(lambda: had(platform, stop=stop))
    until(lambda: not first)
    stop.ask()

    assert ended.wait(PATIENCE)


def test_asked_while_a_token_is_waited_for_it_waits_no_longer() -> None:
    (recording,) = bundled("hubster")
    stop = Stop()
    with LoopbackPlatform([recording], tokens=demo.TOKENS) as platform:
        (token,) = (platform.faults[path] for path in demo.TOKENS)
        token.append(Reply(delay=60))
        ended = in_a_thread(
            lambda: fetch(recording.session, environ=demo.environment(platform.base_url, {}), stop=stop)
        )
        until(lambda: not token)
        stop.ask()

        assert ended.wait(PATIENCE)


def in_a_thread(fetching: Callable[[], object]) -> threading.Event:
    """Fetch in another thread; what is given is set when it was stopped."""
    ended = threading.Event()

    def work() -> None:
        with pytest.raises(SessionError, match="stopped while it was read"):
            fetching()
        ended.set()

    threading.Thread(target=work).start()
    return ended
