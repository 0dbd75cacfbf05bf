# SPDX-License-Identifier: Apache-2.0
"""Keys rotated beside a server that people use all the while, cut off at every boundary, and what is left then."""

import asyncio
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest

from models.access_token import LIFETIME_MS, AccessTokens
from models.clock import now_ms
from models.db import activations, migrate, phone_index, users
from models.db.activations import Pending
from models.db.database import Transaction
from models.db.sqlite import SqliteDatabase
from models.key_lock import held
from models.keys import KeyRing, open_key_ring, read_key_ring
from models.phone import phone_hash
from models.rotation import Kind, under_way
from models.user import UserId
from ops.backup import backup, places
from ops.doctor import doctor
from ops.keys import keys
from ops.opening import settings
from ops.restore import restore
from ops.users import users as users_command
from services.backup import back_up
from services.rotation import TOKENS_MS, Rotated, Rotation
from tests.harness import ROOT, Person, Server, running, wait_until
from tests.ops.commands import asked, invoke, refused
from tests.ops.killing import RING, ROWS
from tests.pictures import png

STORED = 420  # numbers of three transactions
RETURNING = "13700137000"
CODE = "424242"


def show(data_dir: Path, who: str) -> int:
    uid = asked(users_command, data_dir, "show", who)["uid"]
    assert isinstance(uid, int)
    return uid


async def store_people(data_dir: Path) -> None:
    """People who only have a number, and an activation of one of them."""
    migrate.run(data_dir / "glimpse.db")
    ring, now = open_key_ring(data_dir / "keys.json", sealed=None), now_ms()

    async def unit(tx: Transaction) -> None:
        for number in range(STORED):
            e164 = f"+86138{number:08d}"
            uid = await users.insert_user(
                tx, nickname="x", region_num="86", phone_cipher=ring.encrypt_phone(e164), terms_version=None, now=now
            )
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

    db = SqliteDatabase(data_dir / "glimpse.db")
    await db.write(unit)
    await db.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("keys")
    (folder / "data").mkdir()
    asyncio.run(store_people(folder / "data"))
    set_ = {"limits": {"enabled": False}, "activation": {"test_numbers": {f"+86{RETURNING}": CODE}}}
    with running(folder, set_) as server:
        yield server
        assert server.failures() == []


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


def only(of: Mapping[int, bytes]) -> int:
    [number] = of
    return number


def assert_turned(data_dir: Path, ring: KeyRing) -> None:
    """Every stored number is sealed by the ring's one key, and found by its one pepper."""
    prefix, version = only(ring.data_keys).to_bytes(2, "big"), only(ring.peppers)
    with apsw.Connection(str(data_dir / "glimpse.db"), flags=apsw.SQLITE_OPEN_READONLY) as db:
        rows: list[Any] = db.execute("SELECT uid, phone_cipher FROM users WHERE phone_cipher IS NOT NULL").fetchall()
        sealed: list[Any] = db.execute("SELECT phone_cipher, phone_digest FROM activations").fetchall()
        index: list[Any] = db.execute("SELECT uid, version, digest FROM phone_index").fetchall()
    assert {cipher[:2] for _, cipher in rows} == {cipher[:2] for cipher, _ in sealed} == {prefix}
    found = {(uid, *ring.phone_digest(phone_hash(ring.decrypt_phone(cipher)))) for uid, cipher in rows}
    assert found == set(index)
    assert len(index) == len(rows) >= STORED
    assert {only_version for _, only_version, _ in index} == {version}
    assert all(ring.phone_digest(phone_hash(ring.decrypt_phone(cipher))).digest == digest for cipher, digest in sealed)


def test_killed_at_every_boundary_it_completes_and_nobody_notices(server: Server) -> None:
    path = server.data_dir / "keys.json"
    first = read_key_ring(path)
    with Life(server) as life:
        old = start_session(life.ann)["access_token"]
        wait_until(lambda: bool(life.wrong) or len(life.rounds) == 4, 60, "a round of each")
        command = [sys.executable, "-m", "tests.ops.killing", str(server.data_dir)]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
        assert ended.returncode == 0, ended.stderr
        rounds = Counter(life.rounds)
        wait_until(lambda: bool(life.wrong) or all(life.rounds[act] > rounds[act] for act in rounds), 60, "a round")
    assert life.wrong == []
    # All of the ring's six changes were met, and rows of each table between them.
    deaths = json.loads(ended.stdout)
    assert deaths == 3 * RING + 3 * (ROWS + RING)

    last = read_key_ring(path)
    assert under_way(last) == set()
    assert_turned(server.data_dir, last)
    for name in ("data_keys", "peppers", "token_keys"):
        assert not set(getattr(first, name).values()) & set(getattr(last, name).values())
    assert [file.name for file in server.data_dir.glob("*keys.json*")] == ["keys.json"]
    assert path.stat().st_mode & 0o777 == 0o600

    for person in (life.ann, life.ben, life.returning, *life.newcomers):
        assert ok(person.request("GET", "/v1/me"))["phone_hash"] == person.phone_hash
    assert whoami(server, old) == 401
    confirmed = server.client.post(f"/v1/activations/{7:032x}", json={"code": CODE})
    assert (ok(confirmed, 201)["retrieved"], confirmed.json()["uid"]) == (True, 8)


def test_a_rotation_of_some_keys_leaves_the_others_and_one_of_tokens_can_end_the_old_at_once(server: Server) -> None:
    path = server.data_dir / "keys.json"
    first, ann = read_key_ring(path), server.register("Ann")
    token = start_session(ann)["access_token"]
    said = asked(keys, server.data_dir, "rotate", "--dry-run", "--phones")
    assert (said["kinds"], said["resumed"], said["numbers"] > STORED) == (["phones"], False, True)
    assert read_key_ring(path) == first

    done = asked(keys, server.data_dir, "rotate", "--phones", "--yes")
    assert (done["kinds"], done["resumed"], done["dropped_digests"]) == (["phones"], False, 0)
    assert done["numbers"] == said["numbers"]
    second = read_key_ring(path)
    assert (second.peppers, second.token_keys) == (first.peppers, first.token_keys)
    assert only(second.data_keys) == only(first.data_keys) + 1
    assert_turned(server.data_dir, second)
    assert whoami(server, token) == 200

    done = asked(keys, server.data_dir, "rotate", "--tokens", "--at-once", "--yes")
    assert (done["kinds"], done["numbers"]) == (["tokens"], 0)
    assert (whoami(server, token), ann.request("GET", "/v1/me").status_code) == (401, 200)
    assert whoami(server, start_session(ann)["access_token"]) == 200
    assert read_key_ring(path).data_keys == second.data_keys


def test_a_ring_that_cannot_be_read_leaves_the_server_with_the_one_it_has(server: Server) -> None:
    path, ann = server.data_dir / "keys.json", server.register("Ann")
    text, damaged = path.read_text(), path.with_name("damaged")
    damaged.touch(0o600)
    damaged.write_text(text[:-40])
    damaged.rename(path)
    wait_until(lambda: "cannot be followed" in server.log.read_text(), 60, "a complaint")
    assert "damaged" in refused(keys, server.data_dir, "rotate", "--yes")
    assert ok(ann.request("GET", "/v1/me"))["phone_hash"] == ann.phone_hash
    assert server.register("Ben").uid > ann.uid
    path.write_text(text)
    assert asked(keys, server.data_dir, "rotate", "--tokens", "--at-once", "--yes")["kinds"] == ["tokens"]
    server.provoked |= {line for line in server.log.read_text().splitlines() if "cannot be followed" in line}


class CutOff(Exception):
    pass


def cut_off(data_dir: Path, at: str, *, server_runs: bool = False) -> None:
    """Rotate all keys of a stopped server until this step is told of."""

    def say(step: str, _done: int, _total: int) -> None:
        if step == at:
            raise CutOff

    with pytest.raises(CutOff):
        turn(data_dir, say, server_runs=server_runs)


def turn(
    data_dir: Path,
    say: Callable[[str, int, int], None] = lambda _step, _done, _total: None,
    clock: Callable[[], int] = now_ms,
    *,
    server_runs: bool = False,
) -> Rotated:
    async def rotate() -> Rotated:
        db = SqliteDatabase(data_dir / "glimpse.db")
        try:
            return await Rotation(
                db=db,
                path=data_dir / "keys.json",
                server_runs=lambda: server_runs,
                clock=clock,
                say=say,
                confirm_seconds=0.2,
            ).run(list(Kind))
        finally:
            await db.close()

    return asyncio.run(rotate())


def a_number(data_dir: Path) -> str:
    with apsw.Connection(str(data_dir / "glimpse.db"), flags=apsw.SQLITE_OPEN_READONLY) as db:
        rows: list[Any] = db.execute("SELECT phone_cipher FROM users WHERE uid = 1").fetchall()
    return read_key_ring(data_dir / "keys.json").decrypt_phone(rows[0][0])


@pytest.mark.parametrize("step", ["numbers", "old digests", "old tokens end"])
def test_a_backup_from_the_middle_of_a_rotation_opens_and_goes_on(stopped: Path, tmp_path: Path, step: str) -> None:
    number = a_number(stopped)
    cut_off(stopped, step)
    asked(backup, stopped, tmp_path / "backup", "--with-images")
    again = tmp_path / "again"
    asked(restore, again, tmp_path / "backup")
    for data_dir in (stopped, again):
        assert show(data_dir, number) == 1
        found = {check["name"]: check["advice"] for check in asked(doctor, data_dir)["checks"]}
        assert found["keys"] == (
            "python -m ops keys rotate" if under_way(read_key_ring(data_dir / "keys.json")) else ""
        )
        done = asked(keys, data_dir, "rotate", "--tokens", "--at-once", "--yes")
        assert done["resumed"]
        ring = read_key_ring(data_dir / "keys.json")
        assert (under_way(ring), only(ring.peppers), show(data_dir, number)) == (set(), 2, 1)
    assert not asked(keys, again, "rotate", "--tokens", "--at-once", "--yes")["resumed"]


def test_tokens_of_the_old_key_are_good_until_they_end_and_not_a_moment_longer(stopped: Path) -> None:
    path, began = stopped / "keys.json", now_ms()
    old, ahead = AccessTokens(read_key_ring(path)), [0]
    clocks: list[int] = []

    def say(step: str, _done: int, _total: int) -> None:
        if step == "old tokens end":
            now = began + ahead[0]
            token, _ = old.sign(UserId(1), "0f" * 16, now - ahead[0])
            good = AccessTokens(read_key_ring(path)).read(token, now) is not None
            assert good == (ahead[0] < LIFETIME_MS)
            clocks.append(ahead[0])
            ahead[0] = TOKENS_MS - 10 if not ahead[0] else TOKENS_MS

    done = turn(stopped, say, lambda: began + ahead[0])
    assert (set(done.kinds), clocks) == (set(Kind), [0, TOKENS_MS - 10])
    assert only(read_key_ring(path).token_keys) == 2


def test_a_number_that_does_not_open_keeps_every_key(stopped: Path) -> None:
    with apsw.Connection(str(stopped / "glimpse.db")) as db:
        [[cipher]] = db.execute("SELECT phone_cipher FROM users WHERE uid = 1").fetchall()
        db.execute("UPDATE users SET phone_cipher = ? WHERE uid = 1", (cipher[:-1] + bytes([cipher[-1] ^ 1]),))
    complaint = refused(keys, stopped, "rotate", "--yes", "--at-once")
    assert "1 stored numbers do not open, that of person 1 is the first" in complaint
    ring = read_key_ring(stopped / "keys.json")
    assert (under_way(ring), ring.pepper, ring.data_key) == (set(Kind), 1, 2)
    with apsw.Connection(str(stopped / "glimpse.db")) as db:
        db.execute("UPDATE users SET phone_cipher = ? WHERE uid = 1", (cipher,))
    assert asked(keys, stopped, "rotate", "--yes", "--at-once")["resumed"]
    assert under_way(read_key_ring(stopped / "keys.json")) == set()


def test_a_server_that_does_not_confirm_stops_it_before_anything_is_used(stopped: Path) -> None:
    before = read_key_ring(stopped / "keys.json")
    complaint = ""
    try:
        turn(stopped, server_runs=True)
    except Exception as error:  # noqa: BLE001 - its text is looked at
        complaint = str(error)
    assert "has not taken the changed key ring" in complaint
    ring = read_key_ring(stopped / "keys.json")
    assert (ring.data_key, ring.pepper, ring.token_key) == (before.data_key, before.pepper, before.token_key)
    assert under_way(ring) == set(Kind)


def test_backup_restore_and_rotation_keep_out_of_each_others_way(stopped: Path, tmp_path: Path) -> None:
    path, before = stopped / "keys.json", (stopped / "keys.json").read_bytes()
    made = asked(backup, stopped, tmp_path / "backup")
    assert made["folder"]
    with held(path, to_change=False):
        assert "is in use by keys rotate" in refused(keys, stopped, "rotate", "--yes")
        assert "is in use by keys rotate" in refused(restore, stopped, tmp_path / "backup", "--force")
    assert path.read_bytes() == before

    holding = held(path, to_change=True)
    holding.__enter__()
    said: list[str] = []

    def say(what: str) -> None:
        if what == "waiting for keys rotate" and not said:
            holding.__exit__(None, None, None)
        said.append(what)

    asyncio.run(back_up(places(settings(None, stopped)), tmp_path / "later", with_images=False, now=1, say=say))
    assert said[0] == "waiting for keys rotate"
    assert (tmp_path / "later" / "manifest.json").exists()


def test_nothing_is_rotated_without_a_yes_or_without_a_ring(stopped: Path, tmp_path: Path) -> None:
    before = (stopped / "keys.json").read_bytes()
    asking = invoke(keys, stopped, "rotate", typed="n\n")
    assert (asking.exit_code, asking.stdout) == (1, "")
    assert "Rotate phones, pepper, tokens; 2 phone numbers are gone through. Go on?" in asking.stderr
    assert (stopped / "keys.json").read_bytes() == before
    assert "there is no database" in refused(keys, tmp_path, "rotate", "--yes")
    (stopped / "keys.json").unlink()
    assert "keys.json: No such file" in refused(keys, stopped, "rotate", "--yes")
    assert not (stopped / "keys.json").exists()


def test_a_terminal_sees_how_far_it_is(stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    shown = invoke(keys, stopped, "rotate", "--yes", "--phones", "--pepper")
    assert (shown.exit_code, "━" in shown.stderr, "old digests" in shown.stderr) == (0, True, True)
    assert shown.stdout == "phones, pepper: rotated; 2 numbers and 0 activations turned, 2 old digests dropped\n"
