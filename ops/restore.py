# SPDX-License-Identifier: Apache-2.0
"""`python -m ops restore`: a backup becomes what a stopped server starts from."""

import asyncio
import os
from dataclasses import asdict
from pathlib import Path

import click

from config.load import Config
from models.clock import now_ms
from models.key_lock import held
from ops.backup import folder, places
from ops.opening import CannotRun, as_json, explained, of_a_server, print_json, progress, settings
from services.maintenance import restore as service
from services.maintenance.restore import Restored
from storage.ownership import owned


@click.command()
@folder
@of_a_server
@click.option("--force", is_flag=True, help="Into a directory that holds something: set its database and keys aside.")
@as_json
def restore(file: Path | None, data_dir: Path | None, *, folder: Path, force: bool, as_json: bool) -> None:
    """Put the backup in DIR in place of what the server has. The server is stopped.

    Images that are there stay; those of the backup are added. Exit status 0, 1 when images are missing or damaged, 2
    when nothing was restored.
    """
    config = settings(file, data_dir)
    with explained():
        _make(config.data_dir)
        there = places(config)
        with (
            owned(config.data_dir, restoring=True),
            held(there.keys, to_change=True),
            progress("Restoring") as say,
        ):
            restored = asyncio.run(service.restore(folder, there, config.data_dir, force=force, now=now_ms(), say=say))
    if as_json:
        print_json(asdict(restored))
    else:
        _print(restored, config)
    if restored.missing or restored.damaged:
        raise SystemExit(1)


def _make(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = data_dir.stat().st_uid
    if owner != os.geteuid():
        raise CannotRun(f"{data_dir} belongs to user {owner}: run this as that user, or the server cannot read it")


def _print(restored: Restored, config: Config) -> None:
    click.echo(f"{config.data_dir} is restored: {restored.images} images added, {restored.present} were there")
    for path in restored.set_aside:
        click.echo(f"set aside: {path}")
    if restored.missing or restored.damaged:
        click.echo(
            f"{restored.missing} images are missing and {restored.damaged} are damaged in the backup; before the server"
            " starts, run: python -m ops fsck --repair",
            err=True,
        )
