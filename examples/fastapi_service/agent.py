"""A stand-in for Vectara on this machine: one agent that looks an order up, and streams what it thinks and says.

Run it as `uvicorn --app-dir examples/fastapi_service agent:app --port 8001`. It answers `POST .../events` with
server-sent events, and keeps what it said, so that a session can be replayed from it as well. AGENT_PAUSE is how many
seconds pass between two chunks.
"""

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

PAUSE = float(os.environ.get("AGENT_PAUSE", "0.02"))
THOUGHT = ("The customer asks ", "for an order. ", "I look it up.")
SAID = ("Order 5512 ", "left the warehouse ", "on Monday ", "and arrives ", "tomorrow.")

app = FastAPI()
stored: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)


@app.post("/v2/agents/{agent}/sessions/{session}/events", status_code=201)
async def create(agent: str, session: str, request: Request) -> StreamingResponse:
    """Take a user's message, and stream what the agent makes of it."""
    body = await request.json()
    events = stored[agent, session]

    async def answer() -> AsyncIterator[bytes]:
        yield sent(store(events, session, "input_message", messages=body["messages"]))
        for chunk in THOUGHT:
            await asyncio.sleep(PAUSE)
            yield sent({"type": "streaming_thinking", "content": chunk, "created_at": now()})
        store(events, session, "thinking", content="".join(THOUGHT))
        yield sent({"type": "streaming_thinking_end", "created_at": now()})
        tool = {"tool_call_id": f"call_{len(events)}", "tool_configuration_name": "orders", "tool_name": "order_lookup"}
        yield sent(store(events, session, "tool_input", tool_input={"order": "5512"}, **tool))
        await asyncio.sleep(PAUSE)
        found = {"order": "5512", "state": "on its way"}
        yield sent(store(events, session, "tool_output", tool_output=found, error=False, **tool))
        for chunk in SAID:
            await asyncio.sleep(PAUSE)
            yield sent({"type": "streaming_agent_output", "content": chunk, "created_at": now()})
        said = store(events, session, "agent_output", content="".join(SAID))
        yield sent({"type": "streaming_agent_output_end", "event_id": said["id"], "created_at": now()})
        usage = {"input_tokens": {"count": 812}, "output_tokens": {"count": 64}, "total_tokens": 876}
        yield sent({"type": "context_consumed", "session_context_usage": usage, "created_at": now()})
        yield sent({"type": "end"})

    return StreamingResponse(answer(), media_type="text/event-stream")


@app.get("/v2/agents/{agent}")
async def describe(agent: str) -> dict[str, Any]:
    """Describe the agent."""
    return {"key": agent, "name": "Support desk", "tool_configurations": {}, "first_step": {}}


@app.get("/v2/agents/{agent}/sessions/{session}")
async def describe_session(agent: str, session: str) -> dict[str, Any]:
    """Describe a session."""
    return {"key": session, "agent_key": agent, "name": session, "created_at": stored[agent, session][0]["created_at"]}


@app.get("/v2/agents/{agent}/sessions/{session}/events")
async def events(agent: str, session: str) -> dict[str, Any]:
    """Give all events of a session, as they are stored."""
    return {"events": stored[agent, session], "metadata": {}}


def store(events: list[dict[str, Any]], session: str, type_: str, **fields: Any) -> dict[str, Any]:
    """Keep an event."""
    identifier = f"aev_{session}_{len(events) + 1}"
    event = {"id": identifier, "session_key": session, "type": type_, "created_at": now(), **fields}
    events.append(event)
    return event


def sent(record: dict[str, Any]) -> bytes:
    """Write a record as a server-sent event."""
    return b"data: " + json.dumps(record).encode() + b"\n\n"


def now() -> str:
    """Give the time as Vectara writes it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
