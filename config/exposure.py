# SPDX-License-Identifier: Apache-2.0
"""The start-up guard: what must be changed before a server may listen beyond this machine. It decides, nothing more."""

import re
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

from config.addresses import address_of, is_loopback
from config.load import Config
from config.sources import flat
from models.private_files import ADMIN_KEY, KEY_RING, VAPID_KEY

LAN = [
    ip_network(network)
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10")
]
"""RFC 1918, RFC 3927, RFC 4193 and RFC 4291 section 2.5.6."""

# RFC 2606, section 3. On loopback, where the emulators stand, they do no harm.
EXAMPLE = re.compile(r"[@./]example\.(com|net|org)([/:?#]|$)", re.IGNORECASE)

BANNER = """\
server.development_lan is on: {host} is served without the checks that a public server passes.
Whoever reaches this machine can register any phone number, and everything travels unencrypted.
{reach}Use it with a phone on the desk, never on the Internet."""
EVERYWHERE = "{host} means every address of this machine, public ones too.\n"


def guard(config: Config) -> list[str]:
    """Why a server with these settings must not listen; each line says what to change. Empty: it may.

    On loopback everything goes. `server.development_lan` excuses private addresses, and 0.0.0.0 and :: (what one
    types to reach a phone), from everything but open secret files.
    """
    if is_loopback(config.server.host):
        return []
    refusals = [f"{path} is open to other users of this machine: chmod 600 {path}" for path in _open_secrets(config)]
    if not is_public(config):
        return refusals
    refusals += _unsafe(config)
    if refusals and config.server.development_lan:
        refusals.append(f"server.development_lan covers private addresses only, and {config.server.host} is none")
    return refusals


def is_public(config: Config) -> bool:
    """Whether strangers may reach a server with these settings: then nothing for development has a place in it."""
    server = config.server
    return not is_loopback(server.host) and not (server.development_lan and is_lan(server.host))


def banner(config: Config) -> str:
    """What to show at start when `server.development_lan` lets unsafe settings pass; else empty."""
    host = config.server.host
    if not config.server.development_lan or is_loopback(host) or not any(_unsafe(config)):
        return ""
    address = address_of(host)
    reach = EVERYWHERE.format(host=host) if address and address.is_unspecified else ""
    return BANNER.format(host=host, reach=reach)


def is_lan(host: str) -> bool:
    """Whether the host is a private or link-local address, or stands for all addresses of the machine."""
    address = address_of(host)
    if address is None:
        return False
    return address.is_unspecified or any(address in network for network in LAN)


def _unsafe(config: Config) -> Iterator[str]:
    server = config.server
    if not config.activation.required:
        yield "activation is off, so that anybody can take any phone number: set activation.required to true"
    if config.sms.provider == "log":
        yield "codes would go to a file and not to phones: set sms.provider to webhook, twilio or aliyun"
    if config.push.default_provider == "log":
        yield "pushes would go to a file and not to phones: set push.default_provider to a vendor, with its keys"
    if EXAMPLE.search(config.push.webpush.subject):
        yield "push services could reach nobody: set push.webpush.subject to an address of yours, not one of an example"
    if config.samples.enabled and config.samples.agora_open_token:
        yield "anybody could have tokens for anybody's chat account: set samples.agora_open_token to false"
    if server.tls.cert or (server.behind_proxy and server.trusted_proxies):
        return
    if server.behind_proxy:
        yield "the proxy in front is not named: set server.trusted_proxies to its addresses"
    else:
        yield (
            "TLS is off: set server.tls.cert and server.tls.key, or, when a proxy speaks TLS in front,"
            " server.behind_proxy to true and server.trusted_proxies to its addresses"
        )


def _open_secrets(config: Config) -> Iterator[Path]:
    settings = flat(config.model_dump())
    # Beside the file of a secret stands the key of the secret itself; other files are no secrets.
    named = [value for path, value in settings.items() if path.endswith("_file") and path[:-5] in settings]
    files = [Path(name) for name in [*named, config.server.tls.key] if name]
    files += [
        config.data_dir / KEY_RING,
        config.data_dir / VAPID_KEY,
        config.data_dir / ADMIN_KEY,
        *config.files_with_secrets,
    ]
    return (file for file in files if _is_open(file))


def _is_open(file: Path) -> bool:
    try:
        return bool(file.stat().st_mode & 0o007)
    except OSError:
        return False
