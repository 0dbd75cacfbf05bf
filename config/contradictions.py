# SPDX-License-Identifier: Apache-2.0
"""What is wrong with settings that are right one by one."""

from collections.abc import Iterator

from config.files import check_pair
from config.sections import Chat, Config, Push, Section, Sms, Storage, Switch, Tls

HIGHEST_PORT = 65_535


def contradictions(config: Config) -> Iterator[str]:
    """One line each, beginning with the key."""
    if config.server.workers > 1 and config.database_path:
        yield "server.workers: must be 1 with SQLite; more processes need a database.url of MySQL or MariaDB"
    if config.wake.url.get_secret_value() and config.database_path:
        yield "wake.url: is for several machines; with SQLite there is one"
    yield from _of_ports(config)
    yield from _of_tls(config.server.tls)
    yield from _of_sms(config.sms)
    yield from _of_push(config.push)
    yield from _of_chat(config.chat)
    yield from _of_storage(config.storage)
    yield from _of_offload(config)
    yield from _of_lifetimes(config)


def _of_ports(config: Config) -> Iterator[str]:
    first, workers = config.metrics.port, config.server.workers
    if first and config.server.port in range(first, first + workers):
        each = "" if workers == 1 else f"; each of the {workers} workers has one, from metrics.port on"
        yield f"metrics.port: must not be server.port; metrics are for operators alone{each}"
    if first and first + workers - 1 > HIGHEST_PORT:
        yield f"metrics.port: must leave a port for each of the {workers} workers, up to {HIGHEST_PORT}"
    taken = {config.server.port, *(range(first, first + workers) if first else ())}
    if config.admin.port and config.admin.port in taken:
        yield "admin.port: must be neither server.port nor one of metrics.port; it is for this machine alone"


def _of_tls(tls: Tls) -> Iterator[str]:
    if bool(tls.cert) != bool(tls.key):
        yield "server.tls.cert, server.tls.key: give both or none"
    elif tls.cert:
        try:
            check_pair(tls.cert, tls.key)
        except ValueError as error:
            yield f"server.tls.key: {error}"


def _of_sms(sms: Sms) -> Iterator[str]:
    gateway = getattr(sms, sms.provider, None)
    for key in gateway.missing if isinstance(gateway, Section) else ():
        yield f"sms.{sms.provider}.{key}: is needed, since sms.provider is {sms.provider}"


def _of_offload(config: Config) -> Iterator[str]:
    offload, kind, server = config.delivery.offload, config.storage.kind, config.server
    if offload == "presigned" and kind != "s3":
        yield "delivery.offload: presigned needs storage.kind s3"
    if offload == "x-accel" and not (kind == "disk" and server.behind_proxy and server.trusted_proxies):
        yield "delivery.offload: x-accel needs storage.kind disk, server.behind_proxy and server.trusted_proxies"


def _of_storage(storage: Storage) -> Iterator[str]:
    s3 = storage.s3
    if storage.kind == "s3" and s3.missing:
        yield f"storage.s3: {', '.join(s3.missing)} must be given too, since storage.kind is s3"
    if bool(s3.access_key_id) != bool(s3.secret_access_key.get_secret_value()):
        yield "storage.s3.access_key_id, storage.s3.secret_access_key: give both or none"


def _of_push(push: Push) -> Iterator[str]:
    chosen = push.default_provider
    for name, vendor in push.sections.items():
        named = {f"push.{name}.apps.{app}": keys for app, keys in getattr(vendor, "apps", {}).items()}
        plain = {f"push.{name}": vendor} if vendor.is_begun or chosen == name else {}
        for path, app in {**plain, **named}.items():
            if app.missing:
                yield f"{path}: {', '.join(app.missing)} must be given too"
    switch = push.sections.get(chosen)
    if isinstance(switch, Switch) and not switch.enabled:
        yield f"push.{chosen}.enabled: must be true, since push.default_provider is {chosen}"


def _of_chat(chat: Chat) -> Iterator[str]:
    agora, sendbird = chat.agora, chat.sendbird
    if bool(agora.app_id) != bool(agora.app_certificate):
        yield "chat.agora.app_id, chat.agora.app_certificate: give both or none"
    if bool(agora.org_name) != bool(agora.app_name):
        yield "chat.agora.org_name, chat.agora.app_name: give both or none"
    if bool(sendbird.base_url) != bool(sendbird.api_token):
        yield "chat.sendbird.base_url, chat.sendbird.api_token: give both or none"


def _of_lifetimes(config: Config) -> Iterator[str]:
    least = 2 * config.longest_upload_seconds
    if config.orphan_seconds < least:
        yield (
            f"retention.orphan_seconds: must be at least {least}, twice the longest upload that images.max_bytes"
            " and uploads.min_bytes_per_second allow; a younger file may still get its row"
        )
    if config.messages.retention_days * 86_400 < config.images.ttl_seconds:
        yield "messages.retention_days: is shorter than images.ttl_seconds; an image would outlive its message"
    if config.server.behind_proxy and config.delivery.proxy_grace_seconds < config.delivery.grace_seconds:
        yield "delivery.proxy_grace_seconds: is shorter than delivery.grace_seconds; a proxy needs the longer one"
