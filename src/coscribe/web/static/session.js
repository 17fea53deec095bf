// @ts-check
/** Who is here, what this server offers, and the secret of the link that brought somebody. */

import { change, get, remember } from "./api.js";

export const session = {
  /** @type {any} the answer of GET /api/session */
  who: null,
  /** @type {any} the answer of GET /api/server */
  server: null,
  /** @type {{kind: string, secret: string} | null} in memory only: gone when the page is left */
  link: null,
};

const KINDS = new Set(["setup", "invitation", "verify", "reset", "link", "linked", "error"]);

/** Takes a secret out of the address, so that it stays in no history. */
export function takeFragment() {
  const [, kind, value] = /^#([a-z]+)=(.*)$/s.exec(location.hash) ?? [];
  if (kind === undefined || !KINDS.has(kind)) return;
  history.replaceState(null, "", location.pathname);
  session.link = { kind, secret: decoded(value) };
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Asks again who is here. */
export async function load() {
  [session.server, session.who] = await Promise.all([get("/server"), get("/session")]);
  remember(session.who);
}

export function isSignedIn() {
  return session.who?.kind === "session";
}

/** Signs in, up, or sets up: whatever begins a session. @param {string} path @param {object} json @param {string} [method] */
export async function begin(path, json, method = "POST") {
  remember(await change(method, path, { ...json, cookie: true }));
  await load();
}

export async function accessToken() {
  return (await change("POST", "/session/access-token")).accessToken;
}
