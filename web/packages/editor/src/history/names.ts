/** Naming versions: asks for the name, then says what was done. */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { askForText, attempt, confirm } from "../parts/dialogs";
import type { RowAction } from "../parts/row_menu";
import { say } from "../shell/say";
import { historyKeys, listNames, nameVersion, removeName, renameVersion, type VersionNamed } from "./api";

const LONGEST = 128;

export interface Names {
  readonly all: readonly VersionNamed[];
  /** The name of a version, "" without one. */
  readonly of: (version: number) => string;
  /** Asks for a name; for another one if it has one. */
  readonly give: (version: number) => Promise<unknown>;
  readonly remove: (version: number) => Promise<unknown>;
  /** What can be done about the name of a version, for menus. */
  readonly actions: (version: number) => RowAction[];
}

export function useNames(documentId: string): Names {
  const queries = useQueryClient();
  const { data } = useQuery({
    queryKey: historyKeys.names(documentId),
    queryFn: ({ signal }) => listNames(documentId, signal),
  });
  const all = data?.items ?? [];
  const of = (version: number) => all.find((each) => each.version === version)?.name ?? "";
  const changed = async (what: string) => {
    await Promise.all([
      queries.invalidateQueries({ queryKey: historyKeys.names(documentId) }),
      queries.invalidateQueries({ queryKey: historyKeys.sessions(documentId) }),
    ]);
    say(what);
  };
  const give = (version: number) => {
    const before = of(version);
    const set = before ? renameVersion : nameVersion;
    return askForText(
      before ? `Rename version ${version}` : `Name version ${version}`,
      { label: "Name", value: before, submit: before ? "Rename" : "Name" },
      async (text) => {
        const name = [...text].slice(0, LONGEST).join("");
        await set(documentId, version, name);
        await changed(`Version ${version} is called “${name}”.`);
      },
    );
  };
  const remove = async (version: number) => {
    const text = `Version ${version} stays as it is; only its name “${of(version)}” goes.`;
    if (!(await confirm("Remove this name?", text, "Remove the name"))) return;
    await attempt(async () => {
      await removeName(documentId, version);
      await changed("The name is removed.");
    });
  };
  const actions = (version: number): RowAction[] =>
    of(version)
      ? [
          { text: "Rename…", action: () => give(version) },
          { text: "Remove the name…", action: () => remove(version), isDangerous: true },
        ]
      : [{ text: `Name version ${version}…`, action: () => give(version) }];
  return { all, of, give, remove, actions };
}
