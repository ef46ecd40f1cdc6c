"""Hubster: the activities of a conversation, `hubster:CONVERSATION`.

Facts and their sources are those of Hubster's documents, which ended in 2020, and of its .NET models, which contradict
each other; where they do, every spelling is read. Activities are asked for by the type of those who take part, so that
most come twice: they are held until all answers are read, merged by time, and told once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from otel_agent_events import times
from otel_agent_events.errors import ReadError, UsageError
from otel_agent_events.events import Caution, Session, value
from otel_agent_events.fetchers import Answer, Connection, Request
from otel_agent_events.fetchers.auth import ApiKey, ClientCredentials, Credentials
from otel_agent_events.fetchers.client import checked_base_url
from otel_agent_events.fetchers.fields import Fields
from otel_agent_events.fetchers.hubster_activity import ACTIVITIES, read_activity, rest_of, stamp_of
from otel_agent_events.fetchers.merged import Placed, merged
from otel_agent_events.keys import Keys, key_of, shallow
from otel_agent_events.originals import without_members

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otel_agent_events.events import JSON, Event
    from otel_agent_events.fetchers import Asking, Item
    from otel_agent_events.reference import Reference

BASE_URL = "https://engine.hubster.io"
IDENTITY_URL = "https://identity.hubster.io"

_TOKEN_PATH = "/connect/token"  # noqa: S105 - a path, not a secret
_TYPES = ("Customer", "Agent", "Bot")
"""The only integration types by which activities can be asked for; one of them has to be named."""

_SECRETS = ("tokenid",)
"""The members that are "reserved for Hubster", as its documents say, in lower case."""


class Hubster:
    """Fetch the activities of one conversation, and look the conversation itself up."""

    name = "hubster"
    path = ("CONVERSATION",)
    labels = ("conversation", "activities")
    secrets = ("tokenId",)
    variables = (
        "HUBSTER_ACCESS_TOKEN",
        "HUBSTER_CLIENT_ID",
        "HUBSTER_CLIENT_SECRET",
        "HUBSTER_IDENTITY_URL",
        "HUBSTER_BASE_URL",
    )

    def connect(self, environ: Mapping[str, str], base_url: str | None) -> Connection:
        """Take a token, or OAuth2 client credentials; a token wins.

        Raises:
            UsageError: neither is set.
        """
        origin = "--base-url" if base_url else "HUBSTER_BASE_URL"
        return Connection(
            base_url=checked_base_url(base_url or environ.get("HUBSTER_BASE_URL") or BASE_URL, origin),
            credentials=_credentials(environ),
            advice={
                401: "Set HUBSTER_CLIENT_ID and HUBSTER_CLIENT_SECRET to those of an engine client of this host, or "
                "HUBSTER_ACCESS_TOKEN to an engine token that is not older than 30 days",
                403: "This token may not read conversations; that of an engine client may, and a portal client's not",
                404: "Check the id of the conversation, and the host in HUBSTER_BASE_URL: the demo has its own",
            },
        )

    def ask(self, reference: Reference) -> Asking:
        """Look up the conversation, then ask for the activities of each type of those who take part."""
        match reference.path:
            case (conversation,) if conversation:
                pass
            case _:
                raise UsageError(f"{reference} names no Hubster conversation; write hubster:CONVERSATION")
        yield Request(label="conversation", path=("api", "v1", "conversations", conversation), may_fail=True)
        path = ("api", "v1", "interactions", "activities", conversation)
        for type_ in _TYPES:
            yield Request(label="activities", path=path, query={"type": type_})

    def reader(self, reference: Reference) -> HubsterReader:
        """Make a reader for the answers of one conversation."""
        return HubsterReader(reference)

    def recognise(self, body: JSON) -> str | None:
        """Tell a list of activities, a webhook that brought some, and a conversation by their members."""
        match body:
            case list() if any(map(_is_activity, body)):
                return "activities"
            case {"activities": list()} | {"activity": dict()} if not body.keys().isdisjoint(_OF_A_WEBHOOK):
                return "activities"
            case (
                {"conversationId": _, "openedDateTime": _}
                | {"conversationId": _, "integrationId": _}
                | {"conversationId": _, "properties": _}
            ):
                return "conversation"
            case _:
                return None

    def identify(self, answers: Sequence[Answer]) -> tuple[str, ...]:
        """Take the conversation from where it was looked up, or from a webhook; activities do not name it."""
        for answer in answers:
            match answer.body:
                case {"conversationId": str(conversation)} if conversation:
                    return (conversation,)
                case _:
                    pass
        return ("",)


@value()
class _Met:
    """An activity as it stands in an answer.

    Attributes:
        listing: the answer in which it stands.
        arrived: nanosecond at which it came, when it came by itself: the time of one that tells none.
    """

    record: JSON
    listing: str
    arrived: int | None = None

    @property
    def is_echo(self) -> bool:
        """It is the copy of a message that went back to its sender."""
        return isinstance(self.record, dict) and self.record.get("isEcho") is True

    @property
    def interaction(self) -> str | None:
        """The id of the message; an echo bears that of its original."""
        told = self.record.get("interactionId") if isinstance(self.record, dict) else None
        return told if isinstance(told, str) and told else None


class HubsterReader:
    """Read lists of activities, and what the look-up of the conversation gave."""

    at_once = False
    takes_dicts = False

    def __init__(self, reference: Reference) -> None:
        (conversation,) = (*reference.path, "")[:1]
        self._session = Session(reference=reference, id=conversation or None)
        self._rests: dict[str, JSON] = {}  # of what was told of the conversation, each once
        self._others: set[str] = set()  # other conversations that are named
        self._lists: list[list[Placed[_Met]]] = []
        self._singles: list[Placed[_Met]] | None = None  # the one of these lists of what comes one by one
        self._keys = Keys()

    @property
    def duplicates(self) -> int:
        """How many records were met again, and gave no event."""
        return self._keys.duplicates

    def feed(self, answer: Answer) -> Iterator[Item]:
        """Read one answer.

        Raises:
            ReadError: an answer has no list of activities.
        """
        if answer.failure is not None:
            yield from self._miss(answer)
        elif answer.label == "conversation":
            yield from self._take_conversation(answer)
        else:
            self._take_activities(answer)

    def take(self, record: JSON, arrived: int | None, *, anyhow: bool = False) -> Sequence[Item] | None:
        """Read an activity."""
        if not anyhow and not _is_activity(record):
            return None
        if self._singles is None:
            self._singles = []
            self._lists.append(self._singles)
        self._singles.append(_placed(_Met(record=record, listing="", arrived=arrived)))
        return ()

    def close(self) -> Iterator[Item]:
        """Give all activities in the order of their times."""
        rests = tuple(self._rests.values())
        yield replace(self._session, remainder=list(rests) if len(rests) > 1 else next(iter(rests), None))
        if self._others:
            yield Caution(
                message=f"these answers name other conversations than {self._session.id!r}: {len(self._others)} of them"
            )
        yield from self._events()

    def _miss(self, answer: Answer) -> Iterator[Item]:
        if answer.label == "conversation":
            missing = "when the conversation was opened and closed, and the profile of the customer"
        else:
            missing = "the activities of one type of those who take part"
            self._session = replace(self._session, complete=False)
        yield Caution(message=f"{answer.failure}; the trace lacks {missing}")

    # --- facts about the conversation -----------------------------------------------------------------

    def _take_conversation(self, answer: Answer) -> Iterator[Item]:
        if isinstance(answer.body, dict):
            self._learn(answer.body, "properties")
            return
        if answer.body is not None:
            self._keep(shallow(_without_secrets(answer.body)))
        yield Caution(
            message=f"{answer.source} is no conversation; when it was opened and closed, and its profile are missing"
        )

    def _learn(self, record: Mapping[Any, JSON], properties: str) -> None:
        """Take what a record tells of the conversation; what is told in another way already is kept beside.

        Args:
            record: a conversation, or what a webhook says besides its activities.
            properties: what it calls that which the customer's side gave.
        """
        record = shallow(_without_secrets(record))
        session = self._session
        told = record.get("conversationId")
        if isinstance(told, str) and told.casefold() != (session.id or "").casefold():
            self._others.add(told)
        fields = Fields(record)
        fields.drop("conversationId", session.id)
        opened, closed = times.parse(record.get("openedDateTime")), times.parse(record.get("closedDateTime"))
        if opened is not None and session.created_at is None:
            session = replace(session, started=opened.nanoseconds, created_at=record["openedDateTime"])
        if closed is not None and session.closed_at is None:
            session = replace(session, closed_at=record["closedDateTime"])
        fields.drop("openedDateTime", session.created_at)
        fields.drop("closedDateTime", session.closed_at)
        given = record.get(properties)
        leftovers: dict[str, JSON] = {}
        if isinstance(given, dict) and given:
            fields.value(properties)
            inner = Fields(given)
            content = dict(session.content)
            for name in ("profile", "additional"):
                if given.get(name) is not None:
                    inner.drop(name, content.setdefault(name, given[name]))
            session = replace(session, content=content)
            leftovers[properties] = inner.rest()
        self._session = session
        self._keep(rest_of(fields, leftovers))

    def _keep(self, rest: JSON) -> None:
        if rest is not None:
            self._rests.setdefault(key_of(rest), rest)

    # --- activities -----------------------------------------------------------------------------------

    def _take_activities(self, answer: Answer) -> None:
        match answer.body:
            case list(records):
                pass
            case {"activities": list(records), **envelope} | {"activity": records, **envelope}:
                self._learn(envelope, "conversationProperties")
                records = records if isinstance(records, list) else [records]
            case _:
                raise ReadError(f"{self._session.reference}: {answer.source} holds no list of activities")
        if not (answer.continues and self._lists):
            self._lists.append([])
        listing = str(len(self._lists))
        self._lists[-1] += [_placed(_Met(record=record, listing=listing)) for record in records]

    def _events(self) -> Iterator[Event]:
        """Claim the originals before the echoes, so that an original has the plain id; then tell them in order."""
        met = merged(self._lists)
        keys: list[str | None] = [None] * len(met)
        originals: dict[str, str] = {}
        for echoes in (False, True):
            for place, each in enumerate(met):
                if each.is_echo is not echoes:
                    continue
                key = self._keys.claim(each.record, each.interaction, listing=each.listing)
                keys[place] = key
                if key is not None and each.interaction is not None and not echoes:
                    originals.setdefault(each.interaction, key)
        for key, each in zip(keys, met, strict=True):
            if key is not None:
                original = originals.get(each.interaction or "") if each.is_echo else None
                yield read_activity(key, shallow(_without_secrets(each.record)), original, each.arrived)


# --- what is asked for, and what never leaves ---------------------------------------------------------


def _placed(met: _Met) -> Placed[_Met]:
    stamp = stamp_of(met.record.get("eventId")) if isinstance(met.record, dict) else None
    return Placed(at=None if stamp is None else stamp.nanoseconds, record=met)


_OF_A_WEBHOOK = ("hubId", "integrationId", "conversationId", "conversationProperties")


def _is_activity(record: JSON) -> bool:
    match record:
        case {"eventTrigger": _}:
            return True
        case (
            {"type": str(type_), "sender": _}
            | {"type": str(type_), "recipient": _}
            | {"type": str(type_), "eventId": _}
        ):
            return type_.casefold() in ACTIVITIES
        case _:
            return False


def _without_secrets(record: JSON) -> JSON:
    """Give the record without what Hubster reserves for itself."""
    return without_members(record, _SECRETS)


def _credentials(environ: Mapping[str, str]) -> Credentials:
    token = environ.get("HUBSTER_ACCESS_TOKEN")
    if token:
        return ApiKey("Authorization", token, variable="HUBSTER_ACCESS_TOKEN", scheme="Bearer ")
    client_id, client_secret = environ.get("HUBSTER_CLIENT_ID"), environ.get("HUBSTER_CLIENT_SECRET")
    if client_id and client_secret:
        identity = (environ.get("HUBSTER_IDENTITY_URL") or IDENTITY_URL).strip().rstrip("/")
        return ClientCredentials(
            identity.removesuffix(_TOKEN_PATH) + _TOKEN_PATH,
            client_id,
            client_secret,
            variables="HUBSTER_CLIENT_ID, HUBSTER_CLIENT_SECRET and HUBSTER_IDENTITY_URL",
        )
    raise UsageError(
        "Hubster wants credentials: set HUBSTER_CLIENT_ID and HUBSTER_CLIENT_SECRET (an engine client), "
        "or HUBSTER_ACCESS_TOKEN"
    )
