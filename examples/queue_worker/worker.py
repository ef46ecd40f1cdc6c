"""A worker that takes jobs from a queue, lets an agent do them, and records each session as a trace of its own.

Each line of standard input is a job: AGENT/SESSION of Vectara. README.md says how to run it.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from queue import Empty, SimpleQueue
from typing import Any

import httpx

from otel_agent_events import SessionRecorder, demo
from otel_agent_events.testing import LoopbackPlatform

END = ""


def events_of(client: httpx.Client, job: str) -> Iterator[dict[str, Any]]:
    """Do a job: give what the agent's session records, page by page as the agent goes on."""
    agent, session = job.split("/")
    path, query = f"/v2/agents/{agent}/sessions/{session}", {"limit": "100", "include_hidden": "true"}
    yield client.get(path).raise_for_status().json()  # what it says of the session itself
    while True:
        page = client.get(f"{path}/events", params=query).raise_for_status().json()
        yield from page["events"]
        following = page.get("metadata", {}).get("page_key")
        if not following:
            return
        query["page_key"] = following


def work(jobs: SimpleQueue[str], recorder: SessionRecorder, client: httpx.Client, stopping: threading.Event) -> int:
    """Do one job after the other until there are no more, or somebody asks to stop; give how many failed."""
    failed = 0
    while not stopping.is_set():
        try:
            job = jobs.get(timeout=0.1)
        except Empty:
            continue
        if job == END:
            break
        try:
            # An exception leaves the session with complete=false, and is the worker's own to handle.
            with recorder.session(f"vectara:{job}") as session:
                for event in events_of(client, job):
                    session.record(event)
            print(f"{job}: trace {session.trace_id}", flush=True)
        except (httpx.HTTPError, ValueError) as error:
            failed += 1
            print(f"{job}: {error}", file=sys.stderr, flush=True)
    return failed


def main() -> int:
    """Work until standard input ends, or SIGTERM or Ctrl-C comes; give the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())

    jobs: SimpleQueue[str] = SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            if line.strip():
                jobs.put(line.strip())
        jobs.put(END)

    threading.Thread(target=read, daemon=True).start()
    recorder = SessionRecorder(spill=os.environ.get("SPILL_FILE", "worker.otlp.jsonl"))
    with ExitStack() as stack:
        base_url = os.environ.get("VECTARA_BASE_URL")
        if base_url is None:  # no account is needed: a platform on this machine plays the bundled sessions
            base_url = stack.enter_context(LoopbackPlatform(demo.recordings())).base_url
        headers = {"x-api-key": os.environ.get("VECTARA_API_KEY", "")}
        client = stack.enter_context(httpx.Client(base_url=base_url, headers=headers))
        failed = work(jobs, recorder, client, stopping)
    arrived = recorder.shutdown(timeout_millis=int(os.environ.get("SHUTDOWN_MILLIS", "10000")))
    print(f"{recorder.acknowledged} spans arrived, {recorder.spilled} are in the spill file", flush=True)
    return 0 if arrived and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
