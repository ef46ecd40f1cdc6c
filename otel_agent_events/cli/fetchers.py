"""`fetchers`: list what is installed."""

from __future__ import annotations

import click

from otel_agent_events.cli.words import say


@click.command("fetchers")
def command() -> None:
    """List the installed fetchers, how each names a session, and the variables it reads."""
    from otel_agent_events.errors import UsageError  # noqa: PLC0415 - --help needs none of it
    from otel_agent_events.fetchers import FETCHERS, form_of  # noqa: PLC0415

    for name in FETCHERS.names():
        try:
            fetcher = FETCHERS.get(name)
        except UsageError as error:
            say(f"{name}  {error}")
            continue
        say(form_of(fetcher))
        say(f"  reads {', '.join(fetcher.variables)}")
