// SPDX-License-Identifier: Apache-2.0
/** One conversation: what was said, and what can be said. */

import {dayOf, t} from '../../app/i18n.js';
import {loadEarlier, loadHistory} from '../../app/loading.js';
import {imagesOf} from '../../app/pictures.js';
import {nameOf, state} from '../../app/state.js';
import {markRead} from '../../app/sync.js';
import {avatar, backLink, empty} from '../../ui/parts.js';
import {h} from '../../ui/render.js';
import {trying} from '../../ui/toast.js';
import {View} from '../../ui/view.js';
import {bubble, outgoingBubble} from './bubble.js';
import {chatMenu} from './chat-menu.js';
import './composer.js';

const NEAR_END = 80;

class Chat extends View {
  conversation = '';
  dragging = false;
  #atEnd = true;
  #top = 0;
  /** @type {HTMLElement | null} */
  #messages = null;
  /** Pictures and fields that grow do not push the last word out of sight. */
  #growth = new ResizeObserver(() => this.toEnd());
  #read = () => { if (document.visibilityState === 'visible' && this.isConnected) markRead(this.conversation); };

  connectedCallback() {
    super.connectedCallback();
    trying(() => loadHistory(this.conversation)).then(this.#read);
    document.addEventListener('visibilitychange', this.#read);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    document.removeEventListener('visibilitychange', this.#read);
    this.#growth.disconnect();
  }

  view() {
    const id = this.conversation;
    const history = state.histories.get(id);
    return h('section', {class: this.dragging ? 'chat-pane dragging' : 'chat-pane', 'aria-label': nameOf(id),
      ondragover: (/** @type {DragEvent} */ event) => this.drag(event, true),
      ondragleave: (/** @type {DragEvent} */ event) => this.drag(event, false),
      ondrop: (/** @type {DragEvent} */ event) => this.drop(event)},
    h('div', {class: 'bar'}, backLink('chats'), avatar(id, nameOf(id)),
      h('span', {class: 'row-words'}, h('h1', null, nameOf(id)), this.subtitle()), chatMenu(id)),
    h('div', {class: 'messages', role: 'log', 'aria-label': t.messages, tabIndex: 0,
      ref: (/** @type {HTMLElement} */ element) => {
        this.#messages = element;
        this.#growth.observe(element);
      },
      onscroll: () => this.scrolled()},
    history?.more && h('button', {type: 'button', class: 'quiet earlier', onclick: () => trying(() => loadEarlier(id))}, t.earlier),
    history?.entries.length === 0 && this.outgoing().length === 0 && empty('eye', t.nothingSaid, t.nothingSaidHint),
    h('ol', {ref: (/** @type {HTMLElement} */ element) => this.#growth.observe(element)},
      this.lines(history?.entries ?? []), this.outgoing().map((each) => outgoingBubble(each)))),
    h('gl-composer', {key: `composer-${id}`, conversation: id}));
  }

  outgoing() {
    return state.outbox.filter(({conversation}) => conversation === this.conversation);
  }

  subtitle() {
    if (!this.conversation.startsWith('g')) return null;
    const members = state.groups.get(Number(this.conversation.slice(1)))?.members;
    return members && h('small', null, members.map(({uid}) => (uid === state.me?.uid ? t.you : state.names.get(uid))).join(t.comma));
  }

  /** Messages with the days between them. @param {import('../../app/state.js').Entry[]} entries */
  lines(entries) {
    let day = '';
    const seen = state.readBy.get(this.conversation) ?? 0;
    // A picture says itself whether it was seen: that its chat was read is less.
    const lastSeen = entries.findLast((each) => each.kind !== 'image' && each.sender_uid === state.me?.uid
      && each.message_id <= seen)?.message_id;
    return entries.map((entry, at) => {
      const own = dayOf(entry.send_time);
      const fresh = own !== day;
      day = own;
      const follows = !fresh && entries[at - 1]?.sender_uid === entry.sender_uid;
      return [
        fresh && h('li', {class: 'day', key: `day-${own}`}, own),
        bubble(this.conversation, entry, {follows, seen: entry.message_id === lastSeen}),
      ];
    });
  }

  /** Who goes up leaves the end; what grows below takes nobody away from it. */
  scrolled() {
    const box = this.#messages;
    if (!box) return;
    const near = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_END;
    if (near || box.scrollTop < this.#top) this.#atEnd = near;
    this.#top = box.scrollTop;
  }

  toEnd() {
    const box = this.#messages;
    if (box && this.#atEnd) box.scrollTop = box.scrollHeight;
  }

  shown() {
    this.toEnd();
    this.#read();
  }

  /** @param {DragEvent} event @param {boolean} over */
  drag(event, over) {
    if (![...event.dataTransfer?.types ?? []].includes('Files')) return;
    event.preventDefault();
    if (over !== this.dragging) {
      this.dragging = over;
      this.update();
    }
  }

  /** @param {DragEvent} event */
  drop(event) {
    event.preventDefault();
    this.dragging = false;
    this.update();
    /** @type {any} */ (this.querySelector('gl-composer')).add(imagesOf(event.dataTransfer));
  }
}

customElements.define('gl-chat', Chat);
