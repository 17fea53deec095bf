/**
 * The service worker: the application itself is there without a connection.
 *
 *     a page (navigation)   the server's, if it answers soon; else the kept one
 *     /assets/NAME-HASH     kept for ever: another content has another name
 *     everything else       not ours: the API is never answered from here
 *
 * Documents and unsent edits are not here but in IndexedDB, by account. Each build has a cache of its own; the one of
 * the build before stays until no page uses it any more.
 */

declare const self: ServiceWorkerGlobalScope;

/** Put in by the build: what the pages need before anything else is loaded. Grammars are kept when they are used. */
declare const __SHELL_FILES__: readonly string[];

const CACHE_PREFIX = "coscribe-";
const CACHE = `${CACHE_PREFIX}${hashOf(__SHELL_FILES__.join(" "))}`;

/** A server that has not answered after so long (milliseconds) is slower than what is kept. */
const PATIENCE = 3_000;

self.addEventListener("install", (event) => {
  event.waitUntil(keepShell());
});

self.addEventListener("activate", (event) => {
  event.waitUntil(forgetOthers().then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== self.location.origin) return;
  if (request.mode === "navigate" && !url.pathname.startsWith("/api/")) event.respondWith(page(request));
  else if (url.pathname.startsWith("/assets/")) event.respondWith(asset(request));
});

async function keepShell(): Promise<void> {
  const cache = await caches.open(CACHE);
  await cache.addAll(["/", ...__SHELL_FILES__]);
}

async function forgetOthers(): Promise<void> {
  const names = await caches.keys();
  const others = names.filter((name) => name.startsWith(CACHE_PREFIX) && name !== CACHE);
  await Promise.all(others.map((name) => caches.delete(name)));
}

/** Every address of the application is answered by the same page, so one is kept for all. */
async function page(request: Request): Promise<Response> {
  const kept = await caches.match("/", { cacheName: CACHE });
  if (kept === undefined) return fetch(request);
  const patience = new Promise<Response>((resolve) => setTimeout(() => resolve(kept), PATIENCE));
  const answer = fetch(request).then((response) => (response.status >= 500 ? kept : response));
  return Promise.race([answer.catch(() => kept), patience]);
}

async function asset(request: Request): Promise<Response> {
  const kept = await caches.match(request);
  if (kept !== undefined) return kept;
  const response = await fetch(request);
  if (response.ok) {
    const cache = await caches.open(CACHE);
    await cache.put(request, response.clone());
  }
  return response;
}

/** FNV-1a, 32 bits: tells builds apart. */
function hashOf(text: string): string {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return (hash >>> 0).toString(36);
}
