// SPDX-License-Identifier: Apache-2.0
/** All conversations, by what was said last. */

import {momentOf, t} from '../../app/i18n.js';
import {where} from '../../app/router.js';
import {nameOf, state} from '../../app/state.js';
import {icon} from '../../ui/icon.js';
import {avatar, bar, empty} from '../../ui/parts.js';
import {h} from '../../ui/render.js';
import {View} from '../../ui/view.js';

class ChatList extends View {
  view() {
    const all = this.all();
    const add = h('a', {class: 'icon-button', href: '#/people', title: t.findPeople, 'aria-label': t.findPeople}, icon('plus'));
    return [
      bar(t.chats, null, add),
      state.conversations && all.length === 0 && empty('chats', t.noChats, t.noChatsHint,
        h('a', {class: 'button primary', href: '#/people'}, t.findPeople)),
      h('ul', {class: 'chats'}, all.map((each) => this.entry(each))),
    ];
  }

  /** Those that the server knows, between those whose first message is still here and groups where nothing was said. */
  all() {
    const known = state.conversations ?? [];
    const spoken = new Set(known.map(({id}) => id));
    const silent = (/** @type {{id: string, name: string}[]} */ chats) =>
      chats.filter(({id}) => !spoken.has(id) && spoken.add(id)).map((each) => ({...each, last: null, unread: 0, read_up_to: 0}));
    const leaving = silent(state.outbox.map(({conversation: id}) => ({id, name: nameOf(id)})));
    return [...leaving, ...known, ...silent((state.people?.groups ?? []).map(({group_id, name}) => ({id: `g${group_id}`, name})))];
  }

  /** @param {import('../../app/state.js').Conversation} conversation */
  entry({id, name, last, unread}) {
    const [place, open] = where();
    return h('li', {key: id},
      h('a', {href: `#/chats/${id}`, class: unread ? 'chat unread' : 'chat',
        'aria-current': place === 'chats' && open === id ? 'page' : undefined},
      avatar(id, name),
      h('span', {class: 'row-words'},
        h('span', {class: 'row-name'}, h('span', null, name), state.muted.has(id) && icon('mute')),
        h('small', null, this.lastWord(id, last))),
      h('span', {class: 'chat-end'},
        last && h('time', {datetime: new Date(last.send_time).toISOString()}, momentOf(last.send_time)),
        unread > 0 && h('span', {class: 'count', 'aria-label': t.unread(unread)}, unread > 999 ? '999+' : unread))));
  }

  /** @param {string} id @param {import('../../app/state.js').Entry | null} last */
  lastWord(id, last) {
    if (state.outbox.some(({conversation}) => conversation === id)) return t.sending;
    if (!last) return t.nothingSaid;
    const own = last.sender_uid === state.me?.uid;
    const words = last.kind === 'image' ? this.pictureWords(last, own) : last.text ?? last.url ?? '';
    if (own) return t.youSaid(words);
    return id.startsWith('g') && last.sender_uid ? `${state.names.get(last.sender_uid) ?? ''}: ${words}` : words;
  }

  /** @param {import('../../app/state.js').Entry} last @param {boolean} own */
  pictureWords(last, own) {
    if (last.state === 'pending') return own ? t.pictureWaits : t.pictureNew;
    if (last.state === 'consumed') return own ? t.pictureSeen : t.pictureOpened;
    return last.state === 'recalled' ? t.pictureRecalled : t.pictureExpired;
  }
}

customElements.define('gl-chat-list', ChatList);
