"""`record`: save the raw answers of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from otel_agent_events.cli import options
from otel_agent_events.cli.words import say

if TYPE_CHECKING:
    from pathlib import Path


@click.command("record")
@click.argument("reference", metavar="REF")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    required=True,
    help="Where the recording goes, such as session.json. One that is there is replaced.",
)
@options.asking
@click.option(
    "--content",
    type=click.Choice(("full", "scrubbed")),
    help="Leave secrets in, or take them out.  [default: scrubbed]",
)
def command(*, reference: str, output: Path, **given: Any) -> None:
    """Save the raw answers of a session as a recording, which replays to the same ids.

    Headers are not saved. Our own credentials, and what the platform marks as its secrets, are always taken out;
    other secrets as --content says.

    \b
    Examples:
      otel-agent-events record vectara:support/refund_case_88 -o refund.json
      otel-agent-events replay refund.json
    """  # noqa: D301 - click leaves the lines after a backspace as they are
    from otel_agent_events.recording import record  # noqa: PLC0415 - --help needs none of it

    report = record(reference, output, **given)
    answers = f"{report.answers} answer{'' if report.answers == 1 else 's'}"
    say(f"{report.reference}  {answers} in {output}")
    if report.changed:
        records = f"{report.changed} record{'' if report.changed == 1 else 's'}"
        say(f"  taken out  something secret in {records}; the recording holds their original keys")
    for warning in report.warnings:
        say(f"  warning    {warning}")
