# SPDX-License-Identifier: Apache-2.0
"""`python -m ops backup`: database and key ring, and the images if asked for, beside a running server."""

import asyncio
from dataclasses import asdict
from pathlib import Path

import click

from config.load import Config
from models.clock import now_ms
from models.private_files import KEY_RING, VAPID_KEY
from ops.opening import as_json, explained, of_a_server, print_json, progress, settings
from services.maintenance.backup import back_up
from services.maintenance.manifest import Places

folder = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))


def places(config: Config) -> Places:
    """Where this server keeps what a backup holds."""
    # The keys may be links to files that several machines share.
    keys, vapid = ((config.data_dir / name).resolve() for name in (KEY_RING, VAPID_KEY))
    return Places(config.database_location, keys, vapid, config.image_place)


@click.command()
@folder
@of_a_server
@click.option("--with-images", is_flag=True, help="Also the images: hard links on the same filesystem, else copies.")
@as_json
def backup(file: Path | None, data_dir: Path | None, *, folder: Path, with_images: bool, as_json: bool) -> None:
    """Make a backup in DIR, which is new or empty. It holds every secret of the server: keep it like one.

    DIR has a manifest.json when it is whole; without one it was cut off and is of no use. Exit status 0, or 2 when it
    could not be made.
    """
    config = settings(file, data_dir)
    with explained(), progress("Backing up") as say:
        manifest = asyncio.run(back_up(places(config), folder, with_images=with_images, now=now_ms(), say=say))
    if as_json:
        print_json({"folder": str(folder), **asdict(manifest)})
        return
    click.echo(f"{folder}: schema {manifest.schema}, {sum(facts.bytes for facts in manifest.files.values())} bytes")
    if manifest.images:
        gone = f"; {manifest.images.gone} ended meanwhile" if manifest.images.gone else ""
        click.echo(f"{manifest.images.files} images, {manifest.images.bytes} bytes{gone}")
