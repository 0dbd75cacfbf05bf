// SPDX-License-Identifier: Apache-2.0
/** Random keys for `Idempotency-Key`. */

/**
 * A new key of 32 hex digits. `crypto.randomUUID` is missing on plain http; `getRandomValues` is there.
 * @returns {string}
 */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
