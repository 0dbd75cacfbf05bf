// SPDX-License-Identifier: Apache-2.0
/** The frame around all screens: navigation, the list beside what is open, the state of the line. */

import {t} from '../app/i18n.js';
import {where} from '../app/router.js';
import {changed, state, unreadInAll} from '../app/state.js';
import {icon, mark} from '../ui/icon.js';
import {h} from '../ui/render.js';
import {View} from '../ui/view.js';
import './welcome/welcome.js';
import './chats/chat-list.js';
import './chats/chat.js';
import './people/people.js';
import './people/invitation.js';
import './me/me.js';

/** As in the styles: one pane at a time. */
const narrow = matchMedia('(width < 56rem)');

class Shell extends View {
  view() {
    if (state.phase === 'starting') return h('div', {class: 'starting'}, mark());
    if (state.phase === 'nobody') return h('main', null, h('gl-welcome', null));
    const [place, id] = where();
    const alone = narrow.matches && place === 'chats' && !id;
    return h('div', {class: `frame at-${place} ${id ? 'with-detail' : 'without-detail'}`},
      this.navigation(place),
      h('div', {class: 'list', role: alone ? 'main' : 'complementary', 'aria-label': t.chats}, this.line(), h('gl-chat-list', {key: 'list'})),
      h('main', {class: 'detail', id: 'detail', tabIndex: -1}, this.detail(place, id)));
  }

  /** @param {string} place */
  navigation(place) {
    const unread = unreadInAll();
    const waiting = (state.people?.incoming.length ?? 0) + (state.people?.invitations.length ?? 0);
    /** @type {[string, import('../ui/icon.js').IconName, string, number, (n: number) => string][]} */
    const places = [
      ['chats', 'chats', t.chats, unread, t.unread], ['people', 'people', t.people, waiting, t.waiting], ['me', 'me', t.me, 0, t.unread],
    ];
    return h('nav', {class: 'places', 'aria-label': t.navigation},
      h('span', {class: 'wordmark'}, mark(), h('span', null, 'Glimpse')),
      places.map(([path, sign, label, count, words]) =>
        h('a', {href: `#/${path}`, key: path, 'aria-current': place === path ? 'page' : undefined},
          h('span', {class: 'sign'}, icon(sign), count > 0 && h('span', {class: 'count', 'aria-hidden': 'true'}, count)),
          h('span', null, label), count > 0 && h('span', {class: 'unseen'}, words(count)))));
  }

  line() {
    const words = navigator.onLine ? {off: '', connecting: t.connecting, polling: '', live: ''}[state.line] : t.offline;
    return h('p', {class: 'line', role: 'status'}, words);
  }

  /** @param {string} place @param {string | undefined} id */
  detail(place, id) {
    if (place === 'people') return h('gl-people', null);
    if (place === 'me') return h('gl-me', null);
    if (place === 'u' || place === 'g') return h('gl-invitation', {key: id, kind: place, named: id ?? ''});
    if (id) return h('gl-chat', {key: id, conversation: id});
    return h('div', {class: 'empty nothing-open'}, mark(), h('h2', null, t.nothingOpen), h('p', null, t.nothingOpenHint));
  }

  #place = '';

  shown() {
    // Whoever comes to another place by keyboard or screen reader is brought to what is new there.
    const place = where().join('/');
    if (place === this.#place) return;
    if (this.#place && document.activeElement?.closest('.places, .list')) document.getElementById('detail')?.focus();
    this.#place = place;
  }
}

customElements.define('gl-shell', Shell);
narrow.addEventListener('change', () => changed());
for (const event of ['online', 'offline']) {
  addEventListener(event, () => changed());
}
