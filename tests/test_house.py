"""What keeps the house in order and no linter knows."""

from __future__ import annotations

import ast
import re
import typing
from pathlib import Path

import pytest

import otel_agent_events
from otel_agent_events import content
from otel_agent_events.cli import Commands, options
from tests.processes import imported_by

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "otel_agent_events"
MODULES = sorted(PACKAGE.rglob("*.py"))


HEAVY = {"opentelemetry", "google.protobuf", "grpc", "sqlalchemy", "httpx", "pydantic", "rich"}


def test_importing_the_package_opens_nothing_and_imports_nothing_heavy() -> None:
    assert not imported_by("import otel_agent_events") & HEAVY


def test_the_command_line_imports_nothing_heavy_before_a_command_runs() -> None:
    every = "; ".join(f"import otel_agent_events.cli.{name}" for name in Commands.modules)

    assert not imported_by(every) & HEAVY


def test_the_help_imports_nothing_of_the_package_but_the_command_line_and_the_errors() -> None:
    helped = "from otel_agent_events.cli import main; main(['--help'], standalone_mode=False)"
    imported = imported_by(f"import io; sys.stdout, out = io.StringIO(), sys.stdout; {helped}; sys.stdout = out")

    assert not imported & HEAVY
    # What a bare click program does not need either: each of these is a tenth of its time and more.
    assert not imported & {"importlib.metadata", "email.message", "json", "pathlib", "hashlib"}
    assert {name for name in imported if name.startswith("otel_agent_events")} == {
        "otel_agent_events",
        "otel_agent_events.cli",
        "otel_agent_events.errors",
    }


def test_the_contents_that_the_help_names_are_those_that_there_are() -> None:
    assert options.CONTENTS == content.CONTENTS


def test_the_public_names_are_sorted_and_can_be_had() -> None:
    assert otel_agent_events.__all__ == sorted(otel_agent_events.__all__)
    assert dir(otel_agent_events) == otel_agent_events.__all__
    for name in otel_agent_events.__all__:
        assert getattr(otel_agent_events, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'odd'"):
        otel_agent_events.odd  # type: ignore[attr-defined]  # noqa: B018


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()
    assert typing.get_type_hints(otel_agent_events.UsageError) == {}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_but_settings_reads_the_environment(module: Path) -> None:
    if module.name == "settings.py":
        return
    tree = ast.parse(module.read_text(encoding="utf-8"))

    for node in ast.walk(tree):
        assert not (
            isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"} and ast.unparse(node.value) == "os"
        )
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            assert not {alias.name for alias in node.names} & {"environ", "getenv"}


CORE = ("assemble", "attributes", "content", "conversion", "events", "fetched", "ids", "keys", "own", "spans", "times")
PURE = [*(PACKAGE / f"{name}.py" for name in CORE), *PACKAGE.glob("scrub/*.py"), *PACKAGE.glob("conventions/*.py")]


@pytest.mark.parametrize("module", PURE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_core_knows_no_clock_no_chance_and_no_network(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))

    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not imported & {"time", "random", "secrets", "uuid", "os", "socket", "httpx", "threading"}


def test_every_public_module_class_and_function_has_a_docstring() -> None:
    for module in MODULES:
        tree = ast.parse(module.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), module


def test_the_readme_names_the_commands_that_ci_runs() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

    for command in ("make demo", "make test"):
        assert re.search(rf"^{command}\b", readme, re.MULTILINE)
    assert "make test" in ci


def test_the_lock_holds_no_address() -> None:
    assert "://" not in (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")


def test_links_between_the_documents_lead_somewhere() -> None:
    for document in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/**/*.md"),
    ]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
