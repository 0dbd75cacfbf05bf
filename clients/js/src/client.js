// SPDX-License-Identifier: Apache-2.0
/** A person's way to a Glimpse server. */

import {GlimpseError} from './errors.js';
import {Events} from './events.js';
import {Http} from './http.js';
import {newKey} from './keys.js';
import {fetchWhole} from './receiving.js';
import {sendInPieces} from './resuming.js';
import {Session} from './session.js';
import {MemoryStore} from './stores.js';

/**
 * @typedef {{receiver_uid: number} | {group_id: number} | {receiver_phone: string}} Receiver
 *
 * @typedef {object} Account
 * @property {number} uid
 * @property {string} ukey
 * @property {string} phone_hash
 *
 * @typedef {object} Activation
 * @property {string} activation_id
 * @property {number} expires_at
 * @property {number} resend_at
 *
 * @typedef {object} SentImage
 * @property {number} message_id
 * @property {string} message_key
 * @property {number} send_time
 * @property {string | null} metadata_removed
 */

/** Larger images go in pieces, and go on where they stopped; smaller ones are sent again as a whole. */
const WHOLE_BYTES = 512 * 1024;

export class Glimpse {
  /**
   * @param {{url?: string, store?: import('./stores.js').Store, fetch?: typeof fetch}} [how] `url` of the server:
   *   where none is given, the page's own, or what GLIMPSE_URL says; `store` keeps the credentials
   */
  constructor({url, store = new MemoryStore(), fetch} = {}) {
    this.http = new Http(url ?? defaultUrl(), fetch);
    this.session = new Session(this.http, store);
    this.events = new Events(this, store);
  }

  /**
   * Call an operation as the person who is signed in; its JSON, if it answers any. Raises GlimpseError.
   * @param {string} method
   * @param {string} path
   * @param {{json?: unknown, key?: string, signal?: AbortSignal, headers?: Record<string, string>}} [how]
   * @returns {Promise<any>}
   */
  async call(method, path, how = {}) {
    const reply = await this.request(method, path, how);
    return reply.headers.get('Content-Type')?.startsWith('application/json') ? reply.json() : undefined;
  }

  /**
   * As `call`, with the whole reply. A token that has ended is renewed, and the request sent once more.
   * @param {string} method
   * @param {string} path
   * @param {{json?: unknown, body?: Blob | FormData, key?: string, signal?: AbortSignal, headers?: Record<string, string>,
   *   once?: boolean}} [how]
   */
  async request(method, path, {json, body, key, signal, headers = {}, once} = {}) {
    const given = key ? {...headers, 'Idempotency-Key': key} : headers;
    return this.#authorised((authorization) =>
      this.http.send({method, path, json, body, signal, once, headers: {...given, Authorization: authorization}}));
  }

  /**
   * @template T
   * @param {(authorization: string) => Promise<T>} work
   * @returns {Promise<T>}
   */
  async #authorised(work) {
    const token = await this.session.accessToken();
    try {
      return await work(`Bearer ${token}`);
    } catch (error) {
      if (!(error instanceof GlimpseError) || error.status !== 401) throw error;
      return work(`Bearer ${await this.session.accessToken(token)}`);
    }
  }

  // -- becoming somebody --

  /**
   * Register a phone: an account at once, or an activation that waits for a code.
   * @param {{region_num?: string, phone_num: string, nickname: string, device_type?: string, terms_version?: string}}
   *   who
   * @returns {Promise<Account | Activation>}
   */
  async register(who) {
    const headers = {'Idempotency-Key': newKey()};
    const reply = await this.http.send({method: 'POST', path: '/v1/register', json: who, headers});
    return this.#admitted(await reply.json());
  }

  /** @param {string} activationId @param {string} code @returns {Promise<Account & {retrieved: boolean}>} */
  async activate(activationId, code) {
    const headers = {'Idempotency-Key': newKey()};
    const path = `/v1/activations/${activationId}`;
    return this.#admitted(await (await this.http.send({method: 'POST', path, json: {code}, headers})).json());
  }

  /** @param {string} activationId @returns {Promise<Activation>} */
  async resendCode(activationId) {
    const path = `/v1/activations/${activationId}/resend`;
    return (await this.http.send({method: 'POST', path, once: true})).json();
  }

  /** @param {{email?: string, login?: string, password: string, nickname?: string}} who */
  async signUp(who) {
    const json = {...who, device_type: 'WEB'};
    const {uid, ...tokens} = await (await this.http.send({method: 'POST', path: '/v1/signup', json})).json();
    await this.session.keep({uid, tokens});
  }

  /** @param {{email?: string, login?: string, password: string}} who */
  async logIn(who) {
    const tokens = await (await this.http.send({method: 'POST', path: '/v1/login', json: who})).json();
    const headers = {Authorization: `Bearer ${tokens.access_token}`};
    const me = await (await this.http.send({method: 'GET', path: '/v1/me', headers})).json();
    await this.session.keep({uid: me.uid, phone_hash: me.phone_hash ?? undefined, tokens});
  }

  /**
   * An email or login for an account with a phone, for `logIn` on other devices. Only its ukey may do so.
   * @param {{email?: string, login?: string, password: string}} who
   */
  async addPassword(who) {
    const headers = {Authorization: await this.#proof()};
    await this.http.send({method: 'PUT', path: '/v1/me/credentials', json: who, headers});
  }

  /** Ask for another ukey; the other sessions and devices may end with it. @param {boolean} endOthers */
  async renewKey(endOthers) {
    const headers = {Authorization: await this.#proof(), 'Idempotency-Key': newKey()};
    const json = {end_other_sessions: endOthers};
    const account = await (await this.http.send({method: 'POST', path: '/v1/me/ukey', json, headers})).json();
    await this.session.keep(account);
  }

  async #proof() {
    const basic = await this.session.basic();
    if (!basic) throw new GlimpseError({status: 403, code: 'proof_required'});
    return basic;
  }

  /** End this session, and forget who it was. */
  async signOut() {
    await this.call('POST', '/v1/logout').catch(() => {});
    await this.session.keep(undefined);
  }

  /** @param {any} answer */
  async #admitted(answer) {
    if ('ukey' in answer) {
      const {uid, ukey, phone_hash} = answer;
      await this.session.keep({uid, ukey, phone_hash});
    }
    return answer;
  }

  // -- pictures --

  /**
   * Send a picture. With the same `key` a repeat creates nothing, so it may be sent again after a lost reply; a large
   * one goes on where it stopped.
   * @param {Receiver} receiver
   * @param {Blob} image
   * @param {{key?: string, caption?: string, ttl_seconds?: number, thumbnail?: Blob, placeholder?: string,
   *   signal?: AbortSignal, onprogress?: (part: number) => void}} [how]
   * @returns {Promise<SentImage>}
   */
  async sendImage(receiver, image, {key = newKey(), caption, ttl_seconds, thumbnail, placeholder, ...how} = {}) {
    const fields = {...receiver, caption, ttl_seconds, placeholder};
    if (image.size > WHOLE_BYTES) {
      const request = /** @type {import('./resuming.js').Requesting} */ ((method, path, given) =>
        this.request(method, path, {...given, once: method === 'PATCH'}));
      return sentImage(await sendInPieces(request, image, {key, fields, thumbnail, ...how}));
    }
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) if (value !== undefined) form.append(name, String(value));
    if (thumbnail) form.append('thumb_file', thumbnail, 'preview');
    form.append('img_file', image, 'image');
    const headers = await this.#authorised((authorization) =>
      this.#sendForm(form, {Authorization: authorization, 'Idempotency-Key': key}, how));
    return sentImage(headers);
  }

  /**
   * @param {FormData} body
   * @param {Record<string, string>} headers
   * @param {{signal?: AbortSignal, onprogress?: (part: number) => void}} how
   */
  async #sendForm(body, headers, {signal, onprogress}) {
    const reply = await this.http.send({method: 'POST', path: '/v1/images', body, headers, signal});
    onprogress?.(1);
    return reply.headers;
  }

  /**
   * Fetch a picture, make it safe by `keep`, and only then acknowledge it: the server deletes it then. A transfer that
   * breaks goes on where it stopped.
   * @param {string} messageKey
   * @param {(image: Blob) => Promise<void> | void} keep
   * @returns {Promise<Blob>}
   */
  async openImage(messageKey, keep = () => {}) {
    const image = await this.fetchImage(messageKey);
    await keep(image);
    await this.acknowledge(messageKey);
    return image;
  }

  /** Fetch a picture, which stays on the server until it is acknowledged. @param {string} messageKey */
  async fetchImage(messageKey) {
    const path = `/v1/images/${messageKey}?ack=manual`;
    return fetchWhole((headers) => this.request('GET', path, {headers}));
  }

  /** Say that a picture is safe here: the server deletes it. @param {string} messageKey */
  async acknowledge(messageKey) {
    await this.call('DELETE', `/v1/images/${messageKey}`);
  }

  /** Take a picture back that was not seen yet. @param {string} messageKey */
  async recallImage(messageKey) {
    await this.call('DELETE', `/v1/images/${messageKey}`);
  }

  // -- words --

  /**
   * @param {Receiver} receiver
   * @param {string} text
   * @param {{key?: string}} [how]
   * @returns {Promise<{message_id: number, send_time: number}>}
   */
  async sendText(receiver, text, {key = newKey()} = {}) {
    return this.call('POST', '/v1/messages', {json: {...receiver, kind: 'text', text}, key});
  }

  /**
   * Everything on a list that comes in pages.
   * @param {string} path with its query, if any
   * @param {'before' | 'after'} cursor
   * @returns {Promise<any[]>}
   */
  async list(path, cursor = 'after') {
    const found = [];
    for (let next = null; ;) {
      const joint = path.includes('?') ? '&' : '?';
      const page = await this.call('GET', next === null ? path : `${path}${joint}${cursor}=${next}`);
      found.push(...page.items);
      next = page.next;
      if (next === null) return found;
    }
  }
}

/** @param {Headers} headers @returns {SentImage} */
function sentImage(headers) {
  return {
    message_id: Number(headers.get('Message-Id')),
    message_key: headers.get('Message-Key') ?? '',
    send_time: Number(headers.get('Send-Time')),
    metadata_removed: headers.get('Metadata-Removed'),
  };
}

function defaultUrl() {
  const environment = /** @type {any} */ (globalThis).process?.env?.GLIMPSE_URL;
  const url = globalThis.location?.origin ?? environment;
  if (!url) throw new TypeError('Say where the server is: new Glimpse({url}), or GLIMPSE_URL.');
  return url;
}
