// SPDX-License-Identifier: Apache-2.0
/** What a server refused, by its stable `code`. */

/**
 * A refusal (RFC 9457), or a request that got no answer: `status` 0 and code `no_answer`, or `aborted`.
 */
export class GlimpseError extends Error {
  /**
   * @param {{status: number, code: string, detail?: string, request_id?: string, title?: string,
   *   attempts_left?: number, errors?: {field: string, message: string}[]}} problem
   * @param {number} [retryAfter] seconds
   */
  constructor(problem, retryAfter) {
    super(problem.detail || problem.title || problem.code);
    this.name = 'GlimpseError';
    this.status = problem.status;
    this.code = problem.code;
    this.requestId = problem.request_id ?? '';
    this.errors = problem.errors ?? [];
    this.attemptsLeft = problem.attempts_left;
    this.retryAfter = retryAfter;
  }
}

/**
 * The error that a reply stands for.
 * @param {number} status
 * @param {string} text its body
 * @param {string | null} retryAfter its header
 */
export function errorOf(status, text, retryAfter) {
  const seconds = retryAfter ? Number(retryAfter) || undefined : undefined;
  try {
    const problem = JSON.parse(text);
    if (typeof problem.code === 'string') return new GlimpseError({...problem, status}, seconds);
  } catch { /* a proxy's page, not the server's word */ }
  return new GlimpseError({status, code: status >= 500 ? 'unavailable' : 'malformed_reply'}, seconds);
}

/** @param {unknown} cause */
export function noAnswer(cause) {
  const aborted = cause instanceof DOMException && cause.name === 'AbortError';
  return new GlimpseError({status: 0, code: aborted ? 'aborted' : 'no_answer', detail: String(cause)});
}

/**
 * Whether the same request may succeed a little later.
 * @param {unknown} error
 */
export function isTemporary(error) {
  return error instanceof GlimpseError && (error.code === 'no_answer' || [429, 502, 503, 504].includes(error.status));
}
