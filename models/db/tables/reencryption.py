# SPDX-License-Identifier: Apache-2.0
"""Stored numbers that are still sealed with another key or found by another pepper: which, and their new form.

What is long to find is found outside any transaction; each change then holds only if the number is still what was read.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import LargeBinary, and_, bindparam, exists, func, or_, select, update

from models.db.database import InList, Reader, Statement, Transaction, as_list
from models.db.schema import activations, phone_index, users
from models.keys import ID_BYTES
from models.user import UserId


@dataclass(frozen=True, slots=True)
class Wanted:
    """How numbers are to stand: sealed with the key of this prefix, and found by `version` if they are by `source`."""

    prefix: bytes
    source: int
    version: int


_PREFIX = bindparam("prefix", type_=LargeBinary)
_SEALED_OTHERWISE = func.substr(users.c.phone_cipher, 1, ID_BYTES, type_=LargeBinary) != _PREFIX
_FOUND_OTHERWISE = and_(
    exists().where(phone_index.c.uid == users.c.uid, phone_index.c.version == bindparam("source")),
    ~exists().where(phone_index.c.uid == users.c.uid, phone_index.c.version == bindparam("version")),
)
_DUE = and_(users.c.phone_cipher.is_not(None), or_(_SEALED_OTHERWISE, _FOUND_OTHERWISE))
_COUNT_DUE = Statement(select(func.count()).select_from(users).where(_DUE), bulk=True)
_LIST_DUE = Statement(
    select(users.c.uid).where(_DUE, users.c.uid > bindparam("after")).order_by(users.c.uid).limit(bindparam("at_most")),
    bulk=True,
)
_COUNT_PEOPLE = Statement(select(func.count()).where(users.c.phone_cipher.is_not(None)), bulk=True)
_READ = Statement(
    select(users.c.uid, users.c.phone_cipher)
    .where(InList(users.c.uid, bindparam("uids")), users.c.phone_cipher.is_not(None))
    .order_by(users.c.uid)
)
_RESEAL = Statement(
    update(users)
    .where(users.c.uid == bindparam("this"), users.c.phone_cipher == bindparam("before"))
    .values(phone_cipher=bindparam("cipher"))
)
_COUNT_ACTIVATIONS = Statement(select(func.count()).select_from(activations), bulk=True)
_LIST_ACTIVATIONS = Statement(
    select(activations.c.activation_id, activations.c.phone_cipher, activations.c.phone_digest)
    .where(activations.c.activation_id > bindparam("after"))
    .order_by(activations.c.activation_id)
    .limit(bindparam("at_most"))
)
_RESEAL_ACTIVATION = Statement(
    update(activations)
    .where(activations.c.activation_id == bindparam("this"))
    .values(phone_cipher=bindparam("cipher"), phone_digest=bindparam("digest"))
)
_COUNT_SEALED_OTHERWISE = Statement(
    select(func.count())
    .select_from(activations)
    .where(func.substr(activations.c.phone_cipher, 1, ID_BYTES, type_=LargeBinary) != _PREFIX),
    bulk=True,
)


async def count_people(reader: Reader) -> int:
    """Those with a number."""
    [(count,)] = await reader.read(_COUNT_PEOPLE)
    return int(count)


async def count_due(reader: Reader, wanted: Wanted) -> int:
    """People whose numbers do not stand so."""
    [(count,)] = await reader.read(_COUNT_DUE, prefix=wanted.prefix, source=wanted.source, version=wanted.version)
    return int(count)


async def list_due(reader: Reader, wanted: Wanted, *, after: int, limit: int) -> list[UserId]:
    """Such people, in ascending uid."""
    rows = await reader.read(
        _LIST_DUE, prefix=wanted.prefix, source=wanted.source, version=wanted.version, after=after, at_most=limit
    )
    return [UserId(uid) for (uid,) in rows]


async def read_ciphers(tx: Transaction, uids: Iterable[UserId]) -> list[tuple[UserId, bytes]]:
    """The sealed numbers of those of these people who have one now, in ascending uid."""
    return [(UserId(uid), cipher) for uid, cipher in await tx.read(_READ, uids=as_list(uids))]


async def set_cipher(tx: Transaction, *, uid: UserId, before: bytes, cipher: bytes) -> None:
    """Seal the person's number anew, if it still is what it was before."""
    await tx.execute(_RESEAL, this=uid, before=before, cipher=cipher)


async def count_activations(reader: Reader) -> int:
    [(count,)] = await reader.read(_COUNT_ACTIVATIONS)
    return int(count)


async def list_activations(tx: Transaction, *, after: str, limit: int) -> list[tuple[str, bytes, bytes]]:
    """(activation_id, sealed number, digest), in ascending id."""
    return [
        (name, cipher, digest) for name, cipher, digest in await tx.read(_LIST_ACTIVATIONS, after=after, at_most=limit)
    ]


async def set_activation(tx: Transaction, *, activation_id: str, cipher: bytes, digest: bytes) -> None:
    """An activation's number never changes, only the form in which it stands."""
    await tx.execute(_RESEAL_ACTIVATION, this=activation_id, cipher=cipher, digest=digest)


async def count_activations_due(reader: Reader, *, prefix: bytes) -> int:
    """Activations whose numbers are sealed with another key."""
    [(count,)] = await reader.read(_COUNT_SEALED_OTHERWISE, prefix=prefix)
    return int(count)
