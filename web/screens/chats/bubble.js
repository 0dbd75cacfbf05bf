// SPDX-License-Identifier: Apache-2.0
/** One thing that was said, or is about to be. */

import {timeOf, t} from '../../app/i18n.js';
import {changeEntry, removeEntry} from '../../app/loading.js';
import {discard, goOn, pause, retry} from '../../app/outbox.js';
import {placeholderUrl} from '../../app/placeholder.js';
import {wordsFor} from '../../app/refusals.js';
import {server} from '../../app/server.js';
import {state} from '../../app/state.js';
import {icon} from '../../ui/icon.js';
import {menu} from '../../ui/menu.js';
import {h} from '../../ui/render.js';
import {trying} from '../../ui/toast.js';
import {openPicture} from './viewer.js';
import {report} from './report.js';
import {showReceivers} from './receivers.js';

/** @typedef {import('../../app/state.js').Entry} Entry */

/**
 * @param {string} conversation
 * @param {Entry} entry
 * @param {{follows: boolean, seen: boolean}} how `follows`: the one before is by the same person
 */
export function bubble(conversation, entry, {follows, seen}) {
  const own = entry.sender_uid === state.me?.uid;
  const inGroup = conversation.startsWith('g');
  return h('li', {class: `message ${own ? 'own' : 'theirs'} ${follows ? 'follows' : ''}`, key: String(entry.message_id)},
    inGroup && !own && !follows && h('span', {class: 'speaker'},
      entry.sender_uid ? state.names.get(entry.sender_uid) ?? '…' : t.somebodyGone),
    h('div', {class: 'bubble-line'}, entry.kind === 'image' ? picture(entry, own) : words(entry), choices(entry, own, inGroup)),
    h('span', {class: 'foot'}, timeOf(entry.send_time), seen && h('span', {class: 'seen'}, icon('checks'), t.seen)));
}

/** @param {Entry} entry */
function words(entry) {
  return h('div', {class: 'bubble'}, entry.url
    ? h('a', {href: entry.url, target: '_blank', rel: 'noopener noreferrer nofollow'}, entry.url)
    : withLinks(entry.text ?? ''));
}

/** Addresses in a text can be followed. @param {string} text */
function withLinks(text) {
  return text.split(/(https?:\/\/[^\s<>"']+)/).map((part, at) => (at % 2
    ? h('a', {href: part, target: '_blank', rel: 'noopener noreferrer nofollow'}, part) : part));
}

/** @param {Entry} entry @param {boolean} own */
function picture(entry, own) {
  const open = !own && entry.state === 'pending';
  const preview = own ? state.previews.get(entry.message_key ?? '') : undefined;
  const behind = preview ?? placeholderUrl(entry.placeholder);
  const content = [
    behind && h('img', {class: preview ? 'preview' : 'placeholder', src: behind, alt: ''}),
    h('span', {class: 'picture-state'}, icon(open ? 'eye' : own && entry.state === 'pending' ? 'clock' : 'gone'),
      h('span', null, stateWords(entry, own))),
  ];
  return h('div', {class: 'bubble picture'},
    open
      ? h('button', {type: 'button', class: 'frame-picture sealed', key: 'open', onclick: () => openPicture(entry)}, content)
      : h('div', {class: `frame-picture ${entry.state}`, key: 'closed'}, content),
    entry.caption && h('p', {class: 'caption'}, withLinks(entry.caption)));
}

/** @param {Entry} entry @param {boolean} own */
function stateWords(entry, own) {
  switch (entry.state) {
    case 'pending': return own ? t.notSeenYet : t.openPicture;
    case 'consumed': return own ? t.pictureSeen : t.pictureOpened;
    case 'recalled': return t.pictureRecalled;
    default: return t.pictureExpired;
  }
}

/** @param {Entry} entry @param {boolean} own @param {boolean} inGroup */
function choices(entry, own, inGroup) {
  const image = entry.kind === 'image';
  return menu(`choices-${entry.message_id}`, t.moreAbout, [
    own && image && entry.state === 'pending' && {label: t.recall, icon: 'gone', danger: true, act: () => trying(async () => {
      await server.recallImage(entry.message_key ?? '');
      changeEntry(entry.message_id, {state: 'recalled'});
    })},
    own && image && inGroup && {label: t.whoHasSeen, icon: 'eye', act: () => showReceivers(entry)},
    own && !image && {label: t.takeBack, icon: 'gone', danger: true, act: () => trying(async () => {
      await server.call('DELETE', `/v1/messages/${entry.message_id}`);
      removeEntry(entry.message_id);
    })},
    !own && {label: t.report, icon: 'alert', danger: true, act: () => report({message_id: entry.message_id})},
  ]);
}

/** @param {import('../../app/state.js').Outgoing} outgoing */
export function outgoingBubble(outgoing) {
  const progress = state.progress.get(outgoing.key);
  return h('li', {class: 'message own leaving', key: outgoing.key},
    h('div', {class: 'bubble-line'}, outgoing.image
      ? h('div', {class: 'bubble picture'},
        h('div', {class: 'frame-picture'},
          outgoing.thumbnail && h('img', {class: 'preview', src: urlOf(outgoing), alt: ''}),
          progress !== undefined && !outgoing.failed && h('progress', {'aria-label': t.sending, max: 1, value: progress})),
        outgoing.caption && h('p', {class: 'caption'}, outgoing.caption))
      : h('div', {class: 'bubble'}, outgoing.text)),
    outgoing.failed
      ? h('div', {class: 'foot failed', role: 'alert'}, icon('alert'), wordsFor(outgoing.failed),
        h('button', {type: 'button', class: 'quiet', onclick: () => retry(outgoing)}, t.tryAgain),
        h('button', {type: 'button', class: 'quiet', onclick: () => discard(outgoing)}, t.discard))
      : h('div', {class: 'foot'}, icon('clock'), outgoing.paused ? t.paused : navigator.onLine ? t.sending : t.goesLater,
        outgoing.image && (outgoing.paused
          ? [h('button', {type: 'button', class: 'quiet', key: 'go', onclick: () => goOn(outgoing)}, t.goOn),
            h('button', {type: 'button', class: 'quiet', key: 'discard', onclick: () => discard(outgoing)}, t.discard)]
          : h('button', {type: 'button', class: 'quiet', key: 'pause', onclick: () => pause(outgoing)}, t.pause))));
}

/** @type {Map<string, string>} */
const urls = new Map();
/** @param {import('../../app/state.js').Outgoing} outgoing */
function urlOf({key, thumbnail}) {
  if (thumbnail && !urls.has(key)) urls.set(key, URL.createObjectURL(thumbnail));
  return urls.get(key) ?? '';
}
