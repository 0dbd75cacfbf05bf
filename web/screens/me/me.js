// SPDX-License-Identifier: Apache-2.0
/** Oneself: the account, its devices, language and look, and the ways out. */

import {dayOf, language, switchLanguage, t} from '../../app/i18n.js';
import {chooseLook, look} from '../../app/look.js';
import {isOn, renew, support, turnOff, turnOn} from '../../app/notifications.js';
import {inWords} from '../../app/refusals.js';
import {server} from '../../app/server.js';
import {changed, state} from '../../app/state.js';
import {forget} from '../../app/sync.js';
import {confirmed, openDialog} from '../../ui/dialog.js';
import {icon} from '../../ui/icon.js';
import {avatar, bar, complaint, field, iconButton, toggle} from '../../ui/parts.js';
import {h} from '../../ui/render.js';
import {say, trying} from '../../ui/toast.js';
import {View} from '../../ui/view.js';

class Me extends View {
  notified = false;
  /** @type {{device_id: number, provider: string, device_type: string, registered_at: number}[]} */
  devices = [];
  /** Whether this browser has the ukey; not known at first. @type {boolean | undefined} */
  hasKey = undefined;

  connectedCallback() {
    super.connectedCallback();
    this.load();
  }

  load() {
    return trying(async () => {
      this.hasKey = !!await server.session.basic();
      this.notified = await isOn();
      this.update();
      this.devices = await server.list('/v1/devices');
      this.update();
    });
  }

  view() {
    const me = state.me;
    if (!me) return bar(t.me);
    return h('section', {class: 'page'}, bar(t.me), h('div', {class: 'page-body'},
      h('div', {class: 'card profile'}, avatar(String(me.uid), me.nickname),
        h('form', {class: 'name-form', onsubmit: (/** @type {SubmitEvent} */ event) => {
          event.preventDefault();
          const nickname = new FormData(/** @type {HTMLFormElement} */ (event.currentTarget)).get('nickname');
          this.change({nickname}).then(() => say(t.saved));
        }}, field(t.yourName, h('input', {key: me.nickname, name: 'nickname', required: true, maxlength: 64,
          ref: (/** @type {HTMLInputElement} */ input) => { input.value = me.nickname; }})),
        h('button', {class: 'button'}, t.save))),
      !isSecureContext && h('p', {class: 'notice'}, t.plainHttp),
      this.block(t.privacy,
        toggle(t.discoverable, t.discoverableHint, me.discoverable, (on) => this.change({discoverable: on})),
        toggle(t.readReceipts, t.readReceiptsHint, me.read_receipts, (on) => this.change({read_receipts: on}))),
      this.block(t.notifications, this.notifications()),
      this.block(t.lookAndLanguage,
        field(t.language, h('select', {name: 'language', value: language,
          onchange: (/** @type {any} */ event) => switchLanguage(event.target.value)},
        h('option', {value: 'en', lang: 'en'}, 'English'), h('option', {value: 'zh', lang: 'zh'}, '中文'))),
        field(t.look, h('select', {name: 'look', value: look,
          onchange: (/** @type {any} */ event) => chooseLook(event.target.value)},
        h('option', {value: 'system'}, t.lookSystem), h('option', {value: 'light'}, t.lookLight), h('option', {value: 'dark'}, t.lookDark)))),
      this.hasKey !== undefined && this.block(t.account,
        me.phone_hash && !me.email && !me.login && this.hasKey && this.line(t.addPassword, t.addPasswordHint, t.add, () => this.addPassword()),
        this.hasKey && this.line(t.endOthers, t.endOthersHint, t.endThem, () => confirmed({
          title: t.endOthers, text: t.endOthersHint, yes: t.endThem,
          act: async () => {
            await server.renewKey(true);
            await renew(); // this browser's device has ended with the others
            await this.load();
          }})),
        this.line(t.export, t.exportHint, t.download, () => trying(() => this.export())),
        this.line(t.signOut, t.signOutHint, t.signOut, () => confirmed({
          title: t.signOut, text: this.hasKey ? t.signOutWarning : t.signOutHint, yes: t.signOut,
          act: async () => {
            if (this.notified) await turnOff();
            await server.signOut();
            await forget();
          }})),
        this.line(t.leave, t.leaveHint, t.leave, () => confirmed({
          title: t.leave, text: t.leaveWarning, yes: t.leave,
          act: async () => {
            await server.call('DELETE', '/v1/me');
            await forget();
          }}), true)),
      this.deviceList()));
  }

  /** @param {string} title @param {...import('../../ui/render.js').Nodes} content */
  block(title, ...content) {
    return h('section', {class: 'block', key: title}, h('h2', null, title), content);
  }

  /** @param {string} label @param {string} hint @param {string} verb @param {() => void} act @param {boolean} [danger] */
  line(label, hint, verb, act, danger = false) {
    return h('div', {class: 'toggle', key: label}, h('span', {class: 'row-words'}, h('span', null, label), h('small', null, hint)),
      h('button', {type: 'button', class: danger ? 'danger' : 'button', onclick: act, 'aria-label': `${verb}: ${label}`}, verb));
  }

  notifications() {
    const found = support();
    if (found !== 'possible') return h('p', {class: 'hint'}, t.noNotifications[found]);
    return toggle(t.notifyHere, t.notifyHereHint, this.notified, (on) => trying(() => (on ? turnOn() : turnOff())).then(() => this.load()));
  }

  deviceList() {
    if (!this.devices.length) return null;
    return this.block(t.devices, h('ul', {class: 'rows'}, this.devices.map(({device_id, provider, device_type, registered_at}) =>
      h('li', {class: 'row', key: device_id}, icon('bell'),
        h('span', {class: 'row-words'}, h('span', null, t.deviceKinds[provider] ?? provider),
          h('small', null, [device_type, dayOf(registered_at)].filter(Boolean).join(' · '))),
        iconButton('close', t.endDevice, {onclick: () => trying(async () => {
          await server.call('DELETE', `/v1/devices/${device_id}`);
          await this.load();
        })})))));
  }

  /** @param {Record<string, unknown>} json */
  change(json) {
    return trying(async () => {
      state.me = await server.call('PATCH', '/v1/me', {json});
      changed();
    });
  }

  addPassword() {
    let refusal = '';
    return openDialog(t.addPassword, ({close, again}) => h('form', {onsubmit: async (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      const given = new FormData(/** @type {HTMLFormElement} */ (event.currentTarget));
      const name = String(given.get('name'));
      try {
        await server.addPassword({...(name.includes('@') ? {email: name} : {login: name}), password: String(given.get('password'))});
        state.me = await server.call('GET', '/v1/me');
        changed();
        close(true);
      } catch (error) {
        refusal = inWords(error);
        again();
      }
    }},
    h('p', null, t.addPasswordHint),
    field(t.emailOrLogin, h('input', {name: 'name', required: true, autocomplete: 'username', autofocus: true})),
    field(t.password, h('input', {name: 'password', type: 'password', required: true, minlength: 8, autocomplete: 'new-password'}), t.passwordHint),
    complaint(refusal),
    h('div', {class: 'actions'}, h('button', {class: 'primary'}, t.add))), 'small');
  }

  async export() {
    const reply = await server.request('GET', '/v1/me/export');
    const url = URL.createObjectURL(await reply.blob());
    const link = document.createElement('a');
    Object.assign(link, {href: url, download: `glimpse-${state.me?.uid}.json`});
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }
}

customElements.define('gl-me', Me);
