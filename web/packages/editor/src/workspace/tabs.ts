/** Which files of a workspace are open, in what order. Kept for the window: a reload opens them again. */

export interface Tabs {
  /** In the order in which they are shown. */
  readonly files: readonly string[];
  /** The last used is last. */
  readonly used: readonly string[];
}

/** Each open file is a text in memory and a place on the server. */
export const MAX_TABS = 20;

export const NO_TABS: Tabs = { files: [], used: [] };

/** The file, open and used last. Where there are too many, the one unused longest goes of those that `mayGo`. */
export function opened(tabs: Tabs, fileId: string, mayGo: (fileId: string) => boolean): Tabs {
  const used = [...tabs.used.filter((each) => each !== fileId), fileId];
  if (tabs.files.includes(fileId)) return { files: tabs.files, used };
  const files = [...tabs.files, fileId];
  const goes = files.length > MAX_TABS ? used.find((each) => each !== fileId && mayGo(each)) : undefined;
  return goes === undefined ? { files, used } : closed({ files, used }, goes);
}

export function closed(tabs: Tabs, fileId: string): Tabs {
  const others = (files: readonly string[]) => files.filter((each) => each !== fileId);
  return { files: others(tabs.files), used: others(tabs.used) };
}

/** What is shown when the file in front is closed: the one used before it; "": nothing. */
export function nextOf(tabs: Tabs): string {
  return tabs.used.at(-1) ?? "";
}

const keyOf = (workspaceId: string) => `coscribe.tabs ${workspaceId}`;

export function keptTabs(workspaceId: string): Tabs {
  try {
    const files: unknown = JSON.parse(sessionStorage.getItem(keyOf(workspaceId)) ?? "[]");
    if (!Array.isArray(files)) return NO_TABS;
    const kept = files.filter((each): each is string => typeof each === "string").slice(0, MAX_TABS);
    return { files: kept, used: kept };
  } catch {
    return NO_TABS;
  }
}

/** Only a help: where storage is refused, nothing is open after a reload but the file in the address. */
export function keepTabs(workspaceId: string, { files }: Tabs): void {
  try {
    sessionStorage.setItem(keyOf(workspaceId), JSON.stringify(files));
  } catch {
    return;
  }
}
