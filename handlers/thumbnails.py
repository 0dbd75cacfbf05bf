# SPDX-License-Identifier: Apache-2.0
"""Previews of images on their way out, to people and to devices. Showing one never consumes."""

from handlers.base import BaseHandler
from handlers.route import ANYBODY, PERSON, Route
from handlers.uploads import OPAQUE
from models.imagefile import CONTENT_TYPES
from services.previews import OpenPreview


class ServesPreview(BaseHandler):
    """How a preview is answered, whichever way it was asked for."""

    def serve(self, preview: OpenPreview) -> None:
        opaque = preview.filetype == OPAQUE
        for name, value in {
            "Content-Type": CONTENT_TYPES[preview.filetype],
            "Cache-Control": "private, no-store",
            "Content-Disposition": "attachment" if opaque else "inline",
            "Content-Security-Policy": "sandbox; default-src 'none'",
        }.items():
            self.set_header(name, value)
        self.finish(preview.data)


class ThumbnailHandler(ServesPreview):
    """GET /v1/images/{message_key}/thumbnail, for whoever may fetch the image."""

    async def get(self, message_key: str) -> None:
        self.query()
        delivery = await self.services.reading.find_image(self.uid, message_key)
        self.serve(await self.services.reading.open_preview(delivery))


class TokenThumbnailHandler(ServesPreview):
    """GET /v1/thumbnails/{token}, for the device whose notification names it."""

    async def get(self, token: str) -> None:
        self.query()
        self.serve(await self.services.thumbnails.open(token))


ROUTES = (
    Route("GET", "/v1/images/{message_key}/thumbnail", ThumbnailHandler, PERSON, "default", "fetchThumbnail"),
    Route("GET", "/v1/thumbnails/{token}", TokenThumbnailHandler, ANYBODY, "thumbnail", "showThumbnail"),
)
