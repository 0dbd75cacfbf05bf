# SPDX-License-Identifier: Apache-2.0
"""What `doctor` looks at of a MySQL or MariaDB server: whether it can serve, and keeps what it has accepted."""

from collections.abc import AsyncIterator, Iterator

from models.db.mysql import server_settings as mysql_server
from models.db.mysql.connection import MysqlLocation
from models.db.mysql.server_settings import ServerFacts
from ops.checks import FAIL, OK, WARN, Check

SYNCED = "Synced"


async def server(location: MysqlLocation) -> AsyncIterator[Check]:
    """One line for each thing that can be wrong with it. Raises DatabaseError when it cannot be had."""
    facts = await mysql_server.look(location)
    if facts.refusal:
        yield Check("server", FAIL, facts.refusal, "upgrade it")
        return
    yield Check("server", OK, f"is {facts.version}")
    for check in (*_durability(facts), _way(location), *_cluster(facts)):
        yield check


def _durability(facts: ServerFacts) -> Iterator[Check]:
    """Whether what was accepted survives a crash, and anything can be accepted."""
    if facts.read_only:
        yield Check(
            "server", FAIL, "is read-only: nothing can be sent", "SET GLOBAL read_only = 0, or name its primary"
        )
    if facts.flush_log_at_commit != 1:
        said = f"innodb_flush_log_at_trx_commit is {facts.flush_log_at_commit}"
        yield Check("durability", FAIL, said, "set it to 1, or a crash takes what was accepted in the last second")
    elif facts.sync_binlog not in (None, 1):
        said = f"sync_binlog is {facts.sync_binlog}"
        yield Check("durability", WARN, said, "set it to 1, or replicas differ after a power cut")
    else:
        yield Check("durability", OK, "a commit is on the disk")


def _way(location: MysqlLocation) -> Check:
    if location.ssl_ca:
        return Check("way", OK, "the server proves its name by TLS")
    return Check("way", OK, "the server is on this machine")


def _cluster(facts: ServerFacts) -> Iterator[Check]:
    """Whether a node of a cluster has its part in it."""
    if facts.cluster == SYNCED:
        yield Check("cluster", OK, "the node is in step with the others")
    elif facts.cluster:
        advice = "until it is Synced it may refuse everything: look at its log and at the other nodes"
        yield Check("cluster", FAIL, f"the node is {facts.cluster}", advice)
