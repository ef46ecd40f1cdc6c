"""`send`: deliver files of OTLP JSON lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from otel_agent_events.cli.words import fates, say
from otel_agent_events.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_agent_events.sending import FileReport


@click.command("send")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
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
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    help="How long to wait for one answer, such as 30.  [default: 10]",
)
@click.option(
    "--deadline",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    help="For how long a batch is tried.  [default: 300; 15 as long as nothing has answered]",
)
@click.option("--again", is_flag=True, help="Send also what this destination has taken before.")
@click.option(
    "--set-aside",
    metavar="PATH",
    type=click.Path(dir_okay=False),
    help="The file for what is not taken of standard input. What is not taken of a file stays in it.  "
    "[default: one in the user's state folder]",
)
@click.option(
    "--ledger",
    metavar="URL",
    help="Of the replays that may have sent since what was set aside, such as sqlite:///PATH, or off.  "
    "[default: OTEL_AGENT_EVENTS_LEDGER, else a file in the user's state folder]",
)
@click.option("--no-ledger", is_flag=True, help="Ask no ledger.")
@click.option("--json", "as_json", is_flag=True, help="Print one summary object and nothing else.")
@click.pass_context
def command(
    context: click.Context,
    /,
    *,
    files: tuple[str, ...],
    headers: tuple[str, ...],
    as_json: bool,
    ledger: str | None,
    no_ledger: bool,
    **given: Any,
) -> None:
    """Deliver files of OTLP JSON lines: what was set aside, or what a collector wrote.

    What the destination has answered is written down beside each FILE, in FILE.sent. The same command goes on from
    there, also when it was killed, and sends nothing twice. FILE may be packed with gzip; - is standard input.

    Without options the OTEL_* variables of the OpenTelemetry specification hold, then its defaults.

    \b
    Examples:
      otel-agent-events send set-aside.otlp.jsonl
      otel-agent-events send *.otlp.jsonl --endpoint http://localhost:4317
      zstd -dc traces.jsonl.zst | otel-agent-events send - --set-aside left.otlp.jsonl

    Exit codes: 0 all acknowledged, now or before; 1 something was not; 2 wrong usage; 3 the destination did not
    answer at all; 130 or 143 stopped by Ctrl-C or SIGTERM.
    """  # noqa: D301 - click leaves the lines after a backspace as they are
    from otel_agent_events.sending import send  # noqa: PLC0415 - --help needs none of it
    from otel_agent_events.settings import parse_pair  # noqa: PLC0415
    from otel_agent_events.stopping import Stop  # noqa: PLC0415

    if no_ledger and ledger is not None:
        raise UsageError("--ledger and --no-ledger exclude each other")

    def told(file: FileReport) -> None:
        for line in _lines(file):
            say(line)

    stop = Stop()
    with stop.on_signals():
        report = send(
            files,
            headers=dict(parse_pair(header, "--header") for header in headers),
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
        several = f"{len(report.files)} file{'' if len(report.files) == 1 else 's'}"
        say(f"{several}: {fates(report.totals)} in {report.seconds} s")
    context.exit(report.exit_code if stop.signal is None or not report.stopped else 128 + stop.signal)


def _lines(file: FileReport) -> Iterator[str]:
    """Tell what became of one file."""
    yield f"{file.file}  {file.made} spans"
    if file.made:
        yield f"  sent to    {file.destination}: {fates(file)}"
    if file.acknowledged_before or file.rejected_before:
        rejected = f", {file.rejected_before} rejected" if file.rejected_before else ""
        yield f"  before     {file.acknowledged_before} spans acknowledged{rejected}"
    for message in file.messages:
        yield f"             {message}"
    if file.error is not None:
        yield f"  error      {file.error}"
