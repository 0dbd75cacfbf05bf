# SPDX-License-Identifier: Apache-2.0
"""The preview of an image for whoever has the token out of a notification."""

from collections.abc import Callable
from dataclasses import dataclass

from models import rules
from models.db.database import Database
from models.db.tables import deliveries
from models.errors import AppError, NotFound
from models.thumbnail_token import ThumbnailTokens
from services.limits import Limits
from services.previews import OpenPreview
from services.reading import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnails:
    """`clock` gives milliseconds."""

    db: Database
    tokens: ThumbnailTokens
    reading: Reading
    limits: Limits
    clock: Callable[[], int]

    async def open(self, text: str) -> OpenPreview:
        """The preview that this token is for, as long as its device is there and its owner may fetch the image.

        Raises NotFound whatever is wrong with it, RateLimited.
        """
        token = self.tokens.read(text, self.clock())
        if token is None:
            raise NotFound
        await self.limits.check_device("thumbnail", token.device_id)
        delivery = await deliveries.find_of_device(self.db, message_id=token.message_id, device_id=token.device_id)
        if delivery is None or not rules.is_addressed(delivery):
            raise NotFound
        try:
            rules.check_can_read(delivery, self.clock())
            return await self.reading.open_preview(delivery)
        except AppError as error:
            raise NotFound from error
