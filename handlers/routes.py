# SPDX-License-Identifier: Apache-2.0
"""The route table: every operation of the HTTP interface. Each subject's part stands at the end of its handlers."""

from handlers import (
    accounts,
    chat,
    devices,
    events,
    groups,
    images,
    messages,
    people,
    sending,
    socket,
    system,
    thumbnails,
    tokens,
    uploading,
)
from handlers.samples import agora, rooms, sendbird

ROUTES = (
    *system.ROUTES,
    *accounts.ROUTES,
    *tokens.ROUTES,
    *people.ROUTES,
    *groups.ROUTES,
    *sending.ROUTES,
    *images.ROUTES,
    *thumbnails.ROUTES,
    *uploading.ROUTES,
    *messages.ROUTES,
    *events.ROUTES,
    *socket.ROUTES,
    *devices.ROUTES,
    *chat.ROUTES,
    *sendbird.ROUTES,
    *agora.ROUTES,
    *rooms.ROUTES,
)
