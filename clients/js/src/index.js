// SPDX-License-Identifier: Apache-2.0
/** Client of a Glimpse server, for browsers and Node 20 or newer. */

export {Glimpse} from './client.js';
export {GlimpseError, isTemporary} from './errors.js';
export {IndexedDbStore, MemoryStore} from './stores.js';
export {newKey} from './keys.js';
