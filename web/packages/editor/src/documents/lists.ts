/** The lists of documents: what each is called, asks for, and says when it is empty. */

import type { Listing } from "../api/documents";

export interface DocumentList {
  text: string;
  listing: Listing;
  empty: string;
}

export const LISTS = {
  all: { text: "All", listing: {}, empty: "No documents yet. Create the first one, or drop text files here." },
  recent: { text: "Recent", listing: { which: "recent" }, empty: "What you open is listed here." },
  mine: { text: "Mine", listing: { which: "mine" }, empty: "You own no documents yet." },
  shared: {
    text: "Shared with me",
    listing: { which: "shared" },
    empty: "Nobody has shared a document with you yet.",
  },
  archived: { text: "Archived", listing: { status: "archived" }, empty: "Nothing is archived." },
  trash: { text: "Trash", listing: { status: "trashed" }, empty: "The trash is empty." },
} satisfies Record<string, DocumentList>;

export type ListName = keyof typeof LISTS;

export function isListName(name: string | null): name is ListName {
  return name !== null && Object.hasOwn(LISTS, name);
}
