// SPDX-License-Identifier: Apache-2.0
/** What the app knows, in one place; views watch it. */

/**
 * @typedef {object} Entry one message of a history, as the server tells it
 * @property {number} message_id
 * @property {'text' | 'image' | 'image_link' | 'video_link'} kind
 * @property {number | null} sender_uid
 * @property {number | null} receiver_uid
 * @property {number | null} group_id
 * @property {number} send_time
 * @property {string} [text]
 * @property {string} [url]
 * @property {string} [message_key]
 * @property {string} [caption]
 * @property {string} [placeholder]
 * @property {boolean} [has_thumbnail]
 * @property {'pending' | 'consumed' | 'expired' | 'recalled' | 'released'} [state]
 *
 * @typedef {object} Conversation
 * @property {string} id the peer's uid, or `g` and the group's id
 * @property {string} name
 * @property {Entry | null} last
 * @property {number} unread
 * @property {number} read_up_to
 *
 * @typedef {object} Outgoing what waits to be sent
 * @property {string} key its Idempotency-Key, in the order of sending
 * @property {string} conversation
 * @property {number} at
 * @property {string} [text]
 * @property {Blob} [image]
 * @property {Blob} [thumbnail]
 * @property {string} [placeholder]
 * @property {string} [caption]
 * @property {number} [ttl_seconds]
 * @property {number} [width]
 * @property {number} [height]
 * @property {string} [failed] why it was refused, as a code
 * @property {boolean} [paused]
 *
 * @typedef {object} Person
 * @property {number} uid
 * @property {string} nickname
 *
 * @typedef {object} Group
 * @property {number} group_id
 * @property {string} room_gid
 * @property {string} name
 * @property {string} join
 * @property {string} [role]
 * @property {number} [member_count]
 * @property {(Person & {role: string})[]} [members]
 * @property {(Person & {role: string})[]} [invited]
 */

export const state = {
  /** @type {'starting' | 'nobody' | 'somebody'} */
  phase: 'starting',
  /** @type {{uid: number, nickname: string, region_num: string | null, phone_hash: string | null,
   *   email: string | null, login: string | null, discoverable: boolean, read_receipts: boolean} | null} */
  me: null,
  /** How the line to the server is. */
  line: 'off',
  /** @type {Conversation[] | null} */
  conversations: null,
  /** Histories, the oldest first, by conversation. @type {Map<string, {entries: Entry[], more: number | null}>} */
  histories: new Map(),
  /** Names by uid. @type {Map<number, string>} */
  names: new Map(),
  /** How far others have read what was sent to them, by conversation. @type {Map<string, number>} */
  readBy: new Map(),
  /** @type {Outgoing[]} */
  outbox: [],
  /** How much of a picture has left, from 0 to 1. @type {Map<string, number>} */
  progress: new Map(),
  /** Previews of own pictures by message_key, for as long as the page is open. @type {Map<string, string>} */
  previews: new Map(),
  /** @type {{friends: Person[], incoming: Person[], outgoing: Person[], blocks: Person[], groups: Group[],
   *   invitations: Group[]} | null} */
  people: null,
  /** @type {Map<number, Group>} */
  groups: new Map(),
  /** @type {Set<string>} */
  muted: new Set(),
};

/** @type {Set<() => void>} */
const watchers = new Set();

/**
 * Be called after each change.
 * @param {() => void} watcher
 * @returns {() => void} stops it
 */
export function watch(watcher) {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

/** Say that the state has changed. */
export function changed() {
  for (const watcher of [...watchers]) watcher();
}

/** Forget everybody, as at first. */
export function reset() {
  Object.assign(state, {phase: 'nobody', me: null, line: 'off', conversations: null, outbox: [], people: null});
  for (const known of [state.histories, state.names, state.readBy, state.progress, state.previews, state.groups,
    state.muted]) known.clear();
  changed();
}

/**
 * The conversation that a message belongs to.
 * @param {{sender_uid?: number | null, receiver_uid?: number | null, group_id?: number | null}} entry
 */
export function conversationOf(entry) {
  if (entry.group_id) return `g${entry.group_id}`;
  return String(entry.sender_uid === state.me?.uid ? entry.receiver_uid : entry.sender_uid);
}

/** Who gets what is sent in a conversation. @param {string} id */
export function receiverOf(id) {
  return id.startsWith('g') ? {group_id: Number(id.slice(1))} : {receiver_uid: Number(id)};
}

/** What a conversation is called. @param {string} id */
export function nameOf(id) {
  const known = state.conversations?.find((each) => each.id === id)?.name;
  if (known) return known;
  return (id.startsWith('g') ? state.groups.get(Number(id.slice(1)))?.name : state.names.get(Number(id))) ?? '…';
}

/** All that is unread where nothing is muted. */
export function unreadInAll() {
  return (state.conversations ?? []).reduce((sum, {id, unread}) => sum + (state.muted.has(id) ? 0 : unread), 0);
}
