/**
 * @typedef {(method: string, path: string, how: {headers?: Record<string, string>, body?: Blob, key?: string,
 *   signal?: AbortSignal}) => Promise<Response>} Requesting
 */
/**
 * Send an image piece by piece. Raises GlimpseError; with the same `key` it goes on where it stopped.
 * @param {Requesting} request
 * @param {Blob} image
 * @param {{key: string, fields: Record<string, unknown>, thumbnail?: Blob, signal?: AbortSignal,
 *   onprogress?: (part: number) => void}} how
 * @returns {Promise<Headers>} of the reply to the last piece
 */
export function sendInPieces(request: Requesting, image: Blob, { key, fields, thumbnail, signal, onprogress }: {
    key: string;
    fields: Record<string, unknown>;
    thumbnail?: Blob;
    signal?: AbortSignal;
    onprogress?: (part: number) => void;
}): Promise<Headers>;
export type Requesting = (method: string, path: string, how: {
    headers?: Record<string, string>;
    body?: Blob;
    key?: string;
    signal?: AbortSignal;
}) => Promise<Response>;
