# SPDX-License-Identifier: Apache-2.0
"""`python -m ops reports`: what people have reported, and what became of it."""

import asyncio
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import aiofiles
import click

from config.load import Config
from models.clock import now_ms
from models.db.tables.report_pictures import ReportPicture
from models.db.tables.reports import Report
from models.ids import MAX_ID
from models.private_files import create
from ops.opening import (
    CannotRun,
    as_json,
    before,
    explained,
    limit,
    of_a_server,
    opened_database,
    opened_images,
    operator,
    print_json,
    settings,
    when,
)
from services.reports import MAX_NOTE_CHARACTERS, ShownReport, list_reports, record_sight, resolve_report, show_report
from storage.base import BlobStore


@click.group()
def reports() -> None:
    """Read what people have reported, and resolve it."""


@reports.command("list")
@of_a_server
@click.option("--all", "everything", is_flag=True, help="Also those that are resolved.")
@before("those with a lower report id")
@limit
@as_json
def list_(
    file: Path | None, data_dir: Path | None, *, everything: bool, before: int, limit: int, as_json: bool
) -> None:
    """Print reports that nobody has resolved, the newest first."""
    config = settings(file, data_dir)
    with explained():
        rows = asyncio.run(_list(config, only_open=not everything, before=before, limit=limit + 1))
    shown, more = rows[:limit], len(rows) > limit
    if as_json:
        print_json({"reports": [asdict(row) for row in shown], "more": more})
        return
    for row in shown:
        click.echo(_line(row))
    if more:
        click.echo(f"There are more: --before {shown[-1].report_id}.", err=True)


@reports.command()
@click.argument("report_id", metavar="REPORT_ID", type=click.IntRange(1, MAX_ID))
@of_a_server
@click.option("--picture", type=click.Path(path_type=Path), metavar="FILE", help="Write the picture to this new file.")
@as_json
def show(file: Path | None, data_dir: Path | None, *, report_id: int, picture: Path | None, as_json: bool) -> None:
    """Print a report and what there is of its picture: the one that was sent along, or the reported image.

    The picture is kept until the report is resolved. Exit status 0, or 2 when there is no such report, or no picture
    to write.
    """
    config = settings(file, data_dir)
    with explained():
        shown = asyncio.run(_show(config, report_id, picture))
    if as_json:
        print_json({"report": asdict(shown.report), "picture": _facts(shown.picture)})
        return
    click.echo(_line(shown.report))
    click.echo(f"picture: {_said(shown.picture)}")
    if picture:
        click.echo(f"written to {picture}")


@reports.command()
@click.argument("report_id", metavar="REPORT_ID", type=click.IntRange(1, MAX_ID))
@of_a_server
@click.option("--note", default="", help=f"What became of it, at most {MAX_NOTE_CHARACTERS} characters.")
@as_json
def resolve(file: Path | None, data_dir: Path | None, *, report_id: int, note: str, as_json: bool) -> None:
    """Mark a report as dealt with; the server then removes its picture.

    Exit status 0, also when it was already, or 2 when there is none.
    """
    config = settings(file, data_dir)
    with explained():
        changed = asyncio.run(_resolve(config, report_id, note))
    if as_json:
        print_json({"report_id": report_id, "changed": changed})
    else:
        click.echo(f"{report_id} is resolved now." if changed else f"{report_id} was resolved already.")


async def _list(config: Config, *, only_open: bool, before: int, limit: int) -> list[Report]:
    async with opened_database(config) as db:
        return await list_reports(db, only_open=only_open, before=before, limit=limit)


async def _show(config: Config, report_id: int, file: Path | None) -> ShownReport:
    """The report; its picture goes into this new file. Raises CannotRun, NotFound, OSError."""
    async with opened_database(config) as db:
        shown = await show_report(db, report_id)
        if file is not None:
            await record_sight(db, report_id, operator=operator(), now=now_ms())
    if file is not None:
        if shown.picture is None:
            raise CannotRun("there is no picture to this report")
        async with opened_images(config.image_place) as store:
            await _write_picture(store, shown.picture.picture_key, file)
    return shown


async def _write_picture(store: BlobStore, key: str, file: Path) -> None:
    blob = await store.open(key)
    if blob is None:
        raise CannotRun("its file is not in the store")
    with closing(blob):
        data = await blob.read(0, blob.size)
    async with aiofiles.open(create(file), "wb") as writing:
        await writing.write(data)


def _facts(picture: ReportPicture | None) -> dict[str, object] | None:
    return {"filetype": picture.filetype, "size": picture.size, "sha256": picture.sha256.hex()} if picture else None


def _said(picture: ReportPicture | None) -> str:
    return f"{picture.filetype}, {picture.size} bytes" if picture else "none"


async def _resolve(config: Config, report_id: int, note: str) -> bool:
    async with opened_database(config) as db:
        return await resolve_report(db, report_id, note=note, operator=operator(), now=now_ms())


def _line(row: Report) -> str:
    by = f"by uid {row.reporter_uid}" if row.reporter_uid else "by somebody who has left"
    about = f"about uid {row.reported_uid}" if row.reported_uid else "about somebody who has left"
    facts = [str(row.report_id), when(row.created_at), by, about]
    if row.message_id:
        facts.append(f"message {row.message_id}")
    # The reason is a stranger's text: what a terminal would act on is escaped.
    facts.append(repr(row.reason))
    if row.resolved_at is not None:
        facts.append(f"resolved {when(row.resolved_at)} {row.resolution!r}")
    return "  ".join(facts)
