# SPDX-License-Identifier: Apache-2.0
"""People straight in a database, as services leave them there: units of writing that make one thing each.

Whoever speaks to a server has `Person` and `Server.register` of the harness.
"""

from models.db.database import Transaction
from models.db.tables import credentials, devices, users
from models.db.tables.devices import DeviceId
from models.keys import new_secret, secret_digest
from models.user import UserId
from services.authentication import Caller


async def add_person(tx: Transaction, *, now: int, cipher: bytes = b"", nickname: str = "x") -> UserId:
    """An account; `cipher` is its sealed number."""
    return await users.insert_user(
        tx, nickname=nickname, region_num="86", phone_cipher=cipher, terms_version=None, now=now
    )


async def add_caller(tx: Transaction, *, now: int, cipher: bytes = b"") -> Caller:
    """An account with a key to it."""
    uid = await add_person(tx, now=now, cipher=cipher)
    return Caller(uid, None, await credentials.insert_ukey(tx, uid=uid, digest=secret_digest(new_secret()), now=now))


async def add_device(
    tx: Transaction, *, uid: UserId, now: int, token: str, provider: str = "log", app: str = "", device_type: str = ""
) -> DeviceId:
    return await devices.register(
        tx, uid=uid, provider=provider, app=app, token=token, device_type=device_type, now=now
    )
