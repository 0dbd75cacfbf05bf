# SPDX-License-Identifier: Apache-2.0
"""The clock that requests and ages go by, while the wall clock jumps."""

from dataclasses import dataclass

import pytest

from models.clock import DAY_MS, HOUR_MS, MINUTE_MS, STEP_MS, Sighting, SteadyClock, now_ms

START = 1_800_000_000_000
YEAR_MS = 365 * DAY_MS
JUMPS = [HOUR_MS, -HOUR_MS, DAY_MS, -DAY_MS, YEAR_MS, -YEAR_MS]


@dataclass
class Machine:
    """A wall clock that can be set, and the time since a boot."""

    wall: int = START
    since_boot: int = 1000
    boot: str = "a boot"

    def passes(self, milliseconds: int) -> None:
        self.wall += milliseconds
        self.since_boot += milliseconds

    def clock(self) -> SteadyClock:
        return SteadyClock(wall=lambda: self.wall, since_boot=lambda: self.since_boot, boot=self.boot)


def test_it_is_the_wall_clock_as_long_as_that_does_not_jump() -> None:
    machine = Machine()
    clock = machine.clock()
    for _ in range(10):
        machine.passes(HOUR_MS)
        machine.wall += STEP_MS
        assert (clock(), clock.ages(), clock.jump) == (machine.wall, machine.wall, 0)


def test_of_a_real_machine_it_is_the_time() -> None:
    assert abs(SteadyClock()() - now_ms()) < MINUTE_MS


@pytest.mark.parametrize("jump", JUMPS)
def test_a_jump_moves_nothing_and_is_over_when_the_clock_is_right_again(jump: int) -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall += jump
    machine.passes(MINUTE_MS)
    assert (clock(), clock.ages(), clock.jump) == (START + MINUTE_MS, START + MINUTE_MS, jump)
    machine.wall -= jump
    assert (clock(), clock.ages(), clock.jump) == (START + MINUTE_MS, START + MINUTE_MS, 0)


@pytest.mark.parametrize("jump", [HOUR_MS, -HOUR_MS, DAY_MS, -DAY_MS])
def test_a_jump_within_a_day_is_believed_when_it_has_stood_for_as_long(jump: int) -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall += jump
    assert clock.jump == jump
    machine.passes(abs(jump) - 1)
    assert clock.jump == jump
    machine.passes(1)
    assert (clock(), clock.ages(), clock.jump) == (machine.wall, machine.wall, 0)


def test_another_jump_stands_for_itself() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall += HOUR_MS
    assert clock.jump
    machine.passes(HOUR_MS - 1)
    machine.wall += HOUR_MS
    assert clock.jump
    machine.passes(HOUR_MS)
    assert clock.jump == 2 * HOUR_MS


@pytest.mark.parametrize("jump", [YEAR_MS, -YEAR_MS])
def test_a_longer_jump_waits_for_a_word(jump: int) -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall += jump
    machine.passes(2 * YEAR_MS)
    assert clock.jump == jump
    clock.go_by(Sighting(machine.wall, machine.boot, machine.since_boot))
    assert (clock(), clock.jump) == (machine.wall, 0)


@pytest.mark.parametrize("jump", JUMPS)
def test_a_start_within_the_same_boot_knows_how_much_time_has_gone_by(jump: int) -> None:
    machine = Machine()
    last = machine.clock().sighting()
    machine.passes(3 * DAY_MS)
    clock = machine.clock()
    clock.begin(last)
    assert clock.jump == 0
    machine.wall += jump
    again = machine.clock()
    again.begin(last)
    assert (again(), again.jump, again.was_away) == (START + 3 * DAY_MS, jump, False)


def test_after_a_reboot_the_time_ahead_may_have_gone_by_but_nothing_ends_by_it() -> None:
    last = Machine().clock().sighting()
    machine = Machine(wall=START + YEAR_MS, since_boot=0, boot="another boot")
    clock = machine.clock()
    clock.begin(last)
    assert (clock(), clock.ages(), clock.was_away) == (START + YEAR_MS, START, True)
    machine.passes(HOUR_MS)
    assert (clock(), clock.ages(), clock.jump) == (machine.wall, START + HOUR_MS, YEAR_MS)
    clock.go_by(last._replace(wall=machine.wall))
    assert (clock(), clock.ages(), clock.jump) == (machine.wall, machine.wall, 0)


def test_after_a_reboot_the_time_is_not_before_it_was_last_seen() -> None:
    last = Machine().clock().sighting()
    clock = Machine(wall=0, since_boot=0, boot="another boot").clock()
    clock.begin(last)
    assert (clock(), clock.ages(), clock.jump) == (START, START, -START)
