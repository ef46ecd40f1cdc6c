from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from otel_agent_events import ids
from otel_agent_events.reference import Reference
from otel_agent_events.spans import View

SESSION = Reference("vectara", ("support", "refund case/88"))
VIEW = "content=scrubbed;max=65536;turns=0;conventions=gen_ai"


def test_ids_are_those_of_the_contracts_check() -> None:
    trace = ids.trace_id(SESSION, namespace="", view=VIEW)

    assert trace.hex() == "c5d8584169022f455e9949ee01dcb974"
    assert ids.span_id(trace, ids.ROOT).hex() == "f8d05d88e5b5de2e"
    assert ids.span_id(trace, ids.turn_key(1)).hex() == "4b43c48412143c9f"
    assert ids.span_id(trace, ids.event_key("aev_01")).hex() == "42cdb2733596a9a1"
    assert ids.span_id(trace, ids.event_key("aev_01#2")).hex() == "18795fcbadddae9d"


def test_the_key_of_a_record_without_an_id_is_that_of_the_contracts_check() -> None:
    record = {"role": "user", "content": "yes", "n": 1.5}

    assert ids.content_key(ids.canonical(record)) == "c:b16a0fa2b24ab622"


def test_the_default_view_is_spelled_as_the_contract_says() -> None:
    assert str(View()) == VIEW
    assert str(View(turns=True, patterns="00ff")) == VIEW.replace("turns=0", "turns=1") + ";patterns=00ff"


def test_another_namespace_view_revision_or_part_gives_another_trace() -> None:
    traces = {
        ids.trace_id(SESSION, namespace="", view=VIEW),
        ids.trace_id(SESSION, namespace="staging", view=VIEW),
        ids.trace_id(SESSION, namespace="", view=VIEW + ";patterns=1"),
        ids.trace_id(SESSION, namespace="", view=VIEW, revision=2),
        ids.trace_id(SESSION, namespace="", view=VIEW, part=2),
        ids.trace_id(Reference("vectara", ("support", "refund case", "88")), namespace="", view=VIEW),
        ids.trace_id(Reference("lyzr", SESSION.path), namespace="", view=VIEW),
    }

    assert len(traces) == 7


@given(st.binary(min_size=16, max_size=16), st.text(st.characters()))
def test_a_span_id_is_eight_bytes_and_never_zero_whatever_the_key(trace: bytes, key: str) -> None:
    span = ids.span_id(trace, ids.event_key(key))

    assert len(span) == 8
    assert any(span)


def test_zero_becomes_one() -> None:
    assert ids._nonzero(bytes(8)) == bytes(7) + b"\1"
