// Runs the service worker of docs/push-clients.md with a browser's objects around it: the address of a server, an
// Authorization, a notification and the worker's source come in as JSON, what it showed and kept goes out. The server is
// too busy for its first DELETE.
import { readFileSync } from "node:fs";
import vm from "node:vm";

const given = JSON.parse(readFileSync(0, "utf8"));
const listeners = {};
const shown = [];
const opened = [];
const failed = [];
const kept = new Map();

const cache = {
  match: async (path) => kept.get(path)?.clone(),
  put: async (path, response) => void kept.set(path, response),
  delete: async (path) => kept.delete(path),
};
const self = {
  addEventListener: (kind, listener) => (listeners[kind] = listener),
  location: { origin: given.origin },
  registration: { showNotification: async (title, options) => void shown.push({ title, ...options }) },
  clients: { openWindow: async (url) => void opened.push(url) },
};
let refusals = 1;
const asked = async (url, options) =>
  options.method === "DELETE" && refusals-- > 0 ? new Response(null, { status: 503 }) : fetch(url, options);
const context = vm.createContext({ self, caches: { open: async () => cache }, fetch: asked, Response });
vm.runInContext(given.source, context);

async function happens(kind, event) {
  const waits = [];
  listeners[kind]({ ...event, waitUntil: (promise) => waits.push(promise) });
  for (const { reason } of await Promise.allSettled(waits)) if (reason) failed.push(reason.message);
}

kept.set("/authorization", new Response(given.authorization));
for (let times = 0; times < 2; times++) await happens("push", { data: { json: () => given.told } });
for (let times = 0; times < 2; times++) {
  await happens("notificationclick", { notification: { data: given.told, close() {} } });
}
const image = kept.get(`/images/${given.told.message_key}`);
const bytes = Buffer.from(await image.arrayBuffer()).toString("base64");
await happens("push", { data: { json: () => ({ type: "account_retrieved" }) } });
console.log(JSON.stringify({ shown, opened, failed, bytes, authorized: kept.has("/authorization") }));
