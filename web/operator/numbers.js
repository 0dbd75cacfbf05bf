// SPDX-License-Identifier: Apache-2.0
/** What `/metrics` says, read; and how it went since this page looks. */

import {call} from './asking.js';

const KEPT = 150;
const EVERY_MS = 2000;

/** @typedef {{name: string, labels: Record<string, string>, value: number}} Sample */
/** @typedef {{at: number, samples: Sample[]}} Scrape */

/** The newest last. @type {Scrape[]} */
export const scrapes = [];
let looking = false;

/** Prometheus's text format, comments left out. @param {string} text @returns {Sample[]} */
export function parse(text) {
  return text.split('\n').flatMap((line) => {
    const parts = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!parts) return [];
    const labels = [...(parts[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, name, value]) => [name, value]);
    return [{name: parts[1], labels: Object.fromEntries(labels), value: Number(parts[3])}];
  });
}

/** Look now. */
export async function look() {
  const text = await (await call('GET', 'metrics')).text();
  scrapes.push({at: performance.now(), samples: parse(text)});
  if (scrapes.length > KEPT) scrapes.shift();
}

/** Look every two seconds while `isWanted`; `told` is called after each look. @param {() => boolean} isWanted @param {() => void} told */
export async function watch(isWanted, told) {
  if (looking) return;
  looking = true;
  try {
    while (isWanted()) {
      if (document.visibilityState === 'visible') {
        await look().catch(() => {});
        told();
      }
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
  } finally {
    looking = false;
  }
}

/** The sum of a metric's samples that have these labels. @param {Scrape} scrape @param {string} name @param {Record<string, string>} [labels] */
export function sum(scrape, name, labels = {}) {
  return scrape.samples.filter((each) => each.name === name
    && Object.entries(labels).every(([label, value]) => each.labels[label] === value))
    .reduce((total, each) => total + (Number.isNaN(each.value) ? 0 : each.value), 0);
}

/** A gauge at each look. @param {string} name @param {Record<string, string>} [labels] */
export function levels(name, labels) {
  return scrapes.map((scrape) => sum(scrape, name, labels));
}

/** A counter's growth a second, from look to look. @param {string} name @param {Record<string, string>} [labels] */
export function rates(name, labels) {
  return scrapes.slice(1).map((scrape, at) => {
    const before = scrapes[at];
    return Math.max(0, sum(scrape, name, labels) - sum(before, name, labels)) / ((scrape.at - before.at) / 1000);
  });
}

/** A histogram's mean, from look to look; 0 where nothing came. @param {string} name */
export function means(name) {
  return scrapes.slice(1).map((scrape, at) => {
    const before = scrapes[at];
    const count = sum(scrape, `${name}_count`) - sum(before, `${name}_count`);
    return count > 0 ? (sum(scrape, `${name}_sum`) - sum(before, `${name}_sum`)) / count : 0;
  });
}
