// SPDX-License-Identifier: Apache-2.0
/** What went wrong, in words that say what helps. */

import {GlimpseError} from '../../clients/js/src/index.js';
import {t} from './i18n.js';

/** @param {unknown} error */
export function inWords(error) {
  if (!(error instanceof GlimpseError)) return String(error);
  return wordsFor(error.code, error.attemptsLeft);
}

/** @param {string} code @param {number} [attemptsLeft] */
export function wordsFor(code, attemptsLeft) {
  if (code === 'code_incorrect') return t.refusals.code_incorrect(attemptsLeft ?? 0);
  const found = /** @type {Record<string, any>} */ (t.refusals)[code];
  return typeof found === 'string' ? found : t.refusals.other(code);
}
