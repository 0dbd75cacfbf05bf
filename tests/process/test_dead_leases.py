# SPDX-License-Identifier: Apache-2.0
"""A push whose process is killed between claiming and settling it: it comes soon after, and once more at most."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.crew import crew
from tests.process.invariants import check_database, pushes_due, rows
from tests.support.engines import NEEDS_MARIADBD, ON_MARIADB
from tests.support.harness import Server, running, wait_until
from tests.support.pictures import jpeg
from tests.support.push_vendors import PushVendor, PushVendors, emulated

pytestmark = pytest.mark.usefixtures("engine")

SOON_SECONDS = 30
"""Half of a lease."""
LEASE = "SELECT lease FROM outbox WHERE state = 'due' AND lease IS NOT NULL"


@pytest.fixture
def vendors(tmp_path: Path) -> Iterator[PushVendors]:
    with emulated(tmp_path, ["getui"]) as vendors:
        yield vendors


def settings(vendors: PushVendors) -> dict[str, object]:
    return {"limits": {"enabled": False}, "push": {**vendors.push, "default_provider": "getui"}}


def hold_a_push(server: Server, vendor: PushVendor) -> str:
    """Send an image whose push the vendor does not answer; the process that waits for it."""
    ann, ben = server.register("Ann"), server.register("Ben", cid="cid-ben")
    vendor.tell("chances", hang=100)
    assert ann.send(ben, jpeg()).status_code == 201
    wait_until(lambda: bool(rows(server.data_dir, LEASE)), what="the claim")
    [(lease,)] = rows(server.data_dir, LEASE)
    return str(lease).partition(".")[0]


def test_a_push_comes_soon_after_a_restart(tmp_path: Path, vendors: PushVendors) -> None:
    vendor = vendors.each["getui"]
    with running(tmp_path, settings(vendors)) as server:
        hold_a_push(server, vendor)
        server.kill()
        check_database(server.data_dir)
        vendor.tell("chances")
        server.start()
        wait_until(lambda: pushes_due(server.data_dir) == 0, seconds=SOON_SECONDS, what="the push")
        assert len(vendor.received()) == 1
        [mark] = (server.data_dir / "processes").iterdir()
    assert not mark.exists()


@ON_MARIADB
@NEEDS_MARIADBD
def test_a_push_comes_soon_after_its_worker_died(tmp_path: Path, vendors: PushVendors) -> None:
    vendor = vendors.each["getui"]
    with crew(tmp_path, settings(vendors)) as both:
        holder = hold_a_push(both.server, vendor)
        vendor.tell("chances")
        os.kill(int((both.server.data_dir / "processes" / holder).read_text()), signal.SIGKILL)
        wait_until(lambda: pushes_due(both.server.data_dir) == 0, seconds=SOON_SECONDS, what="the push")
        assert len(vendor.received()) == 1
        both.expect("a worker ended")
    assert both.server.failures() == []
