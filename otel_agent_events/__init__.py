"""See the sessions of hosted AI agents as OpenTelemetry traces."""
