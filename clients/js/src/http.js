// SPDX-License-Identifier: Apache-2.0
/** Requests that are tried again when that is safe, and refusals as errors. */

import {errorOf, isTemporary, noAnswer} from './errors.js';

/** How often what may be repeated is tried. */
export const TRIES = 4;
const LONGEST_PAUSE_MS = 30_000;

/**
 * @typedef {object} Request
 * @property {string} method
 * @property {string} path with its query
 * @property {Record<string, string>} [headers]
 * @property {unknown} [json]
 * @property {FormData | Blob} [body] instead of `json`
 * @property {AbortSignal} [signal]
 * @property {boolean} [once] never try again
 * @property {boolean} [repeatable] a lost reply may be asked for again, though it is a POST without Idempotency-Key
 * @property {number} [timeoutMs]
 */

/**
 * Pauses between tries: doubled each time, with a random part, and never less than the server asks for.
 * @param {number} tried how often
 * @param {number} [retryAfter] seconds
 */
export function pauseMs(tried, retryAfter) {
  const grown = Math.min(LONGEST_PAUSE_MS, 400 * 2 ** tried);
  return Math.max(grown * (0.5 + Math.random() / 2), (retryAfter ?? 0) * 1000);
}

/** @param {number} ms @param {AbortSignal} [signal] */
export function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    const abort = () => { clearTimeout(timer); reject(noAnswer(signal?.reason)); };
    const timer = setTimeout(() => { signal?.removeEventListener('abort', abort); resolve(undefined); }, ms);
    if (signal?.aborted) abort();
    else signal?.addEventListener('abort', abort, {once: true});
  });
}

/** Whether a lost reply may be asked for again without doing anything twice. @param {Request} request */
function repeatable(request) {
  return request.repeatable || request.method !== 'POST' || 'Idempotency-Key' in (request.headers ?? {});
}

/** One server, spoken to by `fetch` without ambient credentials. */
export class Http {
  /** @param {string} url of the server @param {typeof fetch} [fetching] */
  constructor(url, fetching = (...args) => fetch(...args)) {
    this.url = url.replace(/\/$/, '');
    this.fetching = fetching;
  }

  /**
   * The reply to a request, tried again while that is safe and may help. Raises GlimpseError for every refusal.
   * @param {Request} request
   * @returns {Promise<Response>}
   */
  async send(request) {
    for (let tried = 0; ; tried++) {
      try {
        return await this.#try(request);
      } catch (error) {
        // A 429 or 503 says that nothing was done; of a lost reply only a repeatable request may be sent again.
        const refused = /** @type {import('./errors.js').GlimpseError} */ (error);
        const again = isTemporary(refused) && (refused.status !== 0 || repeatable(request));
        const patient = (refused.retryAfter ?? 0) * 1000 <= LONGEST_PAUSE_MS;
        if (request.once || !again || !patient || tried + 1 >= TRIES) throw error;
        await sleep(pauseMs(tried, refused.retryAfter), request.signal);
      }
    }
  }

  /** @param {Request} request */
  async #try(request) {
    const {method, path, json, signal} = request;
    const headers = new Headers(request.headers);
    if (json !== undefined) headers.set('Content-Type', 'application/json');
    const timeout = request.timeoutMs ? AbortSignal.timeout(request.timeoutMs) : undefined;
    const signals = [signal, timeout].filter((each) => each !== undefined);
    /** @type {Response} */
    let reply;
    try {
      reply = await this.fetching(this.url + path, {
        method,
        headers,
        body: json === undefined ? request.body : JSON.stringify(json),
        signal: signals.length ? AbortSignal.any(signals) : undefined,
        credentials: 'omit',
        cache: 'no-store',
      });
    } catch (error) {
      throw noAnswer(error);
    }
    if (reply.ok) return reply;
    const text = await reply.text().catch(() => '');
    throw errorOf(reply.status, text, reply.headers.get('Retry-After'));
  }
}
