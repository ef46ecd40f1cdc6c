"""`replay`: fetch sessions, turn each into a trace, send it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from otel_agent_events.cli import options
from otel_agent_events.cli.words import say, session_lines, summary_line
from otel_agent_events.errors import UsageError

if TYPE_CHECKING:
    from otel_agent_events.report import SessionReport


@click.command("replay")
@options.sources
@click.option(
    "--endpoint",
    metavar="URL",
    help="Where to send: http://host:4318, http://host:4317 (gRPC).  [default: OTEL_EXPORTER_OTLP_ENDPOINT, "
    "else http://localhost:4318]",
)
@click.option("--protocol", type=click.Choice(["http/protobuf", "grpc"]), help="Of OTLP.  [default: http/protobuf]")
@click.option(
    "--header",
    "headers",
    metavar="K=V",
    multiple=True,
    help="Sent to the endpoint, such as 'authorization=Bearer ...'. Repeatable.",
)
@click.option(
    "--tenant",
    metavar="NAME",
    help="What to remember the destination by instead of its headers, such as team-a, where credentials change.  "
    "[default: OTEL_AGENT_EVENTS_TENANT]",
)
@click.option(
    "--to",
    metavar="otlp|file:PATH|console",
    multiple=True,
    help="Destination. Repeatable. A file gets OTLP JSON lines; so does the console, on standard output.  "
    "[default: OTEL_TRACES_EXPORTER, else otlp]",
)
@click.option(
    "--exporter",
    "exporters",
    metavar="NAME",
    multiple=True,
    help="Send through an installed exporter of the OpenTelemetry SDK, such as console or a vendor's. It does not tell "
    "what the server said, so its counts are called reported. Repeatable.",
)
@click.option(
    "--deadline",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="For how long a batch is tried before it is set aside.  [default: 300; 15 as long as nothing has answered]",
)
@click.option(
    "--set-aside",
    metavar="PATH",
    type=click.Path(dir_okay=False),
    help="The file for what could not be delivered; send delivers it.  [default: one in the user's state folder]",
)
@click.option(
    "--ledger",
    metavar="URL",
    help="Where it is remembered what was acknowledged: sqlite:///PATH, postgresql://USER@HOST/DATABASE, or off.  "
    "[default: OTEL_AGENT_EVENTS_LEDGER, else a file in the user's state folder]",
)
@click.option("--no-ledger", is_flag=True, help="Remember nothing, and send everything that is named.")
@click.option("--again", is_flag=True, help="Send also what the destination has, as its next revision.")
@click.option(
    "--service-name", metavar="NAME", help="service.name of the traces, such as support.  [default: the agent's key]"
)
@click.option(
    "--namespace", default="", metavar="NAME", help="An account or environment, such as staging; part of the ids."
)
@click.option(
    "--revision",
    metavar="NUMBER",
    type=click.IntRange(min=1, max=2**31 - 1),
    default=1,
    show_default=True,
    help="Raise it to send a session that has grown since: it gets ids of its own. With a ledger, the least one.",
)
@options.conversion
@options.moved
@click.option(
    "--max-trace-bytes",
    metavar="BYTES",
    type=int,
    help="Send a session that is larger in linked parts, each a trace; 4000000 suits a Tempo with stock settings.",
)
@click.option(
    "--traceparent",
    metavar="TRACEPARENT",
    help="Hang the one session under this live span, such as 00-<32 hex digits>-<16 hex digits>-01.",
)
@click.option(
    "--link",
    "links",
    metavar="TRACEPARENT",
    multiple=True,
    help="Link the root to a span, such as 00-<32 hex digits>-<16 hex digits>-01. Repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one summary object and nothing else.")
@click.pass_context
def command(
    context: click.Context,
    /,
    *,
    references: tuple[str, ...],
    as_json: bool,
    headers: tuple[str, ...],
    to: tuple[str, ...],
    ledger: str | None,
    no_ledger: bool,
    **given: Any,
) -> None:
    """Fetch sessions, turn each into a trace and send it.

    What was acknowledged is remembered: the same command sends nothing twice, and goes on where it was stopped.

    Without options the OTEL_* variables of the OpenTelemetry specification hold, then its defaults.

    \b
    Examples:
      otel-agent-events replay vectara:support/refund_case_88
      otel-agent-events replay vectara:support/s1 --endpoint http://localhost:4317
      curl ... | otel-agent-events replay - --session vectara:support/s1 --to file:s1.otlp.jsonl

    Exit codes: 0 all acknowledged, now or before; 1 a session failed or a span was not acknowledged; 2 wrong usage;
    3 the destination did not answer at all; 130 or 143 stopped by Ctrl-C or SIGTERM.
    """  # noqa: D301 - click leaves the lines after a backspace as they are
    from otel_agent_events.pipeline import replay  # noqa: PLC0415 - --help needs none of it
    from otel_agent_events.settings import parse_pair  # noqa: PLC0415
    from otel_agent_events.stopping import Stop  # noqa: PLC0415

    if no_ledger and ledger is not None:
        raise UsageError("--ledger and --no-ledger exclude each other")
    on_console = "console" in to
    if as_json and on_console:
        raise UsageError("--json and --to console both write to standard output; choose one")

    def told(session: SessionReport) -> None:
        for line in session_lines(session):
            say(line, err=on_console)

    stop = Stop()
    with stop.on_signals():
        report = replay(
            references,
            headers=dict(parse_pair(header, "--header") for header in headers),
            to=to or None,
            ledger="off" if no_ledger else ledger,
            stop=stop,
            told=None if as_json else told,
            noted=None if as_json else lambda note: say(f"note: {note}", err=True),
            **given,
        )
    if as_json:
        import json  # noqa: PLC0415 - --help needs none of it

        click.echo(json.dumps(report.model_dump(), indent=2))  # in ASCII, which no terminal takes for a command
    else:
        say(summary_line(report), err=on_console)
    context.exit(report.exit_code if stop.signal is None or not report.stopped else 128 + stop.signal)
