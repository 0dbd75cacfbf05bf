/** Where credentials and cursors are kept between two runs. */
/**
 * @typedef {object} Store
 * @property {(key: string) => Promise<any>} get `undefined` where there is nothing
 * @property {(key: string, value: any) => Promise<void>} set `undefined` removes
 */
/** Forgets everything at the end of the process. @implements {Store} */
export class MemoryStore implements Store {
    /** @param {string} key */
    get(key: string): Promise<any>;
    /** @param {string} key @param {any} value */
    set(key: string, value: any): Promise<void>;
    #private;
}
/** One object store of a browser's IndexedDB, private to its origin. @implements {Store} */
export class IndexedDbStore implements Store {
    /** @param {string} [name] of the database */
    constructor(name?: string);
    name: string;
    /** @param {string} key */
    get(key: string): Promise<any>;
    /** @param {string} key @param {any} value */
    set(key: string, value: any): Promise<void>;
    /**
     * What is kept under keys that begin like this, in their order.
     * @param {string} prefix
     * @returns {Promise<[string, any][]>}
     */
    entries(prefix: string): Promise<[string, any][]>;
    /** Forget everything. */
    clear(): Promise<void>;
    #private;
}
export type Store = {
    /**
     * `undefined` where there is nothing
     */
    get: (key: string) => Promise<any>;
    /**
     * `undefined` removes
     */
    set: (key: string, value: any) => Promise<void>;
};
