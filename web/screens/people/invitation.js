// SPDX-License-Identifier: Apache-2.0
/** Where an invitation leads: to a person, or into an open group. */

import {t} from '../../app/i18n.js';
import {loadConversations, loadName, loadPeople} from '../../app/loading.js';
import {inWords} from '../../app/refusals.js';
import {goFrom} from '../../app/router.js';
import {server} from '../../app/server.js';
import {nameOf, state} from '../../app/state.js';
import {avatar, backLink, bar, complaint} from '../../ui/parts.js';
import {h} from '../../ui/render.js';
import {View} from '../../ui/view.js';
import {befriend} from '../chats/chat-menu.js';

class Invitation extends View {
  /** @type {'u' | 'g'} */
  kind = 'u';
  named = '';
  refusal = '';

  connectedCallback() {
    super.connectedCallback();
    if (this.kind === 'u') this.act(() => loadName(Number(this.named)));
  }

  view() {
    return h('section', {class: 'page'}, bar(t.invitation, backLink('chats')),
      h('div', {class: 'page-body invitation'}, complaint(this.refusal), this.kind === 'u' ? this.person() : this.group()));
  }

  person() {
    const uid = Number(this.named);
    if (uid === state.me?.uid) return h('p', null, t.ownInvitation);
    const name = nameOf(this.named);
    if (this.refusal) return null;
    return [avatar(this.named, name), h('h2', null, name), h('p', null, t.invitedBy(name)),
      h('div', {class: 'actions'},
        h('button', {type: 'button', class: 'primary', onclick: () => this.act(async () => {
          const here = location.hash;
          await befriend(uid);
          goFrom(here, `chats/${uid}`);
        })}, t.befriend),
        h('a', {class: 'button', href: `#/chats/${uid}`}, t.writeTo))];
  }

  group() {
    return [avatar('g', ''), h('h2', null, t.groupInvitation), h('p', null, t.groupInvitationHint),
      h('button', {type: 'button', class: 'primary', onclick: () => this.act(async () => {
        const here = location.hash;
        const group = await server.call('POST', '/v1/groups/join', {json: {room_gid: this.named}});
        await Promise.all([loadPeople(), loadConversations()]);
        goFrom(here, `chats/g${group.group_id}`);
      })}, t.join)];
  }

  /** @param {() => Promise<unknown>} work */
  async act(work) {
    this.refusal = '';
    try {
      await work();
    } catch (error) {
      this.refusal = inWords(error);
    }
    this.update();
  }
}

customElements.define('gl-invitation', Invitation);
