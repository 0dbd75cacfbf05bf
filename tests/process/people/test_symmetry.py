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


class Acquaintances(RuleBasedStateMachine):
    """`friends` has each pair both ways; `asked` who asked whom; `hidden` those of them that the asked must not see."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.db = self.runner.run(_opened(database_of(Path(self.folder.name))))
        self.people = People(db=self.db, clock=lambda: 1)
        self.friends: set[Pair] = set()
        self.asked: set[Pair] = set()
        self.hidden: set[Pair] = set()
        self.blocks: set[Pair] = set()

    def teardown(self) -> None:
        self.runner.run(self.db.close())
        self.runner.close()
        release(Path(self.folder.name))
        self.folder.cleanup()

    @rule(one=SOMEBODY, other=SOMEBODY)
    def befriend(self, one: int, other: int) -> None:
        if one == other:
            return
        outcome = self._try(self.people.befriend(UserId(one), other))
        if (one, other) in self.blocks:
            assert isinstance(outcome, Conflict)
        elif (one, other) in self.friends or (other, one) in self.asked:
            assert outcome is FriendState.FRIENDS
            self._make_friends(one, other)
        else:
            assert outcome is FriendState.OUTGOING
            self.asked.add((one, other))
            if (other, one) in self.blocks:
                self.hidden.add((one, other))
            else:
                self.hidden.discard((one, other))

    @rule(one=SOMEBODY, other=SOMEBODY)
    def accept(self, one: int, other: int) -> None:
        outcome = self._try(self.people.accept(UserId(one), other))
        if (one, other) in self.friends or (other, one) in self.asked - self.hidden:
            assert outcome is FriendState.FRIENDS
            self._make_friends(one, other)
        else:
            assert isinstance(outcome, NotFound)

    @rule(one=SOMEBODY, other=SOMEBODY)
    def part(self, one: int, other: int) -> None:
        self._try(self.people.part(UserId(one), other))
        self._forget(one, other)

    @rule(one=SOMEBODY, other=SOMEBODY)
    def block(self, one: int, other: int) -> None:
        if one != other:
            self._try(self.people.block(UserId(one), other))
            self._forget(one, other)
            self.blocks.add((one, other))

    @rule(one=SOMEBODY, other=SOMEBODY)
    def unblock(self, one: int, other: int) -> None:
        self._try(self.people.unblock(UserId(one), other))
        self.blocks.discard((one, other))

    @rule(pairs=st.lists(st.tuples(SOMEBODY, SOMEBODY), min_size=2, max_size=6))
    def befriend_at_once(self, pairs: list[Pair]) -> None:
        """Whichever comes first, it ends the same."""

        async def all_of_them() -> None:
            asking = [self.people.befriend(UserId(one), other) for one, other in pairs if one != other]
            await asyncio.gather(*asking, return_exceptions=True)

        self.runner.run(all_of_them())
        blocks, hidden = self.blocks, self.hidden
        for one, other in pairs:
            if one == other or (one, other) in blocks or (one, other) in self.friends:
                continue
            if (other, one) in self.asked:
                self._make_friends(one, other)
            else:
                self.asked.add((one, other))
                (hidden.add if (other, one) in blocks else hidden.discard)((one, other))

    @invariant()
    def the_lists_are_those_of_the_model(self) -> None:
        listed = {state: self.runner.run(self._listed(state)) for state in FriendState}
        assert listed[FriendState.FRIENDS] == self.friends == {(other, one) for one, other in self.friends}
        assert listed[FriendState.OUTGOING] == self.asked
        assert listed[FriendState.INCOMING] == {(other, one) for one, other in self.asked - self.hidden}
        assert not listed[FriendState.INCOMING] & self.blocks

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

    def _make_friends(self, one: int, other: int) -> None:
        self._forget(one, other)
        self.friends |= {(one, other), (other, one)}

    def _forget(self, one: int, other: int) -> None:
        for pairs in (self.friends, self.asked, self.hidden):
            pairs -= {(one, other), (other, one)}


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
