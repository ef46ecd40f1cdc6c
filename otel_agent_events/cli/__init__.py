"""The command line: options in, one call, lines out. Each command is a file, imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar

import click

from otel_agent_events.cli.words import printable
from otel_agent_events.errors import AgentEventsError, UsageError


class Commands(click.Group):
    """Import a command when it is asked for, and tell our own errors without a traceback."""

    modules: ClassVar[tuple[str, ...]] = (
        "replay",
        "send",
        "status",
        "show",
        "record",
        "demo",
        "fetchers",
        "schema",
    )

    def list_commands(self, _: click.Context) -> list[str]:
        """Give the names of all commands, the main one first."""
        return list(self.modules)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        """Import a command."""
        if name not in self.modules:
            return None
        command = import_module(f"otel_agent_events.cli.{name}").command
        assert isinstance(command, click.Command)  # noqa: S101
        return command

    def invoke(self, context: click.Context) -> Any:
        """Run a command; what we raise on purpose is told in a sentence."""
        try:
            return super().invoke(context)
        except UsageError as error:
            raise click.UsageError(printable(str(error))) from None
        except AgentEventsError as error:
            raise click.ClickException(printable(str(error))) from None


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="A session is named FETCHER:PATH with URL-encoded parts, such as vectara:AGENT/SESSION. "
    "A file path or - (standard input) is a saved answer, a recording, or neutral events.",
)
@click.version_option(package_name="otel-agent-events", prog_name="otel-agent-events")
def main() -> None:
    """See the sessions of hosted AI agents as OpenTelemetry traces."""
