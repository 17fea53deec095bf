/**
 * What somebody types into a file that is not shown yet. Opening one takes moments, and keys do not wait: without this they
 * went to whatever had the focus (a tree would take them for names, or delete what they hit). An input out of sight has the
 * focus meanwhile, so that the browser itself takes them (backspace, input methods, pasting), and the editor begins with
 * what is in it.
 */

/** UTF-16 units; what is more is not taken in. */
const MOST = 10_000;

export class EarlyKeys {
  readonly #input: HTMLTextAreaElement;
  #fileId = "";

  constructor() {
    const input = document.createElement("textarea");
    input.className = "co-early";
    input.maxLength = MOST;
    input.tabIndex = -1;
    input.hidden = true;
    input.setAttribute("aria-label", "Text of the file that is opening");
    input.addEventListener("blur", () => {
      input.hidden = true;
    });
    this.#input = input;
  }

  /** Puts the input into the page, until the returned function is called. */
  readonly within = (place: HTMLElement): (() => void) => {
    place.append(this.#input);
    return () => this.#input.remove();
  };

  /** Keys are for this file from now on. What was typed for another one that has not been shown is given up with it. */
  expect(fileId: string): void {
    if (this.#fileId !== fileId) this.#input.value = "";
    this.#fileId = fileId;
    this.#input.hidden = false;
    this.#input.focus({ preventScroll: true });
  }

  /** What was typed for a file that is shown now. */
  take(fileId: string): string {
    if (this.#fileId !== fileId) return "";
    const typed = this.#input.value;
    this.#input.value = "";
    this.#fileId = "";
    return typed;
  }

  /** It shows nothing that could be typed into. */
  giveUp(fileId: string): void {
    if (this.#fileId !== fileId) return;
    this.take(fileId);
    this.#input.blur();
  }
}

/** Whether somebody is writing something else meanwhile: a file that comes late does not take the focus from that. */
export function isWritingElsewhere(): boolean {
  const at = document.activeElement;
  const isInput = at?.matches("input, textarea") ?? false;
  return isInput && !at?.matches(".co-early") && !at?.closest("[hidden]");
}
