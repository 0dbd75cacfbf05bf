# SPDX-License-Identifier: Apache-2.0
"""How often an address, an account, a number and a device may do what.

config.yaml has the classes and what each counts; what is IN_DATABASE holds for all processes. All else is counted in
this process, each of several having its share: it cannot be away, and costs no statement.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from math import ceil
from time import monotonic

from models.clock import now_ms
from models.db.database import Database
from models.errors import RateLimited
from models.keys import KeyRing
from models.rates import parse
from services.rate_counts import RateCounts, SharedWindow, Slot

DEFAULT = "default"
LOGIN_FAILURE = "login_failure"

IN_DATABASE = frozenset(("register", "code", "login", LOGIN_FAILURE, "password", "export", "test_number", "test_push"))
"""Counted for all processes and over restarts, so that nobody is let in where the database is away: what guards
accounts and money, and what is rare and expensive.
"""

MAX_KEYS = 100_000
"""Bounds the memory of one window, about 10 MB, while strangers come from ever new addresses."""


class Window:
    """Counts per key in a fixed window of time, in memory. `clock` gives seconds.

    This process has one part in `share` of the rate, at least 1. Beyond `max_keys` the oldest key is forgotten.
    """

    def __init__(self, rate: str, clock: Callable[[], float], *, share: int = 1, max_keys: int = MAX_KEYS) -> None:
        amount, self.seconds = parse(rate)
        self.amount = max(1, amount // share)
        self._clock = clock
        self._max_keys = max_keys
        self._number = 0
        self._counts: OrderedDict[str | int, int] = OrderedDict()  # finds its oldest at once; a dict walks there

    def hit(self, key: str | int, amount: int = 1) -> int:
        """Count so much more. 0 when that is within the rate, else the seconds until the window ends, at least 1.

        What is more than the whole rate by itself is within it when it comes first.
        """
        now = self._clock()
        number = int(now // self.seconds)
        if number != self._number:
            self._number = number
            self._counts.clear()
        count = self._counts.get(key, 0)
        if count and count + amount > self.amount:
            return max(1, ceil((number + 1) * self.seconds - now))
        if not count and len(self._counts) >= self._max_keys:
            self._counts.popitem(last=False)
        self._counts[key] = count + amount
        return 0


Windows = Mapping[str, Window | SharedWindow]

Failure = tuple[Slot, ...]
"""Where one failure was counted."""


class Limits:
    """Rates by class name, per address and per account, where a class that is not named counts as "default"; per
    number and per device, where only what is named is counted.
    """

    def __init__(
        self,
        *,
        db: Database,
        keys: KeyRing,
        per_address: Mapping[str, str],
        per_account: Mapping[str, str],
        per_phone: Mapping[str, str],
        per_device: Mapping[str, str],
        enabled: bool = True,
        workers: int = 1,
        clock: Callable[[], int] = now_ms,
        monotonic: Callable[[], float] = monotonic,
    ) -> None:
        """`workers` is among how many processes of this machine callers are spread. `clock` gives milliseconds,
        `monotonic` seconds. Raises ValueError for a rate that cannot be read.
        """
        self.enabled = enabled
        self._counts = RateCounts(db, keys, clock)

        def window(whose: str, name: str, rate: str) -> Window | SharedWindow:
            if name in IN_DATABASE:
                return SharedWindow(self._counts, f"{whose} {name}", rate)
            return Window(rate, monotonic, share=workers)

        self._per_address = {name: window("address", name, rate) for name, rate in per_address.items()}
        self._per_account = {name: window("account", name, rate) for name, rate in per_account.items()}
        self._per_phone = {name: window("phone", name, rate) for name, rate in per_phone.items()}
        self._per_device = {name: window("device", name, rate) for name, rate in per_device.items()}
        self._failures_of_address = SharedWindow(self._counts, "failure of address", per_address[LOGIN_FAILURE])
        self._failures_of_account = SharedWindow(self._counts, "failure of account", per_account[LOGIN_FAILURE])

    async def check(self, class_name: str, *, address: str | None, uid: int | None = None) -> None:
        """Count one request against its address and its account, whichever are given.

        Raises RateLimited, DatabaseError.
        """
        if not self.enabled:
            return
        if address is not None:
            await _hit(self._per_address, class_name, network(address))
        if uid is not None:
            await _hit(self._per_account, class_name, uid)

    def charge(self, class_name: str, uid: int, amount: int) -> None:
        """Count what a request of this account costs, of a class that each process counts. Raises RateLimited."""
        window = self._per_account[class_name]
        assert isinstance(window, Window)
        wait = window.hit(uid, amount) if self.enabled and amount else 0
        if wait:
            raise RateLimited(retry_after=wait)

    async def check_phone(self, class_name: str, phone_hash: str, *, address: str | None = None) -> None:
        """Count one request for a number: from this address, or without one from everywhere.

        Raises RateLimited, DatabaseError.
        """
        if self.enabled:
            source = "" if address is None else network(address)
            await _hit(self._per_phone, class_name, f"{source} {phone_hash}")

    async def check_device(self, class_name: str, device_id: int) -> None:
        """Count one request for a device, whoever's it is. Raises RateLimited, DatabaseError."""
        if self.enabled:
            await _hit(self._per_device, class_name, device_id)

    async def count_failure(self, address: str, subject: str) -> Failure:
        """Count a wrong credential against its address, and against that subject from that address.

        `subject` is a phone hash or another digest of whom the credential was for, empty for nobody in particular.

        Only failures are counted and only failures are refused: whoever has the right secret is let in wherever
        they are and whatever others have tried elsewhere. Raises RateLimited, DatabaseError.
        """
        if not self.enabled:
            return ()
        source = network(address)
        failure = (self._failures_of_address.slot(source), self._failures_of_account.slot(f"{source} {subject}"))
        wait = await self._counts.spend(*failure)
        if wait:
            raise RateLimited(retry_after=wait)
        return failure

    async def forgive(self, failure: Failure) -> None:
        """Take it back: the secret was right, or nobody has looked at it. Raises DatabaseError."""
        if failure:
            await self._counts.take_back(*failure)


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


async def _hit(windows: Windows, class_name: str, key: str | int) -> None:
    window = windows.get(class_name) or windows[DEFAULT]
    wait = window.hit(key) if isinstance(window, Window) else await window.hit(key)
    if wait:
        raise RateLimited(retry_after=wait)
