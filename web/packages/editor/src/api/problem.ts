/** Refusals of the API (problem details, RFC 9457) in words for people. */

export interface ProblemBody {
  code?: string;
  title?: string;
  detail?: string;
  help?: string;
  retry?: "never" | "same" | "rejoin";
  errors?: { in: string[]; message: string }[];
}

/** Refusals that people meet and that the server words for programs. */
const WORDS: Readonly<Record<string, string>> = {
  secret_invalid: "It was used already, has expired, was switched off, or was not copied whole. Ask for a new one.",
  invalid_text: "Only text in UTF-8 can be a document: this is something else, or holds characters that no text has.",
  request_too_large: "This is larger than a document may be.",
  file_too_large: "This is larger than a document may be.",
  internal: "Something went wrong on the server. Nothing is lost: try again, and report it if it happens again.",
};

/** A refusal, or no answer at all (`status` 0). */
export class Problem extends Error {
  readonly code: string;
  readonly detail: string;
  readonly help: string;
  readonly retry: "never" | "same" | "rejoin";
  readonly errors: { in: string[]; message: string }[];

  /** @param retryAfter seconds until the server wants to hear the same again */
  constructor(
    readonly status: number,
    body: ProblemBody,
    readonly retryAfter = 0,
  ) {
    super(body.title ?? `The server answered ${status}`);
    this.name = "Problem";
    this.code = body.code ?? "unknown";
    this.detail = body.detail ?? "";
    this.help = body.help ?? "";
    this.retry = body.retry ?? "same";
    this.errors = body.errors ?? [];
  }

  /** Whether nobody knows if the request was carried out. */
  get isUncertain(): boolean {
    return this.status === 0 || (this.status >= 500 && this.retry !== "never");
  }

  /** Whether there was no answer. */
  get isUnreachable(): boolean {
    return this.status === 0;
  }

  /** What happened and what to do next, in whole sentences. */
  get text(): string {
    if (this.status === 429) return `That was a little too often. Please try again in ${seconds(this.retryAfter)}.`;
    if (this.code === "invalid_request") {
      return sentence(this.errors.length > 0 ? this.errors.map(fieldText).join("; ") : this.detail);
    }
    const words = Object.hasOwn(WORDS, this.code) ? WORDS[this.code] : undefined;
    if (words !== undefined) return words;
    const what = this.detail && this.detail !== this.help ? this.detail : this.message;
    return [what, this.help].filter(Boolean).map(sentence).join(" ");
  }
}

/** @param error anything that was thrown */
export function textOf(error: unknown): string {
  return error instanceof Problem ? error.text : `Something went wrong here: ${error}`;
}

function seconds(count: number): string {
  if (count >= 90) return `${Math.ceil(count / 60)} minutes`;
  return count > 1 ? `${count} seconds` : "a second";
}

function sentence(text: string): string {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

function fieldText(error: { in: string[]; message: string }): string {
  const field = error.in.at(-1) ?? "";
  return `${field.replace(/([A-Z])/g, " $1").toLowerCase()}: ${error.message}`;
}
