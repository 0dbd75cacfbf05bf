# SPDX-License-Identifier: Apache-2.0
"""The Sendbird sample, as docs/samples.md describes it."""

from handlers.route import ANYBODY, Route
from handlers.samples.base import SampleHandler

TAKEN = ("email", "nickname", "password", "device_token", "device_type")


class SendbirdSignupHandler(SampleHandler):
    """POST /signup. The session key is a refresh token."""

    async def post(self) -> None:
        fields = self.fields()
        uid, pair = await self.services.passwords.sign_up(
            {name: fields[name] for name in TAKEN if name in fields},
            self.address,
            min_password_bytes=self.services.settings.samples.min_password_bytes,
        )
        sendbird_id = await self.services.chat.username(uid, "sendbird")
        me = await self.services.accounts.me(uid)
        self.reply(
            200,
            {
                "session": pair.refresh_token,
                "sendbird_id": sendbird_id,
                "nickname": me["nickname"],
                "email": me["email"],
            },
        )


ROUTES = (Route("POST", "/signup", SendbirdSignupHandler, ANYBODY, "register", "sendbirdSignUp", sample=True),)
