"""`show`: draw sessions in the terminal."""

from __future__ import annotations

from typing import Any

import click

from otel_agent_events.cli import options
from otel_agent_events.cli.words import say


@click.command("show")
@options.sources
@options.conversion
@click.option("-v", "--verbose", is_flag=True, help="Show contents as well.")
@click.pass_context
def command(context: click.Context, /, *, references: tuple[str, ...], verbose: bool, **given: Any) -> None:
    """Draw each session as a waterfall in the terminal, and send nothing.

    \b
    Examples:
      otel-agent-events show vectara:support/refund_case_88
      otel-agent-events show -v saved-events.json
    """  # noqa: D301 - click leaves the lines after a backspace as they are
    from otel_agent_events.cli.waterfall import Terminal  # noqa: PLC0415 - --help needs none of it
    from otel_agent_events.pipeline import replay  # noqa: PLC0415

    report = replay(references, to=[Terminal(contents=verbose)], **given)
    for session in report.sessions:
        for warning in session.warnings:
            say(f"{session.reference}: warning: {warning}", err=True)
        if session.error is not None:
            say(f"error: {session.error}", err=True)
    context.exit(report.exit_code)
