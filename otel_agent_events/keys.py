"""Which records are new, and the key of each (mapping.md section 4).

Every reader of every platform asks here, so that a record that comes twice is one event wherever it comes from.
"""

from __future__ import annotations

import json
from collections import Counter
from hashlib import sha256
from typing import TYPE_CHECKING

from otel_agent_events.ids import canonical, content_key

if TYPE_CHECKING:
    from otel_agent_events.events import JSON

DEEPEST = 100
"""Levels of nesting that a record may have; what lies deeper is kept as its JSON text."""


class Keys:
    """The keys given so far in one session.

    Attributes:
        duplicates: how many records were met again and give no event.
    """

    def __init__(self) -> None:
        self.duplicates = 0
        self._taken: set[str] = set()
        self._versions: dict[str, list[bytes]] = {}
        self._met: Counter[str] = Counter()
        self._met_in_listing: Counter[tuple[str, str]] = Counter()

    def claim(self, record: JSON, identifier: str | None = None, *, listing: str = "") -> str | None:
        """Give the key of a record, or None when this very record was met before.

        Args:
            record: as the platform gave it, before any content policy.
            identifier: the platform's id of the record, if it has one.
            listing: names the list in which the record was met. Pages of one list bear one name; when the same
                records are met in several lists, the n-th equal record of one list is the n-th of the others.
        """
        spelling = canonical(record)
        if identifier is None:
            return self._claim_by_content(content_key(spelling), listing)
        digest = sha256(spelling.encode()).digest()[:8]
        versions = self._versions.setdefault(identifier, [])
        if digest in versions:
            self.duplicates += 1
            return None
        versions.append(digest)
        return self._next_free(identifier)

    def _claim_by_content(self, key: str, listing: str) -> str | None:
        self._met_in_listing[listing, key] += 1
        if self._met_in_listing[listing, key] <= self._met[key]:
            self.duplicates += 1
            return None
        self._met[key] += 1
        return self._next_free(key)

    def _next_free(self, key: str) -> str:
        free, number = key, 1
        while free in self._taken:
            number += 1
            free = f"{key}#{number}"
        self._taken.add(free)
        return free


def shallow(record: JSON) -> JSON:
    """Give the record with all that lies deeper than `DEEPEST` levels replaced by its JSON text.

    Nothing is lost by that, and every later stage may recurse. A record that is not so deep is returned as it is.
    """
    pending = [(record, 1)]
    while pending:
        part, level = pending.pop()
        if level > DEEPEST:
            return _flattened(record, 1)
        if isinstance(part, dict):
            pending.extend((inner, level + 1) for inner in part.values() if isinstance(inner, (dict, list)))
        elif isinstance(part, list):
            pending.extend((inner, level + 1) for inner in part if isinstance(inner, (dict, list)))
    return record


def _flattened(part: JSON, level: int) -> JSON:
    if not isinstance(part, (dict, list)):
        return part
    if level > DEEPEST:
        return json.dumps(part)
    if isinstance(part, dict):
        return {name: _flattened(inner, level + 1) for name, inner in part.items()}
    return [_flattened(inner, level + 1) for inner in part]
