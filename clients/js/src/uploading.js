// SPDX-License-Identifier: Apache-2.0
/** A form on its way, with its progress: by XMLHttpRequest in browsers, since `fetch` does not tell of it. */

import {errorOf, noAnswer} from './errors.js';

/**
 * Send a form, and again with the same Idempotency-Key while that may help. Raises GlimpseError.
 * @param {import('./http.js').Http} http
 * @param {string} path
 * @param {FormData} form
 * @param {Record<string, string>} headers
 * @param {{signal?: AbortSignal, onprogress?: (part: number) => void}} how
 * @returns {Promise<Headers>} of the reply
 */
export async function sendForm(http, path, form, headers, {signal, onprogress}) {
  if (!onprogress || typeof XMLHttpRequest === 'undefined') {
    const reply = await http.send({method: 'POST', path, body: form, headers, signal});
    onprogress?.(1);
    return reply.headers;
  }
  return http.persist({method: 'POST', path, headers, signal}, () =>
    sendOnce(http.url + path, form, headers, {signal, onprogress}));
}

/**
 * @param {string} url
 * @param {FormData} form
 * @param {Record<string, string>} headers
 * @param {{signal?: AbortSignal, onprogress: (part: number) => void}} how
 * @returns {Promise<Headers>}
 */
function sendOnce(url, form, headers, {signal, onprogress}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('POST', url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = ({loaded, total}) => onprogress(total ? loaded / total : 0);
    request.onload = () => {
      if (request.status === 201) return resolve(headersOf(request));
      reject(errorOf(request.status, request.responseText, request.getResponseHeader('Retry-After')));
    };
    request.onerror = () => reject(noAnswer('the connection broke'));
    request.onabort = () => reject(noAnswer(new DOMException('aborted', 'AbortError')));
    signal?.addEventListener('abort', () => request.abort(), {once: true});
    request.send(form);
  });
}

/** @param {XMLHttpRequest} request */
function headersOf(request) {
  const lines = request.getAllResponseHeaders().trim().split('\r\n');
  return new Headers(lines.map((line) => /** @type {[string, string]} */ ([
    line.slice(0, line.indexOf(':')),
    line.slice(line.indexOf(':') + 1).trim(),
  ])));
}
