# SPDX-License-Identifier: Apache-2.0
"""All that is kept about a person as one JSON document, in pieces: an account may be large, the memory is not."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from models.db.database import Database
from models.db.tables import personal_data
from models.db.tables.personal_data import ACTIVATIONS, SECTIONS, Profile, Section
from models.errors import NotFound
from models.keys import KeyRing
from models.paging import pieces
from models.phone import phone_hash
from models.user import UserId

LISTS = {section.name: section.about for section in (*SECTIONS, ACTIVATIONS)}
"""The lists of the document by name, and what each is about."""

PAGE_BYTES = 24 * 1024
"""A page waits in memory until the client has taken it."""


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Export:
    """Writes the document. `clock` gives milliseconds."""

    db: Database
    keys: KeyRing
    clock: Callable[[], int]

    async def pieces(self, uid: int) -> AsyncGenerator[str, None]:
        """The text of the document; each row as it is when its page is read. Raises NotFound before the first piece."""
        person = UserId(uid)
        profile = await personal_data.find_profile(self.db, uid=person)
        if profile is None:
            raise NotFound
        e164 = self.keys.decrypt_phone(profile.phone_cipher) if profile.phone_cipher else None
        yield f'{{"exported_at": {self.clock()}, "profile": {_text(_profile(profile, e164))}'
        for section in SECTIONS:
            yield f', "{section.name}": ['
            async for piece in _listed(self._pages(section, person)):
                yield piece
            yield "]"
        yield f', "{ACTIVATIONS.name}": ['
        async for piece in _listed(self._activations(e164)):
            yield piece
        yield "]}\n"

    async def _pages(self, section: Section, uid: UserId) -> AsyncIterator[list[dict[str, Any]]]:
        if section.keys is None:
            yield await personal_data.list_all(self.db, section, person=uid)
            return
        keys = await personal_data.list_keys(self.db, section, uid=uid)
        for page in pieces(keys, PAGE_BYTES, itemgetter(1)):
            yield await personal_data.list_page(self.db, section, uid=uid, keys=[key for key, _ in page])

    async def _activations(self, e164: str | None) -> AsyncIterator[list[dict[str, Any]]]:
        digests = self.keys.phone_digests(phone_hash(e164)).values() if e164 else ()
        for digest in digests:
            yield await personal_data.list_all(self.db, ACTIVATIONS, person=digest)


async def _listed(pages: AsyncIterator[list[dict[str, Any]]]) -> AsyncIterator[str]:
    """The rows of all pages as the inside of one JSON list."""
    comma = ""
    async for rows in pages:
        if rows:
            yield comma + ", ".join(_text(_readable(row)) for row in rows)
            comma = ", "


def _profile(profile: Profile, e164: str | None) -> dict[str, Any]:
    return {
        **profile.shown,
        "discoverable": bool(profile.shown["discoverable"]),
        "read_receipts": bool(profile.shown["read_receipts"]),
        "phone": e164,
        "phone_hash": phone_hash(e164) if e164 else None,
        "has_password": profile.has_password,
    }


def _readable(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without what JSON cannot hold: bytes become hex digits."""
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in row.items()}


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)
