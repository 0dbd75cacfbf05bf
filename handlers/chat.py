# SPDX-License-Identifier: Apache-2.0
"""Tokens for hosted chat services, as `operations/chat.yaml` describes them."""

from handlers.base import BaseHandler
from handlers.route import PERSON, Route
from services.chat import read_wanted


class ChatTokenHandler(BaseHandler):
    """POST /v1/chat/token."""

    async def post(self) -> None:
        given = await self.services.chat.token(self.uid, read_wanted(self.fields()))
        self.reply(
            200,
            {
                "token": given.token.token,
                "expires_at": given.token.expires_at,
                "chat_username": given.chat_username,
                "agora_uid": str(self.uid),
            },
        )


ROUTES = (Route("POST", "/v1/chat/token", ChatTokenHandler, PERSON, "chat_token", "chatToken"),)
