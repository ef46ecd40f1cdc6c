"""What reading and writing have in common: how a field of OTLP stands in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.protobuf.descriptor import FieldDescriptor

ID_BYTES = {"trace_id": 16, "span_id": 8, "parent_span_id": 8}
"""Bytes of the ids: in JSON they are in hex, and all other bytes in base64."""

MOST_HEADS = 1024
"""What stands around spans is mostly the same from line to line; so much of it is remembered."""


def is_repeated(field: FieldDescriptor) -> bool:
    """Tell whether a field is a list."""
    # Old releases of protobuf know `label` only, and new ones warn of it.
    return bool(field.default_value == [])
