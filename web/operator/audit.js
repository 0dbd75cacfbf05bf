// SPDX-License-Identifier: Apache-2.0
/** What operators did, here and by command. */

import {h} from '../ui/render.js';
import {ask} from './asking.js';
import {button, table, when} from './parts.js';

/** @type {{acts: any[], more: boolean}} */
const found = {acts: [], more: false};

export async function begin() {
  Object.assign(found, await ask('audit'));
}

/** @param {() => void} again */
export function view(again) {
  return [
    h('h2', null, 'What operators did'),
    table(['When', 'Who', 'What', 'To'], found.acts.map((each) => [when(each.at), each.operator, each.act, each.about || '–']),
      'Nothing yet.'),
    found.more && button('Older acts', async () => {
      const next = await ask('audit', {before: found.acts[found.acts.length - 1].audit_id});
      Object.assign(found, {acts: [...found.acts, ...next.acts], more: next.more});
      again();
    }),
  ];
}
