/** A new account's first look: a document to begin with, which opens by itself, once. */

import { seeAccount } from "../api/accounts";
import { importDocument, listDocuments } from "../api/documents";
import { WELCOME_NAME, WELCOME_TEXT } from "../welcome_text";

const NEW_FOR = 600_000;
const GREETED = "coscribe.greeted";

/**
 * The id of the document to open, for an account of the last ten minutes that has none; else null. The key makes it
 * one document, however often and from however many windows it is asked for, and none if that one was deleted.
 */
export async function welcome(userId: string): Promise<string | null> {
  if (wasGreeted(userId)) return null;
  const account = await seeAccount();
  if (Date.now() - new Date(account.createdAt).getTime() > NEW_FOR) return null;
  const { items } = await listDocuments({}, "", "");
  if (items.length > 0) return null;
  const { documentId } = await importDocument(WELCOME_NAME, WELCOME_TEXT, "welcome");
  greet(userId);
  return documentId;
}

function wasGreeted(userId: string): boolean {
  try {
    return localStorage.getItem(GREETED) === userId;
  } catch {
    return false;
  }
}

function greet(userId: string): void {
  try {
    localStorage.setItem(GREETED, userId);
  } catch {
    return; // asked once more then; the key keeps it from being made twice
  }
}
