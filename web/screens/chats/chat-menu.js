// SPDX-License-Identifier: Apache-2.0
/** What can be done with a conversation as a whole. */

import {t} from '../../app/i18n.js';
import {loadConversations, loadPeople} from '../../app/loading.js';
import {go} from '../../app/router.js';
import {database, server} from '../../app/server.js';
import {changed, nameOf, state} from '../../app/state.js';
import {confirmed} from '../../ui/dialog.js';
import {menu} from '../../ui/menu.js';
import {showGroup} from '../people/group.js';
import {report} from './report.js';

/** @param {string} id */
export function chatMenu(id) {
  const muted = state.muted.has(id);
  /** @type {import('../../ui/menu.js').Choice} */
  const mute = {label: muted ? t.unmute : t.mute, icon: muted ? 'bell' : 'mute', act: () => flipMute(id)};
  if (id.startsWith('g')) {
    return menu('chat-menu', t.more, [{label: t.groupInfo, icon: 'group', act: () => showGroup(Number(id.slice(1)))}, mute]);
  }
  const uid = Number(id);
  const isFriend = state.people?.friends.some((each) => each.uid === uid);
  const isBlocked = state.people?.blocks.some((each) => each.uid === uid);
  return menu('chat-menu', t.more, [
    !isFriend && {label: t.befriend, icon: 'plus', act: () => befriend(uid)},
    mute,
    {label: t.report, icon: 'alert', danger: true, act: () => report({uid})},
    isBlocked
      ? {label: t.unblock, icon: 'check', act: () => unblock(uid)}
      : {label: t.block, icon: 'close', danger: true, act: () => block(uid)},
  ]);
}

/** @param {string} id */
async function flipMute(id) {
  if (!state.muted.delete(id)) state.muted.add(id);
  await database.set('muted', [...state.muted]);
  changed();
}

/** @param {number} uid */
export async function befriend(uid) {
  await server.call('POST', '/v1/friends', {json: {uid}});
  await loadPeople();
}

/** @param {number} uid */
export async function block(uid) {
  const done = await confirmed({title: t.blockTitle(nameOf(String(uid))), text: t.blockHint, yes: t.block, act: async () => {
    await server.call('PUT', `/v1/blocks/${uid}`);
    await Promise.all([loadPeople(), loadConversations()]);
  }});
  if (done) go('chats');
}

/** @param {number} uid */
export async function unblock(uid) {
  await server.call('DELETE', `/v1/blocks/${uid}`);
  await loadPeople();
}
