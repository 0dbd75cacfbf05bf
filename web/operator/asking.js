// SPDX-License-Identifier: Apache-2.0
/** What the page asks of its server, with the token that this tab was given. */

const KEY = 'glimpse-operator-token';

/** The server's refusal. */
export class Refused extends Error {
  /** @param {number} status @param {string} words */
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

export const token = {
  get: () => sessionStorage.getItem(KEY) ?? '',
  set: (/** @type {string} */ value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

/**
 * One request. Raises Refused.
 * @param {string} method @param {string} path @param {object} [body]
 */
export async function call(method, path, body) {
  let reply;
  try {
    reply = await fetch(`/api/${path}`, {
      method,
      cache: 'no-store',
      credentials: 'omit',
      headers: {Authorization: `Bearer ${token.get()}`, ...(body && {'Content-Type': 'application/json'})},
      ...(body && {body: JSON.stringify(body)}),
    });
  } catch {
    throw new Refused(0, 'The server does not answer.');
  }
  if (reply.ok) return reply;
  const told = await reply.json().catch(() => ({}));
  const fields = (told.errors ?? []).map((/** @type {any} */ each) => `${each.field}: ${each.message}`).join(', ');
  throw new Refused(reply.status, [told.detail ?? `HTTP ${reply.status}`, fields].filter(Boolean).join(' '));
}

/** @param {string} path @param {Record<string, string | number | undefined>} [query] @returns {Promise<any>} */
export async function ask(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== '');
  const search = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return (await call('GET', search ? `${path}?${search}` : path)).json();
}

/** @param {string} method @param {string} path @param {object} [body] @returns {Promise<any>} */
export async function act(method, path, body) {
  const reply = await call(method, path, body);
  return reply.status === 204 ? {} : reply.json();
}
