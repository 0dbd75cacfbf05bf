# SPDX-License-Identifier: Apache-2.0
"""An outbox full of notifications, and a relay of its own over it: what the benchmarks of pushing start from."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, insert

from app.providers import push_settings, push_tools
from config.load import Config
from httpclient.endpoints import Endpoints
from models.clock import DAY_MS, now_ms
from models.db.database import Statement, Transaction
from models.db.schema import deliveries, messages, users
from models.db.sqlite import migrate
from models.db.sqlite.engine import SqliteDatabase
from models.db.tables import devices, outbox
from models.db.tables.outbox import Kind, LaneKey
from models.keys import open_key_ring
from models.phone import phone_hash
from models.user import UserId
from push.base import Provider
from push.registry import build
from push.relay import Relay

DATABASE = "glimpse.db"
ROWS_PER_UNIT = 1000
_INSERT_PERSON = Statement(
    insert(users).values(nickname="x", region_num="86", phone_cipher=bindparam("cipher"), reg_time=1, seen_at=1)
)
_INSERT_MESSAGE = Statement(
    insert(messages).values(
        message_key=bindparam("key"),
        sender_uid=bindparam("sender"),
        receiver_uid=bindparam("receiver"),
        send_time=bindparam("now"),
        exist=1,
        filetype="image/jpeg",
        size=1,
        caption="",
        expires_at=bindparam("until"),
        stored=0,
    )
)
_INSERT_DELIVERY = Statement(
    insert(deliveries).values(
        message_id=bindparam("message"),
        receiver_uid=bindparam("receiver"),
        sender_uid=bindparam("sender"),
        state="pending",
    )
)


@dataclass(frozen=True, slots=True)
class Filled:
    """What is to be pushed: lane, place of the token in its list, and message."""

    lane: LaneKey
    device: int
    message_id: int


async def fill(
    folder: Path, tokens: Mapping[LaneKey, Sequence[str]], messages_each: int, *, over_ms: int = 0
) -> list[Filled]:
    """So many messages for each device, each committed as a sent image's; the devices take turns.

    They are as old as if they had been sent evenly over the last `over_ms` milliseconds.
    """
    migrate.run(folder / DATABASE)
    keys = open_key_ring(folder / "keys.json", sealed=None)
    db = SqliteDatabase(folder / DATABASE)
    cipher = keys.encrypt_phone("+8613800138000")
    places = [(lane, number, token) for lane, its in tokens.items() for number, token in enumerate(its)]

    async def register(tx: Transaction) -> tuple[UserId, list[UserId]]:
        sender = UserId((await tx.execute(_INSERT_PERSON, cipher=cipher)).last_id)
        people = []
        for (provider, app), _, token in places:
            uid = UserId((await tx.execute(_INSERT_PERSON, cipher=cipher)).last_id)
            place = {"provider": provider, "app": app, "token": token, "device_type": "ANDROID"}
            await devices.register(tx, uid=uid, now=now_ms() - over_ms - 1, **place)
            people.append(uid)
        return sender, people

    sender, people = await db.write(register)
    wanted = [
        (lane, number, uid, turn)
        for turn in range(messages_each)
        for (lane, number, _), uid in zip(places, people, strict=True)
    ]
    filled: list[Filled] = []
    ended = now_ms()
    for first in range(0, len(wanted), ROWS_PER_UNIT):

        async def send(tx: Transaction, first: int = first) -> list[Filled]:
            made = []
            for place, (lane, number, uid, turn) in enumerate(wanted[first : first + ROWS_PER_UNIT], first):
                now = ended - over_ms + over_ms * place // len(wanted)
                both = {"sender": sender, "receiver": uid}
                key = f"{uid:032x}{turn:032x}"
                inserted = await tx.execute(_INSERT_MESSAGE, **both, key=key, now=now, until=now + 7 * DAY_MS)
                await tx.execute(_INSERT_DELIVERY, **both, message=inserted.last_id)
                await outbox.insert_for_person(
                    tx,
                    kind=Kind.MESSAGE,
                    message_id=inserted.last_id,
                    uid=uid,
                    now=now,
                    give_up_at=now + 3 * DAY_MS,
                )
                made.append(Filled(lane, number, inserted.last_id))
            return made

        filled += await db.write(send)
    await db.close()
    return filled


def path_of(config: Config) -> Path:
    """The file of the database that `fill` has filled."""
    return config.data_dir / DATABASE


@asynccontextmanager
async def relay_over(config: Config, *, http_seconds: float | None = None, **options: Any) -> AsyncIterator[Relay]:
    """A relay over the SQLite database of `config`; `http_seconds` shortens how long a vendor is waited for."""
    db = SqliteDatabase(path_of(config))
    keys = open_key_ring(config.data_dir / "keys.json", sealed=None)
    endpoints = Endpoints(config.push.allow_endpoints)
    tools = push_tools(config, endpoints)
    if http_seconds is not None:
        tools = replace(tools, answer_seconds=http_seconds)
    providers: dict[LaneKey, Provider] = build(push_settings(config), tools)
    only_batch = options.pop("batch_size", None)
    for provider in providers.values():
        provider.batch_size = only_batch or provider.batch_size
    try:
        yield Relay(db, providers, lambda cipher: phone_hash(keys.decrypt_phone(cipher)), **options)
    finally:
        for provider in providers.values():
            await provider.close()
        endpoints.close()
        await db.close()
