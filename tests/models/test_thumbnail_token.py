# SPDX-License-Identifier: Apache-2.0
"""A token of a preview: nobody changes one, and it lives as long as it says, also when keys are rotated."""

from dataclasses import replace

import pytest

from models.key_rotation import Kind, begun, sealing, tokens_ended
from models.keys import KeyRing, dump_key_ring, new_key_ring, parse_key_ring
from models.thumbnail_token import ThumbnailToken, ThumbnailTokens

TOKEN = ThumbnailToken(42, 7, 1_000)


def rotated(ring: KeyRing, *, at_once: bool = False) -> KeyRing:
    return tokens_ended(sealing(begun(ring, {Kind.TOKENS})), at_once=at_once)


def test_a_token_says_what_was_signed_until_its_end() -> None:
    tokens = ThumbnailTokens(new_key_ring())
    text = tokens.sign(TOKEN)
    assert tokens.read(text, 999) == TOKEN
    assert tokens.read(text, 1_000) is None


def test_no_letter_can_be_changed() -> None:
    tokens = ThumbnailTokens(new_key_ring())
    text = tokens.sign(TOKEN)
    for at in range(len(text)):
        for letter in "AQgw_":
            changed = text[:at] + letter + text[at + 1 :]
            assert changed == text or tokens.read(changed, 0) is None


@pytest.mark.parametrize("text", ["", "A" * 56, "A" * 55 + "=", "é" * 56, " " * 56, "A" * 10_000])
def test_what_is_no_token_is_none(text: str) -> None:
    assert ThumbnailTokens(new_key_ring()).read(text, 0) is None


def test_another_servers_token_is_none() -> None:
    assert ThumbnailTokens(new_key_ring()).read(ThumbnailTokens(new_key_ring()).sign(TOKEN), 0) is None


def test_a_retired_key_still_shows_and_signs_no_more_tokens() -> None:
    first = new_key_ring()
    text = ThumbnailTokens(first).sign(TOKEN)
    ring = rotated(first)
    assert first.token_keys[1] not in {*ring.token_keys.values(), *ring.picture_keys.values()}
    again = parse_key_ring(dump_key_ring(ring), name="ring")
    assert again == ring
    for later in (again, rotated(again)):
        assert ThumbnailTokens(later).read(text, 0) == TOKEN
    assert ThumbnailTokens(ring).sign(TOKEN) != text


def test_keys_that_end_at_once_show_nothing_more() -> None:
    first = new_key_ring()
    text = ThumbnailTokens(first).sign(TOKEN)
    assert ThumbnailTokens(rotated(first, at_once=True)).read(text, 0) is None


def test_few_retired_keys_are_kept() -> None:
    ring = new_key_ring()
    for _ in range(9):
        ring = rotated(ring)
    assert sorted(ring.picture_keys) == [6, 7, 8, 9]


def test_a_ring_of_the_version_before_is_read() -> None:
    ring = new_key_ring()
    text = dump_key_ring(ring).replace(',\n  "picture_keys": {}', "")
    assert "picture_keys" not in text
    assert parse_key_ring(text, name="ring") == replace(ring, picture_keys={})
