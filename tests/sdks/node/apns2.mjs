// SPDX-License-Identifier: Apache-2.0

// apns2: a visible and a silent push, and a refusal.

import { ApnsClient, Notification, SilentNotification } from "apns2";
import { readFileSync } from "node:fs";
import { given, lead, tell } from "./exchange.mjs";

lead({ "api.push.apple.com": given.base_url });
const client = new ApnsClient({
  team: given.team_id,
  keyId: given.key_id,
  signingKey: readFileSync(given.private_key_file, "utf8"),
  defaultTopic: given.topic,
});
const text = { alert: { title: "New message", body: "Tap to open" }, data: { message_id: 42 } };
await client.send(new Notification(given.token, { ...text, collapseId: "k", expiration: new Date(Date.now() + 3.6e6) }));
await client.send(new SilentNotification(given.token));
const [refused] = await client.sendMany([new Notification(given.gone, text)]);
await client.close();
tell({ reason: refused.error.reason, status: refused.error.statusCode });
