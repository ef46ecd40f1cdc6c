"""Events of usual records, by a list that says what of a record goes where in an event.

A record is a struct as msgspec has decoded it: texts, flags, and its one content as it was written. Most records of a
platform are of a few kinds, and of each kind the same is done with every one: that is told here as data (`Form`), so
that compiled code can do it, which takes a third of the time. `_native` does the same as this does.

What is out of the usual in any way gives no event here: the platform's own reader takes it, from parsed JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

from msgspec import UNSET
from msgspec.structs import replace

from otel_agent_events.events import Text
from otel_agent_events.spelling import digests, respelled, written
from otel_agent_events.times import parse_usual

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from otel_agent_events.events import Event, Part, Written

FieldKind: TypeAlias = Literal["same", "text", "time", "either", "flag"]
"""What a field of a record is:

- `same`: a text that is the same in all records, and goes nowhere: the session's id;
- `text`: a text that is not empty;
- `time`: a stamp in the usual form; nanoseconds go to the event;
- `either`: a text that may be missing and may go by another name; None goes to the event when it is missing;
- `flag`: true or false, or missing, which is None.
"""

ContentKind: TypeAlias = Literal["words", "part", "parts", "value"]
"""What a content is: a text; a text that is the one part of a message; a list of parts; any value but null."""


class Field(NamedTuple):
    """Where a field of a record goes.

    Attributes:
        source: what the record calls it.
        targets: what the event calls it, which may be two things.
        other: another name that the record may have for it.
    """

    kind: FieldKind
    source: str
    targets: tuple[str, ...] = ()
    other: str = ""


class Form(NamedTuple):
    """What becomes of the records of a kind.

    Attributes:
        event: one that has what all of them have; the others are copies of it.
        fields: of the record, its content apart.
        content: what the content is, which the record calls `content`, and what the event calls it.
    """

    event: Event
    fields: tuple[Field, ...]
    content: tuple[ContentKind, str]


class Helpers(NamedTuple):
    """What does the seldom things.

    Attributes:
        deepest: levels of nesting that a content may have.
        parts: reads a list of parts; None for one that is out of the usual.
        respelled: spells JSON as we spell it; raises ValueError for what cannot be.
        text: a part of a message that is words.
        unset: stands for what is missing.
    """

    deepest: int
    parts: Callable[[Written], tuple[Part, ...] | None]
    respelled: Callable[[bytes, int], Written] = respelled
    text: type[Text] = Text
    unset: object = UNSET


Reading: TypeAlias = "tuple[list[Event], list[int]]"
"""Events with the platform's ids for keys, and for each a digest of its record: equal for equal records of one kind.

Digests hold in one process, and are not zero.
"""


class Reads(Protocol):
    """Makes events of records."""

    def read(self, records: Sequence[object], same: str) -> Reading | None:
        """Read records; None when one of them is out of the usual. `same` is what all have to name."""
        ...


class RecordReader:
    """Make events of records; `Reads` in Python.

    Args:
        forms: by the type of a record.
        helpers: do the seldom things.
    """

    def __init__(self, forms: Mapping[type, Form], helpers: Helpers) -> None:
        self._forms = forms
        self._helpers = helpers

    def read(self, records: Sequence[Any], same: str) -> Reading | None:
        """Read records; None when one of them is out of the usual."""
        forms = [self._forms.get(record.__class__) for record in records]
        if None in forms:
            return None
        try:
            contents = written([bytes(record.content) for record in records], self._helpers.deepest)
        except ValueError:
            return None
        events: list[Event] = []
        told: list[int] = []
        for record, form, content, digest in zip(records, forms, contents, digests(contents), strict=True):
            assert form is not None  # noqa: S101 - none of them is
            read = self._fields(record, form, same)
            content_kind, target = form.content
            value = self._content(content_kind, content)
            if read is None or value is None:
                return None
            fields, values = read
            events.append(replace(form.event, **fields, **{target: value}))
            told.append(hash((form.event.__class__, *values, digest)) or 1)
        return events, told

    def _fields(self, record: object, form: Form, same: str) -> tuple[dict[str, Any], list[Any]] | None:
        """Give what goes to the event, and all values of the record; None when one is out of the usual."""
        fields: dict[str, Any] = {}
        values = []
        for kind, source, targets, other in form.fields:
            value = getattr(record, source)
            values.append(value)
            match kind:
                case "same":
                    if value != same:
                        return None
                    continue
                case "text" if not value:
                    return None
                case "time":
                    value = parse_usual(value)
                    if value is None:
                        return None
                case "either":
                    second = getattr(record, other)
                    values.append(second)
                    if (value is not UNSET and second is not UNSET) or "" in (value, second):
                        return None
                    value = second if value is UNSET else value
                case _:
                    pass
            fields |= dict.fromkeys(targets, None if value is UNSET else value)
        return fields, values

    def _content(self, kind: ContentKind, content: Written) -> object:
        """Give what goes to the event; None when it is out of the usual."""
        match kind:
            case "words" if content[0] == _QUOTE:
                return content
            case "part" if content[0] == _QUOTE:
                return (self._helpers.text(text=content),)
            case "parts":
                return self._helpers.parts(content)
            case "value" if content != _NULL:
                return content
            case _:
                return None


_QUOTE = ord('"')
_NULL = b"null"


reader: Callable[[Mapping[type, Form], Helpers], Reads]
try:
    from otel_agent_events._native import RecordReader as CompiledReader
except ImportError:  # it was installed without a C compiler
    reader = RecordReader
else:
    reader = CompiledReader
