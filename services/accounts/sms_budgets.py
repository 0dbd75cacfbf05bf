# SPDX-License-Identifier: Apache-2.0
"""How many codes may go out by SMS: to a number, to its neighbours, for an address block, to a country, and in all.

Each SMS costs money, and who sends them to numbers of their own earns it. Who asks for them to a stranger's number, or
to its neighbours, spends what that person needs to get in: so one network gets half of a budget and one more, and
cannot spend all of it by itself. Counted in the database, so that neither a restart nor leaving and coming back begins
anew. What is counted stands there as a keyed digest, never in clear.
"""

from collections.abc import Iterator, Mapping
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil

from models import phone
from models.db.database import Transaction
from models.db.tables import budgets
from models.errors import SmsLimited
from models.keys import KeyRing
from models.rates import parse

IPV4_BLOCK, IPV6_BLOCK = 24, 48
"""Prefix lengths: what one customer of a provider usually has. Single addresses are had by the thousand."""
PER_BLOCK = "per_address_block"


class SmsBudgets:
    """`rates` by kind ("20/hour"), each kind of `activation.budgets`. Raises ValueError for an invalid rate."""

    def __init__(self, keys: KeyRing, rates: Mapping[str, str]) -> None:
        self._keys = keys
        self._rates = {kind: parse(rate) for kind, rate in rates.items()}

    async def spend(self, tx: Transaction, e164: str, address: str | None, now: int) -> None:
        """Count one SMS to this number, asked for from this address (None: by nobody's), at `now` in milliseconds.

        Raises SmsLimited when a budget is spent; the transaction must then end, so that nothing is counted.
        """
        block = None if address is None else address_block(address)
        for kind, subject in _subjects(e164, block):
            most, _ = self._rates[kind]
            await self._count(tx, kind, subject, most, now)
            if block is not None and kind != PER_BLOCK:
                await self._count(tx, kind, f"{subject} from {block}", most // 2 + 1, now)

    async def _count(self, tx: Transaction, kind: str, subject: str, most: int, now: int) -> None:
        window_ms = self._rates[kind][1] * 1000
        window = now // window_ms
        ends_at = (window + 1) * window_ms
        digest = self._keys.request_hmac("sms budget", f"{kind} {subject}").hex()
        key = budgets.key_digest("sms", kind, digest, window_ms, window)
        if not await budgets.spend(tx, key_digest=key, amount=1, limit=most, expires_at=ends_at):
            raise SmsLimited(retry_after=ceil((ends_at - now) / 1000))


def _subjects(e164: str, block: str | None) -> Iterator[tuple[str, str]]:
    """What one SMS is counted for. The widest first, so that transactions meet in the same order."""
    yield "total", ""
    yield "per_country", phone.country_of(e164)
    yield "per_prefix", phone.prefix_of(e164)
    if block is not None:
        yield PER_BLOCK, block
    yield "per_number", e164


def address_block(address: str) -> str:
    """What usually is one customer's: an IPv4 address's /24, an IPv6 address's /48."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(parsed, IPv6Address):
        parsed = parsed.ipv4_mapped or parsed
    length = IPV6_BLOCK if isinstance(parsed, IPv6Address) else IPV4_BLOCK
    return str(ip_network((parsed, length), strict=False))
