"""The library hook: what an agent does, recorded inside the service that asks it.

- `turns`: one turn in one request, as spans of the service's own tracer.
- `sessions`: a whole session as a trace of its own, for the process that owns it.
- `httpx_clients`, `instrumentor`: turns recorded from what passes through the service's HTTP client.

Nothing in here raises into its host or makes it wait: what cannot be recorded is counted, and logged once a minute at
most (`losses`).
"""

FLUSH = 30_000
"""Milliseconds that a flush of a recorder may take when nothing is said: the SDK's own default."""
