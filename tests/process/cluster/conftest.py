# SPDX-License-Identifier: Apache-2.0
"""Two servers on two nodes of one cluster: each with a data directory of its own, one key ring, one image directory."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from models.keys import dump_key_ring, new_key_ring
from tests.process.cluster import galera
from tests.process.cluster.galera import Cluster, Node
from tests.support.harness import Server

DATABASE = "glimpse_cluster"


@dataclass(frozen=True)
class World:
    """The cluster of three, and the servers, the first on the first node."""

    cluster: Cluster
    servers: tuple[Server, Server]

    def rows(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        """Every row of a statement on the first node; parameters are `%s`."""
        connection = self.cluster.nodes[0].connect(DATABASE)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, values)
                return list(cursor.fetchall())
        finally:
            connection.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    if not galera.installed():
        assert os.environ.get("CI") != "true", "galera-4 and rsync are not installed (make test-deps)"
        pytest.skip("galera-4 and rsync are not installed (make test-deps)")
    folder = tmp_path_factory.mktemp("cluster")
    cluster = Cluster()
    servers: list[Server] = []
    try:
        connection = cluster.nodes[0].connect()
        connection.query(f"CREATE DATABASE {DATABASE}")
        connection.close()
        ring = dump_key_ring(new_key_ring())
        servers += [_server(folder / name, folder / "images", node, ring) for name, node in _places(cluster)]
        yield World(cluster, (servers[0].start(), servers[1].start()))
        assert [server.stop() for server in servers] == [0, 0]
    finally:
        for server in servers:
            if server.process and server.process.poll() is None:
                server.kill()
        cluster.close()


def _places(cluster: Cluster) -> list[tuple[str, Node]]:
    return [("east", cluster.nodes[0]), ("west", cluster.nodes[1])]


def _server(folder: Path, images: Path, node: Node, ring: str) -> Server:
    folder.mkdir()
    settings = {
        "database": {"url": node.url(DATABASE)},
        "storage": {"directory": str(images), "min_free_bytes": 1},
        "limits": {"enabled": False},
        "inbox": {"max_pending": 100_000},
        "retention": {"interval_seconds": 1},
    }
    server = Server(folder, settings)
    server.data_dir.mkdir(0o700)
    (server.data_dir / "keys.json").write_text(ring)
    (server.data_dir / "keys.json").chmod(0o600)
    return server
