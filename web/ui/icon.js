// SPDX-License-Identifier: Apache-2.0
/** Icons, drawn on a grid of 24 with lines of 1.75. */

import {h} from './render.js';

const PATHS = {
  chats: 'M4 5.5h16v11H10l-4.5 3.5v-3.5H4z',
  people: 'M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20c.4-3.9 3-6 6.5-6s6.1 2.1 6.5 6M16 4.4a3.5 3.5 0 0 1 0 6.3M17.5 14.3c2.3.7 3.7 2.6 4 5.7',
  me: 'M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20.5c.7-4 3.5-6 7.5-6s6.8 2 7.5 6',
  back: 'M15 5l-7 7 7 7',
  send: 'M4 12l16-7.5-5 15.5-3.5-6zM11.5 14L20 4.5',
  picture: 'M3.5 5h17v14h-17zM3.5 16l5-5 4 4 2.5-2.5 5.5 5M15.5 9.5h.01',
  camera: 'M3.5 7.5h4L9 5h6l1.5 2.5h4V19h-17zM12 16.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7z',
  eye: 'M2.5 12c2.5-4.5 5.7-6.5 9.5-6.5s7 2 9.5 6.5c-2.5 4.5-5.7 6.5-9.5 6.5s-7-2-9.5-6.5zM12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6z',
  gone: 'M4 4l16 16M9.5 5.8c.8-.2 1.6-.3 2.5-.3 3.8 0 7 2 9.5 6.5-.8 1.5-1.8 2.7-2.8 3.7M6.2 7.3C4.8 8.4 3.6 10 2.5 12c2.5 4.5 5.7 6.5 9.5 6.5 1.7 0 3.3-.4 4.7-1.2',
  timer: 'M12 21a7.5 7.5 0 1 0 0-15 7.5 7.5 0 0 0 0 15zM12 9.5v4l2.5 1.5M9.5 3h5',
  more: 'M12 5.5h.01M12 12h.01M12 18.5h.01',
  plus: 'M12 5v14M5 12h14',
  close: 'M6 6l12 12M18 6L6 18',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  checks: 'M2.5 12.5L7 17l9-9.5M11.5 16l1 1 9-9.5',
  clock: 'M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17zM12 7.5V12l3 2',
  alert: 'M12 3.5l9.5 16.5h-19zM12 10v4.5M12 17.2h.01',
  save: 'M12 4v11M7 10.5l5 5 5-5M4.5 20h15',
  link: 'M10 14a4 4 0 0 0 5.7 0l3.6-3.6a4 4 0 0 0-5.7-5.7L12.5 6M14 10a4 4 0 0 0-5.7 0l-3.6 3.6a4 4 0 0 0 5.7 5.7l1.1-1.3',
  group: 'M12 10.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM6 18.5c.4-3.3 2.7-5 6-5s5.6 1.7 6 5M4.8 11.5a2.3 2.3 0 1 1 .9-4.4M2 16.5c.2-1.6.9-2.6 2-3.2M19.2 11.5a2.3 2.3 0 1 0-.9-4.4M22 16.5c-.2-1.6-.9-2.6-2-3.2',
  bell: 'M6 16.5v-6a6 6 0 0 1 12 0v6l1.5 1.5h-15zM10 20.5h4',
  mute: 'M4 4l16 16M8 6a6 6 0 0 1 10 4.5V14M18 18H4.5L6 16.5v-6c0-.7.1-1.3.3-1.9M10 20.5h4',
};
/** @typedef {keyof typeof PATHS} IconName */

/** An icon beside words; by itself it says nothing to a screen reader. @param {IconName} name */
export function icon(name) {
  return h('svg', {class: `icon icon-${name}`, viewBox: '0 0 24 24', 'aria-hidden': 'true'},
    h('path', {d: PATHS[name]}));
}

/** The mark of the app: an eye that is about to close. */
export function mark() {
  return h('svg', {class: 'mark', viewBox: '0 0 48 48', 'aria-hidden': 'true'},
    h('circle', {class: 'mark-ground', cx: '24', cy: '24', r: '24'}),
    h('path', {class: 'mark-lid', d: 'M7 25c4.5-8.7 10.2-13 17-13s12.5 4.3 17 13c-4.5 8.7-10.2 13-17 13S11.5 33.7 7 25z'}),
    h('circle', {class: 'mark-iris', cx: '24', cy: '25', r: '8'}),
    h('circle', {class: 'mark-glint', cx: '27', cy: '22', r: '2.5'}));
}
