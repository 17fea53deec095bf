/**
 * Between a CodeMirror view and a document of the client.
 *
 *     keys, mouse, input methods --> transaction --> document.edit --> server
 *     server --> document.onChange --> transaction marked `fromDocument` --> view
 *
 * Both hold the text: the view shows it, the document is right. Every transaction that the document did not cause goes
 * to it, every change of the document that the view did not cause comes from it, so that after each turn of the event
 * loop the two are equal. Undo is the document's: it takes back one's own edits only, whatever others have done since.
 */

import {
  Annotation,
  type ChangeSet,
  type ChangeSpec,
  Compartment,
  EditorState,
  type Extension,
  Prec,
  Transaction,
  type TransactionSpec,
} from "@codemirror/state";
import { EditorView, keymap, type PluginValue, ViewPlugin, type ViewUpdate } from "@codemirror/view";
import type { Change, Document, TextEdit } from "@coscribe/client";

/** Marks what the document did to the view, so that it is not sent back. */
const fromDocument = Annotation.define<Change["origin"]>();

/** Keystrokes closer together than this (milliseconds) are taken back together. */
const TYPING_PAUSE = 700;

const writing = new Compartment();

/** Called when the document refused an edit that the view already shows; `text` is what was typed. */
export type OnRefused = (error: unknown, edits: readonly TextEdit[]) => void;

/** The view shows and edits the document. Its state must begin with the document's text. */
export function collaborate(document: Document, onRefused: OnRefused): Extension {
  return [
    onlyText,
    writing.of(writable(document.status.canEdit)),
    ViewPlugin.define((view) => new Binding(view, document, onRefused)),
    ownUndo(document),
  ];
}

function writable(canEdit: boolean): Extension {
  // Not `editable.of(false)`: a reader still wants a caret, a selection, find and copy by keyboard.
  return EditorState.readOnly.of(!canEdit);
}

class Binding implements PluginValue {
  readonly #view: EditorView;
  readonly #document: Document;
  readonly #onRefused: OnRefused;
  readonly #stop: (() => void)[];
  readonly #typing = new TypingRun();
  /** A view takes no change while it is being updated; what the document does then is shown right behind it. */
  #isUpdating = false;
  /** Whether the caret is where somebody wants it. Until then it is nowhere; then it is where it was the last time. */
  #isPlaced = false;
  #isOver = false;

  constructor(view: EditorView, document: Document, onRefused: OnRefused) {
    this.#view = view;
    this.#document = document;
    this.#onRefused = onRefused;
    this.#stop = [
      document.onChange((change) => this.#show(change)),
      document.onStatus(() => {
        this.#setWritable(document.status.canEdit);
        this.#place();
      }),
    ];
    queueMicrotask(() => this.#place());
  }

  update(update: ViewUpdate): void {
    this.#isUpdating = true;
    for (const transaction of update.transactions) {
      if (transaction.annotation(fromDocument) === undefined) {
        this.#send(transaction);
        this.#isPlaced ||= transaction.selection !== undefined || transaction.docChanged;
      }
      this.#typing.follow(transaction);
    }
    this.#isUpdating = false;
    if (update.selectionSet || update.docChanged || update.focusChanged) this.#tellCaret();
  }

  destroy(): void {
    this.#isOver = true;
    for (const stop of this.#stop) stop();
  }

  #send(transaction: Transaction): void {
    if (!transaction.docChanged) return;
    const edits = editsOf(transaction.changes);
    try {
      const joinsUndo = this.#typing.goesOn(transaction, edits);
      this.#document.edit(edits, isPasted(transaction) ? { joinsUndo, origin: "paste" } : { joinsUndo });
    } catch (error) {
      this.#onRefused(error, edits);
      this.#begin();
    }
  }

  #show(change: Change): void {
    if (change.origin === "own") return;
    if (change.edits === null || this.#isUpdating) {
      this.#begin();
      return;
    }
    const isUndo = change.origin === "undo" || change.origin === "redo";
    this.#view.dispatch({
      changes: change.edits as ChangeSpec,
      annotations: marks(change.origin),
      ...(isUndo ? caretBehind(change.edits) : {}),
    });
  }

  /** The document has another text now. What is equal at both ends stays untouched, so that the caret does too. */
  #begin(): void {
    if (this.#isUpdating) {
      queueMicrotask(() => this.#begin());
      return;
    }
    const edit = difference(this.#view.state.doc.toString(), this.#document.text);
    if (edit !== null) this.#view.dispatch({ changes: edit, annotations: marks("reset") });
  }

  #setWritable(canEdit: boolean): void {
    if (this.#isUpdating) queueMicrotask(() => this.#setWritable(this.#document.status.canEdit));
    else if (this.#view.state.readOnly === canEdit) {
      this.#view.dispatch({ effects: writing.reconfigure(writable(canEdit)) });
    }
  }

  /** Nobody has put the caret anywhere yet, and it is known where it was the last time. */
  #place(): void {
    if (this.#isPlaced || this.#isOver || this.#document.status.state !== "live") return;
    if (this.#isUpdating) {
      queueMicrotask(() => this.#place());
      return;
    }
    this.#isPlaced = true;
    const { cursor } = this.#document;
    if (cursor === null) this.#tellCaret();
    else this.#view.dispatch({ selection: cursor, effects: EditorView.scrollIntoView(cursor.head, { y: "center" }) });
  }

  #tellCaret(): void {
    if (!this.#isPlaced) return;
    const { anchor, head } = this.#view.state.selection.main;
    this.#document.setCursor(anchor, head);
  }
}

/** From the clipboard, or dropped from elsewhere; what is dragged about within the text is a move. */
function isPasted(transaction: Transaction): boolean {
  return transaction.isUserEvent("input.paste") || transaction.isUserEvent("input.drop");
}

function marks(origin: Change["origin"]): Annotation<unknown>[] {
  return [fromDocument.of(origin), Transaction.addToHistory.of(false), Transaction.remote.of(origin === "remote")];
}

function caretBehind(edits: readonly TextEdit[]): TransactionSpec {
  const last = edits.at(-1);
  if (last === undefined) return {};
  const before = edits.slice(0, -1).reduce((sum, edit) => sum + edit.insert.length - (edit.to - edit.from), 0);
  return { selection: { anchor: last.from + before + last.insert.length }, scrollIntoView: true };
}

/** The edits of a change set, against the text before it, left to right. */
export function editsOf(changes: ChangeSet): TextEdit[] {
  const edits: TextEdit[] = [];
  changes.iterChanges((from, to, _fromAfter, _toAfter, inserted) => {
    edits.push({ from, to, insert: inserted.toString() });
  });
  return edits;
}

/** The one edit that makes `after` of `before`, whole code points; null where they are equal. */
export function difference(before: string, after: string): TextEdit | null {
  if (before === after) return null;
  const most = Math.min(before.length, after.length);
  let start = 0;
  while (start < most && before.charCodeAt(start) === after.charCodeAt(start)) start++;
  if (isHighSurrogate(before, start - 1)) start--;
  let end = 0;
  const room = most - start;
  while (end < room && before.charCodeAt(before.length - 1 - end) === after.charCodeAt(after.length - 1 - end)) end++;
  if (isLowSurrogate(before, before.length - end)) end--;
  return { from: start, to: before.length - end, insert: after.slice(start, after.length - end) };
}

/** Which keystrokes are taken back together: typing, or deleting, at one place without a pause or a new line. */
export class TypingRun {
  readonly #now: () => number;
  #kind = "";
  #end = -1;
  #at = 0;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Whether these edits go on where the latest ones ended. */
  goesOn(transaction: Transaction, edits: readonly TextEdit[]): boolean {
    const [edit] = edits;
    const kind =
      ["input.type", "delete.backward", "delete.forward"].find((each) => transaction.isUserEvent(each)) ?? "";
    const joins =
      edit !== undefined &&
      edits.length === 1 &&
      kind !== "" &&
      kind === this.#kind &&
      this.#now() - this.#at < TYPING_PAUSE &&
      (edit.to === this.#end || edit.from === this.#end || transaction.isUserEvent("input.type.compose")) &&
      !edit.insert.includes("\n");
    this.#kind = kind;
    this.#at = this.#now();
    this.#end = edit === undefined ? -1 : edit.from + edit.insert.length;
    return joins;
  }

  /** The place moves with what others write. A caret that is put elsewhere ends the run, and so does an undo. */
  follow(transaction: Transaction): void {
    const origin = transaction.annotation(fromDocument);
    if (origin === "remote" && this.#end >= 0) this.#end = transaction.changes.mapPos(this.#end, -1);
    else if (origin !== undefined || (transaction.selection !== undefined && !transaction.docChanged)) this.#endRun();
  }

  #endRun(): void {
    this.#kind = "";
    this.#end = -1;
  }
}

/** A text holds no NUL, no half of a surrogate pair, and no edit cuts a pair in two. */
const onlyText = EditorState.transactionFilter.of((transaction) => {
  if (!transaction.docChanged || transaction.annotation(fromDocument) !== undefined) return transaction;
  const edits = editsOf(transaction.changes);
  const doc = transaction.startState.doc;
  const pair = (at: number): boolean =>
    at > 0 &&
    at < doc.length &&
    isLowSurrogate(doc.sliceString(at, at + 1), 0) &&
    isHighSurrogate(doc.sliceString(at - 1, at), 0);
  if (edits.every((edit) => isWellFormed(edit.insert) && !pair(edit.from) && !pair(edit.to))) return transaction;
  const whole = edits.map((edit) => ({
    from: pair(edit.from) ? edit.from - 1 : edit.from,
    to: pair(edit.to) ? edit.to + 1 : edit.to,
    insert: edit.insert.toWellFormed().replaceAll("\0", ""),
  }));
  const userEvent = transaction.annotation(Transaction.userEvent);
  return { changes: whole, scrollIntoView: true, ...(userEvent === undefined ? {} : { userEvent }) };
});

function isWellFormed(text: string): boolean {
  return text.isWellFormed() && !text.includes("\0");
}

function isHighSurrogate(text: string, index: number): boolean {
  return (text.charCodeAt(index) & 0xfc00) === 0xd800;
}

function isLowSurrogate(text: string, index: number): boolean {
  return (text.charCodeAt(index) & 0xfc00) === 0xdc00;
}

function ownUndo(document: Document): Extension {
  const undo = (): boolean => {
    document.undo();
    return true;
  };
  const redo = (): boolean => {
    document.redo();
    return true;
  };
  return Prec.highest([
    keymap.of([
      { key: "Mod-z", run: undo, preventDefault: true },
      { key: "Mod-y", mac: "Mod-Shift-z", run: redo, preventDefault: true },
      { linux: "Ctrl-Shift-z", win: "Ctrl-Shift-z", run: redo, preventDefault: true },
    ]),
    EditorView.domEventHandlers({
      // Undo by menu, gesture or touch keyboard.
      beforeinput: (event) => {
        if (event.inputType === "historyUndo") return undo();
        if (event.inputType === "historyRedo") return redo();
        return false;
      },
    }),
  ]);
}
