/**
 * Text files from this device into a workspace. Each is made and filled here, and sent when the server can be reached: as
 * if somebody had typed it. What is no text that would come back bit for bit is refused by name.
 */

import type { Document, Workspace } from "@coscribe/client";

export const MAX_FILES = 200;

/** Bytes of one file. */
export const MAX_BYTES = 8_000_000;

/** UTF-16 units of one edit. */
const PIECE = 500_000;

export interface TextFile {
  readonly text: string;
  /** How it was written: line ends, byte order mark. */
  readonly properties: Readonly<Record<string, string>>;
}

/** A text, with LF; a string: why it is none. */
export function decoded(bytes: Uint8Array): TextFile | string {
  if (bytes.length > MAX_BYTES) return `it has more than ${MAX_BYTES / 1_000_000} MB`;
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return "it is no text in UTF-8";
  }
  if (text.includes("\0")) return "it is no text";
  const hasMark = text.startsWith("\ufeff");
  const unmarked = hasMark ? text.slice(1) : text;
  const windows = unmarked.split("\r\n").length - 1;
  const bare = unmarked.replaceAll("\r\n", "");
  if (bare.includes("\r") || (windows > 0 && bare.includes("\n"))) return "its lines end in more than one way";
  const mark: Record<string, string> = hasMark ? { bom: "yes" } : {};
  const ends: Record<string, string> = windows > 0 ? { eol: "crlf" } : {};
  return { text: unmarked.replaceAll("\r\n", "\n"), properties: { ...mark, ...ends } };
}

export interface Uploaded {
  readonly made: readonly string[];
  /** Names, each with the reason. */
  readonly refused: readonly string[];
}

/** Into a folder. `isShown` says whether a file has a tab, which closes its text itself. */
export async function upload(
  workspace: Workspace,
  folderId: string,
  files: readonly File[],
  isShown: (fileId: string) => boolean,
): Promise<Uploaded> {
  const made: string[] = [];
  const refused = files.slice(MAX_FILES).map(({ name }) => `${name}: at most ${MAX_FILES} files at a time`);
  for (const file of files.slice(0, MAX_FILES)) {
    const found = await read(file);
    if (typeof found === "string") {
      refused.push(`${file.name}: ${found}`);
      continue;
    }
    const fileId = workspace.create(file.name, folderId, { properties: { ...found.properties } });
    made.push(fileId);
    const document = workspace.open(fileId);
    await begun(document);
    for (const piece of pieces(found.text)) {
      document.edit([{ from: document.length, to: document.length, insert: piece }]);
    }
    void document.synced().then(
      () => {
        if (!isShown(fileId)) void document.close();
      },
      () => {},
    );
  }
  return { made, refused };
}

async function read(file: File): Promise<TextFile | string> {
  if (file.size > MAX_BYTES) return decoded(new Uint8Array(MAX_BYTES + 1));
  try {
    return decoded(new Uint8Array(await file.arrayBuffer()));
  } catch {
    return "it cannot be read: a folder, or a file that has moved";
  }
}

function begun(document: Document): Promise<void> {
  return new Promise((resolve, reject) => {
    const look = () => {
      if (!document.status.hasText && document.status.state !== "ended") return;
      stop();
      if (document.status.hasText) resolve();
      else reject(document.status.error);
    };
    const stop = document.onStatus(look);
    look();
  });
}

/** None ends inside a surrogate pair. */
export function* pieces(text: string, most = PIECE): Generator<string> {
  for (let from = 0; from < text.length; ) {
    let to = Math.min(text.length, from + most);
    if (to < text.length && /[\ud800-\udbff]/.test(text[to - 1] ?? "")) to -= 1;
    yield text.slice(from, to);
    from = to;
  }
}
