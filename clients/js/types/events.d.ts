export class Events {
    /**
     * @param {import('./client.js').Glimpse} client
     * @param {import('./stores.js').Store} store keeps the cursor
     */
    constructor(client: import("./client.js").Glimpse, store: import("./stores.js").Store);
    client: import("./client.js").Glimpse;
    store: import("./stores.js").Store;
    /** @type {'off' | 'connecting' | 'live' | 'polling'} */
    state: "off" | "connecting" | "live" | "polling";
    /** @type {(state: string) => void} */
    onstate: (state: string) => void;
    /** How far this reader is; the store may be shared with other tabs, each of which wants every event. */
    cursor: number | undefined;
    /**
     * Follow until `signal` aborts. `handle` is awaited, and only then is the cursor moved: what was not handled comes
     * again. Where the log no longer holds the cursor, `restart` is called and following goes on from now.
     * @param {{handle: (event: Event) => Promise<void> | void, restart?: () => Promise<void> | void,
     *   signal: AbortSignal}} how
     */
    follow({ handle, restart, signal }: {
        handle: (event: Event) => Promise<void> | void;
        restart?: () => Promise<void> | void;
        signal: AbortSignal;
    }): Promise<void>;
    #private;
}
export type Event = {
    id: number;
    type: string;
    at: number;
    data: any;
};
