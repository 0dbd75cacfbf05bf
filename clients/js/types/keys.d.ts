/** Random keys for `Idempotency-Key`. */
/**
 * A new key of 32 hex digits. `crypto.randomUUID` is missing on plain http; `getRandomValues` is there.
 * @returns {string}
 */
export function newKey(): string;
