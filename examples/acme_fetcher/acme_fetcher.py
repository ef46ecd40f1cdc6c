"""The fetcher of an invented help desk, `acme:TICKET`: a ticket has a log of what customer, robot and tools did."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from otel_agent_events.errors import ReadError
from otel_agent_events.events import AgentMessage, Event, Note, Session, Text, ToolCall, ToolResult, UserMessage
from otel_agent_events.fetchers import Answer, Asking, Connection, Item, Request
from otel_agent_events.fetchers.auth import ApiKey
from otel_agent_events.fetchers.fields import Fields
from otel_agent_events.keys import Keys, shallow
from otel_agent_events.reference import Reference


class Acme:
    """Fetch the log of a ticket, which is one page."""

    name, path, labels, variables, secrets = "acme", ("TICKET",), ("log",), ("ACME_KEY",), ()

    def connect(self, environ: Mapping[str, str], base_url: str | None) -> Connection:  # noqa: D102 - see Fetcher
        key = ApiKey("x-acme-key", environ.get("ACME_KEY", ""), variable="ACME_KEY")
        return Connection(base_url=base_url or "https://desk.acme.example", credentials=key)

    def ask(self, reference: Reference) -> Asking:  # noqa: D102
        yield Request(label="log", path=("api", "tickets", reference.path[0], "log"))

    def reader(self, reference: Reference) -> "AcmeReader":  # noqa: D102
        return AcmeReader(reference)

    def recognise(self, body: Any) -> str | None:  # noqa: D102
        return "log" if isinstance(body, dict) and "log" in body else None

    def identify(self, answers: Sequence[Answer]) -> tuple[str, ...]:  # noqa: D102
        logs = (each.body for each in answers if isinstance(each.body, dict))
        return next(((str(log["ticket"]),) for log in logs if "ticket" in log), ("",))


class AcmeReader:
    """Read a log. Nothing of a record is lost: what no field takes is its remainder."""

    def __init__(self, reference: Reference) -> None:
        self._session = Session(reference=reference, id=reference.path[0], agent_name="robot")
        self._keys = Keys()

    @property
    def duplicates(self) -> int:  # noqa: D102 - see Reader
        return self._keys.duplicates

    def feed(self, answer: Answer) -> Iterator[Item]:  # noqa: D102
        if not isinstance(answer.body, dict) or not isinstance(answer.body.get("log"), list):
            raise ReadError(f"{self._session.reference}: {answer.source} holds no log")
        yield self._session
        for record in answer.body["log"]:
            if (key := self._keys.claim(record)) is not None:
                yield _event(shallow(record), key)

    def close(self) -> Iterator[Item]:  # noqa: D102
        return iter(())


def _event(record: Any, key: str) -> Event:
    if not isinstance(record, dict):
        return Note(key=key, remainder=record)
    left = Fields(record)
    at = left.nanoseconds("at")
    common: dict[str, Any] = {"key": key, "type": left.name("who"), "start": at, "end": at}
    match common["type"]:
        case "customer" | "robot" as who:
            parts = (Text(text=left.text("words") or ""),)
            say = UserMessage if who == "customer" else AgentMessage
            return say(**common, parts=parts, remainder=left.rest())
        case "call":
            common |= {"call_id": left.name("call"), "tool": left.name("tool"), "arguments": left.value("with")}
            return ToolCall(**common, remainder=left.rest())
        case "answer":
            common |= {"call_id": left.name("call"), "result": left.value("gave"), "failed": left.flag("bad")}
            return ToolResult(**common, remainder=left.rest())
        case _:
            return Note(**common, remainder=left.rest())
