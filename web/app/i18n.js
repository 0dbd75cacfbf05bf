// SPDX-License-Identifier: Apache-2.0
/** The words in the reader's language, and dates and sizes as it writes them. */

import {en} from '../words/en.js';
import {zh} from '../words/zh.js';
import {database} from './server.js';
import {changed} from './state.js';

const LANGUAGES = {en, zh};
/** @typedef {keyof typeof LANGUAGES} Language */

/** The words of the language in force. */
export let t = en;
/** @type {Language} */
export let language = 'en';

/** What was chosen before, or what the browser prefers. */
export async function chooseLanguage() {
  const kept = await database.get('language').catch(() => undefined);
  use(kept ?? (navigator.languages.find((each) => /^(zh|en)/.test(each))?.startsWith('zh') ? 'zh' : 'en'));
}

/** @param {Language} chosen */
export async function switchLanguage(chosen) {
  await database.set('language', chosen);
  use(chosen);
}

/** @param {Language} chosen */
function use(chosen) {
  language = chosen;
  t = LANGUAGES[chosen];
  document.documentElement.lang = locale();
  changed();
}

/** For `Intl`: the browser's own variant of the language where it has one. */
export function locale() {
  return navigator.languages.find((each) => each.startsWith(language)) ?? {en: 'en', zh: 'zh-CN'}[language];
}

/** A time of day. @param {number} ms */
export function timeOf(ms) {
  return new Intl.DateTimeFormat(locale(), {hour: 'numeric', minute: '2-digit'}).format(ms);
}

/** A day, as people say it. @param {number} ms */
export function dayOf(ms) {
  const days = Math.round((startOfDay(ms) - startOfDay(Date.now())) / 86_400_000);
  if (days > -2) return new Intl.RelativeTimeFormat(locale(), {numeric: 'auto'}).format(days, 'day');
  const sameYear = new Date(ms).getFullYear() === new Date().getFullYear();
  return new Intl.DateTimeFormat(locale(), {month: 'short', day: 'numeric', year: sameYear ? undefined : 'numeric'})
    .format(ms);
}

/** When something was last said: the time today, else the day. @param {number} ms */
export function momentOf(ms) {
  return startOfDay(ms) === startOfDay(Date.now()) ? timeOf(ms) : dayOf(ms);
}

/** A length of time. @param {number} seconds */
export function durationOf(seconds) {
  const [unit, length] = seconds >= 86_400 ? ['day', 86_400] : seconds >= 3600 ? ['hour', 3600] : ['minute', 60];
  return new Intl.NumberFormat(locale(), {style: 'unit', unit: String(unit), unitDisplay: 'long'})
    .format(Math.round(seconds / Number(length)));
}

/** @param {number} ms */
function startOfDay(ms) {
  return new Date(ms).setHours(0, 0, 0, 0);
}
