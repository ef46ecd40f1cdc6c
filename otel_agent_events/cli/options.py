"""Options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

CONTENTS = ("full", "scrubbed", "none")
"""Those of `content.py`, which takes a while to import: the patterns of secrets hang on it."""


def asking(command: F) -> F:
    """How platforms are asked."""
    for option in reversed(
        (
            click.option(
                "--base-url",
                metavar="URL",
                help="Host of the platform, such as https://api.vectara.io, when all REFs are of one platform.",
            ),
            click.option(
                "--timeout",
                metavar="SECONDS",
                type=click.FloatRange(min=0, min_open=True),
                help="How long to wait for one answer, of a platform or of the destination, such as 30.",
            ),
            click.option(
                "--rate",
                metavar="NUMBER",
                type=click.FloatRange(min=0, min_open=True),
                help="The most requests a second to one platform, such as 5.  [default: no limit]",
            ),
        )
    ):
        command = option(command)
    return command


def sources(command: F) -> F:
    """Where sessions come from."""
    for option in reversed(
        (
            click.argument("references", metavar="REF...", nargs=-1, required=True),
            click.option(
                "--session", metavar="REF", help="Name what a saved answer does not, such as vectara:AGENT/SESSION."
            ),
            asking,
            click.option(
                "--follow-subagents", is_flag=True, help="Replay the sessions that sub-agents ran as well, each once."
            ),
        )
    ):
        command = option(command)
    return command


def conversion(command: F) -> F:
    """How sessions become spans."""
    for option in reversed(
        (
            click.option("--turns", is_flag=True, help="Show each turn as a span of its own."),
            click.option(
                "--content",
                type=click.Choice(CONTENTS),
                help="What of the contents leaves: all, all but secrets, or nothing that people or models wrote.  "
                "[default: scrubbed]",
            ),
            click.option(
                "--max-value",
                metavar="BYTES",
                type=int,
                help="The most bytes of one attribute value; 2000 suits a Tempo with stock settings.  [default: 65536]",
            ),
        )
    ):
        command = option(command)
    return command


def moved(command: F) -> F:
    """Where in time sessions are put."""
    option = click.option(
        "--shift-to",
        metavar="now|TIME",
        help="Move each session in time, so that it ends now, or at a time such as 2026-01-31T12:00:00Z: for stores "
        "that refuse or hide old spans.",
    )
    return option(command)
