"""Make the trace of a session, and hand it to an exporter of the OpenTelemetry SDK: here the one that prints.

Run it as `python examples/convert_session.py vectara:AGENT/SESSION`, with VECTARA_API_KEY set, or with a saved answer.
Any `SpanExporter` takes the place of the one that prints. It does not tell what its server said of every span: where
that matters, `replay` sends.
"""

import argparse
import sys

from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter, SpanExportResult

from otel_agent_events import SessionError, UsageError, convert, fetch


def main(reference: str, exporter: SpanExporter) -> int:
    """Fetch and convert a session, and export its spans; give the exit code."""
    try:
        trace = convert(fetch(reference), content="scrubbed", turns=True)
    except (UsageError, SessionError) as error:
        print(error, file=sys.stderr)
        return 1
    exported = exporter.export(trace.readable())
    exporter.shutdown()
    print(f"{trace.reference}: trace {trace.trace_id}, {len(trace.spans)} spans", file=sys.stderr)
    return 0 if exported is SpanExportResult.SUCCESS else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("reference", help="PLATFORM:PATH, such as vectara:AGENT/SESSION, or a file")
    sys.exit(main(parser.parse_args().reference, ConsoleSpanExporter()))
