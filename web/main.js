// SPDX-License-Identifier: Apache-2.0
/** Where the app begins. */

import {followLook} from './app/look.js';
import {chooseLanguage} from './app/i18n.js';
import {renew} from './app/notifications.js';
import {registerWorker} from './app/worker.js';
import {begin} from './app/sync.js';
import './screens/shell.js';

await Promise.all([chooseLanguage(), followLook()]);
registerWorker();
await begin();
renew().catch(() => {});
