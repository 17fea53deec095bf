/**
 * Requests below /api. The session itself is in a cookie that no script sees; what is known here is only its CSRF
 * token, and of whom it is: a request that changes something is never sent as somebody else, even if another tab has
 * begun another session meanwhile.
 */

import { Problem } from "./problem";

export interface Options {
  json?: unknown;
  /** Or this, as plain text. */
  text?: BodyInit;
  /** Or this, as it is. */
  bytes?: Blob;
  /** Told how much of the body is on its way. */
  sent?: (bytes: number) => void;
  headers?: Record<string, string>;
  /** Safe to send again, with this Idempotency-Key: sent again by itself while nobody knows whether it arrived. */
  once?: string;
  signal?: AbortSignal;
}

type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

const PAUSES = [400, 1_600];
const known = { csrf: "", userId: "" };
let signedOut = () => {};

/** Called when an answer says that the session has ended. */
export function whenSignedOut(listener: () => void): void {
  signedOut = listener;
}

/** Of whom requests are from now on. */
export function remember(who: { userId: string; csrfToken?: string | null }): void {
  known.userId = who.userId;
  known.csrf = who.csrfToken ?? "";
}

/** Of whom they are while no server has said so. The first request that changes something is refused for want of a CSRF
 * token, and then the server is asked whether this is still who is signed in. */
export function assume(userId: string): void {
  if (known.userId === "") known.userId = userId;
}

/** A key that was never used before. */
export function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A path below /api: every part is escaped. */
export function path(...parts: string[]): string {
  return `/${parts.map(encodeURIComponent).join("/")}`;
}

/** `?name=value…` of what is not empty. */
export function query(values: Record<string, string | number | undefined>): string {
  const kept = Object.entries(values).filter(([, value]) => value !== undefined && value !== "");
  return kept.length > 0 ? `?${new URLSearchParams(kept.map(([name, value]) => [name, String(value)]))}` : "";
}

/** Raises `Problem`; `AbortError` if the signal says so. */
export async function send(method: Method, where: string, options: Options = {}): Promise<Response> {
  for (let tried = 0; ; tried++) {
    try {
      return await sendAsMe(method, where, options);
    } catch (error) {
      const pause = PAUSES[tried];
      const again = options.once !== undefined && error instanceof Problem && error.isUncertain;
      if (!again || pause === undefined) throw error;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}

async function sendAsMe(method: Method, where: string, options: Options): Promise<Response> {
  try {
    return await attempt(method, where, options);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.code === "csrf_failed" && (await isStillMe())) return attempt(method, where, options);
    if (error.code === "session_ended" || error.code === "sign_in_required") signedOut();
    throw error;
  }
}

async function attempt(method: Method, where: string, options: Options): Promise<Response> {
  const headers: Record<string, string> = { ...options.headers };
  if (options.once !== undefined) headers["Idempotency-Key"] = options.once;
  if (known.csrf && method !== "GET") headers["X-CSRF-Token"] = known.csrf;
  const init: RequestInit = { method, headers, credentials: "same-origin", cache: "no-store" };
  if (options.signal) init.signal = options.signal;
  if (options.json !== undefined) {
    headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(options.json);
  } else if (options.text !== undefined) {
    headers["Content-Type"] = "text/plain; charset=utf-8";
    init.body = options.text;
  } else if (options.bytes !== undefined) {
    headers["Content-Type"] = "application/octet-stream";
    init.body = options.bytes;
  }
  let response: Response;
  try {
    response = await (options.sent ? carried(`/api${where}`, init, options.sent) : fetch(`/api${where}`, init));
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Problem(0, {
      code: "unreachable",
      title: "The server cannot be reached",
      help: "Check the connection, then try again.",
    });
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new Problem(response.status, body, Number(response.headers.get("Retry-After") ?? 1));
}

/** As `fetch`, which says nothing of a body on its way. */
function carried(where: string, init: RequestInit, sent: (bytes: number) => void): Promise<Response> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(init.method ?? "GET", where);
    for (const [name, value] of Object.entries((init.headers ?? {}) as Record<string, string>)) {
      request.setRequestHeader(name, value);
    }
    request.upload.onprogress = ({ loaded }) => sent(loaded);
    request.onload = () => {
      const headers = new Headers();
      for (const line of request.getAllResponseHeaders().split("\r\n")) {
        const colon = line.indexOf(":");
        if (colon > 0) headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
      }
      const body = [204, 205, 304].includes(request.status) ? null : request.responseText;
      resolve(new Response(body, { status: request.status, headers }));
    };
    request.onerror = () => reject(new TypeError("there was no answer"));
    request.onabort = () => reject(new DOMException("given up", "AbortError"));
    if (init.signal?.aborted) reject(init.signal.reason);
    init.signal?.addEventListener("abort", () => request.abort(), { once: true });
    if (!init.signal?.aborted) request.send(init.body as XMLHttpRequestBodyInit | null);
  });
}

async function isStillMe(): Promise<boolean> {
  const who = await (await attempt("GET", "/session", {})).json();
  if (who.userId !== known.userId) return false;
  remember(who);
  return true;
}

/** The answer's body is not checked: the server is the one that served this page. */
export async function get<Answer>(where: string, signal?: AbortSignal): Promise<Answer> {
  return (await send("GET", where, signal ? { signal } : {})).json();
}

/** A request that changes something; undefined where the answer has no body. */
export async function change<Answer = void>(
  method: Method,
  where: string,
  json?: unknown,
  options: Omit<Options, "json"> = {},
): Promise<Answer> {
  const response = await send(method, where, { ...options, json });
  return response.status === 204 ? (undefined as Answer) : response.json();
}

/** Every page of a list, at most `MAX_PAGES`. */
export async function getAll<Item>(where: string, signal?: AbortSignal): Promise<Item[]> {
  const items: Item[] = [];
  let cursor = "";
  for (let count = 0; count < MAX_PAGES; count++) {
    const page = await get<{ items: Item[]; nextCursor: string }>(`${where}${query({ limit: 100, cursor })}`, signal);
    items.push(...page.items);
    if (!page.nextCursor) break;
    cursor = page.nextCursor;
  }
  return items;
}

const MAX_PAGES = 50;
