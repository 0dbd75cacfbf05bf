// SPDX-License-Identifier: Apache-2.0
/** Calls from the page of the interface, with a credential of the reader's own that is kept nowhere. */

import {h, render} from '../ui/render.js';

/** @typedef {Record<string, any>} Json */

const credential = {kind: 'none', name: '', secret: ''};
/** @type {Promise<Json> | undefined} */
let asked;

/** The description, asked for once. */
function description() {
  return asked ??= fetch('/openapi.json', {credentials: 'omit'}).then((reply) => reply.json());
}

/** What a reference means. @param {Json} api @param {Json} thing @returns {Json} */
function resolve(api, thing) {
  if (!thing?.$ref) return thing;
  return resolve(api, thing.$ref.slice(2).split('/').reduce((/** @type {Json} */ found, /** @type {string} */ name) => found[name], api));
}

/** @param {Json} api @param {string} id */
function operationOf(api, id) {
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      if (operation.operationId === id) return {...operation, path, method: method.toUpperCase()};
    }
  }
  throw new Error(`no operation ${id}`);
}

// -- the credential --

const KINDS = {none: 'none', basic: 'phone_hash and ukey', bearer: 'access_token', session: "a sample's session (header user)"};

function showCredential() {
  const keep = (/** @type {'kind' | 'name' | 'secret'} */ what) => (/** @type {any} */ event) => {
    credential[what] = event.target.value.trim();
    if (what === 'kind') showCredential();
  };
  const {kind} = credential;
  render(/** @type {HTMLElement} */ (document.getElementById('credential')),
    h('label', null, 'Call as', h('select', {value: kind, onchange: keep('kind')},
      Object.entries(KINDS).map(([value, words]) => h('option', {value, key: value}, words)))),
    kind === 'basic' && h('label', null, 'phone_hash', h('input', {value: credential.name, autocomplete: 'off', oninput: keep('name')})),
    kind !== 'none' && h('label', null, {basic: 'ukey', bearer: 'access_token', session: 'uuid'}[kind],
      h('input', {type: 'password', value: credential.secret, autocomplete: 'off', oninput: keep('secret')})));
}

/** @returns {Record<string, string>} */
function credentialHeaders() {
  const {kind, name, secret} = credential;
  if (kind === 'basic') return {Authorization: `Basic ${btoa(`${name}:${secret}`)}`};
  if (kind === 'bearer') return {Authorization: `Bearer ${secret}`};
  return kind === 'session' ? {user: secret} : {};
}

// -- one operation --

/** @param {HTMLElement} place @param {string} id */
async function offer(place, id) {
  const api = await description();
  const operation = operationOf(api, id);
  const parameters = (operation.parameters ?? []).map((/** @type {Json} */ each) => resolve(api, each));
  const [media, body] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  const box = place.appendChild(document.createElement('div'));
  box.className = 'tried';
  let stop = new AbortController();
  /** @type {any} */
  let outcome = null;
  const show = () => render(box, h('form', {onsubmit: async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    stop = new AbortController();
    const given = new FormData(/** @type {HTMLFormElement} */ (event.currentTarget));
    outcome = h('p', {role: 'status'}, 'Asking… ', h('button', {type: 'button', onclick: () => stop.abort()}, 'Stop'));
    show();
    outcome = await call(operation, parameters, media, given, stop.signal).catch((error) => h('p', {role: 'alert'}, String(error)));
    show();
  }},
  parameters.map((/** @type {Json} */ {name, in: where, required, schema}) => h('label', {key: `${where} ${name}`},
    `${name} (${where}${required ? '' : ', optional'})`,
    h('input', {name: `${where} ${name}`, required: !!required, placeholder: String(resolve(api, schema)?.example ?? '')}))),
  media && inputs(api, media, body),
  h('button', null, `${operation.method} ${operation.path}`)),
  h('div', {class: 'outcome'}, outcome));
  show();
}

/** What a body is made of. @param {Json} api @param {string} media @param {any} body */
function inputs(api, media, body) {
  const schema = resolve(api, body.schema ?? {});
  if (media === 'multipart/form-data') {
    return Object.entries(schema.properties ?? {}).map(([name, member]) => {
      const {format} = resolve(api, member);
      return h('label', {key: `body ${name}`}, `${name}${schema.required?.includes(name) ? '' : ' (optional)'}`,
        h('input', {name: `body ${name}`, type: format === 'binary' ? 'file' : 'text'}));
    });
  }
  if (media === 'application/json') {
    return h('label', null, 'body (JSON)', h('textarea', {name: 'json', rows: 6,
      ref: (/** @type {HTMLTextAreaElement} */ area) => { area.value = body.example ? JSON.stringify(body.example, null, 2) : ''; }}));
  }
  return h('label', null, `body (${media})`, h('input', {name: 'file', type: 'file'}));
}

/**
 * @param {Json} operation @param {Json[]} parameters @param {string | undefined} media @param {FormData} given
 * @param {AbortSignal} signal
 */
async function call(operation, parameters, media, given, signal) {
  let path = operation.path;
  const query = new URLSearchParams();
  const headers = new Headers(credentialHeaders());
  for (const {name, in: where} of parameters) {
    const value = String(given.get(`${where} ${name}`) ?? '').trim();
    if (!value) continue;
    if (where === 'path') path = path.replace(`{${name}}`, encodeURIComponent(value));
    else if (where === 'query') query.append(name, value);
    else headers.set(name, value);
  }
  const body = bodyOf(media, given);
  if (body && media !== 'multipart/form-data') headers.set('Content-Type', String(media));
  const url = query.size ? `${path}?${query}` : path;
  const reply = await fetch(url, {method: operation.method, headers, body, signal, credentials: 'omit', cache: 'no-store'});
  return [
    h('p', {class: 'status', role: 'status'}, `${reply.status} ${reply.statusText}`),
    h('pre', {key: 'headers', tabIndex: 0}, [...reply.headers].map(([name, value]) => `${name}: ${value}`).join('\n')),
    await shown(reply, signal),
  ];
}

/** @param {string | undefined} media @param {FormData} given @returns {BodyInit | undefined} */
function bodyOf(media, given) {
  if (media === 'application/json') return String(given.get('json') ?? '').trim() || undefined;
  if (media !== 'multipart/form-data') return /** @type {File | null} */ (given.get('file')) ?? undefined;
  const form = new FormData();
  for (const [name, value] of given) {
    const isEmpty = typeof value === 'string' ? !value : !value.size;
    if (name.startsWith('body ') && !isEmpty) form.append(name.slice(5), value);
  }
  return form;
}

/** What a reply holds, as it can be shown. @param {Response} reply @param {AbortSignal} signal */
async function shown(reply, signal) {
  const media = reply.headers.get('Content-Type') ?? '';
  if (media.startsWith('image/')) {
    const url = URL.createObjectURL(await reply.blob());
    return h('img', {src: url, alt: 'What was answered', key: url});
  }
  if (media.startsWith('text/event-stream')) return h('pre', null, await untilStopped(reply, signal));
  const text = await reply.text();
  if (!media.includes('json')) return h('pre', {tabIndex: 0}, text);
  return h('pre', {tabIndex: 0}, JSON.stringify(JSON.parse(text), null, 2));
}

/** What has come until the reader stops it. @param {Response} reply @param {AbortSignal} signal */
async function untilStopped(reply, signal) {
  let text = '';
  const reader = /** @type {ReadableStream<BufferSource>} */ (reply.body).pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) text += piece.value;
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  return text;
}

showCredential();
for (const place of /** @type {NodeListOf<HTMLDetailsElement>} */ (document.querySelectorAll('details.try'))) {
  place.addEventListener('toggle', () => offer(place, place.dataset.operation ?? ''), {once: true});
}
