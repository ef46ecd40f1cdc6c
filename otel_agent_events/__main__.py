"""`python -m otel_agent_events` is `otel-agent-events`."""

from otel_agent_events.cli import main

if __name__ == "__main__":
    main()
