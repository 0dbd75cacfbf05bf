# SPDX-License-Identifier: Apache-2.0
"""How often an address, an account, a number and a device may do what.

Counted in this process, lost with it, never on disk: it cannot be away, so nothing here fails open or closed. What must
outlive a restart (codes by SMS, numbers asked about) is counted in the database; docs/limits.md has them all.

Rates are written as the `limits` library reads them ("600/minute", "1000/day"). Its own memory is not used: it
starts a thread that walks over every key up to a hundred times a second.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from math import ceil
from time import monotonic

from limits import parse

from models.errors import RateLimited

DEFAULT = "default"
LOGIN_FAILURE = "login_failure"

# Generous where many people share one address; tight where one request costs money, is a guess, or has a password
# computed: right ones cost as much as wrong ones, and two threads compute everybody's.
PER_ADDRESS = {
    "default": "12000/minute",
    "register": "600/hour",
    "code": "600/hour",
    "login": "600/minute",
    "login_failure": "3000/hour",
}
PER_ACCOUNT = {
    "default": "6000/minute",
    "send": "1000/day",
    "login_failure": "300/hour",  # per phone or login from one address
    "password": "60/hour",
    "chat_token": "120/hour",
    "message": "600/minute",
    "device": "300/hour",
    "test_push": "20/hour",
    "befriend": "500/day",
    "group": "500/day",
    "report": "100/day",
    "export": "10/hour",
}

PER_PHONE = {
    "register": "30/hour",  # from one address: nobody uses up what a stranger needs to get in
    "test_number": "30/hour",  # five guesses each, at a code that never changes
}
PER_DEVICE = {
    "test_push": "10/hour",
}

MAX_KEYS = 100_000


class Window:
    """Counts per key in a fixed window of time. `max_keys` bounds its memory: beyond it the oldest key is forgotten."""

    def __init__(self, rate: str, clock: Callable[[], float], *, max_keys: int = MAX_KEYS) -> None:
        item = parse(rate)
        self.amount = item.amount
        self.seconds = item.get_expiry()
        self._clock = clock
        self._max_keys = max_keys
        self._number = 0
        self._counts: OrderedDict[str | int, int] = OrderedDict()  # finds its oldest at once; a dict walks there

    def hit(self, key: str | int) -> int:
        """Count one more. 0 when that is within the rate, else the seconds until the window ends, at least 1."""
        now = self._clock()
        number = int(now // self.seconds)
        if number != self._number:
            self._number = number
            self._counts.clear()
        count = self._counts.get(key, 0)
        if count >= self.amount:
            return max(1, ceil((number + 1) * self.seconds - now))
        if not count and len(self._counts) >= self._max_keys:
            self._counts.popitem(last=False)
        self._counts[key] = count + 1
        return 0

    def take_back(self, key: str | int) -> None:
        """Undo a `hit` of this window of time."""
        if int(self._clock() // self.seconds) == self._number and self._counts.get(key, 0):
            self._counts[key] -= 1


class Limits:
    """Rates by class name, per address and per account, where a class that is not named counts as "default"; per
    number and per device, where only what is named is counted.

    Raises ValueError for a rate that cannot be read.
    """

    def __init__(
        self,
        *,
        per_address: Mapping[str, str] | None = None,
        per_account: Mapping[str, str] | None = None,
        per_phone: Mapping[str, str] | None = None,
        per_device: Mapping[str, str] | None = None,
        enabled: bool = True,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.enabled = enabled
        self._per_address = _windows(PER_ADDRESS | dict(per_address or {}), clock)
        self._per_account = _windows(PER_ACCOUNT | dict(per_account or {}), clock)
        self._per_phone = _windows(PER_PHONE | dict(per_phone or {}), clock)
        self._per_device = _windows(PER_DEVICE | dict(per_device or {}), clock)

    def forgive_failure(self, address: str, subject: str) -> None:
        """Take back one `count_failure`: the secret was right, or nobody has looked at it."""
        if not self.enabled:
            return
        source = network(address)
        self._per_address[LOGIN_FAILURE].take_back(source)
        self._per_account[LOGIN_FAILURE].take_back(f"{source} {subject}")

    def check(self, class_name: str, *, address: str | None, uid: int | None = None) -> None:
        """Count one request against its address and its account, whichever are given. Raises RateLimited."""
        if not self.enabled:
            return
        if address is not None:
            _hit(self._per_address, class_name, network(address))
        if uid is not None:
            _hit(self._per_account, class_name, uid)

    def check_phone(self, class_name: str, phone_hash: str, *, address: str | None = None) -> None:
        """Count one request for a number: from this address, or without one from everywhere. Raises RateLimited."""
        if self.enabled:
            source = "" if address is None else network(address)
            _hit(self._per_phone, class_name, f"{source} {phone_hash}")

    def check_device(self, class_name: str, device_id: int) -> None:
        """Count one request for a device, whoever's it is. Raises RateLimited."""
        if self.enabled:
            _hit(self._per_device, class_name, device_id)

    def count_failure(self, address: str, subject: str) -> None:
        """Count a wrong credential against its address, and against that subject from that address.

        `subject` is a phone hash or another digest of whom the credential was for, empty for nobody in particular.

        Only failures are counted and only failures are refused: whoever has the right secret is let in wherever
        they are and whatever others have tried. Raises RateLimited.
        """
        if not self.enabled:
            return
        source = network(address)
        waits = (
            self._per_address[LOGIN_FAILURE].hit(source),
            self._per_account[LOGIN_FAILURE].hit(f"{source} {subject}"),
        )
        if any(waits):
            raise RateLimited(retry_after=max(waits))


@lru_cache(maxsize=4096)
def network(address: str) -> str:
    """What an address is counted as: an IPv4 address itself, an IPv6 address's /64."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(IPv6Address(int(parsed) >> 64 << 64))


def _windows(rates: Mapping[str, str], clock: Callable[[], float]) -> dict[str, Window]:
    return {name: Window(rate, clock) for name, rate in rates.items()}


def _hit(windows: Mapping[str, Window], class_name: str, key: str | int) -> None:
    wait = (windows.get(class_name) or windows[DEFAULT]).hit(key)
    if wait:
        raise RateLimited(retry_after=wait)
