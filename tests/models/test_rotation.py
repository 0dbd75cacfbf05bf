# SPDX-License-Identifier: Apache-2.0
"""How the key ring changes step by step: what any state writes, its neighbours read."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from models import key_rotation
from models.access_token import AccessTokens
from models.key_lock import RingInUse, held
from models.key_rotation import Kind
from models.keys import KeyRing, KeyRingError, dump_key_ring, new_key_ring, parse_key_ring
from models.user import UserId

NOW = 1_800_000_000_000
E164, HASH, FAMILY = "+8613800138000", "ab" * 32, "0f" * 16


def states(ring: KeyRing) -> Iterator[KeyRing]:
    """A whole rotation of everything."""
    yield ring
    yield (ring := key_rotation.begun(ring, list(Kind)))
    yield (ring := key_rotation.sealing(ring))
    yield (ring := key_rotation.signing(ring, NOW))
    yield (ring := key_rotation.finding(ring))
    yield (ring := key_rotation.numbers_reencrypted(ring))
    yield key_rotation.tokens_ended(ring)


def test_what_one_state_writes_the_states_beside_it_read() -> None:
    for before, after in pairwise(states(new_key_ring())):
        assert after.generation == before.generation + 1
        assert parse_key_ring(dump_key_ring(after), name="") == after
        tokens = {ring.generation: AccessTokens(ring) for ring in (before, after)}
        for writer, reader in ((before, after), (after, before)):
            digest = reader.phone_digest(HASH)
            # A token of the key that is dropped last is over by then, and a number sealed by it is sealed anew.
            if len(reader.data_keys) >= len(writer.data_keys) or reader.data_key == writer.data_key:
                assert reader.decrypt_phone(writer.encrypt_phone(E164)) == E164
            assert writer.phone_digests(HASH)[digest.version] == digest.digest
            token, _ = tokens[writer.generation].sign(UserId(7), FAMILY, NOW)
            assert tokens[reader.generation].read(token, NOW) is not None


def test_a_whole_rotation_leaves_new_keys_alone_and_the_code_key() -> None:
    first = new_key_ring()
    *between, last = states(first)
    assert (*last.data_keys, *last.peppers, *last.token_keys) == (2, 2, 2)
    assert (last.data_key, last.pepper, last.token_key, last.token_since) == (2, 2, 2, 0)
    for name in ("data_keys", "peppers", "token_keys"):
        assert not set(getattr(first, name).values()) & set(getattr(last, name).values())
    assert last.code_key == first.code_key
    assert key_rotation.under_way(first) == key_rotation.under_way(last) == set()
    assert [key_rotation.under_way(ring) for ring in between[1:]] == [set(Kind)] * 4 + [{Kind.TOKENS}]


@pytest.mark.parametrize("kind", Kind)
def test_of_one_kind_alone_the_others_stay(kind: Kind) -> None:
    first = new_key_ring()
    ring = key_rotation.begun(first, [kind])
    assert key_rotation.under_way(ring) == {kind}
    ring = key_rotation.tokens_ended(key_rotation.numbers_reencrypted(key_rotation.finding(key_rotation.sealing(ring))))
    changed = {
        Kind.PHONES: ring.data_keys != first.data_keys,
        Kind.PEPPER: ring.peppers != first.peppers,
        Kind.TOKENS: ring.token_keys != first.token_keys,
    }
    assert {each for each, is_changed in changed.items() if is_changed} == {kind}


def test_a_server_follows_its_ring_and_opens_what_it_read_before_a_key_went() -> None:
    history = list(states(new_key_ring()))
    for at, start in enumerate(history):
        ring = replace(start)
        tokens, sealed = AccessTokens(ring), ring.encrypt_phone(E164)
        token, _ = tokens.sign(UserId(7), FAMILY, NOW)
        for state in history[at:]:
            ring.adopt(state)
            assert ring.decrypt_phone(sealed) == ring.decrypt_phone(ring.encrypt_phone(E164)) == E164
            assert (ring.pepper, ring.peppers, ring.generation) == (state.pepper, state.peppers, state.generation)
            assert (tokens.read(token, NOW) is not None) == (start.token_key in state.token_keys)


@pytest.mark.parametrize("change", [{"code_key": b"x" * 32}, {"generation": 0}])
def test_a_ring_from_elsewhere_or_from_before_is_not_adopted(change: dict[str, object]) -> None:
    ring = new_key_ring()
    as_it_was = replace(ring)
    with pytest.raises(KeyRingError, match="restart"):
        ring.adopt(replace(ring, **change))  # type: ignore[arg-type]  # each is one field's value
    assert ring == as_it_was


@pytest.mark.parametrize(("first", "second", "both"), [(0, 0, True), (0, 1, False), (1, 0, False), (1, 1, False)])
def test_who_changes_a_ring_is_alone_and_those_who_rely_on_it_are_not(
    tmp_path: Path, first: int, second: int, *, both: bool
) -> None:
    path = tmp_path / "keys.json"
    with held(path, to_change=bool(first)):
        if both:
            with held(path, to_change=bool(second)):
                pass
        else:
            with pytest.raises(RingInUse, match="is in use by"), held(path, to_change=bool(second)):
                pass
    with held(path, to_change=True):
        pass
