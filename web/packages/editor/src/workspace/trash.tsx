/** What was deleted and can be brought back. */

import type { Workspace } from "@coscribe/client";
import { Button } from "@mantine/core";
import { putBack } from "./acts";
import { folderIn, nameIn } from "./address";
import { useTree } from "./use_workspace";

interface Props {
  readonly workspace: Workspace;
  readonly canEdit: boolean;
}

export function Trash({ workspace, canEdit }: Props) {
  const seen = useTree(workspace, () =>
    workspace
      .trashed()
      .map((id) => `${id} ${workspace.path(id)}`)
      .join("\n"),
  );
  const found = seen === "" ? [] : workspace.trashed().map((id) => ({ id, path: workspace.path(id) ?? "" }));
  if (found.length === 0) return <p className="co-side-empty">The trash is empty.</p>;
  const sorted = found.sort((one, other) => one.path.localeCompare(other.path));
  return (
    <ul className="co-trash" aria-label="In the trash">
      {sorted.map(({ id, path }) => (
        <li key={id}>
          <span className="co-trash-name">
            <bdi>{nameIn(path)}</bdi>
            {folderIn(path) !== "" && (
              <span className="quiet">
                {" "}
                in <bdi>{folderIn(path)}</bdi>
              </span>
            )}
          </span>
          {canEdit && (
            <Button
              size="compact-xs"
              variant="default"
              aria-label={`Restore ${path}`}
              onClick={() => putBack(workspace, id)}
            >
              Restore
            </Button>
          )}
        </li>
      ))}
    </ul>
  );
}
