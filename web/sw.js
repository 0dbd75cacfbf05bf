// SPDX-License-Identifier: Apache-2.0
/// <reference lib="webworker" />
/**
 * The service worker: the app's own files without a line, and notifications.
 *
 * It keeps the page and its assets and nothing else: no picture, no answer of the interface.
 */

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
const CACHE = 'glimpse-VERSION';

worker.addEventListener('install', (event) => {
  event.waitUntil(keepShell().then(() => worker.skipWaiting()));
});

/** The page, and all that it names. */
async function keepShell() {
  const cache = await caches.open(CACHE);
  const page = await fetch('/', {headers: {Accept: 'text/html'}, cache: 'no-cache'});
  const assets = (await page.clone().text()).matchAll(/(?:href|src)="(\/assets\/[^"]+)"/g);
  await cache.put('/', page);
  await cache.addAll([...new Set([...assets].map(([, path]) => path))]);
}

worker.addEventListener('activate', (event) => {
  event.waitUntil((async () => {
    const old = (await caches.keys()).filter((name) => name !== CACHE);
    await Promise.all(old.map((name) => caches.delete(name)));
    await worker.clients.claim();
  })());
});

worker.addEventListener('fetch', (event) => {
  const {pathname, origin} = new URL(event.request.url);
  if (event.request.method !== 'GET' || origin !== location.origin) return;
  if (pathname === '/' && event.request.mode === 'navigate') event.respondWith(page(event.request));
  else if (pathname.startsWith('/assets/')) event.respondWith(asset(event.request));
});

/** The newest page; the kept one where there is no line. @param {Request} request */
async function page(request) {
  try {
    return await fetch(request);
  } catch (error) {
    const kept = await caches.match('/', {ignoreVary: true});
    if (kept) return kept;
    throw error;
  }
}

/** Named by what is in it, so the kept one is the right one. @param {Request} request */
async function asset(request) {
  return await caches.match(request, {ignoreVary: true}) ?? fetch(request);
}

// -- notifications --

const WORDS = {
  en: {title: 'Glimpse', image: (/** @type {string} */ name) => `${name} sent a picture`, message: (/** @type {string} */ name) => `${name} wrote`, somebody: 'Somebody', test: 'Notifications work.', retrieved: 'Your account was opened on another device.'},
  zh: {title: 'Glimpse', image: (/** @type {string} */ name) => `${name}发来一张照片`, message: (/** @type {string} */ name) => `${name}发来消息`, somebody: '有人', test: '通知正常。', retrieved: '你的账户已在另一台设备上打开。'},
};

worker.addEventListener('push', (event) => {
  event.waitUntil(show(event.data?.json() ?? {}));
});

/** @param {any} told section 3 of the interface: who sent which message */
async function show(told) {
  const [language = 'en', muted = [], last] = await values('language', 'muted', 'last');
  const words = WORDS[/** @type {'en' | 'zh'} */ (language)] ?? WORDS.en;
  const conversation = told.group_id ? `g${told.group_id}` : String(told.sender_uid ?? '');
  const name = new Map(last?.names ?? []).get(told.sender_uid) ?? words.somebody;
  const isImage = typeof told.message_key === 'string';
  const known = /** @type {Record<string, string>} */ ({account_retrieved: words.retrieved, test: words.test});
  const body = known[told.type] ?? (isImage ? words.image(name) : words.message(name));
  // A browser wants something shown for every push: what is muted is shown without a sound, and not again.
  await worker.registration.showNotification(words.title, /** @type {any} */ ({
    body,
    tag: conversation || 'glimpse',
    renotify: !muted.includes(conversation) && !!conversation,
    silent: muted.includes(conversation),
    image: told.thumbnail_url,
    timestamp: told.send_time,
    data: {open: conversation ? `#/chats/${conversation}` : '#/chats'},
  }));
  if ((await windows()).some(({visibilityState}) => visibilityState === 'visible')) return; // it knows what is unread
  const shown = await worker.registration.getNotifications();
  await worker.navigator.setAppBadge?.(shown.filter(({silent}) => !silent).length);
}

worker.addEventListener('notificationclick', (event) => {
  event.notification.close();
  event.waitUntil(open(event.notification.data.open));
});

/** @param {string} where */
async function open(where) {
  const [shown] = await windows();
  if (!shown) return worker.clients.openWindow(`/${where}`);
  shown.postMessage({open: where});
  return shown.focus();
}

/** The app's own; `/docs` is none. */
async function windows() {
  const all = await worker.clients.matchAll({type: 'window', includeUncontrolled: true});
  return all.filter(({url}) => new URL(url).pathname === '/');
}

/** What the page keeps. @param {...string} keys @returns {Promise<any[]>} */
async function values(...keys) {
  const database = await new Promise((resolve, reject) => {
    const opening = indexedDB.open('glimpse', 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore('values');
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
  });
  const store = database.transaction('values').objectStore('values');
  return Promise.all(keys.map((key) => new Promise((resolve, reject) => {
    const asking = store.get(key);
    asking.onsuccess = () => resolve(asking.result);
    asking.onerror = () => reject(asking.error);
  })));
}
