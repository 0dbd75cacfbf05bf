// SPDX-License-Identifier: Apache-2.0
/** Groups: beginning one, and who is in it. */

import {t} from '../../app/i18n.js';
import {loadConversations, loadGroup, loadPeople} from '../../app/loading.js';
import {inWords} from '../../app/refusals.js';
import {go, goFrom} from '../../app/router.js';
import {server} from '../../app/server.js';
import {nameOf, state} from '../../app/state.js';
import {confirmed, openDialog} from '../../ui/dialog.js';
import {icon} from '../../ui/icon.js';
import {complaint, field, iconButton, row, toggle} from '../../ui/parts.js';
import {h} from '../../ui/render.js';
import {trying} from '../../ui/toast.js';
import {showLink} from './share.js';

/** Everybody whom one may know by name, but oneself. @param {Set<number>} [without] */
function acquaintances(without = new Set()) {
  const known = new Map((state.people?.friends ?? []).map(({uid, nickname}) => [uid, nickname]));
  for (const {id, name} of state.conversations ?? []) if (!id.startsWith('g')) known.set(Number(id), name);
  return [...known].filter(([uid]) => uid !== state.me?.uid && !without.has(uid));
}

/** @param {[number, string][]} people */
function checkboxes(people) {
  if (!people.length) return h('p', {class: 'hint'}, t.nobodyToInvite);
  return h('fieldset', null, h('legend', null, t.whomToInvite), h('div', {class: 'checks'}, people.map(([uid, name]) =>
    h('label', {key: uid}, h('input', {type: 'checkbox', name: 'member', value: String(uid)}), name))));
}

export async function beginGroup() {
  let refusal = '';
  const made = await openDialog(t.newGroup, ({close, again}) => h('form', {onsubmit: async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const given = new FormData(/** @type {HTMLFormElement} */ (event.currentTarget));
    const members = given.getAll('member').map(Number);
    try {
      close(await server.call('POST', '/v1/groups', {json: {name: given.get('name'), members, join: 'invite'}}));
    } catch (error) {
      refusal = inWords(error);
      again();
    }
  }},
  field(t.groupName, h('input', {name: 'name', required: true, maxlength: 64, autofocus: true})),
  checkboxes(acquaintances()),
  h('p', {class: 'hint'}, t.inviteToGroupHint),
  complaint(refusal),
  h('div', {class: 'actions'}, h('button', {class: 'primary'}, t.beginGroup))), 'small');
  if (!made) return;
  const here = location.hash;
  await trying(() => Promise.all([loadPeople(), loadGroup(made.group_id)]));
  goFrom(here, `chats/g${made.group_id}`);
}

/** @param {number} groupId */
export async function showGroup(groupId) {
  const path = `/v1/groups/${groupId}`;
  const act = (/** @type {() => Promise<unknown>} */ work) => trying(async () => {
    await work();
    await loadGroup(groupId);
  });
  await trying(() => loadGroup(groupId));
  await openDialog(t.groupInfo, ({close}) => {
    const group = state.groups.get(groupId);
    const role = group?.members?.find(({uid}) => uid === state.me?.uid)?.role;
    const leads = role === 'owner' || role === 'admin';
    const inside = new Set([...group?.members ?? [], ...group?.invited ?? []].map(({uid}) => uid));
    return h('div', {class: 'group-info'},
      h('h3', null, nameOf(`g${groupId}`)),
      h('ul', {class: 'rows'},
        group?.members?.map((each) => row(String(each.uid), each.nickname,
          each.uid !== state.me?.uid && each.role !== 'owner' && [
            role === 'owner' && h('button', {type: 'button', class: 'quiet', onclick: () => act(() => server.call('PUT',
              `${path}/members/${each.uid}`, {json: {role: each.role === 'admin' ? 'member' : 'admin'}}))},
            each.role === 'admin' ? t.unmakeAdmin : t.makeAdmin),
            leads && iconButton('close', t.putOut(each.nickname), {
              onclick: () => act(() => server.call('DELETE', `${path}/members/${each.uid}`))})],
          [each.uid === state.me?.uid && t.you, t.roles[/** @type {'owner' | 'admin' | 'member'} */ (each.role)]]
            .filter(Boolean).join(' · '))),
        group?.invited?.map((each) => row(String(each.uid), each.nickname,
          leads && iconButton('close', t.putOut(each.nickname), {
            onclick: () => act(() => server.call('DELETE', `${path}/members/${each.uid}`))}), t.invitedNotYetIn))),
      leads && [
        acquaintances(inside).length > 0 && h('form', {class: 'invite-more', onsubmit: (/** @type {SubmitEvent} */ event) => {
          event.preventDefault();
          const given = new FormData(/** @type {HTMLFormElement} */ (event.currentTarget));
          act(() => Promise.all(given.getAll('member').map((uid) => server.call('PUT', `${path}/members/${uid}`, {json: {role: 'member'}}))));
        }}, checkboxes(acquaintances(inside)),
        h('button', {class: 'button'}, icon('plus'), t.invite)),
        toggle(t.openGroup, t.openGroupHint, group?.join === 'open',
          (on) => act(() => server.call('PATCH', path, {json: {join: on ? 'open' : 'invite'}}))),
      ],
      group?.join === 'open' && h('button', {type: 'button', class: 'button', onclick: () => {
        close();
        showLink(t.groupLink, t.groupLinkHint, `g/${group.room_gid}`);
      }}, icon('link'), t.groupLink),
      h('div', {class: 'actions'}, h('button', {type: 'button', class: 'danger', onclick: async () => {
        const left = await confirmed({title: t.leaveGroupTitle, text: t.leaveGroupHint, yes: t.leaveGroup,
          act: () => server.call('DELETE', `${path}/members/${state.me?.uid}`)});
        if (!left) return;
        close();
        go('chats');
        await trying(() => Promise.all([loadPeople(), loadConversations()]));
      }}, t.leaveGroup)));
  });
}
