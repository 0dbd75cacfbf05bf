// SPDX-License-Identifier: Apache-2.0
/** A person's log of events, followed without a gap: by WebSocket, and by long poll where that fails. */

import {GlimpseError, isTemporary} from './errors.js';
import {pauseMs, sleep} from './http.js';

/**
 * @typedef {object} Event
 * @property {number} id
 * @property {string} type
 * @property {number} at
 * @property {any} data
 */

const CURSOR = 'cursor';
/** A socket that did not open so often in a row gives way to long polls for a while. */
const SOCKET_TRIES = 2;
const POLLS_BEFORE_SOCKET = 10;
const POLL_SECONDS = 25;
/** A socket that closes sooner has not worked, though it opened. */
const SHORTEST_MS = 5000;

export class Events {
  /**
   * @param {import('./client.js').Glimpse} client
   * @param {import('./stores.js').Store} store keeps the cursor
   */
  constructor(client, store) {
    this.client = client;
    this.store = store;
    /** @type {'off' | 'connecting' | 'live' | 'polling'} */
    this.state = 'off';
    /** @type {(state: string) => void} */
    this.onstate = () => {};
    /** How far this reader is; the store may be shared with other tabs, each of which wants every event. */
    this.cursor = /** @type {number | undefined} */ (undefined);
  }

  /**
   * Follow until `signal` aborts. `handle` is awaited, and only then is the cursor moved: what was not handled comes
   * again. Where the log no longer holds the cursor, `restart` is called and following goes on from now.
   * @param {{handle: (event: Event) => Promise<void> | void, restart?: () => Promise<void> | void,
   *   signal: AbortSignal}} how
   */
  async follow({handle, restart, signal}) {
    let failed = 0;
    let polls = 0;
    this.cursor = undefined;
    while (!signal.aborted) {
      try {
        const after = await this.#after();
        if (typeof WebSocket !== 'undefined' && (failed < SOCKET_TRIES || polls >= POLLS_BEFORE_SOCKET)) {
          polls = 0;
          failed = await this.#socket(after, handle, signal) ? 0 : failed + 1;
          await sleep(pauseMs(failed), signal);
        } else {
          await this.#poll(after, handle, signal);
          polls++;
        }
      } catch (error) {
        if (signal.aborted) break;
        if (error instanceof GlimpseError && error.code === 'cursor_expired') {
          this.cursor = undefined;
          await this.store.set(CURSOR, undefined);
          await restart?.();
        } else if (isTemporary(error)) {
          this.#become('connecting');
          failed++;
          await sleep(pauseMs(Math.min(failed, 5), /** @type {GlimpseError} */ (error).retryAfter), signal)
            .catch(() => {});
        } else {
          this.#become('off');
          throw error;
        }
      }
    }
    this.#become('off');
  }

  /** Where to go on; the first time: from now. */
  async #after() {
    this.cursor ??= await this.store.get(CURSOR);
    if (this.cursor === undefined) await this.#reached((await this.client.call('GET', '/v1/events')).next);
    return /** @type {number} */ (this.cursor);
  }

  /** @param {Event} event @param {(event: Event) => Promise<void> | void} handle */
  async #take(event, handle) {
    if (event.id <= (this.cursor ?? 0)) return;
    await handle(event);
    await this.#reached(event.id);
  }

  /** @param {number} id */
  async #reached(id) {
    this.cursor = id;
    await this.store.set(CURSOR, id);
  }

  /** @param {number} after @param {(event: Event) => Promise<void> | void} handle @param {AbortSignal} signal */
  async #poll(after, handle, signal) {
    if (this.state !== 'polling') this.#become('connecting');
    const {items} = await this.client.call('GET', `/v1/events?after=${after}&wait=${POLL_SECONDS}`, {signal});
    this.#become('polling');
    for (const event of items) await this.#take(event, handle);
  }

  /**
   * True when it was open for a while. Raises GlimpseError when the server says that it will not work.
   * @param {number} after @param {(event: Event) => Promise<void> | void} handle @param {AbortSignal} signal
   */
  async #socket(after, handle, signal) {
    this.#become('connecting');
    const token = await this.client.session.accessToken();
    const socket = new WebSocket(`${this.client.http.url.replace(/^http/, 'ws')}/v1/events/ws?after=${after}`);
    let openedAt = Infinity;
    let queue = Promise.resolve();
    const closed = await new Promise((resolve) => {
      const abort = () => socket.close();
      signal.addEventListener('abort', abort, {once: true});
      socket.onopen = () => {
        openedAt = Date.now();
        socket.send(JSON.stringify({access_token: token}));
        this.#become('live');
      };
      socket.onmessage = ({data}) => {
        queue = queue.then(() => this.#take(JSON.parse(data), handle)).catch(() => socket.close());
      };
      socket.onclose = (event) => {
        signal.removeEventListener('abort', abort);
        resolve(event);
      };
    });
    await queue;
    this.#become('connecting');
    if (closed.code === 4401) await this.client.session.accessToken(token);
    if (closed.code === 4410) throw new GlimpseError({status: 410, code: 'cursor_expired'});
    return Date.now() - openedAt > SHORTEST_MS;
  }

  /** @param {'off' | 'connecting' | 'live' | 'polling'} state */
  #become(state) {
    if (this.state === state) return;
    this.state = state;
    this.onstate(state);
  }
}
