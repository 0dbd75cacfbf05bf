# SPDX-License-Identifier: Apache-2.0
"""The states of a key ring while its keys are rotated: pure functions from ring to ring.

A new key comes into the ring, is known everywhere, comes into use, and then the one before it leaves: so that at each
moment every server opens and finds what any of them writes. The newest key is the one with the highest number.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from enum import StrEnum
from secrets import token_bytes

from models.keys import KEY_BYTES, KeyRing


class Kind(StrEnum):
    """What can be rotated: the key that encrypts numbers, the pepper they are found by, the key that signs tokens."""

    PHONES = "phones"
    PEPPER = "pepper"
    TOKENS = "tokens"


RETIRED = 4
"""Of so many token keys something is left: enough, unless keys change more often than images end."""
NUMBERS = frozenset({Kind.PHONES, Kind.PEPPER})


def under_way(ring: KeyRing) -> set[Kind]:
    """The kinds of which the ring has more than one key: their rotation is not finished."""
    keys = {Kind.PHONES: ring.data_keys, Kind.PEPPER: ring.peppers, Kind.TOKENS: ring.token_keys}
    return {kind for kind, of_kind in keys.items() if len(of_kind) > 1}


def begun(ring: KeyRing, kinds: Collection[Kind]) -> KeyRing:
    """The ring with one more key of each kind, which nothing uses yet."""
    return replace(
        ring,
        data_keys=_grown(ring.data_keys) if Kind.PHONES in kinds else ring.data_keys,
        peppers=_grown(ring.peppers) if Kind.PEPPER in kinds else ring.peppers,
        token_keys=_grown(ring.token_keys) if Kind.TOKENS in kinds else ring.token_keys,
        generation=ring.generation + 1,
    )


def sealing(ring: KeyRing) -> KeyRing:
    """The ring that encrypts and signs with its newest keys; numbers are found as before."""
    data_key, token_key = max(ring.data_keys), max(ring.token_keys)
    since = ring.token_since if token_key == ring.token_key else 0
    return replace(ring, data_key=data_key, token_key=token_key, token_since=since, generation=ring.generation + 1)


def signing(ring: KeyRing, since: int) -> KeyRing:
    """The ring that records since when (milliseconds) only the newest token key has signed."""
    return replace(ring, token_since=since, generation=ring.generation + 1)


def finding(ring: KeyRing) -> KeyRing:
    """The ring that finds numbers by its newest pepper."""
    return replace(ring, pepper=max(ring.peppers), generation=ring.generation + 1)


def numbers_reencrypted(ring: KeyRing) -> KeyRing:
    """The ring without the data keys and peppers that are no longer in use."""
    return replace(
        ring,
        data_keys={ring.data_key: ring.data_keys[ring.data_key]},
        peppers={ring.pepper: ring.peppers[ring.pepper]},
        generation=ring.generation + 1,
    )


def tokens_ended(ring: KeyRing, *, at_once: bool = False) -> KeyRing:
    """The ring without the token keys that no longer sign. What is left of them is good for previews, unless they end
    `at_once`: then somebody else may have them.
    """
    retired = {number: ring.picture_key(number) for number in ring.token_keys if number != ring.token_key}
    newest = sorted({**ring.picture_keys, **retired}.items())[-RETIRED:]
    return replace(
        ring,
        picture_keys={} if at_once else dict(newest),
        token_keys={ring.token_key: ring.token_keys[ring.token_key]},
        token_since=0,
        generation=ring.generation + 1,
    )


def _grown(keys: Mapping[int, bytes]) -> dict[int, bytes]:
    return {**keys, max(keys) + 1: token_bytes(KEY_BYTES)}
