/**
 * What the editor is measured against: CodeMirror with the same looks and nothing of ours, fed with the edits of others
 * as ready-made changes. `/text` is the document, `/feed` a WebSocket of changes.
 */

import "../src/editor/editor.css";
import { history, historyKeymap } from "@codemirror/commands";
import { EditorState, Transaction } from "@codemirror/state";
import { EditorView, keymap } from "@codemirror/view";
import { looks } from "../src/editor/looks";

const response = await fetch("/text");
const parent = document.getElementById("place");
if (parent === null) throw new Error("the page has no place for the editor");
const place = parent.appendChild(document.createElement("div"));
place.className = "co-editor";
const view = new EditorView({
  parent: place,
  state: EditorState.create({ doc: await response.text(), extensions: [looks, history(), keymap.of(historyKeymap)] }),
});
const feed = new WebSocket(`ws://${location.host}/feed`);
feed.addEventListener("message", ({ data }) => {
  view.dispatch({ changes: JSON.parse(data), annotations: Transaction.remote.of(true) });
});
Object.assign(place, { bare: view });
