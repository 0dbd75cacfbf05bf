# SPDX-License-Identifier: Apache-2.0
"""Other people's servers that take and give files, each started on loopback: SeaweedFS, Synapse, Prosody.

None of them promises what we do; what each does is said in docs/speed.md. What is not installed is left out by name.
"""

import base64
import hashlib
import hmac
import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.load import Request
from bench.targets import ROOT, Target, free_port, process, wait_for
from tests.support.seaweed import PROGRAM, Seaweed

SYNAPSE = ROOT / ".venv-synapse" / "bin" / "python"
"""Made by `make bench-deps`: its requirements are not ours."""
PROSODY_CONF = """
pidfile = "{folder}/prosody.pid"
data_path = "{folder}/data"
run_as_root = true
http_interfaces = {{ "127.0.0.1" }}
http_ports = {{ {port} }}
https_ports = {{ }}
c2s_ports = {{ }}
s2s_ports = {{ }}
modules_disabled = {{ "s2s", "tls" }}
log = {{ error = "{folder}/error.log" }}
VirtualHost "localhost"
Component "upload.localhost" "http_file_share"
http_file_share_secret = "{secret}"
http_file_share_daily_quota = 1e15
http_file_share_global_quota = 1e15
"""
SYNAPSE_CONF = """
server_name: localhost
pid_file: {folder}/homeserver.pid
listeners:
  - {{bind_addresses: [127.0.0.1], port: {port}, type: http, resources: [{{names: [client, media]}}]}}
database: {{name: sqlite3, args: {{database: {folder}/homeserver.db}}}}
media_store_path: {folder}/media
signing_key_path: {folder}/signing.key
report_stats: false
enable_registration: true
enable_registration_without_verification: true
trusted_key_servers: []
"""
SECONDS_OF_A_SLOT = 3600


@dataclass(frozen=True, slots=True)
class Other:
    """One way to hand a file to a server and to have it back. `names` makes as many new names as are wanted."""

    name: str
    target: Target
    upload: Request
    download: Request
    names: Callable[[int], Sequence[str]]


def _new_names(count: int) -> Sequence[str]:
    start = secrets.token_hex(4)
    return [f"{start}-{number}.jpg" for number in range(count)]


@contextmanager
def seaweed(folder: Path, picture: bytes) -> Iterator[list[Other]]:
    """Its filer, as it comes and with a sync of each file."""
    folder.mkdir()
    weed = Seaweed(parent=folder)
    try:
        target = Target(weed.pid, weed.filer_port)
        there = f"http://127.0.0.1:{weed.filer_port}/bench/there.jpg"
        httpx.put(there, content=picture, trust_env=False).raise_for_status()
        download = Request("GET /bench/there.jpg HTTP/1.1\r\nHost: b\r\n\r\n", 200)
        how = f"HTTP/1.1\r\nHost: b\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
        yield [
            Other(name, target, Request(f"PUT /bench/{{}}{query} {how}", 201, picture), download, _new_names)
            for name, query in (("seaweed", ""), ("seaweed synced", "?fsync=true"))
        ]
    finally:
        weed.close()


@contextmanager
def synapse(folder: Path, picture: bytes) -> Iterator[list[Other]]:
    """A Matrix homeserver on SQLite: a person's media, without the thumbnails that it makes of images."""
    folder.mkdir()
    port = free_port()
    conf = folder / "homeserver.yaml"
    conf.write_text(SYNAPSE_CONF.format(folder=folder, port=port))
    run = [str(SYNAPSE), "-m", "synapse.app.homeserver", "-c", str(conf)]
    subprocess.run([*run, "--generate-missing-configs"], check=True, capture_output=True)
    with process(run, log=folder / "log") as started:
        wait_for(port)
        base = f"http://127.0.0.1:{port}/_matrix"
        person = {"username": "ann", "password": secrets.token_hex(8), "auth": {"type": "m.login.dummy"}}
        made = httpx.post(f"{base}/client/v3/register", json=person, trust_env=False, timeout=30).raise_for_status()
        bearer = f"Authorization: Bearer {made.json()['access_token']}\r\n"
        kind = "Content-Type: application/octet-stream\r\n"
        headers = {"Authorization": f"Bearer {made.json()['access_token']}", "Content-Type": "application/octet-stream"}
        stored = httpx.post(f"{base}/media/v3/upload", content=picture, headers=headers, trust_env=False, timeout=30)
        media = stored.raise_for_status().json()["content_uri"].rpartition("/")[2]
        length = f"Content-Length: {len(picture)}\r\n"
        upload = f"POST /_matrix/media/v3/upload HTTP/1.1\r\nHost: localhost\r\n{bearer}{kind}{length}\r\n"
        download = (
            f"GET /_matrix/client/v1/media/download/localhost/{media} HTTP/1.1\r\nHost: localhost\r\n{bearer}\r\n"
        )
        target = Target(started.pid, port)
        yield [Other("synapse", target, Request(upload, 200, picture), Request(download, 200), lambda _: ())]


@contextmanager
def prosody(folder: Path, picture: bytes) -> Iterator[list[Other]]:
    """An XMPP server's HTTP upload (XEP-0363), its slots given out by us as it would."""
    (folder / "data").mkdir(parents=True)
    port, secret = free_port(), secrets.token_hex(16)
    conf = folder / "prosody.cfg.lua"
    conf.write_text(PROSODY_CONF.format(folder=folder, port=port, secret=secret))

    def slot(number: str) -> str:
        """What follows the path in a request for a new slot: a name of its own, and the token for that."""
        now = int(time.time())
        about = {"sub": "ann@localhost", "iat": now, "exp": now + SECONDS_OF_A_SLOT, "slot": number}
        file = {"filename": "x.jpg", "filesize": len(picture), "filetype": "image/jpeg"}
        return f"{number}/x.jpg HTTP/1.1\r\nAuthorization: Bearer {_token(secret, about | file)}"

    def slots(count: int) -> Sequence[str]:
        start = secrets.token_hex(4)
        return [slot(f"{start}{number}") for number in range(count)]

    with process(["prosody", "--config", str(conf), "-F"], log=folder / "log") as started:
        wait_for(port)
        head = f"PUT /file_share/{{}}\r\nHost: upload.localhost\r\nContent-Length: {len(picture)}\r\n\r\n"
        path, _, token = slot("there").partition(" HTTP/1.1\r\nAuthorization: ")
        there = f"http://127.0.0.1:{port}/file_share/{path}"
        headers = {"Host": "upload.localhost", "Authorization": token}
        httpx.put(there, content=picture, headers=headers, trust_env=False).raise_for_status()
        download = Request(f"GET /file_share/{path} HTTP/1.1\r\nHost: upload.localhost\r\n\r\n", 200)
        yield [Other("prosody", Target(started.pid, port), Request(head, 201, picture), download, slots)]


def _token(secret: str, payload: dict[str, object]) -> str:
    """A JSON Web Token (RFC 7519), signed by HS256."""
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, payload)]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = hmac.digest(secret.encode(), signed, hashlib.sha256)
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def missing() -> list[str]:
    """Which of them are not installed."""
    there = {
        "SeaweedFS": PROGRAM.exists(),
        "Synapse (make bench-deps)": SYNAPSE.exists(),
        "Prosody (make bench-deps)": shutil.which("prosody") is not None,
    }
    return [name for name, is_there in there.items() if not is_there]


@contextmanager
def all_that_are_there(folder: Path, picture: bytes) -> Iterator[list[Other]]:
    """Each that is installed, for the length of a block."""
    gone = " ".join(missing())
    ways = {"SeaweedFS": seaweed, "Synapse": synapse, "Prosody": prosody}
    with ExitStack() as stack:
        (folder / "others").mkdir()
        there = [start for name, start in ways.items() if name not in gone]
        yield [
            other
            for start in there
            for other in stack.enter_context(start(folder / "others" / start.__name__, picture))
        ]
