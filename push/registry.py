# SPDX-License-Identifier: Apache-2.0
"""Which push providers there are: made from plain values, by name as devices name them."""

from pathlib import Path

from push.base import Provider, VisibleText
from push.http import HttpClient
from push.providers.getui import GetuiProvider
from push.providers.getui_auth import GetuiCredentials
from push.providers.log import LogProvider


def build(
    *, outbox_log: Path | None, getui: GetuiCredentials | None = None, text: VisibleText | None = None
) -> dict[str, Provider]:
    """The configured providers. Without `outbox_log` there is no `log`; `text` is what phones show beside a payload."""
    providers: list[Provider] = []
    if outbox_log is not None:
        providers.append(LogProvider(outbox_log))
    if getui is not None:
        providers.append(GetuiProvider(getui, HttpClient(), text=text))
    return {provider.name: provider for provider in providers}
