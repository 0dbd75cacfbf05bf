// SPDX-License-Identifier: Apache-2.0
/** Notifications that wait or were given up, each with its reason: tried again, or dropped. */

import {h} from '../ui/render.js';
import {act, ask} from './asking.js';
import {button, confirmed, field, say, sign, table, when} from './parts.js';

const STATES = ['due', 'dead', 'dropped', 'delivered'];
/** @type {Record<string, 'good' | 'bad' | 'mild'>} */
const KINDS = {due: 'mild', dead: 'bad', dropped: 'mild', delivered: 'good'};
/** @type {{state: string, provider: string, app: string | undefined, lanes: any[], notifications: any[], more: boolean}} */
const found = {state: '', provider: '', app: undefined, lanes: [], notifications: [], more: false};

/** @param {URLSearchParams} given */
export async function begin(given) {
  found.state = given.get('state') ?? '';
  found.provider = given.get('provider') ?? '';
  await load();
}

const wanted = () => ({state: found.state, provider: found.provider});

async function load() {
  const [{lanes}, page] = await Promise.all([ask('overview'), ask('outbox', wanted())]);
  Object.assign(found, {lanes, ...page});
}

/** @param {() => void} again */
export function view(again) {
  const reload = async () => {
    await load();
    again();
  };
  const dead = found.lanes.filter((lane) => lane.dead);
  const providers = [...new Set(found.lanes.map((lane) => lane.provider))];
  const choose = (/** @type {string} */ name) => (/** @type {any} */ event) => {
    const chosen = new URLSearchParams({...wanted(), [name]: event.target.value});
    location.hash = `outbox?${chosen}`;
  };
  return [
    h('h2', null, 'Outbox'),
    h('div', {class: 'tools'},
      field('State', h('select', {value: found.state, onchange: choose('state')},
        h('option', {value: ''}, 'any'), STATES.map((state) => h('option', {value: state}, state)))),
      field('Provider', h('select', {value: found.provider, onchange: choose('provider')},
        h('option', {value: ''}, 'any'), providers.map((name) => h('option', {value: name}, name)))),
      button('Look again', reload),
      dead.map((lane) => button(`Retry all ${lane.dead} dead of ${place(lane)}`, async () => {
        const {done} = await act('POST', 'outbox/retry', {provider: lane.provider, app: lane.app});
        say(`${done} are sent again.`);
        await reload();
      }, 'primary'))),
    table(['id', 'State', 'Provider', 'Kind', 'uid', 'Device', '#Tries', 'Written', 'Next or ended', 'Reason', ''],
      found.notifications.map((each) => row(each, reload)), 'There is no such notification.'),
    found.more && button('Older ones', async () => {
      const before = found.notifications[found.notifications.length - 1].outbox_id;
      const next = await ask('outbox', {...wanted(), before});
      Object.assign(found, {notifications: [...found.notifications, ...next.notifications], more: next.more});
      again();
    }),
  ];
}

/** @param {{provider: string, app: string}} lane */
export function place(lane) {
  return lane.app ? `${lane.provider}/${lane.app}` : lane.provider;
}

/** @param {any} each @param {() => Promise<void>} reload */
function row(each, reload) {
  return [
    each.outbox_id, sign(KINDS[each.state] ?? 'mild', each.state), place(each), each.kind,
    h('a', {href: `#people?what=${each.uid}`}, each.uid), each.device_id, each.attempts, when(each.created_at),
    when(each.state === 'due' ? each.next_at : each.settled_at), each.reason || '–',
    h('div', {class: 'actions'},
      each.state === 'dead' && button('Retry', async () => {
        const {done} = await act('POST', 'outbox/retry', {ids: [each.outbox_id]});
        say(done ? `${each.outbox_id} is sent again.` : `${each.outbox_id} was not given up any more.`);
        await reload();
      }),
      each.state === 'due' && button('Drop', async () => confirmed(`Drop notification ${each.outbox_id}?`,
        h('p', null, 'It ends unsent. The image stays: the phone finds it when its app is opened.'), 'Drop', async () => {
          const {done} = await act('POST', 'outbox/drop', {ids: [each.outbox_id]});
          say(done ? `${each.outbox_id} is dropped.` : `${each.outbox_id} did not wait any more.`);
          await reload();
        }), 'danger')),
  ];
}
