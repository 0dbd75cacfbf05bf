# SPDX-License-Identifier: Apache-2.0
"""A real Galera cluster of MariaDB servers on loopback, each node a process with a directory and ports of its own."""

import os
import shutil
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

from tests.support.harness import wait_until
from tests.support.mariadb import MariaDB

PROVIDERS = ("/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so", "/usr/lib/libgalera_smm.so")
# A dead node is given up after two to three seconds; the defaults wait for a network that is slow.
TIMING = "evs.keepalive_period=PT0.5S;evs.suspect_timeout=PT2S;evs.inactive_timeout=PT6S;evs.install_timeout=PT5S"
NEW_CLUSTER = "--wsrep-new-cluster"


def installed() -> bool:
    """Whether this machine has what a cluster needs: Debian's mariadb-server, galera-4 and rsync."""
    return bool(_provider() and all(shutil.which(name) for name in ("mariadbd", "mariadb-install-db", "rsync")))


def _provider() -> str:
    return next((path for path in PROVIDERS if Path(path).exists()), "")


class Node(MariaDB):
    """One member. The first makes the cluster; the others are given all data by one that is in it."""

    def __init__(self, number: int, ports: "Ports", members: Sequence["Ports"]) -> None:
        """Start it and wait until it has joined. Raises RuntimeError with its log."""
        self.first = number == 0
        self.address = ports.address
        super().__init__(*_options(number, ports, members), *([NEW_CLUSTER] if self.first else []))

    def _install(self) -> None:
        if self.first:
            super()._install()
            return
        data = self.directory / "data"
        data.mkdir()
        if os.geteuid() == 0:
            shutil.chown(self.directory, "mysql")
            shutil.chown(data, "mysql")

    def start(self) -> None:
        """As `MariaDB.start`; returns when the node takes statements as a member of its cluster."""
        super().start()
        self.options = tuple(option for option in self.options if option != NEW_CLUSTER)
        wait_until(lambda: self.ready, what="a node in its cluster", pause=0.05)

    @property
    def ready(self) -> bool:
        return self.status("wsrep_ready") == "ON"

    @property
    def size(self) -> int:
        """How many members it sees."""
        return int(self.status("wsrep_cluster_size"))

    def status(self, name: str) -> str:
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute("SHOW GLOBAL STATUS LIKE %s", (name,))
                rows = cursor.fetchall()
                return str(rows[0][1])
        finally:
            connection.close()

    def running_statements(self) -> str:
        """What clients have asked and not been told yet."""
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute("SHOW FULL PROCESSLIST")
                return "\n".join(str(row[7]) for row in cursor.fetchall())
        finally:
            connection.close()

    def freeze(self) -> None:
        """Stop it where it is, as a machine that hangs or is cut off."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)


class Ports:
    """Where a node talks to the others: the group's messages, and what a node that joins is sent. Each node has an
    address of its own, from which it also calls, so that two can be parted from each other.
    """

    def __init__(self, number: int) -> None:
        self.address = f"127.0.0.{11 + number}"
        self.group, self.increment, self.state = _free_ports(self.address, 3)


def _free_ports(address: str, count: int) -> list[int]:
    probes = [socket.create_server((address, 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _options(number: int, ports: Ports, members: Sequence[Ports]) -> list[str]:
    """Source: https://galeracluster.com/library/documentation/galera-parameters.html"""
    provider = (
        f"gmcast.listen_addr=tcp://{ports.address}:{ports.group}",
        f"ist.recv_addr={ports.address}:{ports.increment}",
        "gcache.size=16M",
        "evs.join_retrans_period=PT0.2S",
        "pc.recovery=false",
        TIMING,
    )
    return [
        *("--wsrep-on=ON", f"--wsrep-provider={_provider()}", f"--wsrep-provider-options={';'.join(provider)}"),
        "--wsrep-cluster-address=gcomm://" + ",".join(f"{member.address}:{member.group}" for member in members),
        *("--wsrep-cluster-name=glimpse", f"--wsrep-node-name=node{number}"),
        f"--wsrep-node-address={ports.address}:{ports.group}",
        f"--wsrep-sst-receive-address={ports.address}:{ports.state}",
        *("--wsrep-sst-method=rsync", "--wsrep-slave-threads=4"),
        *("--binlog-format=ROW", "--innodb-autoinc-lock-mode=2", "--default-storage-engine=InnoDB"),
    ]


class Cluster:
    """So many nodes, in their cluster when this is made."""

    def __init__(self, size: int = 3) -> None:
        """About four seconds for each node that is given its data. Raises RuntimeError."""
        members = [Ports(number) for number in range(size)]
        self.nodes: list[Node] = []
        try:
            for number, ports in enumerate(members):
                self.nodes.append(Node(number, ports, members))
            self.wait_until_whole()
        except BaseException:
            self.close()
            raise

    def wait_until_whole(self) -> None:
        wait_until(
            lambda: all(node.ready and node.size == len(self.nodes) for node in self.nodes),
            what="the whole cluster",
            pause=0.05,
        )

    def close(self) -> None:
        for node in self.nodes:
            node.close()
