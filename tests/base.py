"""An interpreter in which only those packages can be imported that the base install brings: `python -m tests.base`.

`pip install otel-agent-events` is what a service installs. The development tools stand beside it here, and must not be
what makes it work.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import Distribution, distribution, distributions
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import ModuleType

OURS = "otel-agent-events"


def base() -> dict[str, Distribution]:
    """Give what the base install consists of, by name: this package, what it needs, and what that needs."""
    found: dict[str, Distribution] = {}
    waiting = [Requirement(OURS)]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        there = distribution(name)
        extras = wanted.extras or {""}
        needed = [Requirement(told) for told in there.requires or []]
        needed = [
            each
            for each in needed
            if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in extras)
        ]
        if name not in found or wanted.extras:
            found[name] = there
            waiting += [each for each in needed if canonicalize_name(each.name) not in found or each.extras]
    return found


class OnlyThese(MetaPathFinder):
    """Finds no module of any other distribution that is installed."""

    def __init__(self, names: Iterable[str]) -> None:
        known = set(names)
        self._others = {
            str(each.locate_file(file)): each.name
            for each in distributions()
            if canonicalize_name(each.name) not in known
            for file in each.files or []
            if file.suffix in {".py", ".so", ".pyd"}
        }

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.origin in self._others:
            raise ModuleNotFoundError(f"{name} is of {self._others[spec.origin]}, which is not in the base", name=name)
        return None


def main(program: str) -> None:
    """Run a program in it. What this module itself has imported is forgotten."""
    others = OnlyThese(base())
    for name in [name for name in sys.modules if name.partition(".")[0] == "packaging"]:
        del sys.modules[name]
    sys.meta_path.insert(0, others)
    exec(compile(program, "program", "exec"), {"__name__": "__main__"})  # noqa: S102 - it is what this is for


if __name__ == "__main__":
    main(sys.stdin.read())
