// SPDX-License-Identifier: Apache-2.0
/** Who of a group has seen a picture. */

import {t, timeOf} from '../../app/i18n.js';
import {server} from '../../app/server.js';
import {state} from '../../app/state.js';
import {openDialog} from '../../ui/dialog.js';
import {row} from '../../ui/parts.js';
import {h} from '../../ui/render.js';
import {trying} from '../../ui/toast.js';

/** @param {import('../../app/state.js').Entry} entry */
export function showReceivers(entry) {
  return trying(async () => {
    /** @type {{receivers: {uid: number, state: string, consumed_at: number | null}[]}} */
    const {receivers} = await server.call('GET', `/v1/images/${entry.message_key}/status`);
    await openDialog(t.whoHasSeen, () => h('ul', {class: 'rows'}, receivers.map(({uid, consumed_at}) =>
      row(String(uid), state.names.get(uid) ?? '…', null, consumed_at ? `${t.seen} ${timeOf(consumed_at)}` : t.notSeenYet))), 'small');
  });
}
