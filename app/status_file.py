# SPDX-License-Identifier: Apache-2.0
"""`status.json` in the data directory: what the main process says of its generations, and `ops status` reads.

It need not survive a power cut: who reads it looks whether that process lives.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

NAME = "status.json"


def write_status(data_dir: Path, status: Mapping[str, Any]) -> None:
    """Put this in place of what was said before, in one step. A disk that takes nothing is not this file's concern."""
    draft = data_dir / f".{NAME}"
    with suppress(OSError):
        draft.unlink(missing_ok=True)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
            json.dump(status, file)
        draft.rename(data_dir / NAME)


def forget_status(data_dir: Path) -> None:
    with suppress(OSError):
        (data_dir / NAME).unlink(missing_ok=True)


def read_status(data_dir: Path) -> dict[str, Any] | None:
    """What was said last; None where nothing was, or its process is gone."""
    try:
        status: dict[str, Any] = json.loads((data_dir / NAME).read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return status if Path(f"/proc/{status['pid']}").is_dir() else None
