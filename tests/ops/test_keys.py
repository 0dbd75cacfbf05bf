# SPDX-License-Identifier: Apache-2.0
"""Keys rotated beside a server that people use all the while, cut off at every boundary, and what is left then."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from models.key_rotation import under_way
from models.keys import KeyRing, read_key_ring
from models.phone import phone_hash
from ops.keys import Lines, keys
from tests.ops.commands import asked, invoke, refused
from tests.ops.killing import RING, ROWS
from tests.ops.life import CODE, RETURNING, STORED, Life, ok, start_session, store_people, whoami
from tests.support import ROOT
from tests.support.engines import NewFolder, database_of
from tests.support.harness import Server, running, wait_until


def only(of: Mapping[int, bytes]) -> int:
    [number] = of
    return number


@pytest.fixture(scope="module")
def server(new_folder: NewFolder) -> Iterator[Server]:
    folder = new_folder("keys")
    (folder / "data").mkdir()
    asyncio.run(store_people(folder / "data"))
    set_ = {"limits": {"enabled": False}, "activation": {"test_numbers": {f"+86{RETURNING}": CODE}}}
    with running(folder, set_) as server:
        yield server
        assert server.failures() == []


def assert_turned(data_dir: Path, ring: KeyRing) -> None:
    """Every stored number is sealed by the ring's one key, and found by its one pepper."""
    prefix, version = only(ring.data_keys).to_bytes(2, "big"), only(ring.peppers)
    database = database_of(data_dir)
    rows = database.rows("SELECT uid, phone_cipher FROM users WHERE phone_cipher IS NOT NULL")
    sealed = database.rows("SELECT phone_cipher, phone_digest FROM activations")
    index = database.rows("SELECT uid, version, digest FROM phone_index")
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
        wait_until(lambda: bool(life.wrong) or len(life.rounds) == 4, what="a round of each")
        command = [sys.executable, "-m", "tests.ops.killing", str(server.data_dir), server.database.url]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
        assert ended.returncode == 0, ended.stderr
        rounds = Counter(life.rounds)
        wait_until(lambda: bool(life.wrong) or all(life.rounds[act] > rounds[act] for act in rounds), what="a round")
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
    wait_until(lambda: "cannot be followed" in server.log.read_text(), what="a complaint")
    assert "damaged" in refused(keys, server.data_dir, "rotate", "--yes")
    assert ok(ann.request("GET", "/v1/me"))["phone_hash"] == ann.phone_hash
    assert server.register("Ben").uid > ann.uid
    path.write_text(text)
    assert asked(keys, server.data_dir, "rotate", "--tokens", "--at-once", "--yes")["kinds"] == ["tokens"]
    server.provoked |= {line for line in server.log.read_text().splitlines() if "cannot be followed" in line}


def test_a_rotation_without_a_terminal_tells_of_each_step_and_of_a_long_one_now_and_then() -> None:
    told: list[str] = []
    seconds = iter([0.0, 1.0, 9.9, 10.0, 11.0, 20.9, 21.0])
    say = Lines(told.append, lambda: next(seconds))
    say("waiting for the servers", 0, 0)
    for done in (200, 400, 600, 800, 1000):
        say("numbers", done, 1000)
    say("old digests", 5, 5)
    assert told == ["waiting for the servers", "numbers: 200 of 1000", "numbers: 800 of 1000", "old digests: 5 of 5"]


def test_a_rotation_that_nobody_watches_is_not_silent(new_folder: NewFolder) -> None:
    folder = new_folder("watched")
    (folder / "data").mkdir()
    asyncio.run(store_people(folder / "data"))
    with running(folder) as server:
        done = invoke(keys, server.data_dir, "rotate", "--yes", "--phones", "--json")
    assert (done.exit_code, json.loads(done.stdout)["numbers"]) == (0, STORED)
    assert f"numbers: 200 of {STORED}" in done.stderr.splitlines()
