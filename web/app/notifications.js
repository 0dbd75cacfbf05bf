// SPDX-License-Identifier: Apache-2.0
/** Web Push: this browser as one of the person's devices; and the number on the app's icon. */

import {database, server} from './server.js';

/** Why there are no notifications here, or that they can be had. */
export function support() {
  if (!isSecureContext) return 'insecure';
  if (!('serviceWorker' in navigator)) return 'unsupported';
  // On iPhones and iPads, only an app on the home screen may ask.
  if (!('PushManager' in globalThis)) return /iPhone|iPad/.test(navigator.userAgent) ? 'home_screen' : 'unsupported';
  return Notification.permission === 'denied' ? 'denied' : 'possible';
}

/** Whether this browser is registered. */
export async function isOn() {
  return (await database.get('device')) !== undefined;
}

/** Ask the person and register this browser. Called from a click. Raises GlimpseError, DOMException. */
export async function turnOn() {
  if (await Notification.requestPermission() !== 'granted') return false;
  const {public_key} = await server.call('GET', '/v1/push/vapid');
  const registration = await navigator.serviceWorker.ready;
  const subscription = await registration.pushManager.subscribe({
    userVisibleOnly: true,
    applicationServerKey: bytesOf(public_key),
  });
  await register(subscription);
  return true;
}

/** Register at each start, as browsers renew subscriptions. */
export async function renew() {
  if (!await isOn() || support() !== 'possible') return;
  const registration = await navigator.serviceWorker.ready;
  const subscription = await registration.pushManager.getSubscription();
  if (subscription) await register(subscription);
}

/** @param {PushSubscription} subscription */
async function register(subscription) {
  const json = {provider: 'webpush', token: JSON.stringify(subscription), device_type: 'WEB'};
  const {device_id} = await server.call('POST', '/v1/devices', {json});
  await database.set('device', device_id);
}

export async function turnOff() {
  const device = await database.get('device');
  const registration = await navigator.serviceWorker.ready;
  await (await registration.pushManager.getSubscription())?.unsubscribe();
  await server.call('DELETE', `/v1/devices/${device}`).catch(() => {});
  await database.set('device', undefined);
}

/** What is read needs no notification any more. @param {string} conversation */
export async function closeNotifications(conversation) {
  const registration = await navigator.serviceWorker?.getRegistration();
  for (const shown of await registration?.getNotifications({tag: conversation}) ?? []) shown.close();
}

/** The number of what is unread, on the icon where the system shows one, and in the title. @param {number} unread */
export function followBadge(unread) {
  document.title = unread ? `(${unread}) Glimpse` : 'Glimpse';
  if (unread) navigator.setAppBadge?.(unread).catch(() => {});
  else navigator.clearAppBadge?.().catch(() => {});
}

/** @param {string} base64url */
function bytesOf(base64url) {
  const text = atob(base64url.replaceAll('-', '+').replaceAll('_', '/'));
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}
