# SPDX-License-Identifier: Apache-2.0
"""Settings that are allowed and may do something else than they seem to: what will happen."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime

from config.addresses import is_loopback
from config.exposure import is_public
from config.files import certificates
from config.load import Config


def warnings(config: Config) -> list[str]:
    """One line each, beginning with the key."""
    return [*_of_server(config), *_of_certificate(config), *_of_sizes(config), *_of_data_dir(config)]


def _of_server(config: Config) -> Iterator[str]:
    server, metrics, rooms = config.server, config.metrics, config.samples.room_socket_port
    if server.behind_proxy and not server.trusted_proxies:
        yield (
            "server.trusted_proxies: is empty, so X-Forwarded-For is not believed, and all clients share the rates of"
            " the proxy's address"
        )
    if server.trusted_proxies and not server.behind_proxy:
        yield "server.trusted_proxies: has no effect while server.behind_proxy is false"
    if not is_loopback(metrics.host):
        effect = "whoever reaches it may read the metrics" if metrics.port else "no effect while metrics.port is 0"
        yield f"metrics.host: is more than this machine: {effect}"
    taken = {server.port, *(range(metrics.port, metrics.port + server.workers) if metrics.port else ())}
    if rooms and rooms in taken and config.samples.enabled is not False:
        yield "samples.room_socket_port: is taken by another port of this server; there will be no room socket"
    if is_public(config) and not config.limits.enabled:
        yield "limits.enabled: is false, so anybody may ask for as much as this machine can do"


def _of_certificate(config: Config) -> Iterator[str]:
    if not config.server.tls.cert:
        return
    first, now = certificates(config.server.tls.cert)[0], datetime.now(UTC)
    if now > first.not_valid_after_utc:
        yield f"server.tls.cert: has expired at {first.not_valid_after_utc:%Y-%m-%d %H:%MZ}; clients refuse it"
    if now < first.not_valid_before_utc:
        yield f"server.tls.cert: begins at {first.not_valid_before_utc:%Y-%m-%d %H:%MZ}; until then clients refuse it"


def _of_sizes(config: Config) -> Iterator[str]:
    largest = config.images.max_bytes
    rooms = {
        "uploads.unknown_caller_max_bytes": config.uploads.unknown_caller_max_bytes,
        "inbox.max_pending_bytes": config.inbox.max_pending_bytes,
        "storage.max_bytes": config.storage.max_bytes or largest,
    }
    for key, room in rooms.items():
        if room < largest:
            yield f"{key}: is less than images.max_bytes; images of more than {room} bytes will be refused there"


def _of_data_dir(config: Config) -> Iterator[str]:
    """Files that root makes in another user's directory are in that user's way later."""
    if config.data_dir.is_dir() and config.data_dir.stat().st_uid != os.geteuid():
        owner = config.data_dir.stat().st_uid
        yield f"data_dir: belongs to user {owner}, and this runs as user {os.geteuid()}, whose the new files will be"
