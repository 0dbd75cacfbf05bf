// SPDX-License-Identifier: Apache-2.0
/** Dialogs of the platform, opened with what they ask and closed with the answer. */

import {watch} from '../app/state.js';
import {t} from '../app/i18n.js';
import {inWords} from '../app/refusals.js';
import {complaint, iconButton} from './parts.js';
import {h, render} from './render.js';

/**
 * Show a dialog until it is closed. `view` says what is in it, each time that the state changes or `again` is called.
 * @param {string} title
 * @param {(dialog: {close: (answer?: any) => void, again: () => void}) => import('./render.js').Nodes} view
 * @param {string} [kind] a class
 * @returns {Promise<any>} what it was closed with
 */
export function openDialog(title, view, kind = '') {
  const element = document.createElement('dialog');
  element.className = kind;
  element.setAttribute('aria-label', title);
  document.body.append(element);
  return new Promise((resolve) => {
    /** @type {any} */
    let answer;
    const close = (/** @type {any} */ given) => {
      answer = given;
      element.close();
      ended(); // its event comes later: what follows the answer must come before the person's next click
    };
    const ended = () => {
      stop();
      element.remove();
      resolve(answer);
    };
    const again = () => render(element,
      h('div', {class: 'dialog-bar'}, h('h2', null, title), iconButton('close', t.close, {onclick: () => close(undefined)})),
      view({close, again}));
    const stop = watch(again);
    element.addEventListener('click', (event) => { if (event.target === element) close(undefined); });
    element.addEventListener('close', ended);
    again();
    element.showModal();
    /** @type {HTMLElement | null} */ (element.querySelector('[autofocus]'))?.focus();
  });
}

/**
 * Ask before something that cannot be undone; `act` is done while the dialog is open, and its refusal shown there.
 * @param {{title: string, text: string, yes: string, act: () => Promise<void>, danger?: boolean}} question
 * @returns {Promise<boolean>} whether it was done
 */
export async function confirmed({title, text, yes, act, danger = true}) {
  let refusal = '';
  const answer = await openDialog(title, ({close, again}) => [
    h('p', null, text),
    complaint(refusal),
    h('div', {class: 'actions'},
      h('button', {type: 'button', class: 'quiet', autofocus: true, onclick: () => close(false)}, t.cancel),
      h('button', {type: 'button', class: danger ? 'danger' : 'primary', onclick: async () => {
        try {
          await act();
          close(true);
        } catch (error) {
          refusal = inWords(error);
          again();
        }
      }}, yes)),
  ], 'small');
  return answer === true;
}
