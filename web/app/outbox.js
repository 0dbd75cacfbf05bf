// SPDX-License-Identifier: Apache-2.0
/**
 * What is to be sent: kept in the browser until the server has it, sent in order, and once.
 *
 * Each has an Idempotency-Key from the moment it is written, so that two tabs, a lost reply or a reload create nothing
 * twice.
 */

import {GlimpseError, isTemporary, newKey} from '../../clients/js/src/index.js';
import {alone} from '../../clients/js/src/session.js';
import {addEntry, loadConversations} from './loading.js';
import {database, server} from './server.js';
import {changed, receiverOf, state} from './state.js';

const RETRY_MS = 5000;
let sequence = 0;

/** @returns {Promise<import('./state.js').Outgoing[]>} */
export async function readOutbox() {
  return (await database.entries('outbox:')).map(([, each]) => each);
}

/**
 * Send when there is a line: now, if there is one.
 * @param {string} conversation
 * @param {Omit<import('./state.js').Outgoing, 'key' | 'conversation' | 'at'>} what
 */
export async function send(conversation, what) {
  const at = Date.now();
  const order = `${at.toString(16).padStart(12, '0')}${(sequence++ % 4096).toString(16).padStart(3, '0')}`;
  /** @type {import('./state.js').Outgoing} */
  const outgoing = {...what, conversation, at, key: `${order}-${newKey()}`};
  await database.set(`outbox:${outgoing.key}`, outgoing);
  state.outbox = [...state.outbox, outgoing];
  changed();
  pump();
}

/** Give up on one that was refused. @param {import('./state.js').Outgoing} outgoing */
export async function discard(outgoing) {
  await database.set(`outbox:${outgoing.key}`, undefined);
  state.outbox = state.outbox.filter(({key}) => key !== outgoing.key);
  changed();
}

/** On its way now, and how to stop it. */
let leaving = {key: '', stop: new AbortController()};

/** Let one wait until it is told to go on. @param {import('./state.js').Outgoing} outgoing */
export async function pause(outgoing) {
  await change(outgoing, {paused: true});
  if (leaving.key === outgoing.key) leaving.stop.abort();
}

/** @param {import('./state.js').Outgoing} outgoing */
export async function goOn(outgoing) {
  await change(outgoing, {paused: undefined});
  pump();
}

/** Try one again that was refused. @param {import('./state.js').Outgoing} outgoing */
export async function retry(outgoing) {
  await change(outgoing, {failed: undefined});
  pump();
}

/** @param {import('./state.js').Outgoing} outgoing @param {Partial<import('./state.js').Outgoing>} how */
async function change(outgoing, how) {
  const marked = {...outgoing, ...how};
  await database.set(`outbox:${marked.key}`, marked);
  state.outbox = state.outbox.map((each) => (each.key === marked.key ? marked : each));
  changed();
}

let pumping = false;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let waiting;

/** Send what waits, as the only one of all tabs. */
export async function pump() {
  if (pumping || state.phase !== 'somebody') return;
  pumping = true;
  clearTimeout(waiting);
  try {
    await alone('glimpse-outbox', empty);
  } finally {
    pumping = false;
  }
}

async function empty() {
  for (;;) {
    // Another tab may have sent it meanwhile, or written more.
    state.outbox = await readOutbox();
    changed();
    const next = state.outbox.find(({failed, paused}) => !failed && !paused);
    if (!next) return;
    try {
      await deliver(next);
    } catch (error) {
      if (!(error instanceof GlimpseError)) throw error;
      state.progress.delete(next.key);
      if (error.code === 'aborted') continue;
      if (isTemporary(error)) {
        waiting = setTimeout(pump, Math.max(RETRY_MS, (error.retryAfter ?? 0) * 1000));
        return;
      }
      await change(next, {failed: error.code});
    }
  }
}

/** @param {import('./state.js').Outgoing} next */
async function deliver(next) {
  const receiver = receiverOf(next.conversation);
  const {key, caption, ttl_seconds, placeholder, thumbnail} = next;
  const head = {sender_uid: state.me?.uid ?? null, receiver_uid: null, group_id: null, ...receiver};
  if (next.image) {
    leaving = {key, stop: new AbortController()};
    const sent = await server.sendImage(receiver, next.image, {
      signal: leaving.stop.signal,
      key, caption, ttl_seconds, placeholder, thumbnail,
      onprogress: (part) => { state.progress.set(key, part); changed(); },
    });
    if (thumbnail) state.previews.set(sent.message_key, URL.createObjectURL(thumbnail));
    addEntry(next.conversation, {...head, ...sent, kind: 'image', caption, placeholder, has_thumbnail: !!thumbnail, state: 'pending'});
  } else {
    const sent = await server.sendText(receiver, next.text ?? '', {key});
    addEntry(next.conversation, {...head, ...sent, kind: 'text', text: next.text});
  }
  state.progress.delete(key);
  await discard(next);
  await loadConversations().catch(() => {});
}

addEventListener('online', () => pump());
