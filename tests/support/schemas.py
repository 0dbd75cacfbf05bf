# SPDX-License-Identifier: Apache-2.0
"""Databases as earlier versions left them: with the first of the migrations that ship."""

from pathlib import Path
from shutil import copy

from models.db.engine import parse_url
from models.db.migration_steps import FOLDER
from models.db.mysql import migrate as mysql_migrate
from models.db.mysql.connection import MysqlLocation
from models.db.sqlite import migrate as sqlite_migrate
from tests.support.engines import Engine


def steps_up_to(last: int, folder: Path) -> Path:
    """The folder, with these steps alone in it."""
    folder.mkdir()
    for file in FOLDER.iterdir():
        if int(file.name[:4]) <= last:
            copy(file, folder)
    return folder


async def make(engine: Engine, steps: Path) -> None:
    """Give a new database the schema of the version that had these steps."""
    location = parse_url(engine.url)
    if isinstance(location, MysqlLocation):
        await mysql_migrate.run(location, steps)
    else:
        location.parent.mkdir(exist_ok=True)
        sqlite_migrate.run(location, steps)
