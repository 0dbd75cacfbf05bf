# SPDX-License-Identifier: Apache-2.0
"""What people do all the while that an operator works beside the server, and people of long ago."""

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from models.clock import now_ms
from models.db.database import Transaction
from models.db.tables import activations, phone_index
from models.db.tables.activations import Pending
from models.keys import open_key_ring
from models.phone import phone_hash
from tests.support.engines import database_of
from tests.support.harness import Person, Server
from tests.support.people import add_person
from tests.support.pictures import png

STORED = 420  # numbers of three transactions
RETURNING = "13700137000"
CODE = "424242"


async def store_people(data_dir: Path) -> None:
    """People who only have a number, and an activation of one of them."""
    ring, now = open_key_ring(data_dir / "keys.json", sealed=None), now_ms()

    async def unit(tx: Transaction) -> None:
        for number in range(STORED):
            e164 = f"+86138{number:08d}"
            uid = await add_person(tx, now=now, cipher=ring.encrypt_phone(e164))
            await phone_index.insert_digests(tx, uid=uid, digests=ring.phone_digests(phone_hash(e164)))
            digest = ring.phone_digest(phone_hash(e164)).digest
            await activations.insert_one(
                tx,
                Pending(
                    activation_id=f"{number:032x}",
                    phone_digest=digest,
                    phone_cipher=ring.encrypt_phone(e164),
                    nickname="x",
                    cid=None,
                    push_provider="log",
                    device_type="",
                    terms_version=None,
                    code_hmac=ring.code_hmac(f"{number:032x}", e164, CODE),
                    attempts_left=5,
                    sends=1,
                    resend_at=now,
                    created_at=now,
                    expires_at=now + 10 * 60_000,
                    used_at=None,
                ),
            )

    db = await database_of(data_dir).open()
    await db.write(unit)
    await db.close()


def ok(reply: httpx.Response, status: int = 200) -> Any:
    assert reply.status_code == status, reply.text
    return reply.json() if reply.content else None


def start_session(person: Person) -> dict[str, str]:
    return ok(person.request("POST", "/v1/tokens"))  # type: ignore[no-any-return]


def whoami(server: Server, token: str) -> int:
    return server.client.get("/v1/me", headers={"Authorization": f"Bearer {token}"}).status_code


class Life:
    """What people do, in threads of their own until the end of the block: every answer must be the right one."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.ann, self.ben = server.register("Ann"), server.register("Ben")
        self.returning = server.register("Zoe", phone_num=RETURNING)
        assert self.ann.send(self.ben, png(1, 1)).status_code == 201
        self.session = start_session(self.ann)
        self.newcomers: list[Person] = []
        self.rounds: Counter[str] = Counter()
        self.wrong: list[BaseException] = []
        self._ending = threading.Event()
        acts = (self.come, self.come_back, self.find, self.log_in)
        self._threads = [threading.Thread(target=self._repeat, args=(act,)) for act in acts]

    def __enter__(self) -> "Life":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, act: Callable[[], None]) -> None:
        while not self._ending.wait(0.01):
            try:
                act()
            except BaseException as error:  # noqa: BLE001 - told by the test
                self.wrong.append(error)
                return
            self.rounds[act.__name__] += 1

    def come(self) -> None:
        newcomer = self.server.register("New")
        self.newcomers.append(newcomer)
        assert ok(newcomer.request("GET", "/v1/me"))["phone_hash"] == newcomer.phone_hash

    def come_back(self) -> None:
        body = {"region_num": "86", "phone_num": RETURNING, "nickname": "Zoe"}
        activation = ok(self.server.client.post("/v1/register", json=body), 202)["activation_id"]
        back = ok(self.server.client.post(f"/v1/activations/{activation}", json={"code": CODE}), 201)
        assert (back.pop("retrieved"), back["uid"]) == (True, self.returning.uid)
        self.returning = Person(self.server, **back)

    def find(self) -> None:
        [item] = ok(self.ben.request("GET", "/v1/inbox"))["items"]
        assert item["sender_phone"] == self.ann.phone_hash
        hashes = [self.ann.phone_hash, phone_hash("+8613800000000"), phone_hash("+8613800000419")]
        matches = ok(self.ben.request("POST", "/v1/contacts/discover", json={"phone_hashes": hashes}))["matches"]
        assert {match["phone_hash"] for match in matches} == set(hashes)
        query = {"sender_phone": self.ann.phone_hash, "receiver_phone": self.ben.phone_hash}
        assert self.ben.request("HEAD", "/v1/images", params=query).status_code == 200

    def log_in(self) -> None:
        assert whoami(self.server, start_session(self.ann)["access_token"]) == 200
        body = {"refresh_token": self.session["refresh_token"]}
        self.session = ok(self.server.client.post("/v1/tokens/refresh", json=body))
        assert whoami(self.server, self.session["access_token"]) == 200
