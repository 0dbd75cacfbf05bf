// SPDX-License-Identifier: Apache-2.0
/**
 * An image that goes on where it stopped, by tus 1.0.0 (tus.io/protocols/resumable-upload).
 *
 * Nothing is remembered here: the same Idempotency-Key leads to the same upload, also after the page was closed.
 */

import {GlimpseError, isTemporary} from './errors.js';
import {TRIES, pauseMs, sleep} from './http.js';

const TUS = {'Tus-Resumable': '1.0.0'};
/** Of this size are the pieces: small enough to tell of the progress, large enough to cost nothing. */
const PIECE_BYTES = 512 * 1024;

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
export async function sendInPieces(request, image, {key, fields, thumbnail, signal, onprogress}) {
  const begun = await request('POST', '/v1/uploads', {
    key, signal,
    headers: {...TUS, 'Upload-Length': String(image.size), 'Upload-Metadata': metadataOf(fields)},
  });
  const path = begun.headers.get('Location') ?? '';
  let offset = Number(begun.headers.get('Upload-Offset') ?? 0);
  if (thumbnail && offset === 0) await request('PUT', `${path}/thumbnail`, {body: thumbnail, signal});
  for (let broken = 0; ;) {
    onprogress?.(offset / image.size);
    try {
      const reply = await request('PATCH', path, {
        signal,
        body: image.slice(offset, offset + PIECE_BYTES),
        headers: {...TUS, 'Upload-Offset': String(offset), 'Content-Type': 'application/offset+octet-stream'},
      });
      if (reply.headers.has('Message-Key')) {
        onprogress?.(1);
        return reply.headers;
      }
      offset = Number(reply.headers.get('Upload-Offset'));
      broken = 0;
    } catch (error) {
      const lost = isTemporary(error) || (error instanceof GlimpseError && error.code === 'offset_mismatch');
      if (!lost || ++broken >= TRIES) throw error;
      await sleep(pauseMs(broken, /** @type {GlimpseError} */ (error).retryAfter), signal);
      offset = Number((await request('HEAD', path, {headers: TUS, signal})).headers.get('Upload-Offset'));
    }
  }
}

/** `name base64, name base64`. @param {Record<string, unknown>} fields */
function metadataOf(fields) {
  return Object.entries(fields).filter(([, value]) => value !== undefined).map(([name, value]) => {
    const bytes = new TextEncoder().encode(String(value));
    return `${name} ${btoa(String.fromCharCode(...bytes))}`;
  }).join(',');
}
