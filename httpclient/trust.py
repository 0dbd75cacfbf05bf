# SPDX-License-Identifier: Apache-2.0
"""Whose certificates clients believe where nothing else is configured: those that come with httpx."""

from functools import cache
from ssl import SSLContext

import httpx


@cache
def usual_trust(protocol: str) -> SSLContext:
    """One for all clients of a protocol, by its ALPN name (RFC 7301): loading the certificates takes 50 ms."""
    context = httpx.create_ssl_context(trust_env=False)
    context.set_alpn_protocols([protocol])
    return context
