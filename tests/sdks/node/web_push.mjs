// SPDX-License-Identifier: Apache-2.0

// web-push: pushes with and without words, and a refusal.

import webpush from "web-push";
import { given, lead, tell } from "./exchange.mjs";

const { origin, host } = new URL(given.mine.endpoint);
lead({ [host]: origin });
const keys = webpush.generateVAPIDKeys();
webpush.setVapidDetails("mailto:ops@example.org", keys.publicKey, keys.privateKey);
const plain = await webpush.sendNotification(given.mine, "hello");
const topical = await webpush.sendNotification(given.mine, "again", { TTL: 60, topic: "a-b_c", urgency: "high" });
const silent = await webpush.sendNotification(given.mine, null, { TTL: 0 });
const gone = await webpush.sendNotification(given.gone, "hello").catch((error) => error.statusCode);
tell({ statuses: [plain.statusCode, topical.statusCode, silent.statusCode], gone });
