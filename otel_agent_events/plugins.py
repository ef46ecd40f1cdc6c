"""Plug-ins by entry point: ours and those of others come through the same door."""

from __future__ import annotations

from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar, cast

from otel_agent_events.errors import UsageError

Plugin = TypeVar("Plugin")


class Plugins(Generic[Plugin]):
    """The plug-ins of one entry point group. Only the one that is asked for is imported.

    Args:
        group: the entry point group; each entry names a class or function that makes the plug-in.
        noun: what one of them is called in messages.
    """

    def __init__(self, group: str, noun: str) -> None:
        self._group = group
        self._noun = noun

    @cached_property
    def _entries(self) -> tuple[EntryPoint, ...]:
        # Asking takes milliseconds: the metadata of every installed package is read.
        return tuple(entry_points(group=self._group))

    def names(self) -> list[str]:
        """Give the names of all that are installed, sorted."""
        return sorted({entry.name for entry in self._entries})

    def get(self, name: str) -> Plugin:
        """Import and make the plug-in of that name.

        Raises:
            UsageError: there is none of that name, or two packages bring one, or it cannot be imported.
        """
        found = [entry for entry in self._entries if entry.name == name]
        if not found:
            known = ", ".join(self.names()) or "none"
            raise UsageError(f"there is no {self._noun} {name!r}; installed: {known}")
        if len({entry.value for entry in found}) > 1:
            brought_by = " and ".join(_package(entry) for entry in found)
            raise UsageError(f"the {self._noun} {name!r} is brought by {brought_by}: uninstall one of them")
        try:
            return cast("Plugin", found[0].load()())
        except Exception as error:
            raise UsageError(
                f"the {self._noun} {name!r} of {_package(found[0])} cannot be loaded: {error!r}"
            ) from error


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value
