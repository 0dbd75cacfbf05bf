# SPDX-License-Identifier: Apache-2.0
"""Which URLs a device may name as its push endpoint: a guard against server-side request forgery.

A URL is judged by its form and by every address of its host, at registration and again at each connection, which
then goes to the very address that was judged. Sources: OWASP's cheat sheet on server-side request forgery, and
IANA's registries of special-purpose addresses (RFC 6890).
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from weakref import WeakValueDictionary

import httpx

LONGEST_URL = 2000
"""The URLs of every push service are far shorter, and some proxies cut at 2,048."""
HTTPS, HTTP = "https", "http"
DEFAULT_PORTS = {HTTPS: 443, HTTP: 80}
UNPRIVILEGED_PORTS = range(1024, 65536)
# The system's resolver blocks for up to half a minute on a dead name server; 4 per site leave room for 15 more.
RESOLVING_THREADS = 64
LOOKUPS_PER_SITE = 4

NAME = re.compile(r"(?=.{4,253}\Z)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
INTERNAL_NAMES = (".localhost", ".localdomain", ".local", ".internal", ".intranet", ".lan", ".home.arpa")
ODD = re.compile(r'[\s\\^`{|}<>"]')
AUTHORITY_END = re.compile(r"[/?#]")

GLOBAL_UNICAST = IPv6Network("2000::/3")
NAT64 = IPv6Network("64:ff9b::/96")
# In IANA's registries, but global according to `ipaddress` of some Python versions.
SPECIAL_IPV4 = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"))
SPECIAL_IPV6 = (IPv6Network("2001::/23"), IPv6Network("3fff::/20"))

Resolve = Callable[[str, int], Awaitable[list[str]]]
LookUp = Callable[[str, int], list[str]]


def _look_up(host: str, port: int) -> list[str]:
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in infos))


class NotAllowed(ValueError):
    """A device may not name this endpoint. The text says why and shows nothing of the URL."""


def parse_origin(text: str) -> str:
    """Normalise an origin to `scheme://host:port`, the port always written. Raises ValueError."""
    url = _parse(text)
    if url.raw_path not in (b"", b"/") or url.fragment:
        raise NotAllowed("must be scheme://host or scheme://host:port, and nothing behind it")
    return _origin(url)


def origin_of(url: str) -> str:
    """`scheme://host[:port]`, the origin of a URL by RFC 6454. Raises ValueError, whose text does not show the URL."""
    try:
        parsed = _parse(url)
    except NotAllowed:
        raise ValueError("endpoint is no URL") from None
    return _origin(parsed).removesuffix(f":{DEFAULT_PORTS[parsed.scheme]}")


def check_form(url: str, allowed_origins: frozenset[str]) -> None:
    """Judge a URL by its text; `allowed_origins`, as `parse_origin` writes them, are exempt. Raises NotAllowed."""
    parsed = _parse(url)
    if _origin(parsed) in allowed_origins:
        return
    if parsed.scheme != HTTPS:
        raise NotAllowed("must begin with https://")
    port = _port(parsed)
    if port != DEFAULT_PORTS[HTTPS] and port not in UNPRIVILEGED_PORTS:
        raise NotAllowed("must have port 443 or one from 1024 on")
    _check_host(_host(parsed))


def is_public(address: str) -> bool:
    """Whether this is a public address, not one of a private or special-purpose network."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        if ip.scope_id is not None:
            return False
        embedded = _embedded(ip)
        if embedded is None:
            return ip in GLOBAL_UNICAST and ip.is_global and not any(ip in network for network in SPECIAL_IPV6)
        ip = embedded
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in SPECIAL_IPV4)


class Endpoints:
    """The rules with the configured exceptions. `resolve` returns all addresses of a name, or raises OSError.

    Without it the blocking `look_up` does so in threads. Raises ValueError for an invalid allowed origin.
    """

    def __init__(
        self, allowed_origins: Iterable[str] = (), *, resolve: Resolve | None = None, look_up: LookUp = _look_up
    ) -> None:
        self._allowed = frozenset(map(parse_origin, allowed_origins))
        self._allowed_hosts = {(_host(url), _port(url)) for url in map(_parse, self._allowed)}
        self._pool: ThreadPoolExecutor | None = None
        self._look_up = look_up
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._resolve = resolve or self._resolve_in_thread

    def check_form(self, url: str) -> None:
        """Raises NotAllowed."""
        check_form(url, self._allowed)

    async def check(self, url: str) -> None:
        """Judge a URL and its host's present addresses. Raises NotAllowed, and OSError for an unknown name."""
        self.check_form(url)
        parsed = _parse(url)
        await self.addresses(_host(parsed), _port(parsed))

    async def addresses(self, host: str, port: int) -> list[str]:
        """All addresses of that host. Raises NotAllowed if one of them is private, and OSError if there are none."""
        found = [host] if _is_address(host) else await self._resolve(host, port)
        if (host, port) not in self._allowed_hosts and not all(map(is_public, found)):
            raise NotAllowed("must not lead to a private address")
        return found

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def _resolve_in_thread(self, host: str, port: int) -> list[str]:
        """Resolve in threads of our own: a deliberately slow name server must delay nothing else.

        Such a server can serve any number of names, so the names of one site (`site.example`) share a few threads. A
        thread is busy until it has its answer, even if the caller has given up.
        """
        self._pool = self._pool or ThreadPoolExecutor(RESOLVING_THREADS, thread_name_prefix="resolving")
        turn = self._turns.setdefault(_site(host), asyncio.Semaphore(LOOKUPS_PER_SITE))
        await turn.acquire()
        looking = asyncio.get_running_loop().run_in_executor(self._pool, self._look_up, host, port)
        looking.add_done_callback(partial(_end_turn, turn))
        return await asyncio.shield(looking)


def _site(host: str) -> str:
    return ".".join(host.split(".")[-2:])


def _end_turn(turn: asyncio.Semaphore, looking: asyncio.Future[list[str]]) -> None:
    turn.release()
    if not looking.cancelled():
        looking.exception()  # retrieved, as the caller may have given up


@lru_cache(maxsize=4096)
def _parse(text: str) -> httpx.URL:
    """The URL as the connecting client parses it. Raises NotAllowed for what other parsers may read otherwise."""
    if len(text) > LONGEST_URL or not (text.isascii() and text.isprintable()) or ODD.search(text):
        raise NotAllowed("is no URL in plain ASCII")
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        raise NotAllowed("is no URL") from None
    if url.scheme not in DEFAULT_PORTS or not url.raw_host:
        raise NotAllowed("must begin with https://")
    if b"%" in url.raw_host:  # what httpx makes of a bracket without its other half, and of whatever no name has
        raise NotAllowed("is no URL")
    if "@" in AUTHORITY_END.split(text.split("://", 1)[1], maxsplit=1)[0]:
        raise NotAllowed("must not carry a user or password")
    return url


def _host(url: httpx.URL) -> str:
    return url.raw_host.decode("ascii")


def _port(url: httpx.URL) -> int:
    return DEFAULT_PORTS[url.scheme] if url.port is None else url.port


def _origin(url: httpx.URL) -> str:
    host = _host(url)
    return f"{url.scheme}://{f'[{host}]' if ':' in host else host}:{_port(url)}"


def _check_host(host: str) -> None:
    """Raise NotAllowed unless this is a public address in its usual notation, or a name that cannot be one."""
    if _is_address(host):
        if not is_public(host):
            raise NotAllowed("must not name a private address")
    elif not NAME.fullmatch(host) or host.endswith(INTERNAL_NAMES):
        raise NotAllowed("must name a public host")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _embedded(ip: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that this one leads to: mapped (RFC 4291), 6to4 (RFC 3056) or NAT64 (RFC 6052)."""
    if ip in NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour
