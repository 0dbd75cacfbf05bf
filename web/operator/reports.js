// SPDX-License-Identifier: Apache-2.0
/** Reports: what people told of others, with the picture, and what became of it. */

import {h} from '../ui/render.js';
import {act, ask, call} from './asking.js';
import {button, bytes, say, sign, when} from './parts.js';

/** @type {{all: boolean, reports: any[], more: boolean}} */
const found = {all: false, reports: [], more: false};
/** Pictures that were looked at, by report. @type {Map<number, string>} */
const pictures = new Map();
/** What there is of a picture, by report; null: none. @type {Map<number, any>} */
const facts = new Map();

/** @param {URLSearchParams} given */
export async function begin(given) {
  found.all = given.get('all') === 'true';
  for (const address of pictures.values()) URL.revokeObjectURL(address);
  pictures.clear();
  await load();
}

async function load() {
  Object.assign(found, await ask('reports', {all: String(found.all)}));
  await learn(found.reports);
}

/** @param {any[]} reports */
async function learn(reports) {
  const open = reports.filter((each) => each.resolved_at === null);
  const shown = await Promise.all(open.map((each) => ask(`reports/${each.report_id}`)));
  for (const {report, picture} of shown) facts.set(report.report_id, picture);
}

/** @param {() => void} again */
export function view(again) {
  return [
    h('h2', null, 'Reports'),
    h('div', {class: 'tools'}, h('label', {class: 'check'},
      h('input', {type: 'checkbox', checked: found.all, onchange: () => {
        location.hash = found.all ? 'reports' : 'reports?all=true';
      }}), 'Resolved ones too')),
    !found.reports.length && h('div', {class: 'table none'}, found.all ? 'Nobody has reported anything.' : 'Every report is resolved.'),
    found.reports.map((each) => card(each, again)),
    found.more && button('Older reports', async () => {
      const before = found.reports[found.reports.length - 1].report_id;
      const next = await ask('reports', {all: String(found.all), before});
      await learn(next.reports);
      Object.assign(found, {reports: [...found.reports, ...next.reports], more: next.more});
      again();
    }),
  ];
}

/** @param {number | null} uid */
function person(uid) {
  return uid === null ? 'somebody who has left' : h('a', {href: `#people?what=${uid}`}, `uid ${uid}`);
}

/** @param {any} each @param {() => void} again */
function card(each, again) {
  const isOpen = each.resolved_at === null;
  return h('article', {class: 'report', key: `r${each.report_id}`, 'aria-label': `Report ${each.report_id}`},
    h('h3', null, `Report ${each.report_id} `, isOpen ? sign('bad', 'open') : sign('mild', 'resolved')),
    h('p', null, person(each.reporter_uid), ' reports ', person(each.reported_uid),
      each.message_id && ` for message ${each.message_id}`, h('small', null, ` ${when(each.created_at)}`)),
    h('blockquote', null, each.reason),
    isOpen ? h('form', {onsubmit: (/** @type {SubmitEvent} */ event) => resolve(event, each, again)},
      h('label', {class: 'field'}, h('span', {class: 'label'}, 'What was done'),
        h('input', {name: 'note', maxLength: 255, placeholder: 'account disabled'})),
      h('button', {class: 'primary'}, 'Resolve'),
      each.reported_uid && button(`Disable uid ${each.reported_uid}`, async () => {
        const {changed} = await act('PATCH', `people/${each.reported_uid}`, {disabled: true});
        say(`${each.reported_uid} ${changed ? 'is disabled now' : 'was disabled already'}.`);
      }, 'danger'))
      : h('p', null, h('strong', null, each.resolution || 'resolved without a note'), h('small', null, ` ${when(each.resolved_at)}`)),
    isOpen && seen(each, again));
}

/** @param {any} each @param {() => void} again */
function seen(each, again) {
  const picture = facts.get(each.report_id);
  if (!picture) return h('div', {class: 'seen'}, h('small', null, 'No picture'));
  const shown = pictures.get(each.report_id);
  if (shown) return h('div', {class: 'seen'}, h('img', {src: shown, alt: `Picture of report ${each.report_id}`}));
  return h('div', {class: 'seen'}, button(`Show the picture (${picture.filetype}, ${bytes(picture.size)})`, async () => {
    const reply = await call('POST', `reports/${each.report_id}/picture`);
    pictures.set(each.report_id, URL.createObjectURL(await reply.blob()));
    again();
  }));
}

/** @param {SubmitEvent} event @param {any} each @param {() => void} again */
async function resolve(event, each, again) {
  event.preventDefault();
  const note = String(new FormData(/** @type {HTMLFormElement} */ (event.target)).get('note')).trim();
  try {
    const {changed} = await act('PATCH', `reports/${each.report_id}`, {note});
    say(changed ? `Report ${each.report_id} is resolved; its picture goes.` : `Report ${each.report_id} was resolved already.`);
    await load();
    again();
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
  }
}
