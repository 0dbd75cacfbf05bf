// SPDX-License-Identifier: Apache-2.0
/** People: found, shut out, let in again, exported, ended. */

import {h} from '../ui/render.js';
import {act, ask, call} from './asking.js';
import {button, bytes, confirmed, download, field, say, sign, table, trying, when} from './parts.js';

/** @type {{what: string, people: any[], more: boolean}} */
const found = {what: '', people: [], more: false};

/** @param {URLSearchParams} given */
export async function begin(given) {
  found.what = given.get('what') ?? '';
  Object.assign(found, await ask('people', {what: found.what}));
}

/** @param {() => void} again */
export function view(again) {
  const reload = async () => {
    Object.assign(found, await ask('people', {what: found.what}));
    again();
  };
  return [
    h('h2', null, 'People'),
    h('form', {class: 'tools', onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      const form = /** @type {HTMLFormElement} */ (event.target);
      const what = String(new FormData(form).get('what')).trim();
      // Not into the address: a browser keeps those, and a number is none of its business.
      found.what = what;
      trying(reload);
    }},
    field('uid, +number, phone hash or part of a nickname', h('input', {name: 'what', type: 'search', value: found.what}), 'broad'),
    h('button', {class: 'primary'}, 'Find')),
    table(['uid', 'Nickname', 'Region', 'Registered', 'Last seen', 'Devices', '#Waiting', '', ''],
      found.people.map((each) => row(each, reload)), 'There is no such person.'),
    found.more && button('Older accounts', async () => {
      const before = found.people[found.people.length - 1].uid;
      const next = await ask('people', {what: found.what, before});
      Object.assign(found, {people: [...found.people, ...next.people], more: next.more});
      again();
    }),
  ];
}

/** @param {any} each @param {() => Promise<void>} reload */
function row(each, reload) {
  const devices = Object.entries(each.devices).map(([provider, count]) => `${count} ${provider}`).join(', ');
  const waiting = `${each.pending_images} images, ${bytes(each.pending_bytes)}, ${each.pending_pushes} pushes`;
  const isOut = each.disabled_at !== null;
  return [
    each.uid, each.nickname, each.region_num ? `+${each.region_num}` : '–', when(each.reg_time).slice(0, 10),
    when(each.seen_at).slice(0, 10), devices || '–', waiting,
    isOut ? sign('bad', 'disabled') : sign('good', 'active'),
    h('div', {class: 'actions'},
      button(isOut ? 'Enable' : 'Disable', async () => {
        await act('PATCH', `people/${each.uid}`, {disabled: !isOut});
        say(`${each.uid} is ${isOut ? 'enabled' : 'disabled'} now.`);
        await reload();
      }),
      button('Export', async () => {
        const reply = await call('POST', `people/${each.uid}/export`);
        download(await reply.blob(), `glimpse-${each.uid}.json`);
      }),
      button('Delete', async () => {
        const {rows} = await ask(`people/${each.uid}/deletion`);
        const counts = Object.entries(rows).filter(([, count]) => count).map(([name, count]) => `${name}: ${count}`);
        confirmed(`Delete account ${each.uid}?`, [
          h('p', null, 'The account ends, and what is kept of it is erased. There is no way back.'),
          h('ul', {class: 'counts'}, counts.map((words) => h('li', null, words))),
        ], 'Delete for good', async () => {
          await act('DELETE', `people/${each.uid}`);
          say(`${each.uid} is erased.`);
          await reload();
        });
      }, 'danger')),
  ];
}
