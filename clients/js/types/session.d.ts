/**
 * Run as the only one of all tabs, where the browser has locks (not on plain http); else at once. Without a lock two
 * tabs may refresh at once: the server takes the repeat within a minute as of a lost reply.
 * @template T
 * @param {string} name
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export function alone<T>(name: string, work: () => Promise<T>): Promise<T>;
export class Session {
    /**
     * @param {import('./http.js').Http} http
     * @param {import('./stores.js').Store} store
     */
    constructor(http: import("./http.js").Http, store: import("./stores.js").Store);
    http: import("./http.js").Http;
    store: import("./stores.js").Store;
    /** @type {Promise<string> | undefined} */
    renewing: Promise<string> | undefined;
    /** @returns {Promise<Credentials | undefined>} */
    credentials(): Promise<Credentials | undefined>;
    /** @param {Credentials | undefined} credentials */
    keep(credentials: Credentials | undefined): Promise<void>;
    /** The Authorization header that proves the key itself, where there is one. */
    basic(): Promise<string | undefined>;
    /**
     * An access token that is good for a while. Raises GlimpseError `unauthenticated` when nobody is signed in any more.
     * @param {string} [refused] a token that the server has refused, and that is not to be given again
     */
    accessToken(refused?: string): Promise<string>;
    #private;
}
export type Credentials = {
    uid: number;
    phone_hash?: string | undefined;
    ukey?: string | undefined;
    tokens?: Tokens | undefined;
};
export type Tokens = {
    access_token: string;
    expires_at: number;
    refresh_token: string;
};
