// SPDX-License-Identifier: Apache-2.0
/** Telling the operator of a person or a message. */

import {t} from '../../app/i18n.js';
import {inWords} from '../../app/refusals.js';
import {server} from '../../app/server.js';
import {openDialog} from '../../ui/dialog.js';
import {complaint, field} from '../../ui/parts.js';
import {h} from '../../ui/render.js';
import {say} from '../../ui/toast.js';

/**
 * @param {{uid: number} | {message_id: number}} what
 * @param {Blob} [image] goes along: of a picture that was seen the server has nothing any more
 */
export async function report(what, image) {
  let refusal = '';
  const sent = await openDialog(t.report, ({close, again}) => h('form', {onsubmit: async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const given = new FormData(/** @type {HTMLFormElement} */ (event.currentTarget));
    const reason = [given.get('kind'), given.get('words')].filter(Boolean).join(': ');
    try {
      await server.request('POST', '/v1/reports', image ? {body: formOf({...what, reason}, image)} : {json: {...what, reason}});
      close(true);
    } catch (error) {
      refusal = inWords(error);
      again();
    }
  }},
  h('p', null, t.reportHint, image && ` ${t.reportPicture}`),
  field(t.reason, h('select', {name: 'kind', autofocus: true},
    Object.entries(t.reasons).map(([kind, label]) => h('option', {value: kind, key: kind}, label)))),
  field(t.reasonWords, h('textarea', {name: 'words', rows: 3, maxlength: 1900})),
  complaint(refusal),
  h('div', {class: 'actions'},
    h('button', {type: 'button', class: 'quiet', onclick: () => close()}, t.cancel),
    h('button', {class: 'danger'}, t.report))), 'small');
  if (sent) say(t.reported);
}

/** @param {Record<string, unknown>} fields @param {Blob} image */
function formOf(fields, image) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, String(value));
  form.append('img_file', image, 'image');
  return form;
}
