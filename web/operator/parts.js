// SPDX-License-Identifier: Apache-2.0
/** Small parts that several places use. */

import {h, render} from '../ui/render.js';

/** @typedef {import('../ui/render.js').Nodes} Nodes */

const SHOWN_MS = 6000;

/** A short word at the edge that goes by itself. @param {string} words */
export function say(words) {
  const toast = document.createElement('p');
  toast.textContent = words;
  /** @type {HTMLElement} */ (document.getElementById('toasts')).append(toast);
  setTimeout(() => toast.remove(), SHOWN_MS);
}

/** Do something, and say so where it was refused. @param {() => Promise<unknown>} work */
export async function trying(work) {
  try {
    await work();
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
  }
}

/** @param {number | null | undefined} ms since 1970 */
export function when(ms) {
  return ms === null || ms === undefined ? '–' : new Date(ms).toISOString().slice(0, 19).replace('T', ' ') + 'Z';
}

/** @param {number} count */
export function bytes(count) {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let at = 0;
  let left = count;
  while (left >= 1000 && at < units.length - 1) {
    left /= 1000;
    at += 1;
  }
  return `${left < 10 && at ? left.toFixed(1) : Math.round(left)} ${units[at]}`;
}

/** @param {'good' | 'bad' | 'mild'} kind @param {string} words */
export function sign(kind, words) {
  return h('span', {class: `sign ${kind}`}, words);
}

/**
 * A table, or a word where there is nothing.
 * @param {string[]} heads the columns; of figures with a leading #
 * @param {Nodes[][]} rows @param {string} none
 */
export function table(heads, rows, none) {
  if (!rows.length) return h('div', {class: 'table none'}, none);
  const figures = heads.map((head) => head.startsWith('#'));
  return h('div', {class: 'table'}, h('table', null,
    h('thead', null, h('tr', null, heads.map((head, at) =>
      h('th', {scope: 'col', class: figures[at] ? 'figure' : undefined}, head.replace('#', ''))))),
    h('tbody', null, rows.map((row) => h('tr', null, row.map((cell, at) =>
      h('td', {class: figures[at] ? 'figure' : undefined}, cell)))))));
}

/** @param {string} label @param {ReturnType<typeof h>} control @param {string} [kind] */
export function field(label, control, kind = '') {
  return h('label', {class: `field ${kind}`}, h('span', {class: 'label'}, label), control);
}

/** @param {string} words @param {() => Promise<unknown>} work @param {string} [kind] a class */
export function button(words, work, kind = '') {
  return h('button', {type: 'button', class: kind, onclick: () => trying(work)}, words);
}

/**
 * Ask before what cannot be undone.
 * @param {string} title @param {Nodes} content @param {string} yes @param {() => Promise<unknown>} work
 */
export function confirmed(title, content, yes, work) {
  const dialog = document.createElement('dialog');
  dialog.setAttribute('aria-label', title);
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  render(dialog,
    h('div', {class: 'dialog-bar'}, h('h2', null, title)),
    content,
    h('div', {class: 'actions'},
      h('button', {type: 'button', class: 'quiet', onclick: () => dialog.close()}, 'Cancel'),
      h('button', {type: 'button', class: 'danger', onclick: () => trying(async () => {
        await work();
        dialog.close();
      })}, yes)));
  dialog.showModal();
}

/** Hand a file to the person at the browser. @param {Blob} content @param {string} name */
export function download(content, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
