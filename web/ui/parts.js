// SPDX-License-Identifier: Apache-2.0
/** Small parts that many screens use. */

import {t} from '../app/i18n.js';
import {changed} from '../app/state.js';
import {icon} from './icon.js';
import {h} from './render.js';

/** @typedef {import('./render.js').Nodes} Nodes */

/**
 * A button that is an icon alone, with its name for those who cannot see it.
 * @param {import('./icon.js').IconName} name @param {string} label @param {Record<string, any>} [props]
 */
export function iconButton(name, label, props = {}) {
  return h('button', {type: 'button', title: label, 'aria-label': label, ...props, class: `icon-button ${props.class ?? ''}`},
    icon(name));
}

/** A person or a group as a coloured sign. @param {string} id @param {string} name */
export function avatar(id, name) {
  const [letter] = new Intl.Segmenter().segment(name.trim() || '?');
  const hue = [...id].reduce((sum, each) => (sum * 31 + each.charCodeAt(0)) % 6, 7);
  return h('span', {class: `avatar hue-${hue}`, 'aria-hidden': 'true'},
    id.startsWith('g') ? icon('group') : letter.segment.toUpperCase());
}

/** One line of a list: a sign, words, and what can be done. @param {string} id @param {string} name @param {Nodes} actions @param {string} [beneath] */
export function row(id, name, actions, beneath) {
  return h('li', {class: 'row', key: id}, avatar(id, name),
    h('span', {class: 'row-words'}, h('span', {class: 'row-name'}, name), beneath && h('small', null, beneath)),
    h('span', {class: 'row-actions'}, actions));
}

/** A place where nothing is yet, with what to do about it. @param {import('./icon.js').IconName} name @param {string} title @param {string} text @param {Nodes} [action] */
export function empty(name, title, text, action) {
  return h('div', {class: 'empty'}, icon(name), h('h2', null, title), h('p', null, text), action);
}

/** A field with its label. @param {string} label @param {ReturnType<typeof h>} control @param {string} [hint] */
export function field(label, control, hint) {
  return h('label', {class: 'field'}, h('span', {class: 'label'}, label), control, hint && h('small', null, hint));
}

/** How switches stand that the server is still asked about, by their words. @type {Map<string, boolean>} */
const flipping = new Map();

/**
 * A switch with its words. It stays as it was put while `flip` is at work, whatever is shown anew meanwhile.
 * @param {string} label @param {string} hint @param {boolean} on @param {(on: boolean) => Promise<unknown>} flip
 */
export function toggle(label, hint, on, flip) {
  return h('label', {class: 'toggle'},
    h('span', {class: 'row-words'}, h('span', null, label), h('small', null, hint)),
    h('input', {type: 'checkbox', role: 'switch', checked: flipping.get(label) ?? on,
      onchange: async (/** @type {any} */ {target}) => {
        flipping.set(label, target.checked);
        await flip(target.checked);
        flipping.delete(label);
        changed();
      }}));
}

/** What went wrong, announced. @param {string} words */
export function complaint(words) {
  return h('p', {class: 'complaint', role: 'alert'}, words && icon('alert'), words);
}

/** @param {string} title @param {Nodes} [left] @param {Nodes} [right] */
export function bar(title, left, right) {
  return h('div', {class: 'bar'}, left, h('h1', null, title), right);
}

/** Leads back to the list where only one pane is seen. @param {string} path */
export function backLink(path) {
  return h('a', {class: 'icon-button back', href: `#/${path}`, title: t.back, 'aria-label': t.back}, icon('back'));
}
