// SPDX-License-Identifier: Apache-2.0
/** Live charts of what `/metrics` says. */

import {h} from '../ui/render.js';
import {levels, look, means, rates, watch} from './numbers.js';
import {bytes} from './parts.js';

const WIDTH = 150;
const HEIGHT = 40;
/** Looks that are as wide as the chart: a minute's, until there are more. */
const LEAST = 30;
const rate = (/** @type {number} */ value) => `${value < 10 ? value.toFixed(1) : Math.round(value)}/s`;
const count = (/** @type {number} */ value) => String(Math.round(value));
const milliseconds = (/** @type {number} */ value) => `${(value * 1000).toFixed(1)} ms`;

/** @type {[string, () => number[], (value: number) => string][]} */
const CHARTS = [
  ['Requests', () => rates('glimpse_http_requests_total'), rate],
  ['Mean time of a request', () => means('glimpse_http_request_seconds'), milliseconds],
  ['Connections', () => levels('glimpse_http_connections'), count],
  ['Images sent', () => rates('glimpse_images_sent_total'), rate],
  ['Images consumed', () => rates('glimpse_images_consumed_total'), rate],
  ['Stored images', () => levels('glimpse_stored_bytes'), bytes],
  ['Notifications that wait', () => levels('glimpse_outbox_due'), count],
  ['Pushes delivered', () => rates('glimpse_push_settled_total', {state: 'delivered'}), rate],
  ['Pushes given up', () => rates('glimpse_push_settled_total', {state: 'dead'}), rate],
  ['Commits', () => rates('glimpse_commit_seconds_count'), rate],
  ['Mean time of a commit', () => means('glimpse_commit_seconds'), milliseconds],
  ['Processor', () => rates('process_cpu_seconds_total'), (value) => `${Math.round(100 * value)} %`],
  ['Memory', () => levels('process_resident_memory_bytes'), bytes],
];

/** @param {URLSearchParams} _given @param {() => void} again @param {() => boolean} isShown */
export async function begin(_given, again, isShown) {
  await look();
  setTimeout(() => watch(isShown, again));
}

export function view() {
  return [
    h('h2', null, 'Charts'),
    h('p', {class: 'hint'}, 'Of the process that serves this page, every two seconds while you look, five minutes at most.'),
    h('div', {class: 'charts'}, CHARTS.map(([name, values, words]) => chart(name, values(), words))),
  ];
}

/** @param {string} name @param {number[]} values @param {(value: number) => string} words */
function chart(name, values, words) {
  const now = values.length ? words(values[values.length - 1]) : '…';
  const most = Math.max(...values, 0);
  const step = WIDTH / Math.max(LEAST, values.length - 1);
  const left = WIDTH - (values.length - 1) * step;
  const points = values.map((value, at) => `${(left + at * step).toFixed(2)},${(HEIGHT - (most ? value / most : 0) * (HEIGHT - 2) - 1).toFixed(2)}`);
  return h('figure', {class: 'tile chart', key: name, 'aria-label': `${name}: ${now}`},
    h('div', {class: 'words'}, h('small', null, name), h('small', null, `at most ${words(most)}`)),
    h('strong', null, now),
    h('svg', {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', 'aria-hidden': 'true'},
      points.length > 1 && h('polygon', {class: 'area', points: `${left.toFixed(2)},${HEIGHT} ${points.join(' ')} ${WIDTH},${HEIGHT}`}),
      points.length > 1 && h('polyline', {class: 'line', points: points.join(' ')})));
}
