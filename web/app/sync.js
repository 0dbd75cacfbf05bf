// SPDX-License-Identifier: Apache-2.0
/** Keeps the state as the server has it: loaded at first, then by events. */

import {GlimpseError} from '../../clients/js/src/index.js';
import {closeNotifications, followBadge} from './notifications.js';
import {pump, readOutbox} from './outbox.js';
import {where} from './router.js';
import {database, server} from './server.js';
import {changed, conversationOf, reset, state, unreadInAll} from './state.js';

const PAGE = 40;
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

/** What is needed to show something at the next start without a line. */
async function keep() {
  const histories = [...state.histories].slice(-20).map(([id, {entries, more}]) => [id, {entries: entries.slice(-PAGE), more}]);
  const {me, conversations, people} = state;
  if (me) await database.set('last', {me, conversations, people, names: [...state.names], histories});
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let keeping;
/** Shows what has changed, and keeps it. */
function settled() {
  changed();
  followBadge(unreadInAll());
  clearTimeout(keeping);
  keeping = setTimeout(() => keep(), 300);
}

export async function loadConversations() {
  const {items} = await server.call('GET', '/v1/conversations?limit=200');
  state.conversations = items.map((/** @type {any} */ item) => {
    if (item.peer_uid) state.names.set(item.peer_uid, item.nickname);
    return {...item, id: item.group_id ? `g${item.group_id}` : String(item.peer_uid), name: item.name ?? item.nickname};
  });
  settled();
}

export async function loadPeople() {
  const [friends, incoming, outgoing, blocks, groups, invitations] = await Promise.all([
    server.list('/v1/friends?state=friends&limit=200'),
    server.list('/v1/friends?state=incoming&limit=200'),
    server.list('/v1/friends?state=outgoing&limit=200'),
    server.list('/v1/blocks?limit=200'),
    server.list('/v1/groups?limit=200'),
    server.list('/v1/groups?state=invited&limit=200'),
  ]);
  state.people = {friends, incoming, outgoing, blocks, groups, invitations};
  for (const {uid, nickname} of [...friends, ...incoming, ...outgoing, ...blocks]) state.names.set(uid, nickname);
  for (const group of groups) state.groups.set(group.group_id, {...state.groups.get(group.group_id), ...group});
  settled();
}

/** The newest of a conversation. @param {string} id */
export async function loadHistory(id) {
  const {items, next} = await server.call('GET', `${historyPath(id)}&limit=${PAGE}`);
  state.histories.set(id, {entries: items.reverse(), more: next});
  settled();
  if (id.startsWith('g')) await loadGroup(Number(id.slice(1)));
  else if (!state.names.has(Number(id))) await loadName(Number(id));
}

/** What was said before what is shown. @param {string} id */
export async function loadEarlier(id) {
  const history = state.histories.get(id);
  if (!history?.more) return;
  const {items, next} = await server.call('GET', `${historyPath(id)}&limit=${PAGE}&before=${history.more}`);
  state.histories.set(id, {entries: [...items.reverse(), ...history.entries], more: next});
  changed();
}

/** @param {string} id */
function historyPath(id) {
  return id.startsWith('g') ? `/v1/messages?group_id=${id.slice(1)}` : `/v1/messages?with_uid=${id}`;
}

/** @param {number} groupId */
export async function loadGroup(groupId) {
  const group = await server.call('GET', `/v1/groups/${groupId}`);
  state.groups.set(groupId, {...state.groups.get(groupId), ...group});
  for (const {uid, nickname} of [...group.members, ...group.invited]) state.names.set(uid, nickname);
  settled();
}

/** @param {number} uid */
export async function loadName(uid) {
  const {nickname} = await server.call('GET', `/v1/users/${uid}`);
  state.names.set(uid, nickname);
  changed();
}

/** @param {string} id @param {import('./state.js').Entry} entry */
export function addEntry(id, entry) {
  const history = state.histories.get(id);
  if (!history || history.entries.some(({message_id}) => message_id === entry.message_id)) return;
  history.entries = [...history.entries, entry].sort((one, other) => one.message_id - other.message_id);
}

/** @param {number} messageId @param {Partial<import('./state.js').Entry>} change */
export function changeEntry(messageId, change) {
  for (const history of state.histories.values()) {
    history.entries = history.entries.map((each) => (each.message_id === messageId ? {...each, ...change} : each));
  }
  for (const conversation of state.conversations ?? []) {
    if (conversation.last?.message_id === messageId) conversation.last = {...conversation.last, ...change};
  }
  settled();
}

/** @param {number} messageId */
export function removeEntry(messageId) {
  for (const history of state.histories.values()) {
    history.entries = history.entries.filter((each) => each.message_id !== messageId);
  }
  settled();
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
