/**
 * What somebody types into a file that is not shown yet. Opening one takes moments, and keys do not wait: without this they
 * went to whatever had the focus (a tree would take them for names, or delete what they hit). An input out of sight has the
 * focus meanwhile, so that the browser itself takes them (backspace, input methods, pasting), and the editor begins with
 * what is in it.
 */

/** UTF-16 units; what is more is not taken in. */
const MOST = 10_000;
/** Files that something was typed for and that have not been shown yet; of one more the oldest is given up. */
const MOST_FILES = 20;

export class EarlyKeys {
  readonly #input: HTMLTextAreaElement;
  readonly #chosen: () => string;
  #fileId = "";
  /** What was typed for files that others have come in front of before they were shown. */
  readonly #left = new Map<string, string>();

  /** `chosen` tells the file that was gone to last, at once: what is drawn may still be an earlier one. */
  constructor(chosen: () => string) {
    this.#chosen = chosen;
    const input = document.createElement("textarea");
    input.className = "co-early";
    input.maxLength = MOST;
    input.tabIndex = -1;
    input.hidden = true;
    input.setAttribute("aria-label", "Text of the file that is opening");
    input.addEventListener("blur", () => {
      if (document.activeElement !== input) input.hidden = true; // else it is the window that was left
    });
    this.#input = input;
  }

  /** Puts the input into the page, until the returned function is called. */
  readonly within = (place: HTMLElement): (() => void) => {
    place.append(this.#input);
    return () => this.#input.remove();
  };

  /** Keys are for this file from now on. What was typed for another one is kept until that one is there. */
  readonly expect = (fileId: string): void => {
    if (this.#fileId !== fileId) {
      const left = this.#input.value;
      if (left !== "") this.#left.set(this.#fileId, left);
      this.#fileId = fileId;
      this.#input.value = this.#takeLeft(fileId);
      for (const oldest of this.#left.keys()) if (this.#left.size > MOST_FILES) this.#left.delete(oldest);
    }
    this.#input.hidden = false;
    this.#input.focus({ preventScroll: true });
  };

  /**
   * Whether the focus is for this file. Effects of what is drawn run late on a slow device: those of a file that another one
   * has been chosen over since may not take the keys of that one.
   */
  mayFocus(fileId: string): boolean {
    return this.#chosen() === fileId && !isWritingElsewhere();
  }

  /** What was typed for a file whose text is there now. */
  take(fileId: string): string {
    if (this.#fileId !== fileId) return this.#takeLeft(fileId);
    const typed = this.#input.value;
    this.#input.value = "";
    this.#fileId = "";
    return typed;
  }

  /** It shows nothing that could be typed into. */
  giveUp(fileId: string): void {
    const isExpected = this.#fileId === fileId;
    this.take(fileId);
    if (isExpected) this.#input.blur();
  }

  #takeLeft(fileId: string): string {
    const left = this.#left.get(fileId) ?? "";
    this.#left.delete(fileId);
    return left;
  }
}

/** Whether somebody is writing something else meanwhile: a file that comes late does not take the focus from that. */
export function isWritingElsewhere(): boolean {
  const at = document.activeElement;
  const isInput = at?.matches("input, textarea") ?? false;
  return isInput && !at?.matches(".co-early") && !at?.closest("[hidden]");
}
