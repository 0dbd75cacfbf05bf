/**
 * Send a form, and again with the same Idempotency-Key while that may help. Raises GlimpseError.
 * @param {import('./http.js').Http} http
 * @param {string} path
 * @param {FormData} form
 * @param {Record<string, string>} headers
 * @param {{signal?: AbortSignal, onprogress?: (part: number) => void}} how
 * @returns {Promise<Headers>} of the reply
 */
export function sendForm(http: import("./http.js").Http, path: string, form: FormData, headers: Record<string, string>, { signal, onprogress }: {
    signal?: AbortSignal;
    onprogress?: (part: number) => void;
}): Promise<Headers>;
