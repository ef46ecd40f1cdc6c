"""`demo`: the main job, with nothing else running."""

from __future__ import annotations

import sys

import click

from otel_agent_events.cli.words import say, session_lines, summary_line


@click.command("demo")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False),
    default="demo.otlp.jsonl",
    show_default=True,
    help="Where the traces go, as OTLP JSON lines.",
)
@click.option("--endpoint", metavar="URL", help="Send the traces there as well, such as http://localhost:4318.")
@click.option("--protocol", type=click.Choice(["http/protobuf", "grpc"]), help="Of the endpoint.")
@click.pass_context
def command(context: click.Context, /, *, output: str, endpoint: str | None, protocol: str | None) -> None:
    """Fetch the bundled sessions from a loopback platform and show them as traces.

    Starts a small HTTP server on this machine that plays recorded sessions, fetches them as from the real platform,
    writes their traces to a file and draws them.
    """
    import httpx  # noqa: PLC0415 - --help needs none of it

    from otel_agent_events.cli.waterfall import Terminal  # noqa: PLC0415
    from otel_agent_events.demo import HEADERS, TOKENS, environment, recordings  # noqa: PLC0415
    from otel_agent_events.pipeline import replay  # noqa: PLC0415
    from otel_agent_events.settings import Settings  # noqa: PLC0415
    from otel_agent_events.testing import LoopbackPlatform  # noqa: PLC0415

    played = recordings()
    with (
        LoopbackPlatform(played, headers=HEADERS, tokens=TOKENS) as platform,
        httpx.Client(trust_env=False) as client,  # a proxy of the environment does not lead to this machine
    ):
        names = ", ".join(dict.fromkeys(recording.reference.platform for recording in played))
        say(f"A loopback platform plays {len(played)} recorded sessions of {names} at {platform.base_url}.")
        say("")
        report = replay(
            [recording.reference for recording in played],
            to=[Terminal(), f"file:{output}", *(["otlp"] if endpoint else [])],
            endpoint=endpoint,
            protocol=protocol,
            # Stores hide what is older than a day or two, and these sessions are.
            shift_to="now" if endpoint else None,
            ledger="off",
            client=client,
            environ=environment(platform.base_url, Settings.here().environ),
            noted=lambda note: say(f"note: {note}", err=True),
        )
    for session in report.sessions:
        for line in session_lines(session):
            say(line)
    say("")
    say(f"{summary_line(report)}; {len(platform.asked)} requests were answered. The traces are in {output}.")
    if not endpoint:
        program = _program()
        say("")
        say("Next, with a Jaeger, a Tempo or a collector that listens on this machine:")
        say(f"  {program} demo --endpoint http://localhost:4318    # these sessions; port 4317 is gRPC")
        say("  export VECTARA_API_KEY=...")
        say(f"  {program} replay vectara:AGENT/SESSION             # yours, to http://localhost:4318")
        say(f"  {program} fetchers                                 # the other platforms, and their variables")
    context.exit(report.exit_code)


def _program() -> str:
    """Say how this program was called, so that what is printed can be typed."""
    import shutil  # noqa: PLC0415 - --help needs none of it
    from pathlib import Path  # noqa: PLC0415

    name = "otel-agent-events"
    if shutil.which(name):
        return name
    called = Path(sys.argv[0])
    return str(called) if called.name == name else "python -m otel_agent_events"
