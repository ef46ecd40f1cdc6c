r"""Take secrets out of texts and JSON values, and keep the words.

What is taken, and replaced by `[scrubbed]`:

- **By value**, wherever it stands: keys and tokens of well-known forms, credentials after `Bearer` and `Basic`,
  JWTs, private keys in PEM, passwords in URLs, card numbers of a known issuer that pass Luhn.
- **By name**, as a JSON key at any depth: the whole value under `password`, `api_key`, `refreshToken` and their
  like (`_says_secret`). None, booleans and empty values stay, for they tell nothing.
- **By name, inside a text**:
  - `"password": "hunter2"`, with any value that JSON has, and as JSON within JSON has it, up to six strings deep;
  - `password=hunter2`, `?access_token=abc&x=1`, `<password>hunter2</password>`: whatever stands there, unless it
    is a reference (`$TOKEN`, `${{ secrets.X }}`, `os.environ[...]`), a call (`token = login()`), the name itself
    or a word such as `None`, `str`, `required`;
  - `password: hunter2`, `Authorization: Bearer abc`: the same, but a plain word that more words follow is prose
    and stays ("password: must be 8 characters long"). Of cookies, and of credentials that have parameters, the
    rest of the line;
  - `--password hunter2`, and in a list of arguments the one after `--password`;
  - "the password is hunter2": only what mixes letters with digits or signs; "token 4f9c1a7be2d0936b", without a
    verb: only what looks random. "The token expired" stays.

A text that is valid JSON is valid JSON afterwards, scrubbing twice is scrubbing once, and every search takes time
in proportion to the text, whatever it is made of.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import json
import re
import string
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from otel_agent_events.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_agent_events.events import JSON

_Span: TypeAlias = tuple[int, int]
"""Where a secret begins in a text, and where it has ended."""

SCRUBBED = "[scrubbed]"
"""What stands in the place of a secret."""

_ROUNDS = 8
"""How often a text is searched, at most. Ours were never seen to need more than four; a user's may need any number."""

_SHORTEST = 5
"""A shorter text has no room for a name and a secret."""

_LONGEST_NAME = 64
"""Of a longer name only the end is read."""


# --- what a user gets ---------------------------------------------------------------------------------


class Scrubber:
    """Takes out the secrets that we know of, and those that a user describes.

    A user's pattern sees the text that ours see, before anything has been taken out of it. A match is replaced; if
    the pattern has a group named `secret`, only that group. It is also shown the numbers of JSON values. What takes
    quotes or brackets away can leave a text that is JSON no more.

    Args:
        patterns: regular expressions, as `re` spells them.
        also: is given every text last of all, and its answer goes out. The same text must get the same answer.

    Attributes:
        fingerprint: tells scrubbers with other patterns or another callable apart; empty when there are none.

    Raises:
        UsageError: a pattern does not compile.
    """

    def __init__(self, patterns: Sequence[str] = (), also: Callable[[str], str] | None = None) -> None:
        self._patterns = tuple(_compiled(pattern) for pattern in patterns)
        self._also = also
        self.fingerprint = _fingerprint(patterns, also)
        # The same few keys come with every record.
        self._remembered = functools.lru_cache(maxsize=4096)(self.text)

    def text(self, text: str) -> str:
        """Return the text without its secrets; the same object if it has none."""
        scrubbed = self._scrub(text)
        if self._also is not None:
            scrubbed = self._also(scrubbed)
        return text if scrubbed == text else scrubbed

    def value(self, value: JSON) -> JSON:
        """Return the value without its secrets, at any depth; the same object if it has none."""
        return _Walk(self.text, self._key, self._number).through(value)

    def _key(self, key: str) -> str:
        return self._remembered(key) if len(key) <= _LONGEST_NAME else self.text(key)

    def _number(self, number: float) -> float | str:
        if not self._patterns and number < _SMALLEST_CARD:
            return number
        if not -_LARGEST_CARD < number < _LARGEST_CARD:
            return number
        written = repr(number)
        found = self._asked_for(written)
        _find_cards(written, found)
        return SCRUBBED if found else number

    def _scrub(self, text: str) -> str:
        # What is left is searched again, so that scrubbing it once more finds nothing.
        for _ in range(_ROUNDS):
            scrubbed = self._once(text)
            if scrubbed == text:
                break
            text = scrubbed
        return text

    def _once(self, text: str) -> str:
        found = self._asked_for(text)
        if len(text) >= _SHORTEST:
            _find_forms(text, found)
            _find_named(text, found)
            _find_cards(text, found)
        if not found:
            return text
        scrubbed = _replaced(text, found)
        return text if scrubbed == text else self._still_json(text, scrubbed)

    def _asked_for(self, text: str) -> list[_Span]:
        found: list[_Span] = []
        for pattern in self._patterns:
            _find(pattern, text, found)
        return found

    def _still_json(self, text: str, scrubbed: str) -> str:
        """Return the scrubbed text; if it no longer is the JSON that it was, another that is."""
        try:
            value = json.loads(text)
            if _is_json(scrubbed):
                return scrubbed
            # What we took for one value was the end of one and the beginning of the next. Each by itself:
            apart = _Walk(self._scrub, self._scrub, self._number).through(value)
            words, escaped = json.dumps(apart, ensure_ascii=False), json.dumps(apart)
        except (ValueError, RecursionError):
            return scrubbed
        # If a user's pattern wants what no value holds alone, the secret weighs more than the bracket.
        asked = self._asked_for(words)
        return scrubbed if asked and _replaced(words, asked) != words else escaped


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(f"The scrubbing pattern {pattern!r} is not a regular expression: {error}.") from error


def _fingerprint(patterns: Sequence[str], also: Callable[[str], str] | None) -> str:
    names = list(patterns)
    if also is not None:
        # An object that can be called is named by its class; of a method of a built-in type only the name is its own.
        module = getattr(also, "__module__", None) or type(also).__module__
        names.append(f"{module}:{getattr(also, '__qualname__', type(also).__qualname__)}")
    written = json.dumps(names, separators=(",", ":"))
    return hashlib.sha256(written.encode()).hexdigest()[:16] if names else ""


# --- values -------------------------------------------------------------------------------------------


class _Walk:
    """Goes through one value, without recursion: values may be nested as deep as they like.

    Args:
        text, key, number: scrub what they are named for.
    """

    def __init__(
        self,
        text: Callable[[str], str],
        key: Callable[[str], str],
        number: Callable[[float], float | str],
    ) -> None:
        self._text = text
        self._key = key
        self._number = number
        self._done: dict[int, JSON] = {}

    def through(self, value: JSON) -> JSON:
        """Return the value without its secrets; the same object if it has none."""
        seen: set[int] = set()
        stack = [(value, False)]
        while stack:
            node, ready = stack.pop()
            if ready:
                self._done[id(node)] = self._object(node) if isinstance(node, dict) else self._list(node)
            elif isinstance(node, (dict, list)) and id(node) not in seen:
                seen.add(id(node))
                stack.append((node, True))
                children = node.values() if isinstance(node, dict) else node
                stack.extend((child, False) for child in children if isinstance(child, (dict, list)))
        return self._child(value)

    def _child(self, child: JSON) -> JSON:
        if isinstance(child, str):
            return self._text(child)
        if isinstance(child, (dict, list)):
            # What holds itself is not JSON. Where it comes again it stays as it is.
            return self._done.get(id(child), child)
        if isinstance(child, (int, float)) and not isinstance(child, bool):
            return self._number(child)
        return child

    def _object(self, node: dict[str, JSON]) -> dict[str, JSON]:
        new: dict[str, JSON] = {}
        numbers: dict[str, int] = {}
        changed = False
        for key, child in node.items():
            name = self._key(key)
            kept = SCRUBBED if _tells(child) and _says_secret(key[-_LONGEST_NAME:]) else self._child(child)
            changed = changed or name != key or kept is not child
            # Two keys that were secrets must not become one.
            new_key = name
            while new_key != key and (new_key in node or new_key in new):
                numbers[name] = numbers.get(name, 1) + 1
                new_key = f"{name} ({numbers[name]})"
            new[new_key] = kept
        return new if changed else node

    def _list(self, node: list[JSON]) -> list[JSON]:
        new = [self._child(child) for child in node]
        for index, (flag, argument) in enumerate(pairwise(node), start=1):
            if _is_flag(flag) and isinstance(argument, str) and _tells(argument) and argument[0] != "-":
                new[index] = SCRUBBED
        return new if any(kept is not child for kept, child in zip(new, node, strict=True)) else node


def _tells(value: JSON) -> bool:
    """Whether the value under a secret's name can be a secret that has not been taken out yet."""
    if isinstance(value, (str, dict, list)):
        return bool(value) and value != SCRUBBED
    return value is not None and not isinstance(value, bool)


def _is_flag(argument: JSON) -> bool:
    return isinstance(argument, str) and argument[:1] == "-" and _says_secret(argument[-_LONGEST_NAME:])


# --- replacing ----------------------------------------------------------------------------------------

# A value after a key in quotes, itself without quotes: a number, an object, a list.
_BARE = re.compile(r"(?P<quote>(?<!\\)\\{0,63}[\"'])[ \t\r\n]{0,8}:[ \t\r\n]{0,8}\Z")
_BEFORE_BARE = 96


def _replaced(text: str, found: list[_Span]) -> str:
    parts: list[str] = []
    at = 0
    for start, end in _merged(text, found):
        if text[start:end] != SCRUBBED:
            bare = _BARE.search(text, max(at, start - _BEFORE_BARE), start)
            quote = bare["quote"] if bare else ""
            parts += (text[at:start], quote, SCRUBBED, quote)
            at = end
    return "".join((*parts, text[at:]))


def _merged(text: str, found: list[_Span]) -> list[_Span]:
    """Return the spans in order, those that meet as one; what is scrubbed already counts as a span."""
    merged: list[_Span] = []
    for start, end in sorted([*found, *(match.span() for match in _MARK.finditer(text))]):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


_MARK = re.compile(re.escape(SCRUBBED))


def _find(pattern: re.Pattern[str], text: str, found: list[_Span]) -> None:
    """Add what the pattern finds: its group `secret`, or all of it."""
    group = "secret" if "secret" in pattern.groupindex else 0
    for match in pattern.finditer(text):
        start, end = match.span(group)
        if start < end:
            found.append((start, end))


# --- secrets of a known form --------------------------------------------------------------------------

# Most texts have no secret. To look for a short literal in 500 characters takes 0.3 microseconds, for each of 50
# forms too long; to look for one character takes a tenth of that. So forms are told apart by a character that all
# of a family have, with what must come after it, then by their literals, and only then by their patterns.

# Where a word begins: also after an escape of JSON, of a URL or of a terminal.
_EDGE = (
    r"(?:(?<![0-9A-Za-z])|(?<=\\[bfnrt])|(?<=\\u[0-9A-Fa-f]{4})|(?<=%[0-9A-Fa-f]{2})"
    r"|(?<=\[m)|(?<=[\[;][0-9]m)|(?<=[\[;][0-9]{2}m))"
)
# More than words joined by hyphens.
_MIXED = r"(?=[A-Za-z0-9_]{24}|[\w\-]{0,40}[0-9A-Z])"


def _forms(table: dict[str, str]) -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((literal, re.compile(pattern, re.ASCII)) for literal, pattern in table.items())


_FAMILIES = (
    (
        re.compile(r"_[\w\-+/]{16}", re.ASCII).search,
        _forms(
            {
                **dict.fromkeys(("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"gh[pousr]_[0-9A-Za-z]{20,}"),
                "github_pat_": r"github_pat_\w{20,}",
                **dict.fromkeys(("k_live_", "k_test_"), r"[sr]k_(?:live|test)_[0-9A-Za-z]{10,}"),
                "whsec_": r"whsec_[0-9A-Za-z+/]{16,}={0,2}",
                **dict.fromkeys(("zwt_", "zut_", "zqt_"), r"z[wuq]t_[\w\-]{16,}"),
                "npm_": r"npm_[0-9A-Za-z]{30,}",
                "hf_": _EDGE + r"hf_[0-9A-Za-z]{30,}",
                "_v1_": r"do[opr]_v1_[0-9a-f]{32,}",
                "dckr_": r"dckr_[op]at_[\w\-]{20,}",
                "gsk_": _EDGE + r"gsk_[0-9A-Za-z]{20,}",
                "r8_": _EDGE + r"r8_[0-9A-Za-z]{30,}",
                "shp": r"shp(?:at|ca|pa|ss)_[0-9A-Fa-f]{32,}",
                "gls": _EDGE + r"glsa_\w{32,}",
                "lsv2_": r"lsv2_(?:pt|sk)_\w{32,}",
                "pcsk_": r"pcsk_\w{32,}",
                "lin_api_": r"lin_api_[0-9A-Za-z]{32,}",
                "ntn_": _EDGE + r"ntn_[0-9A-Za-z]{40,}",
                "sntry": r"sntry[su]_[\w+/=\-]{32,}",
                "figd_": r"figd_[\w\-]{32,}",
            }
        ),
    ),
    (
        re.compile(r"-[\w\-]{16}", re.ASCII).search,
        _forms(
            {
                "sk-": r"(?:" + _EDGE + r"sk-|sk-(?:ant|proj|svcacct|or-v1)-)" + _MIXED + r"[\w\-]{20,}",
                "xox": r"xox[a-z](?:\.xox[a-z])?-[\w\-]{10,}",
                "xapp-": r"xapp-[\w\-]{10,}",
                **dict.fromkeys(
                    ("glpat-", "gldt-", "glrt-", "glptt-", "glcbt-"),
                    r"gl(?:pat|dt|rt|ptt|cbt)-[\w\-]{16,}+(?:\.\w{1,64}+){0,4}",
                ),
                "pypi-": r"pypi-" + _MIXED + r"[\w\-]{32,}",
                "xai-": _EDGE + r"xai-[0-9A-Za-z]{20,}",
                "pplx-": r"pplx-[0-9A-Za-z]{20,}",
                "nvapi-": r"nvapi-[\w\-]{20,}",
                "tvly-": r"tvly-[\w\-]{20,}",
                "tskey-": r"tskey-[\w\-]{16,}",
                "GOCSPX-": r"GOCSPX-[\w\-]{20,}",
                "PMAK-": r"PMAK-[0-9a-f]{24}-[0-9a-f]{16,}",
                "NRAK-": r"NRAK-[0-9A-Z]{20,}",
                "AGE-SECRET-KEY-1": r"AGE-SECRET-KEY-1[0-9A-Z]{20,}",
            }
        ),
    ),
    (
        re.compile(r"A[\w\-]{19}", re.ASCII).search,
        _forms(
            {
                **dict.fromkeys(("AKIA", "ASIA"), r"A[KS]IA[0-9A-Z]{16,}"),
                "AIza": r"AIza[\w\-]{30,}",
                "ATATT3": r"ATATT3[\w\-=]{32,}",
                ":AA": r"(?:%[0-9A-Fa-f]{2})?(?P<secret>[0-9]{8,10}:AA[\w\-]{32,})",
            }
        ),
    ),
    (
        re.compile(r"\.[\w\-]{16}", re.ASCII).search,
        _forms(
            {
                "SG.": r"SG\.[\w\-]{16,}+\.[\w\-]{16,}",
                "ya29.": r"ya29\.[\w\-]{16,}",
                "hvs.": _EDGE + r"hvs\.[\w\-]{20,}",
            }
        ),
    ),
    (
        re.compile(r"K[0-9a-f]{16}").search,
        _forms({"SK": _EDGE + r"SK[0-9a-f]{32}"}),
    ),
    (
        re.compile(r"=[^\s\"'&;]{16}").search,
        _forms(
            {
                "sig=": _EDGE + r"sig=(?P<secret>[\w%+/=\-]{16,})",
                "Signature=": r"Signature=(?P<secret>[\w%+/=~\-]{16,})",
            }
        ),
    ),
)

_OTHERS = _forms(
    {
        # A key without its end is taken as far as it is like one.
        "-----BEGIN": r"-----BEGIN[0-9A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:"
        r"[^\-]*+(?:-(?!----(?:BEGIN|END))[^\-]*+)*+-----END[0-9A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        r"|(?:(?:\s|\\{1,63}+[nr])*+[0-9A-Za-z+/=]{40,}+)++(?:(?:\s|\\{1,63}+[nr])*+[0-9A-Za-z+/=]+)?+)",
        "dapi": r"dapi[0-9a-f]{32}(?:-[0-9])?",
        "hooks.slack.com": r"hooks\.slack\.com\\{0,8}/[a-z]{1,20}\\{0,8}/(?P<secret>[\w\-]+(?:\\{0,8}/[\w\-]+)*)",
        "/webhooks": r"discord(?:app)?\.com\\{0,8}/api\\{0,8}/webhooks\\{0,8}/(?P<secret>[\w\-]+(?:\\{0,8}/[\w\-]+)*)",
        "earer": r"[Bb]earer[ \t]{1,8}(?P<secret>(?=[A-Za-z\-._~+/]{0,19}[0-9]|[A-Za-z\-._~+/]{20})"
        r"[\w\-.~+/]{8,}={0,2})",
        "curl": _EDGE
        + r"(?:-u[ ]?|--user[ =])[\"'\\]{0,4}[^\s:\"'\\]{1,128}:(?P<secret>(?!//|\$|[0-9]{1,8}\s)[^\s\"'\\]+)",
    }
)

_JWT = re.compile(
    # Three parts of which two begin so; or the five of an encrypted one, of which the second may be empty.
    r"(?<![\w\-])(?=(?P<header>[\w\-]*+)(?P<rest>\.eyJ[\w\-]*+\.[\w\-]*+|\.[\w\-]*+(?:\.[\w\-]++){3}))",
    re.ASCII,
)
_BASIC = re.compile(r"[Bb]asic[ \t]{1,8}(?P<secret>[0-9A-Za-z+/\-_]{6,}={0,2})")
_URL = re.compile(
    r":(?:\\{0,8}/){2}[^\s/?#:@\"'<>\\]{0,256}+:"
    # A port is no password.
    r"(?P<secret>(?![0-9]{1,5}(?:\\{0,8}/|[?#]))(?:[^\s/\"'<>\\]{1,256}(?=@)|[^\s@\"'<>\\]{1,256}+(?=@)))"
)


def _find_forms(text: str, found: list[_Span]) -> None:
    for search, forms in _FAMILIES:
        if search(text):
            for literal, pattern in forms:
                if literal in text:
                    _find(pattern, text, found)
    for literal, pattern in _OTHERS:
        if literal in text:
            _find(pattern, text, found)
    if "J" in text and "eyJ" in text:
        _find_jwts(text, found)
    if "asic " in text:
        found += (match.span("secret") for match in _BASIC.finditer(text) if _is_pair(match["secret"]))
    if "@" in text and ("://" in text or ":\\" in text):
        found += (match.span("secret") for match in _URL.finditer(text) if not _REFERENCE.match(match["secret"]))


def _find_jwts(text: str, found: list[_Span]) -> None:
    for match in _JWT.finditer(text):
        start = text.find("eyJ", match.start(), match.end("header"))
        if start >= 0:
            found.append((start, match.end("rest")))


def _is_pair(credential: str) -> bool:
    """Whether the credential is what `Basic` has: `user:password` in base64. "Basic information" is not."""
    padded = credential.rstrip("=") + "=" * (-len(credential.rstrip("=")) % 4)
    try:
        return b":" in base64.b64decode(padded, altchars=b"-_")
    except binascii.Error:
        return False


# --- card numbers -------------------------------------------------------------------------------------

_SMALLEST_CARD = 10**12
_LARGEST_CARD = 10**19
_MOST_DIGITS = 19
_NEIGHBOURS = 8
"""So many letters beside a number tell whether it is a piece of a hexadecimal id."""

_LONG_RUN = re.compile(r"[0-9][0-9 \-]{12}")
_RUN = re.compile(
    # Not the decimals of a fraction; but after an escape, whose digits are not the number's.
    r"(?:(?P<escape>\\u[0-9A-Fa-f]{4}|%[0-9A-Fa-f]{2})|(?<![0-9])(?<![0-9]\.))"
    r"(?P<digits>[0-9](?:[ \-]?[0-9]){12,}+)(?P<fraction>\.[0-9])?"
)
_GROUP = re.compile(r"[0-9]+")
_FIRST_GROUP = range(4, 7)
_INNER_GROUP = 3
_ISSUED = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"  # Visa
    r"|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"  # Mastercard
    r"|3[47][0-9]{13}"  # American Express
    r"|(?:6011|64[4-9][0-9]|65[0-9]{2})[0-9]{12,15}"  # Discover
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12,15}"  # JCB
    r"|3(?:0[0-59]|[689][0-9])[0-9]{11,16}"  # Diners Club
    r"|62[0-9]{14,17}"  # UnionPay
    r"|(?:5018|5020|5038|5893|6304|6759|676[1-3])[0-9]{9,15}"  # Maestro
)
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_ALPHANUMERIC = string.ascii_letters + string.digits


def _find_cards(text: str, found: list[_Span]) -> None:
    if not _LONG_RUN.search(text):
        return
    for run in _RUN.finditer(text):
        groups = [group.span() for group in _GROUP.finditer(text, *run.span("digits"))]
        if not run["escape"] and _is_hexadecimal(_letters_before(text, groups[0][0])):
            del groups[0]
        if groups and (run["fraction"] or _is_hexadecimal(_letters_after(text, groups[-1][1]))):
            del groups[-1]
        first = 0
        while first < len(groups):
            after = _card(text, groups, first)
            if after > first:
                found.append((groups[first][0], groups[after - 1][1]))
            first = max(after, first + 1)


def _card(text: str, groups: list[_Span], first: int) -> int:
    """Return the index after the longest card number that begins with this group; `first` if there is none."""
    after = first
    digits = ""
    for index in range(first, len(groups)):
        start, end = groups[index]
        digits += text[start : min(end, start + _MOST_DIGITS + 1)]
        if len(digits) > _MOST_DIGITS:
            break
        if _ISSUED.fullmatch(digits) and _passes_luhn(digits):
            after = index + 1
        # Four and four and four and four, four and six and five, six and thirteen: not any numbers in a row.
        if end - start < _INNER_GROUP or (index == first and end - start not in _FIRST_GROUP):
            break
    return after


def _passes_luhn(digits: str) -> bool:
    plain = sum(map(int, digits[-1::-2]))
    return (plain + sum(_DOUBLED[int(digit)] for digit in digits[-2::-2])) % 10 == 0


def _letters_before(text: str, at: int) -> str:
    before = text[max(0, at - _NEIGHBOURS) : at]
    return before[len(before.rstrip(_ALPHANUMERIC)) :]


def _letters_after(text: str, at: int) -> str:
    after = text[at : at + _NEIGHBOURS]
    return after[: len(after) - len(after.lstrip(_ALPHANUMERIC))]


def _is_hexadecimal(letters: str) -> bool:
    return letters[-2:] in {"0x", "0X"} or (letters != "" and not letters.strip(string.hexdigits))


# --- the names of secrets -----------------------------------------------------------------------------


def _set_of(words: str) -> frozenset[str]:
    return frozenset(words.split())


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_AFTERTHOUGHTS = _set_of("value string plaintext raw base b header confirmation confirm")
"""Words after which a name means what it meant before them, like numbers: `password_2`, `tokenValue`."""
_NOT_TOKENS = _set_of(
    """per page pagination continuation next pad eos bos unk sep cls mask special stop input output prompt
    completion"""
)
"""Words before `token` that make it a piece of language or of a list, not a secret."""
_ORDINALS = frozenset({"first", "last"})
_WHOLE_NAMES = frozenset({"auth", "creds", "cvv", "cvc"})
_ENDINGS = (
    *("password", "passwords", "passwd", "passphrase", "passphrases", "passcode", "passwort", "pwd"),
    *("passwordhash", "passworddigest", "dbpass", "smtppass", "userpass", "mysqlpass", "sshpass", "ftppass"),
    *("mailpass", "emailpass", "redispass", "adminpass", "rootpass", "postgrespass", "authpass"),
    *("secret", "secrets", "secretbinary", "token", "jwttoken", "credential", "credentials"),
    *("accesstokens", "refreshtokens", "authtokens", "bearertokens", "apitokens", "sessiontokens", "idtokens"),
    *("authorization", "basicauth", "httpauth", "proxyauth", "authcode", "authorizationcode"),
    *("cookie", "cookies", "cookiejar"),
    *(
        f"{which}key{plural}"
        for which in (
            *("api", "access", "private", "secret", "auth", "encryption", "decryption", "signing", "account"),
            *("master", "shared", "subscription", "ssh", "hmac", "aes", "admin", "servicerole", "license"),
            *("deploy", "integration", "ddapp", "datadogapp"),
        )
        for plural in ("", "s")
    ),
)


@functools.lru_cache(maxsize=4096)
def _says_secret(name: str) -> bool:
    """Whether a name is that of a secret: `dbPassword`, `x-api-key`, `AWS_SECRET_ACCESS_KEY`, `sessiontoken`.

    The last words decide, in whatever way they are joined, so `max_tokens`, `token_count`, `tokenizer`,
    `cookie_policy` and `secretary` are not.
    """
    words = [word.lower() for word in _WORD.findall(name)]
    while words and (words[-1].isdigit() or words[-1] in _AFTERTHOUGHTS):
        words.pop()
    before = words[-3:-1] if words[-1:] == ["token"] else []
    if before and (before[-1] in _NOT_TOKENS or (before[0] == "to" and before[-1] in _ORDINALS)):
        return False
    joined = "".join(words)
    return words[-1:] == ["pw"] or joined in _WHOLE_NAMES or joined.endswith(_ENDINGS)


# --- secrets under their names, inside a text ---------------------------------------------------------

_NAME_CHARACTERS = _ALPHANUMERIC + "_-."
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
_REFERENCE = re.compile(
    r"\$\(|\$?\{\{|os\.environ\b|os\.getenv\b|process\.env\b|(?:secrets|vars?|env|self|this)\.[A-Za-z_]|[a-z+]{2,16}://"
    r"|(?:\$?\{[A-Za-z_][\w.]{0,64}\}|\$[A-Z_][A-Z0-9_]{0,64}|%s|%\(\w{1,64}\)s|%[A-Z_]{1,64}%)(?=[\s\"'`,;:)&<\\\]}]|\Z)"
)
_CALL = re.compile(r"[A-Za-z_]\w{0,64}(?:\.\w{1,64}){0,8}[(\[]")
_HARMLESS = _set_of(
    """none null nil undefined true false yes no str string secretstr int integer number bytes tuple list dict bool
    boolean any object text varchar optional required missing invalid expired incorrect valid empty unset absent revoked
    await async new lambda function bearer basic digest token negotiate"""
)
_LITTLE_WORDS = _set_of(
    """a an and argument as can flag for from if in instead is must on option or parameter should the to value via was
    when with"""
)
_WORDS_FOLLOW = re.compile(r"[ \t]+\(?[^\W\d_]++(?!\w*[:=])")
_SIGNS = frozenset("!@#$%^&*+=~")
_WORD_SIGNS = _SIGNS | set("_/")
_SHORT_WORD, _MIDDLING_WORD, _LONG_WORD, _ANY_WORD = 4, 6, 8, 20
_PLAIN = re.compile(r"[\w\-]+")
_RANDOM = re.compile(r"[0-9A-Za-z+/=_\-]{16,}")
_RANDOM_DIGITS = 4
_NOTHING = (0, 0)


def _find_named(text: str, found: list[_Span]) -> None:
    low = text.lower()
    if len(low) != len(text):
        # The one letter that grows when it is made small.
        low = text.replace("\u0130", "I").lower()
    for stem, pattern in _NAMES:
        done = 0
        # To ask whether it is there is faster than to ask where, and either than to search by the pattern.
        at = low.find(stem) if stem in low else -1
        while at >= 0:
            # What has been taken is not searched again: a search may go far, but never twice.
            if (match := pattern.match(low, at)) and match.end() >= done:
                start, end = _named(text, match)
                if start < end:
                    found.append((start, end))
                    done = max(done, end)
            at = low.find(stem, at + 1)


def _named(text: str, match: re.Match[str]) -> _Span:
    """Return where the value is that stands under the name, if the name says that it is a secret."""
    before = text[max(0, match.start() - _LONGEST_NAME) : match.start()]
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
        return _says_secret(name)
    # Words apart make a name too: "API key", but "cost per token".
    before = text[max(0, start - 1 - _LONGEST_NAME) : start - 1]
    whole = f"{before[len(before.rstrip(_NAME_CHARACTERS)) :]} {name}"
    return _says_secret(whole) or (_says_secret(name) and not name.lower().endswith("token"))


def _keyed(text: str, match: re.Match[str], name: str) -> _Span:
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


def _assigned(text: str, match: re.Match[str], name: str, around: str) -> _Span:
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


def _spoken(text: str, match: re.Match[str], name: str) -> _Span:
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


def _argument(text: str, at: int, name: str) -> _Span:
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


def _closing(text: str, opening: re.Match[str]) -> _Span:
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


def _quoted(text: str, at: int) -> _Span:
    """The content of the quotes that open here, on this line; without quotes, the token."""
    if curly := _CURLY.match(text, at):
        return curly.span("secret")
    opening = _OPENING.match(text, at)
    if opening is None:
        return _token(text, at)
    start = opening.end()
    if _CLOSED.match(text, start) or _REFERENCE.match(text, start):
        return _NOTHING
    end, _ = _closing(text, opening)
    line = text.find("\n", start, end)
    end = line if line >= 0 else end
    return _NOTHING if text[start:end].lower() in _HARMLESS else (start, end)


def _token(text: str, at: int) -> _Span:
    # What turns out to be no secret is read again for the names in it: so it must be short, and a reference is seen
    # by how it begins.
    token = None if _REFERENCE.match(text, at) else _TOKEN.match(text, at)
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
    if not 0 < len(word) <= _LONGEST_NAME:
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
