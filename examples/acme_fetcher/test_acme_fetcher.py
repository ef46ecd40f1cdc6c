"""All that a fetcher of your own needs for a test: a recording and the public kit."""

from pathlib import Path

from acme_fetcher import Acme

from otel_agent_events.testing import check_fetcher, outline, trace

TICKET = Path(__file__).parent / "ticket.json"


def test_it_keeps_what_every_fetcher_must_keep() -> None:
    check_fetcher(Acme(), [TICKET], environ={"ACME_KEY": "any"})


def test_a_ticket_is_the_trace_that_was_looked_at() -> None:
    assert outline(trace(Acme(), TICKET)) == TICKET.with_suffix(".txt").read_text()
