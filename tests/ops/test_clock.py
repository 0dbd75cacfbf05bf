# SPDX-License-Identifier: Apache-2.0
"""A clock that is not believed: what `doctor`, `purge` and `clock accept` say and do."""

from pathlib import Path

import pytest

from models.clock import SteadyClock
from ops.clock import accept
from ops.doctor import doctor
from ops.purge import purge
from tests.ops.commands import asked, invoke
from tests.support.engines import Engine

DAY_MS = 24 * 3600 * 1000
MONTH_MS = 30 * DAY_MS


def set_back(engine: Engine, milliseconds: int, boot: str = "another boot") -> None:
    """As if the clock had been seen to be right so long ago, or ahead, before a reboot."""
    wall = SteadyClock().sighting().wall - milliseconds
    assert engine.execute("UPDATE clock_sightings SET wall = ?, boot = ?", wall, boot) == 1


def clock_at(data_dir: Path, status: int = 0) -> tuple[str, str]:
    [found] = [check for check in asked(doctor, data_dir, status=status)["checks"] if check["name"] == "time"]
    return found["status"], found["found"]


@pytest.mark.parametrize("off", [3 * MONTH_MS, -3 * MONTH_MS])
def test_a_jump_of_more_than_a_day_waits_for_an_operator(stopped: Path, engine: Engine, off: int) -> None:
    set_back(engine, off)
    status, found = clock_at(stopped, status=1)
    assert (status, ("ahead of" if off > 0 else "behind") in found) == ("fail", True)
    purged = invoke(purge, stopped)
    assert (purged.exit_code, purged.stderr.count("not believed")) == (0, 1)
    said = asked(accept, stopped)
    assert abs(said["jump"] - off) < 60_000
    assert clock_at(stopped)[0] == "ok"
    assert asked(accept, stopped)["jump"] == 0


def test_a_machine_that_was_off_for_some_hours_is_a_warning(stopped: Path, engine: Engine) -> None:
    set_back(engine, DAY_MS // 2)
    assert clock_at(stopped)[0] == "warn"


def test_what_is_over_goes_once_the_clock_is_accepted(stopped: Path, engine: Engine) -> None:
    set_back(engine, 3 * MONTH_MS)
    engine.execute("UPDATE messages SET expires_at = ?", SteadyClock().sighting().wall - MONTH_MS)
    assert asked(purge, stopped)["removed"]["expired"] == 0
    assert "ahead" in invoke(accept, stopped).stdout
    assert asked(purge, stopped)["removed"]["expired"] == 1
