// SPDX-License-Identifier: Apache-2.0
/** Where things are said: words, and pictures with a preview before they go. */

import {durationOf, t} from '../../app/i18n.js';
import {send} from '../../app/outbox.js';
import {imagesOf, pick} from '../../app/pictures.js';
import {icon} from '../../ui/icon.js';
import {field, iconButton} from '../../ui/parts.js';
import {h} from '../../ui/render.js';
import {say} from '../../ui/toast.js';
import {View} from '../../ui/view.js';

const CAPTION_LETTERS = 500;
const LIFETIMES = [0, 3600, 86_400, 604_800];

class Composer extends View {
  conversation = '';
  text = '';
  lifetime = 0;
  /** @type {import('../../app/pictures.js').Picked[]} */
  picked = [];

  view() {
    return h('form', {class: 'composer', onsubmit: (/** @type {Event} */ event) => { event.preventDefault(); this.send(); }},
      this.picked.length > 0 && this.tray(),
      h('div', {class: 'composer-line'},
        this.chooser('picture', t.choosePictures, {multiple: true}),
        this.chooser('camera', t.takePicture, {capture: 'environment'}),
        h('textarea', {name: 'text', rows: 1, value: this.text, maxlength: 8000,
          'aria-label': this.picked.length ? t.caption : t.message, placeholder: this.picked.length ? t.caption : t.message,
          oninput: (/** @type {any} */ event) => { this.text = event.target.value; this.update(); },
          onkeydown: (/** @type {KeyboardEvent} */ event) => this.key(event),
          onpaste: (/** @type {ClipboardEvent} */ event) => this.paste(event)}),
        iconButton('send', t.send, {type: 'submit', class: 'primary', disabled: !this.text.trim() && !this.picked.length})));
  }

  /** A button over a hidden field for files. @param {'picture' | 'camera'} name @param {string} label @param {Record<string, any>} props */
  chooser(name, label, props) {
    const choose = (/** @type {Event} */ event) =>
      /** @type {HTMLElement} */ (event.currentTarget)?.parentElement?.querySelector('input')?.click();
    return h('span', {class: `chooser chooser-${name}`},
      iconButton(name, label, {onclick: choose}),
      h('input', {type: 'file', name, accept: 'image/*', hidden: true, tabIndex: -1, 'aria-label': label, ...props,
        onchange: (/** @type {any} */ event) => {
          this.add([...event.target.files]);
          event.target.value = '';
        }}));
  }

  tray() {
    return h('div', {class: 'tray'},
      h('ul', {class: 'picked', 'aria-label': t.pictures(this.picked.length)}, this.picked.map((each, at) =>
        h('li', {key: each.url ?? each.file.name},
          each.url ? h('img', {src: each.url, alt: each.file.name}) : h('span', {class: 'no-preview'}, icon('picture'), each.file.name),
          iconButton('close', t.leaveOut(each.file.name), {onclick: () => this.leaveOut(at)})))),
      field(t.lifetime, h('select', {name: 'lifetime', value: String(this.lifetime),
        onchange: (/** @type {any} */ event) => { this.lifetime = Number(event.target.value); }},
      LIFETIMES.map((seconds) => h('option', {value: String(seconds), key: seconds},
        seconds ? t.goneAfter(durationOf(seconds)) : t.asLongAsAllowed)))));
  }

  /** @param {File[]} files */
  async add(files) {
    const picked = await Promise.allSettled(files.map(pick));
    this.picked = [...this.picked, ...picked.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))];
    if (picked.some(({status}) => status === 'rejected')) say(t.cannotRead);
    this.update();
    this.querySelector('textarea')?.focus();
  }

  /** @param {number} at */
  leaveOut(at) {
    const [gone] = this.picked.splice(at, 1);
    if (gone?.url) URL.revokeObjectURL(gone.url);
    this.update();
    this.querySelector('textarea')?.focus();
  }

  async send() {
    const text = this.text.trim();
    const {picked, lifetime} = this;
    if (!text && !picked.length) return;
    Object.assign(this, {text: '', picked: []});
    this.update();
    const caption = text && [...text].length <= CAPTION_LETTERS ? text : undefined;
    for (const [at, {file, thumbnail, placeholder, width, height}] of picked.entries()) {
      await send(this.conversation, {
        image: file, thumbnail, placeholder, width, height,
        caption: at === 0 ? caption : undefined, ttl_seconds: lifetime || undefined,
      });
    }
    if (text && !(picked.length && caption)) await send(this.conversation, {text});
  }

  /** Enter sends; with Shift, or while a word is being composed, it belongs to the text. @param {KeyboardEvent} event */
  key(event) {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.send();
  }

  /** @param {ClipboardEvent} event */
  paste(event) {
    const images = imagesOf(event.clipboardData);
    if (!images.length) return;
    event.preventDefault();
    this.add(images);
  }
}

customElements.define('gl-composer', Composer);
