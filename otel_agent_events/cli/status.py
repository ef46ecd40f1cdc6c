"""`status`: what the ledger knows of each destination."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from otel_agent_events.cli.words import say

if TYPE_CHECKING:
    from otel_agent_events.ledger import Entry

_MOST = 20
_WORDS = {"sent": "out", "in_flight": "in flight", "set_aside": "set aside", "failed": "failed"}
"""What a person calls a state, in the order in which they are told."""


@dataclass(slots=True)
class _Destination:
    """What one destination has."""

    sessions: Counter[str] = field(default_factory=Counter)
    spans: int = 0
    listed: list[Entry] = field(default_factory=list)
    unlisted: int = 0


@click.command("status")
@click.option(
    "--ledger",
    "url",
    metavar="URL",
    help="The ledger to read, such as sqlite:///PATH or postgresql://USER@HOST/DATABASE.  "
    "[default: OTEL_AGENT_EVENTS_LEDGER, else a file in the user's state folder]",
)
@click.option("--destination", metavar="TEXT", default="", help="Only destinations with this text in their name.")
@click.option("--all", "everything", is_flag=True, help="List every session, also those that are out.")
@click.option("--json", "as_json", is_flag=True, help="Print one object and nothing else.")
def command(*, url: str | None, destination: str, everything: bool, as_json: bool) -> None:
    """Tell what is out, in flight, set aside and failed, by destination.

    \b
    Examples:
      otel-agent-events status
      otel-agent-events status --destination localhost:4318 --all
    """  # noqa: D301 - click leaves the lines after a backspace as they are
    from otel_agent_events.ledger import Ledger, is_absent  # noqa: PLC0415 - --help needs none of it
    from otel_agent_events.settings import Settings  # noqa: PLC0415

    chosen, _ = Settings.here().ledger(url)
    name: str | None = None
    destinations: dict[str, _Destination] = {}
    if chosen is not None and not is_absent(chosen):
        with Ledger.open(chosen) as ledger:
            name = ledger.name
            for entry in ledger.entries():
                if destination in entry.destination:
                    _add(destinations.setdefault(entry.destination, _Destination()), entry, everything=everything)
    if as_json:
        told = [_object(each, destinations[each]) for each in sorted(destinations)]
        import json  # noqa: PLC0415 - --help needs none of it

        click.echo(json.dumps({"ledger": name, "destinations": told}, indent=2))
        return
    if chosen is None:
        say("the ledger is switched off, so nothing is remembered; --ledger names one to read")
    elif not destinations:
        said = "nothing is remembered yet" if name is None or not destination else f"no destination has {destination!r}"
        say(said if name is None else f"{said} in the ledger {name}")
    for each in sorted(destinations):
        _tell(each, destinations[each])


def _add(to: _Destination, entry: Entry, *, everything: bool) -> None:
    to.sessions[entry.state] += 1
    to.spans += entry.spans_acknowledged
    if everything or (entry.state != "sent" and len(to.listed) < _MOST):
        to.listed.append(entry)
    elif entry.state != "sent":
        to.unlisted += 1


def _tell(name: str, of: _Destination) -> None:
    from otel_agent_events import times  # noqa: PLC0415 - --help needs none of it

    say(name)
    counts = ", ".join(f"{of.sessions[state]} {word}" for state, word in _WORDS.items() if of.sessions[state])
    say(f"  {counts}; {of.spans} spans acknowledged")
    for entry in of.listed:
        say(f"  {_WORDS[entry.state]:<11}{_session(entry)}")
        say(f"  {'':<11}trace id {entry.trace_id}, {times.written(int(entry.updated) * times.SECOND)}")
    if of.unlisted:
        say(f"  and {of.unlisted} more that are not out; --all lists them")


def _session(entry: Entry) -> str:
    told = entry.reference
    if entry.namespace:
        told += f" in {entry.namespace}"
    if entry.revision > 1:
        told += f", revision {entry.revision}"
    total = f" of {entry.seal.spans}" if entry.seal is not None else ""
    told += f": {entry.spans_acknowledged}{total} spans acknowledged"
    if entry.seal is None:
        told += " so far"
    if entry.held_by is not None:
        return f"{told}, being sent by {entry.held_by}"
    return f"{told}, and no run is sending it" if entry.state == "in_flight" else told


def _object(name: str, of: _Destination) -> dict[str, Any]:
    return {
        "destination": name,
        **{state: of.sessions[state] for state in _WORDS},
        "spans_acknowledged": of.spans,
        "sessions": [
            {
                "reference": entry.reference,
                "namespace": entry.namespace,
                "view": entry.view,
                "revision": entry.revision,
                "parts": entry.seal.parts if entry.seal else None,
                "trace_id": entry.trace_id,
                "state": entry.state,
                "events": entry.seal.events if entry.seal else None,
                "spans": entry.seal.spans if entry.seal else None,
                "spans_acknowledged": entry.spans_acknowledged,
                "held_by": entry.held_by,
                "updated": entry.updated,
            }
            for entry in of.listed
        ],
        "unlisted": of.unlisted,
    }
