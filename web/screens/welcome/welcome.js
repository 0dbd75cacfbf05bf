// SPDX-License-Identifier: Apache-2.0
/** Becoming somebody: a number and its code, or a password. */

import {codeFor, countries, ownRegion} from '../../app/countries.js';
import {language, switchLanguage, t} from '../../app/i18n.js';
import {inWords} from '../../app/refusals.js';
import {database, server} from '../../app/server.js';
import {begin} from '../../app/sync.js';
import {mark} from '../../ui/icon.js';
import {complaint, field} from '../../ui/parts.js';
import {h} from '../../ui/render.js';
import {View} from '../../ui/view.js';

/** @typedef {'phone' | 'code' | 'login' | 'signup'} Step */

class Welcome extends View {
  /** @type {Step} */
  step = 'phone';
  refusal = '';
  busy = false;
  region = ownRegion();
  number = '';
  /** @type {import('../../../clients/js/src/client.js').Activation | undefined} */
  activation;

  view() {
    const other = language === 'en' ? 'zh' : 'en';
    return h('div', {class: 'welcome'},
      h('header', {class: 'hero'}, mark(), h('h1', null, 'Glimpse'), h('p', null, t.tagline),
        !isSecureContext && h('p', {class: 'notice'}, t.plainHttp)),
      h('div', {class: 'card'}, this.form(),
        h('button', {type: 'button', class: 'quiet language', lang: other, onclick: () => switchLanguage(other)},
          {en: 'English', zh: '中文'}[other])));
  }

  form() {
    switch (this.step) {
      case 'code': return this.codeForm();
      case 'login': return this.passwordForm(false);
      case 'signup': return this.passwordForm(true);
      default: return this.phoneForm();
    }
  }

  phoneForm() {
    return h('form', {key: 'phone', onsubmit: (/** @type {SubmitEvent} */ event) => this.submit(event, async (given) => {
      this.region = String(given.region);
      this.number = String(given.phone_num);
      const answer = await server.register({
        region_num: codeFor(this.region, this.number), phone_num: this.number, nickname: String(given.nickname),
        device_type: 'WEB',
      });
      if ('activation_id' in answer) this.go('code', answer);
      else await this.enter();
    })},
    h('h2', null, t.beginTitle), h('p', null, t.beginHint),
    field(t.yourName, h('input', {name: 'nickname', required: true, maxlength: 64, autocomplete: 'nickname', autofocus: true})),
    h('div', {class: 'number'}, this.countrySelect(),
      field(t.phoneNumber, h('input', {name: 'phone_num', type: 'tel', required: true, autocomplete: 'tel-national', maxlength: 40}))),
    this.ending(t.begin), this.switches('login', t.haveAccount));
  }

  countrySelect() {
    return field(t.country, h('select', {name: 'region', autocomplete: 'country', value: this.region,
      onchange: (/** @type {any} */ event) => { this.region = event.target.value; }},
      countries().map(({region, code, name, flag}) => h('option', {key: region, value: region}, `${name} ${flag} +${code}`))));
  }

  codeForm() {
    return h('form', {key: 'code', onsubmit: (/** @type {SubmitEvent} */ event) => this.submit(event, async (given) => {
      await server.activate(this.activation?.activation_id ?? '', String(given.code).trim());
      await this.enter();
    })},
    h('h2', null, t.codeTitle), h('p', null, t.codeHint(this.number)),
    field(t.code, h('input', {name: 'code', inputmode: 'numeric', autocomplete: 'one-time-code', pattern: '\\s*[0-9]{4,10}\\s*',
      required: true, autofocus: true, class: 'code'})),
    this.ending(t.confirm),
    h('div', {class: 'actions'},
      h('button', {type: 'button', class: 'quiet', onclick: () => this.go('phone')}, t.otherNumber),
      h('button', {type: 'button', class: 'quiet', onclick: () => this.attempt(async () => {
        this.activation = await server.resendCode(this.activation?.activation_id ?? '');
      })}, t.sendCodeAgain)));
  }

  /** @param {boolean} fresh */
  passwordForm(fresh) {
    return h('form', {key: fresh ? 'signup' : 'login', onsubmit: (/** @type {SubmitEvent} */ event) => this.submit(event, async (given) => {
      const name = String(given.name);
      const who = {...(name.includes('@') ? {email: name} : {login: name}), password: String(given.password)};
      if (fresh) await server.signUp({...who, nickname: String(given.nickname)});
      else await server.logIn(who);
      await this.enter();
    })},
    h('h2', null, fresh ? t.signUpTitle : t.logInTitle), h('p', null, fresh ? t.signUpHint : t.logInHint),
    fresh && field(t.yourName, h('input', {name: 'nickname', required: true, maxlength: 64, autocomplete: 'nickname', autofocus: true})),
    field(t.emailOrLogin, h('input', {name: 'name', required: true, autocomplete: 'username', autocapitalize: 'none', autofocus: !fresh})),
    field(t.password, h('input', {name: 'password', type: 'password', required: true, minlength: fresh ? 8 : 1,
      autocomplete: fresh ? 'new-password' : 'current-password'}), fresh ? t.passwordHint : ''),
    this.ending(fresh ? t.signUp : t.logIn),
    this.switches(fresh ? 'login' : 'signup', fresh ? t.haveAccount : t.noAccount),
    this.switches('phone', t.useNumber));
  }

  /** @param {string} label */
  ending(label) {
    return [complaint(this.refusal), h('button', {class: 'primary wide', disabled: this.busy}, label)];
  }

  /** @param {Step} step @param {string} label */
  switches(step, label) {
    return h('button', {type: 'button', class: 'quiet', key: step, onclick: () => this.go(step)}, label);
  }

  /** @param {Step} step @param {import('../../../clients/js/src/client.js').Activation} [activation] */
  go(step, activation) {
    Object.assign(this, {step, activation, refusal: ''});
    this.update();
    queueMicrotask(() => /** @type {HTMLElement | null} */ (this.querySelector('[name]'))?.focus());
  }

  /** @param {SubmitEvent} event @param {(given: Record<string, FormDataEntryValue>) => Promise<void>} work */
  submit(event, work) {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(/** @type {HTMLFormElement} */ (event.currentTarget)));
    return this.attempt(() => work(given));
  }

  /** @param {() => Promise<void>} work */
  async attempt(work) {
    Object.assign(this, {busy: true, refusal: ''});
    this.update();
    try {
      await work();
    } catch (error) {
      this.refusal = inWords(error);
    }
    this.busy = false;
    this.update();
  }

  async enter() {
    await database.set('region', this.region);
    await begin();
  }
}

customElements.define('gl-welcome', Welcome);
