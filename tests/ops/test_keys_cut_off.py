# SPDX-License-Identifier: Apache-2.0
"""A rotation without a server: cut off, backed up in the middle, refused, and waiting for old tokens to end."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from models.access_token import LIFETIME_MS, AccessTokens
from models.clock import now_ms
from models.key_lock import held
from models.key_rotation import Kind, under_way
from models.keys import read_key_ring
from models.user import UserId
from ops.backup import backup, places
from ops.doctor import doctor
from ops.keys import keys
from ops.opening import settings
from ops.restore import restore
from ops.users import users as users_command
from services.maintenance.backup import back_up
from services.maintenance.key_rotation import TOKENS_MS, Rotated, Rotation
from tests.ops.commands import asked, invoke, refused
from tests.support.engines import ON_SQLITE, Engine, database_of


def show(data_dir: Path, who: str) -> int:
    uid = asked(users_command, data_dir, "show", who)["uid"]
    assert isinstance(uid, int)
    return uid


def only(of: Mapping[int, bytes]) -> int:
    [number] = of
    return number


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
        db = await database_of(data_dir).open()
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
    [(cipher,)] = database_of(data_dir).rows("SELECT phone_cipher FROM users WHERE uid = 1")
    return read_key_ring(data_dir / "keys.json").decrypt_phone(cipher)


@ON_SQLITE
@pytest.mark.parametrize("step", ["numbers", "old digests", "seconds until old tokens end"])
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
        if step == "seconds until old tokens end":
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
    database = database_of(stopped)
    [(cipher,)] = database.rows("SELECT phone_cipher FROM users WHERE uid = 1")
    database.execute("UPDATE users SET phone_cipher = ? WHERE uid = 1", cipher[:-1] + bytes([cipher[-1] ^ 1]))
    cut_off = invoke(keys, stopped, "rotate", "--yes", "--at-once")
    assert (cut_off.exit_code, cut_off.stdout) == (2, "")
    complaint = cut_off.stderr.splitlines()[-1]
    assert "1 stored numbers do not open, that of person 1 is the first" in complaint
    ring = read_key_ring(stopped / "keys.json")
    assert (under_way(ring), ring.pepper, ring.data_key) == (set(Kind), 1, 2)
    database.execute("UPDATE users SET phone_cipher = ? WHERE uid = 1", cipher)
    assert asked(keys, stopped, "rotate", "--yes", "--at-once")["resumed"]
    assert under_way(read_key_ring(stopped / "keys.json")) == set()


def test_a_server_that_does_not_confirm_stops_it_before_anything_is_used(stopped: Path) -> None:
    before = read_key_ring(stopped / "keys.json")
    database_of(stopped).execute("INSERT INTO servers (server_id, key_generation, started_at) VALUES ('it', 0, 0)")
    complaint = ""
    try:
        turn(stopped, server_runs=True)
    except Exception as error:  # noqa: BLE001 - its text is looked at
        complaint = str(error)
    assert "have not taken the changed key ring" in complaint
    ring = read_key_ring(stopped / "keys.json")
    assert (ring.data_key, ring.pepper, ring.token_key) == (before.data_key, before.pepper, before.token_key)
    assert under_way(ring) == set(Kind)


@ON_SQLITE
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


def test_nothing_is_rotated_without_a_yes_a_database_or_a_ring(stopped: Path, tmp_path: Path, engine: Engine) -> None:
    before = (stopped / "keys.json").read_bytes()
    asking = invoke(keys, stopped, "rotate", typed="n\n")
    assert (asking.exit_code, asking.stdout) == (1, "")
    assert "Rotate phones, pepper, tokens; 2 phone numbers are gone through. Go on?" in asking.stderr
    assert (stopped / "keys.json").read_bytes() == before
    none = "there is no database" if engine.name == "sqlite" else "python -m ops migrate"
    assert none in refused(keys, tmp_path, "rotate", "--yes")
    (stopped / "keys.json").unlink()
    assert "keys.json: No such file" in refused(keys, stopped, "rotate", "--yes")
    assert not (stopped / "keys.json").exists()


def test_a_terminal_sees_how_far_it_is(stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    shown = invoke(keys, stopped, "rotate", "--yes", "--phones", "--pepper")
    assert (shown.exit_code, "━" in shown.stderr, "old digests" in shown.stderr) == (0, True, True)
    assert shown.stdout == "phones, pepper: rotated; 2 numbers and 0 activations turned, 2 old digests dropped\n"
