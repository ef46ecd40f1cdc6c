from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from otel_agent_events.errors import UsageError
from otel_agent_events.scrub import SCRUBBED, Scrubber
from otel_agent_events.scrub.names import says_secret

if TYPE_CHECKING:
    from otel_agent_events.events import JSON

SCRUBBER = Scrubber()

# Every secret here is invented, and put together from pieces so that no scanner takes it for one.
JWT = "eyJ" + "hbGciOiJIUzI1NiJ9" + ".eyJ" + "zdWIiOiIxMjM0In0" + ".c2lnbmF0dXJl"
PEM = "-----BEGIN " + "RSA PRIVATE KEY-----\nMIIEow" + "Ab+/" * 12 + "\nAQ==\n-----END " + "RSA PRIVATE KEY-----"

SECRETS = {
    "AWS access key id": "AKIA" + "IOSFODNN7EXAMPLE",
    "AWS session key id": "ASIA" + "IOSFODNN7EXAMPLE",
    "GitHub personal token": "ghp_" + "aB3d" * 9,
    "GitHub OAuth token": "gho_" + "aB3d" * 9,
    "GitHub user token": "ghu_" + "aB3d" * 9,
    "GitHub server token": "ghs_" + "aB3d" * 9,
    "GitHub refresh token": "ghr_" + "aB3d" * 9,
    "GitHub fine-grained token": "github_pat_" + "11ABCDEFG0" + "_aB3d" * 12,
    "GitLab token": "glpat-" + "aB3d-" * 4,
    "GitLab token with a route": "glpat-" + "aB3d" * 7 + ".01.0a1b2c3d4",
    "GitLab deploy token": "gldt-" + "aB3d" * 5,
    "Slack bot token": "xoxb-" + "123456789012-aB3dE6gH9jK2",
    "Slack refresh token": "xoxe.xoxp-" + "1-aB3dE6gH9jK2mN5p",
    "Slack app token": "xapp-" + "1-A0B1C2D3E4-5678901234-abcdef",
    "OpenAI key": "sk-" + "aB3d" * 12,
    "OpenAI key without digits": "sk-" + "a" * 48,
    "OpenAI project key": "sk-proj-" + "aB3d_-" * 10,
    "Anthropic key": "sk-ant-" + "api03-" + "aB3d_-" * 10,
    "Google API key": "AIza" + "SyD3_-" + "aB3d" * 7,
    "Google access token": "ya29." + "a0AfH6_-" * 5,
    "Google client secret": "GOCSPX-" + "aB3d" * 7,
    "Stripe live key": "sk_live_" + "aB3d" * 6,
    "Stripe restricted key": "rk_live_" + "aB3d" * 6,
    "Stripe test key": "sk_test_" + "aB3d" * 6,
    "Stripe webhook secret": "whsec_" + "aB3d" * 8,
    "Twilio key": "SK" + "0123456789abcdef" * 2,
    "SendGrid key": "SG." + "aB3d_-" * 4 + "." + "aB3d" * 10,
    "npm token": "npm_" + "aB3d" * 9,
    "PyPI token": "pypi-" + "AgEIcHlwaS5vcmc" + "CJ_-aB3d" * 8,
    "Hugging Face token": "hf_" + "aBcD" * 9,
    "DigitalOcean token": "dop_v1_" + "0123456789abcdef" * 4,
    "Vectara personal key": "zut_" + "aB3d_-" * 5,
    "Vectara query key": "zqt_" + "aB3d_-" * 5,
    "Vectara index key": "zwt_" + "aB3d_-" * 5,
    "Databricks token": "dapi" + "0123456789abcdef" * 2 + "-3",
    "Docker token": "dckr_pat_" + "aB3d_-" * 5,
    "Groq key": "gsk_" + "aB3d" * 12,
    "xAI key": "xai-" + "aB3d" * 20,
    "Perplexity key": "pplx-" + "aB3d" * 12,
    "Replicate token": "r8_" + "aB3d" * 9,
    "Vault token": "hvs." + "aB3d_-" * 8,
    "Telegram bot token": "123456789:AA" + "aB3d" * 8 + "x",
    "age key": "AGE-SECRET-KEY-1" + "QPZRY9X8" * 7,
    "JSON web token": JWT,
    "unsigned web token": JWT.rpartition(".")[0] + ".",
    "encrypted web token": "eyJ" + "hbGciOiJkaXIifQ" + "..aXY.Y2lwaGVydGV4dA.dGFn",
    "private key": PEM,
    "private key within JSON": json.dumps(PEM)[1:-1],
    "Visa card": "4111111111111111",
    "Visa card of 13 digits": "4222222222222",
    "Visa card of 19 digits": "4000000000000000006",
    "Visa card in groups": "4111 1111 1111 1111",
    "Visa card with dashes": "4111-1111-1111-1111",
    "Mastercard": "5555555555554444",
    "Mastercard of the 2 series": "2223003122003222",
    "American Express card": "378282246310005",
    "American Express card in groups": "3782 822463 10005",
    "Discover card": "6011111111111117",
    "JCB card": "3530111333300000",
    "Diners Club card": "30569309025904",
    "UnionPay card": "6212345678901232",
    "Maestro card": "6759649826438453",
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_a_secret_of_a_known_form_goes_and_the_words_around_it_stay(secret: str) -> None:
    assert SCRUBBER.text(f"before {secret} after") == "before [scrubbed] after"
    assert SCRUBBER.text(f'["{secret}", 1]') == '["[scrubbed]", 1]'
    # As a terminal, a URL and JSON write what stands before it.
    assert SCRUBBER.text(f"\\n{secret}\\n") == "\\n[scrubbed]\\n"
    assert SCRUBBER.text(f"\x1b[1;32m{secret}\x1b[0m") == "\x1b[1;32m[scrubbed]\x1b[0m"
    assert SCRUBBER.text(f"?q=%20{secret}&x=1") == "?q=%20[scrubbed]&x=1"


TAKEN = [
    # --- by value, with something to tell it by
    ("see https://hooks.slack.com/services/T0/B0/abc", "see https://hooks.slack.com/services/[scrubbed]"),
    (r"https:\/\/hooks.slack.com\/services\/T0\/B0\/abc", r"https:\/\/hooks.slack.com\/services\/[scrubbed]"),
    ("https://discord.com/api/webhooks/12/aB-c", "https://discord.com/api/webhooks/[scrubbed]"),
    ("curl -u admin:hunter2 https://x.org", "curl -u admin:[scrubbed] https://x.org"),
    ("Bearer aB3d-xyz.1 is it", "Bearer [scrubbed] is it"),
    ("a bearer " + "abcdefghij" * 2, "a bearer [scrubbed]"),
    ("Basic dXNlcjpwYXNz it is", "Basic [scrubbed] it is"),
    ("https://user:hunter2@db:5432/x", "https://user:[scrubbed]@db:5432/x"),
    ("redis://:p@ss#w?rd@db", "redis://:[scrubbed]@db"),
    ("redis://:pass/w?rd@db", "redis://:[scrubbed]@db"),
    (r"amqp:\/\/user:1234@mq", r"amqp:\/\/user:[scrubbed]@mq"),
    ("?sv=1&sig=aB3d%2B" + "xyz0" * 5 + "%3D&se=2", "?sv=1&sig=[scrubbed]&se=2"),
    ("?X-Amz-Signature=" + "0a1b" * 16 + "&x=1", "?X-Amz-Signature=[scrubbed]&x=1"),
    ("-----BEGIN " + "PRIVATE KEY-----\n" + "Ab+/" * 16 + "\n" + "Ab+/" * 16 + "\nAQ== ...", "[scrubbed] ..."),
    ("-----BEGIN " + "PRIVATE KEY-----\\n" + "Ab+/" * 16, "[scrubbed]"),
    ("a " + PEM + " b " + PEM + " c", "a [scrubbed] b [scrubbed] c"),
    ("cards 4111111111111111, 12 5555555555554444.", "cards [scrubbed], 12 [scrubbed]."),
    ("Visa4111111111111111 and", "Visa[scrubbed] and"),
    (r"caf\u00e94111111111111111", r"caf\u00e9[scrubbed]"),
    ("4111 1111 1111 1111 2af", "[scrubbed] 2af"),
    ("a4 4111 1111 1111 1111", "a4 [scrubbed]"),
    # --- keys of JSON, at any depth of quoting
    ('"password": "hunter2"', '"password": "[scrubbed]"'),
    (r"\"password\": \"hunter2\"", r"\"password\": \"[scrubbed]\""),
    (r"\\\"password\\\": \\\"hunter2\\\"", r"\\\"password\\\": \\\"[scrubbed]\\\""),
    (r'{"a": "{\"token\": \"h\\\"2\\\\\", \"b\": 1}"}', r'{"a": "{\"token\": \"[scrubbed]\", \"b\": 1}"}'),
    ('{"pinToken": -12.5e3, "b": 1}', '{"pinToken": "[scrubbed]", "b": 1}'),
    (r'"{\"token\": 12}"', r'"{\"token\": \"[scrubbed]\"}"'),
    ('{"credentials": {"a": ["}"]}, "b": 1}', '{"credentials": "[scrubbed]", "b": 1}'),
    (r'"{\"credentials\": [\"]\"], \"b\": 1}"', r'"{\"credentials\": \"[scrubbed]\", \"b\": 1}"'),
    ("{'credentials': {'a': 'x}', 'b': \"it's\"}, 'c': 1}", "{'credentials': '[scrubbed]', 'c': 1}"),
    ("{'password': b'hun\\'ter2', 'c': 1}", "{'password': b'[scrubbed]', 'c': 1}"),
    ('{"card": 4111111111111111, "b": 1}', '{"card": "[scrubbed]", "b": 1}'),
    ('{"password": hunter2, b: 1}', '{"password": "[scrubbed]", b: 1}'),
    # --- cut short
    ('{"password": "hunter2', '{"password": "[scrubbed]'),
    ('{"credentials": {"a": "hunter2", "b', '{"credentials": "[scrubbed]"'),
    ('{"credentials": {"a": [1, ', '{"credentials": "[scrubbed]"'),
    (r'["{\"credentials\": {\"a\": 1, ", "words"]', r'["{\"credentials\": \"[scrubbed]\"", "words"]'),
    (r'["{\"credentials\": {\"a\": \"x", "words"]', r'["{\"credentials\": \"[scrubbed]\"", "words"]'),
    (r'["{\"password\": \"hunter2", "words"]', r'["{\"password\": \"[scrubbed]", "words"]'),
    # --- names and signs
    ("password=hunter2", "password=[scrubbed]"),
    ("api_key: abc", "api_key: [scrubbed]"),
    ("DB_PASSWORD=hun;ter&2<3>4 x", "DB_PASSWORD=[scrubbed] x"),
    ("Server=db;Password=hunter2;Database=x", "Server=db;Password=[scrubbed];Database=x"),
    ("DefaultEndpoints=x;AccountKey=aB3d+/==;Suffix=y", "DefaultEndpoints=x;AccountKey=[scrubbed];Suffix=y"),
    ("?access_token=abc&x=1", "?access_token=[scrubbed]&x=1"),
    (r"?access_token=abc\u0026x=1", r"?access_token=[scrubbed]\u0026x=1"),
    ("?next=%3Ftoken%3Dabc", "?next=%3Ftoken%3D[scrubbed]"),
    ("user[password]=hunter2&x=1", "user[password]=[scrubbed]&x=1"),
    ("PASSWORD='hun ter2' run", "PASSWORD='[scrubbed]' run"),
    ('password = "hun\\"ter2" # x', 'password = "[scrubbed]" # x'),
    ('password: str | None = "hunter2"', 'password: str | None = "[scrubbed]"'),
    ('headers["X-Api-Key"] = "abc"', 'headers["X-Api-Key"] = "[scrubbed]"'),
    ('"password" => 12, x', '"password" => [scrubbed], x'),
    ("password=“hunter2” x", "password=“[scrubbed]” x"),
    ("password：hunter2，x", "password：[scrubbed]，x"),  # noqa: RUF001
    ("**API key:** abc", "**API key:** [scrubbed]"),
    ("`password`: `hunter2`", "`password`: `[scrubbed]`"),
    ("passwords: O'Brien2", "passwords: [scrubbed]"),
    ("password: hunter2, and so on", "password: [scrubbed], and so on"),
    ("password: hunter2 is new", "password: [scrubbed] is new"),
    ("password: correctHorse is new", "password: [scrubbed] is new"),
    ("password: " + "abcdefghij" * 2 + " is new", "password: [scrubbed] is new"),
    ("password: hunter user: bob", "password: [scrubbed] user: bob"),
    ('password: "hunter2\nnext', 'password: "[scrubbed]\nnext'),
    ("Your password:\nhunter2.", "Your password:\n[scrubbed]."),
    (r"Your password:\nhunter2", r"Your password:\n[scrubbed]"),
    ("İ password=hunter2", "İ password=[scrubbed]"),
    ("--api-key api_key: hunter2", "--api-key [scrubbed]: [scrubbed]"),
    ("AUTH=dXNlcjpwYXNz1", "AUTH=[scrubbed]"),
    ("<password> hunter2</password>", "<password> [scrubbed]</password>"),
    ("<db:Token>abc</db:Token>", "<db:Token>[scrubbed]</db:Token>"),
    # --- headers
    ("Authorization: Bearer xyz", "Authorization: Bearer [scrubbed]"),
    ('-H "authorization: basic dXM=" x', '-H "authorization: basic [scrubbed]" x'),
    ("Authorization: Custom a1b2c3", "Authorization: Custom [scrubbed]"),
    ("Authorization: a1b2c3", "Authorization: [scrubbed]"),
    ("Authorization: a1b2c3 then", "Authorization: [scrubbed] then"),
    ('Authorization: Digest username="M", response="6629"\nHost: x', "Authorization: [scrubbed]\nHost: x"),
    ("Cookie: a=b; c=d\nHost: x", "Cookie: [scrubbed]\nHost: x"),
    ('Set-Cookie: sid="a b"; Path=/', "Set-Cookie: [scrubbed]"),
    (r'"Cookie: a=b; c=d\r\nHost: x"', r'"Cookie: [scrubbed]\r\nHost: x"'),
    ("curl -H 'Cookie: a=b; c=d' https://x", "curl -H 'Cookie: [scrubbed]' https://x"),
    # --- flags, and words
    ("--password hunter2", "--password [scrubbed]"),
    ("mysql --password hunter mydb", "mysql --password [scrubbed] mydb"),
    ("--password 'hun ter2' x", "--password '[scrubbed]' x"),
    ("--password=hunter2 --x y", "--password=[scrubbed] --x y"),
    ('["--api-key", "abc", "x"]', '["--api-key", "[scrubbed]", "x"]'),
    ("my password is hunter2.", "my password is [scrubbed]."),
    ("The password was changed to P@ssword.", "The password was changed to [scrubbed]."),
    ('the secret is "hunter"', 'the secret is "[scrubbed]"'),
    ("CREATE USER bob WITH PASSWORD 'hunter2';", "CREATE USER bob WITH PASSWORD '[scrubbed]';"),
    ("secret key aB3dE6gH9jK2mN5p used", "secret key [scrubbed] used"),
    ("aws_secret_access_key wJalrXUtnFEMI/K7MDENG+bPxRfi1234567890AB", "aws_secret_access_key [scrubbed]"),
]


@pytest.mark.parametrize(("text", "scrubbed"), TAKEN)
def test_in_a_text_only_the_secret_goes(text: str, scrubbed: str) -> None:
    assert SCRUBBER.text(text) == scrubbed
    assert SCRUBBER.text(scrubbed) is scrubbed


STAYS = [
    "",
    "abc",
    "The token expired, so the secretary asked for another one.",
    "password: must be 8 characters long",
    "password: 8 characters at least",
    "password: (optional) the one to use",
    "The password is wrong. The password is required.",
    "the secret is to be kind; the secret is 'be kind'",
    "token 12345678 expired",
    "api key " + "-" * 20,
    "the api key for https://x.org/abc1234567890abcdef",
    "the token is https://x.org/a1b2c3",
    "the token is 12345678",
    "Use --token to set it, or --password with a file",
    "--password --verbose",
    "--password $PASSWORD",
    '["password", "email"]',
    'the "token", "abc"',
    "Bearer authentication and Basic information",
    "Basic abcdefghi",
    "Basic abcdefgh",
    "Cookie: chocolate chips are good",
    "max_tokens=100, input_tokens: 5, total_tokens=7",
    '{"token_count": 3, "token_type": "bearer", "tokenizer": "cl100k", "tokens": 4}',
    '{"cookie_policy": "x", "password_hint_shown": "y", "secretary": "z"}',
    '{"password": null, "token": true, "secret": "", "credentials": {}, "cookies": [ ]}',
    "password=None, token = null, secret: false",
    "cost per token: 0.002; time_to_first_token: 12; next_page_token=abc",
    "export TOKEN=$GITHUB_TOKEN PASSWORD=${DB_PASSWORD}",
    "token: ${{ secrets.GITHUB_TOKEN }}",
    "Authorization: Bearer {token}",
    "Authorization: the user must log in",
    "Authorization: Bearer",
    'api_key = os.environ["KEY"]',
    'api_key="${KEY}"',
    "token = client.get_token(user)",
    "self.token = token; login(password=password)",
    "def login(user: str, password: str, token: Optional[str] = None) -> None:",
    "credentials = (",
    "auth: enabled",
    "[set up the credentials]: https://x.org/credentials",
    'print("password:", x); print("Password: " + x)',
    '{"cmd": "login password=", "next": "words"}',
    r'"password=\"\n"',
    "password:\nuser: bob",
    "password:\nuser1x: bob",
    "PASSWORD=\nUSER=bob42",
    "password:",
    "password::x, token://x",
    "<token> is it </b>, token>x",
    "<password>string</password>",
    '-v "$PWD":/mnt',
    "postgres://user:${PASSWORD}@db",
    "http://host:8080/a@b and http://host:80?x=a@b",
    "curl -u 1000:1000 x",
    "docker run -u app:app x",
    # Not secrets, however long
    "1712345678901 17123456789012345 2024-01-15 10:30:45",
    "order 4111111111111112",
    "41111111111111111111",
    "0.4111111111111111 and 4111111111111111.5",
    "4111111111111111abc 0x4111111111111111 a4111111111111111",
    "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
    "41111111-1111-1111-1111-111111111111",
    "6ba7b810-9dad-41d1-80b4-00c04fd430c8",
    "d41d8cd98f00b204e9800998ecf8427e",
    "sk-fading-circle-container-of-the-page",
    "task-0123456789abcdef0123456789",
    "eyJ.eyJ and eyJhbGciOiJIUzI1NiJ9.b",
    "www.eyJ.x-eyJ",
    "abc.eyJhbGciOiJIUzI1NiJ9.b",
    "-----BEGIN " + "PRIVATE KEY----- is how it begins",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "[scrubbed]",
    "password: [scrubbed] and more",
    '{"password": "[scrubbed]"}',
    '{"password": [scrubbed]}',
]


@pytest.mark.parametrize("text", STAYS)
def test_a_text_without_a_secret_is_the_same_object(text: str) -> None:
    assert SCRUBBER.text(text) is text


@pytest.mark.parametrize(
    "name",
    """password passwd pwd pw passphrase secret token api_key authorization cookie credential credentials private_key
    access_key client_secret set-cookie x-api-key sessiontoken access_token refreshToken dbPassword CLIENT_SECRET
    AWS_SECRET_ACCESS_KEY apiKey APIKey X-Auth-Token password_2 password2 tokenValue auth cvv2 access_tokens
    Proxy-Authorization imagePullSecrets spring.datasource.password smtp_pass my.api-key""".split(),  # noqa: SIM905
)
def test_these_names_say_secret(name: str) -> None:
    assert says_secret(name)
    assert SCRUBBER.value({name: "abc"}) == {name: SCRUBBED}


@pytest.mark.parametrize(
    "name",
    """max_tokens input_tokens token_count total_tokens token_type tokenizer secretary cookie_policy monkey key author
    password_hint_shown session_key agent_key primaryKey public_key tokens page_token nextToken cost_per_token
    time_to_first_token time_to_last_token 42 _ secret_id compass authored""".split(),  # noqa: SIM905
)
def test_these_names_do_not(name: str) -> None:
    value = {name: "abc"}

    assert not says_secret(name)
    assert SCRUBBER.value(value) is value


# --- values -------------------------------------------------------------------------------------------


def test_under_a_secrets_name_the_whole_value_goes_unless_it_tells_nothing() -> None:
    kept: JSON = {"password": None, "token": False, "secret": "", "cookies": [], "credentials": {}, "auth": SCRUBBED}
    gone: JSON = {"password": "x", "token": 0, "secret": 1.5, "cookies": ["x"], "credentials": {"user": "x"}}

    assert SCRUBBER.value(kept) is kept
    assert SCRUBBER.value(gone) == dict.fromkeys(gone, SCRUBBED)


def test_strings_keys_and_card_numbers_are_scrubbed_at_any_depth_and_the_value_is_not_changed() -> None:
    card, key = 4111111111111111, SECRETS["OpenAI key"]
    value: JSON = {"a": [{key: f"x {key}"}, card, -card, 1.5, True, None, "ok"], "same": {"b": 1}}
    before = json.dumps(value)

    scrubbed = SCRUBBER.value(value)

    assert scrubbed["a"] == [{SCRUBBED: "x [scrubbed]"}, SCRUBBED, -card, 1.5, True, None, "ok"]
    assert scrubbed["same"] is value["same"]
    assert json.dumps(value) == before


def test_two_keys_that_were_secrets_do_not_become_one() -> None:
    one, two = SECRETS["GitHub personal token"], SECRETS["GitHub OAuth token"]

    scrubbed = SCRUBBER.value({one: 1, two: 2, SCRUBBED: 3})

    assert scrubbed == {"[scrubbed] (2)": 1, "[scrubbed] (3)": 2, SCRUBBED: 3}
    assert SCRUBBER.value(scrubbed) is scrubbed


def test_a_long_key_is_scrubbed_like_a_short_one() -> None:
    words = "word " * 20

    assert SCRUBBER.value({words + "password=hunter2": 1}) == {words + "password=[scrubbed]": 1}
    assert SCRUBBER.value({words + "password": "hunter2"}) == {words + "password": SCRUBBED}


def test_in_a_list_of_arguments_the_one_after_a_secrets_flag_goes() -> None:
    arguments = ["run", "--api-key", "abc", "--token", "--verbose", "--password", "", "-x", "abc", "--token", 5]

    assert SCRUBBER.value(arguments) == [*arguments[:2], SCRUBBED, *arguments[3:]]


def test_what_is_no_container_is_scrubbed_too() -> None:
    assert SCRUBBER.value("password=hunter2") == "password=[scrubbed]"
    assert SCRUBBER.value(4111111111111111) == SCRUBBED
    for value in (12, 10**5000, float("nan"), float("inf"), 4111111111111111.0, None, True):
        assert SCRUBBER.value(value) is value


@pytest.mark.parametrize("depth", [60, 900, 20_000])
def test_a_secret_is_found_however_deep_it_lies(depth: int) -> None:
    value: JSON = {"password": "hunter2"}
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}

    scrubbed = SCRUBBER.value(value)

    for level in reversed(range(depth)):
        scrubbed = scrubbed[0] if level % 2 else scrubbed["a"]
    assert scrubbed == {"password": SCRUBBED}


def test_an_object_that_is_used_twice_is_scrubbed_twice_and_one_that_holds_itself_ends() -> None:
    shared = {"x": ["password=hunter2"]}
    clean = {"x": ["password=[scrubbed]"]}
    endless: JSON = ["ok"]
    endless.append(endless)

    assert SCRUBBER.value([shared, {"y": shared}, shared]) == [clean, {"y": clean}, clean]
    assert SCRUBBER.value(endless) is endless


# --- JSON in a text -----------------------------------------------------------------------------------


def test_a_text_that_was_json_is_json_still_where_a_value_seemed_to_go_on() -> None:
    text = json.dumps({"a": "the password%3D", "b": 'the secret: "x', "c": "4111111111111111"})

    assert json.loads(SCRUBBER.text(text)) == {"a": "the password%3D", "b": 'the secret: "[scrubbed]', "c": SCRUBBED}


def test_a_number_that_is_all_of_a_text_becomes_a_string_of_json() -> None:
    assert SCRUBBER.text("4111111111111111") == '"[scrubbed]"'
    assert SCRUBBER.text("[4111111111111111, 5]") == '["[scrubbed]", 5]'


def test_json_that_is_too_deep_to_read_is_scrubbed_as_text() -> None:
    deep = "[" * 100_000 + '"password=hunter2"' + "]" * 100_000

    assert SCRUBBER.text(deep) == deep.replace("hunter2", SCRUBBED)


SAFE_TEXT = st.lists(st.sampled_from(["lamp", "für", "\n", " ", "12", "(", ")", "a/b", "?!", "☕", "'"])).map("".join)
ANY_TEXT = st.text(st.characters(exclude_categories=()))
WORDS = [
    *("password", "api_key", '"token"', r"\"secret\"", r"\\\"cookie\\\"", "'pwd'", "Authorization", "Set-Cookie"),
    *("--password", "secret key", "max_tokens", "<password>", "</password>", SCRUBBED, "[scrubbed", "credentials"),
    *(":", "=", ": ", " = ", "=>", " is ", " to ", ", ", ",", ";", "&", "?", '"', r"\"", r"\\\"", "'", "`", "{", "}"),
    *("[", "]", "{}", "(", "<", ">", "/", "\\", r"\n", "\n", " ", r"\u0041", "%20", "%3D", ".", "-", "_", "@", "://"),
    *("user:", "a", "b1", "hunter2", "must be", "123", "12345", "-1.5e3", "true", "null", "é", "\ud800", "\0", "İ"),
    *("“", "”", "Bearer ", "Basic ", "Digest ", "a=b", "$TOKEN", "${{ x }}", "str", "4111 ", "4111", 'f"', "**"),
    *("-----BEGIN " + "PRIVATE KEY-----", "-----END " + "PRIVATE KEY-----", "A" * 64, "eyJ", "sk-", "AKIA", "curl -u "),
    *SECRETS.values(),
]
LIKELY_TEXT = st.lists(st.one_of(st.sampled_from(WORDS), ANY_TEXT), max_size=14).map("".join)
KEYS = st.one_of(st.sampled_from(["password", "x", "apiKey", "note", "max_tokens", "arguments"]), LIKELY_TEXT)
LEAVES = st.one_of(LIKELY_TEXT, st.none(), st.booleans(), st.integers(), st.floats(), st.just(4111111111111111))


def values(leaves: st.SearchStrategy[JSON], keys: st.SearchStrategy[str]) -> st.SearchStrategy[JSON]:
    """JSON values, some of which hold others as a string."""
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(keys, inner, max_size=3),
            st.builds(json.dumps, inner, ensure_ascii=st.booleans()),
        ),
        max_leaves=8,
    )


@given(LIKELY_TEXT)
def test_scrubbing_a_text_twice_is_scrubbing_it_once(text: str) -> None:
    scrubbed = SCRUBBER.text(text)

    assert SCRUBBER.text(scrubbed) is scrubbed


@given(values(LEAVES, KEYS))
def test_scrubbing_a_value_twice_is_scrubbing_it_once(value: JSON) -> None:
    scrubbed = SCRUBBER.value(value)

    assert SCRUBBER.value(scrubbed) is scrubbed


@given(values(LEAVES, KEYS), st.booleans(), st.sampled_from([None, 2]))
@example({'4111"secret%3D': '\0"'}, True, None)  # noqa: FBT003
@example({"token": ["[scrubbed][scrubbed]"], 'a "secret%3D': SECRETS["Visa card"]}, True, None)  # noqa: FBT003
def test_a_text_that_is_json_stays_json(value: JSON, ascii_only: bool, indent: int | None) -> None:  # noqa: FBT001
    scrubbed = SCRUBBER.text(json.dumps(value, ensure_ascii=ascii_only, indent=indent))

    json.loads(scrubbed)
    assert SCRUBBER.text(scrubbed) is scrubbed


@given(
    values(
        st.sampled_from(["hunter2", 'a"b\\c', "two\nlines", "", None, True, 0, 17, 1.5, "it's", "x}]{["]),
        st.sampled_from(["password", "apiKey", "note", "x-api-key", "max_tokens", "Cookie", "a b"]),
    ),
    st.integers(0, 3),
)
def test_json_in_a_text_is_scrubbed_as_the_value_is(value: JSON, depth: int) -> None:
    text = functools.reduce(lambda inner, _: json.dumps([inner]), range(depth), json.dumps(value))

    scrubbed = SCRUBBER.text(text)

    for _ in range(depth):
        (scrubbed,) = json.loads(scrubbed)
    assert json.loads(scrubbed) == SCRUBBER.value(value)


@given(LIKELY_TEXT, st.sampled_from(sorted(SECRETS.values())), LIKELY_TEXT)
def test_a_planted_secret_never_survives_in_a_text(before: str, secret: str, after: str) -> None:
    assume(not re.search(r"[0-9][ \-]?\Z", before))
    assume(not re.match(r"[ \-]?[0-9]|\.[0-9]", after))
    assume(secret not in before + after)  # glued to other digits there, a card number is none

    assert secret not in SCRUBBER.text(f"{before}\n{secret}\n{after}")


@given(
    LIKELY_TEXT,
    st.sampled_from(["password=", "api_key: ", '"password": "', r"\"token\":\"", "--password "]),
    LIKELY_TEXT,
)
def test_a_secret_under_its_name_never_survives_in_a_text(before: str, name: str, after: str) -> None:
    assert "hunter2x" not in SCRUBBER.text(f"{before}\n{name}hunter2x\n{after}")


@given(values(LEAVES, KEYS), st.sampled_from(sorted(SECRETS.values())), st.lists(st.sampled_from("lds"), max_size=12))
def test_a_planted_secret_never_survives_at_any_depth(other: JSON, secret: str, path: list[str]) -> None:
    value: JSON = f"\n{secret}\n"
    for step in path:
        value = [other, value] if step == "l" else {"a": other, "b": value} if step == "d" else json.dumps(value)
        assume(len(str(value)) < 100_000)

    assert json.dumps(secret).strip('"').replace("\\", "") not in json.dumps(SCRUBBER.value(value)).replace("\\", "")


@given(values(st.one_of(SAFE_TEXT, st.integers(-(10**9), 10**9), st.floats(), st.none(), st.booleans()), SAFE_TEXT))
def test_a_value_without_secrets_is_the_same_object(value: JSON) -> None:
    assert SCRUBBER.value(value) is value


@given(ANY_TEXT)
@example("\ud800" * 20)
@example("\0" * 20)
@example("İ" * 20)
def test_any_text_can_be_scrubbed(text: str) -> None:
    assert isinstance(SCRUBBER.text(text), str)


@pytest.mark.parametrize(
    "piece",
    [
        *("a", "eyJ", "eyJ.", "a.eyJ", "1 ", "4111 ", "4", "://", "://a:", '\\"', "\\", '"', "'", "password: ", "="),
        *('"password":', '"password":"', '"password":{', '\\"token\\":{', 'token=""', 'token="$A', "--token ", "-sk-"),
        *("sk-", "SG.", "-----BEGIN " + "PRIVATE KEY-----", "-", "Bearer ", "curl -u a:", 'Cookie: a="', "token is "),
        *(
            "<token>",
            "pass",
            "key ",
            "token.",
            "token\\",
            "%20",
            "token={{",
            "'Cookie: a=",
            "\\u0041",
            "[",
            '"token":[',
            "token: str=",
            "İ",
        ),
    ],
)
def test_no_text_makes_a_search_go_over_it_again_and_again(piece: str) -> None:
    # A search that goes over the rest of the text at each piece would not end while one waits for it.
    scrubbed = SCRUBBER.text("@" + piece * (100_000 // len(piece)))

    assert SCRUBBER.text(scrubbed) is scrubbed


# --- what a user adds ---------------------------------------------------------------------------------


def test_a_users_pattern_is_replaced_or_only_its_group_named_secret() -> None:
    scrubber = Scrubber([r"CUST-\d+", r"pin (?P<secret>\d{4})", r"x*", r"(?P<secret>never)?lamp"])

    assert scrubber.text("CUST-17 has pin 1234, lamp") == "[scrubbed] has pin [scrubbed], lamp"
    assert scrubber.value({"CUST-17": ["CUST-18"]}) == {SCRUBBED: [SCRUBBED]}


def test_a_users_pattern_sees_the_text_that_ours_see() -> None:
    scrubber = Scrubber([r"password=hunter2 (?P<secret>\w+)", r"Bearer abc123de-(?P<secret>\w+)"])

    assert scrubber.text("password=hunter2 rosebud") == "password=[scrubbed] [scrubbed]"
    assert scrubber.text("Bearer abc123de-f") == "Bearer [scrubbed]"


def test_a_users_pattern_is_shown_numbers_up_to_nineteen_digits() -> None:
    scrubber = Scrubber([r"^\d{9}$"])

    assert scrubber.value([123456789, 12345678, -123456789, 1.5, 10**5000]) == [
        *(SCRUBBED, 12345678, -123456789, 1.5, 10**5000),
    ]
    assert Scrubber([r"\d{9}"]).text('{"n": 123456789}') == '{"n": "[scrubbed]"}'


def test_a_users_pattern_never_matches_inside_what_is_scrubbed_already() -> None:
    scrubber = Scrubber([r"\w+"])

    assert scrubber.text("one two") == "[scrubbed] [scrubbed]"
    assert scrubber.text("[scrubbed] [scrubbed]") == "[scrubbed] [scrubbed]"


def test_a_users_secret_weighs_more_than_json() -> None:
    across = Scrubber([r'"n": \d+'])
    escape = Scrubber([r"\d+"])

    assert across.text('{"n": 17}') == "{[scrubbed]}"
    assert json.loads(escape.text('["caf\\u00e9 17"]')) == ["café [scrubbed]"]


def test_a_pattern_that_finds_more_each_time_ends() -> None:
    assert Scrubber([r"(?<=\]).", r"^a"]).text("a" + "b" * 20) == "[scrubbed]" + "b" * 13


def test_a_callable_has_the_last_word_over_every_text() -> None:
    scrubber = Scrubber([r"lamp"], str.upper)

    assert scrubber.text("a lamp") == "A [SCRUBBED]"
    assert scrubber.value({"a": ["b", 1]}) == {"A": ["B", 1]}
    unchanged = "ABC"
    assert scrubber.text(unchanged) is unchanged


def test_a_callable_that_leaves_a_text_alone_gives_back_the_same_object() -> None:
    value = {"a": ["some words"]}

    assert Scrubber(also=lambda text: "".join(list(text))).value(value) is value


@pytest.mark.parametrize("pattern", ["(", "a{99999999999999999999}", "(?P<secret>x)(?P<secret>y)"])
def test_a_pattern_that_does_not_compile_is_named(pattern: str) -> None:
    with pytest.raises(UsageError, match=re.escape(repr(pattern))):
        Scrubber(["fine", pattern])
