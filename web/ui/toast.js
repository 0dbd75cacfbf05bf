// SPDX-License-Identifier: Apache-2.0
/** A short word at the edge that goes by itself. */

import {inWords} from '../app/refusals.js';

const SHOWN_MS = 5000;

/** @param {string} words */
export function say(words) {
  const place = /** @type {HTMLElement} */ (document.getElementById('toasts'));
  const toast = document.createElement('p');
  toast.textContent = words;
  place.append(toast);
  setTimeout(() => toast.remove(), SHOWN_MS);
}

/** Do something, and say so where it was refused. @param {() => Promise<unknown>} work */
export async function trying(work) {
  try {
    await work();
  } catch (error) {
    say(inWords(error));
  }
}
