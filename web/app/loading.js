// SPDX-License-Identifier: Apache-2.0
/** Brings what the server has into the state, part by part, and keeps what the next start shows first. */

import {followBadge} from './notifications.js';
import {database, server} from './server.js';
import {changed, state, unreadInAll} from './state.js';

const PAGE = 40;

/** What is needed to show something at the next start without a line. */
async function keep() {
  const histories = [...state.histories].slice(-20).map(([id, {entries, more}]) => [id, {entries: entries.slice(-PAGE), more}]);
  const {me, conversations, people} = state;
  if (me) await database.set('last', {me, conversations, people, names: [...state.names], histories});
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let keeping;
/** Shows what has changed, and keeps it. */
export function settled() {
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
