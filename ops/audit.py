# SPDX-License-Identifier: Apache-2.0
"""`python -m ops audit`: what operators have done, by command and on their page."""

import asyncio
from dataclasses import asdict
from pathlib import Path

import click

from config.load import Config
from models.db.tables.audit import Act
from ops.opening import as_json, before, explained, limit, of_a_server, opened_database, print_json, settings, when
from services.audit import list_acts


@click.command()
@of_a_server
@before("acts with a lower id")
@limit
@as_json
def audit(file: Path | None, data_dir: Path | None, *, before: int, limit: int, as_json: bool) -> None:
    """Print what operators have done, the newest first: when, who, what, and to whom or what."""
    config = settings(file, data_dir)
    with explained():
        acts = asyncio.run(_list(config, before=before, limit=limit + 1))
    shown, more = acts[:limit], len(acts) > limit
    if as_json:
        print_json({"acts": [asdict(act) for act in shown], "more": more})
        return
    for act in shown:
        click.echo(_line(act))
    if more:
        click.echo(f"There are more: --before {shown[-1].audit_id}.", err=True)


async def _list(config: Config, *, before: int, limit: int) -> list[Act]:
    async with opened_database(config) as db:
        return await list_acts(db, before=before, limit=limit)


def _line(act: Act) -> str:
    facts = [str(act.audit_id), when(act.at), act.operator, act.act]
    return "  ".join([*facts, act.about] if act.about else facts)
