# SPDX-License-Identifier: Apache-2.0
"""Keys of a bucket that no configuration holds: from the environment, and from the role of the machine."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support import PATIENCE, ROOT
from tests.support.seaweed import KEYS, Seaweed

PUT = """
import asyncio, json, os, sys
from storage.bucket import Bucket
from storage.bucket_settings import BucketSettings
bucket = Bucket(BucketSettings(**json.loads(sys.argv[1])))
asyncio.run(bucket.put("probe", b"Glimpse"))
print(asyncio.run(bucket.is_used()), flush=True)
os._exit(0)  # as the server does: the store's threads may abort an interpreter that is being torn down
"""
TOKEN, ROLE = "of-a-session", "glimpse-role"


def put_with(seaweed: Seaweed, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, whose configuration has no keys, writes to the bucket and looks."""
    settings = json.dumps(asdict(seaweed.settings(access_key_id="", secret_access_key="")))
    known = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(
        [sys.executable, "-c", PUT, settings],
        env={**known, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


@contextmanager
def metadata_service(secret: str) -> Iterator[tuple[str, list[str]]]:
    """What a machine in the cloud asks who it is: its address, and what it was asked.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html
    """
    asked: list[str] = []
    folder = "/latest/meta-data/iam/security-credentials/"

    class Answers(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self._say(TOKEN if self.path == "/latest/api/token" else "")

        def do_GET(self) -> None:
            if self.headers["X-aws-ec2-metadata-token"] != TOKEN:
                self.send_error(401)
                return
            later = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
            keys = {"AccessKeyId": KEYS[0], "SecretAccessKey": secret, "Token": "", "Expiration": later}
            whole = {"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": later, **keys}
            self._say({folder: ROLE, folder + ROLE: json.dumps(whole)}.get(self.path, ""))

        def _say(self, text: str) -> None:
            asked.append(f"{self.command} {self.path}")
            self.send_response(200 if text else 404)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_keys_come_from_the_environment(seaweed: Seaweed) -> None:
    done = put_with(seaweed, AWS_ACCESS_KEY_ID=KEYS[0], AWS_SECRET_ACCESS_KEY=KEYS[1])
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr
    refused = put_with(seaweed, AWS_ACCESS_KEY_ID=KEYS[0], AWS_SECRET_ACCESS_KEY="another")
    assert "the secret key" in refused.stderr


def test_keys_come_from_the_machines_role(seaweed: Seaweed) -> None:
    with metadata_service(KEYS[1]) as (address, asked):
        done = put_with(seaweed, AWS_METADATA_ENDPOINT=address)
        assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr
    assert asked[-1] == f"GET /latest/meta-data/iam/security-credentials/{ROLE}"
    with metadata_service("another") as (address, _):
        refused = put_with(seaweed, AWS_METADATA_ENDPOINT=address)
    assert "the secret key" in refused.stderr
