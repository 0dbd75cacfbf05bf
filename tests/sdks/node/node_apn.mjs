// SPDX-License-Identifier: Apache-2.0

// @parse/node-apn: pushes of several types by one connection, and refusals.

import apn from "@parse/node-apn";
import { readFileSync } from "node:fs";
import { given, tell } from "./exchange.mjs";

const { hostname, port } = new URL(given.base_url);
const provider = new apn.Provider({
  token: { key: given.private_key_file, keyId: given.key_id, teamId: given.team_id },
  ca: readFileSync(given.ca_file),
  address: hostname,
  port: Number(port),
  production: false,
});

const results = [];
for (const [token, pushType, suffix, changes] of [
  [given.token, "alert", "", {}],
  [given.token, "background", "", { alert: undefined, sound: undefined, contentAvailable: 1, priority: 5 }],
  [given.token, "pushtotalk", ".voip-ptt", {}],
  [given.token, "widgets", ".push-type.widgets", { aps: { "content-changed": true } }],
  [given.gone, "alert", "", {}],
]) {
  const note = new apn.Notification({
    topic: given.topic + suffix,
    pushType,
    alert: { title: "New message", body: "Tap to open" },
    sound: "default",
    payload: { message_id: 42 },
    expiry: Math.floor(Date.now() / 1000) + 3600,
    collapseId: "k",
    ...changes,
  });
  const { sent, failed } = await provider.send(note, token);
  results.push([sent.length, failed.map((one) => [one.status, one.response?.reason ?? String(one.error)])]);
}
await provider.shutdown();
tell({ results });
