// SPDX-License-Identifier: Apache-2.0
/** Where credentials and cursors are kept between two runs. */

/**
 * @typedef {object} Store
 * @property {(key: string) => Promise<any>} get `undefined` where there is nothing
 * @property {(key: string, value: any) => Promise<void>} set `undefined` removes
 */

/** Forgets everything at the end of the process. @implements {Store} */
export class MemoryStore {
  /** @type {Map<string, any>} */
  #values = new Map();

  /** @param {string} key */
  async get(key) {
    return structuredClone(this.#values.get(key));
  }

  /** @param {string} key @param {any} value */
  async set(key, value) {
    if (value === undefined) this.#values.delete(key);
    else this.#values.set(key, structuredClone(value));
  }
}

/** One object store of a browser's IndexedDB, private to its origin. @implements {Store} */
export class IndexedDbStore {
  /** @type {Promise<IDBDatabase> | undefined} */
  #opened;

  /** @param {string} [name] of the database */
  constructor(name = 'glimpse') {
    this.name = name;
  }

  /** @param {string} key */
  async get(key) {
    return done((await this.#values('readonly')).get(key));
  }

  /** @param {string} key @param {any} value */
  async set(key, value) {
    const values = await this.#values('readwrite');
    await (value === undefined ? done(values.delete(key)) : done(values.put(value, key)));
  }

  /**
   * What is kept under keys that begin like this, in their order.
   * @param {string} prefix
   * @returns {Promise<[string, any][]>}
   */
  async entries(prefix) {
    const range = IDBKeyRange.bound(prefix, prefix + '\uffff');
    const values = await this.#values('readonly');
    const [keys, found] = await Promise.all([done(values.getAllKeys(range)), done(values.getAll(range))]);
    return keys.map((key, at) => [String(key), found[at]]);
  }

  /** Forget everything. */
  async clear() {
    await done((await this.#values('readwrite')).clear());
  }

  /** @param {IDBTransactionMode} mode */
  async #values(mode) {
    this.#opened ??= this.#open();
    return (await this.#opened).transaction('values', mode).objectStore('values');
  }

  #open() {
    const opening = indexedDB.open(this.name, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore('values');
    return done(opening);
  }
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
