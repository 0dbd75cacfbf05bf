# SPDX-License-Identifier: Apache-2.0
"""A server whose disk loses its power under load: `python -m tests.process.power_cuts [CUTS] [--go-on]`.

`make prove-power` cuts 20 times. The disk is an ext4 over a loop device that is shut down without its journal: what was
only in memory is gone, as a power cut leaves a disk that does what a flush asks. Then a control: the same with a server
whose syncs do nothing (eatmydata) has to lose images, or cuts like these would show nothing.
"""

import hashlib
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import click

from tests.process.invariants import Told, check_database, end_well, image_files, orphans, pushes_due, rows
from tests.process.killing import Survived, in_parts, survived
from tests.process.writers import SETTINGS, Crowd
from tests.support.harness import Server, wait_until
from tests.support.loop_disk import LoopDisk, keep_mounts_to_ourselves, loop_disk, what_is_missing
from tests.support.push_vendors import PushVendor, emulated

OF_ONE_DISK = 50
CONTROLS = 3
MANY = 10**6
"""Files without a row: a removal that was not on the disk yet is undone, and done by the sweep."""
KNOWN = "SELECT message_key, exist FROM messages"


@contextmanager
def on_a_disk(vendor_push: dict[str, object]) -> Iterator[tuple[Server, LoopDisk]]:
    """A server that is not started, whose data are on a disk of its own."""
    with tempfile.TemporaryDirectory() as name, loop_disk(Path(name)) as disk:
        (Path(name) / "data").symlink_to(disk.path)
        server = Server(Path(name), {**SETTINGS, "push": {**vendor_push, "default_provider": "getui"}})
        try:
            yield server, disk
        finally:
            if server.process and server.process.poll() is None:
                server.kill()


def cut(server: Server, disk: LoopDisk) -> None:
    """The power goes, and with it the server; then the disk comes back."""
    disk.cut_power()
    server.kill()
    disk.detach()
    disk.attach()


def cut_again_and_again(server: Server, disk: LoopDisk, vendor: PushVendor, cuts: int) -> Survived:
    """As many cuts while people write. The server is stopped then. Raises AssertionError for what is lost."""
    server.start()
    crowd = Crowd(server, vendor.token(1))
    with crowd.writing():
        for _ in range(cuts):
            crowd.wait_for_progress()
            told = Told(dict(crowd.told.accepted), set(crowd.told.acknowledged))
            cut(server, disk)
            assert lost(server.data_dir, told) == set()
            check_database(server.data_dir, in_flight=MANY, pushed=pushed_by(vendor))
            server.start()
    wait_until(lambda: pushes_due(server.data_dir) == 0, what="the pushes")
    found = survived(crowd, cuts, len(pushed_by(vendor)), len(orphans(server.data_dir)))
    end_well(server, crowd.ben, crowd.told, pushed=pushed_by(vendor))
    return found


def pushed_by(vendor: PushVendor) -> set[int]:
    return {push.message_id for push in vendor.received()}


def lost_without_syncs(server: Server, disk: LoopDisk, vendor: PushVendor, preload: Path) -> tuple[int, int]:
    """How many images a cut takes from a server whose syncs do nothing, and of how many."""
    server.start(LD_PRELOAD=str(preload))
    crowd = Crowd(server, vendor.token(1))
    with crowd.writing():
        crowd.wait_for_progress()
    cut(server, disk)
    return len(lost(server.data_dir, crowd.told)), len(crowd.told.accepted) - len(crowd.told.acknowledged)


def lost(data_dir: Path, told: Told) -> set[str]:
    """Images that were accepted and not acknowledged, and have no row, or one whose bytes are not those that were sent.

    One that is no more (`exist = 0`) was about to be acknowledged.
    """
    kept = told.accepted.keys() - told.acknowledged
    try:
        known = dict(rows(data_dir, KNOWN))
    except apsw.Error:
        return kept
    files = image_files(data_dir)
    return {key for key in kept if key not in known or (known[key] and digest(files.get(key)) != told.accepted[key])}


def digest(file: Path | None) -> bytes:
    return hashlib.sha256(file.read_bytes()).digest() if file else b""


def no_syncs() -> Path | None:
    """The library of eatmydata, which makes every sync do nothing."""
    return next(Path("/usr/lib").glob("*/libeatmydata.so"), None)


@click.command()
@click.argument("cuts", default=20)
@click.option("--go-on", is_flag=True, help="succeed although the machine cannot do some of it")
def main(*, cuts: int, go_on: bool) -> None:
    """Cut a disk's power so many times."""
    if missing := what_is_missing():
        click.echo(f"left out, {missing}: power cuts")
        sys.exit(not go_on)
    keep_mounts_to_ourselves()
    with tempfile.TemporaryDirectory() as name, emulated(Path(name), ["getui"]) as vendors:
        vendor = vendors.each["getui"]
        found = Survived()
        for part in in_parts(cuts, OF_ONE_DISK):
            with on_a_disk(vendors.push) as (server, disk):
                found += cut_again_and_again(server, disk, vendor, part)
            click.echo(f"power cut {found}")
        preload = no_syncs()
        if preload is None:
            click.echo("left out, eatmydata is not installed: the control without syncs")
            sys.exit(not go_on)
        for _ in range(CONTROLS):
            with on_a_disk(vendors.push) as (server, disk):
                gone, kept = lost_without_syncs(server, disk, vendor, preload)
            click.echo(f"control, syncs do nothing: {gone} of {kept} lost")
            if not gone:
                sys.exit("a server without syncs loses nothing: these cuts show nothing")


if __name__ == "__main__":
    main()
