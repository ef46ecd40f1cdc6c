"""The text of a Lyzr activity, split into its sections.

Lyzr documents by example only: sections `THOUGHT:`, `OBSERVATION:` and `NEXT_ACTION:`, a marker
`<EXECUTION_COMPLETE>`, and a `Summary:`. So each of them may be missing, come again, and go over several lines.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from otel_agent_events.events import value

if TYPE_CHECKING:
    from collections.abc import Iterator

_LABEL = "THOUGHT|OBSERVATION|NEXT_ACTION|Summary"
_SPACE = r"[^\S\r\n]*"  # within a line
_MARK = re.compile(
    rf"(?:^|(?<=\r)){_SPACE}(?:(?P<label>{_LABEL}):|(?P<complete><EXECUTION_COMPLETE>)(?:{_SPACE}(?P<next>{_LABEL}):)?)",
    re.MULTILINE,
)

_QUOTATION = re.compile("`{3,}|~{3,}|\"{3}|'{3}|(?<!\\\\)[\"'`]|[“„«\u2039\u2018「]")
"""What may open a quotation."""

_NEXT = {
    "```": re.compile(r"`{3,}"),
    "~~~": re.compile(r"~{3,}"),
    '"""': re.compile(r'"{3}'),
    "'''": re.compile(r"'{3}"),
    '"': re.compile(r"(?<!\\)\""),
    "'": re.compile(r"(?<!\\)'(?!\w)"),  # before a letter it is an apostrophe
    "`": re.compile(r"(?<!\\)`"),
    "“": re.compile("[“”]"),
    "„": re.compile("[„“”]"),
    "«": re.compile("[«»]"),
    "\u2039": re.compile("[\u2039\u203a]"),
    "\u2018": re.compile("\u2018|\u2019(?!\\w)"),  # before a letter it is an apostrophe
    "「": re.compile("[「」]"),
}
"""By what opens a quotation, what ends it; or shows, as it opens one itself, that the first was a stray."""

_STRAIGHT = "\"'`"
"""Marks that are the same on both sides: what stands around one tells which it is."""

_FENCES = ("```", "~~~")
_TRIPLE = ('"""', "'''")
_BEFORE_OPENING = "([{:,="
_AFTER_CLOSING = ".,;:!?)]}"


@value()
class Section:
    """A section of a text.

    Attributes:
        label: what stands before its colon; None for text outside of all sections.
        text: without the label, and without white space around it.
        complete: `<EXECUTION_COMPLETE>` marks it.
    """

    label: str | None
    text: str
    complete: bool = False


def sections(text: str) -> list[Section]:
    """Split a text at the labels that begin its lines and are not quoted.

    Returns:
        At least one. A text without a label is one section, just as it is; so is one that is nothing but the marker.
    """
    found: list[Section] = []
    label, begin = None, 0
    complete_from_the_start = False
    for mark in _MARK.finditer(_with_quotations_hidden(text)):
        found.extend(_section(label, text[begin : mark.start()]))
        if mark["complete"] and found:
            found[-1] = replace(found[-1], complete=True)
        elif mark["complete"]:
            complete_from_the_start = True
        label, begin = mark["label"] or mark["next"], mark.end()
    if begin == 0:
        return [Section(label=None, text=text)]
    found.extend(_section(label, text[begin:]))
    if not found:
        return [Section(label=None, text=text, complete=True)]
    if complete_from_the_start:
        found[0] = replace(found[0], complete=True)
    return found


def _section(label: str | None, text: str) -> Iterator[Section]:
    """Give a section; white space outside of all sections is none."""
    text = text.strip()
    if label is not None or text:
        yield Section(label=label, text=text)


# --- quotations ---------------------------------------------------------------------------------------


def _with_quotations_hidden(text: str) -> str:
    """Give a text of the same length in which no label is quoted."""
    kept: list[str] = []
    begin = at = 0
    while (sign := _QUOTATION.search(text, at)) is not None:
        end = _end_of_quotation(text, sign)
        if end is None:  # a stray: an inch, an opening one that is never closed
            at = sign.end()
            continue
        kept += (text[begin : sign.start()], "." * (end - sign.start()))
        begin = at = end
    return "".join((*kept, text[begin:]))


def _end_of_quotation(text: str, sign: re.Match[str]) -> int | None:
    """Say where the quotation ends that begins with this sign; None when none begins there."""
    kind = sign[0][:3]
    if kind in _STRAIGHT and not _opens(text, sign.start()):
        return None
    end = _NEXT[kind].search(text, sign.end())
    if end is None:
        return None
    if kind in _FENCES:
        stray = text[end.end() : end.end() + 1].isalnum()  # the language of the code that begins there
    elif kind in _STRAIGHT:
        # Before closing punctuation it does not open, although it stands after a colon or a comma.
        after = text[end.end() : end.end() + 1]
        stray = _opens(text, end.start()) and not after.isspace() and after not in _AFTER_CLOSING
    else:
        stray = end[0] == kind and kind not in _TRIPLE
    return None if stray else end.end()


def _opens(text: str, at: int) -> bool:
    """Say whether a straight quotation mark stands where one opens a quotation: at the end of a line it may."""
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    stands_first = not before or before.isspace() or before in _BEFORE_OPENING
    if text[at] == "'" and after.isdigit():
        return False  # a year or a decade
    return stands_first and bool(after) and (not after.isspace() or (after in "\r\n" and not _is_an_end(text, at)))


def _is_an_end(text: str, at: int) -> bool:
    """Say whether a mark at the end of a line ends what stands before it there: an inch, or a quotation."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return not line.strip() or line.count(text[at]) % 2 == 1
