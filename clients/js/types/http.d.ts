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
export function pauseMs(tried: number, retryAfter?: number): number;
/** @param {number} ms @param {AbortSignal} [signal] */
export function sleep(ms: number, signal?: AbortSignal): Promise<any>;
/** How often what may be repeated is tried. */
export const TRIES: 4;
/** One server, spoken to by `fetch` without ambient credentials. */
export class Http {
    /** @param {string} url of the server @param {typeof fetch} [fetching] */
    constructor(url: string, fetching?: typeof fetch);
    url: string;
    fetching: typeof fetch;
    /**
     * The reply to a request, tried again while that is safe and may help. Raises GlimpseError for every refusal.
     * @param {Request} request
     * @returns {Promise<Response>}
     */
    send(request: Request): Promise<Response>;
    #private;
}
export type Request = {
    method: string;
    /**
     * with its query
     */
    path: string;
    headers?: Record<string, string> | undefined;
    json?: unknown;
    /**
     * instead of `json`
     */
    body?: Blob | FormData | undefined;
    signal?: AbortSignal | undefined;
    /**
     * never try again
     */
    once?: boolean | undefined;
    /**
     * a lost reply may be asked for again, though it is a POST without Idempotency-Key
     */
    repeatable?: boolean | undefined;
    timeoutMs?: number | undefined;
};
