// SPDX-License-Identifier: Apache-2.0
/** Light or dark: as the system has it, unless the person chose. */

import {database} from './server.js';

/** @typedef {'system' | 'light' | 'dark'} Look */
/** @type {Look} */
export let look = 'system';

export async function followLook() {
  use(await database.get('look').catch(() => undefined) ?? 'system');
}

/** @param {Look} chosen */
export async function chooseLook(chosen) {
  await database.set('look', chosen);
  use(chosen);
}

/** @param {Look} chosen */
function use(chosen) {
  look = chosen;
  if (chosen === 'system') delete document.documentElement.dataset.look;
  else document.documentElement.dataset.look = chosen;
}
