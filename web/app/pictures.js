// SPDX-License-Identifier: Apache-2.0
/** Pictures before they leave: a small preview of each, made here. */

import {placeholderOf} from './placeholder.js';

const PREVIEW_SIDE = 512;
const PREVIEW_BYTES = 64 * 1024;

/**
 * @typedef {object} Picked
 * @property {File} file
 * @property {Blob} [thumbnail]
 * @property {string} [placeholder]
 * @property {string} [url] shows the preview
 * @property {number} [width]
 * @property {number} [height]
 */

/**
 * A chosen file with its preview; without one where the browser cannot show it. It is copied, since the file may change or
 * go before there is a line. Raises DOMException for one that cannot be read.
 * @param {File} chosen
 * @returns {Promise<Picked>}
 */
export async function pick(chosen) {
  const file = new File([await chosen.arrayBuffer()], chosen.name, {type: chosen.type});
  try {
    const bitmap = await createImageBitmap(file);
    const {width, height} = bitmap;
    const thumbnail = await previewOf(bitmap);
    const placeholder = placeholderOf(bitmap, width, height);
    bitmap.close();
    return {file, thumbnail, placeholder, url: thumbnail && URL.createObjectURL(thumbnail), width, height};
  } catch {
    return {file};
  }
}

/** @param {ImageBitmap} bitmap */
async function previewOf(bitmap) {
  for (const [side, quality] of [[PREVIEW_SIDE, 0.75], [PREVIEW_SIDE, 0.5], [PREVIEW_SIDE / 2, 0.5]]) {
    const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
    const canvas = document.createElement('canvas');
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    canvas.getContext('2d')?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, 'image/jpeg', quality));
    if (blob && blob.size <= PREVIEW_BYTES) return blob;
  }
  return undefined;
}

/** The pictures among what was dropped or pasted. @param {DataTransfer | null} data */
export function imagesOf(data) {
  return [...data?.files ?? []].filter((file) => file.type.startsWith('image/'));
}
