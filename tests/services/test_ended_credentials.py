# SPDX-License-Identifier: Apache-2.0
"""Who was let in a moment ago and is not any more is shown nothing of what waits for them."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from models.clock import DAY_MS
from models.db.database import Transaction
from models.db.tables import credentials, refresh_tokens, users
from models.errors import NotFound, Unauthenticated
from models.ids import MAX_ID
from models.paging import IdRange
from models.user import UserId
from services.authentication import Caller
from storage.keys import message_key
from tests.services.town import Town, open_town
from tests.support.engines import Engine

FAMILY = "family"
PAGE = IdRange(0, MAX_ID, 50)
End = Callable[..., Coroutine[Any, Any, None]]


async def log_in(town: Town, uid: UserId) -> Caller:
    """A caller by a token."""
    ends = town.clock() + DAY_MS
    await town.db.write(
        partial(
            refresh_tokens.insert_token, uid=uid, family=FAMILY, digest=bytes(32), now=town.clock(), expires_at=ends
        )
    )
    return Caller(uid, None, family=FAMILY)


async def end_ukeys(tx: Transaction, *, uid: UserId) -> None:
    await credentials.delete_all(tx, uid=uid)


async def end_session(tx: Transaction, *, uid: UserId) -> None:
    await refresh_tokens.end_family(tx, uid=uid, family=FAMILY)


async def disable(tx: Transaction, *, uid: UserId) -> None:
    await users.set_disabled(tx, uid=uid, at=1)


@pytest.mark.anyio
@pytest.mark.parametrize(("by_token", "end"), [(False, end_ukeys), (True, end_session), (False, disable)])
async def test_what_waits_is_shown_to_whom_the_credential_still_lets_in(
    engine: Engine, tmp_path: Path, by_token: bool, end: End
) -> None:
    async with open_town(engine, tmp_path) as town:
        ann, ben = await town.newcomers(2)
        image = await town.send(ann, receiver_uid=ben)
        caller = await log_in(town, ben) if by_token else town.callers[ben]
        assert (await town.reading.find_image_for(caller, image.message_key)).receiver_uid == ben
        assert len((await town.reading.inbox(caller, PAGE)).items) == 1

        await town.db.write(partial(end, uid=ben))

        for key in (image.message_key, message_key(1, 2, 3, bytes(16)), "no key"):
            with pytest.raises(Unauthenticated):
                await town.reading.find_image_for(caller, key)
        with pytest.raises(Unauthenticated):
            await town.reading.inbox(caller, PAGE)


@pytest.mark.anyio
async def test_whoever_is_let_in_learns_that_nothing_waits_or_that_it_is_not_theirs(
    engine: Engine, tmp_path: Path
) -> None:
    async with open_town(engine, tmp_path) as town:
        ann, ben, eve = await town.newcomers(3)
        image = await town.send(ann, receiver_uid=ben)
        assert (await town.reading.inbox(town.callers[eve], PAGE)).items == []
        with pytest.raises(NotFound):
            await town.reading.find_image_for(town.callers[eve], image.message_key)
        of_another = replace(town.callers[ben], credential_id=town.callers[eve].credential_id)
        with pytest.raises(Unauthenticated):
            await town.reading.find_image_for(of_another, image.message_key)
