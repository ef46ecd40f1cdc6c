"""Secrets of a known form: keys and tokens of providers, credentials in headers, JWTs, passwords in URLs."""

from __future__ import annotations

import base64
import binascii
import re

from otel_agent_events.scrub.found import REFERENCE, Place, find

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
        "_",
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
        "-",
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
        "A",
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
        ".",
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
        "K",
        re.compile(r"K[0-9a-f]{16}").search,
        _forms({"SK": _EDGE + r"SK[0-9a-f]{32}"}),
    ),
    (
        "=",
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


def find_forms(text: str, found: list[Place]) -> None:
    """Add where secrets of a known form stand in the text."""
    for sign, search, forms in _FAMILIES:
        if sign in text and search(text):
            for literal, pattern in forms:
                if literal in text:
                    find(pattern, text, found)
    for literal, pattern in _OTHERS:
        if literal in text:
            find(pattern, text, found)
    if "J" in text and "eyJ" in text:
        _find_jwts(text, found)
    if "asic " in text:
        found += (match.span("secret") for match in _BASIC.finditer(text) if is_pair(match["secret"]))
    if "@" in text and ("://" in text or ":\\" in text):
        found += (match.span("secret") for match in _URL.finditer(text) if not REFERENCE.match(match["secret"]))


def _find_jwts(text: str, found: list[Place]) -> None:
    for match in _JWT.finditer(text):
        start = text.find("eyJ", match.start(), match.end("header"))
        if start >= 0:
            found.append((start, match.end("rest")))


def is_pair(credential: str) -> bool:
    """Whether the credential is what `Basic` has: `user:password` in base64. "Basic information" is not."""
    padded = credential.rstrip("=") + "=" * (-len(credential.rstrip("=")) % 4)
    try:
        return b":" in base64.b64decode(padded, altchars=b"-_")
    except binascii.Error:
        return False
