/** One open file: its text, and what one has to know before one writes into it. Hidden ones stay as they are. */

import type { Document, Workspace } from "@coscribe/client";
import { Button } from "@mantine/core";
import { useCallback, useEffect, useRef } from "react";
import type { EarlyKeys } from "../editor/early_keys";
import { TextEditor } from "../editor/editor_view";
import type { FollowedPerson } from "../editor/followed_person";
import { Patches } from "../editor/patches";
import { Printed } from "../editor/printed";
import type { Spot } from "../editor/spot";
import { useStatusOf } from "../editor/use_document";
import { Notice } from "../parts/notice";
import { NotOnThisDevice } from "../states/not_on_this_device";
import { Opening } from "../states/opening";
import { putBack } from "./acts";
import { type Doing, doingText } from "./doings";
import { NoText } from "./no_text";
import { useTree } from "./use_workspace";

interface Props {
  readonly workspace: Workspace;
  readonly fileId: string;
  /** Undefined: it is no text. */
  readonly document: Document | undefined;
  readonly name: string;
  /** Another one each time that it is gone to; null: others are in front of it. */
  readonly visit: string | null;
  readonly followed: FollowedPerson;
  readonly early: EarlyKeys;
  readonly doing: Doing | undefined;
  readonly whoOf: (userId: string) => string;
  /** What is to be seen of it. */
  readonly spot: Spot | null;
  readonly onDismiss: () => void;
  readonly onAgain: () => void;
}

export function OpenFile(props: Props) {
  const { workspace, fileId, document, name, visit } = props;
  const isShown = visit !== null;
  const wasShown = useRef(false);
  wasShown.current ||= isShown;
  const kind = useTree(workspace, () => workspace.node(fileId)?.kind ?? "");
  return (
    <section className="co-file" aria-label={name} hidden={!isShown}>
      <Told {...props} />
      {wasShown.current && document !== undefined && <Text {...props} document={document} />}
      {document === undefined && kind !== "" && kind !== "text" && <Untyped {...props} kind={kind} />}
    </section>
  );
}

function Text({ document, name, visit, followed, early, spot, onAgain }: Props & { document: Document }) {
  const state = useStatusOf(document, (status) => status.state);
  const hasText = useStatusOf(document, (status) => status.hasText);
  const error = useStatusOf(document, (status) => status.error);
  const giveBack = useCallback(
    (error: unknown, edits: readonly { insert: string }[]) => {
      const text = edits.map((edit) => edit.insert).join("\n");
      void document.takePatches([{ code: "not_taken", detail: `It was not taken in: ${error}.`, edits: [], text }]);
    },
    [document],
  );
  useEffect(() => {
    if (state === "ended") early.giveUp(document.fileId);
  }, [state, early, document]);
  if (state === "ended") {
    return (
      <>
        <Patches document={document} name={name} />
        <div className="co-file-said">
          <p>
            {error?.code === "file_not_found" ? "This file is not there any more." : (error?.detail ?? "It is closed.")}
          </p>
          <Button variant="default" onClick={onAgain}>
            Open it again
          </Button>
        </div>
      </>
    );
  }
  return (
    <>
      <Patches document={document} name={name} />
      {hasText ? (
        <TextEditor
          document={document}
          name={name}
          followed={followed}
          onRefused={giveBack}
          spot={spot}
          visit={visit}
          early={early}
        />
      ) : (
        <Coming visit={visit} early={early} fileId={document.fileId}>
          {state === "offline" ? <NotOnThisDevice /> : <Opening />}
        </Coming>
      )}
      {visit !== null && <Printed document={document} name={name} />}
    </>
  );
}

/** Takes the keys of somebody who does not wait for the text. */
function Coming({
  visit,
  early,
  fileId,
  children,
}: Pick<Props, "visit" | "early" | "fileId"> & React.PropsWithChildren) {
  useEffect(() => {
    if (visit !== null && early.mayFocus(fileId)) early.expect(fileId);
  }, [visit, early, fileId]);
  return children;
}

/** What others have done with the file; while it is in the trash, the way back. */
function Told({ workspace, fileId, doing, whoOf, onDismiss }: Props) {
  const isTrashed = useTree(workspace, () => workspace.isTrashed(fileId));
  const canEdit = useTree(workspace, () => workspace.status.canEdit);
  if (isTrashed) {
    return (
      <Notice kind="warning" role="status">
        <p>
          {doing?.what === "deleted" ? (
            <>This file was deleted by {whoOf(doing.by)}. </>
          ) : (
            "This file is in the trash. "
          )}
          {canEdit && "What you type is kept with it."}
        </p>
        {canEdit && (
          <div className="actions">
            <Button size="compact-sm" onClick={() => putBack(workspace, fileId)}>
              Put it back
            </Button>
          </div>
        )}
      </Notice>
    );
  }
  if (doing === undefined) return null;
  return (
    <Notice role="status">
      <div className="co-told">
        <bdi>{doingText(doing, whoOf(doing.by))}</bdi>
        <Button size="compact-sm" variant="default" onClick={onDismiss}>
          OK
        </Button>
      </div>
    </Notice>
  );
}

function Untyped({ workspace, fileId, visit, early, kind }: Props & { kind: string }) {
  useEffect(() => {
    if (visit !== null) early.giveUp(fileId);
  }, [visit, early, fileId]);
  return <NoText workspace={workspace} fileId={fileId} kind={kind} isShown={visit !== null} />;
}
