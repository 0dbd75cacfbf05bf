# SPDX-License-Identifier: Apache-2.0
"""How many files a process may open, and how many connections that allows it."""

import logging
import resource

from config.load import Config

ENOUGH_FILES = 65_536
"""Asked for where the system has no limit of its own."""
OWN_FILES = 64
"""Database, store, logs, sockets to vendors and the interpreter's own, with room to spare."""
FILES_PER_WORKER = 4  # its two ends of the worker bus, its metrics port, and one to spare
LEAST_CONNECTIONS = 16
"""With room for fewer a server would start and serve next to nobody."""
FILES_PER_CONNECTION = 3  # a download holds its socket, a duplicate of it, and the image

log = logging.getLogger("glimpse.server")


def own_files(config: Config) -> int:
    """What a process has open beside its connections, those of the workers beside it included."""
    return OWN_FILES + FILES_PER_WORKER * config.server.workers


def wanted_files(config: Config) -> int:
    """What a process opens with all its connections taken."""
    return own_files(config) + FILES_PER_CONNECTION * config.server.max_connections


def too_few_files(config: Config) -> str:
    """Why the server does not start with the open files that it may have; empty if it does."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    least = own_files(config) + FILES_PER_CONNECTION * min(LEAST_CONNECTIONS, config.server.max_connections)
    if hard == resource.RLIM_INFINITY or hard >= least:
        return ""
    return (
        f"server.max_connections: {hard} open files are allowed, at least {least} are needed and"
        f" {wanted_files(config)} for all connections: raise LimitNOFILE or ulimit -Hn"
    )


def connections_at_most(wanted: int, own: int) -> int:
    """As many connections as were asked for, or as the open files allow beside `own`: without one to spare, accepting
    spins.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = hard if hard != resource.RLIM_INFINITY else max(soft, ENOUGH_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    possible = (limit - own) // FILES_PER_CONNECTION
    if possible < wanted:
        log.warning("few open files are allowed", extra={"limit": limit, "connections": possible})
    return max(1, min(wanted, possible))
