/** What there is to know of the tree itself: changes of it that are unsent, and those that were refused. */

import type { TreePatch, Workspace } from "@coscribe/client";
import { Button } from "@mantine/core";
import { Notice } from "../parts/notice";
import { useTreeStatus } from "./use_workspace";

/** Where no text is open, in the place of its state. */
export function TreeState({ workspace }: { readonly workspace: Workspace }) {
  const seen = useTreeStatus(workspace, ({ state, unsent, isKept, canEdit }) => {
    const changes = unsent === 1 ? "1 change of files" : `${unsent} changes of files`;
    if (state === "ended") return "bad Closed";
    if (state === "offline") {
      if (unsent === 0) return "warning Offline";
      return `warning Offline – ${changes} ${isKept ? "kept on this device" : "in this page only"}`;
    }
    if (state !== "live") return "busy Connecting …";
    if (unsent > 0) return "busy Saving …";
    return canEdit ? "good Saved" : "quiet View only";
  });
  const tone = seen.slice(0, seen.indexOf(" "));
  const label = seen.slice(tone.length + 1);
  return (
    <span className="co-status" data-tone={tone} role="status" title={label}>
      <span className="co-status-dot" aria-hidden="true" />
      <span className="co-status-label">{label}</span>
    </span>
  );
}

export function TreePatches({ workspace }: { readonly workspace: Workspace }) {
  const patches = useTreeStatus(workspace, (status) => status.patches);
  if (patches.length === 0) return null;
  return (
    <section className="co-patches" aria-label="Changes of files that were not done">
      {patches.map((patch, index) => (
        // A patch has no name of its own, and the list only ever loses one and gains at its end.
        // biome-ignore lint/suspicious/noArrayIndexKey: see above
        <Notice key={index} kind="warning" role="alert">
          <p>
            {done(patch)} was not done: {REASONS[patch.code] ?? patch.detail}.
          </p>
          <div className="actions">
            <Button size="xs" variant="default" onClick={() => workspace.dismissPatch(index)}>
              Dismiss
            </Button>
          </div>
        </Notice>
      ))}
    </section>
  );
}

const REASONS: Readonly<Record<string, string>> = {
  permission_denied: "your role, or a rule about that path, does not allow it",
  file_not_found: "the file is not there any more",
  quota_exceeded: "the workspace is full",
  access_removed: "your access to this workspace has ended",
};

const VERBS: Readonly<Record<string, string>> = {
  create: "Making",
  move: "Moving",
  delete: "Deleting",
  restore: "Restoring",
  put: "Replacing",
  set: "Changing",
  purge: "Deleting for good",
};

function done({ edits }: TreePatch): string {
  const first = edits[0];
  const verb = VERBS[first?.verb ?? ""] ?? "A change";
  const name = first !== undefined && "name" in first && first.name ? `“${first.name}”` : "a file";
  return edits.length > 1 ? `${verb} ${name}, and ${edits.length - 1} more,` : `${verb} ${name}`;
}
