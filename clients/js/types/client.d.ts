export class Glimpse {
    /**
     * @param {{url?: string, store?: import('./stores.js').Store, fetch?: typeof fetch}} [how] `url` of the server:
     *   where none is given, the page's own, or what GLIMPSE_URL says; `store` keeps the credentials
     */
    constructor({ url, store, fetch }?: {
        url?: string;
        store?: import("./stores.js").Store;
        fetch?: typeof globalThis.fetch;
    });
    http: Http;
    session: Session;
    events: Events;
    /**
     * Call an operation as the person who is signed in; its JSON, if it answers any. Raises GlimpseError.
     * @param {string} method
     * @param {string} path
     * @param {{json?: unknown, key?: string, signal?: AbortSignal, headers?: Record<string, string>}} [how]
     * @returns {Promise<any>}
     */
    call(method: string, path: string, how?: {
        json?: unknown;
        key?: string;
        signal?: AbortSignal;
        headers?: Record<string, string>;
    }): Promise<any>;
    /**
     * As `call`, with the whole reply. A token that has ended is renewed, and the request sent once more.
     * @param {string} method
     * @param {string} path
     * @param {{json?: unknown, body?: Blob | FormData, key?: string, signal?: AbortSignal, headers?: Record<string, string>,
     *   once?: boolean}} [how]
     */
    request(method: string, path: string, { json, body, key, signal, headers, once }?: {
        json?: unknown;
        body?: Blob | FormData;
        key?: string;
        signal?: AbortSignal;
        headers?: Record<string, string>;
        once?: boolean;
    }): Promise<Response>;
    /**
     * Register a phone: an account at once, or an activation that waits for a code.
     * @param {{region_num?: string, phone_num: string, nickname: string, device_type?: string, terms_version?: string}}
     *   who
     * @returns {Promise<Account | Activation>}
     */
    register(who: {
        region_num?: string;
        phone_num: string;
        nickname: string;
        device_type?: string;
        terms_version?: string;
    }): Promise<Account | Activation>;
    /** @param {string} activationId @param {string} code @returns {Promise<Account & {retrieved: boolean}>} */
    activate(activationId: string, code: string): Promise<Account & {
        retrieved: boolean;
    }>;
    /** @param {string} activationId @returns {Promise<Activation>} */
    resendCode(activationId: string): Promise<Activation>;
    /** @param {{email?: string, login?: string, password: string, nickname?: string}} who */
    signUp(who: {
        email?: string;
        login?: string;
        password: string;
        nickname?: string;
    }): Promise<void>;
    /** @param {{email?: string, login?: string, password: string}} who */
    logIn(who: {
        email?: string;
        login?: string;
        password: string;
    }): Promise<void>;
    /**
     * An email or login for an account with a phone, for `logIn` on other devices. Only its ukey may do so.
     * @param {{email?: string, login?: string, password: string}} who
     */
    addPassword(who: {
        email?: string;
        login?: string;
        password: string;
    }): Promise<void>;
    /** Ask for another ukey; the other sessions and devices may end with it. @param {boolean} endOthers */
    renewKey(endOthers: boolean): Promise<void>;
    /** End this session, and forget who it was. */
    signOut(): Promise<void>;
    /**
     * Send a picture. With the same `key` a repeat creates nothing, so it may be sent again after a lost reply; a large
     * one goes on where it stopped.
     * @param {Receiver} receiver
     * @param {Blob} image
     * @param {{key?: string, caption?: string, ttl_seconds?: number, thumbnail?: Blob, placeholder?: string,
     *   signal?: AbortSignal, onprogress?: (part: number) => void}} [how]
     * @returns {Promise<SentImage>}
     */
    sendImage(receiver: Receiver, image: Blob, { key, caption, ttl_seconds, thumbnail, placeholder, ...how }?: {
        key?: string;
        caption?: string;
        ttl_seconds?: number;
        thumbnail?: Blob;
        placeholder?: string;
        signal?: AbortSignal;
        onprogress?: (part: number) => void;
    }): Promise<SentImage>;
    /**
     * Fetch a picture, make it safe by `keep`, and only then acknowledge it: the server deletes it then. A transfer that
     * breaks goes on where it stopped.
     * @param {string} messageKey
     * @param {(image: Blob) => Promise<void> | void} keep
     * @returns {Promise<Blob>}
     */
    openImage(messageKey: string, keep?: (image: Blob) => Promise<void> | void): Promise<Blob>;
    /** Fetch a picture, which stays on the server until it is acknowledged. @param {string} messageKey */
    fetchImage(messageKey: string): Promise<Blob>;
    /** Say that a picture is safe here: the server deletes it. @param {string} messageKey */
    acknowledge(messageKey: string): Promise<void>;
    /** Take a picture back that was not seen yet. @param {string} messageKey */
    recallImage(messageKey: string): Promise<void>;
    /**
     * @param {Receiver} receiver
     * @param {string} text
     * @param {{key?: string}} [how]
     * @returns {Promise<{message_id: number, send_time: number}>}
     */
    sendText(receiver: Receiver, text: string, { key }?: {
        key?: string;
    }): Promise<{
        message_id: number;
        send_time: number;
    }>;
    /**
     * Everything on a list that comes in pages.
     * @param {string} path with its query, if any
     * @param {'before' | 'after'} cursor
     * @returns {Promise<any[]>}
     */
    list(path: string, cursor?: "before" | "after"): Promise<any[]>;
    #private;
}
export type Receiver = {
    receiver_uid: number;
} | {
    group_id: number;
} | {
    receiver_phone: string;
};
export type Account = {
    uid: number;
    ukey: string;
    phone_hash: string;
};
export type Activation = {
    activation_id: string;
    expires_at: number;
    resend_at: number;
};
export type SentImage = {
    message_id: number;
    message_key: string;
    send_time: number;
    metadata_removed: string | null;
};
import { Http } from './http.js';
import { Session } from './session.js';
import { Events } from './events.js';
