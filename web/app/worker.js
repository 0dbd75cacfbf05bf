// SPDX-License-Identifier: Apache-2.0
/** The service worker: the shell without a line, and notifications. Browsers have none on plain http. */

export function registerWorker() {
  if (!('serviceWorker' in navigator)) return;
  navigator.serviceWorker.register(/** @type {string} */ (addressOf('/sw.js')))
    .catch(() => {}); // forbidden in some private windows; the app works without it
  navigator.serviceWorker.addEventListener('message', ({data}) => {
    if (typeof data?.open === 'string') location.hash = data.open;
  });
}

/** Where trusted types are enforced an address of a script is one; this is the only one there is. @param {string} path */
function addressOf(path) {
  const types = /** @type {any} */ (globalThis).trustedTypes;
  if (!types) return path;
  return types.createPolicy('glimpse', {createScriptURL: (/** @type {string} */ given) => {
    if (given !== '/sw.js') throw new TypeError('No other script is loaded.');
    return given;
  }}).createScriptURL(path);
}
