from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from pydantic import TypeAdapter, ValidationError

from otel_agent_events import replay
from otel_agent_events.cli import main
from otel_agent_events.fetchers import neutral_lines
from tests.traces import DATA

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LINE: TypeAdapter[Any] = TypeAdapter(neutral_lines.SessionLine | neutral_lines.NeutralEvent)
EVERY_KIND = (DATA / "neutral" / "every_kind.jsonl").read_text(encoding="utf-8").splitlines()
MODELS = (
    neutral_lines.SessionLine,
    neutral_lines.NeutralSession,
    neutral_lines.NeutralUserMessage,
    neutral_lines.NeutralThinking,
    neutral_lines.NeutralToolCall,
    neutral_lines.NeutralToolResult,
    neutral_lines.NeutralAgentMessage,
    neutral_lines.NeutralNote,
)
PLAIN = {"kind", "text", "author", "session"}
"""Fields that need no description: their names, or those of their values, say it."""

TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float),
    "null": type(None),
}  # fmt: skip


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["schema", *arguments], env={"COLUMNS": "200"})
    assert (result.exit_code, result.exception) == (0, None)
    return result.stdout


def schema() -> Any:
    return json.loads(printed())


def examples() -> list[str]:
    return [line.strip() for line in printed("--help").splitlines() if line.strip().startswith("{")]


SILENT = {"$schema", "$defs", "title", "description", "default", "format", "discriminator"}
"""Words that refuse nothing here."""


def accepts(told: Any, value: Any, root: Any) -> bool:
    """Say whether a value is valid, by those words of JSON Schema that are used here; another one is a failure."""
    if told is True:
        return True
    if "type" in told and not _is_a(told["type"], value):
        return False
    return all(_accepts(word, told, value, root) for word in told.keys() - SILENT - {"type"})


def _is_a(name: str, value: Any) -> bool:
    return isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def _accepts(word: str, told: Any, value: Any, root: Any) -> bool:
    each = told[word]
    verdicts: dict[str, Callable[[], bool]] = {
        "$ref": lambda: accepts(root["$defs"][each.removeprefix("#/$defs/")], value, root),
        "anyOf": lambda: any(accepts(one, value, root) for one in each),
        "allOf": lambda: all(accepts(one, value, root) for one in each),
        "not": lambda: not accepts(each, value, root),
        "oneOf": lambda: [accepts(one, value, root) for one in each].count(True) == 1,
        "const": lambda: bool(value == each),
        "enum": lambda: value in each,
        "required": lambda: set(each) <= value.keys(),
        "properties": lambda: all(accepts(one, value[name], root) for name, one in each.items() if name in value),
        "additionalProperties": lambda: all(
            accepts(each, value[name], root) for name in value.keys() - told.get("properties", {}).keys()
        ),
        "items": lambda: all(accepts(each, one, root) for one in value),
        "minLength": lambda: bool(len(value) >= each),
        "minItems": lambda: bool(len(value) >= each),
        "maxLength": lambda: bool(len(value) <= each),
        "pattern": lambda: re.search(each, value) is not None,
    }
    return verdicts[word]()


def references(told: Any) -> set[str]:
    """Give all that is referred to."""
    match told:
        case {"$ref": str(where)}:
            return {where}
        case dict():
            return set().union(*map(references, told.values()))
        case list():
            return set().union(*map(references, told))
        case _:
            return set()


def test_the_schema_is_one_json_object_in_the_current_draft() -> None:
    told = schema()

    assert told["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert told["title"] == "One line of a file of neutral agent events"
    assert told == neutral_lines.schema()


def test_everything_that_it_refers_to_is_in_it_and_nothing_else() -> None:
    told = schema()

    assert references(told) == {f"#/$defs/{name}" for name in told["$defs"]}
    assert told["$defs"].keys() == {model.__name__ for model in MODELS}


@pytest.mark.parametrize("model", MODELS)
def test_every_field_of_every_model_is_in_it_with_a_description_where_one_is_needed(model: Any) -> None:
    told = schema()["$defs"][model.__name__]

    assert told["properties"].keys() == model.model_fields.keys()
    assert told["additionalProperties"] is True
    assert told["description"]
    bare = {name for name, each in told["properties"].items() if not each.get("description")}
    assert bare <= PLAIN


def test_only_what_must_be_there_is_required() -> None:
    required = {name: set(told.get("required", ())) for name, told in schema()["$defs"].items()}

    assert required == {
        "SessionLine": {"session"},
        "NeutralSession": {"id", "platform"},
        "NeutralUserMessage": {"kind"},
        "NeutralThinking": {"kind"},
        "NeutralToolCall": {"kind"},
        "NeutralToolResult": {"kind"},
        "NeutralAgentMessage": {"kind"},
        "NeutralNote": {"kind", "name"},
    }


@pytest.mark.parametrize("line", EVERY_KIND)
def test_every_line_of_the_example_with_every_kind_is_accepted(line: str) -> None:
    told, value = schema(), json.loads(line)

    LINE.validate_python(value)
    assert accepts(told, value, told)


@pytest.mark.parametrize(
    "line",
    [
        {},
        {"kind": "telegram"},
        {"kind": "note"},
        {"kind": "note", "name": ""},
        {"kind": "note", "name": "x" * 65},
        {"kind": "note", "name": "n", "failure": "boredom"},
        {"kind": "thinking", "text": 7},
        {"kind": "thinking", "time": 7},
        {"kind": "thinking", "measurements": {"ms": "12"}},
        {"kind": "user_message", "parts": ["Hi"]},
        {"kind": "agent_message", "author": "dog"},
        {"kind": "tool_result", "error": "no"},
        {"session": {"id": "s1"}},
        {"session": {"id": "", "platform": "acme"}},
        {"session": {"id": "s1", "platform": "acme:x"}},
        {"session": {"id": "s1", "platform": "acme", "path": []}},
        {"session": "s1"},
        [],
        {"kind": "thinking", "time": "2026-11-18T08:00:00Z", "start": "2026-11-18T08:00:00Z"},
        {"kind": "thinking", "time": "2026-11-18T08:00:00Z", "end": "2026-11-18T08:00:00Z"},
        {"kind": "thinking", "start": "2026-11-18T08:00:00Z"},
        {"kind": "thinking", "start": "2026-11-18T08:00:00Z", "end": None},
        {"kind": "thinking", "time": "yesterday"},
        {"session": {"id": "s", "platform": "p", "started": "then"}},
    ],
)
def test_what_the_reader_refuses_the_schema_refuses_as_well(line: Any) -> None:
    told = schema()

    assert not accepts(told, line, told)
    with pytest.raises(ValidationError):
        LINE.validate_python(line)


@pytest.mark.parametrize(
    "times",
    [
        {"time": "2026-11-18T08:00:00.123456789Z", "start": None, "end": None},
        {"start": "2026-11-18 08:00:00,5+01:00", "end": "2026-11-18t08:00:00z"},
        {"end": "2026-11-18T08:00:00", "start": None},
        {},
    ],
)
def test_every_way_to_say_when_is_accepted_by_both(times: dict[str, str | None]) -> None:
    line = {"kind": "thinking", **times}

    LINE.validate_python(line)
    assert accepts(schema(), line, schema())


def test_the_example_in_the_help_is_accepted() -> None:
    told = schema()

    assert [json.loads(line).get("kind", "session") for line in examples()] == [
        "session", "user_message", "tool_call", "tool_result", "agent_message",
    ]  # fmt: skip
    assert all(accepts(told, json.loads(line), told) for line in examples())


def test_the_example_in_the_help_can_be_replayed(here: Path) -> None:
    (here / "example.jsonl").write_text("\n".join(examples()), encoding="utf-8")

    report = replay(["example.jsonl"], to=["file:out.jsonl"], environ={})

    (session,) = report.sessions
    assert (report.exit_code, session.reference, session.events, session.made) == (0, "acme:s1", 4, 4)
    assert session.warnings == ()


def test_show_draws_the_example_in_the_help_from_standard_input() -> None:
    result = CliRunner().invoke(main, ["show", "-"], input="\n".join(examples()), env={"COLUMNS": "140"})

    assert result.exit_code == 0
    for name in ("invoke_agent Support desk", "user_message", "execute_tool orders", "agent_output"):
        assert name in result.stdout


def test_show_tells_a_bad_line_and_draws_the_rest() -> None:
    lines = [*examples(), "{}"]
    result = CliRunner().invoke(main, ["show", "-"], input="\n".join(lines), env={"COLUMNS": "140"})

    assert result.exit_code == 1
    assert result.stderr == "error: line 6 of standard input is no event: it has no kind; it was skipped\n"
    assert "execute_tool orders" in result.stdout


def test_a_session_named_beside_a_neutral_file_is_refused(here: Path) -> None:
    (here / "example.jsonl").write_text("\n".join(examples()), encoding="utf-8")

    result = CliRunner().invoke(main, ["show", "example.jsonl", "--session", "vectara:support/s1"])

    assert result.exit_code == 1
    assert result.stderr == "error: example.jsonl names its sessions itself; leave --session out\n"
