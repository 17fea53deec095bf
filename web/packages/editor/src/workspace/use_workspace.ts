/** React's view of a workspace: re-rendered only when what is shown of it has changed. */

import type { Document, Workspace, WorkspaceStatus } from "@coscribe/client";
import { useMemo, useSyncExternalStore } from "react";

/** A part of the status; see `useStatusOf` of a document. */
export function useTreeStatus<Part>(workspace: Workspace, part: (status: WorkspaceStatus) => Part): Part {
  return useSyncExternalStore(
    (listener) => workspace.onStatus(listener),
    () => part(workspace.status),
  );
}

/** Something that is worked out from the tree. `look` answers with what can be compared: a text, a number, a truth. */
export function useTree<Seen extends string | number | boolean | null>(workspace: Workspace, look: () => Seen): Seen {
  const subscribe = useMemo(() => {
    return (listener: () => void) => {
      const stops = [workspace.onChange(listener), workspace.onStatus(listener)];
      return () => {
        for (const stop of stops) stop();
      };
    };
  }, [workspace]);
  return useSyncExternalStore(subscribe, look);
}

/** The path of a file; what the text itself was told where there is no tree; "": it is not known. */
export function usePathOf(workspace: Workspace, fileId: string, document: Document | undefined): string {
  return useTree(workspace, () => workspace.path(fileId) ?? document?.status.path ?? "");
}
