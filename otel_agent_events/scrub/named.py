"""Secrets under their names, inside a text: after `password=`, in a header, in JSON within a string."""

from __future__ import annotations

import re

from otel_agent_events.scrub.found import ALPHANUMERIC, LONGEST_NAME, REFERENCE, SCRUBBED, Place, set_of
from otel_agent_events.scrub.names import says_secret

_NAME_CHARACTERS = ALPHANUMERIC + "_-."
# What every name of a secret has in it, so that texts without any of them are done with quickly.
_STEMS = ("pass", "pw", "secret", "token", "key", "auth", "cookie", "cred", "cv")
_TAIL = (
    # The rest of the name, and of what is around it: quotes, the brackets of `user[password]`, the stars of Markdown.
    r"(?P<name>[a-z0-9_\-]{0,40}+(?:\.[a-z0-9_\-]{1,40}+){0,4}+)"
    r"(?P<close>\\{0,63}+[\"'`])?+(?:\]|%5d)?+\*{0,3}+"
    r"(?:[ \t]{0,8}+(?P<sign>"
    r":[ \t]*(?:str|string|bytes|text)[ \t]*(?:\|[ \t]*(?:none|null|undefined)[ \t]*)?=(?!=)"
    r"|:=|!?={1,3}+[>~]?+|:(?!:|//)|\uff1a|%3d|>|,)"
    r"\*{0,3}+(?P<gap>(?:\s|\\{1,63}+[nrt]){0,32}+)"
    r"|(?P<verb>[ \t]{1,8}(?:(?:(?:is|was|has been)[ \t])?(?:changed|reset|set|updated)[ \t]to|is|was|to)"
    r"(?:[ \t]?:)?[ \t]{1,8})"
    r"|(?P<space>[ \t]{1,8}))"
)
_NAMES = tuple((stem, re.compile(stem + _TAIL)) for stem in _STEMS)

_OPENING = re.compile(r"[bBfFrRuU]{0,2}(?P<slashes>\\{0,63})(?P<quote>[\"'`])")
_CURLY_QUOTES = frozenset("\u201c\u2018\u00ab")
_CURLY = re.compile(
    "[\u201c\u2018\u00ab](?P<secret>[^\u201c\u201d\u2018\u2019\u00ab\u00bb\n]{1,256}+)[\u201d\u2019\u00bb]"
)
# What cannot come after a quote that opens a value: this one has closed something.
_CLOSED = re.compile(r"[ \t]*(?:[,;)}\]:\r\n]|\\[nr]|\Z)|[ \t]+[+%&|]")
_BRACKET = re.compile(r"(?<!\\)(?P<slashes>\\*+)(?P<quote>[\"'])|[{}\[\]]")
_NUMBER = re.compile(r"-?[0-9][0-9.eE+\-]*+(?=[\s,}\]\\]|\Z)")
_ELEMENT = re.compile(r"(?P<secret>[^<>]++)</(?:[\w\-.]{1,64}:)?(?P<name>[\w\-.]{1,64})")
_TOKEN = re.compile(
    r"(?:[^\s\"'`&;<>\\\u201c\u201d\u2018\u2019\u00ab\u00bb\u3001\u3002\u300d\u300f\uff01\uff09\uff0c\uff1b\uff1f]++"
    # An escape ends it if what it stands for would; an apostrophe in a word does not, nor do the signs between
    # parameters and around elements, unless that is what they are.
    r"|\\++(?![nrt\"'`\s]|u00[0-3]|\Z)|'(?=\w)|;(?![\s\"']|[\w .\-]{1,64}+=|\Z)"
    r"|&(?![\s\"'&]|\w{1,8}+;|[\w.\-\[\]%]{1,64}+=|\Z)|<(?![/A-Za-z!])|>(?=\w))++"
)
_TRAILING = ".,:)]}*"
_SCHEME = re.compile(
    r"(?:bearer|basic|token|bot|api-?key|negotiate|ntlm|dpop|jwt|splunk)(?:[ \t]{1,8}|%20|\+)", re.IGNORECASE
)
_ANY_SCHEME = re.compile(r"[A-Za-z][\w\-]{0,32}+[ \t]{1,8}")
_PARAMETERS = re.compile(
    r"(?:digest|hawk|oauth|mac|signature|aws|aws4-hmac-sha256|sharedkey(?:lite)?|sharedaccesssignature)[ \t]",
    re.IGNORECASE,
)
_COOKIE = re.compile(r"[^\s=;,\"'\\]{1,128}+=")
# To the end of the line, which an escape may write, or to the quote that ends all of the header; other quotes only as
# parameters have them.
_LINE = re.compile(r"(?:[^\"\r\n\\=]++|=(?:\\{0,63}\"[^\"\r\n\\]*+\\{0,63}+\")?+|\\++(?![nr\"]))*+")
_QUOTED_LINE = re.compile(_LINE.pattern.replace(r"[^", r"[^'"))
_COOKIE_NAME = re.compile(r"cookies?2?\Z", re.IGNORECASE)
_CALL = re.compile(r"[A-Za-z_]\w{0,64}(?:\.\w{1,64}){0,8}[(\[]")
_HARMLESS = set_of(
    """none null nil undefined true false yes no str string secretstr int integer number bytes tuple list dict bool
    boolean any object text varchar optional required missing invalid expired incorrect valid empty unset absent revoked
    await async new lambda function bearer basic digest token negotiate"""
)
_LITTLE_WORDS = set_of(
    """a an and argument as can flag for from if in instead is must on option or parameter should the to value via was
    when with"""
)
_WORDS_FOLLOW = re.compile(r"[ \t]+\(?[^\W\d_]++(?!\w*[:=])")
_SIGNS = frozenset("!@#$%^&*+=~")
_WORD_SIGNS = _SIGNS | set("_/")
_SHORT_WORD, _MIDDLING_WORD, _LONG_WORD, _ANY_WORD = 4, 6, 8, 20
_PLAIN = re.compile(r"[\w\-]+")
_RANDOM_LENGTH = 16
_RANDOM = re.compile(r"[0-9A-Za-z+/=_\-]{16,}")
_BEFORE_NAME = frozenset(_NAME_CHARACTERS)
_VERBS = frozenset({"is", "was", "has", "to", "changed", "reset", "set", "updated"})
"""Words after which the value may come: how the verbs of the pattern begin."""
_RANDOM_DIGITS = 4
_NOTHING = (0, 0)


def find_named(text: str, found: list[Place]) -> None:
    """Add where secrets stand in the text under their names."""
    low = text.lower()
    if len(low) != len(text):
        # The one letter that grows when it is made small.
        low = text.replace("\u0130", "I").lower()
    for stem, pattern in _NAMES:
        done = 0
        # To ask whether it is there is faster than to ask where, and either than to search by the pattern.
        at = low.find(stem) if stem in low else -1
        while at >= 0:
            if _is_only_mentioned(low, at + len(stem)) and low[at - 1 : at] not in _BEFORE_NAME:
                at = low.find(stem, at + 1)
                continue
            # What has been taken is not searched again: a search may go far, but never twice.
            match = pattern.match(low, at)
            if match and match.end() >= done and not _is_in_prose(low, at, match):
                start, end = _named(text, match)
                if start < end:
                    found.append((start, end))
                    done = max(done, end)
            at = low.find(stem, at + 1)


def _is_only_mentioned(low: str, at: int) -> bool:
    """Whether a name that goes on here is followed by a short word, as "the token expired": told without a pattern.

    What it is not sure of is for the pattern of the name, and `_is_in_prose`.
    """
    space = low.find(" ", at, at + _RANDOM_LENGTH)
    if space < 0 or not (space == at or low[at:space].isalpha()):
        return False
    word, blank, _ = low[space + 1 : space + 1 + _RANDOM_LENGTH].partition(" ")
    return bool(blank) and word.isalnum() and word.isascii() and word not in _VERBS


def _is_in_prose(low: str, at: int, match: re.Match[str]) -> bool:
    """Whether a name is followed by a short word and nothing else that could tell: most are, as "the token expired"."""
    if match["space"] is None or low[at - 1 : at] in _BEFORE_NAME:
        return False
    following = low[match.end() : match.end() + _RANDOM_LENGTH]
    # What looks random is longer, and what is quoted has its own rules.
    return " " in following and following[0].isalnum()


def _named(text: str, match: re.Match[str]) -> Place:
    """Return where the value is that stands under the name, if the name says that it is a secret."""
    before = text[max(0, match.start() - LONGEST_NAME) : match.start()]
    start = match.start() - len(before) + len(before.rstrip(_NAME_CHARACTERS))
    name = text[start : match.end("name")]
    if not _says_secret_here(text, start, name):
        return _NOTHING
    sign, around = match["sign"], text[start - 1 : start]
    if sign is None:
        return _spoken(text, match, name)
    if sign == ">":
        element = _ELEMENT.match(text, match.end()) if around in {"<", ":"} else None
        ended = element is not None and element["name"] == name and element["secret"].lower() not in _HARMLESS
        return element.span("secret") if element and ended else _NOTHING
    if sign == ",":
        return _argument(text, match.end(), name) if match["close"] else _NOTHING
    if around == "$" and match["close"]:
        return _NOTHING  # "$PWD":/mnt
    if match["close"]:
        return _keyed(text, match, name)
    return _assigned(text, match, name, around)


def _says_secret_here(text: str, start: int, name: str) -> bool:
    if text[start - 1 : start] != " ":
        return says_secret(name)
    # Words apart make a name too: "API key", but "cost per token".
    before = text[max(0, start - 1 - LONGEST_NAME) : start - 1]
    whole = f"{before[len(before.rstrip(_NAME_CHARACTERS)) :]} {name}"
    return says_secret(whole) or (says_secret(name) and not name.lower().endswith("token"))


def _keyed(text: str, match: re.Match[str], name: str) -> Place:
    """The value after a key in quotes: one of JSON, or of something like it."""
    at = match.end()
    if opening := _OPENING.match(text, at):
        return opening.end(), _closing(text, opening)[0]
    if text[at : at + 1] in {"{", "["} and match["close"][-1] != "`":
        end = _closing_bracket(text, at, match["close"])
        return (at, end) if text[at + 1 : end - 1].strip() else _NOTHING
    if number := _NUMBER.match(text, at):
        return number.span()
    return _assigned(text, match, name, "")


def _assigned(text: str, match: re.Match[str], name: str, around: str) -> Place:
    """The value after a name and `=` or `:`."""
    at, colon = match.end(), match["sign"] in {":", "\uff1a"}
    if _is_elsewhere(match["gap"]):
        span = _quoted(text, at) if colon else _NOTHING
        return span if _is_strong(text[slice(*span)]) and text[span[1] : span[1] + 1] != ":" else _NOTHING
    if text[at : at + 1] in _CURLY_QUOTES or _OPENING.match(text, at):
        return _quoted(text, at)
    if colon and (line := _line(text, at, name, around)):
        return line.span()
    at = _after_scheme(text, at, name)
    spaced = text[match.start("sign") - 1 : match.start("sign")].isspace()
    start, end = _token(text, at)
    word = text[start:end]
    if _is_harmless(word, name) or (spaced and not colon and _CALL.match(text, start)):
        return _NOTHING
    return _NOTHING if colon and _is_prose(text, end, word) else (start, end)


def _after_scheme(text: str, at: int, name: str) -> int:
    """Return where the credential begins, after `Bearer` or its like; after any word, if it looks like one."""
    if scheme := _SCHEME.match(text, at):
        return scheme.end()
    if name.lower().endswith("authorization") and (scheme := _ANY_SCHEME.match(text, at)):
        return scheme.end() if _looks_secret(text[slice(*_token(text, scheme.end()))]) else at
    return at


def _spoken(text: str, match: re.Match[str], name: str) -> Place:
    """The value after a name and a space, or a verb."""
    at = match.end()
    if match["verb"] is None and name.startswith("-"):
        return _argument(text, at, name)
    start, end = _quoted(text, at)
    word = text[start:end]
    if _is_harmless(word, name):
        return _NOTHING
    if match["verb"] is None:
        return (start, end) if _is_random(word) or (start > at and _is_strong(word)) else _NOTHING
    return (start, end) if (start > at and _PLAIN.fullmatch(word)) or _is_strong(word) else _NOTHING


def _argument(text: str, at: int, name: str) -> Place:
    """The argument after `--password`."""
    opening = _OPENING.match(text, at)
    if not name.startswith("-") or text.startswith("-", opening.end() if opening else at):
        return _NOTHING
    start, end = _quoted(text, at)
    word = text[start:end]
    if _is_harmless(word, name):
        return _NOTHING
    return _NOTHING if word.lower() in _LITTLE_WORDS and _is_prose(text, end, word) else (start, end)


# --- where a value ends -------------------------------------------------------------------------------

# JSON inside a string of JSON has a backslash before each quote and each backslash, and so on inwards. A quote with
# `n` backslashes before it is a quote of the text that lies as many strings deep as `n` has ones at its end in
# binary: `"` 0, `\"` 1, `\\\"` 2. It closes the string that lies as deep, and every deeper one.


_MOST_SLASHES = 64


def _depth(slashes: int) -> int:
    return (slashes ^ (slashes + 1)).bit_length() - 1


def _slashes_before(text: str, start: int, at: int) -> int:
    before = text[max(start, at - _MOST_SLASHES) : at]
    return len(before) - len(before.rstrip("\\"))


def _closing(text: str, opening: re.Match[str]) -> Place:
    """Return where the content of a string ends, and where the string does: the same if it is cut short."""
    start, depth, quote = opening.end(), _depth(len(opening["slashes"])), opening["quote"]
    at = text.find(quote, start)
    while at >= 0:
        reached = _depth(_slashes_before(text, start, at))
        if reached <= depth:
            end = at + 1 - (1 << reached)
            return end, (at + 1 if reached == depth else end)
        at = text.find(quote, at + 1)
    return len(text), len(text)


def _closing_bracket(text: str, at: int, close: str) -> int:
    """Return where the object or list ends that begins here, or the text around it."""
    depth, open_brackets = _depth(len(close) - 1), 0
    while mark := _BRACKET.search(text, at):
        at = mark.end()
        if mark["quote"]:
            reached = _depth(len(mark["slashes"]))
            if reached < depth:
                return at - (1 << reached)
            end, at = _closing(text, mark)
            if at == end:
                return end
        else:
            open_brackets += 1 if mark[0] in "{[" else -1
            if not open_brackets:
                return at
    return len(text)


def _quoted(text: str, at: int) -> Place:
    """The content of the quotes that open here, on this line; without quotes, the token."""
    if curly := _CURLY.match(text, at):
        return curly.span("secret")
    opening = _OPENING.match(text, at)
    if opening is None:
        return _token(text, at)
    start = opening.end()
    if _CLOSED.match(text, start) or REFERENCE.match(text, start):
        return _NOTHING
    end, _ = _closing(text, opening)
    line = text.find("\n", start, end)
    end = line if line >= 0 else end
    return _NOTHING if text[start:end].lower() in _HARMLESS else (start, end)


def _token(text: str, at: int) -> Place:
    # What turns out to be no secret is read again for the names in it: so it must be short, and a reference is seen
    # by how it begins.
    token = None if REFERENCE.match(text, at) else _TOKEN.match(text, at)
    return (at, at + len(token[0].rstrip(_TRAILING))) if token else _NOTHING


def _line(text: str, at: int, name: str, around: str) -> re.Match[str] | None:
    """Return the rest of the line if cookies or parameters stand on it."""
    if _PARAMETERS.match(text, at) or (_COOKIE_NAME.search(name) and _COOKIE.match(text, at)):
        return (_QUOTED_LINE if around == "'" else _LINE).match(text, at)
    return None


# --- what a word looks like ---------------------------------------------------------------------------


def _is_elsewhere(gap: str) -> bool:
    """Whether the value is on another line than its name."""
    return "\n" in gap or "\\" in gap


def _is_harmless(word: str, name: str) -> bool:
    if not 0 < len(word) <= LONGEST_NAME:
        return not word
    low, name = word.lower().strip("({[*"), name.lower().rpartition(".")[2].strip("-_")
    last = low.partition("[")[0].rpartition(".")[2].strip("_")
    # Brackets and operators; words of programs; what is called as it is named; and of all that `auth` may have.
    return (
        (len(low) < _SHORT_WORD and not any(map(str.isalnum, low)))
        or last in _HARMLESS
        or last == name
        or (name == "auth" and not _is_strong(word))
    )


def _is_prose(text: str, end: int, word: str) -> bool:
    """Whether words follow a word that does not look like a secret itself."""
    return not _looks_secret(word) and _WORDS_FOLLOW.match(text, end) is not None


def _looks_secret(word: str) -> bool:
    if len(word) < _SHORT_WORD or not any(map(str.isascii, word)):
        return False
    if SCRUBBED[:-1] in word:
        return True
    if len(word) >= _ANY_WORD or any(map(str.isdigit, word)) or not _WORD_SIGNS.isdisjoint(word):
        return True
    return len(word) >= _LONG_WORD and not word[1:].islower() and not word.isupper()


def _is_strong(word: str) -> bool:
    if len(word) < _MIDDLING_WORD or "://" in word or not any(map(str.isalpha, word)):
        return False
    return any(map(str.isdigit, word)) or not _SIGNS.isdisjoint(word)


def _is_random(word: str) -> bool:
    if not _RANDOM.fullmatch(word) or not any(map(str.isalpha, word)):
        return False
    digits = sum(map(str.isdigit, word))
    return digits >= _RANDOM_DIGITS or (digits > 0 and any(map(str.isupper, word)) and any(map(str.islower, word)))
