"""Replay several sessions at once from a program that runs on asyncio, and look at each before.

Run it as `python examples/replay_async.py vectara:AGENT/SESSION...`, with VECTARA_API_KEY set and an OTLP receiver on
localhost:4318 (or wherever OTEL_EXPORTER_OTLP_ENDPOINT says). Ctrl-C stops it: what is on its way is set aside.
"""

import argparse
import asyncio
import sys

from otel_agent_events import Report, SessionError, UsageError, aconvert, afetch, areplay


async def replayed(reference: str) -> Report:
    """Fetch a session, say what its trace will be, and send it. Each step leaves the loop to others."""
    fetched = await afetch(reference)
    trace = await aconvert(fetched)
    print(f"{reference}: {len(fetched.events)} events become {len(trace.spans)} spans of trace {trace.trace_id}")
    return await areplay([reference])


async def tick(ticks: list[float]) -> None:
    """Do what else a program does on its loop."""
    while True:
        ticks.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.01)


async def main(references: list[str]) -> int:
    """Replay sessions at once; give the exit code."""
    ticks: list[float] = []
    ticking = asyncio.create_task(tick(ticks))
    try:
        reports = await asyncio.gather(*map(replayed, references))
    except (UsageError, SessionError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        ticking.cancel()
    arrived = sum(report.totals.acknowledged for report in reports)
    print(f"{arrived} spans of {len(reports)} sessions arrived; the loop ticked {len(ticks)} times meanwhile")
    return max(report.exit_code for report in reports)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("references", nargs="+", help="PLATFORM:PATH, such as vectara:AGENT/SESSION")
    sys.exit(asyncio.run(main(parser.parse_args().references)))
