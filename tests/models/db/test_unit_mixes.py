# SPDX-License-Identifier: Apache-2.0
"""Random mixes of units against a model: what each caller is told is what is in the file, once and no more."""

import asyncio
import tempfile
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.db.database import CommitUnknown, DatabaseFull, Transaction, UniqueViolation, Unit, UnitYielded
from models.db.sqlite.engine import SqliteDatabase
from tests.models.db.faulty_disk import FaultyDisk
from tests.models.db.notes import INSERT, bodies, create
from tests.models.db.test_broken_disk import MUCH, NO_MORE_PAGES

pytestmark = pytest.mark.anyio

KINDS = ["write", "raise", "repeat", "yield", "fill", "lose", "cancel", "cancel begun"]
WAVES = st.lists(st.lists(st.sampled_from(KINDS), min_size=1, max_size=12), min_size=1, max_size=4)
TOLD = {"raise": LookupError, "repeat": UniqueViolation, "yield": UnitYielded, "fill": DatabaseFull}


def _unit(kind: str, name: str, disk: FaultyDisk, callers: dict[str, asyncio.Task[str]]) -> Unit[str]:
    async def unit(tx: Transaction) -> str:
        await tx.execute(INSERT, body=name)
        if kind == "raise":
            raise LookupError
        if kind == "repeat":
            await tx.execute(INSERT, body=name)
        if kind == "yield":
            await asyncio.sleep(0)
        if kind == "fill":
            await tx.read(NO_MORE_PAGES)
            await tx.execute(INSERT, body=MUCH)
        if kind == "lose":
            disk.next_sync = apsw.IOError("broken")
        if kind == "cancel begun":
            callers[name].cancel()
        return name

    return unit


async def _wave(db: SqliteDatabase, disk: FaultyDisk, kinds: list[str], wave: int) -> dict[str, object]:
    """Write all units at once; what each caller was told, by the unit's name."""
    callers: dict[str, asyncio.Task[str]] = {}
    for n, kind in enumerate(kinds):
        name = f"{wave}.{n:02} {kind}"
        callers[name] = asyncio.ensure_future(db.write(_unit(kind, name, disk, callers)))
    await asyncio.sleep(0)
    for name, caller in callers.items():
        if name.endswith(" cancel"):
            caller.cancel()
    told = await asyncio.gather(*callers.values(), return_exceptions=True)
    return dict(zip(callers, told, strict=True))


def _check(kinds: list[str], told: dict[str, object], there: list[str]) -> None:
    for kind, (name, answer) in zip(kinds, told.items(), strict=True):
        count = there.count(name)
        if isinstance(answer, CommitUnknown):
            assert "lose" in kinds
            assert count == 0 or kind not in TOLD
        elif kind in TOLD:
            assert isinstance(answer, TOLD[kind])
            assert count == 0
        elif kind.startswith("cancel"):
            assert isinstance(answer, asyncio.CancelledError)
            assert count == 0 or kind == "cancel begun"
        else:
            assert answer == name
            assert count == 1


@given(waves=WAVES)
@settings(max_examples=80, deadline=None)
async def test_every_caller_is_told_what_became_of_its_unit(waves: list[list[str]]) -> None:
    disk = FaultyDisk()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test.db"
        create(path)
        db = SqliteDatabase(path)
        told = [await _wave(db, disk, kinds, wave) for wave, kinds in enumerate(waves)]
        await db.close()
        there = bodies(path)
    disk.unregister()
    assert len(set(there)) == len(there)
    for kinds, answers in zip(waves, told, strict=True):
        _check(kinds, answers, there)
