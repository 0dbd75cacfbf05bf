# SPDX-License-Identifier: Apache-2.0
"""`python -m ops doctor`: is this server well, and if not, what to do? What is looked at stands in `ops.checks`."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import click

from config.load import Config, ConfigError, load
from models.db import migration_steps
from models.db.database import DatabaseError
from models.db.engine import Location, inspect, open_database
from models.db.mysql.connection import MysqlLocation
from ops import checks, push_checks, server_checks
from ops.checks import FAIL, OK, Check
from ops.opening import as_json, explained, of_a_server, print_json, progress, settings, steady_clock

Say = Callable[[str], None]

FILE_ADVICE = "see to its disk and its permissions first; if it is damaged, restore it from the backup"
"""A backup is older than what is there, and a file that cannot be opened is seldom damaged."""


@click.group(invoke_without_command=True)
@of_a_server
@as_json
@click.pass_context
def doctor(context: click.Context, file: Path | None, data_dir: Path | None, *, as_json: bool) -> None:
    """Look at everything a server needs, one line each: ok, warn or fail, and what to do.

    Mends nothing, and may run beside the server. Exit status 0, or 1 when a line says fail.
    """
    if context.invoked_subcommand is None:
        with progress("Looking") as say:
            found = _examine(file, data_dir, say)
        _report(found, as_json=as_json)


@doctor.command()
@of_a_server
@click.option("--provider", metavar="P", help="Only this push provider.")
@click.option("--app", metavar="A", help="Only this app of it; '' is its plain one.")
@click.option("--token", metavar="T", help="A device's token, which gets the test; needs --provider.")
@as_json
def push(
    file: Path | None,
    data_dir: Path | None,
    *,
    provider: str | None,
    app: str | None,
    token: str | None,
    as_json: bool,
) -> None:
    """Send a test through each push provider, and say what is wrong with its keys, its app or the way there.

    Without --token it goes to a token that no device has: who says so has taken the keys, and no phone shows a thing.
    """
    if (token or app is not None) and provider is None:
        raise click.UsageError("--token and --app need --provider")
    config = settings(file, data_dir)
    with progress("Asking"), explained():
        found = asyncio.run(_ask(config, provider, app, token))
    _report(found, as_json=as_json)


async def _ask(config: Config, provider: str | None, app: str | None, token: str | None) -> list[Check]:
    return [check async for check in push_checks.tests(config, provider=provider, app=app, token=token)]


def _report(found: list[Check], *, as_json: bool) -> None:
    failed = any(check.status == FAIL for check in found)
    if as_json:
        print_json({"healthy": not failed, "checks": [asdict(check) for check in found]})
    else:
        _print(found)
    if failed:
        raise SystemExit(1)


def _examine(file: Path | None, data_dir: Path | None, say: Say) -> list[Check]:
    try:
        config = load(file, data_dir=data_dir)
    except ConfigError as error:
        return [Check("config", FAIL, "; ".join(error.problems), "mend it: nothing else can be looked at before")]
    try:
        return [*_outside(config), *asyncio.run(_inside(config, say))]
    except OSError as error:
        return [Check("data", FAIL, f"{error.filename}: {error.strerror}", "run this as the server's user, or mend it")]


def _outside(config: Config) -> Iterator[Check]:
    """What can be seen without the database."""
    yield Check("config", OK, "can be read")
    yield from checks.listening(config)
    yield from checks.places(config)
    yield from checks.modes(config)
    yield from checks.disk(config)
    yield checks.clock()
    yield checks.open_files(config)


async def _inside(config: Config, say: Say) -> list[Check]:
    """What the database and the providers say."""
    say("bucket")
    found = [check async for check in checks.bucket(config)]
    say("wake-ups")
    found += [check async for check in checks.wake_ups(config)]
    say("push")
    found += [check async for check in push_checks.sign_ins(config)]
    location = config.database_location
    if isinstance(location, Path) and not location.is_file():
        advice = "the server makes it at its first start; if there was one, restore it from the backup"
        return [*found, Check("database", checks.WARN, f"there is none at {location}", advice)]
    say("database")
    try:
        async for check in _database(location, config):
            found.append(check)
    except migration_steps.SchemaTooNew as error:
        found.append(Check("schema", FAIL, str(error), "start the newer version, or restore an older backup"))
    except DatabaseError as error:
        advice = FILE_ADVICE if isinstance(location, Path) else "see whether the server runs, and its log"
        found.append(Check("database", FAIL, error.cause or str(error), advice))
    return found


async def _database(location: Location, config: Config) -> AsyncIterator[Check]:
    """Raises SchemaTooNew, DatabaseError."""
    if isinstance(location, MysqlLocation):
        async for check in server_checks.server(location):
            yield check
    schema = checks.schema(await inspect(location))
    yield schema
    if schema.status != OK:
        return
    db = open_database(location)
    try:
        if isinstance(location, Path):
            yield await checks.sqlite(db)
        clock = await steady_clock(db)
        yield checks.clock_jump(clock)
        async for check in checks.database(db, config, clock.ages()):
            yield check
    finally:
        await db.close()


def _print(found: list[Check]) -> None:
    for check in found:
        advice = f": {check.advice}" if check.advice else ""
        click.echo(f"{check.status:4}  {check.name}: {check.found}{advice}")
    counts = Counter(check.status for check in found)
    click.echo(", ".join(f"{counts[status]} {status}" for status in (OK, checks.WARN, FAIL)))
