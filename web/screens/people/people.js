// SPDX-License-Identifier: Apache-2.0
/** Finding people, and those whom one knows. */

import {countries, ownRegion} from '../../app/countries.js';
import {t} from '../../app/i18n.js';
import {loadPeople} from '../../app/loading.js';
import {inWords} from '../../app/refusals.js';
import {goFrom} from '../../app/router.js';
import {database, server} from '../../app/server.js';
import {changed, state} from '../../app/state.js';
import {icon} from '../../ui/icon.js';
import {bar, complaint, field, row} from '../../ui/parts.js';
import {h} from '../../ui/render.js';
import {trying} from '../../ui/toast.js';
import {View} from '../../ui/view.js';
import {befriend, unblock} from '../chats/chat-menu.js';
import {beginGroup} from './group.js';
import {showInvitation} from './share.js';

/** @typedef {{uid: number, nickname: string, phone_num?: string}} Match */

/** So many numbers may be asked about at once. */
const NUMBERS = 500;

class People extends View {
  region = ownRegion();
  /** @type {Match[] | null} */
  found = null;
  nobody = '';
  refusal = '';
  busy = false;

  async connectedCallback() {
    super.connectedCallback();
    this.region = await database.get('region') ?? this.region;
    this.update();
    trying(loadPeople);
  }

  view() {
    const people = state.people;
    return h('section', {class: 'page'},
      bar(t.people),
      h('div', {class: 'page-body'},
        this.search(),
        h('div', {class: 'actions start'},
          h('button', {type: 'button', class: 'button', onclick: () => showInvitation()}, icon('link'), t.inviteSomebody),
          h('button', {type: 'button', class: 'button', onclick: () => beginGroup()}, icon('group'), t.newGroup),
          'contacts' in navigator && h('button', {type: 'button', class: 'button', onclick: () => this.fromContacts()}, icon('people'), t.fromContacts)),
        people && [
          this.list(t.requests, people.incoming, ({uid}) => [
            h('button', {type: 'button', class: 'primary', onclick: () => this.act(() => server.call('POST', `/v1/friends/${uid}/accept`))}, t.accept),
            h('button', {type: 'button', class: 'quiet', onclick: () => this.act(() => server.call('DELETE', `/v1/friends/${uid}`))}, t.decline)]),
          this.groupInvitations(people.invitations),
          this.list(t.friends, people.friends, ({uid}) => [this.messageLink(uid),
            h('button', {type: 'button', class: 'quiet', onclick: () => this.act(() => server.call('DELETE', `/v1/friends/${uid}`))}, t.unfriend)]),
          this.groupList(people.groups),
          this.list(t.asked, people.outgoing, ({uid}) => [this.messageLink(uid),
            h('button', {type: 'button', class: 'quiet', onclick: () => this.act(() => server.call('DELETE', `/v1/friends/${uid}`))}, t.withdraw)]),
          this.list(t.blocked, people.blocks, ({uid}) => [
            h('button', {type: 'button', class: 'quiet', onclick: () => trying(() => unblock(uid))}, t.unblock)]),
        ]));
  }

  search() {
    return h('form', {class: 'card search', role: 'search', onsubmit: (/** @type {SubmitEvent} */ event) => this.find(event)},
      h('h2', null, t.findByNumber),
      h('div', {class: 'number'},
        field(t.country, h('select', {name: 'region', value: this.region,
          onchange: (/** @type {any} */ event) => { this.region = event.target.value; }},
        countries().map(({region, code, name, flag}) => h('option', {key: region, value: region}, `${name} ${flag} +${code}`)))),
        field(t.phoneNumber, h('input', {name: 'phone_num', type: 'tel', required: true, autocomplete: 'off', maxlength: 40}))),
      complaint(this.refusal),
      h('div', null, h('button', {class: 'primary', disabled: this.busy}, t.find),
        h('div', {role: 'status'}, this.found && this.foundList(this.found))));
  }

  /** @param {Match[]} found */
  foundList(found) {
    if (!found.length) return h('p', {class: 'hint found'}, this.nobody);
    return h('ul', {class: 'rows found'}, found.map(({uid, nickname, phone_num}) => row(String(uid), nickname, [
      this.messageLink(uid, 'button primary'),
      this.isKnown(uid) || h('button', {type: 'button', class: 'button', onclick: () => trying(() => befriend(uid))}, t.befriend),
    ], phone_num)));
  }

  /** @param {number} uid */
  isKnown(uid) {
    const {friends = [], outgoing = []} = state.people ?? {};
    return [...friends, ...outgoing].some((each) => each.uid === uid);
  }

  /** @param {number} uid @param {string} [kind] */
  messageLink(uid, kind = 'button') {
    return h('a', {class: kind, href: `#/chats/${uid}`}, t.writeTo);
  }

  /** @param {string} title @param {import('../../app/state.js').Person[]} people @param {(person: import('../../app/state.js').Person) => import('../../ui/render.js').Nodes} actions */
  list(title, people, actions) {
    if (!people.length) return null;
    return h('section', {key: title, class: 'block'}, h('h2', null, title),
      h('ul', {class: 'rows'}, people.map((each) => row(String(each.uid), each.nickname, actions(each)))));
  }

  /** @param {import('../../app/state.js').Group[]} groups */
  groupList(groups) {
    if (!groups.length) return null;
    return h('section', {key: 'groups', class: 'block'}, h('h2', null, t.groups),
      h('ul', {class: 'rows'}, groups.map((group) => row(`g${group.group_id}`, group.name,
        h('a', {class: 'button', href: `#/chats/g${group.group_id}`}, t.writeTo), t.members(group.member_count ?? 1)))));
  }

  /** @param {import('../../app/state.js').Group[]} groups */
  groupInvitations(groups) {
    if (!groups.length) return null;
    const path = (/** @type {number} */ group) => `/v1/groups/${group}/members/${state.me?.uid}`;
    return h('section', {key: 'invitations', class: 'block'}, h('h2', null, t.groupInvitations),
      h('ul', {class: 'rows'}, groups.map(({group_id, name}) => row(`g${group_id}`, name, [
        h('button', {type: 'button', class: 'primary', onclick: () => this.act(async () => {
          const here = location.hash;
          await server.call('PUT', path(group_id), {json: {}});
          goFrom(here, `chats/g${group_id}`);
        })}, t.join),
        h('button', {type: 'button', class: 'quiet', onclick: () => this.act(() => server.call('DELETE', path(group_id)))}, t.decline)]))));
  }

  /** @param {() => Promise<unknown>} work */
  act(work) {
    return trying(async () => {
      await work();
      await loadPeople();
    });
  }

  /** @param {SubmitEvent} event */
  find(event) {
    event.preventDefault();
    const given = new FormData(/** @type {HTMLFormElement} */ (event.currentTarget));
    return this.discover([String(given.get('phone_num'))], t.nobodyFound);
  }

  /** Those whom the person picks in the browser's own list; the app sees nobody else of it. */
  fromContacts() {
    return trying(async () => {
      const picked = await /** @type {any} */ (navigator).contacts.select(['tel'], {multiple: true});
      const numbers = picked.flatMap((/** @type {{tel: string[]}} */ {tel}) => tel);
      if (numbers.length) await this.discover(numbers, t.noContactFound);
    });
  }

  /** @param {string[]} numbers @param {string} nobody what to say where none of them is found */
  async discover(numbers, nobody) {
    Object.assign(this, {busy: true, refusal: '', found: null, nobody});
    this.update();
    try {
      const region_num = countries().find(({region}) => region === this.region)?.code;
      const found = [];
      for (let at = 0; at < numbers.length; at += NUMBERS) {
        const json = {region_num, phone_nums: numbers.slice(at, at + NUMBERS)};
        found.push(...(await server.call('POST', '/v1/contacts/discover', {json})).matches);
      }
      for (const {uid, nickname} of found) state.names.set(uid, nickname);
      this.found = [...new Map(found.map((each) => [each.uid, each])).values()];
      changed();
    } catch (error) {
      this.refusal = inWords(error);
    }
    this.busy = false;
    this.update();
  }
}

customElements.define('gl-people', People);
