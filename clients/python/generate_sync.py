# SPDX-License-Identifier: Apache-2.0
"""Makes `glimpse_client.sync` of `glimpse_client.aio`: one code, two clients.

    .venv/bin/python clients/python/generate_sync.py

A test says whether it was forgotten.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent / "src" / "glimpse_client"
SYNC_HEAD = "# Made by generate_sync.py of the module of this name in glimpse_client.aio: change that one.\n"
WORDS = {
    r"\basync (def|with|for)\b": r"\1",
    r"\bawait ": "",
    r"\bAsyncGenerator\[(\w+), None\]": r"Generator[\1, None, None]",
    r"\bAsync(Client|Calls|Following|Generator|Iterator|BaseTransport)\b": r"\1",
    r"\basynccontextmanager\b": "contextmanager",
    r"\baclosing\b": "closing",
    r"\ba(close|read|iter_raw|iter_bytes)\b": r"\1",
    r"\b__a(enter|exit|iter|next)__\b": r"__\1__",
    r"\bplatform_async\b": "platform_sync",
    r"\bglimpse_client\.aio\b": "glimpse_client.sync",
    r"\basynchronous\b": "synchronous",
}


def generated() -> Iterator[tuple[Path, str]]:
    """Each module of the synchronous client, and what it holds before it is formatted."""
    for source in sorted((HERE / "aio").glob("*.py")):
        text = source.read_text("utf-8")
        for pattern, replacement in WORDS.items():
            text = re.sub(pattern, replacement, text)
        licence, _, rest = text.partition("\n")
        yield HERE / "sync" / source.name, f"{licence}\n{SYNC_HEAD}{rest}"


def formatted(path: Path, text: str) -> str:
    """As ruff, with the project's settings, wants it."""
    for command in (["check", "--fix-only", "--quiet"], ["format"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(path), "-"]
        text = subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout  # noqa: S603
    return text


if __name__ == "__main__":
    for path, text in generated():
        path.write_text(formatted(path, text), "utf-8")
