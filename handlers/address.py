# SPDX-License-Identifier: Apache-2.0
"""Whose address a request comes from. A forwarding header is believed only from a proxy that the operator named."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network


class Proxies:
    """The declared proxies, as addresses or networks. Raises ValueError for anything else."""

    def __init__(self, trusted: Sequence[str]) -> None:
        self._networks: list[Network] = [ip_network(text, strict=False) for text in trusted]

    def trusts(self, address: str) -> bool:
        if not self._networks:
            return False
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)

    def client(self, peer: str, forwarded_for: str | None) -> str:
        """The right-most address of X-Forwarded-For that is no proxy of ours, else the peer's own."""
        if forwarded_for is None or not self.trusts(peer):
            return peer
        for hop in reversed(forwarded_for.split(",")[-16:]):
            candidate = hop.strip()
            try:
                ip_address(candidate)
            except ValueError:
                return peer
            if not self.trusts(candidate):
                return candidate
        return peer
