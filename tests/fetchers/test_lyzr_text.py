from __future__ import annotations

import time

import pytest

from otel_agent_events.fetchers.lyzr_text import sections


def split(text: str) -> list[tuple[str | None, str]]:
    return [(section.label, section.text) for section in sections(text)]


def completed(text: str) -> list[bool]:
    return [section.complete for section in sections(text)]


def test_the_documented_text_has_four_sections_and_the_marker_marks_the_third() -> None:
    text = "THOUGHT: a b \nOBSERVATION: c\nNEXT_ACTION: d\n\n<EXECUTION_COMPLETE>\n\nSummary: e, f."

    assert split(text) == [("THOUGHT", "a b"), ("OBSERVATION", "c"), ("NEXT_ACTION", "d"), ("Summary", "e, f.")]
    assert completed(text) == [False, False, True, False]


@pytest.mark.parametrize("label", ["THOUGHT", "OBSERVATION", "NEXT_ACTION", "Summary"])
def test_each_section_may_stand_alone_and_come_again(label: str) -> None:
    assert split(f"{label}: one") == [(label, "one")]
    assert split(f"{label}:one\n{label}: two\nlines\n\nand more\n") == [
        (label, "one"),
        (label, "two\nlines\n\nand more"),
    ]


@pytest.mark.parametrize("newline", ["\n", "\r\n", " \r\n", "\r", "\n\n"])
def test_lines_may_end_in_any_way(newline: str) -> None:
    text = newline.join(["THOUGHT: a", "OBSERVATION: b", "<EXECUTION_COMPLETE>", "Summary: c", ""])

    assert split(text) == [("THOUGHT", "a"), ("OBSERVATION", "b"), ("Summary", "c")]
    assert completed(text) == [False, True, False]


def test_newlines_within_a_section_stay_as_they_are() -> None:
    assert split("OBSERVATION: a\r\nb") == [("OBSERVATION", "a\r\nb")]


@pytest.mark.parametrize("space", [" ", "\t", "  \t ", "\u00a0"])
def test_white_space_may_stand_before_a_label(space: str) -> None:
    assert split(f"THOUGHT: a\n{space}OBSERVATION: b") == [("THOUGHT", "a"), ("OBSERVATION", "b")]


def test_text_outside_of_sections_is_a_section_without_a_label() -> None:
    text = "before\nTHOUGHT: a\n<EXECUTION_COMPLETE>\nbehind"

    assert split(text) == [(None, "before"), ("THOUGHT", "a"), (None, "behind")]
    assert completed(text) == [False, True, False]


def test_an_empty_section_is_one_too() -> None:
    assert split("THOUGHT:\nOBSERVATION: \nSummary:") == [("THOUGHT", ""), ("OBSERVATION", ""), ("Summary", "")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n ",
        "plain words",
        '{"THOUGHT": "in JSON", "OBSERVATION": ["x\\nSummary: y"]}',
        "a THOUGHT: in the middle",
        "thought: small",
        "THOUGHT without a colon",
        "THOUGHTS: many",
        "EXECUTION_COMPLETE",
        "a mention of <EXECUTION_COMPLETE> in a line",
    ],
)
def test_a_text_without_a_label_at_the_start_of_a_line_is_left_as_it_is(text: str) -> None:
    assert split(text) == [(None, text)]
    assert completed(text) == [False]


# --- the marker ---------------------------------------------------------------------------------------


def test_a_marker_before_all_sections_marks_the_first() -> None:
    assert completed("\n<EXECUTION_COMPLETE>\nTHOUGHT: a\nSummary: b") == [True, False]


def test_nothing_but_a_marker_is_the_text_itself_and_marked() -> None:
    for text in ("<EXECUTION_COMPLETE>", "\n <EXECUTION_COMPLETE> \n", "<EXECUTION_COMPLETE>\n<EXECUTION_COMPLETE>"):
        assert split(text) == [(None, text)]
        assert completed(text) == [True]


def test_a_label_may_follow_the_marker_in_its_line() -> None:
    assert split("NEXT_ACTION: a\n<EXECUTION_COMPLETE> Summary: b") == [("NEXT_ACTION", "a"), ("Summary", "b")]


def test_two_markers_mark_two_sections() -> None:
    text = "THOUGHT: a\n<EXECUTION_COMPLETE>\nTHOUGHT: b\n<EXECUTION_COMPLETE>"

    assert completed(text) == [True, True]


# --- quotations ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "quoted",
    [
        '"OBSERVATION: x"',
        '"one\nOBSERVATION: x\ntwo"',
        '("one\nOBSERVATION: x")',
        'said:"one\n  OBSERVATION: x", he did',
        '"one\n<EXECUTION_COMPLETE>\ntwo".',
        '"" and "one\nSummary: x\n"',
        '"an escaped \\" mark\nOBSERVATION: x" ',
        "“one\nOBSERVATION: x”",
        "„one\nOBSERVATION: x“",
        "„one\nOBSERVATION: x”",
        "«one\nOBSERVATION: x»",
        "\u2018one, isn\u2019t it\nOBSERVATION: x\u2019",
        "「one\nOBSERVATION: x」",
        "see\n```\nOBSERVATION: x\n```\n",
        '```json\n{"a":\n"OBSERVATION: x",\n"b": 5"\n}\n```',
        '````\nOBSERVATION: x "y\n````',
    ],
)
def test_labels_in_a_quotation_are_left_alone_also_over_several_lines(quoted: str) -> None:
    text = f"THOUGHT: {quoted} end\nNEXT_ACTION: y"

    assert split(text) == [("THOUGHT", f"{quoted} end"), ("NEXT_ACTION", "y")]
    assert completed(text) == [False, False]


@pytest.mark.parametrize(
    "stray",
    [
        'a 5" screen',
        'a 5" and a 7" screen',
        "it isn't, the dogs' bowl",
        'never "closed',
        'a single " alone',
        'at the end "',
        '" at the start',
        "“never closed",
        "never opened”",
        "« never closed",
        "\u2018tis never closed",
        "isn\u2019t it",
        "```never closed",
        "a `word` and ``two``",
        'an escaped \\"mark',
    ],
)
def test_a_stray_quotation_mark_swallows_no_section(stray: str) -> None:
    text = f'THOUGHT: {stray}\nOBSERVATION: {{"a": "b"}} "good"\nNEXT_ACTION: ```x``` “y” y\nSummary: z'

    assert split(text) == [
        ("THOUGHT", stray),
        ("OBSERVATION", '{"a": "b"} "good"'),
        ("NEXT_ACTION", "```x``` “y” y"),
        ("Summary", "z"),
    ]


def test_a_fence_that_is_never_closed_ends_where_the_next_one_names_a_language() -> None:
    assert split("THOUGHT: ```\nOBSERVATION: ```json\nSummary: no\n```\nSummary: b") == [
        ("THOUGHT", "```"),
        ("OBSERVATION", "```json\nSummary: no\n```"),
        ("Summary", "b"),
    ]


def test_json_in_a_section_stays_as_it_is() -> None:
    told = '{\n  "a": "b, \\"c\\"",\n  "d": [1, "e"]\n}'

    assert split(f"OBSERVATION: {told}\nNEXT_ACTION: x") == [("OBSERVATION", told), ("NEXT_ACTION", "x")]


@pytest.mark.parametrize(
    "piece", ['"a ', "“", "```x ", " ", "THOUGHT:", "\n", '\\"', "\u2018a\u2019b", "<EXECUTION_COMPLETE>\n", "「"]
)
def test_long_texts_are_split_in_a_time_that_grows_with_their_length(piece: str) -> None:
    began = time.process_time()  # that of this process, whatever else the machine does

    sections(piece * 100_000)

    assert time.process_time() - began < 5


def test_nothing_but_labels_markers_and_white_space_is_cut_off() -> None:
    text = "x\nTHOUGHT: \ud800 a\n\x00OBSERVATION: b\nSummary: \u2028c"

    assert "".join(section.text for section in sections(text)) == "x\ud800 a\n\x00OBSERVATION: bc"


@pytest.mark.parametrize(
    "quoted",
    [
        'the log says "\nTHOUGHT: q\n" end',
        'it wrote """\nTHOUGHT: q\n""" there',
        "it wrote '''\nTHOUGHT: q\n''' there",
        'print("\nTHOUGHT: q\n")',
        'log ="a\nTHOUGHT: q" end',
        "'a\nTHOUGHT: q' end",
        "`a\nTHOUGHT: q` end",
        "~~~\nTHOUGHT: q\n~~~ end",
        "\u2039a\nTHOUGHT: q\u203a end",
    ],
)
def test_a_label_in_a_quotation_of_any_kind_begins_nothing(quoted: str) -> None:
    assert [section.text for section in sections(f"OBSERVATION: {quoted}")] == [quoted]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('a 5" screen', 'a 7" one'),
        ("it's", "the customers' one"),
        ("rock 'n' roll", "x"),
        ("the '90s", "the customers' one"),
        ('a stray " here', 'and "there"'),
        ('he said: "', "never closed"),
        ("a backtick ` alone", "q"),
        ("use `ls`", "and `cat`"),
    ],
)
def test_marks_that_are_no_quotation_hide_no_label(first: str, second: str) -> None:
    assert [section.text for section in sections(f"OBSERVATION: {first}\nTHOUGHT: {second}")] == [first, second]
