# SPDX-License-Identifier: Apache-2.0
"""Web origins (RFC 6454): whose page a request comes from, in one normal form, so that two can be compared."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
LONGEST_ORIGIN = 300
"""A host name has at most 253 characters; scheme and port come on top."""
APP_ORIGINS = ("capacitor://localhost", "ionic://localhost")
"""What the web views of mobile frameworks say: their pages come out of the app itself."""

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z)({_LABEL}\.)*{_LABEL}\.?")
_NUMERIC = re.compile(r"(.*\.)?(0x[0-9a-f]*|[0-9]+)\.?")


def normal_origin(text: str) -> str | None:
    """`scheme://host` in lower case, with the port where it is not the scheme's own; None for anything else.

    Never raises, whatever a stranger sends. `null` is not one: it stands for a page that hides where it comes from.
    """
    if len(text) > LONGEST_ORIGIN or not text.isascii() or not text.isprintable():
        return None
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return None
    host = url.hostname or ""
    if url.path not in ("", "/") or url.query or url.fragment or "@" in url.netloc or not is_host(host):
        return None
    shown = f"[{host}]" if ":" in host else host
    return f"{url.scheme}://{shown}" + ("" if port in (None, DEFAULT_PORTS.get(url.scheme)) else f":{port}")


def is_page_origin(origin: str) -> bool:
    """Whether pages of this origin, in its normal form, can be trusted to be whose they say: nobody else on the
    network can answer in their name.
    """
    if origin in APP_ORIGINS:
        return True
    scheme, _, rest = origin.partition("://")
    return scheme == "https" or (scheme == "http" and _is_local(urlsplit(f"//{rest}").hostname or ""))


def is_host(host: str) -> bool:
    """Whether this is a host in lower case: a name of full labels, or an IP address without brackets.

    A name whose last label is a number is not one: some parsers make an IPv4 address of it, others do not
    (https://url.spec.whatwg.org/#ends-in-a-number-checker).
    """
    return _is_address(host) or bool(_NAME.fullmatch(host) and not _NUMERIC.fullmatch(host))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_local(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)
