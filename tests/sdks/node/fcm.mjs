// SPDX-License-Identifier: Apache-2.0

// firebase-admin: messages to every kind of target, a dry run, refusals and topics.

import { cert, initializeApp } from "firebase-admin/app";
import { getMessaging } from "firebase-admin/messaging";
import { failure, given, lead, tell } from "./exchange.mjs";

const hosts = ["fcm.googleapis.com", "iid.googleapis.com", "oauth2.googleapis.com"];
lead(Object.fromEntries(hosts.map((host) => [host, given.base_url])));
const app = initializeApp({ credential: cert(given.service_account_file) });
const messaging = getMessaging(app);
messaging.enableLegacyHttpTransport();

const names = [
  await messaging.send({
    token: "phone1",
    data: { message_id: "42" },
    notification: { title: "New message", body: "Tap to open", imageUrl: "https://example.org/a.png" },
    android: {
      priority: "high",
      ttl: 3600 * 1000,
      collapseKey: "k",
      directBootOk: true,
      notification: { channelId: "c", sticky: true, priority: "max", vibrateTimingsMillis: [100], notificationCount: 3 },
      fcmOptions: { analyticsLabel: "a" },
    },
    apns: { payload: { aps: { alert: { title: "t" }, mutableContent: true } }, fcmOptions: { imageUrl: "https://a.org" } },
    webpush: { headers: { TTL: "60" }, notification: { title: "t" }, fcmOptions: { link: "https://example.org" } },
    fcmOptions: { analyticsLabel: "a" },
  }),
  await messaging.send({ topic: "news", data: { a: "b" } }),
  await messaging.send({ condition: "'news' in topics" }),
];
const refusals = {};
for (const token of given.refused) {
  await messaging.send({ token }).catch((error) => (refusals[token] = failure(error, "code").code));
}
const each = await messaging.sendEach([{ token: "a" }, { token: "gone" }]);
const many = await messaging.sendEachForMulticast({ tokens: ["f1", "f2"], data: { n: "1" } });
const dry = await messaging.send({ token: "dry" }, true);
const subscribed = await messaging.subscribeToTopic(["a", "gone"], "news");
const left = await messaging.unsubscribeFromTopic(["a"], "news");
tell({
  names,
  refusals,
  each: each.responses.map((one) => one.success),
  many: many.successCount,
  dry,
  subscribed: [subscribed.successCount, subscribed.failureCount],
  left: left.successCount,
});
