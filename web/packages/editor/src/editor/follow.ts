/** Following a person: the view keeps their caret in sight until one scrolls, types or clicks oneself. */

import type { Extension } from "@codemirror/state";
import { EditorView, type PluginValue, ViewPlugin, type ViewUpdate } from "@codemirror/view";
import type { Document } from "@coscribe/client";
import type { FollowedPerson } from "./followed_person";

/** Scrolls to the caret of the person that is followed whenever it moves. */
export function follow(document: Document, followed: FollowedPerson): Extension {
  return [
    ViewPlugin.define((view) => new Follower(view, document, followed)),
    EditorView.domEventHandlers({
      wheel: () => followed.end(),
      touchmove: () => followed.end(),
      mousedown: () => followed.end(),
      keydown: (event) => {
        if (event.key.length === 1 || event.key.startsWith("Arrow") || event.key.startsWith("Page")) followed.end();
      },
    }),
  ];
}

class Follower implements PluginValue {
  readonly #view: EditorView;
  readonly #document: Document;
  readonly #followed: FollowedPerson;
  readonly #stop: (() => void)[];
  #frame = 0;

  constructor(view: EditorView, document: Document, followed: FollowedPerson) {
    this.#view = view;
    this.#document = document;
    this.#followed = followed;
    this.#stop = [document.onParticipants(() => this.#soon()), followed.subscribe(() => this.#soon())];
  }

  update(update: ViewUpdate): void {
    if (update.docChanged) this.#soon();
  }

  destroy(): void {
    for (const stop of this.#stop) stop();
    cancelAnimationFrame(this.#frame);
  }

  #soon(): void {
    if (this.#followed.get() === null) return;
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#scroll();
    });
  }

  #scroll(): void {
    const userId = this.#followed.get();
    const other = [...this.#document.participants.values()].find(
      (each) => each.userId === userId && each.cursor !== null,
    );
    if (other?.cursor == null) return;
    const at = Math.min(other.cursor.head, this.#view.state.doc.length);
    this.#view.dispatch({ effects: EditorView.scrollIntoView(at, { y: "nearest", yMargin: 80 }) });
  }
}
