"""A large Vectara session with everything that goes wrong in it, the same for the same seed."""

from __future__ import annotations

import random
from typing import Any

from otel_agent_events import times
from otel_agent_events.fetchers.saved import RecordedAnswer, Recording

BEGIN = 1_760_000_000 * times.SECOND


class Generated:
    """Pages of events.

    Args:
        events: how many distinct events.
        per_page: how many records on a page.
        seed: decides everything.

    Attributes:
        pages: the bodies of the answers, with page keys.
        records: all distinct records, in order.
        pairs: how many calls have a result.
        duplicates: how many records are there twice.
    """

    def __init__(self, events: int = 10_000, per_page: int = 100, seed: int = 7) -> None:
        self._random = random.Random(seed)  # noqa: S311 - it must be the same again
        self._now = BEGIN
        self.records: list[dict[str, Any]] = []
        self.pairs = 0
        self.duplicates = 0
        self._open: list[tuple[str, str]] = []
        self._number = 0
        while len(self.records) < events:
            self._step()
        listed = self._with_duplicates()
        self.pages: list[dict[str, Any]] = [
            {"events": listed[begin : begin + per_page], "metadata": {"page_key": f"key-{begin + per_page}"}}
            for begin in range(0, len(listed), per_page)
        ]
        self.pages[-1]["metadata"] = {}

    def recording(self, session: str = "generated") -> Recording:
        """Give it as a recording that the loopback platform can play."""
        path = f"/v2/agents/big/sessions/{session}/events"
        query = {"limit": "100", "include_hidden": "true"}
        answers = []
        page_key: str | None = None
        for page in self.pages:
            asked = query if page_key is None else {**query, "page_key": page_key}
            answers.append(RecordedAnswer(label="events", path=path, query=asked, body=page))
            page_key = page["metadata"].get("page_key")
        return Recording(recording=1, session=f"vectara:big/{session}", answers=answers)

    def _step(self) -> None:
        draw = self._random.random()
        if draw < 0.08:
            self._add("input_message", messages=[{"type": "text", "content": self._words()}])
        elif draw < 0.30:
            self._add("thinking", **({"content": self._words()} if self._random.random() < 0.9 else {}))
        elif draw < 0.62:
            self._call()
        elif draw < 0.82:
            self._answer()
        elif draw < 0.92:
            self._add("agent_output", content=self._words())
        elif draw < 0.94:
            self._add("session_interrupted")
        else:
            self._add(self._random.choice(["step_transition", "mystery", "image_read"]), detail=self._words())

    def _call(self) -> None:
        call_id = (
            f"call-{self._random.randrange(len(self.records) // 3 + 1)}"  # an id occurs several times now and then
        )
        tool = f"tool_{self._random.randrange(9)}"
        self._open.append((call_id, tool))
        self._add("tool_input", tool_call_id=call_id, tool_name=tool, tool_input={"q": self._words(), "n": len(tool)})

    def _answer(self) -> None:
        if not self._open or self._random.random() < 0.03:
            orphan = f"nobody-{self._number}"
            self._add("tool_output", tool_call_id=orphan, tool_name="lost", tool_output={}, error=False)
            return
        if self._random.random() < 0.06:
            del self._open[self._random.randrange(len(self._open))]  # it is never answered, for all this one knows
            return
        call_id, tool = self._open.pop(self._random.randrange(len(self._open)))
        failed = self._random.random() < 0.1
        self._add("tool_output", tool_call_id=call_id, tool_name=tool, tool_output={"a": self._words()}, error=failed)

    def _add(self, type_: str, **fields: Any) -> None:
        self._number += 1
        self._now += self._random.randrange(3 * times.SECOND)
        stamp = self._now - (self._random.randrange(times.SECOND) if self._random.random() < 0.05 else 0)
        record = {"id": f"aev_{self._number}", "session_key": "generated", "type": type_, **fields}
        if self._random.random() > 0.02:
            record["created_at"] = times.written(stamp)
        self.records.append(record)

    def _with_duplicates(self) -> list[dict[str, Any]]:
        """Let some records come twice, some results before their calls, and some ids name two records."""
        listed: list[dict[str, Any]] = []
        for number, record in enumerate(self.records):
            listed.append(record)
            if number % 97 == 13:
                listed.append(record)
                self.duplicates += 1
            if number % 211 == 5 and number:
                record["id"] = self.records[number - 1]["id"]
            if number % 53 == 7 and len(listed) > 1:
                listed[-1], listed[-2] = listed[-2], listed[-1]
        return listed

    def _words(self) -> str:
        return " ".join(self._random.choices(["refund", "Straße", "order", "日本", "voucher", "\n", "ok"], k=6))


def expected_pairs(pages: list[dict[str, Any]]) -> int:
    """Count, call id by call id, how many calls and results go together; written apart from the code under test."""
    calls: dict[str, int] = {}
    results: dict[str, int] = {}
    seen = set()
    for page in pages:
        for record in page["events"]:
            identity = repr(sorted(record.items(), key=str))
            if identity in seen:
                continue
            seen.add(identity)
            counted = {"tool_input": calls, "tool_output": results}.get(record["type"])
            if counted is not None:
                counted[record["tool_call_id"]] = counted.get(record["tool_call_id"], 0) + 1
    return sum(min(count, results.get(call_id, 0)) for call_id, count in calls.items())
