// @ts-check
/**
 * A text that is being edited and is saved as a whole: the server compares it with the version it was begun from, and
 * what others have written since stays. A save whose answer was lost is sent again unchanged until it is settled, and
 * until then nothing else is: so nothing is written twice.
 */

import { documentPath, get, newKey, Problem, send } from "./api.js";

const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 15_000;

/** Refusals that say nothing about the same request sent before: whoever asks now is not who asked then, or too often. */
const SAYS_NOTHING = new Set([
  "session_ended",
  "sign_in_required",
  "csrf_failed",
  "file_not_found",
  "account_locked",
  "too_many_requests",
]);

export class Draft {
  /**
   * @param {string} documentId
   * @param {string} text
   * @param {number} version that the text has
   */
  constructor(documentId, text, version) {
    this.documentId = documentId;
    this.text = text;
    this.version = version;
    /** @type {{text: string, headers: Record<string, string>} | null} a save that nobody knows the outcome of */
    this.unsettled = null;
    this.isGivenUp = false;
  }

  /**
   * Saves; resolves to the text as it is then, with what others wrote, or null if that could not be read.
   * Raises Problem: it was refused. Nothing has changed then, unless something is `unsettled`.
   * @param {string} text
   * @param {(problem: Problem) => void} waiting called when it has to be sent again
   * @returns {Promise<string | null>}
   */
  async save(text, waiting) {
    const headers = { "If-Match": `"v${this.version}"`, "Idempotency-Key": newKey() };
    const version = await this.settle(this.unsettled ?? { text, headers }, waiting);
    const content = version === this.version ? { text } : await this.read(version);
    if (content === null) return null;
    this.version = version;
    this.text = content.text;
    return this.text;
  }

  /**
   * @param {{text: string, headers: Record<string, string>}} attempt
   * @param {(problem: Problem) => void} waiting
   * @returns {Promise<number>} the version that was made
   */
  async settle(attempt, waiting) {
    for (let wait = FIRST_WAIT; ; wait = Math.min(LONGEST_WAIT, wait * 2)) {
      try {
        const options = { body: attempt.text, headers: attempt.headers };
        const response = await send("PUT", documentPath(this.documentId, "content"), options);
        const { documentVersion } = await response.json();
        this.unsettled = null;
        return documentVersion;
      } catch (error) {
        const problem = error instanceof Problem ? error : new Problem(0, { title: "The answer was lost" });
        if (!problem.isUncertain || this.isGivenUp) {
          if (!SAYS_NOTHING.has(problem.code)) this.unsettled = null;
          throw problem;
        }
        this.unsettled = attempt;
        waiting(problem);
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    }
  }

  /** @param {number} version */
  async read(version) {
    try {
      return await get(`${documentPath(this.documentId, "content")}?version=${version}`);
    } catch {
      return null;
    }
  }

  /** Nobody waits for it any more. */
  giveUp() {
    this.isGivenUp = true;
  }
}
