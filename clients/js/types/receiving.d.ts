/**
 * Raises GlimpseError, with code `damaged_image` when the bytes were wrong twice.
 * @param {(headers: Record<string, string>) => Promise<Response>} request asks for the image, with these headers
 * @returns {Promise<Blob>}
 */
export function fetchWhole(request: (headers: Record<string, string>) => Promise<Response>): Promise<Blob>;
