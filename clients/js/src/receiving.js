// SPDX-License-Identifier: Apache-2.0
/** An image, fetched whole: gone on with where a transfer broke, and judged by its digest. */

import {GlimpseError, noAnswer} from './errors.js';
import {TRIES, pauseMs, sleep} from './http.js';

/**
 * Raises GlimpseError, with code `damaged_image` when the bytes were wrong twice.
 * @param {(headers: Record<string, string>) => Promise<Response>} request asks for the image, with these headers
 * @returns {Promise<Blob>}
 */
export async function fetchWhole(request) {
  const got = new Pieces();
  let damaged = false;
  for (let broken = 0; ;) {
    const before = got.size;
    const reply = await request(before ? {Range: `bytes=${before}-`} : {});
    if (reply.status !== 206) got.restart();
    try {
      for await (const piece of read(reply)) got.add(piece);
    } catch (error) {
      broken = got.size > before ? 1 : broken + 1;
      if (broken >= TRIES) throw noAnswer(error);
      await sleep(pauseMs(broken));
      continue;
    }
    const image = got.blob(reply.headers.get('Content-Type') ?? '');
    if (await isWhole(image, reply.headers)) return image;
    if (damaged) throw new GlimpseError({status: 0, code: 'damaged_image'});
    damaged = true;
    got.restart();
  }
}

class Pieces {
  /** @type {Uint8Array<ArrayBuffer>[]} */
  #pieces = [];
  size = 0;

  /** @param {Uint8Array<ArrayBuffer>} piece */
  add(piece) {
    this.#pieces.push(piece);
    this.size += piece.byteLength;
  }

  restart() {
    this.#pieces = [];
    this.size = 0;
  }

  /** @param {string} type */
  blob(type) {
    return new Blob(this.#pieces, {type});
  }
}

/** The bytes of a reply as they come: not every browser can iterate over its body. @param {Response} reply */
async function* read(reply) {
  const reader = /** @type {ReadableStream<Uint8Array<ArrayBuffer>>} */ (reply.body).getReader();
  for (;;) {
    const {done, value} = await reader.read();
    if (done) return;
    yield value;
  }
}

/**
 * Whether these are the bytes that `Repr-Digest` (RFC 9530) names. Pages on plain http cannot tell.
 * @param {Blob} image @param {Headers} headers
 */
async function isWhole(image, headers) {
  const named = headers.get('Repr-Digest');
  if (!named || !globalThis.crypto?.subtle) return true;
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', await image.arrayBuffer()));
  return named === `sha-256=:${btoa(String.fromCharCode(...digest))}:`;
}
