// SPDX-License-Identifier: Apache-2.0
/** The one client of this page, and what it keeps in the browser. */

import {Glimpse, IndexedDbStore} from '../../clients/js/src/index.js';

export const database = new IndexedDbStore('glimpse');
export const server = new Glimpse({store: database});
