# SPDX-License-Identifier: Apache-2.0
"""Every statement that the server keeps."""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass

import models.db.tables
from models.db.database import Statement


def statements() -> Iterator[tuple[str, Statement]]:
    """Those of the modules of models.db.tables, by their names there."""
    for module in pkgutil.iter_modules(models.db.tables.__path__, "models.db.tables."):
        for name, value in vars(importlib.import_module(module.name)).items():
            for statement in _inside(value):
                yield f"{module.name}.{name}", statement


def _inside(value: object) -> Iterable[Statement]:
    if isinstance(value, Statement):
        return [value]
    if isinstance(value, Mapping):
        return [item for item in value.values() if isinstance(item, Statement)]
    if isinstance(value, list | tuple):
        return [statement for item in value for statement in _inside(item)]
    if is_dataclass(value) and not isinstance(value, type):
        return [item for field in fields(value) for item in _inside(getattr(value, field.name))]
    return []
