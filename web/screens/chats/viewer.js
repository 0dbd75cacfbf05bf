// SPDX-License-Identifier: Apache-2.0
/** A picture, seen once: fetched, shown, and then acknowledged, which removes it from the server. */

import {t} from '../../app/i18n.js';
import {changeEntry} from '../../app/loading.js';
import {inWords} from '../../app/refusals.js';
import {server} from '../../app/server.js';
import {nameOf, state} from '../../app/state.js';
import {openDialog} from '../../ui/dialog.js';
import {icon} from '../../ui/icon.js';
import {complaint} from '../../ui/parts.js';
import {h} from '../../ui/render.js';
import {report} from './report.js';

/** What a refusal says of the picture's state. @type {Record<string, import('../../app/state.js').Entry['state']>} */
const ENDED = {image_consumed: 'consumed', image_expired: 'expired', image_recalled: 'recalled'};

/** @param {import('../../app/state.js').Entry} entry */
export async function openPicture(entry) {
  const key = entry.message_key ?? '';
  const from = entry.sender_uid ? state.names.get(entry.sender_uid) ?? nameOf(String(entry.sender_uid)) : t.somebodyGone;
  /** @type {Blob | undefined} */
  let image;
  const shown = {url: '', preview: '', refusal: '', unreadable: false};
  let again = () => {};
  const acknowledge = async () => {
    await server.acknowledge(key);
    changeEntry(entry.message_id, {state: 'consumed'});
  };
  const closed = openDialog(t.pictureFrom(from), (dialog) => {
    again = dialog.again;
    return h('div', {class: 'viewed'},
      shown.url && !shown.unreadable && h('img', {src: shown.url, alt: entry.caption || t.pictureFrom(from)}),
      !shown.url && !shown.refusal && h('p', {class: 'waiting', role: 'status'},
        shown.preview && h('img', {src: shown.preview, alt: ''}), t.fetching),
      shown.unreadable && h('p', null, t.cannotShow),
      complaint(shown.refusal),
      entry.caption && h('p', {class: 'caption'}, entry.caption),
      shown.url && h('p', {class: 'actions'}, h('span', {class: 'hint'}, icon('gone'), t.onceOnly),
        h('a', {class: 'button quiet', href: shown.url, download: `glimpse-${entry.message_id}`,
          onclick: () => { if (shown.unreadable) acknowledge(); }}, icon('save'), t.save),
        h('button', {type: 'button', class: 'quiet', onclick: () => report({message_id: entry.message_id}, image)},
          icon('alert'), t.report)));
  }, 'viewer');
  try {
    if (entry.has_thumbnail) preview(key).then((url) => { shown.preview = url; again(); }, () => {});
    image = await server.fetchImage(key);
    shown.url = URL.createObjectURL(image);
    shown.unreadable = !await isReadable(shown.url);
    again();
    // It is on the screen now. What cannot be shown is acknowledged when it is saved.
    if (!shown.unreadable) await acknowledge();
  } catch (error) {
    shown.refusal = inWords(error);
    const ended = ENDED[/** @type {any} */ (error).code];
    if (ended) changeEntry(entry.message_id, {state: ended});
    again();
  }
  await closed;
  for (const url of [shown.url, shown.preview]) URL.revokeObjectURL(url);
}

/** What is seen until the picture is there. @param {string} key */
async function preview(key) {
  return URL.createObjectURL(await (await server.request('GET', `/v1/images/${key}/thumbnail`)).blob());
}

/** @param {string} url */
async function isReadable(url) {
  const image = new Image();
  image.src = url;
  return image.decode().then(() => true, () => false);
}
