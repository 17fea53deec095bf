/** What a browser offers a client: its WebSocket, its IndexedDB, its locks. The WebSocket is also that of Node. */

export { IndexedDbStore } from "./indexed_db.ts";
export { webLocks } from "./web_locks.ts";
export { webSocketTransport } from "./web_socket.ts";
