# SPDX-License-Identifier: Apache-2.0
"""The budget of what clients do not take: who is cut when it is spent."""

import asyncio
from dataclasses import dataclass

import pytest

from transport.unsent import UnsentBudget

pytestmark = pytest.mark.anyio


@dataclass(eq=False)
class Client:
    """One connection, as the budget sees it."""

    budget: UnsentBudget
    source: str
    waiting: int = 0
    cut: bool = False

    def unsent(self) -> int:
        return self.waiting

    def abort(self) -> None:
        self.cut = True

    def leave(self, size: int) -> "Client":
        """Take nothing of so much."""
        self.waiting = size
        self.budget.hold(self)
        return self

    def take(self) -> None:
        self.waiting = 0
        self.budget.let_go(self)


async def test_within_the_budget_nobody_is_cut() -> None:
    budget = UnsentBudget(100)
    clients = [Client(budget, "a").leave(50), Client(budget, "b").leave(50)]
    await asyncio.sleep(0)
    assert (budget.used, [each.cut for each in clients]) == (100, [False, False])


async def test_the_source_that_holds_most_loses_the_one_that_has_taken_nothing_for_longest() -> None:
    budget = UnsentBudget(100)
    other = Client(budget, "b").leave(40)
    first, second = Client(budget, "a").leave(30), Client(budget, "a").leave(30)
    third = Client(budget, "a").leave(10)
    await asyncio.sleep(0)
    assert [each.cut for each in (other, first, second, third)] == [False, True, False, False]
    assert budget.used == 80


async def test_who_takes_something_is_behind_those_who_do_not() -> None:
    budget = UnsentBudget(100)
    slow, stalled = Client(budget, "a").leave(40), Client(budget, "a").leave(40)
    slow.take()
    slow.leave(40)
    Client(budget, "b").leave(30)
    await asyncio.sleep(0)
    assert (slow.cut, stalled.cut) == (False, True)


async def test_what_was_taken_meanwhile_is_seen_before_anybody_is_cut() -> None:
    budget = UnsentBudget(100)
    one = Client(budget, "a").leave(80)
    one.waiting = 10
    other = Client(budget, "b").leave(80)
    await asyncio.sleep(0)
    assert (one.cut, other.cut, budget.used) == (False, False, 90)


async def test_one_that_alone_is_over_the_budget_is_cut_after_its_write() -> None:
    budget = UnsentBudget(100)
    client = Client(budget, "a").leave(101)
    assert not client.cut
    await asyncio.sleep(0)
    assert (client.cut, budget.used) == (True, 0)
    budget.let_go(client)
    assert budget.used == 0
