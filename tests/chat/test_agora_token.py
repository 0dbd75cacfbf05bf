# SPDX-License-Identifier: Apache-2.0
"""AccessToken2 byte for byte: frozen vectors that Agora's own builders gave, and what no builder gives."""

import base64
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat import agora_token
from chat.agora_token import BadToken, Kind, Service, Token

APP_ID = "970CA35de60c44645bbae8a215061b33"
CERTIFICATE = "5CFd2fd1755d40ecb72977518be15d3b"
HEAD = "2000393730434133356465363063343436343562626165386132313530363162333347f41000580200000100000001"
CHANNEL = "7d72365eb983485397e3e3f9d460bdda"

# What agora-token 2.0.6 (npm) and Agora's Python builder gave for issue 1111111, 600 seconds, salt 1.
VECTORS = {
    "chat user": (
        agora_token.chat_user("2882341273", 600),
        "28523b422bbfe03ceee4d0caef59d686fe2518eb70077dda27cdfcd448ff64ae",
        "00" + "050001000100580200000a0032383832333431323733",
        (
            "007eJxTYNAIsnbS3v/A5t2TC6feR15r+6cq8bqAvfaW+tk/Vzz+p6xTYLA0N3B2NDZNSTUzSDYxMTMxTUpKTLVINDI0NTAzTDI2dv8iwBDB"
            "xMDAyADCrAyMDIxgPheDkYWFkbGJoZG5MQAfpR64"
        ),
    ),
    "chat app": (
        agora_token.chat_app(600),
        "2d6e85c3436f1811bc2c43173bf34eaa047d5e896abd4ef54c654110c0fade50",
        "00" + "05000100020058020000" + "0000",
        (
            "007eJxTYNDNaz3snC8huEfHWdz6s98qltq4zqy9fl99Uh0FDvy6F6DAYGlu4OxobJqSamaQbGJiZmKalJSYapFoZGhqYGaYZGzs/kWAIYKJ"
            "gYGRAYRZGRgZmMB8BgYArfIYaw=="
        ),
    ),
    "rtc": (
        agora_token.rtc(CHANNEL, 2882341273, 600, publisher=False),
        "16a0b84c5a5e82cbf74fb813d09f59c54bdac9c06120580539ac97578e958b1a",
        "00" + "010001000100580200002000" + CHANNEL.encode().hex() + "0a0032383832333431323733",
        (
            "007eJxTYBBbsMMnKq7p9Hf/HcIX5kce9b518kCiQgSr5Zrp4X1Tu6UUGCzNDZwdjU1TUs0Mkk1MzExMk5ISUy0SjQxNDcwMk4yN3b8IMEQw"
            "MTAwMoAwBIL4CgzmKeZGxmamqUmWFsYmFqbGluapxqnGaZYpJmYGSSkpiVwMRhYWRsYmhkbmxgDCaiTj"
        ),
    ),
    "rtm": (
        agora_token.rtm("test_user", 600),
        "0d9a1df8a4e60649a82d4a68fb1f49581fb4d227b8f0b65773b79f1c89e7eb7c",
        "00" + "020001000100580200000900746573745f75736572",
        (
            "007eJxTYOCdJftjyTM2zxW6Xhm/5T0j5LdcUt/xYVt48fb5Mp3PX9coMFiaGzg7GpumpJoZJJuYmJmYJiUlplokGhmaGpgZJhkbu38RYIhg"
            "YmBgZABhJgZGBkYwn5OhJLW4JL60OLUIAFlWHoA="
        ),
    ),
}


def token_of(*services: Service) -> Token:
    return Token(APP_ID, issued_at=1111111, lasts=600, salt=1, services=services)


@pytest.mark.parametrize("name", VECTORS)
def test_a_token_is_byte_for_byte_what_the_vendors_builders_give(name: str) -> None:
    service, signature, tail, text = VECTORS[name]
    info = agora_token.signing_info(token_of(service))
    assert info.hex() == HEAD + tail
    assert agora_token.signature(1111111, 1, info, CERTIFICATE).hex() == signature
    mine = agora_token.build(token_of(service), CERTIFICATE)
    assert agora_token.content_of(mine) == agora_token.content_of(text)
    assert agora_token.read(text, CERTIFICATE) == token_of(service)


names = st.text(max_size=40)
seconds = st.integers(0, 2**32 - 1)
services = st.one_of(
    st.builds(agora_token.rtc, names, st.integers(0, 2**32 - 1), seconds, publisher=st.booleans()),
    st.builds(agora_token.rtm, names, seconds),
    st.builds(agora_token.chat_user, names, seconds),
    st.builds(agora_token.chat_app, seconds),
)


@given(st.lists(services, max_size=3, unique_by=lambda service: service.kind), seconds, st.integers(1, 99_999_999))
def test_what_is_built_is_read_back_and_with_another_certificate_is_not(
    given_services: list[Service], issued_at: int, salt: int
) -> None:
    token = Token(APP_ID, issued_at, 600, salt, tuple(sorted(given_services, key=lambda service: service.kind)))
    text = agora_token.build(token, CERTIFICATE)
    assert agora_token.read(text, CERTIFICATE) == token
    with pytest.raises(BadToken, match=r"^the signature is wrong$"):
        agora_token.read(text, CERTIFICATE[::-1])


@given(st.binary(max_size=200))
def test_bytes_that_are_no_token_are_said_to_be_none(content: bytes) -> None:
    text = "007" + base64.b64encode(zlib.compress(content)).decode()
    with pytest.raises(BadToken):
        agora_token.read(text, CERTIFICATE)


def signed(info: bytes) -> str:
    """The text of a token with these bytes as its signing info, under a signature that is right."""
    signature = agora_token.signature(1111111, 1, info, CERTIFICATE)
    content = len(signature).to_bytes(2, "little") + signature + info
    return "007" + base64.b64encode(zlib.compress(content)).decode()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not a token of version 007"),
        ("006abc", "not a token of version 007"),
        ("007", "too long or cut off"),
        ("007!!!!", "neither base64 nor zlib"),
        ("007" + base64.b64encode(b"no zlib").decode(), "neither base64 nor zlib"),
        (VECTORS["rtc"][3][:-8], "too long or cut off"),
        (signed(bytes.fromhex(HEAD[:-2] + "0100") + b"\x63\x00\x00\x00"), "a service that is not known here"),
        (signed(bytes.fromhex(HEAD[:-2] + "0100") + b"\x01\x00"), "cut off"),
        (signed(bytes.fromhex(HEAD[:-2] + "0200" + VECTORS["rtm"][2][2:])), "cut off"),
    ],
)
def test_text_that_is_no_token_is_said_to_be_none_and_why(text: str, reason: str) -> None:
    with pytest.raises(BadToken, match=f"^{reason}$"):
        agora_token.read(text, CERTIFICATE)


def test_a_token_that_inflates_without_end_is_not_inflated() -> None:
    bomb = "007" + base64.b64encode(zlib.compress(bytes(10_000_000))).decode()
    with pytest.raises(BadToken):
        agora_token.content_of(bomb)


@pytest.mark.parametrize(("app_id", "certificate"), [("", CERTIFICATE), (APP_ID[:-1], CERTIFICATE), (APP_ID, "x" * 32)])
def test_credentials_that_are_no_32_hex_digits_are_refused(app_id: str, certificate: str) -> None:
    with pytest.raises(ValueError, match="32 hex digits"):
        agora_token.build(Token(app_id, 1, 1, 1), certificate)


def test_only_a_publisher_may_send_into_a_channel() -> None:
    assert set(agora_token.rtc("c", 1, 60, publisher=False).privileges) == {agora_token.JOIN_CHANNEL}
    assert set(agora_token.rtc("c", 1, 60, publisher=True).privileges) == {1, 2, 3, 4}
    assert agora_token.rtc("c", 0, 60, publisher=False) == Service(Kind.RTC, {1: 60}, ("c", ""))
