// SPDX-License-Identifier: Apache-2.0
/** One's own invitation: a link, and the same as a picture that a phone's camera reads. */

import {t} from '../../app/i18n.js';
import {server} from '../../app/server.js';
import {state} from '../../app/state.js';
import {openDialog} from '../../ui/dialog.js';
import {icon} from '../../ui/icon.js';
import {h} from '../../ui/render.js';
import {say, trying} from '../../ui/toast.js';

/** To oneself. */
export function showInvitation() {
  return showLink(t.inviteSomebody, t.inviteHint, `u/${state.me?.uid}`);
}

/** @param {string} title @param {string} hint @param {string} path where the link leads to */
export function showLink(title, hint, path) {
  const link = `${location.origin}/#/${path}`;
  return trying(async () => {
    const {svg} = await server.call('GET', `/v1/qr?text=${encodeURIComponent(link)}`);
    const url = URL.createObjectURL(new Blob([svg], {type: 'image/svg+xml'}));
    await openDialog(title, () => h('div', {class: 'share'},
      h('img', {class: 'qr', src: url, alt: t.qrCode}),
      h('p', null, hint),
      h('input', {class: 'link', readOnly: true, value: link, 'aria-label': t.link, onfocus: (/** @type {any} */ event) => event.target.select()}),
      h('div', {class: 'actions'},
        h('button', {type: 'button', class: 'primary', autofocus: true, onclick: () => copy(link)}, icon('link'), t.copyLink),
        'share' in navigator && h('button', {type: 'button', class: 'button',
          onclick: () => navigator.share({url: link}).catch(() => {})}, t.shareLink))), 'small');
    URL.revokeObjectURL(url);
  });
}

/** The clipboard is there on https only; else the text is marked for copying by hand. @param {string} link */
async function copy(link) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(link);
    say(t.copied);
  } else /** @type {HTMLInputElement | null} */ (document.querySelector('dialog .link'))?.select();
}
