"""One activity of a Hubster conversation as an event, and its message as parts.

Activities and the types of messages are those of Hubster's documents and .NET models, which write some names in two
cases; the names of types are compared without their case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from otel_agent_events import times
from otel_agent_events.events import (
    AgentMessage,
    EventLink,
    File,
    Note,
    OtherPart,
    Part,
    Text,
    Uri,
    UserMessage,
    value,
    words,
)
from otel_agent_events.fetchers.fields import Fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_agent_events.events import JSON, Event

ACTIVITIES = ("message", "event", "action")
"""What an activity can be: two words of the .NET constants, and one of the documents for both."""

_EVENTS = {"seen", "typing_on", "typing_off", "payload"}
_PARTIES = ("sender", "recipient")
_MOST_DIGITS = 20
_MODALITIES = {"image": "image", "video": "video", "audio": "audio", "youtube": "video", "vimeo": "video"}
"""What lies at the `url` of a message of these types."""

_COMMAND = "::"
"""A text that begins so is a command to the other side's integration."""


_Common: TypeAlias = dict[str, Any]
"""The fields that every event has, ready to be handed on."""


def read_activity(key: str, record: JSON, original: str | None, arrived: int | None = None) -> Event:
    """Read an activity.

    Args:
        key: of the event.
        record: without the platform's secrets.
        original: the key of the message of which this is an echo, if it was met.
        arrived: nanosecond at which it came by itself: the time of an activity that tells none.
    """
    if not isinstance(record, dict):
        return Note(key=key, remainder=record)
    fields = Fields(record)
    details: dict[str, str | bool | int] = {}
    leftovers: dict[str, JSON] = {}
    at = fields.nanoseconds("eventId", read=stamp_of)
    if at is not None and isinstance(record["eventId"], (int, str)):
        details["eventId"] = record["eventId"]
    at = arrived if at is None else at
    _tell(details, fields, "", "eventTrigger", "externalId", "flowProcess")
    echo = fields.flag("isEcho")
    if echo is not None:
        details["isEcho"] = echo
    for party in _PARTIES:
        inner = _opened(fields, record, party)
        if inner is not None:
            _tell(details, inner, f"{party}.", "integrationType", "channelType", "integrationId")
            leftovers[party] = inner.rest()
    common: _Common = {
        "key": key,
        "type": fields.name("type"),
        "id": fields.name("interactionId"),
        "start": at,
        "end": at,
        "details": details,
        "links": () if original is None else (EventLink(key=original),),
    }
    match _held(record):
        case "message":
            return _message(record, fields, leftovers, common)
        case "event":
            return _occurrence(record, fields, leftovers, common)
        case _:
            return Note(**common, name="echo" if echo else "unknown_event", remainder=rest_of(fields, leftovers))


def _message(record: Mapping[str, JSON], fields: Fields, leftovers: dict[str, JSON], common: _Common) -> Event:
    """Read an activity that is a message: who sent it tells what it is."""
    details = common["details"]
    role = _folded(details.get("sender.integrationType"))
    if not details.get("isEcho") and role not in {"customer", "bot", "agent"}:
        return Note(**common, remainder=rest_of(fields, leftovers))
    told = record.get("message")
    message = _read_message(told) if isinstance(told, dict) and told else None
    if message is not None:
        fields.value("message")
        if message.type is not None:
            details["message.type"] = message.type
        if message.command:
            details["command"] = True
    if details.get("isEcho"):
        content = {} if message is None else {"message": told}
        return Note(**common, name="echo", content=content, remainder=rest_of(fields, leftovers))
    leftovers["message"] = None if message is None else message.rest
    parts = () if message is None else message.parts
    remainder = rest_of(fields, leftovers)
    if role == "customer":
        return UserMessage(**common, parts=parts, remainder=remainder)
    return AgentMessage(**common, parts=parts, author="human" if role == "agent" else "bot", remainder=remainder)


def _occurrence(record: Mapping[str, JSON], fields: Fields, leftovers: dict[str, JSON], common: _Common) -> Event:
    """Read an activity that is an event: it is named by its type when that is a documented one."""
    details = common["details"]
    inner = _opened(fields, record, "event")
    if inner is None:
        name = "echo" if details.get("isEcho") else "event"
        return Note(**common, name=name, remainder=rest_of(fields, leftovers))
    _tell(details, inner, "event.", "type")
    word = _folded(details.get("event.type"))
    payload_type, payload = inner.name("payloadType"), inner.value("payload")
    leftovers["event"] = inner.rest()
    known = word if word in _EVENTS else "event"
    return Note(
        **common,
        name="echo" if details.get("isEcho") else known,
        attributes={} if payload_type is None else {"payloadType": payload_type},
        content={} if payload is None else {"payload": payload},
        remainder=rest_of(fields, leftovers),
    )


def _held(record: Mapping[str, JSON]) -> str | None:
    """Say what an activity holds, `message` or `event`; None when it is of a type that we do not know.

    The documents call both an `action` in one place, so what is there counts as much as what it is called.
    """
    type_ = _folded(record.get("type"))
    if type_ and type_ not in ACTIVITIES:
        return None
    held = [name for name in ("message", "event") if isinstance(record.get(name), dict)]
    if type_ in held or (type_ in {"message", "event"} and not held):
        return type_
    return held[0] if held else None


def _tell(details: dict[str, str | bool | int], fields: Fields, prefix: str, *names: str) -> None:
    """Take names and ids into the details."""
    for name in names:
        told = fields.name(name)
        if told is not None:
            details[f"{prefix}{name}"] = told


def _opened(fields: Fields, record: Mapping[str, JSON], name: str) -> Fields | None:
    """Take an object that has something in it, to take its own members one by one."""
    inner = record.get(name)
    if not isinstance(inner, dict) or not inner:
        return None
    fields.value(name)
    return Fields(inner)


def rest_of(fields: Fields, leftovers: Mapping[str, JSON]) -> JSON:
    """Give what nobody took, of a record and of the objects in it."""
    return {**(fields.rest() or {}), **{name: left for name, left in leftovers.items() if left is not None}} or None


def stamp_of(told: JSON) -> times.Stamp | None:
    """Read an `eventId`: it is no id but the time, in milliseconds since 1970, as a number or its digits.

    Returns:
        None for what is no such time, and for 0, which a number has in .NET that nobody has set.
    """
    if isinstance(told, str) and len(told) <= _MOST_DIGITS and told.isascii() and told.isdigit():
        told = int(told)
    stamp = times.epoch(told, times.MILLISECOND)
    return stamp if stamp and stamp.nanoseconds else None


def _folded(word: JSON) -> str:
    return word.casefold() if isinstance(word, str) else ""


# --- its message ---------------------------------------------------------------------------------------


@value()
class _Message:
    """What a message says.

    Attributes:
        type: the platform's word, as it was written.
        command: it is a text that is a command.
        rest: the members that no part holds exactly; None when there are none.
    """

    type: str | None
    parts: tuple[Part, ...]
    command: bool
    rest: JSON


def _read_message(message: Mapping[str, JSON]) -> _Message:
    """Read a message; one of another type, or without what its type is about, is a part as a whole, and a rest as well.

    Args:
        message: the member `message` of an activity. One that has no type is read as a text.
    """
    fields = Fields(message)
    type_ = fields.name("type")
    parts = tuple(_parts(fields, (type_ or "text").casefold()))
    if not parts:
        return _Message(type=type_, parts=(OtherPart(content=message),), command=False, rest=message)
    command = any(isinstance(part, Text) and words(part.text).startswith(_COMMAND) for part in parts)
    return _Message(type=type_, parts=parts, command=command, rest=fields.rest())


def _parts(fields: Fields, type_: str) -> Iterator[Part]:
    match type_:
        case "text":
            text = fields.text("text")
            if text is not None:
                yield Text(text=text)
            for name in ("items", "actions"):
                listed = fields.listed(name)
                if listed is not None:
                    yield OtherPart(content={"type": name, name: listed})
        case "image" | "video" | "audio" | "youtube" | "vimeo":
            url = fields.name("url")
            if url is not None:
                yield Uri(uri=url, mime_type=fields.text("mimeType"), modality=_MODALITIES[type_])
        case "attachment":
            url = fields.name("url")
            if url is not None:
                yield File(
                    uri=url,
                    name=fields.text("label"),
                    mime_type=fields.text("mimeType"),
                    size=fields.integer("size"),
                )
        case _:
            pass
