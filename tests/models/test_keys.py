# SPDX-License-Identifier: Apache-2.0
"""The key ring and its file."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from models import keys, private_files
from models.keys import KeyRingError, new_key_ring, open_key_ring

E164 = "+8613800138000"
HASH = "ab" * 32


def test_a_sealed_number_opens_and_never_looks_the_same() -> None:
    ring = new_key_ring()
    first, second = ring.encrypt_phone(E164), ring.encrypt_phone(E164)

    assert first != second
    assert b"138" not in first
    assert len(first) <= 128
    assert ring.decrypt_phone(first) == ring.decrypt_phone(second) == E164


@pytest.mark.parametrize("at", [0, 1, 2, 13, 14, -1])
def test_a_changed_byte_anywhere_does_not_open(at: int) -> None:
    ring = new_key_ring()
    sealed = bytearray(ring.encrypt_phone(E164))
    sealed[at] ^= 1

    with pytest.raises(KeyRingError):
        ring.decrypt_phone(bytes(sealed))


@pytest.mark.parametrize("sealed", [b"", b"\0", b"\0\x01", b"\0\x01" + bytes(12), bytes(200)])
def test_no_bytes_raise_anything_else(sealed: bytes) -> None:
    with pytest.raises(KeyRingError):
        new_key_ring().decrypt_phone(sealed)


def test_an_older_key_still_opens_what_it_sealed() -> None:
    old, new = new_key_ring(), new_key_ring()
    both = replace(old, data_keys={1: old.data_keys[1], 2: new.data_keys[1]}, data_key=2)

    assert both.decrypt_phone(old.encrypt_phone(E164)) == E164
    assert both.decrypt_phone(both.encrypt_phone(E164)) == E164
    with pytest.raises(KeyRingError):
        old.decrypt_phone(both.encrypt_phone(E164))


def test_digests_are_per_pepper_and_one_is_read() -> None:
    old, new = new_key_ring(), new_key_ring()
    both = replace(old, peppers={1: old.peppers[1], 2: new.peppers[1]}, pepper=2)

    assert both.phone_digests(HASH) == {1: old.phone_digest(HASH).digest, 2: new.phone_digest(HASH).digest}
    assert both.phone_digest(HASH) == (2, new.phone_digest(HASH).digest)


def test_a_code_is_bound_to_its_activation_and_number() -> None:
    ring = new_key_ring()
    kept = ring.code_hmac("a" * 32, E164, "123456")

    assert kept == ring.code_hmac("a" * 32, E164, "123456")
    others = {
        ring.code_hmac("b" * 32, E164, "123456"),
        ring.code_hmac("a" * 32, "+8613900139000", "123456"),
        ring.code_hmac("a" * 32, E164, "123457"),
        ring.code_hmac("a" * 32, E164 + "1", "23456"),
        new_key_ring().code_hmac("a" * 32, E164, "123456"),
    }
    assert kept not in others
    assert len(others) == 5


def test_what_is_kept_of_a_request_cannot_be_guessed_without_the_ring() -> None:
    ring = new_key_ring()

    assert ring.request_hmac("register", E164) == ring.request_hmac("register", E164)
    assert ring.request_hmac("register", E164) != new_key_ring().request_hmac("register", E164)
    assert ring.request_hmac("register", E164) != ring.request_hmac("confirm", E164)


def test_a_ukey_is_256_bits_of_base64url() -> None:
    made = {keys.new_secret() for _ in range(100)}

    assert len(made) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", ukey) for ukey in made)


def test_no_secret_is_in_a_repr() -> None:
    ring = new_key_ring()
    shown = repr(ring)

    for secret in (ring.data_keys[1], ring.peppers[1], ring.code_key, ring.token_keys[1]):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown


def test_the_file_is_made_once_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"

    first = open_key_ring(path, sealed=None)

    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert open_key_ring(path, sealed=first.encrypt_phone(E164)) == first


def test_a_file_that_another_process_made_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    first = open_key_ring(path, sealed=None)

    private_files.write_once(path, "another process's")

    assert open_key_ring(path, sealed=None) == first
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_file_is_not_replaced_while_numbers_need_it(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"

    with pytest.raises(KeyRingError, match="missing"):
        open_key_ring(path, sealed=new_key_ring().encrypt_phone(E164))
    assert not path.exists()


def test_a_wrong_ring_is_noticed_at_once(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    open_key_ring(path, sealed=None)

    with pytest.raises(KeyRingError, match="not the key ring"):
        open_key_ring(path, sealed=new_key_ring().encrypt_phone(E164))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_may_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys.json"
    open_key_ring(path, sealed=None)
    path.chmod(mode)

    with pytest.raises(KeyRingError, match="chmod 600"):
        open_key_ring(path, sealed=None)


def _document() -> dict[str, object]:
    document: dict[str, object] = json.loads(keys.dump_key_ring(new_key_ring()))
    return document


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        "\u00e9",
        json.dumps(_document() | {"data_key": 2}),
        json.dumps(_document() | {"pepper": 9}),
        json.dumps(_document() | {"code_key": ""}),
        json.dumps(_document() | {"code_key": None}),
        json.dumps(_document() | {"code_key": "AAAA"}),
        json.dumps(_document() | {"data_keys": {"x": "AAAA"}}),
        json.dumps(_document() | {"data_keys": []}),
        json.dumps(_document() | {"peppers": {"1": 5}}),
        json.dumps(_document() | {"token_key": 2}),
        json.dumps(_document() | {"token_keys": {"1": "AAAA"}}),
        json.dumps(_document())[:-40],
    ],
)
def test_a_damaged_file_says_so_and_stays(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.touch(0o600)
    path.write_text(text, "utf-8")

    with pytest.raises(KeyRingError, match="damaged"):
        open_key_ring(path, sealed=None)
    assert path.read_text("utf-8") == text


def test_a_format_of_the_future_is_told_from_damage() -> None:
    with pytest.raises(KeyRingError, match="format"):
        keys.parse_key_ring(json.dumps(_document() | {"format": 2}), name="keys.json")
