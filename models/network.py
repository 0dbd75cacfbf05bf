# SPDX-License-Identifier: Apache-2.0
"""Networks: what usually is one customer's, so that whoever has many addresses of it counts once."""

from ipaddress import IPv6Address, ip_address, ip_network

IPV4_PREFIX, IPV6_PREFIX = 24, 48
"""Prefix lengths: what one customer of a provider usually has. Single addresses are had by the thousand."""


def network_of(address: str) -> str:
    """The network of an address: an IPv4 address's /24, an IPv6 address's /48. Anything else stays as it is."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(parsed, IPv6Address):
        parsed = parsed.ipv4_mapped or parsed
    length = IPV6_PREFIX if isinstance(parsed, IPv6Address) else IPV4_PREFIX
    return str(ip_network((parsed, length), strict=False))
