// SPDX-License-Identifier: Apache-2.0
/** Who is calling: a ukey, a session's tokens, or both; renewed in time, by one of all tabs. */

import {GlimpseError} from './errors.js';

/**
 * @typedef {object} Credentials
 * @property {number} uid
 * @property {string} [phone_hash]
 * @property {string} [ukey]
 * @property {Tokens} [tokens]
 *
 * @typedef {object} Tokens
 * @property {string} access_token
 * @property {number} expires_at
 * @property {string} refresh_token
 */

const KEY = 'credentials';
/** A token is renewed this long before its end, so that none ends on its way. */
const MARGIN_MS = 60_000;

export class Session {
  /**
   * @param {import('./http.js').Http} http
   * @param {import('./stores.js').Store} store
   */
  constructor(http, store) {
    this.http = http;
    this.store = store;
    /** @type {Promise<string> | undefined} */
    this.renewing = undefined;
  }

  /** @returns {Promise<Credentials | undefined>} */
  credentials() {
    return this.store.get(KEY);
  }

  /** @param {Credentials | undefined} credentials */
  async keep(credentials) {
    await this.store.set(KEY, credentials);
  }

  /** The Authorization header that proves the key itself, where there is one. */
  async basic() {
    const known = await this.credentials();
    return known?.ukey ? `Basic ${btoa(`${known.phone_hash}:${known.ukey}`)}` : undefined;
  }

  /**
   * An access token that is good for a while. Raises GlimpseError `unauthenticated` when nobody is signed in any more.
   * @param {string} [refused] a token that the server has refused, and that is not to be given again
   */
  async accessToken(refused) {
    const known = await this.credentials();
    if (!known) throw signedOut();
    if (isGood(known.tokens, refused)) return known.tokens.access_token;
    this.renewing ??= alone('glimpse-tokens', () => this.#renew(refused)).finally(() => { this.renewing = undefined; });
    return this.renewing;
  }

  /** @param {string} [refused] */
  async #renew(refused) {
    const known = await this.credentials();
    if (!known) throw signedOut();
    if (isGood(known.tokens, refused)) return known.tokens.access_token;
    const tokens = await this.#refresh(known).catch((error) => {
      if (!(error instanceof GlimpseError) || error.status !== 401) throw error;
      return undefined;
    }) ?? await this.#open(known);
    const latest = await this.credentials();
    if (latest?.uid === known.uid) await this.keep({...latest, tokens});
    return tokens.access_token;
  }

  /** @param {Credentials} known @returns {Promise<Tokens | undefined>} */
  async #refresh(known) {
    if (!known.tokens) return undefined;
    const json = {refresh_token: known.tokens.refresh_token};
    return (await this.http.send({method: 'POST', path: '/v1/tokens/refresh', json, repeatable: true})).json();
  }

  /** @param {Credentials} known @returns {Promise<Tokens>} */
  async #open(known) {
    const basic = await this.basic();
    if (!basic) throw signedOut();
    const headers = {Authorization: basic};
    return (await this.http.send({method: 'POST', path: '/v1/tokens', headers, repeatable: true})).json();
  }
}

/**
 * @param {Tokens | undefined} tokens
 * @param {string} [refused]
 * @returns {tokens is Tokens}
 */
function isGood(tokens, refused) {
  return !!tokens && tokens.access_token !== refused && tokens.expires_at - MARGIN_MS > Date.now();
}

function signedOut() {
  return new GlimpseError({status: 401, code: 'unauthenticated', detail: 'Nobody is signed in.'});
}

/**
 * Run as the only one of all tabs, where the browser has locks (not on plain http); else at once. Without a lock two
 * tabs may refresh at once: the server takes the repeat within a minute as of a lost reply.
 * @template T
 * @param {string} name
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function alone(name, work) {
  const locks = globalThis.navigator?.locks;
  return locks ? locks.request(name, work) : work();
}
