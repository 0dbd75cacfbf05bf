# SPDX-License-Identifier: Apache-2.0
"""`python -m bench.uploads`: the server's processor time of an image in one request, and by tus in one and ten."""

import os
import tempfile
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import click

from tests.support.harness import Person, running
from tests.support.pictures import jpeg

SETTINGS = {
    "limits": {"enabled": False},
    "inbox": {
        "max_pending": 100_000,
        "max_pending_bytes": 1 << 40,
        "strangers_percent": 100,
        "per_stranger_percent": 100,
    },
}
TUS = {"Tus-Resumable": "1.0.0"}
PIECE = {**TUS, "Content-Type": "application/offset+octet-stream"}


def by_form(ann: Person, ben: Person, picture: bytes) -> None:
    assert ann.send(ben, picture).status_code == 201


def by_body(ann: Person, ben: Person, picture: bytes) -> None:
    sent = ann.request("POST", "/v1/uploads", params={"receiver_uid": ben.uid}, content=picture)
    assert sent.status_code == 201


def by_tus(ann: Person, ben: Person, picture: bytes, pieces: int) -> None:
    to = f"receiver_uid {b64encode(str(ben.uid).encode()).decode()}"
    said = {**TUS, "Upload-Length": str(len(picture)), "Upload-Metadata": to}
    upload = ann.request("POST", "/v1/uploads", headers=said).headers["Location"]
    step = -(-len(picture) // pieces)
    for offset in range(0, len(picture), step):
        headers = {**PIECE, "Upload-Offset": str(offset)}
        assert ann.request("PATCH", upload, headers=headers, content=picture[offset : offset + step]).status_code == 204


WAYS: dict[str, Callable[[Person, Person, bytes], None]] = {
    "POST /v1/images": by_form,
    "POST /v1/uploads, whole": by_body,
    "tus, one piece": lambda ann, ben, picture: by_tus(ann, ben, picture, 1),
    "tus, ten pieces": lambda ann, ben, picture: by_tus(ann, ben, picture, 10),
}


def seconds_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@click.command()
@click.option("--images", default=100, show_default=True, help="How many a way and a size.")
@click.option("--rounds", default=3, show_default=True, help="How often each way has its turn.")
def main(images: int, rounds: int) -> None:
    """Print milliseconds of the server's processor for an image, each way, the least of some rounds."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), SETTINGS) as server:
        assert server.process
        ann, ben = server.register("Ann"), server.register("Ben")
        for size in (340_000, 4_000_000):
            picture, count = jpeg(size), max(1, images * 340_000 // size)
            least = dict.fromkeys(WAYS, float("inf"))
            for _ in range(rounds):
                for name, send in WAYS.items():
                    before = seconds_of(server.process.pid)
                    for _ in range(count):
                        send(ann, ben, picture)
                    least[name] = min(least[name], (seconds_of(server.process.pid) - before) / count * 1000)
            click.echo(f"{size} bytes, ms of processor an image")
            for name, spent in least.items():
                click.echo(f"  {name:24} {spent:7.2f}")


if __name__ == "__main__":
    main()
