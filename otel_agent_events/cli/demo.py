"""`demo`: the main job, with nothing else running."""

from __future__ import annotations

import os
from pathlib import Path

import click

from otel_agent_events.cli.words import say, session_lines, summary_line


@click.command("demo")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("demo.otlp.jsonl"),
    show_default=True,
    help="Where the traces go, as OTLP JSON lines.",
)
@click.option("--endpoint", metavar="URL", help="Send the traces there as well, such as http://localhost:4318.")
@click.option("--protocol", type=click.Choice(["http/protobuf", "grpc"]), help="Of the endpoint.")
@click.pass_context
def command(context: click.Context, /, *, output: Path, endpoint: str | None, protocol: str | None) -> None:
    """Fetch the bundled sessions from a loopback platform and show them as traces.

    Starts a small HTTP server on this machine that plays recorded sessions, fetches them as from the real platform,
    writes their traces to a file and draws them.
    """
    from otel_agent_events.cli.waterfall import Terminal  # noqa: PLC0415 - --help needs none of it
    from otel_agent_events.demo import API_KEY, recordings  # noqa: PLC0415
    from otel_agent_events.pipeline import replay  # noqa: PLC0415
    from otel_agent_events.testing import LoopbackPlatform  # noqa: PLC0415

    played = recordings()
    with LoopbackPlatform(played, headers={"x-api-key": API_KEY}) as platform:
        say(f"A loopback platform plays {len(played)} recorded sessions at {platform.base_url}.")
        say("")
        report = replay(
            [recording.reference for recording in played],
            to=[Terminal(), f"file:{output}", *(["otlp"] if endpoint else [])],
            endpoint=endpoint,
            protocol=protocol,
            base_url=platform.base_url,
            environ={**os.environ, "VECTARA_API_KEY": API_KEY},
            noted=lambda note: say(f"note: {note}", err=True),
        )
    for session in report.sessions:
        for line in session_lines(session):
            say(line)
    say("")
    say(f"{summary_line(report)}; {len(platform.asked)} requests were answered. The traces are in {output}.")
    if not endpoint:
        say("")
        say("Next, with a Jaeger, a Tempo or a collector that listens on this machine:")
        say("  otel-agent-events demo --endpoint http://localhost:4318                # these sessions")
        say("  export VECTARA_API_KEY=...")
        say("  otel-agent-events replay vectara:AGENT/SESSION                         # yours, to localhost:4318")
        say("  otel-agent-events replay vectara:AGENT/SESSION --endpoint http://host:4317   # over gRPC")
    context.exit(report.exit_code)
