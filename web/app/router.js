// SPDX-License-Identifier: Apache-2.0
/** Where in the app one is: the part of the address behind `#/`. */

import {changed} from './state.js';

/** The steps of the path: `#/chats/7` is `['chats', '7']`. */
export function where() {
  const steps = location.hash.replace(/^#\/?/, '').split('/').filter(Boolean).map(decodeURIComponent);
  return steps.length ? steps : ['chats'];
}

/** @param {string} path as in `chats/7` */
export function go(path) {
  location.hash = `#/${path}`;
}

addEventListener('hashchange', () => changed());
