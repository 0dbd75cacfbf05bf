# SPDX-License-Identifier: Apache-2.0
"""Hosts, URLs, origins and networks as they stand in config.yaml. Every error is a ValueError.

No message repeats a URL: it may hold a secret.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import parse_qs, urlsplit

from config import files
from models.db.engine import parse_url
from models.db.mysql.connection import MysqlLocation
from models.origin import is_host, is_page_origin, normal_origin

PLACEHOLDER = "{data_dir}"
NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?")


def address_of(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host is, brackets and IPv4 mapping taken off; None for a name."""
    try:
        address = ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host. Of names only "localhost": any other may resolve to anything."""
    address = address_of(host)
    return address.is_loopback if address else host.lower() == "localhost"


def listening_host(text: str) -> str:
    """A host to listen on."""
    if address_of(text) is None and not NAME.fullmatch(text):
        raise ValueError("must be an IP address or a name, without scheme, port or path")
    return text


def url(text: str) -> str:
    """An http(s) address, empty for none, without its last slash."""
    if not text:
        return text
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be written in plain ASCII, without blanks")
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname
    except ValueError:
        port, host = 0, None
    if not host or parts.scheme not in ("http", "https"):
        raise ValueError("must be an address that begins with https:// or http://")
    if "@" in parts.netloc:
        raise ValueError("must not carry a user or password")
    if not is_host(host):
        raise ValueError("names a host that cannot be: look for a doubled or missing dot")
    if port == 0:
        raise ValueError("must not have port 0")
    return text.rstrip("/")


def base_url(text: str) -> str:
    """An http(s) address to which paths are added."""
    if "?" in text or "#" in text:
        raise ValueError("must end with its path, without ? and #")
    return url(text)


def secret_url(text: str) -> str:
    """An address to which secrets travel."""
    parts = urlsplit(text)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("must begin with https://, since secrets travel there; http:// is for this machine alone")
    return text


def public_url(text: str) -> str:
    """What clients call this server by, empty where that is not said."""
    if text and (normal_origin(text) is None or not text.startswith(("http://", "https://"))):
        raise ValueError("must be the address that clients call this server by, as in https://glimpse.example.org")
    return text.rstrip("/")


def page_origin(text: str) -> str:
    """An origin whose pages may call, in its normal form."""
    origin = normal_origin(text)
    if origin is None:
        raise ValueError("must be one origin, as in https://app.example.org, with no path behind it")
    if not is_page_origin(origin):
        raise ValueError("must begin with https://, or be http://localhost, capacitor://localhost or ionic://localhost")
    return origin


def proxy(text: str) -> str:
    """The address or network of a proxy."""
    try:
        names_all = ip_network(text, strict=False).prefixlen == 0
    except ValueError:
        raise ValueError("must be an IP address or a network such as 10.0.0.0/8") from None
    if names_all:
        raise ValueError("names every address there is; name the proxy alone")
    return text


def path(text: str) -> str:
    """A path, in which {data_dir} may stand for that setting."""
    if not text:
        raise ValueError("must not be empty")
    if "\0" in text:
        raise ValueError("must be a path, which holds no NUL")
    if "{" in text.replace(PLACEHOLDER, ""):
        raise ValueError(f"knows no other placeholder than {PLACEHOLDER}")
    return text


def database_url(text: str) -> str:
    """Where the database is, and that the files which the URL names hold what they should."""
    try:
        location = parse_url(text)
    except ValueError as error:
        raise ValueError(str(error)) from None
    if isinstance(location, MysqlLocation):
        _check_tls(location)
        if not (location.ssl_ca or location.unix_socket or is_loopback(location.host)):
            raise ValueError("needs ?ssl_ca=FILE (or ssl_ca=system) for a server that is not on this machine")
    else:
        path(str(location))
    return text


def wake_url(text: str) -> str:
    """Where the server is that speaks Redis' protocol, and that the file which the URL names holds certificates; empty
    for none.
    """
    if not text:
        return text
    try:
        parts = urlsplit(text)
        options, host, _ = parse_qs(parts.query, strict_parsing=bool(parts.query)), parts.hostname, parts.port
    except ValueError:
        options, host = {}, None
    if not host or parts.scheme not in ("redis", "rediss") or parts.path.strip("/") or not is_host(host):
        raise ValueError("must be redis:// or rediss://, with user:password@host:port and no path")
    if parts.scheme == "redis" and not is_loopback(host):
        raise ValueError(
            "must begin with rediss://, since a password travels there; redis:// is for this machine alone"
        )
    if options.keys() - {"ssl_ca"} or (options and parts.scheme == "redis"):
        raise ValueError("has an option that there is not; ssl_ca=FILE there is for rediss://")
    for file in options.get("ssl_ca", []):
        files.check_certificates(file)
    return text


def _check_tls(location: MysqlLocation) -> None:
    if location.ssl_ca not in ("", "system"):
        files.check_certificates(location.ssl_ca)
    if location.ssl_key and not location.ssl_cert:
        raise ValueError("needs ssl_cert beside ssl_key")
    if location.ssl_cert:
        files.check_certificates(location.ssl_cert)
        files.check_pair(location.ssl_cert, location.ssl_key or location.ssl_cert)


def holds_password(text: object) -> bool:
    """Whether there is one in the URL itself, as far as that can be read."""
    try:
        return isinstance(text, str) and bool(urlsplit(text).password)
    except ValueError:
        return False


def without_password(text: str) -> str:
    """A database's URL as it may be shown."""
    parts = urlsplit(text)
    return text.replace(f":{parts.password}@", ":**********@", 1) if parts.password else text
