# SPDX-License-Identifier: Apache-2.0
"""What several processes count together: bounds hold for the sum, and what a dead one held is free."""

import os
from pathlib import Path

import pytest

from handlers.uploads import BATCH_BYTES, BufferBudget
from models.errors import StorageFull
from models.shared_counters import SharedCounter, map_shared_counters
from storage.disk import DiskStore
from storage.space import Space

PIECE = 1000


def test_one_process_sees_what_another_adds() -> None:
    here, there = map_shared_counters(2)
    child = os.fork()
    if child == 0:
        there.reserved.add(7)
        os._exit(0)
    os.waitpid(child, 0)
    here.reserved.add(-2)
    assert (here.reserved.total, here.reserved.own, there.reserved.own) == (5, -2, 7)
    assert here.unwritten.total == 0


def test_room_is_promised_once_among_all(tmp_path: Path) -> None:
    one, other = (
        Space(tmp_path, min_free_bytes=0, max_bytes=10 * PIECE, counters=each) for each in map_shared_counters(2)
    )
    room = one.reserve(6 * PIECE)
    with pytest.raises(StorageFull):
        other.reserve(5 * PIECE)
    other.reserve(4 * PIECE)
    with pytest.raises(StorageFull):
        room.grow(1)
    room.release()
    other.reserve(6 * PIECE)
    assert (one.reserved, one.uploads) == (10 * PIECE, 2)


def test_what_a_dead_process_held_is_free_and_what_it_stored_is_not(tmp_path: Path) -> None:
    mine, dead = map_shared_counters(2)
    one = Space(tmp_path, min_free_bytes=0, max_bytes=10 * PIECE, counters=mine)
    other = Space(tmp_path, min_free_bytes=0, max_bytes=10 * PIECE, counters=dead)
    stored = other.reserve(4 * PIECE)
    stored.wrote(4 * PIECE)
    stored.stored(4 * PIECE)
    other.reserve(6 * PIECE)
    with pytest.raises(StorageFull):
        one.reserve(1)
    dead.forget()
    assert (one.stored, one.reserved, one.unwritten, one.uploads) == (4 * PIECE, 0, 0, 0)
    one.reserve(6 * PIECE)


def test_what_is_stored_is_counted_by_one_and_known_to_all(tmp_path: Path) -> None:
    first, second = (DiskStore(tmp_path / "images", max_bytes=PIECE, counters=each) for each in map_shared_counters(2))
    with second.reserve(300) as room:
        receiving = [first.receiving]
        room.wrote(300)
        room.stored(300)
    assert [*receiving, first.receiving] == [True, False]
    first.set_stored_bytes(700)
    assert (first.stored_bytes, second.stored_bytes) == (700, 700)
    with pytest.raises(StorageFull):
        second.reserve(301)
    for each in (first, second):
        each.close()


def test_a_budget_is_of_all_together() -> None:
    here, there = map_shared_counters(2)
    mine, theirs = BufferBudget(100, here.buffers), BufferBudget(100, there.buffers)
    assert mine.take(60)
    assert not theirs.take(41)
    assert theirs.take(40)
    assert (mine.spent, theirs.spent, mine.batch_bytes) == (True, True, BATCH_BYTES)
    there.forget()
    assert (mine.spent, mine.take(40)) == (False, True)


def test_a_process_that_is_alone_has_tallies_of_its_own() -> None:
    counter, another = SharedCounter(), SharedCounter()
    counter.add(3)
    assert (counter.total, another.total) == (3, 0)
