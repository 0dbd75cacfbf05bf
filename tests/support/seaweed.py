# SPDX-License-Identifier: Apache-2.0
"""A private SeaweedFS, which is a real object store: its own directory and ports on loopback, gone when this process is
gone. One bucket; tests keep apart by a prefix of their own.
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx

from storage.bucket_settings import BucketSettings
from tests.support.guarded import Guarded

PROGRAM = Path(sys.executable).with_name("weed")
BUCKET = "glimpse-images"
KEYS = ("AKGLIMPSE", "only-of-this-test-run")
READER = ("AKREADER", "may-read-only")
IDENTITIES = {
    "identities": [
        {
            "name": "glimpse",
            "credentials": [{"accessKey": KEYS[0], "secretKey": KEYS[1]}],
            "actions": ["Admin", "Read", "Write", "List"],
        },
        {
            "name": "reader",
            "credentials": [{"accessKey": READER[0], "secretKey": READER[1]}],
            "actions": [f"Read:{BUCKET}", f"List:{BUCKET}"],
        },
    ]
}
PORTS = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")


class Seaweed(Guarded):
    """One that runs; some seconds to start. Raises RuntimeError with its log where it does not."""

    def __init__(self, parent: Path | None = None) -> None:
        """`parent`: the disk that it is to be on; in memory by default."""
        super().__init__("glimpse-weed-", parent)
        self._ports = dict(zip([*PORTS, "s3.port", "s3.port.grpc"], _free_ports(len(PORTS) + 2), strict=True))
        self.port = self._ports["s3.port"]
        (self.directory / "data").mkdir()
        (self.directory / "s3.json").write_text(json.dumps(IDENTITIES))
        try:
            self.start()
            self._make_bucket()
        except BaseException:
            self.close()
            raise

    @property
    def filer_port(self) -> int:
        return self._ports["filer.port"]

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def settings(self, **changed: Any) -> BucketSettings:
        """The bucket under a prefix that nobody else has."""
        keys = {"access_key_id": KEYS[0], "secret_access_key": KEYS[1]}
        usual = {"endpoint": self.endpoint, "bucket": BUCKET, "region": "us-east-1", "path_style": True, **keys}
        return BucketSettings(**{**usual, "prefix": f"test/{token_hex(8)}", **changed})

    def start(self) -> None:
        """Start it, again after `kill`, on the same ports; returns when it answers."""
        ports = [f"-{name}={port}" for name, port in self._ports.items()]
        own = [f"-s3.config={self.directory / 's3.json'}", "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        command = [
            *(str(PROGRAM), "server", f"-dir={self.directory / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
            *("-filer", "-s3", *ports, *own, "-s3.autoCreateBucket=false", "-master.telemetry=false"),
            *("-master.volumeSizeLimitMB=64", "-volume.max=100", f"-filer.localSocket={self.directory / 'filer.sock'}"),
            f"-s3.localSocket={self.directory / 's3.sock'}",
        ]
        self._wait(self.run(command, cwd=self.directory))

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            try:
                httpx.get(self.endpoint, trust_env=False, verify=False, timeout=5)
            except httpx.HTTPError:
                time.sleep(0.1)
            else:
                return
        raise RuntimeError(f"weed did not start:\n{self.log.read_text()}")

    def _make_bucket(self) -> None:
        """By the filer, whose folders buckets are."""
        folder = f"http://127.0.0.1:{self._ports['filer.port']}/buckets/{BUCKET}/"
        assert httpx.post(folder, trust_env=False, verify=False, timeout=30).status_code == 201


def as_config(settings: BucketSettings) -> Mapping[str, Any]:
    """The section `storage` of a server that has its images there."""
    return {"kind": "s3", "s3": asdict(settings), "min_free_bytes": 1}


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
