# SPDX-License-Identifier: Apache-2.0
"""Passwords to argon2id hashes and back to yes or no, in a small pool of threads of its own.

Source of the parameters: OWASP Password Storage Cheat Sheet, argon2id; 20 to 50 ms of one core and 19 MiB each.
"""

import asyncio
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from secrets import token_bytes
from typing import TypeVar, TypeVarTuple

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from argon2.low_level import ARGON2_VERSION

from models.errors import Unavailable
from models.network import network_of

MEMORY_KIB = 19456
PASSES = 2
LANES = 1
THREADS = 2
"""Hashing lets go of the interpreter's lock: more threads would take the cores from everything else."""
MAX_PENDING = 32
"""16 hashes a thread are answered within about a second; who would wait for longer is told to try again."""
NETWORKS_SHARE = 4
"""Where half of that is taken, one network may have a quarter: nobody's logins keep everybody else's waiting."""
RETRY_SECONDS = 2
"""By then the queue has emptied."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Hashing:
    """At most `max_pending` computations run or wait at once; more are refused, so that nobody waits for long."""

    def __init__(self, *, hasher: PasswordHasher | None = None, max_pending: int = MAX_PENDING) -> None:
        self._hasher = hasher or PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
        self._nobodys = _nobodys(self._hasher)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="hashing")
        self._max_pending = max_pending
        self._pending: Counter[str] = Counter()

    async def hash(self, password: bytes, address: str) -> str:
        """What is kept of the password that came from there. Raises Unavailable."""
        with self.place(address):
            return await self._run(self._hasher.hash, password)

    async def verify(self, stored: str | None, password: bytes) -> bool:
        """Whether the hash is this password's; without one this costs the same and is false. In a `place`."""
        right = await self._run(self._matches, stored or self._nobodys, password)
        return right and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Whether the hash was made with other parameters than are used now."""
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        """Wait for what runs; what waits is dropped."""
        self._pool.shutdown(cancel_futures=True)

    @contextmanager
    def place(self, address: str) -> Iterator[None]:
        """One of the computations that run or wait, for the length of the block. Raises Unavailable."""
        network, pending = network_of(address), self._pending.total()
        has_share = NETWORKS_SHARE * self._pending[network] >= self._max_pending
        if pending >= self._max_pending or (2 * pending >= self._max_pending and has_share):
            raise Unavailable("Too many passwords are being checked; try again.", retry_after=RETRY_SECONDS)
        self._pending[network] += 1
        try:
            yield
        finally:
            self._pending[network] -= 1
            self._pending += Counter()  # forgets networks with none

    async def _run(self, call: Callable[[*Ts], T], *args: *Ts) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call, *args)

    def _matches(self, stored: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except VerifyMismatchError:
            return False


def _nobodys(hasher: PasswordHasher) -> str:
    """A hash in the form of this hasher's that is no password's: checking a password against it costs the same.

    The form: https://github.com/P-H-C/phc-string-format
    """
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    salt, digest = (b64encode(token_bytes(size)).rstrip(b"=").decode() for size in (hasher.salt_len, hasher.hash_len))
    return f"$argon2id$v={ARGON2_VERSION}${costs}${salt}${digest}"
