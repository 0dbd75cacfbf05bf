// SPDX-License-Identifier: Apache-2.0

// agora-token: one token of each kind that Glimpse issues too, and one of more than that.

import agora from "agora-token";
import { given, tell } from "./exchange.mjs";

const { app_id: id, app_certificate: certificate, user, channel, seconds } = given;
tell({
  chat_user: agora.ChatTokenBuilder.buildUserToken(id, certificate, user, seconds),
  chat_app: agora.ChatTokenBuilder.buildAppToken(id, certificate, seconds),
  rtc: agora.RtcTokenBuilder.buildTokenWithUid(id, certificate, channel, 7, agora.RtcRole.PUBLISHER, seconds, seconds),
  viewer: agora.RtcTokenBuilder.buildTokenWithUid(id, certificate, channel, 7, agora.RtcRole.SUBSCRIBER, seconds, seconds),
  rtm: agora.RtmTokenBuilder.buildToken(id, certificate, user, seconds),
  school: agora.ApaasTokenBuilder.buildRoomUserToken(id, certificate, "room", user, 1, seconds),
});
