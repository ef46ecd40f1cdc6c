"""Replay one session from Python, and say what became of it.

Run it as `python examples/replay_session.py vectara:AGENT/SESSION`, with VECTARA_API_KEY set and an OTLP receiver on
localhost:4318 (or wherever OTEL_EXPORTER_OTLP_ENDPOINT says).
"""

import argparse
import sys

from otel_agent_events import UsageError, replay


def main(reference: str) -> int:
    """Replay a session; give the exit code."""
    try:
        report = replay([reference], turns=True)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    for session in report.sessions:
        print(f"{session.reference}: trace {session.trace_id}, {session.acknowledged} of {session.made} spans arrived")
        if session.error:
            print(session.error, file=sys.stderr)
    return report.exit_code


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("reference", help="PLATFORM:PATH, such as vectara:AGENT/SESSION, or a file")
    sys.exit(main(parser.parse_args().reference))
