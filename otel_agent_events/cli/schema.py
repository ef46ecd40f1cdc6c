"""`schema`: print the format of neutral events."""

from __future__ import annotations

import click


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of neutral events, one line of a .jsonl file that replay reads.

    It is for sources that there is no fetcher for: write a line with the session, then a line for each event.

    \b
    Example:
      {"session": {"id": "s1", "platform": "acme", "agent": "Support desk"}}
      {"kind": "user_message", "time": "2026-11-18T08:00:00Z", "text": "Where is my order?"}
      {"kind": "tool_call", "time": "2026-11-18T08:00:01Z", "call_id": "c1", "tool": "orders", "arguments": {}}
      {"kind": "tool_result", "time": "2026-11-18T08:00:03Z", "call_id": "c1", "result": {"state": "late"}}
      {"kind": "agent_message", "time": "2026-11-18T08:00:04Z", "text": "It is late. I am sorry."}
    """  # noqa: D301 - click leaves the lines after a backspace as they are
    import json  # noqa: PLC0415 - --help needs none of it

    from otel_agent_events.fetchers.neutral_lines import schema  # noqa: PLC0415

    click.echo(json.dumps(schema(), indent=2))
