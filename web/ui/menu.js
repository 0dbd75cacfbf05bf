// SPDX-License-Identifier: Apache-2.0
/** A menu behind a button, by the platform's popover: it closes by itself, by Escape, and by a choice. */

import {icon} from './icon.js';
import {h} from './render.js';

/** @typedef {{label: string, icon: import('./icon.js').IconName, act: () => void, danger?: boolean}} Choice */

/**
 * @param {string} id of its own
 * @param {string} label
 * @param {(Choice | false | undefined)[]} choices
 */
export function menu(id, label, choices) {
  const given = choices.filter((choice) => !!choice);
  if (!given.length) return null;
  const close = () => /** @type {any} */ (document.getElementById(id))?.hidePopover();
  return h('span', {class: 'menu'},
    h('button', {type: 'button', class: 'icon-button', title: label, 'aria-label': label, 'aria-haspopup': 'true',
      popovertarget: id}, icon('more')),
    h('div', {id, popover: 'auto', class: 'menu-choices', ontoggle: place},
      given.map((choice) =>
        h('button', {type: 'button', class: choice.danger ? 'choice danger-words' : 'choice', key: choice.label,
          onclick: () => { close(); choice.act(); }}, icon(choice.icon), choice.label))));
}

/** Beneath its button, within the window; the anchors of CSS are not everywhere yet. @param {any} event */
function place({target, newState}) {
  if (newState !== 'open') return;
  const button = target.previousElementSibling.getBoundingClientRect();
  const {offsetWidth: width, offsetHeight: height} = target;
  target.style.left = `${Math.max(8, Math.min(button.right - width, innerWidth - width - 8))}px`;
  target.style.top = `${button.bottom + height + 8 > innerHeight ? button.top - height - 4 : button.bottom + 4}px`;
  target.querySelector('button')?.focus();
}
