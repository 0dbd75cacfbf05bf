export { Glimpse } from "./client.js";
export { newKey } from "./keys.js";
export { GlimpseError, isTemporary } from "./errors.js";
export { IndexedDbStore, MemoryStore } from "./stores.js";
