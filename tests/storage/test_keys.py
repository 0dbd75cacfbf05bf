# SPDX-License-Identifier: Apache-2.0
"""Keys and the paths that follow from them."""

import hashlib

import pytest

from storage.keys import is_message_key, message_key, path_of

RANDOM = bytes(range(16))


def test_a_key_is_the_digest_of_its_facts() -> None:
    facts = (7).to_bytes(8) + (8).to_bytes(8) + (9).to_bytes(8) + RANDOM
    assert message_key(7, 8, 9, RANDOM) == hashlib.sha256(facts).hexdigest()


def test_each_fact_changes_the_key() -> None:
    keys = {
        message_key(*facts)
        for facts in [
            (1, 2, 3, RANDOM),
            (2, 1, 3, RANDOM),
            (12, 3, 3, RANDOM),
            (1, 2, 4, RANDOM),
            (1, 2, 3, RANDOM[::-1]),
        ]
    }
    assert len(keys) == 5


@pytest.mark.parametrize("size", [0, 15, 17])
def test_a_key_takes_16_random_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="16 random bytes"):
        message_key(1, 2, 3, bytes(size))


def test_a_path_has_two_levels() -> None:
    key = "abcd" + "0" * 60
    assert path_of(key) == f"ab/cd/{key}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a" * 63,
        "a" * 65,
        "A" * 64,
        "g" * 64,
        "a" * 64 + "\n",
        "../" + "a" * 61,
        "\0" * 64,
        "١" * 64,
        "a" * 63 + ".",
    ],
)
def test_what_is_no_key_has_no_path(text: str) -> None:
    assert not is_message_key(text)
    with pytest.raises(ValueError, match="not a message key"):
        path_of(text)
