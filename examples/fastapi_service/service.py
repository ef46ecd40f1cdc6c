"""A service that asks a Vectara agent over HTTP, and passes its answer on while it comes.

There is nothing of OpenTelemetry in it: `opentelemetry-instrument` turns everything on, the agent's turns as well. The
README beside it says how to run it.
"""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel


class Question(BaseModel):
    """What a user asks in a session."""

    session: str
    text: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep one client as long as the service runs."""
    async with httpx.AsyncClient(
        base_url=os.environ.get("VECTARA_BASE_URL", "https://api.vectara.io"),
        headers={"x-api-key": os.environ.get("VECTARA_API_KEY", "")},
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=500),
        timeout=60,
    ) as client:
        app.state.vectara = client
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/chat")
async def chat(question: Question) -> StreamingResponse:
    """Ask the agent; answer with its words as they come."""

    async def words() -> AsyncIterator[str]:
        vectara: httpx.AsyncClient = app.state.vectara
        body = {
            "type": "input_message",
            "messages": [{"type": "text", "content": question.text}],
            "stream_response": True,
        }
        path = f"/v2/agents/support/sessions/{question.session}/events"
        async with vectara.stream("POST", path, json=body) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    record = json.loads(line[5:])
                    if record["type"] == "streaming_agent_output":
                        yield record["content"]

    return StreamingResponse(words(), media_type="text/plain")
