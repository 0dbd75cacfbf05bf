# SPDX-License-Identifier: Apache-2.0
"""`python -m ops storage`: moves the images between the disk and a bucket."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import click

from config.load import Config
from models.clock import now_ms
from ops.opening import (
    CannotRun,
    as_json,
    explained,
    of_a_server,
    opened_database,
    opened_images,
    operator,
    print_json,
    progress,
    settings,
)
from services.audit import record
from services.maintenance.store_copy import Copied, copy_images
from storage.bucket import Bucket
from storage.places import open_store

Kind = Literal["disk", "s3"]
OTHER: dict[Kind, Kind] = {"disk": "s3", "s3": "disk"}


@click.group()
def storage() -> None:
    """Move the images to another kind of store."""


@storage.command()
@of_a_server
@click.option("--to", "kind", type=click.Choice(["disk", "s3"]), required=True, help="Where the images are to be.")
@as_json
def copy(file: Path | None, data_dir: Path | None, *, kind: Kind, as_json: bool) -> None:
    """Copy all images from the disk to the bucket of storage.s3, or back, whichever of them the server uses.

    Copies what the other does not have yet, and removes nothing: run it beside the server, once more when the server is
    stopped, then change storage.kind. Exit status 0, 1 when images are missing or damaged, 2 when it could not run.
    """
    config = settings(file, data_dir)
    with explained(), progress("Copying") as say:
        copied = asyncio.run(_copy(config, kind, say))
    if as_json:
        print_json(asdict(copied))
    else:
        click.echo(f"{copied.copied} files copied, {copied.bytes} bytes; {copied.present} were there")
    if copied.missing or copied.damaged:
        if not as_json:
            click.echo(f"{copied.missing} missing, {copied.damaged} damaged; see: python -m ops fsck", err=True)
        raise SystemExit(1)


async def _copy(config: Config, kind: Kind, say: Callable[[str], None]) -> Copied:
    if not config.storage.s3.bucket:
        raise CannotRun("storage.s3.bucket is not given")
    place = config.place_of(kind)
    if place.bucket is not None:
        await Bucket(place.bucket).is_used()  # says why, where it cannot be read
    async with opened_database(config) as db, opened_images(config.place_of(OTHER[kind])) as source:
        target = open_store(place, min_free_bytes=config.storage.min_free_bytes)
        try:
            if not await target.probe():
                raise CannotRun("the target cannot be written to; the log above says why")
            await record(db, operator=operator(), act="storage copy", about=f"to {kind}", now=now_ms())
            return await copy_images(db, source, target, say)
        finally:
            target.close()
