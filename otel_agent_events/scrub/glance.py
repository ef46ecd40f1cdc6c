r"""A quick look at many texts at once: where something may stand that would be taken out.

Nearly no text has a secret, and to search one takes longer than all else that is done with it. So the JSON of many
texts is looked at in one go, as bytes. What is told of a place is that there may be something, never that there is:
for that is the search in `named.py`, `forms.py` and `cards.py`. What is not told of has nothing that they would take.

A look is a dozen passes over all bytes, each of a pattern that begins with a literal: `re` goes to it at 0.3
nanoseconds a byte, and tries the rest in 15 to 50. A class to begin with would cost 5 nanoseconds a byte. So what is
looked for is told by a letter or sign of it that is rare, with what stands before it in a look-behind. Whether a name
is only mentioned, as in "the token expired", is decided within the pattern; what is left by `_is_told`, in Python.

Where there was a C compiler, `_sieve.pyx` says in one pass at which places a pattern is worth trying, and that takes a
quarter of the time. The patterns stay the rule, and what is found stays the same: the sieve only leaves out where they
would not match.

What the texts look like here, beside how a search sees them: a quote is `\"`, a line ends with `\n`, a control
character is `\u001b`, a backslash is two. A name may seem to begin with the letters of an escape, so both readings
are tried. Letters are ASCII in every secret and every name, but for two that become ASCII when they are made small:
U+212A KELVIN SIGN is always told, U+0130 where it could be the rest of a name.
"""

from __future__ import annotations

import functools
import json
import re
from itertools import chain
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from otel_agent_events.scrub.cards import find_cards
from otel_agent_events.scrub.forms import is_pair
from otel_agent_events.scrub.found import ALPHANUMERIC, LONGEST_NAME
from otel_agent_events.scrub.names import says_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from otel_agent_events.scrub.found import Place

_Matches: TypeAlias = "Iterable[re.Match[bytes]]"
Searched: TypeAlias = "tuple[bytes, Sequence[_Matches]]"
"""The bytes with small letters, and what each pattern matches."""

# Letters are made small, digits become 0, so that a number is found by `0000`, and each bracket that opens becomes a
# comma, so that what begins in an object or a list is found by `,"`.
_LOW = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ123456789[{", b"abcdefghijklmnopqrstuvwxyz000000000,,")


class _Kind(NamedTuple):
    """What is looked for by one pattern, which begins with a literal.

    Attributes:
        pattern: matches what is told of, or has to be looked at more closely.
        in_low: whether letters are small for it, and digits 0.
        sign: what it begins with, if that is so rare that `_find_each` looks for it.
        before: what must stand before that.
    """

    pattern: re.Pattern[bytes]
    in_low: bool = False
    sign: bytes = b""
    before: bytes = b""


# --- names --------------------------------------------------------------------------------------------

_TAIL = rb"[a-z0_.\-]{0,80}+"
_BLANK = rb"(?: |\\t)"
_CLOSE = rb"(?:\\\\)*+(?:\\\"|['`])"
# What cannot go on a name, nor stand between it and its value; of letters that are not ASCII: all but the wide colon
# and U+0130.
_NO_SIGN = rb"[;?)(/+&#@$^~}|<]|!(?!=)|\\[nrbfu]|(?!\xef\xbc\x9a|\xc4\xb0)[\x80-\xff]"
_VERB = (
    rb"(?:(?:(?:is|was|has been)" + _BLANK + rb")?(?:changed|reset|set|updated)" + _BLANK + rb"to|is|was|to)"
    rb"(?:" + _BLANK + rb"?:)?" + _BLANK
)
# After a name and a space only what looks random is taken, or is in quotes and mixes letters with digits or signs.
_PLAIN = (
    *(rb"[abd-gj-qvx-z][a-z]{0,14}+[ ,.;:)]", rb"0[0.,:\-]{0,14}+ ", rb"\([a-z]", rb"\\\"[a-z]{1,20}+\\\""),
    rb"[\xc3\xe3-\xee\xf0]",
    *(
        first + rb"[a-z]{0,14}+[ ,.;:)]"
        for first in (
            *(rb"t(?!o)", rb"i(?!s)", rb"s(?!et)", rb"w(?!as)", rb"h(?!as)"),
            *(rb"c(?!hanged)", rb"r(?!eset)", rb"u(?!pdated)"),
        )
    ),
)
_WORD = (
    rb"(?!" + _VERB + rb"|[bfru]{1,2}[\\\"'`])(?:"
    rb"[a-z+/_\-]{1,80}+(?![a-z0+/=_\-])"
    rb"|[a-z0+/_\-]{1,15}+(?![a-z0+/=_\-])"
    rb"|[(#@$&?;|~^,]"
    rb"|(?!\xe2\x80|\xc2|\xef|\xc4\xb0)[\x80-\xff]"
    rb"|\\\"[a-z ]{1,40}+\\\"|'[a-z ]{1,40}+'|\xe2\x80\x9c[a-z ]{1,40}+\xe2\x80\x9d|\")"
)
# After a verb: what mixes letters with digits or signs, or is in quotes.
_VERB_WORD = (
    rb"(?:is|was|to) (?!(?:changed|reset|set|updated)" + _BLANK + rb"to|[bfru]{1,2}[\\'])"
    rb"(?:[a-z(][a-z.,;:()/\-]*+(?:'[a-z]+)?+|0[0.,;:()/\-]*+)(?=[ \"]|\\[nr\"])"
)
_REST = rb" (?:" + _WORD + rb"|" + _VERB_WORD + rb")|,|" + _NO_SIGN
# More than mentioned. The first of the two says the same as the second, quickly, of what comes most often.
_MORE = (
    rb"(?![a-z]{0,9}+ (?:" + rb"|".join(_PLAIN) + rb"))"
    rb"(?!" + _TAIL + rb"(?:" + _REST + rb"|\"(?!:)|(?:\\\\)++(?![\\\"'`])"
    rb"|" + _CLOSE + rb"(?:[a-z0_.\-\"]|" + _REST + rb")))"
)
_NAMES = tuple(
    _Kind(re.compile(pattern), in_low=True)
    for pattern in (
        rb"k(?:e(?:y|n(?<=token))" + _MORE + rb"|ie(?<=cookie)" + _MORE + rb"|\.(?<=slack\.)com[\\/](?P<slack>)"
        rb"|s[\\/](?:(?<=/api/webhooks.)|(?<=\\/webhooks.))(?P<discord>))",
        rb"p(?:ass" + _MORE + rb"|w" + _MORE + rb"|i(?=[a-f0]{32})(?<=dapi)(?P<sure>))",
        rb"c(?:re(?:d|t(?<=secret))" + _MORE + rb"|v" + _MORE + rb"|\\t(?<=basic\\t)(?P<tab>)"
        rb"| (?<=basic ) {0,7}(?:(?=[a-z0+/_\-]{6})(?P<pair>)|\\t(?P<blank>)))",
        rb"uth(?<=auth)" + _MORE,
        rb"bearer" + _BLANK + rb"{1,8}(?=[\w.~+/\-]{8})(?=[a-z._~+/\-]{0,19}0|[a-z._~+/\-]{20})(?P<sure>)",
    )
)
_STEMS = (b"pass", b"pw", b"secret", b"token", b"key", b"auth", b"cookie", b"cred", b"cv")
_NAME_CHARACTERS = (ALPHANUMERIC + "_-.").encode()
_TAIL_HERE = re.compile(rb"[a-z0_.\-]{0,210}+")
_NAMED_TAIL = re.compile(rb"[a-z0_\-]{0,40}+(?:\.[a-z0_\-]{1,40}+){0,4}+")
_NOTHING_HERE = re.compile(rb"\":(?:null|true|false|\"\"|\[\]|\{\})")
_BASIC_HERE = re.compile(rb"[Bb]asic {1,8}(?P<secret>[0-9A-Za-z+/\-_]{6,}={0,2})")
_STEM_LENGTHS = range(2, 7)
_DOTTED, _KELVIN = "\u0130".encode(), "\u212a".encode()
_ESCAPED = (1, 5)  # letters: `\n`, `\u001b`
# A flag is a name that begins with a hyphen; where a name is cut off one may seem to.
_FLAG = rb"(?:(?<![\w.\-]-)|(?<=\\[bfnrt]-)|(?<=\\u[0-9a-f]{4}-))(?=[\w.\-]{2,300}+(?:" + _CLOSE + rb")?+[ ,])"
_FLAG_HERE = re.compile(rb"[\w.\-]{1,300}")

# --- forms --------------------------------------------------------------------------------------------

_EDGE = (
    rb"(?:(?<![0-9A-Za-z])|(?<=\\[bfnrt])|(?<=\\u[0-9A-Fa-f]{4})|(?<=%[0-9A-Fa-f]{2})"
    rb"|(?<=\[m)|(?<=[\[;][0-9]m)|(?<=[\[;][0-9]{2}m))"
)
_MIXED = rb"(?=[A-Za-z0-9_]{24}|[\w\-]{0,40}[0-9A-Z])"
_CURL = rb"(?:u ?|-user[ =])[\"'\\]{0,8}[^ :\"'\n]{1,800}+:(?!//|\$)"
_HYPHENED = _Kind(
    re.compile(
        rb"-(?:----BEGIN[0-9A-Z ]{0,40}PRIVATE KEY|(?<=[0-9A-Za-z]-)(?=[\w\-]{10})(?:"
        rb"(?<=" + _EDGE + rb"sk-)(?=" + _MIXED + rb"[\w\-]{20})"
        rb"|(?<=sk-)(?=(?:ant|proj|svcacct|or-v1)-" + _MIXED + rb"[\w\-]{20})"
        rb"|(?<=xox[a-z]-)|(?<=xapp-)"
        rb"|(?:(?<=gl(?:pat|ptt|cbt)-)|(?<=gl[dr]t-)|(?<=tskey-))(?=[\w\-]{16})"
        rb"|(?<=pypi-)(?=" + _MIXED + rb"[\w\-]{32})"
        rb"|(?:(?<=" + _EDGE + rb"xai-)|(?<=pplx-))(?=[0-9A-Za-z]{20})"
        rb"|(?:(?<=nvapi-)|(?<=tvly-)|(?<=GOCSPX-))(?=[\w\-]{20})"
        rb"|(?<=PMAK-)(?=[0-9a-f]{24}-)|(?<=NRAK-)(?=[0-9A-Z]{20})|(?<=AGE-SECRET-KEY-)(?=1[0-9A-Z]{20}))"
        rb"|(?P<unsure>(?=[u\-])(?=" + _CURL + rb")|" + _FLAG + rb"|(?=[\w.\-]{63}[pstkacPSTKAC])))"
    )
)
_CURL_HERE = re.compile(b"-" + _CURL)
_FORMS = (
    _Kind(
        re.compile(rb"\.(?=[\w\-]{16})(?:(?<=SG\.)(?=[\w\-]{16,}+\.[\w\-]{16})|(?<=ya29\.)|(?<=hvs\.)(?=[\w\-]{20}))")
    ),
    _Kind(re.compile(rb"=(?=[\w%+/=~\-]{16})(?:(?<=" + _EDGE + rb"sig=)|(?<=Signature=))")),
    _Kind(
        re.compile(
            rb"_(?=[\w+/=\-]{10})(?:"
            rb"(?:(?<=gh[pousr]_)|(?<=gsk_))(?=[0-9A-Za-z]{20})"
            rb"|(?:(?<=[sr]k_live_)|(?<=[sr]k_test_))(?=[0-9A-Za-z]{10})"
            rb"|(?:(?<=npm_)|(?<=hf_)|(?<=r8_)|(?<=ntn_)|(?<=lin_api_))(?=[0-9A-Za-z]{30})"
            rb"|(?:(?<=github_pat_)|(?<=dckr_[op]at_))(?=[\w\-]{20})"
            rb"|(?<=whsec_)(?=[0-9A-Za-z+/]{16})|(?<=z[wuq]t_)(?=[\w\-]{16})"
            rb"|(?:(?<=do[opr]_v1_)|(?<=shp(?:at|ca|pa|ss)_))(?=[0-9A-Fa-f]{32})"
            rb"|(?:(?<=glsa_)|(?<=lsv2_(?:pt|sk)_)|(?<=pcsk_)|(?<=figd_)|(?<=sntry[su]_))(?=[\w+/=\-]{32}))"
        ),
        sign=b"_",
    ),
    _Kind(re.compile(rb"A(?:[KS]IA[0-9A-Z]{16}|Iza[\w\-]{30}|TATT3[\w=\-]{32}|A(?<=[0-9]:AA)[\w\-]{32})"), sign=b"A"),
    _Kind(re.compile(rb"K(?=[0-9a-f]{32})(?<=" + _EDGE + rb"SK)"), sign=b"K", before=b"S"),
    # The run is taken with the match, so that it is not gone over again.
    _Kind(
        re.compile(rb"J(?<=eyJ)[\w\-]*+(?:\.(?:eyJ[\w\-]*+\.|[\w\-]*+(?:\.[\w\-]++){3})(?P<sure>))?+"),
        sign=b"J",
        before=b"y",
    ),
    _Kind(re.compile(rb"\x84(?<=\xe2\x84)\xaa"), sign=b"\x84", before=b"\xe2"),
)
_MOST_SIGNS = 1 / 500
_URL = re.compile(
    rb":(?:\\{0,16}/){2}[^\s/?#:@\"'<>\\]*+(?:\\[ub][^\s/?#:@\"'<>\\]*+)*+"
    rb":(?![0-9]{1,5}(?:\\{0,8}/|[?#]))[^\s@\"'<>\\]*+(?:\\[ub][^\s@\"'<>\\]*+)*+@"
)
_LONGEST_URL = 3300

# --- cards --------------------------------------------------------------------------------------------

# Thirteen digits, or a first group with a second one after it; four more digits may belong to an escape. The decimals
# of a fraction are passed over.
_CARDS = _Kind(
    re.compile(
        rb"0000(?=0{0,6}[ \-]000|0{9})(?=(?:[ \-]?0){9})(?<!00000)(?:(?<!0\.0000)|(?<=\\u[a-f0]{4}\.0000))[0 \-]*+"
    ),
    in_low=True,
)
_CARD_BEFORE, _CARD_AFTER = 16, 10
_MOST_SLASHES = 64
_ESCAPES = re.compile(rb"\\(?:u[0-9a-f]{4}|.)", re.DOTALL)

# --- keys and flags -----------------------------------------------------------------------------------

# Names under which a value stands are joined from words with anything between them: `pass word`. Those of one word
# are found as names are.
_STRING = rb"[^\"\\]*+(?:\\.[^\"\\]*+)*+"
_KEYS = _Kind(
    re.compile(rb",\"(?![a-z0]*+\")(?=(?P<key>" + _STRING + rb")\":|(?P<flag>-" + _STRING + rb")\",\"[^\"\-])"),
    in_low=True,
)

# --- the look -----------------------------------------------------------------------------------------

_KINDS = (*_NAMES, _HYPHENED, *_FORMS, _CARDS, _KEYS)
"""In the order in which the sieve has them."""


def search(written: bytes) -> Searched:
    """Try every pattern everywhere."""
    low = written.translate(_LOW)
    return low, [_find_each(kind, low if kind.in_low else written) for kind in _KINDS]


_search: Callable[[bytes], Searched]
try:
    from otel_agent_events.scrub._sieve import lowered, sieve
except ImportError:  # it was installed without a C compiler
    _search = search
else:

    def search_sieved(written: bytes) -> Searched:
        """Try every pattern where it may match, which gives the same."""
        low = lowered(written)
        kinds = zip(_KINDS, sieve(written), strict=True)
        return low, [_try_each(kind.pattern, low if kind.in_low else written, places) for kind, places in kinds]

    _search = search_sieved


def find_suspicious(written: bytes) -> list[int]:
    """Say where, in a run of JSON texts, something may stand that would be taken out."""
    low, (*many, cards, keys) = _search(written)
    names, hyphened, forms = many[: len(_NAMES)], many[len(_NAMES)], many[-len(_FORMS) :]
    found = [match.start() for match in chain(*names) if _is_told(written, low, match)]
    found += _find_hyphened(written, low, hyphened)
    found += (match.start() for match in chain(*forms) if match.lastgroup or not match.re.groups)
    _find_urls(written, found)
    found += (match.start() for match in cards if _is_card(written, *match.span()))
    for match in keys:
        at, end = match.span(match.lastgroup or 0)
        if _says_secret(written[at:end]):
            found.append(at)
    found.sort()
    return found


def may_hold(text: str) -> tuple[bool, bool]:
    """Whether a text may hold a secret under its name, and whether it may hold the number of a card."""
    written = encode_basestring(text).encode("utf-8", "surrogatepass")
    low, (*many, cards, _) = _search(written)
    # Of a credential after `Bearer` the form is known.
    named = any(_is_told(written, low, match) for match in chain(*many[: len(_NAMES) - 1]))
    named = named or bool(list(_find_hyphened(written, low, many[len(_NAMES)])))
    return named or _KELVIN in written, any(cards)


def _find_each(kind: _Kind, text: bytes) -> Iterator[re.Match[bytes]]:
    """Give what matches; quick if the sign it begins with is rare, which `re` goes byte by byte for."""
    pattern, _, sign, before = kind
    at = text.find(sign)
    left = int(len(text) * _MOST_SIGNS) if sign else 0
    while at >= 0 and left:
        match = pattern.match(text, at) if not before or text[at - 1 : at] == before else None
        if match:
            yield match
        at = text.find(sign, match.end() if match else at + 1)
        left -= 1
    if at >= 0:
        yield from pattern.finditer(text, at)


def _try_each(pattern: re.Pattern[bytes], text: bytes, places: Iterable[int]) -> Iterator[re.Match[bytes]]:
    """Give what matches at these places."""
    end = 0
    for at in places:
        if at >= end and (match := pattern.match(text, at)):
            end = match.end()
            yield match


def _find_hyphened(written: bytes, low: bytes, hyphened: _Matches) -> Iterator[int]:
    end, has_curl = 0, False
    for match in hyphened:
        at = match.start()
        if match.lastgroup is None or _is_flag(written, low, at):
            yield at
        elif _CURL_HERE.match(written, at):
            if at >= end:
                # The text it stands in is looked through once.
                begin, end = written.rfind(b"\n", 0, at) + 1, written.find(b"\n", at)
                end = end if end >= 0 else len(written)
                has_curl = written.find(b"curl", begin, end) >= 0
            if has_curl:
                yield at


def _is_flag(written: bytes, low: bytes, at: int) -> bool:
    if low.startswith(_STEMS, at + LONGEST_NAME):
        return True
    name = _FLAG_HERE.match(written, at)
    if name is None:
        return False
    if written[at - 1 : at] == b" ":
        return _says_secret_after(written, at, name[0].decode())
    return says_secret(name[0].decode())


def _is_told(written: bytes, low: bytes, match: re.Match[bytes]) -> bool:
    """Whether what the pattern of a name has found is to be told."""
    if match.lastgroup == "pair":
        basic = _BASIC_HERE.match(written, match.start() - 4)
        return basic is not None and is_pair(basic["secret"].decode())
    if match.lastgroup is not None:
        return True
    at = match.end()
    end = _end(_TAIL_HERE, low, at)
    is_key = written.startswith(b'":', end)
    if not is_key and _end(_NAMED_TAIL, low, at) < end:
        return False
    if low.startswith(_DOTTED, end):
        return True
    if is_key and _NOTHING_HERE.match(written, end):
        return False
    before = written[max(0, at - LONGEST_NAME - _STEM_LENGTHS[-1]) : at]
    start = at - len(before) + len(before.rstrip(_NAME_CHARACTERS))
    sign, around = written[end : end + 1], written[start - 1 : start]
    if sign == b">" and around not in {b"<", b":"}:
        return False
    name = written[start:end].decode()
    if around == b" " and not is_key:
        return _says_secret_after(written, start, name)
    names = _readings(written, start, name)
    if len(name) >= LONGEST_NAME:
        # Of a long name only the end is read, and of the name of a value only the end of all of it.
        names += (written[max(start, at - length - LONGEST_NAME) : end].decode() for length in _STEM_LENGTHS)
        names.append(name[-LONGEST_NAME:])
    return any(map(says_secret, names))


def _end(pattern: re.Pattern[bytes], low: bytes, at: int) -> int:
    match = pattern.match(low, at)
    return match.end() if match else at


def _readings(written: bytes, start: int, name: str) -> list[str]:
    """Say what the name may be that begins here: its first letters may belong to an escape."""
    is_escaped = written[start - 1 : start] == b"\\"
    return [name, *(name[letters:] for letters in _ESCAPED)] if is_escaped else [name]


def _says_secret_after(written: bytes, start: int, name: str) -> bool:
    before = written[max(0, start - 1 - LONGEST_NAME) : start - 1]
    first = len(before.rstrip(_NAME_CHARACTERS))
    words = _readings(written, start - 1 - len(before) + first, before[first:].decode())
    return any(says_secret(f"{word} {name}") for word in words) or (
        says_secret(name) and not name.lower().endswith("token")
    )


def _find_urls(written: bytes, found: list[int]) -> None:
    at = written.find(b"@")
    while at >= 0:
        begin = max(0, at - _LONGEST_URL)
        begin = max(begin, written.rfind(b" ", begin, at), written.rfind(b"@", begin, at))
        if written.find(b":", begin, at) >= 0 and (match := _URL.search(written, begin, at + 1)):
            found.append(match.start())
        at = written.find(b"@", at + 1)


def _is_card(written: bytes, at: int, end: int) -> bool:
    begin = max(0, at - _CARD_BEFORE)
    slashes = written[max(0, begin - _MOST_SLASHES) : begin]
    slashes = slashes[len(slashes.rstrip(b"\\")) :]
    if len(slashes) == _MOST_SLASHES:
        return True
    # An escape is read from where it begins.
    around = written[begin - len(slashes) % 2 : end + _CARD_AFTER]
    places: list[Place] = []
    find_cards(_ESCAPES.sub(_unescaped, around).decode("latin-1"), places)
    return bool(places)


def _unescaped(escape: re.Match[bytes]) -> bytes:
    """Give what an escape writes: a backslash, or what is neither a letter nor a digit."""
    return b"\\" if escape[0] == b"\\\\" else b"\0"


def _says_secret(key: bytes) -> bool:
    return _says_secret_again(key) if len(key) <= LONGEST_NAME else _says_secret_again.__wrapped__(key)


@functools.lru_cache(maxsize=4096)
def _says_secret_again(key: bytes) -> bool:
    name = json.loads(b'"' + key + b'"') if b"\\" in key else key.decode()
    return says_secret(name[-LONGEST_NAME:])
