# SPDX-License-Identifier: Apache-2.0
"""Whose fault a refusal is that may speak of one device or of us all."""

from push.providers.blame import FEW, TRUSTED_FOR_MS, Blame
from tests.support.clock import Clock


def test_what_one_person_s_devices_meet_is_held_against_nobody_else() -> None:
    refusals = Blame(Clock())
    for _ in range(3):
        assert not any(refusals.note(f"token {number}") for number in range(FEW))
    assert refusals.note("one more")
    assert refusals.note("token 0")


def test_while_pushes_are_taken_a_refusal_is_of_its_device_alone() -> None:
    clock = Clock()
    refusals = Blame(clock)
    refusals.taken()
    for number in range(10 * FEW):
        assert not refusals.note(f"token {number}")
    clock.now += TRUSTED_FOR_MS
    assert not refusals.note("token 0")
    clock.now += 1
    assert refusals.note("token 0")
    refusals.taken()
    clock.now += TRUSTED_FOR_MS + 1
    assert not refusals.note("token 0"), "those before it are forgotten"
