"""Run tests with nothing compiled, as where there was no C compiler: `pytest -p tests.pure`."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec, PathFinder
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType


class _Sources(MetaPathFinder):
    """Finds the source of a module that was compiled, and nothing when there is none."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name.startswith("otel_agent_events.") else None
        if spec is None or not isinstance(spec.loader, ExtensionFileLoader):
            return None
        suffix = next(each for each in EXTENSION_SUFFIXES if spec.loader.path.endswith(each))
        source = Path(spec.loader.path.removesuffix(suffix) + ".py")
        if not source.exists():
            raise ModuleNotFoundError(f"{name} is compiled, and is left out of these tests", name=name)
        return spec_from_file_location(name, source)


sys.meta_path.insert(0, _Sources())
