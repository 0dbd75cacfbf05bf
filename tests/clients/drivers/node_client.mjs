// SPDX-License-Identifier: Apache-2.0
/** Drives `@glimpse/client` through the table of behaviour: a task comes as JSON, what each step came to leaves so. */

import {mkdir, open, readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {argv, stdin, stdout} from 'node:process';

const {Glimpse, GlimpseError, MemoryStore} = await import(argv[2]);

const task = JSON.parse(await new Response(stdin).text());
const store = new MemoryStore();
if (task.who) await store.set('credentials', task.who);
const client = new Glimpse({url: task.url, store});

const steps = {
  register: (given) => client.register(given),
  sign_up: (given) => client.signUp(given),
  me: async () => (await client.call('GET', '/v1/me')).nickname,
  send_text: ({to, text}) => client.sendText({receiver_uid: to}, text),

  async send_image({picture, to, idempotency_key: key}) {
    return client.sendImage({receiver_uid: to}, new Blob([await readFile(picture)]), {key});
  },

  async receive({message_key: key, folder = task.folder}) {
    const image = await client.openImage(key, async (blob) => {
      await mkdir(folder, {recursive: true});
      const file = await open(join(folder, `${key}.${blob.type.replace('image/jpeg', 'jpg')}`), 'w');
      await file.writeFile(new Uint8Array(await blob.arrayBuffer()));
      await file.sync();
      await file.close();
    });
    return image.size;
  },

  arrivals: async ({count}) => (await client.list('/v1/inbox')).slice(0, count).map((image) => image.message_key),

  async events({after, count}) {
    const ids = [];
    const enough = new AbortController();
    await store.set('cursor', after);
    const expired = () => { throw new GlimpseError({status: 410, code: 'cursor_expired'}); };
    const handle = (event) => { if (ids.push(event.id) === count) enough.abort(); };
    await client.events.follow({handle, restart: expired, signal: enough.signal});
    return ids;
  },

  async forget_access_token() {
    const known = await client.session.credentials();
    await client.session.keep({...known, tokens: {...known.tokens, access_token: 'spent'}});
  },
};

const found = [];
for (const {do: name, given} of task.steps) found.push(await steps[name](given).then(done, failed));
stdout.write(`${JSON.stringify(found)}\n`);

function done(ok) {
  return {ok: ok ?? null};
}

function failed(error) {
  if (!(error instanceof GlimpseError)) return {error: error.syscall ? 'disk' : String(error.stack)};
  const code = error.code === 'no_answer' ? 'unreachable' : error.code;
  return {error: code, status: error.status, retry_after: error.retryAfter};
}
