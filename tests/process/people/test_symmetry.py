# SPDX-License-Identifier: Apache-2.0
"""Whatever people do about each other, in whatever order and at once, their lists agree: against a small model."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from models.db.database import Database, Transaction
from models.errors import Conflict, NotFound
from models.ids import MAX_ID
from models.paging import IdRange
from models.user import FriendState, UserId
from services.people import People
from tests.support.engines import Engine, database_of, release
from tests.support.examples import examples
from tests.support.people import add_person

SOMEBODY = st.integers(1, 3)
Pair = tuple[int, int]
FRIENDS, INCOMING, OUTGOING = FriendState.FRIENDS, FriendState.INCOMING, FriendState.OUTGOING


class Acquaintances(RuleBasedStateMachine):
    """`rows` is how the first of a pair sees the second: in step unless one blocks the other, who keeps their own."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.db = self.runner.run(_opened(database_of(Path(self.folder.name))))
        self.people = People(db=self.db, clock=lambda: 1)
        self.rows: dict[Pair, FriendState] = {}
        self.blocks: set[Pair] = set()

    def teardown(self) -> None:
        self.runner.run(self.db.close())
        self.runner.close()
        release(Path(self.folder.name))
        self.folder.cleanup()

    @rule(one=SOMEBODY, other=SOMEBODY)
    def befriend(self, one: int, other: int) -> None:
        if one != other:
            outcome = self._try(self.people.befriend(UserId(one), other))
            if (one, other) in self.blocks:
                assert isinstance(outcome, Conflict)
            else:
                assert outcome is self._asked(one, other)

    @rule(one=SOMEBODY, other=SOMEBODY)
    def accept(self, one: int, other: int) -> None:
        outcome = self._try(self.people.accept(UserId(one), other))
        if self.rows.get((one, other)) in (FRIENDS, INCOMING):
            assert outcome is self._see(one, other, FRIENDS, FRIENDS)
        else:
            assert isinstance(outcome, NotFound)

    @rule(one=SOMEBODY, other=SOMEBODY)
    def part(self, one: int, other: int) -> None:
        self._try(self.people.part(UserId(one), other))
        self.rows.pop((one, other), None)
        if (one, other) not in self.blocks:
            self.rows.pop((other, one), None)

    @rule(one=SOMEBODY, other=SOMEBODY)
    def block(self, one: int, other: int) -> None:
        if one != other:
            self._try(self.people.block(UserId(one), other))
            self.rows.pop((one, other), None)
            self.blocks.add((one, other))

    @rule(one=SOMEBODY, other=SOMEBODY)
    def unblock(self, one: int, other: int) -> None:
        self._try(self.people.unblock(UserId(one), other))
        if (one, other) in self.blocks:
            self.blocks.remove((one, other))
            if self.rows.get((other, one)) is not OUTGOING:
                self.rows.pop((other, one), None)

    @rule(pairs=st.lists(st.tuples(SOMEBODY, SOMEBODY), min_size=2, max_size=6))
    def befriend_at_once(self, pairs: list[Pair]) -> None:
        """Whichever comes first, it ends the same."""
        asking = [(one, other) for one, other in pairs if one != other]

        async def all_of_them() -> None:
            acts = [self.people.befriend(UserId(one), other) for one, other in asking]
            await asyncio.gather(*acts, return_exceptions=True)

        self.runner.run(all_of_them())
        for one, other in asking:
            if (one, other) not in self.blocks:
                self._asked(one, other)

    @invariant()
    def the_lists_are_those_of_the_model(self) -> None:
        for state in FriendState:
            listed = self.runner.run(self._listed(state))
            assert listed == {pair for pair, seen in self.rows.items() if seen is state}

    @invariant()
    def both_see_the_same_unless_one_blocks_the_other(self) -> None:
        for (one, other), seen in self.rows.items():
            assert (one, other) not in self.blocks
            if seen is not OUTGOING and (other, one) not in self.blocks:
                assert self.rows.get((other, one)) is (FRIENDS if seen is FRIENDS else OUTGOING)

    async def _listed(self, state: FriendState) -> set[Pair]:
        pairs: set[Pair] = set()
        for uid in (1, 2, 3):
            page = await self.people.list_friends(UserId(uid), state, IdRange(0, MAX_ID, 10))
            pairs |= {(uid, item.uid) for item in page.items}
        return pairs

    def _try(self, act: Coroutine[Any, Any, Any]) -> Any:
        try:
            return self.runner.run(act)
        except (Conflict, NotFound) as error:
            return error

    def _asked(self, one: int, other: int) -> FriendState:
        mine, theirs = self.rows.get((one, other)), self.rows.get((other, one))
        if mine in (FRIENDS, INCOMING) or theirs is OUTGOING:
            return self._see(one, other, FRIENDS, FRIENDS)
        return self._see(one, other, OUTGOING, INCOMING)

    def _see(self, one: int, other: int, mine: FriendState, theirs: FriendState) -> FriendState:
        self.rows[one, other] = mine
        if (other, one) not in self.blocks:
            self.rows[other, one] = theirs
        return mine


async def _opened(engine: Engine) -> Database:
    """A database with the persons 1, 2 and 3."""
    db = await engine.open()

    async def unit(tx: Transaction) -> list[UserId]:
        return [await add_person(tx, now=0, nickname=f"No. {number}") for number in (1, 2, 3)]

    assert await db.write(unit) == [1, 2, 3]
    return db


def test_lists_agree_whatever_people_do(engine: Engine) -> None:
    found = examples(
        engine,
        25,
        stateful_step_count=20,
        phases=[Phase.reuse, Phase.generate],  # every step is a durable write: to shrink a failure takes minutes
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    run_state_machine_as_test(Acquaintances, settings=found)
