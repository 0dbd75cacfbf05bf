# SPDX-License-Identifier: Apache-2.0
"""Which push tokens are taken: those of a configured provider and app, in its form, that lead to no private address."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from httpclient.endpoints import Endpoints, NotAllowed
from models.errors import EndpointNotAllowed, InvalidField
from push.registry import read_token
from services.fields import Problems, read_provider

RESOLVING_SECONDS = 3.0
"""Longer than a slow resolver, shorter than a client waits. The host is judged again at each push."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DeviceTokens:
    """`configured` are the pairs of provider and app that pushes can go through; the plain app is ""."""

    configured: Collection[tuple[str, str]]
    default_provider: str
    endpoints: Endpoints

    def read_place(self, provider: Any, app: Any, problems: Problems) -> tuple[str, str]:
        """Provider and app as a request names them, or the usual ones; what is wrong is added to `problems`."""
        wrong: Problems = []
        providers = {name for name, _ in self.configured}
        provider = read_provider("provider", provider, providers, self.default_provider, wrong)
        app = "" if app is None else app
        if not wrong and (not isinstance(app, str) or (provider, app) not in self.configured):
            wrong.append(("app", "is not configured for this provider"))
        problems += wrong
        return provider, str(app)

    async def check(self, provider: str, value: Any, *, field: str = "token") -> str:
        """The token as it is kept. Raises InvalidField for that field, and EndpointNotAllowed.

        A host that cannot be looked up now is taken: it is judged again whenever something is sent there.
        """
        try:
            token = read_token(provider, value)
        except ValueError as error:
            raise InvalidField(fields=[(field, str(error))]) from None
        if token.endpoint is not None:
            try:
                async with asyncio.timeout(RESOLVING_SECONDS):
                    await self.endpoints.check(token.endpoint)
            except NotAllowed as error:
                raise EndpointNotAllowed(f"The endpoint {error}.", fields=[(field, str(error))]) from None
            except OSError:  # also TimeoutError
                pass
        return token.text
