/**
 * The error that a reply stands for.
 * @param {number} status
 * @param {string} text its body
 * @param {string | null} retryAfter its header
 */
export function errorOf(status: number, text: string, retryAfter: string | null): GlimpseError;
/** @param {unknown} cause */
export function noAnswer(cause: unknown): GlimpseError;
/**
 * Whether the same request may succeed a little later.
 * @param {unknown} error
 */
export function isTemporary(error: unknown): boolean;
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
    constructor(problem: {
        status: number;
        code: string;
        detail?: string;
        request_id?: string;
        title?: string;
        attempts_left?: number;
        errors?: {
            field: string;
            message: string;
        }[];
    }, retryAfter?: number);
    status: number;
    code: string;
    requestId: string;
    errors: {
        field: string;
        message: string;
    }[];
    attemptsLeft: number | undefined;
    retryAfter: number | undefined;
}
