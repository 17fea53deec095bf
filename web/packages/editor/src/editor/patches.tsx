/** Edits that cannot be applied any more: their author gets them back, to copy, to keep as a file, or to drop. */

import type { Document, Patch } from "@coscribe/client";
import { Button } from "@mantine/core";
import { download } from "../parts/download";
import { Notice } from "../parts/notice";
import { useStatusOf } from "./use_document";

/** Reasons in words for people; others show the server's own. */
const REASONS: Readonly<Record<string, string>> = {
  permission_denied: "Your role in this document changed before they reached the server.",
  access_removed: "Your access to this document ended before they reached the server.",
  file_not_found: "This document is not there for you any more.",
  base_version_too_old: "They were made on a version that lies too far back.",
  history_unavailable:
    "The history that they were made on is not there any more: it was restored from a backup, or pruned.",
  history_pruned: "The history that they were made on was deleted because of its age.",
  message_too_large: "They are larger than the server takes at once.",
  operation_too_large: "They are larger than the server takes at once.",
  file_too_large: "The document would become larger than it may be.",
};

export function Patches({ document, name }: { readonly document: Document; readonly name: string }) {
  const patches = useStatusOf(document, (status) => status.patches);
  if (patches.length === 0) return null;
  return (
    <section className="co-patches" aria-label="Edits that could not be applied">
      {patches.map((patch, index) => (
        // A patch has no name of its own, and the list only ever loses one and gains at its end.
        // biome-ignore lint/suspicious/noArrayIndexKey: see above
        <PatchAlert key={index} patch={patch} name={name} onDismiss={() => document.dismissPatch(index)} />
      ))}
    </section>
  );
}

interface AlertProps {
  readonly patch: Patch;
  readonly name: string;
  readonly onDismiss: () => void;
}

function PatchAlert({ patch, name, onDismiss }: AlertProps) {
  const places = patch.edits.reduce((sum, edits) => sum + edits.length, 0);
  const title = `${places === 1 ? "One edit" : `${places} edits`} of yours could not be applied`;
  return (
    <Notice kind="warning" role="alert">
      <h2 className="co-patch-title">{title}</h2>
      <p>{REASONS[patch.code] ?? patch.detail} Nothing of it is lost: here it is.</p>
      {patch.text !== "" && (
        // It scrolls where it is long, so it can be focused.
        // biome-ignore lint/a11y/noNoninteractiveTabindex: see above
        <section className="co-patch-text" tabIndex={0} aria-label="What you wrote">
          {patch.text}
        </section>
      )}
      <div className="actions">
        {patch.text !== "" && (
          <Button size="xs" variant="default" onClick={() => void navigator.clipboard.writeText(patch.text)}>
            Copy
          </Button>
        )}
        <Button size="xs" variant="default" onClick={() => download(patchFile(patch), `${name}.patch.json`)}>
          Download
        </Button>
        <Button size="xs" variant="default" onClick={onDismiss}>
          Dismiss
        </Button>
      </div>
    </Notice>
  );
}

/** Everything there is to know of it: also what it would have deleted, and where. */
function patchFile(patch: Patch): Blob {
  return new Blob([`${JSON.stringify(patch, null, 2)}\n`], { type: "application/json" });
}
