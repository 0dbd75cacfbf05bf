// SPDX-License-Identifier: Apache-2.0
/** How the server is: its parts, providers and their breakers, storage, and the limits that were hit. */

import {h} from '../ui/render.js';
import {act, ask} from './asking.js';
import {look, scrapes} from './numbers.js';
import {place} from './outbox.js';
import {button, bytes, say, sign, table, when} from './parts.js';

const PARTS = ['database', 'storage', 'relay'];
const LIMITS = ['429', '503', '507'];
/** @type {any} */
let found = null;

export async function begin() {
  [found] = await Promise.all([ask('overview'), look()]);
}

/** @param {() => void} again */
export function view(again) {
  const reload = async () => {
    await begin();
    again();
  };
  return [
    h('h2', null, 'Health'),
    h('div', {class: 'tools'}, button('Look again', reload)),
    h('div', {class: 'tiles'},
      PARTS.map((part) => tile(part, found.failing.includes(part) ? sign('bad', 'does not work') : sign('good', 'works'))),
      tile('Accounts', h('strong', null, found.accounts), `${found.disabled} disabled`),
      tile('Stored images', h('strong', null, bytes(found.stored_bytes))),
      Object.entries(found.disks).map(([name, free]) => tile(
        name === 'image_space' ? 'Free on the disk of images' : 'Free on the disk of the database',
        h('strong', null, bytes(free)),
        found.failing.includes(name) ? sign('bad', 'too little: writes are refused') : '')),
      tile('Version', h('strong', null, found.version))),
    h('h3', null, 'Push providers'),
    table(['Provider', 'Breaker', '#Waiting', '#Oldest waits', '#Dead', ''], found.lanes.map((/** @type {any} */ lane) => [
      place(lane), state(lane), lane.due,
      lane.oldest_at === null ? '–' : `${Math.max(0, Math.round((found.now - lane.oldest_at) / 1000))} s`, lane.dead,
      h('div', {class: 'actions'},
        h('a', {class: 'button', href: `#outbox?provider=${lane.provider}`}, 'Notifications'),
        lane.dead > 0 && button('Retry the dead', async () => {
          const {done} = await act('POST', 'outbox/retry', {provider: lane.provider, app: lane.app});
          say(`${done} are sent again.`);
          await reload();
        })),
    ]), 'There is no push provider.'),
    h('h3', null, 'Limits that were hit, since this process started'),
    table(['Refusal', 'Operation', '#Times'], hits(), 'No limit was hit.'),
  ];
}

/** Whether a provider is asked, and if not why. @param {any} lane */
function state(lane) {
  return [
    breaker(lane),
    lane.paused_until !== null && h('small', {class: 'why'}, `left alone until ${when(lane.paused_until)}, as it asked`),
    lane.outage && h('small', {class: 'why'}, `since ${when(lane.outage.since)}: ${lane.outage.reason}`),
  ];
}

/** @type {Record<string, string>} */
const BREAKERS = {closed: 'closed', open: 'open: asked no more', half_open: 'asking whether it is back'};

/** @param {any} lane */
function breaker({breaker: state, paused_until}) {
  if (state === null) return sign('bad', 'not configured');
  if (state === 'closed' && paused_until !== null) return sign('bad', 'paused');
  return sign(state === 'closed' ? 'good' : 'bad', BREAKERS[state] ?? state);
}

/** @param {string} name @param {import('../ui/render.js').Nodes} content @param {import('../ui/render.js').Nodes} [beneath] */
function tile(name, content, beneath) {
  return h('div', {class: 'tile'}, h('small', null, name), h('span', null, content), beneath && h('small', null, beneath));
}

/** Refusals for want of room, of a rate or of a part, the most frequent first. */
function hits() {
  const newest = scrapes[scrapes.length - 1];
  return newest.samples
    .filter((each) => each.name === 'glimpse_http_requests_total' && LIMITS.includes(each.labels.status) && each.value > 0)
    .sort((one, other) => other.value - one.value)
    .map(({labels, value}) => [labels.error, `${labels.method} ${labels.route}`, value]);
}
