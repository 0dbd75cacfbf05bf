# SPDX-License-Identifier: Apache-2.0
"""Access tokens: only what this server has signed for this time is read, whatever else is held out."""

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from models.access_token import KNOWN_TOKENS, LIFETIME_MS, MAX_CHARACTERS, AccessToken, AccessTokens
from models.keys import new_key_ring
from models.user import UserId

NOW = 1_800_000_000_000
UID = UserId(7)
FAMILY = "0f" * 16
RING = new_key_ring()
KEY = RING.token_keys[1]
TOKENS = AccessTokens(RING)
TOKEN, EXPIRES_AT = TOKENS.sign(UID, FAMILY, NOW)
CLAIMS: dict[str, Any] = jwt.decode(TOKEN, options={"verify_signature": False})
HEADER = jwt.get_unverified_header(TOKEN)


def made(claims: dict[str, Any], header: dict[str, Any] | None = None, key: Any = KEY, algorithm: str = "HS256") -> str:
    return jwt.encode(claims, key, algorithm, headers={"typ": "at+jwt", "kid": "1"} if header is None else header)


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: str = "") -> str:
    parts = [urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, claims)]
    return ".".join([*parts, signature])


def signed(hashing: str, header: dict[str, Any]) -> str:
    text = unsigned(header, CLAIMS).rstrip(".")
    return f"{text}.{urlsafe_b64encode(hmac.digest(KEY, text.encode(), hashing)).decode().rstrip('=')}"


def test_a_token_says_what_was_signed_until_it_ends() -> None:
    assert set(CLAIMS) == {"iss", "aud", "sub", "sid", "iat", "exp", "jti"}
    assert HEADER == {"alg": "HS256", "kid": "1", "typ": "at+jwt"}
    assert (EXPIRES_AT, LIFETIME_MS) == (NOW + 900_000, 900_000)
    said = AccessToken(UID, FAMILY, NOW // 1000, EXPIRES_AT // 1000)
    for now in (NOW - 5000, NOW, EXPIRES_AT - 1):
        assert TOKENS.read(TOKEN, now) == TOKENS.read(made(CLAIMS), now) == said
    for now in (0, NOW - 5001, EXPIRES_AT, EXPIRES_AT + 10**12):
        assert TOKENS.read(TOKEN, now) is None
    assert FAMILY not in repr(said)


def test_a_ring_that_rolls_signs_with_its_present_key_and_reads_what_the_others_have_signed() -> None:
    new = new_key_ring().token_keys[1]
    both = AccessTokens(replace(RING, token_keys={1: KEY, 2: new}, token_key=2))
    token, _ = both.sign(UID, FAMILY, NOW)
    assert jwt.get_unverified_header(token)["kid"] == "2"
    assert both.read(token, NOW) == both.read(TOKEN, NOW) == TOKENS.read(TOKEN, NOW)
    assert TOKENS.read(token, NOW) is None
    assert AccessTokens(replace(RING, token_keys={2: new}, token_key=2)).read(TOKEN, NOW) is None


OTHER_KEY = new_key_ring().token_keys[1]
FORGED = {
    "nothing": "",
    "dots": "..",
    "no alg": unsigned({**HEADER, "alg": "none"}, CLAIMS),
    "no alg in capitals": unsigned({**HEADER, "alg": "None"}, CLAIMS, TOKEN.rpartition(".")[2]),
    "our header and no signature": TOKEN.rpartition(".")[0] + ".",
    "HS512": signed("sha512", {**HEADER, "alg": "HS512"}),
    "our header in other letters": signed("sha256", {"typ": "at+jwt", "kid": "1", "alg": "HS256"}),
    "EdDSA": made(CLAIMS, key=Ed25519PrivateKey.generate(), algorithm="EdDSA"),
    "another key": made(CLAIMS, key=OTHER_KEY),
    "an empty key": made(CLAIMS, key=b"\0" * 32),
    "an unknown kid": made(CLAIMS, {"typ": "at+jwt", "kid": "2"}),
    "a kid that is a path": made(CLAIMS, {"typ": "at+jwt", "kid": "../../keys.json"}),
    "no kid": made(CLAIMS, {"typ": "at+jwt"}),
    "another typ": made(CLAIMS, {"typ": "JWT", "kid": "1"}),
    "a crit": made(CLAIMS, {"typ": "at+jwt", "kid": "1", "crit": ["exp"]}),
    "a jku": made(CLAIMS, {"typ": "at+jwt", "kid": "1", "jku": "https://evil.example/keys"}),
    "a jwk": made(CLAIMS, {"typ": "at+jwt", "kid": "1", "jwk": {"kty": "oct", "k": "AAAA"}}),
    "another issuer": made({**CLAIMS, "iss": "other"}),
    "another audience": made({**CLAIMS, "aud": "other"}),
    "no number as subject": made({**CLAIMS, "sub": "x"}),
    "a family of another form": made({**CLAIMS, "sid": "x"}),
    "a family that is a list": made({**CLAIMS, "sid": ["x"] * 32}),
    "an end that is text": made({**CLAIMS, "exp": "9999999999"}),
    "an end that is infinite": made({**CLAIMS, "exp": float("inf")}),
    "an end that is true": made({**CLAIMS, "exp": True}),
    "issued later": made({**CLAIMS, "iat": CLAIMS["iat"] + 6}),
    **{f"no {name}": made({key: value for key, value in CLAIMS.items() if key != name}) for name in CLAIMS},
    "too long": made({**CLAIMS, "more": "x" * MAX_CHARACTERS}),
    "an encrypted one": f"{TOKEN}.x.y",
    "a line break behind it": f"{TOKEN}\n",
    "padded": f"{TOKEN}=",
    "beyond ASCII": f"{TOKEN[:-1]}é",
}


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED.keys())
def test_what_this_server_would_not_write_is_not_read(token: str) -> None:
    assert TOKENS.read(token, NOW) is None


def test_no_other_letter_stands_for_the_same_anywhere() -> None:
    for at, letter in enumerate(TOKEN):
        for other in "AQgw-_.":
            if other != letter:
                assert TOKENS.read(TOKEN[:at] + other + TOKEN[at + 1 :], NOW) is None, at


def test_the_same_signature_in_other_letters_is_refused() -> None:
    text, _, signature = TOKEN.rpartition(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(signature[-1])
    same = [f"{signature[:-1]}{alphabet[last + bits]}" for bits in (1, 2, 3)]
    assert {urlsafe_b64decode(each + "=") for each in same} == {urlsafe_b64decode(signature + "=")}
    assert [TOKENS.read(f"{text}.{each}", NOW) for each in same] == [None] * 3


@given(st.text() | st.text("eyJ.-_A0", max_size=60))
def test_no_text_raises(text: str) -> None:
    assert TOKENS.read(text, NOW) is None
    assert TOKENS.read(f"{TOKEN.partition('.')[0]}.{text}", NOW) is None


def test_what_is_remembered_of_tokens_is_bounded_and_of_refused_ones_nothing() -> None:
    tokens = AccessTokens(RING)
    for number in range(KNOWN_TOKENS + 100):
        token, _ = tokens.sign(UserId(number + 1), FAMILY, NOW)
        assert tokens.read(token, NOW)
        if number < 100:
            assert tokens.read(token[:-43] + TOKEN[-43:], NOW) is None
            assert tokens._verified.cache_info().currsize == number + 1
    assert tokens._verified.cache_info().currsize == KNOWN_TOKENS
