// SPDX-License-Identifier: Apache-2.0
/**
 * The blurred sign of a picture in some 25 bytes: a ThumbHash (Evan Wallace, evanw.github.io/thumbhash).
 *
 * Brightness L and two differences of colour, P (yellow - blue) and Q (red - green), each as a few terms of a cosine
 * transform, of four bits each.
 */

const TERMS = 7;
const TERMS_WITH_ALPHA = 5;
const COLOUR_TERMS = 3;
/** Larger pictures look the same afterwards. */
const SIDE = 64;
const SHOWN_SIDE = 32;

/** Which terms are kept, the mean first: those below the diagonal. @param {number} nx @param {number} ny */
function terms(nx, ny) {
  const found = [];
  for (let cy = 0; cy < ny; cy++) {
    for (let cx = 0; cx * ny < nx * (ny - cy); cx++) found.push([cx, cy]);
  }
  return found;
}

/** @param {number} length @param {number} frequency @param {number} at */
const wave = (length, frequency, at) => Math.cos(Math.PI / length * frequency * (at + 0.5));

/**
 * @param {CanvasImageSource} image
 * @param {number} width
 * @param {number} height
 * @returns {string} base64
 */
export function placeholderOf(image, width, height) {
  const scale = Math.min(1, SIDE / Math.max(width, height));
  const w = Math.max(1, Math.round(width * scale));
  const h = Math.max(1, Math.round(height * scale));
  const [l, p, q] = channels(image, w, h);
  const longest = Math.max(w, h);
  const lx = Math.max(1, Math.round(TERMS * w / longest));
  const ly = Math.max(1, Math.round(TERMS * h / longest));
  const transformed = [transform(l, w, h, Math.max(3, lx), Math.max(3, ly)),
    ...[p, q].map((channel) => transform(channel, w, h, COLOUR_TERMS, COLOUR_TERMS))];
  const [inL, inP, inQ] = transformed;
  const wide = w > h;
  const first = Math.round(63 * inL.mean) | Math.round(31.5 + 31.5 * inP.mean) << 6
    | Math.round(31.5 + 31.5 * inQ.mean) << 12 | Math.round(31 * inL.scale) << 18;
  const second = (wide ? ly : lx) | Math.round(63 * inP.scale) << 3 | Math.round(63 * inQ.scale) << 9 | Number(wide) << 15;
  const nibbles = transformed.flatMap(({parts}) => parts.map((part) => Math.round(15 * part)));
  const bytes = [first & 255, first >> 8 & 255, first >> 16, second & 255, second >> 8];
  for (let at = 0; at < nibbles.length; at += 2) bytes.push(nibbles[at] | (nibbles[at + 1] ?? 0) << 4);
  return btoa(String.fromCharCode(...bytes));
}

/** @param {CanvasImageSource} image @param {number} w @param {number} h */
function channels(image, w, h) {
  const canvas = Object.assign(document.createElement('canvas'), {width: w, height: h});
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  context.fillStyle = '#fff';
  context.fillRect(0, 0, w, h);
  context.drawImage(image, 0, 0, w, h);
  const {data} = context.getImageData(0, 0, w, h);
  const found = [0, 1, 2].map(() => new Float32Array(w * h));
  for (let at = 0; at < w * h; at++) {
    const [r, g, b] = [0, 1, 2].map((each) => data[4 * at + each] / 255);
    found[0][at] = (r + g + b) / 3;
    found[1][at] = (r + g) / 2 - b;
    found[2][at] = r - g;
  }
  return found;
}

/** @param {Float32Array} channel @param {number} w @param {number} h @param {number} nx @param {number} ny */
function transform(channel, w, h, nx, ny) {
  const [mean, ...rest] = terms(nx, ny).map(([cx, cy]) => {
    let sum = 0;
    for (let y = 0; y < h; y++) {
      for (let x = 0; x < w; x++) sum += channel[x + y * w] * wave(w, cx, x) * wave(h, cy, y);
    }
    return sum / (w * h);
  });
  const scale = Math.max(0, ...rest.map(Math.abs));
  return {mean, scale, parts: rest.map((each) => (scale ? 0.5 + each / scale / 2 : 0.5))};
}

/** @type {Map<string, string | undefined>} */
const drawn = new Map();

/**
 * @param {string | null | undefined} placeholder base64
 * @returns {string | undefined} an address that shows it
 */
export function placeholderUrl(placeholder) {
  if (!placeholder) return undefined;
  if (!drawn.has(placeholder)) drawn.set(placeholder, draw(placeholder));
  return drawn.get(placeholder);
}

/** @param {string} placeholder */
function draw(placeholder) {
  try {
    const bytes = Uint8Array.from(atob(placeholder), (letter) => letter.charCodeAt(0));
    const {w, h, pixels} = pixelsOf(bytes);
    const canvas = Object.assign(document.createElement('canvas'), {width: w, height: h});
    canvas.getContext('2d')?.putImageData(new ImageData(pixels, w, h), 0, 0);
    return canvas.toDataURL();
  } catch {
    return undefined; // what others sent need not be one
  }
}

/** @param {Uint8Array} bytes */
function pixelsOf(bytes) {
  const first = bytes[0] | bytes[1] << 8 | bytes[2] << 16;
  const second = bytes[3] | bytes[4] << 8;
  const alpha = first >> 23 & 1;
  const most = alpha ? TERMS_WITH_ALPHA : TERMS;
  const wide = second >> 15;
  const lx = Math.max(3, wide ? most : second & 7);
  const ly = Math.max(3, wide ? second & 7 : most);
  let nibble = 2 * (alpha ? 6 : 5);
  /** @param {number} nx @param {number} ny @param {number} mean @param {number} scale */
  const read = (nx, ny, mean, scale) => terms(nx, ny).map(([cx, cy], at) => {
    if (at === 0) return {cx, cy, value: mean};
    const four = bytes[nibble >> 1] >> (nibble++ & 1) * 4 & 15;
    return {cx, cy, value: (four / 7.5 - 1) * scale * 2};
  });
  const inL = read(lx, ly, (first & 63) / 63, (first >> 18 & 31) / 31);
  const inP = read(COLOUR_TERMS, COLOUR_TERMS, (first >> 6 & 63) / 31.5 - 1, (second >> 3 & 63) / 63 * 1.25);
  const inQ = read(COLOUR_TERMS, COLOUR_TERMS, (first >> 12 & 63) / 31.5 - 1, (second >> 9 & 63) / 63 * 1.25);
  const w = lx > ly ? SHOWN_SIDE : Math.round(SHOWN_SIDE * lx / ly);
  const h = lx > ly ? Math.round(SHOWN_SIDE * ly / lx) : SHOWN_SIDE;
  const pixels = new Uint8ClampedArray(4 * w * h);
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      const [l, p, q] = [inL, inP, inQ].map((channel) =>
        channel.reduce((sum, {cx, cy, value}) => sum + value * wave(w, cx, x) * wave(h, cy, y), 0));
      const b = l - 2 / 3 * p;
      const r = (3 * l - b + q) / 2;
      pixels.set([255 * r, 255 * (r - q), 255 * b, 255], 4 * (x + y * w));
    }
  }
  return {w, h, pixels};
}
