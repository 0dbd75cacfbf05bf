# SPDX-License-Identifier: Apache-2.0
"""The file of the `log` providers, for a server on the developer's own machine: one JSON line for each push or SMS.

It holds tokens, numbers and codes in clear, so its owner alone may read it.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def append(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Append each record as one line; the file is made, and kept, at mode 0600. Raises OSError."""
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(lines.encode())
