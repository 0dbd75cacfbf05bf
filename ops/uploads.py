# SPDX-License-Identifier: Apache-2.0
"""`python -m ops uploads`: images that are on their way in several requests."""

import asyncio
from dataclasses import asdict
from pathlib import Path

import click

from config.load import Config
from models.clock import now_ms
from models.upload import Upload
from ops.opening import (
    as_json,
    explained,
    limit,
    of_a_server,
    opened,
    opened_database,
    operator,
    print_json,
    settings,
    when,
)
from services.operating import drop_uploads, list_open_uploads

SHOWN = ("upload_id", "uid", "receiver_uid", "group_id", "length", "received", "created_at", "expires_at")


@click.group()
def uploads() -> None:
    """Look after images that are on their way in several requests."""


@uploads.command("list")
@of_a_server
@limit
@as_json
def list_(file: Path | None, data_dir: Path | None, *, limit: int, as_json: bool) -> None:
    """Print a line for each upload that has not ended."""
    config = settings(file, data_dir)
    with explained():
        found = asyncio.run(_list(config, limit + 1))
    shown, more = found[:limit], len(found) > limit
    if as_json:
        rows = [{name: asdict(upload)[name] for name in SHOWN} for upload in shown]
        print_json({"uploads": rows, "more": more})
        return
    for upload in shown:
        click.echo(_line(upload))
    if more:
        click.echo("There are more: raise --limit.", err=True)


@uploads.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@of_a_server
@as_json
def drop(file: Path | None, data_dir: Path | None, *, ids: tuple[str, ...], as_json: bool) -> None:
    """End uploads without an image, with their bytes. Exit status 0, 1 when one of the IDs is not open."""
    config = settings(file, data_dir)
    asked = sorted(set(ids))
    with explained():
        done = asyncio.run(_drop(config, asked))
    if as_json:
        print_json({"asked": len(asked), "done": done})
    else:
        click.echo(f"{done} of {len(asked)} dropped")
    if done < len(asked):
        raise SystemExit(1)


async def _list(config: Config, limit: int) -> list[Upload]:
    async with opened_database(config) as db:
        return await list_open_uploads(db, limit=limit)


async def _drop(config: Config, ids: list[str]) -> int:
    async with opened(config) as (db, store):
        return await drop_uploads(db, store, ids, operator=operator(), now=now_ms())


def _line(upload: Upload) -> str:
    to = f"group {upload.group_id}" if upload.group_id else f"uid {upload.receiver_uid}"
    size = f"{upload.received} of {'?' if upload.length is None else upload.length} bytes"
    facts = [upload.upload_id, f"uid {upload.uid}", f"to {to}", size]
    return "  ".join([*facts, f"since {when(upload.created_at)}", f"until {when(upload.expires_at)}"])
