"""Fetch one session, and print what happened in it. Nothing is converted or sent.

Run it as `python examples/fetch_session.py vectara:AGENT/SESSION`, with VECTARA_API_KEY set, or with a saved answer:
`python examples/fetch_session.py session.json`.
"""

import argparse
import sys

from otel_agent_events import SessionError, UsageError, fetch
from otel_agent_events.events import AgentMessage, Event, Note, Text, Thinking, ToolCall, ToolResult, UserMessage, words


def told(event: Event) -> str:
    """Say what happened, in a line. Every kind of event is one of these."""
    match event:
        case UserMessage(parts=parts) | AgentMessage(parts=parts):
            return " ".join(words(part.text) if isinstance(part, Text) else f"[{part.type}]" for part in parts)
        case Thinking(text=text):
            return "" if text is None else words(text)
        case ToolCall(tool=tool, arguments=arguments):
            return f"{tool} {arguments}"
        case ToolResult(result=result, failed=failed):
            return f"failed: {result}" if failed else str(result)
        case Note(name=name):
            return name


def main(reference: str) -> int:
    """Fetch a session and print its events; give the exit code."""
    try:
        fetched = fetch(reference)
    except (UsageError, SessionError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{fetched.reference}: {fetched.session.agent_name}, {len(fetched.events)} events")
    for event in fetched.events:
        print(f"{event.kind:>13}  {told(event)}")
    for warning in fetched.warnings:
        print(warning, file=sys.stderr)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("reference", help="PLATFORM:PATH, such as vectara:AGENT/SESSION, or a file")
    sys.exit(main(parser.parse_args().reference))
