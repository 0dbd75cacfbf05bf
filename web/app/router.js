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

/**
 * Go on from there, if the person still is: what took its time takes nobody away from where they went meanwhile.
 * @param {string} here the address's hash when it began
 * @param {string} path
 */
export function goFrom(here, path) {
  if (location.hash === here) go(path);
}

addEventListener('hashchange', () => changed());
