# SPDX-License-Identifier: Apache-2.0
"""Encryption and VAPID against the RFCs' own example and against implementations that are not ours."""

import contextlib
from pathlib import Path

import http_ece
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import example, given
from hypothesis import strategies as st
from py_vapid import Vapid02

from httpclient.endpoints import origin_of
from push.providers.webpush_crypto import LONGEST_PLAINTEXT, Subscription, encrypt, parse_subscription
from push.providers.webpush_vapid import Vapid, VapidKey, check_subject, decode, encode, new_key, parse_key
from push.vapid_file import VapidFileError, open_vapid_key
from tests.support.clock import Clock

# RFC 8291, section 5.
PLAINTEXT = b"When I grow up, I want to be a watermelon"
SENDER_KEY = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
RECEIVER_KEY = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
RECEIVER_PUBLIC = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
SALT = "DGv6ra1nlYgDCS1FRnbzlw"
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
BODY = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl"
    "7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)
HOUR = 3_600_000


def subscription(public: str = RECEIVER_PUBLIC, auth: str = AUTH, endpoint: str = '"https://push.example/s"') -> str:
    return f'{{"endpoint":{endpoint},"expirationTime":null,"keys":{{"p256dh":"{public}","auth":"{auth}"}}}}'


def test_example_of_the_rfc_is_encrypted_as_it_says() -> None:
    sender = parse_key(SENDER_KEY).private
    body = encrypt(PLAINTEXT, parse_subscription(subscription()), private=sender, salt=decode(SALT))
    assert encode(body) == BODY


@given(st.binary(max_size=LONGEST_PLAINTEXT))
@example(b"x" * LONGEST_PLAINTEXT)
def test_another_implementation_decrypts_what_we_encrypt(plaintext: bytes) -> None:
    receiver = parse_key(RECEIVER_KEY).private
    parsed = parse_subscription(subscription())
    first, second = encrypt(plaintext, parsed), encrypt(plaintext, parsed)
    assert http_ece.decrypt(first, private_key=receiver, auth_secret=decode(AUTH)) == plaintext
    assert len(first) == len(plaintext) + 103 <= 4096
    assert (first[:16], first[21:86]) != (second[:16], second[21:86])


@pytest.mark.parametrize(
    "token",
    [
        "",
        "null",
        "[]",
        "{}",
        "[" * 100_000,
        '{"endpoint":"https://push.example/s"}',
        '{"endpoint":"https://push.example/s","keys":[]}',
        subscription(endpoint="7"),
        subscription(auth="AA"),
        subscription(auth=AUTH + "AA"),
        subscription(auth="é"),
        subscription(public=encode(b"\4" + b"\1" * 64)),
        subscription(public=encode(b"\2" + decode(RECEIVER_PUBLIC)[1:33])),
        subscription(public=encode(b"\0")),
        subscription(public="%%%"),
    ],
)
def test_token_that_is_no_subscription_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(ValueError, match=r"^(token is no subscription|p256dh is not a point on the curve)$"):
        parse_subscription(token)


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(str))
def test_no_token_and_no_address_raises_anything_but_value_error(text: str) -> None:
    for parse in (parse_subscription, origin_of):
        with contextlib.suppress(ValueError):
            parse(text)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://push.example/send/abc?x=1", "https://push.example"),
        ("https://PUSH.example:443/send", "https://push.example"),
        ("https://push.example:8443/", "https://push.example:8443"),
        ("http://127.0.0.1:9105/wpush", "http://127.0.0.1:9105"),
        ("https://[2001:db8::1]/x", "https://[2001:db8::1]"),
    ],
)
def test_origin_is_written_as_vapid_wants_it(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url", ["", "push", "ftp://a/b", "https://", "https://[::1/", "https://a:x/", "https://a/\ud800"]
)
def test_no_url_has_no_origin(url: str) -> None:
    with pytest.raises(ValueError, match=r"^endpoint is no URL$"):
        origin_of(url)


def test_vapid_token_says_who_to_whom_and_for_how_long() -> None:
    clock, key = Clock(), new_key()
    header = Vapid(key, "mailto:ops@example.org", clock).authorization("https://push.example")
    assert Vapid02.verify(header.replace(", ", ","))
    token = header.removeprefix("vapid t=").partition(", k=")[0]
    assert header.endswith(f", k={key.public}")
    unchecked = {"verify_exp": False, "verify_aud": False}
    claims = jwt.decode(token, key.private.public_key(), algorithms=["ES256"], options=unchecked)  # type: ignore[arg-type]
    until = (clock() + 12 * HOUR) // 1000
    assert claims == {"aud": "https://push.example", "exp": until, "sub": "mailto:ops@example.org"}


def test_vapid_token_is_kept_per_origin_and_renewed_before_its_end() -> None:
    clock = Clock()
    vapid = Vapid(new_key(), "", clock)
    first, other = vapid.authorization("https://a.example"), vapid.authorization("https://b.example")
    clock.passes(11 * 3600)
    assert (vapid.authorization("https://a.example"), first != other) == (first, True)
    clock.passes(1)
    second = vapid.authorization("https://a.example")
    assert second != first
    clock.passes(-3600)
    third = vapid.authorization("https://a.example")
    assert third != second, "a clock that was set back makes the token too long-lived"


@pytest.mark.parametrize("form", ["pem", "sec1", "number"])
def test_private_key_is_read_in_every_form_that_tools_write(form: str) -> None:
    key = parse_key(SENDER_KEY)
    sec1 = key.private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    text = {"pem": key.pem, "sec1": sec1, "number": f" {SENDER_KEY}\n"}[form]
    assert parse_key(text).public == key.public
    assert SENDER_KEY not in repr(parse_key(text))


@pytest.mark.parametrize(
    "text", ["", "AA", "A" * 43, SENDER_KEY + "AA", "é", "-----BEGIN PRIVATE KEY-----", "wrong curve", "encrypted"]
)
def test_anything_else_is_no_private_key(text: str) -> None:
    other = VapidKey(ec.generate_private_key(ec.SECP384R1()))
    shown = {"wrong curve": other.pem, "encrypted": other.pem.replace("PRIVATE", "ENCRYPTED PRIVATE")}.get(text, text)
    with pytest.raises(ValueError, match=r"^a VAPID private key is a P-256 key"):
        parse_key(shown)


def test_key_file_is_made_once_for_its_owner_alone_and_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "vapid.pem"
    key = open_vapid_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert open_vapid_key(path).public == key.public
    assert [file.name for file in tmp_path.iterdir()] == ["vapid.pem"]
    path.chmod(0o640)
    with pytest.raises(VapidFileError, match="chmod 600"):
        open_vapid_key(path)
    path.chmod(0o600)
    path.write_text("damaged")
    with pytest.raises(VapidFileError, match="is damaged"):
        open_vapid_key(path)
    assert path.read_text() == "damaged"


def test_subscription_hides_its_secrets() -> None:
    parsed: Subscription = parse_subscription(subscription())
    assert repr(parsed) == "Subscription()"


@pytest.mark.parametrize(
    "subject",
    [
        "mailto:you@example.org",
        "mailto:push.ops+web@mail.example.co.uk",
        "mailto:you@example.org?subject=push",
        "mailto:YOU@EXAMPLE.ORG",
        "https://example.org",
        "https://example.org/contact?from=push",
        "https://xn--bcher-kva.example.org:8443/",
    ],
)
def test_subject_at_a_public_host_is_taken(subject: str) -> None:
    check_subject(subject)


@pytest.mark.parametrize(
    "subject",
    [
        "mailto:ops@localhost",
        "mailto:ops@LOCALHOST",
        "mailto:ops@glimpse.local",
        "mailto:ops@push.test",
        "mailto:ops@push.invalid",
        "mailto:ops@push.example",
        "mailto:ops@host.internal",
        "mailto:ops@router.lan",
        "mailto:ops@router.home.arpa",
        "mailto:ops@hidden.onion",
        "mailto:ops@intranet",
        "mailto:ops@127.0.0.1",
        "mailto:ops@93.184.216.34",
        "mailto:ops@[93.184.216.34]",
        "mailto:ops@[IPv6:2606:2800:220:1::1]",
        "mailto:ops@2130706433",
        "mailto:ops@example.org.",
        "mailto:ops",
        "mailto:@example.org",
        "mailto:a@b@example.org",
        "mailto:ops@exam ple.org",
        "mailto:öps@bücher.example",
        "ops@example.org",
        "http://example.org",
        "https://",
        "https://localhost:8080/",
        "https://10.0.0.1/",
        "https://93.184.216.34/",
        "https://[2606:2800:220:1::1]/",
        "https://ops@example.org/",
        "https://glimpse.localhost/",
        "https://[",
    ],
)
def test_subject_that_reaches_nobody_is_refused(subject: str) -> None:
    with pytest.raises(ValueError, match=r"^must "):
        check_subject(subject)
