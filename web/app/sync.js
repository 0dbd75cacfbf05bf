// SPDX-License-Identifier: Apache-2.0
/** Keeps the state as the server has it: loaded at first, then by events. */

import {GlimpseError} from '../../clients/js/src/index.js';
import {
  addEntry, changeEntry, loadConversations, loadGroup, loadHistory, loadPeople, removeEntry, settled,
} from './loading.js';
import {closeNotifications, followBadge} from './notifications.js';
import {pump, readOutbox} from './outbox.js';
import {where} from './router.js';
import {database, server} from './server.js';
import {changed, conversationOf, reset, state} from './state.js';

const STALE_MS = 15_000;
let loadedAt = 0;
let following = new AbortController();

/** Go on as whoever is signed in; at first nobody. */
export async function begin() {
  const credentials = await server.session.credentials();
  if (!credentials) return reset();
  state.phase = 'somebody';
  // What was known last time is shown at once, also without a line.
  const kept = await database.get('last');
  if (kept?.me?.uid === credentials.uid) {
    Object.assign(state, {me: kept.me, conversations: kept.conversations, people: kept.people});
    for (const [uid, name] of kept.names ?? []) state.names.set(uid, name);
    for (const [id, history] of kept.histories ?? []) state.histories.set(id, history);
  }
  state.muted = new Set(await database.get('muted') ?? []);
  for (const [key, upTo] of await database.entries('read:')) state.readBy.set(key.slice(5), upTo);
  state.outbox = await readOutbox();
  changed();
  server.events.onstate = (line) => { state.line = line; changed(); if (line === 'live') pump(); };
  follow();
  await reload();
}

/** Everything that the first screens show, as it is now. */
export async function reload() {
  loadedAt = Date.now();
  try {
    state.me = await server.call('GET', '/v1/me');
    changed();
    await Promise.all([loadConversations(), loadPeople(), ...[...state.histories.keys()].map(loadHistory)]);
  } catch (error) {
    await givenUp(error);
  }
  pump();
}

/** Follow the events, from now on by this loop alone. */
async function follow() {
  following.abort();
  following = new AbortController();
  try {
    await server.events.follow({handle: take, restart: reload, signal: following.signal});
  } catch (error) {
    await givenUp(error);
  }
}

/** Where the credentials count no more, nobody is signed in; other failures pass. @param {unknown} error */
async function givenUp(error) {
  if (error instanceof GlimpseError && error.status === 401) await forget();
  else if (!(error instanceof GlimpseError)) throw error;
}

/** Nothing of this person stays in the browser but the choice of language and look. */
export async function forget() {
  following.abort();
  const kept = await Promise.all(['language', 'look'].map((key) => database.get(key)));
  await database.clear();
  await Promise.all(['language', 'look'].map((key, at) => database.set(key, kept[at])));
  reset();
  followBadge(0);
}

/** @type {Record<string, (data: any) => Promise<void> | void>} */
const HANDLERS = {
  message: (data) => {
    if (data.deleted) return removeEntry(data.message_id);
    addEntry(conversationOf(data), data);
    return loadConversations();
  },
  image: async (data) => {
    if (data.deleted) return;
    const id = data.group_id ? `g${data.group_id}` : String(data.sender_uid);
    // The event says where the image is; what it is stands in the history.
    if (state.histories.has(id)) await loadHistory(id);
    await loadConversations();
  },
  image_consumed: async ({message_id, receiver_uid}) => {
    if (receiver_uid !== state.me?.uid) changeEntry(message_id, {state: 'consumed'});
    const [screen, id] = where();
    if (screen === 'chats' && id?.startsWith('g')) await loadHistory(id);
  },
  image_recalled: ({message_id}) => changeEntry(message_id, {state: 'recalled'}),
  message_deleted: async ({message_id}) => {
    removeEntry(message_id);
    await loadConversations();
  },
  conversation_read: async ({uid, up_to, group_id}) => {
    const id = group_id ? `g${group_id}` : String(uid);
    if ((state.readBy.get(id) ?? 0) >= up_to) return;
    state.readBy.set(id, up_to);
    await database.set(`read:${id}`, up_to);
    changed();
  },
  friend_request: loadPeople,
  friend_accepted: loadPeople,
  group_invited: loadPeople,
  group_changed: async ({group_id}) => {
    await Promise.all([loadPeople(), loadConversations()]);
    if (state.people?.groups.some((group) => group.group_id === group_id)) await loadGroup(group_id);
  },
  account_retrieved: forget,
};

/** @param {import('../../clients/js/src/events.js').Event} event */
async function take({type, data}) {
  try {
    await HANDLERS[type]?.(data);
  } catch (error) {
    // What cannot be had is over; what could not be asked is asked again with the event.
    if (!(error instanceof GlimpseError) || error.status === 0 || error.status >= 500) throw error;
  }
}

/** Tell the server that a conversation is read. @param {string} id */
export async function markRead(id) {
  const last = state.histories.get(id)?.entries.at(-1);
  const conversation = state.conversations?.find((each) => each.id === id);
  if (!last || !conversation?.unread || conversation.read_up_to >= last.message_id) return;
  conversation.unread = 0;
  conversation.read_up_to = last.message_id;
  settled();
  closeNotifications(id).catch(() => {});
  await server.call('PUT', `/v1/conversations/${id}/read`, {json: {up_to: last.message_id}}).catch(() => {});
}

/** A tab that was away may have missed what another one did: of what a person does itself there are no events. */
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible' && state.phase === 'somebody' && Date.now() > loadedAt + STALE_MS) reload();
});
addEventListener('online', () => {
  if (state.phase !== 'somebody') return;
  follow(); // the loop before may sleep for a while yet
  reload();
});
