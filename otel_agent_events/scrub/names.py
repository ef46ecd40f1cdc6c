"""The names under which secrets are kept."""

from __future__ import annotations

import functools
import re

from otel_agent_events.scrub.found import set_of

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_AFTERTHOUGHTS = set_of("value string plaintext raw base b header confirmation confirm")
"""Words after which a name means what it meant before them, like numbers: `password_2`, `tokenValue`."""
_NOT_TOKENS = set_of(
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
def says_secret(name: str) -> bool:
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
