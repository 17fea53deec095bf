// @ts-check
/** Requests to the API, and its refusals in words for people. The session itself is in a cookie that no script sees. */

/** What a page sends along with everything that changes something; of the person in `user`. */
const known = { csrf: "", user: "" };

/** Called when the session has ended. */
let onSignedOut = () => {};

/** @param {() => void} listener */
export function whenSignedOut(listener) {
  onSignedOut = listener;
}

/** @param {{userId: string, csrfToken: string | null | undefined}} who */
export function remember(who) {
  known.user = who.userId;
  known.csrf = who.csrfToken ?? "";
}

/** A refusal: problem details of the API, or no answer at all (status 0). */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {{code?: string, title?: string, detail?: string, help?: string, retry?: string, errors?: {in: string[], message: string}[]}} body
   * @param {number} retryAfter seconds
   */
  constructor(status, body, retryAfter = 0) {
    super(body.title ?? `The server answered ${status}`);
    this.status = status;
    this.code = body.code ?? "unknown";
    this.detail = body.detail ?? "";
    this.help = body.help ?? "";
    this.retry = body.retry ?? "same";
    this.errors = body.errors ?? [];
    this.retryAfter = retryAfter;
  }

  /** Whether nobody knows if the request was carried out. */
  get isUncertain() {
    return this.status === 0 || (this.status >= 500 && this.retry !== "never");
  }

  /** For people. */
  get text() {
    if (this.status === 429) {
      return `That was a little too often. Please try again in ${seconds(this.retryAfter)}.`;
    }
    if (this.code === "invalid_request") {
      return sentence(this.errors.length ? this.errors.map(fieldText).join("; ") : this.detail);
    }
    const what = this.detail && this.detail !== this.help ? this.detail : this.message;
    return [what, this.help].filter(Boolean).map(sentence).join(" ");
  }
}

/** @param {number} count */
function seconds(count) {
  if (count >= 90) return `${Math.ceil(count / 60)} minutes`;
  return count > 1 ? `${count} seconds` : "a second";
}

/** @param {string} text */
function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

/** @param {{in: string[], message: string}} error */
function fieldText(error) {
  const field = error.in[error.in.length - 1] ?? "";
  return `${field.replace(/([A-Z])/g, " $1").toLowerCase()}: ${error.message}`;
}

/** @param {unknown} error anything that was thrown */
export function textOf(error) {
  return error instanceof Problem ? error.text : `Something went wrong here: ${error}`;
}

/**
 * @typedef {object} Options
 * @property {unknown} [json] the body
 * @property {BodyInit} [body] or this, as plain text
 * @property {Record<string, string>} [headers]
 * @property {boolean} [once] safe to send again: with an Idempotency-Key
 */

/**
 * A request below /api. Raises `Problem`.
 * @param {string} method
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<Response>}
 */
export async function send(method, path, options = {}) {
  const headers = { ...options.headers };
  if (options.once) headers["Idempotency-Key"] = newKey();
  let body = options.body;
  if (options.json !== undefined) {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify(options.json);
  } else if (body !== undefined) {
    headers["Content-Type"] = "text/plain; charset=utf-8";
  }
  try {
    return await attempt(method, path, headers, body);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.code === "csrf_failed" && (await isStillMe())) return attempt(method, path, headers, body);
    if (error.code === "session_ended" || error.code === "sign_in_required") onSignedOut();
    throw error;
  }
}

/**
 * @param {string} method
 * @param {string} path
 * @param {Record<string, string>} headers
 * @param {BodyInit} [body]
 */
async function attempt(method, path, headers, body) {
  const all = known.csrf && method !== "GET" ? { ...headers, "X-CSRF-Token": known.csrf } : headers;
  let response;
  try {
    response = await fetch(`/api${path}`, {
      method,
      headers: all,
      body,
      credentials: "same-origin",
      cache: "no-store",
    });
  } catch {
    throw new Problem(0, {
      code: "unreachable",
      title: "The server cannot be reached",
      help: "Check the connection, then try again.",
    });
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  throw new Problem(response.status, answer, Number(response.headers.get("Retry-After") ?? 1));
}

/** Another tab may have begun a new session. Nothing is ever sent as somebody else. */
async function isStillMe() {
  const who = await (await attempt("GET", "/session", {})).json();
  if (who.userId !== known.user) return false;
  remember(who);
  return true;
}

/** @param {string} path @returns {Promise<any>} */
export async function get(path) {
  return (await send("GET", path)).json();
}

/** All pages of a list. @param {string} path @returns {Promise<any[]>} */
export async function getAll(path) {
  const items = [];
  for (let cursor = ""; ;) {
    const page = await get(`${path}?${new URLSearchParams({ limit: "100", cursor })}`);
    items.push(...page.items);
    if (!page.nextCursor) return items;
    cursor = page.nextCursor;
  }
}

/**
 * A request that changes something; resolves to the body of the answer, if there is one.
 * @param {string} method
 * @param {string} path
 * @param {unknown} [json]
 * @param {Omit<Options, "json">} [options]
 * @returns {Promise<any>}
 */
export async function change(method, path, json, options = {}) {
  const response = await send(method, path, { ...options, json });
  return response.status === 204 ? undefined : response.json();
}

/** A key that was never used before. */
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The path of a document, or of something below it. @param {string} documentId @param {string[]} below */
export function documentPath(documentId, ...below) {
  return ["/documents", encodeURIComponent(documentId), ...below.map(encodeURIComponent)].join("/");
}
