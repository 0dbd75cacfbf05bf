// SPDX-License-Identifier: Apache-2.0
/** Where the operator's page begins: who may come in, and which place is shown. */

import {h, render} from '../ui/render.js';
import * as audit from './audit.js';
import {Refused, ask, token} from './asking.js';
import * as charts from './charts.js';
import * as health from './health.js';
import * as outbox from './outbox.js';
import {field, say} from './parts.js';
import * as people from './people.js';
import * as reports from './reports.js';

/** @typedef {{begin: (given: URLSearchParams, again: () => void, isShown: () => boolean) => Promise<void>, view: (again: () => void) => import('../ui/render.js').Nodes}} Place */
/** @type {Record<string, [string, Place]>} */
const PLACES = {
  health: ['Health', health],
  people: ['People', people],
  reports: ['Reports', reports],
  outbox: ['Outbox', outbox],
  charts: ['Charts', charts],
  audit: ['Audit', audit],
};
const page = /** @type {HTMLElement} */ (document.getElementById('page'));
let turn = 0;

/** Show the place that the address names. */
async function go() {
  if (!token.get()) {
    signIn('');
    return;
  }
  turn += 1;
  const mine = turn;
  const [name, query = ''] = location.hash.slice(1).split('?');
  const chosen = name in PLACES ? name : 'health';
  const [, place] = PLACES[chosen];
  const isShown = () => mine === turn;
  const again = () => { if (isShown()) show(chosen, place.view(again)); };
  try {
    await place.begin(new URLSearchParams(query), again, isShown);
    again();
  } catch (error) {
    if (error instanceof Refused && error.status === 401) {
      token.forget();
      signIn('That is not the token.');
    } else {
      say(error instanceof Error ? error.message : String(error));
    }
  }
}

/** @param {string} chosen @param {import('../ui/render.js').Nodes} content */
function show(chosen, content) {
  render(page,
    h('header', {class: 'top', key: 'top'},
      h('h1', null, 'Glimpse: operator'),
      h('nav', {class: 'places', 'aria-label': 'Places'}, Object.entries(PLACES).map(([name, [words]]) =>
        h('a', {href: `#${name}`, 'aria-current': name === chosen && 'page'}, words))),
      h('button', {type: 'button', class: 'quiet', onclick: () => {
        token.forget();
        location.hash = '';
        go();
      }}, 'Sign out')),
    h('main', {key: chosen}, content));
}

/** @param {string} complaint */
function signIn(complaint) {
  turn += 1;
  render(page, h('main', {class: 'sign-in', key: 'sign-in'},
    h('form', {class: 'card', onsubmit: async (/** @type {Event} */ event) => {
      event.preventDefault();
      token.set(String(new FormData(/** @type {HTMLFormElement} */ (event.target)).get('token')).trim());
      try {
        await ask('overview');
        await go();
      } catch (error) {
        token.forget();
        const isWrong = error instanceof Refused && error.status === 401;
        signIn(isWrong ? 'That is not the token.' : String(/** @type {Error} */ (error).message));
      }
    }},
    h('h2', null, 'Glimpse: operator'),
    h('p', {class: 'hint'}, 'The token is in admin.token in the data directory of the server. This tab forgets it when it is closed.'),
    field('Token', h('input', {name: 'token', type: 'password', autocomplete: 'off', required: true, autofocus: true})),
    complaint && h('p', {class: 'complaint', role: 'alert'}, complaint),
    h('button', {class: 'primary'}, 'Come in'))));
}

addEventListener('hashchange', go);
await go();
